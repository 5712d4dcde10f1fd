//! No-op jobs from claim to completion.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use mainspring::{Durability, Engine, Failure, Queue, RunContext};
use tokio::sync::Notify;

use crate::enqueue::{Nothing, options, runtime};
use crate::floor::{Floor, fill};
use crate::measure::{Unit, Workload, contestant, per_second};

pub(crate) fn workloads() -> Vec<Workload> {
    vec![
        workload("jobs_1_worker_balanced", 1, Durability::Balanced, 3_000),
        workload("jobs_8_workers_balanced", 8, Durability::Balanced, 20_000),
        workload("jobs_64_workers_balanced", 64, Durability::Balanced, 50_000),
        workload("jobs_1_worker_relaxed", 1, Durability::Relaxed, 10_000),
        workload("jobs_8_workers_relaxed", 8, Durability::Relaxed, 30_000),
        workload("jobs_64_workers_relaxed", 64, Durability::Relaxed, 50_000),
    ]
}

fn workload(name: &'static str, workers: u32, durability: Durability, operations: usize) -> Workload {
    Workload {
        name,
        unit: Unit::PerSecond,
        goal: if workers == 1 { "-" } else { "0.7 x the floor" },
        operations,
        contestants: vec![
            contestant("floor", move |folder, jobs| by_floor(folder, durability, workers as usize, jobs)),
            contestant("mainspring", move |folder, jobs| by_engine(folder, durability, workers, jobs)),
        ],
    }
}

fn by_floor(folder: &Path, durability: Durability, workers: usize, jobs: usize) -> f64 {
    let path = folder.join("queue.db");
    fill(&path, jobs);
    let mut floor = Floor::open_made(&path, durability);
    let begin = Instant::now();
    let mut done = 0;
    loop {
        let claimed = floor.turn(workers);
        if claimed == 0 {
            break;
        }
        done += claimed;
    }
    assert_eq!(done, jobs);
    per_second(jobs, begin.elapsed())
}

fn by_engine(folder: &Path, durability: Durability, workers: u32, jobs: usize) -> f64 {
    fill(&folder.join("queue.db"), jobs);
    runtime().block_on(async {
        let queue = Queue::open_with(options(folder, durability)).await.unwrap();
        let (done, all_done) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (count, tell) = (Arc::clone(&done), Arc::clone(&all_done));
        let nothing = move |_: Nothing, _: RunContext| {
            if count.fetch_add(1, Ordering::Relaxed) + 1 == jobs {
                tell.notify_one();
            }
            std::future::ready(Ok::<(), Failure>(()))
        };
        let engine =
            Engine::builder(queue.clone()).queue("default", workers).handler(nothing).build().unwrap();
        let begin = Instant::now();
        let engine = engine.start().await.unwrap();
        all_done.notified().await;
        let took = begin.elapsed();
        engine.shutdown(std::time::Duration::from_secs(10)).await.unwrap();
        queue.close().await.unwrap();
        assert_eq!(done.load(Ordering::Relaxed), jobs);
        per_second(jobs, took)
    })
}
