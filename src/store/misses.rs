//! The ledger of occurrences that were not run, a range in one row.

use rusqlite::{Connection, named_params};

use crate::error::Result;
use crate::job::JobId;
use crate::plan::{self, Miss, Position};
use crate::time::Timestamp;

const RECORD: &str = "
INSERT INTO mainspring_misses (job_id, from_ms, to_ms, occurrences, exact, reason, recorded_at_ms)
VALUES (:job_id, :from_ms, :to_ms, :occurrences, :exact, :reason, :now_ms)";

// Attempts at one occurrence are several runs; it is named once.
const RUNS_WITHIN: &str = "
SELECT DISTINCT scheduled_for_ms
FROM mainspring_runs INDEXED BY mainspring_runs_occurrence
WHERE job_id = :job_id AND request_id IS NULL AND scheduled_for_ms BETWEEN :from_ms AND :to_ms
ORDER BY scheduled_for_ms";

/// Puts the misses that `plan` decided on record, but for occurrences that have a run: a clock that was set back leaves
/// some ahead.
pub(crate) fn record(
    tx: &Connection,
    position: &Position<'_>,
    misses: &[Miss],
    now: Timestamp,
) -> Result<()> {
    let job = JobId(position.job_id);
    for miss in misses {
        let runs = runs_within(tx, job, miss)?;
        for row in plan::around(position, *miss, runs) {
            insert(tx, job, &row, now)?;
        }
    }
    Ok(())
}

fn runs_within(tx: &Connection, job: JobId, miss: &Miss) -> Result<Vec<Timestamp>> {
    let range = named_params! { ":job_id": job, ":from_ms": miss.from, ":to_ms": miss.to };
    Ok(tx
        .prepare_cached(RUNS_WITHIN)?
        .query_map(range, |row| row.get("scheduled_for_ms"))?
        .collect::<rusqlite::Result<_>>()?)
}

fn insert(tx: &Connection, job: JobId, miss: &Miss, now: Timestamp) -> Result<()> {
    tx.prepare_cached(RECORD)?.execute(named_params! {
        ":job_id": job,
        ":from_ms": miss.from,
        ":to_ms": miss.to,
        ":occurrences": i64::try_from(miss.occurrences).unwrap_or(i64::MAX),
        ":exact": miss.exact,
        ":reason": miss.reason.as_str(),
        ":now_ms": now,
    })?;
    Ok(())
}
