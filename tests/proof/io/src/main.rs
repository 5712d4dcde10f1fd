//! Every operation on the files goes wrong in every way that it can, once and from then on, while an application
//! works; then the disk is well again. Nothing that was acknowledged is lost, nothing happens twice, every error is
//! of a kind that tells what to do, and the engine goes on by itself.
//!
//! ```text
//! io quick                                                the whole sweep
//! io quick case "recovery write wal 17 torn once"         one case, with the log of the library
//! io quick rehearse recovery                              one scenario without a fault, with the log of the library
//! io quick counts                                         how many operations each scenario asks for
//! ```
#![forbid(unsafe_code)]

mod case;
mod plan;
mod sweep;
mod watch;

use std::process::ExitCode;

use mainspring_proof_tally::Tier;

/// What the quick mode must reach.
const MINIMUM: u64 = 12_000;

fn main() -> ExitCode {
    let (tier, rest) = match Tier::begin("io", "faults", MINIMUM) {
        Ok(tier) => {
            let rest = tier.rest().to_vec();
            (tier, rest)
        }
        Err(why) => return refuse(&why),
    };
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let done = match rest[..] {
        [] => sweep::sweep(tier),
        ["counts"] => sweep::counts(),
        ["rehearse", scenario] => sweep::rehearse(scenario),
        ["case", ref words @ ..] if !words.is_empty() => sweep::one(&words.join(" ")),
        _ => Err(format!(
            "{rest:?} is none of: nothing, counts, rehearse SCENARIO, case \"SCENARIO OP FILE N FLAVOUR once|sticky\""
        )),
    };
    done.unwrap_or_else(|why| refuse(&why))
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("io: {why}");
    ExitCode::from(2)
}
