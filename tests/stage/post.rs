//! A handler of letters that tells the test of each delivery and answers what the test says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mainspring::{DeliveryContext, DeliveryError, Failure, Handler, Receipt, RunContext};
use tokio::sync::{mpsc, oneshot};

use super::puppet::{Call, Calls, wait};
use super::{Letter, soon};

/// A delivery that waits for the test.
pub struct Parcel {
    pub output: String,
    pub cx: DeliveryContext,
    answer: oneshot::Sender<Result<Receipt, DeliveryError>>,
}

impl Parcel {
    /// The receiver has it.
    pub fn accept(self) {
        self.end(Ok(Receipt::from("taken")));
    }

    /// It was not sent.
    pub fn not_sent(self, why: &str) {
        self.end(Err(DeliveryError::not_sent(why)));
    }

    /// It is not wanted.
    pub fn reject(self, why: &str) {
        self.end(Err(DeliveryError::rejected(why)));
    }

    /// Nobody knows.
    pub fn unknown(self, why: &str) {
        self.end(Err(DeliveryError::unknown(why)));
    }

    pub fn end(self, answer: Result<Receipt, DeliveryError>) {
        drop(self.answer.send(answer));
    }
}

/// The deliveries of a handler, as they come.
pub struct Parcels(mpsc::UnboundedReceiver<Parcel>);

impl Parcels {
    /// The next delivery; it must come.
    pub async fn next(&mut self) -> Parcel {
        soon("a delivery", self.0.recv()).await.expect("the engine has dropped its handler")
    }

    /// No delivery has come that was not taken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A handler of letters. Its runs return the text at once, unless they wait for the test, too.
pub struct Post {
    runs: Option<mpsc::UnboundedSender<Call>>,
    parcels: mpsc::UnboundedSender<Parcel>,
    ran: Arc<AtomicUsize>,
}

/// How often the handler ran.
#[derive(Clone)]
pub struct Ran(Arc<AtomicUsize>);

impl Ran {
    pub fn times(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A handler whose deliveries wait for the test.
pub fn post() -> (Post, Parcels, Ran) {
    let (parcels, received) = mpsc::unbounded_channel();
    let ran = Arc::new(AtomicUsize::new(0));
    (Post { runs: None, parcels, ran: Arc::clone(&ran) }, Parcels(received), Ran(ran))
}

/// A handler whose runs and deliveries wait for the test.
pub fn slow_post() -> (Post, Calls, Parcels) {
    let (runs, calls) = mpsc::unbounded_channel();
    let (post, parcels, _) = post();
    (Post { runs: Some(runs), ..post }, Calls(calls), parcels)
}

impl Handler<Letter> for Post {
    type Output = String;

    async fn run(&self, args: Letter, cx: RunContext) -> Result<String, Failure> {
        self.ran.fetch_add(1, Ordering::SeqCst);
        match &self.runs {
            None => Ok(args.text),
            Some(calls) => wait(calls, args.text, cx).await,
        }
    }

    async fn deliver(&self, output: String, cx: DeliveryContext) -> Result<Receipt, DeliveryError> {
        let (answer, answered) = oneshot::channel();
        drop(self.parcels.send(Parcel { output, cx, answer }));
        answered.await.unwrap_or_else(|_| Err(DeliveryError::rejected("the test has dropped this delivery")))
    }
}
