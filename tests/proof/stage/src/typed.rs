//! Which errors an application may see while its disk or its locks fail.

use mainspring::Error;
use rusqlite::ErrorCode;

/// The word for an error that a fault of the disk, of a lock or of the memory may cause; otherwise what is wrong
/// with it. A caller can tell these apart and knows that trying again is right.
///
/// # Errors
/// A sentence for an error that blames something else: the caller, the file's content, or nobody.
pub fn class(error: &Error) -> Result<&'static str, String> {
    match error {
        Error::Busy { .. } => Ok("busy"),
        Error::DiskFull => Ok("full"),
        Error::CannotOpen { .. } => Ok("cannot_open"),
        Error::OutcomeUnknown { .. } => Ok("outcome_unknown"),
        Error::Io { .. } => Ok("io"),
        Error::Sqlite(sqlite) => match sqlite.sqlite_error_code() {
            Some(ErrorCode::SystemIoFailure) => Ok("eio"),
            Some(ErrorCode::OutOfMemory) => Ok("nomem"),
            Some(ErrorCode::CannotOpen) => Ok("cannot_open"),
            _ => Err(format!("an error of SQLite that no fault explains: {sqlite:?}")),
        },
        other => Err(format!("an error that no fault explains: {other:?}")),
    }
}

/// Whether the caller of a write that got this error cannot know what became of it.
pub(crate) fn leaves_doubt(error: &Error) -> bool {
    matches!(error, Error::OutcomeUnknown { .. })
}
