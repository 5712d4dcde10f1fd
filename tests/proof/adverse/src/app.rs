//! Work that waits for the test, and says when it is called.

use mainspring::{Engine, EngineBuilder, Failure, JobArgs, Queue, RunContext};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::bench::soon;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Work {
    pub label: String,
    pub ballast: String,
}

impl JobArgs for Work {
    const KIND: &'static str = "work";
}

pub fn work(label: impl Into<String>) -> Work {
    Work { label: label.into(), ballast: String::new() }
}

/// A call that waits for the test.
pub struct Call {
    pub label: String,
    pub run: i64,
    answer: oneshot::Sender<()>,
}

impl Call {
    /// The handler returns.
    pub fn done(self) {
        // An engine that is gone hears nothing.
        let _heard = self.answer.send(());
    }
}

/// The calls of the handler, as they come.
pub struct Calls(mpsc::UnboundedReceiver<Call>);

impl Calls {
    pub async fn next(&mut self) -> Call {
        soon("a call of the handler", self.0.recv()).await.unwrap()
    }

    pub async fn take(&mut self, count: usize) -> Vec<Call> {
        let mut calls = Vec::new();
        for _ in 0..count {
            calls.push(self.next().await);
        }
        calls
    }

    /// No call has come that was not taken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// An engine whose handler waits for the test.
pub fn engine(queue: &Queue) -> (EngineBuilder, Calls) {
    let (sender, calls) = mpsc::unbounded_channel();
    let handler = move |work: Work, cx: RunContext| {
        let (answer, answered) = oneshot::channel();
        let sent = sender.send(Call { label: work.label, run: cx.run_id().0, answer });
        async move {
            sent.map_err(|_| Failure::discard("the test is over"))?;
            answered.await.map_err(|_| Failure::discard("the test has dropped this call"))
        }
    };
    (Engine::builder(queue.clone()).handler(handler), Calls(calls))
}
