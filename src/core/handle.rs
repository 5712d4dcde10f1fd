//! The handle on the writer: commands go in, answers come out after the commit.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tokio::sync::oneshot;

use super::drive::Drive;
use super::engines::Owned;
use super::generation::Generation;
use super::inbox::Refused;
use super::liveness::end_lives;
use super::messages::{BeginDelivery, Complete, Completed, EngineSpec, SettleDelivery};
use super::op::{Answer, Effect, Op, Patience, Promise};
use super::owner::OwnerLock;
use super::pulse::CoreHealth;
use super::shared::Shared;
use super::writer::Core;
use crate::error::{Error, Result};
use crate::job::Limits;
use crate::run::OwnerId;
use crate::sabotage::{Bug, on};
use crate::store::complete::{Recorded, complete};
use crate::store::owners::NewOwner;
use crate::store::{Database, Tx, deliver, owners, sabotage};
use crate::time::{Clock, Timestamp};

/// So many commands may wait; a caller beyond gets [`Error::Overloaded`]. At 10,000 commits a second in groups
/// this is seconds of work, and a bound on memory.
const MOST_WAITING: usize = 65_536;

/// The shared parts with what drives them. When the last handle is gone the writer closes.
struct Driven {
    shared: Arc<Shared>,
    drive: Drive<Core>,
}

/// A handle on the writer; cheap to clone.
#[derive(Clone)]
pub(crate) struct Handle {
    driven: Arc<Driven>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("db", &self.shared().db).finish_non_exhaustive()
    }
}

impl Handle {
    /// Starts the writer of an open file.
    pub(crate) fn start(db: Database, clock: Arc<dyn Clock>) -> Result<Self> {
        let shared = Arc::new(Shared::new(db, Arc::clone(&clock)));
        let core = |generation| Core::new(Arc::clone(&shared), generation);
        let drive = Drive::start(&shared.inbox, core).map_err(Error::io(NO_THREAD))?;
        let weak = Arc::downgrade(&shared);
        clock.on_move(Box::new(move || {
            if let Some(shared) = weak.upgrade() {
                shared.inbox.nudge();
            }
        }));
        Ok(Self { driven: Arc::new(Driven { shared, drive }) })
    }

    /// The same without a thread: its steps are taken by [`step`](Self::step), and by callers that block.
    #[cfg(feature = "simulation")]
    pub(crate) fn without_thread(db: Database, clock: Arc<dyn Clock>) -> Self {
        let shared = Arc::new(Shared::new(db, clock));
        let core = |generation| Core::new(Arc::clone(&shared), generation);
        let drive = Drive::without_thread(&shared.inbox, core);
        Self { driven: Arc::new(Driven { shared, drive }) }
    }

    /// Takes one step of the writer and says how long there is nothing more to do.
    #[cfg(feature = "simulation")]
    pub(crate) fn step(&self) -> Duration {
        self.driven.drive.step()
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.driven.shared
    }

    pub(crate) fn database(&self) -> &Database {
        &self.shared().db
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared().clock
    }

    pub(crate) fn limits(&self) -> Limits {
        self.shared().db.options().limits
    }

    pub(crate) fn database_uuid(&self) -> &str {
        self.shared().db.uuid()
    }

    pub(crate) fn health(&self) -> CoreHealth {
        let shared = self.shared();
        shared.pulse.health(self.driven.drive.generation(), shared.inbox.len(), shared.clock.steady())
    }

    /// Wakes the writer, so that it looks at the file and the clock; writes nothing.
    pub(crate) fn nudge(&self) {
        self.shared().inbox.nudge();
    }

    /// Another connection of this process is in a transaction for the queue: its commit is looked for closely.
    pub(crate) fn expect_commit(&self) {
        self.shared().hint();
    }

    /// Runs a function in the next transaction; resolves after the commit. The function may be called several
    /// times, each time in a transaction that starts from scratch.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        promise: Promise,
        run: impl FnMut(&Tx<'_>, Timestamp) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.submit(Ask::of_caller(promise, Effect::None), run).await
    }

    /// The same for what may stop or end open runs.
    pub(crate) async fn write_stopping<T: Send + 'static>(
        &self,
        run: impl FnMut(&Tx<'_>, Timestamp) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.submit(Ask::of_caller(Promise::Kept, Effect::MayStopRuns), run).await
    }

    /// Gives several commands at once, for the same transaction.
    #[cfg(test)]
    pub(super) fn give(&self, commands: Vec<Box<dyn super::op::Work>>) {
        self.shared().inbox.push_all(commands);
    }

    async fn submit<T: Send + 'static>(
        &self,
        ask: Ask,
        run: impl FnMut(&Tx<'_>, Timestamp) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        // A thread that a fork left behind would never answer, and may hold any lock.
        self.database().check_process()?;
        let (sender, receiver) = oneshot::channel();
        let answer = Answer::Task(sender);
        let since = self.clock().steady();
        let Ask { promise, patience, effect, asked_by } = ask;
        let op =
            Op { promise, patience, effect, asked_by, since, in_doubt: false, run, result: None, answer };
        self.shared().inbox.push(Box::new(op), most_waiting(patience)).map_err(refused)?;
        receiver.await.unwrap_or(Err(Error::Closed))
    }

    /// Runs a function in the next transaction and blocks until its commit. A caller that finds the writer idle
    /// does the writer's work itself, which saves the way to another thread and back.
    pub(crate) fn write_blocking<T: Send + 'static>(
        &self,
        promise: Promise,
        effect_stops: bool,
        run: impl FnMut(&Tx<'_>, Timestamp) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.database().check_process()?;
        let (sender, receiver) = sync_channel(1);
        let answer = Answer::Thread(sender);
        let effect = if effect_stops { Effect::MayStopRuns } else { Effect::None };
        let since = self.clock().steady();
        let op = Op {
            promise,
            patience: Patience::Caller,
            effect,
            asked_by: None,
            since,
            in_doubt: false,
            run,
            result: None,
            answer,
        };
        self.shared().inbox.push_quietly(Box::new(op), MOST_WAITING).map_err(refused)?;
        self.driven.drive.help();
        receiver.recv().unwrap_or(Err(Error::Closed))
    }

    /// Begins an engine's life: its lock and its row; then it claims.
    pub(crate) fn attach(&self, spec: EngineSpec) -> Result<OwnerId> {
        let shared = self.shared();
        shared.db.check_process()?;
        let generation = self.driven.drive.generation();
        let lock = OwnerLock::take(&shared.db.owners_dir()?)?;
        let (uuid, host) = (lock.uuid().to_owned(), shared.host.clone());
        let id = self.write_blocking(Promise::Kept, false, move |tx, now| {
            let owner = NewOwner { uuid: &uuid, generation, pid: std::process::id(), host: &host };
            if on(Bug::RecomputeAtLoad) {
                sabotage::recompute(tx, now)?;
            }
            owners::register(tx, &owner, now)
        })?;
        shared.engines.attach(spec, Owned { id, generation, lock });
        shared.inbox.nudge();
        Ok(id)
    }

    /// Records how a run ended; driven until it is written.
    pub(crate) async fn complete(&self, fact: Complete) -> Result<Completed> {
        let run_id = fact.run_id;
        let ask = Ask::of_engine(Promise::Kept, Effect::FreesSlot(run_id), fact.owner_id);
        let recorded = self.submit(ask, move |tx, now| complete(tx, &fact, now)).await?;
        match recorded {
            Recorded::Outcome(completed) => Ok(completed),
            Recorded::Late => Err(Error::ClaimLost(run_id)),
        }
    }

    /// Marks a delivery as begun and answers which attempt it is.
    pub(crate) async fn begin_delivery(&self, fact: BeginDelivery) -> Result<u32> {
        let run_id = fact.run_id;
        let ask = Ask::of_engine(Promise::BegunDelivery(run_id), Effect::None, fact.owner_id);
        let begun = self.submit(ask, move |tx, now| deliver::begin(tx, &fact, now)).await;
        if begun.is_err() {
            self.shared().engines.ended(&[], &[run_id]);
        }
        begun
    }

    /// Records what came of a delivery.
    pub(crate) async fn settle_delivery(&self, fact: SettleDelivery) -> Result<()> {
        let ask = Ask::of_engine(Promise::Repaired, Effect::FreesDelivery(fact.run_id), fact.owner_id);
        self.submit(ask, move |tx, now| deliver::settle(tx, &fact, now)).await
    }

    /// Ends claiming; once it has resolved, nothing is claimed any more.
    pub(crate) async fn stop_claiming(&self, owner: OwnerId) -> Result<()> {
        self.shared().engines.stop_claiming(owner);
        // A transaction that saw the engine claim is over when this one is.
        self.submit(Ask::FACT, |_, _| Ok(())).await
    }

    /// Ends the engine's lives and lets go of their locks. Runs that are still open are then recovered by others.
    pub(crate) async fn detach(&self, owner: OwnerId) -> Result<()> {
        let lives = self.shared().engines.lives_of(owner);
        let ask = Ask { promise: Promise::Kept, ..Ask::FACT };
        let over = self.submit(ask, move |tx, now| end_lives(tx, &lives, now)).await?;
        if let Some(attached) = self.shared().engines.detach(owner) {
            for owned in attached.owners {
                if over.contains(&owned.id) {
                    owned.lock.remove();
                }
            }
        }
        Ok(())
    }

    /// Replaces a writer that hangs: new thread, new connection, new owners. The old one, if it wakes, commits
    /// nothing any more.
    pub(crate) fn replace_generation(&self) -> Result<()> {
        let shared = self.shared();
        let end = |old: &Generation| shared.engines.end(old);
        let core = |generation| Core::new(Arc::clone(shared), generation);
        self.driven.drive.replace(end, core).map_err(Error::io(NO_THREAD))
    }

    /// Takes no more commands, waits until all that were given are written or answered, and ends the writer.
    pub(crate) fn close(&self, longest: Duration) -> bool {
        self.driven.drive.close(longest)
    }
}

/// What the writer has to know of a command besides what it does.
struct Ask {
    promise: Promise,
    patience: Patience,
    effect: Effect,
    asked_by: Option<OwnerId>,
}

impl Ask {
    const fn of_caller(promise: Promise, effect: Effect) -> Self {
        Self { promise, patience: Patience::Caller, effect, asked_by: None }
    }

    /// What is driven until it is written, and answered whether or not an engine still listens.
    const FACT: Self =
        Self { promise: Promise::Repaired, patience: Patience::Fact, effect: Effect::None, asked_by: None };

    /// A fact of a run or a delivery of this owner.
    const fn of_engine(promise: Promise, effect: Effect, owner: OwnerId) -> Self {
        Self { promise, effect, asked_by: Some(owner), ..Self::FACT }
    }
}

const NO_THREAD: &str = "cannot start the writer's thread";

fn most_waiting(patience: Patience) -> usize {
    match patience {
        Patience::Caller => MOST_WAITING,
        Patience::Fact => usize::MAX,
    }
}

fn refused(why: Refused) -> Error {
    match why {
        Refused::Closed => Error::Closed,
        Refused::Full(waiting) => Error::Overloaded { waiting },
    }
}
