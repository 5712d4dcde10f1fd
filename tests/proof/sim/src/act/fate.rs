//! What nobody wants: time that passes, clocks that jump, processes that die, freeze or are told to go.

use super::super::world::Asked;
use crate::Found;
use crate::dice::Dice;
use crate::rows;
use crate::world::{PROCESSES, World};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

impl World {
    /// Time passes.
    pub(crate) fn wait(&mut self, dice: &mut Dice) -> Found<()> {
        let ms = match dice.weighted(&[(30, 0), (40, 1), (15, 2), (10, 3), (2, 4)]) {
            0 => dice.ms(1, 600),
            1 => self.until_something(30 * MINUTE)?,
            2 => dice.ms(1_000, MINUTE),
            3 => dice.ms(MINUTE, 20 * MINUTE),
            _ => dice.ms(HOUR, 9 * HOUR),
        };
        self.clock.pass(ms);
        Ok(())
    }

    /// How long until something falls due or a handler comes back; at most so long.
    pub(crate) fn until_something(&self, longest: u64) -> Found<u64> {
        let now = self.now();
        let due = rows::number(
            &self.observer,
            "SELECT min(next_run_at_ms) FROM mainspring_jobs WHERE claimable = 1 AND next_run_at_ms > ?1",
            [now],
        )?;
        let delivery = rows::number(
            &self.observer,
            "SELECT min(next_delivery_at_ms) FROM mainspring_completions
             WHERE delivery = 'pending' AND next_delivery_at_ms > ?1",
            [now],
        )?;
        let steady = self.clock.steady_ms();
        let calls = self.lives.iter().flatten().flat_map(|life| &life.calls);
        let back = calls.map(|call| call.comes_back.saturating_sub(steady)).filter(|ms| *ms > 0).min();
        let until = |at: Option<i64>| at.and_then(|at| u64::try_from(at - now).ok());
        Ok([until(due), until(delivery), back].into_iter().flatten().min().unwrap_or(1_000).clamp(1, longest))
    }

    /// Somebody, or some service, sets the wall clock.
    pub(super) fn jump(&mut self, dice: &mut Dice) -> Found<()> {
        if !self.traits.jumps {
            return Ok(());
        }
        let far = match dice.weighted(&[(4, 0), (3, 1), (2, 2)]) {
            0 => dice.ms(1_000, 30 * MINUTE),
            1 => dice.ms(HOUR, 5 * HOUR),
            _ => 24 * HOUR,
        };
        let by = i64::try_from(far).unwrap_or(0);
        let back = dice.chance(450);
        self.clock.jump(if back { -by } else { by });
        self.counts.add(if back { "jumps back" } else { "jumps forward" });
        self.tell(|_| format!("the clock jumps {} {by} ms", if back { "back" } else { "forward" }));
        if back {
            self.account_again();
        }
        Ok(())
    }

    /// One process dies, or all do: the machine restarts.
    pub(super) fn strike(&mut self, slot: usize, dice: &mut Dice) -> Found<()> {
        if dice.chance(120) {
            self.counts.add("machine restarts");
            (0..PROCESSES).for_each(|slot| self.kill(slot));
            self.clock.pass(dice.ms(2_000, 10 * HOUR));
            return self.start(0, dice);
        }
        self.kill(slot);
        Ok(())
    }

    /// A process is stopped by a signal, for longer than anybody would wait.
    pub(super) fn freeze(&mut self, slot: usize, dice: &mut Dice) -> Found<()> {
        if dice.chance(500) || self.awake().len() > 1 {
            self.life(slot)?.frozen = true;
            self.counts.add("freezes");
            self.tell(|_| format!("process {slot} freezes"));
        }
        Ok(())
    }

    /// A process is told to go: it claims nothing more, its handlers are asked to stop, then it leaves.
    pub(super) fn shut_down(&mut self, slot: usize, dice: &mut Dice) -> Found<()> {
        let life = self.life(slot)?;
        if !life.stopping {
            life.stopping = true;
            let stop = life.process.stop_claiming();
            self.ask(slot, dice, stop)?;
            return Ok(());
        }
        self.leave(slot, dice)
    }

    /// The last step of a process that shuts down.
    fn leave(&mut self, slot: usize, dice: &mut Dice) -> Found<()> {
        let life = self.life(slot)?;
        let owner = life.owner().0;
        // What it leaves open is recovered by others as soon as its lock is free.
        let detach = life.process.detach();
        self.ledger.dead.insert(owner, true);
        if let Asked::Answered(Ok(())) = self.ask(slot, dice, detach)? {
            self.counts.add("shutdowns");
            self.tell(|_| format!("process {slot} leaves"));
            self.lives[slot] = None;
        }
        Ok(())
    }
}
