//! Jitter that never changes: a place in a window that follows from a job's id alone.

use sha2::{Digest, Sha256};

/// The place of `key` in a window of `window_ms` milliseconds, from 0 to just below its length; 0 if the window
/// is not positive.
///
/// The first four bytes of the key's SHA-256, as a big-endian number, modulo the window: the same on every
/// machine and after every restart.
///
/// ```
/// use mainspring::plan::stagger_ms;
///
/// assert_eq!(stagger_ms("7", 1_800_000), 1_601_243);
/// assert_eq!(stagger_ms("7", 0), 0);
/// ```
pub fn stagger_ms(key: &str, window_ms: i64) -> i64 {
    if window_ms <= 0 {
        return 0;
    }
    let hash = Sha256::digest(key.as_bytes());
    let number = hash.iter().take(4).fold(0, |number, &byte| number << 8 | i64::from(byte));
    number % window_ms
}
