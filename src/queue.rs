//! A place for the queue's handle until it is merged.

use crate::core::Handle;

/// A queue.
pub struct Queue {
    core: Handle,
}

impl Queue {
    pub(crate) fn core(&self) -> &Handle {
        &self.core
    }
}
