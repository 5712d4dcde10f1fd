//! What the tests share that kill: an application whose deeds stand in a ledger outside the database, child
//! processes that run it, and ways to wait for what happens in them.
#![allow(dead_code, unreachable_pub, reason = "each test file is a crate of its own and uses a part of it")]

pub mod app;
pub mod child;
pub mod held;
pub mod ledger;
pub mod rows;

use std::future::Future;
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for what must happen. A machine that is busy with other things is slow, not wrong.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(2);

/// Blocks until `look` has something to show.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} for this: {what}");
        thread::park_timeout(LOOK);
    }
}

/// Waits until `look` has something to show.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} for this: {what}");
        tokio::time::sleep(LOOK).await;
    }
}
