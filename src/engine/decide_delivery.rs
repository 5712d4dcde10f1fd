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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::Receipt;
    use crate::policy::Backoff;

    const NOW: Timestamp = Timestamp::from_millis(1_000);
    const NEXT: Timestamp = Timestamp::from_millis(31_000);

    fn decided(ended: Ended<DeliveryResult>, attempt: u32) -> DeliveryAnswer {
        let delivery_backoff = Backoff::fixed(Duration::from_secs(30));
        let policies = Policies { max_delivery_attempts: 3, delivery_backoff, ..Policies::default() };
        let rules =
            DeliveryRules { policies: &policies, limits: Limits::default(), attempt, now: NOW, random: 0.5 };
        decide(ended, rules)
    }

    fn undelivered(error: DeliveryError, attempt: u32) -> DeliveryAnswer {
        decided(Ended::Answered(Err(error)), attempt)
    }

    #[test]
    fn only_a_receipt_is_delivered() {
        // D9.1
        let receipt = Some("250 OK".to_owned());
        let answer = decided(Ended::Answered(Ok(Receipt::new("250 OK"))), 3);
        assert_eq!(answer, DeliveryAnswer::Delivered { receipt });
    }

    #[test]
    fn what_was_not_sent_is_tried_again_until_the_attempts_are_used_up() {
        // D9.8
        let error = || "status 500".to_owned();
        let not_sent = |attempt| undelivered(DeliveryError::not_sent(error()), attempt);
        assert_eq!(not_sent(1), DeliveryAnswer::RetryAt { at: NEXT, error: error() });
        assert_eq!(not_sent(2), DeliveryAnswer::RetryAt { at: NEXT, error: error() });
        assert_eq!(not_sent(3), DeliveryAnswer::Failed { error: error() });
    }

    #[test]
    fn a_rejection_is_one_attempt() {
        // D9.11
        let answer = undelivered(DeliveryError::rejected("no such address"), 1);
        assert_eq!(answer, DeliveryAnswer::Failed { error: "no such address".to_owned() });
    }

    #[test]
    fn everything_without_an_answer_is_unknown() {
        // D9.2: when it would be tried again is said; whether, the policy decides.
        let all = [
            Ended::Answered(Err(DeliveryError::unknown("reset"))),
            Ended::Panicked("x".to_owned()),
            Ended::StillRunning,
            Ended::Dropped,
        ];
        for ended in all {
            let case = format!("{ended:?}");
            let answer = decided(ended, 1);
            assert!(
                matches!(answer, DeliveryAnswer::Unknown { retry_at: Some(NEXT), .. }),
                "{case}: {answer:?}"
            );
        }
        let last = undelivered(DeliveryError::unknown("reset"), 3);
        assert!(matches!(last, DeliveryAnswer::Unknown { retry_at: None, .. }));
    }
}
