//! Whole workloads beside the floor: bare SQLite that writes the same rows with the same syncs and batches, in the
//! same run, by turns. `benches/run` starts it; `docs/benchmarks.md` says what the lines mean.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that fails has nothing better to do than to stop"
)]

mod behind;
mod crowded;
mod enqueue;
mod floor;
mod jobs;
mod latency;
mod line;
mod machine;
mod measure;
mod mixed;
mod moments;
mod page;
mod peers;
mod quiet;
mod timers;

use measure::{Options, Workload};

fn workloads() -> Vec<Workload> {
    [
        enqueue::workloads(),
        jobs::workloads(),
        latency::workloads(),
        timers::workloads(),
        moments::workloads(),
        behind::workloads(),
        crowded::workloads(),
        mixed::workloads(),
        quiet::workloads(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const USAGE: &str = "\
benches/run [--quick] [--full] [--table FILE] [--list] [--rounds N] [--only CONTESTANT] [workload…]
A workload is named by a part of its name.";

/// What the command line asks for.
#[derive(Default)]
struct Asked {
    options: Options,
    wanted: Vec<String>,
    table: Option<String>,
    list: bool,
}

fn asked() -> Asked {
    let mut asked = Asked::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let options = &mut asked.options;
        match argument.as_str() {
            "--quick" => *options = Options { full: options.full, ..Options::quick() },
            "--full" => options.full = true,
            "--list" => asked.list = true,
            "--table" => asked.table = Some(arguments.next().expect(USAGE)),
            "--only" => options.only = Some(arguments.next().expect(USAGE)),
            "--rounds" => options.rounds = number(arguments.next()),
            // For a profile: a part of the operations.
            "--fraction" => options.fraction = number(arguments.next()),
            // cargo's own.
            "--bench" => {}
            flag if flag.starts_with('-') => panic!("{flag} is not known.\n{USAGE}"),
            name => asked.wanted.push(name.to_owned()),
        }
    }
    asked
}

fn number(word: Option<String>) -> usize {
    word.and_then(|word| word.parse().ok()).expect(USAGE)
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [role_flag, role, folder] = &words[..]
        && role_flag == "--role"
    {
        return latency::be_the_other(role, folder.as_ref());
    }
    let Asked { options, wanted, table, list } = asked();
    let all = workloads();
    // A whole name is that workload and not those that are named after it.
    let asked_for = |name: &str, word: &str| match all.iter().any(|other| other.name == word) {
        true => name == word,
        false => name.contains(word),
    };
    let is_wanted = |workload: &&Workload| {
        (options.full || !workload.full)
            && (wanted.is_empty() || wanted.iter().any(|word| asked_for(&workload.name, word)))
    };
    let chosen: Vec<&Workload> = all.iter().filter(is_wanted).collect();
    assert!(!chosen.is_empty(), "no workload is called {wanted:?}: --list shows them");
    if list {
        return chosen.iter().for_each(|workload| println!("{}", workload.name));
    }
    let machine = machine::machine();
    println!("# {machine}");
    let peers = peers::about();
    peers.iter().for_each(|peer| println!("# {peer}"));
    let mut run = page::Run { machine, peers, options, lines: Vec::new() };
    for workload in chosen {
        for line in measure::run(workload, &run.options) {
            println!("{line}");
            run.lines.push(line);
        }
        // All of them take most of an hour: what is interrupted has not been for nothing.
        if let Some(table) = &table {
            page::write(table.as_ref(), &run);
        }
    }
}
