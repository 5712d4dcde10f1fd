//! One case: a copy of the scenario's file, a fault, the play, and what is looked at after it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mainspring_proof_stage::{Ledger, Scenario, Stage, Terms, check};
use mainspring_proof_vfs::{Counts, Fault, FaultVfs};

/// A fault that stays is taken away once it was met so often, and so long after it was met first.
const MET: (u64, Duration) = (3, Duration::from_millis(25));
/// Or after this time, however seldom it was met.
const LONGEST_FAULT: Duration = Duration::from_millis(150);
/// SQLite waits for a lock with sleeps of its own; a lock that is never given would cost ten seconds.
const LONGEST_SLEEP: Duration = Duration::from_millis(1);
/// How long each step of a play may take. What waits for a retry of the writer waits a second at most.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What came of a case.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) counts: Option<Counts>,
    /// Whether the fault was met at all.
    pub(crate) fired: bool,
    pub(crate) violations: Vec<String>,
    /// The ledger, for a case that is looked at.
    pub(crate) ledger: String,
}

/// Plays a scenario on a copy of its file, with or without a fault.
pub(crate) async fn play(scenario: Scenario, template: &Path, dir: &Path, fault: Option<Fault>) -> Report {
    let mut report = Report::default();
    let path = match fresh(template, dir) {
        Ok(path) => path,
        Err(why) => {
            report.violations.push(format!("the tier cannot copy its file: {why}"));
            return report;
        }
    };
    let vfs = match FaultVfs::register_unique("io") {
        Ok(vfs) => std::sync::Arc::new(vfs),
        Err(why) => {
            report.violations.push(why);
            return report;
        }
    };
    vfs.longest_sleep(LONGEST_SLEEP);
    let stage = Stage::new(scenario, &path, Ledger::in_memory()).vfs(vfs.name()).patience(PATIENCE);
    let doctor = fault.map(|fault| {
        vfs.arm(fault);
        tokio::spawn(heal(std::sync::Arc::clone(&vfs)))
    });
    if let Err(why) = scenario.play(&stage).await {
        report.violations.push(why);
    }
    vfs.disarm();
    if let Some(doctor) = doctor {
        doctor.abort();
    }
    report.fired = vfs.fired() > 0;
    report.counts = Some(vfs.counts());
    report.violations.extend(look(&stage, scenario));
    let known = stage.ledger().len();
    match scenario.afterwards(&stage).await {
        Ok(()) => {
            let new = stage.ledger().entries().split_off(known);
            if !new.is_empty() {
                let new: Vec<_> = new.iter().map(ToString::to_string).collect();
                report.violations.push(format!("the next start had something to do: {}", new.join(", ")));
            }
        }
        Err(why) => report.violations.push(format!("the next start: {why}")),
    }
    if report.violations.is_empty() {
        report.violations.extend(look(&stage, scenario));
    }
    report.ledger = format!("{:#?}", stage.ledger());
    report
}

fn look(stage: &Stage, scenario: Scenario) -> Vec<String> {
    check(scenario, stage.path(), stage.ledger(), Terms::over()).unwrap_or_else(|why| vec![why])
}

/// A folder of its own with a copy of the file in it, if there is one to copy.
fn fresh(template: &Path, dir: &Path) -> std::io::Result<PathBuf> {
    std::fs::create_dir(dir)?;
    let path = dir.join("app.db");
    if template.exists() {
        std::fs::copy(template, &path)?;
    }
    Ok(path)
}

/// Takes a fault away that stays, once it was felt.
async fn heal(vfs: std::sync::Arc<FaultVfs>) {
    let mut met: Option<Instant> = None;
    loop {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let fired = vfs.fired();
        let since = match met {
            None if fired == 0 => continue,
            None => *met.insert(Instant::now()),
            Some(since) => since,
        };
        let felt = since.elapsed();
        if felt >= LONGEST_FAULT || (fired >= MET.0 && felt >= MET.1) {
            vfs.disarm();
            return;
        }
    }
}
