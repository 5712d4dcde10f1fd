//! Schedules as the columns of a row.

use std::str::FromStr;
use std::sync::Arc;

use chrono_tz::Tz;

use super::bounds::Bounds;
use super::cron::Cron;
use super::{Gap, LocalText, Rule, Schedule, ScheduleError, span};
use crate::time::Timestamp;

/// What the columns of a job's row hold of its schedule; instants and durations are in milliseconds.
///
/// [`Schedule::to_stored`] and [`Schedule::from_stored`] are each other's inverse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredSchedule {
    /// `at`, `every`, `after_each` or `cron`.
    pub kind: String,
    /// The schedule as its user wrote it.
    pub text: String,
    /// The IANA name of the zone: always set for `cron`, and for an `at` that was given in local time.
    pub time_zone: Option<String>,
    /// The instant of an `at`.
    pub at_ms: Option<i64>,
    /// The step of an `every`, the delay of an `after_each`.
    pub every_ms: Option<i64>,
    /// The anchor of an `every`; NULL until the job is stored.
    pub anchor_ms: Option<i64>,
    /// `run_after` or `skip`, for `cron`.
    pub gap: Option<String>,
    /// No occurrence before.
    pub starts_at_ms: Option<i64>,
    /// No occurrence after.
    pub ends_at_ms: Option<i64>,
    /// The greatest number of runs.
    pub max_runs: Option<i64>,
    /// The window of the jitter; NULL is exact.
    pub jitter_ms: Option<i64>,
    /// The name of a calendar of exclusions.
    pub calendar: Option<String>,
}

impl Schedule {
    /// The columns that hold this schedule.
    pub fn to_stored(&self) -> StoredSchedule {
        let mut stored = StoredSchedule {
            kind: self.kind().as_str().to_owned(),
            text: self.to_string(),
            starts_at_ms: self.bounds.starts_at.map(Timestamp::millis),
            ends_at_ms: self.bounds.ends_at.map(Timestamp::millis),
            max_runs: self.bounds.max_runs.map(i64::from),
            jitter_ms: Some(self.bounds.jitter_ms).filter(|&ms| ms != 0),
            calendar: self.bounds.calendar.clone(),
            ..StoredSchedule::default()
        };
        match &self.rule {
            Rule::At { at, local } => {
                stored.at_ms = Some(at.millis());
                stored.time_zone = local.as_ref().map(|local| local.zone.name().to_owned());
            }
            Rule::After { at, .. } => stored.at_ms = at.map(Timestamp::millis),
            Rule::Every { every_ms, anchor } => {
                stored.every_ms = Some(*every_ms);
                stored.anchor_ms = anchor.map(Timestamp::millis);
            }
            Rule::AfterEach { delay_ms } => stored.every_ms = Some(*delay_ms),
            Rule::Cron { zone, gap, .. } => {
                stored.time_zone = Some(zone.name().to_owned());
                stored.gap = Some(gap.as_str().to_owned());
            }
        }
        stored
    }

    /// Reads the columns back.
    ///
    /// # Errors
    /// A row that was edited by hand may hold anything: the error names the column, what it holds and what is
    /// allowed there.
    ///
    /// ```
    /// use mainspring::Schedule;
    ///
    /// let schedule = Schedule::cron("0 8 * * *")?;
    /// let mut row = schedule.to_stored();
    /// assert_eq!(Schedule::from_stored(&row)?, schedule);
    /// row.time_zone = Some("Mars/Olympus".to_owned());
    /// assert!(Schedule::from_stored(&row).is_err());
    /// # Ok::<(), mainspring::ScheduleError>(())
    /// ```
    pub fn from_stored(stored: &StoredSchedule) -> Result<Self, ScheduleError> {
        let rule = match stored.kind.as_str() {
            "at" => at_rule(stored)?,
            "every" => {
                Rule::Every { every_ms: step(stored)?, anchor: instant("anchor_ms", stored.anchor_ms)? }
            }
            "after_each" => Rule::AfterEach { delay_ms: step(stored)? },
            "cron" => Rule::Cron {
                cron: Arc::new(Cron::parse(&stored.text)?),
                zone: zone(stored.time_zone.as_deref())?.unwrap_or(Tz::UTC),
                gap: gap(stored.gap.as_deref())?,
            },
            _ => return Err(wrong("schedule_kind", &stored.kind, "at, every, after_each or cron")),
        };
        Ok(Self { rule, bounds: bounds(stored)? })
    }
}

/// An instant, a local time or a delay: the text tells the last, the zone the second.
fn at_rule(stored: &StoredSchedule) -> Result<Rule, ScheduleError> {
    let at = instant("at_ms", stored.at_ms)?;
    if let Some(delay_ms) = stored.text.strip_prefix("in ").and_then(span::parse) {
        return Ok(Rule::After { delay_ms, at });
    }
    let Some(at) = at else {
        return Err(wrong("at_ms", "", "an instant in milliseconds since 1970"));
    };
    let zone = zone(stored.time_zone.as_deref())?;
    let local = zone.map(|zone| LocalText { text: stored.text.clone(), zone });
    Ok(Rule::At { at, local })
}

fn bounds(stored: &StoredSchedule) -> Result<Bounds, ScheduleError> {
    let max_runs = match stored.max_runs {
        None => None,
        Some(runs) => Some(
            u32::try_from(runs)
                .map_err(|_| wrong("max_runs", &runs.to_string(), "0 to 4294967295, or NULL"))?,
        ),
    };
    let jitter_ms = stored.jitter_ms.unwrap_or(0);
    if jitter_ms < 0 {
        return Err(wrong("jitter_ms", &jitter_ms.to_string(), "0 or more, or NULL"));
    }
    Ok(Bounds {
        starts_at: instant("starts_at_ms", stored.starts_at_ms)?,
        ends_at: instant("ends_at_ms", stored.ends_at_ms)?,
        max_runs,
        jitter_ms,
        calendar: stored.calendar.clone(),
    })
}

fn step(stored: &StoredSchedule) -> Result<i64, ScheduleError> {
    match stored.every_ms {
        Some(ms) if ms > 0 => Ok(ms),
        other => {
            let value = other.map(|ms| ms.to_string()).unwrap_or_default();
            Err(wrong("every_ms", &value, "1 or more milliseconds"))
        }
    }
}

fn instant(column: &'static str, ms: Option<i64>) -> Result<Option<Timestamp>, ScheduleError> {
    match ms {
        Some(ms) if Timestamp::from_millis(ms).millis() != ms => {
            Err(wrong(column, &ms.to_string(), "milliseconds since 1970 that a date can show"))
        }
        other => Ok(other.map(Timestamp::from_millis)),
    }
}

fn zone(name: Option<&str>) -> Result<Option<Tz>, ScheduleError> {
    match name {
        None => Ok(None),
        Some(name) => match Tz::from_str(name) {
            Ok(zone) => Ok(Some(zone)),
            Err(_) => Err(ScheduleError::TimeZone { name: name.to_owned() }),
        },
    }
}

fn gap(word: Option<&str>) -> Result<Gap, ScheduleError> {
    match word {
        None | Some("run_after") => Ok(Gap::RunAfter),
        Some("skip") => Ok(Gap::Skip),
        Some(other) => Err(wrong("gap", other, "run_after, skip or NULL")),
    }
}

fn wrong(column: &'static str, value: &str, allowed: &'static str) -> ScheduleError {
    ScheduleError::Stored { column, value: value.to_owned(), allowed }
}
