//! Local time and instants: what one clock on the wall shows, including when it is moved.

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::{GapInfo, Tz};

/// Longer than any clock was ever set back or forward at once (24 hours, in Alaska, Manila and Samoa), and
/// shorter than the time between any two changes of one zone since standard time began.
pub(super) const LONGEST_CHANGE: TimeDelta = TimeDelta::hours(25);

/// What a local time means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Local {
    /// It comes once, at this instant.
    Once(NaiveDateTime),
    /// It comes twice, as the clock is set back between the two instants.
    Twice(NaiveDateTime, NaiveDateTime),
    /// It never comes, as the clock is set forward over it.
    Skipped(Jump),
    /// It is outside of what can be computed with.
    Unknown,
}

/// A clock set forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Jump {
    /// The first instant after the jump, in UTC.
    pub(super) at: NaiveDateTime,
    /// The first local time that is skipped.
    pub(super) from: NaiveDateTime,
    /// The first local time that is not skipped any more.
    pub(super) to: NaiveDateTime,
}

impl Jump {
    pub(super) fn length(&self) -> TimeDelta {
        self.to.signed_duration_since(self.from)
    }
}

/// The local time minus UTC at the instant `utc`.
pub(super) fn offset_at(zone: Tz, utc: NaiveDateTime) -> TimeDelta {
    if zone == Tz::UTC {
        return TimeDelta::zero();
    }
    seconds(&zone.offset_from_utc_datetime(&utc))
}

/// The local time at the instant `utc`.
pub(super) fn local_at(zone: Tz, utc: NaiveDateTime) -> Option<NaiveDateTime> {
    utc.checked_add_signed(offset_at(zone, utc))
}

/// What the local time `wall` means.
pub(super) fn resolve(zone: Tz, wall: NaiveDateTime) -> Local {
    if zone == Tz::UTC {
        return Local::Once(wall);
    }
    let found = match zone.offset_from_local_datetime(&wall) {
        LocalResult::Single(offset) => wall.checked_sub_signed(seconds(&offset)).map(Local::Once),
        LocalResult::Ambiguous(first, second) => wall
            .checked_sub_signed(seconds(&first))
            .zip(wall.checked_sub_signed(seconds(&second)))
            .map(|(first, second)| Local::Twice(first, second)),
        LocalResult::None => jump_over(zone, wall).map(Local::Skipped),
    };
    found.unwrap_or(Local::Unknown)
}

fn jump_over(zone: Tz, wall: NaiveDateTime) -> Option<Jump> {
    let (from, before) = GapInfo::new(&wall, &zone)?.begin?;
    let at = from.checked_sub_signed(seconds(&before))?;
    Some(Jump { at, from, to: local_at(zone, at)? })
}

/// The first instant of the last change of offset in (`after`, `until`], where the offsets at both ends differ.
pub(super) fn change_between(zone: Tz, after: NaiveDateTime, until: NaiveDateTime) -> NaiveDateTime {
    let new = offset_at(zone, until);
    let (mut old_end, mut new_start) = (after.and_utc().timestamp(), until.and_utc().timestamp());
    while new_start - old_end > 1 {
        let middle = old_end + (new_start - old_end) / 2;
        let offset = DateTime::from_timestamp(middle, 0).map(|at| offset_at(zone, at.naive_utc()));
        if offset == Some(new) { new_start = middle } else { old_end = middle }
    }
    DateTime::from_timestamp(new_start, 0).map_or(until, |at| at.naive_utc())
}

/// The instants in (`after`, `until`] at which the clock is set forward; at most some thirty years of them.
pub(super) fn jumps(
    zone: Tz,
    after: NaiveDateTime,
    until: NaiveDateTime,
) -> impl Iterator<Item = NaiveDateTime> {
    const MOST_DAYS: usize = 10_000;
    let step = move |from: &NaiveDateTime| {
        from.checked_add_signed(LONGEST_CHANGE).map(|to| to.min(until)).filter(|to| to > from)
    };
    std::iter::successors(Some(after), step).take(MOST_DAYS).filter_map(move |from| {
        let to = step(&from)?;
        let forward = offset_at(zone, to) > offset_at(zone, from);
        forward.then(|| change_between(zone, from, to))
    })
}

fn seconds(offset: &impl Offset) -> TimeDelta {
    TimeDelta::seconds(i64::from(offset.fix().local_minus_utc()))
}
