//! What the generations of a writer, and everybody who talks to them, have in common.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::engines::Engines;
use super::inbox::Inbox;
use super::op::Work;
use super::pulse::Pulse;
use super::writer::Unresolved;
use crate::store::Database;
use crate::time::Clock;

/// One for all clones of a handle.
pub(super) struct Shared {
    pub(super) db: Database,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) inbox: Arc<Inbox<Box<dyn Work>>>,
    pub(super) engines: Engines,
    pub(super) pulse: Pulse,
    pub(super) host: String,
    /// Another connection of this process is about to commit something for the queue.
    hinted: AtomicBool,
    /// What replaced writers did not know of their last commits; the one that drives now finds out.
    unresolved: Mutex<Vec<Unresolved>>,
}

impl Shared {
    pub(super) fn new(db: Database, clock: Arc<dyn Clock>) -> Self {
        Self {
            pulse: Pulse::new(clock.now(), clock.steady()),
            db,
            clock,
            inbox: Arc::default(),
            engines: Engines::default(),
            host: host(),
            hinted: AtomicBool::new(false),
            unresolved: Mutex::default(),
        }
    }

    pub(super) fn hint(&self) {
        self.hinted.store(true, Ordering::Relaxed);
        self.inbox.nudge();
    }

    pub(super) fn take_hint(&self) -> bool {
        self.hinted.swap(false, Ordering::Relaxed)
    }

    /// Leaves them to the writer that drives now, and wakes it.
    pub(super) fn leave_unresolved(&self, left: Vec<Unresolved>) {
        if !left.is_empty() {
            self.unresolved.lock().unwrap_or_else(PoisonError::into_inner).extend(left);
            self.inbox.nudge();
        }
    }

    pub(super) fn take_unresolved(&self) -> Vec<Unresolved> {
        std::mem::take(&mut *self.unresolved.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().chars().take(200).collect())
}
