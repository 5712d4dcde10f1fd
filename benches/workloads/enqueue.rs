//! Enqueueing: one by one, by many tasks, in bulk.

use std::path::Path;
use std::time::Instant;

use mainspring::{Durability, JobArgs, OpenOptions, Queue};
use serde::{Deserialize, Serialize};

use crate::floor::Floor;
use crate::measure::{Round, Unit, Workload, contestant, per_second};
use crate::peers;

/// Arguments of no weight.
#[derive(Serialize, Deserialize)]
pub(crate) struct Nothing;
impl JobArgs for Nothing {
    const KIND: &'static str = "nothing";
}

const TASKS: usize = 64;
/// What a bulk is: jobs in one transaction.
const BULK: usize = 10_000;

pub(crate) fn workloads() -> Vec<Workload> {
    let goal = "0.8 x the floor, ahead of every peer";
    vec![
        one_by_one("enqueue_blocking_balanced", Durability::Balanced, 4_000),
        one_by_one("enqueue_blocking_relaxed", Durability::Relaxed, 20_000),
        async_one_by_one("enqueue_async_balanced", Durability::Balanced, 4_000),
        async_one_by_one("enqueue_async_relaxed", Durability::Relaxed, 10_000),
        Workload::new("enqueue_64_tasks_balanced", Unit::PerSecond, goal, 128_000, {
            let mut all = vec![
                contestant("floor", |round| by_floor(round, Durability::Balanced, TASKS)),
                contestant("mainspring", from_tasks),
            ];
            all.extend(peers::beside("enqueue_tasks", Durability::Balanced, 1, 16));
            all
        }),
        Workload::new("enqueue_bulk", Unit::PerSecond, goal, 50_000, {
            let mut all = vec![
                contestant("floor", |round| by_floor(round, Durability::Balanced, BULK)),
                contestant("mainspring", in_bulk),
            ];
            all.extend(peers::beside("enqueue_bulk", Durability::Balanced, 1, 2));
            all
        }),
    ]
}

fn one_by_one(name: &'static str, durability: Durability, operations: usize) -> Workload {
    let ours = move |round: &Round<'_>| {
        let queue = Queue::open_blocking(&options(round.folder, durability)).unwrap().blocking();
        queue.enqueue(Nothing).unwrap();
        let begin = Instant::now();
        for _ in 0..round.operations {
            queue.enqueue(Nothing).unwrap();
        }
        per_second(round.operations, begin.elapsed())
    };
    let mut all = vec![
        contestant("floor", move |round| by_floor(round, durability, 1)),
        contestant("mainspring", ours),
    ];
    all.extend(peers::beside("enqueue_one", durability, 1, 2));
    Workload::new(name, Unit::PerSecond, "0.8 x the floor, ahead of every peer", operations, all)
}

fn async_one_by_one(name: &'static str, durability: Durability, operations: usize) -> Workload {
    let ours = move |round: &Round<'_>| {
        runtime().block_on(async {
            let queue = Queue::open_with(options(round.folder, durability)).await.unwrap();
            queue.enqueue(Nothing).await.unwrap();
            let begin = Instant::now();
            for _ in 0..round.operations {
                queue.enqueue(Nothing).await.unwrap();
            }
            begin.elapsed().as_secs_f64() * 1e6 / round.operations as f64
        })
    };
    let floor = contestant("floor", move |round| 1e6 / by_floor(round, durability, 1));
    Workload::new(
        name,
        Unit::Micros,
        "the floor + 60 us",
        operations,
        vec![floor, contestant("mainspring", ours)],
    )
}

fn by_floor(round: &Round<'_>, durability: Durability, batch: usize) -> f64 {
    let floor = Floor::open(&round.folder.join("queue.db"), durability);
    floor.enqueue(1);
    let begin = Instant::now();
    let mut left = round.operations;
    while left > 0 {
        let batch = batch.min(left);
        floor.enqueue(batch);
        left -= batch;
    }
    per_second(round.operations, begin.elapsed())
}

fn from_tasks(round: &Round<'_>) -> f64 {
    let jobs = round.operations;
    runtime().block_on(async {
        let queue = Queue::open_with(options(round.folder, Durability::Balanced)).await.unwrap();
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

fn in_bulk(round: &Round<'_>) -> f64 {
    let queue = Queue::open_blocking(&options(round.folder, Durability::Balanced)).unwrap().blocking();
    queue.enqueue(Nothing).unwrap();
    let begin = Instant::now();
    let mut left = round.operations;
    while left > 0 {
        let batch = left.min(BULK);
        queue.enqueue_many((0..batch).map(|_| Nothing)).unwrap();
        left -= batch;
    }
    per_second(round.operations, begin.elapsed())
}

pub(crate) fn options(folder: &Path, durability: Durability) -> OpenOptions {
    OpenOptions::new(folder.join("queue.db")).durability(durability)
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}
