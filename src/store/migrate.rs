//! Opening the file for the first time: look, refuse or migrate, in one transaction.

use std::path::Path;
use std::thread;

use refinery_core::traits::sync::{Migrate, Query, Transaction};
use refinery_core::{Migration, Runner};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::busy;
use super::files::{Identity, MigrationLock, Place, millis};
use super::history::{self, Standing};
use super::options::OpenOptions;
use super::settings::{self, Sync};
use crate::error::{Error, Result};

#[allow(unreachable_pub, reason = "refinery's macro makes public items")]
mod embed {
    refinery::embed_migrations!("migrations");
}

/// The migrations of `migrations/`.
pub(super) fn embedded() -> Runner {
    embed::migrations::runner()
}

/// "MNSP": the id that a file carries which holds nothing but a queue.
pub(crate) const APPLICATION_ID: i32 = 0x4d4e_5350;
/// A version of SQLite before this one can corrupt a log that two connections write and checkpoint.
const OLDEST_SQLITE: i32 = 3_051_003;

/// What making or migrating the file did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migrated {
    /// Names the database, wherever it is copied to.
    pub database_uuid: String,
    /// The schema version of the file: the number of its newest migration.
    pub version: i64,
    /// The migrations that were applied just now, in order; none if the file was up to date.
    pub applied: Vec<String>,
}

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
        Some(vfs) => Connection::open_with_flags_and_vfs(place.file(), flags, vfs.as_str())?,
        None => Connection::open_with_flags(place.file(), flags)?,
    };
    settings::before_the_first_read(&conn, options)?;
    Ok(conn)
}

/// Says what an error of SQLite means for somebody who opens a file.
pub(super) fn explain(error: Error, place: &Place, options: &OpenOptions) -> Error {
    let path = || place.named().to_owned();
    let sqlite = match error {
        Error::Busy { .. } => return Error::Busy { waited_ms: millis(options.busy_timeout) },
        Error::Sqlite(error) => error,
        other => return other,
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

fn new_enough(number: i32, version: &str) -> Result<()> {
    if number < OLDEST_SQLITE {
        return Err(Error::SqliteTooOld { found: version.to_owned() });
    }
    Ok(())
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
    let (standing, applied) = if seen.is_up_to_date() && is_wal(&conn)? {
        (seen, Vec::new())
    } else {
        let _lock = MigrationLock::take(place, options.busy_timeout)?;
        switch_to_wal(&conn, options)?;
        settings::set_synchronous(&conn, Sync::Full)?;
        apply(&mut conn, place.named(), options)?
    };
    keep_log(&conn, false)?;
    let database_uuid =
        conn.query_row("SELECT database_uuid FROM mainspring_meta WHERE id = 1", [], |row| row.get(0))?;
    Ok(Migrated { database_uuid, version: standing.version, applied })
}

fn keep_log(conn: &Connection, keep: bool) -> Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)?;
    Ok(())
}

/// Refuses what is not ours to open and says how far the file is. The caller holds a transaction.
fn look(conn: &Connection, path: &Path, options: &OpenOptions) -> Result<Standing> {
    let found = application_id(conn)?;
    let accepted = [0, APPLICATION_ID].contains(&found) || options.accepts(found);
    if !accepted {
        return Err(Error::ForeignApplicationId { path: path.to_owned(), found });
    }
    history::standing(conn, path)
}

fn application_id(conn: &Connection) -> Result<i32> {
    Ok(conn.pragma_query_value(None, "application_id", |row| row.get(0))?)
}

fn is_wal(conn: &Connection) -> Result<bool> {
    let mode: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    Ok(mode == "wal")
}

/// Changes the journal mode, which SQLite does in no transaction and, where two try at once, without asking
/// the busy handler.
fn switch_to_wal(conn: &Connection, options: &OpenOptions) -> Result<()> {
    let mut tries = 0;
    while !is_wal(conn)? {
        match conn.pragma_update(None, "journal_mode", "wal") {
            Ok(()) => return settings::in_wal(conn),
            Err(error) if is_busy(&error) && tries < busy::tries(options.busy_timeout) => {}
            Err(error) => return Err(error.into()),
        }
        tries += 1;
        thread::sleep(busy::STEP);
    }
    Ok(())
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Applies what is missing, all in one transaction: a crash leaves the file as it was, and of two processes
/// that try at once the second finds nothing to do. What was seen before is looked at again in here.
fn apply(conn: &mut Connection, path: &Path, options: &OpenOptions) -> Result<(Standing, Vec<String>)> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let seen = look(&tx, path, options)?;
    if seen.is_up_to_date() {
        return Ok((seen, Vec::new()));
    }
    if application_id(&tx)? == 0 && is_empty(&tx)? {
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    let failed = |why: String| Error::Migration { path: path.to_owned(), why };
    let mut runner = embedded().set_grouped(true);
    let report = runner
        .set_migration_table_name(seen.table)
        .run(&mut Driver { conn: &tx, applied: seen.applied })
        .map_err(|error| sqlite_cause(&error).unwrap_or_else(|| failed(error.to_string())))?;
    if tx.is_autocommit() {
        return Err(failed("a migration ended the transaction that it runs in".to_owned()));
    }
    let standing = look(&tx, path, options)?;
    if !standing.is_up_to_date() {
        return Err(failed(format!("the file is at version {} after it", standing.version)));
    }
    tx.commit()?;
    Ok((standing, report.applied_migrations().iter().map(ToString::to_string).collect()))
}

fn is_empty(conn: &Connection) -> Result<bool> {
    Ok(conn.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))?)
}

/// What refinery drives: the connection inside our transaction, with the history as we have read it.
struct Driver<'a> {
    conn: &'a Connection,
    applied: usize,
}

impl Transaction for Driver<'_> {
    type Error = rusqlite::Error;

    fn execute<'a, T: Iterator<Item = &'a str>>(&mut self, mut queries: T) -> rusqlite::Result<usize> {
        queries.try_fold(0, |count, query| self.conn.execute_batch(query).map(|()| count + 1))
    }
}

impl Query<Vec<Migration>> for Driver<'_> {
    /// The only query is for the history. It was read and compared before, by stricter rules than refinery's.
    fn query(&mut self, _query: &str) -> rusqlite::Result<Vec<Migration>> {
        let mut known = embedded().get_migrations().clone();
        known.sort();
        known.truncate(self.applied);
        Ok(known)
    }
}

impl Migrate for Driver<'_> {}

/// The error of SQLite inside one of refinery, where it says that the disk or a lock is at fault.
fn sqlite_cause(error: &refinery_core::Error) -> Option<Error> {
    let refinery_core::error::Kind::Connection(_, source) = error.kind() else { return None };
    match source.downcast_ref()? {
        rusqlite::Error::SqliteFailure(code, text) => {
            let error = Error::from(rusqlite::Error::SqliteFailure(*code, text.clone()));
            error.is_transient().then_some(error)
        }
        _ => None,
    }
}
