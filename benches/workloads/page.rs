//! The table of `docs/benchmarks.md`.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::measure::{Line, Options, Unit};

const BEGIN: &str = "<!-- benches/run --write begins here -->\n";
const END: &str = "<!-- and ends here -->\n";

/// Replaces what stands between the two marks of the page.
pub(crate) fn write(machine: &str, options: &Options, lines: &[Line]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page has its first mark");
    let (_, after) = rest.split_once(END).expect("the page has its second mark");
    let table = table(machine, options, lines);
    fs::write(&path, [before, BEGIN, &table, END, after].concat()).unwrap();
}

fn table(machine: &str, options: &Options, lines: &[Line]) -> String {
    let mut table = format!("{machine}. Medians of {} rounds, and their spread.\n\n", options.rounds);
    table.push_str("| workload | unit | floor | mainspring | of the floor | goal | others |\n|---|---|---|---|---|---|---|\n");
    for pair in lines.chunks(2) {
        let [floor, ours] = pair else { panic!("a workload has a floor and one contestant") };
        writeln!(
            table,
            "| {} | {} | {} | {} | {:.2} | {} | {:.2} |",
            ours.workload,
            ours.unit,
            cell(floor),
            cell(ours),
            ours.floor_ratio,
            ours.goal,
            ours.others
        )
        .unwrap();
    }
    table
}

fn cell(line: &Line) -> String {
    let digits = if line.unit == Unit::Millis { 1 } else { 0 };
    format!("{:.digits$} ({:.digits$}–{:.digits$})", line.median(), line.min(), line.max())
}
