//! The only code that writes SQL. One transaction a file; `now` is an argument, no clock is read here.

// `Queue::doctor` is written with the handle; until then only the tests run it.
#[cfg_attr(not(test), expect(dead_code, unreachable_pub, reason = "`Queue::doctor` will run it"))]
#[cfg_attr(test, expect(unreachable_pub, reason = "`Queue::doctor` will return its findings"))]
pub(crate) mod doctor;
#[cfg(test)]
mod views;

use std::time::Duration;

/// How long a connection waits for another one's lock before it gives up.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
