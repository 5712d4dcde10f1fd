//! Moments that somebody waits for: a handler's start, the first job after a start, a recovery.

use std::path::Path;
use std::time::{Duration, Instant};

use mainspring::{Durability, Engine, Failure, Queue, RunContext};
use rusqlite::Connection;
use tokio::sync::mpsc;

use crate::enqueue::{Nothing, options, runtime};
use crate::floor::{Floor, fill, fill_with_open_runs};
use crate::measure::{Unit, Workload, contestant, quantile};

/// Jobs that wait when the file is opened.
const WAITING: usize = 100_000;
/// What the library settles in one transaction.
const RECOVERY_BATCH: usize = 500;

pub(crate) fn workloads() -> Vec<Workload> {
    vec![
        latency("enqueue_to_start_p50", 0.5),
        latency("enqueue_to_start_p99", 0.99),
        Workload {
            name: "open_to_first_handler_100k_waiting",
            unit: Unit::Millis,
            goal: "-",
            operations: WAITING,
            contestants: vec![contestant("floor", open_by_floor), contestant("mainspring", open_by_engine)],
        },
        Workload {
            name: "recovery_of_10000_runs",
            unit: Unit::Millis,
            goal: "under 1000 ms",
            operations: 10_000,
            contestants: vec![
                contestant("floor", recover_by_floor),
                contestant("mainspring", recover_by_engine),
            ],
        },
    ]
}

/// From the call of `enqueue` to the call of the handler, on a queue that does nothing else. The floor is the two
/// commits in between: the job's, which is synced, and the claim's, which is not.
fn latency(name: &'static str, part: f64) -> Workload {
    Workload {
        name,
        unit: Unit::Micros,
        goal: "the floor + 200 us",
        operations: 400,
        contestants: vec![
            contestant("floor", move |folder, jobs| quantile(&starts_by_floor(folder, jobs), part)),
            contestant("mainspring", move |folder, jobs| quantile(&starts_by_engine(folder, jobs), part)),
        ],
    }
}

/// The pause between two jobs: long enough for every thread to fall asleep.
const PAUSE: Duration = Duration::from_millis(3);

fn starts_by_floor(folder: &Path, jobs: usize) -> Vec<f64> {
    let path = folder.join("queue.db");
    let synced = Floor::open(&path, Durability::Balanced);
    let mut unsynced = Floor::open_made(&path, Durability::Relaxed);
    let mut took = Vec::new();
    for _ in 0..jobs {
        std::thread::sleep(PAUSE);
        let begin = Instant::now();
        synced.enqueue(1);
        assert_eq!(unsynced.turn(1), 1);
        took.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    took
}

fn starts_by_engine(folder: &Path, jobs: usize) -> Vec<f64> {
    runtime().block_on(async {
        let queue = Queue::open_with(options(folder, Durability::Balanced)).await.unwrap();
        let (started, mut starts) = mpsc::unbounded_channel();
        let nothing = move |_: Nothing, _: RunContext| {
            started.send(Instant::now()).unwrap();
            std::future::ready(Ok::<(), Failure>(()))
        };
        let engine = Engine::builder(queue.clone()).handler(nothing).build().unwrap().start().await.unwrap();
        let mut took = Vec::new();
        for _ in 0..jobs {
            tokio::time::sleep(PAUSE).await;
            let begin = Instant::now();
            queue.enqueue(Nothing).await.unwrap();
            let start: Instant = starts.recv().await.unwrap();
            took.push(start.duration_since(begin).as_secs_f64() * 1e6);
        }
        engine.shutdown(Duration::from_secs(10)).await.unwrap();
        took
    })
}

fn open_by_floor(folder: &Path, waiting: usize) -> f64 {
    let path = folder.join("queue.db");
    fill(&path, waiting);
    let begin = Instant::now();
    let mut floor = Floor::open_made(&path, Durability::Relaxed);
    assert_eq!(floor.turn(1), 1);
    begin.elapsed().as_secs_f64() * 1e3
}

fn open_by_engine(folder: &Path, waiting: usize) -> f64 {
    fill(&folder.join("queue.db"), waiting);
    runtime().block_on(async {
        let (started, mut starts) = mpsc::unbounded_channel();
        let nothing = move |_: Nothing, _: RunContext| {
            // Nobody listens after the first one.
            let _ = started.send(Instant::now());
            std::future::ready(Ok::<(), Failure>(()))
        };
        let begin = Instant::now();
        let queue = Queue::open_with(options(folder, Durability::Balanced)).await.unwrap();
        let engine = Engine::builder(queue).queue("default", 1).handler(nothing).build().unwrap();
        let engine = engine.start().await.unwrap();
        let start: Instant = starts.recv().await.unwrap();
        engine.shutdown(Duration::from_secs(10)).await.unwrap();
        start.duration_since(begin).as_secs_f64() * 1e3
    })
}

fn recover_by_floor(folder: &Path, runs: usize) -> f64 {
    let path = folder.join("queue.db");
    fill_with_open_runs(&path, runs);
    let floor = Floor::open_made(&path, Durability::Relaxed);
    let begin = Instant::now();
    while floor.interrupt(RECOVERY_BATCH) > 0 {}
    begin.elapsed().as_secs_f64() * 1e3
}

fn recover_by_engine(folder: &Path, runs: usize) -> f64 {
    let path = folder.join("queue.db");
    fill_with_open_runs(&path, runs);
    let reader = Connection::open(&path).unwrap();
    let is_over = || {
        let sql = "SELECT end_reason = 'died' FROM mainspring_owners WHERE id = 1";
        reader.query_row(sql, [], |row| row.get::<_, Option<bool>>(0)).unwrap() == Some(true)
    };
    runtime().block_on(async {
        let queue = Queue::open_with(options(folder, Durability::Balanced)).await.unwrap();
        let nothing = |_: Nothing, _: RunContext| std::future::ready(Ok::<(), Failure>(()));
        // Another queue, so that the recovered jobs are left alone.
        let engine = Engine::builder(queue).queue("another", 1).handler(nothing).build().unwrap();
        let begin = Instant::now();
        let engine = engine.start().await.unwrap();
        while !is_over() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let took = begin.elapsed();
        engine.shutdown(Duration::from_secs(10)).await.unwrap();
        took.as_secs_f64() * 1e3
    })
}
