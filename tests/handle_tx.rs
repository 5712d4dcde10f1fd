//! The twins of enqueue and schedule on the caller's own transaction.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod stage;

use mainspring::{
    Engine, Enqueued, Error, NewJob, OnDuplicate, OpenOptions, Outcome, Queue, Result, Schedule, Scheduled,
};
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, TransactionBehavior};
use stage::puppet::puppet;
use stage::*;

/// The application's connection to the same file, with a table of its own.
fn application(queue: &Queue) -> Connection {
    let conn = by_hand(queue.path());
    conn.execute_batch("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, item TEXT)").unwrap();
    conn
}

#[tokio::test]
async fn a_job_commits_with_the_callers_rows_and_the_engine_wakes() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    let mut conn = application(test.queue());
    drain(&test).await;

    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    tx.execute("INSERT INTO orders (item) VALUES ('a clock')", []).unwrap();
    let job = test.queue().enqueue_tx(&tx, note("send the clock")).unwrap();
    let many = test.queue().enqueue_many_tx(&tx, (0..3).map(|n| note(format!("{n}")))).unwrap();
    let named = test.queue().schedule_tx(&tx, "named", Schedule::at(second(0)), note("named")).unwrap();
    assert!(matches!((job, named), (Enqueued::Created(_), Scheduled::Created(_))));
    assert_eq!(many.len(), 3);
    // Nobody else sees anything of it before the commit.
    assert!(test.queue().get(job.id()).await.unwrap_err().is_not_found());
    tx.commit().unwrap();

    // No clock is moved, no other call is made: the engine finds it by itself.
    until("all five ran", || async { ledger.len() == 5 }).await;
    drain(&test).await;
    assert_eq!(outcomes(test.queue(), job.id()).await, [Outcome::Succeeded]);
    end(&test, engine).await;
}

#[tokio::test]
async fn a_job_is_rolled_back_with_the_callers_rows() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    let mut conn = application(test.queue());
    for explicit in [true, false] {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        tx.execute("INSERT INTO orders (item) VALUES ('a clock')", []).unwrap();
        test.queue().enqueue_tx(&tx, note("never")).unwrap();
        test.queue().schedule_tx(&tx, "never", Schedule::at(second(0)), note("never")).unwrap();
        if explicit {
            tx.rollback().unwrap();
        } else {
            // As `?` does in the caller's function.
            drop(tx);
        }
    }
    test.queue().enqueue(note("after")).await.unwrap();
    drain(&test).await;

    assert_eq!(ledger.texts(), ["after"]);
    let rows = "SELECT (SELECT count(*) FROM orders) || ' ' || (SELECT count(*) FROM mainspring_jobs)";
    assert_eq!(value::<String>(test.queue().path(), rows), "0 1");
    end(&test, engine).await;
}

/// An inner part of the caller's transaction that is undone takes its jobs with it, and no others.
#[tokio::test]
async fn a_savepoint_that_is_undone_takes_its_jobs_with_it() {
    let test = queue().await;
    let mut conn = application(test.queue());
    let mut tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    test.queue().enqueue_tx(&tx, note("kept")).unwrap();
    {
        let inner = tx.savepoint().unwrap();
        test.queue().enqueue_tx(&inner, note("undone")).unwrap();
    }
    tx.commit().unwrap();
    let texts: String = value(test.queue().path(), "SELECT group_concat(args) FROM mainspring_jobs");
    assert_eq!(texts, r#"{"text":"kept"}"#);
    is_sound(test.queue()).await;
}

#[tokio::test]
async fn a_connection_outside_a_transaction_is_refused_and_nothing_is_written() {
    let test = queue().await;
    let conn = application(test.queue());
    let refused: [Result<()>; 3] = [
        test.queue().enqueue_tx(&conn, note("x")).map(drop),
        test.queue().enqueue_many_tx(&conn, [note("x")]).map(drop),
        test.queue().schedule_tx(&conn, "x", Schedule::at(second(0)), note("x")).map(drop),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(Error::NoTransaction)), "{refused:?}");
    }
    assert_eq!(value::<i64>(test.queue().path(), "SELECT count(*) FROM mainspring_jobs"), 0);
}

#[tokio::test]
async fn a_transaction_on_another_database_is_refused() {
    let (test, other) = (queue().await, queue().await);
    let memory = Connection::open_in_memory().unwrap();
    let temporary = Connection::open("").unwrap();
    for conn in [application(other.queue()), memory, temporary] {
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        let refused = test.queue().enqueue_tx(&conn, note("x"));
        assert!(matches!(refused, Err(Error::OtherDatabase)), "{refused:?}");
        conn.execute_batch("COMMIT").unwrap();
    }
    assert_eq!(value::<i64>(other.queue().path(), "SELECT count(*) FROM mainspring_jobs"), 0);
    // The same file by another path is the same file.
    let link = test.dir().join("folder");
    std::os::unix::fs::symlink(test.dir(), &link).unwrap();
    let conn = by_hand(&link.join("test.db"));
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    test.queue().enqueue_tx(&conn, note("x")).unwrap();
    conn.execute_batch("COMMIT").unwrap();
    assert_eq!(value::<i64>(test.queue().path(), "SELECT count(*) FROM mainspring_jobs"), 1);
}

#[tokio::test]
async fn a_unique_key_is_held_within_the_callers_transaction_already() {
    let test = queue().await;
    let mut conn = application(test.queue());
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let unique = |text: &str| NewJob::new(note(text)).unique("key");
    let first = test.queue().enqueue_tx(&tx, unique("first")).unwrap().id();
    assert_eq!(test.queue().enqueue_tx(&tx, unique("second")).unwrap(), Enqueued::Existing(first));
    let replace = NewJob::new(note("third")).unique_or("key", OnDuplicate::Replace);
    assert_eq!(test.queue().enqueue_tx(&tx, replace).unwrap(), Enqueued::Replaced(first));
    tx.commit().unwrap();
    assert_eq!(test.queue().get(first).await.unwrap().args, r#"{"text":"third"}"#);
    is_sound(test.queue()).await;
}

/// A refused call leaves the caller's transaction as it was: the caller decides.
#[tokio::test]
async fn a_call_that_is_refused_leaves_the_callers_transaction_usable() {
    let test = queue().await;
    let mut conn = application(test.queue());
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    tx.execute("INSERT INTO orders (item) VALUES ('a clock')", []).unwrap();
    let held = test.queue().enqueue_tx(&tx, NewJob::new(note("x")).unique("key")).unwrap().id();
    let refused = test.queue().enqueue_tx(&tx, NewJob::new(note("y")).unique_or("key", OnDuplicate::Error));
    assert!(matches!(refused, Err(Error::UniqueKeyHeld { held_by, .. }) if held_by == held), "{refused:?}");
    assert!(!tx.is_autocommit());
    tx.commit().unwrap();
    let rows = "SELECT (SELECT count(*) FROM orders) || ' ' || (SELECT count(*) FROM mainspring_jobs)";
    assert_eq!(value::<String>(test.queue().path(), rows), "1 1");
}

/// While the caller's transaction is open, handlers go on; what they come to is written after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_transaction_of_the_caller_holds_up_no_handler() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    test.queue().enqueue(note("runs")).await.unwrap();
    let call = calls.next().await;
    let mut conn = application(test.queue());
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    test.queue().enqueue_tx(&tx, note("next")).unwrap();
    let run = call.cx.run_id();
    call.succeed("done");
    until("the writer waits for the caller", || async {
        test.queue().health().await.unwrap().since_last_tick_ms > 50
    })
    .await;
    assert!(test.queue().run(run).await.unwrap().ended_at.is_none());
    tx.commit().unwrap();
    calls.next().await.succeed("done");
    drain(&test).await;
    assert_eq!(outcome(&test.queue().run(run).await.unwrap()), Outcome::Succeeded);
    end(&test, engine).await;
}

/// The application's own pool: its tables and its jobs in one file and one transaction.
#[tokio::test]
async fn a_queue_on_the_applications_pool_takes_transactions_of_its_connections() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let pool = r2d2::Pool::builder().max_size(4).build(SqliteConnectionManager::file(&path)).unwrap();
    let queue = Queue::with_pool(pool.clone(), OpenOptions::new(&path)).await.unwrap();
    let ledger = Ledger::default();
    let engine = Engine::builder(queue.clone()).handler(ledger.succeeding()).build().unwrap();
    let engine = engine.start().await.unwrap();

    let mut conn = pool.get().unwrap();
    conn.execute_batch("CREATE TABLE orders (item TEXT)").unwrap();
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    tx.execute("INSERT INTO orders VALUES ('a clock')", []).unwrap();
    let job = queue.enqueue_tx(&tx, note("send it")).unwrap().id();
    tx.commit().unwrap();
    drop(conn);

    until("it ran", || async { ledger.len() == 1 }).await;
    until("its end is on record", || async {
        queue.runs(job, 1).await.unwrap().first().is_some_and(|run| run.ended_at.is_some())
    })
    .await;
    engine.shutdown(PATIENCE).await.unwrap();
    is_sound(&queue).await;
}
