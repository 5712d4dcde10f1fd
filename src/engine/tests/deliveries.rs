//! An output is handed over once, by whoever began it on record.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::fake::{Args, BEGIN, Bench, Fact, claim, claim_under, delivery, erased, plan};
use crate::core::messages::{ClaimedDelivery, Deliver, DeliveryAnswer};
use crate::engine::{DeliveryContext, DeliveryError, Failure, Handler, Receipt, RunContext};
use crate::error::Error;
use crate::run::RunId;

/// Returns its word and delivers it as the test says.
struct Sink<F>(F);

impl<F, Fut> Handler<Args> for Sink<F>
where
    F: Fn(String, DeliveryContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Receipt, DeliveryError>> + Send + 'static,
{
    type Output = String;

    async fn run(&self, args: Args, _cx: RunContext) -> Result<String, Failure> {
        Ok(args.word)
    }

    async fn deliver(&self, output: String, cx: DeliveryContext) -> Result<Receipt, DeliveryError> {
        self.0(output, cx).await
    }
}

async fn receipt(output: String, cx: DeliveryContext) -> Result<Receipt, DeliveryError> {
    Ok(Receipt::new(format!("{} {} {output}", cx.idempotency_key(), cx.attempt())))
}

#[tokio::test(start_paused = true)]
async fn a_delivery_is_begun_on_record_after_the_completion_and_then_settled() {
    // D9.1, D9.4
    let mut bench = Bench::of(Sink(receipt)).await;
    bench.run(claim(1));
    assert!(matches!(bench.completed().await.deliver, Deliver::By(_)));
    assert!(matches!(bench.fact().await, Fact::Begun(RunId(1))));
    let receipt = Some("0f3c2a1b-7-1700000000000 1 hello".to_owned());
    assert_eq!(bench.settled().await.answer, DeliveryAnswer::Delivered { receipt });
}

#[tokio::test(start_paused = true)]
async fn a_stored_output_is_delivered_without_running_anything() {
    let mut bench = Bench::of(Sink(receipt)).await;
    bench.deliver(delivery(4));
    assert!(matches!(bench.fact().await, Fact::Begun(RunId(4))));
    let answer = bench.settled().await.answer;
    assert!(
        matches!(&answer, DeliveryAnswer::Delivered { receipt: Some(text) } if text.ends_with("good morning"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_lost_delivers_nothing() {
    // D9.12
    let mut bench = Bench::of(Sink(receipt)).await;
    bench.fake.end_by_somebody_else(RunId(1));
    bench.run(claim(1));
    assert!(matches!(bench.fact().await, Fact::Late(_)));
    bench.shut_down(Duration::from_secs(1)).await.unwrap();
    let rest = [bench.next_fact().await, bench.next_fact().await, bench.next_fact().await];
    assert!(matches!(rest, [Some(Fact::StoppedClaiming), Some(Fact::Detached), None]), "{rest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_somebody_else_has_is_not_made() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let mut bench = Bench::of(Sink(move |output, cx| {
        counted.fetch_add(1, Ordering::Relaxed);
        receipt(output, cx)
    }))
    .await;
    bench.fake.answer_the_next_begin_with(Error::ClaimLost(RunId(4)));
    bench.deliver(delivery(4));
    bench.deliver(delivery(5));
    assert!(matches!(bench.fact().await, Fact::Begun(RunId(5))));
    assert_eq!(bench.settled().await.run_id, RunId(5));
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_delivery_is_unknown() {
    let mut bench = Bench::of(Sink(|_, _| async { panic!("half sent") })).await;
    bench.deliver(delivery(4));
    bench.fact().await;
    let answer = bench.settled().await.answer;
    assert!(matches!(&answer, DeliveryAnswer::Unknown { error, .. } if error == "panicked: half sent"));
}

#[tokio::test(start_paused = true)]
async fn a_delivery_without_an_answer_is_unknown_after_its_timeout() {
    let mut bench = Bench::of(Sink(|_, _| std::future::pending())).await;
    bench.deliver(delivery(4));
    bench.fact().await;
    assert!(matches!(bench.settled().await.answer, DeliveryAnswer::Unknown { retry_at: Some(_), .. }));
}

#[tokio::test(start_paused = true)]
async fn an_answer_within_the_grace_counts_even_after_the_timeout() {
    let slow = |_, cx: DeliveryContext| async move {
        cx.cancelled().await;
        Ok(Receipt::none())
    };
    let mut bench = Bench::of(Sink(slow)).await;
    bench.deliver(delivery(4));
    bench.fact().await;
    assert_eq!(bench.settled().await.answer, DeliveryAnswer::Delivered { receipt: None });
}

#[tokio::test(start_paused = true)]
async fn an_output_whose_time_has_passed_is_suppressed_without_being_begun() {
    let mut bench = Bench::of(Sink(receipt)).await;
    let deliver_by = Some(BEGIN.minus(Duration::from_secs(1)));
    bench.deliver(ClaimedDelivery { deliver_by, ..delivery(4) });
    assert!(matches!(bench.settled().await.answer, DeliveryAnswer::Suppressed { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_window_for_delivery_is_recorded_with_the_run() {
    let mut bench = Bench::of(Sink(receipt)).await;
    bench.run(claim_under(1, |policies| policies.deliver_within_ms = Some(60_000)));
    assert_eq!(bench.completed().await.deliver_by, Some(BEGIN.plus(Duration::from_secs(60))));
}

#[tokio::test(start_paused = true)]
async fn an_output_that_cannot_be_read_is_a_failed_delivery() {
    let mut bench = Bench::of(Sink(receipt)).await;
    bench.deliver(ClaimedDelivery { output: "17".to_owned(), ..delivery(4) });
    bench.fact().await;
    let answer = bench.settled().await.answer;
    assert!(
        matches!(&answer, DeliveryAnswer::Failed { error } if error.contains("stored output")),
        "{answer:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn policies_that_cannot_be_read_do_not_hold_an_output_back() {
    let mut bench = Bench::of(Sink(receipt)).await;
    bench.deliver(ClaimedDelivery { policies: "[]".to_owned(), ..delivery(4) });
    bench.fact().await;
    assert!(matches!(bench.settled().await.answer, DeliveryAnswer::Delivered { .. }));
}

#[tokio::test(start_paused = true)]
async fn an_output_of_a_kind_that_delivers_no_more_is_refused_on_record() {
    let plain = |_: Args, _: RunContext| async { Ok::<_, Failure>("x".to_owned()) };
    let mut bench = Bench::of(plain).await;
    bench.deliver(delivery(4));
    bench.fact().await;
    assert!(matches!(bench.settled().await.answer, DeliveryAnswer::Failed { .. }));
}

#[tokio::test(start_paused = true)]
async fn no_more_deliveries_are_under_way_than_allowed() {
    let (gate, at_once, most) = (Arc::new(Notify::new()), AtomicUsize::new(0), Arc::new(Mutex::new(0)));
    let (opened, seen, at_once) = (Arc::clone(&gate), Arc::clone(&most), Arc::new(at_once));
    let slow = move |_, _| {
        let (gate, most, at_once) = (Arc::clone(&gate), Arc::clone(&most), Arc::clone(&at_once));
        async move {
            let now = at_once.fetch_add(1, Ordering::SeqCst) + 1;
            let reached = (*most.lock().unwrap()).max(now);
            *most.lock().unwrap() = reached;
            gate.notified().await;
            at_once.fetch_sub(1, Ordering::SeqCst);
            Ok(Receipt::none())
        }
    };
    let mut plan = plan(erased(Sink(slow)));
    plan.deliveries = 2;
    let mut bench = Bench::with(plan).await;
    (1..=6).for_each(|run| bench.deliver(delivery(run)));
    for _ in 0..6 {
        while !matches!(bench.fact_now(), Some(Fact::Settled(_))) {
            opened.notify_one();
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(*seen.lock().unwrap(), 2);
}

/// Outputs of a receiver that did not answer piled up in memory without a bound.
#[tokio::test(start_paused = true)]
async fn outputs_beyond_four_for_each_delivery_wait_in_the_file_and_not_in_memory() {
    let silent = |_, _| std::future::pending();
    let mut plan = plan(erased(Sink(silent)));
    plan.deliveries = 2;
    let mut bench = Bench::with(plan).await;
    let mut whose = Vec::new();
    for run in 1..=11 {
        bench.run(claim(run));
        while whose.len() < run as usize {
            if let Fact::Completed(complete) = bench.fact().await {
                whose.push(complete.deliver);
            }
        }
    }
    assert!(whose[..8].iter().all(|deliver| *deliver == Deliver::By(claim(1).owner_id)), "{whose:?}");
    assert_eq!(whose[8..], [Deliver::Anyone; 3]);
}
