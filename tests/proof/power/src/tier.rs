//! The whole tier: every scenario in every durability, recorded, cut, and played on.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

use fastrand::Rng;
use mainspring::Durability;
use mainspring_proof_stage::Scenario;
use mainspring_proof_tally::Tier;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::examine::{Table, memory_folder};
use crate::image::Image;
use crate::record::{Recording, Start, record};
use crate::sweep::{Counts, Effort, Swept, Violation, sweep};

/// A recording waits more than it computes: more of them at once than there are processors.
const AT_ONCE: usize = 4;
/// What the images of the first cut are worth, and those of a second one.
const FIRST: Effort = Effort { images: 1_260, plays: 16 };
const SECOND: Effort = Effort { images: 100, plays: 1 };
/// So many of the recordings of what was played on are cut again.
const CUT_AGAIN: usize = 2;
/// So many violations are printed; a library that is broken breaks most recordings.
const MOST_VIOLATIONS: u64 = 12;

/// One scenario in one durability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) scenario: Scenario,
    pub(crate) durability: Durability,
}

impl Case {
    pub(crate) fn all() -> Vec<Self> {
        let of = |scenario: &Scenario| {
            let scenario = *scenario;
            Durability::ALL.iter().map(move |durability| Self { scenario, durability: *durability })
        };
        Scenario::ALL.iter().flat_map(of).collect()
    }

    fn again(self, seed: u64) -> String {
        format!("tests/proof/run quick power -- case {} {} seed {seed}", self.scenario, self.durability)
    }
}

/// Where the scenarios are played.
struct Bench {
    runtime: Runtime,
    dir: TempDir,
    next: AtomicUsize,
}

/// What came of a case, or of a part of it.
struct Told {
    case: Case,
    counts: Counts,
    /// Plays on an image, each to its end.
    plays: u64,
    violations: Vec<Violation>,
}

impl Bench {
    fn new() -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { runtime, dir: memory_folder("mainspring-power-")?, next: AtomicUsize::new(0) })
    }

    /// A folder that no other play has.
    fn place(&self) -> PathBuf {
        self.dir.path().join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// What a case begins with.
    fn start(&self, case: Case) -> Result<Start, String> {
        let dir = self.place();
        std::fs::create_dir(&dir).map_err(|error| error.to_string())?;
        let path = dir.join("app.db");
        self.runtime.block_on(case.scenario.prepare(&path))?;
        let image = Image::read(&path).map_err(|error| error.to_string())?;
        let (ledger, forgotten) = (Vec::new(), Vec::new());
        Ok(Start { scenario: case.scenario, durability: case.durability, image, ledger, forgotten, cuts: 0 })
    }

    /// Plays all of them at once.
    fn record(&self, starts: Vec<Start>) -> Vec<Result<Recording, String>> {
        std::thread::scope(|scope| {
            let play = |start| {
                let dir = self.place();
                self.runtime.block_on(record(start, &dir))
            };
            let plays: Vec<_> = starts.into_iter().map(|start| scope.spawn(move || play(start))).collect();
            plays
                .into_iter()
                .map(|play| play.join().unwrap_or_else(|_| Err("the play panicked".to_owned())))
                .collect()
        })
    }

    /// Plays a case, cuts it, plays on from some images, and cuts some of that.
    fn case(&self, case: Case, table: &Table, chance: &mut Rng, told: &Sender<Told>) {
        let tell = |swept: &mut Swept, plays| {
            let violations = std::mem::take(&mut swept.violations);
            // Nobody listens any more once there are violations enough.
            drop(told.send(Told { case, counts: swept.counts, plays, violations }));
        };
        let mut first = match self.start(case) {
            Ok(start) => self.cut(self.record(vec![start]), 1, table, FIRST, chance),
            Err(why) => {
                Swept { violations: vec![format!("it cannot be prepared: {why}").into()], ..Swept::default() }
            }
        };
        tell(&mut first, 0);
        let plays = first.starts.len() as u64;
        let mut second = self.cut(self.record(first.starts), CUT_AGAIN, table, SECOND, chance);
        tell(&mut second, plays);
        let plays = second.starts.len() as u64;
        let mut third = self.cut(self.record(second.starts), 0, table, SECOND, chance);
        tell(&mut third, plays);
    }

    /// Looks at what was played, and cuts the power in the first so many of the plays.
    fn cut(
        &self,
        recordings: Vec<Result<Recording, String>>,
        cut: usize,
        table: &Table,
        effort: Effort,
        chance: &mut Rng,
    ) -> Swept {
        let mut all = Swept::default();
        for (nth, recording) in recordings.into_iter().enumerate() {
            match recording {
                Ok(recording) if recording.wrong.is_empty() && nth < cut => {
                    all.add(sweep(&recording, table, effort, chance));
                }
                Ok(recording) => all.violations.extend(recording.told()),
                Err(why) => all.violations.push(why.into()),
            }
        }
        all
    }
}

/// Every case, again and again while the tier goes on.
pub(crate) fn run(mut tier: Tier) -> Result<ExitCode, String> {
    let bench = Bench::new()?;
    let mut sums = Sums::default();
    let mut pass = 0;
    while tier.goes_on() && sums.violations < MOST_VIOLATIONS {
        let mut chance = Rng::with_seed(tier.seed().wrapping_add(pass));
        let mut cases = Case::all();
        chance.shuffle(&mut cases);
        bench.all(&cases, &mut chance, &mut tier, &mut sums)?;
        pass += 1;
    }
    sums.print();
    if sums.violations == 0 {
        sums.proves_nothing()
            .into_iter()
            .for_each(|what| tier.violation(&what, "tests/proof/run quick power"));
    }
    Ok(tier.finish())
}

/// One case, without a minimum.
pub(crate) fn one(case: Case, mut tier: Tier) -> Result<ExitCode, String> {
    let bench = Bench::new()?;
    let mut sums = Sums::default();
    let mut chance = Rng::with_seed(tier.seed());
    bench.all(&[case], &mut chance, &mut tier, &mut sums)?;
    sums.print();
    Ok(if sums.violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Bench {
    /// All these cases, some at once.
    fn all(&self, cases: &[Case], chance: &mut Rng, tier: &mut Tier, sums: &mut Sums) -> Result<(), String> {
        let tables = (0..AT_ONCE).map(|_| Table::new()).collect::<Result<Vec<_>, _>>()?;
        let next = AtomicUsize::new(0);
        let (sender, told) = channel();
        std::thread::scope(|scope| {
            for table in tables {
                let (sender, next) = (sender.clone(), &next);
                let mut chance = chance.fork();
                scope.spawn(move || {
                    while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                        self.case(*case, &table, &mut chance, &sender);
                    }
                });
            }
            drop(sender);
            for told in told {
                sums.add(told, tier);
                if sums.violations >= MOST_VIOLATIONS {
                    next.store(cases.len(), Ordering::Relaxed);
                }
            }
        });
        Ok(())
    }
}

/// What came of all of it.
#[derive(Debug, Default)]
struct Sums {
    by_durability: BTreeMap<Durability, Counts>,
    plays: u64,
    violations: u64,
}

impl Sums {
    fn add(&mut self, told: Told, tier: &mut Tier) {
        tier.count(told.counts.images);
        *self.by_durability.entry(told.case.durability).or_default() += told.counts;
        self.plays += told.plays;
        for violation in told.violations {
            self.violations += 1;
            if self.violations <= MOST_VIOLATIONS {
                let Case { scenario, durability } = told.case;
                let kept = violation.image.map_or_else(String::new, |image| keep(&image));
                let what = format!("{scenario} {durability}: {}{kept}", violation.what);
                tier.violation(&what, &told.case.again(tier.seed()));
            }
        }
    }

    fn print(&self) {
        for (durability, counts) in &self.by_durability {
            let Counts { cuts, images, took } = counts;
            println!(
                "  {durability}: {cuts} cuts, {images} different images opened, {took} cuts took a commit that was over"
            );
        }
        println!("  {} images were played on to the end by the library", self.plays);
    }

    /// A power cut that takes nothing where something may be taken is none.
    fn proves_nothing(&self) -> Vec<String> {
        let took = |durability| self.by_durability.get(&durability).map_or(0, |counts| counts.took);
        [Durability::Balanced, Durability::Relaxed]
            .into_iter()
            .filter(|durability| took(*durability) == 0)
            .map(|durability| format!("no cut took anything under {durability}: the images prove nothing"))
            .collect()
    }
}

/// Keeps an image to be looked at, and says where.
fn keep(image: &Image) -> String {
    let kept = tempfile::Builder::new().prefix("mainspring-power-violation-").tempdir().and_then(|dir| {
        image.write(&dir.path().join("app.db"))?;
        Ok(dir.keep())
    });
    match kept {
        Ok(dir) => format!("\n  the image: {}", dir.display()),
        Err(error) => format!("\n  the image could not be kept: {error}"),
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.cuts += other.cuts;
        self.images += other.images;
        self.took += other.took;
    }
}

impl Swept {
    fn add(&mut self, other: Self) {
        self.counts += other.counts;
        self.violations.extend(other.violations);
        self.starts.extend(other.starts);
    }
}

impl Recording {
    /// What was not as promised, with the image that it began with and the ledger.
    fn told(self) -> Vec<Violation> {
        let after = if self.start.cuts > 0 { "played on after a cut: " } else { "" };
        let ledger: Vec<String> = self.ledger.iter().map(ToString::to_string).collect();
        let ledger = ledger.join("\n    ");
        let image = Some(self.start.image);
        let what = |what| format!("{after}{what}\n    {ledger}");
        self.wrong.into_iter().map(|why| Violation { what: what(why), image: image.clone() }).collect()
    }
}
