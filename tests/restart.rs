//! What a restart finds, and what it must leave alone.
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

use children::app::{self, App, Does, does, open, report, start, stop, work};
use children::child::{self, Child};
use children::eventually;
use children::ledger::Deed;
use children::rows::{assert_sound, attempts, finished, runs, settled};
use chrono::{DateTime, Utc};
use mainspring::crash::{CrashPoint, VARIABLE};
use mainspring::plan::{Overlap, Trigger};
use mainspring::testing::ManualClock;
use mainspring::{Delivery, JobId, NewJob, OnUnknownDelivery, Outcome, Queue, Schedule, Timestamp};
use nix::sys::signal::Signal;
use rusqlite::{Connection, TransactionBehavior};

const INTERRUPTED: Option<(Outcome, Delivery)> = Some((Outcome::Interrupted, Delivery::NotRequested));
const SUCCEEDED: Option<(Outcome, Delivery)> = Some((Outcome::Succeeded, Delivery::NotRequested));
const NOBODY_KNOWS: Option<(Outcome, Delivery)> = Some((Outcome::Succeeded, Delivery::Unknown));

fn at(instant: &str) -> Timestamp {
    let instant: DateTime<Utc> = instant.parse().unwrap();
    instant.into()
}

/// The morning after: two hundred jobs of midnight are overdue.
const MORNING: &str = "2026-03-10T05:00:00Z";
const OVERDUE: usize = 200;

fn catches_up(dir: &Path, after: Duration) {
    child::forever(async {
        let (queue, clock) = app::open_on_clock(dir, at(MORNING).plus(after));
        (start(&queue).await, clock)
    });
}

#[test]
#[ignore = "the main function of a child"]
fn child() {
    child::main(&[
        ("engine", |dir| child::forever(async { start(&open(dir)).await })),
        ("in the morning", |dir| catches_up(dir, Duration::ZERO)),
        ("12 seconds later", |dir| catches_up(dir, Duration::from_secs(12))),
    ]);
}

/// Daily jobs that were due at midnight, when nothing ran.
async fn overdue(app: &App) -> Vec<JobId> {
    let (queue, _clock) = app.on_clock(at("2026-03-09T12:00:00Z"));
    let midnight = Schedule::cron("0 0 * * *").unwrap();
    let mut jobs = Vec::new();
    for no in 0..OVERDUE {
        let name = format!("job {no}");
        jobs.push(queue.schedule(&name, midnight.clone(), work(&name)).await.unwrap().id());
    }
    jobs
}

#[tokio::test]
async fn overdue_jobs_are_caught_up_a_few_at_once_and_the_others_one_by_one_from_now_on() {
    // D4.10, D4.12: all of them started at once, and nothing answered for minutes; later they were spread, but from a
    // time that had passed by then.
    let app = App::new();
    let jobs = overdue(&app).await;
    let (queue, clock) = app.on_clock(at(MORNING));
    let engine = start(&queue).await;
    settled(&queue, 1).await;
    assert_eq!(app.ledger.all(Deed::Ended).len(), 5);
    let mut waiting = Vec::new();
    for job in jobs {
        let job = queue.get(job).await.unwrap();
        if job.runs_started == 0 {
            assert_eq!(
                job.scheduled_for,
                Some(at("2026-03-10T00:00:00Z")),
                "it waits for the same occurrence"
            );
            waiting.push(job.next_run_at.unwrap());
        }
    }
    waiting.sort_unstable();
    let each_five_seconds = (1..).map(|no| clock.now().plus(Duration::from_secs(5 * no)));
    assert_eq!(waiting, each_five_seconds.take(OVERDUE - 5).collect::<Vec<_>>());
    stop(engine).await;
    assert_sound(&queue).await;
}

#[tokio::test]
async fn each_overdue_job_is_caught_up_once_however_often_the_process_dies_meanwhile() {
    // D4.11: what was put off was in memory, and gone at the second restart.
    let app = App::new();
    let jobs = overdue(&app).await;
    for (role, caught_up) in [("in the morning", 5), ("12 seconds later", 7)] {
        let child = app.child(role);
        settled_later(&app.queue, &app, caught_up).await;
        child.kill();
    }
    let (queue, clock) = app.on_clock(at(MORNING).plus(Duration::from_secs(30)));
    let engine = start(&queue).await;
    until_caught_up(&app, &queue, &clock, OVERDUE).await;
    for job in jobs {
        let runs = runs(&queue, job).await;
        assert_eq!(runs.len(), 1);
        assert_eq!((runs[0].scheduled_for, runs[0].trigger), (at("2026-03-10T00:00:00Z"), Trigger::CatchUp));
    }
    assert_eq!(app.ledger.all(Deed::Began).len(), OVERDUE);
    stop(engine).await;
    assert_sound(&queue).await;
}

/// Lets time pass until so many jobs have run, and then an hour.
async fn until_caught_up(app: &App, queue: &Queue, clock: &ManualClock, jobs: usize) {
    while app.ledger.all(Deed::Ended).len() < jobs {
        clock.advance(Duration::from_secs(5));
        settled(queue, 1).await;
    }
    clock.advance(Duration::from_secs(3600));
    settled(queue, 1).await;
}

/// Waits until so many jobs have run and none is open.
async fn settled_later(queue: &Queue, app: &App, ran: usize) {
    eventually("some jobs are caught up", || async {
        let open = queue.status().await.unwrap().running;
        (app.ledger.all(Deed::Ended).len() == ran && open == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_edited_while_others_are_caught_up_stays_as_it_was_edited() {
    // D4.17: the start wrote its snapshot back over it, and removed jobs rose from the dead.
    let app = App::new();
    let jobs = overdue(&app).await;
    let (queue, clock) = app.on_clock(at(MORNING));
    let engine = start(&queue).await;
    settled(&queue, 1).await;
    let mut waiting = Vec::new();
    for job in jobs {
        let job = queue.get(job).await.unwrap();
        waiting.extend((job.runs_started == 0).then_some(job));
    }
    let [removed, paused, edited] = [&waiting[0], &waiting[1], &waiting[2]];
    queue.remove(removed.id).await.unwrap();
    queue.pause(paused.id, None).await.unwrap();
    let evening = Schedule::cron("0 18 * * *").unwrap();
    let name = edited.name.as_deref().unwrap();
    queue.schedule(name, evening, work(name)).await.unwrap();

    until_caught_up(&app, &queue, &clock, OVERDUE - 3).await;
    assert_eq!(app.ledger.all(Deed::Ended).len(), OVERDUE - 3);
    assert!(queue.get(removed.id).await.unwrap_err().is_not_found());
    assert!(queue.get(paused.id).await.unwrap().paused_at.is_some());
    assert_eq!(queue.get(edited.id).await.unwrap().next_run_at, Some(at("2026-03-10T18:00:00Z")));
    for job in [removed, paused, edited] {
        assert!(runs(&queue, job.id).await.is_empty());
    }
    stop(engine).await;
    assert_sound(&queue).await;
}

#[tokio::test]
async fn a_schedule_has_no_past_before_it_took_effect() {
    // D4.13: changed at 20:00 from 19:00 to 21:00, restarted at 20:30: a run was "missed" that had never been due.
    let app = App::new();
    let declare = async |queue: &Queue, cron: &str| {
        queue.schedule("job", Schedule::cron(cron).unwrap(), work("job")).await.unwrap().id()
    };
    let (queue, clock) = app.on_clock(at("2026-03-09T18:59:00Z"));
    let job = declare(&queue, "0 19 * * *").await;
    let engine = start(&queue).await;
    clock.set(at("2026-03-09T19:00:00Z"));
    settled(&queue, 1).await;
    stop(engine).await;
    clock.set(at("2026-03-10T20:00:00Z"));
    declare(&queue, "0 21 * * *").await;
    clock.set(at("2026-03-10T20:30:00Z"));
    let engine = start(&queue).await;
    settled(&queue, 1).await;
    assert_eq!(runs(&queue, job).await.len(), 1, "that of the day before");
    clock.set(at("2026-03-10T21:00:00Z"));
    settled(&queue, 1).await;
    assert_eq!(runs(&queue, job).await[1].scheduled_for, clock.now());
    stop(engine).await;
    assert_sound(&queue).await;
}

#[tokio::test]
async fn a_delivery_is_settled_by_the_policy_under_which_it_was_begun() {
    // D4.18: recovery asked the job, which had been declared anew meanwhile.
    let app = App::new();
    let declare = async |policy| {
        let job = NewJob::new(report("report")).on_unknown_delivery(policy);
        app.queue.schedule("job", Schedule::cron("0 0 1 1 *").unwrap(), job).await.unwrap().id()
    };
    let job = declare(OnUnknownDelivery::Hold).await;
    app.queue.run_now(job).await.unwrap();
    let point = [(VARIABLE, CrashPoint::Delivered.as_str())];
    assert_eq!(Child::start_with("engine", app.path(), &point).ended(), Ok(Signal::SIGKILL));
    declare(OnUnknownDelivery::Resend).await;
    let engine = app.engine().await;
    settled(&app.queue, 1).await;
    assert_eq!(attempts(&app.queue, job).await, [(1, NOBODY_KNOWS)]);
    assert_eq!(app.ledger.calls("report"), (1, 1));
    stop(engine).await;
    assert_sound(&app.queue).await;
}

#[tokio::test]
async fn a_job_waits_as_it_is_declared_when_it_is_claimed() {
    // D3.13: a run that had waited for a free worker did what its job had said when it began to wait.
    let app = App::new();
    let blocker = app.queue.enqueue(does("blocker", Does::WaitFor(app.gate()))).await.unwrap().id();
    let engine = app::engine(&app.queue).queue("default", 1).build().unwrap().start().await.unwrap();
    eventually("the only worker is taken", || async {
        (!app.ledger.of(Deed::Began, "blocker").is_empty()).then_some(())
    })
    .await;
    let daily = || Schedule::cron("0 8 * * *").unwrap();
    let job = app.queue.schedule("job", daily(), work("old")).await.unwrap().id();
    app.queue.run_now(job).await.unwrap();
    app.queue.schedule("job", daily(), work("new")).await.unwrap();
    app.open_gate();
    finished(&app.queue, blocker).await;
    settled(&app.queue, 1).await;
    assert_eq!((app.ledger.calls("old").0, app.ledger.calls("new").0), (0, 1));
    assert_eq!(runs(&app.queue, job).await[0].job_revision, 2);
    stop(engine).await;
    assert_sound(&app.queue).await;
}

#[tokio::test]
async fn an_end_that_cannot_be_written_is_written_later_and_the_handler_is_not_called_again() {
    // D3.14: the file was locked when the handler returned; the run was lost, or stayed open for ever.
    let app = App::new();
    let options = app::options(app.path()).busy_timeout(Duration::from_millis(10));
    let queue = Queue::open_with(options).await.unwrap();
    let engine = start(&queue).await;
    let job = queue.enqueue(does("work", Does::WaitFor(app.gate()))).await.unwrap().id();
    eventually("it runs", || async { (!app.ledger.of(Deed::Began, "work").is_empty()).then_some(()) }).await;
    let mut other = Connection::open(queue.path()).unwrap();
    let lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    app.open_gate();
    // Each failed attempt waits longer; so long is at least three of them.
    let first =
        eventually("it fails", || async { engine.health().last_error.map(|_| std::time::Instant::now()) })
            .await;
    eventually("it fails again", || async {
        let failing = engine.health().last_error.is_some();
        (failing && first.elapsed() > Duration::from_millis(300)).then_some(())
    })
    .await;
    lock.rollback().unwrap();
    finished(&queue, job).await;
    assert_eq!(attempts(&queue, job).await, [(1, SUCCEEDED)]);
    assert_eq!(app.ledger.calls("work").0, 1);
    stop(engine).await;
    assert_sound(&queue).await;
}

#[tokio::test]
async fn of_two_runs_of_the_same_millisecond_only_the_one_that_is_named_is_ended() {
    // D3.12: outcomes were matched by job and time.
    let app = App::new();
    let (queue, _clock) = app.on_clock(at(MORNING));
    let job = NewJob::new(does("job", Does::WaitFor(app.gate()))).overlap(Overlap::Allow(2));
    let job = queue.schedule("job", Schedule::cron("0 8 * * *").unwrap(), job).await.unwrap().id();
    let engine = start(&queue).await;
    queue.run_now(job).await.unwrap();
    queue.run_now(job).await.unwrap();
    eventually("both run", || async { (app.ledger.all(Deed::Began).len() == 2).then_some(()) }).await;
    let [older, newer] = &runs(&queue, job).await[..] else { panic!("two runs") };
    assert_eq!(older.claimed_at, newer.claimed_at);
    queue.release(older.id, false).await.unwrap();
    app.open_gate();
    settled(&queue, 1).await;
    assert_eq!(attempts(&queue, job).await, [(1, INTERRUPTED), (1, SUCCEEDED)]);
    stop(engine).await;
    assert_sound(&queue).await;
}
