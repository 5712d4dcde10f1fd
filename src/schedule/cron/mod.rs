//! Crontab lines: parsed by us, computed by the `cron` crate as a clock on the wall, carried to instants by us.
//!
//! The rule at clock changes is that of Vixie's cron. A *fixed* job (neither its minute nor its hour starts
//! with `*`) fires at the first instant of each matching local minute, and once right after a jump of up to
//! three hours over one or more of them. A *wild* job fires at each instant whose local minute matches.

mod days;
mod parse;
mod wall;
mod words;

use chrono::{NaiveDateTime, TimeDelta};
use chrono_tz::Tz;

use self::wall::Wall;
use super::zone::{self, LONGEST_CHANGE, Local};
use super::{Gap, ScheduleError};

/// A longer jump is no clock change but a skipped date: what it leaps over is not made up for.
const LONGEST_MADE_UP_JUMP: TimeDelta = TimeDelta::hours(3);
/// An occurrence that does not exist in its zone is passed over; so many in a row, and none is left to find.
/// (Ten jumps of one kind a century, each crossed in one step, are the worst that real zones have.)
const MOST_PASSED_OVER: usize = 1_000;
const A_MOMENT: TimeDelta = TimeDelta::milliseconds(1);

/// A parsed expression, independent of any zone.
#[derive(Clone, Debug)]
pub(super) struct Cron {
    text: String,
    fields: parse::Fields,
    wall: Wall,
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Cron {
    pub(super) fn parse(text: &str) -> Result<Self, ScheduleError> {
        let fields = parse::parse(text)?;
        let never = || ScheduleError::NeverFires { expression: text.to_owned() };
        // The engine's text is made of numbers that it knows; were it refused, nothing could fire.
        let wall = Wall::new(&fields).map_err(|_refused| never())?.ok_or_else(never)?;
        Ok(Self { text: text.to_owned(), fields, wall })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the clock on the wall shows a time that matches.
    pub(super) fn matches_wall(&self, local: NaiveDateTime) -> bool {
        self.wall.at_or_after(local) == Some(local)
    }

    /// The first occurrence after the instant `after`, all in UTC.
    pub(super) fn next_after(&self, zone: Tz, gap: Gap, after: NaiveDateTime) -> Option<NaiveDateTime> {
        if zone == Tz::UTC {
            return self.wall.at_or_after(after.checked_add_signed(A_MOMENT)?);
        }
        if self.fields.wild { self.next_wild(zone, after) } else { self.next_fixed(zone, gap, after) }
    }

    /// The last occurrence before the instant `before`, all in UTC.
    pub(super) fn previous_before(&self, zone: Tz, gap: Gap, before: NaiveDateTime) -> Option<NaiveDateTime> {
        if zone == Tz::UTC {
            return self.wall.before(before);
        }
        if self.fields.wild {
            self.previous_wild(zone, before)
        } else {
            self.previous_fixed(zone, gap, before)
        }
    }

    fn next_fixed(&self, zone: Tz, gap: Gap, after: NaiveDateTime) -> Option<NaiveDateTime> {
        let mut from = zone::local_at(zone, after)?.checked_add_signed(A_MOMENT)?;
        for _ in 0..MOST_PASSED_OVER {
            let wall = self.wall.at_or_after(from)?;
            match zone::resolve(zone, wall) {
                Local::Once(at) => return Some(at),
                Local::Twice(first, _) if first > after => return Some(first),
                // Asked in the second pass: all that is repeated has fired in the first.
                Local::Twice(first, second) => from = end_of_first_pass(zone, first, second)?,
                Local::Skipped(jump) if gap == Gap::RunAfter && jump.length() <= LONGEST_MADE_UP_JUMP => {
                    return Some(jump.at);
                }
                Local::Skipped(jump) => from = jump.to,
                Local::Unknown => return None,
            }
        }
        None
    }

    fn previous_fixed(&self, zone: Tz, gap: Gap, before: NaiveDateTime) -> Option<NaiveDateTime> {
        let mut to = shown_until(zone, before)?;
        for _ in 0..MOST_PASSED_OVER {
            match zone::resolve(zone, self.wall.before(to)?) {
                Local::Once(at) | Local::Twice(at, _) => return Some(at),
                Local::Skipped(jump) if gap == Gap::RunAfter && jump.length() <= LONGEST_MADE_UP_JUMP => {
                    return Some(jump.at);
                }
                Local::Skipped(jump) => to = jump.from,
                Local::Unknown => return None,
            }
        }
        None
    }

    fn next_wild(&self, zone: Tz, after: NaiveDateTime) -> Option<NaiveDateTime> {
        let offset = zone::offset_at(zone, after);
        let from = after.checked_add_signed(offset)?.checked_add_signed(A_MOMENT)?;
        let found = self.first_wild(zone, after, from)?;
        let soon = after.checked_add_signed(LONGEST_CHANGE)?;
        if found <= soon && zone::offset_at(zone, found) == offset {
            return Some(found);
        }
        // If the clock is about to be set back, local times that have passed come again before that.
        let offset_soon = zone::offset_at(zone, soon);
        if offset_soon >= offset {
            return Some(found);
        }
        let change = zone::change_between(zone, after, soon);
        if found < change {
            return Some(found);
        }
        self.first_wild(zone, change.checked_sub_signed(A_MOMENT)?, change.checked_add_signed(offset_soon)?)
    }

    /// The first instant after `after` whose local time matches and is at `from` or later.
    fn first_wild(&self, zone: Tz, after: NaiveDateTime, mut from: NaiveDateTime) -> Option<NaiveDateTime> {
        for _ in 0..MOST_PASSED_OVER {
            match zone::resolve(zone, self.wall.at_or_after(from)?) {
                Local::Twice(first, second) => return Some(if first > after { first } else { second }),
                Local::Once(at) => return Some(at),
                Local::Skipped(jump) => from = jump.to,
                Local::Unknown => return None,
            }
        }
        None
    }

    fn previous_wild(&self, zone: Tz, before: NaiveDateTime) -> Option<NaiveDateTime> {
        let offset = zone::offset_at(zone, before.checked_sub_signed(A_MOMENT)?);
        let found = self.last_wild(zone, before, before.checked_add_signed(offset)?);
        let recently = before.checked_sub_signed(LONGEST_CHANGE)?;
        let offset_then = zone::offset_at(zone, recently);
        if offset_then <= offset {
            return found;
        }
        // The clock was just set back: before the second pass comes the end of the first.
        let change = zone::change_between(zone, recently, before.checked_sub_signed(A_MOMENT)?);
        match found {
            Some(found) if found >= change => Some(found),
            _ => self.last_wild(zone, change, change.checked_add_signed(offset_then)?),
        }
    }

    /// The last instant before `before` whose local time matches and is before `to`.
    fn last_wild(&self, zone: Tz, before: NaiveDateTime, mut to: NaiveDateTime) -> Option<NaiveDateTime> {
        for _ in 0..MOST_PASSED_OVER {
            match zone::resolve(zone, self.wall.before(to)?) {
                Local::Twice(first, second) => return Some(if second < before { second } else { first }),
                Local::Once(at) => return Some(at),
                Local::Skipped(jump) => to = jump.from,
                Local::Unknown => return None,
            }
        }
        None
    }
}

/// The local time up to which the clock has shown everything just before the instant `before`.
fn shown_until(zone: Tz, before: NaiveDateTime) -> Option<NaiveDateTime> {
    let just_before = before.checked_sub_signed(A_MOMENT)?;
    let offset = zone::offset_at(zone, just_before);
    let local = before.checked_add_signed(offset)?;
    let recently = before.checked_sub_signed(LONGEST_CHANGE)?;
    let offset_then = zone::offset_at(zone, recently);
    if offset_then <= offset {
        return Some(local);
    }
    let change = zone::change_between(zone, recently, just_before);
    Some(local.max(change.checked_add_signed(offset_then)?))
}

/// The local time at which the clock was set back, where a local time comes at `first` and again at `second`.
fn end_of_first_pass(zone: Tz, first: NaiveDateTime, second: NaiveDateTime) -> Option<NaiveDateTime> {
    zone::change_between(zone, first, second).checked_add_signed(zone::offset_at(zone, first))
}
