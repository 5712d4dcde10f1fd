//! One simulated process: the library's own writer and engine, and what its application is doing.

use mainspring::OwnerId;
use mainspring::simulation::{Claim, Output, Process};

/// A process that runs.
pub(crate) struct Life {
    pub(crate) calls: Vec<Call>,
    /// Handlers whose runs were taken from them and that do not stop.
    pub(crate) left_behind: Vec<Call>,
    pub(crate) sendings: Vec<Sending>,
    /// Stopped by a signal: it takes no steps, and lives.
    pub(crate) frozen: bool,
    /// It shuts down and claims nothing more.
    pub(crate) stopping: bool,
    /// What the wall clock showed at its last step.
    pub(crate) saw: i64,
    /// The kinds that it has handlers for.
    pub(crate) kinds: Vec<String>,
    /// Its queues and how many runs of each may go on.
    pub(crate) queues: Vec<(String, u32)>,
    pub(crate) process: Process,
}

/// A handler that was called and has not come back.
pub(crate) struct Call {
    pub(crate) claim: Claim,
    pub(crate) began_wall: mainspring::Timestamp,
    /// On the steady clock, as everything below.
    pub(crate) began: u64,
    /// When it comes back if nobody stops it.
    pub(crate) comes_back: u64,
    pub(crate) told_at: Option<u64>,
    pub(crate) cancelled: bool,
}

/// An output that this process is to deliver.
pub(crate) struct Sending {
    pub(crate) output: Output,
    /// Which attempt was begun.
    pub(crate) attempt: Option<u32>,
}

impl Life {
    pub(crate) fn owner(&self) -> OwnerId {
        self.process.owner()
    }

    /// A handler is asked to stop.
    pub(crate) fn tell(&mut self, run: mainspring::RunId, cancelled: bool, steady: u64) {
        if let Some(call) = self.calls.iter_mut().find(|call| call.claim.run() == run) {
            call.told_at.get_or_insert(steady);
            call.cancelled |= cancelled;
        }
    }

    /// How many handlers of a queue are going on, those left behind not counted.
    pub(crate) fn busy(&self, queue: &str) -> usize {
        self.calls.iter().filter(|call| call.claim.queue() == queue).count()
    }
}
