//! Reads. They never write; a row that cannot be read is named in the list and hides no other.

use rusqlite::{Connection, OptionalExtension, Rows, named_params};

use super::rows::{Columns, event, event_columns, job, job_columns, run, run_columns};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::job::{Job, JobId};
use crate::run::{Run, RunId};
use crate::time::Timestamp;

const JOB: &str = concat!("SELECT ", job_columns!(), " FROM mainspring_jobs WHERE id = :id");

const JOBS: &str = concat!(
    "SELECT ",
    job_columns!(),
    "
FROM mainspring_jobs
WHERE id > :after AND (:queue IS NULL OR queue = :queue) AND (:kind IS NULL OR kind = :kind)
    AND (:unfinished = 0 OR finished_at_ms IS NULL) AND (:named = 0 OR name IS NOT NULL)
ORDER BY id
LIMIT :limit"
);

const RUN: &str = concat!(
    "SELECT ",
    run_columns!(),
    "
FROM mainspring_runs r
LEFT JOIN mainspring_completions c ON c.run_id = r.id
WHERE r.id = :id"
);

const RUNS_OF_JOB: &str = concat!(
    "SELECT ",
    run_columns!(),
    "
FROM mainspring_runs r
LEFT JOIN mainspring_completions c ON c.run_id = r.id
WHERE r.id IN (
    SELECT id FROM (
        SELECT id
        FROM mainspring_runs
        WHERE job_id = :job_id AND request_id IS NULL
        ORDER BY scheduled_for_ms DESC, attempt DESC
        LIMIT :limit)
    UNION ALL
    SELECT id FROM (
        SELECT id
        FROM mainspring_runs
        WHERE job_id = :job_id AND request_id IS NOT NULL
        ORDER BY request_id DESC, attempt DESC
        LIMIT :limit))
ORDER BY r.id DESC
LIMIT :limit"
);

const NEXT_DUE: &str = "
SELECT min(next_run_at_ms)
FROM mainspring_jobs INDEXED BY mainspring_jobs_scheduled
WHERE queue = :queue AND ready = 0 AND claimable = 1";

const HAS_READY: &str = "
SELECT EXISTS (
    SELECT 1
    FROM mainspring_jobs INDEXED BY mainspring_jobs_ready
    WHERE queue = :queue AND ready = 1 AND claimable = 1)";

const NEXT_DELIVERY: &str = "
SELECT min(next_delivery_at_ms)
FROM mainspring_completions INDEXED BY mainspring_completions_pending
WHERE delivery_queue = :queue AND delivery = 'pending' AND delivery_owner_id IS NULL";

/// Which jobs to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct JobFilter {
    pub(crate) after: i64,
    pub(crate) queue: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) unfinished: bool,
    pub(crate) named: bool,
    pub(crate) limit: u32,
}

/// Jobs, and the errors of those rows that could not be read.
pub(crate) type Listed = (Vec<Job>, Vec<Error>);

pub(crate) fn find_job(conn: &Connection, id: JobId) -> Result<Option<Job>> {
    conn.prepare_cached(JOB)?
        .query_row(named_params! { ":id": id }, |row| Ok(job(row)))
        .optional()?
        .transpose()
}

const ID_OF_NAME: &str = "SELECT id FROM mainspring_jobs WHERE name = :name";

/// The id of the job of that name, whether the rest of its row can be read or not.
pub(crate) fn id_of_name(conn: &Connection, name: &str) -> Result<Option<JobId>> {
    Ok(conn
        .prepare_cached(ID_OF_NAME)?
        .query_row(named_params! { ":name": name }, |row| row.get("id"))
        .optional()?)
}

pub(crate) fn require_job(conn: &Connection, id: JobId) -> Result<Job> {
    find_job(conn, id)?.ok_or_else(|| Error::JobNotFound(id.to_string()))
}

pub(crate) fn list_jobs(conn: &Connection, filter: &JobFilter) -> Result<Listed> {
    let mut statement = conn.prepare_cached(JOBS)?;
    let mut rows = statement.query(named_params! {
        ":after": filter.after,
        ":queue": filter.queue,
        ":kind": filter.kind,
        ":unfinished": filter.unfinished,
        ":named": filter.named,
        ":limit": filter.limit,
    })?;
    let (mut jobs, mut errors) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        match job(row) {
            Ok(job) => jobs.push(job),
            Err(error) => errors.push(error),
        }
    }
    Ok((jobs, errors))
}

pub(crate) fn find_run(conn: &Connection, id: RunId) -> Result<Option<Run>> {
    conn.prepare_cached(RUN)?
        .query_row(named_params! { ":id": id }, |row| Ok(run(row)))
        .optional()?
        .transpose()
}

/// The newest runs of a job, newest first; those whose rows cannot be read as errors.
pub(crate) fn runs_of_job(conn: &Connection, id: JobId, limit: u32) -> Result<Vec<Result<Run>>> {
    let mut statement = conn.prepare_cached(RUNS_OF_JOB)?;
    let mut rows = statement.query(named_params! { ":job_id": id, ":limit": limit })?;
    let mut runs = Vec::new();
    while let Some(row) = rows.next()? {
        runs.push(run(row));
    }
    Ok(runs)
}

/// When the earliest scheduled job of a queue falls due.
pub(crate) fn next_due(conn: &Connection, queue: &str) -> Result<Option<Timestamp>> {
    Ok(conn.prepare_cached(NEXT_DUE)?.query_row(named_params! { ":queue": queue }, |row| row.get(0))?)
}

/// Whether jobs of the queue wait for a free worker.
pub(crate) fn has_ready(conn: &Connection, queue: &str) -> Result<bool> {
    Ok(conn.prepare_cached(HAS_READY)?.query_row(named_params! { ":queue": queue }, |row| row.get(0))?)
}

/// When the earliest delivery of a queue is to be tried that nobody works on.
pub(crate) fn next_delivery(conn: &Connection, queue: &str) -> Result<Option<Timestamp>> {
    Ok(conn.prepare_cached(NEXT_DELIVERY)?.query_row(named_params! { ":queue": queue }, |row| row.get(0))?)
}

const RUN_OF_REQUEST: &str = concat!(
    "SELECT ",
    run_columns!(),
    "
FROM mainspring_runs r
LEFT JOIN mainspring_completions c ON c.run_id = r.id
WHERE r.job_id = :job_id AND r.request_id = :request_id AND r.request_id IS NOT NULL
ORDER BY r.attempt DESC
LIMIT 1"
);

/// The newest run of what was asked for by hand.
pub(crate) fn run_of_request(conn: &Connection, job: JobId, request: i64) -> Result<Option<Run>> {
    conn.prepare_cached(RUN_OF_REQUEST)?
        .query_row(named_params! { ":job_id": job, ":request_id": request }, |row| Ok(run(row)))
        .optional()?
        .transpose()
}

const MISSES: &str = "
SELECT id, from_ms, to_ms, occurrences, exact, reason
FROM mainspring_misses
WHERE job_id = :job_id
ORDER BY from_ms DESC
LIMIT :limit";

/// The newest misses of a job, newest first.
pub(crate) fn misses_of_job(conn: &Connection, id: JobId, limit: u32) -> Result<Vec<crate::plan::Miss>> {
    let mut statement = conn.prepare_cached(MISSES)?;
    let mut rows = statement.query(named_params! { ":job_id": id, ":limit": limit })?;
    let mut misses = Vec::new();
    while let Some(row) = rows.next()? {
        misses.push(Columns::of("mainspring_misses", row)?.miss()?);
    }
    Ok(misses)
}

const EVENTS: &str =
    concat!("SELECT ", event_columns!(), " FROM mainspring_events ORDER BY id DESC LIMIT :limit");

const EVENTS_OF_JOB: &str = concat!(
    "SELECT ",
    event_columns!(),
    "
FROM mainspring_events INDEXED BY mainspring_events_of_job
WHERE job_id = :job_id
ORDER BY id DESC
LIMIT :limit"
);

/// The newest events of the file, newest first.
pub(crate) fn events(conn: &Connection, limit: u32) -> Result<Vec<Event>> {
    let mut statement = conn.prepare_cached(EVENTS)?;
    events_in(statement.query(named_params! { ":limit": limit })?)
}

/// The newest events of a job, newest first.
pub(crate) fn events_of_job(conn: &Connection, id: JobId, limit: u32) -> Result<Vec<Event>> {
    let mut statement = conn.prepare_cached(EVENTS_OF_JOB)?;
    events_in(statement.query(named_params! { ":job_id": id, ":limit": limit })?)
}

fn events_in(mut rows: Rows<'_>) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(event(row)?);
    }
    Ok(events)
}

const COUNTS: &str = "
SELECT
    ready.jobs AS ready,
    ready.oldest_ms AS oldest_ready,
    scheduled.jobs AS scheduled,
    scheduled.overdue AS overdue,
    scheduled.next_ms AS next_due,
    (SELECT count(*) FROM mainspring_runs WHERE ended_at_ms IS NULL) AS open_runs,
    (SELECT count(*) FROM mainspring_completions
        WHERE delivery = 'pending' AND delivery_owner_id IS NULL) AS undelivered,
    (SELECT count(*) FROM mainspring_completions WHERE delivery_owner_id IS NOT NULL) AS delivering,
    (SELECT count(*) FROM mainspring_owners WHERE ended_at_ms IS NULL) AS owners,
    (SELECT count(*) FROM mainspring_queues WHERE paused_at_ms IS NOT NULL) AS paused_queues,
    (SELECT count(*) FROM mainspring_jobs WHERE paused_at_ms IS NOT NULL AND finished_at_ms IS NULL) AS paused,
    (SELECT count(*) FROM mainspring_jobs WHERE parked_at_ms IS NOT NULL AND finished_at_ms IS NULL) AS parked,
    (SELECT count(*) FROM mainspring_jobs WHERE enabled = 0 AND finished_at_ms IS NULL) AS disabled
FROM (
    SELECT count(*) AS jobs, min(next_run_at_ms) AS oldest_ms
    FROM mainspring_jobs INDEXED BY mainspring_jobs_ready
    WHERE ready = 1 AND claimable = 1) AS ready
CROSS JOIN (
    SELECT count(*) AS jobs, count(*) FILTER (WHERE next_run_at_ms <= :now_ms) AS overdue, min(next_run_at_ms) AS next_ms
    FROM mainspring_jobs INDEXED BY mainspring_jobs_scheduled
    WHERE ready = 0 AND claimable = 1) AS scheduled";

/// What waits, runs and is held, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) ready: u32,
    pub(crate) scheduled: u32,
    pub(crate) overdue: u32,
    pub(crate) oldest_due: Option<Timestamp>,
    pub(crate) next_due: Option<Timestamp>,
    pub(crate) open_runs: u32,
    pub(crate) undelivered: u32,
    pub(crate) delivering: u32,
    pub(crate) owners: u32,
    pub(crate) paused_queues: u32,
    pub(crate) paused: u32,
    pub(crate) parked: u32,
    pub(crate) disabled: u32,
}

/// Counts by the partial indexes: what is finished is not read.
pub(crate) fn counts(conn: &Connection, now: Timestamp) -> Result<Counts> {
    let counts = conn.prepare_cached(COUNTS)?.query_row(named_params! { ":now_ms": now }, |row| {
        let next_due: Option<Timestamp> = row.get("next_due")?;
        let oldest_ready: Option<Timestamp> = row.get("oldest_ready")?;
        Ok(Counts {
            ready: row.get("ready")?,
            scheduled: row.get("scheduled")?,
            overdue: row.get("overdue")?,
            oldest_due: [oldest_ready, next_due.filter(|at| *at <= now)].into_iter().flatten().min(),
            next_due,
            open_runs: row.get("open_runs")?,
            undelivered: row.get("undelivered")?,
            delivering: row.get("delivering")?,
            owners: row.get("owners")?,
            paused_queues: row.get("paused_queues")?,
            paused: row.get("paused")?,
            parked: row.get("parked")?,
            disabled: row.get("disabled")?,
        })
    })?;
    Ok(counts)
}

/// Whether a run is open; `None` if there is no such run.
pub(crate) fn is_open(conn: &Connection, run: RunId) -> Result<Option<bool>> {
    const SQL: &str = "SELECT ended_at_ms IS NULL FROM mainspring_runs WHERE id = :id";
    Ok(conn.prepare_cached(SQL)?.query_row(named_params! { ":id": run }, |row| row.get(0)).optional()?)
}

#[cfg(feature = "testing")]
const HAS_DUE_DELIVERY: &str = "
SELECT EXISTS (
    SELECT 1
    FROM mainspring_completions INDEXED BY mainspring_completions_pending
    WHERE delivery = 'pending' AND delivery_owner_id IS NULL AND next_delivery_at_ms <= :now_ms)";

/// Whether a delivery is due that nobody works on, in any queue.
#[cfg(feature = "testing")]
pub(crate) fn has_due_delivery(conn: &Connection, now: Timestamp) -> Result<bool> {
    Ok(conn
        .prepare_cached(HAS_DUE_DELIVERY)?
        .query_row(named_params! { ":now_ms": now }, |row| row.get(0))?)
}
