//! Which jobs a claim looks at: those that fell due are made ready, then the ready ones by priority.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Rows, named_params};

use super::due::{DueJob, due_columns};
use crate::error::{Error, Result};
use crate::job::JobId;
use crate::time::Timestamp;

/// At most so many jobs are made ready by one claim; of more that fell due together, the earliest come first.
const READY_BATCH: u32 = 1_000;
/// So many jobs of kinds that the engine has no handler for are passed over before known ones are looked for behind
/// them.
const FOREIGN_KINDS: usize = 64;
/// So far is looked behind them: a millisecond's work. Beyond that some of them are set aside.
const LOOK_BEHIND: u32 = 1_000;
/// Jobs set aside for want of a handler come back after so many milliseconds.
const SET_ASIDE_MS: i64 = 15_000;

/// A ready job, or the id of one that cannot be read and the reason.
pub(super) type Picked = std::result::Result<DueJob, (JobId, Error)>;

const IS_PAUSED: &str = "
SELECT 1
FROM mainspring_queues
WHERE name = :queue AND paused_at_ms IS NOT NULL";

const FELL_DUE: &str = "
SELECT id
FROM mainspring_jobs INDEXED BY mainspring_jobs_scheduled
WHERE queue = :queue AND ready = 0 AND claimable = 1 AND next_run_at_ms <= :now_ms
ORDER BY next_run_at_ms
LIMIT :batch";

const MAKE_READY: &str = "
UPDATE mainspring_jobs
SET ready = 1
WHERE id = :id";

const READY: &str = concat!(
    "SELECT ",
    due_columns!(),
    "
FROM mainspring_jobs INDEXED BY mainspring_jobs_ready
WHERE queue = :queue AND ready = 1 AND claimable = 1
ORDER BY priority DESC, next_run_at_ms, id
LIMIT :limit"
);

// The subquery is read row by row, and no further than there are slots.
const BEHIND: &str = concat!(
    "SELECT ",
    due_columns!(),
    "
FROM (
    SELECT ",
    due_columns!(),
    "
    FROM mainspring_jobs
    WHERE queue = :queue AND ready = 1 AND claimable = 1
    ORDER BY priority DESC, next_run_at_ms, id
    LIMIT :look_behind)
WHERE kind IN (SELECT value FROM json_each(:kinds))
LIMIT :limit"
);

// Every second one: whoever has the handler finds the others, however often this is done. Which half it is follows
// from the time, so that the halves that are left do not pile up.
const SET_ASIDE: &str = "
UPDATE mainspring_jobs
SET ready = 0, next_run_at_ms = :at_ms
WHERE id IN (
    SELECT id
    FROM mainspring_jobs
    WHERE queue = :queue AND ready = 1 AND claimable = 1
    ORDER BY priority DESC, next_run_at_ms, id
    LIMIT :look_behind)
AND (id + :now_ms) % 2 = 0";

const HOW_MANY: &str = "
SELECT count(*)
FROM (
    SELECT id
    FROM mainspring_jobs
    WHERE queue = :queue AND ready = 1 AND claimable = 1
    ORDER BY priority DESC, next_run_at_ms, id
    LIMIT :look_behind)";

/// Whether an operator paused the queue.
pub(super) fn is_paused(tx: &Connection, queue: &str) -> Result<bool> {
    let paused =
        tx.prepare_cached(IS_PAUSED)?.query_row(named_params! { ":queue": queue }, |_| Ok(())).optional()?;
    Ok(paused.is_some())
}

pub(super) fn make_due_ready(tx: &Connection, queue: &str, now: Timestamp) -> Result<()> {
    let due: Vec<JobId> = tx
        .prepare_cached(FELL_DUE)?
        .query_map(named_params! { ":queue": queue, ":now_ms": now, ":batch": READY_BATCH }, |row| {
            row.get("id")
        })?
        .collect::<rusqlite::Result<_>>()?;
    for id in due {
        tx.prepare_cached(MAKE_READY)?.execute(named_params! { ":id": id })?;
    }
    Ok(())
}

/// The ready jobs in order.
pub(super) fn ready(tx: &Connection, queue: &str, slots: usize) -> Result<Vec<Picked>> {
    let limit = i64::try_from(slots.saturating_add(FOREIGN_KINDS)).unwrap_or(i64::MAX);
    let mut statement = tx.prepare_cached(READY)?;
    picked(statement.query(named_params! { ":queue": queue, ":limit": limit })?)
}

/// Whether so many jobs of foreign kinds were passed over that known ones may stand behind them, unseen.
pub(super) fn may_hide_others(foreign: usize) -> bool {
    foreign >= FOREIGN_KINDS
}

/// Ready jobs of these kinds, also behind many of others. Those of foreign kinds stay where they are for the engines
/// that know them, unless there are too many of them to look behind.
pub(super) fn behind_foreign(
    tx: &Connection,
    queue: &str,
    kinds: &HashSet<String>,
    slots: usize,
    now: Timestamp,
) -> Result<Vec<Picked>> {
    let kinds = serde_json::json!(kinds).to_string();
    let mut statement = tx.prepare_cached(BEHIND)?;
    let behind = picked(statement.query(named_params! {
        ":queue": queue,
        ":kinds": kinds,
        ":look_behind": LOOK_BEHIND,
        ":limit": i64::try_from(slots).unwrap_or(i64::MAX),
    })?)?;
    if behind.is_empty() {
        set_aside(tx, queue, now)?;
    }
    Ok(behind)
}

fn set_aside(tx: &Connection, queue: &str, now: Timestamp) -> Result<()> {
    let in_front: u32 = tx
        .prepare_cached(HOW_MANY)?
        .query_row(named_params! { ":queue": queue, ":look_behind": LOOK_BEHIND }, |row| row.get(0))?;
    if in_front < LOOK_BEHIND {
        return Ok(());
    }
    tx.prepare_cached(SET_ASIDE)?.execute(named_params! {
        ":queue": queue,
        ":look_behind": LOOK_BEHIND,
        ":at_ms": now.millis().saturating_add(SET_ASIDE_MS),
        ":now_ms": now,
    })?;
    Ok(())
}

fn picked(mut rows: Rows<'_>) -> Result<Vec<Picked>> {
    let mut jobs = Vec::new();
    while let Some(row) = rows.next()? {
        let id = JobId(row.get("id")?);
        jobs.push(DueJob::read(row).map_err(|error| (id, error)));
    }
    Ok(jobs)
}
