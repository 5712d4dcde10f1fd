//! The table of `docs/benchmarks.md`.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::line::Line;
use crate::measure::{Options, Unit};

const BEGIN: &str = "<!-- benches/run --table begins here -->\n";
const END: &str = "<!-- and ends here -->\n";

/// What a page tells.
pub(crate) struct Run {
    pub(crate) machine: String,
    /// What the other queues say of themselves.
    pub(crate) peers: Vec<String>,
    pub(crate) options: Options,
    pub(crate) lines: Vec<Line>,
}

/// Replaces what stands between the two marks of the page; makes the page if there is none.
pub(crate) fn write(path: &Path, run: &Run) {
    let page = fs::read_to_string(path).unwrap_or_else(|_| [BEGIN, END].concat());
    let (before, rest) = page.split_once(BEGIN).expect("the page has its first mark");
    let (_, after) = rest.split_once(END).expect("the page has its second mark");
    let peers: String = run.peers.iter().map(|peer| format!("* {peer}\n")).collect();
    let peers = if peers.is_empty() {
        peers
    } else {
        format!("\nThe other queues, as they say themselves:\n{peers}")
    };
    let tables = [ours(&run.machine, &run.options, &run.lines), peers, theirs(&run.lines)].concat();
    fs::write(path, [before, BEGIN, &tables, END, after].concat()).unwrap();
}

/// The lines of a workload, which come one after the other.
fn workloads(lines: &[Line]) -> impl Iterator<Item = &[Line]> {
    lines.chunk_by(|one, other| one.workload == other.workload)
}

fn is_peer(line: &Line) -> bool {
    !["floor", "empty", "mainspring"].contains(&line.contestant.as_str())
}

fn ours(machine: &str, options: &Options, lines: &[Line]) -> String {
    let mut table = format!(
        "{machine}. Medians of {} rounds, and their spread.\n\n\
         | workload | unit | floor | mainspring | against the floor | goal | load | others |\n\
         |---|---|---|---|---|---|---|---|\n",
        options.rounds
    );
    for workload in workloads(lines) {
        let Some(ours) = workload.iter().find(|line| line.contestant == "mainspring") else { continue };
        let floor = workload.iter().find(|line| ["floor", "empty"].contains(&line.contestant.as_str()));
        writeln!(
            table,
            "| {} | {} | {} | {} | {} | {} | {:.1} | {:.2} |",
            ours.workload,
            ours.unit,
            floor.map_or_else(|| "–".to_owned(), cell),
            cell(ours),
            if ours.floor_ratio.is_nan() { "–".to_owned() } else { format!("{:.2}", ours.floor_ratio) },
            ours.goal,
            ours.load,
            ours.others
        )
        .unwrap();
    }
    table
}

fn theirs(lines: &[Line]) -> String {
    let mut table = String::from(
        "\n| workload | unit | contestant | median (spread) | mainspring against it |\n|---|---|---|---|---|\n",
    );
    let head = table.len();
    for workload in workloads(lines) {
        let Some(ours) = workload.iter().find(|line| line.contestant == "mainspring") else { continue };
        for peer in workload.iter().filter(|line| is_peer(line)) {
            if let (Some(reason), []) = (&peer.skipped, &peer.values[..]) {
                let (name, unit, who) = (&peer.workload, peer.unit, &peer.contestant);
                writeln!(table, "| {name} | {unit} | {who} | {} | – |", reason.replace('_', " ")).unwrap();
                continue;
            }
            let (of, against) = if ours.unit == Unit::PerSecond {
                (ours.median(), peer.median())
            } else {
                (peer.median(), ours.median())
            };
            writeln!(
                table,
                "| {} | {} | {} | {} | {:.1} x |",
                peer.workload,
                peer.unit,
                peer.contestant,
                cell(peer),
                of / against
            )
            .unwrap();
        }
    }
    if table.len() == head { String::new() } else { table }
}

fn cell(line: &Line) -> String {
    let digits = if line.median() < 100.0 { 2 } else { 0 };
    format!("{:.digits$} ({:.digits$}–{:.digits$})", line.median(), line.min(), line.max())
}
