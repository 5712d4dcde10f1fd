//! The write-ahead log: how far it has grown, and room in it for the time when the disk has none.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::Database;
use crate::error::Result;

/// SQLite's header of a log, and of each frame in it, in bytes.
const HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;

/// How the log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogState {
    /// Bytes from its start to the end of the last commit.
    pub(crate) used: u64,
    /// The part of them that has not been moved into the database.
    pub(crate) not_moved: u64,
    /// Bytes of the file behind the last commit: they are on the disk already, and the next commits go there.
    pub(crate) ahead: u64,
}

/// Answers with the frames in the log and those of them that were moved, and does nothing.
const LOOK: &str = "PRAGMA wal_checkpoint(NOOP)";
const PAGE_SIZE: &str = "PRAGMA page_size";

/// Looks how the log stands. Cheap: it reads the index of the log and the length of the file.
pub(crate) fn look(conn: &Connection, db: &Database) -> Result<LogState> {
    let page: u32 = conn.prepare_cached(PAGE_SIZE)?.query_row([], |row| row.get(0))?;
    let (frames, moved): (i64, i64) =
        conn.prepare_cached(LOOK)?.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))?;
    let bytes =
        |frames: i64| u64::try_from(frames).unwrap_or(0).saturating_mul(u64::from(page) + FRAME_HEADER);
    let used = bytes(frames);
    Ok(LogState {
        used,
        not_moved: used.saturating_sub(bytes(moved)),
        ahead: db.log_bytes().saturating_sub(HEADER + used),
    })
}

/// A table that is never made.
const FILL: &str = "CREATE TABLE mainspring_reserve AS SELECT zeroblob(2097152) AS filler";
/// How far one [`reserve`] makes the log reach behind its last commit, in bytes: what `FILL` writes.
pub(crate) const RESERVE: u64 = 2 << 20;

/// Makes the file of the log longer than what is in it, by a transaction that is too large for its cache, so that it is
/// written before its end, and that is rolled back. What was written is no commit and stays: the next commits take its
/// place, and need no new room on the disk.
///
/// # Errors
/// [`Error::DiskFull`](crate::Error::DiskFull) if there is no room, [`Error::Busy`](crate::Error::Busy) at once if
/// another connection writes.
pub(crate) fn reserve(db: &Database) -> Result<()> {
    let conn = db.writer()?;
    conn.busy_handler(None)?;
    conn.pragma_update(None, "cache_size", 8)?;
    let tx = Transaction::new_unchecked(&conn, TransactionBehavior::Immediate)?;
    tx.execute(FILL, [])?;
    Ok(tx.rollback()?)
}

/// Moves what is in the log into the database, as far as no reader is in the way: for a log that has lost its name, and
/// would be gone with this process.
pub(crate) fn empty(conn: &Connection) -> Result<()> {
    Ok(conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::OpenOptions;

    fn open() -> (tempfile::TempDir, Database, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::open(&OpenOptions::new(dir.path().join("app.db"))).unwrap();
        let conn = db.writer().unwrap();
        (dir, db, conn)
    }

    const WRITE: &str = "INSERT INTO mainspring_queues (name) VALUES (hex(randomblob(2000)))";

    #[test]
    fn a_reserve_is_room_behind_the_last_commit_and_changes_nothing() {
        let (_dir, db, conn) = open();
        conn.execute(WRITE, []).unwrap();
        let before = look(&conn, &db).unwrap();
        assert_eq!(before.ahead, 0);
        reserve(&db).unwrap();
        let after = look(&conn, &db).unwrap();
        assert_eq!(after.used, before.used);
        assert!((RESERVE..RESERVE + (64 << 10)).contains(&after.ahead), "{after:?}");
        // Commits go into it: the file does not grow.
        let length = db.log_bytes();
        for _ in 0..80 {
            conn.execute(WRITE, []).unwrap();
        }
        assert_eq!(db.log_bytes(), length);
        let tables: i64 = conn
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'mainspring_reserve'", [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(tables, 0);
    }

    #[test]
    fn a_reserve_waits_for_nobody() {
        let (_dir, db, conn) = open();
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(reserve(&db).unwrap_err().is_busy());
    }

    #[test]
    fn a_reader_keeps_what_was_written_since_from_being_moved() {
        let (_dir, db, conn) = open();
        db.read(|reader| {
            reader.query_row("SELECT count(*) FROM mainspring_queues", [], |row| row.get::<_, i64>(0))?;
            conn.execute(WRITE, [])?;
            empty(&conn)?;
            let state = look(&conn, &db)?;
            assert!(state.not_moved > 0 && state.not_moved <= state.used, "{state:?}");
            Ok(())
        })
        .unwrap();
        empty(&conn).unwrap();
        assert_eq!(look(&conn, &db).unwrap().not_moved, 0);
    }
}
