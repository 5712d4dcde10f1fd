//! Redeliver: a person decides that an output is to be sent after all.

use rusqlite::{Connection, OptionalExtension, named_params};

use crate::error::{Error, Result};
use crate::run::{Delivery, RunId};
use crate::time::Timestamp;

const LOOK: &str = "
SELECT (SELECT delivery FROM mainspring_completions WHERE run_id = :run_id) AS delivery
FROM mainspring_runs
WHERE id = :run_id";

// The window is for what is sent by itself: whoever sends by hand knows how late it is.
const PENDING_AGAIN: &str = "
UPDATE mainspring_completions
SET delivery = 'pending',
    delivery_owner_id = NULL,
    next_delivery_at_ms = :now_ms,
    deliver_by_ms = NULL,
    delivery_settled_at_ms = NULL
WHERE run_id = :run_id AND delivery IN ('failed', 'unknown')";

/// Makes a delivery that failed, or of which nobody knows, pending again. One that is delivered stays delivered.
pub(crate) fn redeliver(tx: &Connection, run_id: RunId, now: Timestamp) -> Result<()> {
    let delivery: Option<Option<Delivery>> = tx
        .prepare_cached(LOOK)?
        .query_row(named_params! { ":run_id": run_id }, |row| row.get("delivery"))
        .optional()?;
    match delivery {
        None => Err(Error::RunNotFound(run_id)),
        Some(None) => Err(Error::invalid("run", "is open: its output is delivered when it has ended")),
        Some(Some(Delivery::Failed | Delivery::Unknown)) => {
            tx.prepare_cached(PENDING_AGAIN)?.execute(named_params! { ":run_id": run_id, ":now_ms": now })?;
            Ok(())
        }
        Some(Some(other)) => Err(Error::invalid(
            "run",
            format!("has delivery '{other}': only a failed or an unknown one is sent again"),
        )),
    }
}
