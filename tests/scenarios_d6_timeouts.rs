//! D6: timeouts. Each test is a row of the table of scenarios. Timeouts run on real time: here they are short, and
//! handlers wait for the word to stop instead of sleeping.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod stage;

use std::collections::BTreeSet;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mainspring::plan::Trigger;
use mainspring::{
    Backoff, DeliveryContext, DeliveryError, Failure, Handler, NewJob, Outcome, Receipt, RunContext, Schedule,
};
use stage::post::slow_post;
use stage::puppet::puppet;
use stage::*;

const SHORT: Duration = Duration::from_millis(30);

/// Manual and catch-up runs hung for ever: only the timer's path had a timeout.
#[tokio::test]
async fn d6_1_every_kind_of_run_ends_at_its_timeout() {
    let test = queue().await;
    let job = NewJob::new(note("hangs")).timeout(SHORT).max_attempts(2).backoff(Backoff::fixed(MINUTE));
    test.queue().schedule("job", Schedule::every(HOUR).unwrap(), job).await.unwrap();
    // Nothing runs for three occurrences.
    test.clock().advance(3 * HOUR + 2 * MINUTE);
    let until_stopped = |_: Note, cx: RunContext| async move {
        cx.cancelled().await;
        Err::<(), _>(Failure::new("stopped"))
    };
    let engine = start(&test, |engine| engine.handler(until_stopped)).await;

    drain(&test).await;
    pass(&test, MINUTE).await;
    test.queue().run_now("job").await.unwrap();
    drain(&test).await;
    assert_eq!(test.queue().backfill("job", second(3_600), second(2 * 3_600)).await.unwrap(), 2);
    drain(&test).await;
    test.clock().set(second(4 * 3_600));
    drain(&test).await;

    let runs = runs(test.queue(), "job").await;
    let triggers: BTreeSet<&str> = runs.iter().map(|run| run.trigger.as_str()).collect();
    assert_eq!(triggers, Trigger::ALL.iter().map(|trigger| trigger.as_str()).collect());
    assert!(runs.iter().all(|run| outcome(run) == Outcome::TimedOut), "{runs:?}");
    end(&test, engine).await;
}

/// Work that had timed out went on and sent its result.
#[tokio::test]
async fn d6_2_a_result_that_comes_after_the_timeout_is_kept_and_not_delivered() {
    let test = queue().await;
    let (handler, mut calls, parcels) = slow_post();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = NewJob::new(letter("slow")).timeout(SHORT).max_attempts(1);
    let job = test.queue().enqueue(job).await.unwrap().id();
    let call = calls.next().await;
    soon("the word to stop", call.cx.cancelled()).await;

    call.succeed("after all");
    drain(&test).await;

    let run = &runs(test.queue(), job).await[0];
    let completion = run.completion.as_ref().unwrap();
    assert_eq!((completion.outcome, completion.output.as_deref()), (Outcome::TimedOut, None));
    // The late value is recorded after the run has ended: it is waited for.
    let kept = || value::<i64>(test.queue().path(), "SELECT count(*) FROM mainspring_late_results") == 1;
    until("the late result", || std::future::ready(kept())).await;
    let late: String =
        value(test.queue().path(), "SELECT run_id || outcome || output FROM mainspring_late_results");
    assert_eq!(late, format!("{}succeeded\"after all\"", run.id));
    assert!(parcels.is_empty());
    end(&test, engine).await;
}

/// Blocks its thread until the test lets it go, whoever asks it to stop. Tells the test of each call.
struct Deaf(Sender<(RunContext, Sender<()>)>);

impl Deaf {
    fn block(&self, cx: RunContext) {
        let (go, may_go) = channel();
        self.0.send((cx, go)).unwrap();
        may_go.recv().unwrap();
    }
}

impl Handler<Letter> for Deaf {
    type Output = String;

    async fn run(&self, args: Letter, cx: RunContext) -> Result<String, Failure> {
        self.block(cx);
        Ok(args.text)
    }

    async fn deliver(&self, output: String, _cx: DeliveryContext) -> Result<Receipt, DeliveryError> {
        panic!("{output:?} was delivered although its run had timed out");
    }
}

/// The same for a handler that hears nothing: the run is taken from it after its grace.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn d6_2_a_handler_that_hears_nothing_loses_its_run_and_its_late_result_is_kept() {
    let test = queue().await;
    let (sender, begun) = channel();
    let engine = start(&test, |engine| engine.handler(Deaf(sender))).await;
    let job = NewJob::new(letter("deaf")).timeout(SHORT).grace(SHORT).max_attempts(1);
    let job = test.queue().enqueue(job).await.unwrap().id();
    let (cx, go) = begun.recv_timeout(PATIENCE).unwrap();

    drain(&test).await;
    assert_eq!(outcomes(test.queue(), job).await, [Outcome::TimedOut]);
    assert!(cx.is_cancelled());
    assert_eq!(engine.health().left_behind, 1);

    go.send(()).unwrap();
    let late = || value::<i64>(test.queue().path(), "SELECT count(*) FROM mainspring_late_results") == 1;
    until("the late result", || std::future::ready(late())).await;
    drain(&test).await;
    assert_eq!(outcomes(test.queue(), job).await, [Outcome::TimedOut]);
    end(&test, engine).await;
}

/// The retry began while the original, which had timed out, still ran.
#[tokio::test]
async fn d6_3_no_other_attempt_begins_while_a_run_that_timed_out_still_ends() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = NewJob::new(note("slow")).timeout(SHORT).grace(HOUR).backoff(Backoff::fixed(10 * SECOND));
    let job = test.queue().enqueue(job).await.unwrap().id();
    let first = calls.next().await;
    soon("the word to stop", first.cx.cancelled()).await;

    // However long it takes to stop: a sign job shows that the writer has looked.
    test.clock().advance(DAY);
    test.queue().enqueue(note("sign")).await.unwrap();
    let sign = calls.next().await;
    assert_eq!(sign.text, "sign");
    sign.succeed("seen");
    assert_eq!(test.queue().get(job).await.unwrap().running_run_id, Some(first.cx.run_id()));
    assert!(calls.is_empty());

    first.fail("stopped");
    drain(&test).await;
    assert_eq!(outcomes(test.queue(), job).await, [Outcome::TimedOut]);
    test.clock().advance(10 * SECOND);
    let second = calls.next().await;
    assert_eq!(second.cx.attempt(), 2);
    second.succeed("done");
    drain(&test).await;
    assert_eq!(outcomes(test.queue(), job).await, [Outcome::TimedOut, Outcome::Succeeded]);
    end(&test, engine).await;
}

/// The other way to an end: the run is fenced off after the grace, and only then comes the next attempt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d6_3_another_attempt_begins_once_the_run_was_fenced_off() {
    let test = queue().await;
    let (sender, begun) = channel();
    let deaf = Deaf(sender);
    let engine = start(&test, |engine| {
        engine.blocking_handler(move |_: Note, cx: RunContext| {
            let attempt = cx.attempt();
            deaf.block(cx);
            Ok::<_, Failure>(attempt)
        })
    })
    .await;
    let job = NewJob::new(note("deaf")).timeout(SHORT).grace(SHORT).backoff(Backoff::fixed(10 * SECOND));
    let job = test.queue().enqueue(job.max_attempts(2)).await.unwrap().id();
    let (_, first) = begun.recv_timeout(PATIENCE).unwrap();
    drain(&test).await;

    test.clock().advance(10 * SECOND);
    let (cx, second) = begun.recv_timeout(PATIENCE).unwrap();
    assert_eq!(cx.attempt(), 2);
    assert_eq!(test.queue().status().await.unwrap().running, 1, "the first one is open no more");
    second.send(()).unwrap();
    drain(&test).await;
    first.send(()).unwrap();

    let late = "SELECT group_concat(r.attempt || ' ' || l.outcome) FROM mainspring_late_results l
        JOIN mainspring_runs r ON r.id = l.run_id";
    until("the late result", || {
        std::future::ready(
            value::<Option<String>>(test.queue().path(), late).as_deref() == Some("1 succeeded"),
        )
    })
    .await;
    assert_eq!(outcomes(test.queue(), job).await, [Outcome::TimedOut, Outcome::Succeeded]);
    end(&test, engine).await;
}

/// A default of ten minutes, a third of it, half of it, 180 s: nobody could say when a job's time was over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d6_4_a_timeout_can_be_asked_for_and_comes_when_it_says_and_never_earlier() {
    let test = queue().await;
    let took: Arc<Mutex<Vec<(Duration, Duration)>>> = Arc::default();
    let measured = Arc::clone(&took);
    let engine = start(&test, |engine| {
        engine.handler(move |_: Note, cx: RunContext| {
            let (measured, begin) = (Arc::clone(&measured), Instant::now());
            async move {
                let timeout = cx.deadline().unwrap().since(cx.started_at());
                cx.cancelled().await;
                measured.lock().unwrap().push((timeout, begin.elapsed()));
                Ok::<_, Failure>(())
            }
        })
    })
    .await;
    let timeouts = [100, 400, 1_000].map(Duration::from_millis);
    for timeout in timeouts {
        let job = NewJob::new(note("until it is told")).timeout(timeout).max_attempts(1);
        let job = test.queue().enqueue(job).await.unwrap().id();
        let policies = test.queue().get(job).await.unwrap().policies;
        assert_eq!(policies.timeout_ms, Some(timeout.as_millis() as u64));
    }

    drain(&test).await;

    let mut took = took.lock().unwrap().clone();
    took.sort_unstable();
    assert_eq!(took.iter().map(|(timeout, _)| *timeout).collect::<Vec<_>>(), timeouts);
    for (timeout, took) in &took {
        assert!(took >= timeout, "{timeout:?} took {took:?}");
    }
    end(&test, engine).await;
}

/// A timeout of 0 was made one of some length. Here there is none unless one is given, and none is none.
#[tokio::test]
async fn d6_5_a_run_without_a_timeout_goes_on_for_as_long_as_its_owner_lives() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = test.queue().enqueue(note("nine hours")).await.unwrap().id();
    let call = calls.next().await;
    assert_eq!(call.cx.deadline(), None);
    // Somebody else looks for what is dead, and the clock goes on by years.
    let (other, mut others) = puppet();
    let second = test.reopen().unwrap();
    let second =
        mainspring::Engine::builder(second).handler(other).queue("default", 1).build().unwrap().start().await;
    for _ in 0..10 {
        test.clock().advance(365 * DAY);
        test.queue().enqueue(note("a sign of life")).await.unwrap();
        let sign = tokio::select! {
            sign = calls.next() => sign,
            sign = others.next() => sign,
        };
        assert_eq!(sign.text, "a sign of life");
        sign.succeed("seen");
    }
    assert!(!call.cx.is_cancelled());
    assert_eq!(test.queue().get(job).await.unwrap().open_runs, 1);

    call.succeed("done");
    drain(&test).await;
    assert_eq!(outcomes(test.queue(), job).await, [Outcome::Succeeded]);
    second.unwrap().shutdown(PATIENCE).await.unwrap();
    end(&test, engine).await;
}

/// A stall before the handler began used up its whole time. Here the time counts from the call, and the run says
/// when it was claimed and when it began. (A limit on the time until it begins comes later.)
#[tokio::test(flavor = "current_thread")]
async fn d6_6_a_stall_before_the_handler_begins_uses_up_none_of_its_time() {
    let test = queue().await;
    let clock = test.clock().clone();
    // The one thread of this runtime is blocked by the first handler, after the second one was claimed.
    let handler = move |args: Note, _: RunContext| {
        if args.text == "blocks" {
            clock.advance(10 * MINUTE);
            let begin = Instant::now();
            while begin.elapsed() < 10 * SHORT {
                std::hint::spin_loop();
            }
        }
        async move { Ok::<_, Failure>(()) }
    };
    test.queue().enqueue(NewJob::new(note("blocks")).priority(1)).await.unwrap();
    let job = NewJob::new(note("short")).timeout(SHORT).max_attempts(1);
    let job = test.queue().enqueue(job).await.unwrap().id();
    let engine = start(&test, |engine| engine.handler(handler).queue("default", 2)).await;

    drain(&test).await;

    let run = &runs(test.queue(), job).await[0];
    assert_eq!(outcome(run), Outcome::Succeeded);
    assert_eq!((seconds(run.claimed_at), seconds(run.started_at.unwrap())), (0, 600));
    end(&test, engine).await;
}
