//! What the writer and an engine say to each other. They share no other state.

use tokio::sync::mpsc;

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
    /// Call the handler now.
    Run(Box<ClaimedRun>),
    /// Deliver a stored output now: its delivery is pending and this owner's.
    Deliver(Box<ClaimedDelivery>),
    /// Ask the handler of this run to stop.
    Stop(RunId, StopReason),
}

/// Why a handler shall stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// Somebody cancelled the run: complete it as cancelled once it has stopped.
    Cancelled,
    /// The run was ended by somebody else: whatever the handler returns is late.
    Fenced,
}
