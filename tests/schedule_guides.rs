//! The timelines of the guides, asked of the code: what the documentation draws is what happens.
//!
//! A block marked `timeline` is a few settings, and then what comes of them, line by line.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where it is wrong"
)]

mod plan_row;

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use mainspring::plan::{self, CatchUp, Miss, Next, Overlap};
use mainspring::schedule::Gap;
use mainspring::{Schedule, Timestamp};
use plan_row::{Row, cron};

fn guide(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of each block marked `timeline`, without what follows a `#`.
fn timelines(text: &str) -> Vec<Vec<String>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while lines.by_ref().any(|line| line == "```timeline") {
        let block = lines.by_ref().take_while(|line| *line != "```");
        let without_notes =
            block.map(|line| line.split('#').next().unwrap_or_default().trim_end().to_owned());
        blocks.push(without_notes.filter(|line| !line.is_empty()).collect());
    }
    blocks
}

/// `key   value`, if the line is a setting of that name.
fn setting<'a>(lines: &'a [String], key: &str) -> Option<&'a str> {
    lines.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).map(str::trim)
}

fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let seconds = match unit {
        "h" => 3_600,
        "m" => 60,
        other => panic!("no unit: {other}"),
    };
    Duration::from_secs(number.parse::<u64>().unwrap() * seconds)
}

#[test]
fn the_timelines_of_schedules_and_time_zones_are_what_schedules_answer() {
    let blocks = timelines(&guide("schedules-and-time-zones.md"));
    for block in &blocks {
        let zone: Tz = setting(block, "zone").unwrap().parse().unwrap();
        let instant = |text: &str| {
            let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
            zone.from_local_datetime(&local).earliest().unwrap().with_timezone(&Utc)
        };
        let schedule = match (setting(block, "cron"), setting(block, "every")) {
            (Some(line), None) => cron(line).in_tz(zone),
            (None, Some(step)) => {
                let anchor = instant(setting(block, "anchor").unwrap());
                Schedule::every(duration(step)).unwrap().anchored_at(anchor)
            }
            other => panic!("no schedule: {other:?}"),
        };
        let gap = if setting(block, "gap") == Some("skip") { Gap::Skip } else { Gap::RunAfter };
        let drawn: Vec<&String> = block.iter().filter(|line| line.starts_with("20")).collect();
        let schedule = schedule.on_gap(gap);
        let occurrences = schedule.upcoming(instant(setting(block, "from").unwrap())).take(drawn.len());
        let shown = |at: DateTime<Utc>| at.with_timezone(&zone).format("%Y-%m-%d %H:%M %:z").to_string();
        assert_eq!(
            occurrences.map(shown).collect::<Vec<_>>(),
            drawn.into_iter().cloned().collect::<Vec<_>>(),
            "{block:#?}"
        );
    }
    assert_eq!(blocks.len(), 14, "a timeline was added or lost: count it here");
}

/// An instant of a timeline: a time of 10 March 2026, or a date and a time.
fn at(text: &str) -> Timestamp {
    let text = if text.len() > 8 { text.to_owned() } else { format!("2026-03-10 {text}") };
    NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S").unwrap().and_utc().into()
}

fn shown(at: Timestamp) -> String {
    let text = at.to_datetime().format("%Y-%m-%d %H:%M:%S").to_string();
    text.strip_prefix("2026-03-10 ").unwrap_or(&text).to_owned()
}

fn missed(miss: &Miss) -> String {
    assert!(miss.exact);
    format!("    missed {} to {} {} {}", shown(miss.from), shown(miss.to), miss.occurrences, miss.reason)
}

fn next(next: Option<Next>) -> Option<String> {
    next.map(|next| format!("    next {} at {}", shown(next.scheduled_for), shown(next.run_at)))
}

fn row(block: &[String]) -> Row {
    let waits_for = setting(block, "waits for").map(at);
    let schedule = match (setting(block, "cron"), setting(block, "at"), setting(block, "after each")) {
        (Some(line), ..) => cron(line),
        (_, Some(time), _) => Schedule::at(at(time)),
        (.., Some(delay)) => Schedule::after_each(duration(delay)).unwrap(),
        other => panic!("no schedule: {other:?}"),
    };
    let stored = at(setting(block, "stored at").unwrap_or("2026-03-01 00:00:00"));
    let mut row = Row::stored(schedule, stored);
    row.scheduled_for = waits_for.or(row.scheduled_for);
    row.catch_up = match setting(block, "catch up").unwrap_or("latest").split_once(' ') {
        Some(("all", most)) => CatchUp::all(most.parse().unwrap()),
        _ if setting(block, "catch up") == Some("earliest") => CatchUp::earliest(),
        _ if setting(block, "catch up") == Some("skip") => CatchUp::skip(),
        _ => CatchUp::latest(),
    };
    row.overlap = match setting(block, "overlap") {
        Some("queue_one") => Overlap::QueueOne,
        None => Overlap::Skip,
        other => panic!("no overlap policy: {other:?}"),
    };
    row.expires_at = setting(block, "expires").map(at);
    row
}

/// What the code does at a call of the timeline, in the words of the timeline; `None` if the line is no call.
fn played(row: &mut Row, call: &str) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    let planned = if let Some(now) = call.strip_prefix("claim at ") {
        let plan = row.claim(at(now));
        lines.extend(plan.misses.iter().map(missed));
        lines
            .extend(plan.fire.map(|fire| format!("    runs {} {}", shown(fire.scheduled_for), fire.trigger)));
        plan.next
    } else if let Some(now) = call.strip_prefix("ends at ") {
        let plan = row.complete(at(now));
        lines.extend(plan.misses.iter().map(missed));
        plan.next
    } else if let Some(now) = call.strip_prefix("found interrupted at ") {
        let plan = plan::at_interruption(&row.position(), at(now));
        assert!(plan.misses.is_empty());
        plan.next
    } else if let Some((now, paused)) =
        call.strip_prefix("resumed at ").and_then(|rest| rest.split_once(", paused at "))
    {
        let plan = plan::on_resume(&row.position(), at(paused), at(now));
        lines.extend(plan.misses.iter().map(missed));
        plan.next
    } else if let Some(now) = call.strip_prefix("stored at ") {
        plan::first(&row.position(), at(now))
    } else {
        return None;
    };
    row.scheduled_for = planned.map(|next| next.scheduled_for);
    lines.extend(next(planned));
    Some(lines)
}

#[test]
fn the_timelines_of_catch_up_are_what_plan_answers() {
    let blocks = timelines(&guide("catch-up.md"));
    let mut calls = 0;
    for block in &blocks {
        let mut row = row(block);
        for (index, line) in block.iter().enumerate() {
            let Some(happened) = played(&mut row, line) else { continue };
            let drawn: Vec<&String> =
                block[index + 1..].iter().take_while(|line| line.starts_with("    ")).collect();
            assert_eq!(happened.iter().collect::<Vec<_>>(), drawn, "{line} of {block:#?}");
            calls += 1;
        }
    }
    assert_eq!((blocks.len(), calls), (15, 22), "a timeline was added or lost: count it here");
}
