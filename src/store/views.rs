//! The views say in SQL what the types say in Rust. No code reads them, so here they are held to the types.

use rusqlite::{Connection, params};
use tempfile::TempDir;

use crate::job::{Job, JobId, JobState};
use crate::plan::Overlap;
use crate::policy::{OnInterrupt, OnUnknownDelivery, Policies};
use crate::run::RunId;
use crate::schedule::Schedule;
use crate::time::{Clock, SystemClock, Timestamp};

const PAST: Timestamp = Timestamp::from_millis(1_767_600_000_000);
const NOW: Timestamp = Timestamp::from_millis(1_767_600_000_001);
const FAR_FUTURE: Timestamp = Timestamp::from_millis(253_000_000_000_000);

fn file() -> (TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let conn = Connection::open(folder.path().join("queue.db")).unwrap();
    conn.execute_batch("PRAGMA synchronous = OFF").unwrap();
    conn.execute_batch(include_str!("../../migrations/V1__tables.sql")).unwrap();
    conn.execute_batch(include_str!("../../migrations/V2__views.sql")).unwrap();
    (folder, conn)
}

fn job(id: i64) -> Job {
    Job {
        id: JobId(id),
        name: None,
        kind: "kind".to_owned(),
        queue: "default".to_owned(),
        priority: 0,
        args: "null".to_owned(),
        unique_key: None,
        declared_by: None,
        schedule: Schedule::at(PAST),
        expires_at: None,
        on_interrupt: OnInterrupt::Rerun,
        on_unknown_delivery: OnUnknownDelivery::Resend,
        overlap: Overlap::default(),
        policies: Policies::default(),
        enabled: true,
        paused_at: None,
        pause_reason: None,
        parked_at: None,
        park_reason: None,
        schedule_activated_at: PAST,
        next_run_at: None,
        scheduled_for: None,
        attempt: 1,
        then: None,
        requests: 0,
        open_runs: 0,
        running_at: None,
        running_run_id: None,
        last_run_at: None,
        last_scheduled_for: None,
        last_outcome: None,
        runs_started: 0,
        failures_in_a_row: 0,
        interruptions_in_a_row: 0,
        revision: 1,
        created_at: PAST,
        updated_at: PAST,
        finished_at: None,
    }
}

/// A job with every combination of the facts that its state is derived from.
fn jobs_with_every_combination_of_facts() -> Vec<Job> {
    let mut jobs = Vec::new();
    for bits in 0..64_i64 {
        let fact = |bit: i64| bits & (1 << bit) != 0;
        for next_run_at in [None, Some(PAST), Some(FAR_FUTURE)] {
            let mut job = job(jobs.len() as i64 + 1);
            job.next_run_at = next_run_at;
            if fact(0) {
                (job.open_runs, job.running_at, job.running_run_id) = (1, Some(PAST), Some(RunId(1)));
            }
            job.parked_at = fact(1).then_some(PAST);
            job.paused_at = fact(2).then_some(PAST);
            job.enabled = !fact(3);
            job.finished_at = fact(4).then_some(PAST);
            job.attempt = if fact(5) { 2 } else { 1 };
            jobs.push(job);
        }
    }
    jobs
}

#[test]
fn the_job_view_says_the_same_word_as_the_type_for_every_combination_of_facts() {
    let (_folder, conn) = file();
    // Some combinations are forbidden by constraints; a row that holds one is still shown.
    conn.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
    let mut seen = Vec::new();
    for job in jobs_with_every_combination_of_facts() {
        conn.execute(
            "INSERT INTO mainspring_jobs (id, kind, at_ms, schedule_activated_at_ms, created_at_ms, updated_at_ms,
                 open_runs, running_at_ms, running_run_id, parked_at_ms, paused_at_ms, enabled, finished_at_ms,
                 attempt, next_run_at_ms)
             VALUES (?1, 'kind', 1, 1, 1, 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                job.id,
                job.open_runs,
                job.running_at,
                job.running_run_id,
                job.parked_at,
                job.paused_at,
                job.enabled,
                job.finished_at,
                job.attempt,
                job.next_run_at
            ],
        )
        .unwrap();
        let word: JobState = conn
            .query_row("SELECT state FROM mainspring_job_view WHERE job_id = ?1", [job.id], |row| {
                row.get("state")
            })
            .unwrap();
        assert_eq!(word, job.state(NOW), "{job:?}");
        seen.push(word);
    }
    assert!(JobState::ALL.iter().all(|state| seen.contains(state)), "a state was never reached");
}

#[test]
fn the_views_write_every_instant_as_the_type_does() {
    let (_folder, mut conn) = file();
    let mut random = fastrand::Rng::with_seed(2);
    // From the year 1 to the year 9999; both ends, both sides of 1970, and each millisecond around a second.
    let mut instants = vec![-62_135_596_800_000, -1, 0, 1, 253_402_300_799_999];
    instants.extend(1_767_599_998_999..1_767_600_001_001);
    instants.extend((0..20_000).map(|_| random.i64(-62_135_596_800_000..253_402_300_800_000)));
    let tx = conn.transaction().unwrap();
    for ms in &instants {
        tx.execute(
            "INSERT INTO mainspring_misses (job_id, from_ms, to_ms, occurrences, reason, recorded_at_ms)
             VALUES (1, ?1, ?1, 1, 'downtime', ?1)",
            [ms],
        )
        .unwrap();
    }
    tx.commit().unwrap();
    let mut view = conn.prepare("SELECT first FROM mainspring_miss_view ORDER BY miss_id").unwrap();
    let written: Vec<String> =
        view.query_map([], |row| row.get(0)).unwrap().map(|text| text.unwrap()).collect();
    assert_eq!(written.len(), instants.len());
    for (ms, text) in instants.iter().zip(written) {
        assert_eq!(text, Timestamp::from_millis(*ms).to_string(), "{ms}");
    }
}

#[test]
fn the_views_know_what_time_it_is() {
    let (_folder, conn) = file();
    let before = SystemClock.now().to_string();
    let now: String =
        conn.query_row("SELECT now FROM mainspring_health_view", [], |row| row.get("now")).unwrap();
    let after = SystemClock.now().to_string();
    assert!(before <= now && now <= after, "{before} {now} {after}");
}
