//! Named crash points. In a normal build they are nothing.

use crate::words::words;

words! {
    /// A place between two facts where a test, or the example, kills the process.
    CrashPoint {
        /// The claim is committed, the handler was not called.
        Claimed = "claimed",
        /// The handler has returned, its completion is not committed.
        Ran = "ran",
        /// The completion is committed, its delivery was not begun.
        Completed = "completed",
        /// The begun mark is committed, the sink was not called.
        DeliveryBegun = "delivery_begun",
        /// The sink has answered, the answer is not committed.
        Delivered = "delivered",
        /// The answer is committed.
        Settled = "settled",
    }
}

/// The environment variable that names the crash point.
#[cfg(feature = "crash-points")]
pub const VARIABLE: &str = "MAINSPRING_CRASH_AT";

/// Kills this process with SIGKILL if the environment names this point.
#[cfg(feature = "crash-points")]
pub(crate) fn reach(point: CrashPoint) {
    if std::env::var(VARIABLE).is_ok_and(|name| name == point.as_str()) {
        // SIGKILL runs no destructor and flushes no buffer, as a power cut of the process would; `abort` is the
        // fallback where there is no `kill`.
        let pid = std::process::id().to_string();
        let _ = std::process::Command::new("kill").args(["-9", &pid]).status();
        std::process::abort();
    }
}

/// Nothing, in a normal build.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub(crate) fn reach(_point: CrashPoint) {}
