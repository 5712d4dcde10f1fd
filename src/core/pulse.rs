//! Signs of life of the writer, for those who must not wait for it.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::time::{Timestamp, millis_of};

/// How the writer is.
#[derive(Clone, Debug)]
pub(crate) struct CoreHealth {
    /// Counts the writers of this queue handle; above 1 the watchdog has replaced one that was stuck.
    pub(crate) generation: u32,
    /// When the writer last looked at the clock.
    pub(crate) last_tick_at: Timestamp,
    /// How long ago that is by the monotonic clock.
    pub(crate) since_last_tick: Duration,
    /// When the next job falls due, as far as the writer knows.
    pub(crate) next_due_at: Option<Timestamp>,
    /// Commands that wait for it.
    pub(crate) waiting_commands: usize,
    /// What went wrong last, if the last transaction failed.
    pub(crate) last_error: Option<String>,
    /// Bytes of the write-ahead log that wait to be moved into the database.
    pub(crate) log_bytes: u64,
    /// Whether they are so many that some connection must keep them from being moved.
    pub(crate) log_is_held_back: bool,
}

/// Written by the writer's thread, read by everybody; never locked across a system call.
pub(super) struct Pulse {
    ticked_steady_ms: AtomicI64,
    ticked_at: AtomicI64,
    next_due: AtomicI64,
    last_error: Mutex<Option<String>>,
    log_bytes: AtomicU64,
    log_is_held_back: AtomicBool,
}

const NEVER: i64 = i64::MAX;

impl Pulse {
    pub(super) fn new(now: Timestamp, steady: Duration) -> Self {
        Self {
            ticked_steady_ms: AtomicI64::new(millis_of(steady)),
            ticked_at: AtomicI64::new(now.millis()),
            next_due: AtomicI64::new(NEVER),
            last_error: Mutex::new(None),
            log_bytes: AtomicU64::new(0),
            log_is_held_back: AtomicBool::new(false),
        }
    }

    pub(super) fn tick(&self, now: Timestamp, steady: Duration) {
        self.ticked_steady_ms.store(millis_of(steady), Ordering::Relaxed);
        self.ticked_at.store(now.millis(), Ordering::Relaxed);
    }

    pub(super) fn next_due(&self, at: Option<Timestamp>) {
        self.next_due.store(at.map_or(NEVER, Timestamp::millis), Ordering::Relaxed);
    }

    pub(super) fn log(&self, bytes: u64, is_held_back: bool) {
        self.log_bytes.store(bytes, Ordering::Relaxed);
        self.log_is_held_back.store(is_held_back, Ordering::Relaxed);
    }

    pub(super) fn error(&self, error: Option<String>) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    pub(super) fn health(&self, generation: u32, waiting_commands: usize, steady: Duration) -> CoreHealth {
        let ticked = self.ticked_steady_ms.load(Ordering::Relaxed).unsigned_abs();
        let next_due = self.next_due.load(Ordering::Relaxed);
        CoreHealth {
            generation,
            last_tick_at: Timestamp::from_millis(self.ticked_at.load(Ordering::Relaxed)),
            since_last_tick: steady.saturating_sub(Duration::from_millis(ticked)),
            next_due_at: (next_due != NEVER).then(|| Timestamp::from_millis(next_due)),
            waiting_commands,
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            log_bytes: self.log_bytes.load(Ordering::Relaxed),
            log_is_held_back: self.log_is_held_back.load(Ordering::Relaxed),
        }
    }
}
