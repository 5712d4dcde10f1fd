//! How late a handler is called after the time of its job, with few and with many jobs that wait for theirs.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mainspring::{Durability, Engine, Failure, NewJob, Queue, RunContext, Timestamp};
use tokio::sync::mpsc;

use crate::enqueue::{Nothing, options, runtime};
use crate::floor::{Floor, Lying, lay};
use crate::measure::{Figure, Round, Unit, Workload, contestant_with_figures, quantile};

/// Between two timers, in milliseconds: each one finds the queue asleep.
const APART_MS: i64 = 9;

pub(crate) fn workloads() -> Vec<Workload> {
    [("10", 10), ("10k", 10_000), ("1M", 1_000_000)]
        .into_iter()
        .map(|(word, waiting)| {
            let figures = [("_p50", "-"), ("_p99", "under 5 ms")];
            let figures = figures.map(|(name, goal)| Figure { name, unit: Unit::Millis, goal }).to_vec();
            let contestants = vec![
                contestant_with_figures("floor", by_floor),
                contestant_with_figures("mainspring", by_engine),
            ];
            Workload::with_figures(format!("timers_{word}_scheduled"), figures, 200, contestants).prepared(
                move |folder, fraction| {
                    let jobs = waiting / if waiting > 100_000 { fraction } else { 1 };
                    let lying = Lying { jobs, queue: "default", priority: 0, future: true };
                    lay(&folder.join("queue.db"), &lying);
                },
            )
        })
        .collect()
}

fn wall_millis() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() * 1e3
}

fn both(late: &[f64]) -> Vec<f64> {
    vec![quantile(late, 0.5), quantile(late, 0.99)]
}

/// A thread that sleeps until the time and then commits a claim, in a file of its own.
fn by_floor(round: &Round<'_>) -> Vec<f64> {
    let path = round.folder.join("queue.db");
    let mut floor = Floor::open(&path, Durability::Relaxed);
    floor.enqueue(round.operations);
    let mut due = wall_millis().ceil();
    let mut late = Vec::new();
    for _ in 0..round.operations {
        due += APART_MS as f64;
        std::thread::sleep(Duration::from_secs_f64((due - wall_millis()).max(0.0) / 1e3));
        assert_eq!(floor.turn(1), 1);
        late.push(wall_millis() - due);
    }
    both(&late)
}

fn by_engine(round: &Round<'_>) -> Vec<f64> {
    let opened = options(round.prepared, Durability::Balanced);
    let late = runtime().block_on(async {
        let queue = Queue::open_with(opened).await.unwrap();
        let (started, mut starts) = mpsc::unbounded_channel();
        let nothing = move |_: Nothing, cx: RunContext| {
            started.send(wall_millis() - cx.scheduled_for().millis() as f64).unwrap();
            std::future::ready(Ok::<(), Failure>(()))
        };
        let engine = Engine::builder(queue.clone()).handler(nothing).build().unwrap().start().await.unwrap();
        // They are in the file before the first is due.
        let first = wall_millis() as i64 + 500;
        let timers = (0..round.operations as i64)
            .map(|n| NewJob::new(Nothing).at(Timestamp::from_millis(first + n * APART_MS)));
        queue.enqueue_many(timers).await.unwrap();
        let mut late = Vec::new();
        for _ in 0..round.operations {
            late.push(starts.recv().await.unwrap());
        }
        engine.shutdown(Duration::from_secs(10)).await.unwrap();
        queue.close().await.unwrap();
        late
    });
    assert!(fs::metadata(round.prepared.join("queue.db")).is_ok());
    both(&late)
}
