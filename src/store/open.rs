//! Opening a file for the first time: find it, look, refuse or bring it up to date.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::files::Place;
use super::history::{self, Standing};
use super::identity::Identity;
use super::migrate::{self, Migrated};
use super::options::OpenOptions;
use super::{settings, statistics};
use crate::error::{Error, Result};

/// "MNSP": the id that a file carries which holds nothing but a queue.
pub(super) const APPLICATION_ID: i32 = 0x4d4e_5350;
/// A version of SQLite before this one can corrupt a log that two connections write and checkpoint.
const OLDEST_SQLITE: i32 = 3_051_003;

/// A file that is checked and up to date.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) place: Place,
    pub(super) identity: Identity,
    pub(super) migrated: Migrated,
}

/// Makes the file if it is missing, checks it and brings it up to date.
pub(super) fn open(options: &OpenOptions) -> Result<Opened> {
    options.check()?;
    new_enough(rusqlite::version_number(), rusqlite::version())?;
    let place = Place::find(options.path())?;
    let identity = place.create_if_missing(options.create)?;
    let migrated = bring_up_to_date(&place, options).map_err(|error| explain(error, &place, options))?;
    // The same name before and after: what was migrated in between is that file.
    place.is_still(identity)?;
    Ok(Opened { place, identity, migrated })
}

/// Opens a connection to the file, which exists, with the settings that need no look into it.
pub(super) fn connect(place: &Place, options: &OpenOptions) -> Result<Connection> {
    // No CREATE: a file that is gone by now is not made anew. No URI: the path is what it says.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let conn = match &options.vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(place.file(), flags, vfs.as_str())
            .map_err(|error| unknown_vfs(vfs, error))?,
        None => Connection::open_with_flags(place.file(), flags)?,
    };
    settings::before_the_first_read(&conn, options)?;
    Ok(conn)
}

/// Says what an error of SQLite means for somebody who opens a file.
pub(super) fn explain(error: Error, place: &Place, options: &OpenOptions) -> Error {
    let path = || place.named().to_owned();
    let sqlite = match error {
        Error::Sqlite(error) => error,
        other => return other.after_waiting(options.busy_timeout),
    };
    match sqlite.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Error::NotADatabase { path: path() },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Error::ReadOnly { path: path() },
        // SQLite says no more than this where it cannot make the log.
        Some(ErrorCode::CannotOpen) if !place.folder_is_writable() => Error::ReadOnly { path: path() },
        Some(ErrorCode::CannotOpen) => Error::CannotOpen { path: path(), why: sqlite.to_string() },
        _ => Error::Sqlite(sqlite),
    }
}

/// Refuses what is not ours to open and says how far the file is. The caller holds a transaction, so that all
/// is of one moment.
pub(super) fn look(conn: &Connection, path: &Path, options: &OpenOptions) -> Result<Standing> {
    let found = application_id(conn)?;
    if !options.accepts(found) {
        return Err(Error::ForeignApplicationId { path: path.to_owned(), found });
    }
    history::standing(conn, path)
}

pub(super) fn application_id(conn: &Connection) -> Result<i32> {
    Ok(conn.pragma_query_value(None, "application_id", |row| row.get(0))?)
}

fn bring_up_to_date(place: &Place, options: &OpenOptions) -> Result<Migrated> {
    let had_log = place.has_log();
    let mut conn = connect(place, options)?;
    // A file that is refused is left as it is: closing the last connection would empty its log into it. Where
    // there was no log, closing takes away the empty one that looking made.
    keep_log(&conn, had_log)?;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Deferred)?;
    let seen = look(&tx, place.named(), options)?;
    tx.commit()?;
    let (standing, applied) = if seen.is_up_to_date() && migrate::is_wal(&conn)? {
        (seen, Vec::new())
    } else {
        migrate::migrate(&mut conn, place, options)?
    };
    statistics::forget(&mut conn)?;
    keep_log(&conn, false)?;
    let database_uuid =
        conn.query_row("SELECT database_uuid FROM mainspring_meta WHERE id = 1", [], |row| row.get(0))?;
    Ok(Migrated { database_uuid, version: standing.version, applied })
}

fn keep_log(conn: &Connection, keep: bool) -> Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)?;
    Ok(())
}

/// SQLite has no code for this error, only a text.
fn unknown_vfs(vfs: &str, error: rusqlite::Error) -> Error {
    let unknown = match &error {
        rusqlite::Error::NulError(_) => true,
        rusqlite::Error::SqliteFailure(_, Some(text)) => text.starts_with("no such vfs"),
        _ => false,
    };
    if unknown {
        return Error::invalid("vfs", format!("is {vfs:?}, which SQLite does not know: register it first"));
    }
    error.into()
}

fn new_enough(number: i32, version: &str) -> Result<()> {
    if number < OLDEST_SQLITE {
        return Err(Error::SqliteTooOld { found: version.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sqlite_that_can_corrupt_a_log_is_refused_by_name() {
        for (number, version) in [(3_040_001, "3.40.1"), (3_051_002, "3.51.2")] {
            let refused = new_enough(number, version);
            assert!(matches!(refused, Err(Error::SqliteTooOld { found }) if found == version));
        }
        new_enough(3_051_003, "3.51.3").unwrap();
        new_enough(4_000_000, "4.0.0").unwrap();
    }
}
