//! A job's row as the tests of `plan` have it.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses a part of it, and stops where it is wrong"
)]

use std::time::Duration;

use chrono::{DateTime, Utc};
use mainspring::plan::{
    self, CatchUp, ClaimPlan, EndPlan, Fire, MissReason, Next, Overlap, Position, Trigger,
};
use mainspring::schedule::Calendar;
use mainspring::{Schedule, Timestamp};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// The instant that an RFC 3339 text names.
pub(crate) fn at(text: &str) -> Timestamp {
    text.parse::<DateTime<Utc>>().unwrap().into()
}

/// That time of 2026-03-10, in UTC.
pub(crate) fn today(time: &str) -> Timestamp {
    at(&format!("2026-03-10T{time}Z"))
}

pub(crate) fn cron(line: &str) -> Schedule {
    Schedule::cron(line).unwrap()
}

pub(crate) struct Row {
    pub(crate) schedule: Schedule,
    pub(crate) calendar: Option<Calendar>,
    pub(crate) job_id: i64,
    pub(crate) activated_at: Timestamp,
    pub(crate) scheduled_for: Option<Timestamp>,
    pub(crate) runs_started: u32,
    pub(crate) catch_up: CatchUp,
    pub(crate) overlap: Overlap,
    pub(crate) expires_at: Option<Timestamp>,
}

impl Row {
    /// A row as `schedule` was stored at `now`.
    pub(crate) fn stored(schedule: Schedule, now: Timestamp) -> Self {
        let mut row = Self {
            schedule: schedule.anchored_or(now),
            calendar: None,
            job_id: 1,
            activated_at: now,
            scheduled_for: None,
            runs_started: 0,
            catch_up: CatchUp::default(),
            overlap: Overlap::default(),
            expires_at: None,
        };
        row.scheduled_for = plan::first(&row.position(), now).map(|next| next.scheduled_for);
        row
    }

    /// A row that was stored a year before `slot`, the occurrence that it is for now.
    pub(crate) fn waiting_for(schedule: Schedule, slot: Timestamp) -> Self {
        let mut row = Self::stored(schedule, slot.minus(DAY * 365));
        (row.scheduled_for, row.runs_started) = (Some(slot), 100);
        row
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn position(&self) -> Position<'_> {
        Position {
            schedule: &self.schedule,
            calendar: self.calendar.as_ref(),
            job_id: self.job_id,
            activated_at: self.activated_at,
            scheduled_for: self.scheduled_for,
            runs_started: self.runs_started,
            catch_up: &self.catch_up,
            overlap: self.overlap,
            expires_at: self.expires_at,
        }
    }

    /// Claims and writes what the plan says.
    pub(crate) fn claim(&mut self, now: Timestamp) -> ClaimPlan {
        let plan = plan::at_claim(&self.position(), now);
        self.scheduled_for = plan.next.map(|next| next.scheduled_for);
        self.runs_started += u32::from(plan.fire.is_some());
        plan
    }

    /// Completes and writes what the plan says.
    pub(crate) fn complete(&mut self, now: Timestamp) -> EndPlan {
        let plan = plan::at_completion(&self.position(), now);
        self.scheduled_for = plan.next.map(|next| next.scheduled_for);
        plan
    }
}

/// The occurrence that a plan fires.
pub(crate) fn fired(plan: &ClaimPlan) -> Option<(Timestamp, Trigger)> {
    plan.fire.map(|Fire { scheduled_for, trigger }| (scheduled_for, trigger))
}

/// The occurrence that comes next.
pub(crate) fn slot(next: Option<Next>) -> Option<Timestamp> {
    next.map(|next| next.scheduled_for)
}

/// The misses as (from, to, how many, why), all of them counted exactly.
pub(crate) fn missed(misses: &[plan::Miss]) -> Vec<(Timestamp, Timestamp, u64, MissReason)> {
    assert!(misses.iter().all(|miss| miss.exact), "not counted to the end: {misses:?}");
    misses.iter().map(|miss| (miss.from, miss.to, miss.occurrences, miss.reason)).collect()
}
