//! Generations of the writer: one that hangs is replaced and commits nothing any more.

use super::sync::{AtomicBool, Ordering};

/// One writer, from its start until it is replaced or the queue closes.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) number: u32,
    over: AtomicBool,
}

impl Generation {
    pub(super) fn new(number: u32) -> Self {
        Self { number, over: AtomicBool::new(false) }
    }

    /// Whether another generation has taken over: this one commits nothing any more.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    pub(super) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }
}
