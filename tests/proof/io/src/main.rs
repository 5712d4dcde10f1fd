//! Every operation on the files goes wrong in every way that it can, once and from then on, while an application
//! works; then the disk is well again. Nothing that was acknowledged is lost, nothing happens twice, every error is
//! of a kind that tells what to do, and the engine goes on by itself.
//!
//! ```text
//! io quick                                                the whole sweep
//! io quick case "recovery write wal 17 torn once"         one case, with its ledger and the log of the library
//! io quick rehearse recovery                              one scenario without a fault, with the log of the library
//! io quick counts                                         how many operations each scenario asks for
//! ```
#![forbid(unsafe_code)]

mod case;
mod plan;
mod sweep;
mod worker;

use std::path::Path;
use std::process::ExitCode;

use mainspring_proof_tally::Tier;
use mainspring_proof_vfs::without_memory_statistics;

/// What the quick mode must reach.
const MINIMUM: u64 = 12_000;

fn main() -> ExitCode {
    let begun = without_memory_statistics().and_then(|()| begin());
    begun.unwrap_or_else(|why| {
        eprintln!("io: {why}");
        ExitCode::from(2)
    })
}

fn begin() -> Result<ExitCode, String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [role, root, more @ ..] = args.as_slice()
        && role == worker::WORKER
    {
        let aloud = more.iter().any(|word| word == worker::ALOUD);
        return worker::work(Path::new(root), aloud).map(|()| ExitCode::SUCCESS);
    }
    let tier = Tier::begin("io", "faults", MINIMUM)?;
    let rest = tier.rest().to_vec();
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    match rest[..] {
        [] => sweep::sweep(tier),
        ["counts"] => sweep::counts(),
        ["rehearse", scenario] => sweep::rehearse(scenario),
        ["case", ref words @ ..] if !words.is_empty() => sweep::one(&words.join(" ")),
        _ => Err(format!(
            "{rest:?} is none of: nothing, counts, rehearse SCENARIO, case \"SCENARIO OP FILE N FLAVOUR once|sticky, …\""
        )),
    }
}
