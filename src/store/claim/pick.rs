//! Which jobs a claim looks at: those that fell due are made ready, then the ready ones by priority.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, named_params};

use super::due::{DueJob, due_columns};
use crate::error::{Error, Result};
use crate::job::JobId;
use crate::store::Tx;
use crate::store::parameters::bind;
use crate::time::Timestamp;

/// At most so many jobs are made ready by one claim; of more that fell due together, the earliest come first.
const READY_BATCH: u32 = 1_000;
/// So many jobs of kinds that the engine has no handler for are passed over in search of known ones: a few
/// milliseconds' work. If there is nothing else, some of them are set aside.
const MOST_PASSED_OVER: usize = 1_000;
/// Jobs set aside for want of a handler, or since they cannot be claimed, come back after so many milliseconds.
pub(super) const SET_ASIDE_MS: i64 = 15_000;

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

const SET_ASIDE: &str = "
UPDATE mainspring_jobs
SET ready = 0, next_run_at_ms = :at_ms
WHERE id = :id";

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

/// The ready jobs of these kinds in order, as many as there are slots. Those of foreign kinds stay where they are for
/// the engines that know them, unless nothing else is found behind too many of them.
pub(super) fn ready(
    tx: &Tx<'_>,
    queue: &str,
    kinds: &HashSet<String>,
    slots: usize,
    now: Timestamp,
) -> Result<Vec<Picked>> {
    let mut jobs = Vec::new();
    let mut foreign = Vec::new();
    let limit = i64::try_from(slots.saturating_add(MOST_PASSED_OVER)).unwrap_or(i64::MAX);
    tx.with(READY, |statement| {
        bind!(statement, READY, { ":queue": queue, ":limit": limit });
        let mut rows = statement.raw_query();
        // Row by row in the order of the index: what is behind the last slot is not read.
        while jobs.len() < slots
            && let Some(row) = rows.next()?
        {
            let columns = DueJob::columns(row)?;
            let id = JobId(columns.id());
            match columns.text("kind") {
                Some(kind) if !kinds.contains(kind) => foreign.push(id),
                // One that cannot be read is named by the read.
                _ => jobs.push(DueJob::read(&columns, queue).map_err(|error| (id, error))),
            }
        }
        Ok(())
    })?;
    if jobs.is_empty() && foreign.len() >= MOST_PASSED_OVER {
        set_aside(tx, &foreign, now)?;
    }
    Ok(jobs)
}

/// Every second one: whoever has the handler finds the others, however often this is done. Which half it is follows
/// from the time, so that the halves that are left do not pile up.
fn set_aside(tx: &Connection, foreign: &[JobId], now: Timestamp) -> Result<()> {
    let at = Timestamp::from_millis(now.millis().saturating_add(SET_ASIDE_MS));
    for id in foreign.iter().filter(|id| (id.0 ^ now.millis()) & 1 == 0) {
        tx.prepare_cached(SET_ASIDE)?.execute(named_params! { ":id": id, ":at_ms": at })?;
    }
    Ok(())
}
