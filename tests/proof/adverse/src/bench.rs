//! What the states share: a runtime, files, waiting, and how a file is judged.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use mainspring::{Outcome, Queue};
use rusqlite::Connection;

/// How long anything is waited for. A machine that is busy is slow, not wrong.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long a connection waits for a lock, where a state is about not getting any further.
pub const SHORT: Duration = Duration::from_millis(150);

pub fn run<T>(state: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(state)
}

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: it did not come"))
}

/// Looks again and again until it is so.
pub async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    soon(what, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// The file breaks no invariant, neither ours nor SQLite's.
pub async fn is_sound(queue: &Queue) {
    assert_eq!(queue.doctor().await.unwrap(), []);
    assert_eq!(queue.integrity().await.unwrap(), []);
}

/// How often each run of each job ended, and how: `(job, run, outcome)`.
pub fn ends(path: &Path) -> Vec<(i64, i64, Outcome)> {
    let conn = Connection::open(path).unwrap();
    conn.busy_timeout(PATIENCE).unwrap();
    let mut statement = conn
        .prepare(
            "SELECT r.job_id, r.id, c.outcome
             FROM mainspring_runs r JOIN mainspring_completions c ON c.run_id = r.id ORDER BY r.id",
        )
        .unwrap();
    let ends = statement
        .query_map([], |row| {
            let outcome: String = row.get(2)?;
            Ok((row.get(0)?, row.get(1)?, outcome.parse().unwrap()))
        })
        .unwrap();
    ends.map(Result::unwrap).collect()
}

pub fn count(path: &Path, sql: &str) -> i64 {
    let conn = Connection::open(path).unwrap();
    conn.busy_timeout(PATIENCE).unwrap();
    conn.query_row(sql, [], |row| row.get(0)).unwrap()
}
