//! What is due runs, once, for its own occurrence; and nothing but a claim moves a next time. SCENARIOS D1.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test fail it"
)]

#[path = "support/timed.rs"]
mod timed;

use mainspring::plan::Trigger;
use mainspring::{Error, JobState, ListFilter, Outcome, Schedule, ScheduleError, Timestamp};
use rusqlite::Connection;
use timed::*;

/// D1.1: a scheduler recomputed each next time before it asked what is due, so that a job due at 10:00:00 was moved to
/// 10:01:00 at 10:00:01, for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_looked_at_late_runs_for_the_occurrence_that_was_due() {
    for late_ms in [0, 1, 14, 1_000, 59_000] {
        let world = World::running_at("2026-01-05T09:59:30Z").await;
        world.queue.schedule("minutely", cron("* * * * *"), quick()).await.unwrap();
        world.look().await;
        assert_eq!(world.next("minutely").await, "05 10:00:00");
        world.clock.set(Timestamp::from_millis(at("2026-01-05T10:00:00Z").millis() + late_ms));
        world.settle().await;
        assert_eq!(world.ran("minutely").await, ["05 10:00:00 schedule"], "{late_ms} ms late");
        assert_eq!(world.next("minutely").await, "05 10:01:00");
        world.is_sound().await;
    }
}

/// D1.2: a tick that found nothing recomputed everything, and with it the occurrence that waited for a worker.
#[tokio::test(flavor = "multi_thread")]
async fn an_occurrence_that_waits_for_a_worker_keeps_its_time() {
    let mut world = World::at("2026-01-05T09:59:00Z");
    world.start_with(1).await;
    world.queue.schedule("hog", cron("59 9 * * *"), held()).await.unwrap();
    world.queue.schedule("waits", cron("0 10 * * *"), quick()).await.unwrap();
    world.queue.run_now("hog").await.unwrap();
    world.until_calls(1).await;
    for second in 0..5 {
        world.clock.set(at(&format!("2026-01-05T10:00:0{second}Z")));
        world.look().await;
        assert_eq!(world.next("waits").await, "05 10:00:00");
        assert!(world.ran("waits").await.is_empty());
    }
    world.release().await;
    assert_eq!(world.ran("waits").await, ["05 10:00:00 schedule"]);
    assert_eq!(world.next("waits").await, "06 10:00:00");
    world.is_sound().await;
}

/// D1.3: `list` and `status` recomputed next times, and so swallowed what was due.
#[tokio::test(flavor = "multi_thread")]
async fn reading_changes_nothing_and_a_due_job_still_runs() {
    let mut world = World::at("2026-01-05T09:59:00Z");
    let job = world.queue.schedule("hourly", cron("0 * * * *"), quick()).await.unwrap().id();
    world.clock.set(at("2026-01-05T10:00:05Z"));
    let watch = Connection::open(world.path()).unwrap();
    let version = || watch.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0)).unwrap();
    let before = version();
    for _ in 0..100 {
        world.queue.list(ListFilter::default()).await.unwrap();
        world.queue.status().await.unwrap();
        world.queue.health().await.unwrap();
        assert_eq!(world.queue.get(job).await.unwrap().state(world.clock.now()), JobState::Due);
        world.queue.runs(job, 10).await.unwrap();
        world.queue.misses(job, 10).await.unwrap();
        world.queue.unaccounted(job, at("2026-01-05T09:00:00Z"), world.clock.now()).await.unwrap();
        world.queue.doctor().await.unwrap();
    }
    assert_eq!(version(), before, "a read has written");
    world.start().await;
    world.settle().await;
    assert_eq!(world.ran("hourly").await, ["05 10:00:00 schedule"]);
    world.is_sound().await;
}

/// D1.4: the end of a long run recomputed every other job, and a daily one that had become due jumped 48 hours.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_falls_due_while_another_runs_keeps_its_day() {
    let world = World::running_at("2026-01-05T05:00:00Z").await;
    world.queue.schedule("long", cron("0 6 * * *"), held()).await.unwrap();
    world.queue.schedule("other", cron("3 6 * * *"), quick()).await.unwrap();
    world.go("2026-01-05T06:00:00Z").await;
    world.go("2026-01-05T06:03:00Z").await;
    world.go("2026-01-05T06:05:00Z").await;
    world.release().await;
    assert_eq!(world.ran("other").await, ["05 06:03:00 schedule"]);
    assert_eq!(world.next("other").await, "06 06:03:00");
    assert_eq!(world.next("long").await, "06 06:00:00");
    world.is_sound().await;
}

/// D1.5: an edit of one job recomputed all, and skipped what was due.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_one_job_leaves_an_overdue_one_alone() {
    let mut world = World::at("2026-01-05T09:00:00Z");
    world.queue.schedule("x", cron("0 * * * *"), quick()).await.unwrap();
    world.queue.schedule("y", cron("0 10 * * *"), quick()).await.unwrap();
    world.clock.set(at("2026-01-05T10:00:30Z"));
    world.queue.schedule("x", cron("30 * * * *"), quick()).await.unwrap();
    assert_eq!(world.next("y").await, "05 10:00:00");
    world.start().await;
    world.settle().await;
    assert_eq!(world.ran("y").await, ["05 10:00:00 schedule"]);
    assert_eq!(world.missed("x").await, ["05 10:00:00 x1 downtime"]);
    world.is_sound().await;
}

/// Found by the simulator: a job that was overdue was asked for by hand, and counted as due from then on. Whatever had
/// fallen due since its own time went before it.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_hand_puts_off_no_run_that_is_overdue() {
    let mut world = World::at("2026-01-05T08:30:00Z");
    world.queue.schedule("first", cron("0 9 * * *"), quick()).await.unwrap();
    world.queue.schedule("second", cron("10 9 * * *"), quick()).await.unwrap();
    world.clock.set(at("2026-01-05T09:30:00Z"));
    world.queue.run_now("first").await.unwrap();
    assert_eq!(world.next("first").await, "05 09:00:00");
    world.start_with(1).await;
    world.settle().await;
    let order: Vec<String> = world.calls().into_iter().map(|call| call.name).collect();
    assert_eq!(order, ["first", "second", "first"]);
    assert_eq!(world.ran("first").await, ["05 09:00:00 catch_up", "05 09:30:00 manual"]);
    world.is_sound().await;
}

/// D1.6: the schedule was written and the next time was not, so that the edit had no effect.
#[tokio::test(flavor = "multi_thread")]
async fn an_edited_schedule_has_its_next_time_in_the_same_transaction() {
    let world = World::at("2026-01-05T09:00:00Z");
    world.queue.schedule("job", cron("0 12 * * *"), quick()).await.unwrap();
    let edits = [
        cron("15 9 * * *"),
        cron("0 0 8 * * *").in_tz(chrono_tz::Asia::Tokyo),
        Schedule::every(secs(3_600)).unwrap(),
        Schedule::after_each(secs(90)).unwrap(),
        cron("0 0 29 2 *"),
        Schedule::at(at("2026-01-07T00:00:00Z")),
    ];
    for edit in edits {
        let mut conn = Connection::open(world.path()).unwrap();
        conn.busy_timeout(secs(10)).unwrap();
        let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
        world.queue.schedule_tx(&tx, "job", edit.clone(), quick()).unwrap();
        let (next, occurrence): (i64, i64) = tx
            .query_row("SELECT next_run_at_ms, scheduled_for_ms FROM mainspring_jobs", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        tx.commit().unwrap();
        let expected =
            edit.clone().anchored_or(world.clock.now()).next_after(world.clock.now().to_datetime()).unwrap();
        assert_eq!((next, occurrence), (expected.timestamp_millis(), expected.timestamp_millis()), "{edit}");
    }
    world.is_sound().await;
}

/// D1.7: at 22:37 a daily job was moved to 06:25 and came a day late, since its next time was computed from the wrong base.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_after_todays_time_means_tomorrow() {
    let world = World::running_at("2026-01-05T22:37:00Z").await;
    world.queue.schedule("daily", cron("0 23 * * *"), quick()).await.unwrap();
    world.queue.schedule("daily", cron("25 6 * * *"), quick()).await.unwrap();
    assert_eq!(world.next("daily").await, "06 06:25:00");
    world.go("2026-01-06T06:25:00Z").await;
    assert_eq!(world.ran("daily").await, ["06 06:25:00 schedule"]);
    world.is_sound().await;
}

/// D1.8: an edit of anything moved the next time.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_anything_else_moves_neither_time_nor_anchor() {
    let world = World::running_at("2026-01-05T09:00:00Z").await;
    let hourly = || Schedule::every(secs(3_600)).unwrap();
    world.queue.schedule("job", hourly(), quick()).await.unwrap();
    world.go("2026-01-05T10:00:00Z").await;
    world.go("2026-01-05T10:20:00Z").await;
    let before = world.queue.get("job").await.unwrap();
    world.queue.schedule("job", hourly(), quick().priority(7).max_attempts(2)).await.unwrap();
    let after = world.queue.get("job").await.unwrap();
    assert_eq!((after.priority, after.revision), (7, before.revision + 1));
    assert_eq!(
        (
            after.next_run_at,
            after.scheduled_for,
            after.last_run_at,
            after.schedule,
            after.schedule_activated_at
        ),
        (
            before.next_run_at,
            before.scheduled_for,
            before.last_run_at,
            before.schedule,
            before.schedule_activated_at
        )
    );
    world.is_sound().await;
}

/// D1.9: a timer that fired a moment early found nothing due, and then recomputed the time that was about to come.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_one_millisecond_early_changes_nothing() {
    let world = World::running_at("2026-01-05T09:00:00Z").await;
    world.queue.schedule("hourly", cron("0 * * * *"), quick()).await.unwrap();
    world.clock.set(Timestamp::from_millis(at("2026-01-05T10:00:00Z").millis() - 1));
    world.look().await;
    assert!(world.calls().is_empty());
    assert_eq!(world.next("hourly").await, "05 10:00:00");
    world.go("2026-01-05T10:00:00Z").await;
    assert_eq!(world.ran("hourly").await, ["05 10:00:00 schedule"]);
    world.is_sound().await;
}

/// D1.10, D1.11: a job that ended within the second of its occurrence ran again and again in that second.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_every_second_runs_once_a_second() {
    let world = World::running_at("2026-01-05T10:00:00.500Z").await;
    world.queue.schedule("secondly", cron("* * * * * *"), quick()).await.unwrap();
    assert_eq!(world.next("secondly").await, "05 10:00:01");
    for now in ["01.000", "01.001", "01.500", "01.999", "02.000", "02.999", "03.500"] {
        world.go(&format!("2026-01-05T10:00:{now}Z")).await;
    }
    assert_eq!(
        world.ran("secondly").await,
        ["05 10:00:01 schedule", "05 10:00:02 schedule", "05 10:00:03 schedule"]
    );
    assert_eq!(world.next("secondly").await, "05 10:00:04");
    world.is_sound().await;
}

/// D1.13: a next time of 0, or one that is no number, made a job run at once or never.
#[tokio::test(flavor = "multi_thread")]
async fn a_next_time_that_is_none_is_refused_by_the_schema() {
    let world = World::running_at("2026-01-05T09:00:00Z").await;
    world.queue.schedule("daily", cron("0 12 * * *"), quick()).await.unwrap();
    let conn = Connection::open(world.path()).unwrap();
    conn.busy_timeout(secs(10)).unwrap();
    for value in ["0", "-1", "'soon'", "'2026-01-05'"] {
        let set = format!("UPDATE mainspring_jobs SET next_run_at_ms = {value}");
        assert!(conn.execute(&set, []).is_err(), "{value} was taken");
    }
    world.look().await;
    assert!(world.calls().is_empty());
    assert_eq!(world.next("daily").await, "05 12:00:00");
    world.is_sound().await;
}

/// D1.14: a line that can never fire was accepted and never ran.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_never_fires_is_refused_and_a_leap_day_is_not() {
    assert!(matches!(Schedule::cron("0 0 30 2 *"), Err(ScheduleError::NeverFires { .. })));
    let world = World::running_at("2026-01-05T09:00:00Z").await;
    world.queue.schedule("leap", cron("0 0 29 2 *"), quick()).await.unwrap();
    assert_eq!(world.queue.get("leap").await.unwrap().next_run_at, Some(at("2028-02-29T00:00:00Z")));
    world.go("2028-02-29T00:00:00Z").await;
    assert_eq!(world.calls().len(), 1);
    world.is_sound().await;
}

/// D1.15: where no next time could be computed a fallback value made the job run every two seconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_with_nothing_left_is_finished_and_does_not_run_again() {
    let world = World::running_at("2026-01-05T09:00:00Z").await;
    let last = cron("0 * * * *").ending_at(at("2026-01-05T10:30:00Z"));
    world.queue.schedule("ends", last, quick()).await.unwrap();
    world.go("2026-01-05T10:00:00Z").await;
    assert_eq!(world.queue.get("ends").await.unwrap().state(world.clock.now()), JobState::Finished);
    for hour in 11..16 {
        world.go(&format!("2026-01-05T{hour}:00:02Z")).await;
    }
    assert_eq!(world.ran("ends").await, ["05 10:00:00 schedule"]);
    world.is_sound().await;
}

/// D1.16: one row that could not be read stopped every job.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_is_parked_and_the_others_run() {
    let world = World::running_at("2026-01-05T09:00:00Z").await;
    for name in ["a", "broken", "z"] {
        world.queue.schedule(name, cron("0 * * * *"), quick()).await.unwrap();
    }
    let conn = Connection::open(world.path()).unwrap();
    conn.busy_timeout(secs(10)).unwrap();
    conn.execute("UPDATE mainspring_jobs SET schedule_text = '61 * * * *' WHERE name = 'broken'", [])
        .unwrap();
    world.go("2026-01-05T10:00:00Z").await;
    assert_eq!(world.ran("a").await, ["05 10:00:00 schedule"]);
    assert_eq!(world.ran("z").await, ["05 10:00:00 schedule"]);
    let list = world.queue.list(ListFilter::default()).await.unwrap();
    assert_eq!((list.jobs.len(), list.unreadable.len()), (2, 1));
    assert!(list.unreadable[0].to_string().contains("schedule_text"), "{}", list.unreadable[0]);
    assert_eq!(world.queue.status().await.unwrap().parked, 1);
    // Declared again it is whole, and goes on once somebody has looked.
    conn.execute("UPDATE mainspring_jobs SET schedule_text = '0 * * * *' WHERE name = 'broken'", []).unwrap();
    world.queue.resume("broken").await.unwrap();
    world.go("2026-01-05T11:00:00Z").await;
    assert_eq!(world.ran("broken").await, ["05 11:00:00 schedule"]);
    world.is_sound().await;
}

/// D1.17: a job that was made without saying that it is enabled never ran.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_says_nothing_about_it_is_enabled() {
    let world = World::running_at("2026-01-05T09:00:00Z").await;
    world.queue.schedule("job", cron("0 * * * *"), quick()).await.unwrap();
    world.queue.schedule("off", cron("0 * * * *"), quick().enabled(false)).await.unwrap();
    let once = world.queue.enqueue(Work::Quick).await.unwrap().id();
    let conn = Connection::open(world.path()).unwrap();
    conn.busy_timeout(secs(10)).unwrap();
    assert!(conn.execute("UPDATE mainspring_jobs SET enabled = NULL", []).is_err());
    world.look().await;
    world.clock.set(at("2026-01-05T10:00:00Z"));
    world.until_calls(2).await;
    let run = &world.queue.runs(once, 1).await.unwrap()[0];
    assert_eq!(run.completion.as_ref().map(|it| it.outcome), Some(Outcome::Succeeded));
    assert_eq!(world.ran("job").await, ["05 10:00:00 schedule"]);
    assert!(world.ran("off").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_knows_its_occurrence_its_trigger_and_how_late_it_is() {
    let world = World::running_at("2026-01-05T09:00:00Z").await;
    world.queue.schedule("job", cron("0 * * * *"), quick()).await.unwrap();
    world.go("2026-01-05T10:00:07Z").await;
    let call = &world.calls()[0];
    assert_eq!(call.occurrence, at("2026-01-05T10:00:00Z"));
    assert_eq!((call.trigger, call.lateness, call.attempt), (Trigger::Schedule, secs(7), 1));
    let missing = world.queue.get("no such job").await;
    assert!(matches!(missing, Err(Error::JobNotFound(_))));
    world.is_sound().await;
}
