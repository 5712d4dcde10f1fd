//! One life: a process that plays a scenario, or what is left of it, until it is killed or done.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mainspring_proof_stage::{Ledger, Scenario, Stage, watch};
use mainspring_proof_vfs::{Ended, Fault, FaultVfs, fork_until_its_end};

/// How long each step of a play may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a life may take.
const LONGEST: Duration = Duration::from_secs(60);
/// What a life answers that has come to its end.
const OVER: u8 = 0;
/// What one answers that has found something wrong, which stands in the file of what it said.
const WRONG: u8 = 1;

/// The folder of a case.
pub(crate) struct Place {
    dir: PathBuf,
}

impl Place {
    /// A new folder with a copy of the file that the scenario begins with, if it begins with one.
    pub(crate) fn make(dir: PathBuf, template: &Path) -> std::io::Result<Self> {
        fs::create_dir(&dir)?;
        let place = Self { dir };
        if template.exists() {
            fs::copy(template, place.file())?;
        }
        Ok(place)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.join("app.db")
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.dir.join("ledger")
    }

    fn said(&self) -> PathBuf {
        self.dir.join("said")
    }

    pub(crate) fn remove(self) -> std::io::Result<()> {
        fs::remove_dir_all(self.dir)
    }
}

/// How a life ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Killed,
    /// The play has come to its end.
    Over,
    /// Something was not as promised.
    Wrong(String),
}

/// Lives one life in a process of its own. This process must have no other thread.
pub(crate) fn live(scenario: Scenario, place: &Place, kill: Option<Fault>) -> End {
    let ended = fork_until_its_end(LONGEST, || match play(scenario, place, kill) {
        Ok(()) => OVER,
        Err(why) => {
            watch::note(why);
            WRONG
        }
    });
    let said = fs::read_to_string(place.said()).unwrap_or_default();
    match ended {
        _ if !said.is_empty() => End::Wrong(said),
        Ok(Ended::Killed) => End::Killed,
        Ok(Ended::Answered(code)) if code == i32::from(OVER) => End::Over,
        Ok(other) => End::Wrong(format!("a life has {other:?} within {LONGEST:?}")),
        Err(why) => End::Wrong(why),
    }
}

fn play(scenario: Scenario, place: &Place, kill: Option<Fault>) -> Result<(), String> {
    watch::keep_in(&place.said()).map_err(|error| format!("the tier cannot make its own files: {error}"))?;
    let ledger = Ledger::in_file(&place.ledger()).map_err(|error| format!("the ledger: {error}"))?;
    let vfs = FaultVfs::register_unique("kill")?;
    vfs.only_count_syncs();
    if let Some(kill) = kill {
        vfs.arm(kill);
    }
    let stage = Stage::new(scenario, place.file(), ledger).vfs(vfs.name()).patience(PATIENCE);
    runtime()?.block_on(scenario.play(&stage))
}

/// A life is short: it has as few threads as it needs.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))
}
