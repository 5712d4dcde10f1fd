//! Bounds of a schedule: a start, an end, a number of runs, an expiry, a jitter, a calendar. Issue 3, item 4.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test fail it"
)]

#[path = "support/timed.rs"]
mod timed;

use chrono::{NaiveDate, Weekday};
use mainspring::plan::Trigger;
use mainspring::schedule::Calendar;
use mainspring::{Enqueued, JobState, NewJob, Schedule};
use timed::*;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_before_the_start_or_after_the_end_and_both_ends_count() {
    let world = World::running_at("2026-01-05T07:30:00Z").await;
    let bounded =
        cron("0 * * * *").starting_at(at("2026-01-05T09:00:00Z")).ending_at(at("2026-01-05T11:00:00Z"));
    world.queue.schedule("job", bounded, quick()).await.unwrap();
    for hour in 8..=13 {
        world.go(&format!("2026-01-05T{hour:02}:00:00Z")).await;
    }
    assert_eq!(
        world.ran("job").await,
        ["05 09:00:00 schedule", "05 10:00:00 schedule", "05 11:00:00 schedule"]
    );
    assert_eq!(world.queue.get("job").await.unwrap().state(world.clock.now()), JobState::Finished);
    world.is_sound().await;
}

/// What came after the end while nothing ran is no occurrence; what came before it is caught up.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_occurrence_before_the_end_is_caught_up() {
    let mut world = World::at("2026-01-05T07:30:00Z");
    let bounded = cron("0 * * * *").ending_at(at("2026-01-05T09:30:00Z"));
    world.queue.schedule("job", bounded, quick()).await.unwrap();
    world.clock.set(at("2026-01-05T12:10:00Z"));
    world.start().await;
    world.settle().await;
    assert_eq!(world.ran("job").await, ["05 09:00:00 catch_up"]);
    assert_eq!(world.missed("job").await, ["05 08:00:00 x1 coalesced"]);
    assert_eq!(world.queue.get("job").await.unwrap().state(world.clock.now()), JobState::Finished);
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_so_many_runs_are_begun_and_retries_do_not_count() {
    let mut world = World::running_at("2026-01-05T07:30:00Z").await;
    let job = NewJob::new(Work::Fails(1, 60));
    world.queue.schedule("job", cron("0 * * * *").max_runs(2), job).await.unwrap();
    world.go("2026-01-05T08:00:00Z").await;
    world.restart_at("2026-01-05T08:30:00Z").await;
    for hour in 9..=12 {
        world.go(&format!("2026-01-05T{hour:02}:00:00Z")).await;
        world.advance(secs(60)).await;
    }
    assert_eq!(
        world.ran("job").await,
        ["05 08:00:00 schedule", "05 08:00:00 retry", "05 09:00:00 schedule", "05 09:00:00 retry"]
    );
    assert_eq!(world.queue.get("job").await.unwrap().state(world.clock.now()), JobState::Finished);
    world.is_sound().await;
}

/// A plain job that nobody could start in time is a miss, not a late run; and its key is free again.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_expires_before_its_start_is_a_miss_and_frees_its_key() {
    let mut world = World::at("2026-01-05T08:00:00Z");
    let job = || quick().expires_after(secs(600)).unique("report");
    let id = world.queue.enqueue(job()).await.unwrap().id();
    assert_eq!(world.queue.enqueue(job()).await.unwrap(), Enqueued::Existing(id));
    world.clock.set(at("2026-01-05T08:10:00Z"));
    world.start().await;
    world.settle().await;
    assert!(world.queue.runs(id, 9).await.unwrap().is_empty());
    let misses = world.queue.misses(id, 9).await.unwrap();
    assert_eq!((misses.len(), misses[0].reason.as_str()), (1, "expired"));
    let expired = world.queue.get(id).await.unwrap();
    assert_eq!(expired.state(world.clock.now()), JobState::Finished);
    assert_eq!(expired.finished_at, Some(world.clock.now()));
    assert!(matches!(world.queue.enqueue(job()).await.unwrap(), Enqueued::Created(_)));
    world.settle().await;
    assert_eq!(world.calls().len(), 1);
    world.is_sound().await;
}

/// A job whose own occurrence was passed over counted as over, and the run that somebody had asked for never came.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_asked_for_comes_although_the_jobs_own_occurrence_has_expired() {
    let mut world = World::at("2026-01-05T08:00:00Z");
    let id = world.queue.enqueue(quick().expires_after(secs(600))).await.unwrap().id();
    let request = world.queue.run_now(id).await.unwrap();
    world.clock.set(at("2026-01-05T08:10:00Z"));
    world.start().await;
    world.until("the run", async || world.calls().len() == 1).await;
    world.settle().await;
    assert!(world.queue.run_of(id, request).await.unwrap().is_some());
    let misses = world.queue.misses(id, 9).await.unwrap();
    assert_eq!((misses.len(), misses[0].reason.as_str()), (1, "expired"));
    assert_eq!(world.queue.get(id).await.unwrap().state(world.clock.now()), JobState::Finished);
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_starts_in_time_runs_and_one_millisecond_decides() {
    let mut world = World::at("2026-01-05T08:00:00Z");
    let until = at("2026-01-05T08:10:00Z");
    world.queue.enqueue(quick().expires_at(until)).await.unwrap();
    world.clock.set(until.minus(std::time::Duration::from_millis(1)));
    world.start().await;
    world.settle().await;
    assert_eq!(world.calls().len(), 1);
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recurring_job_that_expires_ends_there() {
    let world = World::running_at("2026-01-05T07:30:00Z").await;
    let job = quick().expires_at(at("2026-01-05T09:30:00Z"));
    world.queue.schedule("job", cron("0 * * * *"), job).await.unwrap();
    for hour in 8..=12 {
        world.go(&format!("2026-01-05T{hour:02}:00:00Z")).await;
    }
    assert_eq!(world.ran("job").await, ["05 08:00:00 schedule", "05 09:00:00 schedule"]);
    assert_eq!(world.missed("job").await, ["05 10:00:00 x1 expired"]);
    assert_eq!(world.queue.get("job").await.unwrap().state(world.clock.now()), JobState::Finished);
    world.is_sound().await;
}

/// D10.8: the stagger was guessed from the text of the schedule, and moved with each restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_jitter_belongs_to_the_job_survives_a_restart_and_zero_is_exact() {
    let mut world = World::running_at("2026-01-05T07:30:00Z").await;
    let window = secs(600);
    let mut first = Vec::new();
    for name in ["a", "b", "c", "d"] {
        world.queue.schedule(name, cron("0 * * * *").jitter(window), quick()).await.unwrap();
        let job = world.queue.get(name).await.unwrap();
        assert_eq!(job.scheduled_for, Some(at("2026-01-05T08:00:00Z")));
        let moved = job.next_run_at.unwrap().since(at("2026-01-05T08:00:00Z"));
        assert!(moved < window, "{moved:?}");
        first.push(moved);
    }
    assert!(first.iter().any(|moved| *moved != first[0]), "all four share {first:?}");
    world.queue.schedule("exact", cron("0 * * * *").jitter(secs(0)), quick()).await.unwrap();
    world.go("2026-01-05T08:00:00Z").await;
    assert_eq!(world.ran("exact").await, ["05 08:00:00 schedule"]);
    for (name, moved) in ["a", "b", "c", "d"].into_iter().zip(&first) {
        let due = at("2026-01-05T08:00:00Z").plus(*moved);
        if due > world.clock.now() {
            assert!(world.ran(name).await.is_empty(), "{name} ran before its place");
        }
    }
    world.go("2026-01-05T08:10:00Z").await;
    world.restart_at("2026-01-05T08:30:00Z").await;
    for (name, moved) in ["a", "b", "c", "d"].into_iter().zip(first) {
        let job = world.queue.get(name).await.unwrap();
        assert_eq!(job.next_run_at, Some(at("2026-01-05T09:00:00Z").plus(moved)), "{name}");
        assert_eq!(world.queue.runs(name, 9).await.unwrap().len(), 1, "{name}");
    }
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calendar_is_shared_by_name_and_what_it_leaves_out_is_on_record() {
    let world = World::running_at("2026-01-05T07:30:00Z").await;
    let closed = Calendar::new().date(NaiveDate::from_ymd_opt(2026, 1, 6).unwrap()).weekday(Weekday::Sat);
    world.queue.store_calendar("closed", closed).await.unwrap();
    for name in ["a", "b"] {
        world.queue.schedule(name, cron("0 8 * * *").excluding("closed"), quick()).await.unwrap();
    }
    for day in 5..=12 {
        world.go(&format!("2026-01-{day:02}T08:00:00Z")).await;
    }
    for name in ["a", "b"] {
        let days: Vec<_> = world.ran(name).await.iter().map(|run| run[..2].to_owned()).collect();
        assert_eq!(days, ["05", "07", "08", "09", "11", "12"], "{name}");
        assert_eq!(
            world.missed(name).await,
            ["06 08:00:00 x1 excluded", "10 08:00:00 x1 excluded"],
            "{name}"
        );
    }
    world.is_sound().await;
}

/// A calendar that changes counts for what is already planned, too: it is asked again when the time has come.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_is_closed_at_short_notice_is_left_out() {
    let world = World::running_at("2026-01-05T07:30:00Z").await;
    world.queue.store_calendar("closed", Calendar::new()).await.unwrap();
    world.queue.schedule("job", cron("0 8 * * *").excluding("closed"), quick()).await.unwrap();
    let closed = Calendar::new().date(NaiveDate::from_ymd_opt(2026, 1, 5).unwrap());
    world.queue.store_calendar("closed", closed).await.unwrap();
    world.go("2026-01-05T08:00:00Z").await;
    assert!(world.calls().is_empty());
    world.go("2026-01-06T08:00:00Z").await;
    assert_eq!(world.ran("job").await, ["06 08:00:00 schedule"]);
    assert_eq!(world.missed("job").await, ["05 08:00:00 x1 excluded"]);
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_after_each_run_counts_from_its_end() {
    let world = World::running_at("2026-01-05T08:00:00Z").await;
    world.queue.schedule("job", Schedule::after_each(secs(600)).unwrap(), held()).await.unwrap();
    world.go("2026-01-05T08:10:00Z").await;
    world.go("2026-01-05T08:45:00Z").await;
    world.release().await;
    assert_eq!(world.next("job").await, "05 08:55:00");
    world.go("2026-01-05T08:55:00Z").await;
    assert_eq!(world.calls().iter().map(|it| it.trigger).collect::<Vec<_>>(), [Trigger::Schedule; 2]);
    world.release().await;
    world.is_sound().await;
}
