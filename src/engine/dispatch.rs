//! The event loop: takes what the writer sends and has a task for each of it.
//!
//! It owns everything that changes in an engine's life, and nothing in it waits: runs and deliveries are tasks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::{JoinError, JoinSet};
use tracing::Instrument;

use super::delivery::{DeliveryEnd, deliver};
use super::env::Env;
use super::handover::Handover;
use super::log;
use super::shutdown::ShutdownReport;
use super::supervise::MOST_ASKS;
use super::worker::{RunEnd, work};
use super::writer::Writer;
use crate::core::messages::{ClaimedRun, Committed, EngineEvent, StopReason};
use crate::run::{OwnerId, RunId};

/// Waking a thread takes a fifth of what a transaction of eight short jobs does. If the writer's last message came so soon
/// after the loop had begun to wait, it watches for the next one for as long before it sleeps, as the writer does for what
/// engines tell it. If none comes, the next wait is slept through, so that an idle engine never watches.
const WATCH: Duration = Duration::from_micros(200);

/// What the application and the watchdog ask of the event loop.
#[derive(Debug)]
pub(super) enum Command {
    /// Show a sign of life.
    Ping,
    /// Stop, with this patience for what is under way.
    ShutDown(Duration),
}

/// The event loop and all that it has in hand.
pub(super) struct Dispatcher<W: Writer> {
    pub(super) env: Arc<Env<W>>,
    pub(super) owner: OwnerId,
    events: UnboundedReceiver<EngineEvent>,
    commands: UnboundedReceiver<Command>,
    /// How to ask the open runs to stop.
    asks: HashMap<RunId, mpsc::Sender<StopReason>>,
    pub(super) runs: JoinSet<RunEnd>,
    pub(super) deliveries: JoinSet<DeliveryEnd>,
    pub(super) report: ShutdownReport,
    /// Whether watching takes the processor from nobody whom it waits for.
    may_watch: bool,
}

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Somebody asked for it, with this patience.
    Asked(Duration),
    /// Nobody holds the engine any more.
    Forgotten,
    /// The writer is gone: the queue was closed.
    WriterGone,
}

impl<W: Writer> Dispatcher<W> {
    pub(super) fn new(
        env: Arc<Env<W>>,
        owner: OwnerId,
        events: UnboundedReceiver<EngineEvent>,
        commands: UnboundedReceiver<Command>,
    ) -> Self {
        Self {
            env,
            owner,
            events,
            commands,
            asks: HashMap::new(),
            runs: JoinSet::new(),
            deliveries: JoinSet::new(),
            report: ShutdownReport::default(),
            may_watch: std::thread::available_parallelism().is_ok_and(|processors| processors.get() > 1),
        }
    }

    /// Serves until it shall stop.
    pub(super) async fn serve(&mut self) -> Stop {
        let mut comes_soon = false;
        loop {
            if comes_soon {
                comes_soon = self.watch().await;
            }
            let waits = Instant::now();
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Ping) => self.env.pulse.answer(),
                    Some(Command::ShutDown(patience)) => return Stop::Asked(patience),
                    None => return Stop::Forgotten,
                },
                event = self.events.recv() => match event {
                    Some(event) => {
                        comes_soon = self.may_watch && waits.elapsed() < WATCH;
                        self.take(event);
                    }
                    None => return Stop::WriterGone,
                },
                Some(ended) = self.runs.join_next() => self.run_ended(ended),
                Some(ended) = self.deliveries.join_next() => self.delivery_ended(ended),
            }
        }
    }

    /// Waits for news without sleeping, for a moment, and lets other tasks go first; whether there is any.
    async fn watch(&mut self) -> bool {
        let begun = Instant::now();
        while self.events.is_empty() && self.commands.is_empty() {
            if begun.elapsed() >= WATCH {
                return false;
            }
            while let Some(ended) = self.runs.try_join_next() {
                self.run_ended(ended);
            }
            while let Some(ended) = self.deliveries.try_join_next() {
                self.delivery_ended(ended);
            }
            tokio::task::yield_now().await;
        }
        true
    }

    /// One step of the loop during a shutdown; nothing can ask for another one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            Some(command) = self.commands.recv() => if matches!(command, Command::Ping) {
                self.env.pulse.answer();
            },
            Some(event) = self.events.recv() => self.take(event),
            Some(ended) = self.runs.join_next() => {
                if let Ok(end) = &ended {
                    self.report.count_run(end);
                }
                self.run_ended(ended);
            }
            Some(ended) = self.deliveries.join_next() => {
                if let Ok(end) = &ended {
                    self.report.count_delivery(*end);
                }
                self.delivery_ended(ended);
            }
            else => std::future::pending().await,
        }
    }

    /// Whether nothing is left in hand.
    pub(super) fn is_idle(&self) -> bool {
        self.events.is_empty() && self.runs.is_empty() && self.deliveries.is_empty()
    }

    /// What the shutdown came to.
    pub(super) fn report(&self) -> ShutdownReport {
        let left_behind = self.env.left_behind.load(Ordering::Relaxed);
        ShutdownReport { left_behind: u32::try_from(left_behind).unwrap_or(u32::MAX), ..self.report }
    }

    fn take(&mut self, event: EngineEvent) {
        match event {
            EngineEvent::Committed(Committed { runs, deliveries, answers }) => {
                runs.into_iter().for_each(|claim| self.begin_run(claim));
                for claim in deliveries {
                    let handover = Handover::of_delivery(claim, &self.env.key_prefix);
                    self.begin_delivery(Box::new(handover));
                }
                drop(answers);
            }
            EngineEvent::Stop(run, reason) => self.ask_to_stop(run, reason),
        }
        self.show();
    }

    fn begin_run(&mut self, claim: ClaimedRun) {
        let (ask, asks) = mpsc::channel(MOST_ASKS);
        // Registered before the task begins: the writer sends a stop only after its run, so that it finds it.
        self.asks.insert(claim.run_id, ask);
        let span = log::run_span(&claim);
        self.runs.spawn(work(Arc::clone(&self.env), claim, asks).instrument(span));
    }

    fn begin_delivery(&mut self, handover: Box<Handover>) {
        let span = log::delivery_span(&handover);
        self.deliveries.spawn(deliver(Arc::clone(&self.env), handover).instrument(span));
    }

    /// A run that is not here has ended; its completion is on its way.
    fn ask_to_stop(&self, run: RunId, reason: StopReason) {
        if let Some(ask) = self.asks.get(&run) {
            // Full means that it was asked as often as there are reasons; closed, that it has ended.
            let _ = ask.try_send(reason);
        }
    }

    fn run_ended(&mut self, joined: Result<RunEnd, JoinError>) {
        match joined {
            Ok(end) => {
                self.asks.remove(&end.run_id);
                if let Some(handover) = end.handover {
                    self.begin_delivery(handover);
                }
            }
            Err(why) => {
                log::task_failed("run", &why);
                self.asks.retain(|_, ask| !ask.is_closed());
            }
        }
        self.show();
    }

    fn delivery_ended(&mut self, joined: Result<DeliveryEnd, JoinError>) {
        if let Err(why) = joined {
            log::task_failed("delivery", &why);
        }
        self.show();
    }

    fn show(&self) {
        self.env.pulse.runs.store(self.runs.len(), Ordering::Relaxed);
        self.env.pulse.deliveries.store(self.deliveries.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Failure;
    use crate::engine::RunContext;
    use crate::engine::erased::Handlers;
    use crate::engine::tests::{Args, claim, erased, fake, of_run};
    use crate::job::JobArgs;

    #[tokio::test(start_paused = true)]
    async fn a_run_that_has_ended_leaves_nothing_behind() {
        let mut handlers = Handlers::default();
        let handler = erased(|_: Args, _: RunContext| async { Ok::<_, Failure>(()) });
        handlers.add(Args::KIND, handler).unwrap();
        let (writer, _facts) = fake();
        let env = Arc::new(Env::new(writer, handlers, 1));
        let (events, received) = mpsc::unbounded_channel();
        let (_commands, commanded) = mpsc::unbounded_channel();
        let mut dispatcher = Dispatcher::new(env, OwnerId(1), received, commanded);
        for run in 1..=100 {
            events.send(of_run(claim(run))).unwrap();
        }
        while !dispatcher.is_idle() {
            dispatcher.next().await;
        }
        assert_eq!((dispatcher.asks.len(), dispatcher.report().finished), (0, 100));
    }
}
