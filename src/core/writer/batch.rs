//! What one transaction does: its commands one after the other, and what they come to.

use std::collections::HashSet;
use std::sync::Arc;

use crate::core::inbox::Hand;
use crate::core::op::{Applied, Effect, Work};
use crate::error::{Error, Result};
use crate::exchange::{ClaimedDelivery, ClaimedRun};
use crate::job::JobId;
use crate::run::RunId;
use crate::store::Tx;
use crate::store::marks::Mark;
use crate::store::savepoint::Savepoint;
use crate::time::Timestamp;

/// What one transaction does. Commands that it does not answer go back into the inbox when it is dropped.
pub(super) struct Batch {
    pub(super) commands: Hand<Box<dyn Work>>,
    pub(super) runs: Vec<ClaimedRun>,
    pub(super) deliveries: Vec<ClaimedDelivery>,
    /// Queues that were asked and gave nothing although they have ready jobs.
    pub(super) stuck: HashSet<Arc<str>>,
    pub(super) needs_sync: bool,
    pub(super) may_stop_runs: bool,
    pub(super) parked: Vec<(JobId, String)>,
}

impl Batch {
    pub(super) fn new(commands: Hand<Box<dyn Work>>) -> Self {
        Self {
            commands,
            runs: Vec::new(),
            deliveries: Vec::new(),
            stuck: HashSet::new(),
            needs_sync: false,
            may_stop_runs: false,
            parked: Vec::new(),
        }
    }
}

/// When a transaction failed.
pub(super) enum Failed {
    /// Before its commit: nothing is in the file.
    Before(Error),
    /// A claim failed for what a row holds, and the next ones are made one by one. Nothing is in the file.
    Claim(Error),
    /// The commit returned an error: what became of it is unknown, and this will tell.
    Commit(Error, Mark),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Before(error.into())
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Before(error)
    }
}

#[derive(Default)]
pub(super) struct Effects {
    pub(super) ended: Vec<RunId>,
    pub(super) delivered: Vec<RunId>,
    pub(super) may_stop_runs: bool,
}

impl Effects {
    fn add(&mut self, effect: Effect) {
        match effect {
            Effect::None => {}
            Effect::FreesSlot(run) => self.ended.push(run),
            Effect::FreesDelivery(run) => self.delivered.push(run),
            Effect::MayStopRuns => self.may_stop_runs = true,
        }
    }
}

/// What some commands of a transaction came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    All,
    /// One has failed after it had written something.
    OneFailed,
}

/// Runs the commands one after the other. Few of them fail, and fewer after they have written: only then the
/// transaction is begun again, with each command in a savepoint, so that one that fails takes no other with it.
pub(super) fn apply_all(
    tx: &Tx<'_>,
    commands: &mut [Box<dyn Work>],
    effects: &mut Effects,
    now: Timestamp,
) -> Result<Run> {
    for command in commands {
        let before = tx.total_changes();
        match command.apply(tx, now) {
            Applied::Keep => {}
            // SQLite ends the whole transaction after some errors.
            Applied::Undo if tx.total_changes() == before && !tx.is_autocommit() => {}
            Applied::Undo => return Ok(Run::OneFailed),
            Applied::Broken(error) => return Err(error),
        }
        effects.add(command.effect());
    }
    Ok(Run::All)
}

/// Runs each command in a savepoint.
pub(super) fn apply_apart(tx: &Tx<'_>, commands: &mut [Box<dyn Work>], now: Timestamp) -> Result<Effects> {
    let mut effects = Effects::default();
    for command in commands {
        let savepoint = Savepoint::begin(tx)?;
        match command.apply(tx, now) {
            Applied::Keep => savepoint.keep()?,
            Applied::Undo => savepoint.undo()?,
            Applied::Broken(error) => return Err(error),
        }
        effects.add(command.effect());
    }
    Ok(effects)
}
