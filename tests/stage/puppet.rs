//! A handler that tells the test of each call and does what the test answers.

use mainspring::{Failure, Handler, RunContext};
use tokio::sync::{mpsc, oneshot};

use super::{Note, soon};

/// A call that waits for the test.
pub struct Call {
    pub text: String,
    pub cx: RunContext,
    answer: oneshot::Sender<Result<String, Failure>>,
}

impl Call {
    pub(super) fn new(text: String, cx: RunContext) -> (Self, oneshot::Receiver<Result<String, Failure>>) {
        let (answer, answered) = oneshot::channel();
        (Self { text, cx, answer }, answered)
    }

    /// The handler returns this.
    pub fn succeed(self, output: &str) {
        self.end(Ok(output.to_owned()));
    }

    /// The handler fails with an error that may go away.
    pub fn fail(self, why: &str) {
        self.end(Err(Failure::new(why)));
    }

    /// The handler ends with this. One that was taken away already does not hear it.
    pub fn end(self, answer: Result<String, Failure>) {
        drop(self.answer.send(answer));
    }
}

/// The calls of a handler, as they come.
pub struct Calls(pub(super) mpsc::UnboundedReceiver<Call>);

impl Calls {
    /// The next call; it must come.
    pub async fn next(&mut self) -> Call {
        soon("a call of the handler", self.0.recv()).await.expect("the engine has dropped its handler")
    }

    /// No call has come that was not taken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A handler of notes, and its calls.
pub fn puppet() -> (impl Handler<Note>, Calls) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let handler = move |args: Note, cx: RunContext| {
        let calls = sender.clone();
        async move { wait(&calls, args.text, cx).await }
    };
    (handler, Calls(receiver))
}

pub(super) async fn wait(
    calls: &mpsc::UnboundedSender<Call>,
    text: String,
    cx: RunContext,
) -> Result<String, Failure> {
    let (call, answered) = Call::new(text, cx);
    // A test that is over takes no calls, and answers none.
    drop(calls.send(call));
    answered.await.unwrap_or_else(|_| Err(Failure::discard("the test has dropped this call")))
}
