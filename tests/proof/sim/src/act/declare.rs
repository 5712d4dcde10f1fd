//! Applications that declare schedules, change them, and declare whole sets of them.

use std::time::Duration;

use mainspring::plan::{CatchUp, Overlap};
use mainspring::{Declaration, JobArgs, NewJob, Schedule, Scheduled, Timestamp};

use super::ask_for::common;
use crate::Found;
use crate::dice::Dice;
use crate::kinds::{Mail, Work};
use crate::rows::{self, JobRow};
use crate::world::{Asked, World};

/// Lines that `grid.rs` reads as well.
const LINES: [&str; 7] =
    ["* * * * *", "*/7 * * * *", "*/20 * * * * *", "0 * * * *", "30 8 * * *", "15 */6 * * *", "0 9 * * 1"];
const NAMES: u64 = 6;
const LABEL: &str = "set";

impl World {
    pub(super) fn declare(&mut self, slot: usize, dice: &mut Dice) -> Found<()> {
        if dice.chance(150) {
            return self.declare_a_set(slot, dice);
        }
        let name = dice.ms(0, NAMES - 1);
        let named = format!("job {name}");
        let before = self.by_name(&named)?;
        let stored = before.as_ref().filter(|_| dice.chance(150));
        let schedule = match stored.and_then(stored_schedule) {
            // The same one with other options: its next time stays.
            Some(schedule) => schedule,
            None => any_schedule(self.now(), dice),
        };
        if let Some(before) = &before {
            self.before_declaring(before)?;
        }
        self.tell(|_| format!("process {slot} is asked to declare {named:?}: {schedule}"));
        let queue = self.life(slot)?.process.queue().clone();
        let asked = if name.is_multiple_of(2) {
            let job = recurring(NewJob::new(Work(name)), dice);
            self.ask(slot, dice, async move { queue.schedule(&named, schedule, job).await })?
        } else {
            let job = recurring(NewJob::new(Mail(name)), dice);
            self.ask(slot, dice, async move { queue.schedule(&named, schedule, job).await })?
        };
        match asked {
            Asked::Answered(Ok(scheduled)) => self.declared(before, scheduled),
            Asked::Answered(Err(why)) => {
                self.tell(|_| format!("refused: {why}"));
                Ok(())
            }
            Asked::Died => Ok(()),
        }
    }

    fn before_declaring(&mut self, job: &JobRow) -> Found<()> {
        self.account(job, false)?;
        let newest = "SELECT max(id) FROM mainspring_misses WHERE job_id = ?1";
        let newest = rows::number(&self.observer, newest, [job.id])?.unwrap_or_default();
        let last_run = self.ledger.last_run;
        let fact = self.ledger.job(job.id);
        (fact.cancelled, fact.cancelled_at) = (false, None);
        (fact.earlier_misses, fact.earlier_runs) = (newest, last_run);
        Ok(())
    }

    fn declared(&mut self, before: Option<JobRow>, scheduled: Scheduled) -> Found<()> {
        let id = scheduled.id().0;
        self.ledger.job(id).acknowledged = true;
        match scheduled {
            Scheduled::Created(_) => self.counts.add("new schedules"),
            Scheduled::Unchanged(_) => self.counts.add("unchanged schedules"),
            Scheduled::Changed(_) => self.counts.add("changed schedules"),
        }
        let Some(before) = before else { return Ok(()) };
        let Some(after) = rows::job(&self.observer, id)? else { return Ok(()) };
        let of = |row: &JobRow| (row.schedule_kind.clone(), row.schedule_text.clone(), row.every, row.anchor);
        if of(&before) != of(&after) {
            if before.ahead.is_some() {
                self.account(&before, true)?;
            }
            self.ledger.job(id).accounted = i64::MIN;
        }
        Ok(())
    }

    /// A set: what is no longer in it goes.
    fn declare_a_set(&mut self, slot: usize, dice: &mut Dice) -> Found<()> {
        let mut set = Vec::new();
        for number in 0..3 {
            let name = format!("set {number}");
            let before = self.by_name(&name)?;
            let keep = dice.chance(600);
            if let Some(before) = &before {
                self.before_declaring(before)?;
                self.ledger.job(before.id).may_be_gone |= !keep;
            }
            if keep {
                let schedule = before.as_ref().and_then(stored_schedule).filter(|_| dice.chance(600));
                let schedule = schedule.unwrap_or_else(|| any_schedule(self.now(), dice));
                set.push(Declaration::new(name, schedule, recurring(NewJob::new(Work(number)), dice)));
            }
        }
        self.tell(|_| format!("process {slot} is asked to declare a set: {set:?}"));
        let queue = self.life(slot)?.process.queue().clone();
        let asked = self.ask(slot, dice, async move { queue.replace_all(LABEL, set).await })?;
        if let Asked::Answered(Ok(report)) = asked {
            self.counts.add("declared sets");
            for name in report.created.iter().chain(&report.changed).chain(&report.unchanged) {
                match self.by_name(name)? {
                    Some(row) => self.ledger.job(row.id).acknowledged = true,
                    None => return Err(format!("{name:?} was declared and is not there")),
                }
            }
            for name in &report.changed {
                if let Some(row) = self.by_name(name)? {
                    self.ledger.job(row.id).accounted = i64::MIN;
                }
            }
            for name in &report.removed {
                if self.by_name(name)?.is_some() {
                    return Err(format!("{name:?} is no longer declared and is there"));
                }
            }
        }
        Ok(())
    }

    fn by_name(&self, name: &str) -> Found<Option<JobRow>> {
        let id = rows::number(&self.observer, "SELECT id FROM mainspring_jobs WHERE name = ?1", [name])?;
        id.map_or(Ok(None), |id| rows::job(&self.observer, id))
    }
}

/// Any schedule.
fn any_schedule(now: i64, dice: &mut Dice) -> Schedule {
    let chosen = match dice.weighted(&[(45, 0), (35, 1), (12, 2), (8, 3)]) {
        0 => Schedule::cron(dice.pick(&LINES)),
        1 => Schedule::every(Duration::from_secs(dice.pick(&[7, 60, 600, 3_600]))),
        2 => Schedule::after_each(Duration::from_secs(dice.pick(&[5, 300]))),
        _ => Ok(Schedule::at(Timestamp::from_millis(now).plus(Duration::from_secs(dice.ms(0, 3_600))))),
    };
    let schedule = chosen.unwrap_or_else(|_| Schedule::after(Duration::from_secs(1)));
    if schedule.is_recurring() && dice.chance(60) {
        schedule.max_runs(dice.pick(&[1, 3, 10]))
    } else {
        schedule
    }
}

/// The schedule that is stored already, as an application that did not change would declare it.
fn stored_schedule(row: &JobRow) -> Option<Schedule> {
    match (row.schedule_kind.as_str(), row.every, row.schedule_text.as_deref()) {
        ("every", Some(every), _) => Schedule::every(Duration::from_millis(every.unsigned_abs())).ok(),
        ("cron", _, Some(line)) => Schedule::cron(line).ok(),
        _ => None,
    }
}

/// What a job with a schedule may be told besides.
fn recurring<A: JobArgs>(job: NewJob<A>, dice: &mut Dice) -> NewJob<A> {
    let catch_up = match dice.weighted(&[(40, 0), (20, 1), (20, 2), (20, 3)]) {
        0 => CatchUp::latest(),
        1 => CatchUp::earliest(),
        2 => CatchUp::all(dice.pick(&[1, 3, 20])),
        _ => CatchUp::skip(),
    };
    let catch_up = match dice.weighted(&[(60, 0), (25, 1), (15, 2)]) {
        0 => catch_up,
        1 => catch_up.within(Duration::from_secs(dice.pick(&[0, 300, 86_400]))),
        _ => catch_up.at_once(1).spacing(Duration::from_secs(dice.pick(&[0, 5, 30]))),
    };
    let overlap = dice.pick(&[
        Overlap::Skip,
        Overlap::Skip,
        Overlap::QueueOne,
        Overlap::CancelRunning,
        Overlap::Allow(2),
        Overlap::Allow(3),
    ]);
    common(job, dice).catch_up(catch_up).overlap(overlap).enabled(!dice.chance(40))
}
