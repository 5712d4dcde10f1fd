//! What the end of a run, of a pause or of a schedule leaves behind.

use super::{EndPlan, Miss, MissReason, Overlap, Position, before, first};
use crate::schedule::ScheduleKind;
use crate::time::Timestamp;

/// What the end of a run at `ended_at` does with the occurrences that came while it went on.
///
/// For a run that ended in this process. Where its owner died, ask [`at_interruption`]: what came due then
/// was missed for another reason, and may be caught up.
///
/// ```
/// use mainspring::plan::{self, CatchUp, Overlap, Position};
/// use mainspring::{Schedule, Timestamp};
/// # use chrono::{DateTime, Utc};
/// # let at = |text: &str| Timestamp::from(text.parse::<DateTime<Utc>>().unwrap());
///
/// let schedule = Schedule::cron("0 8 * * *")?;
/// let position = Position {
///     schedule: &schedule,
///     calendar: None,
///     job_id: 7,
///     activated_at: at("2026-01-01T00:00:00Z"),
///     scheduled_for: Some(at("2026-03-10T08:00:00Z")),
///     runs_started: 67,
///     catch_up: &CatchUp::latest(),
///     overlap: Overlap::Skip,
///     expires_at: None,
/// };
/// // The run of the day before took until nine: today's occurrence overlapped it.
/// let plan = plan::at_completion(&position, at("2026-03-10T09:00:00Z"));
/// assert_eq!(plan.misses[0].reason, plan::MissReason::Overlap);
/// assert_eq!(plan.next.unwrap().scheduled_for, at("2026-03-11T08:00:00Z"));
/// # Ok::<(), mainspring::ScheduleError>(())
/// ```
pub fn at_completion(position: &Position<'_>, ended_at: Timestamp) -> EndPlan {
    if position.is_used_up(0) {
        return EndPlan::default();
    }
    if position.schedule.kind() == ScheduleKind::AfterEach {
        return EndPlan {
            next: position.after_each(ended_at).map(|slot| position.next(slot)),
            ..EndPlan::default()
        };
    }
    // What comes at the very millisecond of the end does not overlap the run.
    let due = before(position.due_at(ended_at));
    let overlapped = position.scheduled_for.filter(|slot| *slot <= due && position.is_on_a_grid());
    let Some(first) = overlapped else {
        return EndPlan {
            next: position.scheduled_for.map(|slot| position.next(slot)),
            ..EndPlan::default()
        };
    };
    let slots = position.slots();
    let latest = slots.latest_from(first, due);
    let mut misses = Vec::new();
    if position.overlap == Overlap::Skip {
        misses.extend(position.pass_over(first, due, MissReason::Overlap));
        let next = position.next_or_close(&slots, latest, &mut misses);
        return EndPlan { misses, next };
    }
    // The latest waits; the claim that comes now finds it due.
    if let Some(passed) = slots.previous(latest).filter(|passed| *passed >= first) {
        misses.extend(slots.leading(first, position.activated_at));
        misses.extend(slots.misses(first, passed, MissReason::Overlap));
    }
    EndPlan { misses, next: Some(position.next(latest)) }
}

/// What the recovery of a run at `found_at` whose owner died does: nothing, but for a delay after each run,
/// which begins. What came due meanwhile is left to the claim and its catch-up.
pub fn at_interruption(position: &Position<'_>, found_at: Timestamp) -> EndPlan {
    if position.schedule.kind() == ScheduleKind::AfterEach {
        return at_completion(position, found_at);
    }
    EndPlan { next: position.scheduled_for.map(|slot| position.next(slot)), ..EndPlan::default() }
}

/// What resuming a job at `now` does that was paused at `paused_at`: what came meanwhile is on record and not
/// made up for. A one-shot whose instant came while it was paused runs now.
pub fn on_resume(position: &Position<'_>, paused_at: Timestamp, now: Timestamp) -> EndPlan {
    let Some(scheduled_for) = position.scheduled_for else {
        return EndPlan { next: first(position, now), ..EndPlan::default() };
    };
    let due = position.due_at(now);
    if scheduled_for > due || !position.schedule.is_recurring() {
        return EndPlan { next: Some(position.next(scheduled_for)), ..EndPlan::default() };
    }
    if position.schedule.kind() == ScheduleKind::AfterEach {
        let miss = Miss::one(scheduled_for, MissReason::Paused);
        return EndPlan { misses: vec![miss], next: first(position, now) };
    }
    let slots = position.slots();
    let mut misses = Vec::new();
    // What was overdue when the pause began had been missed before. (A clock set back since may say that the
    // pause has not begun.)
    let was_due = position.due_at(paused_at.min(now));
    let mut from = Some(scheduled_for);
    if scheduled_for < was_due {
        misses.extend(position.pass_over(scheduled_for, before(was_due), MissReason::Downtime));
        from = slots.next(before(was_due));
    }
    if let Some(from) = from.filter(|from| *from <= due) {
        misses.extend(position.pass_over(from, due, MissReason::Paused));
    }
    let next = position.next_or_close(&slots, slots.latest_from(scheduled_for, due), &mut misses);
    EndPlan { misses, next }
}

/// What the old schedule of a job leaves on record when a new one takes effect at `now`, or when the job is
/// removed: its occurrences up to `now` that were neither run nor on record yet.
pub fn at_edit(position: &Position<'_>, now: Timestamp) -> Vec<Miss> {
    match position.scheduled_for {
        Some(slot) if position.is_on_a_grid() => {
            let slots = position.slots();
            if slot > now {
                // Only what leads up to the next one and is left out can have passed.
                return slots.passed_exclusions(slot, position.activated_at, now).into_iter().collect();
            }
            let mut misses = position.pass_over(slot, now, MissReason::Downtime);
            misses.extend(slots.trailing(slots.latest_from(slot, now), now));
            misses
        }
        Some(slot) if slot <= now => vec![Miss::one(slot, MissReason::Downtime)],
        _ => Vec::new(),
    }
}
