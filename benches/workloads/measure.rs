//! Rounds by turns, their medians, and what else the machine did meanwhile.

use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How thorough a run is.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    /// What a workload's number of operations is divided by.
    pub(crate) fraction: usize,
    /// Also what takes minutes to prepare.
    pub(crate) full: bool,
    /// The one contestant that runs, for a profile.
    pub(crate) only: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { rounds: 5, fraction: 1, full: false, only: None }
    }
}

impl Options {
    pub(crate) fn quick() -> Self {
        Self { rounds: 2, fraction: 5, ..Self::default() }
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
    /// Bytes an operation.
    Bytes,
    /// Megabytes of memory.
    Megabytes,
    /// Per cent of one processor.
    Percent,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PerSecond => "1/s",
            Self::Micros => "us",
            Self::Millis => "ms",
            Self::Bytes => "bytes",
            Self::Megabytes => "MB",
            Self::Percent => "%",
        })
    }
}

/// One figure of a workload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    /// What is added to the workload's name.
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    /// What it is to reach.
    pub(crate) goal: &'static str,
}

/// Something to measure, and those who do it.
pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) figures: Vec<Figure>,
    /// Operations of one round.
    pub(crate) operations: usize,
    /// At most so many rounds: some take a minute each.
    pub(crate) rounds: usize,
    /// Only with `--full`.
    pub(crate) full: bool,
    /// Makes once what all rounds begin with, in a folder of its own.
    pub(crate) prepare: Option<Prepare>,
    /// The first one is the floor.
    pub(crate) contestants: Vec<Contestant>,
}

type Prepare = Box<dyn Fn(&Path, usize)>;

/// What a round begins with.
pub(crate) struct Round<'a> {
    /// Empty, and its own.
    pub(crate) folder: &'a Path,
    /// What was prepared for all rounds.
    pub(crate) prepared: &'a Path,
    pub(crate) operations: usize,
}

/// One round: returns the workload's figures, or none if this contestant cannot do it.
type Play = dyn Fn(&Round<'_>) -> Option<Vec<f64>>;

/// Somebody who does the operations.
pub(crate) struct Contestant {
    pub(crate) name: String,
    /// Part of the operations that it does, since it is slow: one of so many.
    pub(crate) part: usize,
    pub(crate) play: Box<Play>,
}

pub(crate) fn contestant(name: impl Into<String>, play: impl Fn(&Round<'_>) -> f64 + 'static) -> Contestant {
    Contestant { name: name.into(), part: 1, play: Box::new(move |round| Some(vec![play(round)])) }
}

/// One with several figures.
pub(crate) fn contestant_with_figures(
    name: impl Into<String>,
    play: impl Fn(&Round<'_>) -> Vec<f64> + 'static,
) -> Contestant {
    Contestant { name: name.into(), part: 1, play: Box::new(move |round| Some(play(round))) }
}

impl Workload {
    /// A workload with one figure.
    pub(crate) fn new(
        name: impl Into<String>,
        unit: Unit,
        goal: &'static str,
        operations: usize,
        contestants: Vec<Contestant>,
    ) -> Self {
        Self::with_figures(name, vec![Figure { name: "", unit, goal }], operations, contestants)
    }

    pub(crate) fn with_figures(
        name: impl Into<String>,
        figures: Vec<Figure>,
        operations: usize,
        contestants: Vec<Contestant>,
    ) -> Self {
        let (rounds, full, prepare) = (usize::MAX, false, None);
        Self { name: name.into(), figures, operations, rounds, full, prepare, contestants }
    }

    pub(crate) fn prepared(mut self, prepare: impl Fn(&Path, usize) + 'static) -> Self {
        self.prepare = Some(Box::new(prepare));
        self
    }

    pub(crate) fn at_most(mut self, rounds: usize) -> Self {
        self.rounds = rounds;
        self
    }

    pub(crate) fn only_in_full(mut self) -> Self {
        self.full = true;
        self
    }
}

/// One contestant's line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) workload: String,
    pub(crate) goal: &'static str,
    pub(crate) contestant: String,
    pub(crate) unit: Unit,
    pub(crate) values: Vec<f64>,
    /// How much better than the floor: the median over rounds of the ratio within one.
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
            "workload {} {} median={:.2} min={:.2} max={:.2} unit={} floor_ratio={:.2} load={:.2} others={:.2}",
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
    let (count, rounds) = (workload.contestants.len(), workload.rounds.min(options.rounds));
    let prepared = temporary_folder();
    if let Some(prepare) = &workload.prepare {
        prepare(prepared.path(), options.fraction);
    }
    // By contestant, then by round.
    let mut played: Vec<Vec<Option<Vec<f64>>>> = vec![Vec::new(); count];
    let load = load();
    let before = Busy::now();
    for round in 0..rounds {
        for turn in 0..count {
            let index = (round + turn) % count;
            let contestant = &workload.contestants[index];
            let is_left_out = options.only.as_deref().is_some_and(|only| only != contestant.name);
            let folder = temporary_folder();
            let operations = (operations / contestant.part).max(1);
            let round = Round { folder: folder.path(), prepared: prepared.path(), operations };
            played[index].push(if is_left_out { None } else { (contestant.play)(&round) });
        }
    }
    let others = before.others();
    let mut lines = Vec::new();
    for (index, figure) in workload.figures.iter().enumerate() {
        let figures_of = |rounds: &Vec<Option<Vec<f64>>>| -> Vec<Option<f64>> {
            rounds.iter().map(|figures| figures.as_ref().map(|figures| figures[index])).collect()
        };
        // A workload without a floor begins with ours.
        let floor = if workload.contestants[0].name == "mainspring" {
            vec![None; rounds]
        } else {
            figures_of(&played[0])
        };
        for (contestant, rounds) in workload.contestants.iter().zip(&played) {
            let values = figures_of(rounds);
            let ratios: Vec<f64> = values
                .iter()
                .zip(&floor)
                .filter_map(|(value, floor)| Some(ratio(figure.unit, (*value)?, (*floor)?)))
                .collect();
            let values: Vec<f64> = values.into_iter().flatten().collect();
            if values.is_empty() {
                continue;
            }
            lines.push(Line {
                workload: [workload.name.as_str(), figure.name].concat(),
                goal: figure.goal,
                contestant: contestant.name.clone(),
                unit: figure.unit,
                floor_ratio: if ratios.is_empty() { f64::NAN } else { median(&ratios) },
                values,
                load,
                others,
            });
        }
    }
    lines
}

/// On the disk that the build's files are on, not in memory.
fn temporary_folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
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
        // After the name: state ppid …; utime and stime are the 12th and 13th, then those of children that have ended.
        let own = numbers(own.rsplit(')').next().unwrap_or_default());
        let own = [11, 12, 13, 14].iter().filter_map(|index| own.get(*index)).sum();
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
