//! What the jobs do: as their text says.

use std::sync::Arc;

use mainspring::{
    DeliveryContext, DeliveryError, EngineBuilder, Failure, Handler, JobArgs, Receipt, RunContext, Verified,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;

/// Work without delivery.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Work {
    text: String,
}

/// Work whose output is delivered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Parcel {
    text: String,
}

impl JobArgs for Work {
    const KIND: &'static str = "work";
}

impl JobArgs for Parcel {
    const KIND: &'static str = "parcel";
}

impl Work {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned() }
    }
}

impl Parcel {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned() }
    }
}

/// The queue in which nothing is ever wrong.
pub(crate) const FINE: &str = "fine";

/// Tells of its calls, and does what the text says.
#[derive(Clone)]
pub(crate) struct Hands {
    calls: UnboundedSender<String>,
    /// Whether what is to wait for ever does so.
    waits: bool,
}

impl Hands {
    pub(crate) fn new(calls: UnboundedSender<String>, waits: bool) -> Self {
        Self { calls, waits }
    }

    /// Gives the engine its handlers and its queues.
    pub(crate) fn engine(self, engine: EngineBuilder) -> EngineBuilder {
        let hands = Arc::new(self);
        engine
            .handler::<Work, _>(Worker(Arc::clone(&hands)))
            .handler::<Parcel, _>(Sender(hands))
            .queue("default", 8)
            .queue(FINE, 1)
    }

    async fn work(&self, text: String) -> Result<String, Failure> {
        // A test that is over listens no more.
        drop(self.calls.send(text.clone()));
        match text.as_str() {
            "fails" => Err(Failure::new("no luck")),
            "snoozes" => Err(Failure::snooze(std::time::Duration::from_secs(3_600))),
            "waits" if self.waits => std::future::pending().await,
            _ => Ok(text),
        }
    }

    async fn send(&self, text: &str) -> Result<Receipt, DeliveryError> {
        drop(self.calls.send(format!("delivery {text}")));
        match text {
            "unknown" => Err(DeliveryError::unknown("no answer")),
            "not sent" => Err(DeliveryError::not_sent("refused")),
            "rejected" => Err(DeliveryError::rejected("no such address")),
            "sends for ever" if self.waits => std::future::pending().await,
            _ => Ok(Receipt::from("taken")),
        }
    }
}

struct Worker(Arc<Hands>);

impl Handler<Work> for Worker {
    type Output = String;
    const DELIVERS: bool = false;

    async fn run(&self, work: Work, _: RunContext) -> Result<String, Failure> {
        self.0.work(work.text).await
    }

    async fn verify(&self, _: Work, _: RunContext) -> Result<Verified<String>, Failure> {
        Ok(Verified::NotDone)
    }

    async fn deliver(&self, text: String, _: DeliveryContext) -> Result<Receipt, DeliveryError> {
        self.0.send(&text).await
    }
}

struct Sender(Arc<Hands>);

impl Handler<Parcel> for Sender {
    type Output = String;

    async fn run(&self, parcel: Parcel, _: RunContext) -> Result<String, Failure> {
        self.0.work(parcel.text).await
    }

    async fn deliver(&self, text: String, _: DeliveryContext) -> Result<Receipt, DeliveryError> {
        self.0.send(&text).await
    }
}
