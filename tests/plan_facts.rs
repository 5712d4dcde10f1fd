//! What a claim, the end of a run, a pause, an edit and a clock do to occurrences, one fact a test.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where it is wrong"
)]

mod plan_row;

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use chrono::{NaiveDate, NaiveTime, Weekday};
use chrono_tz::Europe::Berlin;
use mainspring::plan::{self, CatchUp, ClaimPlan, MissReason, Overlap, Trigger};
use mainspring::schedule::{Calendar, Gap};
use mainspring::{Schedule, Timestamp};
use plan_row::{DAY, HOUR, MINUTE, Row, SECOND, at, cron, fired, missed, slot, today};
use rusqlite::Connection;
use serde_json::Value;

use MissReason::{Coalesced, Downtime, Excluded, Expired, Paused};

/// Hourly, last run at 08:00, down until 12:10.
fn down_until_noon(catch_up: CatchUp) -> (Row, ClaimPlan) {
    let mut row = Row::waiting_for(cron("0 * * * *"), today("09:00:00")).with(|row| row.catch_up = catch_up);
    let plan = row.claim(today("12:10:00"));
    (row, plan)
}

#[test]
fn latest_runs_the_last_missed_occurrence_in_place_of_all() {
    let (_, plan) = down_until_noon(CatchUp::latest());
    assert_eq!(fired(&plan), Some((today("12:00:00"), Trigger::CatchUp)));
    assert_eq!(missed(&plan.misses), [(today("09:00:00"), today("11:00:00"), 3, Coalesced)]);
    assert_eq!(slot(plan.next), Some(today("13:00:00")));
}

#[test]
fn earliest_runs_the_first_missed_occurrence_within_the_window() {
    let (_, plan) = down_until_noon(CatchUp::earliest());
    assert_eq!(fired(&plan), Some((today("09:00:00"), Trigger::CatchUp)));
    assert_eq!(missed(&plan.misses), [(today("10:00:00"), today("12:00:00"), 3, Coalesced)]);
    assert_eq!(slot(plan.next), Some(today("13:00:00")));

    let (_, plan) = down_until_noon(CatchUp::earliest().within(2 * HOUR));
    assert_eq!(fired(&plan), Some((today("11:00:00"), Trigger::CatchUp)));
    assert_eq!(
        missed(&plan.misses),
        [
            (today("09:00:00"), today("10:00:00"), 2, Downtime),
            (today("12:00:00"), today("12:00:00"), 1, Coalesced)
        ]
    );
}

#[test]
fn all_runs_each_in_order_and_apart_up_to_its_bound() {
    let (mut row, plan) = down_until_noon(CatchUp::all(3));
    assert_eq!(fired(&plan), Some((today("10:00:00"), Trigger::CatchUp)));
    assert_eq!(missed(&plan.misses), [(today("09:00:00"), today("09:00:00"), 1, Downtime)]);
    let next = plan.next.unwrap();
    assert_eq!((next.scheduled_for, next.run_at), (today("11:00:00"), today("12:10:05")));

    let plan = row.claim(today("12:10:05"));
    assert_eq!(fired(&plan), Some((today("11:00:00"), Trigger::CatchUp)));
    let plan = row.claim(today("12:10:10"));
    assert_eq!(fired(&plan), Some((today("12:00:00"), Trigger::CatchUp)));
    assert_eq!(plan.next.unwrap().run_at, today("13:00:00"));
    assert!(plan.misses.is_empty());
}

#[test]
fn skip_runs_nothing_that_is_more_than_a_minute_late() {
    let (mut row, plan) = down_until_noon(CatchUp::skip());
    assert_eq!(fired(&plan), None);
    assert_eq!(missed(&plan.misses), [(today("09:00:00"), today("12:00:00"), 4, Downtime)]);
    assert_eq!(fired(&row.claim(today("13:01:00"))), Some((today("13:00:00"), Trigger::Schedule)));
    assert_eq!(fired(&row.claim(today("14:01:00.001"))), None);
}

#[test]
fn eight_days_of_a_minutely_job_are_one_row_counted_to_the_end() {
    let mut row = Row::waiting_for(cron("* * * * *"), today("12:00:00").minus(8 * DAY));
    let plan = row.claim(today("12:00:30"));
    assert_eq!(fired(&plan), Some((today("12:00:00"), Trigger::Schedule)));
    assert_eq!(
        missed(&plan.misses),
        [(today("12:00:00").minus(8 * DAY), today("11:59:00"), 8 * 1_440, Coalesced)]
    );
}

#[test]
fn the_window_reaches_to_its_last_millisecond() {
    for (now, fires) in [("14:00:00", true), ("14:00:00.001", false)] {
        let mut row = Row::waiting_for(cron("0 8 * * *"), today("08:00:00"));
        assert_eq!(row.claim(today(now)).fire.is_some(), fires, "at {now}");
    }
}

#[test]
fn a_job_that_has_never_run_may_be_left_out_of_the_catch_up() {
    let policy = CatchUp::latest().only_after_first_run();
    for (runs, trigger) in [(0, None), (1, Some(Trigger::CatchUp))] {
        let row = Row::waiting_for(cron("0 8 * * *"), today("08:00:00")).with(|row| {
            (row.catch_up, row.runs_started) = (policy, runs);
        });
        let plan = plan::at_claim(&row.position(), today("09:00:00"));
        assert_eq!(fired(&plan).map(|(_, trigger)| trigger), trigger, "{runs} runs");
    }
    // On time it runs all the same: its first run has to come from somewhere.
    let row = Row::stored(cron("0 8 * * *"), today("07:00:00")).with(|row| row.catch_up = policy);
    assert!(plan::at_claim(&row.position(), today("08:00:30")).fire.is_some());
}

#[test]
fn a_one_shot_runs_however_late() {
    let mut row = Row::stored(Schedule::at(today("08:00:00")), today("07:00:00"));
    let plan = row.claim(today("08:00:00").plus(400 * DAY));
    assert_eq!(fired(&plan), Some((today("08:00:00"), Trigger::CatchUp)));
    assert_eq!((plan.next, plan.misses.len()), (None, 0));
}

#[test]
fn what_has_expired_is_a_miss_and_not_a_run() {
    let expiring = |schedule| {
        Row::stored(schedule, today("07:00:00")).with(|row| row.expires_at = Some(today("09:00:00")))
    };
    let mut one_shot = expiring(Schedule::at(today("08:00:00")));
    assert!(plan::at_claim(&one_shot.position(), today("08:59:59.999")).fire.is_some());
    let plan = one_shot.claim(today("09:00:00"));
    assert_eq!((plan.fire, plan.next), (None, None));
    assert_eq!(missed(&plan.misses), [(today("08:00:00"), today("08:00:00"), 1, Expired)]);

    let plan = expiring(cron("*/10 * * * *")).claim(today("09:05:00"));
    assert_eq!((plan.fire, plan.next), (None, None));
    assert_eq!(missed(&plan.misses), [(today("07:10:00"), today("09:00:00"), 12, Expired)]);
}

#[test]
fn a_run_too_many_is_not_started_and_a_miss_is_no_run() {
    let mut row = Row::stored(cron("0 * * * *").max_runs(2), today("07:30:00"));
    assert!(row.claim(today("08:00:00")).next.is_some());
    // Down until 12:10: one run stands for four occurrences, and it is the last.
    let plan = row.claim(today("12:10:00"));
    assert_eq!((fired(&plan), plan.next), (Some((today("12:00:00"), Trigger::CatchUp)), None));
    assert_eq!(row.complete(today("12:11:00")).next, None);
    assert_eq!(
        plan::first(
            &Row::stored(cron("0 * * * *").max_runs(0), today("07:30:00")).position(),
            today("07:30:00")
        ),
        None
    );
}

#[test]
fn an_overlapping_occurrence_is_a_miss_unless_the_job_says_otherwise() {
    let end = |overlap| {
        let mut row =
            Row::waiting_for(cron("*/10 * * * *"), today("10:10:00")).with(|row| row.overlap = overlap);
        row.complete(today("10:35:00"))
    };
    let plan = end(Overlap::Skip);
    assert_eq!(missed(&plan.misses), [(today("10:10:00"), today("10:30:00"), 3, MissReason::Overlap)]);
    assert_eq!(slot(plan.next), Some(today("10:40:00")));
    for overlap in [Overlap::QueueOne, Overlap::CancelRunning, Overlap::Allow(2)] {
        let plan = end(overlap);
        assert_eq!(missed(&plan.misses), [(today("10:10:00"), today("10:20:00"), 2, MissReason::Overlap)]);
        assert_eq!(slot(plan.next), Some(today("10:30:00")), "{overlap:?} keeps the latest");
    }
}

#[test]
fn what_comes_as_the_run_ends_does_not_overlap_it() {
    let mut row = Row::waiting_for(cron("*/10 * * * *"), today("10:10:00"));
    let plan = row.complete(today("10:10:00"));
    assert_eq!((plan.misses.len(), slot(plan.next)), (0, Some(today("10:10:00"))));
}

#[test]
fn a_run_that_was_interrupted_leaves_what_came_due_to_the_catch_up() {
    let row = Row::waiting_for(cron("*/10 * * * *"), today("10:10:00"));
    let plan = plan::at_interruption(&row.position(), today("10:35:00"));
    assert_eq!((plan.misses.len(), slot(plan.next)), (0, Some(today("10:10:00"))));
    let plan = plan::at_claim(&row.position(), today("10:35:00"));
    assert_eq!(fired(&plan), Some((today("10:30:00"), Trigger::CatchUp)));
}

#[test]
fn a_delay_after_each_run_begins_at_its_end() {
    let mut row = Row::stored(Schedule::after_each(10 * MINUTE).unwrap(), today("08:00:00"));
    assert_eq!(row.scheduled_for, Some(today("08:10:00")));
    let plan = row.claim(today("08:10:00"));
    assert_eq!((fired(&plan), plan.next), (Some((today("08:10:00"), Trigger::Schedule)), None));
    assert_eq!(slot(row.complete(today("08:17:00")).next), Some(today("08:27:00")));
    // Overdue by a day: a miss, and the next delay begins now.
    let plan = row.claim(today("09:00:00").plus(DAY));
    assert_eq!(missed(&plan.misses), [(today("08:27:00"), today("08:27:00"), 1, Downtime)]);
    assert_eq!(slot(plan.next), Some(today("09:10:00").plus(DAY)));
    // Its owner died: the delay begins when that is found out.
    row.scheduled_for = None;
    assert_eq!(slot(plan::at_interruption(&row.position(), today("11:00:00")).next), Some(today("11:10:00")));
}

#[test]
fn a_pause_piles_up_no_backlog_and_its_occurrences_are_on_record() {
    let row = Row::waiting_for(cron("0 * * * *"), today("09:00:00"));
    let plan = plan::on_resume(&row.position(), today("10:30:00"), today("13:15:00"));
    assert_eq!(
        missed(&plan.misses),
        [
            (today("09:00:00"), today("10:00:00"), 2, Downtime),
            (today("11:00:00"), today("13:00:00"), 3, Paused)
        ]
    );
    assert_eq!(slot(plan.next), Some(today("14:00:00")));
    // Resumed before anything came: nothing has changed.
    let plan = plan::on_resume(&row.position(), today("08:10:00"), today("08:20:00"));
    assert_eq!((plan.misses.len(), slot(plan.next)), (0, Some(today("09:00:00"))));
}

#[test]
fn a_one_shot_that_came_while_it_was_paused_runs_when_it_is_resumed() {
    let mut row = Row::stored(Schedule::at(today("08:00:00")), today("07:00:00"));
    let plan = plan::on_resume(&row.position(), today("07:30:00"), today("12:00:00"));
    assert_eq!((plan.misses.len(), slot(plan.next)), (0, Some(today("08:00:00"))));
    assert!(row.claim(today("12:00:00")).fire.is_some());
}

#[test]
fn an_edit_leaves_what_the_old_schedule_missed_on_record() {
    let row = Row::waiting_for(cron("0 * * * *"), today("09:00:00"));
    assert_eq!(
        missed(&plan::at_edit(&row.position(), today("11:30:00"))),
        [(today("09:00:00"), today("11:00:00"), 3, Downtime)]
    );
    assert!(plan::at_edit(&row.position(), today("08:59:59")).is_empty());
}

fn closed_on_sundays_and_at_night() -> Calendar {
    let hour = |hour| NaiveTime::from_hms_opt(hour, 0, 0).unwrap();
    Calendar::in_tz(Berlin).weekday(Weekday::Sun).times(hour(22), hour(6))
}

#[test]
fn what_a_calendar_leaves_out_is_on_record_with_the_occurrence_that_follows() {
    // 2026-03-08 is a Sunday. In Berlin it is one hour later than in UTC.
    let mut row = Row::waiting_for(cron("0 */4 * * *").in_tz(Berlin), at("2026-03-07T19:00:00Z"))
        .with(|row| row.calendar = Some(closed_on_sundays_and_at_night()));
    let plan = row.claim(at("2026-03-07T19:00:00Z"));
    assert!(plan.misses.is_empty());
    // Sunday 00:00 to Monday 04:00 are left out: eight occurrences.
    assert_eq!(slot(plan.next), Some(at("2026-03-09T07:00:00Z")));
    let plan = row.claim(at("2026-03-09T07:00:00Z"));
    assert_eq!(missed(&plan.misses), [(at("2026-03-07T23:00:00Z"), at("2026-03-09T03:00:00Z"), 8, Excluded)]);
}

#[test]
fn a_backlog_with_exclusions_inside_has_each_occurrence_in_one_row() {
    let mut row = Row::waiting_for(cron("0 */4 * * *").in_tz(Berlin), at("2026-03-06T19:00:00Z"))
        .with(|row| row.calendar = Some(closed_on_sundays_and_at_night()));
    let plan = row.claim(at("2026-03-09T08:00:00Z"));
    assert_eq!(fired(&plan), Some((at("2026-03-09T07:00:00Z"), Trigger::CatchUp)));
    assert_eq!(
        missed(&plan.misses),
        [
            (at("2026-03-06T19:00:00Z"), at("2026-03-06T19:00:00Z"), 1, Coalesced),
            (at("2026-03-06T23:00:00Z"), at("2026-03-07T03:00:00Z"), 2, Excluded),
            (at("2026-03-07T07:00:00Z"), at("2026-03-07T19:00:00Z"), 4, Coalesced),
            (at("2026-03-07T23:00:00Z"), at("2026-03-09T03:00:00Z"), 8, Excluded),
        ]
    );
}

#[test]
fn exclusions_at_the_end_of_a_schedule_are_on_record_with_its_last_run() {
    let schedule = cron("0 12 * * *").ending_at(at("2026-03-09T00:00:00Z"));
    let mut row = Row::waiting_for(schedule, at("2026-03-07T12:00:00Z"))
        .with(|row| row.calendar = Some(Calendar::new().weekday(Weekday::Sun)));
    let plan = row.claim(at("2026-03-07T12:00:00Z"));
    assert_eq!((plan.fire.is_some(), plan.next), (true, None));
    assert_eq!(missed(&plan.misses), [(at("2026-03-08T12:00:00Z"), at("2026-03-08T12:00:00Z"), 1, Excluded)]);
}

#[test]
fn a_calendar_that_leaves_out_everything_leaves_no_next_and_ends_the_search() {
    let hour = |hour| NaiveTime::from_hms_opt(hour, 0, 0).unwrap();
    let row = Row::stored(cron("0 3 * * *"), today("08:00:00"))
        .with(|row| row.calendar = Some(Calendar::new().times(hour(2), hour(4))));
    assert_eq!(plan::first(&row.position(), today("08:00:00")), None);
}

#[test]
fn a_grid_of_milliseconds_passes_over_a_closed_fortnight_at_once() {
    let day = |day| NaiveDate::from_ymd_opt(2026, 4, day).unwrap();
    let every = Schedule::every(Duration::from_millis(1)).unwrap().anchored_at(today("00:00:00"));
    let mut row = Row::waiting_for(every, at("2026-03-31T23:59:59.999Z"))
        .with(|row| row.calendar = Some(Calendar::new().dates(day(1), day(14))));
    let plan = row.claim(at("2026-03-31T23:59:59.999Z"));
    assert_eq!(slot(plan.next), Some(at("2026-04-15T00:00:00Z")));
    let plan = row.claim(at("2026-04-15T00:00:00Z"));
    assert_eq!(missed(&plan.misses)[0].2, 14 * 86_400_000);
}

#[test]
fn a_one_shot_on_an_excluded_day_is_a_miss() {
    let mut row = Row::stored(Schedule::at(at("2026-03-15T12:00:00Z")), today("08:00:00"))
        .with(|row| row.calendar = Some(Calendar::new().weekday(Weekday::Sun)));
    let plan = row.claim(at("2026-03-15T12:00:00Z"));
    assert_eq!((plan.fire, missed(&plan.misses)[0].3), (None, Excluded));
}

#[test]
fn a_gap_that_the_schedule_skips_is_on_record() {
    let schedule = cron("30 2 * * *").in_tz(Berlin).on_gap(Gap::Skip);
    let mut row = Row::waiting_for(schedule, at("2026-03-28T01:30:00Z"));
    assert_eq!(slot(row.claim(at("2026-03-28T01:30:00Z")).next), Some(at("2026-03-30T00:30:00Z")));
    let plan = row.claim(at("2026-03-30T00:30:00Z"));
    // It would have come at the first instant after the jump.
    assert_eq!(missed(&plan.misses), [(at("2026-03-29T01:00:00Z"), at("2026-03-29T01:00:00Z"), 1, Excluded)]);
    // And in the middle of a backlog.
    let mut row = Row::waiting_for(row.schedule.clone(), at("2026-03-28T01:30:00Z"))
        .with(|row| row.catch_up = CatchUp::latest().within(10 * DAY));
    let plan = row.claim(at("2026-03-31T12:00:00Z"));
    let reasons: Vec<_> = missed(&plan.misses).iter().map(|miss| (miss.2, miss.3)).collect();
    assert_eq!(reasons, [(1, Coalesced), (1, Excluded), (1, Coalesced)]);
}

#[test]
fn a_clock_set_back_fires_nothing_twice() {
    let mut row = Row::waiting_for(cron("*/5 * * * *"), today("12:00:00"));
    assert!(row.claim(today("12:00:00")).fire.is_some());
    for now in ["09:00:00", "10:31:00", "12:00:00", "12:04:59"] {
        let plan = row.claim(today(now));
        assert_eq!((fired(&plan), slot(plan.next)), (None, Some(today("12:05:00"))), "at {now}");
    }
}

#[test]
fn a_clock_that_ran_a_year_ahead_and_was_set_right_leaves_nothing_stuck() {
    let mut row = Row::waiting_for(cron("0 8 * * *"), today("08:00:00"));
    let ahead = row.claim(today("09:00:00").plus(365 * DAY));
    let run = fired(&ahead).unwrap().0;
    assert_eq!(run, today("08:00:00").plus(365 * DAY));

    // Set right, at 09:00 of the first day: what was passed over is ahead again, but for what had come by then.
    let now = today("09:00:00");
    let has_run = |slot| slot == run;
    let row_left = plan::taken_back(&row.position(), &ahead.misses[0], now, has_run).unwrap();
    assert_eq!(missed(&[row_left]), [(today("08:00:00"), today("08:00:00"), 1, Coalesced)]);
    let next = plan::on_clock_set_back(&row.position(), now, has_run);
    assert_eq!(slot(next), Some(today("08:00:00").plus(DAY)));
    // The occurrence that has run a year too early gets no second run.
    let ran_tomorrow = |slot| slot == today("08:00:00").plus(DAY);
    assert_eq!(
        slot(plan::on_clock_set_back(&row.position(), now, ran_tomorrow)),
        Some(today("08:00:00").plus(2 * DAY))
    );
}

#[test]
fn a_clock_set_forward_by_a_century_is_bounded_work() {
    for line in ["* * * * * *", "*/7 9-17 * * mon-fri", "0 0 29 2 *"] {
        let row = Row::waiting_for(cron(line).in_tz(Berlin), today("08:00:00").minus(DAY * 9))
            .with(|row| row.catch_up = CatchUp::all(1_000));
        let started = std::time::Instant::now();
        let plan = plan::at_claim(&row.position(), today("08:00:00").plus(36_525 * DAY));
        assert!(plan.misses.iter().all(|miss| miss.exact), "{line}");
        assert!(started.elapsed() < Duration::from_millis(500), "{line} took {:?}", started.elapsed());
    }
}

#[test]
fn a_backfill_names_a_past_range_in_order_and_up_to_its_bound() {
    let row = Row::waiting_for(cron("0 */4 * * *").in_tz(Berlin), at("2026-03-10T03:00:00Z"))
        .with(|row| row.calendar = Some(closed_on_sundays_and_at_night()));
    let range = |limit| {
        plan::backfill(&row.position(), at("2026-03-07T11:00:00Z"), at("2026-03-09T11:00:00Z"), limit)
    };
    let all = [
        "2026-03-07T11:00:00Z",
        "2026-03-07T15:00:00Z",
        "2026-03-07T19:00:00Z",
        "2026-03-09T07:00:00Z",
        "2026-03-09T11:00:00Z",
    ];
    assert_eq!(range(100), all.map(at));
    assert_eq!(range(2), all[..2].iter().map(|slot| at(slot)).collect::<Vec<_>>());
}

#[test]
fn the_jitter_delays_the_claim_and_is_not_lateness() {
    let mut row = Row::waiting_for(cron("0 * * * *").jitter(30 * MINUTE), today("10:00:00"));
    let next = plan::repaired(&row.position(), Some(today("09:00:00")), today("09:30:00")).unwrap();
    assert!(next.run_at > next.scheduled_for && next.run_at < today("10:30:00"));
    assert_eq!(fired(&plan::at_claim(&row.position(), next.run_at.minus(SECOND))), None);
    assert_eq!(fired(&row.claim(next.run_at.plus(SECOND))), Some((today("10:00:00"), Trigger::Schedule)));
}

#[test]
fn every_backlog_of_the_vectors_is_fired_or_on_record() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/time/catch_up.jsonl");
    let mut cases = 0;
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let instant = |key: &str| case[key].as_i64().map(|second| Timestamp::from_millis(second * 1_000));
        let (last, now) = (instant("last_s").unwrap(), instant("now_s").unwrap());
        let schedule =
            cron(case["expr"].as_str().unwrap()).in_tz(case["tz"].as_str().unwrap().parse().unwrap());
        let row = Row::stored(schedule, last);
        let plan = plan::at_claim(&row.position(), now);
        let (id, missed) = (&case["id"], case["missed"].as_u64().unwrap());
        let on_record: u64 = plan.misses.iter().map(|miss| miss.occurrences).sum();
        // The latest runs if it is not older than six hours, and stands for all of them.
        let runs = case["within_6h"].as_u64().unwrap() > 0;
        assert_eq!(fired(&plan).map(|(slot, _)| slot), instant("latest_s").filter(|_| runs), "{id}");
        assert_eq!(on_record + u64::from(runs), missed, "{id}");
        assert_eq!(
            plan.misses.first().map(|miss| miss.from),
            instant("oldest_s").filter(|_| on_record > 0),
            "{id}"
        );
        assert!(plan.misses.len() <= 1 && plan.misses.iter().all(|miss| miss.exact), "{id}");
        assert_eq!(slot(plan.next), instant("next_s"), "{id}");
        cases += 1;
    }
    println!("catch_up through plan: {cases} of 500");
    assert_eq!(cases, 500);
}

#[test]
fn no_position_panics_whatever_the_row_and_the_clock_say() {
    let mut rng = fastrand::Rng::with_seed(11);
    let extremes = [
        Timestamp::MIN,
        Timestamp::from_millis(-1),
        Timestamp::from_millis(0),
        today("12:00:00"),
        Timestamp::MAX,
    ];
    let mut instant = move || match rng.u8(0..3) {
        0 => extremes[rng.usize(0..extremes.len())],
        1 => Timestamp::from_millis(rng.i64(..)),
        _ => today("12:00:00").plus(Duration::from_millis(rng.u64(0..100_000_000_000))),
    };
    let schedules = [
        cron("*/7 * * * *").in_tz(Berlin),
        cron("30 2 * * *").in_tz(Berlin).on_gap(Gap::Skip).jitter(Duration::MAX),
        cron("0 0 L * *"),
        Schedule::every(Duration::from_millis(1)).unwrap().anchored_at(Timestamp::MIN),
        Schedule::every(Duration::from_secs(1 << 40)).unwrap().anchored_at(Timestamp::MAX),
        Schedule::every(MINUTE).unwrap(),
        Schedule::after_each(Duration::from_secs(1 << 50)).unwrap(),
        Schedule::at(Timestamp::MAX),
        Schedule::after(Duration::MAX),
    ];
    for schedule in schedules {
        for round in 0..60 {
            let schedule = match round % 4 {
                0 => schedule.clone().starting_at(instant()).ending_at(instant()),
                _ => schedule.clone(),
            };
            let row = Row {
                schedule,
                calendar: (round % 3 == 0).then(closed_on_sundays_and_at_night),
                job_id: i64::MIN,
                activated_at: instant(),
                scheduled_for: Some(instant()).filter(|_| round % 5 > 0),
                runs_started: u32::MAX,
                catch_up: [CatchUp::latest(), CatchUp::earliest(), CatchUp::all(7), CatchUp::skip()]
                    [round % 4]
                    .within(Duration::MAX)
                    .spacing(Duration::MAX),
                overlap: [Overlap::Skip, Overlap::QueueOne][round % 2],
                expires_at: Some(instant()).filter(|_| round % 7 == 0),
            };
            let (position, now) = (row.position(), instant());
            let plan = plan::at_claim(&position, now);
            assert_eq!(plan, plan::at_claim(&position, now));
            if let Some(fire) = plan.fire {
                assert!(fire.scheduled_for <= now);
            }
            let _ = plan::first(&position, now);
            let _ = plan::repaired(&position, Some(instant()), now);
            let _ = plan::at_completion(&position, now);
            let _ = plan::at_interruption(&position, now);
            let _ = plan::on_resume(&position, instant(), now);
            let _ = plan::at_edit(&position, now);
            let _ = plan::on_clock_set_back(&position, now, |_| false);
            for miss in &plan.misses {
                let _ = plan::taken_back(&position, miss, instant(), |_| true);
            }
            let _ = plan::backfill(&position, instant(), instant(), 10);
        }
    }
}

#[test]
fn words_go_to_the_database_and_back() {
    let connection = Connection::open_in_memory().unwrap();
    for &trigger in Trigger::ALL {
        let back: Trigger = connection.query_row("SELECT ?1", [trigger], |row| row.get(0)).unwrap();
        assert_eq!((back, Trigger::from_str(trigger.as_str())), (trigger, Ok(trigger)));
    }
    for &reason in MissReason::ALL {
        let back: MissReason = connection.query_row("SELECT ?1", [reason], |row| row.get(0)).unwrap();
        assert_eq!((back, MissReason::from_str(reason.as_str())), (reason, Ok(reason)));
    }
    let unknown = connection.query_row("SELECT 'sometime'", [], |row| row.get::<_, Trigger>(0));
    assert!(unknown.unwrap_err().to_string().contains("sometime"));
    assert_eq!(
        MissReason::from_str("bored").unwrap_err().to_string(),
        "unknown reason of a miss \"bored\": allowed is downtime, overlap, paused, expired, coalesced, excluded"
    );
}

#[test]
fn policies_go_to_json_and_back_and_have_their_defaults() {
    for policy in [CatchUp::default(), CatchUp::all(3).only_after_first_run(), CatchUp::skip().within(DAY)] {
        let json = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<CatchUp>(&json).unwrap(), policy, "{json}");
    }
    assert_eq!(serde_json::from_str::<CatchUp>("{}").unwrap(), CatchUp::default());
    assert_eq!(CatchUp::default().window(), 6 * HOUR);
    for overlap in [Overlap::Skip, Overlap::QueueOne, Overlap::CancelRunning, Overlap::Allow(4)] {
        let json = serde_json::to_string(&overlap).unwrap();
        assert_eq!(serde_json::from_str::<Overlap>(&json).unwrap(), overlap, "{json}");
    }
    assert_eq!(Overlap::default(), Overlap::Skip);
}
