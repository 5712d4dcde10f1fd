//! The ledger of occurrences that were not run, a range in one row.

use rusqlite::{Connection, OptionalExtension, named_params};

use crate::error::Result;
use crate::job::JobId;
use crate::plan::Miss;
use crate::time::Timestamp;

const RECORD: &str = "
INSERT INTO mainspring_misses (job_id, from_ms, to_ms, occurrences, exact, reason, recorded_at_ms)
VALUES (:job_id, :from_ms, :to_ms, :occurrences, :exact, :reason, :now_ms)";

/// Puts the misses that `plan` decided on record.
pub(crate) fn record(tx: &Connection, job: JobId, misses: &[Miss], now: Timestamp) -> Result<()> {
    for miss in misses {
        tx.prepare_cached(RECORD)?.execute(named_params! {
            ":job_id": job,
            ":from_ms": miss.from,
            ":to_ms": miss.to,
            ":occurrences": i64::try_from(miss.occurrences).unwrap_or(i64::MAX),
            ":exact": miss.exact,
            ":reason": miss.reason.as_str(),
            ":now_ms": now,
        })?;
    }
    Ok(())
}

const LAST: &str = "
SELECT to_ms
FROM mainspring_misses
WHERE job_id = :job_id
ORDER BY from_ms DESC
LIMIT 1";

/// Up to where the occurrences of a job are run or on record, while another attempt at `occurrence` waits: later ones
/// may be on record already, such as those that a caught-up run stood for.
pub(crate) fn settled_until(tx: &Connection, job: JobId, occurrence: Timestamp) -> Result<Timestamp> {
    let last: Option<Timestamp> = tx
        .prepare_cached(LAST)?
        .query_row(named_params! { ":job_id": job }, |row| row.get("to_ms"))
        .optional()?;
    Ok(last.map_or(occurrence, |last| last.max(occurrence)))
}
