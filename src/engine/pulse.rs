//! Signs of life that cross from the runtime to plain threads.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// What the event loop shows of itself. It answers pings, and counts what it has in hand.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    pings: AtomicU64,
    answers: AtomicU64,
    runtime_is_stalled: AtomicBool,
    stopping: AtomicBool,
    stopped: AtomicBool,
    pub(super) runs: AtomicUsize,
    pub(super) deliveries: AtomicUsize,
}

impl Pulse {
    /// A ping was put among the events.
    pub(super) fn ping(&self) {
        self.pings.fetch_add(1, Ordering::Relaxed);
    }

    /// The event loop came to a ping.
    pub(super) fn answer(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a ping waits.
    pub(super) fn is_awaited(&self) -> bool {
        self.pings.load(Ordering::Relaxed) != self.answers.load(Ordering::Relaxed)
    }

    /// The watchdog's judgement of the runtime; answers what it was before.
    pub(super) fn set_runtime_is_stalled(&self, stalled: bool) -> bool {
        self.runtime_is_stalled.swap(stalled, Ordering::Relaxed)
    }

    pub(super) fn runtime_is_stalled(&self) -> bool {
        self.runtime_is_stalled.load(Ordering::Relaxed)
    }

    pub(super) fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(super) fn set_stopped(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}
