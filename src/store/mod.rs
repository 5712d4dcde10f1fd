//! The only code that writes SQL. One transaction a file; `now` is an argument, no clock is read here.

mod busy;
mod database;
mod files;
mod history;
mod migrate;
mod open;
mod options;
mod pool;
mod settings;

use std::time::Duration;

pub(crate) use database::Database;
pub use migrate::Migrated;
pub use options::OpenOptions;
pub(crate) use settings::{Sync, set_synchronous};

/// How long a connection waits for another one's lock before it gives up.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
