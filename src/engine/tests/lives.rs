//! Start, shutdown, health and the watchdog.

use std::time::Duration;

use super::fake::{Args, Bench, Fact, claim, delivery, erased, fake, of_run, plan};
use crate::core::messages::{ClaimedRun, Then};
use crate::engine::life::Life;
use crate::engine::watchdog::WatchLimits;
use crate::engine::{EngineState, Failure, RunContext, Stalled};
use crate::error::Error;
use crate::policy::OnInterrupt;
use crate::run::{ErrorClass, Outcome};

const SECOND: Duration = Duration::from_secs(1);

async fn short(_args: Args, _cx: RunContext) -> Result<(), Failure> {
    tokio::time::sleep(2 * SECOND).await;
    Ok(())
}

async fn until_asked(_args: Args, cx: RunContext) -> Result<(), Failure> {
    cx.cancelled().await;
    Err(Failure::new("stopped half-way"))
}

async fn never(_args: Args, _cx: RunContext) -> Result<(), Failure> {
    std::future::pending().await
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_says_why() {
    // D2.2
    let (fake, _facts) = fake();
    fake.refuse_to_attach(Error::DiskFull);
    let started = Life::start(fake, plan(erased(short))).await;
    assert!(matches!(started.map(drop), Err(Error::DiskFull)));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_what_is_under_way_before_it_ends_the_owner() {
    // D12.1
    let mut bench = Bench::of(short).await;
    bench.run(claim(1));
    let report = bench.shut_down(30 * SECOND).await.unwrap();
    assert_eq!((report.finished, report.interrupted), (1, 0));
    assert!(matches!(bench.fact().await, Fact::StoppedClaiming));
    assert_eq!(bench.completed().await.outcome, Outcome::Succeeded);
    assert!(matches!(bench.fact().await, Fact::Detached));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_interrupts_what_does_not_end_in_time_by_policy() {
    // D12.1
    type Expected = fn(&Then) -> bool;
    let table: [(OnInterrupt, Expected); 3] = [
        (OnInterrupt::Rerun, |then| matches!(then, Then::Again(_))),
        (OnInterrupt::AssumeRan, |then| *then == Then::Finish),
        (OnInterrupt::Verify, |then| matches!(then, Then::Again(_))),
    ];
    for (on_interrupt, expected) in table {
        let mut bench = Bench::of(until_asked).await;
        bench.run(ClaimedRun { on_interrupt, ..claim(1) });
        let report = bench.shut_down(SECOND).await.unwrap();
        assert_eq!(report.interrupted, 1);
        bench.fact().await;
        let complete = bench.completed().await;
        let said = (complete.outcome, complete.error_class);
        assert_eq!(said, (Outcome::Interrupted, Some(ErrorClass::Shutdown)));
        assert!(expected(&complete.then), "{on_interrupt:?}: {:?}", complete.then);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_although_a_handler_ignores_it() {
    let begun = tokio::time::Instant::now();
    let mut bench = Bench::of(never).await;
    bench.run(claim(1));
    let report = bench.shut_down(SECOND).await.unwrap();
    assert_eq!(report.interrupted, 1);
    assert!(begun.elapsed() < 10 * SECOND, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_although_the_disk_hangs() {
    let mut bench = Bench::of(short).await;
    bench.run(claim(1));
    bench.fake.hang();
    let begun = tokio::time::Instant::now();
    let why = bench.shut_down(3 * SECOND).await.unwrap_err();
    assert!(why.is_busy(), "{why}");
    assert!(begun.elapsed() <= 30 * SECOND, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_was_claimed_but_not_begun_when_time_is_over_runs_again_whatever_its_policy() {
    let mut bench = Bench::of(until_asked).await;
    bench.run(claim(1));
    let late = ClaimedRun { on_interrupt: OnInterrupt::AssumeRan, ..claim(2) };
    bench.fake.send_when_asked_to_stop(of_run(late));
    let report = bench.shut_down(Duration::ZERO).await.unwrap();
    assert_eq!(report.interrupted, 2);
    let mut thens = Vec::new();
    while let Some(fact) = bench.next_fact().await {
        if let Fact::Completed(complete) = fact {
            thens.push((complete.run_id.0, complete.then));
        }
    }
    let not_called = thens.iter().find(|(run, _)| *run == 2).unwrap();
    assert!(matches!(not_called.1, Then::Again(_)), "{thens:?}");
}

#[tokio::test(start_paused = true)]
async fn deliveries_that_were_not_begun_are_left_to_the_next_engine() {
    struct Stuck;
    impl crate::engine::Handler<Args> for Stuck {
        type Output = String;
        async fn run(&self, args: Args, _cx: RunContext) -> Result<String, Failure> {
            Ok(args.word)
        }
        async fn deliver(
            &self,
            _output: String,
            _cx: crate::engine::DeliveryContext,
        ) -> Result<crate::engine::Receipt, crate::engine::DeliveryError> {
            std::future::pending().await
        }
    }
    let mut bench = Bench::of(Stuck).await;
    bench.deliver(delivery(1));
    bench.deliver(delivery(2));
    bench.deliver(delivery(3));
    let report = bench.shut_down(SECOND).await.unwrap();
    assert_eq!((report.handed_back, report.unknown), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_engine_shuts_down_by_itself() {
    let mut bench = Bench::of(short).await;
    bench.run(claim(1));
    bench.forget();
    assert!(matches!(bench.fact().await, Fact::StoppedClaiming));
    assert_eq!(bench.completed().await.outcome, Outcome::Succeeded);
    assert!(matches!(bench.fact().await, Fact::Detached));
}

#[tokio::test(start_paused = true)]
async fn an_engine_whose_queue_was_closed_ends_and_says_so() {
    let mut bench = Bench::of(short).await;
    bench.fake.close();
    let ended = bench.life().ended().await;
    assert!(matches!(ended, Err(Error::Closed)), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn health_tells_where_an_engine_is() {
    // D12.3
    let mut bench = Bench::of(never).await;
    assert!(bench.life().health().is_well());
    bench.fake.be_silent_for(21 * SECOND);
    let health = bench.life().health();
    assert_eq!((health.state, health.stalled), (EngineState::Running, Some(Stalled::Writer)));
    let json = serde_json::to_string(&health).unwrap();
    assert!(json.contains(r#""stalled":"writer""#) && json.contains(r#""sinceLastTickMs":21000"#), "{json}");
}

#[tokio::test]
async fn a_writer_that_does_not_tick_is_replaced() {
    // D2.8. In real time: the watchdog is a thread.
    let mut plan = plan(erased(never));
    plan.limits.check_every = Duration::from_millis(1);
    let mut bench = Bench::with(plan).await.in_real_time();
    bench.fake.be_silent_for(61 * SECOND);
    assert!(matches!(bench.fact().await, Fact::Replaced));
}

#[test]
fn a_runtime_that_is_blocked_is_told_by_health_and_forgiven_when_it_goes_on() {
    // D2.8. The one thread of this runtime is the test's own: it blocks it by not running it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut plan = plan(erased(never));
    plan.limits = WatchLimits {
        check_every: Duration::from_millis(1),
        runtime: Duration::from_millis(5),
        ..WatchLimits::default()
    };
    let mut bench = runtime.block_on(Bench::with(plan));
    let deadline = std::time::Instant::now() + 30 * SECOND;
    while bench.life().health().stalled != Some(Stalled::Runtime) {
        assert!(std::time::Instant::now() < deadline, "{:?}", bench.life().health());
        std::thread::yield_now();
    }
    let goes_on = async {
        while bench.life().health().stalled.is_some() {
            tokio::task::yield_now().await;
        }
    };
    runtime.block_on(async { tokio::time::timeout(30 * SECOND, goes_on).await }).unwrap();
}
