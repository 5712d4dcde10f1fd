//! Two files that differ only in what a statement must not look at: one with little behind it, one with much.

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tempfile::TempDir;

use crate::time::Timestamp;

/// The time in both files.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_767_600_000_000);

/// How much lies behind the rows that statements are about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behind {
    /// Runs of one recurring job that have ended.
    pub(super) runs_of_one_job: u32,
    /// Jobs that ran once and are finished, each with its run.
    pub(super) finished_jobs: u32,
    /// Jobs of the same queue that wait for a later time, at a higher priority.
    pub(super) delayed: u32,
    /// Jobs that wait in another queue, due.
    pub(super) in_another_queue: u32,
    /// Misses and events of one job, late results, owners that have ended.
    pub(super) others: u32,
}

pub(super) const LITTLE: Behind =
    Behind { runs_of_one_job: 100, finished_jobs: 100, delayed: 100, in_another_queue: 100, others: 100 };
pub(super) const MUCH: Behind = Behind {
    runs_of_one_job: 500_000,
    finished_jobs: 500_000,
    delayed: 100_000,
    in_another_queue: 100_000,
    others: 20_000,
};

// An id says what its row is, the same number in every table, so that it finds a row wherever it is bound.
/// A job that is ready.
pub(super) const READY: i64 = 1;
/// A job that waits for its time.
pub(super) const WAITING: i64 = 201;
/// A job that runs, and its open run.
pub(super) const RUNNING: i64 = 301;
/// A run whose output waits for its delivery, which nobody has taken up.
pub(super) const UNDELIVERED: i64 = 401;
/// A run whose delivery the owner 1 has taken up.
pub(super) const TAKEN_UP: i64 = 411;
/// A run whose delivery the owner 1 has begun.
pub(super) const DELIVERING: i64 = 421;
/// A run of whose delivery nobody knows.
pub(super) const UNKNOWN: i64 = 431;
/// A finished job, and its run.
pub(super) const FINISHED: i64 = 450;
/// The recurring job with the long history.
pub(super) const OFTEN: i64 = 501;
/// A job that was asked to run, and the request.
pub(super) const ASKED: i64 = 505;
/// A run that has ended and lost its completion to a prune.
pub(super) const HALF_PRUNED: i64 = 506;
/// A run of the recurring job.
pub(super) const OFTEN_RAN: i64 = 10_001;
/// A miss of the recurring job, and an event of it.
pub(super) const MISSED: i64 = 1_001;
/// The newest event of the recurring job.
pub(super) const NEWEST_EVENT: i64 = 900_000;

/// The rows that statements are about: a hundred jobs in each state, all in the queue `default`.
const ROWS: &str = "
INSERT INTO mainspring_owners (id, uuid, pid, host, library, started_at_ms) VALUES (1, 'one', 1, 'host', '0', 1);
INSERT INTO mainspring_queues (name, paused_at_ms) VALUES ('paused', 1);
INSERT INTO mainspring_writers (id, transaction_no, written_at_ms) VALUES (1, 1, :now_ms);
INSERT INTO mainspring_calendars (name, definition, updated_at_ms) VALUES ('often', '{}', 1);

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
INSERT INTO mainspring_jobs (
    id, kind, at_ms, schedule_activated_at_ms, next_run_at_ms, scheduled_for_ms, ready, open_runs, running_at_ms,
    running_run_id, created_at_ms, updated_at_ms, finished_at_ms)
SELECT
    i, 'kind', 1, 1,
    CASE WHEN i <= 200 THEN :now_ms - 1000 + i WHEN i <= 300 THEN :now_ms + 1000 + i END,
    CASE WHEN i <= 300 THEN 1 END,
    i <= 100, i BETWEEN 301 AND 400, iif(i BETWEEN 301 AND 400, 1, NULL), iif(i BETWEEN 301 AND 400, i, NULL),
    1, 1, iif(i > 400, 1, NULL)
FROM n;

WITH RECURSIVE n (i) AS (SELECT 301 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
INSERT INTO mainspring_runs (
    id, job_id, job_revision, kind, queue, scheduled_for_ms, attempt, trigger, owner_id, claimed_at_ms, ended_at_ms)
SELECT i, i, 1, 'kind', 'default', 1, 1, 'schedule', 1, 1, iif(i > 400, 2, NULL)
FROM n;

WITH RECURSIVE n (i) AS (SELECT 401 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
INSERT INTO mainspring_completions (
    run_id, outcome, finished_at_ms, output, delivery, delivery_queue, on_unknown_delivery, delivery_owner_id,
    next_delivery_at_ms, delivery_started_at_ms, delivery_settled_at_ms)
SELECT
    i, 'succeeded', 1, '1',
    CASE WHEN i <= 420 THEN 'pending' WHEN i <= 430 THEN 'started' WHEN i <= 440 THEN 'unknown' ELSE 'not_requested' END,
    iif(i <= 440, 'default', NULL), iif(i <= 440, 'hold', NULL), iif(i BETWEEN 411 AND 430, 1, NULL),
    iif(i <= 420, 1, NULL), iif(i BETWEEN 421 AND 430, 1, NULL), iif(i BETWEEN 431 AND 440, 1, NULL)
FROM n;

INSERT INTO mainspring_jobs (
    id, name, kind, unique_key, schedule_kind, at_ms, every_ms, schedule_activated_at_ms, next_run_at_ms,
    scheduled_for_ms, paused_at_ms, parked_at_ms, park_reason, requests, created_at_ms, updated_at_ms)
VALUES
    (501, 'often', 'kind', 'key', 'every', NULL, 60000, 1, :now_ms + 5000, :now_ms + 5000, NULL, NULL, NULL, 0, 1, 1),
    (502, NULL, 'kind', NULL, 'at', 1, NULL, 1, NULL, NULL, NULL, NULL, NULL, 0, 1, 1),
    (503, NULL, 'kind', NULL, 'at', 1, NULL, 1, 1, 1, 1, NULL, NULL, 0, 1, 1),
    (504, NULL, 'kind', NULL, 'at', 1, NULL, 1, 1, 1, NULL, 1, 'why', 0, 1, 1),
    (505, NULL, 'kind', NULL, 'at', 1, NULL, 1, :now_ms + 9000, 1, NULL, NULL, NULL, 1, 1, 1);

UPDATE mainspring_jobs
SET declared_by = 'label'
WHERE id = 501;

INSERT INTO mainspring_requests (id, job_id, trigger, scheduled_for_ms, run_at_ms, requested_at_ms)
VALUES (505, 505, 'manual', 1, :now_ms + 9000, 1);

INSERT INTO mainspring_runs (
    id, job_id, job_revision, kind, queue, scheduled_for_ms, attempt, trigger, request_id, owner_id, claimed_at_ms,
    ended_at_ms)
VALUES (506, 450, 1, 'kind', 'default', 2, 1, 'manual', 1, 1, 1, 2);

DELETE FROM mainspring_events;

INSERT INTO mainspring_events (id, job_id, kind, queue, event, at_ms)
VALUES (450, 450, 'kind', 'default', 'removed', 1), (900000, 501, 'kind', 'default', 'changed', 1);
";

/// What lies behind them.
const BEHIND: &str = "
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :runs_of_one_job)
INSERT INTO mainspring_runs (
    id, job_id, job_revision, kind, queue, scheduled_for_ms, attempt, trigger, owner_id, claimed_at_ms,
    started_at_ms, ended_at_ms)
SELECT 10000 + i, 501, 1, 'kind', 'default', i * 60000, 1, 'schedule', 1, i * 60000, i * 60000, i * 60000 + 5
FROM n;

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :runs_of_one_job)
INSERT INTO mainspring_completions (run_id, outcome, finished_at_ms)
SELECT 10000 + i, 'failed', i * 60000 + 5
FROM n;

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :finished_jobs)
INSERT INTO mainspring_jobs (
    id, kind, at_ms, schedule_activated_at_ms, last_run_at_ms, last_scheduled_for_ms, last_outcome, runs_started,
    created_at_ms, updated_at_ms, finished_at_ms)
SELECT 1000000 + i, 'kind', i, i, i, i, 'succeeded', 1, i, i, i
FROM n;

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :finished_jobs)
INSERT INTO mainspring_runs (
    id, job_id, job_revision, kind, queue, scheduled_for_ms, attempt, trigger, owner_id, claimed_at_ms,
    started_at_ms, ended_at_ms)
SELECT 1000000 + i, 1000000 + i, 1, 'kind', 'default', i, 1, 'schedule', 1, i, i, i
FROM n;

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :finished_jobs)
INSERT INTO mainspring_completions (run_id, outcome, finished_at_ms)
SELECT 1000000 + i, 'succeeded', i
FROM n;

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :delayed)
INSERT INTO mainspring_jobs (
    id, kind, priority, at_ms, schedule_activated_at_ms, next_run_at_ms, scheduled_for_ms, created_at_ms,
    updated_at_ms)
SELECT 3000000 + i, 'kind', 10, :now_ms + 3600000 + i, 1, :now_ms + 3600000 + i, :now_ms + 3600000 + i, 1, 1
FROM n;

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :in_another_queue)
INSERT INTO mainspring_jobs (
    id, kind, queue, at_ms, schedule_activated_at_ms, next_run_at_ms, scheduled_for_ms, ready, created_at_ms,
    updated_at_ms)
SELECT 4000000 + i, 'kind', 'another', i, 1, i, i, i % 2, 1, 1
FROM n;

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :others)
INSERT INTO mainspring_misses (id, job_id, from_ms, to_ms, occurrences, reason, recorded_at_ms)
SELECT 1000 + i, 501, i, i, 1, 'downtime', i
FROM n;

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :others)
INSERT INTO mainspring_events (id, job_id, kind, queue, event, at_ms)
SELECT 1000 + i, 501, 'kind', 'default', 'changed', i
FROM n;

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :others)
INSERT INTO mainspring_late_results (run_id, arrived_at_ms, outcome)
SELECT 10000 + i, i, 'failed'
FROM n;

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :others)
INSERT INTO mainspring_owners (id, uuid, pid, host, library, started_at_ms, ended_at_ms, end_reason)
SELECT 1000 + i, i, 1, 'host', '0', 1, 2, 'died'
FROM n;
";

/// A file with so much behind its rows.
pub(super) fn file(behind: Behind) -> (TempDir, Connection) {
    let dir = tempfile::tempdir().unwrap();
    let conn = Connection::open(dir.path().join("queue.db")).unwrap();
    // Nobody will miss this file, and it is to be there in seconds.
    conn.execute_batch(
        "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY; PRAGMA cache_size = -262144; BEGIN",
    )
    .unwrap();
    conn.execute_batch(include_str!("../../../migrations/V1__tables.sql")).unwrap();
    conn.execute_batch(include_str!("../../../migrations/V2__views.sql")).unwrap();
    fill(&conn, ROWS, behind);
    fill(&conn, BEHIND, behind);
    conn.execute_batch("COMMIT").unwrap();
    // As the library's connections are set.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).unwrap();
    // More than the store has statements, so that each is prepared once and counts its steps.
    conn.set_prepared_statement_cache_capacity(256);
    (dir, conn)
}

fn fill(conn: &Connection, batch: &str, behind: Behind) {
    for sql in batch.split_inclusive(";\n").filter(|sql| !sql.trim().is_empty()) {
        let mut statement = conn.prepare(sql).unwrap();
        for index in 1..=statement.parameter_count() {
            let name = statement.parameter_name(index).unwrap().to_owned();
            let value = match name.as_str() {
                ":now_ms" => NOW.millis(),
                ":runs_of_one_job" => behind.runs_of_one_job.into(),
                ":finished_jobs" => behind.finished_jobs.into(),
                ":delayed" => behind.delayed.into(),
                ":in_another_queue" => behind.in_another_queue.into(),
                ":others" => behind.others.into(),
                other => panic!("what is {other}?"),
            };
            statement.raw_bind_parameter(index, value).unwrap();
        }
        statement.raw_execute().unwrap();
    }
}
