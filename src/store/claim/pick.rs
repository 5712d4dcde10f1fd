//! Which jobs a claim looks at: those that fell due are made ready, then the ready ones by priority.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::due::{DueJob, due_columns};
use crate::error::{Error, Result};
use crate::job::JobId;
use crate::time::Timestamp;

/// At most so many jobs are made ready by one claim; of more that fell due together, the earliest come first.
const READY_BATCH: u32 = 1_000;
/// So many jobs of kinds that the engine has no handler for are passed over before they are set aside.
const FOREIGN_KINDS: usize = 64;
/// Jobs set aside for want of a handler, or since they cannot be claimed, come back after so many milliseconds.
pub(super) const SET_ASIDE_MS: i64 = 15_000;

const IS_PAUSED: &str = "
SELECT 1
FROM mainspring_queues
WHERE name = :queue AND paused_at_ms IS NOT NULL";

const MAKE_DUE_READY: &str = "
UPDATE mainspring_jobs
SET ready = 1
WHERE id IN (
    SELECT id
    FROM mainspring_jobs
    WHERE queue = :queue AND ready = 0 AND claimable = 1 AND next_run_at_ms <= :now_ms
    ORDER BY next_run_at_ms
    LIMIT :batch)";

const READY: &str = concat!(
    "SELECT ",
    due_columns!(),
    "
FROM mainspring_jobs
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
    tx.prepare_cached(MAKE_DUE_READY)?.execute(named_params! {
        ":queue": queue,
        ":now_ms": now,
        ":batch": READY_BATCH,
    })?;
    Ok(())
}

/// The ready jobs in order; a row that cannot be read comes as its id and the reason.
pub(super) fn ready(
    tx: &Connection,
    queue: &str,
    slots: usize,
) -> Result<Vec<std::result::Result<DueJob, (JobId, Error)>>> {
    let limit = i64::try_from(slots.saturating_add(FOREIGN_KINDS)).unwrap_or(i64::MAX);
    let mut statement = tx.prepare_cached(READY)?;
    let mut rows = statement.query(named_params! { ":queue": queue, ":limit": limit })?;
    let mut jobs = Vec::new();
    while let Some(row) = rows.next()? {
        let id = JobId(row.get("id")?);
        jobs.push(DueJob::read(row).map_err(|error| (id, error)));
    }
    Ok(jobs)
}

/// Jobs of foreign kinds stay where they are for the engines that know them, unless they hide known ones.
pub(super) fn set_aside(
    tx: &Connection,
    foreign: &[JobId],
    free_slots_left: bool,
    now: Timestamp,
) -> Result<()> {
    if foreign.len() < FOREIGN_KINDS || !free_slots_left {
        return Ok(());
    }
    let at = Timestamp::from_millis(now.millis().saturating_add(SET_ASIDE_MS));
    for id in foreign {
        tx.prepare_cached(SET_ASIDE)?.execute(named_params! { ":id": id, ":at_ms": at })?;
    }
    Ok(())
}
