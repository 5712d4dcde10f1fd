//! The only code that writes SQL. One transaction a file; `now` is an argument, no clock is read here.

use std::time::Duration;

/// How long a connection waits for another one's lock before it gives up.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
