//! The only code that writes SQL. One transaction a file; `now` is an argument, no clock is read here.

pub(crate) mod calendars;
pub(crate) mod cancel;
pub(crate) mod claim;
pub(crate) mod complete;
pub(crate) mod deliver;
mod ending;
pub(crate) mod enqueue;
mod insert;
mod misses;
pub(crate) mod owners;
pub(crate) mod pause;
pub(crate) mod prune;
pub(crate) mod read;
pub(crate) mod recover;
pub(crate) mod redeliver;
pub(crate) mod replan;
pub(crate) mod rows;
pub(crate) mod run_now;
pub(crate) mod schedule;

use std::time::Duration;

/// How long a connection waits for another one's lock before it gives up.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
