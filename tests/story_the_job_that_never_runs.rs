//! The job that never runs.
//!
//! At each tick the store was loaded and every next time computed anew from the current time, *before* anybody asked
//! what was due. So a job that was due at 10:00:00 was moved to 10:01:00 by the tick at 10:00:01, and at 10:01:01 to
//! 10:02:00, for ever. `list` and `status` loaded the store as well and skipped jobs too. And since a next time was
//! always in the future, nothing that was missed while the process was down was ever noticed.
//!
//! What prevents it: a next time is moved by the claim of its occurrence and by nothing else. Declaring an unchanged
//! schedule again writes nothing, reads cannot write, and the claim of an occurrence that is late decides by the
//! job's catch-up policy what runs and what goes on record as missed.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod children;

use std::path::Path;
use std::time::Duration;

use children::app::{self, App, Does, does, start, stop, work};
use children::child;
use children::eventually;
use children::ledger::{Deed, Ledger};
use children::rows::{assert_sound, edit, runs, settled};
use chrono::{DateTime, Utc};
use mainspring::plan::{Miss, MissReason, Trigger};
use mainspring::testing::ManualClock;
use mainspring::{EngineHandle, JobId, ListFilter, Queue, Schedule, Timestamp};

const NAME: &str = "the job";
const MINUTELY: &str = "* * * * *";
const DAILY: &str = "0 8 * * *";

fn at(time: &str) -> Timestamp {
    on("2026-03-10", time)
}

fn on(day: &str, time: &str) -> Timestamp {
    let instant: DateTime<Utc> = format!("{day}T{time}Z").parse().unwrap();
    instant.into()
}

async fn declare(queue: &Queue, cron: &str) -> JobId {
    queue.schedule(NAME, Schedule::cron(cron).unwrap(), work(NAME)).await.unwrap().id()
}

/// A process that waits for the job's time, on a clock that stands still.
fn engine(dir: &Path, cron: &'static str, now: Timestamp) {
    child::forever(async {
        let (queue, clock) = app::open_on_clock(dir, now);
        declare(&queue, cron).await;
        let engine = start(&queue).await;
        Ledger::in_dir(dir).write(Deed::Ended, "started", 0, 0, String::new());
        (engine, clock)
    });
}

#[test]
#[ignore = "the main function of a child"]
fn child() {
    child::main(&[
        ("minutely", |dir| engine(dir, MINUTELY, at("09:59:30"))),
        ("daily", |dir| engine(dir, DAILY, at("07:59:00"))),
    ]);
}

/// The file of an application that was killed while it waited.
fn killed_while_it_waited(role: &str) -> App {
    let app = App::new();
    let child = app.child(role);
    app.ledger.wait(Deed::Ended, "started");
    child.kill();
    app
}

/// Waits until the writer has looked at the clock as it stands.
async fn tick(engine: &EngineHandle, queue: &Queue, clock: &ManualClock) {
    eventually("a tick", || async { (engine.health().last_tick_at == clock.now()).then_some(()) }).await;
    // A command goes through the whole of a step after that tick.
    queue.resume_queue("none").await.unwrap();
}

#[tokio::test]
async fn a_job_that_is_due_when_the_program_comes_back_runs_for_the_occurrence_that_was_due() {
    // D1.1, at each of the delays of the story.
    for late_ms in [0, 1, 14, 1_000, 59_000, 59_999] {
        let app = killed_while_it_waited("minutely");
        let ten = at("10:00:00");
        let (queue, _clock) = app.on_clock(ten.plus(Duration::from_millis(late_ms)));
        let job = declare(&queue, MINUTELY).await;
        let engine = start(&queue).await;
        settled(&queue, 1).await;
        let runs = runs(&queue, job).await;
        assert_eq!(runs.len(), 1, "{late_ms} ms late");
        assert_eq!((runs[0].scheduled_for, runs[0].trigger), (ten, Trigger::Schedule), "{late_ms} ms late");
        assert_eq!(queue.get(job).await.unwrap().next_run_at, Some(at("10:01:00")), "{late_ms} ms late");
        assert!(queue.misses(job, 9).await.unwrap().is_empty());
        stop(engine).await;
        assert_sound(&queue).await;
    }
}

#[tokio::test]
async fn looking_at_a_job_that_is_due_does_not_move_it() {
    // D1.3: `list` and `status` loaded the store, and loading it moved what was due.
    let app = killed_while_it_waited("minutely");
    let (queue, _clock) = app.on_clock(at("10:00:01"));
    let job = queue.get(NAME).await.unwrap();
    let version = || children::rows::value::<i64>(app.path(), "PRAGMA data_version");
    let changes = version();
    for _ in 0..100 {
        let listed = queue.list(ListFilter::default()).await.unwrap();
        assert_eq!(listed.jobs, std::slice::from_ref(&job));
        assert_eq!(queue.status().await.unwrap().overdue, 1);
        queue.health().await.unwrap();
        assert!(
            queue.runs(job.id, 9).await.unwrap().is_empty()
                && queue.misses(job.id, 9).await.unwrap().is_empty()
        );
        // What programs do at each start, over and over.
        assert_eq!(declare(&queue, MINUTELY).await, job.id);
    }
    assert_eq!(version(), changes);
    let engine = start(&queue).await;
    settled(&queue, 1).await;
    assert_eq!(runs(&queue, job.id).await[0].scheduled_for, at("10:00:00"));
    stop(engine).await;
    assert_sound(&queue).await;
}

#[tokio::test]
async fn a_tick_that_comes_early_or_finds_no_free_worker_moves_nothing() {
    // D1.9, D1.2: a tick that ran nothing moved what it had not run.
    let app = App::new();
    let (queue, clock) = app.on_clock(at("09:59:30"));
    let blocker = does("blocker", Does::WaitFor(app.gate()));
    queue.enqueue(blocker).await.unwrap();
    let job = declare(&queue, MINUTELY).await;
    let engine = app::engine(&queue).queue("default", 1).build().unwrap().start().await.unwrap();
    eventually("the only worker is taken", || async {
        (!app.ledger.of(Deed::Began, "blocker").is_empty()).then_some(())
    })
    .await;
    for time in ["09:59:59.999", "10:00:00", "10:00:00.014", "10:00:01", "10:00:30", "10:00:59"] {
        clock.set(at(time));
        tick(&engine, &queue, &clock).await;
        let job = queue.get(job).await.unwrap();
        assert_eq!((job.next_run_at, job.runs_started), (Some(at("10:00:00")), 0), "at {time}");
    }
    app.open_gate();
    settled(&queue, 1).await;
    let runs = runs(&queue, job).await;
    assert_eq!(runs.iter().map(|run| run.scheduled_for).collect::<Vec<_>>(), [at("10:00:00")]);
    assert_eq!(queue.get(job).await.unwrap().next_run_at, Some(at("10:01:00")));
    stop(engine).await;
    assert_sound(&queue).await;
}

#[tokio::test]
async fn what_was_missed_while_the_process_was_down_is_caught_up_once() {
    // D4.3, D4.1: down from 07:59 to 08:05, and started twice.
    let app = killed_while_it_waited("daily");
    for _ in 0..2 {
        let (queue, _clock) = app.on_clock(at("08:05:00"));
        let job = declare(&queue, DAILY).await;
        let engine = start(&queue).await;
        settled(&queue, 1).await;
        let runs = runs(&queue, job).await;
        assert_eq!(runs.len(), 1);
        assert_eq!((runs[0].scheduled_for, runs[0].trigger), (at("08:00:00"), Trigger::CatchUp));
        assert_eq!(queue.get(job).await.unwrap().next_run_at, Some(on("2026-03-11", "08:00:00")));
        stop(engine).await;
        assert_sound(&queue).await;
    }
}

#[tokio::test]
async fn eight_days_of_a_minutely_job_are_one_run_and_one_row_of_misses() {
    let app = killed_while_it_waited("minutely");
    let (queue, _clock) = app.on_clock(on("2026-03-18", "10:00:30"));
    let job = declare(&queue, MINUTELY).await;
    let engine = start(&queue).await;
    settled(&queue, 1).await;
    let runs = runs(&queue, job).await;
    assert_eq!(runs.iter().map(|run| run.scheduled_for).collect::<Vec<_>>(), [on("2026-03-18", "10:00:00")]);
    let misses = queue.misses(job, 9).await.unwrap();
    let [Miss { from, to, occurrences: 11_520, exact: true, reason: MissReason::Coalesced }] = misses[..]
    else {
        panic!("{misses:?}");
    };
    assert_eq!((from, to), (at("10:00:00"), on("2026-03-18", "09:59:00")));
    stop(engine).await;
    assert_sound(&queue).await;
}

#[tokio::test]
async fn a_next_time_that_somebody_took_away_is_found_again_with_what_was_missed() {
    // D2.5, D4.4: without a next time there was no timer, and nobody looked at what had been missed.
    let app = App::new();
    let (queue, clock) = app.on_clock(on("2026-03-09", "07:59:00"));
    let job = declare(&queue, DAILY).await;
    let engine = start(&queue).await;
    clock.set(on("2026-03-09", "08:00:00"));
    settled(&queue, 1).await;
    stop(engine).await;
    let taken = "UPDATE mainspring_jobs SET next_run_at_ms = NULL, scheduled_for_ms = NULL";

    // Yesterday's has run, today's is missed while nothing runs.
    edit(app.path(), taken);
    clock.set(at("08:05:00"));
    let engine = start(&queue).await;
    eventually("the missed one is caught up", || async {
        (runs(&queue, job).await.len() == 2).then_some(())
    })
    .await;
    settled(&queue, 1).await;
    let newest = runs(&queue, job).await.pop().unwrap();
    assert_eq!((newest.scheduled_for, newest.trigger), (at("08:00:00"), Trigger::CatchUp));

    // The same while an engine runs.
    edit(app.path(), taken);
    eventually("it is planned anew", || async { queue.get(job).await.unwrap().next_run_at }).await;
    assert_eq!(queue.get(job).await.unwrap().next_run_at, Some(on("2026-03-11", "08:00:00")));
    stop(engine).await;
    assert_sound(&queue).await;
}
