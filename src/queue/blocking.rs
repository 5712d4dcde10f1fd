//! The same methods for callers that block.

use super::read::{self, Health, JobList, ListFilter, Status};
use super::verbs::{self, Transaction, Verb};
use super::{JobKey, Queue};
use crate::error::{Error, Result};
use crate::job::{Enqueued, Job, JobArgs, NewJob, Scheduled};
use crate::run::{RequestId, Run, RunId};
use crate::schedule::Schedule;
use crate::store::doctor::{self, Finding};
use crate::store::read as store;

/// A queue for callers that block: threads without a runtime, or blocking sections of one. Each method is the one
/// of the same name of [`Queue`], with the same errors.
///
/// ```
/// # use mainspring::{JobArgs, OpenOptions, Queue};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Resize { path: String }
/// # impl JobArgs for Resize { const KIND: &'static str = "resize"; }
/// # fn main() -> mainspring::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// let queue = Queue::open_blocking(&OpenOptions::new(dir.path().join("app.db")))?.blocking();
/// let job = queue.enqueue(Resize { path: "a.png".into() })?.id();
/// assert_eq!(queue.get(job)?.kind, "resize");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BlockingQueue {
    queue: Queue,
}

impl BlockingQueue {
    pub(super) fn new(queue: Queue) -> Self {
        Self { queue }
    }

    /// The async face of the same queue.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    fn drive<T: Send + 'static, F: Transaction<T>>(&self, verb: Verb<F>) -> Result<T> {
        self.queue.core.write_blocking(verb.promise, verb.stops, verb.run)
    }

    /// [`Queue::enqueue`].
    pub fn enqueue<A: JobArgs>(&self, job: impl Into<NewJob<A>>) -> Result<Enqueued> {
        self.drive(verbs::enqueue(self.queue.spec(job)?))
    }

    /// [`Queue::enqueue_many`].
    pub fn enqueue_many<A, J>(&self, jobs: impl IntoIterator<Item = J>) -> Result<Vec<Enqueued>>
    where
        A: JobArgs,
        J: Into<NewJob<A>>,
    {
        let specs = jobs.into_iter().map(|job| self.queue.spec(job)).collect::<Result<Vec<_>>>()?;
        self.drive(verbs::enqueue_many(specs))
    }

    /// [`Queue::schedule`].
    pub fn schedule<A: JobArgs>(
        &self,
        name: &str,
        schedule: Schedule,
        job: impl Into<NewJob<A>>,
    ) -> Result<Scheduled> {
        self.drive(verbs::schedule(self.queue.named_spec(name, schedule, job)?))
    }

    /// [`Queue::pause`].
    pub fn pause(&self, job: impl Into<JobKey>, reason: Option<&str>) -> Result<()> {
        let reason = reason.map(|reason| self.queue.core.limits().cut(reason.to_owned()));
        self.drive(verbs::pause(job.into(), reason))
    }

    /// [`Queue::resume`].
    pub fn resume(&self, job: impl Into<JobKey>) -> Result<()> {
        self.drive(verbs::resume(job.into()))
    }

    /// [`Queue::run_now`].
    pub fn run_now(&self, job: impl Into<JobKey>) -> Result<RequestId> {
        self.drive(verbs::run_now(job.into()))
    }

    /// [`Queue::retry`].
    pub fn retry(&self, job: impl Into<JobKey>) -> Result<()> {
        self.drive(verbs::retry(job.into()))
    }

    /// [`Queue::redeliver`].
    pub fn redeliver(&self, run: RunId) -> Result<()> {
        self.drive(verbs::redeliver(run))
    }

    /// [`Queue::cancel`] without waiting for open runs: returns those that were asked to stop.
    pub fn cancel(&self, job: impl Into<JobKey>) -> Result<Vec<RunId>> {
        self.drive(verbs::cancel(job.into())).map(|cancelled| cancelled.stopping)
    }

    /// [`Queue::release`].
    pub fn release(&self, run: RunId, again: bool) -> Result<()> {
        self.drive(verbs::release(run, again))
    }

    /// [`Queue::remove`] without waiting for open runs: returns those that were asked to stop.
    pub fn remove(&self, job: impl Into<JobKey>) -> Result<Vec<RunId>> {
        self.drive(verbs::remove(job.into())).map(|cancelled| cancelled.stopping)
    }

    /// [`Queue::get`].
    pub fn get(&self, job: impl Into<JobKey>) -> Result<Job> {
        let key = job.into();
        self.queue.core.database().read(|conn| key.find(conn))
    }

    /// [`Queue::list`].
    pub fn list(&self, filter: ListFilter) -> Result<JobList> {
        self.queue.wake_if_late();
        self.queue.core.database().read(|conn| read::list(conn, filter))
    }

    /// [`Queue::runs`].
    pub fn runs(&self, job: impl Into<JobKey>, limit: u32) -> Result<Vec<Run>> {
        let key = job.into();
        self.queue
            .core
            .database()
            .read(|conn| store::runs_of_job(conn, key.resolve(conn)?, limit)?.into_iter().collect())
    }

    /// [`Queue::run`].
    pub fn run(&self, run: RunId) -> Result<Run> {
        self.queue.core.database().read(|conn| store::find_run(conn, run)?.ok_or(Error::RunNotFound(run)))
    }

    /// [`Queue::status`].
    pub fn status(&self) -> Result<Status> {
        self.queue.wake_if_late();
        let now = self.queue.core.clock().now();
        let counts = self.queue.core.database().read(|conn| store::counts(conn, now))?;
        Ok(Status::new(counts, now))
    }

    /// [`Queue::health`].
    pub fn health(&self) -> Result<Health> {
        self.queue.wake_if_late();
        let now = self.queue.core.clock().now();
        let counts = self.queue.core.database().read(|conn| store::counts(conn, now))?;
        Ok(Health::new(&self.queue.core.health(), counts))
    }

    /// [`Queue::doctor`].
    pub fn doctor(&self) -> Result<Vec<Finding>> {
        self.queue.core.database().read(doctor::doctor)
    }
}
