//! The async methods that write. Each resolves after its commit.

use std::time::Duration;

use super::verbs::{self, Transaction, Verb};
use super::{JobKey, Prune, Pruned, Queue};
use crate::core::Promise;
use crate::error::Result;
use crate::job::{Enqueued, JobArgs, JobSpec, NewJob, Scheduled};
use crate::run::{RequestId, RunId};
use crate::schedule::{Calendar, Schedule};
use crate::store::cancel::Cancelled;
use crate::store::prune as store;
use crate::store::{read, shrink};
use crate::time::Timestamp;

/// What a cancel came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CancelReport {
    /// Runs that were open and have stopped.
    pub stopped: Vec<RunId>,
}

/// How often an open run is looked at that was asked to stop; it may run in another process.
const LOOK_AT_STOPPING: Duration = Duration::from_millis(10);

impl Queue {
    pub(super) async fn drive<T: Send + 'static, F: Transaction<T>>(&self, verb: Verb<F>) -> Result<T> {
        if verb.stops {
            self.core.write_stopping(verb.run).await
        } else {
            self.core.write(verb.promise, verb.run).await
        }
    }

    pub(super) fn spec<A: JobArgs>(&self, job: impl Into<NewJob<A>>) -> Result<JobSpec> {
        job.into().into_spec(&self.core.limits(), self.core.clock().now())
    }

    pub(super) fn named_spec<A: JobArgs>(
        &self,
        name: &str,
        schedule: Schedule,
        job: impl Into<NewJob<A>>,
    ) -> Result<JobSpec> {
        job.into().into_named_spec(name, schedule, &self.core.limits(), self.core.clock().now())
    }

    /// Enqueues one job and says which job the caller got: a new one, or the one that holds its unique key.
    ///
    /// # Errors
    /// [`Error::UniqueKeyHeld`](crate::Error::UniqueKeyHeld) and [`Error::AlreadyRunning`](crate::Error::AlreadyRunning) as the
    /// unique option says; [`Error::InvalidOption`](crate::Error::InvalidOption) and [`Error::TooLong`](crate::Error::TooLong) for
    /// what a row may not hold; busy or full files as they are.
    pub async fn enqueue<A: JobArgs>(&self, job: impl Into<NewJob<A>>) -> Result<Enqueued> {
        self.drive(verbs::enqueue(self.spec(job)?)).await
    }

    /// Enqueues many jobs in one transaction: all of them or, on an error, none.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn enqueue_many<A, J>(&self, jobs: impl IntoIterator<Item = J>) -> Result<Vec<Enqueued>>
    where
        A: JobArgs,
        J: Into<NewJob<A>>,
    {
        let specs = jobs.into_iter().map(|job| self.spec(job)).collect::<Result<Vec<_>>>()?;
        self.drive(verbs::enqueue_many(specs)).await
    }

    /// Declares a job under a name: creates it, changes what differs, or writes nothing.
    ///
    /// Call it at each start. A schedule that has not changed keeps its next time, however overdue; a new one takes
    /// effect at once and has no past; what an operator paused stays paused.
    ///
    /// # Errors
    /// [`Error::NameHasOtherKind`](crate::Error::NameHasOtherKind) if the name is taken by another kind;
    /// [`ScheduleError::Past`](crate::ScheduleError::Past) for a new schedule of one instant that passed more than a minute
    /// ago, unless [`NewJob::allow_past`] says otherwise.
    pub async fn schedule<A: JobArgs>(
        &self,
        name: &str,
        schedule: Schedule,
        job: impl Into<NewJob<A>>,
    ) -> Result<Scheduled> {
        self.drive(verbs::schedule(self.named_spec(name, schedule, job)?)).await
    }

    /// Creates or replaces a calendar that schedules name with `excluding`.
    ///
    /// # Errors
    /// [`Error::InvalidOption`](crate::Error::InvalidOption) and [`Error::TooLong`](crate::Error::TooLong) for a name or a
    /// calendar that a row may not hold.
    pub async fn store_calendar(&self, name: &str, calendar: Calendar) -> Result<()> {
        self.core.limits().check_word("calendar", name)?;
        self.core.limits().write_json("calendar", &calendar)?;
        self.drive(verbs::store_calendar(name.to_owned(), calendar)).await
    }

    /// Holds a job back until it is resumed. A run of it that is open goes on. Pausing twice is pausing once.
    ///
    /// # Errors
    /// [`Error::JobNotFound`](crate::Error::JobNotFound).
    pub async fn pause(&self, job: impl Into<JobKey>, reason: Option<&str>) -> Result<()> {
        let reason = reason.map(|reason| self.core.limits().cut(reason.to_owned()));
        self.drive(verbs::pause(job.into(), reason)).await
    }

    /// Lets a job go on that was paused, or parked by the library. Occurrences that came meanwhile are on record
    /// as missed and not made up for.
    ///
    /// # Errors
    /// [`Error::JobNotFound`](crate::Error::JobNotFound).
    pub async fn resume(&self, job: impl Into<JobKey>) -> Result<()> {
        self.drive(verbs::resume(job.into())).await
    }

    /// Holds a whole queue back, for all engines.
    ///
    /// # Errors
    /// What the file may answer.
    pub async fn pause_queue(&self, name: &str, reason: Option<&str>) -> Result<()> {
        self.core.limits().check_word("queue", name)?;
        let reason = reason.map(|reason| self.core.limits().cut(reason.to_owned()));
        self.drive(verbs::pause_queue(name.to_owned(), reason)).await
    }

    /// Lets a queue go on.
    ///
    /// # Errors
    /// What the file may answer.
    pub async fn resume_queue(&self, name: &str) -> Result<()> {
        self.drive(verbs::resume_queue(name.to_owned())).await
    }

    /// Asks for one run at once, besides the schedule, which keeps its own times. It is durable when this returns.
    /// A paused job runs too.
    ///
    /// # Errors
    /// [`Error::AlreadyRunning`](crate::Error::AlreadyRunning) while a run is open that may not be overlapped.
    pub async fn run_now(&self, job: impl Into<JobKey>) -> Result<RequestId> {
        self.drive(verbs::run_now(job.into())).await
    }

    /// Runs the past occurrences between `from` and `to`, both included, that have never been run; says how many
    /// those are. Asking again runs nothing twice. At most 1,000 at once.
    ///
    /// # Errors
    /// [`Error::InvalidOption`](crate::Error::InvalidOption) for a range that is too long or not past.
    pub async fn backfill(
        &self,
        job: impl Into<JobKey>,
        from: impl Into<Timestamp>,
        to: impl Into<Timestamp>,
    ) -> Result<usize> {
        self.drive(verbs::backfill(job.into(), from.into(), to.into())).await
    }

    /// Cancels a job: nothing of it starts any more, and this resolves once its open runs have stopped, in whichever
    /// process they run. A recurring job ends for good; to hold it back, pause it.
    ///
    /// # Errors
    /// [`Error::JobNotFound`](crate::Error::JobNotFound).
    pub async fn cancel(&self, job: impl Into<JobKey>) -> Result<CancelReport> {
        let cancelled = self.drive(verbs::cancel(job.into())).await?;
        self.until_stopped(cancelled).await
    }

    /// Cancels one open run and resolves once it has stopped; later occurrences of its job are untouched.
    ///
    /// # Errors
    /// [`Error::RunNotFound`](crate::Error::RunNotFound).
    pub async fn cancel_run(&self, run: RunId) -> Result<CancelReport> {
        let cancelled = self.drive(verbs::cancel_run(run)).await?;
        self.until_stopped(cancelled).await
    }

    async fn until_stopped(&self, cancelled: Cancelled) -> Result<CancelReport> {
        for run in &cancelled.stopping {
            let run = *run;
            while self.reading(move |conn| read::is_open(conn, run)).await? == Some(true) {
                tokio::time::sleep(LOOK_AT_STOPPING).await;
            }
        }
        Ok(CancelReport { stopped: cancelled.stopping })
    }

    /// Ends an open run by hand, whoever holds it: whatever its handler still returns is kept as a late result and
    /// is not the outcome. With `again`, the occurrence gets another attempt at once.
    ///
    /// # Errors
    /// [`Error::ClaimLost`](crate::Error::ClaimLost) if the run has ended.
    pub async fn release(&self, run: RunId, again: bool) -> Result<()> {
        self.drive(verbs::release(run, again)).await
    }

    /// Gives a job that failed, was parked, or waits for its next attempt, another attempt at once, at the same
    /// occurrence. Its attempts are counted anew. A schedule that was cancelled goes on afterwards.
    ///
    /// # Errors
    /// [`Error::AlreadyRunning`](crate::Error::AlreadyRunning); [`Error::WrongState`](crate::Error::WrongState) if there
    /// is nothing to try again; [`Error::UniqueKeyHeld`](crate::Error::UniqueKeyHeld) if another job has its key by now.
    pub async fn retry(&self, job: impl Into<JobKey>) -> Result<()> {
        self.drive(verbs::retry(job.into())).await
    }

    /// Sends an output again whose delivery failed, or of which nobody knows, also after its window. What was delivered
    /// stays delivered.
    ///
    /// # Errors
    /// [`Error::RunNotFound`](crate::Error::RunNotFound); [`Error::InvalidOption`](crate::Error::InvalidOption) for any other
    /// delivery.
    pub async fn redeliver(&self, run: RunId) -> Result<()> {
        self.drive(verbs::redeliver(run)).await
    }

    /// Removes a job; resolves once its open runs have stopped. Its history stays.
    ///
    /// # Errors
    /// [`Error::JobNotFound`](crate::Error::JobNotFound).
    pub async fn remove(&self, job: impl Into<JobKey>) -> Result<CancelReport> {
        let cancelled = self.drive(verbs::remove(job.into())).await?;
        self.until_stopped(cancelled).await
    }

    /// Drops old history in small transactions, and then makes the file smaller, but for some room for what comes next. A
    /// file that was not made by this library keeps its size; what is dropped is room in it. What is open, pending or of
    /// unknown delivery is never touched, nor is a job that has a name. A power cut may bring some of it back, unless the durability is
    /// [`Strict`](crate::Durability::Strict): the next prune drops it again.
    ///
    /// # Errors
    /// What the file may answer; what was dropped until then stays dropped.
    pub async fn prune(&self, what: Prune) -> Result<Pruned> {
        let keep = what.keep(self.core.clock().now());
        let newest = self.reading(move |conn| store::newest_dropped(conn, &keep)).await?;
        let (mut cursor, mut total) = (store::Cursor::default(), Pruned::default());
        loop {
            let from = cursor;
            let (piece, at) = self
                .core
                .write(Promise::Repaired, move |tx, _| {
                    let mut cursor = from;
                    store::prune(tx, &keep, newest, &mut cursor).map(|piece| (piece, cursor))
                })
                .await?;
            total.add(piece);
            cursor = at;
            if piece.done {
                break;
            }
        }
        while !self.core.write(Promise::Repaired, |tx, _| shrink::shrink(tx)).await? {}
        Ok(total)
    }
}
