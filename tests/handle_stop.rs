//! Cancel, release, remove: ending what waits and what runs, here and in other processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod stage;

use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::Duration;

use mainspring::plan::{MissReason, Overlap};
use mainspring::{
    Backoff, Delivery, Engine, Error, ErrorClass, Failure, JobState, NewJob, OnDuplicate, Outcome, Queue,
    RunContext, Schedule,
};
use stage::child::{self, Child};
use stage::post::post;
use stage::puppet::puppet;
use stage::*;

#[test]
#[ignore = "a child of the tests in this file"]
fn a_child_plays_its_part() {
    child::play(|part, path| match part {
        "holds a run" => hold_a_run(path),
        other => panic!("there is no part {other:?}"),
    });
}

/// Runs a job that ends only once the test has said so, whoever asks it to stop.
fn hold_a_run(path: PathBuf) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(
        async {
            let handler = |_: Note, cx: RunContext| async move {
                child::say(format!("runs {}", cx.run_id()));
                cx.cancelled().await;
                child::say("was asked to stop");
                let told = tokio::task::spawn_blocking(child::listen).await.unwrap();
                child::say("stops");
                Err::<(), _>(Failure::new(told.unwrap_or_default()))
            };
            let engine = Engine::builder(Queue::open(&path).await.unwrap()).handler(handler).build().unwrap();
            let _engine = engine.start().await.unwrap();
            std::future::pending::<()>().await;
        },
    );
}

async fn state(queue: &Queue, job: impl Into<mainspring::JobKey>, now: mainspring::Timestamp) -> JobState {
    queue.get(job).await.unwrap().state(now)
}

// ---- cancel: what waits

#[tokio::test]
async fn a_cancelled_job_that_waits_never_runs_and_says_why() {
    let test = queue().await;
    let ledger = Ledger::default();
    let job = NewJob::new(note("never")).unique("key").after(HOUR);
    let job = test.queue().enqueue(job).await.unwrap().id();

    assert!(test.queue().cancel(job).await.unwrap().stopped.is_empty());

    let cancelled = test.queue().get(job).await.unwrap();
    assert_eq!(cancelled.state(test.clock().now()), JobState::Finished);
    assert_eq!((cancelled.last_outcome, cancelled.finished_at), (Some(Outcome::Cancelled), Some(second(0))));
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    pass(&test, DAY).await;
    assert!(ledger.entries().is_empty());
    // Its key is free again, and cancelling it again is nothing.
    let unique = NewJob::new(note("now")).unique_or("key", OnDuplicate::Error);
    assert!(test.queue().enqueue(unique).await.is_ok());
    assert!(test.queue().cancel(job).await.unwrap().stopped.is_empty());
    assert!(test.queue().cancel("no such job").await.unwrap_err().is_not_found());
    drain(&test).await;
    end(&test, engine).await;
}

#[tokio::test]
async fn a_recurring_job_that_is_cancelled_ends_for_good_and_what_it_owed_is_on_record() {
    let test = queue().await;
    let ledger = Ledger::default();
    let every = Schedule::every(HOUR).unwrap();
    let job = NewJob::new(note("x")).overlap(Overlap::QueueOne);
    test.queue().schedule("job", every.clone(), job).await.unwrap();
    test.queue().run_now("job").await.unwrap();
    test.clock().advance(2 * HOUR + MINUTE);

    test.queue().cancel("job").await.unwrap();

    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    pass(&test, DAY).await;
    assert!(ledger.entries().is_empty(), "neither its occurrences nor what was asked for by hand");
    let misses = test.queue().misses("job", 10).await.unwrap();
    assert_eq!((misses.len(), misses[0].occurrences, misses[0].reason), (1, 2, MissReason::Downtime));
    end(&test, engine).await;
}

// ---- cancel: what runs

#[tokio::test]
async fn cancelling_a_running_job_resolves_once_its_handler_has_stopped_and_not_before() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = test.queue().enqueue(note("x")).await.unwrap().id();
    let call = calls.next().await;
    let run = call.cx.run_id();
    let queue = test.queue().clone();
    let cancelling = tokio::spawn(async move { queue.cancel(job).await });
    soon("the word to stop", call.cx.cancelled()).await;
    // Another job comes and goes meanwhile.
    test.queue().enqueue(note("another")).await.unwrap();
    calls.next().await.succeed("done");
    assert!(!cancelling.is_finished());
    assert_eq!(state(test.queue(), job, test.clock().now()).await, JobState::Running);

    call.fail("stopped half-way");

    assert_eq!(soon("the cancel", cancelling).await.unwrap().unwrap().stopped, [run]);
    let completion = test.queue().run(run).await.unwrap().completion.unwrap();
    assert_eq!(
        (completion.outcome, completion.error_class),
        (Outcome::Cancelled, Some(ErrorClass::Cancelled))
    );
    assert_eq!(completion.error.as_deref(), Some("stopped half-way"));
    pass(&test, DAY).await;
    assert_eq!(runs(test.queue(), job).await.len(), 1, "it is not tried again");
    assert_eq!(state(test.queue(), job, test.clock().now()).await, JobState::Finished);
    end(&test, engine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_from_another_process_resolves_once_the_handler_there_has_stopped() {
    let test = queue_for_children().await;
    let job = test.queue().enqueue(note("x")).await.unwrap().id();
    let mut child = Child::start(test.queue().path(), "holds a run");
    let run = child.hear_of("runs");
    let queue = test.queue().clone();
    let cancelling = tokio::spawn(async move { queue.cancel(job).await });
    child.hear_of("was asked to stop");
    assert!(!cancelling.is_finished());
    assert_eq!(state(test.queue(), job, test.clock().now()).await, JobState::Running);

    child.tell("stopped over there");

    let report = soon("the cancel", cancelling).await.unwrap().unwrap();
    assert_eq!(report.stopped.iter().map(ToString::to_string).collect::<Vec<_>>(), [run]);
    child.hear_of("stops");
    let completion = test.queue().run(report.stopped[0]).await.unwrap().completion.unwrap();
    assert_eq!(
        (completion.outcome, completion.error.as_deref()),
        (Outcome::Cancelled, Some("stopped over there"))
    );
    child.kill();
    is_sound(test.queue()).await;
}

/// The process dies instead of stopping: a run that was to stop is not run again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_cancelled_is_not_repeated_when_its_process_dies() {
    let test = queue_for_children().await;
    let job = test.queue().enqueue(note("x")).await.unwrap().id();
    let child = Child::start(test.queue().path(), "holds a run");
    child.hear_of("runs");
    let queue = test.queue().clone();
    let cancelling = tokio::spawn(async move { queue.cancel(job).await });
    child.hear_of("was asked to stop");
    child.kill();

    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    soon("the cancel", cancelling).await.unwrap().unwrap();
    drain(&test).await;
    assert!(ledger.entries().is_empty());
    assert_eq!(state(test.queue(), job, test.clock().now()).await, JobState::Finished);
    end(&test, engine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_does_not_stop_loses_its_run_after_its_grace() {
    let test = queue().await;
    let (begun, may_begin) = channel();
    let engine = start(&test, |engine| {
        engine.blocking_handler(move |_: Note, _: RunContext| {
            let (go, may_go) = channel::<()>();
            begun.send(go).unwrap();
            // Until the test drops its end.
            may_go.recv().unwrap_err();
            Ok::<_, Failure>("after all")
        })
    })
    .await;
    let job = NewJob::new(note("deaf")).grace(Duration::from_millis(30));
    let job = test.queue().enqueue(job).await.unwrap().id();
    let go = may_begin.recv_timeout(PATIENCE).unwrap();
    assert_eq!(soon("the cancel", test.queue().cancel(job)).await.unwrap().stopped.len(), 1);
    assert_eq!(outcomes(test.queue(), job).await, [Outcome::Cancelled]);
    drop(go);
    let late = || value::<i64>(test.queue().path(), "SELECT count(*) FROM mainspring_late_results") == 1;
    until("the late result", || std::future::ready(late())).await;
    end(&test, engine).await;
}

#[tokio::test]
async fn a_success_stands_although_somebody_had_asked_the_handler_to_stop() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = test.queue().enqueue(note("x")).await.unwrap().id();
    let call = calls.next().await;
    let queue = test.queue().clone();
    let cancelling = tokio::spawn(async move { queue.cancel(job).await });
    soon("the word to stop", call.cx.cancelled()).await;
    call.succeed("done by then");
    soon("the cancel", cancelling).await.unwrap().unwrap();
    let completion = runs(test.queue(), job).await.remove(0).completion.unwrap();
    assert_eq!(
        (completion.outcome, completion.output.as_deref()),
        (Outcome::Succeeded, Some("\"done by then\""))
    );
    assert_eq!(state(test.queue(), job, test.clock().now()).await, JobState::Finished);
    end(&test, engine).await;
}

/// A delay after each run begins at the end of the run, and so a cancelled job began anew.
#[tokio::test]
async fn a_running_job_that_is_cancelled_ends_for_good_whatever_its_schedule() {
    let schedules = [
        ("every", Schedule::every(HOUR).unwrap()),
        ("after each", Schedule::after_each(HOUR).unwrap()),
        ("cron", Schedule::cron("0 * * * *").unwrap()),
        ("at", Schedule::at(second(3_600))),
    ];
    for (name, schedule) in schedules {
        for succeeds in [true, false] {
            let test = queue().await;
            let (handler, mut calls) = puppet();
            let engine = start(&test, |engine| engine.handler(handler)).await;
            test.queue().schedule("job", schedule.clone(), note("x")).await.unwrap();
            test.clock().advance(HOUR);
            let call = calls.next().await;
            let queue = test.queue().clone();
            let cancelling = tokio::spawn(async move { queue.cancel("job").await });
            soon("the word to stop", call.cx.cancelled()).await;
            if succeeds {
                call.succeed("done")
            } else {
                call.fail("stopped")
            };
            soon("the cancel", cancelling).await.unwrap().unwrap();
            assert_eq!(state(test.queue(), "job", test.clock().now()).await, JobState::Finished, "{name}");
            for _ in 0..30 {
                pass(&test, HOUR).await;
            }
            assert!(calls.is_empty(), "{name}");
            end(&test, engine).await;
        }
    }
}

/// A handler failed in the very moment of the cancel, before it could hear of it, and its job was tried again.
#[tokio::test(flavor = "current_thread")]
async fn a_run_that_fails_as_it_is_cancelled_is_not_tried_again() {
    for by_hand in [false, true] {
        for whole_job in [false, true] {
            let test = queue().await;
            let (handler, mut calls) = puppet();
            let engine = start(&test, |engine| engine.handler(handler)).await;
            let job = NewJob::new(note("x")).backoff(Backoff::fixed(MINUTE));
            test.queue()
                .schedule("job", Schedule::at(second(if by_hand { 1_000_000 } else { 0 })), job)
                .await
                .unwrap();
            if by_hand {
                test.queue().run_now("job").await.unwrap();
            }
            let call = calls.next().await;
            let (cx, run) = (call.cx.clone(), call.cx.run_id());

            // The one thread of this runtime cancels, and meanwhile nothing on it hears of it.
            call.fail("no luck");
            if whole_job {
                test.queue().blocking().cancel("job").unwrap();
            } else {
                shell(test.queue().path(), "UPDATE mainspring_runs SET cancel_requested_at_ms = 1").unwrap();
            }
            drain(&test).await;

            let case = format!("by hand: {by_hand}, the whole job: {whole_job}");
            assert!(
                !cx.is_cancelled() || outcome(&test.queue().run(run).await.unwrap()) == Outcome::Failed,
                "{case}"
            );
            pass(&test, HOUR).await;
            assert!(calls.is_empty(), "{case}");
            let state = state(test.queue(), "job", test.clock().now()).await;
            let waits_for_its_own_time = by_hand && !whole_job;
            assert_eq!(state == JobState::Scheduled, waits_for_its_own_time, "{case}: {state}");
            assert_eq!(state == JobState::Finished, !waits_for_its_own_time, "{case}: {state}");
            end(&test, engine).await;
        }
    }
}

#[tokio::test]
async fn cancelling_one_run_leaves_the_later_occurrences_of_its_job_alone() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = NewJob::new(note("x")).backoff(Backoff::fixed(MINUTE));
    test.queue().schedule("job", Schedule::every(HOUR).unwrap(), job).await.unwrap();
    test.clock().advance(HOUR);
    let call = calls.next().await;
    let run = call.cx.run_id();
    let queue = test.queue().clone();
    let cancelling = tokio::spawn(async move { queue.cancel_run(run).await });
    soon("the word to stop", call.cx.cancelled()).await;
    call.fail("stopped");
    assert_eq!(soon("the cancel", cancelling).await.unwrap().unwrap().stopped, [run]);
    assert_eq!(test.queue().get("job").await.unwrap().next_run_at, Some(second(7_200)));
    assert!(test.queue().cancel_run(run).await.unwrap().stopped.is_empty(), "it has ended");
    assert!(test.queue().cancel_run(mainspring::RunId(99)).await.unwrap_err().is_not_found());
    test.clock().advance(HOUR);
    calls.next().await.succeed("done");
    drain(&test).await;
    assert_eq!(outcomes(test.queue(), "job").await, [Outcome::Cancelled, Outcome::Succeeded]);
    end(&test, engine).await;
}

// ---- release

#[tokio::test]
async fn a_released_run_is_over_at_once_and_what_its_handler_returns_is_kept_as_late() {
    for again in [false, true] {
        let test = queue().await;
        let (handler, mut calls) = puppet();
        let engine = start(&test, |engine| engine.handler(handler)).await;
        let job = test.queue().enqueue(note("x")).await.unwrap().id();
        let first = calls.next().await;
        let run = first.cx.run_id();

        test.queue().release(run, again).await.unwrap();

        let completion = test.queue().run(run).await.unwrap().completion.unwrap();
        assert_eq!(
            (completion.outcome, completion.error_class),
            (Outcome::Interrupted, Some(ErrorClass::Released))
        );
        soon("the word to stop", first.cx.cancelled()).await;
        if again {
            let second = calls.next().await;
            assert_eq!((second.cx.attempt(), second.cx.idempotency_key()), (2, first.cx.idempotency_key()));
            second.succeed("the second");
        }
        first.succeed("the first");
        let late = "SELECT group_concat(run_id || ' ' || output) FROM mainspring_late_results";
        let wanted = format!("{run} \"the first\"");
        until("the late result", || {
            std::future::ready(value::<Option<String>>(test.queue().path(), late).as_ref() == Some(&wanted))
        })
        .await;
        drain(&test).await;
        let all: &[Outcome] =
            if again { &[Outcome::Interrupted, Outcome::Succeeded] } else { &[Outcome::Interrupted] };
        assert_eq!(outcomes(test.queue(), job).await, all);
        assert_eq!(state(test.queue(), job, test.clock().now()).await, JobState::Finished);
        let twice = test.queue().release(run, false).await.unwrap_err();
        assert!(twice.is_claim_lost(), "{twice}");
        assert!(test.queue().release(mainspring::RunId(99), false).await.unwrap_err().is_not_found());
        end(&test, engine).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_in_another_process_can_be_released_and_its_handler_is_asked_to_stop() {
    let test = queue_for_children().await;
    let job = test.queue().enqueue(note("x")).await.unwrap().id();
    let mut child = Child::start(test.queue().path(), "holds a run");
    let run = mainspring::RunId(child.hear_of("runs").parse().unwrap());
    test.queue().release(run, false).await.unwrap();
    assert_eq!(outcomes(test.queue(), job).await, [Outcome::Interrupted]);
    child.hear_of("was asked to stop");
    child.tell("too late");
    child.hear_of("stops");
    let late = || value::<i64>(test.queue().path(), "SELECT count(*) FROM mainspring_late_results") == 1;
    until("the late result", || std::future::ready(late())).await;
    child.kill();
    is_sound(test.queue()).await;
}

// ---- remove

#[tokio::test]
async fn removing_a_running_job_resolves_once_its_handler_has_stopped_and_its_history_stays() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = NewJob::new(note("x")).overlap(Overlap::QueueOne);
    let id = test.queue().schedule("job", Schedule::every(HOUR).unwrap(), job).await.unwrap().id();
    test.clock().advance(HOUR);
    let call = calls.next().await;
    test.queue().run_now("job").await.unwrap();
    let run = call.cx.run_id();
    let queue = test.queue().clone();
    let removing = tokio::spawn(async move { queue.remove("job").await });
    soon("the word to stop", call.cx.cancelled()).await;
    assert!(test.queue().get("job").await.unwrap_err().is_not_found());
    // The name is free while the run of the old job still ends.
    let again = test.queue().schedule("job", Schedule::every(HOUR).unwrap(), note("new")).await.unwrap().id();
    assert!(again != id && !removing.is_finished());

    call.fail("stopped");

    assert_eq!(soon("the removal", removing).await.unwrap().unwrap().stopped, [run]);
    assert_eq!(outcomes(test.queue(), id).await, [Outcome::Cancelled]);
    drain(&test).await;
    assert!(calls.is_empty(), "what was asked for went with the job");
    let new = test.queue().get("job").await.unwrap();
    assert_eq!((new.next_run_at, new.last_outcome), (Some(second(7_200)), None));
    assert!(test.queue().remove("no such job").await.unwrap_err().is_not_found());
    end(&test, engine).await;
}

#[tokio::test]
async fn an_output_that_waits_for_its_delivery_is_delivered_although_its_job_was_removed() {
    let test = queue().await;
    let (handler, mut parcels, _) = post();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = NewJob::new(letter("text")).delivery_attempts(3, Backoff::fixed(MINUTE));
    let job = test.queue().enqueue(job).await.unwrap().id();
    parcels.next().await.not_sent("refused");
    drain(&test).await;
    test.queue().remove(job).await.unwrap();
    test.clock().advance(MINUTE);
    parcels.next().await.accept();
    drain(&test).await;
    assert_eq!(runs(test.queue(), job).await[0].completion.as_ref().unwrap().delivery, Delivery::Delivered);
    end(&test, engine).await;
}

#[tokio::test]
async fn a_blocking_caller_is_told_which_runs_were_asked_to_stop() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = test.queue().enqueue(note("x")).await.unwrap().id();
    let call = calls.next().await;
    let blocking = test.queue().blocking();
    let asked = tokio::task::spawn_blocking(move || blocking.cancel(job)).await.unwrap().unwrap();
    assert_eq!(asked, [call.cx.run_id()]);
    soon("the word to stop", call.cx.cancelled()).await;
    call.fail("stopped");
    drain(&test).await;
    assert_eq!(outcomes(test.queue(), job).await, [Outcome::Cancelled]);
    let refused = test.queue().blocking().run(mainspring::RunId(99));
    assert!(matches!(refused, Err(Error::RunNotFound(_))));
    end(&test, engine).await;
}
