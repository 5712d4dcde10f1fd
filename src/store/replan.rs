//! Replan: jobs whose next time somebody took away get one, so that none stays silent for ever.

use rusqlite::{Connection, named_params};

use super::claim::park;
use super::insert::calendar_of;
use super::rows::{job, job_columns};
use crate::error::{Error, Result};
use crate::job::{Job, JobId};
use crate::plan::{self, Next};
use crate::time::Timestamp;

/// At most so many are planned in one transaction.
const BATCH: u32 = 200;

const UNPLANNED: &str = concat!(
    "SELECT ",
    job_columns!(),
    "
FROM mainspring_jobs INDEXED BY mainspring_jobs_unplanned
WHERE finished_at_ms IS NULL AND next_run_at_ms IS NULL AND open_runs = 0 AND parked_at_ms IS NULL
ORDER BY id
LIMIT :batch"
);

const HAS_UNPLANNED: &str = "
SELECT EXISTS (
    SELECT 1
    FROM mainspring_jobs INDEXED BY mainspring_jobs_unplanned
    WHERE finished_at_ms IS NULL AND next_run_at_ms IS NULL AND open_runs = 0 AND parked_at_ms IS NULL)";

const PLAN: &str = "
UPDATE mainspring_jobs
SET next_run_at_ms = :next_run_at_ms,
    scheduled_for_ms = :scheduled_for_ms,
    attempt = :attempt,
    failed_attempts = CASE WHEN :attempt > 1 THEN failed_attempts ELSE 0 END,
    then_scheduled_for_ms = CASE WHEN :attempt > 1 THEN then_scheduled_for_ms END,
    then_run_at_ms = CASE WHEN :attempt > 1 THEN then_run_at_ms END,
    ready = 0,
    finished_at_ms = CASE WHEN :scheduled_for_ms IS NULL THEN :now_ms END
WHERE id = :id";

/// Whether there is anything to plan; almost never.
pub(crate) fn has_unplanned(conn: &Connection) -> Result<bool> {
    Ok(conn.prepare_cached(HAS_UNPLANNED)?.query_row([], |row| row.get(0))?)
}

/// Plans them from what they ran last; a job with nothing left is finished.
pub(crate) fn replan(tx: &Connection, now: Timestamp) -> Result<usize> {
    let mut found = Vec::new();
    {
        let mut statement = tx.prepare_cached(UNPLANNED)?;
        let mut rows = statement.query(named_params! { ":batch": BATCH })?;
        while let Some(row) = rows.next()? {
            found.push((JobId(row.get("id")?), job(row)));
        }
    }
    for (id, read) in &found {
        let (next, attempt) = match read {
            // Another attempt that lost its time is due now.
            Ok(Job { scheduled_for: Some(scheduled_for), attempt, .. }) if *attempt > 1 => {
                (Some(Next { scheduled_for: *scheduled_for, run_at: now }), *attempt)
            }
            Ok(job) => match calendar_of(tx, &job.schedule) {
                Ok(calendar) => {
                    (plan::repaired(&job.position(calendar.as_ref()), job.last_scheduled_for, now), 1)
                }
                Err(error @ Error::MalformedRow { .. }) => {
                    park(tx, *id, &error.to_string(), now)?;
                    continue;
                }
                Err(error) => return Err(error),
            },
            Err(error) => {
                park(tx, *id, &error.to_string(), now)?;
                continue;
            }
        };
        tx.prepare_cached(PLAN)?.execute(named_params! {
            ":id": id,
            ":next_run_at_ms": next.map(|next| next.run_at),
            ":scheduled_for_ms": next.map(|next| next.scheduled_for),
            ":attempt": attempt,
            ":now_ms": now,
        })?;
    }
    Ok(found.len())
}
