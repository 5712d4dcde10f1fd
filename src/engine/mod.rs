//! The engine runs what the writer claims: handlers, deliveries, timeouts, shutdown. It names no table.

mod builder;
mod context;
mod decide_delivery;
mod decide_run;
mod delivery;
mod dispatch;
mod env;
mod erased;
mod failure;
mod handler;
mod handover;
mod health;
mod life;
mod log;
#[cfg(feature = "simulation")]
pub mod played;
mod pulse;
mod receipt;
mod shutdown;
mod supervise;
#[cfg(test)]
mod tests;
mod watchdog;
mod worker;
mod writer;

use std::future::Future;
use std::time::Duration;

pub use builder::EngineBuilder;
pub use context::{DeliveryContext, RunContext};
pub use failure::{BoxError, Failure};
pub use handler::{Handler, Verified};
pub use health::{EngineHealth, EngineState, Stalled};
pub use receipt::{DeliveryError, Receipt};
pub use shutdown::ShutdownReport;
#[cfg(feature = "testing")]
pub use watchdog::WatchLimits;

use crate::core;
use crate::error::{Error, Result};
use crate::queue::Queue;
use life::{Life, Plan};

/// Claims due jobs of its queues and runs them in this process.
///
/// A process may have several engines, and a file engines in several processes of one machine; each job is
/// claimed by one of them.
///
/// An engine needs a tokio runtime with its timer enabled. Claims and the clock have a thread of their own: a
/// handler that blocks the runtime delays other handlers, but no claim of another process and no due time.
pub struct Engine {
    queue: Queue,
    plan: Plan,
}

impl Engine {
    /// An engine for this queue, without handlers yet.
    pub fn builder(queue: Queue) -> EngineBuilder {
        EngineBuilder::new(queue)
    }

    /// Runs jobs until `signal` resolves, whatever with, and then shuts down with the patience that the engine
    /// was built with. Dropping the future shuts down in the background.
    ///
    /// # Errors
    /// Those of [`start`](Self::start) and of [`EngineHandle::shutdown`]; [`Error::Closed`] if the queue was
    /// closed before the signal came.
    pub async fn run_until<S: Future>(self, signal: S) -> Result<()> {
        let patience = self.plan.patience;
        let mut handle = self.start().await?;
        tokio::select! {
            _ = signal => {}
            // It only ends by itself when the queue was closed.
            ended = handle.life.ended() => return ended.and(Err(Error::Closed)),
        }
        handle.shutdown(patience).await.map(drop)
    }

    /// Starts to run jobs; resolves once this engine is on record as an owner. From then on it recovers what dead
    /// engines left, and claims.
    ///
    /// # Errors
    /// Those of the database, and [`Error::Io`] for the owner's lock file.
    pub async fn start(self) -> Result<EngineHandle> {
        let core = self.queue.core().clone();
        Ok(EngineHandle { life: Life::start(core, self.plan).await? })
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds: Vec<_> = self.plan.handlers.kinds().collect();
        f.debug_struct("Engine")
            .field("kinds", &kinds)
            .field("queues", &self.plan.queues)
            .finish_non_exhaustive()
    }
}

/// An engine that runs.
///
/// Dropping it shuts the engine down in the background, with the patience that it was built with, and waits for
/// nothing. What the process then does not live to see is recovered by the next engine.
#[must_use = "an engine whose handle is dropped shuts down"]
pub struct EngineHandle {
    life: Life<core::Handle>,
}

impl EngineHandle {
    /// Shuts down: claims nothing more, waits up to `patience` for what is under way, then asks the handlers to
    /// stop and gives them up to 5 seconds.
    ///
    /// Runs that do not end in time are recorded as interrupted and count as no attempt: under
    /// [`OnInterrupt::Rerun`](crate::OnInterrupt::Rerun) the next engine runs them again at once. Deliveries
    /// that were not begun are left to the next engine; those that do not answer are unknown. Takes no longer
    /// than `patience` and 25 seconds, even on a disk that hangs.
    ///
    /// # Errors
    /// Those of the database; everything that did not need it was done all the same.
    pub async fn shutdown(self, patience: Duration) -> Result<ShutdownReport> {
        self.life.shut_down(patience).await
    }

    /// How the engine is. Blocks for nothing, neither the runtime nor the database.
    pub fn health(&self) -> EngineHealth {
        self.life.health()
    }
}

impl std::fmt::Debug for EngineHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineHandle").field("health", &self.health()).finish()
    }
}
