//! A durable job queue and scheduler in one SQLite file, linked into your program: what it was told to do still
//! happens, and happens once, when the process is killed, frozen, redeployed or asleep.
//!
//! ```
//! use std::time::Duration;
//! use chrono_tz::Europe::Berlin;
//! use mainspring::{Engine, Failure, JobArgs, Queue, RunContext, Schedule};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Greet { name: String }
//!
//! impl JobArgs for Greet {
//!     const KIND: &'static str = "greet";
//! }
//!
//! async fn greet(args: Greet, _cx: RunContext) -> Result<String, Failure> {
//!     Ok(format!("Good morning, {}.", args.name))
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> mainspring::Result<()> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("app.db");
//! let queue = Queue::open(path).await?;
//!
//! // Declared at each start: the same declaration changes nothing.
//! let every_morning = Schedule::cron("0 8 * * *")?.in_tz(Berlin);
//! queue.schedule("morning", every_morning, Greet { name: "everybody".into() }).await?;
//!
//! // On disk when it returns.
//! let job = queue.enqueue(Greet { name: "world".into() }).await?.id();
//!
//! let engine = Engine::builder(queue.clone()).handler(greet).build()?.start().await?;
//! # while queue.get(job).await?.finished_at.is_none() {
//! #     tokio::time::sleep(Duration::from_millis(5)).await;
//! # }
//! // Later: no new claims, and ten seconds for what is under way.
//! engine.shutdown(Duration::from_secs(10)).await?;
//!
//! let runs = queue.runs(job, 1).await?;
//! let output = runs[0].completion.as_ref().and_then(|it| it.output.as_deref());
//! assert_eq!(output, Some("\"Good morning, world.\""));
//! # Ok(())
//! # }
//! ```
//!
//! # What it guarantees
//! * A job is on disk when [`Queue::enqueue`] returns, or with your own rows if it was enqueued in your own
//!   transaction ([`Queue::enqueue_tx`]).
//! * One occurrence of one job is claimed once, whatever the clock does and however many processes have the file
//!   open.
//! * A run whose process died is on record as interrupted, and [`OnInterrupt`] decides what happens: one-shots run
//!   again under the same idempotency key, recurring jobs wait for their next occurrence.
//! * An output is on disk before it is delivered ([`Handler::deliver`]): a crash after that never calls the handler
//!   again. A delivery of which nobody knows whether it arrived is on record as unknown, and [`OnUnknownDelivery`]
//!   decides.
//! * What was missed while nothing ran is caught up within 6 hours, or as the job's [`CatchUp`](plan::CatchUp) says,
//!   and is on record either way.
//! * A run that lost its claim cannot record anything. A slow owner is never robbed; a dead one is noticed by its
//!   lock, not by a timeout.
//!
//! Not promised: exactly-once for effects outside the file, which nobody can; several hosts on one file, since the
//! write-ahead log of SQLite does not work over a network file system.
//!
//! # Where things are
//! | for | see |
//! |---|---|
//! | opening a file, enqueueing, scheduling, looking, operating | [`Queue`], [`OpenOptions`], [`BlockingQueue`] |
//! | what a job may be told | [`NewJob`], [`Schedule`], [`plan`] |
//! | your code | [`Handler`], [`RunContext`], [`Failure`], [`DeliveryContext`], [`DeliveryError`] |
//! | running it | [`Engine`], [`EngineBuilder`], [`EngineHandle`] |
//! | tests of your own | `testing::TestQueue` |
//!
//! The repository has a guide from the first program to the tests (`docs/guide/getting-started.md`), one for
//! migrations (`docs/guide/migrations.md`), the states and who moves a row there (`docs/state-machine.md`), the
//! tables and views with recipes for the shell (`docs/schema.md`), and an example that can be killed anywhere
//! (`cargo run --example morning_briefing`).
//!
//! # Features
//! | feature | default | gives |
//! |---|---|---|
//! | `testing` | no | the module `testing`: a queue in a temporary file, a clock that is moved by hand, `drain()` |
//! | `crash-points` | no | the module `crash`: named points at which the process kills itself, for tests of recovery |
//! | `sabotage` | no | nothing for users: deliberate bugs, off unless named, by which the project checks its own tests |
//! | `simulation` | no | nothing for users: a writer without a thread, which the project's simulator drives step by step |
#![forbid(unsafe_code)]

mod brief;
mod core;
#[cfg(feature = "crash-points")]
pub mod crash;
#[cfg(not(feature = "crash-points"))]
mod crash;
mod engine;
mod error;
mod event;
mod exchange;
mod job;
pub mod plan;
mod policy;
mod queue;
mod run;
#[cfg(feature = "sabotage")]
#[doc(hidden)]
pub mod sabotage;
#[cfg(not(feature = "sabotage"))]
mod sabotage;
pub mod schedule;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
mod words;

#[cfg(feature = "simulation")]
#[doc(hidden)]
pub use engine::played as simulation;
pub use engine::{
    BoxError, DeliveryContext, DeliveryError, Engine, EngineBuilder, EngineHandle, EngineHealth, EngineState,
    Failure, Handler, Receipt, RunContext, ShutdownReport, Stalled, Verified,
};
pub use error::{Error, Result};
pub use event::{Event, EventId, EventKind, MadeBy};
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
pub use words::UnknownWord;

/// The pages with Rust in them, so that it is compiled and run with the other examples of the documentation.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/guide/getting-started.md")]
    struct GettingStarted;
    #[doc = include_str!("../docs/guide/migrations.md")]
    struct Migrations;
}
