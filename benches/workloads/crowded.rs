//! Jobs in a file with a hundred thousand others: as many as every queue can be given in a second or two. What a
//! million cost this library is measured in `behind`.

use std::path::Path;

use mainspring::Durability;

use crate::floor::{Lying, fill_with_history, lay};
use crate::jobs::by_engine;
use crate::measure::{Round, Unit, Workload, contestant};
use crate::peers;

const OTHERS: usize = 100_000;
const WORKERS: u32 = 8;

pub(crate) fn workloads() -> Vec<Workload> {
    let finished = |path: &Path| fill_with_history(path, OTHERS);
    let future = |path: &Path| {
        lay(path, &Lying { jobs: OTHERS, queue: "default", priority: 0, future: true });
    };
    vec![
        crowded("jobs_8_workers_relaxed_behind_100k_finished", "behind_finished", finished),
        crowded("jobs_8_workers_relaxed_behind_100k_future", "behind_future", future),
    ]
}

fn crowded(name: &str, asked: &'static str, fill: impl Fn(&Path) + 'static) -> Workload {
    let run = |folder: &Path, jobs| by_engine(folder, Durability::Relaxed, WORKERS, jobs);
    let mut all = vec![
        contestant("empty", move |round: &Round<'_>| run(round.folder, round.operations)),
        contestant("mainspring", move |round: &Round<'_>| {
            fill(&round.folder.join("queue.db"));
            run(round.folder, round.operations)
        }),
    ];
    all.extend(peers::beside(asked, Durability::Relaxed, WORKERS as usize, 4));
    Workload::new(name, Unit::PerSecond, "ahead of every peer", 20_000, all)
}
