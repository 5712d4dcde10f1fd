//! What a claim fires, what it passes over, and what comes after it.

use std::time::Duration;

use super::policy::{MOST_CAUGHT_UP, Mode};
use super::slots::Slots;
use super::{ClaimPlan, Fire, Miss, MissReason, Next, ON_TIME, Position, Trigger, before};
use crate::schedule::ScheduleKind;
use crate::time::Timestamp;

/// What a claim at `now` does with a job that is due.
///
/// Nothing at all if its time has not come, so that a clock which was set back fires nothing twice. The work
/// is bounded, so that a clock which was set forward by years costs no more than a short count.
///
/// ```
/// use mainspring::plan::{self, CatchUp, Overlap, Position, Trigger};
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
///     scheduled_for: Some(at("2026-03-09T08:00:00Z")),
///     runs_started: 67,
///     catch_up: &CatchUp::latest(),
///     overlap: Overlap::Skip,
///     expires_at: None,
/// };
/// // Down for a day and a half: yesterday's is a miss, today's runs.
/// let plan = plan::at_claim(&position, at("2026-03-10T09:00:00Z"));
/// let fire = plan.fire.unwrap();
/// assert_eq!((fire.scheduled_for, fire.trigger), (at("2026-03-10T08:00:00Z"), Trigger::CatchUp));
/// assert_eq!(plan.misses[0].from, at("2026-03-09T08:00:00Z"));
/// assert_eq!(plan.next.unwrap().scheduled_for, at("2026-03-11T08:00:00Z"));
/// # Ok::<(), mainspring::ScheduleError>(())
/// ```
pub fn at_claim(position: &Position<'_>, now: Timestamp) -> ClaimPlan {
    let Some(scheduled_for) = position.scheduled_for else {
        return ClaimPlan::default();
    };
    let due = position.due_at(now);
    if scheduled_for > due {
        return ClaimPlan { next: Some(position.next(scheduled_for)), ..ClaimPlan::default() };
    }
    if position.is_used_up(0) {
        return ClaimPlan::default();
    }
    if position.expires_at.is_some_and(|expiry| now >= expiry) {
        return ClaimPlan {
            misses: position.pass_over(scheduled_for, due, MissReason::Expired),
            ..ClaimPlan::default()
        };
    }
    match position.schedule.kind() {
        ScheduleKind::At => position.claim_one_shot(scheduled_for, due),
        ScheduleKind::AfterEach => position.claim_after_each(scheduled_for, due, now),
        ScheduleKind::Every | ScheduleKind::Cron => position.claim_recurring(scheduled_for, due, now),
    }
}

impl Position<'_> {
    fn fire(&self, scheduled_for: Timestamp, due: Timestamp) -> Fire {
        let late = due.since(scheduled_for) > ON_TIME;
        Fire { scheduled_for, trigger: if late { Trigger::CatchUp } else { Trigger::Schedule } }
    }

    /// How late an occurrence may be and still run.
    fn window(&self) -> Duration {
        let never = self.catch_up.mode == Mode::Skip
            || (self.catch_up.only_after_first_run && self.runs_started == 0);
        if never { ON_TIME } else { self.catch_up.window().max(ON_TIME) }
    }

    fn claim_one_shot(&self, scheduled_for: Timestamp, due: Timestamp) -> ClaimPlan {
        if self.slots().excludes(scheduled_for) {
            let miss = Miss::one(scheduled_for, MissReason::Excluded);
            return ClaimPlan { misses: vec![miss], ..ClaimPlan::default() };
        }
        ClaimPlan { fire: Some(self.fire(scheduled_for, due)), ..ClaimPlan::default() }
    }

    fn claim_after_each(&self, scheduled_for: Timestamp, due: Timestamp, now: Timestamp) -> ClaimPlan {
        if due.since(scheduled_for) > self.window() {
            let miss = Miss::one(scheduled_for, MissReason::Downtime);
            let next = self.after_each(now).map(|slot| self.next(slot));
            return ClaimPlan { misses: vec![miss], next, fire: None };
        }
        ClaimPlan { fire: Some(self.fire(scheduled_for, due)), ..ClaimPlan::default() }
    }

    fn claim_recurring(&self, scheduled_for: Timestamp, due: Timestamp, now: Timestamp) -> ClaimPlan {
        let slots = self.slots();
        // An occurrence from before the schedule took effect, or one left out by now, stands for the next one.
        let first = if scheduled_for < self.activated_at {
            slots.next(self.activated_at)
        } else if slots.excludes(scheduled_for) {
            slots.next(scheduled_for)
        } else {
            Some(scheduled_for)
        };
        let Some(first) = first else {
            return ClaimPlan::default();
        };
        if first > due {
            return ClaimPlan { next: Some(self.next(first)), ..ClaimPlan::default() };
        }
        let latest = slots.latest_from(first, due);
        let mut misses: Vec<Miss> = slots.leading(first, self.activated_at).into_iter().collect();
        let Some(chosen) = self.choose(&slots, first, latest, due) else {
            misses.extend(slots.misses(first, latest, MissReason::Downtime));
            let next = self.next_or_close(&slots, latest, &mut misses);
            return ClaimPlan { fire: None, misses, next };
        };
        if let Some(passed) = slots.any_before(chosen) {
            misses.extend(slots.misses(first, passed, self.reason_before_chosen(first, due)));
        }
        let fire = Some(self.fire(chosen, due));
        if self.is_used_up(1) {
            return ClaimPlan { fire, misses, next: None };
        }
        if let Mode::All(_) = self.catch_up.mode {
            let next = self.apart(self.next_or_close(&slots, chosen, &mut misses), now, due);
            return ClaimPlan { fire, misses, next };
        }
        // The run stands for those after it that are due as well.
        if let Some(after) = slots.any_after(chosen) {
            misses.extend(slots.misses(after, latest, MissReason::Coalesced));
        }
        let next = self.next_or_close(&slots, latest, &mut misses);
        ClaimPlan { fire, misses, next }
    }

    /// Which of the due occurrences, `first` to `latest`, runs.
    fn choose(
        &self,
        slots: &Slots<'_>,
        first: Timestamp,
        latest: Timestamp,
        due: Timestamp,
    ) -> Option<Timestamp> {
        let oldest = due.minus(self.window());
        if latest < oldest {
            return None;
        }
        let earliest = if first >= oldest { first } else { slots.next(before(oldest))?.min(latest) };
        match self.catch_up.mode {
            Mode::Latest | Mode::Skip => Some(latest),
            Mode::Earliest => Some(earliest),
            Mode::All(max) => {
                let back = |slot: &Timestamp| slots.previous(*slot).filter(|previous| *previous >= earliest);
                let most = usize::try_from(max.clamp(1, MOST_CAUGHT_UP)).unwrap_or(1);
                std::iter::successors(Some(latest), back).take(most).last()
            }
        }
    }

    /// Why the due occurrences before the one that runs do not: under `latest` it stands for them.
    fn reason_before_chosen(&self, first: Timestamp, due: Timestamp) -> MissReason {
        let on_time = due.since(first) <= ON_TIME;
        match self.catch_up.mode {
            Mode::Latest => MissReason::Coalesced,
            Mode::Skip if on_time => MissReason::Coalesced,
            Mode::Skip | Mode::Earliest | Mode::All(_) => MissReason::Downtime,
        }
    }

    /// Puts an overdue occurrence some time after the run that starts now.
    fn apart(&self, next: Option<Next>, now: Timestamp, due: Timestamp) -> Option<Next> {
        next.map(|next| match next.scheduled_for <= due {
            true => Next { run_at: next.run_at.max(now.plus(self.catch_up.pause())), ..next },
            false => next,
        })
    }
}
