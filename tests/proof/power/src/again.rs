//! What was done over all lives, with what the file has forgotten.

use mainspring::{Durability, OnInterrupt, OnUnknownDelivery};
use mainspring_proof_stage::{Answer, Entry, Part};

use crate::record::Start;

/// What a handler or a sink did more often than is promised. `Relaxed` promises nothing here: what was done in the
/// last moments may be done again.
pub(crate) fn too_often(start: &Start, ledger: &[Entry]) -> Vec<String> {
    if start.durability == Durability::Relaxed {
        return Vec::new();
    }
    let all: Vec<&Entry> = ledger.iter().chain(&start.forgotten).collect();
    start.scenario.parts().iter().flat_map(|part| of_one(part, start.cuts as usize, &all)).collect()
}

fn of_one(part: &Part, cuts: usize, all: &[&Entry]) -> Vec<String> {
    let count = |is: &dyn Fn(&Entry) -> bool| all.iter().filter(|entry| is(entry)).count();
    let of_it = |label: &str| label == part.label;
    let called = count(&|entry| matches!(entry, Entry::Called { label, .. } if of_it(label)));
    let succeeded = count(&|entry| matches!(entry, Entry::Returned { label, ok: true, .. } if of_it(label)));
    let sent = count(&|entry| matches!(entry, Entry::Sent { label, .. } if of_it(label)));
    let taken =
        count(&|entry| matches!(entry, Entry::Sent { label, answer: Answer::Accept, .. } if of_it(label)));

    let again = if part.on_interrupt == OnInterrupt::Rerun { cuts } else { 0 };
    let resent = if part.on_unknown_delivery == OnUnknownDelivery::Resend { cuts } else { 0 };
    let calls = part.acts.len().saturating_sub(part.before.0 as usize);
    let sends = part.answers.len().saturating_sub(part.before.1 as usize);
    // Of an output that is sent again whatever happens no attempt is synced: all of them may be forgotten.
    let most = [
        ("its handler was called", called, part.occurrences * calls + again),
        ("its handler succeeded", succeeded, part.occurrences + again),
        ("it was sent", sent, part.occurrences * sends * (1 + resent)),
        ("it was taken", taken, part.occurrences + resent),
    ];
    let label = part.label;
    most.into_iter()
        .filter(|(_, found, most)| found > most)
        .map(|(what, found, most)| format!("{label:?}: over all lives {what} {found} times, not {most}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use mainspring_proof_stage::Scenario;

    use super::*;
    use crate::image::Image;

    #[test]
    fn what_the_file_has_forgotten_counts() {
        let called = |run| Entry::Called { label: "single".to_owned(), run, occurrence: 1, attempt: 1 };
        let start = |durability, cuts| Start {
            scenario: Scenario::Enqueue,
            durability,
            image: Image::default(),
            ledger: Vec::new(),
            forgotten: vec![called(1)],
            cuts,
        };
        let ledger = [called(1)];
        assert_eq!(too_often(&start(Durability::Balanced, 0), &ledger).len(), 1);
        assert_eq!(too_often(&start(Durability::Balanced, 1), &ledger), [""; 0]);
        assert_eq!(too_often(&start(Durability::Relaxed, 0), &ledger), [""; 0]);
    }
}
