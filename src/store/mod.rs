//! The only code that writes SQL. One transaction a file; `now` is an argument, no clock is read here.

pub(crate) mod account;
mod busy;
pub(crate) mod calendars;
pub(crate) mod cancel;
pub(crate) mod claim;
pub(crate) mod complete;
mod database;
pub(crate) mod deliver;
pub(crate) mod doctor;
mod ending;
pub(crate) mod enqueue;
mod events;
mod files;
mod finish;
mod folder;
mod history;
mod identity;
pub(crate) mod ids;
mod immediate;
mod insert;
mod lock_file;
pub(crate) mod log;
pub(crate) mod marks;
mod migrate;
mod misses;
mod open;
mod options;
pub(crate) mod owners;
mod parameters;
pub(crate) mod pause;
#[cfg(test)]
mod plans;
mod pool;
pub(crate) mod prune;
pub(crate) mod read;
pub(crate) mod recover;
pub(crate) mod redeliver;
pub(crate) mod replace_all;
pub(crate) mod replan;
pub(crate) mod rows;
pub(crate) mod run_now;
pub(crate) mod sabotage;
pub(crate) mod savepoint;
pub(crate) mod schedule;
pub(crate) mod set_back;
mod settings;
pub(crate) mod shrink;
mod statistics;
mod tx;
#[cfg(test)]
mod views;
mod wake;
#[cfg(test)]
mod year;

use std::time::Duration;

pub(crate) use database::Database;
pub(crate) use immediate::Immediate;
pub(crate) use lock_file::not_followed;
pub use migrate::Migrated;
pub use options::OpenOptions;
pub(crate) use settings::{Sync, set_synchronous};
pub(crate) use tx::Tx;

/// How long a connection waits for another one's lock before it gives up.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
