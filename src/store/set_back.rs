//! Set back: a clock that was wrong and is right again must not leave jobs waiting for the wrong time to come.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, named_params};

use super::insert::calendar_of;
use super::rows::{Columns, job, job_columns};
use super::wake::wake_at;
use crate::error::{Error, Result};
use crate::job::{Job, JobId};
use crate::plan::{self, Miss, Next, Position};
use crate::time::{Timestamp, millis_of};

/// Runs that were claimed later than this after now tell that the clock was set back, in milliseconds.
const AHEAD_MS: i64 = 60_000;

const NEWEST_CLAIM: &str = "
SELECT claimed_at_ms
FROM mainspring_runs
ORDER BY id DESC
LIMIT 1";

// One whose next occurrence the end of its run will name has none, and misses that may lie ahead.
const RAN_AHEAD: &str = concat!(
    "SELECT ",
    job_columns!(),
    "
FROM mainspring_jobs INDEXED BY mainspring_jobs_name
WHERE name IS NOT NULL
    AND schedule_kind <> 'at'
    AND finished_at_ms IS NULL
    AND (
        coalesce(then_scheduled_for_ms, scheduled_for_ms) > :now_ms
        OR schedule_kind = 'after_each' AND coalesce(then_scheduled_for_ms, scheduled_for_ms) IS NULL
    )"
);

const MISSES_AHEAD: &str = "
SELECT id, from_ms, to_ms, occurrences, exact, reason
FROM mainspring_misses
WHERE job_id = :job_id AND (to_ms > :now_ms OR reason = 'excluded' AND from_ms = (
    SELECT max(from_ms)
    FROM mainspring_misses
    WHERE job_id = :job_id AND from_ms <= :now_ms))";

const DROP_MISS: &str = "DELETE FROM mainspring_misses WHERE id = :id";

const SHORTEN_MISS: &str = "
UPDATE mainspring_misses
SET to_ms = :to_ms, occurrences = :occurrences, exact = :exact
WHERE id = :id";

const HAS_RUN: &str = "
SELECT EXISTS (
    SELECT 1
    FROM mainspring_runs
    WHERE job_id = :job_id AND scheduled_for_ms = :at_ms AND request_id IS NULL)";

// An attempt that waited and is overtaken now is given up, as by a claim.
const MOVE: &str = "
UPDATE mainspring_jobs
SET schedule_activated_at_ms = min(schedule_activated_at_ms, :now_ms),
    next_run_at_ms = :wake_at_ms,
    planned_run_at_ms = CASE WHEN requests > 0 THEN :run_at_ms END,
    scheduled_for_ms = :scheduled_for_ms,
    attempt = 1,
    failed_attempts = 0,
    then_scheduled_for_ms = NULL,
    then_run_at_ms = NULL,
    ready = 0
WHERE id = :id";

const OWN_RUN_AT: &str = "
SELECT CASE WHEN requests > 0 THEN planned_run_at_ms ELSE next_run_at_ms END AS own_run_at_ms
FROM mainspring_jobs
WHERE id = :id";

const MOVE_WHAT_FOLLOWS: &str = "
UPDATE mainspring_jobs
SET schedule_activated_at_ms = min(schedule_activated_at_ms, :now_ms),
    then_scheduled_for_ms = :scheduled_for_ms,
    then_run_at_ms = :run_at_ms
WHERE id = :id";

// Waits that began by the wrong clock end as much earlier as it was ahead: those of another attempt, of a run that was
// asked for, of a caught-up run that was put off. A job that was due when it was made is due still. The instant that a
// schedule or a caller named stays.
const SHIFT_WAITING: &str = "
UPDATE mainspring_jobs
SET at_ms = CASE WHEN schedule_kind = 'at' AND attempt = 1 AND requests = 0 THEN :now_ms ELSE at_ms END,
    scheduled_for_ms = CASE
        WHEN schedule_kind = 'at' AND attempt = 1 AND requests = 0 THEN :now_ms
        ELSE scheduled_for_ms
    END,
    next_run_at_ms = max(:now_ms, next_run_at_ms - :by_ms),
    planned_run_at_ms = CASE
        WHEN attempt > 1 OR schedule_kind <> 'at' AND scheduled_for_ms <= :now_ms
        THEN min(planned_run_at_ms, max(:now_ms, planned_run_at_ms - :by_ms))
        ELSE planned_run_at_ms
    END,
    ready = 0
WHERE ready = 0 AND claimable = 1
    AND next_run_at_ms > :now_ms
    AND (
        attempt > 1
        OR requests > 0
        OR schedule_kind <> 'at' AND scheduled_for_ms <= :now_ms
        OR schedule_kind = 'at' AND name IS NULL AND at_ms <= created_at_ms AND created_at_ms > :now_ms
    )";

const SHIFT_READY: &str = "
UPDATE mainspring_jobs
SET at_ms = CASE WHEN schedule_kind = 'at' AND attempt = 1 AND requests = 0 THEN :now_ms ELSE at_ms END,
    scheduled_for_ms = CASE
        WHEN schedule_kind = 'at' AND attempt = 1 AND requests = 0 THEN :now_ms
        ELSE scheduled_for_ms
    END,
    next_run_at_ms = max(:now_ms, next_run_at_ms - :by_ms),
    planned_run_at_ms = CASE
        WHEN attempt > 1 OR schedule_kind <> 'at' AND scheduled_for_ms <= :now_ms
        THEN min(planned_run_at_ms, max(:now_ms, planned_run_at_ms - :by_ms))
        ELSE planned_run_at_ms
    END,
    ready = 0
WHERE ready = 1 AND claimable = 1
    AND next_run_at_ms > :now_ms
    AND (
        attempt > 1
        OR requests > 0
        OR schedule_kind <> 'at' AND scheduled_for_ms <= :now_ms
        OR schedule_kind = 'at' AND name IS NULL AND at_ms <= created_at_ms AND created_at_ms > :now_ms
    )";

const SHIFT_REQUESTS: &str = "
UPDATE mainspring_requests
SET run_at_ms = max(:now_ms, run_at_ms - :by_ms)
WHERE run_at_ms > :now_ms";

const SHIFT_DELIVERIES: &str = "
UPDATE mainspring_completions INDEXED BY mainspring_completions_pending
SET next_delivery_at_ms = max(:now_ms, next_delivery_at_ms - :by_ms)
WHERE delivery = 'pending' AND next_delivery_at_ms > :now_ms
    AND delivery_owner_id IS NULL";

/// How far the newest claim lies ahead of the clock, if so far that the clock was set back while nobody looked.
pub(crate) fn claims_lie_ahead(conn: &Connection, now: Timestamp) -> Result<Option<Duration>> {
    let newest: Option<Timestamp> =
        conn.prepare_cached(NEWEST_CLAIM)?.query_row([], |row| row.get("claimed_at_ms")).optional()?;
    Ok(newest.map(|at| at.since(now)).filter(|by| millis_of(*by) > AHEAD_MS))
}

/// Plans recurring jobs anew whose next occurrence lies ahead: occurrences that come again and have no run are ahead
/// again; those that have a run get no second one. What waits for a time that the wrong clock had counted out, `by`
/// ahead, waits that much less.
pub(crate) fn set_back(tx: &Connection, by: Duration, now: Timestamp) -> Result<usize> {
    for shift in [SHIFT_WAITING, SHIFT_READY, SHIFT_REQUESTS, SHIFT_DELIVERIES] {
        tx.prepare_cached(shift)?.execute(named_params! { ":by_ms": millis_of(by), ":now_ms": now })?;
    }
    let mut found = Vec::new();
    {
        let mut statement = tx.prepare_cached(RAN_AHEAD)?;
        let mut rows = statement.query(named_params! { ":now_ms": now })?;
        while let Some(row) = rows.next()? {
            // One that cannot be read is named by the claim that meets it.
            if let Ok(job) = job(row) {
                found.push(job);
            }
        }
    }
    let mut moved = 0;
    for job in &found {
        match plan_anew(tx, job, now) {
            // Nor must a calendar or a miss that cannot be read keep all other jobs by the wrong clock.
            Err(Error::MalformedRow { .. }) => {}
            planned => moved += usize::from(planned?),
        }
    }
    Ok(moved)
}

/// What is on record of a schedule for times that have not come, by a clock that was ahead, is taken back when another
/// schedule takes its place: that one has occurrences of its own then. A job that had ended when the clock was set back
/// was left as it was.
pub(super) fn take_back_what_is_ahead(tx: &Connection, job: &Job, now: Timestamp) -> Result<()> {
    let calendar = calendar_of(tx, &job.schedule)?;
    let position = job.position(calendar.as_ref());
    for (id, miss) in misses_ahead(tx, job.id, now)? {
        take_back(tx, id, &miss, plan::up_to(&position, &miss, now))?;
    }
    Ok(())
}

fn plan_anew(tx: &Connection, job: &Job, now: Timestamp) -> Result<bool> {
    let calendar = calendar_of(tx, &job.schedule)?;
    let position = job.position_ahead(calendar.as_ref());
    let position = Position { activated_at: position.activated_at.min(now), ..position };
    // A read that fails counts as a run: what is in doubt does not run twice.
    let has_run = |at: Timestamp| has_run(tx, job.id, at).unwrap_or(true);
    for (id, miss) in misses_ahead(tx, job.id, now)? {
        take_back(tx, id, &miss, plan::taken_back(&position, &miss, now, has_run))?;
    }
    match plan::on_clock_set_back(&position, now, has_run) {
        Some(next) if Some(next.scheduled_for) != position.scheduled_for => {
            go_on_with(tx, job, next, now)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Shortens a row of misses, or drops it where nothing of it is left.
fn take_back(tx: &Connection, id: i64, miss: &Miss, left: Option<Miss>) -> Result<()> {
    match left {
        None => {
            tx.prepare_cached(DROP_MISS)?.execute(named_params! { ":id": id })?;
        }
        Some(left) if left != *miss => {
            tx.prepare_cached(SHORTEN_MISS)?.execute(named_params! {
                ":id": id,
                ":to_ms": left.to,
                ":occurrences": i64::try_from(left.occurrences).unwrap_or(i64::MAX),
                ":exact": left.exact,
            })?;
        }
        Some(_) => {}
    }
    Ok(())
}

/// The schedule goes on with `next`: at once, or after the attempt that waits, if that has its turn before.
fn go_on_with(tx: &Connection, job: &Job, next: Next, now: Timestamp) -> Result<()> {
    let waiting = own_run_at(tx, job.id)?.filter(|_| job.attempt > 1);
    if waiting.is_some_and(|at| at < next.run_at) {
        tx.prepare_cached(MOVE_WHAT_FOLLOWS)?.execute(named_params! {
            ":id": job.id,
            ":run_at_ms": next.run_at,
            ":scheduled_for_ms": next.scheduled_for,
            ":now_ms": now,
        })?;
        return Ok(());
    }
    tx.prepare_cached(MOVE)?.execute(named_params! {
        ":id": job.id,
        ":wake_at_ms": wake_at(tx, job.id, job.requests, Some(next.run_at))?,
        ":run_at_ms": next.run_at,
        ":scheduled_for_ms": next.scheduled_for,
        ":now_ms": now,
    })?;
    Ok(())
}

/// When the job's own run is claimed, after what waits was moved.
fn own_run_at(tx: &Connection, job: JobId) -> Result<Option<Timestamp>> {
    Ok(tx
        .prepare_cached(OWN_RUN_AT)?
        .query_row(named_params! { ":id": job }, |row| row.get("own_run_at_ms"))?)
}

fn has_run(tx: &Connection, job: JobId, at: Timestamp) -> Result<bool> {
    Ok(tx
        .prepare_cached(HAS_RUN)?
        .query_row(named_params! { ":job_id": job, ":at_ms": at }, |row| row.get(0))?)
}

fn misses_ahead(tx: &Connection, job: JobId, now: Timestamp) -> Result<Vec<(i64, Miss)>> {
    let mut statement = tx.prepare_cached(MISSES_AHEAD)?;
    let mut rows = statement.query(named_params! { ":job_id": job, ":now_ms": now })?;
    let mut misses = Vec::new();
    while let Some(row) = rows.next()? {
        let c = Columns::of("mainspring_misses", row)?;
        misses.push((c.id(), c.miss()?));
    }
    Ok(misses)
}
