//! What a clock that was set back undoes.

use super::{Miss, MissReason, Next, Position};
use crate::schedule::ScheduleKind;
use crate::time::Timestamp;

/// What the next occurrence is once the clock was found to have been set back to `now`: without this, a job
/// whose occurrences a wrong clock had run ahead of would wait until the old time comes round.
///
/// `has_run` tells whether an occurrence after `now` has a run already; it gets no second one. Before asking,
/// take back ([`taken_back`]) the misses that are ahead again, and bring `activated_at` back to `now` if it is
/// later. A claim that later meets an occurrence with a run goes on with [`repaired`](super::repaired) after
/// it. A one-shot keeps its instant.
pub fn on_clock_set_back(
    position: &Position<'_>,
    now: Timestamp,
    has_run: impl Fn(Timestamp) -> bool,
) -> Option<Next> {
    /// Runs of the time that comes again are passed over one by one; a day of seconds is worth no more.
    const MOST_PASSED_OVER: usize = 10_000;
    let pending = position.scheduled_for?;
    let slot = match position.schedule.kind() {
        ScheduleKind::At => pending,
        ScheduleKind::AfterEach => position.after_each(now).map_or(pending, |slot| slot.min(pending)),
        ScheduleKind::Every | ScheduleKind::Cron => {
            let slots = position.slots();
            let ahead = std::iter::successors(slots.next(now), |&last| slots.next(last));
            let mut ahead = ahead.take(MOST_PASSED_OVER).take_while(|slot| *slot < pending);
            ahead.find(|&slot| !has_run(slot)).unwrap_or(pending)
        }
    };
    Some(position.next(slot.min(pending)))
}

/// What is left of a row of misses once the clock was set back to `now`: its occurrences up to then; `None` if
/// all of them are ahead again. To be asked about the rows that end after `now`, and about the last one before.
///
/// `has_run` is that of [`on_clock_set_back`]. What a calendar leaves out belongs to the occurrence that follows:
/// it stays on record if that one has run, and comes on record again with it if it has not.
pub fn taken_back(
    position: &Position<'_>,
    miss: &Miss,
    now: Timestamp,
    has_run: impl Fn(Timestamp) -> bool,
) -> Option<Miss> {
    let slots = position.slots();
    if miss.reason == MissReason::Excluded {
        let settled = slots.next(miss.to).is_none_or(|next| next <= now || has_run(next));
        return Some(*miss).filter(|_| settled);
    }
    up_to(position, miss, now)
}

/// What is left of a row of misses if nothing after `end` is to be on record; `None` if nothing is left.
pub fn up_to(position: &Position<'_>, miss: &Miss, end: Timestamp) -> Option<Miss> {
    if miss.to <= end {
        return Some(*miss);
    }
    (miss.from <= end).then(|| position.slots().shortened(miss, end))
}
