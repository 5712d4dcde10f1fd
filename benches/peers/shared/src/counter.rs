//! Counts calls of a handler, and tells when all have come.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::{Failure, Handler};

/// Calls of the handlers of one run.
pub(crate) struct Counter {
    wanted: usize,
    calls: AtomicUsize,
    first: OnceLock<Instant>,
    /// Nanoseconds from the first call to the latest.
    latest: AtomicU64,
    all: Notify,
}

impl Counter {
    pub(crate) fn new(wanted: usize) -> Arc<Self> {
        let (calls, first, latest) = (AtomicUsize::new(0), OnceLock::new(), AtomicU64::new(0));
        Arc::new(Self { wanted, calls, first, latest, all: Notify::new() })
    }

    pub(crate) fn handler(self: &Arc<Self>) -> Handler {
        let counter = Arc::clone(self);
        Arc::new(move || counter.one())
    }

    fn one(&self) {
        let since_the_first = self.first.get_or_init(Instant::now).elapsed();
        self.latest.fetch_max(since_the_first.as_nanos() as u64, Ordering::Relaxed);
        if self.calls.fetch_add(1, Ordering::Relaxed) + 1 == self.wanted {
            self.all.notify_one();
        }
    }

    /// Waits until as many have come as are wanted, or for so long.
    pub(crate) async fn all_or(&self, long_enough: Duration) {
        // That it has been long enough is no failure: as many count as have come.
        let _ = tokio::time::timeout(long_enough, self.all.notified()).await;
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// From the first call to the last: what the queue needs to start is not in it.
    pub(crate) fn per_second(&self) -> Result<f64, Failure> {
        let took = Duration::from_nanos(self.latest.load(Ordering::Relaxed));
        match self.calls() {
            0 | 1 => Err("no two jobs were run".into()),
            calls => Ok((calls - 1) as f64 / took.as_secs_f64()),
        }
    }
}
