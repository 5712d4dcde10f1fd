//! A process is killed with SIGKILL at every named crash point, for every kind of job and every policy. After the
//! restart the handler and the sink have been called exactly as often as the design promises, counted in a ledger
//! outside the database (D4.1, D4.5, D4.7).
//!
//! [`PROMISED`] is that promise. The matrix walks all crash points, so that a point which has no row in it fails.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod children;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use children::app;
use children::child::{self, Child};
use children::ledger::Ledger;
use children::rows::{assert_sound, attempts, settled};
use mainspring::crash::{CrashPoint, VARIABLE};
use mainspring::{
    Clock, Delivery, ErrorClass, Job, JobId, NewJob, OnInterrupt, OnUnknownDelivery, Outcome, Queue,
    Schedule, SystemClock, Timestamp,
};
use nix::sys::signal::Signal;

use CrashPoint::{Claimed, Completed, Delivered, DeliveryBegun, Ran, Settled};
use Policy::{Any, Interrupt, Unknown};

/// The policy that a row of the table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Any,
    Interrupt(OnInterrupt),
    Unknown(OnUnknownDelivery),
}

/// What is promised of a process that is killed at a point and started again.
struct Promise {
    killed_at: CrashPoint,
    under: Policy,
    /// How often the handler has been called in the end, by both processes together.
    handler: usize,
    /// How often the sink has.
    sink: usize,
    /// How the attempts ended and what became of their deliveries.
    attempts: &'static [(Outcome, Delivery)],
    /// Whether the job waits for a person.
    parked: bool,
}

const INTERRUPTED: (Outcome, Delivery) = (Outcome::Interrupted, Delivery::NotRequested);
const DELIVERED: (Outcome, Delivery) = (Outcome::Succeeded, Delivery::Delivered);
const NOBODY_KNOWS: (Outcome, Delivery) = (Outcome::Succeeded, Delivery::Unknown);

const RERUN: Policy = Interrupt(OnInterrupt::Rerun);
const ASSUME_RAN: Policy = Interrupt(OnInterrupt::AssumeRan);
const VERIFY: Policy = Interrupt(OnInterrupt::Verify);
const HOLD: Policy = Unknown(OnUnknownDelivery::Hold);
const RESEND: Policy = Unknown(OnUnknownDelivery::Resend);

const fn promise(
    killed_at: CrashPoint,
    under: Policy,
    handler: usize,
    sink: usize,
    attempts: &'static [(Outcome, Delivery)],
) -> Promise {
    Promise { killed_at, under, handler, sink, attempts, parked: matches!(under, VERIFY) }
}

#[rustfmt::skip]
const PROMISED: &[Promise] = &[
    // after the claim, before the handler: interrupted, and the policy decides
    promise(Claimed,       RERUN,      1, 1, &[INTERRUPTED, DELIVERED]),
    promise(Claimed,       ASSUME_RAN, 0, 0, &[INTERRUPTED]),
    promise(Claimed,       VERIFY,     0, 0, &[INTERRUPTED, INTERRUPTED]),
    // the handler returned, its completion is not committed: the one window in which it may run twice
    promise(Ran,           RERUN,      2, 1, &[INTERRUPTED, DELIVERED]),
    promise(Ran,           ASSUME_RAN, 1, 0, &[INTERRUPTED]),
    promise(Ran,           VERIFY,     1, 0, &[INTERRUPTED, INTERRUPTED]),
    // the completion is committed: delivered from the stored output, the handler is not called again
    promise(Completed,     Any,        1, 1, &[DELIVERED]),
    // the delivery is begun and has no answer: unknown, and the policy decides
    promise(DeliveryBegun, HOLD,       1, 0, &[NOBODY_KNOWS]),
    promise(DeliveryBegun, RESEND,     1, 1, &[DELIVERED]),
    promise(Delivered,     HOLD,       1, 1, &[NOBODY_KNOWS]),
    promise(Delivered,     RESEND,     1, 2, &[DELIVERED]),
    // the answer is recorded: nothing, ever
    promise(Settled,       Any,        1, 1, &[DELIVERED]),
];

/// The kinds of job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Recurring,
    OneShot,
    Plain,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    point: CrashPoint,
    shape: Shape,
    on_interrupt: OnInterrupt,
    on_unknown_delivery: OnUnknownDelivery,
}

/// So many cases go on at once: they wait for the disk and for each other's processes more than they compute.
const AT_ONCE: usize = 6;
const LABEL: &str = "briefing";

#[test]
fn a_process_killed_at_any_point_calls_handler_and_sink_as_often_as_promised() {
    let cases = cases();
    assert_eq!(cases.len(), CrashPoint::ALL.len() * 3 * 3 * 2);
    let (next, broken) = (AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(panic) = std::panic::catch_unwind(|| run(*case)) {
                        let why = panic.downcast::<String>().map_or_else(|_| String::new(), |why| *why);
                        broken.lock().unwrap().push(format!("{case:?}\n{why}"));
                    }
                }
            });
        }
    });
    let broken = broken.into_inner().unwrap();
    assert!(broken.is_empty(), "{} of {} cases:\n{}", broken.len(), cases.len(), broken.join("\n\n"));
}

/// Every point × every kind of job × every policy.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &point in CrashPoint::ALL {
        for shape in [Shape::Recurring, Shape::OneShot, Shape::Plain] {
            for &on_interrupt in OnInterrupt::ALL {
                for &on_unknown_delivery in OnUnknownDelivery::ALL {
                    cases.push(Case { point, shape, on_interrupt, on_unknown_delivery });
                }
            }
        }
    }
    cases
}

/// The one row of the table that is for this case.
fn promised(case: Case) -> &'static Promise {
    let is_for = |promise: &&Promise| {
        promise.killed_at == case.point
            && match promise.under {
                Any => true,
                Interrupt(policy) => policy == case.on_interrupt,
                Unknown(policy) => policy == case.on_unknown_delivery,
            }
    };
    let rows: Vec<_> = PROMISED.iter().filter(is_for).collect();
    assert_eq!(rows.len(), 1, "the table has {} rows for {case:?}", rows.len());
    rows[0]
}

fn run(case: Case) {
    let promised = promised(case);
    let dir = tempfile::tempdir().unwrap();
    let job = declare(dir.path(), case);

    let child = Child::start_with("engine", dir.path(), &[(VARIABLE, case.point.as_str())]);
    assert_eq!(child.ended(), Ok(Signal::SIGKILL));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // The second start finds nothing left to do.
        for _ in 0..2 {
            let queue = app::open(dir.path());
            let engine = app::start(&queue).await;
            settled(&queue, 1).await;
            app::stop(engine).await;
            check(&queue, dir.path(), job, case, promised).await;
        }
    });
}

/// Declares the job as a program does that is about to be killed.
fn declare(dir: &std::path::Path, case: Case) -> JobId {
    let now = SystemClock.now();
    let (queue, _clock) = app::open_on_clock(dir, now.minus(Duration::from_secs(1)));
    let queue = queue.blocking();
    let job = NewJob::new(app::report(LABEL))
        .on_interrupt(case.on_interrupt)
        .on_unknown_delivery(case.on_unknown_delivery);
    match case.shape {
        Shape::Recurring => {
            let hourly = Schedule::every(Duration::from_secs(3600)).unwrap().anchored_at(now);
            queue.schedule(LABEL, hourly, job).unwrap().id()
        }
        Shape::OneShot => queue.schedule(LABEL, Schedule::at(now), job).unwrap().id(),
        Shape::Plain => queue.enqueue(job).unwrap().id(),
    }
}

async fn check(queue: &Queue, dir: &std::path::Path, id: JobId, case: Case, promised: &Promise) {
    let ledger = Ledger::in_dir(dir);
    assert_eq!(ledger.calls(LABEL), (promised.handler, promised.sink), "calls of the handler and the sink");

    // Each attempt at the occurrence, and each delivery of its output, came under the same key.
    let mut keys: Vec<String> = ledger.entries().into_iter().map(|entry| entry.key).collect();
    keys.dedup();
    assert!(keys.len() <= 1, "{keys:?}");

    let expected: Vec<_> = (1..).zip(promised.attempts.iter().copied().map(Some)).collect();
    assert_eq!(attempts(queue, id).await, expected);
    let runs = children::rows::runs(queue, id).await;
    assert!(runs.iter().all(|run| run.scheduled_for == runs[0].scheduled_for), "one occurrence: {runs:?}");
    for run in &runs {
        let end = run.completion.as_ref().unwrap();
        // Under `verify` the second attempt asks the handler, which cannot tell.
        let why = if run.attempt == 1 { ErrorClass::OwnerDied } else { ErrorClass::Unverified };
        assert_eq!(end.error_class, (end.outcome == Outcome::Interrupted).then_some(why), "{run:?}");
    }
    check_job(&queue.get(id).await.unwrap(), case.shape, promised);
    assert_sound(queue).await;
}

/// A recurring job goes on with its next occurrence, another one is done; unless it waits for a person.
fn check_job(job: &Job, shape: Shape, promised: &Promise) {
    assert_eq!(job.parked_at.is_some(), promised.parked, "{job:?}");
    assert_eq!((job.open_runs, job.requests), (0, 0));
    // The one death counts until a run has ended in another way; that nobody can tell is none.
    let interrupted = promised.attempts.last() == Some(&INTERRUPTED);
    assert_eq!(job.interruptions_in_a_row, u32::from(interrupted));
    assert_eq!(job.last_outcome, promised.attempts.last().map(|(outcome, _)| *outcome));
    if shape == Shape::Recurring {
        let next = job.next_run_at.unwrap();
        assert!(job.finished_at.is_none() && next > SystemClock.now(), "{job:?}");
        assert_eq!(job.runs_started, 1);
    } else {
        assert_eq!(job.next_run_at, None);
        // What a person has to decide on is not over.
        assert_eq!(job.finished_at.is_some(), !promised.parked, "{job:?}");
    }
}

#[test]
fn the_policies_of_a_job_that_names_none_are_those_of_the_design() {
    let dir = tempfile::tempdir().unwrap();
    let queue = app::open(dir.path()).blocking();
    let daily = Schedule::cron("0 8 * * *").unwrap();
    let recurring = queue.schedule("recurring", daily, app::report("a")).unwrap().id();
    let at = Timestamp::from_millis(SystemClock.now().millis() + 3_600_000);
    let one_shot = queue.schedule("one-shot", Schedule::at(at), app::report("b")).unwrap().id();
    let plain = queue.enqueue(app::report("c")).unwrap().id();
    let policies = |id: JobId| {
        let job = queue.get(id).unwrap();
        (job.on_interrupt, job.on_unknown_delivery)
    };
    assert_eq!(policies(recurring), (OnInterrupt::AssumeRan, OnUnknownDelivery::Hold));
    assert_eq!(policies(one_shot), (OnInterrupt::Rerun, OnUnknownDelivery::Resend));
    assert_eq!(policies(plain), (OnInterrupt::Rerun, OnUnknownDelivery::Resend));
}

#[test]
#[ignore = "the main function of a child"]
fn child() {
    child::main(&[("engine", |dir| {
        child::forever(async { app::start(&app::open(dir)).await });
    })]);
}
