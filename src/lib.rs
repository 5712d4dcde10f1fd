//! A durable job queue and scheduler in one SQLite file.
#![forbid(unsafe_code)]

mod core;
#[cfg(feature = "crash-points")]
pub mod crash;
#[cfg(not(feature = "crash-points"))]
mod crash;
mod engine;
mod error;
mod exchange;
mod job;
pub mod plan;
mod policy;
mod queue;
mod run;
pub mod schedule;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
mod words;

pub use engine::{
    BoxError, DeliveryContext, DeliveryError, Engine, EngineBuilder, EngineHandle, EngineHealth, EngineState,
    Failure, Handler, Receipt, RunContext, ShutdownReport, Stalled,
};
pub use error::{Error, Result};
pub use job::{Enqueued, Job, JobArgs, JobId, JobState, Limits, NewJob, OnDuplicate, Scheduled};
pub use policy::{Backoff, Durability, OnInterrupt, OnUnknownDelivery, Policies};
pub use queue::{
    BlockingQueue, CancelReport, Declaration, Health, JobKey, JobList, ListFilter, Prune, Pruned, Queue,
    ReplaceReport, Status,
};
pub use run::{Completion, Delivery, ErrorClass, Outcome, OwnerId, RequestId, Run, RunId};
pub use schedule::{Schedule, ScheduleError};
pub use store::doctor::Finding;
pub use store::{Migrated, OpenOptions};
pub use time::{Clock, SystemClock, Timestamp};
