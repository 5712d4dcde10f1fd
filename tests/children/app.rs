//! The application of these tests: work that does what its arguments say and writes its deeds into the ledger.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mainspring::{
    DeliveryContext, DeliveryError, Engine, EngineBuilder, Failure, Handler, JobArgs, OpenOptions, Queue,
    Receipt, RunContext,
};
use serde::{Deserialize, Serialize};

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

/// The same with a delivery: its output is its label.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub label: String,
    pub does: Does,
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
    Report { label: label.into(), does: Does::Return }
}

/// The queue's file of the application in this folder.
pub fn options(dir: &Path) -> OpenOptions {
    OpenOptions::new(dir.join("app.db"))
}

/// The queue of the application in this folder.
pub fn open(dir: &Path) -> Queue {
    Queue::open_blocking(&options(dir)).unwrap()
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
        match does {
            Does::Return => {}
            Does::Fail => return Err(Failure::new("this work fails")),
            Does::WaitFor(file) => there(&file).await,
            Does::WaitForOrStop(file) => tokio::select! {
                () = cx.cancelled() => return Err(Failure::new("asked to stop")),
                () = there(&file) => {}
            },
            Does::Die => std::process::abort(),
            Does::BlockUntil(file) => super::until("a file", || file.exists().then_some(())),
        }
        note(Deed::Ended);
        Ok(())
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

impl Handler<Report> for Reporter {
    type Output = String;

    async fn run(&self, report: Report, cx: RunContext) -> Result<String, Failure> {
        let worker = Worker { ledger: self.ledger.clone() };
        worker.call(&report.label, report.does, &cx).await?;
        Ok(report.label)
    }

    async fn deliver(&self, label: String, cx: DeliveryContext) -> Result<Receipt, DeliveryError> {
        self.ledger.write(Deed::Sent, &label, cx.run_id().0, cx.attempt(), cx.idempotency_key());
        Ok(Receipt::new("taken"))
    }
}
