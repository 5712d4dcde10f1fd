//! What happens: one thing a step.

mod ask_for;
mod declare;
mod deliver;
mod fate;
mod handler;
mod operate;

use crate::Found;
use crate::dice::Dice;
use crate::world::{PROCESSES, World};

#[derive(Clone, Copy)]
enum Act {
    Tick,
    Handler,
    Deliver,
    Wait,
    Enqueue,
    Declare,
    Operate,
    Kill,
    Start,
    Jump,
    Freeze,
    Shutdown,
}

/// What happens in ordinary times, by weight.
const ACTS: &[(u32, Act)] = &[
    (300, Act::Tick),
    (230, Act::Handler),
    (120, Act::Deliver),
    (170, Act::Wait),
    (60, Act::Enqueue),
    (24, Act::Declare),
    (60, Act::Operate),
    (5, Act::Kill),
    (20, Act::Start),
    (4, Act::Jump),
    (10, Act::Freeze),
    (6, Act::Shutdown),
];

/// All jobs and outcomes are looked at each so many steps …
const AUDIT: u64 = 64;
/// … and the whole file by the library's own list of what must hold.
const DOCTOR: u64 = 512;

impl World {
    /// Does what the step with this number does.
    pub(crate) fn step(&mut self, seed: u64, number: u64) -> Found<()> {
        let mut dice = Dice::new(seed, number);
        self.act(&mut dice)?;
        if number.is_multiple_of(AUDIT) {
            self.audit()?;
        }
        if number.is_multiple_of(DOCTOR) {
            self.ask_the_doctor()?;
        }
        Ok(())
    }

    fn act(&mut self, dice: &mut Dice) -> Found<()> {
        let act = dice.weighted(ACTS);
        if let Act::Wait = act {
            return self.wait(dice);
        }
        if let Act::Start = act {
            return self.start_one(dice);
        }
        let Some(slot) = dice.pick_if_any(&self.awake()) else {
            return if dice.chance(500) { self.start_one(dice) } else { self.wait(dice) };
        };
        match act {
            Act::Tick | Act::Wait | Act::Start => self.tick(slot, dice),
            Act::Handler => self.play(slot, dice),
            Act::Deliver => self.deliver(slot, dice),
            Act::Enqueue => self.enqueue(slot, dice),
            Act::Declare => self.declare(slot, dice),
            Act::Operate => self.operate(slot, dice),
            Act::Kill => self.strike(slot, dice),
            Act::Jump => self.jump(dice),
            Act::Freeze => self.freeze(slot, dice),
            Act::Shutdown => self.shut_down(slot, dice),
        }
    }

    /// The writer takes a step, as it does all the time.
    pub(crate) fn tick(&mut self, slot: usize, dice: &mut Dice) -> Found<()> {
        self.step_of(slot)?;
        if !self.calm && dice.chance(2) {
            self.counts.add("kills before a handler");
            self.kill(slot);
            return Ok(());
        }
        self.take_events(slot, dice)
    }

    fn start_one(&mut self, dice: &mut Dice) -> Found<()> {
        let asleep: Vec<usize> = (0..PROCESSES).filter(|slot| !self.awake().contains(slot)).collect();
        let Some(slot) = dice.pick_if_any(&asleep) else { return Ok(()) };
        match &mut self.lives[slot] {
            Some(life) => {
                life.frozen = false;
                self.tell(|_| format!("process {slot} goes on"));
                Ok(())
            }
            None => self.start(slot, dice),
        }
    }
}
