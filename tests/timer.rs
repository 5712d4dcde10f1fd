//! The timer goes on: behind long jobs, after hung ticks, over jumps of the clock; and it does not spin.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod children;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use children::app::{self, App, Does, does, start, stop, work};
use children::eventually;
use children::ledger::Deed;
use children::rows::{assert_sound, edit, runs, settled};
use mainspring::plan::Trigger;
use mainspring::testing::ManualClock;
use mainspring::{Clock, NewJob, Queue, Schedule, SystemClock, Timestamp};
use rusqlite::{Connection, TransactionBehavior};

/// The system's clock, which counts how often a writer looks at it: once a tick.
#[derive(Default)]
struct Counted(AtomicUsize);

impl Clock for Counted {
    fn now(&self) -> Timestamp {
        if std::thread::current().name().is_some_and(|name| name.starts_with("mainspring-writer")) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        SystemClock.now()
    }
}

#[tokio::test]
async fn a_start_on_a_locked_file_says_so_and_the_next_one_succeeds() {
    // D2.2: a start that failed left no scheduler, and no word of it.
    let app = App::new();
    let options = app::options(app.path()).busy_timeout(Duration::from_millis(20));
    let queue = Queue::open_with(options).await.unwrap();
    let job = queue.enqueue(work("job")).await.unwrap().id();
    let mut other = Connection::open(queue.path()).unwrap();
    let lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let refused = app::engine(&queue).build().unwrap().start().await.map(drop).unwrap_err();
    assert!(refused.is_busy(), "{refused}");
    lock.rollback().unwrap();
    let engine = start(&queue).await;
    settled(&queue, 1).await;
    assert_eq!(runs(&queue, job).await.len(), 1);
    stop(engine).await;
    assert_sound(&queue).await;
}

#[tokio::test]
async fn fifty_jobs_start_in_time_behind_one_that_takes_for_ever() {
    // D2.3, D2.10: everything waited for the end of the longest job of its batch.
    let app = App::new();
    let engine = app::engine(&app.queue).queue("default", 8).build().unwrap().start().await.unwrap();
    app.queue.enqueue(does("for ever", Does::WaitFor(app.gate()))).await.unwrap();
    let due = |no: u64| Duration::from_millis(500 + 20 * no);
    let jobs = (0..50).map(|no| NewJob::new(work(no.to_string())).after(due(no)));
    let jobs = app.queue.enqueue_many(jobs).await.unwrap();
    for job in jobs {
        children::rows::finished(&app.queue, job.id()).await;
        let run = runs(&app.queue, job.id()).await.remove(0);
        let late = run.started_at.unwrap().since(run.scheduled_for);
        assert!(late < Duration::from_secs(1), "started {late:?} after its time");
    }
    assert!(app.ledger.of(Deed::Ended, "for ever").is_empty());
    app.open_gate();
    settled(&app.queue, 1).await;
    stop(engine).await;
    assert_sound(&app.queue).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_declared_and_removed_while_a_tick_hangs_the_timer_wakes() {
    // D2.4: each change of a job cleared the timer, and with it the one that would have ended the hang.
    let app = App::new();
    let engine = app.engine().await;
    let due = NewJob::new(work("due")).after(Duration::from_millis(300));
    let due = app.queue.enqueue(due).await.unwrap().id();
    let mut other = Connection::open(app.queue.path()).unwrap();
    let lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let edits: Vec<_> = (0..500)
        .map(|no| {
            let queue = app.queue.clone();
            tokio::spawn(async move {
                let name = format!("job {no}");
                let daily = Schedule::cron("0 8 * * *").unwrap();
                queue.schedule(&name, daily, work(&name)).await?;
                queue.remove(name.as_str()).await
            })
        })
        .collect();
    eventually("the time has passed", || async {
        (app.queue.health().await.unwrap().overdue == 1).then_some(())
    })
    .await;
    lock.rollback().unwrap();
    for edit in edits {
        edit.await.unwrap().unwrap();
    }
    settled(&app.queue, 1).await;
    assert_eq!(runs(&app.queue, due).await.len(), 1);
    stop(engine).await;
    assert_sound(&app.queue).await;
}

#[tokio::test]
async fn a_jump_of_the_clock_by_eight_hours_runs_each_job_once() {
    // D2.7: the lid was closed for a night.
    let app = App::new();
    let (queue, clock) = app.on_clock(Timestamp::from_millis(1_773_090_000_000));
    let mut jobs = Vec::new();
    for minutes in [1, 5, 15, 60, 120] {
        let every = Schedule::every(Duration::from_secs(60 * minutes)).unwrap();
        let name = format!("every {minutes} minutes");
        jobs.push(queue.schedule(&name, every, work(&name)).await.unwrap().id());
    }
    let engine = start(&queue).await;
    let asleep = Instant::now();
    clock.advance(Duration::from_secs(8 * 3600));
    settled(&queue, 1).await;
    assert!(asleep.elapsed() < Duration::from_secs(60));
    for job in jobs {
        let runs = runs(&queue, job).await;
        let found: Vec<_> = runs.iter().map(|run| (run.trigger, run.scheduled_for)).collect();
        // All of their steps end at the same time, which is now.
        assert_eq!(found, [(Trigger::Schedule, clock.now())]);
        assert!(queue.get(job).await.unwrap().next_run_at.unwrap() > clock.now());
    }
    stop(engine).await;
    assert_sound(&queue).await;
}

#[tokio::test]
async fn a_clock_that_was_set_back_while_the_file_was_locked_is_noticed_all_the_same() {
    // The jump was taken note of before the jobs were planned anew. That failed, and was not tried again.
    let app = App::new();
    let clock = ManualClock::at(Timestamp::from_millis(1_773_126_000_000)); // 07:00
    let options = app::options(app.path()).busy_timeout(Duration::from_millis(10));
    let queue = Queue::open_on_clock(&options, Arc::new(clock.clone())).unwrap();
    let hourly = Schedule::cron("0 * * * *").unwrap();
    let job = queue.schedule("hourly", hourly, work("hourly")).await.unwrap().id();
    let engine = start(&queue).await;
    let hours = |hours: u64| Duration::from_secs(3600 * hours);
    clock.advance(hours(8));
    settled(&queue, 1).await;
    let mut other = Connection::open(queue.path()).unwrap();
    let lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    clock.set(clock.now().minus(hours(6)));
    eventually("a tick fails", || async { engine.health().last_error }).await;
    lock.rollback().unwrap();
    eventually("it is planned anew", || async {
        let next = queue.get(job).await.unwrap().next_run_at.unwrap();
        (next == clock.now().plus(hours(1))).then_some(())
    })
    .await;
    stop(engine).await;
    assert_sound(&queue).await;
}

/// A job that is due and cannot be run: how it became that, and the words of the test's failure.
async fn ticks_beside(what: &str, hold: impl AsyncFnOnce(&App, &Queue)) {
    let app = App::new();
    let clock = Arc::new(Counted::default());
    let queue = Queue::open_on_clock(&app::options(app.path()), Arc::<Counted>::clone(&clock)).unwrap();
    let engine = app::engine(&queue).queue("default", 1).build().unwrap().start().await.unwrap();
    hold(&app, &queue).await;
    let (ticks, mark) = (clock.0.load(Ordering::SeqCst), mark(&app));
    // A second of time passes; the job that ends it is on a queue of its own.
    let second = app::engine(&queue).queue("clock", 1).build().unwrap().start().await.unwrap();
    let after = NewJob::new(work("a second later")).queue("clock").after(Duration::from_secs(1));
    let after = queue.enqueue(after).await.unwrap().id();
    children::rows::finished(&queue, after).await;
    let ticks = clock.0.load(Ordering::SeqCst) - ticks;
    // It looks for the commits of other processes every 4 ms at most.
    assert!(ticks < 400, "{what}: {ticks} ticks in a second");
    let written = self::mark(&app) - mark;
    assert!(written < 20, "{what}: {written} transactions in a second");
    app.open_gate();
    for engine in [engine, second] {
        engine.shutdown(Duration::from_secs(10)).await.unwrap();
    }
    assert_sound(&queue).await;
}

/// How many transactions all writers have committed, without those that enqueued.
fn mark(app: &App) -> i64 {
    children::rows::value(app.path(), "SELECT coalesce(sum(transaction_no), 0) FROM mainspring_writers")
}

#[tokio::test]
async fn a_job_that_is_due_and_cannot_be_run_makes_nothing_spin() {
    // D2.6: a job was past its time and its marker was set; the timer was armed with a delay of 0, a tick found
    // nothing to do, and so on, 600 times a second, with a line in the log for each.
    ticks_beside("the only worker is taken", async |app, queue| {
        queue.enqueue(does("long", Does::WaitFor(app.gate()))).await.unwrap();
        queue.enqueue(work("due")).await.unwrap();
    })
    .await;
    ticks_beside("its queue is paused", async |_, queue| {
        queue.pause_queue("default", None).await.unwrap();
        queue.enqueue(work("due")).await.unwrap();
    })
    .await;
    ticks_beside("its last run is open", async |app, queue| {
        let every = Schedule::every(Duration::from_millis(50)).unwrap();
        queue.schedule("long", every, does("long", Does::WaitFor(app.gate()))).await.unwrap();
    })
    .await;
    ticks_beside("it is of another engine's kind", async |app, queue| {
        queue.enqueue(work("due")).await.unwrap();
        settled(queue, 1).await;
        let job = queue.enqueue(NewJob::new(work("due")).after(Duration::from_secs(1))).await.unwrap().id();
        edit(
            app.path(),
            &format!("UPDATE mainspring_jobs SET kind = 'foreign', next_run_at_ms = 1 WHERE id = {job}"),
        );
    })
    .await;
}

#[tokio::test]
async fn a_row_that_cannot_be_read_and_was_asked_for_makes_nothing_spin() {
    // A parked job runs when a person asks for it, so it stayed claimable; and each claim parked it again.
    ticks_beside("asked for and unreadable", async |app, queue| {
        let daily = Schedule::cron("0 8 * * *").unwrap();
        queue.schedule("job", daily, work("job")).await.unwrap();
        edit(app.path(), "UPDATE mainspring_jobs SET policies = '{\"no such policy\":1}'");
        // The row of a request that was made before somebody edited the job.
        edit(
            app.path(),
            "INSERT INTO mainspring_requests (job_id, trigger, scheduled_for_ms, run_at_ms, requested_at_ms)
             SELECT id, 'manual', 1, 1, 1 FROM mainspring_jobs",
        );
        edit(
            app.path(),
            "UPDATE mainspring_jobs SET requests = 1, planned_run_at_ms = next_run_at_ms, next_run_at_ms = 1",
        );
    })
    .await;
}
