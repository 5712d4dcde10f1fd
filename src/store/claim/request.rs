//! Runs that were asked for besides the schedule: by hand, or for a past range.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::due::DueJob;
use super::mark::{Marked, mark_running};
use super::verify::was_interrupted;
use super::{ClaimRequest, Claims, Opening, claimed, open_run};
use crate::error::Result;
use crate::job::JobId;
use crate::plan::{Next, Trigger};
use crate::run::RequestId;
use crate::store::Tx;
use crate::store::rows::Columns;
use crate::store::wake::wake_at;
use crate::time::Timestamp;

const FIRST: &str = "
SELECT id, trigger, scheduled_for_ms, attempt, failed_attempts, run_at_ms, request_key
FROM mainspring_requests INDEXED BY mainspring_requests_of_job
WHERE job_id = :job_id
ORDER BY run_at_ms, id
LIMIT 1";

const TAKE: &str = "
DELETE FROM mainspring_requests
WHERE id = :id";

const LEFT: &str = "
UPDATE mainspring_jobs
SET requests = :requests,
    next_run_at_ms = :wake_at_ms,
    planned_run_at_ms = CASE WHEN :requests > 0 THEN planned_run_at_ms END,
    ready = 0
WHERE id = :id";

struct Request {
    id: i64,
    trigger: Trigger,
    scheduled_for: Timestamp,
    attempt: u32,
    failed_attempts: u32,
    run_at: Timestamp,
    request_key: Option<RequestId>,
}

// The end of the open run finds the time of the request again.
const WAIT_FOR_THE_END: &str = "
UPDATE mainspring_jobs
SET next_run_at_ms = :own_run_at_ms, ready = 0
WHERE id = :id";

/// As many runs are open as may be: what comes next is the schedule's own occurrence, or the end of a run.
pub(super) fn wait_for_the_end(tx: &Connection, job: &DueJob) -> Result<()> {
    tx.prepare_cached(WAIT_FOR_THE_END)?.execute(named_params! {
        ":id": job.id,
        ":own_run_at_ms": job.planned_run_at.filter(|_| job.may_run),
    })?;
    Ok(())
}

/// Opens the run of the request that has waited longest. The schedule's own next time is what it was.
pub(super) fn claim_request(
    tx: &Tx<'_>,
    job: &mut DueJob,
    request: &ClaimRequest<'_>,
    now: Timestamp,
    claims: &mut Claims,
) -> Result<()> {
    let Some(first) = first(tx, job.id)? else {
        // The count says that there is one, the table that there is none: believe the table.
        return leave(tx, job, 0);
    };
    if first.run_at > now {
        // The schedule's own time has come, and the job is held back.
        return leave(tx, job, job.requests);
    }
    tx.prepare_cached(TAKE)?.execute(named_params! { ":id": first.id })?;
    let requests = job.requests.saturating_sub(1);
    let opening = Opening {
        scheduled_for: first.scheduled_for,
        trigger: first.trigger,
        attempt: first.attempt,
        failed_attempts: first.failed_attempts,
        request_id: (first.trigger == Trigger::Manual)
            .then(|| first.request_key.unwrap_or(RequestId(first.id))),
    };
    let Some(run_id) = open_run(tx, job, &opening, request.owner, now)? else {
        // A past occurrence that has run already is not run again.
        return leave(tx, job, requests);
    };
    let own = job.planned_run_at.zip(job.scheduled_for);
    let next_run_at = next_time(tx, job, requests)?;
    let marked = Marked {
        next: own.map(|(run_at, scheduled_for)| Next { scheduled_for, run_at }),
        next_run_at,
        next_attempt: job.attempt,
        next_failed_attempts: job.failed_attempts,
        then: job.then,
        requests,
        planned_run_at: if requests > 0 { job.planned_run_at } else { None },
        last_scheduled_for: None,
        counted: false,
        from_request: true,
    };
    mark_running(tx, job, run_id, &marked, now)?;
    let verify = was_interrupted(tx, job, &opening)?;
    claims.runs.push(claimed(job, run_id, &opening, request.owner, next_run_at, verify, now));
    Ok(())
}

fn first(tx: &Connection, job: JobId) -> Result<Option<Request>> {
    tx.prepare_cached(FIRST)?
        .query_row(named_params! { ":job_id": job }, |row| Ok(read(row)))
        .optional()?
        .transpose()
}

fn read(row: &Row<'_>) -> Result<Request> {
    let c = Columns::of("mainspring_requests", row)?;
    Ok(Request {
        id: c.id(),
        trigger: c.read("trigger")?,
        scheduled_for: c.read("scheduled_for_ms")?,
        attempt: c.count("attempt")?,
        failed_attempts: c.count("failed_attempts")?,
        run_at: c.read("run_at_ms")?,
        request_key: c.read("request_key")?,
    })
}

/// When the job is claimed next while so many requests wait. The own time of one that is held back does not count as
/// long as there are any.
fn next_time(tx: &Connection, job: &DueJob, requests: u32) -> Result<Option<Timestamp>> {
    let counts = job.may_run || requests == 0;
    wake_at(tx, job.id, requests, job.planned_run_at.filter(|_| counts))
}

fn leave(tx: &Connection, job: &DueJob, requests: u32) -> Result<()> {
    tx.prepare_cached(LEFT)?.execute(named_params! {
        ":id": job.id,
        ":requests": requests,
        ":wake_at_ms": next_time(tx, job, requests)?,
    })?;
    Ok(())
}
