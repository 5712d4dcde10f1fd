//! Deliveries: begun on record, handed to a receiver who takes, refuses or says nothing, and settled.

use mainspring::{DeliveryError, Error, Receipt};

use crate::Found;
use crate::dice::Dice;
use crate::rows;
use crate::world::{Asked, World};

impl World {
    /// One delivery of this process goes on.
    pub(crate) fn deliver(&mut self, slot: usize, dice: &mut Dice) -> Found<()> {
        let count = self.life(slot)?.sendings.len();
        if count == 0 {
            return self.tick(slot, dice);
        }
        let at = dice.below(count);
        if self.life(slot)?.sendings[at].attempt.is_none() {
            self.begin_delivery(slot, at, dice)
        } else {
            self.settle_delivery(slot, at, dice)
        }
    }

    fn begin_delivery(&mut self, slot: usize, at: usize, dice: &mut Dice) -> Found<()> {
        let life = self.life(slot)?;
        let (run, owner) = (life.sendings[at].output.run().0, life.owner().0);
        if let Some(suppress) = life.process.suppress_if_late(&life.sendings[at].output) {
            life.sendings.remove(at);
            return match self.ask(slot, dice, suppress)? {
                Asked::Answered(Err(error)) => {
                    Err(format!("the delivery of run {run} is not suppressed: {error}"))
                }
                _ => Ok(()),
            };
        }
        let begin = life.process.begin_delivery(&life.sendings[at].output);
        match self.ask(slot, dice, begin)? {
            Asked::Died => Ok(()),
            Asked::Answered(Ok(attempt)) => {
                let row = rows::end_of(&self.observer, run)?;
                let begun = row.as_ref().filter(|row| row.delivery == "started" && row.owner == Some(owner));
                let Some(row) = begun.filter(|row| row.attempts == attempt) else {
                    return Err(format!(
                        "the delivery of run {run} was begun by owner {owner}; on record: {row:?}"
                    ));
                };
                let holds = row.on_unknown.as_deref() == Some("hold");
                let sending = &mut self.life(slot)?.sendings[at];
                sending.attempt = Some(attempt);
                let text = sending.output.text().to_owned();
                self.counts.add("sends");
                self.tell(|_| format!("the output of run {run} is sent, attempt {attempt}"));
                self.ledger.sent(run, &text, holds)
            }
            Asked::Answered(Err(error)) => Err(format!("the delivery of run {run} cannot begin: {error}")),
        }
    }

    fn settle_delivery(&mut self, slot: usize, at: usize, dice: &mut Dice) -> Found<()> {
        let calm = self.calm;
        let life = self.life(slot)?;
        let sending = life.sendings.remove(at);
        let run = sending.output.run().0;
        let answer = if calm { 0 } else { dice.weighted(&[(680, 0), (140, 1), (50, 2), (80, 3), (50, 4)]) };
        let result = match answer {
            0 => Some(Ok(Receipt::new("taken"))),
            1 => Some(Err(DeliveryError::not_sent("nobody there"))),
            2 => Some(Err(DeliveryError::rejected("not wanted"))),
            3 => Some(Err(DeliveryError::unknown("the line broke"))),
            _ => None,
        };
        let attempt = sending.attempt.unwrap_or(1);
        let settle = life.process.settle(&sending.output, attempt, result, dice.share());
        let post = &mut self.ledger.runs.get_mut(&run).ok_or("no such run")?.post;
        if answer == 0 {
            if post.settled {
                return Err(format!("the output of run {run} was delivered twice"));
            }
            post.taken = true;
        }
        match self.ask(slot, dice, settle)? {
            Asked::Died if answer == 1 => self.look_at_refused(run),
            Asked::Died => Ok(()),
            Asked::Answered(Err(Error::ClaimLost(_))) => {
                Err(format!("the delivery of run {run} was taken from its owner, who lives"))
            }
            Asked::Answered(Err(error)) => Err(format!("the delivery of run {run} is not settled: {error}")),
            Asked::Answered(Ok(())) => self.look_at_settled(run, answer),
        }
    }

    /// The process died as it recorded that nothing was sent. If that is on record, nobody need doubt it.
    fn look_at_refused(&mut self, run: i64) -> Found<()> {
        let row = rows::end_of(&self.observer, run)?;
        if row.is_some_and(|row| row.delivery == "pending") {
            self.ledger.runs.get_mut(&run).ok_or("no such run")?.post.in_doubt = false;
        }
        Ok(())
    }

    fn look_at_settled(&mut self, run: i64, answer: u32) -> Found<()> {
        let row = rows::end_of(&self.observer, run)?;
        let state = row.as_ref().map_or("gone", |row| row.delivery.as_str());
        let post = &mut self.ledger.runs.get_mut(&run).ok_or("no such run")?.post;
        match (answer, state) {
            (0, "delivered") => post.settled = true,
            (1, "pending" | "failed") => post.in_doubt = state == "failed",
            (2, "failed") | (3 | 4, "unknown" | "pending") => {}
            _ => return Err(format!("the delivery of run {run} was answered with {answer} and is {state}")),
        }
        Ok(())
    }
}
