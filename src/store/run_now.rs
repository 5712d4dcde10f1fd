//! Run now: ask for a run besides the schedule, which keeps its own times.

use rusqlite::{Connection, named_params};

use super::read::require_job;
use crate::error::{Error, Result};
use crate::job::JobId;
use crate::plan::{self, Trigger};
use crate::run::RequestId;
use crate::time::Timestamp;

/// One backfill asks for at most so many runs.
pub(crate) const MOST_BACKFILLED: usize = 1_000;

const REQUEST: &str = "
INSERT INTO mainspring_requests (job_id, trigger, scheduled_for_ms, run_at_ms, requested_at_ms)
VALUES (:job_id, :trigger, :scheduled_for_ms, :now_ms, :now_ms)";

// A schedule's own run that is overdue stays as overdue as it is.
const WAKE: &str = "
UPDATE mainspring_jobs
SET planned_run_at_ms = CASE WHEN requests > 0 THEN planned_run_at_ms ELSE next_run_at_ms END,
    requests = requests + :requests,
    next_run_at_ms = min(:now_ms, coalesce(next_run_at_ms, :now_ms)),
    ready = 1
WHERE id = :id";

const IS_ON_RECORD: &str = "
SELECT
    EXISTS (
        SELECT 1
        FROM mainspring_runs
        WHERE job_id = :job_id AND scheduled_for_ms = :scheduled_for_ms AND request_id IS NULL)
    OR EXISTS (
        SELECT 1
        FROM mainspring_requests INDEXED BY mainspring_requests_of_job
        WHERE job_id = :job_id AND scheduled_for_ms = :scheduled_for_ms AND trigger = 'backfill')";

/// Asks for one run at once. A paused job runs too: a person asked for it.
pub(crate) fn run_now(tx: &Connection, id: JobId, now: Timestamp) -> Result<RequestId> {
    let job = require_job(tx, id)?;
    if job.open_runs > 0 && !matches!(job.overlap, plan::Overlap::Allow(_) | plan::Overlap::QueueOne) {
        return Err(Error::AlreadyRunning(id));
    }
    let request = request(tx, id, Trigger::Manual, now, now)?;
    wake(tx, id, 1, now)?;
    Ok(request)
}

/// Asks for the past occurrences between `from` and `to` (both included) that have never been run, and says how
/// many those are. Asking again asks for nothing twice.
pub(crate) fn backfill(
    tx: &Connection,
    id: JobId,
    from: Timestamp,
    to: Timestamp,
    now: Timestamp,
) -> Result<usize> {
    let job = require_job(tx, id)?;
    if !job.schedule.is_recurring() {
        return Err(Error::WrongState { job: id, why: "only a recurring job has past occurrences" });
    }
    if to > now {
        return Err(Error::invalid("to", "lies in the future: those occurrences come by themselves"));
    }
    let calendar = super::insert::calendar_of(tx, &job.schedule)?;
    let position = job.position(calendar.as_ref());
    let occurrences = plan::backfill(&position, from, to, MOST_BACKFILLED + 1);
    if occurrences.len() > MOST_BACKFILLED {
        let why = format!("holds more than {MOST_BACKFILLED} occurrences: ask for it in parts");
        return Err(Error::invalid("range", why));
    }
    let mut asked = 0;
    for occurrence in occurrences {
        let on_record: bool = tx
            .prepare_cached(IS_ON_RECORD)?
            .query_row(named_params! { ":job_id": id, ":scheduled_for_ms": occurrence }, |row| row.get(0))?;
        if !on_record && job.scheduled_for != Some(occurrence) {
            request(tx, id, Trigger::Backfill, occurrence, now)?;
            asked += 1;
        }
    }
    if asked > 0 {
        wake(tx, id, asked, now)?;
    }
    Ok(asked)
}

fn request(
    tx: &Connection,
    id: JobId,
    trigger: Trigger,
    occurrence: Timestamp,
    now: Timestamp,
) -> Result<RequestId> {
    tx.prepare_cached(REQUEST)?.execute(named_params! {
        ":job_id": id,
        ":trigger": trigger,
        ":scheduled_for_ms": occurrence,
        ":now_ms": now,
    })?;
    Ok(RequestId(tx.last_insert_rowid()))
}

fn wake(tx: &Connection, id: JobId, requests: usize, now: Timestamp) -> Result<()> {
    tx.prepare_cached(WAKE)?.execute(named_params! {
        ":id": id,
        ":requests": requests as i64,
        ":now_ms": now,
    })?;
    Ok(())
}
