//! Adverse states of the file: what somebody else does to it, or its disk, while the queue is open or before.
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
use std::time::Duration;

use mainspring::{
    Engine, EngineHandle, Error, Failure, JobArgs, JobId, ListFilter, NewJob, OpenOptions, Outcome, OwnerId,
    Queue, RunContext, Schedule,
};
use rusqlite::Connection;
use stage::child::{self, Child};
use stage::puppet::{Calls, puppet};
use stage::*;

/// How long a connection waits for a lock, where a test is about waiting in vain.
const SHORT: Duration = Duration::from_millis(100);

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
async fn place(options: impl FnOnce(OpenOptions) -> OpenOptions) -> (tempfile::TempDir, PathBuf, Queue) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let queue = Queue::open_with(options(OpenOptions::new(&path))).await.unwrap();
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

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

// ---- the write-ahead log

/// Somebody tidied up, or a backup tool moved the log along. SQLite goes on with the file that it has open, and all that
/// is written from then on is gone with the process.
#[tokio::test]
async fn a_deleted_log_is_a_replaced_file_and_what_was_in_it_is_kept() {
    let (_dir, path, queue) = place(|options| options).await;
    let (engine, _calls) = engine(&queue).await;
    let jobs: u32 = 20;
    for n in 0..jobs {
        queue.enqueue(NewJob::new(note(format!("job {n}"))).after(HOUR)).await.unwrap();
    }
    let log = beside(&path, "-wal");
    assert!(fs::metadata(&log).unwrap().len() > 0);
    fs::remove_file(&log).unwrap();
    let refused = queue.enqueue(note("too late")).await.unwrap_err();
    assert!(matches!(&refused, Error::FileReplaced { path } if path.ends_with("app.db-wal")), "{refused:?}");
    until("health tells of it", || async {
        queue
            .health()
            .await
            .is_ok_and(|health| health.last_error.is_some_and(|error| error.contains("app.db-wal")))
    })
    .await;
    // The process ends, whatever it still wants to say.
    drop(engine.shutdown(SECOND).await);
    drop(queue.close().await);
    drop(queue);
    let queue = Queue::open(&path).await.unwrap();
    assert_eq!(queue.status().await.unwrap().scheduled, jobs);
    is_sound(&queue).await;
}

/// As long as somebody reads, nothing can be moved out of the log.
#[tokio::test]
async fn a_reader_that_keeps_the_log_from_being_emptied_is_told_of_in_health() {
    let (_dir, path, queue) = place(|options| options).await;
    let (engine, _calls) = engine(&queue).await;
    let reader = by_hand(&path);
    reader.execute_batch("BEGIN").unwrap();
    let count =
        || reader.query_row("SELECT count(*) FROM mainspring_jobs", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count(), 0);
    let text = "x".repeat(1_000_000);
    for _ in 0..36 {
        queue.enqueue(NewJob::new(note(&text)).after(HOUR)).await.unwrap();
    }
    until("health tells of it", || async { queue.health().await.unwrap().log_is_held_back }).await;
    let health = queue.health().await.unwrap();
    assert!(health.log_bytes > 32 << 20 && engine.health().last_error.is_none(), "{health:?}");
    assert_eq!(count(), 0);
    reader.execute_batch("COMMIT").unwrap();
    until("it is over", || async {
        queue.enqueue(NewJob::new(note("x")).after(HOUR)).await.unwrap();
        !queue.health().await.unwrap().log_is_held_back
    })
    .await;
    engine.shutdown(PATIENCE).await.unwrap();
}

// ---- somebody else's transactions

/// The lock is held longer than any caller waits: callers are told, once each has waited as long as it may; results are
/// not callers, and wait on. Nothing fails, and no handler is called twice.
#[tokio::test]
async fn a_lock_that_outlasts_every_patience_is_busy_to_callers_and_delays_all_else() {
    let (_dir, path, queue) = place(|options| options.busy_timeout(SHORT)).await;
    let (engine, mut calls) = engine(&queue).await;
    let open = queue.enqueue(note("open")).await.unwrap().id();
    let call = calls.next().await;
    let other = by_hand(&path);
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    call.succeed("done");
    for _ in 0..5 {
        let refused = queue.enqueue(note("refused")).await.unwrap_err();
        assert!(matches!(refused, Error::Busy { .. }) && refused.is_busy(), "{refused:?}");
        assert!(refused.to_string().contains("another connection holds a long transaction"), "{refused}");
        assert!(matches!(queue.pause(open, None).await, Err(Error::Busy { .. })));
    }
    // Readers are in nobody's way, and see that the run has no end yet.
    assert_eq!(queue.get(open).await.unwrap().last_outcome, None);
    assert!(queue.health().await.unwrap().last_error.is_some_and(|error| error.contains("busy")));
    other.execute_batch("ROLLBACK").unwrap();
    ended(&queue, open, Outcome::Succeeded).await;
    let job = queue.enqueue(note("after it")).await.unwrap().id();
    calls.next().await.succeed("done");
    ended(&queue, job, Outcome::Succeeded).await;
    assert!(calls.is_empty());
    until("all is well", || async { queue.health().await.unwrap().last_error.is_none() }).await;
    engine.shutdown(PATIENCE).await.unwrap();
    is_sound(&queue).await;
}

#[tokio::test]
async fn vacuum_under_load_delays_jobs_and_loses_none() {
    let (_dir, path, queue) = place(|options| options).await;
    let ledger = Ledger::default();
    let engine = Engine::builder(queue.clone()).handler(ledger.succeeding()).queue("default", 4);
    let engine = engine.build().unwrap().start().await.unwrap();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let vacuum = tokio::task::spawn_blocking(move || {
        let conn = by_hand(&path);
        let mut times = 0;
        while stopped.try_recv().is_err() {
            conn.execute_batch("VACUUM").unwrap();
            times += 1;
        }
        times
    });
    let jobs = 300;
    for n in 0..jobs {
        queue.enqueue(note(format!("job {n}"))).await.unwrap();
    }
    until("all have run", || async { queue.status().await.unwrap().running == 0 && ledger.len() >= jobs })
        .await;
    stop.send(()).unwrap();
    assert!(vacuum.await.unwrap() > 1);
    let mut texts = ledger.texts();
    texts.sort();
    texts.dedup();
    assert_eq!((texts.len(), ledger.len()), (jobs, jobs), "each once");
    engine.shutdown(PATIENCE).await.unwrap();
    is_sound(&queue).await;
    assert_eq!(queue.integrity().await.unwrap(), []);
}

// ---- what is in the file

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
    let (_dir, path, queue) = place(|options| options).await;
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
    let (dir, path, queue) = place(|options| options).await;
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
