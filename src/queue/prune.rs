//! What a prune drops and what it came to.

use std::time::Duration;

use crate::store::prune as store;
use crate::time::Timestamp;

/// What to drop: runs with their completions, finished jobs without a name, misses, and events.
///
/// Nobody knows of what was dropped: if the wall clock is then set back to before it, its occurrences come again and are
/// run again.
///
/// ```
/// use mainspring::Prune;
/// use std::time::Duration;
/// let month = Prune::older_than(Duration::from_secs(30 * 86_400)).keep_newest(100_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prune {
    age: Duration,
    newest: Option<u64>,
}

impl Prune {
    /// Drops what ended longer ago than this.
    pub fn older_than(age: Duration) -> Self {
        Self { age, newest: None }
    }

    /// Of what is younger, keeps only so many of the newest runs. Defaults to all.
    #[must_use]
    pub fn keep_newest(mut self, runs: u64) -> Self {
        self.newest = Some(runs);
        self
    }

    pub(super) fn keep(self, now: Timestamp) -> store::Keep {
        store::Keep { since: now.minus(self.age), runs: self.newest }
    }
}

/// How much a prune dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// Runs, with their completions and late results.
    pub runs: usize,
    /// Finished jobs.
    pub jobs: usize,
    /// Rows of the ledger of misses.
    pub misses: usize,
    /// Rows of the log of events, by the time of the event: those of jobs that are there still, too.
    pub events: usize,
}

impl Pruned {
    pub(super) fn add(&mut self, piece: store::Pruned) {
        self.runs += piece.runs;
        self.jobs += piece.jobs;
        self.misses += piece.misses;
        self.events += piece.events;
    }
}
