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
fn first_kills(counts: &Counts) -> Vec<Fault> {
    let mut kills = Vec::new();
    for (op, file, count) in counts.iter() {
        for flavour in [Flavour::KillBefore, Flavour::KillTorn].into_iter().filter(|it| it.fits(op)) {
            let first = Fault::first(op, flavour).on(file);
            kills.extend((1..=count).map(|nth| first.at(nth)));
        }
    }
    kills
}

/// The kills of a recovery, counted over all files: what a dead process left decides which it asks for.
fn further_kills(counts: &Counts) -> Vec<Fault> {
    let any = |flavour| Fault { op: None, file: None, nth: 1, flavour, sticky: false };
    let before = (1..=counts.total()).map(|nth| any(Flavour::KillBefore).at(nth));
    let torn = (1..=counts.of(Some(Op::Write), None)).map(|nth| any(Flavour::KillTorn).at(nth));
    before.chain(torn).collect()
}

/// A case for each first kill, in an order of chance: any beginning has something of everything. One of so many cases
/// has two further kills; together these go round all of a recovery.
pub(crate) fn plan(known: &[Known], one_of: usize, seed: u64) -> Vec<Case> {
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut cases = Vec::new();
    for Known { scenario, play, recovery } in known {
        let mut firsts = first_kills(play);
        chance.shuffle(&mut firsts);
        let mut further = further_kills(recovery);
        chance.shuffle(&mut further);
        let mut further = further.into_iter().cycle();
        cases.extend(firsts.into_iter().enumerate().map(|(at, first)| {
            let more = if at % one_of == 0 { 2 } else { 0 };
            let kills = std::iter::once(first).chain(further.by_ref().take(more)).collect();
            Case { scenario: *scenario, kills }
        }));
    }
    chance.shuffle(&mut cases);
    cases
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use mainspring_proof_vfs::FaultVfs;
    use rusqlite::{Connection, OpenFlags};

    use super::*;

    /// What SQLite asks for when a table is made.
    fn counts() -> Counts {
        let dir = tempfile::tempdir().unwrap();
        let vfs = FaultVfs::register_unique("plan").unwrap();
        let made =
            Connection::open_with_flags_and_vfs(dir.path().join("a.db"), OpenFlags::default(), vfs.name())
                .and_then(|conn| conn.execute_batch("CREATE TABLE t (x)"));
        assert_eq!(made, Ok(()));
        vfs.counts()
    }

    fn known() -> [Known; 2] {
        [Scenario::Cron, Scenario::Retry].map(|scenario| Known {
            scenario,
            play: counts(),
            recovery: counts(),
        })
    }

    #[test]
    fn each_operation_is_killed_before_and_each_write_in_its_middle_once_as_the_first() {
        let known = known();
        let cases = plan(&known, 3, 1);
        let firsts: BTreeSet<String> =
            cases.iter().map(|case| format!("{} {}", case.scenario, case.kills[0])).collect();
        let one = known[0].play.total() + known[0].play.of(Some(Op::Write), None);
        assert_eq!((firsts.len(), cases.len()), (2 * one as usize, 2 * one as usize));
        assert!(
            firsts.contains("cron write db 1 kill-torn once")
                && firsts.contains("retry lock db 1 kill-before once")
        );
    }

    #[test]
    fn further_kills_go_round_all_of_a_recovery() {
        let known = known();
        let further = |one_of| -> BTreeSet<String> {
            let cases = plan(&known[..1], one_of, 1);
            cases.iter().flat_map(|case| case.kills.iter().skip(1).map(ToString::to_string)).collect()
        };
        let all = known[0].recovery.total() + known[0].recovery.of(Some(Op::Write), None);
        assert_eq!(further(1).len() as u64, all);
        assert_eq!(further(2).len() as u64, all);
        assert!(
            further(1).contains("any any 3 kill-before once")
                && further(1).contains("any any 2 kill-torn once")
        );
    }

    #[test]
    fn one_seed_gives_one_order_and_a_case_is_read_back_from_what_it_prints() {
        let known = known();
        let cases = plan(&known, 3, 1);
        assert_eq!(cases, plan(&known, 3, 1));
        assert_ne!(cases, plan(&known, 3, 2));
        for case in cases {
            assert_eq!(case.to_string().parse(), Ok(case));
        }
        let refused = |text: &str| text.parse::<Case>().is_err();
        assert!(
            refused("cron")
                && refused("cron write wal 1 eio once")
                && refused("no-such any any 1 kill-before once")
        );
    }
}
