//! A part of a transaction that can be undone alone, and the number that tells that somebody else has committed.

use rusqlite::Connection;

use crate::error::Result;

/// A savepoint. One that is neither kept nor undone ends with its transaction.
#[must_use = "keep it or undo it"]
pub(crate) struct Savepoint<'a> {
    tx: &'a Connection,
}

impl<'a> Savepoint<'a> {
    pub(crate) fn begin(tx: &'a Connection) -> Result<Self> {
        tx.prepare_cached("SAVEPOINT part")?.execute([])?;
        Ok(Self { tx })
    }

    /// What was written since stays, if the transaction commits.
    pub(crate) fn keep(self) -> Result<()> {
        self.tx.prepare_cached("RELEASE part")?.execute([])?;
        Ok(())
    }

    /// What was written since is undone; the transaction goes on.
    pub(crate) fn undo(self) -> Result<()> {
        self.tx.prepare_cached("ROLLBACK TO part")?.execute([])?;
        self.keep()
    }
}

/// A number that changes when another connection has committed.
pub(crate) fn data_version(conn: &Connection) -> Result<i64> {
    Ok(conn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
}
