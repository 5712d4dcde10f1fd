//! A transaction with the statements that it uses again and again.

use std::cell::{Cell, RefCell};
use std::ops::Deref;

use rusqlite::{CachedStatement, Connection, Statement};

use super::ids::Ids;
use crate::error::Result;
use crate::job::JobId;

/// A connection in a transaction. Statements that were asked for by [`with`](Self::with) stay at hand until it ends:
/// looking one up among the connection's prepared statements, and putting it back, takes a tenth of what an insert does.
pub(crate) struct Tx<'conn> {
    conn: &'conn Connection,
    at_hand: RefCell<Vec<(&'static str, CachedStatement<'conn>)>>,
    ids: Ids,
    writer: Option<i64>,
    first_job: Cell<Option<JobId>>,
}

impl<'conn> Tx<'conn> {
    /// The connection is in a transaction already.
    pub(crate) fn on(conn: &'conn Connection) -> Self {
        Self {
            conn,
            at_hand: RefCell::default(),
            ids: Ids::default(),
            writer: None,
            first_job: Cell::new(None),
        }
    }

    /// The jobs that are enqueued in it name this writer, and have these ids.
    pub(crate) fn of_writer(conn: &'conn Connection, writer: i64, ids: Ids) -> Self {
        Self { writer: Some(writer), ids, ..Self::on(conn) }
    }

    /// The writer whose transaction it is; none where a caller began it.
    pub(super) fn writer(&self) -> Option<i64> {
        self.writer
    }

    /// The ids that are reserved.
    pub(crate) fn ids(&self) -> &Ids {
        &self.ids
    }

    /// A job that names the writer was inserted.
    pub(super) fn has_enqueued(&self, id: JobId) {
        if self.first_job.get().is_none() {
            self.first_job.set(Some(id));
        }
    }

    /// The first job that names the writer. If anything was undone meanwhile, it may not be in the transaction.
    pub(crate) fn first_job(&self) -> Option<JobId> {
        self.first_job.get()
    }

    /// Calls `run` with a prepared statement. Its parameters are what the last call left: bind them all.
    pub(crate) fn with<T>(
        &self,
        sql: &'static str,
        run: impl FnOnce(&mut Statement<'conn>) -> Result<T>,
    ) -> Result<T> {
        let mut statement = match self.take(sql) {
            Some(statement) => statement,
            None => self.conn.prepare_cached(sql)?,
        };
        let done = run(&mut statement);
        self.at_hand.borrow_mut().push((sql, statement));
        done
    }

    /// Not at hand is also what is in use further up.
    fn take(&self, sql: &str) -> Option<CachedStatement<'conn>> {
        let mut at_hand = self.at_hand.borrow_mut();
        let place = at_hand.iter().position(|(known, _)| *known == sql)?;
        Some(at_hand.swap_remove(place).1)
    }
}

impl Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.conn
    }
}
