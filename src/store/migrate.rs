//! Bringing a file up to date: all that is missing in one transaction, under a lock.

use std::path::Path;
use std::thread;

use refinery_core::traits::sync::{Migrate, Query, Transaction};
use refinery_core::{Migration, Runner};
use rusqlite::{Connection, TransactionBehavior};

use super::busy;
use super::files::Place;
use super::history::Standing;
use super::lock_file::MigrationLock;
use super::open::{APPLICATION_ID, application_id, look};
use super::options::OpenOptions;
use super::settings::{self, Sync};
use super::shrink;
use crate::error::{Error, Result};
use crate::sabotage::{Bug, on};

#[allow(unreachable_pub, reason = "refinery's macro makes public items")]
mod embed {
    refinery::embed_migrations!("migrations");
}

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

/// The migrations of `migrations/`.
pub(super) fn embedded() -> Runner {
    embed::migrations::runner()
}

/// Makes the file a WAL file with all migrations applied. Says how it stands then, and what was applied.
pub(super) fn migrate(
    conn: &mut Connection,
    place: &Place,
    options: &OpenOptions,
) -> Result<(Standing, Vec<String>)> {
    let _lock = MigrationLock::take(place, options.busy_timeout)?;
    if shrink::is_blank(conn)? {
        shrink::allow(conn)?;
    }
    if !is_wal(conn)? {
        switch_to_wal(conn, options)?;
    }
    settings::set_synchronous(conn, Sync::Full)?;
    apply(conn, place.named(), options)
}

pub(super) fn is_wal(conn: &Connection) -> Result<bool> {
    let mode: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    Ok(mode == "wal")
}

/// Changes the journal mode, which SQLite does in no transaction and, where two try at once, without asking
/// the busy handler: so this waits by itself.
fn switch_to_wal(conn: &Connection, options: &OpenOptions) -> Result<()> {
    conn.busy_handler(None)?;
    let mut tries = 0;
    let switched = loop {
        match set_wal(conn) {
            Err(Error::Busy { .. }) if tries < busy::tries(options.busy_timeout) => {}
            other => break other,
        }
        tries += 1;
        thread::sleep(busy::STEP);
    };
    busy::set_handler(conn, options.busy_timeout)?;
    switched?;
    settings::in_wal(conn)
}

/// Runs the pragma to its end. It answers with a row before it commits, and whoever reads no further than the row
/// does not hear that the commit failed.
fn set_wal(conn: &Connection) -> Result<()> {
    let mut statement = conn.prepare("PRAGMA journal_mode = wal")?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
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
        queries.try_fold(0, |count, query| {
            self.conn.execute_batch(query)?;
            if on(Bug::UngroupedMigration) {
                self.conn.execute_batch("COMMIT; BEGIN IMMEDIATE")?;
            }
            Ok(count + 1)
        })
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
