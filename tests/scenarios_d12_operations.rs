//! D12: operations. Each test is a row of the table of scenarios.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod stage;

use std::collections::BTreeSet;
use std::time::Duration;

use mainspring::plan::{CatchUp, Trigger};
use mainspring::{
    EngineState, ErrorClass, JobState, ListFilter, NewJob, OnInterrupt, OpenOptions, Outcome, Queue, Schedule,
};
use stage::puppet::puppet;
use stage::*;

/// SIGTERM killed what was running, or the drain took longer than the service manager waits.
#[tokio::test]
async fn d12_1_a_shutdown_claims_nothing_more_and_records_what_it_interrupts() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler).queue("default", 1)).await;
    let under = |text: &str, policy| NewJob::new(note(text)).on_interrupt(policy);
    let running = test.queue().enqueue(under("runs", OnInterrupt::AssumeRan)).await.unwrap().id();
    let call = calls.next().await;
    let waiting = test.queue().enqueue(note("waits")).await.unwrap().id();

    let stopping = async {
        soon("the word to stop", call.cx.cancelled()).await;
        call.fail("stopped half-way");
    };
    let (report, ()) = tokio::join!(engine.shutdown(Duration::ZERO), stopping);

    // It is all on record by the time the shutdown has resolved.
    let report = report.unwrap();
    assert_eq!((report.interrupted, report.finished, report.unrecorded), (1, 0, 0));
    let completion = runs(test.queue(), running).await.remove(0).completion.unwrap();
    assert_eq!(
        (completion.outcome, completion.error_class),
        (Outcome::Interrupted, Some(ErrorClass::Shutdown))
    );
    assert!(runs(test.queue(), waiting).await.is_empty() && calls.is_empty());
    let status = test.queue().status().await.unwrap();
    assert_eq!((status.engines, status.running, status.ready), (0, 0, 1));
    is_sound(test.queue()).await;
}

/// With patience, what runs ends by itself; the slot that it leaves stays empty.
#[tokio::test(flavor = "current_thread")]
async fn d12_1_a_shutdown_waits_for_what_runs_as_long_as_it_is_told_to() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler).queue("default", 1)).await;
    let running = test.queue().enqueue(note("runs")).await.unwrap().id();
    let call = calls.next().await;
    test.queue().enqueue(note("waits")).await.unwrap();
    let shutdown = tokio::spawn(engine.shutdown(PATIENCE));
    // This runtime has one thread: each turn lets every task that is ready go on, so that the shutdown has begun.
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
    assert!(!shutdown.is_finished());
    assert!(!call.cx.is_cancelled());

    call.succeed("done");

    let report = soon("the end", shutdown).await.unwrap().unwrap();
    assert_eq!((report.finished, report.interrupted), (1, 0));
    assert_eq!(outcomes(test.queue(), running).await, [Outcome::Succeeded]);
    assert!(calls.is_empty());
    assert_eq!(test.queue().status().await.unwrap().ready, 1);
    is_sound(test.queue()).await;
}

/// A run by hand waited for its end and gave up after 30 seconds, though all was well; and it never said how it went.
#[tokio::test]
async fn d12_2_a_run_by_hand_is_acknowledged_at_once_and_can_be_followed() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = NewJob::new(note("job")).max_attempts(1);
    test.queue().schedule("job", Schedule::every(DAY).unwrap(), job).await.unwrap();

    let request = test.queue().run_now("job").await.unwrap();
    let call = calls.next().await;
    let open = test.queue().run_of("job", request).await.unwrap().unwrap();
    assert_eq!((open.id, open.trigger, open.completion), (call.cx.run_id(), Trigger::Manual, None));

    call.fail("exit code 1");
    until("its end", || async {
        test.queue().run_of("job", request).await.unwrap().unwrap().ended_at.is_some()
    })
    .await;
    let completion = test.queue().run_of("job", request).await.unwrap().unwrap().completion.unwrap();
    assert_eq!((completion.outcome, completion.error.as_deref()), (Outcome::Failed, Some("exit code 1")));
    end(&test, engine).await;
}

/// The status was "healthy" while nothing ran: it showed what was meant to be.
#[tokio::test]
async fn d12_3_health_shows_what_is_overdue_and_since_when() {
    let test = queue().await;
    for n in 0..3 {
        let job = NewJob::new(note(format!("{n}"))).after(MINUTE * (n + 1));
        test.queue().enqueue(job).await.unwrap();
    }
    test.clock().advance(2 * MINUTE);

    // Nobody serves the queue.
    let health = test.queue().health().await.unwrap();
    assert_eq!((health.overdue, health.oldest_due_at), (2, Some(second(60))));
    assert_eq!(test.queue().status().await.unwrap().engines, 0);

    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler).queue("default", 1)).await;
    let call = calls.next().await;
    // One worker, two jobs: one of them is late still.
    assert_eq!(test.queue().health().await.unwrap().overdue, 1);
    call.succeed("done");
    calls.next().await.succeed("done");
    drain(&test).await;
    let health = test.queue().health().await.unwrap();
    assert_eq!((health.overdue, health.oldest_due_at, health.stalled), (0, None, None));
    until("the writer has looked at the clock", || async {
        test.queue().health().await.unwrap().last_tick_at == second(120)
    })
    .await;
    assert_eq!(test.queue().health().await.unwrap().next_due_at, Some(second(180)));
    let of_the_engine = engine.health();
    assert!(of_the_engine.is_well() && of_the_engine.state == EngineState::Running);
    end(&test, engine).await;
}

/// A writer that cannot write says so, and says so no more once it can.
#[tokio::test]
async fn d12_3_health_tells_that_the_file_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let options = OpenOptions::new(dir.path().join("app.db")).busy_timeout(Duration::from_millis(20));
    let queue = Queue::open_with(options).await.unwrap();
    let other = by_hand(queue.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(queue.enqueue(note("now")).await.unwrap_err().is_busy());

    let health = queue.health().await.unwrap();

    let stalled = health.stalled.unwrap();
    assert!(stalled.contains("cannot use its file") && stalled.contains("busy"), "{stalled}");
    other.execute_batch("ROLLBACK").unwrap();
    queue.enqueue(note("now")).await.unwrap();
    until("all is well", || async { queue.health().await.unwrap().stalled.is_none() }).await;
    is_sound(&queue).await;
}

/// A run that did not happen could not be told from one that was never to happen.
///
/// Three hours of a minutely job with everything that can come between: no engine, a pause, a long run.
#[tokio::test]
async fn d12_4_every_occurrence_is_a_run_or_on_record_as_missed() {
    let test = queue().await;
    let job = NewJob::new(note("tick")).catch_up(CatchUp::latest().within(HOUR)).max_attempts(1);
    test.queue().schedule("job", Schedule::every(MINUTE).unwrap(), job).await.unwrap();
    let work = || async {
        let ledger = Ledger::default();
        start(&test, |engine| engine.handler(ledger.succeeding())).await
    };

    let engine = work().await;
    for _ in 0..10 {
        pass(&test, MINUTE).await;
    }
    engine.shutdown(PATIENCE).await.unwrap();
    // Nobody is there for an hour and a half.
    test.clock().advance(90 * MINUTE);
    let engine = work().await;
    drain(&test).await;
    for _ in 0..5 {
        pass(&test, MINUTE).await;
    }
    // Somebody pauses it for ten minutes.
    test.queue().pause("job", None).await.unwrap();
    for _ in 0..10 {
        pass(&test, MINUTE).await;
    }
    test.queue().resume("job").await.unwrap();
    for _ in 0..5 {
        pass(&test, MINUTE).await;
    }
    engine.shutdown(PATIENCE).await.unwrap();
    // One run takes twenty minutes.
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    test.clock().advance(MINUTE);
    let call = calls.next().await;
    test.clock().advance(20 * MINUTE);
    call.succeed("at last");
    // An occurrence at the very moment of its end does not overlap it.
    calls.next().await.succeed("right after");
    drain(&test).await;
    // The clock jumps, as after a night with the lid closed.
    test.clock().advance(2 * HOUR);
    calls.next().await.succeed("caught up");
    drain(&test).await;

    let now = seconds(test.clock().now());
    let ran: BTreeSet<i64> =
        runs(test.queue(), "job").await.iter().map(|run| seconds(run.scheduled_for)).collect();
    let mut missed = BTreeSet::new();
    let mut reasons = BTreeSet::new();
    for miss in test.queue().misses("job", 1_000).await.unwrap() {
        let (from, to) = (seconds(miss.from), seconds(miss.to));
        assert!(miss.exact && miss.occurrences == ((to - from) / 60 + 1) as u64, "{miss:?}");
        for slot in (from..=to).step_by(60) {
            assert!(missed.insert(slot), "{slot} is on record twice");
        }
        reasons.insert(miss.reason.as_str());
    }
    assert!(ran.is_disjoint(&missed), "{:?}", ran.intersection(&missed));
    let accounted: BTreeSet<i64> = ran.union(&missed).copied().collect();
    assert_eq!(accounted, (60..=now).step_by(60).collect());
    assert_eq!(reasons, BTreeSet::from(["coalesced", "overlap", "paused"]));
    end(&test, engine).await;
}

/// Jobs went into a scheduler that was switched off, and nobody was told.
#[tokio::test]
async fn d12_5_the_status_tells_that_nobody_serves_what_is_enqueued() {
    let test = queue().await;
    let ledger = Ledger::default();
    test.queue().enqueue(note("nobody is there")).await.unwrap();
    let status = test.queue().status().await.unwrap();
    assert_eq!((status.engines, status.ready, status.paused_queues), (0, 1, 0));
    let why: String = value(test.queue().path(), "SELECT why FROM mainspring_why_view");
    assert!(why.ends_with("but no engine is on record as running"), "{why}");

    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    drain(&test).await;
    test.queue().pause_queue("default", Some("the night")).await.unwrap();
    test.queue().enqueue(note("the queue is paused")).await.unwrap();
    let status = test.queue().status().await.unwrap();
    assert_eq!((status.engines, status.ready, status.paused_queues), (1, 1, 1));
    let why: String =
        value(test.queue().path(), "SELECT max(why) FROM mainspring_why_view WHERE state = 'due'");
    assert!(why.contains("its queue default is paused since") && why.ends_with("(the night)"), "{why}");
    assert_eq!(ledger.len(), 1);

    test.queue().resume_queue("default").await.unwrap();
    drain(&test).await;
    assert_eq!((ledger.len(), test.queue().status().await.unwrap().paused_queues), (2, 0));
    end(&test, engine).await;
}

/// Jobs that were switched off were not listed, and were forgotten.
#[tokio::test]
async fn d12_6_a_list_shows_what_is_held_back_and_counts_it() {
    let test = queue().await;
    let hourly = || Schedule::every(HOUR).unwrap();
    test.queue().schedule("runs", hourly(), note("runs")).await.unwrap();
    test.queue().schedule("disabled", hourly(), NewJob::new(note("off")).enabled(false)).await.unwrap();
    test.queue().schedule("paused", hourly(), note("held")).await.unwrap();
    test.queue().pause("paused", None).await.unwrap();
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;

    pass(&test, HOUR).await;

    assert_eq!(ledger.texts(), ["runs"]);
    let list = test.queue().list(ListFilter::default()).await.unwrap();
    let states: Vec<JobState> = list.jobs.iter().map(|job| job.state(test.clock().now())).collect();
    assert_eq!(states, [JobState::Scheduled, JobState::Disabled, JobState::Paused]);
    assert_eq!(list.held, 2);
    let status = test.queue().status().await.unwrap();
    assert_eq!((status.disabled, status.paused, status.parked), (1, 1, 0));
    end(&test, engine).await;
}
