//! Chaos of processes: three engines and an operator on one file of a real disk. The engines are killed and frozen
//! at random; the operator locks the file for seconds, compacts it and reads it for long. What handlers and sinks
//! really did stands in a ledger outside the database, and is compared with the rows at the end.
//!
//! `mainspring-proof-chaos [quick | long SECONDS] [seed N]`. The seed decides who is killed, frozen and asked for
//! what, and when; how the processes race is up to the machine.
#![forbid(unsafe_code)]

mod disk;
mod engine;
mod fleet;
mod judge;
mod ledger;
mod operator;
mod producer;
mod report;
mod round;
mod spans;
mod watch;
mod work;

use std::path::Path;
use std::process::ExitCode;

use mainspring_proof_tally::Tier;

/// The name of the database.
const FILE: &str = "app.db";
/// The first argument of a child.
const CHILD: &str = "child-engine";
/// What the quick mode must reach.
const KILLS: u64 = 500;
/// Pauses for so many kills.
const PAUSES: u64 = 90;

/// Everything that fails here ends the tier with a sentence.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [role, life, dir] = args.as_slice()
        && role == CHILD
    {
        let served = life.parse().map_err(Into::into).and_then(|life| engine::serve(Path::new(dir), life));
        return ended(served.map(|()| ExitCode::SUCCESS));
    }
    ended(Tier::begin("chaos", "kills", KILLS).map_err(Into::into).and_then(round::run))
}

fn ended(outcome: Outcome<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}
