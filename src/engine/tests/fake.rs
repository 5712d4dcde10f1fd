//! A writer that remembers what it was told and answers as a test wants it to.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use crate::core::CoreHealth;
use crate::core::messages::{
    BeginDelivery, ClaimedDelivery, ClaimedRun, Committed, Complete, Completed, Deliver, EngineEvent,
    EngineSpec, QueueSpec, SettleDelivery,
};
use crate::engine::erased::{AsyncHandler, BlockingHandler, ErasedHandler, Handlers};
use crate::engine::handler::Handler;
use crate::engine::life::{Life, Plan};
use crate::engine::watchdog::WatchLimits;
use crate::engine::writer::Writer;
use crate::engine::{Failure, RunContext, ShutdownReport};
use crate::error::{Error, Result};
use crate::job::{JobArgs, JobId, Limits};
use crate::plan::Trigger;
use crate::policy::{OnInterrupt, Policies};
use crate::run::{Delivery, OwnerId, RunId};
use crate::time::{Clock, Timestamp};

/// When the tests' clock begins.
pub(in crate::engine) const BEGIN: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const OWNER: OwnerId = OwnerId(1);

/// What the writer was told, in order.
#[derive(Debug)]
pub(in crate::engine) enum Fact {
    Completed(Complete),
    /// A completion of a run that had ended.
    Late(Complete),
    Begun(RunId),
    Settled(SettleDelivery),
    StoppedClaiming,
    Detached,
    Replaced,
}

#[derive(Clone)]
pub(in crate::engine) struct Fake(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    facts: UnboundedSender<Fact>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    events: Option<UnboundedSender<EngineEvent>>,
    ended: HashSet<RunId>,
    begun: HashMap<RunId, u32>,
    complete_errors: VecDeque<Error>,
    begin_errors: VecDeque<Error>,
    attach_error: Option<Error>,
    sent_when_asked_to_stop: Option<EngineEvent>,
    hangs: bool,
    silence: Duration,
}

/// A wall clock that goes with tokio's.
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        BEGIN.plus(self.0.elapsed())
    }
}

impl Fake {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    fn tell(&self, fact: Fact) {
        // A test that has ended reads no more facts.
        let _ = self.0.facts.send(fact);
    }

    /// Ends this run as if recovery had: what the engine says of it later is late.
    pub(in crate::engine) fn end_by_somebody_else(&self, run: RunId) {
        self.state().ended.insert(run);
    }

    pub(in crate::engine) fn answer_the_next_complete_with(&self, error: Error) {
        self.state().complete_errors.push_back(error);
    }

    pub(in crate::engine) fn answer_the_next_begin_with(&self, error: Error) {
        self.state().begin_errors.push_back(error);
    }

    pub(in crate::engine) fn refuse_to_attach(&self, error: Error) {
        self.state().attach_error = Some(error);
    }

    /// A claim that was on its way when it was told to stop.
    pub(in crate::engine) fn send_when_asked_to_stop(&self, event: EngineEvent) {
        self.state().sent_when_asked_to_stop = Some(event);
    }

    /// Nothing is answered any more: the disk hangs.
    pub(in crate::engine) fn hang(&self) {
        self.state().hangs = true;
    }

    pub(in crate::engine) fn be_silent_for(&self, silence: Duration) {
        self.state().silence = silence;
    }

    /// The queue was closed.
    pub(in crate::engine) fn close(&self) {
        self.state().events = None;
    }

    pub(in crate::engine) fn send(&self, event: EngineEvent) {
        self.state().events.as_ref().unwrap().send(event).unwrap();
    }

    async fn hang_if_told(&self) {
        if self.state().hangs {
            std::future::pending::<()>().await;
        }
    }
}

impl Writer for Fake {
    fn attach(&self, spec: EngineSpec) -> Result<OwnerId> {
        if let Some(error) = self.state().attach_error.take() {
            return Err(error);
        }
        self.state().events = Some(spec.events);
        Ok(OWNER)
    }

    async fn complete(&self, complete: Complete) -> Result<Completed> {
        self.hang_if_told().await;
        if let Some(error) = self.state().complete_errors.pop_front() {
            return Err(error);
        }
        if !self.state().ended.insert(complete.run_id) {
            let run = complete.run_id;
            self.tell(Fact::Late(complete));
            return Err(Error::ClaimLost(run));
        }
        let delivery = match complete.deliver {
            Deliver::No => Delivery::NotRequested,
            Deliver::By(_) | Deliver::Anyone => Delivery::Pending,
        };
        self.tell(Fact::Completed(complete));
        Ok(Completed { delivery, next_run_at: None })
    }

    async fn begin_delivery(&self, begin: BeginDelivery) -> Result<u32> {
        self.hang_if_told().await;
        if let Some(error) = self.state().begin_errors.pop_front() {
            return Err(error);
        }
        let attempt = {
            let mut state = self.state();
            let attempt = state.begun.entry(begin.run_id).or_default();
            *attempt += 1;
            *attempt
        };
        self.tell(Fact::Begun(begin.run_id));
        Ok(attempt)
    }

    async fn settle_delivery(&self, settle: SettleDelivery) -> Result<()> {
        self.hang_if_told().await;
        self.tell(Fact::Settled(settle));
        Ok(())
    }

    async fn stop_claiming(&self, _owner: OwnerId) -> Result<()> {
        self.hang_if_told().await;
        let event = self.state().sent_when_asked_to_stop.take();
        if let Some(event) = event {
            self.send(event);
        }
        self.tell(Fact::StoppedClaiming);
        Ok(())
    }

    async fn detach(&self, _owner: OwnerId) -> Result<()> {
        self.hang_if_told().await;
        self.tell(Fact::Detached);
        Ok(())
    }

    fn replace_generation(&self) -> Result<()> {
        self.be_silent_for(Duration::ZERO);
        self.tell(Fact::Replaced);
        Ok(())
    }

    fn health(&self) -> CoreHealth {
        CoreHealth {
            generation: 1,
            last_tick_at: BEGIN,
            since_last_tick: self.state().silence,
            next_due_at: None,
            waiting_commands: 0,
            last_error: None,
            log_bytes: 0,
            log_is_held_back: false,
        }
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn database_uuid(&self) -> &str {
        "0f3c2a1b-5d6e-4f70-8192-a3b4c5d6e7f8"
    }
}

/// The arguments of every job of these tests.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(in crate::engine) struct Args {
    pub(in crate::engine) word: String,
}

impl JobArgs for Args {
    const KIND: &'static str = "test";
}

/// An engine with one handler over the fake.
pub(in crate::engine) struct Bench {
    pub(in crate::engine) fake: Fake,
    life: Option<Life<Fake>>,
    facts: UnboundedReceiver<Fact>,
    patience: Duration,
}

pub(in crate::engine) fn fake() -> (Fake, UnboundedReceiver<Fact>) {
    let (facts, told) = unbounded_channel();
    let clock = Arc::new(TokioClock(Instant::now()));
    (Fake(Arc::new(Inner { clock, facts, state: Mutex::default() })), told)
}

pub(in crate::engine) fn plan(handler: Arc<dyn ErasedHandler>) -> Plan {
    let mut handlers = Handlers::default();
    handlers.add(Args::KIND, handler).unwrap();
    Plan {
        handlers,
        queues: vec![QueueSpec { name: "default".to_owned(), workers: 4 }],
        deliveries: 1,
        patience: Duration::from_secs(30),
        limits: WatchLimits::default(),
    }
}

pub(in crate::engine) fn erased<H: Handler<Args>>(handler: H) -> Arc<dyn ErasedHandler> {
    Arc::new(AsyncHandler::<Args, H>::new(handler))
}

impl Bench {
    pub(in crate::engine) async fn of<H: Handler<Args>>(handler: H) -> Self {
        Self::with(plan(erased(handler))).await
    }

    pub(in crate::engine) async fn blocking<F>(function: F) -> Self
    where
        F: Fn(Args, RunContext) -> std::result::Result<String, Failure> + Send + Sync + 'static,
    {
        Self::with(plan(Arc::new(BlockingHandler::<Args, F>::new(function)))).await
    }

    pub(in crate::engine) async fn with(plan: Plan) -> Self {
        let (fake, facts) = fake();
        let life = Life::start(fake.clone(), plan).await.unwrap();
        Self { fake, life: Some(life), facts, patience: Duration::from_secs(3_600) }
    }

    /// For a test whose clock is not paused: an hour would be one.
    pub(in crate::engine) fn in_real_time(mut self) -> Self {
        self.patience = Duration::from_secs(30);
        self
    }

    /// What the writer is told next.
    pub(in crate::engine) async fn fact(&mut self) -> Fact {
        self.next_fact().await.expect("the writer was told nothing for long")
    }

    /// What the writer is told next; `None` if it is told nothing more for a while.
    pub(in crate::engine) async fn next_fact(&mut self) -> Option<Fact> {
        tokio::time::timeout(self.patience, self.facts.recv()).await.ok().flatten()
    }

    /// What the writer was told, if it was.
    pub(in crate::engine) fn fact_now(&mut self) -> Option<Fact> {
        self.facts.try_recv().ok()
    }

    pub(in crate::engine) fn life(&mut self) -> &mut Life<Fake> {
        self.life.as_mut().unwrap()
    }

    pub(in crate::engine) async fn shut_down(&mut self, patience: Duration) -> Result<ShutdownReport> {
        self.life.take().unwrap().shut_down(patience).await
    }

    /// Drops the engine.
    pub(in crate::engine) fn forget(&mut self) {
        self.life = None;
    }

    /// The next fact, which is a completion.
    pub(in crate::engine) async fn completed(&mut self) -> Complete {
        match self.fact().await {
            Fact::Completed(complete) => complete,
            other => panic!("{other:?}"),
        }
    }

    /// The next fact, which is the settlement of a delivery.
    pub(in crate::engine) async fn settled(&mut self) -> SettleDelivery {
        match self.fact().await {
            Fact::Settled(settle) => settle,
            other => panic!("{other:?}"),
        }
    }

    pub(in crate::engine) fn run(&self, claim: ClaimedRun) {
        self.fake.send(of_run(claim));
    }

    pub(in crate::engine) fn deliver(&self, claim: ClaimedDelivery) {
        self.fake.send(EngineEvent::Committed(Committed { deliveries: vec![claim], ..Committed::default() }));
    }
}

/// That a run was claimed.
pub(in crate::engine) fn of_run(claim: ClaimedRun) -> EngineEvent {
    EngineEvent::Committed(Committed { runs: vec![claim], ..Committed::default() })
}

/// What a handler is told that nobody runs.
pub(in crate::engine) fn context() -> RunContext {
    RunContext::new(claim(1), "0f3c2a1b".into(), None, Arc::new(TokioClock(Instant::now())))
}

/// The first attempt of a one-shot under the default policies.
pub(in crate::engine) fn claim(run: i64) -> ClaimedRun {
    ClaimedRun {
        run_id: RunId(run),
        job_id: JobId(7),
        owner_id: OWNER,
        name: None,
        kind: Args::KIND.to_owned(),
        queue: "default".to_owned(),
        args: r#"{"word":"hello"}"#.to_owned(),
        policies: "{}".to_owned(),
        on_interrupt: OnInterrupt::Rerun,
        verify: false,
        scheduled_for: BEGIN,
        attempt: 1,
        failed_attempts: 0,
        trigger: Trigger::Schedule,
        request_id: None,
        claimed_at: BEGIN,
        next_run_at: None,
    }
}

pub(in crate::engine) fn claim_under(run: i64, change: impl FnOnce(&mut Policies)) -> ClaimedRun {
    let mut policies = Policies::default();
    change(&mut policies);
    ClaimedRun { policies: policies.to_json(), ..claim(run) }
}

/// A stored output that waits for its first delivery.
pub(in crate::engine) fn delivery(run: i64) -> ClaimedDelivery {
    ClaimedDelivery {
        run_id: RunId(run),
        job_id: JobId(7),
        owner_id: OWNER,
        name: None,
        kind: Args::KIND.to_owned(),
        policies: "{}".to_owned(),
        output: r#""good morning""#.to_owned(),
        scheduled_for: BEGIN,
        request_id: None,
        deliver_by: None,
    }
}
