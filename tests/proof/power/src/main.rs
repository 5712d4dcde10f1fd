//! Power cuts. Every write of a scenario is recorded; then the power is cut after each of them, under several models
//! of what a disk makes of that which was not synced. Each image is opened, and must hold exactly what some commit
//! held, byte for byte: under `Strict` and `Balanced` no earlier one than what was acknowledged, done or delivered
//! allows, under `Relaxed` any. The library goes on with some of the images to the end of the scenario, and that is
//! cut again.
//!
//! ```text
//! power quick                                     every scenario in every durability
//! power quick case enqueue balanced               one of them
//! ```
//!
//! The seed decides where and how the power is cut. How the threads of a scenario race is up to the machine.
#![forbid(unsafe_code)]

mod again;
mod calls;
mod commits;
mod cut;
mod disk;
mod examine;
mod facts;
mod image;
/// The library's own list.
#[path = "../../../../src/store/doctor/invariants.rs"]
mod invariants;
mod known;
mod promise;
mod record;
mod sweep;
mod tier;

use std::process::ExitCode;

use mainspring_proof_tally::Tier;

use crate::tier::Case;

/// What the quick mode must reach.
const MINIMUM: u64 = 60_000;

fn main() -> ExitCode {
    let tier = match Tier::begin("power", "images", MINIMUM) {
        Ok(tier) => tier,
        Err(why) => return refuse(&why),
    };
    quiet_panics();
    let rest: Vec<String> = tier.rest().to_vec();
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let done = match rest[..] {
        [] => tier::run(tier),
        ["case", scenario, durability] => case(scenario, durability).and_then(|case| tier::one(case, tier)),
        _ => Err(format!("{rest:?} is neither nothing nor: case SCENARIO DURABILITY")),
    };
    done.unwrap_or_else(|why| refuse(&why))
}

fn case(scenario: &str, durability: &str) -> Result<Case, String> {
    let durability = durability.parse().map_err(|error: mainspring::UnknownWord| error.to_string())?;
    Ok(Case { scenario: scenario.parse()?, durability })
}

/// The handlers of the stage panic where their part says so, and that is nothing to print.
fn quiet_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str() != Some(mainspring_proof_stage::PANIC) {
            usual(panic);
        }
    }));
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("power: {why}");
    ExitCode::from(2)
}
