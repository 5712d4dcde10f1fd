//! Who lives the lives of a case: a process with one thread, of which each life is a fork.

use std::path::{Path, PathBuf};

use mainspring::OpenOptions;
use mainspring_proof_stage::{Ledger, Scenario, Terms, check, watch};
use mainspring_proof_tally::{Report, serve};

use crate::life::{End, Place, live};
use crate::plan::Case;

/// The first argument of a worker; the second is the folder.
pub(crate) const WORKER: &str = "worker";
/// Its third, if it is to print what the library says to its log.
pub(crate) const ALOUD: &str = "aloud";

/// The file that a scenario begins with.
pub(crate) fn template(root: &Path, scenario: Scenario) -> PathBuf {
    root.join(format!("{scenario}.db"))
}

/// Lives the cases that are asked for.
pub(crate) fn work(root: &Path, aloud: bool) -> Result<(), String> {
    watch::begin(aloud)?;
    migrate_once(root)?;
    let mut number = 0;
    let attempt = |case: &str| {
        number += 1;
        let dir = root.join(format!("{}-{number}", std::process::id()));
        run(case, root, dir).unwrap_or_else(|why| Report { violations: vec![why], ..Report::default() })
    };
    serve(attempt).map_err(|error| error.to_string())
}

/// Migrates a file that nobody needs: what the first migration of a process makes for all of them (the expression with which
/// refinery reads their names) is then there in each life, and was a fourteenth of what a life took.
fn migrate_once(root: &Path) -> Result<(), String> {
    let dir = root.join(format!("{}-once", std::process::id()));
    let own = |error: std::io::Error| format!("the tier's own files: {error}");
    std::fs::create_dir(&dir).map_err(own)?;
    OpenOptions::new(dir.join("once.db")).migrate().map_err(|error| error.to_string())?;
    std::fs::remove_dir_all(&dir).map_err(own)
}

/// Lives the lives of a case and looks at what they left. What goes wrong with the tier itself is an error.
fn run(case: &str, root: &Path, dir: PathBuf) -> Result<Report, String> {
    let own = |error: std::io::Error| format!("the tier's own files: {error}");
    let case: Case = case.parse()?;
    has_one_thread()?;
    let place = Place::make(dir, &template(root, case.scenario)).map_err(own)?;
    let mut report = Report::default();
    for kill in case.kills.iter().copied().map(Some).chain([None]) {
        match live(case.scenario, &place, kill) {
            End::Killed => report.count += 1,
            End::Over => break,
            End::Wrong(what) => {
                report.violations.push(what);
                break;
            }
        }
    }
    let ledger = Ledger::in_file(&place.ledger()).map_err(own)?;
    let kills = u32::try_from(report.count).unwrap_or(u32::MAX);
    let terms = Terms { kills, is_over: report.violations.is_empty() };
    let checked = check(case.scenario, &place.file(), &ledger, terms);
    report.violations.extend(checked.unwrap_or_else(|why| vec![why]));
    report.notes = ledger.entries().iter().map(ToString::to_string).collect();
    place.remove().map_err(own)?;
    Ok(report)
}

/// A fork of a process with more threads would have locks that nobody lets go.
fn has_one_thread() -> Result<(), String> {
    match std::fs::read_dir("/proc/self/task").map(Iterator::count) {
        Ok(1) => Ok(()),
        Ok(threads) => Err(format!("the worker has {threads} threads, and forks")),
        // Only Linux tells.
        Err(_) if !cfg!(target_os = "linux") => Ok(()),
        Err(error) => Err(format!("the worker's threads: {error}")),
    }
}
