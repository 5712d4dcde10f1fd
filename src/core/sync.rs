//! What sleeping and waking are made of. One place, so that the proof (`tests/proof/wakeups`) can compile the files
//! that use it against a scheduler that tries the orders in which threads can run.

pub(super) use std::sync::atomic::{AtomicBool, Ordering};
pub(super) use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
pub(super) use std::thread;
pub(super) use std::time::Instant;

/// So many pauses of the processor lie between two looks.
const PAUSES: u32 = 32;

/// Looks again and again, for so long, whether something is so; whether it is.
pub(super) fn watch(longest: std::time::Duration, is_so: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while !is_so() {
        if begun.elapsed() >= longest {
            return false;
        }
        for _ in 0..PAUSES {
            std::hint::spin_loop();
        }
        // Whoever it is waited for may need this processor.
        thread::yield_now();
    }
    true
}
