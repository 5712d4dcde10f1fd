//! Occurrences on a clock on the wall, without zones: the `cron` crate, and what it cannot say in front of it.

use std::fmt::Write as _;
use std::str::FromStr;

use chrono::{Datelike, Days as Add, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};

use super::days::{Days, LONGEST_WAIT_YEARS};
use super::parse::Fields;

/// The years that the engine knows.
const ENGINE_YEARS: std::ops::RangeInclusive<i32> = 1970..=2100;
/// Each of the 14 kinds of year (a weekday of 1 January, leap or not) occurs among these.
const EVERY_KIND_OF_YEAR: std::ops::Range<i32> = 1972..2000;
const A_SECOND: TimeDelta = TimeDelta::seconds(1);

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
    kinds: u16,
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

    /// The first occurrence at `from` or later.
    pub(super) fn at_or_after(&self, from: NaiveDateTime) -> Option<NaiveDateTime> {
        self.alternatives.iter().filter_map(|days| days.at_or_after(from)).min()
    }

    /// The last occurrence before `to`.
    pub(super) fn before(&self, to: NaiveDateTime) -> Option<NaiveDateTime> {
        self.alternatives.iter().filter_map(|days| days.before(to)).max()
    }
}

impl Alternative {
    fn at_or_after(&self, from: NaiveDateTime) -> Option<NaiveDateTime> {
        let from = whole_second_from(from)?;
        if !self.days.is_plain() {
            return self.special_at_or_after(from);
        }
        let mut from = from;
        if ENGINE_YEARS.contains(&from.year()) {
            if let Some(found) = self.ask_from(from) {
                return Some(found);
            }
            from = first_second_of(ENGINE_YEARS.end() + 1)?;
        }
        // Outside of the engine's years, each year is looked up as one of its kind that the engine knows.
        for _ in 0..=LONGEST_WAIT_YEARS {
            let year = from.year();
            if let Some(known) = self.known_year_like(year)
                && let Some(found) =
                    self.ask_from(from.with_year(known)?).filter(|found| found.year() == known)
            {
                return found.with_year(year);
            }
            from = first_second_of(year + 1)?;
        }
        None
    }

    fn before(&self, to: NaiveDateTime) -> Option<NaiveDateTime> {
        if !self.days.is_plain() {
            return self.special_before(to);
        }
        // The year of the last second that may match: at midnight of 1 January it is the year before.
        let mut to = to;
        let mut year = last_second_before(to)?.year();
        if ENGINE_YEARS.contains(&year) {
            if let Some(found) = self.ask_before(to) {
                return Some(found);
            }
            year = ENGINE_YEARS.start() - 1;
            to = first_second_of(*ENGINE_YEARS.start())?;
        }
        for _ in 0..=LONGEST_WAIT_YEARS {
            if let Some(known) = self.known_year_like(year) {
                let known_to =
                    if to.year() == year { to.with_year(known)? } else { first_second_of(known + 1)? };
                if let Some(found) = self.ask_before(known_to).filter(|found| found.year() == known) {
                    return found.with_year(year);
                }
            }
            to = first_second_of(year)?;
            year -= 1;
        }
        None
    }

    /// Days that the engine cannot name are found by arithmetic, and the engine is asked for the time of day.
    fn special_at_or_after(&self, from: NaiveDateTime) -> Option<NaiveDateTime> {
        let mut date = self.days.on_or_after(from.date())?;
        if date == from.date() {
            let same_day = known_day()?.and_time(from.time());
            if let Some(found) = self.ask_from(same_day).filter(|found| found.date() == same_day.date()) {
                return Some(date.and_time(found.time()));
            }
            date = self.days.on_or_after(date.succ_opt()?)?;
        }
        Some(date.and_time(self.ask_from(known_day()?.and_time(NaiveTime::MIN))?.time()))
    }

    fn special_before(&self, to: NaiveDateTime) -> Option<NaiveDateTime> {
        let mut date = self.days.on_or_before(to.date())?;
        if date == to.date() {
            let same_day = known_day()?.and_time(to.time());
            if let Some(found) = self.ask_before(same_day).filter(|found| found.date() == same_day.date()) {
                return Some(date.and_time(found.time()));
            }
            date = self.days.on_or_before(date.pred_opt()?)?;
        }
        let next_day = known_day()?.checked_add_days(Add::new(1))?.and_time(NaiveTime::MIN);
        Some(date.and_time(self.ask_before(next_day)?.time()))
    }

    /// The engine's first answer at `from`, a whole second of a year that it knows, or later.
    fn ask_from(&self, from: NaiveDateTime) -> Option<NaiveDateTime> {
        let just_before = from.checked_sub_signed(A_SECOND)?;
        self.engine.after(&just_before.and_utc()).next().map(|found| found.naive_utc())
    }

    /// The engine's last answer before `to`, in a year that it knows.
    fn ask_before(&self, to: NaiveDateTime) -> Option<NaiveDateTime> {
        self.engine.after(&to.and_utc()).next_back().map(|found| found.naive_utc())
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

/// A day of a year that the engine knows, in a month that the engine's text for special days never leaves out.
fn known_day() -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(2000, 1, 1)
}

/// The kind of a year, 0 to 13: the weekday of its 1 January and whether it is a leap year.
fn kind_of_year(year: i32) -> Option<u32> {
    let first = NaiveDate::from_ymd_opt(year, 1, 1)?;
    Some(first.weekday().num_days_from_sunday() * 2 + u32::from(first.leap_year()))
}

/// The kinds of year that have one of these days.
fn kinds_of_year(days: &Days) -> u16 {
    let mut kinds = 0;
    for year in EVERY_KIND_OF_YEAR {
        if let Some(kind) = kind_of_year(year)
            && kinds & 1 << kind == 0
            && let Some(start) = NaiveDate::from_ymd_opt(year, 1, 1)
            && days.on_or_after(start).is_some_and(|found| found.year() == year)
        {
            kinds |= 1 << kind;
        }
    }
    kinds
}

fn first_second_of(year: i32) -> Option<NaiveDateTime> {
    Some(NaiveDate::from_ymd_opt(year, 1, 1)?.and_time(NaiveTime::MIN))
}

/// The first whole second at `time` or later.
fn whole_second_from(time: NaiveDateTime) -> Option<NaiveDateTime> {
    let whole = time.with_nanosecond(0)?;
    if whole == time { Some(time) } else { whole.checked_add_signed(A_SECOND) }
}

/// The last whole second before `time`.
fn last_second_before(time: NaiveDateTime) -> Option<NaiveDateTime> {
    let whole = time.with_nanosecond(0)?;
    if whole == time { whole.checked_sub_signed(A_SECOND) } else { Some(whole) }
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
