//! What a job costs with much behind it in the file. The floor of these is the same library with an empty file.

use std::path::Path;

use mainspring::Durability;

use crate::floor::{Lying, fill_with_history, lay};
use crate::jobs::by_engine;
use crate::measure::{Round, Unit, Workload, contestant};

pub(crate) fn workloads() -> Vec<Workload> {
    let lying = |queue, priority, future| {
        move |folder: &Path, jobs| {
            lay(&folder.join("queue.db"), &Lying { jobs, queue, priority, future });
        }
    };
    let history = |folder: &Path, jobs| fill_with_history(&folder.join("queue.db"), jobs);
    vec![
        behind("1M_finished", 1_000_000, history),
        behind("1M_future", 1_000_000, lying("default", 0, true)),
        behind("100k_in_another_queue", 100_000, lying("another", 0, false)),
        behind("100k_delayed_at_higher_priority", 100_000, lying("default", 9, true)),
        behind("10M_finished", 10_000_000, history).only_in_full(),
    ]
}

/// Microseconds a job, claimed and completed by eight workers whose commits are not synced.
fn behind(what: &str, jobs: usize, fill: impl Fn(&Path, usize) + 'static) -> Workload {
    let in_a_file = |folder: &Path, jobs| 1e6 / by_engine(folder, Durability::Relaxed, 8, jobs);
    let name = format!("job_with_{what}_behind");
    Workload::new(
        name,
        Unit::Micros,
        "within 1.2 x of an empty file",
        20_000,
        vec![
            contestant("empty", move |round: &Round<'_>| in_a_file(round.folder, round.operations)),
            contestant("mainspring", move |round: &Round<'_>| in_a_file(round.prepared, round.operations)),
        ],
    )
    .prepared(move |folder, fraction| fill(folder, jobs / if jobs > 100_000 { fraction } else { 1 }))
}
