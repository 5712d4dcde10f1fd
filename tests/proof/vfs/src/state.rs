//! What one registered VFS counts, has armed and records.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::fault::{Act, Fault};
use crate::op::{Counts, FileKind, Op};
use crate::record::Event;

const KINDS: usize = FileKind::ALL.len();

#[derive(Debug)]
pub(crate) struct State {
    counts: Vec<AtomicU64>,
    /// Whether there is anything to ask under the mutex.
    is_armed: AtomicBool,
    armed: Mutex<Armed>,
    has_fired: Condvar,
    log: Mutex<Option<Vec<Event>>>,
    longest_sleep_us: AtomicU64,
    /// The disk is not asked for anything.
    only_counts_syncs: AtomicBool,
    /// No file may grow.
    is_full: AtomicBool,
    refused_growth: AtomicU64,
}

#[derive(Debug, Default)]
struct Armed {
    faults: Vec<One>,
    fired: u64,
    where_fired: Vec<(Op, FileKind)>,
}

#[derive(Debug)]
struct One {
    fault: Fault,
    is_armed: bool,
    /// How many operations it matched.
    seen: u64,
    fired: u64,
}

impl One {
    /// Counts an operation that matches. Whether it goes wrong.
    fn meet(&mut self) -> bool {
        self.seen += 1;
        self.seen == self.fault.nth || (self.fault.sticky && self.seen > self.fault.nth)
    }
}

/// How many firings are remembered by place.
const PLACES: usize = 16;

impl State {
    pub(crate) fn new() -> Self {
        Self {
            counts: std::iter::repeat_with(AtomicU64::default).take(Op::ALL.len() * KINDS).collect(),
            is_armed: AtomicBool::new(false),
            armed: Mutex::default(),
            has_fired: Condvar::new(),
            log: Mutex::default(),
            longest_sleep_us: AtomicU64::new(u64::MAX),
            only_counts_syncs: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
            refused_growth: AtomicU64::new(0),
        }
    }

    /// Counts an operation and says what becomes of it.
    pub(crate) fn meet(&self, op: Op, file: FileKind) -> Act {
        if let Some(count) = self.counts.get(op as usize * KINDS + file as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if !self.is_armed.load(Ordering::Acquire) {
            return Act::Pass;
        }
        let mut armed = self.armed();
        let mut act = Act::Pass;
        for one in armed.faults.iter_mut().filter(|one| one.is_armed && one.fault.matches(op, file)) {
            if one.meet() && act == Act::Pass {
                act = one.fault.flavour.act(op);
                one.fired += 1;
            }
        }
        if act != Act::Pass {
            armed.fired += 1;
            if armed.where_fired.len() < PLACES {
                armed.where_fired.push((op, file));
            }
            self.has_fired.notify_all();
        }
        act
    }

    /// Returns the number by which the fault is asked after.
    pub(crate) fn arm(&self, fault: Fault) -> usize {
        let mut armed = self.armed();
        armed.faults.push(One { fault, is_armed: true, seen: 0, fired: 0 });
        self.is_armed.store(true, Ordering::Release);
        armed.faults.len() - 1
    }

    pub(crate) fn disarm(&self) {
        let mut armed = self.armed();
        armed.faults.iter_mut().for_each(|one| one.is_armed = false);
        self.is_armed.store(false, Ordering::Release);
    }

    pub(crate) fn disarm_one(&self, number: usize) {
        let mut armed = self.armed();
        if let Some(one) = armed.faults.get_mut(number) {
            one.is_armed = false;
        }
        self.is_armed.store(armed.faults.iter().any(|one| one.is_armed), Ordering::Release);
    }

    pub(crate) fn fired_by(&self, number: usize) -> u64 {
        self.armed().faults.get(number).map_or(0, |one| one.fired)
    }

    pub(crate) fn fired(&self) -> u64 {
        self.armed().fired
    }

    pub(crate) fn where_fired(&self) -> Vec<(Op, FileKind)> {
        self.armed().where_fired.clone()
    }

    pub(crate) fn wait_fired(&self, times: u64, longest: Duration) -> bool {
        let until = Instant::now() + longest;
        let mut armed = self.armed();
        while armed.fired < times {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            armed = self.has_fired.wait_timeout(armed, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    pub(crate) fn counts(&self) -> Counts {
        let places = Op::ALL.iter().flat_map(|op| FileKind::ALL.iter().map(move |file| (*op, *file)));
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        Counts(
            places
                .zip(counts)
                .filter(|(_, count)| *count > 0)
                .map(|((op, f), count)| (op, f, count))
                .collect(),
        )
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Option<Vec<Event>>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_full(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::SeqCst);
    }

    /// Whether a write up to `end` is refused, since it would make the file grow, which has `size` bytes now.
    pub(crate) fn refuses_growth(&self, end: u64, size: impl FnOnce() -> u64) -> bool {
        let refused = self.is_full.load(Ordering::SeqCst) && end > size();
        self.refused_growth.fetch_add(u64::from(refused), Ordering::SeqCst);
        refused
    }

    pub(crate) fn refused_growth(&self) -> u64 {
        self.refused_growth.load(Ordering::SeqCst)
    }

    pub(crate) fn set_longest_sleep(&self, longest: Duration) {
        let us = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        self.longest_sleep_us.store(us, Ordering::Relaxed);
    }

    pub(crate) fn longest_sleep_us(&self) -> u64 {
        self.longest_sleep_us.load(Ordering::Relaxed)
    }

    pub(crate) fn set_only_counts_syncs(&self) {
        self.only_counts_syncs.store(true, Ordering::Relaxed);
    }

    pub(crate) fn only_counts_syncs(&self) -> bool {
        self.only_counts_syncs.load(Ordering::Relaxed)
    }

    fn armed(&self) -> MutexGuard<'_, Armed> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Flavour;

    fn refusals(fault: Fault, asked: &[(Op, FileKind)]) -> Vec<bool> {
        let state = State::new();
        state.arm(fault);
        asked.iter().map(|(op, file)| state.meet(*op, *file) != Act::Pass).collect()
    }

    #[test]
    fn a_fault_fires_at_the_nth_match_once_or_from_there_on() {
        let asked = [(Op::Write, FileKind::Wal), (Op::Write, FileKind::Database), (Op::Read, FileKind::Wal)];
        let asked: Vec<_> = asked.into_iter().cycle().take(9).collect();
        let second = Fault::first(Op::Write, Flavour::IoError).on(FileKind::Wal).at(2);
        let fired_at = |fault| -> Vec<usize> {
            refusals(fault, &asked).iter().enumerate().filter_map(|(at, yes)| yes.then_some(at)).collect()
        };
        assert_eq!(fired_at(second), [3]);
        assert_eq!(fired_at(second.sticky()), [3, 6]);
        assert_eq!(fired_at(Fault { file: None, ..second }), [1]);
        // Of every kind counts what the flavour fits.
        assert_eq!(
            fired_at(Fault { op: None, file: None, nth: 3, flavour: Flavour::Torn, sticky: false }),
            [3]
        );
    }

    #[test]
    fn of_several_faults_each_has_its_own_count_and_is_disarmed_alone() {
        let state = State::new();
        let first = state.arm(Fault::first(Op::Write, Flavour::IoError).sticky());
        let second = state.arm(Fault::first(Op::Write, Flavour::Full).at(2));
        let full = Flavour::Full.act(Op::Write);
        let eio = Flavour::IoError.act(Op::Write);
        // Both counted the first write; where two meet, the first that was armed counts.
        let acts: Vec<_> = (0..2).map(|_| state.meet(Op::Write, FileKind::Wal)).collect();
        assert_eq!(acts, [eio, eio]);
        assert_eq!((state.fired_by(first), state.fired_by(second), state.fired()), (2, 0, 2));
        state.disarm_one(first);
        let third = state.arm(Fault::first(Op::Write, Flavour::Full));
        assert_eq!(state.meet(Op::Write, FileKind::Wal), full);
        assert_eq!((state.fired_by(first), state.fired_by(third)), (2, 1));
    }

    #[test]
    fn a_count_is_kept_by_operation_and_file_and_a_firing_by_place() {
        let state = State::new();
        state.arm(Fault::first(Op::Sync, Flavour::Pretended));
        for file in [FileKind::Wal, FileKind::Wal, FileKind::Database] {
            state.meet(Op::Sync, file);
        }
        let counts = state.counts();
        assert_eq!(counts.of(Some(Op::Sync), Some(FileKind::Wal)), 2);
        assert_eq!(
            (counts.of(Some(Op::Sync), None), counts.total(), counts.of(Some(Op::Read), None)),
            (3, 3, 0)
        );
        assert_eq!((state.fired(), state.where_fired()), (1, vec![(Op::Sync, FileKind::Wal)]));
        assert!(state.wait_fired(1, Duration::ZERO) && !state.wait_fired(2, Duration::ZERO));
    }
}
