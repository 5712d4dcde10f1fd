//! What the deliberate bugs write. Nothing in here runs unless one of them is switched on.

use rusqlite::{Connection, named_params};

use crate::error::Result;
use crate::exchange::{Complete, Completed};
use crate::run::Delivery;
use crate::time::Timestamp;

/// Ends the transaction in the middle and begins another one.
pub(super) fn split(tx: &Connection) -> Result<()> {
    Ok(tx.execute_batch("COMMIT; BEGIN IMMEDIATE; SAVEPOINT part")?)
}

const OVERWRITE: &str = "
INSERT OR REPLACE INTO mainspring_completions (run_id, outcome, finished_at_ms, output, error, error_class, delivery)
VALUES (:run_id, :outcome, :finished_at_ms, :output, :error, :error_class, 'not_requested')";

/// Takes a late result for the outcome.
pub(super) fn overwrite(tx: &Connection, fact: &Complete) -> Result<Completed> {
    tx.execute(
        OVERWRITE,
        named_params! {
            ":run_id": fact.run_id,
            ":outcome": fact.outcome,
            ":finished_at_ms": fact.finished_at,
            ":output": fact.output,
            ":error": fact.error,
            ":error_class": fact.error_class,
        },
    )?;
    Ok(Completed { delivery: Delivery::NotRequested, next_run_at: None })
}

const RECOMPUTE: &str = "
UPDATE mainspring_jobs
SET next_run_at_ms = :now_ms + 60000, scheduled_for_ms = :now_ms + 60000, ready = 0
WHERE schedule_kind IN ('cron', 'every') AND attempt = 1 AND open_runs = 0 AND next_run_at_ms <= :now_ms";

/// Moves what is overdue into the future.
pub(crate) fn recompute(tx: &Connection, now: Timestamp) -> Result<()> {
    tx.execute(RECOMPUTE, named_params! { ":now_ms": now })?;
    Ok(())
}
