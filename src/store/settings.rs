//! The settings of our connections, each read back: a misspelt pragma is no error to SQLite.

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::types::Value;
use rusqlite::{Connection, MAIN_DB};

use super::busy;
use super::options::OpenOptions;
use crate::error::{Error, Result};

/// Statements that a connection keeps prepared; the store has fewer.
const PREPARED_STATEMENTS: usize = 128;
/// A row or value is at least allowed this much, whatever the limits of this process: another one may have
/// written it under larger ones.
const LEAST_ROW: usize = 64 << 20;
/// SQLite's own bound on a row.
const LARGEST_ROW: usize = 1_000_000_000;
/// The longest SQL text, in bytes: all migrations together stay below it.
const LONGEST_SQL: i32 = 1 << 20;
/// How deep triggers may call triggers; ours call none.
const TRIGGER_DEPTH: i32 = 32;
/// A write-ahead log that grew beyond this is cut back when it is reset. Smaller ones keep their size: a commit
/// into an existing log is faster than one that makes it grow.
const JOURNAL_SIZE_LIMIT: i64 = 64 << 20;
/// Pages in the write-ahead log before a commit moves them into the database.
const AUTOCHECKPOINT: i64 = 1_000;

/// Which commits wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Each one: what was acknowledged survives a power cut.
    Full,
    /// None but checkpoints: a power cut loses the last moments, a crash of the process nothing.
    Normal,
}

impl Sync {
    const fn value(self) -> i64 {
        match self {
            Self::Full => 2,
            Self::Normal => 1,
        }
    }
}

/// Sets which of the coming commits wait for the disk. The caller remembers what it set last.
///
/// # Errors
/// [`Error::ConnectionSetting`] inside a transaction, where SQLite does not change it.
pub(crate) fn set_synchronous(conn: &Connection, sync: Sync) -> Result<()> {
    if !conn.is_autocommit() {
        return Err(Error::ConnectionSetting {
            setting: "synchronous",
            found: "a change within a transaction".to_owned(),
            wanted: format!("{sync:?}"),
            hint: "set it before the transaction begins",
        });
    }
    pragma(conn, "synchronous", sync.value(), "use an SQLite that was built with its safety levels")
}

/// Sets what needs no look into the file, so that this is done before the first one: waiting first of all.
pub(super) fn before_the_first_read(conn: &Connection, options: &OpenOptions) -> Result<()> {
    busy::set_handler(conn, options.busy_timeout)?;
    if conn.is_readonly(MAIN_DB)? {
        return Err(Error::ReadOnly { path: options.path().to_owned() });
    }
    switch(conn, DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true, "defensive")?;
    // Functions in the schema of a file that somebody else prepared run nothing but what is innocuous.
    switch(conn, DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false, "trusted_schema")?;
    switch(conn, DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false, "writable_schema")?;
    // What must not happen is refused by triggers; views are read by people.
    switch(conn, DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, true, "enable_trigger")?;
    switch(conn, DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, true, "enable_view")?;
    switch(conn, DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true, "foreign_keys")?;
    let row = options.limits.payload.saturating_mul(4).clamp(LEAST_ROW, LARGEST_ROW);
    limit(conn, Limit::SQLITE_LIMIT_LENGTH, i32::try_from(row).unwrap_or(i32::MAX), "limit on a row")?;
    limit(conn, Limit::SQLITE_LIMIT_SQL_LENGTH, LONGEST_SQL, "limit on SQL text")?;
    limit(conn, Limit::SQLITE_LIMIT_ATTACHED, 0, "limit on attached databases")?;
    limit(conn, Limit::SQLITE_LIMIT_TRIGGER_DEPTH, TRIGGER_DEPTH, "limit on trigger depth")?;
    limit(conn, Limit::SQLITE_LIMIT_WORKER_THREADS, 0, "limit on worker threads")?;
    pragma(conn, "cell_size_check", 1, BUILD_HINT)?;
    conn.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
    Ok(())
}

/// Sets the rest for a connection that writes.
pub(super) fn for_writing(conn: &Connection) -> Result<()> {
    in_wal(conn)?;
    pragma(conn, "query_only", 0, BUILD_HINT)?;
    pragma(conn, "journal_size_limit", JOURNAL_SIZE_LIMIT, BUILD_HINT)?;
    pragma(conn, "wal_autocheckpoint", AUTOCHECKPOINT, BUILD_HINT)?;
    set_synchronous(conn, Sync::Full)
}

/// Sets the rest for a connection that reads.
pub(super) fn for_reading(conn: &Connection, options: &OpenOptions) -> Result<()> {
    // A reader waits for nothing but a recovery of the log, so that SQLite's own handler will do; it is the one
    // that `PRAGMA busy_timeout` reports.
    conn.busy_timeout(options.busy_timeout)?;
    let wanted = i64::try_from(options.busy_timeout.as_millis()).unwrap_or(i64::MAX);
    expect(conn, "busy_timeout", Value::Integer(wanted), BUILD_HINT)?;
    in_wal(conn)?;
    pragma(conn, "query_only", 1, BUILD_HINT)
}

const BUILD_HINT: &str = "use the SQLite that the feature `bundled` of rusqlite builds";

/// Checks that the file is in WAL mode.
pub(super) fn in_wal(conn: &Connection) -> Result<()> {
    let hint = "let no other program change the journal mode, and keep the file on a local disk";
    expect(conn, "journal_mode", Value::Text("wal".to_owned()), hint)
}

fn pragma(conn: &Connection, setting: &'static str, value: i64, hint: &'static str) -> Result<()> {
    conn.pragma_update(None, setting, value)?;
    expect(conn, setting, Value::Integer(value), hint)
}

fn expect(conn: &Connection, setting: &'static str, wanted: Value, hint: &'static str) -> Result<()> {
    let found: Option<Value> = match conn.pragma_query_value(None, setting, |row| row.get(0)) {
        Ok(value) => Some(value),
        // An unknown pragma answers with no row.
        Err(rusqlite::Error::QueryReturnedNoRows) => None,
        Err(error) => return Err(error.into()),
    };
    if found.as_ref() == Some(&wanted) {
        return Ok(());
    }
    let found = found.as_ref().map_or_else(|| "nothing".to_owned(), in_words);
    Err(Error::ConnectionSetting { setting, found, wanted: in_words(&wanted), hint })
}

fn switch(conn: &Connection, config: DbConfig, wanted: bool, setting: &'static str) -> Result<()> {
    conn.set_db_config(config, wanted)?;
    let found = conn.db_config(config)?;
    if found == wanted {
        return Ok(());
    }
    Err(Error::ConnectionSetting {
        setting,
        found: found.to_string(),
        wanted: wanted.to_string(),
        hint: BUILD_HINT,
    })
}

fn limit(conn: &Connection, limit: Limit, wanted: i32, setting: &'static str) -> Result<()> {
    conn.set_limit(limit, wanted)?;
    let found = conn.limit(limit)?;
    if found == wanted {
        return Ok(());
    }
    Err(Error::ConnectionSetting {
        setting,
        found: found.to_string(),
        wanted: wanted.to_string(),
        hint: BUILD_HINT,
    })
}

fn in_words(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => format!("{} bytes", bytes.len()),
    }
}
