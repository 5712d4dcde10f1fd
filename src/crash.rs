//! Named crash points. In a normal build they are nothing.
#![cfg_attr(
    not(feature = "crash-points"),
    allow(dead_code, unreachable_pub, reason = "public, and walked by tests, with the feature only")
)]

use crate::words::words;

words! {
    /// A place between two facts where a test, or the example, kills the process.
    CrashPoint: "crash point" {
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

#[cfg(feature = "crash-points")]
mod armed {
    use std::sync::OnceLock;

    use super::CrashPoint;

    /// The environment variable that names the crash point.
    pub const VARIABLE: &str = "MAINSPRING_CRASH_AT";

    static ARMED: OnceLock<Option<CrashPoint>> = OnceLock::new();

    /// Arms a crash point for the rest of this process's life. The first call wins, and the environment variable
    /// if a point has been reached before.
    pub fn arm(point: CrashPoint) {
        // Already armed: the earlier point stands.
        let _ = ARMED.set(Some(point));
    }

    /// Kills this process with SIGKILL if this point is armed.
    pub(crate) fn reach(point: CrashPoint) {
        let armed = ARMED.get_or_init(|| std::env::var(VARIABLE).ok().and_then(|name| name.parse().ok()));
        if *armed == Some(point) {
            // SIGKILL runs no destructor and flushes no buffer; `abort` is the fallback where there is no `kill`.
            let pid = std::process::id().to_string();
            let _ = std::process::Command::new("kill").args(["-9", &pid]).status();
            std::process::abort();
        }
    }
}

#[cfg(feature = "crash-points")]
pub(crate) use armed::reach;
#[cfg(feature = "crash-points")]
pub use armed::{VARIABLE, arm};

/// Nothing, in a normal build.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub(crate) fn reach(_point: CrashPoint) {}
