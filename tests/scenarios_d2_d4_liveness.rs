//! D2 to D4: liveness, markers and restarts, as far as no story and no crash test tells them. Each test is a row of the
//! table of scenarios.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod stage;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mainspring::plan::Overlap;
use mainspring::testing::ManualClock;
use mainspring::{
    Backoff, Delivery, Engine, ErrorClass, JobState, ListFilter, NewJob, OnUnknownDelivery, OpenOptions,
    Outcome, Queue, Schedule,
};
use stage::child::{self, Child};
use stage::post::post;
use stage::puppet::puppet;
use stage::*;

#[test]
#[ignore = "a child of the tests in this file"]
fn a_child_plays_its_part() {
    child::play(|part, path| match part {
        "is late" => be_late(path),
        other => panic!("there is no part {other:?}"),
    });
}

/// One tick that threw, and no other ever came.
#[tokio::test]
async fn d2_1_a_tick_that_fails_is_followed_by_others() {
    let dir = tempfile::tempdir().unwrap();
    let options = OpenOptions::new(dir.path().join("app.db")).busy_timeout(Duration::from_millis(5));
    let clock = ManualClock::at(second(0));
    let queue = Queue::open_on_clock(&options, Arc::new(clock.clone())).unwrap();
    let ledger = Ledger::default();
    let engine = Engine::builder(queue.clone()).handler(ledger.succeeding()).build().unwrap();
    let engine = engine.start().await.unwrap();
    let other = by_hand(queue.path());
    for fault in 1..=3 {
        queue.enqueue(NewJob::new(note("due")).after(MINUTE)).await.unwrap();
        // The job falls due, and its claim fails for as long as somebody else writes.
        other.execute_batch("BEGIN IMMEDIATE; UPDATE mainspring_jobs SET priority = 0").unwrap();
        clock.advance(MINUTE);
        until("the tick fails", || async { queue.health().await.unwrap().last_error.is_some() }).await;
        assert_eq!(ledger.len(), fault - 1);
        other.execute_batch("COMMIT").unwrap();
        until("a later tick does not", || async { ledger.len() == fault }).await;
        until("all is well", || async { queue.health().await.unwrap().stalled.is_none() }).await;
    }
    engine.shutdown(PATIENCE).await.unwrap();
    is_sound(&queue).await;
}

/// A long run ended the timer: it was armed again only at the end of the run.
#[tokio::test]
async fn d2_3_a_job_runs_on_time_while_another_one_takes_long() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler).queue("default", 2)).await;
    test.queue().enqueue(note("ten minutes")).await.unwrap();
    let long = calls.next().await;
    test.queue().enqueue(NewJob::new(note("in two minutes")).after(2 * MINUTE)).await.unwrap();
    test.clock().advance(2 * MINUTE);
    let other = calls.next().await;
    assert_eq!((other.text.as_str(), seconds(other.cx.started_at())), ("in two minutes", 120));
    other.succeed("done");
    long.succeed("done");
    drain(&test).await;
    end(&test, engine).await;
}

/// Adding and removing jobs while a tick hung took the timer away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d2_4_a_thousand_changes_while_the_writer_hangs_end_no_timer() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    test.queue().enqueue(NewJob::new(note("on time")).after(HOUR)).await.unwrap();
    let far = || NewJob::new(note("far")).after(DAY);
    let there = test.queue().enqueue_many((0..500).map(|_| far())).await.unwrap();
    let other = by_hand(test.queue().path());
    other.execute_batch("BEGIN IMMEDIATE; UPDATE mainspring_jobs SET priority = 1").unwrap();

    let mut changes = tokio::task::JoinSet::new();
    for job in there {
        let (adds, removes) = (test.queue().clone(), test.queue().clone());
        changes.spawn(async move { adds.enqueue(far()).await.map(drop) });
        changes.spawn(async move { removes.remove(job.id()).await.map(drop) });
    }
    until("all of them wait", || async { test.queue().health().await.unwrap().waiting_commands > 400 }).await;
    other.execute_batch("ROLLBACK").unwrap();
    for change in soon("the changes", changes.join_all()).await {
        change.unwrap();
    }

    pass(&test, HOUR).await;
    assert_eq!(ledger.texts(), ["on time"]);
    assert_eq!(test.queue().status().await.unwrap().scheduled, 500);
    end(&test, engine).await;
}

/// The processor time of the writer's thread so far.
fn writers_time() -> Duration {
    let is_writer = |task: &std::path::Path| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with("mainspring-writ"))
    };
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let writer = tasks.into_iter().find(|task| is_writer(task)).expect("the writer's thread");
    let line = std::fs::read_to_string(writer.join("schedstat")).unwrap();
    Duration::from_nanos(line.split(' ').next().unwrap().parse().unwrap())
}

/// A job that was due and could not be claimed made the timer fire each 1.7 ms: 500 MB of log.
///
/// In a process of its own, so that there is one writer to look at.
#[test]
fn d2_6_jobs_that_are_due_and_cannot_run_keep_nobody_busy() {
    let dir = tempfile::tempdir().unwrap();
    let child = Child::start(&dir.path().join("app.db"), "is late");
    let said = child.hear_of("was busy for");
    let (busy, of) = said.split_once(" ms of ").unwrap();
    let (busy, of): (u64, u64) = (busy.parse().unwrap(), of.parse().unwrap());
    assert!(of >= 2_000 && busy < of / 4, "the writer was busy for {busy} of {of} ms");
    assert_eq!(child.ended(), ["ended"]);
}

fn be_late(path: PathBuf) {
    child::end_with_the_test();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let queue = Queue::open(&path).await.unwrap();
        let (handler, mut calls) = puppet();
        let engine = Engine::builder(queue.clone()).handler(handler);
        let engine = engine.queue("default", 1).queue("paused", 1).queue("free", 1).build().unwrap();
        let engine = engine.start().await.unwrap();
        // Its worker is taken, its queue is paused, its kind is another engine's.
        queue.enqueue(note("runs")).await.unwrap();
        let call = calls.next().await;
        queue.pause_queue("paused", None).await.unwrap();
        queue.enqueue(note("waits for a worker")).await.unwrap();
        queue.enqueue(NewJob::new(note("waits for its queue")).queue("paused")).await.unwrap();
        queue.enqueue(NewJob::new(letter("waits for an engine")).queue("free")).await.unwrap();

        let (begin, before) = (Instant::now(), writers_time());
        until("two seconds of being late", || std::future::ready(begin.elapsed() >= 2 * SECOND)).await;
        let (took, busy) = (begin.elapsed(), writers_time() - before);
        child::say(format!("was busy for {} ms of {}", busy.as_millis(), took.as_millis()));

        // And what can run again runs.
        queue.resume_queue("paused").await.unwrap();
        call.succeed("done");
        for _ in 0..2 {
            calls.next().await.succeed("done");
        }
        until("the end of the runs", || async { queue.status().await.unwrap().running == 0 }).await;
        engine.shutdown(PATIENCE).await.unwrap();
        is_sound(&queue).await;
        child::say("ended");
    });
}

/// Runs were told apart by the millisecond: one of two was settled with the other's outcome.
#[tokio::test]
async fn d3_12_of_two_runs_of_one_millisecond_each_has_its_own_end() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler).queue("default", 3)).await;
    let job = NewJob::new(note("x")).overlap(Overlap::Allow(3)).max_attempts(1);
    test.queue().schedule("job", Schedule::every(DAY).unwrap(), job).await.unwrap();
    for _ in 0..3 {
        test.queue().run_now("job").await.unwrap();
    }
    let open = [calls.next().await, calls.next().await, calls.next().await];
    let ids = [0, 1, 2].map(|n| open[n].cx.run_id());
    assert!(open.iter().all(|call| seconds(call.cx.scheduled_for()) == 0));

    test.queue().release(ids[1], false).await.unwrap();
    let [first, second, third] = open;
    soon("the word to stop", second.cx.cancelled()).await;
    assert!(!first.cx.is_cancelled() && !third.cx.is_cancelled());
    assert_eq!(test.queue().get("job").await.unwrap().open_runs, 2);
    second.succeed("too late");
    third.fail("no luck");
    first.succeed("done");
    drain(&test).await;

    let mut ends = Vec::new();
    for id in ids {
        ends.push(outcome(&test.queue().run(id).await.unwrap()));
    }
    assert_eq!(ends, [Outcome::Succeeded, Outcome::Interrupted, Outcome::Failed]);
    let late: i64 = value(test.queue().path(), "SELECT min(run_id) FROM mainspring_late_results");
    assert_eq!(late, ids[1].0);
    end(&test, engine).await;
}

/// A job that waited for a worker ran as it had been when it was enqueued, not as it was edited since.
#[tokio::test]
async fn d3_13_a_run_uses_the_definition_of_its_claim_and_says_which_that_was() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler).queue("default", 1)).await;
    test.queue().enqueue(note("runs")).await.unwrap();
    let call = calls.next().await;
    let declare = |text: &str| test.queue().schedule("job", Schedule::at(second(60)), note(text));
    declare("old").await.unwrap();
    test.clock().advance(MINUTE);
    until("it waits for the worker", || async {
        test.queue().get("job").await.unwrap().state(test.clock().now()) == JobState::Due
    })
    .await;
    declare("new").await.unwrap();
    call.succeed("done");
    let call = calls.next().await;
    assert_eq!(call.text, "new");
    // What is edited now is for the next run.
    declare("newer").await.unwrap();
    assert_eq!(test.queue().run(call.cx.run_id()).await.unwrap().job_revision, 2);
    call.succeed("done");
    drain(&test).await;
    assert_eq!(test.queue().get("job").await.unwrap().revision, 3);
    end(&test, engine).await;
}

/// How a run had ended could not be written at the first try, and was lost: the run stayed open, or ran again.
#[tokio::test]
async fn d3_14_an_end_that_cannot_be_written_is_written_as_soon_as_it_can_be() {
    let dir = tempfile::tempdir().unwrap();
    let options = OpenOptions::new(dir.path().join("app.db")).busy_timeout(Duration::from_millis(5));
    let queue = Queue::open_with(options).await.unwrap();
    let (handler, mut calls) = puppet();
    let engine = Engine::builder(queue.clone()).handler(handler).build().unwrap().start().await.unwrap();
    let job = queue.enqueue(note("x")).await.unwrap().id();
    let call = calls.next().await;
    let other = by_hand(queue.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    call.succeed("done");

    // Callers come and are told that the file is busy, again and again; the end of the run goes on waiting.
    for _ in 0..5 {
        assert!(queue.enqueue(note("not now")).await.unwrap_err().is_busy());
    }
    assert!(queue.runs(job, 1).await.unwrap()[0].ended_at.is_none());
    other.execute_batch("ROLLBACK").unwrap();

    until("the end is on record", || async { queue.get(job).await.unwrap().finished_at.is_some() }).await;
    let run = runs(&queue, job).await.remove(0);
    assert_eq!(
        (outcome(&run), run.completion.unwrap().output.as_deref()),
        (Outcome::Succeeded, Some("\"done\""))
    );
    assert!(calls.is_empty(), "and the handler was called once");
    assert_eq!(queue.list(ListFilter::default()).await.unwrap().jobs.len(), 1);
    engine.shutdown(PATIENCE).await.unwrap();
    is_sound(&queue).await;
}

/// A trading alert of the morning was announced in the evening: only how late the run had ended was known.
#[tokio::test]
async fn d4_16_an_output_whose_time_has_passed_is_kept_and_not_delivered() {
    let test = queue().await;
    let (handler, mut parcels, ran) = post();
    let job = NewJob::new(letter("alert")).deliver_within(10 * MINUTE);
    test.queue().schedule("late", Schedule::at(second(60)), job).await.unwrap();
    let retried =
        NewJob::new(letter("retried")).deliver_within(2 * HOUR).delivery_attempts(9, Backoff::fixed(HOUR));
    test.queue().schedule("retried", Schedule::at(second(60)), retried).await.unwrap();
    test.clock().advance(HOUR);
    let engine = start(&test, |engine| engine.handler(handler).queue("default", 1)).await;

    // The one is too late from the start, the other at its second attempt.
    let parcel = parcels.next().await;
    assert_eq!(parcel.output, "retried");
    parcel.not_sent("refused");
    drain(&test).await;
    test.clock().advance(HOUR + 2 * MINUTE);
    drain(&test).await;

    assert!(parcels.is_empty() && ran.times() == 2);
    for name in ["late", "retried"] {
        let completion = runs(test.queue(), name).await.remove(0).completion.unwrap();
        assert_eq!(
            (completion.outcome, completion.delivery),
            (Outcome::Succeeded, Delivery::Suppressed),
            "{name}"
        );
        assert!(completion.output.is_some() && completion.delivery_error.is_some());
    }
    end(&test, engine).await;
}

/// After a restart an old run was delivered by the job's new settings, to the new target.
#[tokio::test]
async fn d4_18_an_old_run_keeps_what_was_decided_when_it_ended() {
    let test = queue().await;
    let (handler, mut parcels, _) = post();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let declare = |text: &str, policy| {
        let job = NewJob::new(letter(text))
            .on_unknown_delivery(policy)
            .deliver_within(3 * HOUR)
            .delivery_attempts(9, Backoff::fixed(MINUTE));
        test.queue().schedule("job", Schedule::at(second(1)), job)
    };
    declare("old", OnUnknownDelivery::Hold).await.unwrap();
    test.clock().advance(SECOND);
    parcels.next().await.not_sent("refused");
    drain(&test).await;
    engine.shutdown(PATIENCE).await.unwrap();

    declare("new", OnUnknownDelivery::Resend).await.unwrap();
    let (handler, mut parcels, ran) = post();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    test.clock().advance(MINUTE);
    let parcel = parcels.next().await;
    assert_eq!((parcel.output.as_str(), ran.times()), ("old", 0));
    parcel.unknown("reset");
    drain(&test).await;
    pass(&test, DAY).await;

    // Held, as its job said when it ran; the job says otherwise by now.
    assert!(parcels.is_empty());
    let run = runs(test.queue(), "job").await.remove(0);
    assert_eq!((run.job_revision, run.completion.as_ref().unwrap().delivery), (1, Delivery::Unknown));
    assert_eq!(run.completion.unwrap().error_class, None::<ErrorClass>);
    end(&test, engine).await;
}
