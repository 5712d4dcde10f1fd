//! Timeouts and cancellation: who asks a handler to stop, and what is recorded when it does or does not.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use super::fake::{Args, BEGIN, Bench, Fact, claim, claim_under};
use crate::core::messages::{ClaimedRun, Deliver, EngineEvent, StopReason, Then};
use crate::engine::{Failure, RunContext};
use crate::plan::Trigger;
use crate::run::{ErrorClass, Outcome, RunId};

const SECOND: Duration = Duration::from_secs(1);

fn seconds(seconds: u64) -> Option<u64> {
    Some(seconds * 1_000)
}

async fn until_asked(_args: Args, cx: RunContext) -> Result<String, Failure> {
    cx.cancelled().await;
    Err(Failure::new("stopped half-way"))
}

async fn never(_args: Args, _cx: RunContext) -> Result<String, Failure> {
    std::future::pending().await
}

async fn finishes_late(_args: Args, cx: RunContext) -> Result<String, Failure> {
    cx.cancelled().await;
    Ok("late".to_owned())
}

#[tokio::test(start_paused = true)]
async fn every_trigger_obeys_the_timeout() {
    // D6.1
    let mut bench = Bench::of(never).await;
    for (run, trigger) in (1..).zip(Trigger::ALL) {
        let claim = claim_under(run, |policies| policies.timeout_ms = seconds(10));
        bench.run(ClaimedRun { trigger: *trigger, ..claim });
    }
    for _ in Trigger::ALL {
        let complete = bench.completed().await;
        assert_eq!((complete.outcome, complete.error_class), (Outcome::TimedOut, Some(ErrorClass::Timeout)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_timed_out_run_ends_when_its_handler_does() {
    // D6.3, D7.7: the retry is counted from the end of the run.
    let mut bench = Bench::of(until_asked).await;
    bench.run(claim_under(1, |policies| {
        policies.timeout_ms = seconds(5);
        policies.backoff = crate::policy::Backoff::fixed(30 * SECOND);
    }));
    let complete = bench.completed().await;
    assert_eq!(complete.outcome, Outcome::TimedOut);
    assert_eq!(complete.error.as_deref(), Some("timed out after 5000 ms: stopped half-way"));
    assert!(complete.finished_at >= BEGIN.plus(5 * SECOND));
    assert_eq!(complete.then, Then::Retry(complete.finished_at.plus(30 * SECOND)));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_ignores_its_timeout_loses_its_run_after_the_grace() {
    // D6.3
    let mut bench = Bench::of(never).await;
    bench.run(claim_under(1, |policies| {
        policies.timeout_ms = seconds(5);
        policies.grace_ms = 7_000;
    }));
    let complete = bench.completed().await;
    assert_eq!(complete.outcome, Outcome::TimedOut);
    assert!(
        complete.finished_at >= BEGIN.plus(12 * SECOND) && complete.finished_at < BEGIN.plus(14 * SECOND)
    );
}

#[tokio::test(start_paused = true)]
async fn a_success_within_the_grace_is_a_late_result() {
    // D6.2
    let mut bench = Bench::of(finishes_late).await;
    bench.run(claim_under(1, |policies| policies.timeout_ms = seconds(5)));
    let complete = bench.completed().await;
    assert_eq!((complete.outcome, complete.output, complete.deliver), (Outcome::TimedOut, None, Deliver::No));
    let Fact::Late(late) = bench.fact().await else { panic!() };
    assert_eq!((late.outcome, late.output.as_deref()), (Outcome::Succeeded, Some(r#""late""#)));
}

#[tokio::test]
async fn a_blocking_handler_that_returns_after_its_run_was_taken_leaves_a_late_result() {
    // D6.2. In real time: tokio's paused clock stands still while a blocking thread works.
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let mut bench = Bench::blocking(move |args, _cx| {
        held.lock().unwrap().recv()?;
        Ok(args.word)
    })
    .await
    .in_real_time();
    bench.run(claim_under(1, |policies| {
        policies.timeout_ms = Some(20);
        policies.grace_ms = 20;
    }));
    assert_eq!(bench.completed().await.outcome, Outcome::TimedOut);
    release.send(()).unwrap();
    let Fact::Late(late) = bench.fact().await else { panic!() };
    assert_eq!(late.output.as_deref(), Some(r#""hello""#));
    assert_eq!(bench.life().health().left_behind, 0);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_is_recorded_once_its_handler_has_stopped() {
    // D3.8
    let mut bench = Bench::of(until_asked).await;
    bench.run(claim(1));
    bench.fake.send(EngineEvent::Stop(RunId(1), StopReason::Cancelled));
    let complete = bench.completed().await;
    assert_eq!((complete.outcome, complete.then), (Outcome::Cancelled, Then::Finish));
    assert_eq!(complete.error.as_deref(), Some("stopped half-way"));
}

#[tokio::test(start_paused = true)]
async fn a_success_that_races_a_cancellation_stands() {
    let mut bench = Bench::of(finishes_late).await;
    bench.run(claim(1));
    bench.fake.send(EngineEvent::Stop(RunId(1), StopReason::Cancelled));
    assert_eq!(bench.completed().await.outcome, Outcome::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_handler_that_does_not_stop_loses_its_run_after_the_grace() {
    let mut bench = Bench::of(never).await;
    bench.run(claim_under(1, |policies| policies.grace_ms = 3_000));
    bench.fake.send(EngineEvent::Stop(RunId(1), StopReason::Cancelled));
    let complete = bench.completed().await;
    assert_eq!(complete.outcome, Outcome::Cancelled);
    assert!(complete.finished_at >= BEGIN.plus(3 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_fenced_run_still_answers_so_that_its_place_is_free() {
    let mut bench = Bench::of(never).await;
    bench.fake.end_by_somebody_else(RunId(1));
    bench.run(claim(1));
    bench.fake.send(EngineEvent::Stop(RunId(1), StopReason::Fenced));
    let fact = bench.fact().await;
    assert!(matches!(&fact, Fact::Late(late) if late.outcome == Outcome::Interrupted), "{fact:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_for_a_run_that_has_ended_is_nothing() {
    let mut bench = Bench::of(finishes_late).await;
    bench.fake.send(EngineEvent::Stop(RunId(9), StopReason::Cancelled));
    bench.run(claim(1));
    bench.fake.send(EngineEvent::Stop(RunId(1), StopReason::Cancelled));
    assert_eq!(bench.completed().await.run_id, RunId(1));
    bench.fake.send(EngineEvent::Stop(RunId(1), StopReason::Cancelled));
    let report = bench.shut_down(SECOND).await.unwrap();
    assert_eq!(report.interrupted, 0);
}
