//! Which faults there are to try.

use std::fmt;
use std::str::FromStr;

use mainspring_proof_stage::Scenario;
use mainspring_proof_vfs::{Counts, Fault, Flavour};

/// One fault in one scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Case {
    pub(crate) scenario: Scenario,
    pub(crate) fault: Fault,
}

/// Every fault of every operation that a play without faults asked for.
pub(crate) fn cases(scenario: Scenario, counts: &Counts) -> Vec<Case> {
    let mut cases = Vec::new();
    for (op, file, count) in counts.iter() {
        for flavour in Flavour::ALL.iter().filter(|flavour| flavour.fits(op) && can_be_seen(**flavour)) {
            for sticky in [false, true] {
                cases.extend((1..=count).map(|nth| {
                    let fault = Fault { op: Some(op), file: Some(file), nth, flavour: *flavour, sticky };
                    Case { scenario, fault }
                }));
            }
        }
    }
    cases
}

/// A kill is for another tier; a sync that lies shows only in a power cut.
fn can_be_seen(flavour: Flavour) -> bool {
    !flavour.kills() && flavour != Flavour::Pretended
}

/// For example `recovery write wal 17 torn once`.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.scenario, self.fault)
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scenario, fault) = text.split_once(' ').ok_or_else(|| format!("{text:?} names no fault"))?;
        Ok(Self { scenario: scenario.parse()?, fault: fault.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use mainspring_proof_vfs::{FileKind, Op};

    use super::*;

    #[test]
    fn a_case_is_read_back_from_what_it_prints() {
        let fault = Fault::first(Op::Sync, Flavour::IoError).on(FileKind::Wal).at(3).sticky();
        let case = Case { scenario: Scenario::Recovery, fault };
        assert_eq!(case.to_string(), "recovery sync wal 3 eio sticky");
        assert_eq!(case.to_string().parse(), Ok(case));
        assert!(
            "recovery".parse::<Case>().is_err() && "nothing sync wal 3 eio once".parse::<Case>().is_err()
        );
    }
}
