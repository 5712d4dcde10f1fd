//! The workloads, the same for all queues.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::counter::Counter;
use crate::{Asked, Counts, Due, Failure, Peer, Workload};

const TASKS: usize = 64;
/// Jobs of one call for many.
const BULK: usize = 10_000;
/// What lies in the file beside the jobs that are run.
const BEHIND: usize = 100_000;
/// A slow queue is measured with as many jobs as it does in this time.
const LONG_ENOUGH: Duration = Duration::from_secs(3);
/// A job that has not been started by then never will be.
const PATIENCE: Duration = Duration::from_secs(30);

const EMPTY: Counts = Counts { finished: Some(0), unfinished: 0 };

pub(crate) async fn run<P: Peer>(peer: &P, asked: &Asked) -> Result<Vec<f64>, Failure> {
    match asked.workload {
        Workload::About => Ok(Vec::new()),
        Workload::EnqueueOne => enqueue_one(peer, asked.operations).await,
        Workload::EnqueueTasks => enqueue_tasks(peer, asked.operations).await,
        Workload::EnqueueBulk => enqueue_bulk(peer, asked.operations).await,
        Workload::Jobs => jobs(peer, asked, EMPTY).await,
        Workload::Batch => batch(peer, asked).await,
        Workload::BehindFinished => behind_finished(peer, asked).await,
        Workload::BehindFuture => behind_future(peer, asked).await,
        Workload::Latency => latency(peer, asked).await,
    }
}

async fn enqueue_one<P: Peer>(peer: &P, operations: usize) -> Result<Vec<f64>, Failure> {
    peer.enqueue().await?;
    let begin = Instant::now();
    let enqueued = one_by_one(peer, operations, begin).await?;
    per_second(peer, enqueued, begin.elapsed()).await
}

async fn enqueue_tasks<P: Peer>(peer: &P, operations: usize) -> Result<Vec<f64>, Failure> {
    peer.enqueue().await?;
    let each = operations.div_ceil(TASKS);
    let begin = Instant::now();
    let task = || {
        let peer = peer.clone();
        tokio::spawn(async move { one_by_one(&peer, each, begin).await })
    };
    let tasks: Vec<_> = (0..TASKS).map(|_| task()).collect();
    let mut enqueued = 0;
    for task in tasks {
        enqueued += task.await??;
    }
    per_second(peer, enqueued, begin.elapsed()).await
}

/// So many, or as many as it can while it is not long enough; how many.
async fn one_by_one<P: Peer>(peer: &P, operations: usize, begin: Instant) -> Result<usize, Failure> {
    let mut enqueued = 0;
    while enqueued < operations && begin.elapsed() < LONG_ENOUGH {
        peer.enqueue().await?;
        enqueued += 1;
    }
    Ok(enqueued)
}

async fn enqueue_bulk<P: Peer>(peer: &P, operations: usize) -> Result<Vec<f64>, Failure> {
    peer.enqueue().await?;
    let begin = Instant::now();
    fill(peer, operations, Due::Now).await?;
    per_second(peer, operations, begin.elapsed()).await
}

/// Jobs a second, if they are all there; one was enqueued before the time began.
async fn per_second<P: Peer>(peer: &P, operations: usize, took: Duration) -> Result<Vec<f64>, Failure> {
    let counts = peer.counts().await?;
    if counts.unfinished != operations + 1 {
        return Err(format!("{operations} jobs and one were enqueued, and there are {counts:?}").into());
    }
    Ok(vec![operations as f64 / took.as_secs_f64()])
}

async fn fill<P: Peer>(peer: &P, jobs: usize, due: Due) -> Result<(), Failure> {
    let mut left = jobs;
    while left > 0 {
        let bulk = left.min(BULK);
        peer.enqueue_many(bulk, due).await?;
        left -= bulk;
    }
    Ok(())
}

/// Runs jobs in a file that has others already, and proves by the file that as many have been run as were called.
async fn jobs<P: Peer>(peer: &P, asked: &Asked, before: Counts) -> Result<Vec<f64>, Failure> {
    fill(peer, asked.operations, Due::Now).await?;
    let counter = Counter::new(asked.operations);
    let running = peer.start(asked.workers, counter.handler()).await?;
    counter.all_or(LONG_ENOUGH).await;
    peer.stop(running).await?;
    finished(peer, asked.operations, counter.calls(), before).await?;
    Ok(vec![counter.per_second()?])
}

async fn batch<P: Peer>(peer: &P, asked: &Asked) -> Result<Vec<f64>, Failure> {
    fill(peer, asked.operations, Due::Now).await?;
    let counter = Counter::new(asked.operations);
    peer.run_in_batches(asked.workers, asked.operations, counter.handler()).await?;
    finished(peer, asked.operations, counter.calls(), EMPTY).await?;
    Ok(vec![counter.per_second()?])
}

async fn finished<P: Peer>(peer: &P, jobs: usize, calls: usize, before: Counts) -> Result<(), Failure> {
    let counts = peer.counts().await?;
    let finished = before.finished.map(|before| before + calls);
    let is_known = counts.finished.is_none() || counts.finished == finished;
    if !is_known || counts.unfinished + calls != before.unfinished + jobs {
        return Err(format!("{before:?} and {jobs} jobs made {calls} calls and {counts:?}").into());
    }
    Ok(())
}

/// One job is run, and what it has left is copied.
async fn behind_finished<P: Peer>(peer: &P, asked: &Asked) -> Result<Vec<f64>, Failure> {
    let counter = Counter::new(1);
    fill(peer, 1, Due::Now).await?;
    let running = peer.start(1, counter.handler()).await?;
    counter.all_or(PATIENCE).await;
    peer.stop(running).await?;
    peer.copy_finished(BEHIND - 1).await?;
    let before = peer.counts().await?;
    if before != (Counts { finished: Some(BEHIND), unfinished: 0 }) {
        return Err(format!("a history of {BEHIND} jobs was made, and there are {before:?}").into());
    }
    jobs(peer, asked, before).await
}

async fn behind_future<P: Peer>(peer: &P, asked: &Asked) -> Result<Vec<f64>, Failure> {
    fill(peer, BEHIND, Due::Tomorrow).await?;
    jobs(peer, asked, Counts { unfinished: BEHIND, ..EMPTY }).await
}

/// Between two jobs: long enough for every thread to fall asleep.
const PAUSE: Duration = Duration::from_millis(3);
/// A queue that looks for jobs once a second is measured with a few all the same.
const A_FEW: usize = 5;

async fn latency<P: Peer>(peer: &P, asked: &Asked) -> Result<Vec<f64>, Failure> {
    let (started, mut starts) = mpsc::unbounded_channel();
    let tell = move || {
        // Nobody listens any more when it is over.
        let _ = started.send(Instant::now());
    };
    let running = peer.start(asked.workers, Arc::new(tell)).await?;
    let begin = Instant::now();
    let mut took = Vec::new();
    // The first one waits for the workers to begin, and is not counted.
    while took.len() <= asked.operations && (took.len() <= A_FEW || begin.elapsed() < LONG_ENOUGH) {
        tokio::time::sleep(PAUSE).await;
        let begin = Instant::now();
        peer.enqueue().await?;
        let start = tokio::time::timeout(PATIENCE, starts.recv()).await?.ok_or("the workers are gone")?;
        took.push(start.saturating_duration_since(begin).as_secs_f64() * 1e6);
    }
    peer.stop(running).await?;
    finished(peer, took.len(), took.len(), EMPTY).await?;
    let mut took = took.split_off(1);
    took.sort_by(f64::total_cmp);
    let quantile = |part: f64| took.get(((took.len() - 1) as f64 * part).round() as usize).copied();
    quantile(0.5)
        .zip(quantile(0.99))
        .map(|(p50, p99)| vec![p50, p99])
        .ok_or_else(|| "no job was started".into())
}
