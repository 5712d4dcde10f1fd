//! What a power cut may not take: for each moment the last commit that must still be there.
//!
//! Commits are numbered from 1; 0 is what the file began with. Since the log is read from its start, a commit that is
//! there stands for all before it, so that one number says all.

use mainspring::{Durability, OnInterrupt, OnUnknownDelivery, Outcome};
use mainspring_proof_stage::Entry;

use crate::calls;
use crate::commits::Commit;
use crate::facts::Facts;
use crate::record::Recording;

/// A commit that must survive every cut from an event on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    pub(crate) from: usize,
    pub(crate) commit: usize,
    pub(crate) why: String,
}

/// All demands of a recording.
#[derive(Debug, Default)]
pub(crate) struct Demands {
    /// By `from`, each with a later commit than those before it.
    rising: Vec<Demand>,
}

/// Finds out what must survive with that durability. `facts` are those of each commit, beginning with number 0.
///
/// # Errors
/// Something happened of which no commit tells.
pub(crate) fn demands(
    durability: Durability,
    recording: &Recording,
    commits: &[Commit],
    facts: &[Facts],
) -> Result<Demands, Vec<String>> {
    if durability == Durability::Relaxed {
        return Ok(Demands::default());
    }
    let is_strict = durability == Durability::Strict;
    let story = Story { is_strict, recording, commits, facts };
    let mut all = story.commits_that_are_over();
    let mut untold = Vec::new();
    // What was known at the start was asked about at the cut before it.
    for (from, entry) in recording.marks().skip(recording.start.ledger.len()) {
        for (commit, why) in story.witnessed(from, &entry) {
            match commit {
                Some(commit) => all.push(Demand { from, commit, why }),
                None => untold.push(format!("{why}, and no commit tells of it")),
            }
        }
    }
    if untold.is_empty() { Ok(Demands::rising(all)) } else { Err(untold) }
}

impl Demands {
    fn rising(mut all: Vec<Demand>) -> Self {
        all.sort_by_key(|demand| demand.from);
        let mut rising: Vec<Demand> = Vec::new();
        for demand in all {
            if rising.last().is_none_or(|last| last.commit < demand.commit) {
                rising.push(demand);
            }
        }
        Self { rising }
    }

    /// What must survive a cut just after an event.
    pub(crate) fn after(&self, event: usize) -> Option<&Demand> {
        let known = self.rising.partition_point(|demand| demand.from <= event);
        self.rising.get(known.checked_sub(1)?)
    }
}

struct Story<'a> {
    is_strict: bool,
    recording: &'a Recording,
    commits: &'a [Commit],
    facts: &'a [Facts],
}

impl Story<'_> {
    /// The first commit from a number on after which something is so.
    fn first(&self, from: usize, is: impl Fn(&Facts) -> bool) -> Option<usize> {
        (from..self.facts.len()).find(|number| self.facts.get(*number).is_some_and(&is))
    }

    /// A commit is over, and its sync with it, once the next one begins to write: it has let go of its lock.
    fn commits_that_are_over(&self) -> Vec<Demand> {
        let pairs = self.facts.windows(2).zip(self.commits.get(1..).unwrap_or_default());
        let demands = pairs.enumerate().filter_map(|(before, (facts, next))| {
            let [old, new] = facts else { return None };
            let why = if self.is_strict { Some("was over".to_owned()) } else { promised(old, new) };
            let commit = before + 1;
            let why = format!("commit {commit} {}, and another one followed it", why?);
            Some(Demand { from: next.begins, commit, why })
        });
        demands.collect()
    }

    /// The commits that must have come before an entry, each with what is known by the entry.
    fn witnessed(&self, at: usize, entry: &Entry) -> Vec<(Option<usize>, String)> {
        let scenario = self.recording.start.scenario;
        match entry {
            Entry::Acknowledged { call } => {
                let lasts = calls::shows(scenario, call, &Facts::default()).is_some();
                if !lasts || (call == calls::PRUNE && !self.is_strict) {
                    return Vec::new();
                }
                let asked = self.asked(at, call);
                let done = |facts: &Facts| calls::shows(scenario, call, facts) == Some(true);
                vec![(self.first(asked, done), format!("{call:?} was acknowledged"))]
            }
            Entry::Called { label, run, .. } => {
                let policy = scenario.part(label).map(|part| part.on_interrupt);
                if !self.is_strict && policy == Some(OnInterrupt::Rerun) {
                    return Vec::new();
                }
                let claimed = self.first(0, |facts| facts.runs.contains_key(run));
                vec![(claimed, format!("the handler of {label:?} was called for run {run}"))]
            }
            Entry::Sent { label, run, attempt, .. } => self.before_a_delivery(label, *run, *attempt),
            _ => Vec::new(),
        }
    }

    fn before_a_delivery(&self, label: &str, run: i64, attempt: u32) -> Vec<(Option<usize>, String)> {
        let sent = format!("delivery {attempt} of run {run} of {label:?} was made");
        let recorded = self.first(0, |facts| facts.completions.contains_key(&run));
        let mut commits = vec![(recorded, sent.clone())];
        let policy = self.recording.start.scenario.part(label).map(|part| part.on_unknown_delivery);
        if self.is_strict || policy == Some(OnUnknownDelivery::Hold) {
            let begun =
                |facts: &Facts| facts.completions.get(&run).is_some_and(|it| it.deliveries >= attempt);
            commits.push((self.first(0, begun), sent));
        }
        commits
    }

    /// The number of the last commit before the call that an acknowledgement answers.
    fn asked(&self, acknowledged: usize, call: &str) -> usize {
        let asked = self
            .recording
            .marks()
            .take_while(|(at, _)| *at < acknowledged)
            .filter(|(_, entry)| matches!(entry, Entry::Asked { call: named } if named == call))
            .map(|(at, _)| at)
            .next()
            .unwrap_or_default();
        self.commits.partition_point(|commit| commit.done < asked)
    }
}

/// What of the step from one commit to the next `Balanced` promises to keep.
fn promised(old: &Facts, new: &Facts) -> Option<String> {
    let enqueued = new.jobs.iter().find(|(id, _)| !old.jobs.contains_key(id));
    if let Some((_, job)) = enqueued {
        return Some(format!("enqueued {:?}", job.label));
    }
    for (run, completion) in &new.completions {
        let before = old.completions.get(run);
        if before.is_none() && completion.outcome != Outcome::Interrupted {
            return Some(format!("completed run {run}"));
        }
        let deliveries = before.map_or(0, |before| before.deliveries);
        if completion.on_unknown == Some(OnUnknownDelivery::Hold) && completion.deliveries > deliveries {
            return Some(format!("began delivery {} of run {run}, which is held", completion.deliveries));
        }
    }
    let mut claimed = new.runs.iter().filter(|(id, _)| !old.runs.contains_key(id));
    let claim = claimed.find(|(_, run)| new.on_interrupt(run) != OnInterrupt::Rerun);
    claim.map(|(id, _)| format!("claimed run {id}, which is not to be repeated"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(from: usize, commit: usize) -> Demand {
        Demand { from, commit, why: String::new() }
    }

    #[test]
    fn of_all_demands_up_to_an_event_the_one_for_the_latest_commit_counts() {
        let demands = Demands::rising(vec![demand(9, 2), demand(5, 3), demand(2, 1), demand(12, 4)]);
        let after = |event| demands.after(event).map(|demand| demand.commit);
        assert_eq!([1, 2, 4, 5, 11, 12].map(after), [None, Some(1), Some(1), Some(3), Some(3), Some(4)]);
    }
}
