//! A command: what it does in a transaction, and how its caller gets the answer after the commit.

use std::sync::mpsc::SyncSender;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::error::{Error, Result, caught};
use crate::policy::Durability;
use crate::run::{OwnerId, RunId};
use crate::store::Tx;
use crate::store::deliver::begin_needs_sync;
use crate::time::Timestamp;

/// What the loss of a commit in a power cut would break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// It was acknowledged, or stands between a crash and a repetition: synced under `Balanced`.
    Kept,
    /// It is repaired by itself: synced under `Strict` only.
    Repaired,
    /// The begun mark of this run's delivery: kept, unless an output without an answer is sent again anyway.
    BegunDelivery(RunId),
}

impl Promise {
    pub(crate) fn needs_sync(self, durability: Durability) -> bool {
        match durability {
            Durability::Strict => true,
            Durability::Balanced => self != Self::Repaired,
            Durability::Relaxed => false,
        }
    }
}

/// How long a command is driven again when the file cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// A caller waits: it gets the error.
    Caller,
    /// It is a fact that must not be lost: driven until it is written or the queue closes.
    Fact,
}

/// What the writer has to know of a command besides its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    /// The handler of this run has ended: its slot is free, already for the claims of this transaction.
    FreesSlot(RunId),
    /// A delivery that was taken up is over.
    FreesDelivery(RunId),
    /// Open runs may have been asked to stop, or ended.
    MayStopRuns,
}

/// A command as the writer sees it.
pub(super) trait Work: Send {
    /// How its commit must be made.
    fn promise(&self, conn: &Connection) -> Promise;
    fn patience(&self) -> Patience;
    fn effect(&self) -> Effect;
    /// The engine that waits for the answer.
    fn asked_by(&self) -> Option<OwnerId>;
    /// When it was given, on the steady clock.
    fn since(&self) -> Duration;
    /// Runs it in a transaction; from scratch each time, since a commit that failed is driven again. An error
    /// or a panic that belongs to the command is kept for its caller, and what it wrote is rolled back.
    fn apply(&mut self, tx: &Tx<'_>, now: Timestamp) -> Applied;
    /// Answers with what the last `apply` came to; called after the commit.
    fn answer(self: Box<Self>);
    /// It was part of a commit that returned an error: no later error can say that it is not in the file.
    fn doubt(&mut self);
    /// Answers with an error of the whole transaction.
    fn fail(self: Box<Self>, error: Error);
}

/// What became of a command within its transaction.
#[derive(Debug)]
pub(super) enum Applied {
    /// Keep what it wrote.
    Keep,
    /// Roll back what it wrote; the caller gets its own error.
    Undo,
    /// The file cannot be written just now: the whole transaction has failed.
    Broken(Error),
}

/// Where the answer goes.
pub(super) enum Answer<T> {
    Task(oneshot::Sender<Result<T>>),
    Thread(SyncSender<Result<T>>),
}

impl<T> Answer<T> {
    fn send(self, result: Result<T>) {
        // A caller that no longer waits has dropped its future; what was written stays written.
        match self {
            Self::Task(sender) => drop(sender.send(result)),
            Self::Thread(sender) => drop(sender.send(result)),
        }
    }
}

/// A command made of a function over a transaction.
pub(super) struct Op<T, F> {
    pub(super) promise: Promise,
    pub(super) patience: Patience,
    pub(super) effect: Effect,
    pub(super) asked_by: Option<OwnerId>,
    pub(super) since: Duration,
    pub(super) in_doubt: bool,
    pub(super) run: F,
    pub(super) result: Option<Result<T>>,
    pub(super) answer: Answer<T>,
}

impl<T, F> Work for Op<T, F>
where
    T: Send,
    F: FnMut(&Tx<'_>, Timestamp) -> Result<T> + Send,
{
    fn promise(&self, conn: &Connection) -> Promise {
        match self.promise {
            // A row that cannot be read is kept: one sync too many breaks nothing.
            Promise::BegunDelivery(run) if matches!(begin_needs_sync(conn, run), Ok(false)) => {
                Promise::Repaired
            }
            promise => promise,
        }
    }

    fn patience(&self) -> Patience {
        self.patience
    }

    fn effect(&self) -> Effect {
        self.effect
    }

    fn asked_by(&self) -> Option<OwnerId> {
        self.asked_by
    }

    fn since(&self) -> Duration {
        self.since
    }

    fn apply(&mut self, tx: &Tx<'_>, now: Timestamp) -> Applied {
        match caught("a command of the writer", || (self.run)(tx, now)) {
            Ok(value) => {
                self.result = Some(Ok(value));
                Applied::Keep
            }
            Err(error) if error.is_transient() => Applied::Broken(error),
            Err(error) => {
                self.result = Some(Err(error));
                Applied::Undo
            }
        }
    }

    fn answer(self: Box<Self>) {
        let this = *self;
        this.answer.send(this.result.unwrap_or(Err(Error::Closed)));
    }

    fn doubt(&mut self) {
        self.in_doubt = true;
    }

    fn fail(self: Box<Self>, error: Error) {
        let error = match error {
            known @ Error::OutcomeUnknown { .. } => known,
            later if self.in_doubt => Error::OutcomeUnknown { why: later.to_string() },
            other => other,
        };
        self.answer.send(Err(error));
    }
}
