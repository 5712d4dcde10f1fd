//! For the tests of applications: a queue in a temporary file, a clock that moves by hand, and `drain`.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use crate::engine::{EngineBuilder, EngineHandle};
use crate::error::Result;
use crate::queue::{Queue, Status};
use crate::store::OpenOptions;
use crate::time::{Clock, Timestamp};
use crate::{Engine, ListFilter};

pub use crate::engine::WatchLimits;

/// A clock that stands still until it is moved. Clones are the same clock.
///
/// It is the wall clock of the queue: occurrences and waits between attempts follow it. Timeouts of handlers run on
/// tokio's clock.
#[derive(Clone)]
pub struct ManualClock {
    inner: Arc<Hands>,
}

struct Hands {
    now: AtomicI64,
    moved: Mutex<Vec<Box<dyn Fn() + Send + Sync>>>,
}

impl std::fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ManualClock").field(&self.now()).finish()
    }
}

impl ManualClock {
    /// A clock that shows this instant.
    pub fn at(now: impl Into<Timestamp>) -> Self {
        let now = AtomicI64::new(now.into().millis());
        Self { inner: Arc::new(Hands { now, moved: Mutex::default() }) }
    }

    /// Moves it forward; whoever waits for a time that has come now is woken.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
    }

    /// Sets it, forward or back.
    pub fn set(&self, now: impl Into<Timestamp>) {
        self.inner.now.store(now.into().millis(), Ordering::SeqCst);
        for wake in self.inner.moved.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            wake();
        }
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.inner.now.load(Ordering::SeqCst))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Self::now(self)
    }

    fn on_move(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.inner.moved.lock().unwrap_or_else(PoisonError::into_inner).push(wake);
    }
}

/// A queue in a real file that is removed with it, on a clock that moves by hand.
///
/// ```
/// use std::time::Duration;
/// use mainspring::testing::TestQueue;
/// use mainspring::{Failure, JobArgs, NewJob, Outcome, RunContext};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Greet { name: String }
/// impl JobArgs for Greet { const KIND: &'static str = "greet"; }
///
/// async fn greet(args: Greet, _cx: RunContext) -> Result<String, Failure> {
///     Ok(format!("Good morning, {}.", args.name))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> mainspring::Result<()> {
/// let test = TestQueue::new().await?;
/// let engine = test.start(|engine| engine.handler(greet)).await?;
/// let later = NewJob::new(Greet { name: "Ada".into() }).after(Duration::from_secs(3600));
/// let job = test.queue().enqueue(later).await?.id();
///
/// test.drain().await?;
/// assert!(test.queue().runs(job, 1).await?.is_empty());
/// test.clock().advance(Duration::from_secs(3600));
/// test.drain().await?;
/// let run = &test.queue().runs(job, 1).await?[0];
/// assert_eq!(run.completion.as_ref().map(|it| it.outcome), Some(Outcome::Succeeded));
/// engine.shutdown(Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TestQueue {
    queue: Queue,
    clock: ManualClock,
    dir: TempDir,
    patience: Duration,
}

/// Where the clock of a test stands unless said otherwise: 2026-01-05T08:00:00Z, a Monday.
pub const START_MS: i64 = 1_767_600_000_000;

impl TestQueue {
    /// A new file in a folder of its own; the clock stands at [`START_MS`].
    ///
    /// # Errors
    /// What opening a queue may answer.
    pub async fn new() -> Result<Self> {
        Self::at(Timestamp::from_millis(START_MS)).await
    }

    /// The same with the clock at another instant.
    ///
    /// # Errors
    /// What opening a queue may answer.
    pub async fn at(now: impl Into<Timestamp>) -> Result<Self> {
        let dir = tempfile::tempdir().map_err(crate::Error::io("cannot create a folder for the test"))?;
        let clock = ManualClock::at(now);
        let options = OpenOptions::new(dir.path().join("test.db"));
        let queue = Queue::open_on_clock(&options, Arc::new(clock.clone()))?;
        Ok(Self { queue, clock, dir, patience: Duration::from_secs(20) })
    }

    /// The queue.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Its clock.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// The folder of its file, for other files of the test.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// How long [`drain`](Self::drain) waits in real time. Defaults to 20 seconds.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Starts an engine on the queue.
    ///
    /// # Errors
    /// What building and starting an engine may answer.
    pub async fn start(
        &self,
        configure: impl FnOnce(EngineBuilder) -> EngineBuilder,
    ) -> Result<EngineHandle> {
        configure(Engine::builder(self.queue.clone())).build()?.start().await
    }

    /// Another handle on the same file and clock, as another process would have one.
    ///
    /// # Errors
    /// What opening a queue may answer.
    pub fn reopen(&self) -> Result<Queue> {
        Queue::open_on_clock(&OpenOptions::new(self.queue.path()), Arc::new(self.clock.clone()))
    }

    /// Waits until nothing is left to do at the time that the clock shows: no job is due, no run is open, no
    /// delivery is due. Returns the status then.
    ///
    /// # Errors
    /// [`Error::Busy`](crate::Error::Busy) if that does not come within the patience; a trace at `error` lists what
    /// was left. What reading may answer.
    pub async fn drain(&self) -> Result<Status> {
        let until = Instant::now() + self.patience;
        loop {
            let status = self.queue.status().await?;
            if is_drained(&status) && !self.delivery_is_due().await? {
                return Ok(status);
            }
            if Instant::now() >= until {
                let jobs = self.queue.list(ListFilter { unfinished: true, ..ListFilter::default() }).await?;
                let left = jobs.jobs.iter().map(|job| (job.id, &*job.kind, job.state(status.at)));
                let left: Vec<_> = left.collect();
                tracing::error!(?status, ?left, unreadable = ?jobs.unreadable, "the queue was not drained");
                return Err(crate::Error::Busy { waited_ms: self.patience.as_millis() as u64 });
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn delivery_is_due(&self) -> Result<bool> {
        let now = self.clock.now();
        self.queue.has_due_delivery(now).await
    }
}

fn is_drained(status: &Status) -> bool {
    status.ready == 0 && status.overdue == 0 && status.running == 0 && status.delivering == 0
}
