//! The methods that read. They never write; in the engine's own process they wake a timer that is late.

use std::time::Duration;

use rusqlite::Connection;
use serde::Serialize;

use super::{JobKey, Queue, off_the_runtime};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::job::Job;
use crate::plan::Miss;
use crate::run::{RequestId, Run, RunId, idempotency_key, key_prefix};
use crate::store::account;
use crate::store::doctor::{self, Finding};
use crate::store::read::{self, Counts, JobFilter};
use crate::time::Timestamp;

/// A timer that is later than this is woken by whoever looks.
const LATE: Duration = Duration::from_secs(1);

/// Which jobs to list; every field narrows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Only this queue.
    pub queue: Option<String>,
    /// Only this kind.
    pub kind: Option<String>,
    /// Only jobs that have something left to do.
    pub unfinished: bool,
    /// Only jobs with a name.
    pub named: bool,
    /// Only jobs after this one, for the next page.
    pub after: Option<crate::job::JobId>,
    /// At most so many; 0 stands for 1,000.
    pub limit: u32,
}

/// A page of jobs.
#[derive(Debug)]
#[non_exhaustive]
pub struct JobList {
    /// The jobs, by id.
    pub jobs: Vec<Job>,
    /// Rows that could not be read, each named: nothing is left out silently.
    pub unreadable: Vec<Error>,
    /// How many of the listed jobs are disabled, paused or parked.
    pub held: usize,
}

/// The queue in numbers. Durations in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Status {
    /// When it was looked at.
    pub at: Timestamp,
    /// Jobs that are due and wait for a free worker.
    pub ready: u32,
    /// Jobs that wait for their time.
    pub scheduled: u32,
    /// Jobs whose time has come and that nobody has made ready: no engine looks, or it is late.
    pub overdue: u32,
    /// The time of the job that has been due longest.
    pub oldest_due_at: Option<Timestamp>,
    /// The time of the next scheduled job.
    pub next_due_at: Option<Timestamp>,
    /// Runs that are open.
    pub running: u32,
    /// Outputs that wait for their delivery.
    pub undelivered: u32,
    /// Deliveries in an owner's hands.
    pub delivering: u32,
    /// Engines that have not ended, dead or alive. With none, jobs are taken and wait.
    pub engines: u32,
    /// Queues that an operator paused: their jobs are taken and wait.
    pub paused_queues: u32,
    /// Jobs that an operator paused.
    pub paused: u32,
    /// Jobs that the library parked.
    pub parked: u32,
    /// Jobs that their declaration disables.
    pub disabled: u32,
}

/// Whether this process's writer does its work. Durations in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Health {
    /// `None` if all is well, otherwise what is stalled, in words.
    pub stalled: Option<String>,
    /// Counts the writers of this handle; above 1 one was stuck and was replaced.
    pub generation: u32,
    /// When the writer last looked at the clock.
    pub last_tick_at: Timestamp,
    /// How long ago that is by the monotonic clock.
    pub since_last_tick_ms: u64,
    /// When the writer is going to claim next, as far as it knows.
    pub next_due_at: Option<Timestamp>,
    /// Commands that wait for it.
    pub waiting_commands: usize,
    /// Why the last transaction failed, if it failed.
    pub last_error: Option<String>,
    /// Bytes of the write-ahead log that wait to be moved into the database. A few megabytes are normal.
    pub log_bytes: u64,
    /// Whether the log grows since it cannot be emptied: some connection, of whatever program, keeps a read
    /// transaction open. It grows until that ends.
    pub log_is_held_back: bool,
    /// Jobs whose time has come and that nobody has claimed.
    pub overdue: u32,
    /// The time of the job that has been due longest.
    pub oldest_due_at: Option<Timestamp>,
}

impl Queue {
    pub(super) async fn reading<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let core = self.core.clone();
        off_the_runtime(move || core.database().read(read)).await
    }

    /// The job.
    ///
    /// # Errors
    /// [`Error::JobNotFound`]; [`Error::MalformedRow`] if somebody wrote into its row what cannot be read.
    pub async fn get(&self, job: impl Into<JobKey>) -> Result<Job> {
        let key = job.into();
        self.reading(move |conn| key.find(conn)).await
    }

    /// Jobs by id, a page at a time.
    ///
    /// # Errors
    /// What the file may answer.
    pub async fn list(&self, filter: ListFilter) -> Result<JobList> {
        self.wake_if_late();
        self.reading(move |conn| list(conn, filter)).await
    }

    /// The newest runs of a job, newest first, with their completions. The job may have been removed.
    ///
    /// # Errors
    /// [`Error::MalformedRow`] names the first row that cannot be read.
    pub async fn runs(&self, job: impl Into<JobKey>, limit: u32) -> Result<Vec<Run>> {
        let key = job.into();
        self.reading(move |conn| read::runs_of_job(conn, key.resolve(conn)?, limit)?.into_iter().collect())
            .await
    }

    /// One run, with its completion if it is over.
    ///
    /// # Errors
    /// [`Error::RunNotFound`].
    pub async fn run(&self, run: RunId) -> Result<Run> {
        self.reading(move |conn| read::find_run(conn, run)?.ok_or(Error::RunNotFound(run))).await
    }

    /// The newest run of what [`run_now`](Self::run_now) asked for; `None` until it was claimed.
    ///
    /// # Errors
    /// What the file may answer.
    pub async fn run_of(&self, job: impl Into<JobKey>, request: RequestId) -> Result<Option<Run>> {
        let key = job.into();
        self.reading(move |conn| read::run_of_request(conn, key.resolve(conn)?, request.0)).await
    }

    /// The text that names the work of this run to everything outside the file: that of
    /// [`RunContext::idempotency_key`](crate::RunContext::idempotency_key) in its handler, and of
    /// [`DeliveryContext::idempotency_key`](crate::DeliveryContext::idempotency_key) in its delivery. Ask the
    /// receiver for it when a delivery is unknown.
    pub fn idempotency_key(&self, run: &Run) -> String {
        let prefix = key_prefix(self.database_uuid());
        idempotency_key(&prefix, run.job_id, run.scheduled_for, run.request_id)
    }

    /// The newest misses of a job, newest first: what did not run, and why.
    ///
    /// # Errors
    /// What the file may answer.
    pub async fn misses(&self, job: impl Into<JobKey>, limit: u32) -> Result<Vec<Miss>> {
        let key = job.into();
        self.reading(move |conn| read::misses_of_job(conn, key.resolve(conn)?, limit)).await
    }

    /// The newest events of a job, newest first: who changed its definition, and what. A job that was removed is asked
    /// for by its id, which [`events`](Self::events) tells.
    ///
    /// ```
    /// # use mainspring::{EventKind, JobArgs, Queue, Schedule};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Report {}
    /// # impl JobArgs for Report { const KIND: &'static str = "report"; }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> mainspring::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let queue = Queue::open(dir.path().join("app.db")).await?;
    /// queue.schedule("report", Schedule::cron("0 8 * * *")?, Report {}).await?;
    /// queue.schedule("report", Schedule::cron("0 9 * * *")?, Report {}).await?;
    /// queue.pause("report", Some("nobody reads it")).await?;
    ///
    /// let events = queue.job_events("report", 10).await?;
    /// let kinds: Vec<_> = events.iter().map(|event| event.event).collect();
    /// assert_eq!(kinds, [EventKind::Paused, EventKind::Rescheduled, EventKind::Added]);
    /// assert_eq!(events[0].detail.as_deref(), Some("nobody reads it"));
    /// assert_eq!(events[1].detail.as_deref(), Some(r#"{"schedule_text":["0 8 * * *","0 9 * * *"]}"#));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::MalformedRow`] names the first row that cannot be read.
    pub async fn job_events(&self, job: impl Into<JobKey>, limit: u32) -> Result<Vec<Event>> {
        let key = job.into();
        self.reading(move |conn| read::events_of_job(conn, key.resolve(conn)?, limit)).await
    }

    /// The newest events of all jobs and queues, newest first.
    ///
    /// # Errors
    /// [`Error::MalformedRow`] names the first row that cannot be read.
    pub async fn events(&self, limit: u32) -> Result<Vec<Event>> {
        self.reading(move |conn| read::events(conn, limit)).await
    }

    /// The occurrences of the job's present schedule between `from` and `to`, both included, that are neither run,
    /// nor on record as missed, nor still ahead. There are none: every occurrence is accounted for. At most
    /// 100,000 occurrences are looked at.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for a range with more occurrences.
    pub async fn unaccounted(
        &self,
        job: impl Into<JobKey>,
        from: impl Into<Timestamp>,
        to: impl Into<Timestamp>,
    ) -> Result<Vec<Timestamp>> {
        let (key, from, to) = (job.into(), from.into(), to.into());
        self.reading(move |conn| account::unaccounted(conn, key.resolve(conn)?, from, to)).await
    }

    /// The queue in numbers.
    ///
    /// # Errors
    /// What the file may answer.
    pub async fn status(&self) -> Result<Status> {
        self.wake_if_late();
        let now = self.core.clock().now();
        let counts = self.reading(move |conn| read::counts(conn, now)).await?;
        Ok(Status::new(counts, now))
    }

    /// Whether this process's writer does its work, and what is overdue.
    ///
    /// # Errors
    /// What the file may answer.
    pub async fn health(&self) -> Result<Health> {
        self.wake_if_late();
        let now = self.core.clock().now();
        let counts = self.reading(move |conn| read::counts(conn, now)).await?;
        Ok(Health::new(&self.core.health(), counts))
    }

    /// Runs every invariant of the file and returns what breaks it; nothing in a file that only the library wrote.
    /// Reads the whole history.
    ///
    /// # Errors
    /// What the file may answer.
    pub async fn doctor(&self) -> Result<Vec<Finding>> {
        self.reading(doctor::doctor).await
    }

    /// Runs SQLite's own checks of the whole file, the application's tables included. Reads all of it.
    ///
    /// # Errors
    /// What the file may answer.
    pub async fn integrity(&self) -> Result<Vec<Finding>> {
        self.reading(doctor::integrity).await
    }

    /// Whether an output waits for its delivery whose time has come.
    #[cfg(feature = "testing")]
    pub(crate) async fn has_due_delivery(&self, now: Timestamp) -> Result<bool> {
        self.reading(move |conn| read::has_due_delivery(conn, now)).await
    }

    pub(super) fn wake_if_late(&self) {
        let due = self.core.health().next_due_at;
        if due.is_some_and(|at| at.plus(LATE) < self.core.clock().now()) {
            self.core.nudge();
        }
    }
}

pub(super) fn list(conn: &Connection, filter: ListFilter) -> Result<JobList> {
    let filter = JobFilter {
        after: filter.after.map_or(i64::MIN, |id| id.0),
        queue: filter.queue,
        kind: filter.kind,
        unfinished: filter.unfinished,
        named: filter.named,
        limit: if filter.limit == 0 { 1_000 } else { filter.limit },
    };
    let (jobs, unreadable) = read::list_jobs(conn, &filter)?;
    let held =
        jobs.iter().filter(|job| !job.enabled || job.paused_at.is_some() || job.parked_at.is_some()).count();
    Ok(JobList { jobs, unreadable, held })
}

impl Status {
    pub(super) fn new(counts: Counts, at: Timestamp) -> Self {
        Self {
            at,
            ready: counts.ready,
            scheduled: counts.scheduled,
            overdue: counts.overdue,
            oldest_due_at: counts.oldest_due,
            next_due_at: counts.next_due,
            running: counts.open_runs,
            undelivered: counts.undelivered,
            delivering: counts.delivering,
            engines: counts.owners,
            paused_queues: counts.paused_queues,
            paused: counts.paused,
            parked: counts.parked,
            disabled: counts.disabled,
        }
    }
}

/// A writer that has not looked at the clock for this long is stalled; it looks at least every 30 seconds.
const STALLED_AFTER: Duration = Duration::from_secs(60);

impl Health {
    pub(super) fn new(core: &crate::core::CoreHealth, counts: Counts) -> Self {
        let stalled = if core.since_last_tick > STALLED_AFTER {
            let seconds = core.since_last_tick.as_secs();
            Some(format!("the writer has not looked at the clock for {seconds} s"))
        } else {
            core.last_error.as_ref().map(|error| format!("the writer cannot use its file: {error}"))
        };
        Self {
            stalled,
            generation: core.generation,
            last_tick_at: core.last_tick_at,
            since_last_tick_ms: core.since_last_tick.as_millis() as u64,
            next_due_at: core.next_due_at,
            waiting_commands: core.waiting_commands,
            last_error: core.last_error.clone(),
            log_bytes: core.log_bytes,
            log_is_held_back: core.log_is_held_back,
            overdue: counts.overdue.saturating_add(counts.ready),
            oldest_due_at: counts.oldest_due,
        }
    }
}
