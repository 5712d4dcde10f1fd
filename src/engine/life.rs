//! One engine's life: attached, served, shut down.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::dispatch::{Command, Dispatcher, Stop};
use super::env::Env;
use super::erased::Handlers;
use super::health::EngineHealth;
use super::log;
use super::shutdown::ShutdownReport;
use super::watchdog::{WatchLimits, Watchdog};
use super::writer::Writer;
use crate::core::messages::{EngineEvent, EngineSpec, QueueSpec};
use crate::error::{Error, Result};
use crate::run::OwnerId;

/// What an engine was built to be.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) handlers: Handlers,
    pub(super) queues: Vec<QueueSpec>,
    pub(super) deliveries: u32,
    /// How long a shutdown waits that nobody gives another patience.
    pub(super) patience: Duration,
    pub(super) limits: WatchLimits,
}

/// An engine that runs. Dropped, it shuts down by itself, with the patience that it was built with.
pub(super) struct Life<W: Writer> {
    env: Arc<Env<W>>,
    commands: mpsc::UnboundedSender<Command>,
    task: JoinHandle<Result<ShutdownReport>>,
    limits: WatchLimits,
}

impl<W: Writer> Life<W> {
    /// Attaches to the writer; resolves once claims have begun.
    ///
    /// # Errors
    /// Those of attaching.
    pub(super) async fn start(writer: W, plan: Plan) -> Result<Self> {
        let deliveries = usize::try_from(plan.deliveries).unwrap_or(usize::MAX);
        let env = Arc::new(Env::new(writer, plan.handlers.clone(), deliveries));
        let limits = plan.limits;
        let (commands, commanded) = mpsc::unbounded_channel();
        let (ready, is_ready) = oneshot::channel();
        // A task of its own, so that an engine whose start nobody waits for any more is detached in order.
        let pings = commands.downgrade();
        let task = tokio::spawn(live(Arc::clone(&env), plan, commanded, pings, ready));
        match is_ready.await {
            Ok(Ok(())) => Ok(Self { env, commands, task, limits }),
            Ok(Err(why)) => Err(why),
            Err(_) => Err(Error::Closed),
        }
    }

    /// Stops, with this patience for what is under way.
    pub(super) async fn shut_down(mut self, patience: Duration) -> Result<ShutdownReport> {
        // If the loop is gone it has stopped already, and its task says how.
        let _ = self.commands.send(Command::ShutDown(patience));
        self.ended().await
    }

    /// Resolves when the engine has stopped.
    pub(super) async fn ended(&mut self) -> Result<ShutdownReport> {
        (&mut self.task).await.unwrap_or_else(|why| {
            log::task_failed("engine", &why);
            Err(Error::Closed)
        })
    }

    pub(super) fn health(&self) -> EngineHealth {
        let left_behind = self.env.left_behind.load(Ordering::Relaxed);
        EngineHealth::new(self.env.writer.health(), &self.env.pulse, left_behind, self.limits)
    }
}

async fn live<W: Writer>(
    env: Arc<Env<W>>,
    plan: Plan,
    commands: mpsc::UnboundedReceiver<Command>,
    pings: mpsc::WeakUnboundedSender<Command>,
    ready: oneshot::Sender<Result<()>>,
) -> Result<ShutdownReport> {
    let (sender, events) = mpsc::unbounded_channel();
    let (owner, _watchdog) = match attach(&env, &plan, sender, pings).await {
        Ok(attached) => attached,
        Err(why) => {
            // Whoever gave up waiting for the start has no use for its error either.
            let _ = ready.send(Err(why));
            return Ok(ShutdownReport::default());
        }
    };
    log::engine_started(owner);
    // If nobody waits any more the commands are closed, and the loop ends at once and in order.
    let _ = ready.send(Ok(()));
    let mut dispatcher = Dispatcher::new(Arc::clone(&env), owner, events, commands);
    let stop = dispatcher.serve().await;
    let patience = match stop {
        Stop::Asked(patience) => patience,
        Stop::Forgotten => plan.patience,
        Stop::WriterGone => {
            log::writer_is_gone(owner);
            plan.patience
        }
    };
    let report = dispatcher.shut_down(patience).await;
    env.pulse.set_stopped();
    if stop == Stop::WriterGone { Err(Error::Closed) } else { report }
}

/// Attaching blocks for as long as the writer needs to lock, recover and write: on a thread for that.
async fn attach<W: Writer>(
    env: &Arc<Env<W>>,
    plan: &Plan,
    events: mpsc::UnboundedSender<EngineEvent>,
    pings: mpsc::WeakUnboundedSender<Command>,
) -> Result<(OwnerId, Watchdog)> {
    let spec = EngineSpec {
        queues: plan.queues.clone(),
        kinds: plan.handlers.kinds().map(str::to_owned).collect(),
        deliveries: plan.deliveries,
        events,
    };
    let writer = env.writer.clone();
    let attached = tokio::task::spawn_blocking(move || writer.attach(spec)).await;
    let owner = attached.unwrap_or_else(|why| {
        log::task_failed("attach", &why);
        Err(Error::Closed)
    })?;
    match Watchdog::start(Arc::clone(env), pings, plan.limits) {
        Ok(watchdog) => Ok((owner, watchdog)),
        Err(why) => {
            env.writer.detach(owner).await?;
            Err(why)
        }
    }
}
