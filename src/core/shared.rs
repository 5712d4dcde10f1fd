//! What the generations of a writer, and everybody who talks to them, have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::engines::Engines;
use super::inbox::Inbox;
use super::pulse::Pulse;
use crate::store::Database;
use crate::time::Clock;

/// One for all clones of a handle.
pub(super) struct Shared {
    pub(super) db: Database,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) inbox: Inbox,
    pub(super) engines: Engines,
    pub(super) pulse: Pulse,
    pub(super) host: String,
    /// Another connection of this process is about to commit something for the queue.
    hinted: AtomicBool,
}

impl Shared {
    pub(super) fn new(db: Database, clock: Arc<dyn Clock>) -> Self {
        Self {
            pulse: Pulse::new(clock.now(), clock.steady()),
            db,
            clock,
            inbox: Inbox::default(),
            engines: Engines::default(),
            host: host(),
            hinted: AtomicBool::new(false),
        }
    }

    pub(super) fn hint(&self) {
        self.hinted.store(true, Ordering::Relaxed);
        self.inbox.nudge();
    }

    pub(super) fn take_hint(&self) -> bool {
        self.hinted.swap(false, Ordering::Relaxed)
    }
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().chars().take(200).collect())
}
