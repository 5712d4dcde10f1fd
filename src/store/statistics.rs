//! Statistics: what `ANALYZE` says of our tables is dropped when a file is opened.
//!
//! The application may run `ANALYZE` or `PRAGMA optimize` on the day on which there is one job. From then on SQLite's
//! planner takes each table for one row, and scans it rather than to seek in it, when there are a million. Every
//! statement of the store is written for the plan that it has without statistics.

use rusqlite::{Connection, TransactionBehavior};

use crate::error::{Error, Result};

const TABLES: &str = "
SELECT name
FROM sqlite_schema
WHERE type = 'table' AND name IN ('sqlite_stat1', 'sqlite_stat4')
ORDER BY name";

const IS_ANALYZED: &str = "
SELECT EXISTS (SELECT 1 FROM sqlite_stat1 WHERE tbl GLOB 'mainspring_*')";

const DROP_NUMBERS: &str = "
DELETE FROM sqlite_stat1
WHERE tbl GLOB 'mainspring_*'";

const DROP_SAMPLES: &str = "
DELETE FROM sqlite_stat4
WHERE tbl GLOB 'mainspring_*'";

/// Drops the statistics of our tables, if there are any; those of the application's tables stay. Connections that
/// are opened afterwards plan without.
///
/// Somebody else who writes just now is not waited for: the next one who opens the file drops them.
pub(super) fn forget(conn: &mut Connection) -> Result<()> {
    if !is_analyzed(conn)? {
        return Ok(());
    }
    conn.busy_timeout(std::time::Duration::ZERO)?;
    match drop_all(conn) {
        Err(Error::Busy { .. }) => Ok(()),
        done => done,
    }
}

fn is_analyzed(conn: &Connection) -> Result<bool> {
    Ok(!tables(conn)?.is_empty() && conn.query_row(IS_ANALYZED, [], |row| row.get(0))?)
}

fn tables(conn: &Connection) -> Result<Vec<String>> {
    let mut statement = conn.prepare(TABLES)?;
    let names = statement.query_map([], |row| row.get("name"))?.collect::<rusqlite::Result<_>>()?;
    Ok(names)
}

fn drop_all(conn: &mut Connection) -> Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let has_samples = tables(&tx)?.iter().any(|name| name == "sqlite_stat4");
    tx.execute(DROP_NUMBERS, [])?;
    if has_samples {
        tx.execute(DROP_SAMPLES, [])?;
    }
    Ok(tx.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Database, OpenOptions};

    fn analyzed() -> (tempfile::TempDir, OpenOptions, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let options = OpenOptions::new(dir.path().join("app.db"));
        drop(Database::open(&options).unwrap());
        let app = Connection::open(dir.path().join("app.db")).unwrap();
        app.execute_batch(
            "CREATE TABLE users (name TEXT); CREATE INDEX users_name ON users (name);
             INSERT INTO users VALUES ('Ada'); INSERT INTO mainspring_queues (name) VALUES ('mail'); ANALYZE",
        )
        .unwrap();
        (dir, options, app)
    }

    fn analyzed_tables(conn: &Connection) -> Vec<String> {
        let mut statement = conn.prepare("SELECT DISTINCT tbl FROM sqlite_stat1 ORDER BY tbl").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(|name| name.unwrap()).collect()
    }

    #[test]
    fn statistics_of_our_tables_are_dropped_when_the_file_is_opened() {
        let (_dir, options, app) = analyzed();
        assert!(analyzed_tables(&app).len() > 1);
        drop(Database::open(&options).unwrap());
        assert_eq!(analyzed_tables(&app), ["users"]);
    }

    #[test]
    fn a_file_that_somebody_writes_is_opened_with_its_statistics() {
        let (_dir, options, app) = analyzed();
        app.execute_batch("BEGIN IMMEDIATE").unwrap();
        drop(Database::open(&options).unwrap());
        app.execute_batch("COMMIT").unwrap();
        assert!(analyzed_tables(&app).len() > 1);
    }
}
