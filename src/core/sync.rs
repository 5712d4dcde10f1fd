//! What sleeping and waking are made of. One place, so that the proof (`tests/proof/wakeups`) can compile the files
//! that use it against a scheduler that tries the orders in which threads can run.

pub(super) use std::sync::atomic::{AtomicBool, Ordering};
pub(super) use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
pub(super) use std::thread;
pub(super) use std::time::Instant;
