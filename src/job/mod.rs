//! A job: what to run and when; a durable row.

pub(crate) mod json;
mod new;
mod options;
pub(crate) mod secret;

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use new::JobSpec;
pub use new::NewJob;
pub use options::{Limits, OnDuplicate};
use secret::Shown;

use crate::plan::{self, Next, Overlap, Position};
use crate::policy::{OnInterrupt, OnUnknownDelivery, Policies};
use crate::run::{Outcome, RunId};
use crate::schedule::{Calendar, Schedule};
use crate::time::Timestamp;
use crate::words::{row_id, words};

row_id! {
    /// The id of a job: never used twice in one file.
    JobId
}

/// The typed payload of a job, and the kind that picks its handler.
///
/// ```
/// use mainspring::JobArgs;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Resize { path: String, width: u32 }
///
/// impl JobArgs for Resize {
///     const KIND: &'static str = "resize";
/// }
/// assert_eq!(Resize::KIND, "resize");
/// ```
pub trait JobArgs: Serialize + DeserializeOwned + Send + 'static {
    /// The word in the row that picks the handler; 1 to 200 characters. Stored jobs are found by it, so it
    /// stays when the type is renamed.
    const KIND: &'static str;
}

/// A job as its row holds it.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Its name, if it has one; recurring jobs do.
    pub name: Option<String>,
    /// Which handler it needs.
    pub kind: String,
    /// Which queue it waits in.
    pub queue: String,
    /// Higher goes first; 0 unless said.
    pub priority: i32,
    /// Its arguments as JSON.
    pub args: String,
    /// The key that no other unfinished job of this kind may have.
    pub unique_key: Option<String>,
    /// Who declared it, for `replace_all`.
    pub declared_by: Option<String>,
    /// When it runs.
    pub schedule: Schedule,
    /// It does not start after this.
    pub expires_at: Option<Timestamp>,
    /// What happens to a run whose owner died.
    pub on_interrupt: OnInterrupt,
    /// What happens to a delivery without an answer.
    pub on_unknown_delivery: OnUnknownDelivery,
    /// What happens to an occurrence that comes while the last one still runs.
    pub overlap: Overlap,
    /// The other policies.
    pub policies: Policies,
    /// Whether its declaration lets it run.
    pub enabled: bool,
    /// When an operator paused it.
    pub paused_at: Option<Timestamp>,
    /// Why an operator paused it.
    pub pause_reason: Option<String>,
    /// When the library parked it.
    pub parked_at: Option<Timestamp>,
    /// Why the library parked it.
    pub park_reason: Option<String>,
    /// Since when its schedule counts; an edit of the schedule moves it.
    pub schedule_activated_at: Timestamp,
    /// When it is claimed next.
    pub next_run_at: Option<Timestamp>,
    /// Which occurrence that will be for.
    pub scheduled_for: Option<Timestamp>,
    /// Which attempt at it.
    pub attempt: u32,
    /// What comes after that, if it is another attempt at an occurrence of a recurring schedule.
    pub then: Option<Next>,
    /// How many runs were asked for besides the schedule and have not begun.
    pub requests: u32,
    /// How many of its runs are open.
    pub open_runs: u32,
    /// Since when the newest open run runs.
    pub running_at: Option<Timestamp>,
    /// The newest open run.
    pub running_run_id: Option<RunId>,
    /// When the last run was claimed.
    pub last_run_at: Option<Timestamp>,
    /// Which occurrence that was for.
    pub last_scheduled_for: Option<Timestamp>,
    /// How the last run ended.
    pub last_outcome: Option<Outcome>,
    /// How many occurrences were begun.
    pub runs_started: u32,
    /// How many occurrences in a row failed.
    pub failures_in_a_row: u32,
    /// How many runs in a row were interrupted.
    pub interruptions_in_a_row: u32,
    /// Counts the edits.
    pub revision: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last edited.
    pub updated_at: Timestamp,
    /// When nothing was left to do for it.
    pub finished_at: Option<Timestamp>,
}

/// The arguments are cut, and without what looks like a secret: a job is easily logged as a whole.
impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // All by name, so that a new field cannot be forgotten.
        let Self {
            id,
            name,
            kind,
            queue,
            priority,
            args,
            unique_key,
            declared_by,
            schedule,
            expires_at,
            on_interrupt,
            on_unknown_delivery,
            overlap,
            policies,
            enabled,
            paused_at,
            pause_reason,
            parked_at,
            park_reason,
            schedule_activated_at,
            next_run_at,
            scheduled_for,
            attempt,
            then,
            requests,
            open_runs,
            running_at,
            running_run_id,
            last_run_at,
            last_scheduled_for,
            last_outcome,
            runs_started,
            failures_in_a_row,
            interruptions_in_a_row,
            revision,
            created_at,
            updated_at,
            finished_at,
        } = self;
        f.debug_struct("Job")
            .field("id", id)
            .field("name", name)
            .field("kind", kind)
            .field("queue", queue)
            .field("priority", priority)
            .field("args", &Shown(args))
            .field("unique_key", unique_key)
            .field("declared_by", declared_by)
            .field("schedule", schedule)
            .field("expires_at", expires_at)
            .field("on_interrupt", on_interrupt)
            .field("on_unknown_delivery", on_unknown_delivery)
            .field("overlap", overlap)
            .field("policies", policies)
            .field("enabled", enabled)
            .field("paused_at", paused_at)
            .field("pause_reason", pause_reason)
            .field("parked_at", parked_at)
            .field("park_reason", park_reason)
            .field("schedule_activated_at", schedule_activated_at)
            .field("next_run_at", next_run_at)
            .field("scheduled_for", scheduled_for)
            .field("attempt", attempt)
            .field("then", then)
            .field("requests", requests)
            .field("open_runs", open_runs)
            .field("running_at", running_at)
            .field("running_run_id", running_run_id)
            .field("last_run_at", last_run_at)
            .field("last_scheduled_for", last_scheduled_for)
            .field("last_outcome", last_outcome)
            .field("runs_started", runs_started)
            .field("failures_in_a_row", failures_in_a_row)
            .field("interruptions_in_a_row", interruptions_in_a_row)
            .field("revision", revision)
            .field("created_at", created_at)
            .field("updated_at", updated_at)
            .field("finished_at", finished_at)
            .finish()
    }
}

words! {
    /// What a person would say a job is doing; derived from its facts and a time.
    JobState: "job state" {
        /// A run of it is open.
        Running = "running",
        /// The library stopped it; `park_reason` says why.
        Parked = "parked",
        /// An operator stopped it.
        Paused = "paused",
        /// Its declaration stopped it.
        Disabled = "disabled",
        /// Nothing is left to do.
        Finished = "finished",
        /// Its time has come.
        Due = "due",
        /// An attempt failed and the next one waits for its time.
        Retrying = "retrying",
        /// It waits for its time.
        Scheduled = "scheduled",
        /// It has no next time, and the engine will plan one.
        Unplanned = "unplanned",
    }
}

impl Job {
    /// What the row says about time, for `plan`.
    pub(crate) fn position<'a>(&'a self, calendar: Option<&'a Calendar>) -> Position<'a> {
        Position {
            schedule: &self.schedule,
            calendar,
            job_id: self.id.0,
            activated_at: self.schedule_activated_at,
            scheduled_for: self.scheduled_for,
            runs_started: self.runs_started,
            catch_up: &self.policies.catch_up,
            overlap: self.overlap,
            expires_at: self.expires_at,
        }
    }

    /// The same while another attempt waits, which is of an occurrence that has been run: for what comes after it.
    pub(crate) fn position_ahead<'a>(&'a self, calendar: Option<&'a Calendar>) -> Position<'a> {
        let position = self.position(calendar);
        match self.scheduled_for.filter(|_| self.attempt > 1) {
            Some(_) => {
                let then = plan::after_attempt(&position, self.then);
                Position { scheduled_for: then.map(|next| next.scheduled_for), ..position }
            }
            None => position,
        }
    }

    /// What it is doing at `now`.
    pub fn state(&self, now: Timestamp) -> JobState {
        let due = |at: Timestamp| at <= now;
        match self.next_run_at {
            _ if self.open_runs > 0 => JobState::Running,
            _ if self.parked_at.is_some() => JobState::Parked,
            _ if self.paused_at.is_some() => JobState::Paused,
            _ if !self.enabled => JobState::Disabled,
            None if self.finished_at.is_some() => JobState::Finished,
            None => JobState::Unplanned,
            Some(at) if due(at) => JobState::Due,
            Some(_) if self.attempt > 1 => JobState::Retrying,
            Some(_) => JobState::Scheduled,
        }
    }
}

/// Which job an `enqueue` got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// A new one.
    Created(JobId),
    /// The one that holds the unique key; nothing was changed.
    Existing(JobId),
    /// The one that holds the unique key, with the new arguments, time and options.
    Replaced(JobId),
}

impl Enqueued {
    /// The job, whoever made it.
    pub const fn id(self) -> JobId {
        match self {
            Self::Created(id) | Self::Existing(id) | Self::Replaced(id) => id,
        }
    }
}

/// What declaring a schedule did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduled {
    /// There was no job of that name.
    Created(JobId),
    /// The job differed and was changed. Its next time moved only if its schedule differed.
    Changed(JobId),
    /// The job was as declared: nothing was written.
    Unchanged(JobId),
}

impl Scheduled {
    /// The job, whatever was done.
    pub const fn id(self) -> JobId {
        match self {
            Self::Created(id) | Self::Changed(id) | Self::Unchanged(id) => id,
        }
    }
}
