//! Occurrences on a clock on the wall, without zones: days by arithmetic, times of day by the `cron` crate.
//!
//! Wall time is counted in seconds, as if the wall were in Greenwich.

use std::fmt::Write as _;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc};

use super::days::Days;
use super::parse::Fields;

pub(super) const SECONDS_OF_A_DAY: i64 = 86_400;
/// The day on which the engine is asked for times of day, the first that it knows; and how it writes that day: day of
/// the month, month, any weekday, year.
const ENGINE_DAY: DateTime<Utc> = DateTime::UNIX_EPOCH;
const ENGINE_DAY_TEXT: &str = "1 1 * 1970";

/// An expression as a function of wall-clock time.
#[derive(Clone, Debug)]
pub(super) struct Wall {
    days: Days,
    /// Knows the times of day, and of days its own alone: the fewer it knows, the sooner it answers.
    engine: cron::Schedule,
    /// The engine's first and last time of a day: most questions about a day need no more.
    first_time: i64,
    last_time: i64,
}

impl Wall {
    /// `None` if no year has an occurrence.
    pub(super) fn new(fields: &Fields) -> Result<Option<Self>, cron::error::Error> {
        if !fields.days.ever_occur() {
            return Ok(None);
        }
        let engine = cron::Schedule::from_str(&engine_text(fields))?;
        let (before, after) = (ENGINE_DAY - TimeDelta::seconds(1), ENGINE_DAY + TimeDelta::days(1));
        let first = engine.after(&before).next().map(time_of_day);
        let last = engine.after(&after).next_back().map(time_of_day);
        Ok(first.zip(last).map(|(first_time, last_time)| Self {
            days: fields.days,
            engine,
            first_time,
            last_time,
        }))
    }

    /// The first occurrence after `wall`.
    pub(super) fn after(&self, wall: i64) -> Option<i64> {
        let (today, time) = (date(wall)?, wall.rem_euclid(SECONDS_OF_A_DAY));
        let is_over = time >= self.last_time;
        let date = self.days.on_or_after(if is_over { today.succ_opt()? } else { today })?;
        let time = if date == today { self.time_after(time)? } else { self.first_time };
        Some(midnight(date) + time)
    }

    /// The last occurrence before `wall`.
    pub(super) fn before(&self, wall: i64) -> Option<i64> {
        let (today, time) = (date(wall)?, wall.rem_euclid(SECONDS_OF_A_DAY));
        let has_not_begun = time <= self.first_time;
        let date = self.days.on_or_before(if has_not_begun { today.pred_opt()? } else { today })?;
        let time = if date == today { self.time_before(time)? } else { self.last_time };
        Some(midnight(date) + time)
    }

    fn time_after(&self, time: i64) -> Option<i64> {
        self.engine.after(&on_engine_day(time)?).next().map(time_of_day)
    }

    fn time_before(&self, time: i64) -> Option<i64> {
        self.engine.after(&on_engine_day(time)?).next_back().map(time_of_day)
    }
}

/// What the wall shows at `time` on the engine's day.
fn on_engine_day(time: i64) -> Option<DateTime<Utc>> {
    let time = NaiveTime::from_num_seconds_from_midnight_opt(u32::try_from(time).ok()?, 0)?;
    Some(ENGINE_DAY.naive_utc().date().and_time(time).and_utc())
}

fn time_of_day(at: DateTime<Utc>) -> i64 {
    i64::from(at.naive_utc().num_seconds_from_midnight())
}

/// The day that the wall shows.
pub(super) fn date(wall: i64) -> Option<NaiveDate> {
    NaiveDate::from_epoch_days(i32::try_from(wall.div_euclid(SECONDS_OF_A_DAY)).ok()?)
}

fn midnight(date: NaiveDate) -> i64 {
    i64::from(date.to_epoch_days()) * SECONDS_OF_A_DAY
}

/// The times of day in the engine's own dialect: seconds first, and nothing but numbers.
fn engine_text(fields: &Fields) -> String {
    let mut text = String::with_capacity(64);
    push_values(&mut text, fields.seconds, 0..=59);
    push_values(&mut text, fields.minutes, 0..=59);
    push_values(&mut text, fields.hours, 0..=23);
    text.push_str(ENGINE_DAY_TEXT);
    text
}

/// Writes one field: `*` if it takes every value, otherwise its values.
fn push_values(text: &mut String, bits: u64, mut range: std::ops::RangeInclusive<u32>) {
    if range.all(|value| bits & 1 << value != 0) {
        text.push('*');
    } else {
        let mut separator = "";
        for value in (0..64).filter(|value| bits & 1 << value != 0) {
            // Writing to a String cannot fail.
            let _ = write!(text, "{separator}{value}");
            separator = ",";
        }
    }
    text.push(' ');
}
