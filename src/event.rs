//! An event: a change of a job's definition, or a pause of a queue, that is on record.

use serde::Serialize;

use crate::job::JobId;
use crate::time::Timestamp;
use crate::words::{row_id, words};

row_id! {
    /// The id of an event: a later one has a greater one.
    EventId
}

words! {
    /// What was done to a job or to a queue.
    EventKind: "event" {
        /// A job was declared that has a name or a schedule. Jobs that are enqueued to run once are not on record here.
        Added = "added",
        /// What a job's definition says besides its schedule was changed.
        Changed = "changed",
        /// A job got another schedule.
        Rescheduled = "rescheduled",
        /// A job or a queue was paused, or the reason of its pause was changed.
        Paused = "paused",
        /// A job or a queue was let go on.
        Resumed = "resumed",
        /// The library stopped a job.
        Parked = "parked",
        /// A parked job was let go on.
        Unparked = "unparked",
        /// A job was cancelled: nothing of it starts any more.
        Cancelled = "cancelled",
        /// A job that had finished got another attempt by hand.
        Reopened = "reopened",
        /// A job was removed.
        Removed = "removed",
    }
}

words! {
    /// Whose statement it was.
    MadeBy: "maker of an event" {
        /// This library's: somebody called it, or an engine parked a job.
        Library = "library",
        /// Another program's, or a person's with a shell.
        Sql = "sql",
    }
}

/// One change that is on record. An edit of both a job's schedule and what it says besides leaves two, one for each.
///
/// Nothing here is arguments: that they changed is said, and not what they were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// The job, which may have been removed since; `None` if this was done to a queue.
    pub job_id: Option<JobId>,
    /// The job's name at that time, if it had one.
    pub name: Option<String>,
    /// The job's kind at that time.
    pub kind: Option<String>,
    /// The queue, or that of the job at that time.
    pub queue: String,
    /// What was done.
    pub event: EventKind,
    /// The job's revision once it was done.
    pub revision: Option<i64>,
    /// When: by the library's clock, or for a statement of somebody else by the clock of the machine.
    pub at: Timestamp,
    /// Whose statement it was.
    pub made_by: MadeBy,
    /// For `Paused` and `Parked` the reason, if there is one. For `Changed` and `Rescheduled` a JSON object: each column
    /// that changed, with an array of its old and its new value, or with `"changed"` where values are not shown.
    pub detail: Option<String>,
}
