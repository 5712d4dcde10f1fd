//! Rounds by turns, their medians, and what else the machine did meanwhile.

use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// How thorough a run is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    /// What a workload's number of operations is divided by.
    pub(crate) fraction: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { rounds: 5, fraction: 1 }
    }
}

impl Options {
    pub(crate) fn quick() -> Self {
        Self { rounds: 2, fraction: 5 }
    }
}

/// What is measured, and whether more of it is better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unit {
    /// Operations a second.
    PerSecond,
    /// Microseconds an operation.
    Micros,
    /// Milliseconds in all.
    Millis,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PerSecond => "1/s",
            Self::Micros => "us",
            Self::Millis => "ms",
        })
    }
}

/// Something to measure, and those who do it.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    /// What issue and docs ask for, as they say it.
    pub(crate) goal: &'static str,
    /// Operations of one round.
    pub(crate) operations: usize,
    /// The first one is the floor.
    pub(crate) contestants: Vec<Contestant>,
}

/// One round: a folder for its files, and how much work; returns the figure.
type Round = dyn Fn(&std::path::Path, usize) -> f64;

/// Does the operations once, in a folder of its own, and says what came out in the workload's unit.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) round: Box<Round>,
}

pub(crate) fn contestant(
    name: &'static str,
    round: impl Fn(&std::path::Path, usize) -> f64 + 'static,
) -> Contestant {
    Contestant { name, round: Box::new(round) }
}

/// One contestant's line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) workload: &'static str,
    pub(crate) goal: &'static str,
    pub(crate) contestant: &'static str,
    pub(crate) unit: Unit,
    pub(crate) values: Vec<f64>,
    /// Speed as a part of the floor's: the median over rounds of the ratio within one.
    pub(crate) floor_ratio: f64,
    pub(crate) load: f64,
    pub(crate) others: f64,
}

impl Line {
    pub(crate) fn median(&self) -> f64 {
        median(&self.values)
    }

    pub(crate) fn min(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn max(&self) -> f64 {
        self.values.iter().copied().fold(0.0, f64::max)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "workload {} {} median={:.1} min={:.1} max={:.1} unit={} floor_ratio={:.2} load={:.2} others={:.2}",
            self.workload,
            self.contestant,
            self.median(),
            self.min(),
            self.max(),
            self.unit,
            self.floor_ratio,
            self.load,
            self.others,
        )
    }
}

/// Runs all rounds of a workload; in each round every contestant has its turn, beginning with another one.
pub(crate) fn run(workload: &Workload, options: &Options) -> Vec<Line> {
    let operations = (workload.operations / options.fraction).max(1);
    let count = workload.contestants.len();
    let mut values = vec![vec![0.0; options.rounds]; count];
    let load = load();
    let before = Busy::now();
    #[expect(clippy::needless_range_loop, reason = "the values stand by contestant, the rounds go across")]
    for round in 0..options.rounds {
        for turn in 0..count {
            let index = (round + turn) % count;
            let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            values[index][round] = (workload.contestants[index].round)(folder.path(), operations);
        }
    }
    let others = before.others();
    let floor = values[0].clone();
    let lines = workload.contestants.iter().zip(values).map(|(contestant, values)| Line {
        workload: workload.name,
        goal: workload.goal,
        contestant: contestant.name,
        unit: workload.unit,
        floor_ratio: median(
            &values
                .iter()
                .zip(&floor)
                .map(|(it, floor)| ratio(workload.unit, *it, *floor))
                .collect::<Vec<_>>(),
        ),
        values,
        load,
        others,
    });
    lines.collect()
}

fn ratio(unit: Unit, value: f64, floor: f64) -> f64 {
    if unit == Unit::PerSecond { value / floor } else { floor / value }
}

pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which that part of the values lies.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}

pub(crate) fn per_second(operations: usize, took: Duration) -> f64 {
    operations as f64 / took.as_secs_f64()
}

/// The load average of the last minute; ours is in it.
fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}

/// What all processes and this one have used of the processors, in ticks, and when.
struct Busy {
    all: f64,
    own: f64,
    at: Instant,
}

/// The kernel's ticks a second, as it shows them to processes.
const TICKS: f64 = 100.0;

impl Busy {
    fn now() -> Self {
        let numbers = |text: &str| {
            text.split_whitespace().map(|word| word.parse().unwrap_or(0.0)).collect::<Vec<f64>>()
        };
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        // cpu user nice system idle iowait irq softirq steal
        let cpu = numbers(stat.lines().next().unwrap_or_default().trim_start_matches("cpu"));
        let all = [0, 1, 2, 5, 6, 7].iter().filter_map(|index| cpu.get(*index)).sum();
        let own = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // After the name: state ppid … utime and stime are the 12th and 13th.
        let own = numbers(own.rsplit(')').next().unwrap_or_default());
        let own = [11, 12].iter().filter_map(|index| own.get(*index)).sum();
        Self { all, own, at: Instant::now() }
    }

    /// How many processors others kept busy since.
    fn others(&self) -> f64 {
        let now = Self::now();
        let ticks = (now.all - self.all) - (now.own - self.own);
        (ticks / TICKS / self.at.elapsed().as_secs_f64()).max(0.0)
    }
}

/// The machine in a line, and what a sync costs on it.
pub(crate) fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("an unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{model}, {cores} threads, a sync of an appended page {:.0} us, SQLite {}, {}",
        sync_micros(),
        rusqlite::version(),
        chrono::Utc::now().format("%Y-%m-%d"),
    )
}

fn sync_micros() -> f64 {
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let page = [7_u8; 4_096];
    file.write_all(&page).unwrap();
    let took: Vec<f64> = (1..200)
        .map(|n| {
            file.write_all_at(&page, n * 4_096).unwrap();
            let begin = Instant::now();
            file.sync_data().unwrap();
            begin.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    median(&took)
}
