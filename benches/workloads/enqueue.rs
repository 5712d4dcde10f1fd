//! Enqueueing: one by one, by many tasks, in bulk.

use std::path::Path;
use std::time::Instant;

use mainspring::{Durability, JobArgs, OpenOptions, Queue};
use serde::{Deserialize, Serialize};

use crate::floor::Floor;
use crate::measure::{Unit, Workload, contestant, per_second};

/// Arguments of no weight.
#[derive(Serialize, Deserialize)]
pub(crate) struct Nothing;
impl JobArgs for Nothing {
    const KIND: &'static str = "nothing";
}

const TASKS: usize = 64;

pub(crate) fn workloads() -> Vec<Workload> {
    vec![
        one_by_one("enqueue_blocking_balanced", Durability::Balanced, 4_000),
        one_by_one("enqueue_blocking_relaxed", Durability::Relaxed, 20_000),
        Workload {
            name: "enqueue_64_tasks_balanced",
            unit: Unit::PerSecond,
            goal: "0.8 x the floor",
            operations: 128_000,
            contestants: vec![
                contestant("floor", |folder, jobs| by_floor(folder, Durability::Balanced, jobs, TASKS)),
                contestant("mainspring", from_tasks),
            ],
        },
        Workload {
            name: "enqueue_bulk_10000",
            unit: Unit::PerSecond,
            goal: "0.8 x the floor",
            operations: 50_000,
            contestants: vec![
                contestant("floor", |folder, jobs| by_floor(folder, Durability::Balanced, jobs, 10_000)),
                contestant("mainspring", in_bulk),
            ],
        },
        async_one_by_one("enqueue_async_balanced", Durability::Balanced, 4_000),
        async_one_by_one("enqueue_async_relaxed", Durability::Relaxed, 10_000),
    ]
}

fn one_by_one(name: &'static str, durability: Durability, operations: usize) -> Workload {
    Workload {
        name,
        unit: Unit::PerSecond,
        goal: "0.8 x the floor",
        operations,
        contestants: vec![
            contestant("floor", move |folder, jobs| by_floor(folder, durability, jobs, 1)),
            contestant("mainspring", move |folder, jobs| {
                let queue = Queue::open_blocking(&options(folder, durability)).unwrap().blocking();
                queue.enqueue(Nothing).unwrap();
                let begin = Instant::now();
                for _ in 0..jobs {
                    queue.enqueue(Nothing).unwrap();
                }
                per_second(jobs, begin.elapsed())
            }),
        ],
    }
}

fn async_one_by_one(name: &'static str, durability: Durability, operations: usize) -> Workload {
    Workload {
        name,
        unit: Unit::Micros,
        goal: "the floor + 60 us",
        operations,
        contestants: vec![
            contestant("floor", move |folder, jobs| 1e6 / by_floor(folder, durability, jobs, 1)),
            contestant("mainspring", move |folder, jobs| {
                runtime().block_on(async {
                    let queue = Queue::open_with(options(folder, durability)).await.unwrap();
                    queue.enqueue(Nothing).await.unwrap();
                    let begin = Instant::now();
                    for _ in 0..jobs {
                        queue.enqueue(Nothing).await.unwrap();
                    }
                    begin.elapsed().as_secs_f64() * 1e6 / jobs as f64
                })
            }),
        ],
    }
}

fn by_floor(folder: &Path, durability: Durability, jobs: usize, batch: usize) -> f64 {
    let floor = Floor::open(&folder.join("queue.db"), durability);
    floor.enqueue(1);
    let begin = Instant::now();
    let mut left = jobs;
    while left > 0 {
        let batch = batch.min(left);
        floor.enqueue(batch);
        left -= batch;
    }
    per_second(jobs, begin.elapsed())
}

fn from_tasks(folder: &Path, jobs: usize) -> f64 {
    runtime().block_on(async {
        let queue = Queue::open_with(options(folder, Durability::Balanced)).await.unwrap();
        queue.enqueue(Nothing).await.unwrap();
        let begin = Instant::now();
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move {
                    for _ in 0..jobs / TASKS {
                        queue.enqueue(Nothing).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        per_second(jobs / TASKS * TASKS, begin.elapsed())
    })
}

fn in_bulk(folder: &Path, jobs: usize) -> f64 {
    let queue = Queue::open_blocking(&options(folder, Durability::Balanced)).unwrap().blocking();
    queue.enqueue(Nothing).unwrap();
    let begin = Instant::now();
    let mut left = jobs;
    while left > 0 {
        let batch = left.min(10_000);
        queue.enqueue_many((0..batch).map(|_| Nothing)).unwrap();
        left -= batch;
    }
    per_second(jobs, begin.elapsed())
}

pub(crate) fn options(folder: &Path, durability: Durability) -> OpenOptions {
    OpenOptions::new(folder.join("queue.db")).durability(durability)
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}
