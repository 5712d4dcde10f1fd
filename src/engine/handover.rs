//! An output on its way to its receiver: from a run that has just completed, or from the file.

use tokio::sync::OwnedSemaphorePermit;

use super::log;
use crate::core::messages::{ClaimedDelivery, ClaimedRun};
use crate::job::JobId;
use crate::policy::Policies;
use crate::run::{OwnerId, RunId, idempotency_key};
use crate::time::Timestamp;

/// A stored output with what its delivery needs to know.
#[derive(Debug)]
pub(super) struct Handover {
    pub(super) run_id: RunId,
    pub(super) job_id: JobId,
    pub(super) owner_id: OwnerId,
    pub(super) name: Option<String>,
    pub(super) kind: String,
    pub(super) scheduled_for: Timestamp,
    pub(super) idempotency_key: String,
    pub(super) output: String,
    /// No delivery begins after this.
    pub(super) deliver_by: Option<Timestamp>,
    pub(super) policies: Policies,
    /// Its place among the outputs in memory, until it is dropped; what comes from the file has another bound.
    _place: Option<OwnedSemaphorePermit>,
}

impl Handover {
    /// The output of a run whose completion has just been committed.
    pub(super) fn of_run(
        claim: &ClaimedRun,
        policies: Policies,
        (output, place): (String, OwnedSemaphorePermit),
        key_prefix: &str,
    ) -> Self {
        Self {
            run_id: claim.run_id,
            job_id: claim.job_id,
            owner_id: claim.owner_id,
            name: claim.name.clone(),
            kind: claim.kind.clone(),
            scheduled_for: claim.scheduled_for,
            idempotency_key: idempotency_key(key_prefix, claim.job_id, claim.scheduled_for, claim.request_id),
            output,
            deliver_by: deliver_by(&policies, claim.scheduled_for),
            policies,
            _place: Some(place),
        }
    }

    /// An output that the writer found in the file.
    pub(super) fn of_delivery(claim: ClaimedDelivery, key_prefix: &str) -> Self {
        let policies = Policies::from_json(&claim.policies).unwrap_or_else(|why| {
            // The output is there and was promised; the waits of the defaults are good enough to deliver it.
            log::delivery_under_default_policies(&claim, &why);
            Policies::default()
        });
        Self {
            run_id: claim.run_id,
            job_id: claim.job_id,
            owner_id: claim.owner_id,
            idempotency_key: idempotency_key(key_prefix, claim.job_id, claim.scheduled_for, claim.request_id),
            name: claim.name,
            kind: claim.kind,
            scheduled_for: claim.scheduled_for,
            output: claim.output,
            deliver_by: claim.deliver_by,
            policies,
            _place: None,
        }
    }
}

/// After which instant an output is not delivered any more.
pub(super) fn deliver_by(policies: &Policies, scheduled_for: Timestamp) -> Option<Timestamp> {
    policies.deliver_within_ms.map(|window| scheduled_for.plus(std::time::Duration::from_millis(window)))
}
