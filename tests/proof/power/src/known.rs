//! All that is known of a recording before the power is cut: each commit, and what the file holds after it.

use std::collections::HashMap;

use mainspring::Durability;
use mainspring_proof_stage::Entry;
use mainspring_proof_vfs::{Event, FileKind};

use crate::commits::{Commit, commits};
use crate::disk::Disk;
use crate::examine::{Examined, Table};
use crate::facts::Facts;
use crate::image::Digest;
use crate::promise::{Demand, Demands, demands};
use crate::record::Recording;

/// A recording with all that is known of it.
pub(crate) struct Known<'a> {
    pub(crate) recording: &'a Recording,
    commits: Vec<Commit>,
    /// What must survive.
    promised: Demands,
    /// What would have to survive under `Strict`: all that was over.
    over: Demands,
    /// The number of the commit that a content is of.
    numbers: HashMap<Digest, usize>,
}

impl<'a> Known<'a> {
    /// Looks at the file after each commit, when nothing was lost.
    ///
    /// # Errors
    /// What is wrong with it even then.
    pub(crate) fn of(recording: &'a Recording, table: &Table) -> Result<Self, Vec<String>> {
        let commits = commits(&recording.events);
        let mut look = Look { table, facts: Vec::new(), numbers: HashMap::new(), wrong: Vec::new() };
        let mut disk = Disk::with(&recording.start.image);
        look.at(&disk, 0);
        let begin = commits.first().map_or(recording.events.len(), |first| first.begins);
        let mut next = commits.iter().enumerate().peekable();
        for (at, event) in recording.events.iter().enumerate() {
            disk.happen(at, event);
            if at < begin && is_end_of_a_journal(event) {
                // A file that was made for its first commit, with SQLite's settings in it, holds as little as none.
                look.at(&disk, 0);
            }
            if let Some((before, _)) = next.next_if(|(_, commit)| commit.done == at) {
                look.at(&disk, before + 1);
            }
        }
        if !look.wrong.is_empty() {
            return Err(look.wrong);
        }
        let promised = demands(recording.start.durability, recording, &commits, &look.facts)?;
        let over = demands(Durability::Strict, recording, &commits, &look.facts)?;
        Ok(Self { recording, commits, promised, over, numbers: look.numbers })
    }

    /// Which commit a content is of.
    pub(crate) fn number(&self, content: Digest) -> Option<usize> {
        self.numbers.get(&content).copied()
    }

    /// What must have survived a cut after an event, if a cut that left no more than that commit took it.
    pub(crate) fn broken(&self, event: usize, left: usize) -> Option<&Demand> {
        self.promised.after(event).filter(|demand| left < demand.commit)
    }

    /// Whether a cut that left no more than that commit took what was over, allowed or not.
    pub(crate) fn took_something(&self, event: usize, left: usize) -> bool {
        self.over.after(event).is_some_and(|demand| left < demand.commit)
    }

    /// The ledger of a process that has come no further than that commit, and what else stands in it before the cut.
    ///
    /// The next commit has not begun for such a process: what it had heard, done and asked until then it knows.
    pub(crate) fn ledger(&self, event: usize, left: usize) -> (Vec<Entry>, Vec<Entry>) {
        let start = &self.recording.start;
        let next = self.commits.get(left).map_or(usize::MAX, |next| next.begins);
        let (mut kept, mut forgotten) = (start.ledger.clone(), start.forgotten.clone());
        // What was known at the start stands before the first write, whenever the cut came.
        let marks = self.recording.marks().skip(start.ledger.len()).take_while(|(at, _)| *at <= event);
        for (at, entry) in marks {
            if at < next {
                kept.push(entry);
            } else {
                forgotten.push(entry);
            }
        }
        (kept, forgotten)
    }
}

/// Whether a commit is over that went through a rollback journal: of such SQLite writes its settings, before it has a
/// log.
fn is_end_of_a_journal(event: &Event) -> bool {
    matches!(event, Event::Delete { file, .. } if file.kind == FileKind::Journal)
}

/// Looks at the file, one commit after the other.
struct Look<'a> {
    table: &'a Table,
    facts: Vec<Facts>,
    numbers: HashMap<Digest, usize>,
    wrong: Vec<String>,
}

impl Look<'_> {
    fn at(&mut self, disk: &Disk, number: usize) {
        match self.table.examine_all(&disk.seen()) {
            Ok(Examined { digest, facts, findings }) => {
                self.numbers.insert(digest, number);
                let found = findings.iter().map(|what| format!("after commit {number}: {what}"));
                self.wrong.extend(found);
                if self.facts.len() == number {
                    self.facts.push(facts);
                }
            }
            Err(why) => self.wrong.push(format!("after commit {number}: {why}")),
        }
    }
}
