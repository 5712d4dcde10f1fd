//! D9: delivery. Each test is a row of the table of scenarios.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod stage;

use std::collections::BTreeSet;
use std::path::PathBuf;

use mainspring::{
    Backoff, Completion, Delivery, DeliveryContext, DeliveryError, Engine, Error, ErrorClass, Failure,
    Handler, JobId, JobState, NewJob, OnUnknownDelivery, Outcome, Prune, Queue, Receipt, RunContext,
    Schedule,
};
use stage::child::{self, Child};
use stage::post::{post, slow_post};
use stage::*;

#[test]
#[ignore = "a child of the tests in this file"]
fn a_child_plays_its_part() {
    child::play(|part, path| match part {
        "delivers" => deliver_in_a_child(path),
        other => panic!("there is no part {other:?}"),
    });
}

/// The completion of a job's only run.
async fn completion(queue: &Queue, job: JobId) -> Completion {
    let mut runs = runs(queue, job).await;
    assert_eq!(runs.len(), 1);
    runs.remove(0).completion.unwrap()
}

fn held(text: &str) -> NewJob<Letter> {
    NewJob::new(letter(text)).on_unknown_delivery(OnUnknownDelivery::Hold)
}

/// Panics where it should say what came of a delivery.
struct Panicking;

impl Handler<Letter> for Panicking {
    type Output = ();

    async fn run(&self, _args: Letter, _cx: RunContext) -> Result<(), Failure> {
        Ok(())
    }

    async fn deliver(&self, _output: (), _cx: DeliveryContext) -> Result<Receipt, DeliveryError> {
        panic!("the connection is gone")
    }
}

/// "Delivered" was what somebody had meant to do, and nothing had been sent.
#[tokio::test]
async fn d9_1_delivered_is_what_the_receiver_has_acknowledged_and_nothing_else() {
    let test = queue().await;
    let (handler, mut parcels, _) = post();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let mut ends = Vec::new();
    for answer in [
        Ok(Receipt::from("250 OK")),
        Err(DeliveryError::rejected("550 no")),
        Err(DeliveryError::unknown("reset")),
        Err(DeliveryError::not_sent("refused")),
    ] {
        let job = held("text").delivery_attempts(1, Backoff::default());
        let job = test.queue().enqueue(job).await.unwrap().id();
        let parcel = parcels.next().await;
        // What was meant to be sent is not what was sent.
        assert_eq!(completion(test.queue(), job).await.delivery, Delivery::Started);
        parcel.end(answer);
        drain(&test).await;
        ends.push(completion(test.queue(), job).await);
    }
    engine.shutdown(PATIENCE).await.unwrap();
    let engine = start(&test, |engine| engine.handler(Panicking)).await;
    let panicked = test.queue().enqueue(held("text")).await.unwrap().id();
    drain(&test).await;
    ends.push(completion(test.queue(), panicked).await);

    let deliveries: Vec<Delivery> = ends.iter().map(|end| end.delivery).collect();
    let failed = Delivery::Failed;
    assert_eq!(deliveries, [Delivery::Delivered, failed, Delivery::Unknown, failed, Delivery::Unknown]);
    assert_eq!(ends[0].receipt.as_deref(), Some("250 OK"));
    assert!(ends[1..].iter().all(|end| end.receipt.is_none() && end.delivery_error.is_some()));
    assert!(ends.iter().all(|end| end.outcome == Outcome::Succeeded && end.delivery_settled_at.is_some()));
    end(&test, engine).await;
}

/// A message went out twice: it was sent again after an error that came when the receiver had it already.
#[tokio::test]
async fn d9_2_an_answer_that_says_nothing_is_not_tried_again_by_itself() {
    let test = queue().await;
    let (handler, mut parcels, _) = post();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    test.queue().schedule("recurring", Schedule::at(second(1)), held("text")).await.unwrap();
    test.clock().advance(SECOND);
    parcels.next().await.unknown("connection reset after the body");
    drain(&test).await;

    for _ in 0..10 {
        pass(&test, DAY).await;
    }

    assert!(parcels.is_empty());
    let run = runs(test.queue(), "recurring").await.remove(0);
    let completion = run.completion.unwrap();
    assert_eq!((completion.delivery, completion.delivery_attempts), (Delivery::Unknown, 1));
    assert_eq!(completion.delivery_error.as_deref(), Some("connection reset after the body"));
    end(&test, engine).await;
}

/// A receiver that knows keys takes the same output twice and shows it once: then it may be sent again.
#[tokio::test]
async fn d9_2_an_answer_that_says_nothing_is_tried_again_where_the_job_says_so() {
    let test = queue().await;
    let (handler, mut parcels, ran) = post();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = NewJob::new(letter("text"))
        .on_unknown_delivery(OnUnknownDelivery::Resend)
        .delivery_attempts(3, Backoff::fixed(MINUTE));
    let job = test.queue().enqueue(job).await.unwrap().id();
    let mut keys = BTreeSet::new();
    for attempt in 1..=3 {
        let parcel = parcels.next().await;
        assert_eq!((parcel.cx.attempt(), parcel.output.as_str()), (attempt, "text"));
        keys.insert(parcel.cx.idempotency_key());
        parcel.unknown("connection reset");
        drain(&test).await;
        test.clock().advance(MINUTE);
    }
    drain(&test).await;
    assert_eq!((keys.len(), ran.times()), (1, 1));
    let completion = completion(test.queue(), job).await;
    assert_eq!((completion.delivery, completion.delivery_attempts), (Delivery::Unknown, 3), "and no further");
    end(&test, engine).await;
}

/// The queue sent what it found, and so did the retry beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d9_3_an_output_has_one_delivery_whoever_works_on_it() {
    const LETTERS: usize = 60;
    let test = queue().await;
    let (one, mut at_one, _) = post();
    let (other, mut at_other, _) = post();
    let first = start(&test, |engine| engine.handler(one).queue("default", 4)).await;
    let second = Engine::builder(test.reopen().unwrap()).handler(other).queue("default", 4).build().unwrap();
    let second = second.start().await.unwrap();
    let job = |n| NewJob::new(letter(format!("{n}"))).delivery_attempts(10, Backoff::fixed(SECOND));
    test.queue().enqueue_many((0..LETTERS).map(job)).await.unwrap();

    // Half of them are not sent at first: then either engine may take them up from the file.
    let (mut sent, mut refused) = (Vec::new(), 0);
    for round in 0..2 {
        for _ in 0..if round == 0 { LETTERS } else { refused } {
            let parcel = tokio::select! {
                parcel = at_one.next() => parcel,
                parcel = at_other.next() => parcel,
            };
            if round == 0 && parcel.output.ends_with(['1', '3', '5', '7', '9']) {
                refused += 1;
                parcel.not_sent("try again");
            } else {
                sent.push(parcel.output.clone());
                parcel.accept();
            }
        }
        drain(&test).await;
        test.clock().advance(SECOND);
    }
    drain(&test).await;

    assert!(at_one.is_empty() && at_other.is_empty());
    assert_eq!(sent.iter().collect::<BTreeSet<_>>().len(), LETTERS);
    let rows: i64 = value(
        test.queue().path(),
        "SELECT count(*) FROM mainspring_completions WHERE delivery = 'delivered'",
    );
    assert_eq!(rows, LETTERS as i64);
    second.shutdown(PATIENCE).await.unwrap();
    end(&test, first).await;
}

/// Sending again by hand is for what did not arrive: what was delivered stays so.
#[tokio::test]
async fn d9_3_what_was_delivered_is_not_sent_again_by_hand_either() {
    let test = queue().await;
    let (handler, mut parcels, _) = post();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = test.queue().enqueue(letter("text")).await.unwrap().id();
    parcels.next().await.accept();
    drain(&test).await;
    let run = runs(test.queue(), job).await[0].id;

    let refused = test.queue().redeliver(run).await;

    assert!(
        matches!(&refused, Err(Error::InvalidOption { why, .. }) if why.contains("delivered")),
        "{refused:?}"
    );
    drain(&test).await;
    assert!(parcels.is_empty());
    end(&test, engine).await;
}

struct Announced;

impl Handler<Letter> for Announced {
    type Output = String;

    async fn run(&self, args: Letter, _cx: RunContext) -> Result<String, Failure> {
        child::say("ran");
        Ok(args.text)
    }

    async fn deliver(&self, _output: String, cx: DeliveryContext) -> Result<Receipt, DeliveryError> {
        child::say(format!("sent {}", cx.idempotency_key()));
        Ok(Receipt::none())
    }
}

fn deliver_in_a_child(path: PathBuf) {
    child::end_with_the_test();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let engine = Engine::builder(Queue::open(&path).await.unwrap()).handler(Announced).build().unwrap();
        let _engine = engine.start().await.unwrap();
        std::future::pending::<()>().await;
    });
}

/// After a crash nobody could tell whether a message had been sent: the fact that sending had begun was nowhere.
///
/// A child is killed at each point around its delivery, under each policy.
#[tokio::test]
async fn d9_4_a_crash_around_a_delivery_is_settled_by_what_is_on_record() {
    use OnUnknownDelivery::{Hold, Resend};
    // What the child had sent, and whether this process sends.
    let table = [
        ("completed", Hold, false, true),
        ("completed", Resend, false, true),
        ("delivery_begun", Hold, false, false),
        ("delivery_begun", Resend, false, true),
        ("delivered", Hold, true, false),
        ("delivered", Resend, true, true),
        ("settled", Hold, true, false),
        ("settled", Resend, true, false),
    ];
    for (point, policy, sent_there, sent_here) in table {
        let case = format!("killed at {point} under {policy}");
        let test = queue_for_children().await;
        let job = NewJob::new(letter("text")).on_unknown_delivery(policy);
        let job = test.queue().enqueue(job).await.unwrap().id();
        let crash = [(mainspring::crash::VARIABLE, point)];
        let said = Child::start_with(test.queue().path(), "delivers", &crash).ended();
        let keys: Vec<&str> = said.iter().filter_map(|line| line.strip_prefix("sent ")).collect();
        assert_eq!(
            (said.iter().filter(|line| *line == "ran").count(), keys.len()),
            (1, usize::from(sent_there))
        );

        let (handler, mut parcels, ran) = post();
        let engine = start(&test, |engine| engine.handler(handler)).await;
        let settled = || async { test.queue().status().await.unwrap().engines == 1 };
        until("the dead owner was found", settled).await;
        if sent_here {
            let parcel = parcels.next().await;
            assert_eq!(parcel.output, "text", "{case}");
            assert!(keys.iter().all(|key| *key == parcel.cx.idempotency_key()), "{case}");
            parcel.accept();
        }
        drain(&test).await;

        assert!(parcels.is_empty() && ran.times() == 0, "{case}");
        let unknown = policy == Hold && ["delivery_begun", "delivered"].contains(&point);
        let wanted = if unknown { Delivery::Unknown } else { Delivery::Delivered };
        assert_eq!(completion(test.queue(), job).await.delivery, wanted, "{case}");
        end(&test, engine).await;
    }
}

/// A retried run sent its result under another key, and the receiver took it for news.
#[tokio::test]
async fn d9_5_every_attempt_at_an_occurrence_and_its_delivery_has_the_same_key() {
    let test = queue().await;
    let (handler, mut calls, mut parcels) = slow_post();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = NewJob::new(letter("text"))
        .backoff(Backoff::fixed(MINUTE))
        .delivery_attempts(3, Backoff::fixed(MINUTE));
    test.queue().enqueue(job).await.unwrap();
    let mut keys = BTreeSet::new();

    let call = calls.next().await;
    keys.insert(call.cx.idempotency_key());
    call.fail("no luck");
    drain(&test).await;
    test.clock().advance(MINUTE);
    let call = calls.next().await;
    keys.insert(call.cx.idempotency_key());
    call.succeed("text");
    let parcel = parcels.next().await;
    keys.insert(parcel.cx.idempotency_key());
    parcel.not_sent("refused");
    drain(&test).await;
    engine.shutdown(PATIENCE).await.unwrap();

    // Another engine's attempt, after a restart.
    let (handler, _calls, mut parcels) = slow_post();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    test.clock().advance(MINUTE);
    let parcel = parcels.next().await;
    keys.insert(parcel.cx.idempotency_key());
    assert_eq!((parcel.cx.attempt(), keys.len()), (2, 1), "{keys:?}");
    parcel.accept();
    drain(&test).await;
    let shown: String = value(test.queue().path(), "SELECT min(idempotency_key) FROM mainspring_run_view");
    assert!(keys.contains(&shown));
    end(&test, engine).await;
}

/// The key was that of the session: the second message of a day was taken for the first.
#[tokio::test]
async fn d9_6_two_occurrences_with_the_same_output_are_two_deliveries_under_two_keys() {
    let test = queue().await;
    let (handler, mut parcels, _) = post();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    test.queue().schedule("job", Schedule::every(HOUR).unwrap(), letter("no news")).await.unwrap();
    let mut keys = BTreeSet::new();
    for _ in 0..2 {
        test.clock().advance(HOUR);
        let parcel = parcels.next().await;
        keys.insert(parcel.cx.idempotency_key());
        parcel.accept();
        drain(&test).await;
    }
    // By hand, twice in one millisecond: two pieces of work.
    for _ in 0..2 {
        test.queue().run_now("job").await.unwrap();
        let parcel = parcels.next().await;
        keys.insert(parcel.cx.idempotency_key());
        parcel.accept();
        drain(&test).await;
    }
    assert_eq!(keys.len(), 4);
    end(&test, engine).await;
}

/// A webhook was called in passing and its errors swallowed.
#[tokio::test]
async fn d9_8_a_receiver_that_fails_twice_gets_it_the_third_time() {
    let test = queue().await;
    let (handler, mut parcels, ran) = post();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let backoff = Backoff { jitter: 0.0, ..Backoff::exponential(10 * SECOND) };
    let job = NewJob::new(letter("text")).delivery_attempts(5, backoff);
    let job = test.queue().enqueue(job).await.unwrap().id();

    parcels.next().await.not_sent("status 500");
    drain(&test).await;
    let first = completion(test.queue(), job).await;
    assert_eq!((first.delivery, first.next_delivery_at), (Delivery::Pending, Some(second(10))));
    pass(&test, 9 * SECOND).await;
    assert!(parcels.is_empty());
    test.clock().advance(SECOND);
    parcels.next().await.not_sent("status 500");
    drain(&test).await;
    assert_eq!(completion(test.queue(), job).await.next_delivery_at, Some(second(30)));
    test.clock().set(second(30));
    parcels.next().await.accept();
    drain(&test).await;

    let end_of_it = completion(test.queue(), job).await;
    assert_eq!((end_of_it.delivery, end_of_it.delivery_attempts), (Delivery::Delivered, 3));
    assert_eq!((end_of_it.receipt.as_deref(), end_of_it.delivery_error), (Some("taken"), None));
    assert_eq!(ran.times(), 1);
    end(&test, engine).await;
}

/// What can never work is an error that can be seen.
#[tokio::test]
async fn d9_8_an_address_that_is_none_is_an_error_on_record() {
    let test = queue().await;
    let (handler, mut parcels, _) = post();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    test.queue().enqueue(letter("text")).await.unwrap();
    parcels.next().await.reject("\"htp:/x\" is no URL");
    drain(&test).await;
    let shown: String = value(
        test.queue().path(),
        "SELECT delivery || ': ' || delivery_error || ', ' || deliveries_failed
         FROM mainspring_run_view CROSS JOIN mainspring_health_view",
    );
    assert_eq!(shown, "failed: \"htp:/x\" is no URL, 1");
    end(&test, engine).await;
}

/// A job that was to deliver nothing was on record as not delivered.
#[tokio::test]
async fn d9_9_a_handler_without_delivery_owes_none() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    let job = test.queue().enqueue(note("text")).await.unwrap().id();
    drain(&test).await;
    let completion = completion(test.queue(), job).await;
    assert_eq!((completion.delivery, completion.delivery_attempts), (Delivery::NotRequested, 0));
    assert_eq!((completion.delivery_error, completion.delivery_settled_at), (None, None));
    assert_eq!(completion.output.as_deref(), Some("\"done\""));

    // Each state has a word of its own, and only two of them wait for something.
    let words: BTreeSet<&str> = Delivery::ALL.iter().map(|delivery| delivery.as_str()).collect();
    assert_eq!(words.len(), 7);
    let waiting: Vec<&Delivery> = Delivery::ALL.iter().filter(|delivery| !delivery.is_settled()).collect();
    assert_eq!(waiting, [&Delivery::Pending, &Delivery::Started]);
    end(&test, engine).await;
}

/// The job was deleted since its run had succeeded, and with it the message that had not arrived.
#[tokio::test]
async fn d9_10_a_one_shot_whose_delivery_failed_is_kept_with_its_output() {
    let test = queue().await;
    let (handler, mut parcels, ran) = post();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = test.queue().enqueue(held("text")).await.unwrap().id();
    parcels.next().await.reject("no such address");
    drain(&test).await;

    assert_eq!(test.queue().get(job).await.unwrap().state(test.clock().now()), JobState::Finished);
    let run = runs(test.queue(), job).await.remove(0);
    let completion = run.completion.unwrap();
    assert_eq!((completion.delivery, completion.output.as_deref()), (Delivery::Failed, Some("\"text\"")));

    // The address was put right: the same output, and no second run.
    test.queue().redeliver(run.id).await.unwrap();
    parcels.next().await.unknown("reset");
    drain(&test).await;
    // Of unknown delivery: no pruning touches it, and none touches its job.
    test.clock().advance(365 * DAY);
    let pruned = test.queue().prune(Prune::older_than(DAY).keep_newest(0)).await.unwrap();
    assert_eq!((pruned.runs, pruned.jobs), (0, 0));
    test.queue().redeliver(run.id).await.unwrap();
    let parcel = parcels.next().await;
    assert_eq!(parcel.output, "text");
    parcel.accept();
    drain(&test).await;
    assert_eq!(ran.times(), 1);
    end(&test, engine).await;
}

/// A message that would never be taken was sent four times.
#[tokio::test]
async fn d9_11_a_rejection_for_good_is_one_attempt() {
    let test = queue().await;
    let (handler, mut parcels, _) = post();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = NewJob::new(letter("text")).delivery_attempts(4, Backoff::fixed(SECOND));
    let job = test.queue().enqueue(job).await.unwrap().id();
    parcels.next().await.reject("status 410: timeout 503 ECONNRESET");
    drain(&test).await;
    for _ in 0..4 {
        pass(&test, MINUTE).await;
    }
    assert!(parcels.is_empty());
    let completion = completion(test.queue(), job).await;
    assert_eq!((completion.delivery, completion.delivery_attempts), (Delivery::Failed, 1));
    end(&test, engine).await;
}

/// A run that had been given up delivered all the same when it came back.
#[tokio::test]
async fn d9_12_a_run_that_was_taken_from_its_handler_delivers_nothing() {
    let test = queue().await;
    let (handler, mut calls, parcels) = slow_post();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = test.queue().enqueue(letter("text")).await.unwrap().id();
    let call = calls.next().await;
    let run = call.cx.run_id();

    test.queue().release(run, false).await.unwrap();
    soon("the word to stop", call.cx.cancelled()).await;
    call.succeed("too late");
    let late = || value::<i64>(test.queue().path(), "SELECT count(*) FROM mainspring_late_results") == 1;
    until("the late result", || std::future::ready(late())).await;
    drain(&test).await;

    let completion = completion(test.queue(), job).await;
    assert_eq!(
        (completion.outcome, completion.error_class),
        (Outcome::Interrupted, Some(ErrorClass::Released))
    );
    assert_eq!((completion.delivery, completion.output), (Delivery::NotRequested, None));
    assert!(parcels.is_empty());
    end(&test, engine).await;
}

/// The same where the job is gone: its run ends on record, and its output goes nowhere.
#[tokio::test]
async fn d9_12_a_run_of_a_removed_job_delivers_nothing() {
    let test = queue().await;
    let (handler, mut calls, parcels) = slow_post();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = test.queue().enqueue(letter("text")).await.unwrap().id();
    let call = calls.next().await;
    let run = call.cx.run_id();
    let queue = test.queue().clone();
    let removing = tokio::spawn(async move { queue.remove(job).await });
    soon("the word to stop", call.cx.cancelled()).await;
    call.succeed("done in spite of it");
    assert_eq!(removing.await.unwrap().unwrap().stopped, [run]);
    drain(&test).await;

    let completion = test.queue().run(run).await.unwrap().completion.unwrap();
    assert_eq!((completion.outcome, completion.delivery), (Outcome::Succeeded, Delivery::Suppressed));
    assert_eq!(completion.delivery_error.as_deref(), Some("the job was removed while it ran"));
    assert!(parcels.is_empty());
    end(&test, engine).await;
}

/// Outputs of a receiver that did not answer piled up in the memory of the process. Those beyond a bound wait in the
/// file, and each is delivered once all the same.
#[tokio::test]
async fn outputs_that_wait_in_the_file_for_a_slow_receiver_are_delivered_once() {
    let test = queue().await;
    let (handler, mut parcels, ran) = post();
    let engine = start(&test, |engine| engine.handler(handler).deliveries(1)).await;
    for job in 0..12 {
        test.queue().enqueue(held(&format!("text {job}"))).await.unwrap();
    }
    until("all runs have ended", async || {
        test.queue().status().await.unwrap().undelivered + test.queue().status().await.unwrap().delivering
            >= 12
    })
    .await;
    assert_eq!(ran.times(), 12);
    let mut delivered = BTreeSet::new();
    for _ in 0..12 {
        let parcel = parcels.next().await;
        assert!(delivered.insert(parcel.output.clone()), "{} came twice", parcel.output);
        parcel.accept();
    }
    drain(&test).await;
    assert!(parcels.is_empty());
    end(&test, engine).await;
}

/// The answer was that there is no such run, which is not so.
#[tokio::test]
async fn redelivering_an_open_run_says_that_it_is_open() {
    let test = queue().await;
    let (handler, mut calls, mut parcels) = slow_post();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = test.queue().enqueue(held("text")).await.unwrap().id();
    let call = calls.next().await;
    let run = runs(test.queue(), job).await.remove(0).id;
    let why = test.queue().redeliver(run).await.unwrap_err().to_string();
    assert!(why.contains("is open: its output is delivered when it has ended"), "{why}");
    assert!(test.queue().redeliver(mainspring::RunId(999)).await.unwrap_err().is_not_found());
    call.end(Ok("text".to_owned()));
    parcels.next().await.accept();
    end(&test, engine).await;
}
