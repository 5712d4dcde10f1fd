//! A claimed run is worked off and recorded, whatever its handler does.

use std::time::Duration;

use super::fake::{Args, BEGIN, Bench, Fact, claim, claim_under};
use crate::core::messages::{ClaimedRun, Deliver, Then};
use crate::engine::{Failure, RunContext};
use crate::error::Error;
use crate::run::{ErrorClass, Outcome, RequestId, RunId};

async fn echo(args: Args, _cx: RunContext) -> Result<String, Failure> {
    Ok(args.word)
}

#[tokio::test(start_paused = true)]
async fn what_a_plain_function_returns_is_recorded_as_json_and_not_delivered() {
    let mut bench = Bench::of(echo).await;
    bench.run(claim(1));
    let complete = bench.completed().await;
    assert_eq!((complete.outcome, complete.then), (Outcome::Succeeded, Then::Finish));
    assert_eq!(complete.output.as_deref(), Some(r#""hello""#));
    assert!(complete.deliver == Deliver::No && complete.error.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_unit_is_recorded_as_nothing() {
    let mut bench = Bench::of(|_: Args, _: RunContext| async { Ok::<_, Failure>(()) }).await;
    bench.run(claim(1));
    assert_eq!(bench.completed().await.output, None);
}

#[tokio::test(start_paused = true)]
async fn a_blocking_function_runs_beside_the_runtime() {
    let runtime = std::thread::current().id();
    let mut bench = Bench::blocking(move |args, _cx| {
        assert_ne!(std::thread::current().id(), runtime);
        Ok(args.word)
    })
    .await;
    bench.run(claim(1));
    assert_eq!(bench.completed().await.output.as_deref(), Some(r#""hello""#));
}

#[tokio::test(start_paused = true)]
async fn a_handler_knows_its_run() {
    async fn tell(_args: Args, cx: RunContext) -> Result<(String, u32, u64, i64), Failure> {
        let deadline = cx.deadline().map_or(0, |at| at.millis() - BEGIN.millis());
        Ok((cx.idempotency_key(), cx.attempt(), cx.lateness().as_secs(), deadline))
    }
    let mut bench = Bench::of(tell).await;
    let timed = claim_under(1, |policies| policies.timeout_ms = Some(5_000));
    let scheduled_for = BEGIN.minus(Duration::from_secs(90));
    bench.run(ClaimedRun { attempt: 3, scheduled_for, ..timed });
    let output = bench.completed().await.output.unwrap();
    assert_eq!(output, r#"["0f3c2a1b-7-1699999910000",3,90,5000]"#);
}

#[tokio::test(start_paused = true)]
async fn a_run_by_hand_has_the_key_of_its_request() {
    let key = |_: Args, cx: RunContext| async move { Ok::<_, Failure>(cx.idempotency_key()) };
    let mut bench = Bench::of(key).await;
    bench.run(ClaimedRun { request_id: Some(RequestId(5)), ..claim(1) });
    assert_eq!(bench.completed().await.output.as_deref(), Some(r#""0f3c2a1b-7-r5""#));
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_the_run_and_not_the_engine() {
    // D3.2
    let mut bench = Bench::of(|args: Args, _: RunContext| async move {
        assert_ne!(args.word, "hello", "no greetings");
        Ok::<_, Failure>(args.word)
    })
    .await;
    bench.run(claim(1));
    let complete = bench.completed().await;
    assert_eq!((complete.outcome, complete.error_class), (Outcome::Failed, Some(ErrorClass::Panic)));
    assert!(complete.error.unwrap().contains("no greetings"));
    assert!(matches!(complete.then, Then::Retry(_)));
    bench.run(ClaimedRun { args: r#"{"word":"bye"}"#.to_owned(), ..claim(2) });
    assert_eq!(bench.completed().await.outcome, Outcome::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_the_arguments_are_read_is_a_panic_of_the_run() {
    #[derive(serde::Serialize)]
    struct Explosive;
    impl<'de> serde::Deserialize<'de> for Explosive {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("boom")
        }
    }
    impl crate::job::JobArgs for Explosive {
        const KIND: &'static str = "test";
    }
    let handler = |_: Explosive, _: RunContext| async { Ok::<_, Failure>(()) };
    let erased = crate::engine::erased::AsyncHandler::<Explosive, _>::new(handler);
    let mut bench = Bench::with(super::fake::plan(std::sync::Arc::new(erased))).await;
    bench.run(claim(1));
    assert_eq!(bench.completed().await.error.as_deref(), Some("boom"));
}

#[tokio::test(start_paused = true)]
async fn malformed_rows_park_their_job_and_name_the_column_while_others_go_on() {
    let mut bench = Bench::of(echo).await;
    bench.run(ClaimedRun { args: r#"{"wort":"?"}"#.to_owned(), ..claim(1) });
    let complete = bench.completed().await;
    assert_eq!(complete.error_class, Some(ErrorClass::Malformed));
    assert!(matches!(&complete.then, Then::Park(why) if why.starts_with("column \"args\": missing field")));
    bench.run(ClaimedRun { policies: r#"{"timeout":5}"#.to_owned(), ..claim(2) });
    let complete = bench.completed().await;
    assert!(
        matches!(&complete.then, Then::Park(why) if why.starts_with("column \"policies\": unknown field"))
    );
    bench.run(claim(3));
    assert_eq!(bench.completed().await.outcome, Outcome::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_kind_without_a_handler_is_put_back_for_another_engine() {
    let mut bench = Bench::of(echo).await;
    bench.run(ClaimedRun { kind: "other".to_owned(), ..claim(1) });
    let complete = bench.completed().await;
    assert_eq!((complete.outcome, complete.error_class), (Outcome::Skipped, Some(ErrorClass::NoHandler)));
    assert!(matches!(complete.then, Then::Again(at) if at > BEGIN));
}

#[tokio::test(start_paused = true)]
async fn an_output_beyond_the_limit_fails_for_good() {
    let mut bench = Bench::of(|_: Args, _: RunContext| async { Ok::<_, Failure>("x".repeat(2 << 20)) }).await;
    bench.run(claim(1));
    let complete = bench.completed().await;
    assert_eq!((complete.error_class, complete.then), (Some(ErrorClass::Permanent), Then::Finish));
    assert!(complete.output.is_none() && complete.error.unwrap().contains("output has"));
}

#[tokio::test(start_paused = true)]
async fn a_result_that_came_too_late_is_no_outcome() {
    // D9.12
    let mut bench = Bench::of(echo).await;
    bench.fake.end_by_somebody_else(RunId(1));
    bench.run(claim(1));
    let fact = bench.fact().await;
    assert!(matches!(&fact, Fact::Late(late) if late.outcome == Outcome::Succeeded), "{fact:?}");
}

#[tokio::test(start_paused = true)]
async fn a_completion_that_cannot_be_recorded_parks_the_job_instead_of_leaving_its_run_open() {
    // D3.2: a run that stays open has a live owner, so that nothing would ever recover it.
    let mut bench = Bench::of(echo).await;
    bench.fake.answer_the_next_complete_with(Error::invalid("output", "is refused"));
    bench.run(claim(1));
    let complete = bench.completed().await;
    assert_eq!(complete.outcome, Outcome::Failed);
    assert!(matches!(&complete.then, Then::Park(why) if why.contains("output is refused")), "{complete:?}");
}

#[tokio::test]
async fn a_handler_that_blocks_its_thread_stops_no_other() {
    // D2.10
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let mut bench = Bench::blocking(move |args, _cx| {
        if args.word == "wait" {
            held.lock().unwrap().recv()?;
        }
        Ok(args.word)
    })
    .await
    .in_real_time();
    bench.run(ClaimedRun { args: r#"{"word":"wait"}"#.to_owned(), ..claim(1) });
    bench.run(claim(2));
    assert_eq!(bench.completed().await.run_id, RunId(2));
    release.send(()).unwrap();
    assert_eq!(bench.completed().await.run_id, RunId(1));
}
