//! Other queues. Each is a program of its own under `benches/peers`, since only one SQLite fits into a tree;
//! `benches/run` builds them and names their folder. One that is not there says so in its line.

use std::path::PathBuf;
use std::process::Command;

use mainspring::Durability;

use crate::measure::{Contestant, Played, Round};

/// `benches/run` sets it; without it no other queue takes part.
const FOLDER: &str = "MAINSPRING_PEERS";

/// How a peer's commits are made.
#[derive(Clone, Copy, PartialEq)]
enum Setting {
    /// As the peer sets itself, where that is neither of the others.
    Own,
    /// WAL and NORMAL.
    Normal,
    /// WAL and FULL: each commit synced.
    Full,
}

use Setting::{Full, Normal, Own};

const PEERS: [(&str, &[Setting]); 5] = [
    ("riverqueue", &[Normal, Full]),
    ("effectum", &[Own, Normal, Full]),
    ("honker", &[Normal, Full]),
    ("apalis", &[Own, Normal, Full]),
    ("plainjob", &[Normal, Full]),
];
/// The one whose jobs can be claimed and acknowledged by hand, many at once.
const BATCHES: &str = "honker";

impl Setting {
    fn word(self) -> &'static str {
        match self {
            Own => "own",
            Normal => "normal",
            Full => "full",
        }
    }

    /// Against a workload whose commits are not synced, one that syncs each of them has nothing to show.
    fn stands_beside(self, durability: Durability) -> bool {
        self != Full || durability != Durability::Relaxed
    }
}

/// All of them in all settings that stand beside this durability of ours.
pub(crate) fn beside(
    workload: &'static str,
    durability: Durability,
    workers: usize,
    part: usize,
) -> Vec<Contestant> {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return Vec::new() };
    all()
        .filter(|(peer, setting)| {
            setting.stands_beside(durability) && (workload != "batch" || *peer == BATCHES)
        })
        .map(|(peer, setting)| {
            let what = if workload == "batch" { "-batch" } else { "" };
            let name = format!("{peer}{what}-{}", setting.word());
            let program = Program { path: folder.join(peer), setting };
            let play = move |round: &Round<'_>| program.play(workload, workers, round);
            Contestant { name, part, play: Box::new(play) }
        })
        .collect()
}

fn all() -> impl Iterator<Item = (&'static str, Setting)> {
    PEERS.iter().flat_map(|(peer, settings)| settings.iter().map(|setting| (*peer, *setting)))
}

/// What each of them is and how it is set, as it says itself.
pub(crate) fn about() -> Vec<String> {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return Vec::new() };
    let about = |(peer, setting): (&str, Setting)| {
        let empty = crate::measure::temporary_folder();
        let round = Round { folder: empty.path(), prepared: empty.path(), operations: 1 };
        let told = Program { path: folder.join(peer), setting }.ask("about", 1, &round);
        let told = told.unwrap_or_else(|reason| format!("skipped reason={reason}"));
        format!("{peer}-{}: {told}", setting.word())
    };
    all().map(about).collect()
}

/// A peer's program, and the setting that it is asked for.
struct Program {
    path: PathBuf,
    setting: Setting,
}

impl Program {
    fn play(&self, workload: &str, workers: usize, round: &Round<'_>) -> Played {
        let told = match self.ask(workload, workers, round) {
            Ok(told) => told,
            Err(reason) => return Played::Skipped(reason),
        };
        if let Some(reason) = told.strip_prefix("skipped reason=") {
            return Played::Skipped(reason.to_owned());
        }
        let figures: Option<Vec<f64>> = told.split_whitespace().map(|word| word.parse().ok()).collect();
        figures.map_or_else(|| Played::Skipped(format!("it_said:_{told}")), Played::Figures)
    }

    /// The line that it answers with, or why there is none: a peer that fails does not end the run of the others.
    fn ask(&self, workload: &str, workers: usize, round: &Round<'_>) -> Result<String, String> {
        if !self.path.exists() {
            return Err("not_built".to_owned());
        }
        let told = Command::new(&self.path)
            .args([workload, self.setting.word(), &workers.to_string(), &round.operations.to_string()])
            .arg(round.folder)
            .output()
            .map_err(|error| format!("it_cannot_be_started:_{error}"))?;
        if !told.status.success() {
            let said = String::from_utf8_lossy(&told.stderr).into_owned();
            eprintln!("{} {workload} {}: {said}", self.path.display(), self.setting.word());
            return Err("failed".to_owned());
        }
        Ok(String::from_utf8_lossy(&told.stdout).trim().to_owned())
    }
}
