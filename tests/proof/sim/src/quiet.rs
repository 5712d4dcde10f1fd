//! The end of a simulation: no accidents any more, time goes on, and everything that is due comes to its end.

use crate::Found;
use crate::dice::Dice;
use crate::rows;
use crate::world::{PROCESSES, World};

/// Recurring jobs go on for ever; what is due by then has ended.
const QUIET_MS: u64 = 36 * 3_600_000;
/// Recurring jobs have shown by then that they go on; what comes often is held back, so that the end of what takes
/// longer is waited for.
const PATIENCE: u64 = 3_000;
const OFTEN_MS: i64 = 600_000;
/// More steps than this without an end are a circle.
const MOST_STEPS: u32 = 30_000;

impl World {
    /// Lets everything come to its end; says how many steps that took.
    pub(crate) fn come_to_rest(&mut self, dice: &mut Dice) -> Found<u64> {
        self.calm = true;
        self.tell(|_| "no accidents any more".to_owned());
        for slot in 0..PROCESSES {
            if self.lives[slot].as_ref().is_some_and(|life| life.stopping) {
                self.kill(slot);
            }
            match &mut self.lives[slot] {
                Some(life) => life.frozen = false,
                None => self.start(slot, dice)?,
            }
        }
        let mut steps = 0;
        let until = self.clock.steady_ms() + QUIET_MS;
        while self.clock.steady_ms() < until {
            let idle = self.round(dice)?;
            steps += PROCESSES as u64;
            if idle {
                if self.is_all_over()? {
                    break;
                }
                if steps > PATIENCE {
                    self.hold_what_comes_often(dice)?;
                }
                let ms = self.until_something(QUIET_MS)?;
                self.clock.pass(ms);
            }
            if steps > u64::from(MOST_STEPS) {
                return Err(self.what_is_left("it does not come to rest")?);
            }
        }
        // Once more, as long as anything that was due can take.
        for _ in 0..8 {
            self.clock.pass(1_500);
            while !self.round(dice)? {
                steps += PROCESSES as u64;
            }
        }
        self.audit()?;
        self.ask_the_doctor()?;
        self.nothing_is_left()?;
        Ok(steps)
    }

    /// One step of each process and of all that it has in hand; whether nothing happened.
    fn round(&mut self, dice: &mut Dice) -> Found<bool> {
        let before = (self.ledger.last_run, self.data_version);
        for slot in 0..PROCESSES {
            self.tick(slot, dice)?;
            while !self.life(slot)?.calls.is_empty() {
                self.come_back(slot, 0, dice)?;
            }
            while !self.life(slot)?.sendings.is_empty() {
                self.deliver(slot, dice)?;
            }
        }
        Ok(before == (self.ledger.last_run, self.data_version))
    }

    /// Pauses the recurring jobs that come soon and have nothing else to end. What is overdue stays as it is, to be found.
    fn hold_what_comes_often(&mut self, dice: &mut Dice) -> Found<()> {
        let now = self.now();
        loop {
            let next = rows::number(
                &self.observer,
                "SELECT id FROM mainspring_jobs
                 WHERE claimable = 1 AND schedule_kind <> 'at' AND attempt = 1 AND requests = 0 AND open_runs = 0
                   AND next_run_at_ms > ?1 AND next_run_at_ms <= ?2
                 LIMIT 1",
                [now, now + OFTEN_MS],
            )?;
            let Some(job) = next else { return Ok(()) };
            self.pause_at_the_end(job, dice)?;
        }
    }

    /// The job that comes to its end last of those that do, and when its turn is.
    fn last_to_end(&self) -> Found<Option<(i64, i64)>> {
        rows::pair(
            &self.observer,
            "SELECT id, next_run_at_ms FROM mainspring_jobs
             WHERE claimable = 1 AND (schedule_kind = 'at' OR attempt > 1 OR requests > 0)
               AND queue NOT IN (SELECT name FROM mainspring_queues WHERE paused_at_ms IS NOT NULL)
             ORDER BY next_run_at_ms DESC LIMIT 1",
        )
    }

    fn is_all_over(&self) -> Found<bool> {
        let pending = rows::number(
            &self.observer,
            "SELECT count(*) FROM mainspring_completions WHERE delivery IN ('pending', 'started')",
            [],
        )?;
        Ok(self.last_to_end()?.is_none() && pending == Some(0) && self.ledger.open.is_empty())
    }

    fn nothing_is_left(&mut self) -> Found<()> {
        let now = self.now();
        if let Some(run) = self.ledger.open.first() {
            return Err(format!("run {run} is open at the end"));
        }
        if let Some(run) = self.ledger.unsettled.first() {
            return Err(format!("the output of run {run} is not settled at the end"));
        }
        let paused = "SELECT count(*) FROM mainspring_queues WHERE name = ?1 AND paused_at_ms IS NOT NULL";
        for job in rows::jobs(&self.observer)? {
            let held = !job.enabled
                || job.paused.is_some()
                || job.parked.is_some()
                || rows::number(&self.observer, paused, [&job.queue])? == Some(1);
            if job.requests == 0 && held {
                continue;
            }
            if rows::number(&self.observer, paused, [&job.queue])? == Some(1) {
                continue;
            }
            let stuck = match job.next_run {
                Some(next) => next <= now - 1_000,
                None => job.finished.is_none(),
            };
            if stuck || job.open_runs > 0 {
                return Err(format!(
                    "at the end, {}",
                    self.what_is_left(&format!("job {} is stuck: {job:?}", job.id))?
                ));
            }
        }
        Ok(())
    }

    fn what_is_left(&self, why: &str) -> Found<String> {
        let jobs = rows::jobs(&self.observer)?;
        let due: Vec<_> = jobs.iter().filter(|job| job.next_run.is_some_and(|at| at <= self.now())).collect();
        Ok(format!(
            "{why}; last to end: {:?}; open: {:?}; unsettled: {:?}; due: {due:?}",
            self.last_to_end()?,
            self.ledger.open,
            self.ledger.unsettled
        ))
    }
}
