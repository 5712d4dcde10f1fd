//! Sleeping, waking and closing: the very files of the library, compiled against a scheduler that decides which
//! thread runs next at each lock, notice and message, and tries many thousand such orders.
//!
//! A wait has no time-out here, except a short one, so that a wake-up that gets lost is a deadlock, which the
//! scheduler reports. Half of the schedules are random; the other half gives threads priorities and changes them at a
//! few places (PCT), which finds what needs one thread to be held for long.
//!
//! `wakeups [quick | long SECONDS] [seed N] [only SCENARIO]`. One seed gives the same schedules.
#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a scenario fails by panicking; the tier catches it and tells how to see it again"
)]

#[cfg_attr(feature = "simulation", allow(dead_code, reason = "what only the simulator uses"))]
#[path = "../../../../src/core/drive.rs"]
mod drive;
#[path = "../../../../src/core/generation.rs"]
mod generation;
#[cfg_attr(test, allow(dead_code, reason = "what only the library's own tests use"))]
#[path = "../../../../src/core/inbox.rs"]
mod inbox;
mod machine;
mod sabotage;
mod scenarios;
mod sync;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::thread;

use mainspring_proof_tally::Tier;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use scenarios::{SCENARIOS, Scenario};

/// What the quick mode tries.
const MINIMUM: u64 = 120_000;
/// A scenario is tried so often with each scheduler before the next one's turn comes.
const TURN: usize = 250;
/// So many changes of priority a schedule: two writers and two callers need no more to go wrong.
const DEPTH: usize = 4;
/// No schedule needs as many; one that does runs in circles.
const MOST_STEPS: usize = 20_000;
/// The deliberate bug must be found in so many turns.
const TURNS_FOR_THE_BUG: u64 = 40;

fn main() -> ExitCode {
    let mut tier = match Tier::begin("wakeups", "schedules", MINIMUM) {
        Ok(tier) => tier,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    };
    let only = match tier.rest() {
        [] => None,
        [word, name] if word == "only" => Some(name.clone()),
        other => {
            eprintln!("not understood: {}", other.join(" "));
            return ExitCode::FAILURE;
        }
    };
    let chosen: Vec<&Scenario> =
        SCENARIOS.iter().filter(|it| only.as_ref().is_none_or(|name| it.name == name)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = SCENARIOS.iter().map(|it| it.name).collect();
        eprintln!("there is no such scenario; there are: {}", names.join(", "));
        return ExitCode::FAILURE;
    }
    // A failure is told by the tier, with what it takes to see it again.
    std::panic::set_hook(Box::new(|_| {}));
    let mut broken = vec![false; chosen.len()];
    let mut turn = 0;
    while tier.goes_on() && broken.contains(&false) {
        let seed = tier.seed().wrapping_add(turn);
        for (scenario, result) in all_at_once(&chosen, &broken, seed) {
            match result {
                Ok(tried) => tier.count(tried),
                Err(why) => {
                    broken[scenario] = true;
                    let name = chosen[scenario].name;
                    tier.violation(&format!("{name}: {why}"), &format!("wakeups seed {seed} only {name}"));
                }
            }
        }
        turn += 1;
    }
    if only.is_none() && !sabotage::is_on_for_all() {
        find_the_bug(&mut tier);
    }
    tier.finish()
}

/// One turn of each scenario that holds up to now, on two threads.
fn all_at_once(
    chosen: &[&'static Scenario],
    broken: &[bool],
    seed: u64,
) -> Vec<(usize, Result<u64, String>)> {
    let left: Vec<usize> = (0..chosen.len()).filter(|at| !broken[*at]).collect();
    let (these, those) = left.split_at(left.len() / 2);
    let try_all = |of: &[usize]| -> Vec<(usize, Result<u64, String>)> {
        of.iter().map(|at| (*at, try_one(chosen[*at], seed))).collect()
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| try_all(these));
        let mut results = try_all(those);
        results.extend(other.join().unwrap_or_else(|why| vec![(0, Err(message(&*why)))]));
        results
    })
}

/// One turn of a scenario; says what went wrong first.
fn try_one(scenario: &Scenario, seed: u64) -> Result<u64, String> {
    let random = run(RandomScheduler::new_from_seed(seed, TURN), scenario.run)?;
    let changing = run(PctScheduler::new_from_seed(seed, DEPTH, TURN), scenario.run)?;
    Ok(random + changing)
}

fn run(scheduler: impl Scheduler + 'static, scenario: fn()) -> Result<u64, String> {
    let mut config = Config::new();
    config.max_steps = MaxSteps::FailAfter(MOST_STEPS);
    config.failure_persistence = FailurePersistence::None;
    config.silence_warnings = true;
    let runner = Runner::new(scheduler, config);
    catch_unwind(AssertUnwindSafe(|| runner.run(scenario) as u64)).map_err(|why| message(&*why))
}

/// The tier is worth something only if it finds the bug that it is there for.
fn find_the_bug(tier: &mut Tier) {
    let found = thread::spawn(|| {
        sabotage::switch_on_here();
        (0..TURNS_FOR_THE_BUG).find_map(|turn| {
            let failed = |scenario: &Scenario| try_one(scenario, turn).err().map(|why| (scenario.name, why));
            SCENARIOS.iter().find_map(failed)
        })
    });
    match found.join() {
        Ok(Some((name, why))) => println!("lost_wakeup is caught by {name}: {}", first_line(&why)),
        Ok(None) => tier.violation("lost_wakeup is not caught", "wakeups quick"),
        Err(why) => tier.violation(&message(&*why), "wakeups quick"),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn message(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "a panic without a message".to_owned(),
    }
}
