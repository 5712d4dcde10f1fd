//! All cases, some at a time: each waits now and then.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use mainspring_proof_stage::{Ledger, Scenario, Stage, Terms, check, watch};
use mainspring_proof_tally::{Crew, Mode, Report, Tier};
use mainspring_proof_vfs::{Counts, FaultVfs};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::life::runtime;
use crate::plan::{Case, Known, plan};
use crate::worker::{ALOUD, WORKER, template};

/// So many cases go on at once.
const AT_ONCE: usize = 8;
/// In a quick run one case of so many has two further kills; in a long one each has.
const ONE_OF: usize = 5;
/// So many violations are printed; a library that is broken breaks most cases.
const MOST_VIOLATIONS: usize = 20;

/// The files that the scenarios begin with, in a memory file system where there is one.
struct Bench {
    runtime: Runtime,
    dir: TempDir,
}

impl Bench {
    fn new() -> Result<Self, String> {
        watch::begin(false)?;
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
        let dir = tempfile::Builder::new().prefix("mainspring-kill-").tempdir_in(root);
        Ok(Self { runtime: runtime()?, dir: dir.map_err(|error| error.to_string())? })
    }

    fn root(&self) -> &Path {
        self.dir.path()
    }

    fn crew(&self, size: usize, aloud: bool) -> Crew {
        let args = [WORKER.into(), self.root().as_os_str().to_owned()];
        Crew::new(size, args.into_iter().chain(aloud.then(|| ALOUD.into())))
    }

    fn prepare(&self, scenario: Scenario) -> Result<(), String> {
        self.runtime
            .block_on(scenario.prepare(&template(self.root(), scenario)))
            .map_err(|why| format!("preparing {scenario}: {why}"))
    }

    /// Plays without a kill, to know how many operations there are.
    fn rehearse(&self, scenario: Scenario) -> Result<Known, String> {
        self.prepare(scenario)?;
        let file = self.root().join(format!("{scenario}-rehearsed.db"));
        let template = template(self.root(), scenario);
        if template.exists() {
            std::fs::copy(template, &file).map_err(|error| error.to_string())?;
        }
        let ledger = Ledger::in_memory();
        let play = self.counted(scenario, &file, &ledger)?;
        let recovery = self.counted(scenario, &file, &ledger)?;
        let wrong = check(scenario, &file, &ledger, Terms::over())?;
        if wrong.is_empty() {
            return Ok(Known { scenario, play, recovery });
        }
        Err(format!("{scenario} without a kill: {wrong:?}\n{ledger:#?}"))
    }

    fn counted(&self, scenario: Scenario, file: &Path, ledger: &Ledger) -> Result<Counts, String> {
        let vfs = FaultVfs::register_unique("rehearsal")?;
        let stage = Stage::new(scenario, file, ledger.clone()).vfs(vfs.name());
        self.runtime
            .block_on(scenario.play(&stage))
            .map_err(|why| format!("{scenario} without a kill: {why}\n{ledger:#?}"))?;
        Ok(vfs.counts())
    }

    fn known(&self) -> Result<Vec<Known>, String> {
        Scenario::ALL.iter().map(|scenario| self.rehearse(*scenario)).collect()
    }
}

/// Prints how many operations each scenario asks for.
pub(crate) fn counts() -> Result<ExitCode, String> {
    for Known { scenario, play, recovery } in Bench::new()?.known()? {
        println!("{scenario}: {} operations, {} in a recovery; {play:?}", play.total(), recovery.total());
    }
    Ok(ExitCode::SUCCESS)
}

/// Lives one case aloud.
pub(crate) fn one(text: &str) -> Result<ExitCode, String> {
    let case: Case = text.parse()?;
    let bench = Bench::new()?;
    bench.prepare(case.scenario)?;
    let said = |error: std::io::Error| error.to_string();
    let mut worker = bench.crew(1, true).start().map_err(said)?;
    let Report { count, violations, notes } = worker.attempt(&case.to_string()).map_err(said)?;
    notes.iter().for_each(|entry| println!("{entry}"));
    println!("{case}: {count} of {} kills", case.kills.len());
    violations.iter().for_each(|what| println!("violation: {what}"));
    Ok(if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Lives all of them, or as many as there is time for.
pub(crate) fn sweep(mut tier: Tier) -> Result<ExitCode, String> {
    let bench = Bench::new()?;
    let known = match bench.known() {
        Ok(known) => known,
        // A library that does this needs no kills.
        Err(why) => {
            tier.violation(&why, "tests/proof/run quick kill -- counts");
            return Ok(tier.finish());
        }
    };
    let is_long = matches!(tier.mode(), Mode::Long(_));
    let (one_of, rounds) = if is_long { (1, usize::MAX) } else { (ONE_OF, 1) };
    let plan = plan(&known, one_of, tier.seed());
    println!("tier kill knows {} first kills", plan.len());
    let cases = std::iter::repeat_n(&plan, rounds).flatten().map(ToString::to_string);
    let mut printed = 0;
    let mut kills = BTreeMap::<String, u64>::new();
    bench.crew(AT_ONCE, false).work(cases, |case, report| {
        tier.count(report.count);
        let scenario = case.split(' ').next().unwrap_or_default().to_owned();
        *kills.entry(scenario).or_default() += report.count;
        for what in report.violations {
            printed += 1;
            tier.violation(&what, &format!("tests/proof/run quick kill -- case \"{case}\""));
        }
        printed < MOST_VIOLATIONS && (!is_long || tier.goes_on())
    });
    println!("tier kill killed by scenario: {kills:?}");
    Ok(tier.finish())
}
