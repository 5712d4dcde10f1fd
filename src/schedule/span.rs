//! Durations as text: `1h30m`, exact to the millisecond and read back as written.

use std::fmt;
use std::time::Duration;

use super::ScheduleError;
use crate::time::millis_of;

const UNITS: [(i64, &str); 5] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];

/// Milliseconds, shown as days, hours, minutes, seconds and milliseconds.
pub(super) struct Span(pub(super) i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 <= 0 {
            return write!(f, "{}ms", self.0);
        }
        let mut rest = self.0;
        for (unit_ms, unit) in UNITS {
            if rest >= unit_ms {
                write!(f, "{}{unit}", rest / unit_ms)?;
                rest %= unit_ms;
            }
        }
        Ok(())
    }
}

/// Reads what [`Span`] shows.
pub(super) fn parse(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(letters)?;
        let (unit_ms, _) = UNITS.iter().find(|(_, name)| *name == unit)?;
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(*unit_ms)?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

/// A duration in whole milliseconds that is at least `least_ms`.
pub(super) fn millis(
    what: &'static str,
    duration: Duration,
    least_ms: i64,
    allowed: &'static str,
) -> Result<i64, ScheduleError> {
    let ms = millis_of(duration);
    if ms < least_ms || ms == i64::MAX || !duration.subsec_nanos().is_multiple_of(1_000_000) {
        return Err(ScheduleError::Interval { what, given: format!("{duration:?}"), allowed });
    }
    Ok(ms)
}
