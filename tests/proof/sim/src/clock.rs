//! Time that passes only when the simulator says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use mainspring::{Clock, Timestamp};

/// The clocks of one machine: the wall clock, which may jump, and the steady one. Clones are the same clocks.
#[derive(Clone)]
pub(crate) struct SimClock {
    hands: Arc<Hands>,
}

struct Hands {
    wall_ms: AtomicI64,
    steady_ms: AtomicU64,
}

impl SimClock {
    pub(crate) fn at(wall_ms: i64) -> Self {
        let hands = Hands { wall_ms: AtomicI64::new(wall_ms), steady_ms: AtomicU64::new(0) };
        Self { hands: Arc::new(hands) }
    }

    /// Milliseconds on the wall clock.
    pub(crate) fn wall(&self) -> i64 {
        self.hands.wall_ms.load(Ordering::Relaxed)
    }

    /// Milliseconds on the steady clock.
    pub(crate) fn steady_ms(&self) -> u64 {
        self.hands.steady_ms.load(Ordering::Relaxed)
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, ms: u64) {
        self.hands.steady_ms.fetch_add(ms, Ordering::Relaxed);
        self.hands.wall_ms.fetch_add(i64::try_from(ms).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Somebody sets the wall clock.
    pub(crate) fn jump(&self, by_ms: i64) {
        self.hands.wall_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.wall())
    }

    fn steady(&self) -> Duration {
        Duration::from_millis(self.steady_ms())
    }
}
