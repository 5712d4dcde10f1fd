//! The reference vectors, file by file: every case, forward and backward, with the counts by class.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where it is wrong"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use mainspring::Schedule;
use mainspring::plan::stagger_ms;
use mainspring::schedule::Grid;
use serde_json::Value;

/// Cases passed and failed by class; prints itself, and fails if any case did.
#[derive(Default)]
struct Tally {
    classes: BTreeMap<String, (usize, usize)>,
    failures: Vec<String>,
}

impl Tally {
    fn check<T: PartialEq + std::fmt::Debug>(&mut self, class: &str, case: &Value, got: &T, want: &T) {
        let (passed, failed) = self.classes.entry(class.to_owned()).or_default();
        if got == want {
            *passed += 1;
        } else {
            *failed += 1;
            self.failures.push(format!("{class} {}: got {got:?}, want {want:?}", brief(case)));
        }
    }

    fn finish(self, file: &str, least: usize) {
        let passed: usize = self.classes.values().map(|(passed, _)| passed).sum();
        println!("{file}: {passed} checks passed, {} failed", self.failures.len());
        for (class, (passed, failed)) in &self.classes {
            println!("  {class}: {passed} of {}", passed + failed);
        }
        let shown: Vec<_> = self.failures.iter().take(20).collect();
        assert!(self.failures.is_empty(), "{} failures, the first: {shown:#?}", self.failures.len());
        assert!(passed >= least, "only {passed} of {least} checks ran");
    }
}

fn brief(case: &Value) -> String {
    ["id", "expr", "tz", "after"].iter().map(|key| format!("{} ", case[*key])).collect()
}

fn cases(file: &str) -> Vec<Value> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/time").join(file))
}

fn read(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn schedule(case: &Value) -> Schedule {
    let zone: Tz = case["tz"].as_str().unwrap().parse().unwrap();
    Schedule::cron(case["expr"].as_str().unwrap()).unwrap().in_tz(zone)
}

fn instant(seconds: &Value) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds.as_i64().unwrap(), 0).unwrap()
}

fn seconds(list: &Value) -> Vec<i64> {
    list.as_array().unwrap().iter().map(|second| second.as_i64().unwrap()).collect()
}

fn backward(schedule: &Schedule, from: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
    std::iter::successors(schedule.previous_before(from), |&last| schedule.previous_before(last))
}

fn check_both_ways(tally: &mut Tally, class: &str, case: &Value) {
    let (schedule, after) = (schedule(case), instant(&case["after_s"]));
    let want = seconds(&case["next_s"]);
    let got: Vec<i64> = schedule.upcoming(after).take(want.len()).map(|at| at.timestamp()).collect();
    tally.check(class, case, &got, &want);
    // What comes forward comes backward too: from the last, down to what is after `after`.
    if let Some(last) = schedule.upcoming(after).nth(want.len().saturating_sub(1)) {
        let again: Vec<i64> =
            backward(&schedule, last).take_while(|at| *at > after).map(|at| at.timestamp()).collect();
        let reversed: Vec<i64> = want.iter().rev().skip(1).copied().collect();
        tally.check(&format!("{class} (and back)"), case, &again, &reversed);
    }
    if let Some(want) = case.get("prev_s").map(seconds) {
        let got: Vec<i64> = backward(&schedule, after).take(want.len()).map(|at| at.timestamp()).collect();
        tally.check(&format!("{class} (previous)"), case, &got, &want);
    }
}

#[test]
fn every_cron_occurrence_of_the_vectors_is_found_forward_and_backward() {
    let mut tally = Tally::default();
    for case in cases("cron_occurrences.jsonl") {
        check_both_ways(&mut tally, case["class"].as_str().unwrap(), &case);
    }
    tally.finish("cron_occurrences", 2_999 + 2_907);
}

#[test]
fn every_clock_change_of_the_vectors_is_crossed_by_the_rule() {
    let mut tally = Tally::default();
    for case in cases("cron_clock_changes.jsonl") {
        check_both_ways(&mut tally, case["rule"].as_str().unwrap(), &case);
    }
    tally.finish("cron_clock_changes", 572);
}

#[test]
fn every_expression_of_the_vectors_is_accepted_or_refused_as_recommended() {
    let mut tally = Tally::default();
    for case in cases("cron_parse.jsonl") {
        let expression = case["expr"].as_str().unwrap();
        let recommended = case["recommend"].as_str().unwrap();
        // The one open choice is a list of the k-th weekdays: it is taken.
        let want = matches!(recommended, "accept" | "accept-ext" | "accept6" | "choice");
        let parsed = Schedule::cron(expression);
        tally.check(recommended, &case, &parsed.is_ok(), &want);
        match parsed {
            Ok(schedule) => assert_eq!(schedule.to_string(), expression, "a schedule shows what was written"),
            Err(error) => assert!(error.to_string().len() < 900, "an error is short, whatever was pasted"),
        }
    }
    tally.finish("cron_parse", 141);
}

#[test]
fn every_backlog_of_the_vectors_is_counted_and_bounded() {
    let mut tally = Tally::default();
    for case in cases("catch_up.jsonl") {
        let (schedule, last, now) = (schedule(&case), instant(&case["last_s"]), instant(&case["now_s"]));
        let missed: Vec<i64> =
            schedule.upcoming(last).take_while(|at| *at <= now).map(|at| at.timestamp()).collect();
        let window = chrono::TimeDelta::hours(6);
        let latest =
            schedule.previous_before(now + chrono::TimeDelta::milliseconds(1)).filter(|at| *at > last);
        let within = missed.iter().filter(|at| now.timestamp() - **at <= window.num_seconds()).count();
        tally.check("missed", &case, &(missed.len() as u64), &case["missed"].as_u64().unwrap());
        tally.check("oldest", &case, &missed.first().copied(), &case["oldest_s"].as_i64());
        tally.check("latest", &case, &latest.map(|at| at.timestamp()), &case["latest_s"].as_i64());
        tally.check("within 6 h", &case, &(within as u64), &case["within_6h"].as_u64().unwrap());
        tally.check("next", &case, &schedule.next_after(now), &Some(instant(&case["next_s"])));
    }
    tally.finish("catch_up", 2_500);
}

#[test]
fn every_grid_of_the_vectors_is_exact_up_to_the_ends_of_i64() {
    let mut tally = Tally::default();
    for case in cases("every.jsonl") {
        let class = case["class"].as_str().unwrap();
        let ms = |key: &str| case[key].as_i64().unwrap();
        match class {
            "stagger" => {
                let offset = stagger_ms(case["job_id"].as_str().unwrap(), ms("stagger_ms"));
                tally.check(class, &case, &offset, &ms("offset_ms"));
            }
            "missed" => {
                let grid = Grid::new(ms("every_ms"), ms("anchor_ms")).unwrap();
                let missed = grid.count(ms("last_ms") + 1, ms("now_ms"));
                tally.check(class, &case, &missed, &case["missed"].as_u64().unwrap());
            }
            _ => {
                let grid = Grid::new(ms("every_ms"), ms("anchor_ms"));
                let after = ms("after_ms");
                let next = grid.and_then(|grid| grid.next_after(after));
                let previous = grid.and_then(|grid| grid.previous_before(after));
                tally.check(class, &case, &(next, previous), &(case["next"].as_i64(), case["prev"].as_i64()));
                check_as_schedule(&mut tally, class, &case);
            }
        }
    }
    tally.finish("every", 1_021);
}

/// The same case through [`Schedule`], where its instants are dates that can be shown.
fn check_as_schedule(tally: &mut Tally, class: &str, case: &Value) {
    let shown = |key: &str| case[key].as_i64().and_then(DateTime::from_timestamp_millis);
    let every = u64::try_from(case["every_ms"].as_i64().unwrap()).ok().map(Duration::from_millis);
    let (Some(every), Some(anchor), Some(after)) = (every, shown("anchor_ms"), shown("after_ms")) else {
        return;
    };
    if let Ok(schedule) = Schedule::every(every) {
        let schedule = schedule.anchored_at(anchor);
        let got = (schedule.next_after(after), schedule.previous_before(after));
        tally.check(&format!("{class} (schedule)"), case, &got, &(shown("next"), shown("prev")));
    }
}

/// The literal cases of other projects' tests are read where they are, if they are there: next to the project,
/// or in the folder that `MAINSPRING_UPSTREAM_VECTORS` names.
fn upstream() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/time");
    let folder = std::env::var_os("MAINSPRING_UPSTREAM_VECTORS").map_or(beside, PathBuf::from);
    Some(folder.join("upstream.jsonl")).filter(|path| path.exists())
}

#[test]
fn the_literal_cases_of_other_schedulers_hold_where_they_follow_the_same_rule() {
    let Some(path) = upstream() else {
        println!("upstream: not here, not read");
        return;
    };
    let mut tally = Tally::default();
    for case in read(&path) {
        if case.get("last").is_some() {
            upstream_catch_up(&mut tally, &case);
        } else {
            upstream_occurrence(&mut tally, &case);
        }
    }
    tally.finish("upstream", 90);
}

fn upstream_catch_up(tally: &mut Tally, case: &Value) {
    let expression = case["expr"].as_str().unwrap();
    let latest = Schedule::cron(expression).ok().and_then(|schedule| {
        schedule.previous_before(instant(&case["now_s"]) + chrono::TimeDelta::seconds(1))
    });
    let latest = latest.filter(|at| *at > instant(&case["last_s"])).map(|at| at.timestamp());
    tally.check("latest missed", case, &latest, &case["latest_s"].as_i64());
}

fn upstream_occurrence(tally: &mut Tally, case: &Value) {
    let agrees = case.get("agrees_with_recommended_rule").and_then(Value::as_bool);
    let want = if agrees == Some(false) { &case["recommended"] } else { &case["next"] };
    let want: Vec<DateTime<Utc>> =
        want.as_array().unwrap().iter().map(|at| at.as_str().unwrap().parse().unwrap()).collect();
    let expression = case["expr"].as_str().or(case["expr6"].as_str()).unwrap();
    let class = match agrees {
        Some(true) => "same rule",
        Some(false) => "another rule, ours",
        None => "wider syntax",
    };
    // Three cases with seconds hold to "skip what the clocks jump over", which is not our rule for fixed jobs.
    let skips_gaps = expression.split_whitespace().count() == 6 && case["tz"] == "Europe/Riga";
    let Ok(schedule) = Schedule::cron(expression) else {
        return tally.check(class, case, &Vec::new(), &want);
    };
    let mut schedule = schedule.in_tz(case["tz"].as_str().unwrap().parse().unwrap());
    if skips_gaps {
        schedule = schedule.on_gap(mainspring::schedule::Gap::Skip);
    }
    let from: DateTime<Utc> = case["after"].as_str().unwrap().parse().unwrap();
    let got: Vec<DateTime<Utc>> = match case["dir"].as_str().unwrap() {
        "next" => schedule.upcoming(from).take(want.len().max(1)).collect(),
        _ => backward(&schedule, from).take(want.len().max(1)).collect(),
    };
    tally.check(class, case, &got, &want);
}
