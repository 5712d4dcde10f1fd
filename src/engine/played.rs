//! An engine whose handlers are played, on a writer without a thread: what the simulator of the proof drives. Every
//! step of it is taken when the simulator says so, and between any two of them the process may die: it is dropped.
//!
//! What it decides and writes is the engine's and the writer's own code. Played is only what an application would do,
//! and what tokio would: calls, answers, timeouts.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::decide_delivery::{self, DeliveryRules};
use super::decide_run::{self, Call, Decision, Rules};
use super::delivery::suppressed;
use super::erased::{Answer, DeliveryResult};
use super::failure::Failure;
use super::handover::Handover;
use super::supervise::{Asked, Ended};
use crate::core::Promise;
use crate::core::messages::{
    BeginDelivery, ClaimedRun, Committed, Complete, EngineEvent, EngineSpec, QueueSpec, SettleDelivery,
    StopReason,
};
use crate::error::Result;
use crate::job::JobId;
use crate::plan::Trigger;
use crate::policy::Policies;
use crate::queue::Queue;
use crate::run::{Delivery, Outcome, OwnerId, RequestId, RunId, idempotency_key, key_prefix};
use crate::store::account::unaccounted;
use crate::store::prune::{Cursor, Keep, newest_dropped, prune};
use crate::store::{OpenOptions, cancel};
use crate::time::{Clock, Timestamp};

/// One process: a queue and an engine on it. Dropping it is its sudden death.
#[derive(Debug)]
pub struct Process {
    queue: Queue,
    owner: OwnerId,
    events: UnboundedReceiver<EngineEvent>,
    /// What came of it, and was not asked for yet.
    told: VecDeque<Event>,
    key_prefix: Arc<str>,
    /// Places in memory for outputs, more than are ever taken.
    outputs: Arc<Semaphore>,
}

/// What a process is there for.
#[derive(Clone, Debug)]
pub struct Serves {
    /// Its queues, and how many runs of each go on at once.
    pub queues: Vec<(String, u32)>,
    /// The kinds that it has handlers for.
    pub kinds: Vec<String>,
    /// How many stored outputs it takes up at once.
    pub deliveries: u32,
}

/// What the writer asks of the engine.
#[derive(Debug)]
pub enum Event {
    /// Call the handler.
    Run(Box<Claim>),
    /// Deliver this.
    Deliver(Box<Output>),
    /// Somebody cancelled the run: ask its handler to stop.
    Cancel(RunId),
    /// The run was taken from this process: ask its handler to stop.
    Fence(RunId),
}

/// A run whose handler is to be called.
#[derive(Clone, Debug)]
pub struct Claim {
    run: ClaimedRun,
    key: String,
}

/// How the call of a handler ended, and who had asked it to stop.
#[derive(Debug)]
pub struct Played {
    /// How it ended.
    pub how: How,
    /// Its timeout had passed.
    pub timed_out: bool,
    /// Somebody had cancelled the run.
    pub cancelled: bool,
    /// The engine was shutting down.
    pub shutdown: bool,
    /// When it was called.
    pub started_at: Timestamp,
    /// Moves the wait before another attempt; between 0 and 1.
    pub random: f64,
}

/// What a handler came back with.
#[derive(Debug)]
pub enum How {
    /// This, as JSON.
    Returned(Option<String>),
    /// A failure.
    Failed(Failure),
    /// A panic.
    Panicked,
    /// It cannot tell whether an interrupted attempt did its work.
    Unverified,
    /// Nothing: it does not stop.
    StillRunning,
}

/// The end of a run, to be recorded.
#[derive(Clone, Debug)]
pub struct Fact(Complete);

/// An output that is to be delivered.
#[derive(Debug)]
pub struct Output(Handover);

impl Process {
    /// Opens the queue and begins the life of an engine on it.
    ///
    /// # Errors
    /// What opening a queue may answer.
    pub fn begin(options: &OpenOptions, clock: Arc<dyn Clock>, serves: Serves) -> Result<Self> {
        let queue = Queue::without_thread(options, clock)?;
        let (sender, events) = mpsc::unbounded_channel();
        let Serves { queues, kinds, deliveries } = serves;
        let queues = queues.into_iter().map(|(name, workers)| QueueSpec { name, workers }).collect();
        let owner = queue.core().attach(EngineSpec { queues, kinds, deliveries, events: sender })?;
        let key_prefix = key_prefix(queue.database_uuid());
        let outputs = Arc::new(Semaphore::new(1 << 20));
        Ok(Self { queue, owner, events, told: VecDeque::new(), key_prefix, outputs })
    }

    /// The queue, for whatever its users may do. A future of it is to be polled before a step and after it.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The name of this life on record.
    pub fn owner(&self) -> OwnerId {
        self.owner
    }

    /// Takes one step of the writer, and says how long there is nothing more to do.
    pub fn step(&mut self) -> Duration {
        let rests = self.queue.core().step();
        self.listen();
        rests
    }

    /// What went wrong in the last step, if anything did.
    pub fn last_error(&self) -> Option<String> {
        self.queue.core().health().last_error
    }

    /// The next thing that the writer asks for.
    pub fn event(&mut self) -> Option<Event> {
        self.listen();
        self.told.pop_front()
    }

    /// Takes what the writer has told, and drops its answers, which gives them.
    fn listen(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            match event {
                EngineEvent::Committed(Committed { runs, deliveries, answers: _ }) => {
                    for run in runs {
                        let prefix = &self.key_prefix;
                        let key = idempotency_key(prefix, run.job_id, run.scheduled_for, run.request_id);
                        self.told.push_back(Event::Run(Box::new(Claim { run, key })));
                    }
                    for claim in deliveries {
                        let output = Output(Handover::of_delivery(claim, &self.key_prefix));
                        self.told.push_back(Event::Deliver(Box::new(output)));
                    }
                }
                EngineEvent::Stop(run, StopReason::Cancelled) => self.told.push_back(Event::Cancel(run)),
                EngineEvent::Stop(run, StopReason::Fenced) => self.told.push_back(Event::Fence(run)),
            }
        }
    }

    /// What is to be recorded of a call, and what came too late to be the outcome.
    pub fn decide(&self, claim: &Claim, delivers: bool, played: Played) -> (Fact, Option<Fact>) {
        let policies = claim.policies();
        let (call, rules) = self.call(&policies, delivers, played);
        let Decision { complete, late } = decide_run::decide(&claim.run, rules, call);
        (Fact(complete), late.map(Fact))
    }

    /// What is to be kept of a handler that comes back after its run was taken from it.
    pub fn late(&self, claim: &Claim, delivers: bool, played: Played) -> Fact {
        let policies = claim.policies();
        let (call, rules) = self.call(&policies, delivers, played);
        Fact(decide_run::late(&claim.run, rules, call))
    }

    /// The engine shuts down and the handler was not called.
    pub fn not_called(&self, claim: &Claim) -> Fact {
        Fact(decide_run::not_called(&claim.run, self.now()))
    }

    /// Records the end of a run; says whether its output is to be delivered by this process.
    pub fn record(&self, fact: Fact) -> impl Future<Output = Result<bool>> + use<> {
        let core = self.queue.core().clone();
        async move { core.complete(fact.0).await.map(|completed| completed.delivery == Delivery::Pending) }
    }

    /// The output of a run whose end is on record.
    pub fn output_of(&self, claim: &Claim, output: &str) -> Option<Output> {
        let place = Arc::clone(&self.outputs).try_acquire_owned().ok()?;
        let handover =
            Handover::of_run(&claim.run, claim.policies(), (output.to_owned(), place), &self.key_prefix);
        Some(Output(handover))
    }

    /// Marks a delivery as begun and says which attempt it is.
    pub fn begin_delivery(&self, output: &Output) -> impl Future<Output = Result<u32>> + use<> {
        let core = self.queue.core().clone();
        let begin = BeginDelivery { run_id: output.0.run_id, owner_id: output.0.owner_id };
        async move { core.begin_delivery(begin).await }
    }

    /// Records what came of a delivery; without an answer it did not come in time.
    pub fn settle(
        &self,
        output: &Output,
        attempt: u32,
        answer: Option<DeliveryResult>,
        random: f64,
    ) -> impl Future<Output = Result<()>> + use<> {
        let rules = DeliveryRules {
            policies: &output.0.policies,
            limits: self.queue.core().limits(),
            attempt,
            now: self.now(),
            random,
        };
        let ended = answer.map_or(Ended::StillRunning, Ended::Answered);
        self.settle_as(output, decide_delivery::decide(ended, rules))
    }

    /// Records that it is too late for a delivery, if it is.
    pub fn suppress_if_late(&self, output: &Output) -> Option<impl Future<Output = Result<()>> + use<>> {
        let by = output.0.deliver_by.filter(|by| *by < self.now())?;
        Some(self.settle_as(output, suppressed(by)))
    }

    fn settle_as(
        &self,
        output: &Output,
        answer: crate::core::messages::DeliveryAnswer,
    ) -> impl Future<Output = Result<()>> + use<> {
        let core = self.queue.core().clone();
        let settle = SettleDelivery { run_id: output.0.run_id, owner_id: output.0.owner_id, answer };
        async move { core.settle_delivery(settle).await }
    }

    /// Cancels a job without waiting for its open runs.
    pub fn cancel(&self, job: JobId) -> impl Future<Output = Result<Vec<RunId>>> + use<> {
        let core = self.queue.core().clone();
        async move {
            let cancelled = core.write_stopping(move |tx, now| cancel::cancel_job(tx, job, now)).await?;
            Ok(cancelled.stopping)
        }
    }

    /// Cancels a run without waiting for it.
    pub fn cancel_run(&self, run: RunId) -> impl Future<Output = Result<Vec<RunId>>> + use<> {
        let core = self.queue.core().clone();
        async move {
            let cancelled = core.write_stopping(move |tx, now| cancel::cancel_run(tx, run, now)).await?;
            Ok(cancelled.stopping)
        }
    }

    /// Removes a job without waiting for its open runs.
    pub fn remove(&self, job: JobId) -> impl Future<Output = Result<Vec<RunId>>> + use<> {
        let core = self.queue.core().clone();
        async move {
            let removed = core.write_stopping(move |tx, now| cancel::remove(tx, job, now)).await?;
            Ok(removed.stopping)
        }
    }

    /// Prunes a history that is shorter than one piece; says how many runs went.
    pub fn prune(&self, since: Timestamp, runs: Option<u64>) -> impl Future<Output = Result<usize>> + use<> {
        let core = self.queue.core().clone();
        let keep = Keep { since, runs };
        async move {
            core.write(Promise::Repaired, move |tx, _| {
                let newest = newest_dropped(tx, &keep)?;
                prune(tx, &keep, newest, &mut Cursor::default()).map(|piece| piece.runs)
            })
            .await
        }
    }

    /// The occurrences of a job between two instants that are neither run, nor missed on record, nor ahead.
    ///
    /// # Errors
    /// What reading may answer.
    pub fn unaccounted(&self, job: JobId, from: Timestamp, to: Timestamp) -> Result<Vec<Timestamp>> {
        self.queue.core().database().read(|conn| unaccounted(conn, job, from, to))
    }

    /// Claims nothing more.
    pub fn stop_claiming(&self) -> impl Future<Output = Result<()>> + use<> {
        let (core, owner) = (self.queue.core().clone(), self.owner);
        async move { core.stop_claiming(owner).await }
    }

    /// Ends the engine's life on record.
    pub fn detach(&self) -> impl Future<Output = Result<()>> + use<> {
        let (core, owner) = (self.queue.core().clone(), self.owner);
        async move { core.detach(owner).await }
    }

    fn now(&self) -> Timestamp {
        self.queue.core().clock().now()
    }

    fn call<'a>(&self, policies: &'a Policies, delivers: bool, played: Played) -> (Call, Rules<'a>) {
        let how = match played.how {
            How::Returned(output) => Ended::Answered(Answer::Returned(output)),
            How::Failed(failure) => Ended::Answered(Answer::Failed(failure)),
            How::Unverified => Ended::Answered(Answer::Unverified),
            How::Panicked => Ended::Panicked("played".to_owned()),
            How::StillRunning => Ended::StillRunning,
        };
        let Played { timed_out, cancelled, shutdown, started_at, random, .. } = played;
        let asked = Asked { timed_out, cancelled, shutdown, fenced: false };
        let rules = Rules { policies, limits: self.queue.core().limits(), delivers, random };
        (Call { how, asked, started_at, finished_at: self.now() }, rules)
    }
}

impl Fact {
    /// The outcome that it is to be.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }
}

impl Claim {
    /// The run.
    pub fn run(&self) -> RunId {
        self.run.run_id
    }

    /// Its job.
    pub fn job(&self) -> JobId {
        self.run.job_id
    }

    /// Whose it is.
    pub fn owner(&self) -> OwnerId {
        self.run.owner_id
    }

    /// The queue that it was claimed from.
    pub fn queue(&self) -> &str {
        &self.run.queue
    }

    /// The kind of its handler.
    pub fn kind(&self) -> &str {
        &self.run.kind
    }

    /// The occurrence.
    pub fn scheduled_for(&self) -> Timestamp {
        self.run.scheduled_for
    }

    /// Which attempt at it.
    pub fn attempt(&self) -> u32 {
        self.run.attempt
    }

    /// Why it runs.
    pub fn trigger(&self) -> Trigger {
        self.run.trigger
    }

    /// Which request it answers, if it was asked for.
    pub fn request(&self) -> Option<RequestId> {
        self.run.request_id
    }

    /// Whether the handler is to be asked first what became of the attempt before.
    pub fn verify(&self) -> bool {
        self.run.verify
    }

    /// The idempotency key that its handler sees.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The policies of the job when it was claimed.
    pub fn policies(&self) -> Policies {
        Policies::from_json(&self.run.policies).unwrap_or_default()
    }
}

impl Output {
    /// The run that made it.
    pub fn run(&self) -> RunId {
        self.0.run_id
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.0.output
    }

    /// The idempotency key that its receiver sees.
    pub fn key(&self) -> &str {
        &self.0.idempotency_key
    }
}
