//! What stands on record, and that nothing of it is broken.

use std::path::Path;

use mainspring::{Delivery, JobId, Outcome, Queue, Run};
use rusqlite::Connection;

use super::eventually;

/// How the attempts of a job ended and what became of their deliveries, in order; `None` for an open run.
pub async fn attempts(queue: &Queue, job: JobId) -> Vec<(u32, Option<(Outcome, Delivery)>)> {
    let runs = runs(queue, job).await;
    runs.iter()
        .map(|run| (run.attempt, run.completion.as_ref().map(|end| (end.outcome, end.delivery))))
        .collect()
}

/// All runs of a job, oldest first.
pub async fn runs(queue: &Queue, job: JobId) -> Vec<Run> {
    let mut runs = queue.runs(job, 10_000).await.unwrap();
    runs.reverse();
    runs
}

/// Waits until all that is due by now is done, and no engine is on record but `engines` living ones.
pub async fn settled(queue: &Queue, engines: u32) {
    eventually("everything is settled", || async {
        let status = queue.status().await.unwrap();
        let left = status.ready + status.overdue + status.running + status.undelivered + status.delivering;
        (left == 0 && status.engines == engines).then_some(())
    })
    .await;
}

/// Waits until a job has nothing left to do, whenever that is due.
pub async fn finished(queue: &Queue, job: JobId) {
    eventually("the end of a job", || async { queue.get(job).await.unwrap().finished_at }).await;
}

/// Fails if anything in the file is not as it must be.
pub async fn assert_sound(queue: &Queue) {
    let found = queue.doctor().await.unwrap();
    assert!(found.is_empty(), "{found:#?}");
}

/// Changes the file as a person with a shell does.
pub fn edit(dir: &Path, sql: &str) -> usize {
    let conn = Connection::open(dir.join("app.db")).unwrap();
    conn.busy_timeout(super::PATIENCE).unwrap();
    conn.execute(sql, []).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// One value from the file.
pub fn value<T: rusqlite::types::FromSql>(dir: &Path, sql: &str) -> T {
    let conn = Connection::open(dir.join("app.db")).unwrap();
    conn.busy_timeout(super::PATIENCE).unwrap();
    conn.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}
