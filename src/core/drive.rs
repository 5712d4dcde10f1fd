//! Who drives the writer: its thread, or a caller that blocks; and how one writer follows another.
//!
//! Like the inbox, this file is tried by the proof under many thousand orders of events (`tests/proof/wakeups`).

use std::io;
use std::time::Duration;

use super::generation::Generation;
use super::inbox::Inbox;
use super::sync::{Arc, Mutex, MutexGuard, PoisonError, thread};

/// What is driven. Whoever holds its lock takes its steps.
pub(super) trait Steps: Send + 'static {
    type Command: Send + 'static;

    /// Does what there is to do and says how long there is nothing more.
    fn step(&mut self) -> Duration;
    /// The last step of a queue that closes.
    fn close(&mut self);
    /// The last step of a writer that was replaced: what nobody else knows goes to its successor.
    fn retire(&mut self);
}

/// Drives a queue's writers, one after the other. When it is dropped the inbox closes, and the writer ends once
/// everything in it is answered.
pub(super) struct Drive<C: Steps> {
    inbox: Arc<Inbox<C::Command>>,
    current: Mutex<Writer<C>>,
}

struct Writer<C> {
    generation: Arc<Generation>,
    core: Arc<Mutex<C>>,
}

impl<C: Steps> Drive<C> {
    /// Starts the first writer.
    pub(super) fn start(
        inbox: &Arc<Inbox<C::Command>>,
        core: impl FnOnce(Arc<Generation>) -> C,
    ) -> io::Result<Self> {
        let first = Writer::start(inbox, 1, core)?;
        Ok(Self { inbox: Arc::clone(inbox), current: Mutex::new(first) })
    }

    /// A writer without a thread: whoever holds the drive takes its steps, or none are taken.
    #[cfg(feature = "simulation")]
    pub(super) fn without_thread(
        inbox: &Arc<Inbox<C::Command>>,
        core: impl FnOnce(Arc<Generation>) -> C,
    ) -> Self {
        Self { inbox: Arc::clone(inbox), current: Mutex::new(Writer::new(inbox, 1, core)) }
    }

    /// Takes a step of a writer without a thread, and says how long there is nothing more.
    #[cfg(feature = "simulation")]
    pub(super) fn step(&self) -> Duration {
        let writer = self.current().clone();
        let mut core = writer.core.lock().unwrap_or_else(PoisonError::into_inner);
        core.step()
    }

    /// The number of the writer; above 1, an earlier one was replaced.
    pub(super) fn generation(&self) -> u32 {
        self.current().generation.number
    }

    /// Takes a step if nobody else does; otherwise sees to it that one is taken after this call.
    pub(super) fn help(&self) {
        let writer = self.current().clone();
        match writer.core.try_lock() {
            Ok(mut core) => writer.turn(&mut core, &self.inbox),
            Err(_) => self.inbox.nudge(),
        }
    }

    /// Replaces a writer that hangs. `end` ends its generation: if it wakes, it commits nothing any more.
    pub(super) fn replace(
        &self,
        end: impl FnOnce(&Generation),
        core: impl FnOnce(Arc<Generation>) -> C,
    ) -> io::Result<()> {
        let mut current = self.current();
        end(&current.generation);
        *current = Writer::start(&self.inbox, current.generation.number.saturating_add(1), core)?;
        Ok(())
    }

    /// Takes no more commands and waits until those that came are answered; whether they are.
    pub(super) fn close(&self, longest: Duration) -> bool {
        self.inbox.close();
        self.inbox.wait_until_done(longest)
    }

    fn current(&self) -> MutexGuard<'_, Writer<C>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Steps> Drop for Drive<C> {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

impl<C> Clone for Writer<C> {
    fn clone(&self) -> Self {
        Self { generation: Arc::clone(&self.generation), core: Arc::clone(&self.core) }
    }
}

impl<C: Steps> Writer<C> {
    /// Makes the writer of a generation the one that takes commands.
    fn new(inbox: &Inbox<C::Command>, number: u32, core: impl FnOnce(Arc<Generation>) -> C) -> Self {
        let generation = Arc::new(Generation::new(number));
        let core = Arc::new(Mutex::new(core(Arc::clone(&generation))));
        inbox.take_over(number);
        Self { generation, core }
    }

    /// Makes the writer of a generation the one that takes commands, and starts its thread.
    fn start(
        inbox: &Arc<Inbox<C::Command>>,
        number: u32,
        core: impl FnOnce(Arc<Generation>) -> C,
    ) -> io::Result<Self> {
        let writer = Self::new(inbox, number, core);
        let (this, inbox) = (writer.clone(), Arc::clone(inbox));
        thread::Builder::new().name(format!("mainspring-writer-{number}")).spawn(move || this.run(&inbox))?;
        Ok(writer)
    }

    fn run(&self, inbox: &Arc<Inbox<C::Command>>) {
        loop {
            let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
            if self.generation.is_over() {
                return core.retire();
            }
            // Never before a caller that drives has answered what it took, or put it back and somebody wrote it.
            if inbox.is_done() {
                return core.close();
            }
            self.turn(&mut core, inbox);
            drop(core);
            inbox.sleep(self.generation.number);
        }
    }

    /// Takes a step and says how long to rest after it, while nobody else can take one.
    fn turn(&self, core: &mut C, inbox: &Inbox<C::Command>) {
        // A writer that is done has closed its connection, or is about to.
        if !inbox.is_done() {
            inbox.rest(self.generation.number, core.step());
        }
    }
}
