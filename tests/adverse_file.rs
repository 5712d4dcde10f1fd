//! Adverse states of the file: what somebody else does to it while the queue is open.
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
use std::path::{Path, PathBuf};
use std::time::Duration;

use mainspring::{Engine, EngineHandle, Error, JobId, NewJob, OpenOptions, Outcome, Queue};
use stage::puppet::{Calls, puppet};
use stage::*;

/// How long a connection waits for a lock, where a test is about waiting in vain.
const SHORT: Duration = Duration::from_millis(100);

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
    let vacuum = tokio::task::spawn_blocking(move || {
        let conn = by_hand(&path);
        for _ in 0..5 {
            conn.execute_batch("VACUUM").unwrap();
        }
    });
    let mut jobs = 0;
    while jobs < 300 || !vacuum.is_finished() {
        queue.enqueue(note(format!("job {jobs}"))).await.unwrap();
        jobs += 1;
    }
    vacuum.await.unwrap();
    until("all have run", || async { queue.status().await.unwrap().running == 0 && ledger.len() >= jobs })
        .await;
    let mut texts = ledger.texts();
    texts.sort();
    texts.dedup();
    assert_eq!((texts.len(), ledger.len()), (jobs, jobs), "each once");
    engine.shutdown(PATIENCE).await.unwrap();
    is_sound(&queue).await;
    assert_eq!(queue.integrity().await.unwrap(), []);
}
