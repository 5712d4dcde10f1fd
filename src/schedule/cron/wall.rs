//! Occurrences on a clock on the wall, without zones: the `cron` crate, and what it cannot say in front of it.
//!
//! Wall time is counted in seconds, as if the wall were in Greenwich.

use std::fmt::Write as _;
use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Utc};

use super::days::{Days, LONGEST_WAIT_YEARS};
use super::parse::Fields;

/// The seconds of the years that the engine knows, 1970 to 2100.
const ENGINE_SECONDS: std::ops::Range<i64> = 0..4_133_980_800;
/// Each of the 14 kinds of year (a weekday of 1 January, leap or not) occurs among these.
const EVERY_KIND_OF_YEAR: std::ops::Range<i32> = 1972..2000;
const KINDS_OF_YEAR: u32 = 14;
const SECONDS_OF_A_DAY: i64 = 86_400;

/// An expression as a function of wall-clock time.
#[derive(Clone, Debug)]
pub(super) struct Wall {
    /// One, or two of which either may match.
    alternatives: Vec<Alternative>,
}

/// One set of days with the times of day on them.
#[derive(Clone, Debug)]
struct Alternative {
    days: Days,
    /// Which kinds of year have such a day at all.
    kinds: u32,
    /// Knows the days too if they are plain, otherwise only the times of day.
    engine: cron::Schedule,
}

impl Wall {
    /// `None` if no year has an occurrence.
    pub(super) fn new(fields: &Fields) -> Result<Option<Self>, cron::error::Error> {
        let mut alternatives = Vec::with_capacity(2);
        for days in fields.days() {
            let kinds = kinds_of_year(&days);
            if kinds != 0 {
                let engine = cron::Schedule::from_str(&engine_text(fields, &days))?;
                alternatives.push(Alternative { days, kinds, engine });
            }
        }
        Ok((!alternatives.is_empty()).then_some(Self { alternatives }))
    }

    /// The first occurrence after `wall`.
    pub(super) fn after(&self, wall: i64) -> Option<i64> {
        self.alternatives.iter().filter_map(|days| days.after(wall)).min()
    }

    /// The last occurrence before `wall`.
    pub(super) fn before(&self, wall: i64) -> Option<i64> {
        self.alternatives.iter().filter_map(|days| days.before(wall)).max()
    }
}

impl Alternative {
    fn after(&self, wall: i64) -> Option<i64> {
        if !self.days.is_plain() {
            return self.special_after(wall);
        }
        let mut from = wall.checked_add(1)?;
        if ENGINE_SECONDS.contains(&from) {
            if let Some(found) = self.ask_after(wall) {
                return Some(found);
            }
            from = ENGINE_SECONDS.end;
        }
        // Outside of the engine's years, each year is looked up as one of its kind that the engine knows.
        let mut from = date_time(from)?;
        for _ in 0..=LONGEST_WAIT_YEARS {
            let year = from.year();
            if let Some(known) = self.known_year_like(year)
                && let Some(found) = self.ask_after(seconds(from.with_year(known)?) - 1)
                && let Some(found) = date_time(found).filter(|found| found.year() == known)
            {
                return found.with_year(year).map(seconds);
            }
            from = new_year(year + 1)?;
        }
        None
    }

    fn before(&self, wall: i64) -> Option<i64> {
        if !self.days.is_plain() {
            return self.special_before(wall);
        }
        let mut last = wall.checked_sub(1)?;
        if ENGINE_SECONDS.contains(&last) {
            if let Some(found) = self.ask_before(wall) {
                return Some(found);
            }
            last = ENGINE_SECONDS.start - 1;
        }
        let mut last = date_time(last)?;
        for _ in 0..=LONGEST_WAIT_YEARS {
            let year = last.year();
            if let Some(known) = self.known_year_like(year)
                && let Some(found) = self.ask_before(seconds(last.with_year(known)?) + 1)
                && let Some(found) = date_time(found).filter(|found| found.year() == known)
            {
                return found.with_year(year).map(seconds);
            }
            last = date_time(seconds(new_year(year)?) - 1)?;
        }
        None
    }

    /// Days that the engine cannot name are found in the calendar, and the engine is asked for the time of day.
    fn special_after(&self, wall: i64) -> Option<i64> {
        let from = date_time(wall.checked_add(1)?)?;
        let mut date = self.days.on_or_after(from.date())?;
        let mut time = wall.rem_euclid(SECONDS_OF_A_DAY);
        // After the last second of a day comes the next day, as before its first.
        if date != from.date() || time == SECONDS_OF_A_DAY - 1 {
            time = -1;
        }
        if let Some(found) =
            self.ask_after(SECONDS_OF_A_DAY + time).filter(|found| *found < 2 * SECONDS_OF_A_DAY)
        {
            return Some(midnight(date) + found - SECONDS_OF_A_DAY);
        }
        date = self.days.on_or_after(date.succ_opt()?)?;
        Some(midnight(date) + self.ask_after(SECONDS_OF_A_DAY - 1)? - SECONDS_OF_A_DAY)
    }

    fn special_before(&self, wall: i64) -> Option<i64> {
        let to = date_time(wall)?;
        let mut date = self.days.on_or_before(to.date())?;
        let time = if date == to.date() { wall.rem_euclid(SECONDS_OF_A_DAY) } else { SECONDS_OF_A_DAY };
        if let Some(found) =
            self.ask_before(SECONDS_OF_A_DAY + time).filter(|found| *found >= SECONDS_OF_A_DAY)
        {
            return Some(midnight(date) + found - SECONDS_OF_A_DAY);
        }
        date = self.days.on_or_before(date.pred_opt()?)?;
        Some(midnight(date) + self.ask_before(2 * SECONDS_OF_A_DAY)? - SECONDS_OF_A_DAY)
    }

    /// The engine's first answer after `wall`, a second before its years or in them.
    fn ask_after(&self, wall: i64) -> Option<i64> {
        self.engine.after(&utc(wall)?).next().map(|found| found.timestamp())
    }

    /// The engine's last answer before `wall`, a second of its years or right after them.
    fn ask_before(&self, wall: i64) -> Option<i64> {
        self.engine.after(&utc(wall)?).next_back().map(|found| found.timestamp())
    }

    /// A year that the engine knows with the weekdays and the length of `year`, if such a year has occurrences.
    fn known_year_like(&self, year: i32) -> Option<i32> {
        let kind = kind_of_year(year)?;
        if self.kinds & 1 << kind == 0 {
            return None;
        }
        EVERY_KIND_OF_YEAR.into_iter().find(|&known| kind_of_year(known) == Some(kind))
    }
}

/// The kind of a year, 0 to 13: twice the weekday of its 1 January, and one more for a leap year.
fn kind_of_year(year: i32) -> Option<u32> {
    let first = NaiveDate::from_ymd_opt(year, 1, 1)?;
    Some(first.weekday().num_days_from_sunday() * 2 + u32::from(first.leap_year()))
}

/// The kinds of year that have one of these days.
fn kinds_of_year(days: &Days) -> u32 {
    let occurs = |kind: &u32| days.occur_in_year(kind / 2, kind % 2 == 1);
    (0..KINDS_OF_YEAR).filter(occurs).fold(0, |kinds, kind| kinds | 1 << kind)
}

fn utc(wall: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(wall, 0)
}

fn date_time(wall: i64) -> Option<NaiveDateTime> {
    utc(wall).map(|utc| utc.naive_utc())
}

fn seconds(wall: NaiveDateTime) -> i64 {
    wall.and_utc().timestamp()
}

fn midnight(date: NaiveDate) -> i64 {
    seconds(date.and_time(NaiveTime::MIN))
}

fn new_year(year: i32) -> Option<NaiveDateTime> {
    Some(NaiveDate::from_ymd_opt(year, 1, 1)?.and_time(NaiveTime::MIN))
}

/// The expression in the engine's own dialect: seconds first, Sunday is 1, and nothing but numbers.
fn engine_text(fields: &Fields, days: &Days) -> String {
    let mut text = String::with_capacity(64);
    push_values(&mut text, fields.seconds, 0..=59, 0);
    push_values(&mut text, fields.minutes, 0..=59, 0);
    push_values(&mut text, fields.hours, 0..=23, 0);
    if days.is_plain() {
        push_values(&mut text, days.month_days.plain, 1..=31, 0);
        push_values(&mut text, days.months, 1..=12, 0);
        push_values(&mut text, days.week_days.plain, 0..=6, 1);
    } else {
        text.push_str("* * *");
    }
    text
}

/// Writes one field: `*` if it takes every value, otherwise its values, each plus `shift`.
fn push_values(text: &mut String, bits: u64, mut range: std::ops::RangeInclusive<u32>, shift: u32) {
    if range.all(|value| bits & 1 << value != 0) {
        text.push('*');
    } else {
        let mut separator = "";
        for value in (0..64).filter(|value| bits & 1 << value != 0) {
            // Writing to a String cannot fail.
            let _ = write!(text, "{separator}{}", value + shift);
            separator = ",";
        }
    }
    text.push(' ');
}
