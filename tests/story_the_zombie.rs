//! The zombie.
//!
//! A blocked event loop, or an exception in the tick, left no timer armed. `status` said "Next: 5m ago", and nothing
//! ran until somebody restarted the process. A reminder that was being delivered when the process froze was lost. And
//! markers of runs that hung were cleared by one fixed constant: too soon for some jobs, hours too late for others.
//!
//! What prevents it: the timer is a thread of its own, which no handler blocks; a tick that fails, or panics, is
//! followed by another one, and what it had in hand is not lost. Outside of that thread a watchdog looks whether it
//! ticks. If it does not, a new generation takes over: another thread, connection and owner. The old one, should it
//! wake, commits nothing, and what it slipped in before is given back. No constant says when a run hangs: its owner's
//! death does, or its job's own timeout.
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
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use children::app::{self, App, Does, Report, report, start, stop, work};
use children::child::{self, Child};
use children::held::{Held, writers};
use children::ledger::{Deed, Ledger};
use children::rows::{assert_sound, attempts, finished, settled, value};
use children::{eventually, until};
use mainspring::testing::WatchLimits;
use mainspring::{
    Clock, Delivery, ErrorClass, JobId, NewJob, OnInterrupt, Outcome, Queue, Run, SystemClock, Timestamp,
};
use rusqlite::{Connection, TransactionBehavior};

const SUCCEEDED: Option<(Outcome, Delivery)> = Some((Outcome::Succeeded, Delivery::NotRequested));
const INTERRUPTED: Option<(Outcome, Delivery)> = Some((Outcome::Interrupted, Delivery::NotRequested));
const DELIVERED: Option<(Outcome, Delivery)> = Some((Outcome::Succeeded, Delivery::Delivered));

/// A minute would be long for a test.
const STUCK: Duration = Duration::from_secs(1);

fn engine(dir: &Path) {
    child::forever(async {
        let limits = WatchLimits {
            check_every: Duration::from_millis(50),
            writer_slow: STUCK / 2,
            writer_stuck: STUCK,
            ..WatchLimits::default()
        };
        let engine = app::engine(&app::open(dir)).watchdog(limits).build().unwrap().start().await.unwrap();
        Ledger::in_dir(dir).write(Deed::Ended, "started", 0, 0, String::new());
        engine
    });
}

#[test]
#[ignore = "the main function of a child"]
fn child() {
    child::main(&[("engine", engine)]);
}

/// An application whose engine runs in a child.
fn running() -> (App, Child) {
    let app = App::new();
    let child = app.child("engine");
    app.ledger.wait(Deed::Ended, "started");
    (app, child)
}

fn runs(queue: &Queue, job: JobId) -> Vec<Run> {
    let mut runs = queue.blocking().runs(job, 100).unwrap();
    runs.reverse();
    runs
}

fn outcomes(runs: &[Run]) -> Vec<Option<(Outcome, Delivery)>> {
    runs.iter().map(|run| run.completion.as_ref().map(|end| (end.outcome, end.delivery))).collect()
}

fn generation(app: &App) -> i64 {
    value(app.path(), "SELECT max(generation) FROM mainspring_owners")
}

/// Waits until the child has one writer again and nothing is left to do; then ends it.
fn ends_well(app: &App, child: Child) {
    until("the replaced writers have stopped", || (writers(&child).len() == 1).then_some(()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        settled(&app.queue, 1).await;
        child.kill();
        assert_sound(&app.queue).await;
    });
}

#[test]
fn a_writer_that_never_wakes_is_replaced_and_jobs_run_without_it() {
    // D2.8
    let (app, child) = running();
    let zombie = Held::writer_of(&child).in_its_sleep();
    let job = app.queue.blocking().enqueue(work("after")).unwrap().id();
    app.ledger.wait(Deed::Ended, "after");
    assert!(generation(&app) > 1, "somebody else has claimed it");
    until("its run has ended", || (outcomes(&runs(&app.queue, job)) == [SUCCEEDED]).then_some(()));

    // It wakes, sees that its time is over, and touches nothing.
    zombie.let_go();
    let another = app.queue.blocking().enqueue(work("another")).unwrap().id();
    app.ledger.wait(Deed::Ended, "another");
    ends_well(&app, child);
    for job in [job, another] {
        assert_eq!(outcomes(&runs(&app.queue, job)), [SUCCEEDED]);
    }
    assert_eq!(app.ledger.all(Deed::Began).len(), 2);
}

#[test]
fn what_a_replaced_writer_claims_in_its_last_moment_is_given_back_and_run_once() {
    // The disk hangs in the commit of a claim. The watchdog gives the writer up; then the disk answers, and the claim
    // of a writer that is no more is in the file. No handler was called for it, and nobody else will touch it.
    let (app, child) = running();
    // Held where it has no lock: it is just keeping room in the log.
    let writer = Held::writer_of(&child).in_its_sleep();
    // The loss of this claim in a power cut would break a promise: its commit waits for the disk.
    let job = NewJob::new(work("late")).on_interrupt(OnInterrupt::AssumeRan);
    let job = app.queue.blocking().enqueue(job).unwrap().id();
    let zombie = writer.in_a_sync();
    until("the watchdog has replaced it", || (writers(&child).len() > 1).then_some(()));
    assert!(app.ledger.of(Deed::Began, "late").is_empty());
    zombie.let_go();
    app.ledger.wait(Deed::Ended, "late");
    ends_well(&app, child);

    let runs = runs(&app.queue, job);
    assert_eq!(outcomes(&runs), [INTERRUPTED, SUCCEEDED]);
    assert_eq!(runs[0].completion.as_ref().unwrap().error_class, Some(ErrorClass::Released));
    let began: Vec<_> = app.ledger.of(Deed::Began, "late").iter().map(|entry| entry.attempt).collect();
    assert_eq!(began, [2], "the handler was called once, for the attempt of the new writer");
    let job = app.queue.blocking().get(job).unwrap();
    assert_eq!(job.interruptions_in_a_row, 0, "it has killed nobody");
}

#[test]
fn a_file_that_another_program_keeps_locked_costs_time_and_nothing_else() {
    // D2.9: each watchdog started another recovery, and they piled up. Here several generations wait in turn for a
    // lock; none of them commits once its time is over.
    let (app, child) = running();
    let mut other = Connection::open(app.queue.path()).unwrap();
    let jobs: Vec<_> = (0..20).map(|no| NewJob::new(work(no.to_string())).after(STUCK / 4)).collect();
    let jobs = app.queue.blocking().enqueue_many(jobs).unwrap();
    let lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    until("a second generation", || (writers(&child).len() > 1).then_some(()));
    until("a third generation", || (writers(&child).len() > 2).then_some(()));
    lock.rollback().unwrap();
    app.ledger.wait_for(Deed::Ended, jobs.len() + 1);
    ends_well(&app, child);
    for job in jobs {
        assert_eq!(outcomes(&runs(&app.queue, job.id())), [SUCCEEDED]);
    }
    assert_eq!(app.ledger.all(Deed::Began).len(), 20);
}

#[tokio::test]
async fn a_tick_that_fails_is_followed_by_another_one() {
    // D2.1: the timer was armed at the end of the tick, and an error came before that.
    let app = App::new();
    let options = app::options(app.path()).busy_timeout(Duration::from_millis(20));
    let queue = Queue::open_with(options).await.unwrap();
    let engine = start(&queue).await;
    let job = queue.enqueue(NewJob::new(work("due")).after(Duration::from_millis(100))).await.unwrap().id();
    let mut other = Connection::open(queue.path()).unwrap();
    let lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    eventually("a tick fails", || async { engine.health().last_error }).await;
    let due = queue.get(job).await.unwrap().next_run_at.unwrap();
    assert!(due <= SystemClock.now() && queue.health().await.unwrap().stalled.is_some());
    lock.rollback().unwrap();
    settled(&queue, 1).await;
    assert_eq!(attempts(&queue, job).await, [(1, SUCCEEDED)]);
    eventually("it is well again", || async { engine.health().last_error.is_none().then_some(()) }).await;
    assert_eq!(engine.health().generation, 1);
    stop(engine).await;
    assert_sound(&queue).await;
}

/// The system's clock, which panics once in the writer's thread when it is told to.
#[derive(Default)]
struct Loaded(AtomicBool);

impl Clock for Loaded {
    fn now(&self) -> Timestamp {
        let writes = std::thread::current().name().is_some_and(|name| name.starts_with("mainspring-writer"));
        assert!(!writes || !self.0.swap(false, Ordering::SeqCst), "the clock has struck thirteen");
        SystemClock.now()
    }
}

#[tokio::test]
async fn a_tick_that_panics_is_followed_by_another_one() {
    // D2.1: an exception in the tick ended the only thread that would have armed the timer again.
    let app = App::new();
    let clock = Arc::new(Loaded::default());
    let queue = Queue::open_on_clock(&app::options(app.path()), Arc::<Loaded>::clone(&clock)).unwrap();
    let engine = start(&queue).await;
    let job = queue.enqueue(NewJob::new(work("due")).after(Duration::from_millis(200))).await.unwrap().id();
    clock.0.store(true, Ordering::SeqCst);
    let said = eventually("a tick panics", || async { engine.health().last_error }).await;
    assert!(said.contains("the clock has struck thirteen"), "{said}");
    finished(&queue, job).await;
    let runs = children::rows::runs(&queue, job).await;
    let late = runs[0].claimed_at.since(runs[0].scheduled_for);
    assert!(late < Duration::from_secs(5), "it ran {late:?} after its time");
    assert_eq!(engine.health().generation, 1, "nobody had to be replaced");
    stop(engine).await;
    assert_sound(&queue).await;
}

#[tokio::test]
async fn a_reminder_that_was_being_delivered_when_its_process_froze_and_died_is_delivered() {
    // D4.7
    let (app, child) = tokio::task::spawn_blocking(running).await.unwrap();
    let reminder = Report { delivery: Does::WaitFor(app.gate()), ..report("reminder") };
    let job = app.queue.enqueue(reminder).await.unwrap().id();
    app.ledger.wait(Deed::Sent, "reminder");
    child.freeze();
    child.kill();
    app.open_gate();
    let engine = app.engine().await;
    settled(&app.queue, 1).await;
    assert_eq!(attempts(&app.queue, job).await, [(1, DELIVERED)]);
    assert_eq!(app.ledger.calls("reminder"), (1, 2));
    let sent = app.ledger.of(Deed::Sent, "reminder");
    assert_eq!((&sent[0].key, sent[0].attempt, sent[1].attempt), (&sent[1].key, 1, 2));
    stop(engine).await;
    assert_sound(&app.queue).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reminder_that_was_being_delivered_when_its_process_froze_and_thawed_is_delivered_once() {
    let (app, child) = tokio::task::spawn_blocking(running).await.unwrap();
    let reminder = Report { delivery: Does::WaitFor(app.gate()), ..report("reminder") };
    let job = app.queue.enqueue(reminder).await.unwrap().id();
    app.ledger.wait(Deed::Sent, "reminder");
    child.freeze();
    // Another process has looked at the owners, and its watchdog at itself, before this one thaws.
    let engine = app.engine().await;
    app.queue.enqueue(NewJob::new(work("later")).after(2 * STUCK)).await.unwrap();
    app.ledger.wait(Deed::Ended, "later");
    assert_eq!(attempts(&app.queue, job).await, [(1, Some((Outcome::Succeeded, Delivery::Started)))]);
    app.open_gate();
    child.thaw();
    settled(&app.queue, 2).await;
    assert_eq!(attempts(&app.queue, job).await, [(1, DELIVERED)]);
    assert_eq!(app.ledger.calls("reminder"), (1, 1));
    assert_eq!(generation(&app), 1, "a process that was frozen blames nobody");
    child.kill();
    settled(&app.queue, 1).await;
    stop(engine).await;
    assert_sound(&app.queue).await;
}
