//! How an engine is.

use std::sync::atomic::Ordering;

use serde::Serialize;

use super::pulse::Pulse;
use super::watchdog::WatchLimits;
use crate::core::CoreHealth;
use crate::time::Timestamp;
use crate::words::words;

words! {
    /// Where in its life an engine is.
    EngineState: "engine state" {
        /// It claims and runs.
        Running = "running",
        /// It claims no more and waits for what is under way.
        Stopping = "stopping",
        /// It has ended.
        Stopped = "stopped",
    }
}

words! {
    /// What does not move although it should.
    Stalled: "stalled part" {
        /// The thread that writes and claims: the disk hangs, or another process holds the database. After 60
        /// seconds a new one takes over.
        Writer = "writer",
        /// The async runtime: code on it blocks its threads. Claims go on, handlers do not start.
        Runtime = "runtime",
    }
}

/// How an engine is at one moment. Read without the runtime and without the database, so that it answers when
/// they do not.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct EngineHealth {
    /// Where in its life it is.
    pub state: EngineState,
    /// What does not move although it should; the writer if both.
    pub stalled: Option<Stalled>,
    /// Which writer it is on; each that got stuck and was replaced counts one.
    pub generation: u32,
    /// When the writer last looked what is due.
    pub last_tick_at: Timestamp,
    /// How long ago that was in milliseconds, by a clock that nobody sets.
    pub since_last_tick_ms: u64,
    /// When the writer wakes for the next job.
    pub next_due_at: Option<Timestamp>,
    /// Commands that wait for the writer.
    pub waiting_commands: usize,
    /// The last error of the writer, until one has been committed.
    pub last_error: Option<String>,
    /// Runs whose handler is being called.
    pub open_runs: usize,
    /// Deliveries under way or waiting for room.
    pub open_deliveries: usize,
    /// Handlers that did not stop when their run was taken from them, and go on.
    pub left_behind: usize,
}

impl EngineHealth {
    /// Whether it does what it shall: it runs, and nothing is stalled.
    pub fn is_well(&self) -> bool {
        self.state == EngineState::Running && self.stalled.is_none()
    }

    pub(super) fn new(core: CoreHealth, pulse: &Pulse, left_behind: usize, limits: WatchLimits) -> Self {
        let state = match (pulse.is_stopped(), pulse.is_stopping()) {
            (true, _) => EngineState::Stopped,
            (false, true) => EngineState::Stopping,
            (false, false) => EngineState::Running,
        };
        let writer = core.since_last_tick > limits.writer_slow;
        let stalled = match state {
            EngineState::Stopped => None,
            _ if writer => Some(Stalled::Writer),
            _ => pulse.runtime_is_stalled().then_some(Stalled::Runtime),
        };
        Self {
            state,
            stalled,
            generation: core.generation,
            last_tick_at: core.last_tick_at,
            since_last_tick_ms: u64::try_from(core.since_last_tick.as_millis()).unwrap_or(u64::MAX),
            next_due_at: core.next_due_at,
            waiting_commands: core.waiting_commands,
            last_error: core.last_error,
            open_runs: pulse.runs.load(Ordering::Relaxed),
            open_deliveries: pulse.deliveries.load(Ordering::Relaxed),
            left_behind,
        }
    }
}
