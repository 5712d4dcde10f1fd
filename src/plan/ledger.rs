//! What goes on record as missed, where some of it has been run.

use super::{Miss, MissReason, Position};
use crate::time::Timestamp;

/// The rows for `miss` around the occurrences in it that have a run, which `runs` names in ascending order. A clock that
/// was set back and then stopped leaves such runs in what was missed: no occurrence is both.
pub fn around(position: &Position<'_>, miss: Miss, runs: impl IntoIterator<Item = Timestamp>) -> Vec<Miss> {
    if miss.reason == MissReason::Excluded {
        return vec![miss];
    }
    let slots = position.slots();
    let mut rows = Vec::new();
    let mut rest = Some(miss);
    for run in runs {
        let Some(row) = rest.filter(|row| run <= row.to) else { break };
        if let Some(last) = slots.any_before(run).filter(|last| *last >= row.from) {
            rows.push(slots.part(&row, row.from, last));
        }
        rest = slots
            .any_after(run)
            .filter(|first| *first <= row.to)
            .map(|first| slots.part(&row, first, row.to));
    }
    rows.extend(rest);
    rows
}
