//! Other queues. Each is a program of its own under `benches/peers`, since only one SQLite fits into a tree;
//! `benches/run` builds them and names their folder. One that is not there is left out.

use std::path::PathBuf;
use std::process::Command;

use mainspring::Durability;

use crate::measure::{Contestant, Round};

/// `benches/run` sets it.
const FOLDER: &str = "MAINSPRING_PEERS";
const PEERS: [&str; 5] = ["riverqueue", "effectum", "honker", "apalis", "plainjob"];

/// How a peer's commits are made.
#[derive(Clone, Copy, PartialEq)]
enum Setting {
    /// As its authors recommend; nowhere more than NORMAL.
    Own,
    /// Each commit synced.
    Full,
}

/// Peers at the durability of ours.
pub(crate) fn at(
    workload: &'static str,
    durability: Durability,
    workers: usize,
    part: usize,
) -> Vec<Contestant> {
    let setting = if durability == Durability::Relaxed { Setting::Own } else { Setting::Full };
    PEERS.iter().filter_map(|peer| contestant(peer, workload, setting, workers, part)).collect()
}

/// Peers in both settings.
pub(crate) fn of(workload: &'static str, workers: usize, part: usize) -> Vec<Contestant> {
    [Setting::Own, Setting::Full]
        .into_iter()
        .flat_map(|setting| {
            PEERS.iter().filter_map(move |peer| contestant(peer, workload, setting, workers, part))
        })
        .collect()
}

fn contestant(
    peer: &str,
    workload: &'static str,
    setting: Setting,
    workers: usize,
    part: usize,
) -> Option<Contestant> {
    let program = PathBuf::from(std::env::var_os(FOLDER)?).join(peer);
    if !program.exists() || !offers(peer, workload, setting) {
        return None;
    }
    let setting_word = if setting == Setting::Full { "full" } else { "own" };
    let what = if workload == "batch" { "_batch" } else { "" };
    let name = format!("{peer}{what}_{setting_word}");
    let play = move |round: &Round<'_>| {
        let asked = [workload, setting_word, &workers.to_string(), &round.operations.to_string()];
        let told = Command::new(&program).args(asked).arg(round.folder).output().unwrap();
        assert!(told.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&told.stderr));
        let told = String::from_utf8(told.stdout).unwrap();
        let figures: Option<Vec<f64>> = told.split_whitespace().map(|word| word.parse().ok()).collect();
        Some(figures.unwrap_or_else(|| panic!("{}: {told}", program.display())))
    };
    Some(Contestant { name, part, play: Box::new(play) })
}

/// What each of them can do.
fn offers(peer: &str, workload: &str, setting: Setting) -> bool {
    match (peer, workload) {
        // It sets NORMAL itself.
        ("effectum", _) if setting == Setting::Full => false,
        // Claims and acks by hand, as many at once as there are workers.
        (_, "batch") => peer == "honker",
        // One process and no threads: there are no tasks that enqueue at once, and its workers take turns.
        ("plainjob", "enqueue_tasks") => false,
        _ => true,
    }
}
