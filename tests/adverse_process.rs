//! Adverse states of a process: handlers that end it, callers that do not wait for their answer, values without an end.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod stage;

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::task::{Context, Waker};

use mainspring::{
    DeliveryContext, DeliveryError, Engine, Error, ErrorClass, Failure, Handler, JobArgs, NewJob, Outcome,
    Queue, Receipt, RunContext, Schedule,
};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};
use stage::child::{self, Child};
use stage::puppet::puppet;
use stage::*;

#[test]
#[ignore = "a child of the tests in this file"]
fn a_child_plays_its_part() {
    child::play(|part, path| match part {
        "exits in a handler" => exit_in_a_handler(path),
        other => panic!("there is no part {other:?}"),
    });
}

fn exit_in_a_handler(path: PathBuf) {
    child::end_with_the_test();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let handler = |note: Note, _: RunContext| async move {
            match note.text.as_str() {
                "exits" => std::process::exit(3),
                _ => Ok::<_, Failure>(()),
            }
        };
        let queue = Queue::open(&path).await.unwrap();
        let engine = Engine::builder(queue).handler(handler).queue("default", 1).build().unwrap();
        let _engine = engine.start().await.unwrap();
        std::future::pending::<()>().await;
    });
}

/// `exit` runs what the process has registered for its end, and no destructor of a thread: no engine shuts down.
#[tokio::test]
async fn a_handler_that_exits_is_an_interrupted_run_and_is_run_again_by_the_next_engine() {
    let test = queue_for_children().await;
    let before = test.queue().enqueue(NewJob::new(note("fine")).priority(1)).await.unwrap().id();
    let exits = test.queue().enqueue(note("exits")).await.unwrap().id();
    let recurring = NewJob::new(note("exits"));
    let ended = Child::start(test.queue().path(), "exits in a handler").ended();
    assert_eq!(ended, Vec::<String>::new());
    assert_eq!(outcomes(test.queue(), before).await, [Outcome::Succeeded]);
    assert!(runs(test.queue(), exits).await[0].completion.is_none(), "nobody has settled it yet");

    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let call = calls.next().await;
    assert_eq!((call.cx.job_id(), call.cx.attempt()), (exits, 2));
    call.succeed("done");
    drain(&test).await;
    assert_eq!(outcomes(test.queue(), exits).await, [Outcome::Interrupted, Outcome::Succeeded]);
    let first = runs(test.queue(), exits).await.remove(0).completion.unwrap();
    assert_eq!(first.error_class, Some(ErrorClass::OwnerDied));
    // A recurring job's work is not repeated by itself.
    let schedule = Schedule::every(HOUR).unwrap();
    let recurring = test.queue().schedule("recurring", schedule, recurring).await.unwrap().id();
    end(&test, engine).await;
    test.queue().run_now(recurring).await.unwrap();
    Child::start(test.queue().path(), "exits in a handler").ended();
    let (handler, calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    drain(&test).await;
    assert_eq!(outcomes(test.queue(), recurring).await, [Outcome::Interrupted]);
    assert!(calls.is_empty());
    end(&test, engine).await;
}

/// Begins a future, and drops it before its answer has come (or with its answer, if that came at once).
fn begin_and_drop<T>(future: impl Future<Output = T>) {
    let mut context = Context::from_waker(Waker::noop());
    let _ = pin!(future).as_mut().poll(&mut context);
}

/// A request was given up: whoever sent it waits no longer. What was begun happens as a whole or not at all, nobody else
/// waits for it, and the same call under the same key makes one job of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_dropped_before_their_answer_happen_whole_or_not_at_all() {
    let test = queue().await;
    let queue = test.queue();
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    let jobs = 200;
    let job = |n: usize| NewJob::new(note(format!("job {n}"))).unique(format!("key {n}"));
    for n in 0..jobs {
        begin_and_drop(queue.enqueue(job(n)));
        begin_and_drop(queue.enqueue_many((0..2).map(|twin| NewJob::new(note(format!("twin {n} {twin}"))))));
        begin_and_drop(queue.schedule("hourly", Schedule::every(HOUR).unwrap(), note("hourly")));
        begin_and_drop(queue.pause("hourly", None));
        begin_and_drop(queue.resume("hourly"));
        begin_and_drop(queue.cancel("nobody"));
        begin_and_drop(queue.list(mainspring::ListFilter::default()));
        begin_and_drop(queue.status());
    }
    // Repeated, each is there once; those that have run already are made again, which is what their callers ask for.
    let mut again = 0;
    for n in 0..jobs {
        again +=
            usize::from(matches!(queue.enqueue(job(n)).await.unwrap(), mainspring::Enqueued::Created(_)));
    }
    drain(&test).await;
    let texts = ledger.texts();
    for n in 0..jobs {
        let count = |text: &str| texts.iter().filter(|found| *found == text).count();
        assert!((1..=2).contains(&count(&format!("job {n}"))), "{n}");
        assert_eq!(count(&format!("twin {n} 0")), count(&format!("twin {n} 1")), "half of it happened");
    }
    assert!(texts.iter().filter(|text| text.starts_with("job")).count() <= jobs + again);
    end(&test, engine).await;
}

/// Engines and their ends, given up half-way: what runs is finished or given back, and the next engine goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engines_that_are_dropped_while_they_start_run_or_stop_leave_their_jobs_to_the_next() {
    let test = queue().await;
    let ledger = Ledger::default();
    let build = || Engine::builder(test.queue().clone()).handler(ledger.succeeding()).build().unwrap();
    for n in 0..10 {
        test.queue().enqueue(note(format!("job {n}"))).await.unwrap();
        begin_and_drop(build().start());
        begin_and_drop(build().run_until(std::future::pending::<()>()));
        let engine = build().start().await.unwrap();
        begin_and_drop(engine.shutdown(PATIENCE));
        drop(build().start().await.unwrap());
    }
    let engine = build().start().await.unwrap();
    until("all have run", || async { ledger.len() >= 10 }).await;
    drain(&test).await;
    let mut texts = ledger.texts();
    texts.sort();
    texts.dedup();
    assert_eq!((texts.len(), ledger.len()), (10, 10), "each once");
    until("no other engine is left", || async { test.queue().status().await.unwrap().engines == 1 }).await;
    end(&test, engine).await;
}

/// A value that is two gigabytes once it is written. It takes no memory before.
#[derive(Debug, Deserialize)]
struct TwoGigabytes;

impl Serialize for TwoGigabytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let piece = "x".repeat((1 << 20) - 3);
        let mut pieces = serializer.serialize_seq(None)?;
        for _ in 0..2_048 {
            pieces.serialize_element(&piece)?;
        }
        pieces.end()
    }
}

impl JobArgs for TwoGigabytes {
    const KIND: &'static str = "two_gigabytes";
}

/// Returns far more than it may.
struct Boaster;

impl Handler<Note> for Boaster {
    type Output = Large;

    async fn run(&self, _: Note, _: RunContext) -> Result<Large, Failure> {
        Ok(Large(TwoGigabytes))
    }

    async fn deliver(&self, _: Large, _: DeliveryContext) -> Result<Receipt, DeliveryError> {
        panic!("an output that could not be stored is not delivered");
    }
}

#[derive(Serialize, Deserialize)]
struct Large(TwoGigabytes);

#[tokio::test]
async fn a_payload_of_two_gigabytes_is_too_long_as_arguments_and_as_an_output() {
    let test = queue().await;
    let limit = mainspring::Limits::default().payload;
    let refused = test.queue().enqueue(TwoGigabytes).await.unwrap_err();
    assert!(
        matches!(&refused, Error::TooLong { what: "args", length, limit: allowed } if *allowed == limit && *length < 3 * limit),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("store large data elsewhere and pass a reference"), "{refused}");

    let engine = start(&test, |engine| engine.handler(Boaster)).await;
    let job = test.queue().enqueue(note("x")).await.unwrap().id();
    drain(&test).await;
    let completion = runs(test.queue(), job).await.remove(0).completion.unwrap();
    assert_eq!((completion.outcome, completion.error_class), (Outcome::Failed, Some(ErrorClass::Permanent)));
    let why = completion.error.unwrap();
    assert!(completion.output.is_none() && why.starts_with("output has ") && why.len() < 300, "{why}");
    end(&test, engine).await;
}
