//! What a claim passes over.

use std::collections::HashSet;

use rusqlite::Connection;
use tempfile::TempDir;

use super::{Burst, ClaimRequest, Claims, MOST_LOOKED_AT, claim};
use crate::job::{JobArgs, JobId, Limits, NewJob};
use crate::policy::Durability;
use crate::run::OwnerId;
use crate::store::enqueue::enqueue;
use crate::store::{Database, OpenOptions, Tx};
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_767_600_000_000);

#[derive(serde::Serialize, serde::Deserialize)]
struct Known;
impl JobArgs for Known {
    const KIND: &'static str = "known";
}
#[derive(serde::Serialize, serde::Deserialize)]
struct Foreign;
impl JobArgs for Foreign {
    const KIND: &'static str = "foreign";
}

fn file() -> (TempDir, Connection) {
    let dir = tempfile::tempdir().unwrap();
    let conn = Database::open(&OpenOptions::new(dir.path().join("queue.db"))).unwrap().writer().unwrap();
    conn.execute_batch("BEGIN").unwrap();
    (dir, conn)
}

fn put<A: JobArgs>(conn: &Connection, job: NewJob<A>) -> JobId {
    enqueue(&Tx::on(conn), &job.into_spec(&Limits::default(), NOW).unwrap(), NOW).unwrap().id()
}

fn one(conn: &Connection, now: Timestamp) -> Claims {
    let kinds = HashSet::from([Known::KIND.to_owned()]);
    let request = ClaimRequest {
        owner: OwnerId(1),
        queue: "default",
        slots: 1,
        kinds: &kinds,
        synced: true,
        careful: false,
        durability: Durability::Balanced,
    };
    claim(&Tx::on(conn), &request, &mut Burst::default(), now).unwrap()
}

fn claimed(claims: &Claims) -> Vec<JobId> {
    claims.runs.iter().map(|run| run.job_id).collect()
}

const LATER: Timestamp = Timestamp::from_millis(NOW.millis() + 60_000);

fn put_expired(conn: &Connection, jobs: usize) {
    for _ in 0..jobs {
        put(conn, NewJob::new(Known).priority(1).expires_at(NOW));
    }
}

/// A claim that found one expired job at the head took nothing, and looked again after a second.
#[test]
fn jobs_that_are_due_and_do_not_run_leave_their_slot_to_those_behind_them() {
    let (_dir, conn) = file();
    put_expired(&conn, 300);
    let job = put(&conn, NewJob::new(Known));
    assert_eq!(claimed(&one(&conn, LATER)), [job]);
}

#[test]
fn a_claim_that_has_passed_over_many_says_that_more_are_left() {
    let (_dir, conn) = file();
    put_expired(&conn, MOST_LOOKED_AT + 1);
    let job = put(&conn, NewJob::new(Known));
    let claims = one(&conn, LATER);
    assert!(claims.runs.is_empty() && claims.left);
    assert_eq!(claimed(&one(&conn, LATER)), [job]);
    let claims = one(&conn, LATER);
    assert!(claims.runs.is_empty() && !claims.left);
}

#[test]
fn jobs_of_foreign_kinds_are_passed_over_and_stay() {
    let (_dir, conn) = file();
    for _ in 0..200 {
        put(&conn, NewJob::new(Foreign).priority(1));
    }
    let job = put(&conn, NewJob::new(Known));
    assert_eq!(claimed(&one(&conn, NOW)), [job]);
    let ready: i64 =
        conn.query_row("SELECT count(*) FROM mainspring_jobs WHERE ready = 1", [], |row| row.get(0)).unwrap();
    assert_eq!(ready, 200);
}

#[test]
fn a_job_behind_too_many_of_foreign_kinds_is_found_once_some_of_them_are_set_aside() {
    let (_dir, conn) = file();
    for _ in 0..1_500 {
        put(&conn, NewJob::new(Foreign).priority(1));
    }
    let job = put(&conn, NewJob::new(Known));
    let found = (0..5)
        .map(|n| Timestamp::from_millis(NOW.millis() + n))
        .find(|now| claimed(&one(&conn, *now)) == [job]);
    assert!(found.is_some());
}
