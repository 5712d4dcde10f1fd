//! Pause and resume: an operator's hold on a job or a queue.

use rusqlite::{Connection, named_params};

use super::events::recorded;
use super::insert::calendar_of;
use super::misses;
use super::read::require_job;
use super::wake::wake_at;
use crate::error::{Error, Result};
use crate::job::{Job, JobId};
use crate::plan;
use crate::time::Timestamp;

const PAUSE: &str = "
UPDATE mainspring_jobs
SET paused_at_ms = coalesce(paused_at_ms, :now_ms), pause_reason = :reason, ready = 0, updated_at_ms = :now_ms
WHERE id = :id";

// One that had finished stays finished while something of it runs that was asked for besides.
const RESUME: &str = "
UPDATE mainspring_jobs
SET paused_at_ms = NULL,
    pause_reason = NULL,
    parked_at_ms = NULL,
    park_reason = NULL,
    failures_in_a_row = 0,
    interruptions_in_a_row = 0,
    next_run_at_ms = max(1, coalesce(min(next_run_at_ms, planned_run_at_ms), next_run_at_ms)),
    ready = 0,
    finished_at_ms = CASE
        WHEN scheduled_for_ms IS NULL AND open_runs = 0 THEN coalesce(finished_at_ms, :now_ms)
        WHEN scheduled_for_ms IS NULL THEN finished_at_ms
    END,
    updated_at_ms = :now_ms
WHERE id = :id";

const MOVE_OWN_RUN: &str = "
UPDATE mainspring_jobs
SET next_run_at_ms = :wake_at_ms,
    planned_run_at_ms = CASE WHEN requests > 0 THEN :run_at_ms END,
    scheduled_for_ms = :scheduled_for_ms,
    attempt = 1,
    failed_attempts = 0,
    then_scheduled_for_ms = NULL,
    then_run_at_ms = NULL,
    ready = 0,
    finished_at_ms = CASE WHEN :scheduled_for_ms IS NULL AND open_runs = 0 THEN :now_ms END
WHERE id = :id";

const PAUSE_QUEUE: &str = "
INSERT INTO mainspring_queues (name, paused_at_ms, pause_reason)
VALUES (:name, :now_ms, :reason)
ON CONFLICT (name) DO UPDATE
SET paused_at_ms = coalesce(paused_at_ms, excluded.paused_at_ms), pause_reason = excluded.pause_reason";

const RESUME_QUEUE: &str = "
UPDATE mainspring_queues
SET paused_at_ms = NULL, pause_reason = NULL
WHERE name = :name";

/// Holds a job back. A run of it that is open goes on.
pub(crate) fn pause(tx: &Connection, id: JobId, reason: Option<&str>, now: Timestamp) -> Result<()> {
    let changed = recorded(tx, Some(id), now, || {
        Ok(tx
            .prepare_cached(PAUSE)?
            .execute(named_params! { ":id": id, ":reason": reason, ":now_ms": now })?)
    })?;
    if changed == 1 { Ok(()) } else { Err(Error::JobNotFound(id.to_string())) }
}

/// Lets a job go on that was paused or parked. What came while it was held is on record, and not made up for.
pub(crate) fn resume(tx: &Connection, id: JobId, now: Timestamp) -> Result<()> {
    let job = require_job(tx, id)?;
    let since = match (job.paused_at, job.parked_at) {
        (Some(paused), Some(parked)) => paused.min(parked),
        (Some(at), None) | (None, Some(at)) => at,
        (None, None) => return Ok(()),
    };
    recorded(tx, Some(id), now, || {
        Ok(tx.prepare_cached(RESUME)?.execute(named_params! { ":id": id, ":now_ms": now })?)
    })?;
    pass_over(tx, &job, since, now)
}

/// Puts on record what came while a job was held back, since `since`, and goes on with what comes next.
pub(super) fn pass_over(tx: &Connection, job: &Job, since: Timestamp, now: Timestamp) -> Result<()> {
    let id = job.id;
    if job.finished_at.is_some() || !job.schedule.is_recurring() {
        // A one-shot is as due as it was; what has ended stays ended.
        return Ok(());
    }
    let calendar = calendar_of(tx, &job.schedule)?;
    let mut position = job.position(calendar.as_ref());
    if job.attempt > 1 {
        // Another attempt is as due as it was, unless the next occurrence came meanwhile.
        match plan::after_attempt(&position, job.then) {
            Some(next) if next.run_at <= now => position.scheduled_for = Some(next.scheduled_for),
            _ => return Ok(()),
        }
    }
    let plan = plan::on_resume(&position, since, now);
    misses::record(tx, &position, &plan.misses, now)?;
    let own = plan.next.map(|next| next.run_at);
    tx.prepare_cached(MOVE_OWN_RUN)?.execute(named_params! {
        ":id": id,
        ":wake_at_ms": wake_at(tx, id, job.requests, own)?,
        ":run_at_ms": own,
        ":scheduled_for_ms": plan.next.map(|next| next.scheduled_for),
        ":now_ms": now,
    })?;
    Ok(())
}

/// Holds a whole queue back, for every engine.
pub(crate) fn pause_queue(tx: &Connection, name: &str, reason: Option<&str>, now: Timestamp) -> Result<()> {
    recorded(tx, None, now, || {
        tx.prepare_cached(PAUSE_QUEUE)?.execute(named_params! {
            ":name": name,
            ":reason": reason,
            ":now_ms": now,
        })?;
        Ok(())
    })
}

/// Lets a queue go on.
pub(crate) fn resume_queue(tx: &Connection, name: &str, now: Timestamp) -> Result<()> {
    recorded(tx, None, now, || {
        tx.prepare_cached(RESUME_QUEUE)?.execute(named_params! { ":name": name })?;
        Ok(())
    })
}
