//! The simulator: processes with the library's own writer and engine, people, callers, clocks and accidents, all of
//! them in virtual time and chosen by a seeded random source, on a real SQLite file, against a small ledger of what is
//! promised.
//!
//! A simulation is a seed and a list of steps. Each step has a random source of its own, so that steps can be left out
//! and the others do what they did as far as the world still lets them.
#![forbid(unsafe_code)]
#![allow(
    clippy::indexing_slicing,
    reason = "a simulator that leaves its own small arrays is wrong and shall stop"
)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod account;
mod act;
mod audit;
mod clock;
mod counts;
mod dice;
mod grid;
mod kinds;
mod ledger;
mod life;
mod look;
mod quiet;
mod rows;
mod shorten;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use counts::Counts;
pub use shorten::shorten;
pub use world::Template;

use dice::Dice;
use world::World;

/// What must not happen is an error, in words.
type Found<T> = Result<T, String>;

/// What a simulation came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// How many steps were taken, those of the end included.
    pub steps: u64,
    /// Tells it from any other.
    pub digest: u64,
    /// What happened how often.
    pub counts: Counts,
    /// What must not happen and did, and what happened before it.
    pub found: Option<(String, Vec<String>)>,
}

/// Runs a simulation of these steps.
pub fn simulate(template: &Template, seed: u64, steps: impl IntoIterator<Item = u64>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut world = match World::new(template, seed) {
        Ok(world) => world,
        Err(why) => return Outcome { found: Some((why, Vec::new())), ..outcome },
    };
    let played = catch_unwind(AssertUnwindSafe(|| play(&mut world, seed, steps, &mut outcome.steps)));
    let found = match played {
        Ok(found) => found.err(),
        Err(panic) => Some(format!("panicked: {}", message(&*panic))),
    };
    outcome.digest = world.digest();
    outcome.found = found.map(|what| (what.clone(), world.last_words(&what)));
    outcome.counts = std::mem::take(&mut world.counts);
    outcome
}

fn play(world: &mut World, seed: u64, steps: impl IntoIterator<Item = u64>, taken: &mut u64) -> Found<()> {
    for number in steps {
        world.step(seed, number)?;
        *taken += 1;
    }
    *taken += world.come_to_rest(&mut Dice::new(seed, u64::MAX - 1))?;
    Ok(())
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "without a message",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_result() {
        let template = Template::make().unwrap();
        let digests: Vec<u64> = (0..2).map(|_| simulate(&template, 7, 0..1_500).digest).collect();
        assert_eq!(digests[0], digests[1]);
        assert_ne!(digests[0], simulate(&template, 8, 0..1_500).digest);
    }
}
