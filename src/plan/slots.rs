//! A schedule's occurrences together with those that are left out: finding, counting and grouping them.

use super::{Miss, MissReason};
use crate::schedule::{Calendar, Schedule};
use crate::time::Timestamp;

/// Stretches that a calendar leaves out are passed over one by one up to here: a day at a time, eleven years.
const MOST_STRETCHES: usize = 4_096;
/// The rows that one range with exclusions inside is split into; what is left goes into a last, inexact one.
const MOST_ROWS: usize = 64;

/// The occurrences of a schedule, allowed and left out.
pub(super) struct Slots<'a> {
    /// The schedule as declared: passes over local times that the clocks jump over, if it is told to.
    declared: &'a Schedule,
    /// The same with those made up for, if there are any.
    with_gaps: Option<Schedule>,
    calendar: Option<&'a Calendar>,
}

impl<'a> Slots<'a> {
    pub(super) fn new(declared: &'a Schedule, calendar: Option<&'a Calendar>) -> Self {
        Self { declared, with_gaps: declared.with_gaps_made_up(), calendar }
    }

    /// The first occurrence after `after` that is not left out.
    pub(super) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let mut slot = self.declared.next_slot(after)?;
        for _ in 0..MOST_STRETCHES {
            match self.calendar {
                Some(calendar) if calendar.excludes(slot) => {
                    slot = self.declared.next_slot(before(calendar.unchanged_until(slot)?))?;
                }
                _ => return Some(slot),
            }
        }
        None
    }

    /// The last occurrence before `end` that is not left out.
    pub(super) fn previous(&self, end: Timestamp) -> Option<Timestamp> {
        let mut slot = self.declared.previous_slot(end)?;
        for _ in 0..MOST_STRETCHES {
            match self.calendar {
                Some(calendar) if calendar.excludes(slot) => {
                    slot = self.declared.previous_slot(calendar.unchanged_since(slot)?)?;
                }
                _ => return Some(slot),
            }
        }
        None
    }

    /// The last occurrence at `at` or before that is not left out.
    pub(super) fn at_or_before(&self, at: Timestamp) -> Option<Timestamp> {
        self.previous(after(at))
    }

    /// The last occurrence at `due` or before, given that `first` is one.
    pub(super) fn latest_from(&self, first: Timestamp, due: Timestamp) -> Timestamp {
        self.at_or_before(due).map_or(first, |latest| latest.max(first))
    }

    /// The last occurrence before `slot`, left out or not.
    pub(super) fn any_before(&self, slot: Timestamp) -> Option<Timestamp> {
        self.all().previous_slot(slot)
    }

    /// The first occurrence after `slot`, left out or not.
    pub(super) fn any_after(&self, slot: Timestamp) -> Option<Timestamp> {
        self.all().next_slot(slot)
    }

    /// Whether the occurrence `slot` is left out.
    pub(super) fn excludes(&self, slot: Timestamp) -> bool {
        self.calendar.is_some_and(|calendar| calendar.excludes(slot)) || self.is_skipped_gap(slot)
    }

    /// The occurrences from `first` to `last`, both of them occurrences, as rows of the ledger: those allowed
    /// under `reason`, those left out as such.
    pub(super) fn misses(&self, first: Timestamp, last: Timestamp, reason: MissReason) -> Vec<Miss> {
        let mut rows = Vec::new();
        let mut start = Some(first).filter(|first| *first <= last);
        while let Some(from) = start {
            let excluded = self.excludes(from);
            let other = if excluded { self.next(from) } else { self.next_excluded(from, last) };
            let to = match other.filter(|other| *other <= last && rows.len() < MOST_ROWS) {
                Some(other) => self.all().previous_slot(other).unwrap_or(from).max(from),
                None => last,
            };
            let mut row = self.count(from, to, if excluded { MissReason::Excluded } else { reason });
            row.exact &= rows.len() < MOST_ROWS || other.is_none_or(|other| other > last);
            rows.push(row);
            start = if to < last { self.all().next_slot(to) } else { None };
        }
        rows
    }

    /// The occurrences left out that lead up to `slot`, back to the one before that was not left out, or to
    /// `floor`: they are on record from the moment when `slot` is settled.
    pub(super) fn leading(&self, slot: Timestamp, floor: Timestamp) -> Option<Miss> {
        let last = self.all().previous_slot(slot).filter(|&last| last > floor && self.excludes(last))?;
        let settled = self.previous(slot).map_or(floor, |previous| previous.max(floor));
        let first = self.all().next_slot(settled)?;
        Some(self.count(first, last, MissReason::Excluded))
    }

    /// The occurrences left out after `slot`, up to `end`.
    pub(super) fn trailing(&self, slot: Timestamp, end: Timestamp) -> Option<Miss> {
        let first = self.all().next_slot(slot).filter(|first| *first <= end)?;
        let last = self.all().previous_slot(after(end))?;
        Some(self.count(first, last, MissReason::Excluded))
    }

    /// The part of a row up to `end`, which is within it.
    pub(super) fn shortened(&self, miss: &Miss, end: Timestamp) -> Miss {
        let to = self.all().previous_slot(after(end)).map_or(miss.from, |last| last.max(miss.from));
        self.part(miss, miss.from, to)
    }

    /// The part of a row from one of its occurrences to another.
    pub(super) fn part(&self, miss: &Miss, from: Timestamp, to: Timestamp) -> Miss {
        let part = self.count(from, to, miss.reason);
        Miss { exact: part.exact && miss.exact, ..part }
    }

    /// The part up to `end` of what leads up to `slot`, back to `floor`.
    pub(super) fn passed_exclusions(
        &self,
        slot: Timestamp,
        floor: Timestamp,
        end: Timestamp,
    ) -> Option<Miss> {
        let leading = self.leading(slot, floor).filter(|leading| leading.from <= end)?;
        let last = self.all().previous_slot(after(end))?;
        Some(self.count(leading.from, last.min(leading.to), MissReason::Excluded))
    }

    /// The first instant from `at` on that the calendar does not exclude.
    pub(super) fn put_off(&self, mut at: Timestamp) -> Option<Timestamp> {
        let Some(calendar) = self.calendar else {
            return Some(at);
        };
        for _ in 0..MOST_STRETCHES {
            if !calendar.excludes(at) {
                return Some(at);
            }
            at = calendar.unchanged_until(at)?;
        }
        None
    }

    /// Every occurrence, those left out included.
    fn all(&self) -> &Schedule {
        self.with_gaps.as_ref().unwrap_or(self.declared)
    }

    /// Whether it is one that the clocks jumped over and the schedule does not make up for.
    fn is_skipped_gap(&self, slot: Timestamp) -> bool {
        self.with_gaps.is_some() && self.declared.next_slot(before(slot)) != Some(slot)
    }

    /// The first occurrence after `from` that is left out, up to `last`.
    fn next_excluded(&self, from: Timestamp, last: Timestamp) -> Option<Timestamp> {
        let by_gap = self.with_gaps.as_ref().and_then(|all| {
            let is_slot = |at: &Timestamp| all.next_slot(before(*at)) == Some(*at);
            all.clock_changes(from, last).find(|at| is_slot(at) && self.is_skipped_gap(*at))
        });
        let by_calendar = self.next_excluded_by_calendar(from, last);
        match (by_gap, by_calendar) {
            (Some(gap), Some(calendar)) => Some(gap.min(calendar)),
            (gap, calendar) => gap.or(calendar),
        }
    }

    fn next_excluded_by_calendar(&self, from: Timestamp, last: Timestamp) -> Option<Timestamp> {
        let calendar = self.calendar?;
        let mut slot = self.all().next_slot(from)?;
        for _ in 0..MOST_STRETCHES {
            if slot > last {
                return None;
            }
            if calendar.excludes(slot) {
                return Some(slot);
            }
            slot = self.all().next_slot(before(calendar.unchanged_until(slot)?))?;
        }
        None
    }

    /// One row for all occurrences from `from`, which is one, to `to`.
    fn count(&self, from: Timestamp, to: Timestamp, reason: MissReason) -> Miss {
        // `from` counts even if the schedule does not name it any more: the row named it.
        let further = self.all().count_slots(from, to);
        let occurrences = further.unwrap_or(u64::from(to > from)).saturating_add(1);
        Miss { from, to, occurrences, exact: further.is_some(), reason }
    }
}

fn before(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.millis().saturating_sub(1))
}

fn after(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.millis().saturating_add(1))
}
