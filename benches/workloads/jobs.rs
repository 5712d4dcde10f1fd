//! No-op jobs from claim to completion, with and without a delivery.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mainspring::{
    DeliveryContext, DeliveryError, Durability, Engine, EngineBuilder, Failure, Handler, Queue, Receipt,
    RunContext,
};
use rusqlite::Connection;
use tokio::sync::Notify;

use crate::enqueue::{Nothing, options, runtime};
use crate::floor::{Floor, fill};
use crate::measure::{Round, Unit, Workload, contestant, per_second};
use crate::peers;

pub(crate) fn workloads() -> Vec<Workload> {
    let mut all = Vec::new();
    for durability in [Durability::Balanced, Durability::Relaxed] {
        for workers in [1, 8, 64] {
            all.push(bare(durability, workers));
        }
        for workers in [1, 8, 64] {
            all.push(delivered(durability, workers));
        }
    }
    all
}

/// Enough for about a second of each.
fn operations(durability: Durability, workers: u32) -> usize {
    match (durability, workers) {
        (Durability::Relaxed, 1) => 10_000,
        (Durability::Relaxed, 8) => 30_000,
        (_, 1) => 3_000,
        (_, 8) => 20_000,
        _ => 50_000,
    }
}

fn word(durability: Durability) -> &'static str {
    if durability == Durability::Relaxed { "relaxed" } else { "balanced" }
}

fn goal(durability: Durability, workers: u32) -> &'static str {
    match (durability, workers) {
        (_, 1) => "-",
        (Durability::Relaxed, _) => "0.7 x the floor, 2.5 x the fastest peer",
        (_, 8) => "0.7 x the floor, 2 x riverqueue, ahead of every peer at NORMAL",
        _ => "0.7 x the floor, 4 x riverqueue, 2 x the fastest peer at NORMAL",
    }
}

/// `jobs_8_workers_relaxed`.
fn name(durability: Durability, workers: u32, what: &str) -> String {
    let s = if workers == 1 { "" } else { "s" };
    format!("jobs_{workers}_worker{s}_{what}{}", word(durability))
}

fn bare(durability: Durability, workers: u32) -> Workload {
    let name = name(durability, workers, "");
    let floor = move |round: &Round<'_>| by_floor(round, durability, |floor| floor.turn(workers as usize));
    let mut all = vec![
        contestant("floor", floor),
        contestant("mainspring", move |round| by_engine(round.folder, durability, workers, round.operations)),
    ];
    all.extend(peers::beside("jobs", durability, workers as usize, 4));
    all.extend(peers::beside("batch", durability, workers as usize, 4));
    Workload::new(name, Unit::PerSecond, goal(durability, workers), operations(durability, workers), all)
}

fn delivered(durability: Durability, workers: u32) -> Workload {
    let name = name(durability, workers, "delivered_");
    let floor = move |round: &Round<'_>| {
        by_floor(round, durability, |floor| floor.turn_with_deliveries(workers as usize))
    };
    let ours = move |round: &Round<'_>| with_deliveries(round.folder, durability, workers, round.operations);
    Workload::new(
        name,
        Unit::PerSecond,
        "-",
        operations(durability, workers) / 2,
        vec![contestant("floor", floor), contestant("mainspring", ours)],
    )
}

fn by_floor(round: &Round<'_>, durability: Durability, turn: impl Fn(&mut Floor) -> usize) -> f64 {
    let path = round.folder.join("queue.db");
    fill(&path, round.operations);
    let mut floor = Floor::open_made(&path, durability);
    let begin = Instant::now();
    while turn(&mut floor) > 0 {}
    per_second(round.operations, begin.elapsed())
}

/// Jobs of the queue "default", which are put into the file first; how many were run a second.
pub(crate) fn by_engine(folder: &Path, durability: Durability, workers: u32, jobs: usize) -> f64 {
    fill(&folder.join("queue.db"), jobs);
    let counter = Arc::new(Counter::new(jobs));
    let count = Arc::clone(&counter);
    let nothing = move |_: Nothing, _: RunContext| {
        count.one();
        std::future::ready(Ok::<(), Failure>(()))
    };
    run(folder, durability, workers, &counter, |engine| engine.handler(nothing))
}

/// Counts, and tells when all are there.
pub(crate) struct Counter {
    done: AtomicUsize,
    wanted: usize,
    all: Notify,
}

impl Counter {
    pub(crate) fn new(wanted: usize) -> Self {
        Self { done: AtomicUsize::new(0), wanted, all: Notify::new() }
    }

    pub(crate) fn one(&self) {
        if self.done.fetch_add(1, Ordering::Relaxed) + 1 == self.wanted {
            self.all.notify_one();
        }
    }
}

fn run(
    folder: &Path,
    durability: Durability,
    workers: u32,
    counter: &Counter,
    handle: impl FnOnce(EngineBuilder) -> EngineBuilder,
) -> f64 {
    runtime().block_on(async {
        let queue = Queue::open_with(options(folder, durability)).await.unwrap();
        let engine = handle(Engine::builder(queue.clone()).queue("default", workers)).build().unwrap();
        let begin = Instant::now();
        let engine = engine.start().await.unwrap();
        counter.all.notified().await;
        let took = begin.elapsed();
        engine.shutdown(Duration::from_secs(10)).await.unwrap();
        eprintln!("# {} jobs in {} transactions", counter.wanted, transactions(&folder.join("queue.db")));
        queue.close().await.unwrap();
        assert_eq!(counter.done.load(Ordering::Relaxed), counter.wanted);
        per_second(counter.wanted, took)
    })
}

/// How many the library's writers have made, without those that enqueued.
fn transactions(path: &Path) -> i64 {
    let sql = "SELECT coalesce(sum(transaction_no), 0) FROM mainspring_writers WHERE id <> 1";
    Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

struct Delivering(Arc<Counter>);

impl Handler<Nothing> for Delivering {
    type Output = u32;

    async fn run(&self, _: Nothing, _: RunContext) -> Result<u32, Failure> {
        Ok(1)
    }

    async fn deliver(&self, _: u32, _: DeliveryContext) -> Result<Receipt, DeliveryError> {
        self.0.one();
        Ok(Receipt::none())
    }
}

fn with_deliveries(folder: &Path, durability: Durability, workers: u32, jobs: usize) -> f64 {
    fill(&folder.join("queue.db"), jobs);
    let counter = Arc::new(Counter::new(jobs));
    let delivering = Delivering(Arc::clone(&counter));
    run(folder, durability, workers, &counter, |engine| engine.deliveries(workers).handler(delivering))
}
