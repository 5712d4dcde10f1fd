//! Options of a job that stand alone, and the limits on what it may hold.

use crate::error::{Error, Result};

/// What to do when an unfinished job holds the unique key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDuplicate {
    /// Keep that job and tell the caller which one it is.
    #[default]
    Keep,
    /// Give that job the new arguments, time and options, unless it runs.
    Replace,
    /// Fail with [`Error::UniqueKeyHeld`].
    Error,
}

/// How long the values of a row may be, in bytes of UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Arguments and outputs. Defaults to 1 MiB.
    pub payload: usize,
    /// Names, kinds, queues and keys. Always 200: the schema says so too.
    pub word: usize,
    /// Error texts and receipts; longer ones are cut. Defaults to 8 KiB.
    pub text: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { payload: 1 << 20, word: 200, text: 8 << 10 }
    }
}

impl Limits {
    /// A word that stands in an index: not empty, not long, no control characters, so that it can be printed.
    pub(crate) fn check_word(&self, option: &'static str, word: &str) -> Result<()> {
        if word.is_empty() {
            return Err(Error::invalid(option, "is empty: give it 1 to 200 characters"));
        }
        if word.len() > self.word {
            return Err(Error::TooLong { what: option, length: word.len(), limit: self.word });
        }
        if let Some(odd) = word.chars().find(|c| c.is_control()) {
            return Err(Error::invalid(option, format!("holds the control character {odd:?}")));
        }
        Ok(())
    }

    /// A text for people, cut at a character's border.
    pub(crate) fn cut(&self, mut text: String) -> String {
        if text.len() > self.text {
            let mut end = self.text.saturating_sub('…'.len_utf8());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push('…');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_character() {
        let limits = Limits { text: 10, ..Limits::default() };
        let cut = limits.cut("äöüäöüäöü".to_owned());
        assert!(cut.len() <= 10 && cut.ends_with('…'), "{cut}");
        assert_eq!(limits.cut("short".to_owned()), "short");
    }

    #[test]
    fn words_are_printable_and_bounded() {
        let limits = Limits::default();
        assert!(limits.check_word("queue", "default").is_ok());
        assert!(limits.check_word("queue", "").is_err());
        assert!(limits.check_word("queue", "a\u{1b}[31m").is_err());
        assert!(limits.check_word("queue", &"x".repeat(201)).is_err());
    }
}
