//! Adverse states, each of them brought about and survived.
//!
//! `mainspring-proof-adverse [quick | long SECONDS] [state…]`
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;

use mainspring_proof_adverse::{Outside, Shown, each_state, full_disk, process};
use mainspring_proof_tally::Tier;

type State = fn(&Outside) -> Shown;

macro_rules! table {
    ($($module:ident::$name:ident,)+) => {
        const STATES: &[(&str, State)] =
            &[$((stringify!($name), mainspring_proof_adverse::$module::$name)),+];
    };
}
each_state!(table);

/// The states that some machines do not let anybody bring about.
const PRIVILEGED: usize = 1;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [role, dir] if role == full_disk::REALLY_FULL => {
            full_disk::really_full(Path::new(dir));
            return ExitCode::SUCCESS;
        }
        [role, dir] if role == process::WITHOUT_DESCRIPTORS => {
            process::without_descriptors(Path::new(dir));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    // Some states by name are fewer than all of them.
    let some = args.iter().any(|arg| STATES.iter().any(|(name, _)| name.contains(arg.as_str())));
    let minimum = if some { 1 } else { STATES.len() - PRIVILEGED };
    let tier = Tier::begin("adverse", "states", minimum as u64)
        .and_then(|tier| Ok((tier, std::env::current_exe().map_err(|error| error.to_string())?)));
    match tier {
        Ok((tier, exe)) => run(tier, &Outside { exe }),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut tier: Tier, outside: &Outside) -> ExitCode {
    let wanted = tier.rest().to_vec();
    loop {
        let asked =
            |name: &str| wanted.is_empty() || wanted.iter().any(|asked| name.contains(asked.as_str()));
        for (name, state) in STATES.iter().filter(|(name, _)| asked(name)) {
            // Its message is on the standard error.
            match catch_unwind(AssertUnwindSafe(|| state(outside))) {
                Ok(Shown::Yes) => tier.count(1),
                Ok(Shown::NotHere(why)) => println!("adverse: {name}: not here: {why}"),
                Err(_) => tier.violation(name, &format!("{} {name}", outside.exe.display())),
            }
        }
        if !tier.goes_on() || matches!(tier.mode(), mainspring_proof_tally::Mode::Quick) {
            return tier.finish();
        }
    }
}
