//! The rule of the documentation, applied minute by minute, against the schedule's answers.
//!
//! The scan here shares nothing with the implementation but the zone database: it draws the fields as sets and
//! their text side by side, walks through the minutes of a window and writes down when the job fires. Then
//! random questions about the window are put to both. The seed is printed; `MAINSPRING_SEED` repeats a run.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where it is wrong"
)]

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use fastrand::Rng;
use mainspring::Schedule;
use mainspring::schedule::Gap;

/// Zones whose clocks do odd things, drawn more often than others.
const ODD_ZONES: [Tz; 16] = [
    chrono_tz::Europe::Berlin,
    chrono_tz::America::New_York,
    chrono_tz::Australia::Lord_Howe,
    chrono_tz::Antarctica::Troll,
    chrono_tz::Pacific::Apia,
    chrono_tz::Pacific::Kwajalein,
    chrono_tz::Asia::Kathmandu,
    chrono_tz::America::St_Johns,
    chrono_tz::Africa::Casablanca,
    chrono_tz::Africa::Cairo,
    chrono_tz::Asia::Gaza,
    chrono_tz::Asia::Tehran,
    chrono_tz::America::Caracas,
    chrono_tz::Asia::Pyongyang,
    chrono_tz::America::Sao_Paulo,
    chrono_tz::Pacific::Chatham,
];

/// One field as its text and the values that it takes.
struct Field {
    text: String,
    values: BTreeSet<u32>,
}

/// One drawn expression.
struct Expression {
    text: String,
    second: BTreeSet<u32>,
    minute: BTreeSet<u32>,
    hour: BTreeSet<u32>,
    month: BTreeSet<u32>,
    day: DayField,
    weekday: WeekdayField,
    both_days: bool,
    wild: bool,
}

#[derive(Default)]
struct DayField {
    values: BTreeSet<u32>,
    last: bool,
    last_weekday: bool,
    nearest: BTreeSet<u32>,
}

#[derive(Default)]
struct WeekdayField {
    values: BTreeSet<u32>,
    last: BTreeSet<u32>,
    nth: BTreeSet<(u32, u32)>,
}

fn draw_item(rng: &mut Rng, min: u32, max: u32) -> Field {
    let a = rng.u32(min..=max);
    let b = rng.u32(a..=max);
    let step = rng.u32(1..=(max - min + 2));
    let stepped =
        |from: u32, to: u32, step: u32| (from..=to).filter(|v| (v - from).is_multiple_of(step)).collect();
    match rng.u8(0..8) {
        0 => Field { text: format!("{a}-{b}"), values: stepped(a, b, 1) },
        1 => Field { text: format!("{a}-{b}/{step}"), values: stepped(a, b, step) },
        2 => Field { text: format!("*/{step}"), values: stepped(min, max, step) },
        3 => Field { text: format!("{a}/{step}"), values: stepped(a, max, step) },
        _ => Field { text: a.to_string(), values: stepped(a, a, 1) },
    }
}

fn draw_field(rng: &mut Rng, min: u32, max: u32, star: u8) -> Field {
    if rng.u8(0..10) < star {
        return Field { text: "*".into(), values: (min..=max).collect() };
    }
    let mut field = draw_item(rng, min, max);
    while rng.u8(0..4) == 0 {
        let more = draw_item(rng, min, max);
        field.text = format!("{},{}", field.text, more.text);
        field.values.extend(more.values);
    }
    field
}

fn draw_day(rng: &mut Rng) -> (String, DayField) {
    if rng.u8(0..6) == 0 {
        let day = rng.u32(1..=31);
        return match rng.u8(0..4) {
            0 => ("L".into(), DayField { last: true, ..DayField::default() }),
            1 => ("LW".into(), DayField { last_weekday: true, ..DayField::default() }),
            2 => (format!("{day},L"), DayField { last: true, values: [day].into(), ..DayField::default() }),
            _ => (format!("{day}W"), DayField { nearest: [day].into(), ..DayField::default() }),
        };
    }
    let field = draw_field(rng, 1, 31, 6);
    let text = if field.text == "*" && rng.bool() { "?".into() } else { field.text };
    (text, DayField { values: field.values, ..DayField::default() })
}

fn draw_weekday(rng: &mut Rng) -> (String, WeekdayField) {
    if rng.u8(0..6) == 0 {
        let (day, nth) = (rng.u32(0..=7), rng.u32(1..=5));
        return match rng.bool() {
            true => (format!("{day}L"), WeekdayField { last: [day % 7].into(), ..WeekdayField::default() }),
            false => (
                format!("{day}#{nth}"),
                WeekdayField { nth: [(day % 7, nth)].into(), ..WeekdayField::default() },
            ),
        };
    }
    let field = draw_field(rng, 0, 7, 6);
    let values = field.values.iter().map(|day| day % 7).collect();
    (field.text, WeekdayField { values, ..WeekdayField::default() })
}

fn draw(rng: &mut Rng, with_seconds: bool) -> Expression {
    let second = if with_seconds {
        draw_field(rng, 0, 59, 2)
    } else {
        Field { text: String::new(), values: [0].into() }
    };
    let (minute, hour) = (draw_field(rng, 0, 59, 3), draw_field(rng, 0, 23, 5));
    let month = draw_field(rng, 1, 12, 8);
    let ((day_text, day), (weekday_text, weekday)) = (draw_day(rng), draw_weekday(rng));
    let text =
        format!("{} {} {} {day_text} {} {weekday_text}", second.text, minute.text, hour.text, month.text);
    Expression {
        text: text.trim_start().to_owned(),
        both_days: [&day_text, &weekday_text].iter().any(|text| text.starts_with(['*', '?'])),
        wild: minute.text.starts_with('*') || hour.text.starts_with('*'),
        second: second.values,
        minute: minute.values,
        hour: hour.values,
        month: month.values,
        day,
        weekday,
    }
}

impl DayField {
    fn includes(&self, date: NaiveDate) -> bool {
        let is_last = |date: NaiveDate| date.succ_opt().is_none_or(|next| next.month() != date.month());
        let works = |date: NaiveDate| date.weekday().number_from_monday() <= 5;
        let last_workday = works(date)
            && date
                .iter_days()
                .skip(1)
                .take_while(|next| next.month() == date.month())
                .all(|next| !works(next));
        self.values.contains(&date.day())
            || (self.last && is_last(date))
            || (self.last_weekday && last_workday)
            || self.nearest.iter().any(|&wanted| {
                let month = (1..=31).filter_map(|day| date.with_day(day));
                let wanted_exists = date.with_day(wanted).is_some();
                let distance = |date: &NaiveDate| (date.day().abs_diff(wanted), date.day());
                wanted_exists && month.filter(|day| works(*day)).min_by_key(distance) == Some(date)
            })
    }
}

impl WeekdayField {
    fn includes(&self, date: NaiveDate) -> bool {
        let weekday = date.weekday().num_days_from_sunday();
        let nth =
            (1..=date.day()).filter(|day| date.with_day(*day).unwrap().weekday() == date.weekday()).count();
        let next_week = date + TimeDelta::days(7);
        self.values.contains(&weekday)
            || (self.last.contains(&weekday) && next_week.month() != date.month())
            || self.nth.contains(&(weekday, u32::try_from(nth).unwrap()))
    }
}

impl Expression {
    fn has_day(&self, date: NaiveDate) -> bool {
        let (day, weekday) = (self.day.includes(date), self.weekday.includes(date));
        let days = if self.both_days { day && weekday } else { day || weekday };
        days && self.month.contains(&date.month())
    }

    fn has_time(&self, local: NaiveDateTime) -> bool {
        self.second.contains(&local.second())
            && self.minute.contains(&local.minute())
            && self.hour.contains(&local.hour())
    }
}

/// Walks through `from..to` by `step` and writes down when the job fires.
fn scan(
    expression: &Expression,
    zone: Tz,
    gap: Gap,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    step: TimeDelta,
) -> Vec<DateTime<Utc>> {
    let local_at = |at: DateTime<Utc>| at.with_timezone(&zone).naive_local();
    let (mut day, mut day_matches) = (NaiveDate::MIN, false);
    let mut matches = |local: NaiveDateTime| {
        if local.date() != day {
            (day, day_matches) = (local.date(), expression.has_day(local.date()));
        }
        day_matches && expression.has_time(local)
    };
    // What the clock has shown in the two days before counts as shown.
    let mut at = from - TimeDelta::days(2);
    let mut shown = local_at(at - step);
    let mut previous = shown;
    let mut fired = Vec::new();
    while at < to {
        let local = local_at(at);
        let jumped = local - previous - step;
        let fires = if expression.wild {
            matches(local)
        } else {
            let made_up = gap == Gap::RunAfter && jumped > TimeDelta::zero() && jumped <= TimeDelta::hours(3);
            let mut leapt_over = previous + step;
            let mut fires = local > shown && matches(local);
            while made_up && leapt_over < local && !fires {
                fires = leapt_over > shown && matches(leapt_over);
                leapt_over += step;
            }
            fires
        };
        if fires && at >= from {
            fired.push(at);
        }
        shown = shown.max(local);
        previous = local;
        at += step;
    }
    fired
}

/// Asks random questions about the window and counts them.
fn compare(
    rng: &mut Rng,
    schedule: &Schedule,
    fired: &[DateTime<Utc>],
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    questions: usize,
    label: &str,
) -> usize {
    for _ in 0..questions {
        // Half of the questions are about the very moments around an occurrence.
        let at = match fired.is_empty() || rng.bool() {
            true => from + TimeDelta::milliseconds(rng.i64(0..(to - from).num_milliseconds())),
            false => fired[rng.usize(0..fired.len())] + TimeDelta::milliseconds(rng.i64(-1..=1)),
        };
        let next = fired.iter().find(|occurrence| **occurrence > at).copied();
        let told = schedule.next_after(at).filter(|next| *next < to);
        assert_eq!(told, next, "next after {at} of {label}");
        let previous = fired.iter().rfind(|occurrence| **occurrence < at).copied();
        let told = schedule.previous_before(at).filter(|previous| *previous >= from);
        assert_eq!(told, previous, "previous before {at} of {label}");
    }
    2 * questions
}

fn draw_zone(rng: &mut Rng) -> Tz {
    if rng.bool() {
        ODD_ZONES[rng.usize(0..ODD_ZONES.len())]
    } else {
        TZ_VARIANTS[rng.usize(0..TZ_VARIANTS.len())]
    }
}

/// An instant of 1975 to 2060; where there is one within a year, most often the day before a clock change.
fn draw_start(rng: &mut Rng, zone: Tz) -> DateTime<Utc> {
    use chrono::{Offset, TimeZone};
    let offset = |at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    let minute = rng.i64(2_629_440..47_335_680);
    let start = DateTime::from_timestamp(minute * 60, 0).unwrap();
    if rng.u8(0..4) == 0 {
        return start;
    }
    let days = (0..370).map(|day| start + TimeDelta::days(day));
    let change = days.clone().zip(days.skip(1)).find(|(day, next)| offset(*day) != offset(*next));
    change.map_or(start, |(day, _)| day - TimeDelta::minutes(rng.i64(0..1_440)))
}

fn seeded() -> Rng {
    let seed = std::env::var("MAINSPRING_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("MAINSPRING_SEED={seed}");
    Rng::with_seed(seed)
}

/// Draws `windows` of `length` and asks `questions` about each, twice; says how many cases that made.
fn run(
    windows: usize,
    length: TimeDelta,
    questions: usize,
    with_seconds: bool,
    draw_date: fn(&mut Rng, Tz) -> DateTime<Utc>,
    zones: fn(&mut Rng) -> Tz,
) -> usize {
    let mut rng = seeded();
    let (mut cases, mut busy) = (0, 0);
    while cases < windows * questions * 2 {
        let expression = draw(&mut rng, with_seconds);
        let zone = zones(&mut rng);
        let gap = if rng.u8(0..4) == 0 { Gap::Skip } else { Gap::RunAfter };
        let Ok(schedule) = Schedule::cron(&expression.text) else {
            // Only what no day of forty years matches may be refused.
            let from = NaiveDate::from_ymd_opt(2000, 1, 1).unwrap();
            assert!(
                !from.iter_days().take(14_700).any(|day| expression.has_day(day)),
                "{} was refused",
                expression.text
            );
            continue;
        };
        let schedule = schedule.in_tz(zone).on_gap(gap);
        let from = draw_date(&mut rng, zone);
        let window = (from, from + length);
        let step = if with_seconds { TimeDelta::seconds(1) } else { TimeDelta::minutes(1) };
        let fired = scan(&expression, zone, gap, window.0, window.1, step);
        busy += usize::from(!fired.is_empty());
        let label = format!("\"{}\" in {zone} ({gap:?}), window {from}", expression.text);
        cases += compare(&mut rng, &schedule, &fired, window, questions, &label);
    }
    println!("{cases} cases, {busy} of {windows} windows with occurrences");
    assert!(busy * 10 > windows, "the windows are too empty to show anything");
    cases
}

#[test]
fn a_hundred_and_fifty_thousand_questions_about_two_days_agree_with_a_minute_scan() {
    assert!(run(3_000, TimeDelta::days(2), 25, false, draw_start, draw_zone) >= 150_000);
}

#[test]
fn fifty_thousand_questions_about_three_weeks_agree_with_a_minute_scan() {
    assert!(run(500, TimeDelta::days(21), 50, false, draw_start, draw_zone) >= 50_000);
}

#[test]
fn ten_thousand_questions_about_a_year_agree_with_a_minute_scan() {
    assert!(run(25, TimeDelta::days(370), 200, false, draw_start, draw_zone) >= 10_000);
}

#[test]
fn ten_thousand_questions_with_seconds_agree_with_a_second_scan() {
    assert!(run(100, TimeDelta::hours(20), 50, true, draw_start, draw_zone) >= 10_000);
}

#[test]
fn ten_thousand_questions_about_far_centuries_agree_with_a_minute_scan() {
    /// Years that the engine behind the schedule does not know.
    fn far(rng: &mut Rng, _zone: Tz) -> DateTime<Utc> {
        let year = if rng.bool() { rng.i32(-3_000..1_970) } else { rng.i32(2_095..20_000) };
        let day = NaiveDate::from_ymd_opt(year, rng.u32(1..=12), rng.u32(1..=28)).unwrap();
        day.and_hms_opt(rng.u32(0..24), 0, 0).unwrap().and_utc()
    }
    assert!(run(100, TimeDelta::days(21), 50, false, far, |_| Tz::UTC) >= 10_000);
}
