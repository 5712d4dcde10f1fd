//! Which faults there are to try.

use std::fmt;
use std::str::FromStr;

use mainspring_proof_stage::Scenario;
use mainspring_proof_vfs::{Counts, Fault, Flavour};

/// A play of a scenario with the faults that it meets, each armed from the beginning.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Case {
    pub(crate) scenario: Scenario,
    pub(crate) faults: Vec<Fault>,
}

impl Case {
    /// The same with one of its faults alone, for each of them.
    pub(crate) fn alone(&self) -> impl Iterator<Item = Self> + '_ {
        self.faults.iter().map(|fault| Self { scenario: self.scenario, faults: vec![*fault] })
    }
}

/// The faults that differ in nothing but which operation of their kind they meet, and how many there are of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    first: Fault,
    count: u64,
}

/// Every kind of fault of every kind of operation that a play without faults asked for.
pub(crate) fn kinds(counts: &Counts) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for (op, file, count) in counts.iter() {
        for flavour in Flavour::ALL.iter().filter(|flavour| flavour.fits(op) && can_be_seen(**flavour)) {
            let first = Fault::first(op, *flavour).on(file);
            kinds.extend([first, first.sticky()].map(|first| Kind { first, count }));
        }
    }
    kinds
}

/// How many faults there are.
pub(crate) fn count(kinds: &[Kind]) -> u64 {
    kinds.iter().map(|kind| kind.count).sum()
}

/// One fault of each kind at least, and each `stride`-th operation: the seed says where it begins.
fn choose(kinds: &[Kind], stride: f64, chance: &mut fastrand::Rng) -> Vec<Fault> {
    let mut faults = Vec::new();
    for Kind { first, count } in kinds {
        let mut at = chance.f64() * stride.min(*count as f64);
        while at < *count as f64 {
            faults.push(first.at(at as u64 + 1));
            at += stride;
        }
    }
    faults
}

/// About `most` faults of all scenarios, some to a play, in an order of chance: any beginning of it has something of
/// everything.
pub(crate) fn deal(known: &[(Scenario, Vec<Kind>)], at_a_time: usize, most: u64, seed: u64) -> Vec<Case> {
    let mut chance = fastrand::Rng::with_seed(seed);
    let all: u64 = known.iter().map(|(_, kinds)| count(kinds)).sum();
    let stride = (all as f64 / most.max(1) as f64).max(1.0);
    let mut cases = Vec::new();
    for (scenario, kinds) in known {
        let mut faults = choose(kinds, stride, &mut chance);
        chance.shuffle(&mut faults);
        let case = |faults: &[Fault]| Case { scenario: *scenario, faults: faults.to_vec() };
        cases.extend(faults.chunks(at_a_time).map(case));
    }
    chance.shuffle(&mut cases);
    cases
}

/// A kill is for another tier; a sync that lies shows only in a power cut.
fn can_be_seen(flavour: Flavour) -> bool {
    !flavour.kills() && flavour != Flavour::Pretended
}

/// For example `recovery write wal 17 torn once, sync wal 2 eio sticky`.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<_> = self.faults.iter().map(ToString::to_string).collect();
        write!(f, "{} {}", self.scenario, faults.join(", "))
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scenario, faults) = text.split_once(' ').ok_or_else(|| format!("{text:?} names no fault"))?;
        let faults = faults.split(',').map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { scenario: scenario.parse()?, faults })
    }
}

#[cfg(test)]
mod tests {
    use mainspring_proof_vfs::{FileKind, Op};

    use super::*;

    #[test]
    fn a_case_is_read_back_from_what_it_prints() {
        let fault = Fault::first(Op::Sync, Flavour::IoError).on(FileKind::Wal).at(3).sticky();
        let other = Fault::first(Op::Write, Flavour::Torn).on(FileKind::Wal);
        let case = Case { scenario: Scenario::Recovery, faults: vec![fault, other] };
        assert_eq!(case.to_string(), "recovery sync wal 3 eio sticky, write wal 1 torn once");
        assert_eq!(case.to_string().parse(), Ok(case.clone()));
        assert_eq!(case.alone().map(|one| one.faults).collect::<Vec<_>>(), [vec![fault], vec![other]]);
        assert!(
            "recovery".parse::<Case>().is_err() && "nothing sync wal 3 eio once".parse::<Case>().is_err()
        );
    }

    fn known() -> Vec<(Scenario, Vec<Kind>)> {
        let read = Kind { first: Fault::first(Op::Read, Flavour::IoError), count: 70 };
        let sync = Kind { first: Fault::first(Op::Sync, Flavour::Unheard).sticky(), count: 2 };
        vec![(Scenario::Cron, vec![read, sync]), (Scenario::Retry, vec![sync])]
    }

    fn dealt(cases: &[Case]) -> Vec<(Scenario, String)> {
        let mut all: Vec<_> = cases
            .iter()
            .flat_map(|case| case.faults.iter().map(|fault| (case.scenario, fault.to_string())))
            .collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn every_fault_is_dealt_once_where_there_is_room_and_one_seed_deals_one_order() {
        let cases = deal(&known(), 3, u64::MAX, 1);
        assert_eq!(cases, deal(&known(), 3, u64::MAX, 1));
        assert_ne!(cases, deal(&known(), 3, u64::MAX, 2));
        let mut all = dealt(&cases);
        assert_eq!(all.len() as u64, known().iter().map(|(_, kinds)| count(kinds)).sum::<u64>());
        all.dedup();
        assert_eq!(all.len(), 74);
        assert!(cases.iter().all(|case| case.faults.len() <= 3));
    }

    #[test]
    fn of_many_faults_each_kind_has_one_and_the_operations_are_at_even_distances() {
        let all = dealt(&deal(&known(), 3, 10, 1));
        let of = |scenario, what: &str| {
            let found = all.iter().filter(|(s, fault)| *s == scenario && fault.starts_with(what));
            found.map(|(_, fault)| fault.split(' ').nth(2).and_then(|nth| nth.parse::<u64>().ok())).collect()
        };
        let (syncs, reads): (Vec<_>, Vec<_>) =
            (of(Scenario::Retry, "sync any"), of(Scenario::Cron, "read any"));
        assert_eq!((syncs.len(), of(Scenario::Cron, "sync any").len()), (1, 1));
        assert!((9..=10).contains(&reads.len()), "{reads:?}");
        let mut reads: Vec<u64> = reads.into_iter().flatten().collect();
        reads.sort_unstable();
        assert!(reads.windows(2).all(|two| (7..=8).contains(&(two[1] - two[0]))), "{reads:?}");
    }
}
