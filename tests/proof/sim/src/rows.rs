//! What the simulator reads of the file, through a connection of its own.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Row, params};

type Rows<T> = Result<T, String>;

fn text(error: rusqlite::Error) -> String {
    format!("the file cannot be read: {error}")
}

/// A run as it was claimed.
#[derive(Debug)]
pub(crate) struct ClaimRow {
    pub(crate) id: i64,
    pub(crate) job: i64,
    pub(crate) queue: String,
    pub(crate) occurrence: i64,
    pub(crate) attempt: u32,
    pub(crate) trigger: String,
    pub(crate) request: Option<i64>,
    pub(crate) owner: i64,
}

/// The runs that were claimed after that one.
pub(crate) fn claims_after(conn: &Connection, last: i64) -> Rows<Vec<ClaimRow>> {
    let mut statement = conn
        .prepare_cached(
            "SELECT id, job_id, queue, scheduled_for_ms, attempt, trigger, request_id, owner_id
             FROM mainspring_runs WHERE id > ?1 ORDER BY id",
        )
        .map_err(text)?;
    let rows = statement.query_map([last], |row| {
        Ok(ClaimRow {
            id: row.get(0)?,
            job: row.get(1)?,
            queue: row.get(2)?,
            occurrence: row.get(3)?,
            attempt: row.get(4)?,
            trigger: row.get(5)?,
            request: row.get(6)?,
            owner: row.get(7)?,
        })
    });
    rows.map_err(text)?.collect::<Result<_, _>>().map_err(text)
}

/// The runs that are open.
pub(crate) fn open_runs(conn: &Connection) -> Rows<Vec<i64>> {
    let mut statement = conn
        .prepare_cached(
            "SELECT id FROM mainspring_runs INDEXED BY mainspring_runs_open WHERE ended_at_ms IS NULL",
        )
        .map_err(text)?;
    statement.query_map([], |row| row.get(0)).map_err(text)?.collect::<Result<_, _>>().map_err(text)
}

/// The runs whose outputs wait for their delivery or are being delivered.
pub(crate) fn undelivered(conn: &Connection) -> Rows<HashSet<i64>> {
    let mut statement = conn
        .prepare_cached(
            "SELECT run_id FROM mainspring_completions INDEXED BY mainspring_completions_pending
             WHERE delivery = 'pending' AND delivery_owner_id IS NULL
             UNION ALL
             SELECT run_id FROM mainspring_completions INDEXED BY mainspring_completions_owned
             WHERE delivery_owner_id IS NOT NULL AND delivery IN ('pending', 'started')",
        )
        .map_err(text)?;
    statement.query_map([], |row| row.get(0)).map_err(text)?.collect::<Result<_, _>>().map_err(text)
}

/// How a run ended, and what became of its delivery.
#[derive(Debug)]
pub(crate) struct EndRow {
    pub(crate) outcome: String,
    pub(crate) class: Option<String>,
    pub(crate) output: Option<String>,
    pub(crate) delivery: String,
    pub(crate) owner: Option<i64>,
    pub(crate) on_unknown: Option<String>,
    pub(crate) attempts: u32,
}

pub(crate) fn end_of(conn: &Connection, run: i64) -> Rows<Option<EndRow>> {
    let mut statement = conn
        .prepare_cached(
            "SELECT outcome, error_class, output, delivery, delivery_owner_id, on_unknown_delivery, delivery_attempts
             FROM mainspring_completions WHERE run_id = ?1",
        )
        .map_err(text)?;
    let read = |row: &Row<'_>| {
        Ok(EndRow {
            outcome: row.get(0)?,
            class: row.get(1)?,
            output: row.get(2)?,
            delivery: row.get(3)?,
            owner: row.get(4)?,
            on_unknown: row.get(5)?,
            attempts: row.get(6)?,
        })
    };
    statement.query_row([run], read).optional().map_err(text)
}

/// A job as it stands.
#[derive(Debug)]
pub(crate) struct JobRow {
    pub(crate) id: i64,
    pub(crate) name: Option<String>,
    pub(crate) queue: String,
    pub(crate) on_interrupt: String,
    pub(crate) max_open_runs: usize,
    pub(crate) policies: String,
    pub(crate) schedule_kind: String,
    pub(crate) schedule_text: Option<String>,
    pub(crate) every: Option<i64>,
    pub(crate) anchor: Option<i64>,
    pub(crate) enabled: bool,
    pub(crate) paused: Option<i64>,
    pub(crate) parked: Option<i64>,
    pub(crate) activated: i64,
    pub(crate) next_run: Option<i64>,
    /// The schedule's own next occurrence.
    pub(crate) ahead: Option<i64>,
    pub(crate) requests: i64,
    pub(crate) open_runs: i64,
    pub(crate) finished: Option<i64>,
    pub(crate) expires: Option<i64>,
}

macro_rules! job_columns {
    () => {
        "id, name, queue, on_interrupt, max_open_runs, policies, schedule_kind, schedule_text, every_ms, anchor_ms,
         enabled, paused_at_ms, parked_at_ms, schedule_activated_at_ms, next_run_at_ms, requests, open_runs,
         finished_at_ms, expires_at_ms, iif(attempt > 1, then_scheduled_for_ms, scheduled_for_ms)"
    };
}

fn job_row(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    Ok(JobRow {
        id: row.get(0)?,
        name: row.get(1)?,
        queue: row.get(2)?,
        on_interrupt: row.get(3)?,
        max_open_runs: row.get::<_, u32>(4)? as usize,
        policies: row.get(5)?,
        schedule_kind: row.get(6)?,
        schedule_text: row.get(7)?,
        every: row.get(8)?,
        anchor: row.get(9)?,
        enabled: row.get(10)?,
        paused: row.get(11)?,
        parked: row.get(12)?,
        activated: row.get(13)?,
        next_run: row.get(14)?,
        requests: row.get(15)?,
        open_runs: row.get(16)?,
        finished: row.get(17)?,
        expires: row.get(18)?,
        ahead: row.get(19)?,
    })
}

pub(crate) fn job(conn: &Connection, id: i64) -> Rows<Option<JobRow>> {
    let mut statement = conn
        .prepare_cached(concat!("SELECT ", job_columns!(), " FROM mainspring_jobs WHERE id = ?1"))
        .map_err(text)?;
    statement.query_row([id], job_row).optional().map_err(text)
}

pub(crate) fn jobs(conn: &Connection) -> Rows<Vec<JobRow>> {
    let mut statement = conn
        .prepare_cached(concat!("SELECT ", job_columns!(), " FROM mainspring_jobs ORDER BY id"))
        .map_err(text)?;
    statement.query_map([], job_row).map_err(text)?.collect::<Result<_, _>>().map_err(text)
}

/// A range of occurrences that were missed.
#[derive(Debug)]
pub(crate) struct MissRow {
    pub(crate) id: i64,
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) reason: String,
}

pub(crate) fn misses(conn: &Connection, job: i64, after: i64) -> Rows<Vec<MissRow>> {
    let mut statement = conn
        .prepare_cached(
            "SELECT id, from_ms, to_ms, reason FROM mainspring_misses
             WHERE job_id = ?1 AND to_ms > ?2 ORDER BY from_ms, to_ms",
        )
        .map_err(text)?;
    let rows = statement.query_map(params![job, after], |row| {
        Ok(MissRow { id: row.get(0)?, from: row.get(1)?, to: row.get(2)?, reason: row.get(3)? })
    });
    rows.map_err(text)?.collect::<Result<_, _>>().map_err(text)
}

/// A number that a query without parameters, or with two, comes to.
pub(crate) fn number(conn: &Connection, sql: &'static str, with: impl rusqlite::Params) -> Rows<Option<i64>> {
    conn.prepare_cached(sql)
        .map_err(text)?
        .query_row(with, |row| row.get(0))
        .optional()
        .map(Option::flatten)
        .map_err(text)
}

/// The jobs that are due, and the occurrence that each of them is due for.
pub(crate) fn due(conn: &Connection, now: i64) -> Rows<Vec<(i64, i64)>> {
    let mut statement = conn
        .prepare_cached(
            "SELECT id, scheduled_for_ms FROM mainspring_jobs
             WHERE next_run_at_ms <= ?1 AND scheduled_for_ms IS NOT NULL AND claimable = 1",
        )
        .map_err(text)?;
    let rows = statement.query_map([now], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.map_err(text)?.collect::<Result<_, _>>().map_err(text)
}

/// Two numbers that a query comes to; `None` if it finds no row.
pub(crate) fn pair(conn: &Connection, sql: &'static str) -> Rows<Option<(i64, i64)>> {
    conn.prepare_cached(sql)
        .map_err(text)?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map_err(text)
}

/// All that the file says of a job, in lines for people.
pub(crate) fn all_of(conn: &Connection, id: i64) -> Rows<Vec<String>> {
    let mut lines = vec![format!("{:?}", job(conn, id)?)];
    let queries = [
        "SELECT 'run ' || r.id || ': ' || datetime(scheduled_for_ms / 1000, 'unixepoch') || ' attempt ' || attempt || ' '
            || trigger || ', ' || coalesce((SELECT outcome FROM mainspring_completions WHERE run_id = r.id), 'open')
         FROM mainspring_runs AS r WHERE job_id = ?1 ORDER BY id",
        "SELECT 'miss ' || id || ': ' || datetime(from_ms / 1000, 'unixepoch') || ' to '
            || datetime(to_ms / 1000, 'unixepoch') || ' ' || reason || ', at '
            || datetime(recorded_at_ms / 1000, 'unixepoch')
         FROM mainspring_misses WHERE job_id = ?1 ORDER BY id",
    ];
    for sql in queries {
        let mut statement = conn.prepare(sql).map_err(text)?;
        let found = statement.query_map([id], |row| row.get(0)).map_err(text)?;
        let found: Vec<String> = found.collect::<Result<_, _>>().map_err(text)?;
        lines.extend(found.into_iter().rev().take(20).rev());
    }
    Ok(lines)
}
