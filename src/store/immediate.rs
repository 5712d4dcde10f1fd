//! The writer's transaction.

use std::ops::Deref;

use rusqlite::Connection;

/// A transaction that holds the lock of whoever writes from its beginning on. Unless it was committed, what was written in
/// it is undone when it is dropped.
///
/// Its first and its last statement stay prepared, and are not parsed for each transaction anew.
pub(crate) struct Immediate<'conn> {
    conn: &'conn Connection,
}

impl<'conn> Immediate<'conn> {
    /// # Errors
    /// Those of SQLite: somebody else writes, and did for as long as the connection waits.
    pub(crate) fn begin(conn: &'conn Connection) -> rusqlite::Result<Self> {
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Self { conn })
    }

    /// # Errors
    /// Those of SQLite. What was written is undone then, as far as this process can tell.
    pub(crate) fn commit(self) -> rusqlite::Result<()> {
        self.conn.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    /// # Errors
    /// Those of SQLite.
    pub(crate) fn rollback(self) -> rusqlite::Result<()> {
        self.conn.prepare_cached("ROLLBACK")?.execute([])?;
        Ok(())
    }
}

impl Drop for Immediate<'_> {
    fn drop(&mut self) {
        // Committed, rolled back, or undone by SQLite itself when something failed.
        if !self.conn.is_autocommit() {
            // Whoever drops it has an error already. If even this fails, the next one cannot begin, and says so.
            let _undone = self.conn.execute_batch("ROLLBACK");
        }
    }
}

impl Deref for Immediate<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.conn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE things (name TEXT NOT NULL)").unwrap();
        conn
    }

    fn count(conn: &Connection) -> i64 {
        conn.query_row("SELECT count(*) FROM things", [], |row| row.get(0)).unwrap()
    }

    fn insert(conn: &Connection) {
        conn.execute("INSERT INTO things VALUES ('one')", []).unwrap();
    }

    #[test]
    fn only_what_was_committed_stays() {
        let conn = table();
        let tx = Immediate::begin(&conn).unwrap();
        insert(&tx);
        tx.commit().unwrap();
        let tx = Immediate::begin(&conn).unwrap();
        insert(&tx);
        tx.rollback().unwrap();
        let tx = Immediate::begin(&conn).unwrap();
        insert(&tx);
        drop(tx);
        assert!(conn.is_autocommit());
        assert_eq!(count(&conn), 1);
    }

    #[test]
    fn a_commit_that_fails_leaves_no_transaction_behind() {
        let conn = table();
        conn.execute_batch(
            "PRAGMA foreign_keys = ON; CREATE TABLE parts (whole INTEGER REFERENCES wholes
            DEFERRABLE INITIALLY DEFERRED); CREATE TABLE wholes (id INTEGER PRIMARY KEY)",
        )
        .unwrap();
        let tx = Immediate::begin(&conn).unwrap();
        insert(&tx);
        tx.execute("INSERT INTO parts VALUES (1)", []).unwrap();
        tx.commit().unwrap_err();
        assert!(conn.is_autocommit());
        assert_eq!(count(&conn), 0);
    }
}
