//! All cases, many at a time: each waits far longer than it computes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use mainspring_proof_stage::Scenario;
use mainspring_proof_tally::{Mode, Tier};
use mainspring_proof_vfs::Fault;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::case::{Report, play};
use crate::plan::{Case, deal, faults};
use crate::watch;

/// So many cases go on at once.
const AT_ONCE: usize = 48;
/// So many faults are met in one play: it costs far more than they do.
const AT_A_TIME: usize = 4;
/// So often is a single fault tried when it is to show what several showed: threads do not run twice alike.
const TRIES: usize = 3;
/// One case of so many also sees the next start.
const THOROUGH: u64 = 4;
/// So many violations are printed; a library that is broken breaks most cases.
const MOST_VIOLATIONS: usize = 20;

/// The files that the scenarios begin with, in a memory file system where there is one.
struct Bench {
    runtime: Runtime,
    dir: TempDir,
    next: AtomicUsize,
}

impl Bench {
    fn new(aloud: bool) -> Result<Self, String> {
        watch::begin(aloud)?;
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
        let dir = tempfile::Builder::new()
            .prefix("mainspring-io-")
            .tempdir_in(root)
            .map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { runtime, dir, next: AtomicUsize::new(0) })
    }

    fn template(&self, scenario: Scenario) -> PathBuf {
        self.dir.path().join(format!("{scenario}.db"))
    }

    fn prepare(&self, scenario: Scenario) -> Result<(), String> {
        self.runtime
            .block_on(scenario.prepare(&self.template(scenario)))
            .map_err(|why| format!("preparing {scenario}: {why}"))
    }

    /// A folder that no other case has.
    fn place(&self) -> PathBuf {
        self.dir.path().join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }

    fn play(&self, scenario: Scenario, faults: &[Fault]) -> Report {
        let dir = self.place();
        let thorough = faults.first().is_none_or(|fault| fault.nth % THOROUGH == 0);
        let template = self.template(scenario);
        let mut report = self.runtime.block_on(play(scenario, &template, &dir, faults, thorough));
        if report.violations.is_empty()
            && let Err(error) = std::fs::remove_dir_all(&dir)
        {
            report.violations.push(format!("the tier cannot remove its own files: {error}"));
        }
        report
    }

    /// The smallest case that shows what a case showed: one of its faults alone, if that is enough.
    fn smallest(&self, case: &Case) -> Case {
        if case.faults.len() == 1 {
            return case.clone();
        }
        let shows =
            |one: &Case| (0..TRIES).any(|_| !self.play(one.scenario, &one.faults).violations.is_empty());
        case.alone().find(shows).unwrap_or_else(|| case.clone())
    }

    /// Plays without a fault, to know how many operations there are.
    fn rehearse(&self, scenario: Scenario) -> Result<Report, String> {
        self.prepare(scenario)?;
        let report = self.play(scenario, &[]);
        if report.violations.is_empty() {
            return Ok(report);
        }
        Err(format!("{scenario} without a fault: {:?}\n{}", report.violations, report.ledger))
    }
}

/// Prints how many operations each scenario asks for.
pub(crate) fn counts() -> Result<ExitCode, String> {
    let bench = Bench::new(false)?;
    for scenario in Scenario::ALL {
        let report = bench.rehearse(*scenario)?;
        let Some(counts) = report.counts else { continue };
        println!("{scenario}: {} faults, {counts:?}", faults(&counts).len());
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
    let report = bench.play(case.scenario, &case.faults);
    println!("{}", report.ledger);
    println!("{case}: {} of {} faults were met", report.met, case.faults.len());
    let violations: Vec<String> = report.violations.into_iter().chain(watch::seen()).collect();
    for what in &violations {
        println!("violation: {what}");
    }
    Ok(if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays all of them, or as many as are asked for.
pub(crate) fn sweep(mut tier: Tier) -> Result<ExitCode, String> {
    let bench = Bench::new(false)?;
    let mut known = Vec::new();
    for scenario in Scenario::ALL {
        let report = match bench.rehearse(*scenario) {
            Ok(report) => report,
            // A library that does this needs no faults.
            Err(why) => {
                tier.violation(&why, &format!("tests/proof/run quick io -- rehearse {scenario}"));
                return Ok(tier.finish());
            }
        };
        known.extend(report.counts.map(|counts| (*scenario, faults(&counts))));
    }
    let count: usize = known.iter().map(|(_, faults)| faults.len()).sum();
    let chosen = deal(known, AT_A_TIME, tier.seed());
    println!("tier io knows {count} faults and meets {AT_A_TIME} of them in a play");
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, reports) = channel();
    let mut printed = 0;
    let mut met = BTreeMap::<&str, u64>::new();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            let (sender, bench, chosen, next, stop) = (sender.clone(), &bench, &chosen, &next, &stop);
            let goes_round = matches!(tier.mode(), Mode::Long(_));
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let at = if goes_round { at % chosen.len().max(1) } else { at };
                    let Some(case) = chosen.get(at) else { return };
                    let report = bench.play(case.scenario, &case.faults);
                    if sender.send((case, report)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (case, report) in reports {
            tier.count(report.met);
            *met.entry(case.scenario.as_str()).or_default() += report.met;
            let violations: Vec<_> = report.violations.into_iter().chain(watch::seen()).collect();
            if !violations.is_empty() {
                let smallest = bench.smallest(case);
                for what in violations {
                    printed += 1;
                    tier.violation(&what, &format!("tests/proof/run quick io -- case \"{smallest}\""));
                }
            }
            if !tier.goes_on() || printed >= MOST_VIOLATIONS {
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
    println!("tier io met faults by scenario: {met:?}");
    // Threads that close in the background have a moment to do so before the files go.
    bench.runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(tier.finish())
}
