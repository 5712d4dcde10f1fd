//! Calendars of excluded days and times of day, shared by name among schedules.

use std::collections::BTreeSet;
use std::str::FromStr;

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::{ScheduleError, zone};
use crate::time::Timestamp;

/// Days and times of day on which jobs do not run, as the clock of one zone shows them.
///
/// An occurrence that a calendar excludes is no run; the ledger of misses says so.
///
/// ```
/// use chrono::{NaiveDate, NaiveTime, TimeDelta, Weekday};
/// use chrono_tz::Europe::Berlin;
/// use mainspring::schedule::Calendar;
///
/// let closed = Calendar::in_tz(Berlin)
///     .weekday(Weekday::Sun)
///     .every_year(12, 25)?
///     .date(NaiveDate::from_ymd_opt(2026, 4, 3).unwrap())
///     .times(NaiveTime::from_hms_opt(22, 0, 0).unwrap(), NaiveTime::from_hms_opt(6, 0, 0).unwrap());
/// assert!(closed.excludes("2026-12-25T11:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap()));
/// assert!(!closed.excludes("2026-12-24T11:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap()));
/// # Ok::<(), mainspring::ScheduleError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CalendarText", into = "CalendarText")]
pub struct Calendar {
    zone: Tz,
    dates: BTreeSet<NaiveDate>,
    yearly: BTreeSet<(u32, u32)>,
    weekdays: BTreeSet<u32>,
    times: Vec<(NaiveTime, NaiveTime)>,
}

impl Calendar {
    /// A calendar that excludes nothing yet, in UTC.
    pub fn new() -> Self {
        Self::in_tz(Tz::UTC)
    }

    /// A calendar that excludes nothing yet, in this zone.
    pub fn in_tz(zone: Tz) -> Self {
        Self {
            zone,
            dates: BTreeSet::new(),
            yearly: BTreeSet::new(),
            weekdays: BTreeSet::new(),
            times: Vec::new(),
        }
    }

    /// Excludes one date.
    #[must_use]
    pub fn date(mut self, date: NaiveDate) -> Self {
        self.dates.insert(date);
        self
    }

    /// Excludes each date from `first` to `last`, both included; at most 10,000 of them.
    #[must_use]
    pub fn dates(mut self, first: NaiveDate, last: NaiveDate) -> Self {
        /// Twenty-seven years: a calendar is a list of holidays, and longer ends are for `ending_at`.
        const MOST_DATES: usize = 10_000;
        self.dates.extend(first.iter_days().take_while(|date| *date <= last).take(MOST_DATES));
        self
    }

    /// Excludes one day of each year.
    ///
    /// # Errors
    /// No year has such a day.
    pub fn every_year(mut self, month: u32, day: u32) -> Result<Self, ScheduleError> {
        const A_LEAP_YEAR: i32 = 2000;
        match NaiveDate::from_ymd_opt(A_LEAP_YEAR, month, day) {
            Some(_) => {
                self.yearly.insert((month, day));
                Ok(self)
            }
            None => Err(refused("day", &format!("{month:02}-{day:02}"), "a month and a day of it")),
        }
    }

    /// Excludes one day of the week.
    #[must_use]
    pub fn weekday(mut self, weekday: Weekday) -> Self {
        self.weekdays.insert(weekday.num_days_from_monday());
        self
    }

    /// Excludes the time of day from `from` until before `until`, on every day; past midnight if `until` is
    /// the earlier one, and all day if both are the same.
    #[must_use]
    pub fn times(mut self, from: NaiveTime, until: NaiveTime) -> Self {
        self.times.push((from, until));
        self
    }

    /// The zone whose clock is meant.
    pub fn time_zone(&self) -> Tz {
        self.zone
    }

    /// Whether an occurrence at this instant is left out.
    pub fn excludes(&self, instant: impl Into<Timestamp>) -> bool {
        self.local_at(instant.into()).is_some_and(|(local, _)| self.excludes_local(local))
    }

    /// Until when at least the answer to [`excludes`](Self::excludes) stays what it is at `instant`; an instant
    /// after it, and seldom more than a day.
    pub(crate) fn unchanged_until(&self, instant: Timestamp) -> Option<Timestamp> {
        let (local, offset) = self.local_at(instant)?;
        let until = self.next_edge(local)?.checked_sub_signed(offset)?.and_utc().into();
        // If the clock is set on the way, look again at that moment.
        Some(self.change_between(instant, until).unwrap_or(until))
    }

    /// Since when at least the answer to [`excludes`](Self::excludes) is what it is at `instant`; `instant` itself
    /// at the latest.
    pub(crate) fn unchanged_since(&self, instant: Timestamp) -> Option<Timestamp> {
        let (local, offset) = self.local_at(instant)?;
        let since = self.last_edge(local).checked_sub_signed(offset)?.and_utc().into();
        Some(self.change_between(since, instant).unwrap_or(since))
    }

    /// The local time and its offset.
    fn local_at(&self, instant: Timestamp) -> Option<(NaiveDateTime, TimeDelta)> {
        let offset = TimeDelta::seconds(zone::offset_at(self.zone, instant.millis().div_euclid(1_000)));
        Some((instant.to_datetime().naive_utc().checked_add_signed(offset)?, offset))
    }

    /// The instant in (`after`, `until`] at which the clock is set, if it is.
    fn change_between(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let (after_s, until_s) = (after.millis().div_euclid(1_000), until.millis().div_euclid(1_000));
        if zone::offset_at(self.zone, after_s) == zone::offset_at(self.zone, until_s) {
            return None;
        }
        let change_s = zone::change_between(self.zone, after_s, until_s);
        Some(Timestamp::from_millis(change_s.saturating_mul(1_000)))
    }

    fn excludes_local(&self, local: NaiveDateTime) -> bool {
        let (date, time) = (local.date(), local.time());
        self.dates.contains(&date)
            || self.yearly.contains(&(date.month(), date.day()))
            || self.weekdays.contains(&date.weekday().num_days_from_monday())
            || self.times.iter().any(|&(from, until)| match from < until {
                true => from <= time && time < until,
                false => from <= time || time < until,
            })
    }

    /// The next local midnight or edge of an excluded time of day after `local`.
    fn next_edge(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        let midnight = local.date().checked_add_days(Days::new(1))?.and_time(NaiveTime::MIN);
        let edges = self.times.iter().flat_map(|&(from, until)| [from, until]);
        edges
            .filter(|&edge| edge > local.time())
            .map(|edge| local.date().and_time(edge))
            .chain([midnight])
            .min()
    }

    /// The last local midnight or edge of an excluded time of day at `local` or before.
    fn last_edge(&self, local: NaiveDateTime) -> NaiveDateTime {
        let edges = self.times.iter().flat_map(|&(from, until)| [from, until]);
        let edge = edges.filter(|&edge| edge <= local.time()).max().unwrap_or(NaiveTime::MIN);
        local.date().and_time(edge)
    }
}

impl Default for Calendar {
    fn default() -> Self {
        Self::new()
    }
}

/// A calendar as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CalendarText {
    time_zone: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dates: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    every_year: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    weekdays: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    times: Vec<[String; 2]>,
}

impl From<Calendar> for CalendarText {
    fn from(calendar: Calendar) -> Self {
        let weekday = |&day: &u32| Weekday::try_from(u8::try_from(day).unwrap_or(0)).ok();
        Self {
            time_zone: calendar.zone.name().to_owned(),
            dates: calendar.dates.iter().map(ToString::to_string).collect(),
            every_year: calendar.yearly.iter().map(|(month, day)| format!("{month:02}-{day:02}")).collect(),
            weekdays: calendar.weekdays.iter().filter_map(weekday).map(|day| day.to_string()).collect(),
            times: calendar.times.iter().map(|(from, until)| [from.to_string(), until.to_string()]).collect(),
        }
    }
}

impl TryFrom<CalendarText> for Calendar {
    type Error = ScheduleError;

    fn try_from(text: CalendarText) -> Result<Self, ScheduleError> {
        let zone = Tz::from_str(&text.time_zone)
            .map_err(|_| ScheduleError::TimeZone { name: text.time_zone.clone() })?;
        let mut calendar = Self::in_tz(zone);
        for date in &text.dates {
            calendar = calendar
                .date(date.parse().map_err(|_| refused("date", date, "a date such as \"2026-12-24\""))?);
        }
        for day in &text.every_year {
            let wrong = || refused("day", day, "a month and a day such as \"12-25\"");
            let (month, of_month) = day.split_once('-').ok_or_else(wrong)?;
            let number = |digits: &str| digits.parse::<u32>().map_err(|_| wrong());
            calendar = calendar.every_year(number(month)?, number(of_month)?)?;
        }
        for day in &text.weekdays {
            let weekday = day.parse().map_err(|_| refused("weekday", day, "a name such as \"Sun\""))?;
            calendar = calendar.weekday(weekday);
        }
        for [from, until] in &text.times {
            let time = |text: &String| {
                text.parse().map_err(|_| refused("time of day", text, "a time such as \"22:00:00\""))
            };
            calendar = calendar.times(time(from)?, time(until)?);
        }
        Ok(calendar)
    }
}

fn refused(what: &'static str, text: &str, allowed: &'static str) -> ScheduleError {
    ScheduleError::Calendar { what, text: text.to_owned(), allowed }
}
