//! What a job's owner decides beforehand: retries, timeouts, interruptions, deliveries.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::brief::brief;
use crate::error::{Error, Result};
use crate::plan::CatchUp;
use crate::words::words;

words! {
    /// What to do with a run whose owner died before its completion was committed.
    OnInterrupt: "interrupt policy" {
        /// Run the same occurrence again under the same idempotency key, attempt + 1. The default for
        /// one-shots and queued work.
        Rerun = "rerun",
        /// Record it and do not repeat it; the next occurrence comes by itself. The default for recurring jobs.
        AssumeRan = "assume_ran",
        /// Another attempt asks the handler whether the work was done ([`Handler::verify`](crate::Handler::verify)).
        /// If it was, its result is recorded; if not, it is done now; if nobody can tell, the job is parked. Of a
        /// recurring job this is so only while its next occurrence has not come.
        Verify = "verify",
    }
}

words! {
    /// What to do with a delivery that was begun and has no answer on record.
    OnUnknownDelivery: "policy for unknown deliveries" {
        /// Keep it listed as unknown and never send it again by itself. The default for recurring jobs.
        Hold = "hold",
        /// Send the stored output again under the same key. The default for one-shots and queued work.
        Resend = "resend",
    }
}

words! {
    /// Which transactions wait for the disk.
    Durability: "durability" {
        /// Every commit is synced.
        Strict = "strict",
        /// Synced: what was acknowledged to a caller, completions, and every mark that stands between
        /// a crash and a repetition. Not synced: what is repaired by itself after a power cut.
        Balanced = "balanced",
        /// Nothing is synced: a power cut loses the last moments, a crash of the process nothing.
        Relaxed = "relaxed",
    }
}

/// How the times between attempts grow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backoff {
    /// Milliseconds before the second attempt. Defaults to 10,000.
    pub first_ms: u64,
    /// Each further wait is so many times the last one. Defaults to 2.
    pub factor: f64,
    /// No wait is longer than so many milliseconds. Defaults to 6 hours.
    pub longest_ms: u64,
    /// Each wait is moved at random by up to this share of itself, either way. Defaults to 0.1.
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first_ms: 10_000, factor: 2.0, longest_ms: 6 * 3_600_000, jitter: 0.1 }
    }
}

impl Backoff {
    /// A wait that grows from `first`, doubling.
    pub fn exponential(first: Duration) -> Self {
        Self { first_ms: first.as_millis() as u64, ..Self::default() }
    }

    /// Always the same wait, without any random part.
    pub fn fixed(wait: Duration) -> Self {
        let first_ms = wait.as_millis() as u64;
        Self { first_ms, factor: 1.0, longest_ms: first_ms, jitter: 0.0 }
    }

    /// Sets the longest wait. Defaults to 6 hours.
    pub fn at_most(mut self, longest: Duration) -> Self {
        self.longest_ms = longest.as_millis() as u64;
        self
    }

    /// Whether it can be stored: JSON has no word for a number that is none, nor for one without an end.
    pub(crate) fn check(&self, option: &'static str) -> Result<()> {
        for (name, number) in [("factor", self.factor), ("jitter", self.jitter)] {
            if !number.is_finite() {
                let why = format!("has the {name} {number}: give a finite number");
                return Err(Error::invalid(option, why));
            }
        }
        Ok(())
    }

    /// The wait after the given failed attempt (1 for the first), `random` being between 0 and 1.
    pub fn after_attempt(&self, attempt: u32, random: f64) -> Duration {
        let grown = self.first_ms as f64 * self.factor.powi(attempt.saturating_sub(1).min(1_000) as i32);
        let capped = grown.min(self.longest_ms as f64);
        let moved = capped * (1.0 + self.jitter.clamp(0.0, 1.0) * (2.0 * random.clamp(0.0, 1.0) - 1.0));
        // A cast of a float saturates and turns NaN into 0: no policy, however odd, panics.
        Duration::from_millis(moved as u64)
    }
}

/// The policies of one job that no query looks at; one JSON object in its row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Policies {
    /// How long the handler may take, in milliseconds. Defaults to no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How long a handler may go on after it was asked to stop, before its run is taken from it. Defaults to 30 s.
    #[serde(skip_serializing_if = "is_default_grace")]
    pub grace_ms: u64,
    /// How many attempts an occurrence has. Defaults to 10.
    #[serde(skip_serializing_if = "is_default_attempts")]
    pub max_attempts: u32,
    /// The waits between attempts. Defaults to 10 s, doubling, at most 6 h.
    #[serde(skip_serializing_if = "is_default")]
    pub backoff: Backoff,
    /// How many deliveries of one output are begun. Defaults to 10.
    #[serde(skip_serializing_if = "is_default_attempts")]
    pub max_delivery_attempts: u32,
    /// The waits between deliveries. Defaults to 10 s, doubling, at most 6 h.
    #[serde(skip_serializing_if = "is_default")]
    pub delivery_backoff: Backoff,
    /// How long one delivery may take, in milliseconds. Defaults to 5 minutes.
    #[serde(skip_serializing_if = "is_default_delivery_timeout")]
    pub delivery_timeout_ms: u64,
    /// An output that is later than this after its occurrence is not delivered. Defaults to no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver_within_ms: Option<u64>,
    /// What to do with missed occurrences. Defaults to the latest within 6 hours.
    #[serde(skip_serializing_if = "is_default")]
    pub catch_up: CatchUp,
    /// Park the job after so many failed occurrences in a row. Defaults to never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub park_after_failures: Option<u32>,
}

/// How many attempts an occurrence or a delivery has unless said otherwise.
pub(crate) const DEFAULT_MAX_ATTEMPTS: u32 = 10;
/// How long a handler may go on after it was asked to stop, in milliseconds.
pub(crate) const DEFAULT_GRACE_MS: u64 = 30_000;
/// How long one delivery may take, in milliseconds.
pub(crate) const DEFAULT_DELIVERY_TIMEOUT_MS: u64 = 300_000;
/// After so many interruptions in a row a job is parked, whatever its retries: it probably kills its process.
pub(crate) const MAX_INTERRUPTIONS_IN_A_ROW: u32 = 3;

impl Default for Policies {
    fn default() -> Self {
        Self {
            timeout_ms: None,
            grace_ms: DEFAULT_GRACE_MS,
            max_attempts: DEFAULT_MAX_ATTEMPTS,
            backoff: Backoff::default(),
            max_delivery_attempts: DEFAULT_MAX_ATTEMPTS,
            delivery_backoff: Backoff::default(),
            delivery_timeout_ms: DEFAULT_DELIVERY_TIMEOUT_MS,
            deliver_within_ms: None,
            catch_up: CatchUp::default(),
            park_after_failures: None,
        }
    }
}

impl Policies {
    /// The text of the column: only what differs from the defaults.
    pub fn to_json(&self) -> String {
        // Numbers, options and enums of words: nothing in here that JSON cannot hold.
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned())
    }

    /// Reads the column; the text `{}` of most jobs costs no parsing.
    pub fn from_json(text: &str) -> Result<Self, String> {
        if text == "{}" {
            return Ok(Self::default());
        }
        // serde would take an array for the fields in their order.
        if !text.trim_ascii_start().starts_with('{') {
            return Err("is not a JSON object".to_owned());
        }
        serde_json::from_str(text).map_err(brief)
    }

    /// How long the handler may take.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout_ms.map(Duration::from_millis)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
fn is_default_attempts(value: &u32) -> bool {
    *value == DEFAULT_MAX_ATTEMPTS
}
fn is_default_grace(value: &u64) -> bool {
    *value == DEFAULT_GRACE_MS
}
fn is_default_delivery_timeout(value: &u64) -> bool {
    *value == DEFAULT_DELIVERY_TIMEOUT_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_an_object_and_nothing_else() {
        for text in ["[]", " [1]", "null", "3", "", "\"{}\""] {
            assert_eq!(Policies::from_json(text), Err("is not a JSON object".to_owned()), "{text}");
        }
        assert_eq!(Policies::from_json(" {} "), Ok(Policies::default()));
    }

    #[test]
    fn default_policies_are_an_empty_object() {
        assert_eq!(Policies::default().to_json(), "{}");
        assert_eq!(Policies::from_json("{}"), Ok(Policies::default()));
    }

    #[test]
    fn a_misspelt_policy_is_an_error_and_not_ignored() {
        let error = Policies::from_json(r#"{"timeout":5}"#).unwrap_err();
        assert!(error.contains("timeout"), "{error}");
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let backoff = Backoff { jitter: 0.0, ..Backoff::default() };
        let waits: Vec<u64> = (1..=4).map(|n| backoff.after_attempt(n, 0.5).as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80]);
        assert_eq!(backoff.after_attempt(u32::MAX, 0.5), Duration::from_secs(6 * 3600));
    }

    /// A backoff with a factor of NaN, from a division by zero, was stored as `null`, which nobody can read as a number:
    /// its job was taken, and parked when its time came.
    #[test]
    fn a_backoff_that_cannot_be_stored_is_refused() {
        let good = Backoff::default();
        assert!(good.check("backoff").is_ok());
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for backoff in [Backoff { factor: odd, ..good }, Backoff { jitter: odd, ..good }] {
                let error = backoff.check("backoff").unwrap_err();
                assert!(matches!(error, Error::InvalidOption { option: "backoff", .. }), "{error:?}");
            }
        }
    }

    #[test]
    fn an_absurd_backoff_neither_panics_nor_waits_for_ever() {
        let odd = Backoff { first_ms: u64::MAX, factor: f64::NAN, longest_ms: 1_000, jitter: f64::INFINITY };
        assert!(odd.after_attempt(7, f64::NAN) <= Duration::from_millis(2_000));
    }
}
