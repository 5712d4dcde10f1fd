//! Retry and redeliver: a person decides that something is done again after all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod stage;

use mainspring::plan::{MissReason, Trigger};
use mainspring::{
    Backoff, Delivery, Error, Failure, JobState, NewJob, OnUnknownDelivery, Outcome, RunId, Schedule,
};
use stage::post::post;
use stage::puppet::puppet;
use stage::*;

fn no_luck(before: usize, failures: usize) -> Result<String, Failure> {
    if before < failures { Err(Failure::new("no luck")) } else { Ok("done".to_owned()) }
}

// ---- retry

#[tokio::test]
async fn a_job_that_has_failed_for_good_gets_another_attempt_at_the_same_occurrence() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.answering(|before| no_luck(before, 3)))).await;
    let job = NewJob::new(note("x")).max_attempts(2).backoff(Backoff::fixed(MINUTE));
    let job = test.queue().enqueue(job).await.unwrap().id();
    drain(&test).await;
    pass(&test, MINUTE).await;
    pass(&test, DAY).await;
    assert_eq!(test.queue().get(job).await.unwrap().state(test.clock().now()), JobState::Finished);

    test.queue().retry(job).await.unwrap();
    drain(&test).await;
    // Its attempts are counted anew: it has another one after this.
    pass(&test, MINUTE).await;

    assert_eq!(ledger.slots(), [0; 4]);
    let entries = ledger.entries();
    let attempts: Vec<(u32, Trigger)> = entries.iter().map(|entry| (entry.attempt, entry.trigger)).collect();
    let retry = Trigger::Retry;
    assert_eq!(attempts, [(1, Trigger::Schedule), (2, retry), (3, retry), (4, retry)]);
    assert!(entries.iter().all(|entry| entry.key == entries[0].key));
    assert_eq!(outcomes(test.queue(), job).await.last(), Some(&Outcome::Succeeded));
    end(&test, engine).await;
}

#[tokio::test]
async fn an_attempt_that_waits_for_its_time_comes_at_once() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.answering(|before| no_luck(before, 1)))).await;
    let job = NewJob::new(note("x")).backoff(Backoff::fixed(HOUR));
    test.queue().schedule("daily", Schedule::every(DAY).unwrap(), job).await.unwrap();
    pass(&test, DAY).await;
    test.queue().retry("daily").await.unwrap();
    drain(&test).await;
    assert_eq!((ledger.slots(), ledger.seconds()), (vec![86_400; 2], vec![86_400; 2]));
    assert_eq!(test.queue().get("daily").await.unwrap().next_run_at, Some(second(2 * 86_400)));
    pass(&test, HOUR).await;
    assert_eq!(ledger.len(), 2);
    end(&test, engine).await;
}

#[tokio::test]
async fn a_parked_job_is_let_go_and_its_last_occurrence_tried_again() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.answering(|before| no_luck(before, 1)))).await;
    let job = NewJob::new(note("x")).max_attempts(1).park_after_failures(1);
    test.queue().schedule("job", Schedule::every(HOUR).unwrap(), job).await.unwrap();
    pass(&test, HOUR).await;
    assert_eq!(test.queue().get("job").await.unwrap().state(test.clock().now()), JobState::Parked);
    test.clock().advance(10 * MINUTE);
    test.queue().retry("job").await.unwrap();
    drain(&test).await;
    let job = test.queue().get("job").await.unwrap();
    assert_eq!((job.parked_at, job.failures_in_a_row, job.next_run_at), (None, 0, Some(second(7_200))));
    assert_eq!((ledger.slots(), ledger.seconds()), (vec![3_600; 2], vec![3_600, 4_200]));
    end(&test, engine).await;
}

#[tokio::test]
async fn what_runs_has_never_run_or_was_asked_for_is_not_tried_again() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler).queue("default", 1)).await;
    let never = test.queue().enqueue(NewJob::new(note("never")).after(HOUR)).await.unwrap().id();
    assert!(matches!(test.queue().retry(never).await, Err(Error::WrongState { job, .. }) if job == never));
    let running = test.queue().enqueue(note("runs")).await.unwrap().id();
    let call = calls.next().await;
    assert!(matches!(test.queue().retry(running).await, Err(Error::AlreadyRunning(job)) if job == running));
    test.queue().run_now(never).await.unwrap();
    assert!(matches!(test.queue().retry(never).await, Err(Error::WrongState { .. })));
    assert!(test.queue().retry("no such job").await.unwrap_err().is_not_found());
    call.succeed("done");
    calls.next().await.succeed("done");
    drain(&test).await;
    end(&test, engine).await;
}

/// An occurrence that succeeded was run a second time by a slip of the hand.
#[tokio::test]
async fn an_occurrence_that_has_succeeded_is_not_tried_again() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.answering(|before| no_luck(before, 0)))).await;
    let once = test.queue().enqueue(note("once")).await.unwrap().id();
    test.queue().schedule("hourly", Schedule::every(HOUR).unwrap(), note("hourly")).await.unwrap();
    pass(&test, HOUR).await;
    assert!(matches!(test.queue().retry(once).await, Err(Error::WrongState { job, .. }) if job == once));
    assert!(matches!(test.queue().retry("hourly").await, Err(Error::WrongState { .. })));
    drain(&test).await;
    assert_eq!(ledger.len(), 2);
    assert_eq!(test.queue().get("hourly").await.unwrap().next_run_at, Some(second(7_200)));
    end(&test, engine).await;
}

/// A run by hand that succeeds says nothing about the occurrence that failed.
#[tokio::test]
async fn an_occurrence_that_failed_is_tried_again_although_a_run_by_hand_succeeded_since() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.answering(|before| no_luck(before, 1)))).await;
    let job = NewJob::new(note("x")).max_attempts(1);
    test.queue().schedule("job", Schedule::every(HOUR).unwrap(), job).await.unwrap();
    pass(&test, HOUR).await;
    test.clock().advance(MINUTE);
    test.queue().run_now("job").await.unwrap();
    drain(&test).await;
    test.queue().retry("job").await.unwrap();
    drain(&test).await;
    assert_eq!(ledger.slots(), [3_600, 3_660, 3_600]);
    assert_eq!(test.queue().get("job").await.unwrap().next_run_at, Some(second(7_200)));
    end(&test, engine).await;
}

// ---- an attempt that waits while a run by hand goes on

/// An occurrence had failed and waited for its next attempt while somebody ran the job by hand. The end of that run
/// took the occurrence for one that had come meanwhile: it was put on record as missed, although it had been run, and
/// its next attempt never came. Found by killing processes at random.
#[tokio::test]
async fn an_attempt_that_waits_for_the_end_of_a_run_by_hand_is_no_miss_and_comes_then() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = NewJob::new(note("x")).backoff(Backoff::fixed(10 * SECOND));
    test.queue().schedule("hourly", Schedule::every(HOUR).unwrap(), job).await.unwrap();
    test.clock().advance(HOUR);
    calls.next().await.fail("no luck");
    drain(&test).await;
    test.queue().run_now("hourly").await.unwrap();
    let by_hand = calls.next().await;
    test.clock().advance(20 * SECOND);
    by_hand.succeed("done by hand");

    let again = calls.next().await;
    assert_eq!((seconds(again.cx.scheduled_for()), again.cx.attempt()), (3_600, 2));
    assert_eq!(again.cx.trigger(), Trigger::Retry);
    again.succeed("done");
    drain(&test).await;
    assert_eq!(test.queue().misses("hourly", 10).await.unwrap(), []);
    assert_eq!(test.queue().get("hourly").await.unwrap().next_run_at, Some(second(2 * 3_600)));
    end(&test, engine).await;
}

/// The same where the run by hand goes on beyond the next occurrence: that one overlaps it, and the attempt is
/// overtaken.
#[tokio::test]
async fn an_attempt_that_waits_is_overtaken_by_an_occurrence_that_comes_during_a_run_by_hand() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = NewJob::new(note("x")).backoff(Backoff::fixed(10 * SECOND));
    test.queue().schedule("hourly", Schedule::every(HOUR).unwrap(), job).await.unwrap();
    test.clock().advance(HOUR);
    calls.next().await.fail("no luck");
    drain(&test).await;
    test.queue().run_now("hourly").await.unwrap();
    let by_hand = calls.next().await;
    test.clock().advance(HOUR + 20 * SECOND);
    by_hand.succeed("done by hand");
    drain(&test).await;

    let misses = test.queue().misses("hourly", 10).await.unwrap();
    assert_eq!((misses.len(), misses[0].from, misses[0].to), (1, second(7_200), second(7_200)));
    assert_eq!(misses[0].reason, MissReason::Overlap);
    test.clock().advance(HOUR);
    let next = calls.next().await;
    assert_eq!((seconds(next.cx.scheduled_for()), next.cx.attempt()), (3 * 3_600, 1));
    next.succeed("done");
    drain(&test).await;
    end(&test, engine).await;
}

// ---- redeliver

#[tokio::test]
async fn a_failed_or_unknown_delivery_is_sent_again_from_the_stored_output_and_no_other() {
    let test = queue().await;
    let (handler, mut parcels, ran) = post();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = |text: &str| {
        NewJob::new(letter(text))
            .on_unknown_delivery(OnUnknownDelivery::Hold)
            .delivery_attempts(1, Backoff::fixed(DAY))
    };
    for unknown in [false, true] {
        let id = test.queue().enqueue(job("text")).await.unwrap().id();
        let parcel = parcels.next().await;
        let (key, run) = (parcel.cx.idempotency_key(), parcel.cx.run_id());
        // While it is under way there is nothing to repeat.
        assert!(matches!(test.queue().redeliver(run).await, Err(Error::InvalidOption { .. })));
        if unknown {
            parcel.unknown("reset")
        } else {
            parcel.not_sent("refused")
        };
        drain(&test).await;

        test.queue().redeliver(run).await.unwrap();
        // Twice is once.
        let again = test.queue().redeliver(run).await;
        let parcel = parcels.next().await;
        assert!(matches!(again, Err(Error::InvalidOption { .. })), "{again:?}");
        assert_eq!((parcel.cx.attempt(), parcel.output.as_str()), (2, "text"));
        assert_eq!(parcel.cx.idempotency_key(), key);
        parcel.accept();
        drain(&test).await;
        let completion = runs(test.queue(), id).await.remove(0).completion.unwrap();
        assert_eq!((completion.delivery, completion.delivery_attempts), (Delivery::Delivered, 2));
        assert!(matches!(test.queue().redeliver(run).await, Err(Error::InvalidOption { .. })));
    }
    assert_eq!(ran.times(), 2);
    assert!(test.queue().redeliver(RunId(99)).await.unwrap_err().is_not_found());
    end(&test, engine).await;
}

/// The window is for what is sent by itself: whoever sends by hand knows how late it is.
#[tokio::test]
async fn a_delivery_by_hand_is_made_although_its_window_is_over() {
    let test = queue().await;
    let (handler, mut parcels, _) = post();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = NewJob::new(letter("text")).deliver_within(HOUR);
    let job = test.queue().enqueue(job).await.unwrap().id();
    parcels.next().await.reject("no such address");
    drain(&test).await;
    pass(&test, DAY).await;
    test.queue().redeliver(runs(test.queue(), job).await[0].id).await.unwrap();
    parcels.next().await.accept();
    drain(&test).await;
    let completion = runs(test.queue(), job).await.remove(0).completion.unwrap();
    assert_eq!(completion.delivery, Delivery::Delivered);
    end(&test, engine).await;
}

#[tokio::test]
async fn an_output_that_was_never_to_be_delivered_cannot_be() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    let job = test.queue().enqueue(note("x")).await.unwrap().id();
    drain(&test).await;
    let refused = test.queue().redeliver(runs(test.queue(), job).await[0].id).await.unwrap_err();
    assert!(refused.to_string().contains("not_requested"), "{refused}");
    end(&test, engine).await;
}
