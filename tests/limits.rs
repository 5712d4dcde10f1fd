//! How long anything may be that is stored: the table of limits in SECURITY.md.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod stage;

use chrono::NaiveTime;
use mainspring::schedule::Calendar;
use mainspring::testing::TestQueue;
use mainspring::{
    Completion, Declaration, DeliveryError, Engine, Error, ErrorClass, Failure, JobArgs, JobId, Limits,
    NewJob, Outcome, Receipt, RunContext, Schedule,
};
use stage::post::post;
use stage::puppet::puppet;
use stage::*;

const WORD: usize = 200;

fn is_too_long<T: std::fmt::Debug>(refused: Result<T, Error>, of: &str, allowed: usize) {
    let is_it =
        matches!(&refused, Err(Error::TooLong { what, limit, .. }) if *what == of && *limit == allowed);
    assert!(is_it, "{of}: {refused:?}");
}

fn word(length: usize) -> String {
    "x".repeat(length)
}

/// Words stand in indexes: 200 bytes, of whatever characters.
#[tokio::test]
async fn names_queues_keys_labels_and_calendars_have_at_most_200_bytes() {
    let test = queue().await;
    let queue = test.queue();
    let hourly = || Schedule::every(HOUR).unwrap();
    for (length, fits) in [(WORD, true), (WORD + 1, false)] {
        let long = word(length);
        let declared = [Declaration::new(format!("{}{length}", word(length - 3)), hourly(), note("x"))];
        let answers = [
            ("name", queue.schedule(&long, hourly(), note("x")).await.map(drop)),
            ("name", queue.replace_all("label", declared).await.map(drop)),
            ("label", queue.replace_all(&long, []).await.map(drop)),
            ("queue", queue.enqueue(NewJob::new(note("x")).queue(&long)).await.map(drop)),
            ("queue", queue.pause_queue(&long, None).await),
            ("unique key", queue.enqueue(NewJob::new(note("x")).unique(&long)).await.map(drop)),
            ("calendar", queue.store_calendar(&long, Calendar::new()).await),
            ("calendar", queue.schedule("named", hourly().excluding(&long), note("x")).await.map(drop)),
        ];
        for (of, answer) in answers {
            if fits {
                answer.unwrap_or_else(|error| panic!("{of}: {error}"))
            } else {
                is_too_long(answer, of, WORD)
            }
        }
    }
    // It is bytes that are counted.
    is_too_long(queue.enqueue(NewJob::new(note("x")).queue("ü".repeat(101))).await, "queue", WORD);
    let (handler, _calls) = puppet();
    let engine = Engine::builder(queue.clone()).handler(handler).queue(word(WORD + 1), 1).build();
    is_too_long(engine.map(drop), "queue", WORD);
}

#[tokio::test]
async fn a_kind_has_at_most_200_bytes() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Long;
    impl JobArgs for Long {
        const KIND: &'static str = match std::str::from_utf8(&[b'k'; WORD + 1]) {
            Ok(kind) => kind,
            Err(_) => unreachable!(),
        };
    }
    let test = queue().await;
    is_too_long(test.queue().enqueue(Long).await, "kind", WORD);
    let handler = |_: Long, _: RunContext| async { Ok::<_, Failure>(()) };
    is_too_long(Engine::builder(test.queue().clone()).handler(handler).build().map(drop), "kind", WORD);
}

#[tokio::test]
async fn arguments_and_calendars_have_at_most_a_mebibyte_and_schedules_8_kibibytes() {
    let test = queue().await;
    let Limits { payload, text, .. } = Limits::default();
    let framed = payload - "{\"text\":\"\"}".len();
    test.queue().enqueue(NewJob::new(note(word(framed))).after(HOUR)).await.unwrap();
    is_too_long(test.queue().enqueue(note(word(framed + 1))).await, "args", payload);

    let second = |n: u32| NaiveTime::from_num_seconds_from_midnight_opt(n % 86_400, 0).unwrap();
    let times =
        |count| (0..count).fold(Calendar::new(), |calendar, n| calendar.times(second(n), second(n + 1)));
    test.queue().store_calendar("some", times(1_000)).await.unwrap();
    is_too_long(test.queue().store_calendar("many", times(60_000)).await, "calendar", payload);

    let cron = |minutes: usize| Schedule::cron(&format!("{}0 8 * * *", "0,".repeat(minutes))).unwrap();
    test.queue().schedule("short", cron(4_000), note("x")).await.unwrap();
    is_too_long(test.queue().schedule("long", cron(5_000), note("x")).await, "schedule", text);
}

/// What a run ended with.
async fn completion(test: &TestQueue, job: JobId) -> Completion {
    drain(test).await;
    runs(test.queue(), job).await.remove(0).completion.unwrap()
}

/// Work that panics with a text of this length.
#[derive(serde::Serialize, serde::Deserialize)]
struct Panics(usize);

impl JobArgs for Panics {
    const KIND: &'static str = "panics";
}

async fn panics(work: Panics, _: RunContext) -> Result<(), Failure> {
    panic!("{}", word(work.0))
}

/// An output that is too long is of no use to anybody: the run fails for good. Texts for people are cut.
#[tokio::test]
async fn outputs_fail_beyond_a_mebibyte_and_errors_receipts_and_reasons_are_cut_at_8_kibibytes() {
    let test = queue().await;
    let Limits { payload, text, .. } = Limits::default();
    let is_cut = |found: Option<String>| {
        let found = found.unwrap();
        assert!(
            found.len() <= text && found.len() > text - 10 && found.ends_with('…'),
            "{} bytes",
            found.len()
        );
    };
    let (notes, mut calls) = puppet();
    let (letters, mut parcels, _) = post();
    let engine = start(&test, |engine| engine.handler(notes).handler(letters).handler(panics)).await;
    for (length, outcome) in [(payload - 2, Outcome::Succeeded), (payload - 1, Outcome::Failed)] {
        let job = test.queue().enqueue(note("output")).await.unwrap().id();
        calls.next().await.succeed(&word(length));
        let found = completion(&test, job).await;
        let class = (outcome == Outcome::Failed).then_some(ErrorClass::Permanent);
        assert_eq!((found.outcome, found.error_class), (outcome, class));
    }
    let job = test.queue().enqueue(NewJob::new(note("error")).max_attempts(1)).await.unwrap().id();
    calls.next().await.fail(&word(100_000));
    is_cut(completion(&test, job).await.error);
    let job = test.queue().enqueue(NewJob::new(Panics(100_000)).max_attempts(1)).await.unwrap().id();
    is_cut(completion(&test, job).await.error);
    let job = test.queue().enqueue(letter("receipt")).await.unwrap().id();
    parcels.next().await.end(Ok(Receipt::from(word(100_000))));
    is_cut(completion(&test, job).await.receipt);
    let job = test.queue().enqueue(letter("delivery error")).await.unwrap().id();
    parcels.next().await.end(Err(DeliveryError::rejected(word(100_000))));
    is_cut(completion(&test, job).await.delivery_error);

    let job = test.queue().enqueue(NewJob::new(note("x")).after(HOUR)).await.unwrap().id();
    test.queue().pause(job, Some(&word(100_000))).await.unwrap();
    is_cut(test.queue().get(job).await.unwrap().pause_reason);
    test.queue().pause_queue("another", Some(&word(100_000))).await.unwrap();
    is_cut(value(test.queue().path(), "SELECT pause_reason FROM mainspring_queues"));
    end(&test, engine).await;
}

/// Why a job was parked is the text of an error about its row, which may hold anything.
#[tokio::test]
async fn errors_about_rows_and_the_reason_of_a_park_are_short_whatever_the_row_holds() {
    let test = queue().await;
    let (handler, _calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = test.queue().schedule("job", Schedule::every(HOUR).unwrap(), note("x")).await.unwrap().id();
    let policies = format!("{{\"{}\\u001b[31m\":1}}", word(1_000_000));
    let sql = "UPDATE mainspring_jobs SET policies = ?1 WHERE id = ?2";
    assert_eq!(by_hand(test.queue().path()).execute(sql, (policies, job.0)).unwrap(), 1);
    test.clock().advance(HOUR);
    let reason = format!("SELECT park_reason FROM mainspring_jobs WHERE id = {job}");
    let reason = || value::<Option<String>>(test.queue().path(), &reason);
    until("it is parked", || std::future::ready(reason().is_some())).await;
    let (reason, error) = (reason().unwrap(), test.queue().get(job).await.unwrap_err().to_string());
    for text in [reason, error, test.queue().get(word(1_000_000)).await.unwrap_err().to_string()] {
        assert!(text.len() < 1_000 && !text.chars().any(char::is_control), "{} bytes", text.len());
    }
    engine.shutdown(PATIENCE).await.unwrap();
}
