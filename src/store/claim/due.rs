//! A job as the claim sees it.

use std::sync::LazyLock;

use rusqlite::Row;

use super::Burst;
use crate::error::Result;
use crate::job::JobId;
use crate::plan::{self, CatchUp, Next, Overlap, Position};
use crate::policy::{OnInterrupt, Policies};
use crate::run::RunId;
use crate::schedule::{Calendar, Schedule};
use crate::store::rows::{Columns, names_in};
use crate::time::Timestamp;

/// The columns that [`DueJob::read`] reads, in its order. `is_once` says that the job is one of the many that run once
/// and ask for nothing special: what stands behind it is then as in a new row, and is not read.
macro_rules! due_columns {
    () => {
        "id, kind, name, args, policies, on_interrupt, schedule_activated_at_ms, next_run_at_ms, scheduled_for_ms, \
         runs_started, revision, at_ms, \
         schedule_kind = 'at' AND schedule_text IS NULL AND time_zone IS NULL AND starts_at_ms IS NULL \
         AND ends_at_ms IS NULL AND max_runs IS NULL AND jitter_ms IS NULL AND calendar IS NULL \
         AND expires_at_ms IS NULL AND overlap = 'skip' AND max_open_runs = 1 AND open_runs = 0 AND attempt = 1 \
         AND failed_attempts = 0 AND then_scheduled_for_ms IS NULL AND requests = 0 AS is_once, \
         schedule_kind, schedule_text, at_ms, every_ms, anchor_ms, time_zone, gap, starts_at_ms, ends_at_ms, \
         max_runs, jitter_ms, calendar, expires_at_ms, overlap, max_open_runs, enabled, paused_at_ms, parked_at_ms, \
         attempt, failed_attempts, then_scheduled_for_ms, then_run_at_ms, requests, planned_run_at_ms, open_runs, \
         running_run_id"
    };
}
pub(super) use due_columns;

static NAMES: LazyLock<Box<[&str]>> = LazyLock::new(|| names_in(due_columns!()));

/// A row of the ready index.
#[derive(Clone, Debug)]
pub(super) struct DueJob {
    pub(super) id: JobId,
    pub(super) name: Option<String>,
    pub(super) kind: String,
    pub(super) queue: String,
    pub(super) args: String,
    /// The column's text; parsed only where a recurring job needs its catch-up policy.
    pub(super) policies: String,
    pub(super) catch_up: CatchUp,
    pub(super) on_interrupt: OnInterrupt,
    pub(super) overlap: Overlap,
    pub(super) max_open_runs: u32,
    pub(super) schedule: Schedule,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) may_run: bool,
    pub(super) activated_at: Timestamp,
    pub(super) next_run_at: Timestamp,
    pub(super) scheduled_for: Option<Timestamp>,
    pub(super) attempt: u32,
    pub(super) failed_attempts: u32,
    pub(super) then: Option<Next>,
    pub(super) requests: u32,
    pub(super) planned_run_at: Option<Timestamp>,
    pub(super) open_runs: u32,
    pub(super) running_run_id: Option<RunId>,
    pub(super) runs_started: u32,
    pub(super) revision: i64,
    /// Nothing comes after its one run, and nothing of it has run before.
    pub(super) is_once: bool,
}

impl DueJob {
    /// The columns of a row that was read for a claim.
    pub(super) fn columns<'r>(row: &'r Row<'r>) -> Result<Columns<'r>> {
        Columns::listed("mainspring_jobs", row, &NAMES)
    }

    /// Reads a job of this queue.
    pub(super) fn read(c: &Columns<'_>, queue: &str) -> Result<Self> {
        let mut job = Self::as_new(c, queue)?;
        let at_ms: Option<i64> = c.read("at_ms")?;
        let at = at_ms.map(Timestamp::from_millis).filter(|at| Some(at.millis()) == at_ms);
        match at {
            Some(at) if c.read("is_once")? => (job.is_once, job.schedule) = (true, Schedule::at(at)),
            _ => job.read_the_rest(c)?,
        }
        Ok(job)
    }

    /// What any job may have of its own; all else as in a new row.
    fn as_new(c: &Columns<'_>, queue: &str) -> Result<Self> {
        Ok(Self {
            id: JobId(c.id()),
            kind: c.read("kind")?,
            name: c.read("name")?,
            queue: queue.to_owned(),
            args: c.read("args")?,
            policies: c.read("policies")?,
            on_interrupt: c.read("on_interrupt")?,
            activated_at: c.read("schedule_activated_at_ms")?,
            next_run_at: c.read("next_run_at_ms")?,
            scheduled_for: c.read("scheduled_for_ms")?,
            runs_started: c.count("runs_started")?,
            revision: c.read("revision")?,
            is_once: false,
            schedule: Schedule::at(Timestamp::MIN),
            catch_up: CatchUp::default(),
            expires_at: None,
            overlap: Overlap::Skip,
            max_open_runs: 1,
            may_run: true,
            attempt: 1,
            failed_attempts: 0,
            then: None,
            requests: 0,
            planned_run_at: None,
            open_runs: 0,
            running_run_id: None,
        })
    }

    fn read_the_rest(&mut self, c: &Columns<'_>) -> Result<()> {
        self.schedule = c.schedule()?;
        if self.schedule.is_recurring() {
            let policies = Policies::from_json(&self.policies).map_err(|why| c.malformed("policies", why))?;
            self.catch_up = policies.catch_up;
        }
        self.expires_at = c.read("expires_at_ms")?;
        self.overlap = c.overlap()?;
        self.max_open_runs = c.count("max_open_runs")?;
        let enabled: bool = c.read("enabled")?;
        let paused: Option<Timestamp> = c.read("paused_at_ms")?;
        let parked: Option<Timestamp> = c.read("parked_at_ms")?;
        self.may_run = enabled && paused.is_none() && parked.is_none();
        self.attempt = c.count("attempt")?;
        self.failed_attempts = c.count("failed_attempts")?;
        self.then = c.then()?;
        self.requests = c.count("requests")?;
        self.planned_run_at = c.read("planned_run_at_ms")?;
        self.open_runs = c.count("open_runs")?;
        self.running_run_id = c.read("running_run_id")?;
        Ok(())
    }

    /// When the schedule's own run is claimed, whatever was asked for besides.
    pub(super) fn own_run_at(&self) -> Option<Timestamp> {
        if self.requests > 0 { self.planned_run_at } else { Some(self.next_run_at) }
    }

    /// Whether the schedule's own run goes first, before a run that was asked for.
    pub(super) fn own_run_is_due(&self, now: Timestamp) -> bool {
        self.may_run && self.own_run_at().is_some_and(|at| at <= now)
    }

    /// The job with its next occurrence in the place of another attempt at `scheduled_for`: that is given up, and its
    /// failure is on record.
    pub(super) fn overtaken_by(&self, next: Next) -> Self {
        let mut job = self.clone();
        job.scheduled_for = Some(next.scheduled_for);
        (job.attempt, job.failed_attempts, job.then) = (1, 0, None);
        if job.requests > 0 {
            job.planned_run_at = Some(next.run_at);
        } else {
            job.next_run_at = next.run_at;
        }
        job
    }

    /// Whether its occurrence was put off: it may be claimed later than its schedule says.
    fn put_off_until(&self) -> Option<Timestamp> {
        let planned = self.scheduled_for?.plus(self.schedule.jitter_window());
        self.own_run_at().filter(|at| planned < *at)
    }

    /// Whether its occurrence waited for the end of a run, as its overlap policy says, and has its turn now: then it
    /// was not missed, and how late it may be caught up is not asked.
    pub(super) fn was_queued(&self, now: Timestamp) -> bool {
        self.overlap != Overlap::Skip
            && !self.catch_up.runs_them_all()
            && self.put_off_until().is_some_and(|at| now.since(at) <= plan::ON_TIME)
    }

    pub(super) fn position<'a>(&'a self, calendar: Option<&'a Calendar>) -> Position<'a> {
        Position {
            schedule: &self.schedule,
            calendar,
            job_id: self.id.0,
            activated_at: self.activated_at,
            scheduled_for: self.scheduled_for,
            runs_started: self.runs_started,
            catch_up: &self.catch_up,
            overlap: self.overlap,
            expires_at: self.expires_at,
        }
    }

    /// When a catch-up run may start, if not now. One that has been deferred already starts when its time comes; but if
    /// that time passed while nobody could claim it, it is one of many again that would start together.
    pub(super) fn spread(&self, burst: &mut Burst, now: Timestamp) -> Result<Option<Timestamp>> {
        let its_time_has_come = self.put_off_until().is_some_and(|at| now.since(at) < self.catch_up.pause());
        if !self.schedule.is_recurring() || its_time_has_come {
            return Ok(None);
        }
        Ok(burst.next_slot(&self.catch_up, now))
    }
}
