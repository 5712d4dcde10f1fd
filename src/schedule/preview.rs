//! The next occurrences, with a note where the clocks change.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::zone::{self, Local};
use super::{Rule, Schedule};

/// One of the next occurrences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// When it is.
    pub at: DateTime<Utc>,
    /// The same instant on the clock of the schedule's zone.
    pub local: DateTime<Tz>,
    /// What the clock of that zone has to do with it, if anything.
    pub clock_change: Option<ClockChange>,
}

/// A change of clocks that an occurrence meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClockChange {
    /// The clocks were set forward between the occurrence before and this one, which the jump did not move.
    SetForward {
        /// By how much.
        by: TimeDelta,
    },
    /// The local time that was meant was jumped over: this is the first instant after it.
    MovedAfterGap {
        /// By how much the clocks were set forward.
        by: TimeDelta,
    },
    /// The clocks were set back between the occurrence before and this one.
    SetBack {
        /// By how much.
        by: TimeDelta,
    },
    /// This local time comes twice, and this is the first time.
    FirstOfTwo,
    /// This local time comes twice, and this is the second time.
    SecondOfTwo,
}

impl fmt::Display for ClockChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = |by: &TimeDelta| super::Span(by.num_milliseconds());
        match self {
            Self::SetForward { by } => write!(f, "the clocks were set forward by {}", span(by)),
            Self::MovedAfterGap { by } => {
                write!(f, "right after the clocks were set forward by {} over its time", span(by))
            }
            Self::SetBack { by } => write!(f, "the clocks were set back by {}", span(by)),
            Self::FirstOfTwo => f.write_str("this local time comes twice; this is the first"),
            Self::SecondOfTwo => f.write_str("this local time comes twice; this is the second"),
        }
    }
}

impl Schedule {
    /// The first `n` occurrences after `from`, each with what a change of clocks in the schedule's zone has
    /// to do with it.
    ///
    /// ```
    /// use chrono_tz::Europe::Berlin;
    /// use mainspring::Schedule;
    ///
    /// let schedule = Schedule::cron("30 2 * * *")?.in_tz(Berlin);
    /// let days = schedule.preview("2026-03-28T12:00:00Z".parse()?, 2);
    /// assert_eq!(days[0].local.to_string(), "2026-03-29 03:00:00 CEST");
    /// let note = days[0].clock_change.unwrap().to_string();
    /// assert_eq!(note, "right after the clocks were set forward by 1h over its time");
    /// assert_eq!(days[1].local.to_string(), "2026-03-30 02:30:00 CEST");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn preview(&self, from: DateTime<Utc>, n: usize) -> Vec<Preview> {
        let zone = self.time_zone();
        let mut before = from;
        let mut previews = Vec::new();
        for at in self.upcoming(from).take(n) {
            let clock_change = self.clock_change(zone, before.timestamp(), at.timestamp());
            previews.push(Preview { at, local: at.with_timezone(&zone), clock_change });
            before = at;
        }
        previews
    }

    fn clock_change(&self, zone: Tz, before: i64, at: i64) -> Option<ClockChange> {
        let offset = zone::offset_at(zone, at);
        if let Local::Twice(first, _) = zone::resolve(zone, at + offset) {
            return Some(if first == at { ClockChange::FirstOfTwo } else { ClockChange::SecondOfTwo });
        }
        let by = TimeDelta::seconds(offset - zone::offset_at(zone, before));
        if by < TimeDelta::zero() {
            return Some(ClockChange::SetBack { by: -by });
        }
        if by == TimeDelta::zero() {
            return None;
        }
        let moved = match &self.rule {
            Rule::Cron { cron, .. } => !cron.matches_wall(at + offset),
            _ => false,
        };
        Some(if moved { ClockChange::MovedAfterGap { by } } else { ClockChange::SetForward { by } })
    }
}
