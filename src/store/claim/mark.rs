//! Mark: the job's row says that it runs, and what comes next.

use super::Decision;
use super::due::DueJob;
use crate::error::{Error, Result};
use crate::plan::Next;
use crate::run::RunId;
use crate::store::Tx;
use crate::store::parameters::bind;
use crate::store::wake::wake_at;
use crate::time::Timestamp;

// claimable = 1 is the lock: of two claimers, one changes a row and one does not.
const MARK_RUNNING: &str = "
UPDATE mainspring_jobs
SET ready = 0,
    next_run_at_ms = :next_run_at_ms,
    scheduled_for_ms = :next_scheduled_for_ms,
    attempt = :next_attempt,
    failed_attempts = :next_failed_attempts,
    then_scheduled_for_ms = :then_scheduled_for_ms,
    then_run_at_ms = :then_run_at_ms,
    requests = :requests,
    planned_run_at_ms = :planned_run_at_ms,
    open_runs = open_runs + 1,
    running_at_ms = :now_ms,
    running_run_id = :run_id,
    superseded_at_ms = NULL,
    last_run_at_ms = :now_ms,
    last_scheduled_for_ms = coalesce(:last_scheduled_for_ms, last_scheduled_for_ms),
    runs_started = runs_started + :counted,
    finished_at_ms = CASE WHEN :from_request AND :next_scheduled_for_ms IS NULL THEN finished_at_ms END
WHERE id = :id AND claimable = 1";

// The same for a job that runs once: what it leaves alone is as it would be set.
const MARK_ONCE: &str = "
UPDATE mainspring_jobs
SET ready = 0,
    next_run_at_ms = NULL,
    scheduled_for_ms = NULL,
    open_runs = 1,
    running_at_ms = :now_ms,
    running_run_id = :run_id,
    last_run_at_ms = :now_ms,
    last_scheduled_for_ms = :scheduled_for_ms,
    runs_started = runs_started + 1
WHERE id = :id AND claimable = 1";

/// What a claim writes into the job's row.
pub(super) struct Marked {
    pub(super) next: Option<Next>,
    pub(super) next_run_at: Option<Timestamp>,
    pub(super) next_attempt: u32,
    pub(super) next_failed_attempts: u32,
    pub(super) then: Option<Next>,
    pub(super) requests: u32,
    pub(super) planned_run_at: Option<Timestamp>,
    pub(super) last_scheduled_for: Option<Timestamp>,
    pub(super) counted: bool,
    pub(super) from_request: bool,
}

impl Marked {
    /// The job's own occurrence was claimed; the next one comes, or what was asked for besides.
    fn own(tx: &Tx<'_>, decision: &Decision, job: &DueJob) -> Result<Self> {
        let own = decision.next.map(|next| next.run_at);
        Ok(Self {
            next: decision.next,
            next_run_at: wake_at(tx, job.id, job.requests, own)?,
            next_attempt: 1,
            next_failed_attempts: 0,
            then: None,
            requests: job.requests,
            planned_run_at: own.filter(|_| job.requests > 0),
            last_scheduled_for: decision.fire.map(|fire| fire.scheduled_for),
            counted: decision.attempt == 1,
            from_request: false,
        })
    }
}

/// Marks a job whose own occurrence is claimed: the next one comes, or what was asked for besides.
pub(super) fn mark_own(
    tx: &Tx<'_>,
    job: &DueJob,
    run_id: RunId,
    decision: &Decision,
    now: Timestamp,
) -> Result<()> {
    match (decision.fire, decision.next) {
        (Some(fire), None) if job.is_once => mark_once(tx, job, run_id, fire.scheduled_for, now),
        _ => mark_running(tx, job, run_id, &Marked::own(tx, decision, job)?, now),
    }
}

fn mark_once(
    tx: &Tx<'_>,
    job: &DueJob,
    run_id: RunId,
    scheduled_for: Timestamp,
    now: Timestamp,
) -> Result<()> {
    let changed = tx.with(MARK_ONCE, |statement| {
        bind!(statement, MARK_ONCE, {
            ":id": job.id,
            ":run_id": run_id,
            ":scheduled_for_ms": scheduled_for,
            ":now_ms": now,
        });
        Ok(statement.raw_execute()?)
    })?;
    if changed == 1 { Ok(()) } else { Err(Error::ClaimLost(run_id)) }
}

pub(super) fn mark_running(
    tx: &Tx<'_>,
    job: &DueJob,
    run_id: RunId,
    marked: &Marked,
    now: Timestamp,
) -> Result<()> {
    let changed = tx.with(MARK_RUNNING, |statement| {
        bind!(statement, MARK_RUNNING, {
            ":id": job.id,
            ":run_id": run_id,
            ":next_run_at_ms": marked.next_run_at,
            ":next_scheduled_for_ms": marked.next.map(|next| next.scheduled_for),
            ":next_attempt": marked.next_attempt,
            ":next_failed_attempts": marked.next_failed_attempts,
            ":then_scheduled_for_ms": marked.then.map(|next| next.scheduled_for),
            ":then_run_at_ms": marked.then.map(|next| next.run_at),
            ":requests": marked.requests,
            ":planned_run_at_ms": marked.planned_run_at,
            ":last_scheduled_for_ms": marked.last_scheduled_for,
            ":counted": marked.counted,
            ":from_request": marked.from_request,
            ":now_ms": now,
        });
        Ok(statement.raw_execute()?)
    })?;
    if changed == 1 { Ok(()) } else { Err(Error::ClaimLost(run_id)) }
}
