//! Whole workloads beside the floor: bare SQLite that writes the same rows with the same syncs and batches, in the
//! same run, by turns. `benches/run` starts it; `docs/benchmarks.md` says what the lines mean.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that fails has nothing better to do than to stop"
)]

mod enqueue;
mod floor;
mod jobs;
mod measure;
mod moments;
mod page;

use measure::{Options, Workload};

fn workloads() -> Vec<Workload> {
    [enqueue::workloads(), jobs::workloads(), moments::workloads()].into_iter().flatten().collect()
}

fn main() {
    let mut options = Options::default();
    let mut wanted: Vec<String> = Vec::new();
    let mut write_page = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--quick" => options = Options::quick(),
            "--write" => write_page = true,
            "--list" => return workloads().iter().for_each(|workload| println!("{}", workload.name)),
            // cargo's own.
            "--bench" => {}
            flag if flag.starts_with('-') => {
                panic!("{flag} is not known: --quick, --write, --list or workloads")
            }
            name => wanted.push(name.to_owned()),
        }
    }
    let all = workloads();
    let chosen: Vec<&Workload> = all
        .iter()
        .filter(|workload| {
            wanted.is_empty() || wanted.iter().any(|name| workload.name.contains(name.as_str()))
        })
        .collect();
    assert!(!chosen.is_empty(), "no workload is called {wanted:?}: --list shows them");
    let machine = measure::machine();
    println!("# {machine}");
    let mut lines = Vec::new();
    for workload in chosen {
        for line in measure::run(workload, &options) {
            println!("{line}");
            lines.push(line);
        }
    }
    if write_page {
        page::write(&machine, &options, &lines);
    }
}
