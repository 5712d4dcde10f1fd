//! Values as JSON text, no longer than their limit: writing ends where the limit is passed.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use super::Limits;
use crate::error::{Error, Result};

impl Limits {
    /// Writes arguments or an output. A value of gigabytes is given up at the limit: neither its text nor the time
    /// to write it is ever spent.
    pub(crate) fn write_json<T: Serialize>(self, what: &'static str, value: &T) -> Result<String> {
        let mut text = Bounded { bytes: Vec::new(), length: 0, limit: self.payload };
        let written = serde_json::to_writer(&mut text, value);
        if text.length > self.payload {
            return Err(Error::TooLong { what, length: text.length, limit: self.payload });
        }
        written.map_err(|error| Error::Serialize { what, why: error.to_string() })?;
        String::from_utf8(text.bytes).map_err(|error| Error::Serialize { what, why: error.to_string() })
    }
}

/// Takes as much as its limit, and fails at what goes beyond.
struct Bounded {
    bytes: Vec<u8>,
    length: usize,
    limit: usize,
}

impl Write for Bounded {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        self.length = self.length.saturating_add(more.len());
        if self.length > self.limit {
            return Err(ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::ser::SerializeSeq;
    use serde::{Serialize, Serializer};

    use super::*;

    const LIMITS: Limits = Limits { payload: 10, word: 200, text: 100 };

    #[test]
    fn a_text_up_to_the_limit_is_written_and_one_byte_more_is_not() {
        assert_eq!(LIMITS.write_json("args", &"12345678").unwrap(), "\"12345678\"");
        let error = LIMITS.write_json("args", &"123456789").unwrap_err();
        assert!(matches!(error, Error::TooLong { what: "args", length: 11, limit: 10 }), "{error:?}");
    }

    /// A value that is made while it is written, and would fill any memory.
    struct Endless;

    impl Serialize for Endless {
        fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
            let mut pieces = serializer.serialize_seq(None)?;
            for _ in 0..u64::MAX {
                pieces.serialize_element("and so on")?;
            }
            pieces.end()
        }
    }

    #[test]
    fn a_value_without_an_end_is_given_up_at_the_limit() {
        let error = Limits::default().write_json("output", &Endless).unwrap_err();
        let limit = Limits::default().payload;
        assert!(
            matches!(error, Error::TooLong { what: "output", length, .. } if length <= limit + 16),
            "{error:?}"
        );
    }

    #[test]
    fn what_json_cannot_hold_is_named() {
        let error = LIMITS.write_json("output", &HashMap::from([((1, 2), 3)])).unwrap_err();
        assert!(error.to_string().starts_with("output cannot be written as JSON: "), "{error}");
    }
}
