//! Values as JSON text, no longer and no deeper than their limits: writing ends where one of them is passed.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::Limits;
use crate::brief::brief;
use crate::error::{Error, Result};

impl Limits {
    /// Writes arguments or an output. A value of gigabytes is given up at the limit: neither its text nor the time
    /// to write it is ever spent.
    pub(crate) fn write_json<T: Serialize>(self, what: &'static str, value: &T) -> Result<String> {
        let mut text = Bounded { bytes: Vec::new(), length: 0, limit: self.payload };
        let written = value.serialize(&mut Serializer::with_formatter(&mut text, Depth(0)));
        if text.length > self.payload {
            return Err(Error::TooLong { what, length: text.length, limit: self.payload });
        }
        written.map_err(|error| Error::Serialize { what, why: error.to_string() })?;
        String::from_utf8(text.bytes).map_err(|error| Error::Serialize { what, why: error.to_string() })
    }
}

/// Why a payload could not be read, in serde's words but for the values that are in them: this is logged and shown.
pub(crate) fn fault(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // What breaks the grammar of JSON is told by its place alone, and names of fields are those of the type.
    if !error.is_data() || ["missing field ", "duplicate field "].iter().any(|word| text.starts_with(word)) {
        return brief(text);
    }
    let words =
        ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant ", "unknown field "];
    let said =
        words.iter().find_map(|word| Some((word, text.strip_prefix(word)?.rsplit_once(", expected ")?)));
    match said {
        Some((word, (found, expected))) => {
            let kind = found.split(['"', '`']).next().unwrap_or_default();
            brief(format!("{word}{kind}…, expected {expected}"))
        }
        None => format!("it was refused at line {} column {}", error.line(), error.column()),
    }
}

/// How deep arrays and objects may lie in each other: serde_json reads no deeper.
const DEEPEST: u32 = 127;

/// Writes without blanks, and fails at a level that could not be read back.
struct Depth(u32);

impl Depth {
    fn enter(&mut self) -> io::Result<()> {
        if self.0 == DEEPEST {
            return Err(io::Error::other(format!(
                "it is nested deeper than {DEEPEST} levels, and could not be read"
            )));
        }
        self.0 += 1;
        Ok(())
    }
}

impl Formatter for Depth {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.enter()?;
        writer.write_all(b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0 = self.0.saturating_sub(1);
        writer.write_all(b"]")
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.enter()?;
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0 = self.0.saturating_sub(1);
        writer.write_all(b"}")
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

    /// serde repeats the value that it did not expect: a password in the wrong place was logged as a warning.
    #[test]
    fn a_fault_tells_the_place_and_the_kind_of_a_value_and_not_the_value() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(dead_code, reason = "it is read and never looked at")]
        struct Args {
            port: u16,
            mode: Mode,
        }
        #[derive(Debug, serde::Deserialize)]
        #[serde(rename_all = "snake_case", try_from = "String")]
        struct Mode;
        impl TryFrom<String> for Mode {
            type Error = String;
            fn try_from(text: String) -> std::result::Result<Self, String> {
                Err(format!("{text} is no mode"))
            }
        }
        let told = |text: &str| fault(&serde_json::from_str::<Args>(text).unwrap_err());
        assert_eq!(
            told(r#"{"port":"hunter2, expected x"}"#),
            "invalid type: string …, expected u16 at line 1 column 29"
        );
        assert_eq!(told(r#"{"port":77777}"#), "invalid value: integer …, expected u16 at line 1 column 13");
        assert_eq!(told("{}"), "missing field `port` at line 1 column 2");
        assert_eq!(told(r#"{"port":1,"mode":"hunter2"}"#), "it was refused at line 1 column 27");
        assert!(!told(r#"{"hunter2":1}"#).contains("hunter2"));
        assert!(told("hunter2").starts_with("expected value at line 1"));
    }

    /// What was taken so deep could never be read again: its job was parked when its time came, and not refused when
    /// it was made.
    #[test]
    fn a_value_that_is_too_deep_to_be_read_is_refused() {
        let nested = |levels| (0..levels).fold(serde_json::Value::Null, |inner, _| vec![inner].into());
        let text = Limits::default().write_json("args", &nested(DEEPEST)).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), nested(DEEPEST));
        let error = Limits::default().write_json("args", &nested(DEEPEST + 1)).unwrap_err();
        assert!(
            matches!(&error, Error::Serialize { what: "args", why } if why.contains("127 levels")),
            "{error:?}"
        );
        let one_after_the_other = vec![nested(100), nested(100)];
        assert!(Limits::default().write_json("args", &one_after_the_other).is_ok());
    }

    #[test]
    fn what_json_cannot_hold_is_named() {
        let error = LIMITS.write_json("output", &HashMap::from([((1, 2), 3)])).unwrap_err();
        assert!(error.to_string().starts_with("output cannot be written as JSON: "), "{error}");
    }
}
