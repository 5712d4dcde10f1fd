//! What a queue costs that does nothing, and what a finished job leaves on the disk.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use mainspring::{Durability, OpenOptions};

use crate::floor::{Floor, Lying, fill, lay};
use crate::jobs::by_engine;
use crate::latency::Other;
use crate::measure::{Figure, Round, Unit, Workload, contestant, contestant_with_figures};

/// How long nothing has happened before it is measured, and for how long it is: by the number of operations.
const QUIET: Duration = Duration::from_secs(60);
const MEASURED: Duration = Duration::from_secs(20);

pub(crate) fn workloads() -> Vec<Workload> {
    let figures = vec![
        Figure { name: "_cpu", unit: Unit::Percent, goal: "under 0.3 %" },
        Figure { name: "_memory", unit: Unit::Megabytes, goal: "under 1.2 x of that with none + 8 MB" },
    ];
    let with_none = |round: &Round<'_>| {
        OpenOptions::new(round.folder.join("queue.db")).migrate().unwrap();
        idle(round.folder, round.operations)
    };
    let with_many = |round: &Round<'_>| idle(round.prepared, round.operations);
    let idle =
        vec![contestant_with_figures("empty", with_none), contestant_with_figures("mainspring", with_many)];
    vec![
        Workload::with_figures("idle_with_1M_waiting", figures, 60, idle)
            .prepared(|folder, fraction| {
                let lying = Lying { jobs: 1_000_000 / fraction, queue: "default", priority: 0, future: true };
                lay(&folder.join("queue.db"), &lying);
            })
            .at_most(1),
        Workload::new(
            "disk_per_finished_job",
            Unit::Bytes,
            "-",
            20_000,
            vec![
                contestant("floor", |round| {
                    let path = round.folder.join("queue.db");
                    fill(&path, round.operations);
                    let mut floor = Floor::open_made(&path, Durability::Relaxed);
                    while floor.turn(8) > 0 {}
                    size_of(&path) / round.operations as f64
                }),
                contestant("mainspring", |round| {
                    by_engine(round.folder, Durability::Relaxed, 8, round.operations);
                    size_of(&round.folder.join("queue.db")) / round.operations as f64
                }),
            ],
        )
        .at_most(1),
    ]
}

/// Another process with an engine and nothing to do: its share of a processor in per cent, its memory in megabytes.
fn idle(folder: &Path, seconds: usize) -> Vec<f64> {
    let part = seconds as f64 / QUIET.as_secs_f64();
    let other = Other::start("be-quiet", folder);
    let process = format!("/proc/{}", other.child.id());
    std::thread::sleep(QUIET.mul_f64(part));
    let (before, begin) = (processor_seconds(&process), Instant::now());
    std::thread::sleep(MEASURED.mul_f64(part));
    let busy = (processor_seconds(&process) - before) / begin.elapsed().as_secs_f64() * 100.0;
    vec![busy, resident_megabytes(&process)]
}

/// What all threads of a process have used, to the nanosecond.
fn processor_seconds(process: &str) -> f64 {
    let tasks = fs::read_dir(format!("{process}/task")).unwrap();
    let nanos = tasks.map(|task| {
        let text = fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|first| first.parse::<f64>().ok()).unwrap_or(0.0)
    });
    nanos.sum::<f64>() / 1e9
}

fn resident_megabytes(process: &str) -> f64 {
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

/// The file with all of its log moved into it.
fn size_of(path: &Path) -> f64 {
    let conn = rusqlite::Connection::open(path).unwrap();
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    fs::metadata(path).unwrap().len() as f64
}
