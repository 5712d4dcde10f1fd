//! SIGKILL at every operation on the files while an application works, first start and upgrade included, in the middle
//! of writes, and twice more while what the first kill left is recovered from. Then the application goes on to its end:
//! nothing that was acknowledged is lost, and nothing happens more often than a kill explains.
//!
//! ```text
//! kill quick                        the whole sweep
//! kill quick case "recovery write wal 17 kill-torn once, any any 40 kill-before once"
//!                                   one case, with its ledger and the log of the library
//! kill quick counts                 how many operations each scenario asks for
//! ```
#![forbid(unsafe_code)]

mod life;
mod plan;
mod sweep;
mod worker;

use std::path::Path;
use std::process::ExitCode;

use mainspring_proof_tally::Tier;
use mainspring_proof_vfs::without_memory_statistics;

/// What the quick mode must reach.
const MINIMUM: u64 = 10_000;

fn main() -> ExitCode {
    let begun = without_memory_statistics().and_then(|()| begin());
    begun.unwrap_or_else(|why| {
        eprintln!("kill: {why}");
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
    let tier = Tier::begin("kill", "kills", MINIMUM)?;
    let rest = tier.rest().to_vec();
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    match rest[..] {
        [] => sweep::sweep(tier),
        ["counts"] => sweep::counts(),
        ["case", ref words @ ..] if !words.is_empty() => sweep::one(&words.join(" ")),
        _ => {
            Err(format!("{rest:?} is none of: nothing, counts, case \"SCENARIO OP FILE N FLAVOUR once, …\""))
        }
    }
}
