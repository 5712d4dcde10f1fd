//! Crontab lines: parsed by us, days by arithmetic, times of day by the `cron` crate, carried to instants by us.
//!
//! The rule at clock changes is that of Vixie's cron. A *fixed* job (neither its minute nor its hour starts
//! with `*`) fires at the first instant of each matching local minute, and once right after a jump of up to
//! three hours over one or more of them. A *wild* job fires at each instant whose local minute matches.

mod count;
mod days;
mod parse;
mod wall;
mod words;

use std::fmt;

use chrono_tz::Tz;

use self::wall::Wall;
use super::zone::{self, LONGEST_CHANGE_S, Local};
use super::{Gap, ScheduleError};

/// A longer jump is no clock change but a skipped date: what it leaps over is not made up for.
const LONGEST_MADE_UP_JUMP_S: i64 = 3 * 3_600;
/// An occurrence that does not exist in its zone is passed over; so many in a row, and none is left to find.
/// (Clocks that were set on the one day of the year that a line names, year after year, need some dozens.)
const MOST_PASSED_OVER: usize = 1_000;

/// A parsed expression, independent of any zone.
#[derive(Clone)]
pub(super) struct Cron {
    text: String,
    fields: parse::Fields,
    wall: Wall,
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
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
    pub(super) fn matches_wall(&self, wall: i64) -> bool {
        self.wall.after(wall - 1) == Some(wall)
    }

    /// The first occurrence after the instant `after`, both in seconds.
    pub(super) fn next_after(&self, zone: Tz, gap: Gap, after: i64) -> Option<i64> {
        if zone == Tz::UTC {
            return self.wall.after(after);
        }
        if self.fields.wild { self.next_wild(zone, after) } else { self.next_fixed(zone, gap, after) }
    }

    /// The last occurrence before the instant `before`, both in seconds.
    pub(super) fn previous_before(&self, zone: Tz, gap: Gap, before: i64) -> Option<i64> {
        if zone == Tz::UTC {
            return self.wall.before(before);
        }
        if self.fields.wild {
            self.previous_wild(zone, before)
        } else {
            self.previous_fixed(zone, gap, before)
        }
    }

    fn next_fixed(&self, zone: Tz, gap: Gap, after: i64) -> Option<i64> {
        let mut wall = after + zone::offset_at(zone, after);
        for _ in 0..MOST_PASSED_OVER {
            match zone::resolve(zone, self.wall.after(wall)?) {
                Local::Once(at) => return Some(at),
                Local::Twice(first, _) if first > after => return Some(first),
                // Asked in the second pass: all that is repeated has fired in the first.
                Local::Twice(first, second) => wall = end_of_first_pass(zone, first, second) - 1,
                Local::Skipped(jump) if made_up(gap, jump) => return Some(jump.at),
                Local::Skipped(jump) => wall = jump.to - 1,
            }
        }
        None
    }

    fn previous_fixed(&self, zone: Tz, gap: Gap, before: i64) -> Option<i64> {
        let mut wall = shown_until(zone, before);
        for _ in 0..MOST_PASSED_OVER {
            match zone::resolve(zone, self.wall.before(wall)?) {
                Local::Once(at) | Local::Twice(at, _) => return Some(at),
                Local::Skipped(jump) if made_up(gap, jump) => return Some(jump.at),
                Local::Skipped(jump) => wall = jump.from,
            }
        }
        None
    }

    fn next_wild(&self, zone: Tz, after: i64) -> Option<i64> {
        let offset = zone::offset_at(zone, after);
        let wall = self.wall.after(after + offset)?;
        let (found, soon) = (wall - offset, after + LONGEST_CHANGE_S);
        if found <= soon && zone::offset_at(zone, found) == offset {
            return Some(found);
        }
        // If the clock is about to be set back, local times that have passed come again.
        let offset_soon = zone::offset_at(zone, soon);
        if offset_soon < offset {
            let change = zone::change_between(zone, after, soon);
            if found < change {
                return Some(found);
            }
            return self.first_wild(zone, change - 1, self.wall.after(change + offset_soon - 1)?);
        }
        self.first_wild(zone, after, wall)
    }

    /// The first instant after `after` that shows `wall`, a match, or the next match after it that exists.
    fn first_wild(&self, zone: Tz, after: i64, mut wall: i64) -> Option<i64> {
        for _ in 0..MOST_PASSED_OVER {
            match zone::resolve(zone, wall) {
                Local::Once(at) => return Some(at),
                Local::Twice(first, second) => return Some(if first > after { first } else { second }),
                Local::Skipped(jump) => wall = self.wall.after(jump.to - 1)?,
            }
        }
        None
    }

    fn previous_wild(&self, zone: Tz, before: i64) -> Option<i64> {
        let offset = zone::offset_at(zone, before - 1);
        let wall = self.wall.before(before + offset)?;
        let (found, recently) = (wall - offset, before - LONGEST_CHANGE_S);
        if found >= recently && zone::offset_at(zone, found) == offset {
            return Some(found);
        }
        // If the clock was just set back, the end of the first pass comes before the second.
        let offset_then = zone::offset_at(zone, recently);
        if offset_then > offset {
            let change = zone::change_between(zone, recently, before - 1);
            if found >= change {
                return Some(found);
            }
            return self.last_wild(zone, change, self.wall.before(change + offset_then)?);
        }
        self.last_wild(zone, before, wall)
    }

    /// The last instant before `before` that shows `wall`, a match, or the next earlier match that exists.
    fn last_wild(&self, zone: Tz, before: i64, mut wall: i64) -> Option<i64> {
        for _ in 0..MOST_PASSED_OVER {
            match zone::resolve(zone, wall) {
                Local::Once(at) => return Some(at),
                Local::Twice(first, second) => return Some(if second < before { second } else { first }),
                Local::Skipped(jump) => wall = self.wall.before(jump.from)?,
            }
        }
        None
    }
}

/// Whether a fixed time in this jump runs right after it.
fn made_up(gap: Gap, jump: zone::Jump) -> bool {
    gap == Gap::RunAfter && jump.length_s() <= LONGEST_MADE_UP_JUMP_S
}

/// The local time up to which the clock has shown everything just before the instant `before`: what it shows
/// then, or more if it was set back a short while ago.
fn shown_until(zone: Tz, before: i64) -> i64 {
    let recently = before - LONGEST_CHANGE_S;
    let (offset_then, offset) = (zone::offset_at(zone, recently), zone::offset_at(zone, before - 1));
    if offset_then <= offset {
        return before + offset;
    }
    let change = zone::change_between(zone, recently, before - 1);
    (before + offset).max(change + offset_then)
}

/// The local time at which the clock was set back, where a local time comes at `first` and again at `second`.
fn end_of_first_pass(zone: Tz, first: i64, second: i64) -> i64 {
    zone::change_between(zone, first, second) + zone::offset_at(zone, first)
}
