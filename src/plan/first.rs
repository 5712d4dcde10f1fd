//! Where a job begins: a schedule that was just written, a row that lost its next time, a past range on request.

use super::{Next, Position, before};
use crate::schedule::ScheduleKind;
use crate::time::Timestamp;

/// The first occurrence of a schedule that was just written: it has no past, so a recurring one begins after
/// `now`. A one-shot has its instant, even one that has passed.
pub fn first(position: &Position<'_>, now: Timestamp) -> Option<Next> {
    if position.is_used_up(0) {
        return None;
    }
    match position.schedule.kind() {
        ScheduleKind::At => position.one_shot(now),
        ScheduleKind::AfterEach => position.after_each(now),
        ScheduleKind::Every | ScheduleKind::Cron => position.slots().next(now),
    }
    .map(|slot| position.next(slot))
}

/// The next occurrence of a job whose row lost it (edited by hand, or restored), from the last occurrence that
/// was run or missed. It may lie in the past; the claim then applies the catch-up.
pub fn repaired(position: &Position<'_>, last: Option<Timestamp>, now: Timestamp) -> Option<Next> {
    if position.is_used_up(0) {
        return None;
    }
    match position.schedule.kind() {
        ScheduleKind::At => position.one_shot(now).filter(|at| last.is_none_or(|last| last < *at)),
        ScheduleKind::AfterEach => position.after_each(now),
        ScheduleKind::Every | ScheduleKind::Cron => {
            position.slots().next(last.map_or(position.activated_at, |last| last.max(position.activated_at)))
        }
    }
    .map(|slot| position.next(slot))
}

/// The occurrence after `scheduled_for`; `None` if there is none, or if the end of a run decides.
pub fn following(position: &Position<'_>, scheduled_for: Timestamp) -> Option<Next> {
    if !position.is_on_a_grid() || position.is_used_up(0) {
        return None;
    }
    position.slots().next(scheduled_for).map(|slot| position.next(slot))
}

/// What comes after another attempt at the occurrence of `position`: what the row has kept for it. A row that has lost
/// it, or was edited by hand, goes on with the occurrence after the one that is tried again.
pub fn after_attempt(position: &Position<'_>, kept: Option<Next>) -> Option<Next> {
    kept.or_else(|| following(position, position.scheduled_for?))
}

/// The occurrences of a past range that a backfill runs, in order, at most `limit`: both ends included, what
/// a calendar leaves out left out.
pub fn backfill(position: &Position<'_>, from: Timestamp, to: Timestamp, limit: usize) -> Vec<Timestamp> {
    let slots = position.slots();
    std::iter::successors(slots.next(before(from)), |&last| slots.next(last))
        .take_while(|slot| *slot <= to)
        .take(limit)
        .collect()
}
