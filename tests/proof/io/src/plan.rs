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

/// Every fault of every operation that a play without faults asked for.
pub(crate) fn faults(counts: &Counts) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (op, file, count) in counts.iter() {
        for flavour in Flavour::ALL.iter().filter(|flavour| flavour.fits(op) && can_be_seen(**flavour)) {
            for sticky in [false, true] {
                let fault = Fault { op: Some(op), file: Some(file), nth: 1, flavour: *flavour, sticky };
                faults.extend((1..=count).map(|nth| fault.at(nth)));
            }
        }
    }
    faults
}

/// All faults of all scenarios, some to a play, in an order of chance: any beginning of it has something of everything.
pub(crate) fn deal(known: Vec<(Scenario, Vec<Fault>)>, at_a_time: usize, seed: u64) -> Vec<Case> {
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut cases = Vec::new();
    for (scenario, mut faults) in known {
        chance.shuffle(&mut faults);
        cases.extend(faults.chunks(at_a_time).map(|faults| Case { scenario, faults: faults.to_vec() }));
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

    #[test]
    fn every_fault_is_dealt_once_and_one_seed_deals_one_order() {
        let fault = Fault::first(Op::Read, Flavour::IoError);
        let known = || {
            let faults = |count| (1..=count).map(|nth| fault.at(nth)).collect();
            vec![(Scenario::Cron, faults(7)), (Scenario::Retry, faults(4))]
        };
        let cases = deal(known(), 3, 1);
        assert_eq!(cases, deal(known(), 3, 1));
        assert_ne!(cases, deal(known(), 3, 2));
        let mut all: Vec<_> = cases
            .iter()
            .flat_map(|case| case.faults.iter().map(|fault| (case.scenario, fault.nth)))
            .collect();
        all.sort_unstable();
        let expected =
            (1..=7).map(|nth| (Scenario::Cron, nth)).chain((1..=4).map(|nth| (Scenario::Retry, nth)));
        assert_eq!(all, expected.collect::<Vec<_>>());
    }
}
