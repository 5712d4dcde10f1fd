//! A dozen processes enqueue at once while an engine works off what they bring: none of their callers hears of a busy
//! file, and no job is lost.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod children;

use std::collections::HashSet;
use std::path::Path;

use children::app::{App, open, work};
use children::child;
use children::ledger::Deed;
use children::rows::{assert_sound, settled};

const PROCESSES: usize = 12;
const TASKS: usize = 30;
const JOBS_OF_A_TASK: usize = 3;

/// Enqueues from many tasks, one job after the other in each. An error of any of them ends the process with a panic.
fn producer(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let queue = open(dir);
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let queue = queue.clone();
                tokio::spawn(async move {
                    for job in 0..JOBS_OF_A_TASK {
                        let label = format!("{} {task} {job}", std::process::id());
                        queue.enqueue(work(label)).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        queue.close().await.unwrap();
    });
}

#[test]
#[ignore = "the main function of a child"]
fn child() {
    child::main(&[("producer", producer)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_caller_of_a_dozen_processes_hears_of_a_busy_file() {
    let app = App::new();
    let engine = app.engine().await;
    let children: Vec<_> = (0..PROCESSES).map(|_| app.child("producer")).collect();
    for child in children {
        let ended = tokio::task::spawn_blocking(|| child.ended()).await.unwrap();
        assert!(ended.is_err_and(|status| status.success()), "a producer was refused: {ended:?}");
    }
    settled(&app.queue, 1).await;
    let labels: Vec<String> = app.ledger.all(Deed::Ended).into_iter().map(|entry| entry.label).collect();
    assert_eq!(labels.len(), PROCESSES * TASKS * JOBS_OF_A_TASK);
    assert_eq!(labels.iter().collect::<HashSet<_>>().len(), labels.len(), "a job was run twice");
    engine.shutdown(std::time::Duration::from_secs(10)).await.unwrap();
    assert_sound(&app.queue).await;
}
