//! What the writer and an engine say to each other. They share no other state.

use tokio::sync::mpsc;

use super::op::Work;
pub(crate) use crate::exchange::{
    BeginDelivery, ClaimedDelivery, ClaimedRun, Complete, Completed, Deliver, DeliveryAnswer, SettleDelivery,
    Then,
};
use crate::run::RunId;

/// What an engine tells the writer when it starts.
#[derive(Debug)]
pub(crate) struct EngineSpec {
    /// The queues that it serves.
    pub(crate) queues: Vec<QueueSpec>,
    /// The kinds that it has handlers for; others are left to other engines.
    pub(crate) kinds: Vec<String>,
    /// How many deliveries it takes up at once, besides those of runs that it has just completed.
    pub(crate) deliveries: u32,
    /// Where claims and stops go. The bound is the number of workers: never more is claimed than fits.
    pub(crate) events: mpsc::UnboundedSender<EngineEvent>,
}

/// A queue and how many of its jobs one engine runs at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueueSpec {
    pub(crate) name: String,
    pub(crate) workers: u32,
}

/// What the writer tells an engine. Everything in it is committed.
#[derive(Debug)]
pub(crate) enum EngineEvent {
    /// What a transaction came to.
    Committed(Committed),
    /// Ask the handler of this run to stop.
    Stop(RunId, StopReason),
}

/// What a transaction came to for one engine. It is told at once, since each message wakes a thread, and is answered on
/// the engine's own threads, where waking whoever waits for an answer costs least.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    /// Call the handlers of these runs now.
    pub(crate) runs: Vec<ClaimedRun>,
    /// Deliver these stored outputs now: their deliveries are pending and this owner's.
    pub(crate) deliveries: Vec<ClaimedDelivery>,
    /// Given when they are dropped: begin the runs first.
    pub(crate) answers: Answers,
}

impl Committed {
    /// Nothing of it concerns the engine.
    pub(super) fn is_nothing(&self) -> bool {
        self.runs.is_empty() && self.deliveries.is_empty() && self.answers.0.is_empty()
    }
}

/// Commands that are in the file, and whose callers wait. They are answered wherever this is dropped: by the engine that
/// received them, or with the channel of one that receives nothing more.
#[derive(Default)]
pub(crate) struct Answers(pub(super) Vec<Box<dyn Work>>);

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answers({})", self.0.len())
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        std::mem::take(&mut self.0).into_iter().for_each(|command| command.answer());
    }
}

/// Why a handler shall stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// Somebody cancelled the run: complete it as cancelled once it has stopped.
    Cancelled,
    /// The run was ended by somebody else: whatever the handler returns is late.
    Fenced,
}
