//! The tier `model`: claim, complete, deliver and recover as a model of which every state is visited.
//!
//! The words are those of the glossary and of `docs/state-machine.md`. Each model must hold, and reach what makes it
//! worth holding; each model with a bug must break the property that the bug is about.
#![allow(
    clippy::indexing_slicing,
    reason = "a model that leaves its own small arrays is wrong and shall stop"
)]

mod properties;
mod rules;
mod steps;
mod store;
mod world;

use std::process::ExitCode;

use mainspring_proof_tally::{Mode, Tier};
use stateright::{Checker, Expectation, HasDiscoveries, Model};

use crate::rules::{Bug, MODELS, Rules};
use crate::world::Budget;

/// Every model together has at least so many states, each visited.
const MINIMUM: u64 = 2_000_000;

fn main() -> ExitCode {
    let mut tier = match Tier::begin("model", "states", MINIMUM) {
        Ok(tier) => tier,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    };
    for bug in Bug::ALL {
        must_break(&mut tier, bug);
    }
    for rules in MODELS {
        must_hold(&mut tier, rules);
    }
    if let Mode::Long(_) = tier.mode() {
        // Nothing in here is random: what more time can show is more of fate.
        for rules in
            MODELS.iter().cycle().enumerate().map(|(nth, rules)| harder(*rules, nth / MODELS.len() + 1))
        {
            if !tier.goes_on() {
                break;
            }
            must_hold(&mut tier, rules);
        }
    }
    tier.finish()
}

/// The same with more kills; more of them make no new kind of state, but many more of each.
fn harder(rules: Rules, more: usize) -> Rules {
    let kills = rules.fate.kills.saturating_add(u8::try_from(more).unwrap_or(u8::MAX));
    Rules { fate: Budget { kills, ..rules.fate }, ..rules }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn must_hold(tier: &mut Tier, rules: Rules) {
    let begun = std::time::Instant::now();
    let checker =
        rules.checker().threads(threads()).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    tier.count(checker.unique_state_count() as u64);
    println!(
        "  {}: {} states, {} steps deep, {} ms",
        rules.name,
        checker.unique_state_count(),
        checker.max_depth(),
        begun.elapsed().as_millis()
    );
    let discoveries = checker.discoveries();
    for property in rules.properties() {
        match (&property.expectation, discoveries.get(property.name)) {
            (Expectation::Sometimes, None) => {
                tier.violation(&format!("{}: never: {}", rules.name, property.name), "model");
            }
            (Expectation::Always | Expectation::Eventually, Some(path)) => {
                let steps = path.clone().into_actions();
                let what = format!("{}: not so: {}\n  after {steps:?}", rules.name, property.name);
                tier.violation(&what, "model");
            }
            _ => {}
        }
    }
}

fn must_break(tier: &mut Tier, bug: Bug) {
    let rules = rules::with_bug(bug);
    let wanted = properties::broken_by(bug);
    let any = HasDiscoveries::AnyOf(wanted.iter().copied().collect());
    // One thread and breadth first: the shortest way to the bug, the same each time.
    let checker = rules.checker().finish_when(any).spawn_bfs().join();
    let found = checker.discoveries();
    match wanted.iter().find_map(|name| Some((name, found.get(name)?))) {
        Some((name, path)) => {
            println!("  with {bug:?}: not so: {name}, after {} steps", path.clone().into_actions().len());
        }
        None => tier.violation(&format!("a model with the bug {bug:?} breaks none of {wanted:?}"), "model"),
    }
}
