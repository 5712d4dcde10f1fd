//! What fires, what is missed and what comes next: the only place that computes a next time.
//!
//! Pure functions over a [`Position`], which is what a job's row says. The transactions of the store call them
//! and write what they answer. The rule that holds them together: after each call, every occurrence up to
//! `now` is fired, in exactly one range of misses, or still ahead in `next`. Occurrences that a calendar leaves
//! out go on record together with the next one that is not left out.

mod policy;
mod slots;
mod stagger;
mod words;

use std::time::Duration;

use self::policy::Mode;
use self::slots::Slots;
use crate::schedule::{Calendar, Schedule, ScheduleKind};
use crate::time::Timestamp;

pub use self::policy::{CatchUp, DEFAULT_AT_ONCE, DEFAULT_SPACING, DEFAULT_WINDOW, MOST_CAUGHT_UP, Overlap};
pub use self::stagger::stagger_ms;
pub use self::words::{MissReason, Trigger, UnknownWord};

/// Up to here a run counts as on time, under every catch-up policy: a claim waits for its turn now and then.
pub const ON_TIME: Duration = Duration::from_secs(60);

/// What a job's row says about time.
#[derive(Clone, Copy, Debug)]
pub struct Position<'a> {
    /// The schedule, with what storing it fixed.
    pub schedule: &'a Schedule,
    /// The calendar that the schedule names, if it names one.
    pub calendar: Option<&'a Calendar>,
    /// The job's id, for its jitter.
    pub job_id: i64,
    /// When the schedule took effect: it has no past before.
    pub activated_at: Timestamp,
    /// The occurrence that the next claim is for; `None` if there is none.
    pub scheduled_for: Option<Timestamp>,
    /// How many runs of its schedule the job has started.
    pub runs_started: u32,
    /// What to do with missed occurrences.
    pub catch_up: &'a CatchUp,
    /// What to do with occurrences that come while a run is going.
    pub overlap: Overlap,
    /// From when on nothing of this job is started any more.
    pub expires_at: Option<Timestamp>,
}

/// The next occurrence of a job and when it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// The occurrence.
    pub scheduled_for: Timestamp,
    /// When it may be claimed: the occurrence plus the job's jitter, or later where catching up is spread.
    pub run_at: Timestamp,
}

/// The occurrence that a claim runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fire {
    /// The occurrence.
    pub scheduled_for: Timestamp,
    /// [`Trigger::Schedule`], or [`Trigger::CatchUp`] if it is more than a minute late.
    pub trigger: Trigger,
}

/// A range of occurrences that were not run, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Miss {
    /// The first of them.
    pub from: Timestamp,
    /// The last of them.
    pub to: Timestamp,
    /// How many there are; at least so many if not `exact`.
    pub occurrences: u64,
    /// Whether all of them were counted.
    pub exact: bool,
    /// Why they were not run.
    pub reason: MissReason,
}

/// What a claim does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimPlan {
    /// What runs now.
    pub fire: Option<Fire>,
    /// What goes on record as missed.
    pub misses: Vec<Miss>,
    /// What the row is for from now on; `None` if nothing is left, or if the end of the run decides.
    pub next: Option<Next>,
}

/// What the end of a run, or of a pause, does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndPlan {
    /// What goes on record as missed.
    pub misses: Vec<Miss>,
    /// What the row is for from now on; `None` if nothing is left.
    pub next: Option<Next>,
}

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
    match position.schedule.kind() {
        ScheduleKind::At | ScheduleKind::AfterEach => None,
        ScheduleKind::Every | ScheduleKind::Cron if position.is_used_up(0) => None,
        ScheduleKind::Every | ScheduleKind::Cron => {
            position.slots().next(scheduled_for).map(|slot| position.next(slot))
        }
    }
}

/// What a claim at `now` does with a job that is due.
///
/// Nothing at all if its time has not come, so that a clock which was set back fires nothing twice. The work
/// is bounded, so that a clock which was set forward by years costs no more than a short count.
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

/// What the end of a run at `ended_at` does with the occurrences that came while it went on.
///
/// For a run that ended in this process. Where its owner died, ask [`at_interruption`]: what came due then
/// was missed for another reason, and may be caught up.
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
    let due = position.due_at(ended_at);
    let (slots, pending) = (position.slots(), position.scheduled_for);
    let overlapped = pending.filter(|slot| *slot <= due && position.schedule.is_recurring());
    let Some(first) = overlapped else {
        return EndPlan { next: pending.map(|slot| position.next(slot)), ..EndPlan::default() };
    };
    let latest = slots.at_or_before(due).map_or(first, |latest| latest.max(first));
    if position.overlap == Overlap::Skip {
        return EndPlan {
            misses: position.pass_over(first, due, MissReason::Overlap),
            next: slots.next(latest.max(first)).map(|slot| position.next(slot)),
        };
    }
    // The latest waits; the claim that comes now finds it due.
    let mut misses = Vec::new();
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
    // What was overdue when the pause began had been missed before.
    let was_due = position.due_at(paused_at);
    let mut from = Some(scheduled_for);
    if scheduled_for < was_due {
        misses.extend(position.pass_over(scheduled_for, before(was_due), MissReason::Downtime));
        from = slots.next(before(was_due));
    }
    if let Some(from) = from.filter(|from| *from <= due) {
        misses.extend(position.pass_over(from, due, MissReason::Paused));
    }
    let latest = slots.at_or_before(due).map_or(scheduled_for, |latest| latest.max(scheduled_for));
    EndPlan { misses, next: slots.next(latest).map(|slot| position.next(slot)) }
}

/// What the old schedule of a job leaves on record when a new one takes effect at `now`, or when the job is
/// removed: its occurrences up to `now` that were neither run nor on record yet.
pub fn at_edit(position: &Position<'_>, now: Timestamp) -> Vec<Miss> {
    let due = position.due_at(now);
    match position.scheduled_for {
        Some(slot)
            if position.schedule.is_recurring() && position.schedule.kind() != ScheduleKind::AfterEach =>
        {
            let slots = position.slots();
            if slot > due {
                // Only what leads up to the next one and is left out can have passed.
                return slots.passed_exclusions(slot, position.activated_at, due).into_iter().collect();
            }
            let mut misses = position.pass_over(slot, due, MissReason::Downtime);
            let latest = slots.at_or_before(due).map_or(slot, |latest| latest.max(slot));
            misses.extend(slots.trailing(latest, due));
            misses
        }
        Some(slot) if slot <= due => vec![Miss::one(slot, MissReason::Downtime)],
        _ => Vec::new(),
    }
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

impl Position<'_> {
    fn slots(&self) -> Slots<'_> {
        Slots::new(self.schedule, self.calendar)
    }

    /// Whether the schedule's runs are used up once `more` have started.
    fn is_used_up(&self, more: u32) -> bool {
        self.schedule.run_limit().is_some_and(|limit| self.runs_started.saturating_add(more) >= limit)
    }

    fn jitter(&self) -> Duration {
        let window = self.schedule.jitter_window();
        if window.is_zero() {
            return Duration::ZERO;
        }
        let ms = stagger_ms(&self.job_id.to_string(), crate::time::millis_of(window));
        Duration::from_millis(ms.unsigned_abs())
    }

    fn next(&self, scheduled_for: Timestamp) -> Next {
        Next { scheduled_for, run_at: scheduled_for.plus(self.jitter()) }
    }

    /// The occurrences up to this one are due at `now`.
    fn due_at(&self, now: Timestamp) -> Timestamp {
        now.minus(self.jitter())
    }

    fn one_shot(&self, now: Timestamp) -> Option<Timestamp> {
        let resolved = self.schedule.clone().anchored_or(now);
        resolved.next_slot(Timestamp::MIN)
    }

    /// When a delay after each run ends that begins at `start`; put off while a calendar excludes it.
    fn after_each(&self, start: Timestamp) -> Option<Timestamp> {
        let slot = self.schedule.next_slot(start)?;
        self.slots().put_off(slot)
    }

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

    /// The rows for all occurrences from `first` on that are due.
    fn pass_over(&self, first: Timestamp, due: Timestamp, reason: MissReason) -> Vec<Miss> {
        if !self.schedule.is_recurring() || self.schedule.kind() == ScheduleKind::AfterEach {
            return vec![Miss::one(first, reason)];
        }
        let slots = self.slots();
        let mut misses: Vec<Miss> = slots.leading(first, self.activated_at).into_iter().collect();
        let latest = slots.at_or_before(due).map_or(first, |latest| latest.max(first));
        misses.extend(slots.misses(first, latest, reason));
        misses
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
        let latest = slots.at_or_before(due).map_or(first, |latest| latest.max(first));
        let (chosen, after_chosen) = self.choose(&slots, first, latest, due);

        let mut misses: Vec<Miss> = slots.leading(first, self.activated_at).into_iter().collect();
        let Some(chosen) = chosen else {
            misses.extend(slots.misses(first, latest, MissReason::Downtime));
            return ClaimPlan { fire: None, misses, next: self.next_after(&slots, latest, now, due) };
        };
        if let Some(passed) = slots.previous(chosen).filter(|passed| *passed >= first) {
            let stands_for = self.catch_up.mode == Mode::Latest
                || (self.catch_up.mode == Mode::Skip && due.since(first) <= ON_TIME);
            let reason = if stands_for { MissReason::Coalesced } else { MissReason::Downtime };
            misses.extend(slots.misses(first, passed, reason));
        }
        if self.is_used_up(1) {
            return ClaimPlan { fire: Some(self.fire(chosen, due)), misses, next: None };
        }
        let settled = match after_chosen {
            AfterChosen::StandsForAll => {
                if let Some(after) = slots.next(chosen).filter(|after| *after <= latest) {
                    misses.extend(slots.leading(after, chosen));
                    misses.extend(slots.misses(after, latest, MissReason::Coalesced));
                }
                latest
            }
            AfterChosen::StillAhead => chosen,
        };
        ClaimPlan {
            fire: Some(self.fire(chosen, due)),
            misses,
            next: self.next_after(&slots, settled, now, due),
        }
    }

    /// Which of the due occurrences, `first` to `latest`, runs; and what becomes of those after it.
    fn choose(
        &self,
        slots: &Slots<'_>,
        first: Timestamp,
        latest: Timestamp,
        due: Timestamp,
    ) -> (Option<Timestamp>, AfterChosen) {
        let oldest = due.minus(self.window());
        let earliest = || {
            let from = if first >= oldest { Some(first) } else { slots.next(before(oldest)) };
            from.filter(|from| *from <= latest)
        };
        match self.catch_up.mode {
            Mode::Latest | Mode::Skip => {
                (Some(latest).filter(|latest| *latest >= oldest), AfterChosen::StandsForAll)
            }
            Mode::Earliest => (earliest(), AfterChosen::StandsForAll),
            Mode::All(max) => {
                let Some(earliest) = earliest() else {
                    return (None, AfterChosen::StillAhead);
                };
                let mut chosen = latest;
                for _ in 1..max {
                    match slots.previous(chosen).filter(|previous| *previous >= earliest) {
                        Some(previous) => chosen = previous,
                        None => break,
                    }
                }
                (Some(chosen), AfterChosen::StillAhead)
            }
        }
    }

    /// The next occurrence after `settled`; apart from the run that starts now if it is overdue as well.
    fn next_after(
        &self,
        slots: &Slots<'_>,
        settled: Timestamp,
        now: Timestamp,
        due: Timestamp,
    ) -> Option<Next> {
        let mut next = self.next(slots.next(settled)?);
        if next.scheduled_for <= due {
            next.run_at = next.run_at.max(now.plus(self.catch_up.pause()));
        }
        Some(next)
    }
}

/// What becomes of the due occurrences after the one that runs.
#[derive(Clone, Copy)]
enum AfterChosen {
    /// The run stands for them.
    StandsForAll,
    /// They run after it.
    StillAhead,
}

impl Miss {
    fn one(slot: Timestamp, reason: MissReason) -> Self {
        Self { from: slot, to: slot, occurrences: 1, exact: true, reason }
    }
}

fn before(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.millis().saturating_sub(1))
}
