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
/// How long a row may be that is read: as long as SQLite lets any be, whatever the limits of this process, since another
/// one may have written it under larger ones. A row that could not even be read would keep all others from being claimed.
const LARGEST_ROW: i32 = 1_000_000_000;
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
    // Without it SQLite plans a statement anew for each value that is bound to its LIMIT.
    switch(conn, DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true, "query planner stability guarantee")?;
    limit(conn, Limit::SQLITE_LIMIT_LENGTH, LARGEST_ROW, "limit on a row")?;
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::Database;

    fn pragma_of(conn: &Connection, name: &str) -> String {
        conn.pragma_query_value(None, name, |row| row.get(0)).map(|value: Value| in_words(&value)).unwrap()
    }

    /// D11.7: a timeout that was set late, or never, made a queue fail at once on a file that was merely busy.
    #[test]
    fn every_connection_reports_its_settings() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(&OpenOptions::new(dir.path().join("app.db")).readers(3)).unwrap();
        let common = [
            ("journal_mode", "wal"),
            ("foreign_keys", "1"),
            ("trusted_schema", "0"),
            ("cell_size_check", "1"),
            ("locking_mode", "normal"),
            ("recursive_triggers", "0"),
            ("read_uncommitted", "0"),
        ];
        let writing = [
            ("query_only", "0"),
            ("synchronous", "2"),
            ("journal_size_limit", "67108864"),
            ("wal_autocheckpoint", "1000"),
        ];
        let reading = [("query_only", "1"), ("busy_timeout", "10000")];
        let reports = |conn: &Connection, own: &[(&str, &str)]| {
            for (name, wanted) in common.iter().chain(own) {
                assert_eq!(pragma_of(conn, name), *wanted, "{name}");
            }
            assert!(conn.db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE).unwrap());
            assert!(conn.db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG).unwrap());
            assert_eq!(conn.limit(Limit::SQLITE_LIMIT_ATTACHED).unwrap(), 0);
            assert_eq!(conn.limit(Limit::SQLITE_LIMIT_LENGTH).unwrap(), LARGEST_ROW);
        };
        for _ in 0..2 {
            reports(&database.writer().unwrap(), &writing);
        }
        // Nested, so that each is another connection of the pool.
        let (first, second, third) = (&reading, &reading, &reading);
        database
            .read(|conn| {
                reports(conn, first);
                database.read(|conn| {
                    reports(conn, second);
                    database.read(|conn| {
                        reports(conn, third);
                        Ok(())
                    })
                })
            })
            .unwrap();
    }

    #[test]
    fn a_connection_can_neither_attach_nor_damage_the_schema() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(&OpenOptions::new(dir.path().join("app.db"))).unwrap();
        let writer = database.writer().unwrap();
        assert!(writer.execute_batch("ATTACH ':memory:' AS other").is_err());
        let damage = "PRAGMA writable_schema = 1; DELETE FROM sqlite_schema";
        assert!(writer.execute_batch(damage).is_err());
        assert!(writer.execute_batch("PRAGMA journal_mode = OFF").is_ok_and(|()| in_wal(&writer).is_ok()));
    }

    #[test]
    fn a_setting_that_does_not_hold_is_named() {
        let conn = Connection::open_in_memory().unwrap();
        let error = in_wal(&conn).unwrap_err();
        assert!(
            matches!(&error, Error::ConnectionSetting { setting: "journal_mode", found, .. } if found == "memory"),
            "{error:?}"
        );
        // What SQLite does not know it ignores: only reading back shows it.
        let error = pragma(&conn, "jornal_size_limit", 1, "spell it right").unwrap_err();
        assert!(
            matches!(&error, Error::ConnectionSetting { setting: "jornal_size_limit", found, .. } if found == "nothing"),
            "{error:?}"
        );
    }

    /// A file that another program took out of WAL mode while it was open.
    #[test]
    fn a_file_that_left_wal_mode_is_refused_by_the_next_connection() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.db");
        let options = OpenOptions::new(&path).busy_timeout(Duration::from_millis(20));
        let database = Database::open(&options).unwrap();
        Connection::open(&path).unwrap().pragma_update(None, "journal_mode", "delete").unwrap();
        let error = database.writer().unwrap_err();
        assert!(matches!(error, Error::ConnectionSetting { setting: "journal_mode", .. }), "{error:?}");
        OpenOptions::new(&path).migrate().unwrap();
        database.writer().unwrap();
    }
}
