//! Prune: drop old history in small pieces that never touch what is open.

use rusqlite::{Connection, named_params};

use crate::error::Result;
use crate::time::Timestamp;

/// What to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keep {
    /// Runs and finished jobs that ended before this instant are dropped …
    pub(crate) since: Timestamp,
    /// … and of those that are younger, all but this many of the newest runs.
    pub(crate) runs: Option<u64>,
}

/// Where a prune goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    run: i64,
    job: i64,
    miss: i64,
    event: i64,
}

/// What one piece dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pruned {
    pub(crate) runs: usize,
    pub(crate) jobs: usize,
    pub(crate) misses: usize,
    pub(crate) events: usize,
    /// Whether the whole history was gone through.
    pub(crate) done: bool,
}

/// So many rows of each table are looked at in one transaction.
pub(crate) const PRUNE_BATCH: i64 = 500;

// Runs are pruned in the order of their ids, which is that of their claims: a piece is a walk along the table and
// needs no index. What is open, or not delivered, stays.
const RUNS: &str = "
SELECT id, (
    ended_at_ms IS NOT NULL
    AND (ended_at_ms < :since_ms OR id <= :newest_dropped)
    AND coalesce((SELECT delivery FROM mainspring_completions WHERE run_id = r.id), 'none')
        NOT IN ('pending', 'started', 'unknown')) AS old
FROM mainspring_runs r
WHERE id > :after
ORDER BY id
LIMIT :batch";

// By a clock that was set back, a later attempt may be older than an earlier one. Attempts go in their order, so that
// none is missing from the middle.
const EARLIER_ATTEMPT_STAYS: &str = "
SELECT CASE
    WHEN r.attempt = 1 THEN 0
    WHEN r.request_id IS NULL THEN EXISTS (
        SELECT 1
        FROM mainspring_runs earlier INDEXED BY mainspring_runs_occurrence
        WHERE earlier.job_id = r.job_id
            AND earlier.scheduled_for_ms = r.scheduled_for_ms
            AND earlier.attempt = r.attempt - 1
            AND earlier.request_id IS NULL)
    ELSE EXISTS (
        SELECT 1
        FROM mainspring_runs earlier INDEXED BY mainspring_runs_request
        WHERE earlier.job_id = r.job_id
            AND earlier.request_id = r.request_id
            AND earlier.attempt = r.attempt - 1
            AND earlier.request_id IS NOT NULL)
END AS stays
FROM mainspring_runs r
WHERE r.id = :id";

const NEWEST_DROPPED: &str = "
SELECT id
FROM mainspring_runs
ORDER BY id DESC
LIMIT 1 OFFSET :keep";

const DROP_COMPLETION: &str = "DELETE FROM mainspring_completions WHERE run_id = :id";
const DROP_RUN: &str = "DELETE FROM mainspring_runs WHERE id = :id";
const DROP_LATE: &str = "
DELETE FROM mainspring_late_results INDEXED BY mainspring_late_results_of_run
WHERE run_id = :id";

// A job stays while an output of its runs may still be delivered: its policies say how. Two looks, since each of
// the two indexes of runs by job holds one half of them.
const JOBS: &str = "
SELECT j.id AS id, (
    j.finished_at_ms < :since_ms
    AND j.open_runs = 0
    AND j.requests = 0
    AND j.name IS NULL
    AND NOT EXISTS (
        SELECT 1
        FROM mainspring_runs r
        JOIN mainspring_completions c ON c.run_id = r.id
        WHERE r.job_id = j.id AND r.request_id IS NULL AND c.delivery IN ('pending', 'started', 'unknown'))
    AND NOT EXISTS (
        SELECT 1
        FROM mainspring_runs r
        JOIN mainspring_completions c ON c.run_id = r.id
        WHERE r.job_id = j.id AND r.request_id IS NOT NULL AND c.delivery IN ('pending', 'started', 'unknown'))
    ) AS old
FROM mainspring_jobs j
WHERE j.id > :after
ORDER BY j.id
LIMIT :batch";

const DROP_JOB: &str = "DELETE FROM mainspring_jobs WHERE id = :id";

const MISSES: &str = "
SELECT id, recorded_at_ms < :since_ms AS old
FROM mainspring_misses
WHERE id > :after
ORDER BY id
LIMIT :batch";

const DROP_MISS: &str = "DELETE FROM mainspring_misses WHERE id = :id";

const EVENTS: &str = "
SELECT id, at_ms < :since_ms AS old
FROM mainspring_events
WHERE id > :after
ORDER BY id
LIMIT :batch";

const DROP_EVENT: &str = "DELETE FROM mainspring_events WHERE id = :id";

/// The newest run that goes because there are enough younger ones; 0 if none does.
pub(crate) fn newest_dropped(tx: &Connection, keep: &Keep) -> Result<i64> {
    use rusqlite::OptionalExtension;
    let Some(runs) = keep.runs else { return Ok(0) };
    let offset = i64::try_from(runs).unwrap_or(i64::MAX);
    let id = tx
        .prepare_cached(NEWEST_DROPPED)?
        .query_row(named_params! { ":keep": offset }, |row| row.get("id"))
        .optional()?;
    Ok(id.unwrap_or(0))
}

/// Drops one piece and moves the cursor on.
pub(crate) fn prune(
    tx: &Connection,
    keep: &Keep,
    newest_dropped: i64,
    cursor: &mut Cursor,
) -> Result<Pruned> {
    let runs = piece(tx, RUNS, keep, Some(newest_dropped), &mut cursor.run)?;
    let mut dropped = 0;
    for id in &runs.old {
        if earlier_attempt_stays(tx, *id)? {
            continue;
        }
        dropped += 1;
        tx.prepare_cached(DROP_COMPLETION)?.execute(named_params! { ":id": id })?;
        tx.prepare_cached(DROP_LATE)?.execute(named_params! { ":id": id })?;
        tx.prepare_cached(DROP_RUN)?.execute(named_params! { ":id": id })?;
    }
    let jobs = piece(tx, JOBS, keep, None, &mut cursor.job)?;
    for id in &jobs.old {
        tx.prepare_cached(DROP_JOB)?.execute(named_params! { ":id": id })?;
    }
    let misses = piece(tx, MISSES, keep, None, &mut cursor.miss)?;
    for id in &misses.old {
        tx.prepare_cached(DROP_MISS)?.execute(named_params! { ":id": id })?;
    }
    let events = piece(tx, EVENTS, keep, None, &mut cursor.event)?;
    for id in &events.old {
        tx.prepare_cached(DROP_EVENT)?.execute(named_params! { ":id": id })?;
    }
    Ok(Pruned {
        runs: dropped,
        jobs: jobs.old.len(),
        misses: misses.old.len(),
        events: events.old.len(),
        done: runs.last && jobs.last && misses.last && events.last,
    })
}

fn earlier_attempt_stays(tx: &Connection, id: i64) -> Result<bool> {
    Ok(tx
        .prepare_cached(EARLIER_ATTEMPT_STAYS)?
        .query_row(named_params! { ":id": id }, |row| row.get("stays"))?)
}

struct Piece {
    old: Vec<i64>,
    last: bool,
}

fn piece(
    tx: &Connection,
    sql: &str,
    keep: &Keep,
    newest_dropped: Option<i64>,
    cursor: &mut i64,
) -> Result<Piece> {
    let mut statement = tx.prepare_cached(sql)?;
    let mut parameters: Vec<(&str, &dyn rusqlite::ToSql)> =
        vec![(":since_ms", &keep.since), (":after", cursor), (":batch", &PRUNE_BATCH)];
    if let Some(newest) = &newest_dropped {
        parameters.push((":newest_dropped", newest));
    }
    let mut looked_at = 0;
    let mut old = Vec::new();
    let mut end = *cursor;
    {
        let mut rows = statement.query(parameters.as_slice())?;
        while let Some(row) = rows.next()? {
            looked_at += 1;
            end = row.get("id")?;
            if row.get::<_, Option<bool>>("old")?.unwrap_or(false) {
                old.push(end);
            }
        }
    }
    *cursor = end;
    Ok(Piece { old, last: looked_at < PRUNE_BATCH })
}
