//! The primitives that `src/core/sync.rs` takes from the standard library, as the scheduler has them.
//!
//! Time stands still, but for short waits: one that is within [`SOON`] is over as soon as its thread runs again, and
//! the clock then shows that time. All others last until they are woken.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::TryLockError;
use std::time::Duration;

pub(crate) use shuttle::sync::Arc;
pub(crate) use shuttle::sync::atomic::{AtomicBool, Ordering};
pub(crate) use shuttle::thread;
pub(crate) use std::sync::PoisonError;

/// What waits no longer than this is woken by the clock.
pub(crate) const SOON: Duration = Duration::from_secs(1);

thread_local! {
    // All threads of one schedule run on one thread of the system.
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Sets the clock to zero.
pub(crate) fn begin_time() {
    NOW.set(Duration::ZERO);
}

/// Looks twice.
pub(crate) fn watch(_longest: Duration, is_so: impl Fn() -> bool) -> bool {
    is_so() || {
        thread::yield_now();
        is_so()
    }
}

/// A place in the time of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(NOW.get())
    }

    pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::ops::Add<Duration> for Instant {
    type Output = Self;

    fn add(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(wait))
    }
}

/// A lock whose guard knows it, so that a wait can let go of it and take it again.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    guard: shuttle::sync::MutexGuard<'a, T>,
    of: &'a Mutex<T>,
}

type Locked<'a, T> = Result<MutexGuard<'a, T>, PoisonError<MutexGuard<'a, T>>>;

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> Locked<'_, T> {
        let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(MutexGuard { guard, of: self })
    }

    pub(crate) fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError<()>> {
        let guard = self.0.try_lock().map_err(|_| TryLockError::WouldBlock)?;
        Ok(MutexGuard { guard, of: self })
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// Where threads wait for a notice.
#[derive(Debug)]
pub(crate) struct Condvar(shuttle::sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(shuttle::sync::Condvar::new())
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits; says whether the time was over.
    #[allow(clippy::type_complexity, reason = "the standard library's signature")]
    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        wait: Duration,
    ) -> Result<(MutexGuard<'a, T>, bool), PoisonError<(MutexGuard<'a, T>, bool)>> {
        let of = guard.of;
        if wait > SOON {
            let guard = self.0.wait(guard.guard).unwrap_or_else(PoisonError::into_inner);
            return Ok((MutexGuard { guard, of }, false));
        }
        let until = NOW.get() + wait;
        drop(guard);
        thread::yield_now();
        NOW.set(NOW.get().max(until));
        let guard = of.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((guard, true))
    }
}
