//! Two processes work on one file: nothing is run twice, nothing is lost, a dead one is noticed at once and a frozen
//! one is not taken for dead.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod children;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use children::app::{self, Does, does, open, work};
use children::child::{self, Child};
use children::eventually;
use children::ledger::{Deed, Ledger};
use children::rows::{assert_sound, attempts, runs, settled, value};
use mainspring::{Delivery, ErrorClass, NewJob, OnInterrupt, Outcome, Queue, Run, Timestamp};
use tempfile::TempDir;

const JOBS: usize = 1_000;
const WORKERS: u32 = 8;
const SETTLED_WITHIN: Duration = Duration::from_secs(2);

fn engine(dir: &Path) {
    child::forever(async {
        app::engine(&open(dir)).queue("default", WORKERS).build().unwrap().start().await.unwrap()
    });
}

#[test]
#[ignore = "the main function of a child"]
fn child() {
    child::main(&[("engine", engine)]);
}

/// Two engines in two processes on one new file.
async fn two() -> (TempDir, Queue, [Child; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    let children = [Child::start("engine", dir.path()), Child::start("engine", dir.path())];
    eventually("both have an owner", || async { (queue.status().await.unwrap().engines == 2).then_some(()) })
        .await;
    (dir, queue, children)
}

#[tokio::test]
async fn a_thousand_jobs_are_each_run_once() {
    let (dir, queue, children) = two().await;
    let jobs = queue.enqueue_many((0..JOBS).map(|no| work(no.to_string()))).await.unwrap();
    settled(&queue, 2).await;

    let succeeded = Some((Outcome::Succeeded, Delivery::NotRequested));
    for job in jobs {
        assert_eq!(attempts(&queue, job.id()).await, [(1, succeeded)]);
    }
    let began = Ledger::in_dir(dir.path()).all(Deed::Began);
    let mut labels: Vec<usize> = began.iter().map(|entry| entry.label.parse().unwrap()).collect();
    labels.sort_unstable();
    assert_eq!(labels, (0..JOBS).collect::<Vec<_>>());
    for child in children {
        let share = began.iter().filter(|entry| entry.pid == child.id()).count();
        assert!(share > 0, "one process did everything");
        child.kill();
    }
    assert_sound(&queue).await;
}

#[tokio::test]
async fn when_one_is_killed_half_way_the_other_settles_its_runs_at_once_and_nothing_is_lost() {
    // D3.1: the marker of a dead process kept its job from ever running again, or for an hour.
    let (dir, queue, [doomed, survivor]) = two().await;
    let ledger = Ledger::in_dir(dir.path());
    let policy = |no: usize| OnInterrupt::ALL[no % 2];
    assert!(!(0..JOBS).any(|no| policy(no) == OnInterrupt::Verify));
    let jobs = (0..JOBS).map(|no| NewJob::new(work(no.to_string())).on_interrupt(policy(no)));
    let jobs = queue.enqueue_many(jobs).await.unwrap();
    ledger.wait_for(Deed::Ended, JOBS / 2);
    let dead =
        value::<i64>(dir.path(), &format!("SELECT id FROM mainspring_owners WHERE pid = {}", doomed.id()));
    let killed_at = doomed.kill();
    settled(&queue, 1).await;

    let mut found = Found { dead, killed_at, began: HashMap::new(), interrupted: 0 };
    for entry in ledger.all(Deed::Began) {
        *found.began.entry(entry.run).or_insert(0) += 1;
    }
    for (no, job) in jobs.iter().enumerate() {
        found.check(&runs(&queue, job.id()).await, policy(no));
    }
    assert!(
        found.began.is_empty(),
        "handlers were called for runs that are not on record: {:?}",
        found.began
    );
    // What it had claimed is what it had room for: completions and the next claims share their commits.
    assert!((1..=WORKERS as usize).contains(&found.interrupted), "{} runs", found.interrupted);
    survivor.kill();
    assert_sound(&queue).await;
}

/// What the rows and the ledger say together.
struct Found {
    dead: i64,
    killed_at: Timestamp,
    /// How often a handler was called for each run that has not been checked yet.
    began: HashMap<i64, u32>,
    interrupted: usize,
}

impl Found {
    fn check(&mut self, runs: &[Run], policy: OnInterrupt) {
        let (last, before) = runs.split_last().unwrap();
        for run in runs {
            let end = run.completion.as_ref().unwrap();
            let began = self.began.remove(&run.id.0).unwrap_or(0);
            if end.outcome == Outcome::Succeeded {
                assert_eq!(began, 1, "{run:?}");
            } else {
                let why = (end.outcome, end.error_class, run.owner_id.0);
                assert_eq!(why, (Outcome::Interrupted, Some(ErrorClass::OwnerDied), self.dead), "{run:?}");
                assert!(began <= 1, "{run:?}");
                let settled_after = run.ended_at.unwrap().since(self.killed_at);
                assert!(settled_after < SETTLED_WITHIN, "{settled_after:?}");
                self.interrupted += 1;
            }
        }
        let succeeded = |run: &Run| run.completion.as_ref().unwrap().outcome == Outcome::Succeeded;
        match policy {
            // Not lost: the last attempt has succeeded, and there are two only where the first was interrupted.
            OnInterrupt::Rerun => {
                assert!(succeeded(last) && before.len() <= 1 && !before.iter().any(succeeded))
            }
            // Not repeated, whatever became of it.
            _ => assert!(before.is_empty(), "{runs:?}"),
        }
    }
}

#[tokio::test]
async fn a_frozen_process_is_not_robbed_of_its_run_and_completes_it_when_it_thaws() {
    // D3.3: a run was given to somebody else since its owner had not been heard of for a fixed time.
    let dir = tempfile::tempdir().unwrap();
    let (queue, ledger) = (open(dir.path()), Ledger::in_dir(dir.path()));
    let gate = dir.path().join("gate");
    let job = queue.enqueue(does("long", Does::WaitFor(gate.clone()))).await.unwrap().id();
    let frozen = Child::start("engine", dir.path());
    ledger.wait(Deed::Began, "long");
    frozen.freeze();

    let other = Child::start("engine", dir.path());
    // Later than three looks at the other owners.
    let later = NewJob::new(work("later")).after(Duration::from_millis(1_700));
    queue.enqueue(later).await.unwrap();
    let later = ledger.wait(Deed::Ended, "later");
    assert_eq!(later.pid, other.id());
    assert_eq!(attempts(&queue, job).await, [(1, None)], "its run is open");
    assert_eq!(queue.status().await.unwrap().engines, 2);

    fs::write(gate, "").unwrap();
    frozen.thaw();
    settled(&queue, 2).await;
    let succeeded = Some((Outcome::Succeeded, Delivery::NotRequested));
    assert_eq!(attempts(&queue, job).await, [(1, succeeded)]);
    let ended = ledger.of(Deed::Ended, "long");
    assert_eq!(ended.iter().map(|entry| entry.pid).collect::<Vec<_>>(), [frozen.id()]);
    other.kill();
    frozen.kill();
    assert_sound(&queue).await;
}
