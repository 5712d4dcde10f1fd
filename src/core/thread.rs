//! The thread of a writer.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::generation::Generation;
use super::shared::Shared;
use super::writer::Core;
use crate::error::{Error, Result};

/// A running writer.
#[derive(Clone)]
pub(super) struct Writer {
    pub(super) generation: Arc<Generation>,
    pub(super) core: Arc<Mutex<Core>>,
}

impl Writer {
    /// Starts the thread of a generation.
    pub(super) fn start(shared: &Arc<Shared>, number: u32) -> Result<Self> {
        let generation = Arc::new(Generation::new(number));
        let core = Arc::new(Mutex::new(Core::new(Arc::clone(shared), Arc::clone(&generation))));
        let writer = Self { generation, core };
        let (this, shared) = (writer.clone(), Arc::clone(shared));
        thread::Builder::new()
            .name(format!("mainspring-writer-{number}"))
            .spawn(move || this.run(&shared))
            .map_err(Error::io("cannot start the writer's thread"))?;
        Ok(writer)
    }

    fn run(&self, shared: &Shared) {
        while !self.generation.is_over() {
            let closing = shared.inbox.is_closed() && shared.inbox.len() == 0;
            let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
            if closing {
                core.close();
                return;
            }
            let sleep = core.step();
            drop(core);
            if !sleep.is_zero() {
                shared.inbox.sleep(sleep);
            }
        }
        tracing::warn!(generation = self.generation.number, "a replaced writer has stopped");
    }
}
