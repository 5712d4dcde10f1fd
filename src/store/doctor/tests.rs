//! Each invariant is broken by hand, around the constraints and triggers of the schema, and must be found.

use std::collections::BTreeSet;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;

const MIGRATIONS: [&str; 2] =
    [include_str!("../../../migrations/V1__tables.sql"), include_str!("../../../migrations/V2__views.sql")];
const REPRESENTATIVE: &str = include_str!("../../../tests/data/representative.sql");

/// What breaks a file of representative rows, and every invariant that this breaks.
const BREAKS: &[(&str, &[&str])] = &[
    (
        "UPDATE mainspring_runs SET ended_at_ms = 1767600000000 WHERE id = 24",
        &["an_ended_run_has_its_completion"],
    ),
    (
        "INSERT INTO mainspring_completions (run_id, outcome, finished_at_ms) VALUES (20, 'failed', 1767600000000)",
        &["an_open_run_has_no_completion"],
    ),
    (
        "INSERT INTO mainspring_completions (run_id, outcome, finished_at_ms) VALUES (777, 'failed', 1767600000000)",
        &["a_completion_belongs_to_a_run", "foreign_keys_hold"],
    ),
    ("UPDATE mainspring_jobs SET open_runs = 1 WHERE id = 13", &["open_runs_counts_the_open_runs"]),
    (
        "UPDATE mainspring_jobs SET open_runs = 1, running_at_ms = 1767600000000, running_run_id = 4 WHERE id = 1",
        &["open_runs_counts_the_open_runs", "running_names_the_newest_open_run"],
    ),
    ("UPDATE mainspring_jobs SET running_run_id = 21 WHERE id = 13", &["running_names_the_newest_open_run"]),
    ("UPDATE mainspring_jobs SET max_open_runs = 1 WHERE id = 13", &["no_more_runs_are_open_than_may_be"]),
    ("UPDATE mainspring_jobs SET max_open_runs = 2 WHERE id = 1", &["only_allow_lets_runs_overlap"]),
    ("UPDATE mainspring_jobs SET superseded_at_ms = 1767600000000 WHERE id = 1", &["a_superseded_job_runs"]),
    ("UPDATE mainspring_runs SET owner_id = 2 WHERE id = 20", &["an_open_run_has_a_living_owner"]),
    ("UPDATE mainspring_runs SET owner_id = 777 WHERE id = 20", &["an_open_run_has_a_living_owner"]),
    (
        "UPDATE mainspring_completions SET delivery_owner_id = 1 WHERE run_id = 8",
        &["a_delivery_in_hand_has_a_living_owner"],
    ),
    (
        "UPDATE mainspring_completions SET delivery_owner_id = 777 WHERE run_id = 7",
        &["a_delivery_in_hand_has_a_living_owner"],
    ),
    (
        "UPDATE mainspring_completions SET delivery_owner_id = 3 WHERE run_id = 1",
        &["a_settled_delivery_is_in_no_hand"],
    ),
    ("UPDATE mainspring_jobs SET requests = 1 WHERE id = 15", &["requests_counts_the_requests"]),
    (
        "UPDATE mainspring_jobs SET next_run_at_ms = planned_run_at_ms + 1 WHERE id = 10",
        &["a_request_does_not_hold_back_the_schedule"],
    ),
    (
        "UPDATE mainspring_requests SET job_id = 777 WHERE id = 1;
         UPDATE mainspring_jobs SET requests = 0, planned_run_at_ms = NULL WHERE id = 10",
        &["a_request_belongs_to_a_job", "foreign_keys_hold"],
    ),
    (
        "INSERT INTO mainspring_requests (job_id, trigger, scheduled_for_ms, run_at_ms, requested_at_ms)
             VALUES (3, 'manual', 1, 1, 1);
         UPDATE mainspring_jobs SET requests = 1 WHERE id = 3",
        &["a_requested_run_has_a_time"],
    ),
    (
        "UPDATE mainspring_jobs SET finished_at_ms = 1767600000000 WHERE id = 1",
        &["a_finished_job_waits_for_nothing"],
    ),
    (
        "UPDATE mainspring_jobs SET planned_run_at_ms = 1767600000000 WHERE id = 3",
        &["a_finished_job_waits_for_nothing"],
    ),
    ("UPDATE mainspring_jobs SET ready = 1 WHERE id = 3", &["a_ready_job_has_a_next_run"]),
    ("UPDATE mainspring_jobs SET attempt = 1 WHERE id = 6", &["the_next_attempt_is_a_new_one"]),
    ("UPDATE mainspring_runs SET request_id = 1 WHERE id = 7", &["the_next_attempt_is_a_new_one"]),
    ("UPDATE mainspring_jobs SET every_ms = NULL WHERE id = 2", &["a_schedule_is_complete"]),
    ("UPDATE mainspring_jobs SET schedule_text = NULL WHERE id = 1", &["a_schedule_is_complete"]),
    ("UPDATE mainspring_runs SET attempt = 3 WHERE id = 4", &["attempts_have_no_gaps"]),
    (
        "UPDATE mainspring_runs SET request_id = 7, attempt = 1 WHERE id = 9;
         UPDATE mainspring_runs SET request_id = 7, attempt = 3 WHERE id = 11",
        &["attempts_have_no_gaps"],
    ),
    (
        "UPDATE mainspring_completions SET outcome = 'succeeded' WHERE run_id = 3",
        &["an_occurrence_succeeds_once"],
    ),
    (
        "UPDATE mainspring_runs SET request_id = 7 WHERE id = 9;
         UPDATE mainspring_runs SET request_id = 7, attempt = 2 WHERE id = 10",
        &["an_occurrence_succeeds_once"],
    ),
    (
        "UPDATE mainspring_misses SET to_ms = 1767423600000 WHERE reason = 'coalesced'",
        &["an_occurrence_is_run_or_missed"],
    ),
    ("DELETE FROM mainspring_meta", &["the_file_has_its_meta_row"]),
];

/// A file of representative rows, with everything off that would refuse to break it.
fn file() -> (TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let conn = Connection::open(folder.path().join("queue.db")).unwrap();
    conn.execute_batch("PRAGMA synchronous = OFF").unwrap(); // nobody cuts the power here
    for migration in MIGRATIONS {
        conn.execute_batch(migration).unwrap();
    }
    conn.execute_batch(REPRESENTATIVE).unwrap();
    (folder, conn)
}

fn disarm(conn: &Connection) {
    conn.execute_batch(
        "PRAGMA foreign_keys = OFF;
         PRAGMA ignore_check_constraints = ON;",
    )
    .unwrap();
    let mut names = conn.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").unwrap();
    let names: Vec<String> =
        names.query_map([], |row| row.get(0)).unwrap().map(|name| name.unwrap()).collect();
    assert!(!names.is_empty());
    for name in names {
        conn.execute_batch(&["DROP TRIGGER ", &name].concat()).unwrap();
    }
}

fn names(findings: &[Finding]) -> BTreeSet<&'static str> {
    findings.iter().map(|finding| finding.invariant).collect()
}

#[test]
fn a_file_that_only_the_library_wrote_has_no_findings() {
    let (_folder, conn) = file();
    assert_eq!(doctor(&conn).unwrap(), []);
    assert_eq!(integrity(&conn).unwrap(), []);
}

#[test]
fn every_broken_row_is_found_under_the_name_of_what_it_breaks() {
    for (break_it, wanted) in BREAKS {
        let (_folder, conn) = file();
        disarm(&conn);
        conn.execute_batch(break_it).unwrap();
        assert_eq!(names(&doctor(&conn).unwrap()), wanted.iter().copied().collect(), "after {break_it}");
    }
}

#[test]
fn every_invariant_is_broken_by_some_test() {
    let broken: BTreeSet<_> = BREAKS.iter().flat_map(|(_, wanted)| wanted.iter().copied()).collect();
    let all: BTreeSet<_> = INVARIANTS.iter().map(|invariant| invariant.name).collect();
    assert_eq!(broken, all);
    assert_eq!(all.len(), INVARIANTS.len(), "two invariants have one name");
}

#[test]
fn a_finding_names_the_row_and_what_is_wrong_with_it() {
    let (_folder, conn) = file();
    disarm(&conn);
    conn.execute_batch("UPDATE mainspring_jobs SET open_runs = 1 WHERE id = 13").unwrap();
    let findings = doctor(&conn).unwrap();
    let texts: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["open_runs_counts_the_open_runs: job 13 counts 1 open runs, there are 2"]);
}

#[test]
fn a_file_broken_everywhere_yields_at_most_twenty_findings_an_invariant() {
    let (_folder, conn) = file();
    disarm(&conn);
    conn.execute_batch(
        "WITH RECURSIVE n (i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 1100)
         INSERT INTO mainspring_runs (id, job_id, job_revision, kind, queue, scheduled_for_ms, attempt, trigger,
             owner_id, claimed_at_ms, ended_at_ms)
         SELECT i, i, 1, 'k', 'q', 1, 1, 'schedule', 1, 1, 2 FROM n",
    )
    .unwrap();
    let findings = doctor(&conn).unwrap();
    assert_eq!(findings.len(), 20);
    assert_eq!(names(&findings), BTreeSet::from(["an_ended_run_has_its_completion"]));
}

#[test]
fn the_foreign_keys_of_the_host_application_are_none_of_our_business() {
    let (_folder, conn) = file();
    conn.execute_batch(
        "PRAGMA foreign_keys = OFF;
         CREATE TABLE parent (id INTEGER PRIMARY KEY);
         CREATE TABLE child (parent_id INTEGER REFERENCES parent (id));
         INSERT INTO child VALUES (7);",
    )
    .unwrap();
    assert_eq!(doctor(&conn).unwrap(), []);
}

#[test]
fn a_row_against_its_check_makes_the_file_unsound() {
    let (_folder, conn) = file();
    conn.execute_batch(
        "PRAGMA ignore_check_constraints = ON;
         UPDATE mainspring_jobs SET priority = 1001 WHERE id = 1;
         PRAGMA ignore_check_constraints = OFF;",
    )
    .unwrap();
    let findings = integrity(&conn).unwrap();
    assert_eq!(names(&findings), BTreeSet::from(["the_file_is_sound"]));
    assert!(findings[0].detail.contains("mainspring_jobs"), "{}", findings[0]);
}

/// What breaks an invariant may be no text; the whole examination failed at it, and told of nothing else.
#[test]
fn a_detail_that_is_no_text_is_shown_as_far_as_it_is_one() {
    let conn = rusqlite::Connection::open_in_memory().unwrap();
    let odd = Invariant { name: "odd", sql: "SELECT CAST(x'61ff0a' AS TEXT) AS detail UNION ALL SELECT 7" };
    let mut findings = Vec::new();
    super::examine(&conn, &odd, &mut findings).unwrap();
    let details: Vec<_> = findings.iter().map(|finding| finding.detail.as_str()).collect();
    assert_eq!(details, ["a\u{fffd}\\n", "Integer(7)"]);
}
