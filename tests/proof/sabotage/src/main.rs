//! Sabotage. Each deliberate bug of `src/sabotage.rs` is switched on, one at a time, in a process that must catch it
//! within half a minute; the same process without the bug must find nothing.
//!
//! ```text
//! sabotage quick                          every bug
//! sabotage quick bug lost_wakeup          one of them
//! sabotage life fence                     one of the short lives that catch what no other tier meets quickly
//! ```
#![forbid(unsafe_code)]

mod catchers;
mod child;
mod lives;
mod tier;

use std::process::ExitCode;

use mainspring_proof_tally::Tier;

/// What the quick mode must reach: the bugs that the project's proof was to catch from the beginning.
const MINIMUM: u64 = 14;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [word, name] = args.as_slice()
        && word == "life"
    {
        return lives::live(name).unwrap_or_else(|why| refuse(&why));
    }
    let tier = match Tier::begin("sabotage", "bugs", MINIMUM) {
        Ok(tier) => tier,
        Err(why) => return refuse(&why),
    };
    let rest: Vec<String> = tier.rest().to_vec();
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let done = match rest[..] {
        [] => tier::run(tier),
        ["bug", name] => {
            name.parse().map_err(|error| format!("{error}")).and_then(|bug| tier::one(bug, tier))
        }
        _ => Err(format!("{rest:?} is neither nothing nor: bug NAME")),
    };
    done.unwrap_or_else(|why| refuse(&why))
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("sabotage: {why}");
    ExitCode::from(2)
}
