//! The rows of a job: how a spec becomes one, and how it replaces one.

use rusqlite::{Connection, named_params};

use super::Tx;
use super::parameters::bind;
use super::rows::overlap_columns;
use crate::error::Result;
use crate::job::{JobId, JobSpec};
use crate::plan::{self, Next, Position};
use crate::policy::Policies;
use crate::schedule::{Calendar, Schedule};
use crate::time::Timestamp;

const INSERT_ONCE: &str = "
INSERT INTO mainspring_jobs (
    kind, queue, priority, args, unique_key, at_ms, expires_at_ms, on_interrupt, on_unknown_delivery, overlap,
    max_open_runs, policies, enabled, schedule_activated_at_ms, next_run_at_ms, scheduled_for_ms, ready,
    created_at_ms, updated_at_ms)
VALUES (
    :kind, :queue, :priority, :args, :unique_key, :at_ms, :expires_at_ms, :on_interrupt, :on_unknown_delivery,
    :overlap, :max_open_runs, :policies, :enabled, :now_ms, :at_ms, :at_ms, :ready, :now_ms, :now_ms)";

const INSERT_NAMED: &str = "
INSERT INTO mainspring_jobs (name, kind, schedule_activated_at_ms, at_ms, created_at_ms, updated_at_ms)
VALUES (:name, :kind, :now_ms, :now_ms, :now_ms, :now_ms)";

/// Everything that a declaration says but its schedule. A job that was held back is claimed again at its own time.
const DESCRIBE: &str = "
UPDATE mainspring_jobs
SET queue = :queue,
    priority = :priority,
    args = :args,
    expires_at_ms = :expires_at_ms,
    on_interrupt = :on_interrupt,
    on_unknown_delivery = :on_unknown_delivery,
    overlap = :overlap,
    max_open_runs = :max_open_runs,
    policies = :policies,
    enabled = :enabled,
    next_run_at_ms = max(1, coalesce(min(next_run_at_ms, planned_run_at_ms), next_run_at_ms)),
    updated_at_ms = :now_ms
WHERE id = :id";

const SET_SCHEDULE: &str = "
UPDATE mainspring_jobs
SET schedule_kind = :kind,
    schedule_text = :text,
    at_ms = :at_ms,
    every_ms = :every_ms,
    anchor_ms = :anchor_ms,
    time_zone = :time_zone,
    gap = :gap,
    starts_at_ms = :starts_at_ms,
    ends_at_ms = :ends_at_ms,
    max_runs = :max_runs,
    jitter_ms = :jitter_ms,
    calendar = :calendar
WHERE id = :id";

const SET_NEXT: &str = "
UPDATE mainspring_jobs
SET schedule_activated_at_ms = :now_ms,
    schedule_revision = revision,
    next_run_at_ms = CASE
        WHEN requests > 0 THEN coalesce(min(next_run_at_ms, :next_run_at_ms), next_run_at_ms)
        ELSE :next_run_at_ms
    END,
    planned_run_at_ms = CASE WHEN requests > 0 THEN :next_run_at_ms END,
    scheduled_for_ms = :scheduled_for_ms,
    attempt = 1 + coalesce((
        SELECT max(attempt)
        FROM mainspring_runs
        WHERE job_id = :id AND scheduled_for_ms = :scheduled_for_ms AND request_id IS NULL), 0),
    failed_attempts = 0,
    then_scheduled_for_ms = NULL,
    then_run_at_ms = NULL,
    ready = 0,
    runs_started = 0,
    finished_at_ms = CASE WHEN :scheduled_for_ms IS NULL AND open_runs = 0 THEN :now_ms END
WHERE id = :id";

const BUMP_REVISION: &str = "
UPDATE mainspring_jobs
SET revision = revision + 1, updated_at_ms = :now_ms
WHERE id = :id";

/// Inserts a job and plans its first run.
pub(crate) fn insert_job(tx: &Tx<'_>, spec: &JobSpec, now: Timestamp) -> Result<JobId> {
    match (&spec.name, spec.schedule.at_instant()) {
        (None, Some(at)) => insert_once(tx, spec, at, now),
        _ => insert_declared(tx, spec, now),
    }
}

/// Inserts a job that has a name or a schedule.
pub(crate) fn insert_declared(tx: &Connection, spec: &JobSpec, now: Timestamp) -> Result<JobId> {
    tx.prepare_cached(INSERT_NAMED)?.execute(named_params! {
        ":name": spec.name,
        ":kind": spec.kind,
        ":now_ms": now,
    })?;
    let id = JobId(tx.last_insert_rowid());
    describe(tx, id, spec, now)?;
    set_schedule(tx, id, spec, now)?;
    Ok(id)
}

/// One statement for the many jobs that have neither a name nor a schedule.
fn insert_once(tx: &Tx<'_>, spec: &JobSpec, at: Timestamp, now: Timestamp) -> Result<JobId> {
    let (overlap, max_open_runs) = overlap_columns(spec.overlap);
    tx.with(INSERT_ONCE, |statement| {
        bind!(statement, INSERT_ONCE, {
            ":kind": spec.kind,
            ":queue": spec.queue,
            ":priority": spec.priority,
            ":args": spec.args,
            ":unique_key": spec.unique.as_ref().map(|unique| &unique.key),
            ":at_ms": at,
            ":expires_at_ms": spec.expires_at,
            ":on_interrupt": spec.on_interrupt,
            ":on_unknown_delivery": spec.on_unknown_delivery,
            ":overlap": overlap,
            ":max_open_runs": max_open_runs,
            ":policies": spec.policies,
            ":enabled": spec.enabled,
            ":ready": at <= now,
            ":now_ms": now,
        });
        Ok(statement.raw_execute()?)
    })?;
    Ok(JobId(tx.last_insert_rowid()))
}

/// Gives the holder of a unique key everything that the new spec says.
pub(crate) fn replace_job(tx: &Connection, id: JobId, spec: &JobSpec, now: Timestamp) -> Result<()> {
    bump_revision(tx, id, now)?;
    describe(tx, id, spec, now)?;
    set_schedule(tx, id, spec, now)
}

/// Counts an edit, so that a run knows which definition it used.
pub(crate) fn bump_revision(tx: &Connection, id: JobId, now: Timestamp) -> Result<()> {
    tx.prepare_cached(BUMP_REVISION)?.execute(named_params! { ":id": id, ":now_ms": now })?;
    Ok(())
}

/// Writes what the spec says besides its schedule; the next time stays where it is.
pub(crate) fn describe(tx: &Connection, id: JobId, spec: &JobSpec, now: Timestamp) -> Result<()> {
    let (overlap, max_open_runs) = overlap_columns(spec.overlap);
    tx.prepare_cached(DESCRIBE)?.execute(named_params! {
        ":id": id,
        ":queue": spec.queue,
        ":priority": spec.priority,
        ":args": spec.args,
        ":expires_at_ms": spec.expires_at,
        ":on_interrupt": spec.on_interrupt,
        ":on_unknown_delivery": spec.on_unknown_delivery,
        ":overlap": overlap,
        ":max_open_runs": max_open_runs,
        ":policies": spec.policies,
        ":enabled": spec.enabled,
        ":now_ms": now,
    })?;
    Ok(())
}

/// Writes a schedule and, in the same transaction, the first time that it names: a new schedule has no past.
pub(crate) fn set_schedule(tx: &Connection, id: JobId, spec: &JobSpec, now: Timestamp) -> Result<()> {
    let schedule = &spec.schedule.clone().anchored_or(now);
    let stored = schedule.to_stored();
    tx.prepare_cached(SET_SCHEDULE)?.execute(named_params! {
        ":id": id,
        ":kind": stored.kind,
        ":text": stored.text,
        ":at_ms": stored.at_ms,
        ":every_ms": stored.every_ms,
        ":anchor_ms": stored.anchor_ms,
        ":time_zone": stored.time_zone,
        ":gap": stored.gap,
        ":starts_at_ms": stored.starts_at_ms,
        ":ends_at_ms": stored.ends_at_ms,
        ":max_runs": stored.max_runs,
        ":jitter_ms": stored.jitter_ms,
        ":calendar": stored.calendar,
    })?;
    let calendar = calendar_of(tx, schedule)?;
    let policies = Policies::from_json(&spec.policies).unwrap_or_default();
    let next = plan::first(
        &Position {
            schedule,
            calendar: calendar.as_ref(),
            job_id: id.0,
            activated_at: now,
            scheduled_for: None,
            runs_started: 0,
            catch_up: &policies.catch_up,
            overlap: spec.overlap,
            expires_at: spec.expires_at,
        },
        now,
    );
    set_next(tx, id, next, now)
}

fn set_next(tx: &Connection, id: JobId, next: Option<Next>, now: Timestamp) -> Result<()> {
    tx.prepare_cached(SET_NEXT)?.execute(named_params! {
        ":id": id,
        ":next_run_at_ms": next.map(|next| next.run_at),
        ":scheduled_for_ms": next.map(|next| next.scheduled_for),
        ":now_ms": now,
    })?;
    Ok(())
}

/// The calendar that a schedule names; one that was removed leaves nothing out.
pub(crate) fn calendar_of(tx: &Connection, schedule: &Schedule) -> Result<Option<Calendar>> {
    match schedule.calendar() {
        None => Ok(None),
        Some(name) => super::calendars::load(tx, name),
    }
}
