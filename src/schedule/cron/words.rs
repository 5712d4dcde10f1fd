//! A crontab line in words.

use super::Cron;
use super::days::{MonthDays, WeekDays};

const DAY_NAMES: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTH_NAMES: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const ORDINALS: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];
/// More times of day than this are told by their fields, not one by one.
const MOST_TIMES: usize = 6;
const WEEKDAYS: u64 = 0b011_1110;
const WEEKEND: u64 = 0b100_0001;
const ALL_MONTHS: u64 = 0b1_1111_1111_1110;

impl Cron {
    /// The line in words, without its zone.
    pub(in crate::schedule) fn explain(&self) -> String {
        let mut words = self.times();
        let days = self.days();
        if !days.is_empty() {
            words.push(' ');
            words.push_str(&days);
        }
        if self.fields.days.months != ALL_MONTHS {
            words.push_str(" in ");
            words.push_str(&list(&ranges(self.fields.days.months, |month| {
                name(&MONTH_NAMES, month.wrapping_sub(1))
            })));
        }
        words
    }

    fn times(&self) -> String {
        let fields = &self.fields;
        let (seconds, minutes, hours) =
            (values(fields.seconds), values(fields.minutes), values(fields.hours));
        let count = seconds.len() * minutes.len() * hours.len();
        if count <= MOST_TIMES {
            let mut times = Vec::new();
            for hour in &hours {
                for minute in &minutes {
                    for second in &seconds {
                        times.push(match fields.has_seconds && fields.seconds != 1 {
                            true => format!("{hour:02}:{minute:02}:{second:02}"),
                            false => format!("{hour:02}:{minute:02}"),
                        });
                    }
                }
            }
            return format!("at {}", list(&times));
        }
        let mut words = String::new();
        if fields.seconds != 1 {
            words.push_str(&steps("second", "minute", &seconds, 60));
        }
        if words.is_empty() {
            words.push_str(&steps("minute", "hour", &minutes, 60));
        } else if minutes.len() < 60 {
            words.push_str(", ");
            words.push_str(&steps("minute", "hour", &minutes, 60));
        }
        if hours.len() < 24 {
            words.push_str(&during(&hours, fields.hours));
        }
        words
    }

    fn days(&self) -> String {
        let month_days = month_day_words(&self.fields.days.month_days);
        let week_days = week_day_words(&self.fields.days.week_days);
        match (month_days, week_days) {
            (None, None) => String::new(),
            (Some(days), None) => format!("on {days}"),
            (None, Some(days)) => format!("on {days}"),
            (Some(of_month), Some(of_week)) if self.fields.days.both => {
                format!("on {of_month} where it is {of_week}")
            }
            (Some(of_month), Some(of_week)) => format!("on {of_month} or on {of_week}"),
        }
    }
}

/// `None` if every day of the month is meant.
fn month_day_words(days: &MonthDays) -> Option<String> {
    if days.plain == MonthDays::ALL.plain {
        return None;
    }
    let mut parts = Vec::new();
    if days.plain != 0 {
        let numbers = values(days.plain);
        parts.push(match even(&numbers, 32) {
            Some((first, step)) if step > 1 && numbers.len() > 3 => {
                format!("each {} day from day {first} on", nth(step))
            }
            _ => {
                let word = if numbers.len() == 1 { "day" } else { "days" };
                format!("{word} {}", list(&ranges(days.plain, |day| day.to_string())))
            }
        });
    }
    for day in values(days.nearest_weekday) {
        parts.push(format!("the weekday nearest to day {day}"));
    }
    if days.last_weekday {
        parts.push("the last weekday".to_owned());
    }
    if days.last {
        parts.push("the last day".to_owned());
    }
    Some(format!("{} of the month", list(&parts)))
}

/// `None` if every day of the week is meant.
fn week_day_words(days: &WeekDays) -> Option<String> {
    let mut parts = match days.plain {
        all if all == WeekDays::ALL.plain => return None,
        0 => Vec::new(),
        WEEKDAYS => vec!["weekdays".to_owned()],
        WEEKEND => vec!["Saturday and Sunday".to_owned()],
        some => ranges(some, |day| name(&DAY_NAMES, day)),
    };
    for bit in values(days.nth) {
        parts.push(format!("the {} {} of the month", name(&ORDINALS, bit / 7), name(&DAY_NAMES, bit % 7)));
    }
    for day in values(days.last) {
        parts.push(format!("the last {} of the month", name(&DAY_NAMES, day)));
    }
    Some(list(&parts))
}

/// The values of one field: all of them, each n-th, or a list.
fn steps(unit: &str, of: &str, values: &[u32], range: u32) -> String {
    if let Some((first, step)) = even(values, range) {
        return match (step, first) {
            (1, 0) => format!("every {unit}"),
            (_, 0) if range.is_multiple_of(step) => format!("every {step} {unit}s"),
            _ => format!("every {step} {unit}s from {unit} {first} of each {of} on"),
        };
    }
    let spans =
        list(&ranges(values.iter().fold(0, |bits, value| bits | 1 << value), |value| value.to_string()));
    match values.len() {
        1 => format!("at {unit} {spans} of each {of}"),
        _ => format!("at each of {unit}s {spans} of each {of}"),
    }
}

fn during(hours: &[u32], bits: u64) -> String {
    match even(hours, 24) {
        Some((first, step)) if step > 1 && hours.len() > 3 => {
            format!(", during each {} hour from {first:02} on", nth(step))
        }
        _ => {
            let spans = list(&ranges(bits, |hour| format!("{hour:02}")));
            format!(", during the hour{} {spans}", if hours.len() == 1 { "" } else { "s" })
        }
    }
}

/// The first value and the step, if the values go on in even steps to the end of the range.
fn even(values: &[u32], range: u32) -> Option<(u32, u32)> {
    let [first, second, ..] = values else {
        return None;
    };
    let step = second - first;
    let is_even = values.windows(2).all(|pair| matches!(pair, [a, b] if b - a == step));
    let to_the_end = values.last().is_some_and(|last| last + step >= range);
    (is_even && to_the_end).then_some((*first, step))
}

fn nth(number: u32) -> String {
    match number {
        2 => "2nd".to_owned(),
        3 => "3rd".to_owned(),
        _ => format!("{number}th"),
    }
}

/// Neighbours as `a to b`, from three on; the others one by one.
fn ranges(bits: u64, name: impl Fn(u32) -> String) -> Vec<String> {
    let mut spans: Vec<(u32, u32)> = Vec::new();
    for value in values(bits) {
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == value => *last = value,
            _ => spans.push((value, value)),
        }
    }
    let words = spans.into_iter().flat_map(|(first, last)| match last - first {
        0 => vec![name(first)],
        1 => vec![name(first), name(last)],
        _ => vec![format!("{} to {}", name(first), name(last))],
    });
    words.collect()
}

fn values(bits: u64) -> Vec<u32> {
    (0..64).filter(|value| bits & 1 << value != 0).collect()
}

fn name(names: &[&str], at: u32) -> String {
    usize::try_from(at).ok().and_then(|at| names.get(at)).map(ToString::to_string).unwrap_or_default()
}

fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
