//! The methods on a caller's own transaction: a job commits or rolls back with the caller's rows.

use std::path::Path;

use rusqlite::Connection;

use super::Queue;
use crate::error::{Error, Result};
use crate::job::{Enqueued, JobArgs, JobSpec, NewJob, Scheduled};
use crate::schedule::Schedule;
use crate::store::{Tx, enqueue, schedule};
use crate::time::Timestamp;

impl Queue {
    /// Enqueues a job in the caller's transaction; the engine wakes when it commits.
    ///
    /// Takes a `rusqlite::Transaction`, or a connection that is in one. Begin it with `BEGIN IMMEDIATE`: a
    /// transaction that has read first cannot always be made to write.
    ///
    /// # Errors
    /// [`Error::NoTransaction`] on a connection outside one, [`Error::OtherDatabase`] on another file, and those of
    /// [`enqueue`](Self::enqueue).
    pub fn enqueue_tx<A: JobArgs>(&self, tx: &Connection, job: impl Into<NewJob<A>>) -> Result<Enqueued> {
        let spec = self.spec(job)?;
        self.in_transaction(tx, |now| enqueue::enqueue(&Tx::on(tx), &spec, now))
    }

    /// Enqueues many jobs in the caller's transaction. On an error the caller rolls back.
    ///
    /// # Errors
    /// As [`enqueue_tx`](Self::enqueue_tx).
    pub fn enqueue_many_tx<A, J>(
        &self,
        tx: &Connection,
        jobs: impl IntoIterator<Item = J>,
    ) -> Result<Vec<Enqueued>>
    where
        A: JobArgs,
        J: Into<NewJob<A>>,
    {
        let specs: Vec<JobSpec> = jobs.into_iter().map(|job| self.spec(job)).collect::<Result<_>>()?;
        self.in_transaction(tx, |now| {
            let tx = &Tx::on(tx);
            specs.iter().map(|spec| enqueue::enqueue(tx, spec, now)).collect()
        })
    }

    /// Declares a job under a name in the caller's transaction.
    ///
    /// # Errors
    /// As [`enqueue_tx`](Self::enqueue_tx) and [`schedule`](Self::schedule).
    pub fn schedule_tx<A: JobArgs>(
        &self,
        tx: &Connection,
        name: &str,
        schedule: Schedule,
        job: impl Into<NewJob<A>>,
    ) -> Result<Scheduled> {
        let spec = self.named_spec(name, schedule, job)?;
        self.in_transaction(tx, |now| schedule::schedule(&Tx::on(tx), &spec, now))
    }

    fn in_transaction<T>(&self, tx: &Connection, run: impl FnOnce(Timestamp) -> Result<T>) -> Result<T> {
        self.core.database().check_process()?;
        if tx.is_autocommit() {
            return Err(Error::NoTransaction);
        }
        if !is_same_file(tx, self.path()) {
            return Err(Error::OtherDatabase);
        }
        let done = run(self.core.clock().now())?;
        self.core.expect_commit();
        Ok(done)
    }
}

fn is_same_file(conn: &Connection, path: &Path) -> bool {
    let Some(theirs) = conn.path().filter(|path| !path.is_empty()) else { return false };
    match (Path::new(theirs).canonicalize(), path.canonicalize()) {
        (Ok(theirs), Ok(ours)) => theirs == ours,
        _ => false,
    }
}
