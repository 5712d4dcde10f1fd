//! A place for the writer thread's handle until it is merged: it has no values.

pub(crate) mod messages;

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::job::Limits;
use crate::run::OwnerId;
use crate::time::{Clock, Timestamp};
use messages::{BeginDelivery, Complete, Completed, EngineSpec, SettleDelivery};

#[derive(Clone)]
pub(crate) enum Handle {}

#[derive(Clone, Debug)]
pub(crate) struct CoreHealth {
    pub(crate) generation: u32,
    pub(crate) last_tick_at: Timestamp,
    pub(crate) since_last_tick: Duration,
    pub(crate) next_due_at: Option<Timestamp>,
    pub(crate) waiting_commands: usize,
    pub(crate) last_error: Option<String>,
}

impl Handle {
    pub(crate) fn attach(&self, _spec: EngineSpec) -> Result<OwnerId> {
        match *self {}
    }
    pub(crate) async fn complete(&self, _c: Complete) -> Result<Completed> {
        match *self {}
    }
    pub(crate) async fn begin_delivery(&self, _b: BeginDelivery) -> Result<u32> {
        match *self {}
    }
    pub(crate) async fn settle_delivery(&self, _s: SettleDelivery) -> Result<()> {
        match *self {}
    }
    pub(crate) async fn stop_claiming(&self, _owner: OwnerId) -> Result<()> {
        match *self {}
    }
    pub(crate) async fn detach(&self, _owner: OwnerId) -> Result<()> {
        match *self {}
    }
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        match *self {}
    }
    pub(crate) fn limits(&self) -> Limits {
        match *self {}
    }
    pub(crate) fn database_uuid(&self) -> &str {
        match *self {}
    }
    pub(crate) fn health(&self) -> CoreHealth {
        match *self {}
    }
    pub(crate) fn replace_generation(&self) -> Result<()> {
        match *self {}
    }
}
