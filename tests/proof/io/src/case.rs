//! One case: a copy of the scenario's file, faults, the play, and what is looked at after it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mainspring_proof_stage::{Entry, Ledger, Scenario, Stage, Terms, check};
use mainspring_proof_vfs::{Armed, Counts, Fault, FaultVfs};

/// A fault that stays is taken away once it was met so often, and so long after it was met first.
const MET: (u64, Duration) = (3, Duration::from_millis(25));
/// Or after this time, however seldom it was met.
const LONGEST_FAULT: Duration = Duration::from_millis(150);
/// SQLite waits for a lock with sleeps of its own; a lock that is never given would cost ten seconds.
const LONGEST_SLEEP: Duration = Duration::from_millis(1);
/// How long each step of a play may take. What waits for a retry of the writer waits a second at most.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What came of a case.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) counts: Counts,
    /// How many of the faults were met.
    pub(crate) met: u64,
    pub(crate) violations: Vec<String>,
    pub(crate) ledger: Ledger,
}

/// Plays a scenario on a copy of its file, with faults or without. A `thorough` one also starts the next process,
/// which an untidy end gets in any case. What goes wrong with the tier itself is an error.
pub(crate) async fn play(
    scenario: Scenario,
    template: &Path,
    dir: &Path,
    faults: &[Fault],
    thorough: bool,
) -> Result<Played, String> {
    let path = fresh(template, dir).map_err(|error| format!("the tier's own files: {error}"))?;
    let vfs = Arc::new(FaultVfs::register_unique("io")?);
    vfs.longest_sleep(LONGEST_SLEEP);
    vfs.only_count_syncs();
    let stage = Stage::new(scenario, &path, Ledger::in_memory()).vfs(vfs.name()).patience(PATIENCE);
    let armed: Vec<_> = faults.iter().map(|fault| vfs.arm(*fault)).collect();
    let sticky = armed.iter().zip(faults).filter(|(_, fault)| fault.sticky).map(|(armed, _)| *armed);
    let healer = tokio::spawn(heal(Arc::clone(&vfs), sticky.collect()));
    let mut violations = Vec::from_iter(scenario.play(&stage).await.err());
    vfs.disarm();
    healer.abort();
    let met = armed.iter().filter(|armed| vfs.fired_by(**armed) > 0).count() as u64;
    let counts = vfs.counts();
    if thorough || is_untidy(stage.ledger()) {
        violations.extend(next_start(&stage).await.err());
    }
    let checked = check(scenario, stage.path(), stage.ledger(), Terms::over());
    violations.extend(checked.unwrap_or_else(|why| vec![why]));
    Ok(Played { counts, met, violations, ledger: stage.ledger().clone() })
}

/// The next process finds nothing to do.
async fn next_start(stage: &Stage) -> Result<(), String> {
    let known = stage.ledger().len();
    stage.scenario().afterwards(stage).await.map_err(|why| format!("the next start: {why}"))?;
    let new = stage.ledger().entries().split_off(known);
    if new.is_empty() {
        return Ok(());
    }
    let new: Vec<_> = new.iter().map(ToString::to_string).collect();
    Err(format!("the next start had something to do: {}", new.join(", ")))
}

/// Whether the process has not come to an orderly end, so that the next one has something to settle.
fn is_untidy(ledger: &Ledger) -> bool {
    ledger.any(|entry| match entry {
        Entry::Refused { call, .. } => call == "shutdown" || call == "close",
        _ => false,
    })
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

/// Takes the faults away that stay, each once it was felt.
async fn heal(vfs: Arc<FaultVfs>, mut sticky: Vec<Armed>) {
    let mut since: Vec<Option<Instant>> = vec![None; sticky.len()];
    while !sticky.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let mut at = 0;
        while let (Some(armed), Some(met)) = (sticky.get(at), since.get_mut(at)) {
            let fired = vfs.fired_by(*armed);
            let felt =
                if fired > 0 { met.get_or_insert_with(Instant::now).elapsed() } else { Duration::ZERO };
            if felt >= LONGEST_FAULT || (fired >= MET.0 && felt >= MET.1) {
                vfs.disarm_one(sticky.swap_remove(at));
                since.swap_remove(at);
            } else {
                at += 1;
            }
        }
    }
}
