//! Handlers without their types: JSON goes in, JSON comes out, and each call is a task of its own.
//!
//! Everything that the application wrote runs inside that task: reading the arguments, the handler, writing the
//! output. So a panic in any of them is the task's, and a handler that blocks its thread blocks no timeout.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use tokio::task::JoinHandle;
use tracing::{Instrument, Span};

use super::context::{DeliveryContext, RunContext};
use super::failure::{BoxError, Failure};
use super::handler::{Handler, Verified};
use super::receipt::{DeliveryError, Receipt};
use crate::error::{Error, Result};
use crate::job::{JobArgs, Limits, json};

/// What a handler's task came back with.
#[derive(Debug)]
pub(super) enum Answer {
    /// The handler returned this; as JSON, `None` for a unit that nobody is to receive.
    Returned(Option<String>),
    /// The handler failed.
    Failed(Failure),
    /// The arguments in the row are not what the handler takes.
    MalformedArgs(String),
    /// What the handler returned cannot be written as JSON, or is too long; why, as a whole sentence.
    UnwritableOutput(String),
    /// The handler cannot tell whether an interrupted attempt did its work.
    Unverified,
}

/// What a delivery's task came back with.
pub(super) type DeliveryResult = std::result::Result<Receipt, DeliveryError>;

/// A handler of some kind.
pub(super) trait ErasedHandler: Send + Sync {
    /// Whether its outputs are delivered.
    fn delivers(&self) -> bool;
    /// Begins a run, whose output is to stay within the limits.
    fn run(&self, cx: RunContext, limits: Limits) -> JoinHandle<Answer>;
    /// Begins a delivery.
    fn deliver(&self, cx: DeliveryContext) -> JoinHandle<DeliveryResult>;
}

/// The handlers of one engine, by kind.
#[derive(Clone, Default)]
pub(super) struct Handlers(HashMap<&'static str, Arc<dyn ErasedHandler>>);

impl Handlers {
    /// Takes another handler.
    ///
    /// # Errors
    /// [`Error::Engine`] if there is one of this kind.
    pub(super) fn add(&mut self, kind: &'static str, handler: Arc<dyn ErasedHandler>) -> Result<()> {
        match self.0.insert(kind, handler) {
            None => Ok(()),
            Some(_) => Err(Error::Engine(format!("two handlers were given for kind {kind:?}: keep one"))),
        }
    }

    pub(super) fn of_kind(&self, kind: &str) -> Option<&Arc<dyn ErasedHandler>> {
        self.0.get(kind)
    }

    pub(super) fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A handler whose functions are async.
pub(super) struct AsyncHandler<A, H> {
    handler: Arc<H>,
    args: PhantomData<fn(A)>,
}

impl<A: JobArgs, H: Handler<A>> AsyncHandler<A, H> {
    pub(super) fn new(handler: H) -> Self {
        Self { handler: Arc::new(handler), args: PhantomData }
    }
}

impl<A: JobArgs, H: Handler<A>> ErasedHandler for AsyncHandler<A, H> {
    fn delivers(&self) -> bool {
        H::DELIVERS
    }

    fn run(&self, cx: RunContext, limits: Limits) -> JoinHandle<Answer> {
        let handler = Arc::clone(&self.handler);
        let call = async move {
            let args: A = match read_args(&cx) {
                Ok(args) => args,
                Err(malformed) => return malformed,
            };
            cx.begin();
            if cx.claim().verify
                && let Some(answer) = verify(&*handler, &cx, &limits).await
            {
                return answer;
            }
            match handler.run(args, cx).await {
                Ok(output) => write(&output, H::DELIVERS, &limits),
                Err(failure) => Answer::Failed(failure),
            }
        };
        tokio::spawn(call.instrument(Span::current()))
    }

    fn deliver(&self, cx: DeliveryContext) -> JoinHandle<DeliveryResult> {
        let handler = Arc::clone(&self.handler);
        let call = async move {
            let output: H::Output = serde_json::from_str(cx.output()).map_err(|why| {
                DeliveryError::rejected(format!("the stored output cannot be read: {}", json::fault(&why)))
            })?;
            cx.begin();
            handler.deliver(output, cx).await
        };
        tokio::spawn(call.instrument(Span::current()))
    }
}

/// A function that blocks its thread; it gets one of its own for each run.
pub(super) struct BlockingHandler<A, F> {
    function: Arc<F>,
    args: PhantomData<fn(A)>,
}

impl<A, F> BlockingHandler<A, F> {
    pub(super) fn new(function: F) -> Self {
        Self { function: Arc::new(function), args: PhantomData }
    }
}

impl<A, F, O, E> ErasedHandler for BlockingHandler<A, F>
where
    A: JobArgs,
    F: Fn(A, RunContext) -> std::result::Result<O, E> + Send + Sync + 'static,
    O: Serialize,
    E: Into<BoxError>,
{
    fn delivers(&self) -> bool {
        false
    }

    fn run(&self, cx: RunContext, limits: Limits) -> JoinHandle<Answer> {
        let function = Arc::clone(&self.function);
        let span = Span::current();
        tokio::task::spawn_blocking(move || {
            let _entered = span.entered();
            let args: A = match read_args(&cx) {
                Ok(args) => args,
                Err(malformed) => return malformed,
            };
            cx.begin();
            if cx.claim().verify {
                return Answer::Unverified;
            }
            match function(args, cx) {
                Ok(output) => write(&output, false, &limits),
                Err(error) => Answer::Failed(Failure::from_box(error.into())),
            }
        })
    }

    fn deliver(&self, _cx: DeliveryContext) -> JoinHandle<DeliveryResult> {
        // Reached by outputs that an older build of the application stored for delivery.
        tokio::spawn(std::future::ready(Err(DeliveryError::rejected(format!(
            "the handler of kind {:?} does not deliver any more",
            A::KIND
        )))))
    }
}

/// What the handler knows of the attempt before; `None` if its work is to be done now.
async fn verify<A: JobArgs, H: Handler<A>>(handler: &H, cx: &RunContext, limits: &Limits) -> Option<Answer> {
    let args: A = match read_args(cx) {
        Ok(args) => args,
        Err(malformed) => return Some(malformed),
    };
    match handler.verify(args, cx.clone()).await {
        Ok(Verified::Done(output)) => Some(write(&output, H::DELIVERS, limits)),
        Ok(Verified::NotDone) => None,
        Ok(Verified::Unknown) => Some(Answer::Unverified),
        Err(failure) => Some(Answer::Failed(failure)),
    }
}

fn read_args<A: JobArgs>(cx: &RunContext) -> std::result::Result<A, Answer> {
    serde_json::from_str(&cx.claim().args).map_err(|why| Answer::MalformedArgs(json::fault(&why)))
}

/// A unit that nobody receives is stored as nothing; most handlers return one.
fn write<O: Serialize>(output: &O, delivers: bool, limits: &Limits) -> Answer {
    match limits.write_json("output", output) {
        Ok(text) if text == "null" && !delivers => Answer::Returned(None),
        Ok(text) => Answer::Returned(Some(text)),
        Err(why) => Answer::UnwritableOutput(why.to_string()),
    }
}
