//! An hour in which everything happens, a minute of it in a quarter of a second: recurring jobs, bursts, failures and
//! retries, pruning. Probes at a high priority measure what somebody waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mainspring::{Backoff, Durability, Engine, Failure, JobArgs, NewJob, Prune, Queue, RunContext, Schedule};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::enqueue::{Nothing, options, runtime};
use crate::measure::{Figure, Round, Unit, Workload, contestant_with_figures, quantile};

/// Minutes in the hour.
const MINUTES: usize = 60;
const MINUTE: Duration = Duration::from_millis(250);
/// Each minute so many jobs come at once; one in ten fails the first time.
const BURST: usize = 400;
/// So many jobs recur each second, which is every four minutes.
const RECURRING: usize = 40;
/// History is pruned so often.
const PRUNE_EACH: usize = 5;
const PROBE_EACH: Duration = Duration::from_millis(5);

pub(crate) fn workloads() -> Vec<Workload> {
    let figures = [("_p50", "-"), ("_p99", "-"), ("_longest_stall", "under 250 ms")]
        .map(|(name, goal)| Figure { name, unit: Unit::Millis, goal });
    vec![Workload::with_figures(
        "mixed_hour",
        figures.to_vec(),
        MINUTES,
        vec![contestant_with_figures("mainspring", hour)],
    )]
}

/// Asks to be started at once.
#[derive(Serialize, Deserialize)]
struct Probe;
impl JobArgs for Probe {
    const KIND: &'static str = "probe";
}

/// Recurs.
#[derive(Serialize, Deserialize)]
struct Tick;
impl JobArgs for Tick {
    const KIND: &'static str = "tick";
}

/// How long each probe waited, from the call of `enqueue` to the call of its handler: median, 99th percentile, longest.
fn hour(round: &Round<'_>) -> Vec<f64> {
    runtime().block_on(async {
        let queue = Queue::open_with(options(round.folder, Durability::Balanced)).await.unwrap();
        let (started, mut starts) = mpsc::unbounded_channel();
        let probe = move |_: Probe, _: RunContext| {
            let _ = started.send(Instant::now());
            std::future::ready(Ok::<(), Failure>(()))
        };
        let runs = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&runs);
        let burst = move |_: Nothing, cx: RunContext| {
            let fails = counted.fetch_add(1, Ordering::Relaxed).is_multiple_of(10) && cx.attempt() == 1;
            std::future::ready(if fails { Err("it happens") } else { Ok(()) })
        };
        let tick = |_: Tick, _: RunContext| std::future::ready(Ok::<(), Failure>(()));
        let engine = Engine::builder(queue.clone())
            .queue("default", 16)
            .handler(probe)
            .handler(burst)
            .handler(tick)
            .build()
            .unwrap()
            .start()
            .await
            .unwrap();
        for n in 0..RECURRING {
            let each_second = Schedule::cron("* * * * * *").unwrap();
            queue.schedule(&format!("tick {n}"), each_second, Tick).await.unwrap();
        }
        let life = tokio::spawn(live(queue.clone(), round.operations));
        let mut waited = Vec::new();
        while !life.is_finished() {
            tokio::time::sleep(PROBE_EACH).await;
            let begin = Instant::now();
            queue.enqueue(NewJob::new(Probe).priority(10)).await.unwrap();
            let start: Instant = starts.recv().await.unwrap();
            waited.push(start.duration_since(begin).as_secs_f64() * 1e3);
        }
        life.await.unwrap();
        engine.shutdown(Duration::from_secs(30)).await.unwrap();
        assert!(runs.load(Ordering::Relaxed) >= (round.operations * BURST) as u64);
        assert!(queue.doctor().await.unwrap().is_empty());
        vec![quantile(&waited, 0.5), quantile(&waited, 0.99), quantile(&waited, 1.0)]
    })
}

/// Bursts and prunes, minute by minute.
async fn live(queue: Queue, minutes: usize) {
    for minute in 1..=minutes {
        let soon = Backoff::fixed(Duration::from_millis(50));
        let jobs = (0..BURST).map(|_| NewJob::new(Nothing).max_attempts(3).backoff(soon));
        queue.enqueue_many(jobs).await.unwrap();
        if minute % PRUNE_EACH == 0 {
            queue.prune(Prune::older_than(MINUTE)).await.unwrap();
        }
        tokio::time::sleep(MINUTE).await;
    }
}
