//! A run is one attempt at one occurrence; a completion says how it ended.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::job::JobId;
use crate::job::secret::{Hidden, Shown};
use crate::plan::Trigger;
use crate::sabotage::{Bug, on};
use crate::time::Timestamp;
use crate::words::{row_id, words};

row_id! {
    /// The id of a run, and its fencing token: never used twice in one file.
    RunId
}
row_id! {
    /// The id of one engine's life.
    OwnerId
}
row_id! {
    /// The id of a run that was asked for besides the schedule.
    RequestId
}

words! {
    /// How a run ended.
    Outcome: "outcome" {
        /// The handler returned a value.
        Succeeded = "succeeded",
        /// The handler returned an error or panicked.
        Failed = "failed",
        /// The handler took longer than the job's timeout.
        TimedOut = "timed_out",
        /// Somebody asked for the run to stop, and it stopped.
        Cancelled = "cancelled",
        /// Its owner died or shut down before the handler had returned.
        Interrupted = "interrupted",
        /// The handler snoozed: nothing was done and the attempt is not counted.
        Skipped = "skipped",
    }
}

words! {
    /// What became of handing the output over.
    Delivery: "delivery" {
        /// The handler delivers nothing.
        NotRequested = "not_requested",
        /// Not begun yet, or to be tried again.
        Pending = "pending",
        /// Begun; no answer is on record.
        Started = "started",
        /// The receiver has it.
        Delivered = "delivered",
        /// The receiver refused it for good, or every attempt failed.
        Failed = "failed",
        /// It may or may not have arrived. Never sent again by itself.
        Unknown = "unknown",
        /// Not sent on purpose: the time for it had passed.
        Suppressed = "suppressed",
    }
}

impl Delivery {
    /// Whether nothing more will happen by itself.
    pub const fn is_settled(self) -> bool {
        !matches!(self, Self::Pending | Self::Started)
    }
}

words! {
    /// Why a run failed, in a word that a query can group by.
    ErrorClass: "error class" {
        /// The handler returned an error that may go away.
        Retryable = "retryable",
        /// The handler said that trying again is useless.
        Permanent = "permanent",
        /// The handler panicked.
        Panic = "panic",
        /// The job's timeout passed.
        Timeout = "timeout",
        /// Somebody asked for it to stop.
        Cancelled = "cancelled",
        /// The owner's process died.
        OwnerDied = "owner_died",
        /// The owner's engine shut down.
        Shutdown = "shutdown",
        /// The owner's engine shut down before it had called the handler.
        NotStarted = "not_started",
        /// An operator released the run.
        Released = "released",
        /// Nobody could tell whether an interrupted attempt had done its work.
        Unverified = "unverified",
        /// The arguments or a stored value could not be read.
        Malformed = "malformed",
        /// No handler of this engine has the job's kind.
        NoHandler = "no_handler",
    }
}

/// One attempt at one occurrence, with its completion if it is over.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Run {
    /// Its id and fencing token.
    pub id: RunId,
    /// The job; it may have been removed since.
    pub job_id: JobId,
    /// The job's revision when the run was claimed.
    pub job_revision: i64,
    /// The kind of the handler that it needs.
    pub kind: String,
    /// The queue that it was claimed from.
    pub queue: String,
    /// The occurrence; for a run by hand the time of the request.
    pub scheduled_for: Timestamp,
    /// 1, 2, 3 … of the same occurrence.
    pub attempt: u32,
    /// Why it ran.
    pub trigger: Trigger,
    /// Which request it answers, if it was asked for besides the schedule.
    pub request_id: Option<RequestId>,
    /// Whose it is or was.
    pub owner_id: OwnerId,
    /// When the claim was committed.
    pub claimed_at: Timestamp,
    /// When the handler was called; known once the run is over.
    pub started_at: Option<Timestamp>,
    /// When the run was over.
    pub ended_at: Option<Timestamp>,
    /// When somebody asked for it to stop.
    pub cancel_requested_at: Option<Timestamp>,
    /// How it ended; `None` while it is open.
    pub completion: Option<Completion>,
}

/// How a run ended and what became of its delivery.
#[derive(Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Completion {
    /// How it ended.
    pub outcome: Outcome,
    /// When the handler had returned.
    pub finished_at: Timestamp,
    /// What the handler returned, as JSON.
    pub output: Option<String>,
    /// Why it failed, in words.
    pub error: Option<String>,
    /// Why it failed, in a class.
    pub error_class: Option<ErrorClass>,
    /// What became of handing the output over.
    pub delivery: Delivery,
    /// How often a delivery was begun.
    pub delivery_attempts: u32,
    /// When the delivery is to be tried (again).
    pub next_delivery_at: Option<Timestamp>,
    /// When the last delivery was begun.
    pub delivery_started_at: Option<Timestamp>,
    /// When the delivery was settled.
    pub delivery_settled_at: Option<Timestamp>,
    /// What the receiver answered.
    pub receipt: Option<String>,
    /// Why the last delivery did not succeed.
    pub delivery_error: Option<String>,
}

/// The output is cut, and without what looks like a secret; of the receipt there is only its length.
impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // All by name, so that a new field cannot be forgotten.
        let Self {
            outcome,
            finished_at,
            output,
            error,
            error_class,
            delivery,
            delivery_attempts,
            next_delivery_at,
            delivery_started_at,
            delivery_settled_at,
            receipt,
            delivery_error,
        } = self;
        f.debug_struct("Completion")
            .field("outcome", outcome)
            .field("finished_at", finished_at)
            .field("output", &output.as_deref().map(Shown))
            .field("error", error)
            .field("error_class", error_class)
            .field("delivery", delivery)
            .field("delivery_attempts", delivery_attempts)
            .field("next_delivery_at", next_delivery_at)
            .field("delivery_started_at", delivery_started_at)
            .field("delivery_settled_at", delivery_settled_at)
            .field("receipt", &receipt.as_ref().map(|text| Hidden(text.len())))
            .field("delivery_error", delivery_error)
            .finish()
    }
}

/// `<start of the database's uuid>-<job>-<occurrence in ms>`, or with `r<request>` for runs by hand: two
/// requests in one millisecond are two pieces of work.
pub(crate) fn idempotency_key(
    prefix: &str,
    job: JobId,
    scheduled_for: Timestamp,
    request: Option<RequestId>,
) -> String {
    match request {
        Some(request) => format!("{prefix}-{job}-r{request}"),
        None if on(Bug::KeyWithoutOccurrence) => format!("{prefix}-{job}"),
        None => format!("{prefix}-{job}-{}", scheduled_for.millis()),
    }
}

/// The part of the database's uuid that idempotency keys begin with: eight hexadecimal digits.
pub(crate) fn key_prefix(database_uuid: &str) -> Arc<str> {
    database_uuid.chars().filter(char::is_ascii_hexdigit).take(8).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_names_the_file_the_job_and_the_occurrence() {
        // D9.5, D9.6: the same for every attempt, another one for every occurrence.
        let prefix = key_prefix("0f3c2a1b-5d6e-4f70-8192-a3b4c5d6e7f8");
        let key = |at, request| idempotency_key(&prefix, JobId(7), Timestamp::from_millis(at), request);
        assert_eq!(key(1_000, None), "0f3c2a1b-7-1000");
        assert_ne!(key(1_000, None), key(2_000, None));
        assert_eq!(key(1_000, Some(RequestId(3))), "0f3c2a1b-7-r3");
    }
}
