//! Under `verify`: whether the handler is to be asked what became of an earlier attempt.

use rusqlite::{Connection, named_params};

use super::Opening;
use super::due::DueJob;
use crate::error::Result;
use crate::policy::OnInterrupt;

// An answer that nobody could give has passed the question on to a person, who has decided since.
const OCCURRENCE_INTERRUPTED: &str = "
SELECT coalesce(max(CASE WHEN class IN ('owner_died', 'shutdown') THEN attempt END), 0)
    > coalesce(max(CASE WHEN class = 'unverified' THEN attempt END), 0)
FROM (
    SELECT attempt, (
        SELECT error_class
        FROM mainspring_completions
        WHERE run_id = r.id AND outcome = 'interrupted') AS class
    FROM mainspring_runs r INDEXED BY mainspring_runs_occurrence
    WHERE job_id = :job_id AND scheduled_for_ms = :scheduled_for_ms AND request_id IS NULL)";

const REQUEST_INTERRUPTED: &str = "
SELECT coalesce(max(CASE WHEN class IN ('owner_died', 'shutdown') THEN attempt END), 0)
    > coalesce(max(CASE WHEN class = 'unverified' THEN attempt END), 0)
FROM (
    SELECT attempt, (
        SELECT error_class
        FROM mainspring_completions
        WHERE run_id = r.id AND outcome = 'interrupted') AS class
    FROM mainspring_runs r INDEXED BY mainspring_runs_request
    WHERE job_id = :job_id AND request_id = :request_id AND request_id IS NOT NULL)";

/// Whether an attempt before may have done its work, and the handler is to be asked. It is asked until it has
/// answered: an attempt between that failed, or whose handler was not called, is no answer.
pub(super) fn was_interrupted(tx: &Connection, job: &DueJob, opening: &Opening) -> Result<bool> {
    if job.on_interrupt != OnInterrupt::Verify || opening.attempt == 1 {
        return Ok(false);
    }
    let interrupted = match opening.request_id {
        None => tx.prepare_cached(OCCURRENCE_INTERRUPTED)?.query_row(
            named_params! { ":job_id": job.id, ":scheduled_for_ms": opening.scheduled_for },
            |row| row.get(0),
        )?,
        Some(request_id) => tx
            .prepare_cached(REQUEST_INTERRUPTED)?
            .query_row(named_params! { ":job_id": job.id, ":request_id": request_id }, |row| row.get(0))?,
    };
    Ok(interrupted)
}
