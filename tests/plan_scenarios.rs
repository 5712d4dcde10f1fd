//! What went wrong in other schedulers, by its number, and what holds here: the part that is decided in `plan`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where it is wrong"
)]

mod plan_row;

use chrono_tz::Europe::Berlin;
use mainspring::Schedule;
use mainspring::plan::{self, CatchUp, MissReason, Trigger};
use plan_row::{DAY, HOUR, MINUTE, Row, SECOND, at, cron, fired, missed, slot, today};
use std::collections::HashSet;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

#[test]
fn d1_1_a_claim_fires_the_occurrence_that_is_due_before_it_moves_on() {
    for late in [MS, 14 * MS, SECOND, 59 * SECOND] {
        let mut row = Row::waiting_for(cron("* * * * *"), today("10:00:00"));
        let plan = row.claim(today("10:00:00").plus(late));
        assert_eq!(fired(&plan), Some((today("10:00:00"), Trigger::Schedule)), "{late:?} late");
        assert_eq!(slot(plan.next), Some(today("10:01:00")));
        assert!(plan.misses.is_empty());
    }
}

#[test]
fn d1_2_a_tick_that_cannot_claim_moves_nothing() {
    // No slot is free for five minutes: nothing is asked, so nothing moves. Then the original occurrence is
    // still the one that the row is for, and the catch-up decides what stands for it.
    let row = Row::waiting_for(cron("0 10 * * *"), today("10:00:00"));
    let plan = plan::at_claim(&row.position(), today("10:05:00"));
    assert_eq!(fired(&plan), Some((today("10:00:00"), Trigger::CatchUp)));
}

#[test]
fn d1_4_a_long_run_of_another_job_moves_nothing() {
    let mut row = Row::waiting_for(cron("3 6 * * *"), today("06:03:00"));
    let plan = row.claim(today("06:05:00"));
    assert_eq!(fired(&plan).unwrap().0, today("06:03:00"));
    assert_eq!(slot(plan.next), Some(today("06:03:00").plus(DAY)));
}

#[test]
fn d1_6_after_an_edit_the_next_occurrence_is_the_schedules_first_after_now() {
    let now = today("22:37:00");
    for line in ["25 6 * * *", "*/5 * * * *", "0 0 29 2 *", "37 22 * * *"] {
        let row = Row::stored(cron(line).in_tz(Berlin), now);
        let expected = row.schedule.next_after(now.to_datetime()).map(Into::into);
        assert_eq!(row.scheduled_for, expected, "{line}");
    }
}

#[test]
fn d1_7_an_edit_after_todays_occurrence_waits_for_tomorrows() {
    let row = Row::stored(cron("25 6 * * *"), today("22:37:00"));
    assert_eq!(row.scheduled_for, Some(today("06:25:00").plus(DAY)));
}

#[test]
fn d1_9_a_tick_that_comes_early_claims_nothing_and_moves_nothing() {
    let mut row = Row::waiting_for(cron("0 10 * * *"), today("10:00:00"));
    let early = row.claim(today("09:59:59.999"));
    assert_eq!((fired(&early), slot(early.next)), (None, Some(today("10:00:00"))));
    assert_eq!(fired(&row.claim(today("10:00:00"))), Some((today("10:00:00"), Trigger::Schedule)));
}

#[test]
fn d1_11_a_run_that_ends_within_its_second_does_not_fire_it_again() {
    let mut row = Row::waiting_for(cron("* * * * * *"), today("10:00:00"));
    let mut seen = HashSet::new();
    let mut now = today("10:00:00");
    for _ in 0..10_000 {
        let plan = row.claim(now);
        now = now.plus(MS);
        if let Some((occurrence, _)) = fired(&plan) {
            assert!(seen.insert(occurrence), "{occurrence} twice");
            row.complete(now);
        }
    }
    assert_eq!(seen.len(), 10);
}

#[test]
fn d1_13_a_next_time_from_before_the_schedule_took_effect_runs_nothing() {
    let mut row = Row::stored(cron("0 10 * * *"), today("08:00:00"));
    row.scheduled_for = Some(at("1970-01-01T00:00:00Z"));
    let plan = row.claim(today("08:00:05"));
    assert_eq!((fired(&plan), slot(plan.next)), (None, Some(today("10:00:00"))));
    assert!(plan.misses.is_empty());
}

#[test]
fn d1_15_a_schedule_with_nothing_left_has_no_next_and_does_not_fire_again() {
    let mut row = Row::waiting_for(cron("0 10 * * *").ending_at(today("10:00:00")), today("10:00:00"));
    let last = row.claim(today("10:00:00"));
    assert_eq!(last.next, None);
    assert_eq!(row.claim(today("10:00:02")), plan::ClaimPlan::default());
    assert_eq!(row.complete(today("10:00:03")).next, None);
}

#[test]
fn d4_2_a_stale_next_time_is_repaired_from_the_last_run_and_fires_only_what_is_newer() {
    // The row says 08:00, but a run for 08:00 is on record.
    let row = Row::waiting_for(cron("0 8 * * *"), today("08:00:00"));
    let none = plan::repaired(&row.position(), Some(today("08:00:00")), today("12:00:00"));
    assert_eq!(slot(none), Some(today("08:00:00").plus(DAY)));
    // The last run is yesterday's: today's is newer, and overdue.
    let newer = plan::repaired(&row.position(), Some(today("08:00:00").minus(DAY)), today("12:00:00"));
    assert_eq!(slot(newer), Some(today("08:00:00")));
}

#[test]
fn d4_3_what_was_due_while_the_process_was_down_is_caught_up_once() {
    // Down from 07:59 to 08:05.
    let mut row = Row::waiting_for(cron("0 8 * * *"), today("08:00:00"));
    let plan = row.claim(today("08:05:00"));
    assert_eq!(fired(&plan), Some((today("08:00:00"), Trigger::CatchUp)));
    assert_eq!(slot(plan.next), Some(today("08:00:00").plus(DAY)));
    assert_eq!(fired(&row.claim(today("08:05:01"))), None);
}

#[test]
fn d4_4_a_missing_next_time_hides_no_missed_occurrence() {
    let mut row = Row::waiting_for(cron("0 8 * * *"), today("08:00:00"));
    row.scheduled_for = None;
    let next = plan::repaired(&row.position(), Some(today("08:00:00").minus(DAY)), today("09:00:00"));
    row.scheduled_for = slot(next);
    assert_eq!(fired(&row.claim(today("09:00:00"))), Some((today("08:00:00"), Trigger::CatchUp)));
}

#[test]
fn d4_10_of_two_hundred_overdue_jobs_a_few_start_at_once_and_the_others_apart() {
    let now = today("12:00:00");
    let starts: Vec<_> = (0..200).map(|index| CatchUp::default().spread(index, now)).collect();
    assert_eq!(starts.iter().filter(|start| **start == now).count(), 5);
    assert!(starts[4..].windows(2).all(|pair| pair[1].since(pair[0]) == 5 * SECOND));
    let own = CatchUp::latest().at_once(20).spacing(MINUTE);
    assert_eq!(own.spread(19, now), now);
    assert_eq!(own.spread(21, now), now.plus(2 * MINUTE));
}

#[test]
fn d4_11_what_was_put_off_is_still_due_after_a_second_crash() {
    // The row keeps its occurrence, and only the time of the claim was put off: each restart finds it overdue.
    let mut row = Row::waiting_for(cron("0 8 * * *"), today("08:00:00"));
    let mut runs = 0;
    for restart in ["08:30:00", "08:30:20", "08:31:00"] {
        let put_off = CatchUp::default().spread(30, today(restart));
        assert!(put_off > today(restart));
        assert_eq!(row.scheduled_for, Some(today("08:00:00")));
    }
    for now in ["08:33:10", "08:33:15"] {
        runs += usize::from(row.claim(today(now)).fire.is_some());
    }
    assert_eq!(runs, 1);
}

#[test]
fn d4_12_what_is_put_off_is_counted_from_the_clock_as_it_is_then() {
    // The first five took ten minutes: the others are put off from now, not from the restart.
    let now = today("08:40:00");
    assert!((5..50).all(|index| CatchUp::default().spread(index, now) > now));
}

#[test]
fn d4_13_an_edited_schedule_has_no_past() {
    // 19:00 daily became 21:00 daily at 20:00; a restart at 20:30 runs nothing.
    let mut row = Row::stored(cron("0 21 * * *"), today("20:00:00"));
    let restart = row.claim(today("20:30:00"));
    assert_eq!((fired(&restart), slot(restart.next)), (None, Some(today("21:00:00"))));
    assert_eq!(
        slot(plan::repaired(&row.position(), Some(today("19:00:00")), today("20:30:00"))),
        Some(today("21:00:00"))
    );
    assert_eq!(fired(&row.claim(today("21:00:00"))), Some((today("21:00:00"), Trigger::Schedule)));
}

#[test]
fn d4_15_what_is_older_than_the_window_is_on_record_and_not_run() {
    // An alert of 08:00, and the process comes back at 22:00.
    let mut row = Row::waiting_for(cron("0 8 * * *"), today("08:00:00"));
    let plan = row.claim(today("22:00:00"));
    assert_eq!(fired(&plan), None);
    assert_eq!(missed(&plan.misses), [(today("08:00:00"), today("08:00:00"), 1, MissReason::Downtime)]);
    assert_eq!(slot(plan.next), Some(today("08:00:00").plus(DAY)));
    // A wider window runs it; up to a bound, in order.
    let row = Row::waiting_for(cron("0 8 * * *"), today("08:00:00").minus(3 * DAY));
    let mut row = row.with(|row| row.catch_up = CatchUp::all(2).within(7 * DAY));
    let first = row.claim(today("22:00:00"));
    assert_eq!(fired(&first), Some((today("08:00:00").minus(DAY), Trigger::CatchUp)));
    assert_eq!(
        missed(&first.misses),
        [(today("08:00:00").minus(3 * DAY), today("08:00:00").minus(2 * DAY), 2, MissReason::Downtime)]
    );
    assert_eq!(first.next.unwrap().run_at, today("22:00:05"));
    assert_eq!(fired(&row.claim(today("22:00:05"))), Some((today("08:00:00"), Trigger::CatchUp)));
}

#[test]
fn d7_14_a_manual_run_moves_no_grid() {
    // Every 24 hours at 07:00, run by hand at 13:00: the row's occurrence is none of the manual run's business.
    let every = Schedule::every(DAY).unwrap().anchored_at(today("07:00:00"));
    let mut row = Row::waiting_for(every, today("07:00:00").plus(DAY));
    assert_eq!(slot(row.complete(today("13:20:00")).next), Some(today("07:00:00").plus(DAY)));
}

#[test]
fn d10_1_every_minute_stays_on_its_grid_whatever_the_runs_take() {
    let mut row = Row::stored(Schedule::every(MINUTE).unwrap(), today("10:00:00.250"));
    for minute in 1..=100 {
        let expected = today("10:00:00.250").plus(minute * MINUTE);
        assert_eq!(fired(&row.claim(expected.plus(7 * MS))).map(|(slot, _)| slot), Some(expected));
        row.complete(expected.plus(3 * SECOND));
    }
}

#[test]
fn d10_2_a_restart_moves_no_grid() {
    let anchor = today("01:17:00");
    let stored = Schedule::every(4 * HOUR).unwrap().anchored_or(anchor).to_stored();
    // Eleven minutes before an occurrence the process comes back, and declares the schedule without an anchor.
    let declared = Schedule::every(4 * HOUR).unwrap();
    let read = Schedule::from_stored(&stored).unwrap();
    assert!(declared.same_declaration(&read));
    assert_eq!(read.next_after(today("13:06:00").to_datetime()), Some(today("13:17:00").to_datetime()));
}

#[test]
fn d10_3_an_anchor_ten_years_ago_and_a_millisecond_cost_nothing() {
    let every = Schedule::every(MS).unwrap().anchored_at(today("00:00:00").minus(3_650 * DAY));
    let mut row = Row::waiting_for(every, today("00:00:00").minus(300 * DAY));
    let plan = row.claim(today("12:00:00"));
    assert_eq!(fired(&plan), Some((today("12:00:00"), Trigger::Schedule)));
    let [miss] = plan.misses[..] else { panic!("one range is one row: {plan:?}") };
    assert_eq!((miss.occurrences, miss.exact), (300 * 86_400_000 + 12 * 3_600_000, true));
}

#[test]
fn d10_8_a_jitter_is_a_jobs_own_stays_and_is_exact_at_zero() {
    let spread = |job_id: i64, window: Duration| {
        let row =
            Row::stored(cron("0 * * * *").jitter(window), today("09:30:00")).with(|row| row.job_id = job_id);
        plan::first(&row.position(), today("09:30:00")).unwrap()
    };
    let offsets: HashSet<_> =
        (0..200).map(|job| spread(job, 30 * MINUTE).run_at.since(today("10:00:00"))).collect();
    assert!(offsets.len() > 190, "200 jobs share {} times", offsets.len());
    assert!(offsets.iter().all(|offset| *offset < 30 * MINUTE));
    assert_eq!(spread(7, 30 * MINUTE), spread(7, 30 * MINUTE));
    assert_eq!(spread(7, 30 * MINUTE).scheduled_for, today("10:00:00"));
    assert_eq!(spread(7, Duration::ZERO).run_at, today("10:00:00"));
    // The place of job 7 as it was when this was written: it must never change.
    assert_eq!(plan::stagger_ms("7", 1_800_000), 1_601_243);
}

#[test]
fn d10_9_a_finished_one_shot_that_is_scheduled_again_runs_again_once() {
    let mut row = Row::stored(Schedule::at(today("09:00:00")), today("08:00:00"));
    assert!(row.claim(today("09:00:00")).fire.is_some());
    assert_eq!(row.complete(today("09:00:01")).next, None);
    let mut row = Row::stored(Schedule::at(today("11:00:00")), today("10:00:00"));
    assert_eq!(fired(&row.claim(today("11:00:00"))), Some((today("11:00:00"), Trigger::Schedule)));
    assert_eq!(row.claim(today("11:00:01")).fire, None);
}
