//! What an error must be, whatever caused it: of a kind that a caller can tell, short, and fit to be printed.

use std::fmt::Display;

use mainspring::Error;
use rusqlite::Error as Sqlite;

use crate::Verdict;

/// No error is longer, in bytes: it quotes what it is about, and no more than its beginning.
pub(crate) const LONGEST: usize = 2_000;

/// Judges an error of a call.
pub(crate) fn judge(what: &str, error: &Error) -> Verdict {
    match error {
        Error::Panicked { .. } => return Err(format!("{what}: {error}")),
        // What SQLite itself refused is what it says. That a value could not be read is a malformed row, and that there is
        // none is no error of SQLite.
        Error::Sqlite(Sqlite::SqliteFailure(..) | Sqlite::SqlInputError { .. }) => {}
        Error::Sqlite(other) => return Err(format!("{what}: an error of no kind: {other:?}")),
        _ => {}
    }
    printable(what, error)
}

/// Whatever is shown to people is short and moves no cursor.
pub(crate) fn printable(what: &str, shown: &impl Display) -> Verdict {
    let text = shown.to_string();
    if text.is_empty() {
        return Err(format!("{what}: says nothing"));
    }
    if text.len() > LONGEST {
        let start: String = text.chars().take(200).collect();
        return Err(format!("{what}: has {} bytes: {start}", text.len()));
    }
    if let Some(odd) = text.chars().find(|c| c.is_control()) {
        return Err(format!("{what}: holds the control character {odd:?}: {text:?}"));
    }
    Ok(())
}

/// Judges what came of a call; an error is an answer like any other, if it is a good one.
pub(crate) fn answer<T>(what: &str, answer: Result<T, Error>) -> Result<Option<T>, String> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) => judge(what, &error).map(|()| None),
    }
}
