//! What fires, what is missed and what comes next: the only place that computes a next time.
//!
//! Pure functions over a [`Position`], which is what a job's row says. The transactions of the store call them
//! and write what they answer. The rule that holds them together: after each call, every occurrence up to
//! `now` is fired, in exactly one range of misses, or still ahead in `next`. Occurrences that a calendar leaves
//! out go on record together with the next one that is not left out.

mod claim;
mod clock;
mod end;
mod first;
mod ledger;
mod policy;
mod slots;
mod stagger;
mod words;

use std::time::Duration;

use self::slots::Slots;
use crate::schedule::{Calendar, Schedule, ScheduleKind};
use crate::time::Timestamp;

pub use self::claim::at_claim;
pub use self::clock::{on_clock_set_back, taken_back, up_to};
pub use self::end::{at_completion, at_edit, at_interruption, on_resume};
pub use self::first::{after_attempt, backfill, first, following, repaired};
pub use self::ledger::around;
pub use self::policy::{CatchUp, DEFAULT_AT_ONCE, DEFAULT_SPACING, DEFAULT_WINDOW, MOST_CAUGHT_UP, Overlap};
pub use self::stagger::stagger_ms;
pub use self::words::{MissReason, Trigger};

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

impl Position<'_> {
    fn slots(&self) -> Slots<'_> {
        Slots::new(self.schedule, self.calendar)
    }

    /// Whether its occurrences are there whether or not a run comes of them.
    fn is_on_a_grid(&self) -> bool {
        matches!(self.schedule.kind(), ScheduleKind::Every | ScheduleKind::Cron)
    }

    /// Whether the schedule's runs are used up once `more` have started.
    pub(crate) fn is_used_up(&self, more: u32) -> bool {
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
        // A schedule may name a time before 1970, if only by an edit of its row; a job runs after it.
        let run_at = scheduled_for.plus(self.jitter()).max(Timestamp::from_millis(1));
        Next { scheduled_for, run_at }
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

    /// The rows for all occurrences from `first` on that are due.
    fn pass_over(&self, first: Timestamp, due: Timestamp, reason: MissReason) -> Vec<Miss> {
        if !self.is_on_a_grid() {
            return vec![Miss::one(first, reason)];
        }
        let slots = self.slots();
        let mut misses: Vec<Miss> = slots.leading(first, self.activated_at).into_iter().collect();
        misses.extend(slots.misses(first, slots.latest_from(first, due), reason));
        misses
    }

    /// The occurrence after `settled`. If none is left, what is left out up to the end of the schedule goes on
    /// record now, since no later one will bring it there.
    fn next_or_close(&self, slots: &Slots<'_>, settled: Timestamp, misses: &mut Vec<Miss>) -> Option<Next> {
        let next = slots.next(settled);
        if let (None, Some(end)) = (next, self.schedule.end()) {
            misses.extend(slots.trailing(settled, end));
        }
        next.map(|slot| self.next(slot))
    }
}

impl Miss {
    fn one(slot: Timestamp, reason: MissReason) -> Self {
        Self { from: slot, to: slot, occurrences: 1, exact: true, reason }
    }
}

fn before(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.millis().saturating_sub(1))
}
