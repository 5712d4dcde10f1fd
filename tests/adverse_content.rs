//! Adverse states of what is in the file: a page that is lost, a copy that is opened, values that nobody can read.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod stage;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use mainspring::{
    Engine, EngineHandle, Error, Failure, JobArgs, JobId, ListFilter, NewJob, Outcome, OwnerId, Queue,
    RunContext, Schedule,
};
use rusqlite::Connection;
use stage::child::{self, Child};
use stage::puppet::{Calls, puppet};
use stage::*;

#[test]
#[ignore = "a child of the tests in this file"]
fn a_child_plays_its_part() {
    child::play(|part, path| match part {
        "runs until it is killed" => run_until_killed(path),
        other => panic!("there is no part {other:?}"),
    });
}

fn run_until_killed(path: PathBuf) {
    child::end_with_the_test();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let handler = |_: Note, _: RunContext| async {
            child::say("runs");
            std::future::pending::<Result<(), Failure>>().await
        };
        let engine = Engine::builder(Queue::open(&path).await.unwrap()).handler(handler).queue("default", 1);
        let _engine = engine.build().unwrap().start().await.unwrap();
        std::future::pending::<()>().await;
    });
}

/// A queue in a folder of its own, on the system's clock.
async fn place() -> (tempfile::TempDir, PathBuf, Queue) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let queue = Queue::open(&path).await.unwrap();
    (dir, path, queue)
}

async fn engine(queue: &Queue) -> (EngineHandle, Calls) {
    let (handler, calls) = puppet();
    let engine = Engine::builder(queue.clone()).handler(handler).queue("default", 2);
    (engine.build().unwrap().start().await.unwrap(), calls)
}

async fn ended(queue: &Queue, job: JobId, outcome: Outcome) {
    until("the run has ended", || async { queue.get(job).await.unwrap().last_outcome == Some(outcome) })
        .await;
}

/// The page on which the rows of a table begin, counted from 0, and the size of one.
fn root_page(path: &Path, table: &str) -> (u64, u64) {
    let conn = Connection::open(path).unwrap();
    // What is in the log would be read instead of what is in the file.
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let page = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
    let page: u32 = conn.query_row(page, [table], |row| row.get(0)).unwrap();
    let size: u32 = conn.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
    (u64::from(page) - 1, u64::from(size))
}

/// A disk lost a page behind the header, which opening does not look at.
#[tokio::test]
async fn a_damaged_page_is_an_error_of_sqlite_and_nothing_is_made_anew() {
    let (_dir, path, queue) = place().await;
    queue.schedule("job", Schedule::cron("@daily").unwrap(), note("x")).await.unwrap();
    queue.enqueue(note("due")).await.unwrap();
    queue.close().await.unwrap();
    drop(queue);
    let (page, size) = root_page(&path, "mainspring_jobs");
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let damage = vec![0x5a; size as usize];
    file.write_all_at(&damage, page * size).unwrap();
    drop(file);
    let before = fs::read(&path).unwrap();

    let queue = Queue::open(&path).await.unwrap();
    let is_corrupt = |error: &Error| match error {
        Error::Sqlite(error) => error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt),
        _ => false,
    };
    let told = [
        queue.list(ListFilter::default()).await.map(drop),
        queue.get("job").await.map(drop),
        queue.schedule("job", Schedule::cron("@daily").unwrap(), note("x")).await.map(drop),
        queue.enqueue(note("another")).await.map(drop),
    ];
    for told in told {
        let error = told.unwrap_err();
        assert!(is_corrupt(&error), "{error:?}");
        assert!(error.to_string().contains("database disk image is malformed"), "{error}");
    }
    assert!(
        queue.integrity().await.is_err_and(|error| is_corrupt(&error))
            || !queue.integrity().await.unwrap().is_empty()
    );
    // An engine does not start on it, or starts and says what is wrong; it claims nothing.
    let (handler, calls) = puppet();
    if let Ok(engine) = Engine::builder(queue.clone()).handler(handler).build().unwrap().start().await {
        until("the engine tells of it", || std::future::ready(engine.health().last_error.is_some())).await;
        drop(engine.shutdown(SECOND).await);
    }
    assert!(calls.is_empty());
    drop(queue.close().await);
    drop(queue);
    let after = fs::read(&path).unwrap();
    let at = (page * size) as usize;
    assert_eq!(after[at..at + size as usize], damage, "the page was written anew");
    assert!(after.len() >= before.len());
}

/// A backup was opened while the original lives on, with a run open in it. The copy is a queue of its own: the run is a
/// dead owner's there, and goes on in the original. What both do carries the same idempotency keys.
#[tokio::test]
async fn a_copy_that_is_opened_as_if_it_were_the_original_is_a_queue_of_its_own() {
    let (dir, path, queue) = place().await;
    let job = queue.enqueue(note("x")).await.unwrap().id();
    let child = Child::start(&path, "runs until it is killed");
    child.hear_of("runs");
    let copied = dir.path().join("copy.db");
    by_hand(&path).execute("VACUUM INTO ?1", [copied.to_str()]).unwrap();

    let copy = Queue::open(&copied).await.unwrap();
    assert_eq!(copy.database_uuid(), queue.database_uuid());
    let (engine, mut calls) = engine(&copy).await;
    let call = calls.next().await;
    assert_eq!((call.cx.job_id(), call.cx.attempt()), (job, 2));
    let original = runs(&queue, job).await.remove(0);
    assert_eq!(call.cx.idempotency_key(), queue.idempotency_key(&original));
    call.succeed("done");
    ended(&copy, job, Outcome::Succeeded).await;
    assert_eq!(outcomes(&copy, job).await, [Outcome::Interrupted, Outcome::Succeeded]);
    engine.shutdown(PATIENCE).await.unwrap();
    is_sound(&copy).await;

    // The original has noticed nothing.
    let open = runs(&queue, job).await;
    assert!(open.len() == 1 && open[0].completion.is_none(), "{open:?}");
    assert_eq!(open[0].owner_id, OwnerId(1));
    child.kill();
}

/// Work that takes any JSON.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
struct Anything(serde_json::Value);

impl JobArgs for Anything {
    const KIND: &'static str = "anything";
}

/// What a row holds may be deeper than serde_json reads, and longer than our connections take.
#[tokio::test]
async fn deep_or_huge_json_in_a_row_parks_that_job_by_name_and_the_others_run() {
    let test = queue().await;
    let ledger = Ledger::default();
    let add = |name: &'static str| {
        let queue = test.queue();
        async move { queue.schedule(name, Schedule::cron("0 * * * *").unwrap(), note("x")).await.unwrap().id() }
    };
    let any = NewJob::new(Anything(serde_json::Value::Null));
    let deep = test.queue().schedule("deep", Schedule::cron("0 * * * *").unwrap(), any).await.unwrap().id();
    let huge = add("huge").await;
    let fine = NewJob::new(note("fine")).priority(-1_000);
    test.queue().schedule("fine", Schedule::cron("0 * * * *").unwrap(), fine).await.unwrap();
    let conn = by_hand(test.queue().path());
    let nested = "[".repeat(500) + &"]".repeat(500);
    let set = |job: JobId, args: &str| {
        conn.execute("UPDATE mainspring_jobs SET args = ?1 WHERE id = ?2", (args, job.0)).unwrap()
    };
    assert_eq!(set(deep, &nested) + set(huge, &format!("\"{}\"", "x".repeat(70 << 20))), 2);

    let anything = |_: Anything, _: RunContext| async { Err::<(), _>(Failure::new("it was read")) };
    let handlers = |engine: mainspring::EngineBuilder| engine.handler(ledger.succeeding()).handler(anything);
    let engine = start(&test, |engine| handlers(engine).queue("default", 1)).await;
    pass(&test, HOUR).await;
    assert_eq!(ledger.texts(), ["fine"]);
    let reason = |job: JobId| {
        let sql = format!("SELECT park_reason FROM mainspring_jobs WHERE id = {job}");
        value::<Option<String>>(test.queue().path(), &sql).unwrap_or_default()
    };
    assert!(reason(deep).starts_with("column \"args\": recursion limit exceeded"), "{}", reason(deep));
    assert!(reason(huge).contains("column \"args\""), "{}", reason(huge));
    let list = test.queue().list(ListFilter::default()).await.unwrap();
    assert_eq!(list.jobs.len() + list.unreadable.len(), 3);
    pass(&test, HOUR).await;
    assert_eq!(ledger.texts(), ["fine", "fine"]);
    end(&test, engine).await;
}
