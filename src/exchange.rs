//! What passes between the store and those who run handlers: claims one way, facts the other.

use crate::job::JobId;
use crate::plan::Trigger;
use crate::policy::OnInterrupt;
use crate::run::{Delivery, ErrorClass, Outcome, OwnerId, RequestId, RunId};
use crate::time::Timestamp;

/// A committed claim.
#[derive(Clone, Debug)]
pub(crate) struct ClaimedRun {
    pub(crate) run_id: RunId,
    pub(crate) job_id: JobId,
    pub(crate) owner_id: OwnerId,
    pub(crate) name: Option<String>,
    pub(crate) kind: String,
    pub(crate) queue: String,
    pub(crate) args: String,
    /// The column's text; the engine parses it, the writer does not.
    pub(crate) policies: String,
    pub(crate) on_interrupt: OnInterrupt,
    /// An attempt before was interrupted, and the handler is to be asked whether its work was done.
    pub(crate) verify: bool,
    pub(crate) scheduled_for: Timestamp,
    pub(crate) attempt: u32,
    /// Attempts at this occurrence that failed before this one.
    pub(crate) failed_attempts: u32,
    pub(crate) trigger: Trigger,
    pub(crate) request_id: Option<RequestId>,
    pub(crate) claimed_at: Timestamp,
    /// The job's next run, for those who show it.
    pub(crate) next_run_at: Option<Timestamp>,
}

/// A stored output that this owner is to deliver.
#[derive(Clone, Debug)]
pub(crate) struct ClaimedDelivery {
    pub(crate) run_id: RunId,
    pub(crate) job_id: JobId,
    pub(crate) owner_id: OwnerId,
    pub(crate) name: Option<String>,
    pub(crate) kind: String,
    /// The policies of the job as they are now; the defaults if it was removed.
    pub(crate) policies: String,
    pub(crate) output: String,
    pub(crate) scheduled_for: Timestamp,
    pub(crate) request_id: Option<RequestId>,
    pub(crate) deliver_by: Option<Timestamp>,
}

/// What became of a run, for the writer to record.
#[derive(Clone, Debug)]
pub(crate) struct Complete {
    pub(crate) run_id: RunId,
    pub(crate) job_id: JobId,
    pub(crate) owner_id: OwnerId,
    pub(crate) outcome: Outcome,
    pub(crate) output: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) error_class: Option<ErrorClass>,
    /// Who hands the output over; only of a success.
    pub(crate) deliver: Deliver,
    /// No delivery begins after this.
    pub(crate) deliver_by: Option<Timestamp>,
    pub(crate) then: Then,
    pub(crate) started_at: Timestamp,
    pub(crate) finished_at: Timestamp,
}

/// Who hands an output over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deliver {
    /// Nobody: none was asked for.
    No,
    /// This owner, who has it at hand.
    By(OwnerId),
    /// Whoever has room for it: it waits in the file.
    Anyone,
}

/// What comes of the occurrence after this run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Then {
    /// It is done with.
    Finish,
    /// Another attempt at this instant, unless the next occurrence comes first; the failure is counted.
    Retry(Timestamp),
    /// Another attempt at this instant; nothing is counted.
    Again(Timestamp),
    /// The job is parked, and this is why.
    Park(String),
}

/// What the writer answers to a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Completed {
    /// The delivery as it stands on record now: `Pending` asks the engine to begin it, as this owner.
    pub(crate) delivery: Delivery,
    /// When the job runs next, for those who show it.
    pub(crate) next_run_at: Option<Timestamp>,
}

/// Marks a delivery as begun; committed before the sink is called.
#[derive(Clone, Debug)]
pub(crate) struct BeginDelivery {
    pub(crate) run_id: RunId,
    pub(crate) owner_id: OwnerId,
}

/// What came of a delivery, for the writer to record.
#[derive(Clone, Debug)]
pub(crate) struct SettleDelivery {
    pub(crate) run_id: RunId,
    pub(crate) owner_id: OwnerId,
    pub(crate) answer: DeliveryAnswer,
}

/// What is known of a delivery.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum DeliveryAnswer {
    /// The receiver has it.
    Delivered { receipt: Option<String> },
    /// It was not sent and is worth another attempt at this instant.
    RetryAt { at: Timestamp, error: String },
    /// It will never be taken.
    Failed { error: String },
    /// It may or may not have arrived. Under `resend` it is tried again at this instant.
    Unknown { retry_at: Option<Timestamp>, error: String },
    /// Its time has passed; nothing was sent.
    Suppressed { why: String },
}

impl DeliveryAnswer {
    /// For a log, which shows no receipt.
    pub(crate) const fn in_a_word(&self) -> &'static str {
        match self {
            Self::Delivered { .. } => "delivered",
            Self::RetryAt { .. } => "not sent",
            Self::Failed { .. } => "failed",
            Self::Unknown { .. } => "unknown",
            Self::Suppressed { .. } => "suppressed",
        }
    }
}
