//! Building an engine: which handlers, which queues, how many workers.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Engine;
use super::context::RunContext;
use super::erased::{AsyncHandler, BlockingHandler, ErasedHandler, Handlers};
use super::failure::BoxError;
use super::handler::Handler;
use super::life::Plan;
use super::watchdog::WatchLimits;
use crate::core::messages::QueueSpec;
use crate::error::{Error, Result};
use crate::job::{JobArgs, Limits};
use crate::queue::Queue;

/// The queue of jobs that name none.
const DEFAULT_QUEUE: &str = "default";
/// Workers of the default queue for each thread of the machine: most handlers wait for something.
const WORKERS_PER_THREAD: usize = 4;
/// Workers that one queue of one engine may have: each may hold an output in memory.
const MOST_WORKERS: u32 = 10_000;
/// Deliveries that one engine may have under way at once, for the same reason.
const MOST_DELIVERIES: u32 = 10_000;
/// Deliveries at once, unless said otherwise: receivers are few, and slower than runs.
const DEFAULT_DELIVERIES: u32 = 16;
/// How long a shutdown waits for what is under way: less than the 90 s after which service managers kill.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);

/// Builds an [`Engine`]; made by [`Engine::builder`].
#[must_use = "an engine does nothing until it is built and started"]
pub struct EngineBuilder {
    queue: Queue,
    handlers: Vec<(&'static str, Arc<dyn ErasedHandler>)>,
    queues: Vec<QueueSpec>,
    deliveries: u32,
    patience: Duration,
    limits: WatchLimits,
}

impl EngineBuilder {
    pub(super) fn new(queue: Queue) -> Self {
        Self {
            queue,
            handlers: Vec::new(),
            queues: Vec::new(),
            deliveries: DEFAULT_DELIVERIES,
            patience: DEFAULT_PATIENCE,
            limits: WatchLimits::default(),
        }
    }

    /// Takes the handler of one kind: a type that implements [`Handler`], or a plain async function of
    /// `(args, RunContext)`. Jobs of kinds without a handler are left to other engines.
    pub fn handler<A: JobArgs, H: Handler<A>>(mut self, handler: H) -> Self {
        self.handlers.push((A::KIND, Arc::new(AsyncHandler::<A, H>::new(handler))));
        self
    }

    /// Takes a function that blocks its thread. Each run gets a thread of tokio's blocking pool, which has 512
    /// unless the runtime was built otherwise. It cannot be ended from outside: one that ignores
    /// [`RunContext::is_cancelled`] keeps its thread after its timeout, though not its run.
    pub fn blocking_handler<A, F, O, E>(mut self, function: F) -> Self
    where
        A: JobArgs,
        F: Fn(A, RunContext) -> std::result::Result<O, E> + Send + Sync + 'static,
        O: Serialize + 'static,
        E: Into<BoxError> + 'static,
    {
        self.handlers.push((A::KIND, Arc::new(BlockingHandler::<A, F>::new(function))));
        self
    }

    /// Serves this queue, with at most so many runs at once. Defaults to the queue `default` with four workers
    /// for each thread of the machine; that default is gone once a queue is named.
    ///
    /// Workers of one queue take no jobs of another: a queue of its own is a reserve of its own. A handler that
    /// waits for a job of its own queue holds a worker meanwhile; where all workers may come to wait like that,
    /// give the jobs a timeout.
    pub fn queue(mut self, name: impl Into<String>, workers: u32) -> Self {
        self.queues.push(QueueSpec { name: name.into(), workers });
        self
    }

    /// How many deliveries are under way at once, over all queues. Defaults to 16. Of outputs beyond that, four
    /// times as many wait in memory, the others in the file.
    pub fn deliveries(mut self, deliveries: u32) -> Self {
        self.deliveries = deliveries;
        self
    }

    /// How long a shutdown waits for runs and deliveries before it asks them to stop; the patience of
    /// [`Engine::run_until`] and of a handle that is dropped. Defaults to 30 seconds.
    pub fn shutdown_after(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets when silence counts as a stall, for tests that cannot wait a minute for one.
    #[cfg(feature = "testing")]
    pub fn watchdog(mut self, limits: WatchLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Checks what was given.
    ///
    /// # Errors
    /// [`Error::Engine`] if there is no handler, two of one kind, a queue twice, or a number out of range;
    /// [`Error::InvalidOption`] or [`Error::TooLong`] if a kind or a queue has a name that no job can have.
    pub fn build(self) -> Result<Engine> {
        let limits = self.queue.core().limits();
        let plan = plan(self.handlers, self.queues, self.deliveries, self.patience, &limits)?;
        Ok(Engine { queue: self.queue, plan: Plan { limits: self.limits, ..plan } })
    }
}

fn plan(
    given: Vec<(&'static str, Arc<dyn ErasedHandler>)>,
    mut queues: Vec<QueueSpec>,
    deliveries: u32,
    patience: Duration,
    limits: &Limits,
) -> Result<Plan> {
    let mut handlers = Handlers::default();
    for (kind, handler) in given {
        limits.check_word("kind", kind)?;
        handlers.add(kind, handler)?;
    }
    if handlers.is_empty() {
        return Err(Error::Engine("it has no handler: give it one with `handler`".to_owned()));
    }
    if queues.is_empty() {
        queues.push(default_queue());
    }
    for (index, queue) in queues.iter().enumerate() {
        limits.check_word("queue", &queue.name)?;
        check_queue(queue, queues.iter().take(index))?;
    }
    if deliveries == 0 || deliveries > MOST_DELIVERIES {
        let why = format!("it has {deliveries} deliveries at once: give it 1 to {MOST_DELIVERIES}");
        return Err(Error::Engine(why));
    }
    Ok(Plan { handlers, queues, deliveries, patience, limits: WatchLimits::default() })
}

fn default_queue() -> QueueSpec {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = u32::try_from(threads * WORKERS_PER_THREAD).unwrap_or(MOST_WORKERS).min(MOST_WORKERS);
    QueueSpec { name: DEFAULT_QUEUE.to_owned(), workers }
}

fn check_queue<'a>(queue: &QueueSpec, mut before: impl Iterator<Item = &'a QueueSpec>) -> Result<()> {
    let QueueSpec { name, workers } = queue;
    if before.any(|other| other.name == *name) {
        return Err(Error::Engine(format!("queue {name:?} was given twice: add the workers up")));
    }
    if *workers == 0 || *workers > MOST_WORKERS {
        let why = format!("queue {name:?} has {workers} workers: give it 1 to {MOST_WORKERS}");
        return Err(Error::Engine(why));
    }
    Ok(())
}

impl std::fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds: Vec<_> = self.handlers.iter().map(|(kind, _)| kind).collect();
        f.debug_struct("EngineBuilder")
            .field("kinds", &kinds)
            .field("queues", &self.queues)
            .field("deliveries", &self.deliveries)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Failure;

    #[derive(Serialize, serde::Deserialize)]
    struct Args;
    impl JobArgs for Args {
        const KIND: &'static str = "test";
    }

    fn handler() -> (&'static str, Arc<dyn ErasedHandler>) {
        let function = |_: Args, _: RunContext| async { Ok::<_, Failure>(()) };
        (Args::KIND, Arc::new(AsyncHandler::<Args, _>::new(function)))
    }

    fn queue(name: &str, workers: u32) -> QueueSpec {
        QueueSpec { name: name.to_owned(), workers }
    }

    fn refused(handlers: usize, queues: Vec<QueueSpec>, deliveries: u32) -> String {
        let handlers = (0..handlers).map(|_| handler()).collect();
        let plan = plan(handlers, queues, deliveries, Duration::ZERO, &Limits::default());
        plan.map(drop).unwrap_err().to_string()
    }

    #[test]
    fn an_engine_without_queues_serves_the_default_one() {
        let plan = plan(vec![handler()], Vec::new(), 1, Duration::ZERO, &Limits::default()).unwrap();
        assert_eq!(plan.queues.len(), 1);
        assert!(plan.queues[0].name == "default" && plan.queues[0].workers >= 4);
    }

    #[test]
    fn two_handlers_for_one_kind_are_refused_by_name() {
        assert!(refused(2, Vec::new(), 1).contains("two handlers were given for kind \"test\""));
    }

    #[test]
    fn an_engine_that_could_do_nothing_is_refused() {
        assert!(refused(0, Vec::new(), 1).contains("no handler"));
        assert!(refused(1, vec![queue("a", 0)], 1).contains("0 workers"));
        assert!(refused(1, vec![queue("a", 10_001)], 1).contains("10001 workers"));
        assert!(refused(1, Vec::new(), 0).contains("0 deliveries"));
    }

    #[test]
    fn a_queue_is_served_once_and_has_a_name_that_a_job_can_have() {
        assert!(refused(1, vec![queue("a", 1), queue("a", 2)], 1).contains("given twice"));
        assert!(refused(1, vec![queue("", 1)], 1).contains("queue is empty"));
    }
}
