//! The application of these tests: work that does what its arguments say and writes its deeds into the ledger.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mainspring::testing::ManualClock;
use mainspring::{
    DeliveryContext, DeliveryError, Engine, EngineBuilder, EngineHandle, Failure, Handler, JobArgs,
    OpenOptions, Queue, Receipt, RunContext, Timestamp, Verified,
};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::child::Child;
use super::ledger::{Deed, Ledger};

/// What the handler does once it has noted that it was called.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Does {
    /// Returns.
    Return,
    /// Fails and may be tried again.
    Fail,
    /// Returns when this file is there; heeds no one who asks it to stop.
    WaitFor(PathBuf),
    /// The same, but stops when it is asked to.
    WaitForOrStop(PathBuf),
    /// Ends its process.
    Die,
    /// Keeps its thread until this file is there.
    BlockUntil(PathBuf),
}

/// Work without a delivery.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Work {
    pub label: String,
    pub does: Does,
}

impl JobArgs for Work {
    const KIND: &'static str = "work";
}

/// The same with a delivery.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub label: String,
    pub does: Does,
    /// What the delivery does once it has noted that it was called.
    pub delivery: Does,
}

impl JobArgs for Report {
    const KIND: &'static str = "report";
}

/// Work that returns at once.
pub fn work(label: impl Into<String>) -> Work {
    does(label, Does::Return)
}

/// Work that does this.
pub fn does(label: impl Into<String>, does: Does) -> Work {
    Work { label: label.into(), does }
}

/// A report that is made at once and delivered.
pub fn report(label: impl Into<String>) -> Report {
    Report { label: label.into(), does: Does::Return, delivery: Does::Return }
}

/// A folder with an application in it.
pub struct App {
    dir: TempDir,
    pub queue: Queue,
    pub ledger: Ledger,
}

impl App {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (queue, ledger) = (open(dir.path()), Ledger::in_dir(dir.path()));
        Self { dir, queue, ledger }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The file that handlers wait for which are told to wait.
    pub fn gate(&self) -> PathBuf {
        self.path().join("gate")
    }

    pub fn open_gate(&self) {
        fs::write(self.gate(), "").unwrap();
    }

    /// This application in a process of its own.
    pub fn child(&self, role: &str) -> Child {
        Child::start(role, self.path())
    }

    /// An engine in this process.
    pub async fn engine(&self) -> EngineHandle {
        start(&self.queue).await
    }

    /// The same file on a clock that moves by hand.
    pub fn on_clock(&self, now: impl Into<Timestamp>) -> (Queue, ManualClock) {
        open_on_clock(self.path(), now)
    }
}

/// The queue's file of the application in this folder.
pub fn options(dir: &Path) -> OpenOptions {
    OpenOptions::new(dir.join("app.db"))
}

/// The queue of the application in this folder.
pub fn open(dir: &Path) -> Queue {
    Queue::open_blocking(&options(dir)).unwrap()
}

/// The queue of the application in this folder on a clock that moves by hand.
pub fn open_on_clock(dir: &Path, now: impl Into<Timestamp>) -> (Queue, ManualClock) {
    let clock = ManualClock::at(now);
    (Queue::open_on_clock(&options(dir), Arc::new(clock.clone())).unwrap(), clock)
}

/// Starts an engine with the handlers of the application.
pub async fn start(queue: &Queue) -> EngineHandle {
    engine(queue).build().unwrap().start().await.unwrap()
}

/// Stops one that has nothing in hand.
pub async fn stop(engine: EngineHandle) {
    engine.shutdown(Duration::ZERO).await.unwrap();
}

/// An engine with the handlers of the application.
pub fn engine(queue: &Queue) -> EngineBuilder {
    let ledger = Ledger::in_dir(queue.path().parent().unwrap());
    let worker = Worker { ledger: ledger.clone() };
    let work = move |work: Work, cx: RunContext| {
        let worker = Worker { ledger: worker.ledger.clone() };
        async move { worker.call(&work.label, work.does, &cx).await }
    };
    Engine::builder(queue.clone()).handler(work).handler(Reporter { ledger })
}

struct Worker {
    ledger: Ledger,
}

impl Worker {
    async fn call(&self, label: &str, does: Does, cx: &RunContext) -> Result<(), Failure> {
        let note = |deed| self.ledger.write(deed, label, cx.run_id().0, cx.attempt(), cx.idempotency_key());
        note(Deed::Began);
        tokio::select! {
            () = cx.cancelled(), if matches!(does, Does::WaitForOrStop(_)) => {
                return Err(Failure::new("asked to stop"));
            }
            () = done(&does) => {}
        }
        if matches!(does, Does::Fail) {
            return Err(Failure::new("this work fails"));
        }
        note(Deed::Ended);
        Ok(())
    }
}

async fn done(does: &Does) {
    match does {
        Does::Return | Does::Fail => {}
        Does::WaitFor(file) | Does::WaitForOrStop(file) => there(file).await,
        Does::Die => std::process::abort(),
        Does::BlockUntil(file) => super::until("a file", || file.exists().then_some(())),
    }
}

async fn there(file: &Path) {
    while !file.exists() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

struct Reporter {
    ledger: Ledger,
}

/// What a report makes.
#[derive(Serialize, Deserialize)]
struct Text {
    label: String,
    delivery: Does,
}

impl Handler<Report> for Reporter {
    type Output = Text;

    async fn run(&self, report: Report, cx: RunContext) -> Result<Text, Failure> {
        let worker = Worker { ledger: self.ledger.clone() };
        worker.call(&report.label, report.does, &cx).await?;
        Ok(Text { label: report.label, delivery: report.delivery })
    }

    /// Reports on the books are looked up in them; of others nobody knows.
    async fn verify(&self, report: Report, cx: RunContext) -> Result<Verified<Text>, Failure> {
        if !report.label.starts_with("booked") {
            return Ok(Verified::Unknown);
        }
        if report.label == "booked twice" && cx.attempt() == 2 {
            return Err(Failure::new("the books are closed"));
        }
        let key = cx.idempotency_key();
        let done = self.ledger.of(Deed::Ended, &report.label).iter().any(|entry| entry.key == key);
        let text = Text { label: report.label, delivery: report.delivery };
        Ok(if done { Verified::Done(text) } else { Verified::NotDone })
    }

    async fn deliver(&self, text: Text, cx: DeliveryContext) -> Result<Receipt, DeliveryError> {
        self.ledger.write(Deed::Sent, &text.label, cx.run_id().0, cx.attempt(), cx.idempotency_key());
        done(&text.delivery).await;
        match text.delivery {
            Does::Fail => Err(DeliveryError::not_sent("this delivery fails")),
            _ => Ok(Receipt::new("taken")),
        }
    }
}
