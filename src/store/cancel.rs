//! Cancel, release, retry, remove: what a person does to a job or a run by hand.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::Tx;
use super::ending::{Ended, Ending, end_run, require_open};
use super::enqueue::holder;
use super::events::{record, recorded};
use super::insert::calendar_of;
use super::read::require_job;
use super::schedule::close_old_schedule;
use super::set_back::take_back_what_is_ahead;
use crate::error::{Error, Result};
use crate::event::EventKind;
use crate::exchange::{Deliver, Then};
use crate::job::{Job, JobId};
use crate::plan;
use crate::run::{ErrorClass, Outcome, RunId};
use crate::schedule::ScheduleKind;
use crate::time::Timestamp;

const ASK_TO_STOP: &str = "
UPDATE mainspring_runs
SET cancel_requested_at_ms = :now_ms
WHERE id = :run_id AND ended_at_ms IS NULL AND cancel_requested_at_ms IS NULL";

const OPEN_RUNS: &str = "
SELECT id
FROM mainspring_runs INDEXED BY mainspring_runs_open
WHERE ended_at_ms IS NULL AND job_id = :job_id";

const IS_OPEN: &str = "
SELECT ended_at_ms IS NULL
FROM mainspring_runs
WHERE id = :run_id";

const DROP_REQUESTS: &str = "
DELETE FROM mainspring_requests INDEXED BY mainspring_requests_of_job
WHERE job_id = :id";

// The schedule ends with this revision: a run that was claimed before it plans nothing more. One that had finished stays
// finished, whatever of it runs: somebody else may have its unique key by now.
const FINISH: &str = "
UPDATE mainspring_jobs
SET revision = revision + 1,
    schedule_revision = revision + 1,
    next_run_at_ms = NULL,
    planned_run_at_ms = NULL,
    scheduled_for_ms = NULL,
    requests = 0,
    ready = 0,
    attempt = 1,
    failed_attempts = 0,
    then_scheduled_for_ms = NULL,
    then_run_at_ms = NULL,
    last_outcome = CASE WHEN open_runs = 0 THEN 'cancelled' ELSE last_outcome END,
    finished_at_ms = CASE WHEN open_runs = 0 THEN :now_ms ELSE finished_at_ms END,
    updated_at_ms = :now_ms
WHERE id = :id";

const TRY_AGAIN: &str = "
UPDATE mainspring_jobs
SET next_run_at_ms = :now_ms,
    scheduled_for_ms = :scheduled_for_ms,
    attempt = CASE WHEN scheduled_for_ms IS :scheduled_for_ms THEN attempt ELSE 2 END,
    failed_attempts = 0,
    then_scheduled_for_ms = CASE
        WHEN attempt > 1 THEN then_scheduled_for_ms
        WHEN scheduled_for_ms <> :scheduled_for_ms THEN scheduled_for_ms
    END,
    then_run_at_ms = CASE
        WHEN attempt > 1 THEN then_run_at_ms
        WHEN scheduled_for_ms <> :scheduled_for_ms THEN next_run_at_ms
    END,
    ready = 1,
    parked_at_ms = NULL,
    park_reason = NULL,
    interruptions_in_a_row = 0,
    finished_at_ms = NULL,
    updated_at_ms = :now_ms
WHERE id = :id AND requests = 0";

// The first attempts may have been pruned.
const COUNT_ATTEMPTS: &str = "
UPDATE mainspring_jobs
SET attempt = max(attempt, 1 + coalesce((
    SELECT max(attempt)
    FROM mainspring_runs
    WHERE job_id = :id AND scheduled_for_ms = :scheduled_for_ms AND request_id IS NULL), 0))
WHERE id = :id";

const GO_ON_AFTERWARDS: &str = "
UPDATE mainspring_jobs
SET then_scheduled_for_ms = :scheduled_for_ms, then_run_at_ms = :run_at_ms, schedule_activated_at_ms = :now_ms
WHERE id = :id";

const LAST_OUTCOME: &str = "
SELECT (SELECT outcome FROM mainspring_completions WHERE run_id = r.id) AS outcome
FROM mainspring_runs r INDEXED BY mainspring_runs_occurrence
WHERE r.job_id = :job_id AND r.scheduled_for_ms = :scheduled_for_ms AND r.request_id IS NULL
ORDER BY r.attempt DESC
LIMIT 1";

const REMOVE: &str = "
DELETE FROM mainspring_jobs
WHERE id = :id";

/// What a cancel did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cancelled {
    /// Open runs that were asked to stop; each is cancelled once its handler has stopped.
    pub(crate) stopping: Vec<RunId>,
}

/// Cancels a job: nothing of it starts any more, and its open runs are asked to stop. A recurring job ends here;
/// to hold one back, pause it.
pub(crate) fn cancel_job(tx: &Connection, id: JobId, now: Timestamp) -> Result<Cancelled> {
    let job = readable_job(tx, id)?;
    let stopping = stop_open_runs(tx, id, now)?;
    // One that has finished may run what was asked for besides.
    let goes_on = |job: &Job| job.finished_at.is_none() || job.requests > 0 || job.open_runs > 0;
    if job.as_ref().is_none_or(goes_on) {
        close_schedule(tx, job.as_ref(), now)?;
        tx.prepare_cached(DROP_REQUESTS)?.execute(named_params! { ":id": id })?;
        tx.prepare_cached(FINISH)?.execute(named_params! { ":id": id, ":now_ms": now })?;
        record(tx, id, EventKind::Cancelled, now)?;
    }
    Ok(Cancelled { stopping })
}

/// Asks one open run to stop; the job's later occurrences are untouched.
pub(crate) fn cancel_run(tx: &Connection, run_id: RunId, now: Timestamp) -> Result<Cancelled> {
    let open: Option<bool> = tx
        .prepare_cached(IS_OPEN)?
        .query_row(named_params! { ":run_id": run_id }, |row| row.get(0))
        .optional()?;
    match open {
        None => Err(Error::RunNotFound(run_id)),
        Some(false) => Ok(Cancelled { stopping: Vec::new() }),
        Some(true) => {
            tx.prepare_cached(ASK_TO_STOP)?.execute(named_params! { ":run_id": run_id, ":now_ms": now })?;
            Ok(Cancelled { stopping: vec![run_id] })
        }
    }
}

/// Ends an open run by hand, whoever holds it: whatever its handler still returns is late. The job's interrupt
/// policy is not asked; its next occurrence, or another attempt of a one-shot, comes as after an interruption.
pub(crate) fn release(tx: &Connection, run_id: RunId, again: bool, now: Timestamp) -> Result<JobId> {
    let then = if again { Then::Again(now) } else { Then::Finish };
    let ending = Ending {
        run_id,
        job_id: None,
        outcome: Outcome::Interrupted,
        output: None,
        error: Some("released by hand"),
        error_class: Some(ErrorClass::Released),
        deliver: Deliver::No,
        deliver_by: None,
        then: &then,
        started_at: None,
        finished_at: now,
    };
    let ended: Ended = match end_run(&Tx::on(tx), &ending, now)? {
        None if !exists(tx, run_id)? => return Err(Error::RunNotFound(run_id)),
        ended => require_open(ended, run_id)?,
    };
    Ok(ended.job_id)
}

/// Gives a job that failed, was parked, or waits for its next attempt, another attempt at once.
pub(crate) fn retry(tx: &Connection, id: JobId, now: Timestamp) -> Result<()> {
    let job = require_job(tx, id)?;
    if job.open_runs > 0 {
        return Err(Error::AlreadyRunning(id));
    }
    let occurrence = occurrence_to_retry(tx, &job, now)?;
    if let Some(key) = job.unique_key.as_deref().filter(|_| job.finished_at.is_some())
        && let Some((held_by, _)) = holder(tx, &job.kind, key)?
    {
        // It let go of its key when it finished, and another job has it by now.
        return Err(Error::UniqueKeyHeld { key: key.to_owned(), held_by });
    }
    let changed = recorded(tx, Some(id), now, || {
        Ok(tx.prepare_cached(TRY_AGAIN)?.execute(named_params! {
            ":id": id,
            ":scheduled_for_ms": occurrence,
            ":now_ms": now,
        })?)
    })?;
    if changed == 0 {
        return Err(Error::WrongState { job: id, why: "runs that were asked for wait: they come first" });
    }
    tx.prepare_cached(COUNT_ATTEMPTS)?
        .execute(named_params! { ":id": id, ":scheduled_for_ms": occurrence })?;
    if job.finished_at.is_some() {
        record(tx, id, EventKind::Reopened, now)?;
    }
    go_on_afterwards(tx, &job, now)
}

/// A schedule that had ended, and was accounted for up to its end, has its next occurrence after now: what came before
/// stands on record, or came when there was no schedule.
fn go_on_afterwards(tx: &Connection, job: &Job, now: Timestamp) -> Result<()> {
    let ended = job.finished_at.is_some() && job.scheduled_for.is_none();
    if !ended || !matches!(job.schedule.kind(), ScheduleKind::Every | ScheduleKind::Cron) {
        return Ok(());
    }
    let calendar = calendar_of(tx, &job.schedule)?;
    let Some(next) = plan::first(&job.position(calendar.as_ref()), now) else { return Ok(()) };
    take_back_what_is_ahead(tx, job, now)?;
    tx.prepare_cached(GO_ON_AFTERWARDS)?.execute(named_params! {
        ":id": job.id,
        ":scheduled_for_ms": next.scheduled_for,
        ":run_at_ms": next.run_at,
        ":now_ms": now,
    })?;
    Ok(())
}

/// The occurrence that waits for another attempt, or the last one if it is on record that it did not succeed, or the one
/// that a parked job was kept from.
fn occurrence_to_retry(tx: &Connection, job: &Job, now: Timestamp) -> Result<Timestamp> {
    if let Some(waiting) = job.scheduled_for.filter(|_| job.attempt > 1) {
        return Ok(waiting);
    }
    let ended = match job.last_scheduled_for {
        Some(last) => last_outcome(tx, job.id, last)?.map(|outcome| (last, outcome)),
        None => None,
    };
    if let Some((last, _)) = ended.filter(|(_, outcome)| *outcome != Outcome::Succeeded) {
        return Ok(last);
    }
    if let Some(last) = job.last_scheduled_for.filter(|_| waits_for_a_decision(job)) {
        return Ok(last);
    }
    let held = job.scheduled_for.filter(|_| job.parked_at.is_some());
    if let Some(held) = held.filter(|held| *held <= now) {
        return Ok(held);
    }
    let why = match (job.last_scheduled_for, ended) {
        _ if held.is_some() => {
            "it is parked, and its next occurrence has not come: let it go on with `resume`"
        }
        (None, _) => "it has never run: there is nothing to try again",
        (Some(_), Some(_)) => "its last occurrence has succeeded: ask for another run with `run_now`",
        // The row's own last outcome may be that of a run that was asked for besides.
        (Some(_), None) => {
            "the runs of its last occurrence were pruned, and one may have succeeded: ask for another run with `run_now`"
        }
    };
    Err(Error::WrongState { job: job.id, why })
}

/// A one-shot that was parked with its run: had that succeeded, it would have finished.
fn waits_for_a_decision(job: &Job) -> bool {
    let is_open_end = job.parked_at.is_some() && job.finished_at.is_none() && job.scheduled_for.is_none();
    is_open_end && !job.schedule.is_recurring()
}

/// How the last attempt at an occurrence ended; `None` if it was pruned.
fn last_outcome(tx: &Connection, id: JobId, occurrence: Timestamp) -> Result<Option<Outcome>> {
    Ok(tx
        .prepare_cached(LAST_OUTCOME)?
        .query_row(named_params! { ":job_id": id, ":scheduled_for_ms": occurrence }, |row| row.get("outcome"))
        .optional()?
        .flatten())
}

/// Removes a job. Its history stays; its open runs are asked to stop and their completions are kept.
pub(crate) fn remove(tx: &Connection, id: JobId, now: Timestamp) -> Result<Cancelled> {
    let job = readable_job(tx, id)?;
    let stopping = stop_open_runs(tx, id, now)?;
    close_schedule(tx, job.as_ref(), now)?;
    recorded(tx, Some(id), now, || Ok(tx.prepare_cached(REMOVE)?.execute(named_params! { ":id": id })?))?;
    Ok(Cancelled { stopping })
}

/// The job, or `None` if its row cannot be read: it can be ended all the same, only what it missed is not known.
fn readable_job(tx: &Connection, id: JobId) -> Result<Option<Job>> {
    match require_job(tx, id) {
        Ok(job) => Ok(Some(job)),
        Err(Error::MalformedRow { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What it missed goes on record, as far as its row and its calendar can be read.
fn close_schedule(tx: &Connection, job: Option<&Job>, now: Timestamp) -> Result<()> {
    match job.map(|job| close_old_schedule(tx, job, now)) {
        None | Some(Err(Error::MalformedRow { .. })) => Ok(()),
        Some(closed) => closed,
    }
}

fn stop_open_runs(tx: &Connection, id: JobId, now: Timestamp) -> Result<Vec<RunId>> {
    let mut runs: Vec<RunId> = tx
        .prepare_cached(OPEN_RUNS)?
        .query_map(named_params! { ":job_id": id }, |row| row.get("id"))?
        .collect::<rusqlite::Result<_>>()?;
    runs.sort_unstable();
    for run_id in &runs {
        tx.prepare_cached(ASK_TO_STOP)?.execute(named_params! { ":run_id": run_id, ":now_ms": now })?;
    }
    Ok(runs)
}

fn exists(tx: &Connection, run_id: RunId) -> Result<bool> {
    Ok(tx
        .prepare_cached(IS_OPEN)?
        .query_row(named_params! { ":run_id": run_id }, |_| Ok(()))
        .optional()?
        .is_some())
}
