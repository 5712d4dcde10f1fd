//! Waiting for another connection's lock.
//!
//! SQLite's own handler sleeps up to 100 ms between its tries, so that whoever asks often starves it. Ours
//! asks each millisecond. rusqlite takes a plain function, so the timeouts stand in a table of slots, a
//! function a slot.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;

use crate::error::{Error, Result};

/// The wait between two tries.
pub(super) const STEP: Duration = Duration::from_millis(1);
/// How many different timeouts a process can have at once.
const SLOTS: usize = 16;

/// How often each slot's function tries again; `UNUSED` where no connection has it.
static TRIES: [AtomicU32; SLOTS] = [const { AtomicU32::new(UNUSED) }; SLOTS];
const UNUSED: u32 = u32::MAX;
static CLAIMING: Mutex<()> = Mutex::new(());

const HANDLERS: [fn(i32) -> bool; SLOTS] = [
    wait::<0>, wait::<1>, wait::<2>, wait::<3>, wait::<4>, wait::<5>, wait::<6>, wait::<7>, wait::<8>,
    wait::<9>, wait::<10>, wait::<11>, wait::<12>, wait::<13>, wait::<14>, wait::<15>,
];

/// Makes `conn` try again each millisecond until about `timeout` has passed.
///
/// # Errors
/// [`Error::InvalidOption`] for the seventeenth different timeout of this process.
pub(super) fn set_handler(conn: &Connection, timeout: Duration) -> Result<()> {
    conn.busy_handler(Some(handler(tries(timeout))?)).map_err(Error::Sqlite)
}

/// How many steps a timeout has.
pub(super) fn tries(timeout: Duration) -> u32 {
    u32::try_from(timeout.as_millis() / STEP.as_millis()).unwrap_or(UNUSED - 1).min(UNUSED - 1)
}

fn handler(tries: u32) -> Result<fn(i32) -> bool> {
    let _claiming = CLAIMING.lock().unwrap_or_else(PoisonError::into_inner);
    let slot = slot(&TRIES, tries).and_then(|slot| HANDLERS.get(slot));
    slot.copied().ok_or_else(|| {
        Error::invalid(
            "busy_timeout",
            format!("is the {}th different one of this process: use fewer", SLOTS + 1),
        )
    })
}

/// The slot that has this number, or a free one that has it from now on.
fn slot(table: &[AtomicU32], tries: u32) -> Option<usize> {
    let position = |wanted| table.iter().position(|slot| slot.load(Ordering::Relaxed) == wanted);
    position(tries).or_else(|| {
        let free = position(UNUSED)?;
        table.get(free)?.store(tries, Ordering::Relaxed);
        Some(free)
    })
}

/// Called by SQLite with the number of tries so far. It counts steps: no clock is read here.
fn wait<const SLOT: usize>(tried: i32) -> bool {
    let most = TRIES.get(SLOT).map_or(0, |slot| slot.load(Ordering::Relaxed));
    if u32::try_from(tried).is_ok_and(|tried| tried < most) {
        thread::sleep(STEP);
        true
    } else {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_timeout_has_a_slot_of_its_own_while_there_are_any() {
        let table = [const { AtomicU32::new(UNUSED) }; 2];
        assert_eq!(slot(&table, 10_000), Some(0));
        assert_eq!(slot(&table, 50), Some(1));
        assert_eq!(slot(&table, 10_000), Some(0));
        assert_eq!(slot(&table, 51), None);
    }

    #[test]
    fn a_handler_gives_up_after_its_own_number_of_tries() {
        let short = handler(tries(Duration::from_millis(2))).unwrap();
        let none = handler(tries(Duration::ZERO)).unwrap();
        assert_eq!([0, 1, 2, 3].map(short), [true, true, false, false]);
        assert!(!none(0));
    }

    #[test]
    fn a_timeout_beyond_all_bounds_is_still_a_number_of_tries() {
        assert_eq!(tries(Duration::MAX), UNUSED - 1);
    }
}
