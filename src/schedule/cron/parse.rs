//! Crontab syntax: five fields, or six with seconds in front, and the `@` words.

use super::days::{Days, MonthDays, WeekDays};
use crate::schedule::ScheduleError;

/// A parsed expression: which values each field takes, as bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) seconds: u64,
    pub(super) minutes: u64,
    pub(super) hours: u64,
    pub(super) days: Days,
    /// The minute or the hour field starts with `*`: the job runs by real time through clock changes.
    pub(super) wild: bool,
    pub(super) has_seconds: bool,
}

/// One field: its name, its range, and what is allowed there in words.
struct FieldKind {
    name: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
    first_named: u32,
    allowed: &'static str,
}

const SECOND: FieldKind = FieldKind {
    name: "second",
    min: 0,
    max: 59,
    names: &[],
    first_named: 0,
    allowed: "0-59, lists, a-b, a-b/n, */n or a/n",
};
const MINUTE: FieldKind = FieldKind { name: "minute", ..SECOND };
const HOUR: FieldKind =
    FieldKind { name: "hour", max: 23, allowed: "0-23, lists, a-b, a-b/n, */n or a/n", ..SECOND };
const DAY_OF_MONTH: FieldKind = FieldKind {
    name: "day-of-month",
    min: 1,
    max: 31,
    allowed: "1-31, ?, lists, a-b, a-b/n, */n, a/n, L (last day), LW (last weekday) or nW (weekday nearest to n)",
    ..SECOND
};
const MONTH: FieldKind = FieldKind {
    name: "month",
    min: 1,
    max: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    first_named: 1,
    allowed: "1-12 or jan-dec, lists, a-b, a-b/n, */n or a/n",
};
const DAY_OF_WEEK: FieldKind = FieldKind {
    name: "day-of-week",
    min: 0,
    max: 7,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    first_named: 0,
    allowed: "0-7 or sun-sat (0 and 7 are Sunday), ?, lists, a-b, a-b/n, */n, a/n, d#k (k-th of the month) or dL (last of the month)",
};

/// Parses an expression.
pub(super) fn parse(expression: &str) -> Result<Fields, ScheduleError> {
    let text = expression.trim_matches(|c: char| c.is_ascii_whitespace());
    if text.starts_with('@') {
        return parse(expand(text)?);
    }
    if let Some(zone) = text.split([' ', '\t']).next().filter(|first| first.contains("TZ=")) {
        let problem = "a zone is no field, name it with in_tz";
        return Err(Field { kind: &MINUTE, expression }.refused(zone, problem));
    }
    // Only blanks and tabs separate: a no-break space inside a field is a typing error to be shown, not hidden.
    let fields: Vec<&str> = text.split([' ', '\t']).filter(|field| !field.is_empty()).collect();
    let (second, [minute, hour, month_day, month, week_day]) = match *fields.as_slice() {
        [minute, hour, day, month, week_day] => (None, [minute, hour, day, month, week_day]),
        [second, minute, hour, day, month, week_day] => (Some(second), [minute, hour, day, month, week_day]),
        _ => {
            return Err(ScheduleError::FieldCount { expression: expression.to_owned(), found: fields.len() });
        }
    };
    let field = |kind: &'static FieldKind, text: &str| Field { kind, expression }.values(text);
    Ok(Fields {
        seconds: second.map_or(Ok(1), |text| field(&SECOND, text))?,
        minutes: field(&MINUTE, minute)?,
        hours: field(&HOUR, hour)?,
        days: Days {
            months: field(&MONTH, month)?,
            month_days: Field { kind: &DAY_OF_MONTH, expression }.month_days(month_day)?,
            week_days: Field { kind: &DAY_OF_WEEK, expression }.week_days(week_day)?,
            both: starts_with_star(month_day) || starts_with_star(week_day),
        },
        wild: minute.starts_with('*') || hour.starts_with('*'),
        has_seconds: second.is_some(),
    })
}

/// In the two day fields `?` is another way to write `*`.
fn starts_with_star(day_field: &str) -> bool {
    day_field.starts_with(['*', '?'])
}

/// The five fields that a macro stands for.
fn expand(text: &str) -> Result<&'static str, ScheduleError> {
    match text.to_ascii_lowercase().as_str() {
        "@hourly" => Ok("0 * * * *"),
        "@daily" | "@midnight" => Ok("0 0 * * *"),
        "@weekly" => Ok("0 0 * * 0"),
        "@monthly" => Ok("0 0 1 * *"),
        "@yearly" | "@annually" => Ok("0 0 1 1 *"),
        _ => Err(ScheduleError::Macro { text: text.to_owned() }),
    }
}

/// One field of one expression, for its errors.
struct Field<'a> {
    kind: &'static FieldKind,
    expression: &'a str,
}

impl Field<'_> {
    /// The values that the text of this field takes, as bits.
    fn values(&self, text: &str) -> Result<u64, ScheduleError> {
        text.split(',').try_fold(0, |bits, item| Ok(bits | self.item(item, item)?))
    }

    fn month_days(&self, text: &str) -> Result<MonthDays, ScheduleError> {
        let mut days = MonthDays::NONE;
        for item in text.split(',') {
            let upper = item.to_ascii_uppercase();
            if upper == "L" {
                days.last = true;
            } else if upper == "LW" {
                days.last_weekday = true;
            } else if let Some(day) = upper.strip_suffix('W') {
                days.nearest_weekday |= bit(self.number(day, item)?);
            } else {
                days.plain |= self.item(&question_as_star(item), item)?;
            }
        }
        Ok(days)
    }

    fn week_days(&self, text: &str) -> Result<WeekDays, ScheduleError> {
        let mut days = WeekDays::NONE;
        for item in text.split(',') {
            if let Some((day, nth)) = item.split_once('#') {
                let nth = match nth {
                    "1" | "2" | "3" | "4" | "5" => digits(nth),
                    _ => return Err(self.refused(item, "the number after # is not 1 to 5")),
                };
                days.add_nth(self.value(day, item)? % 7, nth);
            } else if let Some(day) = item.strip_suffix(['L', 'l']) {
                days.last |= fold_sunday(bit(self.value(day, item)?));
            } else {
                days.plain |= fold_sunday(self.item(&question_as_star(item), item)?);
            }
        }
        Ok(days)
    }

    /// One item of a list: `*`, `a`, `a-b`, each with or without `/n`. Errors quote `written`.
    fn item(&self, item: &str, written: &str) -> Result<u64, ScheduleError> {
        if item.is_empty() {
            return Err(self.refused(written, "a list item is empty"));
        }
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(self.step(step, written)?)),
            None => (item, None),
        };
        let (low, high) = if range == "*" {
            (self.kind.min, self.kind.max)
        } else if let Some((low, high)) = range.split_once('-') {
            self.range(low, high, written)?
        } else {
            let value = self.value(range, written)?;
            (value, if step.is_some() { self.kind.max } else { value })
        };
        let step = usize::try_from(step.unwrap_or(1)).unwrap_or(usize::MAX);
        Ok((low..=high).step_by(step).fold(0, |bits, value| bits | bit(value)))
    }

    fn range(&self, low: &str, high: &str, written: &str) -> Result<(u32, u32), ScheduleError> {
        let first = self.value(low, written)?;
        let mut last = self.value(high, written)?;
        // A week may end with the Sunday that follows it, by name as by the number 7.
        if last == 0 && first > 0 && self.kind.max == 7 && high.eq_ignore_ascii_case("sun") {
            last = 7;
        }
        if first > last {
            return Err(self.refused(written, "the range runs backwards"));
        }
        Ok((first, last))
    }

    /// A number or a name.
    fn value(&self, text: &str, written: &str) -> Result<u32, ScheduleError> {
        let named = self.kind.names.iter().position(|name| text.eq_ignore_ascii_case(name));
        match named.and_then(|at| u32::try_from(at).ok()) {
            Some(at) => Ok(self.kind.first_named + at),
            None => self.number(text, written),
        }
    }

    fn number(&self, text: &str, written: &str) -> Result<u32, ScheduleError> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.refused(written, "not understood"));
        }
        let value = digits(text);
        if value < self.kind.min || value > self.kind.max {
            return Err(self.refused(written, "out of range"));
        }
        Ok(value)
    }

    fn step(&self, text: &str, written: &str) -> Result<u32, ScheduleError> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.refused(written, "the step is not a number"));
        }
        match digits(text) {
            0 => Err(self.refused(written, "the step is zero")),
            step => Ok(step),
        }
    }

    fn refused(&self, item: &str, problem: &'static str) -> ScheduleError {
        ScheduleError::Field {
            field: self.kind.name,
            item: item.to_owned(),
            expression: self.expression.to_owned(),
            problem,
            allowed: self.kind.allowed,
        }
    }
}

fn question_as_star(item: &str) -> String {
    match item.strip_prefix('?') {
        Some(rest) => format!("*{rest}"),
        None => item.to_owned(),
    }
}

/// The value of a text of ASCII digits; the largest number there is if it does not fit.
fn digits(text: &str) -> u32 {
    text.bytes().fold(0, |value: u32, byte| value.saturating_mul(10).saturating_add(u32::from(byte - b'0')))
}

/// Sunday is bit 0, also where it was written as 7.
fn fold_sunday(bits: u64) -> u64 {
    (bits | bits >> 7) & 0x7f
}

fn bit(value: u32) -> u64 {
    1 << value
}
