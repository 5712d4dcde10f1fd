//! What a person, a program or a damaged disk may put before the library: cron lines, schedules, JSON, names, rows of
//! every table, histories of migrations, bytes of the file. Nothing panics, every error is typed and bounded, what is
//! read and shown reads back as the same, and a row that makes no sense keeps no other from being run.
//!
//! ```text
//! fuzz quick                        all cases
//! fuzz quick seed 7                 all cases of another seed
//! fuzz quick seed 1 only rows       the cases of one target
//! fuzz quick seed 1 case rows 17    one case, with what it does
//! ```
//!
//! A case follows from the seed, the name of its target and its number alone.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a harness that panics outside of a case has failed, and its message says where"
)]

mod bytes;
mod cron;
mod dice;
mod errors;
mod file;
mod history;
mod hostile;
mod json;
mod names;
mod panics;
mod rows;
mod run;
mod schedules;

use std::process::ExitCode;

use mainspring_proof_tally::Tier;

use crate::dice::Dice;

/// What the quick mode must reach.
const MINIMUM: u64 = 200_000;

/// What is wrong, in a sentence; nothing if all is as it must be.
pub(crate) type Verdict = Result<(), String>;

/// A kind of input.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// How many cases a round has.
    pub(crate) cases: u64,
    pub(crate) case: fn(u64, &mut Dice) -> Verdict,
}

/// The cheap ones first: they find the most in the least time.
pub(crate) const TARGETS: &[Target] = &[
    Target { name: "cron", cases: 110_000, case: cron::case },
    Target { name: "schedules", cases: 60_000, case: schedules::case },
    Target { name: "json", cases: 26_000, case: json::case },
    Target { name: "names", cases: 3_000, case: names::case },
    Target { name: "history", cases: 800, case: history::case },
    Target { name: "bytes", cases: 300, case: bytes::case },
    Target { name: "rows", cases: 800, case: rows::case },
];

fn main() -> ExitCode {
    panics::record();
    let (tier, rest) = match Tier::begin("fuzz", "cases", MINIMUM) {
        Ok(tier) => {
            let rest = tier.rest().to_vec();
            (tier, rest)
        }
        Err(why) => return refuse(&why),
    };
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let target = |name: &str| {
        TARGETS.iter().find(|target| target.name == name).ok_or_else(|| {
            let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            format!("there is no target {name:?}; there are: {}", names.join(", "))
        })
    };
    let done = match rest[..] {
        [] => Ok(run::all(tier)),
        ["only", name] => target(name).map(|target| run::only(&tier, target)),
        ["case", name, number] => number
            .parse()
            .map_err(|_| format!("{number:?} is no number of a case"))
            .and_then(|number| target(name).map(|target| run::one(tier.seed(), target, number))),
        _ => Err(format!("{rest:?} is none of: nothing, only TARGET, case TARGET NUMBER")),
    };
    done.unwrap_or_else(|why| refuse(&why))
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("fuzz: {why}");
    ExitCode::from(2)
}
