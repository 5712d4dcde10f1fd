//! What handlers do: return, fail, snooze, panic, ignore that they were asked to stop, answer too late.

use std::time::Duration;

use mainspring::simulation::{Claim, Fact, How, Played};
use mainspring::{Error, Failure};

use crate::Found;
use crate::dice::Dice;
use crate::kinds::delivers;
use crate::life::{Call, Sending};
use crate::rows;
use crate::world::{Asked, World};

impl World {
    /// A handler of this process comes back, if one is there.
    pub(super) fn play(&mut self, slot: usize, dice: &mut Dice) -> Found<()> {
        let steady = self.clock.steady_ms();
        if !self.life(slot)?.left_behind.is_empty() && dice.chance(300) {
            return self.answer_late(slot, dice);
        }
        let life = self.life(slot)?;
        let ready =
            |call: &Call| call.comes_back <= steady || call.told_at.is_some() || is_over_time(call, steady);
        let able: Vec<usize> =
            (0..life.calls.len()).filter(|at| life.stopping || ready(&life.calls[*at])).collect();
        match dice.pick_if_any(&able) {
            Some(at) => self.come_back(slot, at, dice),
            // Nobody is ready: the writer goes on meanwhile.
            None => self.tick(slot, dice),
        }
    }

    /// The handler comes back, or its engine gives it up.
    pub(crate) fn come_back(&mut self, slot: usize, at: usize, dice: &mut Dice) -> Found<()> {
        let steady = self.clock.steady_ms();
        let calm = self.calm;
        let life = self.life(slot)?;
        let call = life.calls.remove(at);
        let policies = call.claim.policies();
        let timed_out = is_over_time(&call, steady);
        let told_at =
            call.told_at.or(timed_out.then_some(call.began + policies.timeout_ms.unwrap_or_default()));
        let may_be_left = told_at.is_some_and(|at| steady.saturating_sub(at) >= policies.grace_ms);
        let told = told_at.is_some() || life.stopping;
        let how = match call.claim.verify() {
            _ if calm => How::Returned(output(&call.claim)),
            _ if may_be_left && dice.chance(400) => How::StillRunning,
            true if dice.chance(150) => How::Unverified,
            _ => come_back_with(&call.claim, told, dice),
        };
        let still_running = matches!(how, How::StillRunning);
        let played = Played {
            how,
            timed_out,
            cancelled: call.cancelled,
            shutdown: life.stopping,
            started_at: call.began_wall,
            random: dice.share(),
        };
        let (fact, late) = life.process.decide(&call.claim, delivers(call.claim.kind()), played);
        let sent = self.record(slot, &call.claim, fact, dice)?;
        if let (Some(late), true) = (late, sent) {
            self.record_late(slot, &call.claim, late, dice)?;
        }
        if let (true, Some(life)) = (still_running, &mut self.lives[slot]) {
            life.left_behind.push(call);
            self.counts.add("handlers left behind");
        }
        Ok(())
    }

    /// Records the end of a run; whether the process lives to see the answer.
    fn record(&mut self, slot: usize, claim: &Claim, fact: Fact, dice: &mut Dice) -> Found<bool> {
        let run = claim.run().0;
        let outcome = fact.outcome();
        self.ledger.runs.get_mut(&run).ok_or("no such run")?.reported.push(outcome.as_str());
        let was_open = self.ledger.open.contains(&run);
        let before = self.late_results(run)?;
        let record = self.life(slot)?.process.record(fact);
        match self.ask(slot, dice, record)? {
            Asked::Died => Ok(false),
            Asked::Answered(Ok(deliver)) => {
                if !was_open {
                    return Err(format!(
                        "run {run} had ended, and its late result was taken for the outcome"
                    ));
                }
                let output = self.life(slot)?.process.output_of(claim, &output(claim).unwrap_or_default());
                if let (true, Some(output)) = (deliver, output) {
                    self.life(slot)?.sendings.push(Sending { output, attempt: None });
                }
                Ok(true)
            }
            Asked::Answered(Err(Error::ClaimLost(_))) if was_open => {
                Err(format!("run {run} was open, and its result was refused"))
            }
            Asked::Answered(Err(Error::ClaimLost(_))) => {
                self.counts.add("late results");
                match self.late_results(run)? == before + 1 {
                    true => Ok(true),
                    false => Err(format!("the late result of run {run} was not kept")),
                }
            }
            Asked::Answered(Err(error)) => Err(format!("the end of run {run} is answered with {error:?}")),
        }
    }

    fn late_results(&self, run: i64) -> Found<i64> {
        let sql = "SELECT count(*) FROM mainspring_late_results WHERE run_id = ?1";
        Ok(rows::number(&self.observer, sql, [run])?.unwrap_or_default())
    }

    /// A handler that was left behind comes back after all.
    fn answer_late(&mut self, slot: usize, dice: &mut Dice) -> Found<()> {
        let life = self.life(slot)?;
        let call = life.left_behind.remove(dice.below(life.left_behind.len()));
        let played = Played {
            how: How::Returned(output(&call.claim)),
            timed_out: false,
            cancelled: false,
            shutdown: false,
            started_at: call.began_wall,
            random: 0.5,
        };
        let late = life.process.late(&call.claim, delivers(call.claim.kind()), played);
        self.record_late(slot, &call.claim, late, dice)
    }

    fn record_late(&mut self, slot: usize, claim: &Claim, late: Fact, dice: &mut Dice) -> Found<()> {
        if self.ledger.open.contains(&claim.run().0) {
            return Err(format!("run {} is open after its end was recorded", claim.run()));
        }
        self.record(slot, claim, late, dice).map(drop)
    }
}

fn is_over_time(call: &Call, steady: u64) -> bool {
    call.claim.policies().timeout_ms.is_some_and(|timeout| steady.saturating_sub(call.began) >= timeout)
}

/// What the handler of a run returns: it depends on nothing but the run, so that it can be told from others.
fn output(claim: &Claim) -> Option<String> {
    Some(format!("\"{} of {}\"", claim.run(), claim.key()))
}

fn come_back_with(claim: &Claim, told: bool, dice: &mut Dice) -> How {
    let failed = if told { 500 } else { 140 };
    match dice.weighted(&[(640, 0), (failed, 1), (40, 2), (60, 3), (40, 4), (40, 5)]) {
        0 => How::Returned(output(claim)),
        1 => How::Failed(Failure::new("it did not work")),
        2 => How::Failed(Failure::retry_after(Duration::from_secs(dice.ms(0, 90)), "not now")),
        3 => How::Failed(Failure::snooze(Duration::from_secs(dice.ms(0, 300)))),
        4 => How::Failed(Failure::discard("never")),
        _ => How::Panicked,
    }
}
