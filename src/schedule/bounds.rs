//! What narrows a schedule: a start, an end, a number of runs, a jitter, a calendar.

use std::time::Duration;

use super::{Schedule, ScheduleError, Span};
use crate::time::{Timestamp, millis_of};

/// A one-shot may lie so far in the past when it is made: requests take a moment, and clocks differ a little.
const LATEST_PAST: Duration = Duration::from_secs(60);

/// Limits that any schedule may have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Bounds {
    pub(super) starts_at: Option<Timestamp>,
    pub(super) ends_at: Option<Timestamp>,
    pub(super) max_runs: Option<u32>,
    pub(super) jitter_ms: i64,
    pub(super) calendar: Option<String>,
}

impl Bounds {
    pub(super) fn admit(&self, at: Timestamp) -> bool {
        self.starts_at.is_none_or(|start| at >= start) && self.ends_at.is_none_or(|end| at <= end)
    }
}

impl Schedule {
    /// No occurrence before this instant; one exactly at it counts. Defaults to no start.
    ///
    /// A grid that has no anchor yet begins here.
    #[must_use]
    pub fn starting_at(mut self, instant: impl Into<Timestamp>) -> Self {
        self.bounds.starts_at = Some(instant.into());
        self
    }

    /// No occurrence after this instant; one exactly at it counts. Defaults to no end.
    #[must_use]
    pub fn ending_at(mut self, instant: impl Into<Timestamp>) -> Self {
        self.bounds.ends_at = Some(instant.into());
        self
    }

    /// At most this many runs; occurrences that were missed do not count. Defaults to no limit.
    #[must_use]
    pub fn max_runs(mut self, runs: u32) -> Self {
        self.bounds.max_runs = Some(runs);
        self
    }

    /// Spreads jobs that share a schedule: each runs later than its occurrence by a time of its own, less
    /// than `window`, which follows from the job's id alone and so never changes. Defaults to zero, which is
    /// exact. Parts of a millisecond are dropped.
    #[must_use]
    pub fn jitter(mut self, window: Duration) -> Self {
        self.bounds.jitter_ms = millis_of(window);
        self
    }

    /// Leaves out what the [`Calendar`](super::Calendar) of this name excludes. Several schedules may share
    /// one. Defaults to none.
    #[must_use]
    pub fn excluding(mut self, calendar: impl Into<String>) -> Self {
        self.bounds.calendar = Some(calendar.into());
        self
    }

    /// Refuses what cannot be kept from `now` on: a one-shot more than a minute in the past, and a recurring
    /// schedule that has no occurrence left.
    ///
    /// Storing a job asks this, unless its past is allowed.
    ///
    /// # Errors
    /// [`ScheduleError::InThePast`] and [`ScheduleError::NothingLeft`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use mainspring::{Schedule, Timestamp};
    ///
    /// let now = Timestamp::from_millis(1_767_225_600_000);
    /// let minute = Duration::from_secs(60);
    /// assert!(Schedule::at(now.minus(minute)).check(now).is_ok());
    /// assert!(Schedule::at(now.minus(minute * 2)).check(now).is_err());
    /// assert!(Schedule::cron("@daily")?.ending_at(now).check(now).is_err());
    /// # Ok::<(), mainspring::ScheduleError>(())
    /// ```
    pub fn check(&self, now: Timestamp) -> Result<(), ScheduleError> {
        let resolved = self.clone().anchored_or(now);
        if self.is_recurring() {
            return match resolved.next_slot(now) {
                Some(_) => Ok(()),
                None => Err(ScheduleError::NothingLeft { schedule: self.to_string(), now }),
            };
        }
        match resolved.next_slot(Timestamp::MIN) {
            Some(at) if now.since(at) > LATEST_PAST => {
                Err(ScheduleError::InThePast { at, late: Span(millis_of(now.since(at))).to_string() })
            }
            Some(_) => Ok(()),
            None => Err(ScheduleError::NothingLeft { schedule: self.to_string(), now }),
        }
    }

    /// The greatest number of runs, if one is set.
    pub fn run_limit(&self) -> Option<u32> {
        self.bounds.max_runs
    }

    /// The last instant at which an occurrence counts, if one is set.
    pub fn end(&self) -> Option<Timestamp> {
        self.bounds.ends_at
    }

    /// The window over which jobs that share the schedule are spread; zero is exact.
    pub fn jitter_window(&self) -> Duration {
        Duration::from_millis(self.bounds.jitter_ms.unsigned_abs())
    }

    /// The name of the calendar of exclusions, if one is set.
    pub fn calendar(&self) -> Option<&str> {
        self.bounds.calendar.as_deref()
    }
}
