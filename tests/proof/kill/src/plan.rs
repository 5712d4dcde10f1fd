//! Which kills there are to try.

use std::fmt;
use std::str::FromStr;

use mainspring_proof_stage::Scenario;
use mainspring_proof_vfs::{Counts, Fault, Flavour, Op};

/// A scenario whose first lives end at these operations, one life each; one more life plays it to its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Case {
    pub(crate) scenario: Scenario,
    pub(crate) kills: Vec<Fault>,
}

/// What a scenario asks for when nobody is killed.
pub(crate) struct Known {
    pub(crate) scenario: Scenario,
    /// Its play.
    pub(crate) play: Counts,
    /// A life that finds everything done, so that it only begins and ends: what a recovery asks for at least.
    pub(crate) recovery: Counts,
}

/// The kills of a play: before each operation, and in the middle of each write. After an operation is before the next.
struct Kills {
    /// At what changes a file.
    changing: Vec<Fault>,
    /// At what only looks, locks or syncs: the files are as they were before.
    looking: Vec<Fault>,
}

impl Kills {
    fn of(counts: &Counts) -> Self {
        let (mut changing, mut looking) = (Vec::new(), Vec::new());
        for (op, file, count) in counts.iter() {
            let first = Fault::first(op, Flavour::KillBefore).on(file);
            let kills = if changes(op) { &mut changing } else { &mut looking };
            kills.extend((1..=count).map(|nth| first.at(nth)));
            if Flavour::KillTorn.fits(op) {
                let torn = Fault { flavour: Flavour::KillTorn, ..first };
                kills.extend((1..=count).map(|nth| torn.at(nth)));
            }
        }
        Self { changing, looking }
    }
}

/// Whether it can leave other files than it found.
fn changes(op: Op) -> bool {
    matches!(op, Op::Open | Op::Delete | Op::Write | Op::Truncate)
}

/// The kills of a recovery, counted over all files: what a dead process left decides which it asks for.
fn in_a_recovery(counts: &Counts) -> Vec<Fault> {
    let any = |flavour| Fault { op: None, file: None, nth: 1, flavour, sticky: false };
    let before = (1..=counts.total()).map(|nth| any(Flavour::KillBefore).at(nth));
    let torn = (1..=counts.of(Some(Op::Write), None)).map(|nth| any(Flavour::KillTorn).at(nth));
    before.chain(torn).collect()
}

/// What is to be tried, in an order of chance, and how many first kills there are to choose from.
pub(crate) struct Plan {
    pub(crate) cases: Vec<Case>,
    pub(crate) first_kills: usize,
}

/// One case for each first kill that changes a file, and, up to so many cases in all, for those that do not: a share of
/// each scenario's, by the seed. The second and third kill of a case go round all of a recovery, in another order each.
pub(crate) fn plan(known: &[Known], most: usize, seed: u64) -> Plan {
    let mut chance = fastrand::Rng::with_seed(seed);
    let kills: Vec<_> = known.iter().map(|known| (known, Kills::of(&known.play))).collect();
    let count = |pick: fn(&Kills) -> usize| kills.iter().map(|(_, kills)| pick(kills)).sum::<usize>();
    let (changing, looking) = (count(|kills| kills.changing.len()), count(|kills| kills.looking.len()));
    let room = most.saturating_sub(changing).min(looking);
    let mut cases = Vec::new();
    for (known, mut kills) in kills {
        chance.shuffle(&mut kills.looking);
        let share = (kills.looking.len() * room).div_ceil(looking.max(1));
        let mut firsts = kills.changing;
        firsts.extend(kills.looking.into_iter().take(share));
        chance.shuffle(&mut firsts);
        let mut seconds = in_a_recovery(&known.recovery);
        let mut thirds = seconds.clone();
        chance.shuffle(&mut seconds);
        chance.shuffle(&mut thirds);
        let further = seconds.into_iter().cycle().zip(thirds.into_iter().cycle());
        let scenario = known.scenario;
        cases.extend(
            firsts
                .into_iter()
                .zip(further)
                .map(|(first, (second, third))| Case { scenario, kills: vec![first, second, third] }),
        );
    }
    chance.shuffle(&mut cases);
    Plan { cases, first_kills: changing + looking }
}

/// For example `recovery write wal 17 kill-torn once, any any 40 kill-before once`.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kills: Vec<_> = self.kills.iter().map(ToString::to_string).collect();
        write!(f, "{} {}", self.scenario, kills.join(", "))
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scenario, kills) = text.split_once(' ').ok_or_else(|| format!("{text:?} names no kill"))?;
        let kills = kills.split(',').map(str::parse).collect::<Result<Vec<Fault>, _>>()?;
        match kills.iter().find(|kill| !kill.flavour.kills()) {
            Some(fault) => Err(format!("\"{fault}\" kills nobody")),
            None => Ok(Self { scenario: scenario.parse()?, kills }),
        }
    }
}
