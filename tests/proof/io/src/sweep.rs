//! All cases, many at a time: each waits longer than it computes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use mainspring_proof_stage::{Scenario, watch};
use mainspring_proof_tally::{Crew, Mode, Report, Tier, Worker};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::case::{Played, play};
use crate::plan::{Case, Kind, count, deal, kinds};
use crate::worker::{ALOUD, WORKER, runtime, template};

/// So many cases go on at once.
const AT_ONCE: usize = 24;
/// So many faults are met in one play: it costs far more than they do.
const AT_A_TIME: usize = 4;
/// So many faults of a quick run; not all are met, since what is met before changes what comes after.
const FAULTS: u64 = 12_500;
/// So often is a single fault tried when it is to show what several showed: threads do not run twice alike.
const TRIES: usize = 3;
/// So many violations are printed; a library that is broken breaks most cases.
const MOST_VIOLATIONS: usize = 20;

/// The files that the scenarios begin with, in a memory file system where there is one.
struct Bench {
    runtime: Runtime,
    dir: TempDir,
}

impl Bench {
    fn new(aloud: bool) -> Result<Self, String> {
        watch::begin(aloud)?;
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
        let dir = tempfile::Builder::new().prefix("mainspring-io-").tempdir_in(root);
        Ok(Self { runtime: runtime()?, dir: dir.map_err(|error| error.to_string())? })
    }

    fn root(&self) -> &Path {
        self.dir.path()
    }

    fn crew(&self, aloud: bool) -> Crew {
        let args = [WORKER.into(), self.root().as_os_str().to_owned()];
        Crew::new(AT_ONCE, args.into_iter().chain(aloud.then(|| ALOUD.into())))
    }

    fn worker(&self, aloud: bool) -> Result<Worker, String> {
        self.crew(aloud).start().map_err(|error| format!("no worker: {error}"))
    }

    fn prepare(&self, scenario: Scenario) -> Result<PathBuf, String> {
        let template = template(self.root(), scenario);
        self.runtime
            .block_on(scenario.prepare(&template))
            .map_err(|why| format!("preparing {scenario}: {why}"))?;
        Ok(template)
    }

    /// Plays without a fault, to know how many operations there are.
    fn rehearse(&self, scenario: Scenario) -> Result<Played, String> {
        let template = self.prepare(scenario)?;
        let dir = self.root().join(format!("{scenario}-rehearsed"));
        let played = self.runtime.block_on(play(scenario, &template, &dir, &[], true))?;
        if played.violations.is_empty() {
            return Ok(played);
        }
        Err(format!("{scenario} without a fault: {:?}\n{:#?}", played.violations, played.ledger))
    }

    /// The smallest case that shows what a case showed: one of its faults alone, if that is enough.
    fn smallest(&self, case: &Case) -> Result<Case, String> {
        if case.faults.len() == 1 {
            return Ok(case.clone());
        }
        let mut worker = self.worker(false)?;
        for alone in case.alone() {
            for _ in 0..TRIES {
                let report = worker.attempt(&alone.to_string()).map_err(|error| error.to_string())?;
                if !report.violations.is_empty() {
                    return Ok(alone);
                }
            }
        }
        Ok(case.clone())
    }

    /// How to see again what a case has shown.
    fn again(&self, case: &str) -> String {
        let smallest = case.parse().and_then(|case: Case| self.smallest(&case));
        let shown = smallest.map_or_else(|_died_of_it| case.to_owned(), |smallest| smallest.to_string());
        format!("tests/proof/run quick io -- case \"{shown}\"")
    }
}

/// Prints how many operations each scenario asks for.
pub(crate) fn counts() -> Result<ExitCode, String> {
    let bench = Bench::new(false)?;
    for scenario in Scenario::ALL {
        let counts = bench.rehearse(*scenario)?.counts;
        println!("{scenario}: {} faults, {counts:?}", count(&kinds(&counts)));
    }
    Ok(ExitCode::SUCCESS)
}

/// Plays a scenario aloud, without a fault.
pub(crate) fn rehearse(name: &str) -> Result<ExitCode, String> {
    Bench::new(true)?.rehearse(name.parse()?).map(|_| ExitCode::SUCCESS)
}

/// Plays one case aloud.
pub(crate) fn one(text: &str) -> Result<ExitCode, String> {
    let case: Case = text.parse()?;
    let bench = Bench::new(true)?;
    bench.prepare(case.scenario)?;
    let report = bench.worker(true)?.attempt(&case.to_string()).map_err(|error| error.to_string())?;
    let Report { count, violations, notes } = report;
    notes.iter().for_each(|entry| println!("{entry}"));
    println!("{case}: {count} of {} faults were met", case.faults.len());
    violations.iter().for_each(|what| println!("violation: {what}"));
    Ok(if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays those that are chosen, or, while there is time, all of them.
pub(crate) fn sweep(mut tier: Tier) -> Result<ExitCode, String> {
    let bench = Bench::new(false)?;
    let mut known: Vec<(Scenario, Vec<Kind>)> = Vec::new();
    for scenario in Scenario::ALL {
        match bench.rehearse(*scenario) {
            Ok(played) => known.push((*scenario, kinds(&played.counts))),
            // A library that does this needs no faults.
            Err(why) => {
                tier.violation(&why, &format!("tests/proof/run quick io -- rehearse {scenario}"));
                return Ok(tier.finish());
            }
        }
    }
    let all: u64 = known.iter().map(|(_, kinds)| count(kinds)).sum();
    let is_long = matches!(tier.mode(), Mode::Long(_));
    let (most, rounds) = if is_long { (all, usize::MAX) } else { (FAULTS, 1) };
    let chosen = deal(&known, AT_A_TIME, most, tier.seed());
    let dealt: usize = chosen.iter().map(|case| case.faults.len()).sum();
    println!("tier io knows {all} faults, tries {dealt} and {AT_A_TIME} of them in a play");
    let cases = std::iter::repeat_n(&chosen, rounds).flatten().map(ToString::to_string);
    let mut printed = 0;
    let mut met = BTreeMap::<String, u64>::new();
    bench.crew(false).work(cases, |case, report| {
        tier.count(report.count);
        let scenario = case.split(' ').next().unwrap_or_default().to_owned();
        *met.entry(scenario).or_default() += report.count;
        if !report.violations.is_empty() {
            let again = bench.again(case);
            for what in report.violations {
                printed += 1;
                tier.violation(&what, &again);
            }
        }
        printed < MOST_VIOLATIONS && (!is_long || tier.goes_on())
    });
    println!("tier io met faults by scenario: {met:?}");
    Ok(tier.finish())
}
