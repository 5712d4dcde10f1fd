//! What became of a delivery once its task has ended: a pure function.

use super::erased::DeliveryResult;
use super::receipt::{DeliveryError, Undelivered};
use super::supervise::Ended;
use crate::core::messages::DeliveryAnswer;
use crate::job::Limits;
use crate::policy::Policies;
use crate::time::Timestamp;

/// What is known besides how the delivery ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeliveryRules<'a> {
    pub(super) policies: &'a Policies,
    pub(super) limits: Limits,
    /// Which delivery of this output it was.
    pub(super) attempt: u32,
    pub(super) now: Timestamp,
    /// Between 0 and 1; moves the wait before the next delivery.
    pub(super) random: f64,
}

/// Decides what is recorded of a delivery. Only the sender's word counts: a panic, a timeout or a task that was
/// dropped says nothing about what was sent.
pub(super) fn decide(ended: Ended<DeliveryResult>, rules: DeliveryRules<'_>) -> DeliveryAnswer {
    let timeout = rules.policies.delivery_timeout_ms;
    match ended {
        Ended::Answered(Ok(receipt)) => {
            let receipt = receipt.into_text().map(|text| rules.limits.cut(text));
            DeliveryAnswer::Delivered { receipt }
        }
        Ended::Answered(Err(error)) => rules.undelivered(error),
        Ended::Panicked(message) => rules.unknown(format!("panicked: {message}")),
        Ended::StillRunning => rules
            .unknown(format!("no answer: it was asked to stop (its timeout is {timeout} ms) and did not")),
        Ended::Dropped => rules.unknown("no answer: the runtime shut down".to_owned()),
    }
}

impl DeliveryRules<'_> {
    fn undelivered(self, error: DeliveryError) -> DeliveryAnswer {
        let kind = error.kind();
        let text = self.limits.cut(error.into_text());
        match kind {
            Undelivered::NotSent => match self.next_attempt() {
                Some(at) => DeliveryAnswer::RetryAt { at, error: text },
                None => DeliveryAnswer::Failed { error: text },
            },
            Undelivered::Rejected => DeliveryAnswer::Failed { error: text },
            Undelivered::Unknown => self.unknown(text),
        }
    }

    fn unknown(self, error: String) -> DeliveryAnswer {
        DeliveryAnswer::Unknown { retry_at: self.next_attempt(), error: self.limits.cut(error) }
    }

    fn next_attempt(self) -> Option<Timestamp> {
        let wait = self.policies.delivery_backoff.after_attempt(self.attempt, self.random);
        (self.attempt < self.policies.max_delivery_attempts).then(|| self.now.plus(wait))
    }
}
