//! What the engine needs of the writer; a trait so that tests can answer as a writer seldom does.

use std::future::Future;
use std::sync::Arc;

use crate::core::messages::{BeginDelivery, Complete, Completed, EngineSpec, SettleDelivery};
use crate::core::{CoreHealth, Handle};
use crate::error::Result;
use crate::job::Limits;
use crate::run::OwnerId;
use crate::time::Clock;

/// The commands of an engine. Each resolves after its commit; faults that may go away are retried inside.
pub(super) trait Writer: Clone + Send + Sync + 'static {
    /// Takes the owner's lock and row, recovers, and begins to claim. Blocks.
    fn attach(&self, spec: EngineSpec) -> Result<OwnerId>;
    /// Records how a run ended. [`ClaimLost`](crate::Error::ClaimLost) says that somebody else ended it.
    fn complete(&self, complete: Complete) -> impl Future<Output = Result<Completed>> + Send;
    /// Marks a delivery as begun and answers which attempt it is.
    fn begin_delivery(&self, begin: BeginDelivery) -> impl Future<Output = Result<u32>> + Send;
    /// Records what came of a delivery.
    fn settle_delivery(&self, settle: SettleDelivery) -> impl Future<Output = Result<()>> + Send;
    /// Ends claiming; nothing is claimed after it has resolved.
    fn stop_claiming(&self, owner: OwnerId) -> impl Future<Output = Result<()>> + Send;
    /// Ends the owner: hands back deliveries that were not begun and releases the lock.
    fn detach(&self, owner: OwnerId) -> impl Future<Output = Result<()>> + Send;
    /// Starts a new writer in place of one that is stuck.
    fn replace_generation(&self) -> Result<()>;
    /// How the writer is.
    fn health(&self) -> CoreHealth;
    /// The clock of the queue.
    fn clock(&self) -> &Arc<dyn Clock>;
    /// How long values may be.
    fn limits(&self) -> Limits;
    /// Names the file for ever; idempotency keys begin with it.
    fn database_uuid(&self) -> &str;
}

impl Writer for Handle {
    fn attach(&self, spec: EngineSpec) -> Result<OwnerId> {
        Self::attach(self, spec)
    }
    fn complete(&self, complete: Complete) -> impl Future<Output = Result<Completed>> + Send {
        Self::complete(self, complete)
    }
    fn begin_delivery(&self, begin: BeginDelivery) -> impl Future<Output = Result<u32>> + Send {
        Self::begin_delivery(self, begin)
    }
    fn settle_delivery(&self, settle: SettleDelivery) -> impl Future<Output = Result<()>> + Send {
        Self::settle_delivery(self, settle)
    }
    fn stop_claiming(&self, owner: OwnerId) -> impl Future<Output = Result<()>> + Send {
        Self::stop_claiming(self, owner)
    }
    fn detach(&self, owner: OwnerId) -> impl Future<Output = Result<()>> + Send {
        Self::detach(self, owner)
    }
    fn replace_generation(&self) -> Result<()> {
        Self::replace_generation(self)
    }
    fn health(&self) -> CoreHealth {
        Self::health(self)
    }
    fn clock(&self) -> &Arc<dyn Clock> {
        Self::clock(self)
    }
    fn limits(&self) -> Limits {
        Self::limits(self)
    }
    fn database_uuid(&self) -> &str {
        Self::database_uuid(self)
    }
}
