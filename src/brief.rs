//! Texts from elsewhere inside of our own errors: cut, and with nothing in them that moves a cursor. A row, a caller or a
//! damaged file may bring megabytes; an error is for a line of a log.

use std::fmt::{self, Display, Write};

/// How much is repeated of a name, a key or a word: enough to recognise it, whatever was pasted.
const QUOTED_CHARS: usize = 120;
/// How much is repeated of what somebody else says is wrong.
const BRIEF_CHARS: usize = 400;

/// A text in quotes, escaped and cut.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        cut(f, QUOTED_CHARS, self.0)?;
        f.write_str("\"")
    }
}

/// What somebody else says, escaped and cut.
pub(crate) struct Brief<T>(pub(crate) T);

impl<T: Display> Display for Brief<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        cut(f, BRIEF_CHARS, &self.0)
    }
}

/// The same as a text.
pub(crate) fn brief(text: impl Display) -> String {
    Brief(text).to_string()
}

fn cut(f: &mut fmt::Formatter<'_>, chars: usize, text: impl Display) -> fmt::Result {
    let mut cut = Cut { f, left: chars, is_over: false };
    match write!(cut, "{text}") {
        Err(_) if cut.is_over => f.write_str("…"),
        written => written,
    }
}

/// Takes so many characters, and fails at one more.
struct Cut<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    left: usize,
    is_over: bool,
}

impl Write for Cut<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.left == 0 {
                self.is_over = true;
                return Err(fmt::Error);
            }
            self.left -= 1;
            if c.is_control() { write!(self.f, "{}", c.escape_default())? } else { self.f.write_char(c)? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_quoted_escaped_and_cut_at_a_character() {
        assert_eq!(Quoted("short").to_string(), "\"short\"");
        assert_eq!(Quoted("a\u{1b}[31m\n").to_string(), "\"a\\u{1b}[31m\\n\"");
        let long = Quoted(&"ü".repeat(1_000_000)).to_string();
        assert_eq!(long, format!("\"{}…\"", "ü".repeat(QUOTED_CHARS)));
        assert_eq!(
            Quoted(&"ü".repeat(QUOTED_CHARS)).to_string(),
            format!("\"{}\"", "ü".repeat(QUOTED_CHARS))
        );
    }

    #[test]
    fn what_others_say_is_cut_and_stays_on_one_line() {
        assert_eq!(brief("no such column\nin SELECT"), "no such column\\nin SELECT");
        assert_eq!(brief("x".repeat(1_000)).chars().count(), BRIEF_CHARS + 1);
        assert_eq!(brief(format_args!("{} of {}", 3, 4)), "3 of 4");
    }
}
