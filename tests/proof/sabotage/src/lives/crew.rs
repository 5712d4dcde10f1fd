//! A handler and a sink that do nothing by themselves: a life sees each call and says when it ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mainspring::testing::ManualClock;
use mainspring::{
    Clock, DeliveryContext, DeliveryError, Engine, EngineHandle, Error, Failure, Handler, JobArgs,
    OpenOptions, Queue, Receipt, RunContext, RunId, Timestamp,
};
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

/// Without a bug a call comes within milliseconds; a machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// Between two looks into the file.
const LOOK: Duration = Duration::from_millis(5);
/// 2025-01-06T08:00:00Z, a Monday.
pub(crate) const BEGINNING: Timestamp = Timestamp::from_millis(1_736_150_400_000);

/// Work whose output is delivered.
#[derive(Serialize, Deserialize)]
pub(crate) struct Message;

impl JobArgs for Message {
    const KIND: &'static str = "message";
}

/// A call of the handler or of the sink, which goes on once it is let go.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) run: RunId,
    pub(crate) key: String,
    go_on: oneshot::Sender<()>,
}

impl Call {
    /// Lets the call end well. That nobody waits for it any more is no concern of the one who lets it go.
    pub(crate) fn go_on(self) {
        self.go_on.send(()).unwrap_or_default();
    }
}

struct Crew {
    runs: mpsc::UnboundedSender<Call>,
    sends: mpsc::UnboundedSender<Call>,
}

async fn called(by: &mpsc::UnboundedSender<Call>, run: RunId, key: String) {
    let (go_on, wait) = oneshot::channel();
    // A life that has seen enough is over, and its process with it.
    if by.send(Call { run, key, go_on }).is_ok() {
        drop(wait.await);
    }
}

impl Handler<Message> for Crew {
    type Output = String;

    async fn run(&self, _args: Message, cx: RunContext) -> Result<String, Failure> {
        called(&self.runs, cx.run_id(), cx.idempotency_key()).await;
        Ok("done".to_owned())
    }

    async fn deliver(&self, _output: String, cx: DeliveryContext) -> Result<Receipt, DeliveryError> {
        called(&self.sends, cx.run_id(), cx.idempotency_key()).await;
        Ok(Receipt::none())
    }
}

/// A queue on a file of its own.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
    pub(crate) clock: ManualClock,
}

/// An engine, and the calls that it makes.
pub(crate) struct Life {
    pub(crate) queue: Queue,
    pub(crate) engine: EngineHandle,
    runs: mpsc::UnboundedReceiver<Call>,
    sends: mpsc::UnboundedReceiver<Call>,
}

pub(crate) fn plain(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Place {
    pub(crate) fn new() -> Result<Self, String> {
        Ok(Self { dir: tempfile::tempdir().map_err(plain)?, clock: ManualClock::at(BEGINNING) })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("app.db")
    }

    /// A queue on the manual clock, and an engine on it.
    pub(crate) async fn life(&self) -> Result<Life, String> {
        self.life_at(&self.path()).await
    }

    pub(crate) async fn life_at(&self, path: &Path) -> Result<Life, String> {
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let queue = Queue::open_on_clock(&OpenOptions::new(path), clock).map_err(plain)?;
        Life::on(queue).await
    }
}

impl Life {
    /// Starts an engine that makes one delivery at a time.
    pub(crate) async fn on(queue: Queue) -> Result<Self, String> {
        let ((to_runs, runs), (to_sends, sends)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let crew = Crew { runs: to_runs, sends: to_sends };
        let engine = Engine::builder(queue.clone()).handler(crew).deliveries(1).build().map_err(plain)?;
        let engine = engine.start().await.map_err(plain)?;
        Ok(Self { queue, engine, runs, sends })
    }

    /// The next call of the handler; none that comes soon is `None`.
    pub(crate) async fn run(&mut self) -> Option<Call> {
        tokio::time::timeout(SOON, self.runs.recv()).await.ok().flatten()
    }

    /// The next call of the sink.
    pub(crate) async fn send(&mut self) -> Option<Call> {
        tokio::time::timeout(SOON, self.sends.recv()).await.ok().flatten()
    }

    pub(crate) async fn enqueue(&self) -> Result<(), String> {
        self.queue.enqueue(Message).await.map(drop).map_err(plain)
    }

    /// Ends the engine and the queue in order.
    pub(crate) async fn end(self) -> Result<(), String> {
        self.engine.shutdown(SOON).await.map_err(plain)?;
        self.queue.close().await.map_err(plain)
    }
}

/// What must come and did not.
pub(crate) fn missing(what: &str) -> String {
    format!("{what} did not come within {SOON:?}")
}

/// Waits until a query answers with one of these; returns which, or `None` if that does not come in time.
pub(crate) async fn answer(
    path: &Path,
    sql: &str,
    wanted: &[&str],
    longest: Duration,
) -> Result<Option<String>, String> {
    let conn = Connection::open(path).map_err(plain)?;
    conn.busy_timeout(SOON).map_err(plain)?;
    let until = Instant::now() + longest;
    loop {
        let found: Option<String> = conn.query_row(sql, [], |row| row.get(0)).optional().map_err(plain)?;
        if let Some(found) = found.filter(|found| wanted.contains(&found.as_str())) {
            return Ok(Some(found));
        }
        if Instant::now() >= until {
            return Ok(None);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether the caller of a write was told that it was not made.
pub(crate) fn is_no(error: &Error) -> bool {
    !matches!(error, Error::OutcomeUnknown { .. })
}
