//! Who plays the cases: a process that has one at a time, so that what goes wrong in it is that case's.

use std::fs;
use std::path::{Path, PathBuf};

use mainspring_proof_stage::{Scenario, watch};
use mainspring_proof_tally::{Report, serve};
use tokio::runtime::Runtime;

use crate::case::play;
use crate::plan::Case;

/// The first argument of a worker; the second is the folder.
pub(crate) const WORKER: &str = "worker";
/// Its third, if it is to print what the library says to its log.
pub(crate) const ALOUD: &str = "aloud";
/// One case of so many also sees the next start.
const THOROUGH: u64 = 4;

/// The file that a scenario begins with.
pub(crate) fn template(root: &Path, scenario: Scenario) -> PathBuf {
    root.join(format!("{scenario}.db"))
}

pub(crate) fn runtime() -> Result<Runtime, String> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))
}

/// Plays the cases that are asked for.
pub(crate) fn work(root: &Path, aloud: bool) -> Result<(), String> {
    watch::begin(aloud)?;
    let runtime = runtime()?;
    let mut number = 0;
    let attempt = |case: &str| {
        number += 1;
        let dir = root.join(format!("{}-{number}", std::process::id()));
        run(&runtime, case, root, &dir)
            .unwrap_or_else(|why| Report { violations: vec![why], ..Report::default() })
    };
    serve(attempt).map_err(|error| error.to_string())
}

/// Plays a case. What goes wrong with the tier itself is an error.
fn run(runtime: &Runtime, case: &str, root: &Path, dir: &Path) -> Result<Report, String> {
    let case: Case = case.parse()?;
    let thorough = case.faults.first().is_none_or(|fault| fault.nth % THOROUGH == 0);
    let template = template(root, case.scenario);
    let played = runtime.block_on(play(case.scenario, &template, dir, &case.faults, thorough))?;
    fs::remove_dir_all(dir).map_err(|error| format!("the tier's own files: {error}"))?;
    let violations = played.violations.into_iter().chain(watch::seen()).collect();
    let notes = played.ledger.entries().iter().map(ToString::to_string).collect();
    Ok(Report { count: played.met, violations, notes })
}
