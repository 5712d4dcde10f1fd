//! What a file holds, as far as a promise is about it.

use std::collections::BTreeMap;

use mainspring::{Delivery, OnInterrupt, OnUnknownDelivery, Outcome};
use rusqlite::{Connection, Row};

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Whether it is ours at all.
    pub(crate) has_tables: bool,
    pub(crate) jobs: BTreeMap<i64, Job>,
    pub(crate) runs: BTreeMap<i64, Run>,
    pub(crate) completions: BTreeMap<i64, Completion>,
    /// The jobs that somebody asked to run besides their schedule.
    pub(crate) requests: Vec<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) label: String,
    pub(crate) on_interrupt: OnInterrupt,
    pub(crate) is_paused: bool,
    pub(crate) is_finished: bool,
    pub(crate) runs_started: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) job: i64,
    pub(crate) trigger: String,
    pub(crate) is_asked_to_stop: bool,
    pub(crate) is_over: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Completion {
    pub(crate) outcome: Outcome,
    pub(crate) delivery: Delivery,
    pub(crate) deliveries: u32,
    pub(crate) on_unknown: Option<OnUnknownDelivery>,
}

const HAS_TABLES: &str = "SELECT count(*) FROM sqlite_schema WHERE name = 'mainspring_completions'";
const JOBS: &str = "
SELECT id, json_extract(args, '$.label') AS label, on_interrupt, paused_at_ms IS NOT NULL AS is_paused,
    finished_at_ms IS NOT NULL AS is_finished, runs_started
FROM mainspring_jobs";
const RUNS: &str = "
SELECT id, job_id, trigger, cancel_requested_at_ms IS NOT NULL AS is_asked_to_stop, ended_at_ms IS NOT NULL AS is_over
FROM mainspring_runs";
const COMPLETIONS: &str = "
SELECT run_id, outcome, delivery, delivery_attempts, on_unknown_delivery
FROM mainspring_completions";
const REQUESTS: &str = "SELECT job_id FROM mainspring_requests";

impl Facts {
    /// Reads them; none from a file without tables.
    pub(crate) fn read(conn: &Connection) -> rusqlite::Result<Self> {
        let tables: i64 = conn.query_row(HAS_TABLES, [], |row| row.get(0))?;
        if tables == 0 {
            return Ok(Self::default());
        }
        Ok(Self {
            has_tables: true,
            jobs: rows(conn, JOBS, |row| Ok((row.get("id")?, job(row)?)))?,
            runs: rows(conn, RUNS, |row| Ok((row.get("id")?, run(row)?)))?,
            completions: rows(conn, COMPLETIONS, |row| Ok((row.get("run_id")?, completion(row)?)))?,
            requests: rows(conn, REQUESTS, |row| row.get("job_id"))?,
        })
    }

    /// The job of that label; the older one, if there are two.
    pub(crate) fn job(&self, label: &str) -> Option<(i64, &Job)> {
        self.jobs.iter().find(|(_, job)| job.label == label).map(|(id, job)| (*id, job))
    }

    /// The runs of a job.
    pub(crate) fn runs_of(&self, job: i64) -> impl Iterator<Item = (i64, &Run)> {
        self.runs.iter().filter(move |(_, run)| run.job == job).map(|(id, run)| (*id, run))
    }

    /// The policy of the job that a run is of.
    pub(crate) fn on_interrupt(&self, run: &Run) -> OnInterrupt {
        self.jobs.get(&run.job).map_or(OnInterrupt::Rerun, |job| job.on_interrupt)
    }
}

fn rows<T, C: FromIterator<T>>(
    conn: &Connection,
    sql: &str,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<C> {
    conn.prepare(sql)?.query_map([], |row| read(row))?.collect()
}

fn job(row: &Row<'_>) -> rusqlite::Result<Job> {
    Ok(Job {
        label: row.get("label")?,
        on_interrupt: row.get("on_interrupt")?,
        is_paused: row.get("is_paused")?,
        is_finished: row.get("is_finished")?,
        runs_started: row.get("runs_started")?,
    })
}

fn run(row: &Row<'_>) -> rusqlite::Result<Run> {
    Ok(Run {
        job: row.get("job_id")?,
        trigger: row.get("trigger")?,
        is_asked_to_stop: row.get("is_asked_to_stop")?,
        is_over: row.get("is_over")?,
    })
}

fn completion(row: &Row<'_>) -> rusqlite::Result<Completion> {
    Ok(Completion {
        outcome: row.get("outcome")?,
        delivery: row.get("delivery")?,
        deliveries: row.get("delivery_attempts")?,
        on_unknown: row.get("on_unknown_delivery")?,
    })
}
