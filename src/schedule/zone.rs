//! Local time and instants: what the clock on a wall shows, including when it is set.
//!
//! Instants are seconds since 1970 in UTC; local times are counted as if the wall were in Greenwich.

use std::cell::Cell;

use chrono::{DateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

/// Longer than any clock was ever set at once (24 hours, in Alaska, Manila and Samoa) and than any offset from
/// UTC, and so short that no zone changes twice within three times as long.
pub(super) const LONGEST_CHANGE_S: i64 = 25 * 3_600;

/// What a local time means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Local {
    /// It comes once, at this instant.
    Once(i64),
    /// It comes twice, as the clock is set back between the two instants.
    Twice(i64, i64),
    /// It never comes, as the clock is set forward over it.
    Skipped(Jump),
}

/// A clock set forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Jump {
    /// The first instant after the jump.
    pub(super) at: i64,
    /// The first local time that is skipped.
    pub(super) from: i64,
    /// The first local time that is not skipped any more.
    pub(super) to: i64,
}

impl Jump {
    pub(super) fn length_s(&self) -> i64 {
        self.to - self.from
    }
}

/// Local time minus UTC at the instant `utc`, in seconds.
pub(super) fn offset_at(zone: Tz, utc: i64) -> i64 {
    if zone == Tz::UTC { 0 } else { Week::of(zone, utc).offset_at(utc) }
}

/// What the local time `wall` means.
pub(super) fn resolve(zone: Tz, wall: i64) -> Local {
    let (earlier, later) = (wall - LONGEST_CHANGE_S, wall + LONGEST_CHANGE_S);
    let (old, new) = (offset_at(zone, earlier), offset_at(zone, later));
    if old == new {
        return Local::Once(wall - old);
    }
    let change = change_between(zone, earlier, later);
    match (wall - old < change, wall - new >= change) {
        (true, true) => Local::Twice(wall - old, wall - new),
        (true, false) => Local::Once(wall - old),
        (false, true) => Local::Once(wall - new),
        (false, false) => Local::Skipped(Jump { at: change, from: change + old, to: change + new }),
    }
}

/// The first instant with the offset of `until`, where the one change of offset lies in (`after`, `until`].
pub(super) fn change_between(zone: Tz, after: i64, until: i64) -> i64 {
    bisect(after, until, offset_at(zone, until), |utc| offset_at(zone, utc))
}

/// The instants in (`after`, `until`] at which the clock is set, in either direction; some three centuries of
/// them at most, which is more than the zone database knows.
pub(super) fn changes(zone: Tz, after: i64, until: i64) -> impl Iterator<Item = i64> {
    const MOST_STEPS: usize = 20_000;
    let step = move |from: i64| Some(from.saturating_add(1 << WEEK_BITS).min(until)).filter(|to| *to > from);
    let most_steps = if zone == Tz::UTC { 0 } else { MOST_STEPS };
    std::iter::successors(Some(after), move |&from| step(from)).take(most_steps).filter_map(move |from| {
        let to = step(from)?;
        (offset_at(zone, to) != offset_at(zone, from)).then(|| change_between(zone, from, to))
    })
}

fn bisect(mut old: i64, mut found: i64, new: i64, offset_at: impl Fn(i64) -> i64) -> i64 {
    while found - old > 1 {
        let middle = old + (found - old) / 2;
        if offset_at(middle) == new { found = middle } else { old = middle }
    }
    found
}

/// Weeks of 2¹⁹ seconds, a little over six days: shorter than the time between any two changes of a zone, so
/// that each holds one change at most.
const WEEK_BITS: u32 = 19;
/// Remembered weeks of each thread: four years of one zone, or the present of many.
const WEEKS: usize = 256;

thread_local! {
    /// The zone database answers in some 30 ns, half of what all else of an answer takes; this memory in 3.
    static REMEMBERED: [Cell<Option<Week>>; WEEKS] = const { [const { Cell::new(None) }; WEEKS] };
}

/// What a zone's clock does in one week.
#[derive(Clone, Copy)]
struct Week {
    zone: Tz,
    number: i64,
    offset: i32,
    /// The offset from `change` on.
    new_offset: i32,
    change: i64,
}

impl Week {
    fn of(zone: Tz, utc: i64) -> Self {
        let number = utc >> WEEK_BITS;
        // Neighbouring weeks of a zone have places of their own; zones start at different ones.
        let place = (number.cast_unsigned() as usize).wrapping_add((zone as usize).wrapping_mul(37)) % WEEKS;
        REMEMBERED.with(|remembered| {
            let Some(place) = remembered.get(place) else {
                return Self::look_up(zone, number);
            };
            match place.get() {
                Some(week) if week.number == number && week.zone == zone => week,
                _ => {
                    let week = Self::look_up(zone, number);
                    place.set(Some(week));
                    week
                }
            }
        })
    }

    fn look_up(zone: Tz, number: i64) -> Self {
        let first = number << WEEK_BITS;
        let last = first + (1 << WEEK_BITS) - 1;
        let (offset, new_offset) = (database_offset(zone, first), database_offset(zone, last));
        let change = if offset == new_offset {
            last
        } else {
            bisect(first, last, i64::from(new_offset), |utc| i64::from(database_offset(zone, utc)))
        };
        Self { zone, number, offset, new_offset, change }
    }

    fn offset_at(&self, utc: i64) -> i64 {
        i64::from(if utc < self.change { self.offset } else { self.new_offset })
    }
}

/// What the zone database says; beyond the dates that can be shown, what it says at the last of them.
fn database_offset(zone: Tz, utc: i64) -> i32 {
    let utc = utc.clamp(DateTime::<Utc>::MIN_UTC.timestamp(), DateTime::<Utc>::MAX_UTC.timestamp());
    DateTime::from_timestamp(utc, 0)
        .map_or(0, |utc| zone.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc())
}

#[cfg(test)]
mod tests {
    use chrono::{LocalResult, NaiveDateTime};
    use chrono_tz::TZ_VARIANTS;

    use super::*;

    /// Every change of every zone since standard time began, found in steps of twelve hours.
    fn all_changes(zone: Tz) -> Vec<i64> {
        const FIRST: i64 = -4_000_000_000; // 1843
        const LAST: i64 = 4_102_444_800; // 2100
        let mut changes = Vec::new();
        let mut from = FIRST;
        while from < LAST {
            let to = from + 12 * 3_600;
            let new = database_offset(zone, to);
            if database_offset(zone, from) != new {
                changes.push(bisect(from, to, i64::from(new), |at| i64::from(database_offset(zone, at))));
            }
            from = to;
        }
        changes
    }

    fn naive(wall: i64) -> NaiveDateTime {
        DateTime::from_timestamp(wall, 0).unwrap().naive_utc()
    }

    /// The one assumption about zones in this file, and the answers that rest on it, around every change.
    #[test]
    fn no_zone_changes_twice_in_a_week_and_local_times_resolve_as_the_database_says() {
        let mut seen = 0;
        for &zone in TZ_VARIANTS.iter().step_by(3) {
            let changes = all_changes(zone);
            for pair in changes.windows(2) {
                assert!(pair[1] - pair[0] > 1 << WEEK_BITS, "{zone} changes twice in a week");
            }
            for change in changes {
                seen += 1;
                let size = offset_at(zone, change) - offset_at(zone, change - 1);
                assert!(size.abs() < LONGEST_CHANGE_S, "{zone} is set by more than a day");
                for near in [-90_000, -7_200, -3_600, -1_800, -1, 0, 1, 1_800, 3_600, 7_200, 90_000] {
                    let at = change + near;
                    assert_eq!(offset_at(zone, at), i64::from(database_offset(zone, at)), "{zone} at {at}");
                    let wall = change + offset_at(zone, change) + near;
                    let told = match resolve(zone, wall) {
                        Local::Once(at) => LocalResult::Single(at),
                        Local::Twice(first, second) => LocalResult::Ambiguous(first, second),
                        Local::Skipped(_) => LocalResult::None,
                    };
                    let local = zone.from_local_datetime(&naive(wall)).map(|at| at.timestamp());
                    assert_eq!(told, local, "{zone} at local {}", naive(wall));
                }
            }
        }
        assert!(seen > 20_000, "only {seen} changes");
    }

    #[test]
    fn a_jump_says_from_where_to_where() {
        let zone = chrono_tz::Europe::Berlin;
        let at = |text: &str| text.parse::<NaiveDateTime>().unwrap().and_utc().timestamp();
        let jump = Jump {
            at: at("2026-03-29T01:00:00"),
            from: at("2026-03-29T02:00:00"),
            to: at("2026-03-29T03:00:00"),
        };
        assert_eq!(resolve(zone, at("2026-03-29T02:30:00")), Local::Skipped(jump));
        assert_eq!(
            changes(zone, at("2026-01-01T00:00:00"), at("2026-07-01T00:00:00")).collect::<Vec<_>>(),
            [jump.at]
        );
    }
}
