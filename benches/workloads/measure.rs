//! Rounds by turns, and their medians.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::line::Line;
use crate::machine::{Busy, load};

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

/// What came of one contestant's round.
#[derive(Clone, Debug)]
pub(crate) enum Played {
    /// The workload's figures.
    Figures(Vec<f64>),
    /// It cannot do it, for this reason.
    Skipped(String),
    /// It was not asked.
    LeftOut,
}

impl Played {
    fn figure(&self, index: usize) -> Option<f64> {
        let Self::Figures(figures) = self else { return None };
        figures.get(index).copied()
    }

    fn reason(&self) -> Option<&str> {
        let Self::Skipped(reason) = self else { return None };
        Some(reason)
    }
}

/// One round.
type Play = dyn Fn(&Round<'_>) -> Played;

/// Somebody who does the operations.
pub(crate) struct Contestant {
    pub(crate) name: String,
    /// Part of the operations that it does, since it is slow: one of so many.
    pub(crate) part: usize,
    pub(crate) play: Box<Play>,
}

pub(crate) fn contestant(name: impl Into<String>, play: impl Fn(&Round<'_>) -> f64 + 'static) -> Contestant {
    Contestant { name: name.into(), part: 1, play: Box::new(move |round| Played::Figures(vec![play(round)])) }
}

/// One with several figures.
pub(crate) fn contestant_with_figures(
    name: impl Into<String>,
    play: impl Fn(&Round<'_>) -> Vec<f64> + 'static,
) -> Contestant {
    Contestant { name: name.into(), part: 1, play: Box::new(move |round| Played::Figures(play(round))) }
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

/// Runs all rounds of a workload; in each round every contestant has its turn, beginning with another one.
pub(crate) fn run(workload: &Workload, options: &Options) -> Vec<Line> {
    let operations = (workload.operations / options.fraction).max(1);
    let (count, rounds) = (workload.contestants.len(), workload.rounds.min(options.rounds));
    let prepared = temporary_folder();
    if let Some(prepare) = &workload.prepare {
        prepare(prepared.path(), options.fraction);
    }
    // By contestant, then by round.
    let mut played: Vec<Vec<Played>> = vec![Vec::new(); count];
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
            played[index].push(if is_left_out { Played::LeftOut } else { (contestant.play)(&round) });
        }
    }
    let others = before.others();
    let mut lines = Vec::new();
    for (index, figure) in workload.figures.iter().enumerate() {
        let figures_of = |rounds: &[Played]| -> Vec<Option<f64>> {
            rounds.iter().map(|played| played.figure(index)).collect()
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
            let skipped = rounds.iter().find_map(Played::reason).map(str::to_owned);
            if values.is_empty() && skipped.is_none() {
                continue;
            }
            lines.push(Line {
                workload: [workload.name.as_str(), figure.name].concat(),
                goal: figure.goal,
                contestant: contestant.name.clone(),
                unit: figure.unit,
                floor_ratio: if ratios.is_empty() { f64::NAN } else { median(&ratios) },
                values,
                skipped,
                load,
                others,
            });
        }
    }
    lines
}

/// On the disk that the build's files are on, not in memory.
pub(crate) fn temporary_folder() -> tempfile::TempDir {
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
