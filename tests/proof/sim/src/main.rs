//! The tier `sim`: many simulations, each from its own seed.
//!
//! `mainspring-proof-sim [quick | long SECONDS] [seed N] [odd | steps 1,4,9-20]`. With `steps`, the one simulation of
//! that seed is run with these steps only, and told. With `odd`, every second seed is left out: beginning with an odd
//! one, those are left in whose wall clocks are never set.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use mainspring_proof_sim::{Counts, Outcome, Template, shorten, simulate};
use mainspring_proof_tally::{Mode, Tier};

/// What the quick mode takes, and of how many seeds.
const MINIMUM: u64 = 2_000_000;
const SEEDS: u64 = 1_000;
/// Of how many steps a simulation is made, its end not counted.
const STEPS: u64 = 1_600;
/// What must have happened how often in so many steps, or the simulation has become empty: about half of what does.
const HAPPENED: &[(&str, u64)] = &[
    ("acknowledged enqueues", 20_000),
    ("calls", 60_000),
    ("successes", 30_000),
    ("failures", 5_000),
    ("timeouts", 5_000),
    ("releases", 2_000),
    ("late results", 5_000),
    ("kills", 3_000),
    ("kills before an answer", 500),
    ("recoveries", 5_000),
    ("freezes", 2_000),
    ("jumps back", 500),
    ("jumps forward", 500),
    ("caught-up runs", 5_000),
    ("retries by hand", 500),
    ("redeliveries", 100),
    ("deliveries", 3_000),
    ("unknown deliveries", 300),
    ("changed schedules", 5_000),
    ("cancels of runs", 500),
    ("prunes", 300),
];
/// So many things that must not happen are enough.
const ENOUGH: u64 = 4;

fn main() -> ExitCode {
    let tier = Tier::begin("sim", "steps", MINIMUM);
    let (tier, template) = match tier.and_then(|tier| Ok((tier, Template::make()?))) {
        Ok(begun) => begun,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    };
    match tier.rest() {
        [] => all(tier, &template, 1),
        [word] if word == "odd" => all(tier, &template, 2),
        [word, list] if word == "steps" => match numbers(list) {
            Some(steps) => one(tier, &template, &steps),
            None => refuse(&format!("not a list of steps: {list}")),
        },
        other => refuse(&format!("not understood: {}", other.join(" "))),
    }
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}

/// One simulation, told.
fn one(mut tier: Tier, template: &Template, steps: &[u64]) -> ExitCode {
    let outcome = simulate(template, tier.seed(), steps.iter().copied());
    tier.count(outcome.steps);
    match outcome.found {
        Some((what, before)) => {
            before.iter().for_each(|line| println!("  {line}"));
            println!("{what}");
            ExitCode::FAILURE
        }
        None => {
            println!("nothing was found in {} steps, digest {:016x}", outcome.steps, outcome.digest);
            ExitCode::SUCCESS
        }
    }
}

fn all(mut tier: Tier, template: &Template, apart: u64) -> ExitCode {
    let counts = Mutex::new(Counts::default());
    let next = AtomicU64::new(tier.seed());
    let found = AtomicU64::new(0);
    let seeds = AtomicU64::new(0);
    let shared = Mutex::new(&mut tier);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while found.load(Ordering::Relaxed) < ENOUGH
                    && goes_on(&shared, seeds.load(Ordering::Relaxed))
                {
                    let seed = next.fetch_add(apart, Ordering::Relaxed);
                    let outcome = simulate(template, seed, 0..STEPS);
                    seeds.fetch_add(1, Ordering::Relaxed);
                    lock(&counts).merge(&outcome.counts);
                    lock(&shared).count(outcome.steps);
                    if outcome.found.is_some() {
                        found.fetch_add(1, Ordering::Relaxed);
                        tell(&shared, template, seed, outcome);
                    }
                }
            });
        }
    });
    let counts = lock(&counts).clone();
    println!("  {} seeds", seeds.load(Ordering::Relaxed));
    let line: Vec<String> = counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
    line.chunks(8).for_each(|some| println!("  {}", some.join(", ")));
    let tried = tier.tried();
    for (what, least) in HAPPENED.iter().map(|(what, least)| (what, least * tried / MINIMUM)) {
        if counts.of(what) < least {
            let found = format!("{what} happened {} times in {tried} steps, not {least}", counts.of(what));
            tier.violation(&found, "tests/proof/run quick sim");
        }
    }
    tier.finish()
}

fn goes_on(tier: &Mutex<&mut Tier>, seeds: u64) -> bool {
    let tier = lock(tier);
    tier.goes_on() || tier.mode() == Mode::Quick && seeds < SEEDS
}

/// Prints what was found, and the fewest steps that find it.
fn tell(tier: &Mutex<&mut Tier>, template: &Template, seed: u64, outcome: Outcome) {
    let Some((what, _)) = outcome.found else { return };
    let steps: Vec<u64> = (0..outcome.steps.min(STEPS - 1) + 1).collect();
    let fewest = shorten(template, seed, &steps);
    let again = format!("tests/proof/run quick sim -- seed {seed} steps {}", ranges(&fewest));
    let told = simulate(template, seed, fewest.iter().copied()).found;
    let mut tier = lock(tier);
    tier.violation(&format!("seed {seed}: {what}"), &again);
    if let Some((what, before)) = told {
        before.iter().for_each(|line| println!("    {line}"));
        println!("    {what}");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// `1,4,9-20` for a list of numbers in order.
fn ranges(numbers: &[u64]) -> String {
    let mut text: Vec<String> = Vec::new();
    let mut rest = numbers;
    while let [first, ..] = rest {
        let length = rest.iter().zip(*first..).take_while(|(number, at)| **number == *at).count();
        let last = first + length as u64 - 1;
        text.push(if last == *first { first.to_string() } else { format!("{first}-{last}") });
        rest = rest.get(length..).unwrap_or_default();
    }
    text.join(",")
}

fn numbers(text: &str) -> Option<Vec<u64>> {
    let mut numbers = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        numbers.extend(first.parse().ok()?..=last.parse::<u64>().ok()?);
    }
    Some(numbers)
}
