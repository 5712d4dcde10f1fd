//! The rows of a job: how a spec becomes one, and how it replaces one.

use rusqlite::{Connection, named_params};

use super::Tx;
use super::events::added;
use super::ids::Table;
use super::parameters::{bind, bind_row, place as place_of};
use super::rows::overlap_columns;
use crate::error::Result;
use crate::job::{JobId, JobSpec};
use crate::plan::{self, Next, Position};
use crate::policy::Policies;
use crate::schedule::{Calendar, Schedule};
use crate::time::Timestamp;

const INSERT_ONCE: &str = "
INSERT INTO mainspring_jobs (
    id, kind, queue, priority, args, unique_key, at_ms, expires_at_ms, on_interrupt, on_unknown_delivery, overlap,
    max_open_runs, policies, enabled, schedule_activated_at_ms, next_run_at_ms, scheduled_for_ms, ready,
    created_at_ms, updated_at_ms, writer_id)
VALUES (
    :id, :kind, :queue, :priority, :args, :unique_key, :at_ms, :expires_at_ms, :on_interrupt, :on_unknown_delivery,
    :overlap, :max_open_runs, :policies, :enabled, :now_ms, :at_ms, :at_ms, :ready, :now_ms, :now_ms, :writer_id)";

/// How many jobs [`INSERT_PLAIN`] takes at most.
const MANY: usize = 32;

/// What one of them is bound to.
macro_rules! plain_row {
    () => {
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    };
}

/// A part of SQL so many times, with something between.
#[rustfmt::skip]
macro_rules! times {
    (32, $between:literal, $part:ident!()) => {
        concat!(
            $part!(), $between, $part!(), $between, $part!(), $between, $part!(), $between,
            $part!(), $between, $part!(), $between, $part!(), $between, $part!(), $between,
            $part!(), $between, $part!(), $between, $part!(), $between, $part!(), $between,
            $part!(), $between, $part!(), $between, $part!(), $between, $part!(), $between,
            $part!(), $between, $part!(), $between, $part!(), $between, $part!(), $between,
            $part!(), $between, $part!(), $between, $part!(), $between, $part!(), $between,
            $part!(), $between, $part!(), $between, $part!(), $between, $part!(), $between,
            $part!(), $between, $part!(), $between, $part!(), $between, $part!()
        )
    };
}

// What a statement costs besides its rows is half of what a row costs, and a value that is bound as much as one that is
// written.
const INSERT_PLAIN: &str = concat!(
    "
INSERT INTO mainspring_jobs (
    kind, queue, priority, args, at_ms, next_run_at_ms, scheduled_for_ms, expires_at_ms, on_interrupt,
    on_unknown_delivery, overlap, max_open_runs, policies, enabled, ready, schedule_activated_at_ms, created_at_ms,
    updated_at_ms, writer_id)
SELECT
    column1, column2, column3, column4, column5, column5, column5, column6, column7, column8, column9, column10,
    column11, column12, column5 <= :now_ms, :now_ms, :now_ms, :now_ms, :writer_id
FROM (VALUES ",
    times!(32, ", ", plain_row!()),
    ")
LIMIT :rows"
);

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
    match once(spec) {
        Some(at) => insert_once(tx, spec, at, now),
        None => insert_declared(tx, spec, now),
    }
}

/// When a job runs that has neither a name nor a schedule.
pub(super) fn once(spec: &JobSpec) -> Option<Timestamp> {
    spec.schedule.at_instant().filter(|_| spec.name.is_none())
}

/// Inserts jobs that have neither a name nor a schedule nor a unique key; their ids, in the same order.
pub(super) fn insert_plain(
    tx: &Tx<'_>,
    jobs: &[(&JobSpec, Timestamp)],
    now: Timestamp,
) -> Result<Vec<JobId>> {
    let mut ids = Vec::with_capacity(jobs.len());
    for group in jobs.chunks(MANY) {
        let last = match group {
            [(spec, at)] => insert_once(tx, spec, *at, now)?,
            several => insert_several(tx, several, now)?,
        };
        // Ids go up by one: this transaction is the only one that writes, and no id is given twice.
        ids.extend((0..group.len() as i64).rev().map(|before| JobId(last.0 - before)));
    }
    Ok(ids)
}

/// Inserts a job that has a name or a schedule.
pub(crate) fn insert_declared(tx: &Tx<'_>, spec: &JobSpec, now: Timestamp) -> Result<JobId> {
    tx.ids().passed_over(Table::Jobs);
    tx.prepare_cached(INSERT_NAMED)?.execute(named_params! {
        ":name": spec.name,
        ":kind": spec.kind,
        ":now_ms": now,
    })?;
    let id = JobId(tx.last_insert_rowid());
    describe(tx, id, spec, now)?;
    set_schedule(tx, id, spec, now)?;
    added(tx, id, now)?;
    Ok(id)
}

fn insert_once(tx: &Tx<'_>, spec: &JobSpec, at: Timestamp, now: Timestamp) -> Result<JobId> {
    let (overlap, max_open_runs) = overlap_columns(spec.overlap);
    let id = tx.ids().next(tx, Table::Jobs)?;
    tx.with(INSERT_ONCE, |statement| {
        bind!(statement, INSERT_ONCE, {
            ":id": id,
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
            ":writer_id": tx.writer(),
        });
        Ok(statement.raw_execute()?)
    })?;
    let id = JobId(tx.last_insert_rowid());
    tx.has_enqueued(id);
    Ok(id)
}

/// One statement for up to [`MANY`] jobs; the id of the last one.
fn insert_several(tx: &Tx<'_>, jobs: &[(&JobSpec, Timestamp)], now: Timestamp) -> Result<JobId> {
    tx.ids().passed_over(Table::Jobs);
    tx.with(INSERT_PLAIN, |statement| {
        const NOW: usize = place_of(INSERT_PLAIN, ":now_ms");
        const WRITER: usize = place_of(INSERT_PLAIN, ":writer_id");
        statement.raw_bind_parameter(NOW, now)?;
        statement.raw_bind_parameter(WRITER, tx.writer())?;
        let mut place = WRITER;
        for (spec, at) in jobs {
            let (overlap, max_open_runs) = overlap_columns(spec.overlap);
            bind_row!(
                statement,
                place,
                plain_row!(),
                [
                    spec.kind,
                    spec.queue,
                    spec.priority,
                    spec.args,
                    at,
                    spec.expires_at,
                    spec.on_interrupt,
                    spec.on_unknown_delivery,
                    overlap,
                    max_open_runs,
                    spec.policies,
                    spec.enabled,
                ]
            );
        }
        statement.raw_bind_parameter(const { place_of(INSERT_PLAIN, ":rows") }, jobs.len() as i64)?;
        Ok(statement.raw_execute()?)
    })?;
    let last = tx.last_insert_rowid();
    tx.has_enqueued(JobId(last + 1 - jobs.len() as i64));
    Ok(JobId(last))
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
