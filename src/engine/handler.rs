//! A handler is the application's code for one kind of job.

use std::future::Future;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::{DeliveryContext, RunContext};
use super::failure::{BoxError, Failure};
use super::receipt::{DeliveryError, Receipt};
use crate::job::JobArgs;

/// The application's code for the jobs of one kind, in two phases.
///
/// `run` does the work. What it returns is committed before `deliver` hands it over, so that a crash between
/// the two delivers the stored output and does not run the work again.
///
/// Work without delivery is a plain async function or closure of `(args, cx)`; every such function is a handler:
///
/// ```
/// use mainspring::{JobArgs, RunContext};
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize)]
/// struct Resize { path: String }
/// impl JobArgs for Resize { const KIND: &'static str = "resize"; }
///
/// async fn resize(args: Resize, _cx: RunContext) -> Result<u64, std::io::Error> {
///     Ok(std::fs::metadata(args.path)?.len())
/// }
/// # fn is_handler<A: JobArgs>(_: impl mainspring::Handler<A>) {}
/// is_handler(resize);
/// ```
///
/// With delivery it is a type of its own:
///
/// ```
/// use mainspring::{DeliveryContext, DeliveryError, Failure, Handler, JobArgs, Receipt, RunContext};
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize)]
/// struct Briefing { channel: String }
/// impl JobArgs for Briefing { const KIND: &'static str = "briefing"; }
///
/// struct Writer;
///
/// impl Handler<Briefing> for Writer {
///     type Output = String;
///
///     async fn run(&self, args: Briefing, _cx: RunContext) -> Result<String, Failure> {
///         Ok(format!("Good morning, {}.", args.channel))
///     }
///
///     async fn deliver(&self, text: String, cx: DeliveryContext) -> Result<Receipt, DeliveryError> {
///         println!("{}: {text}", cx.idempotency_key());
///         Ok(Receipt::none())
///     }
/// }
/// # fn is_handler<A: JobArgs>(_: impl Handler<A>) {}
/// is_handler(Writer);
/// ```
///
/// A panic fails the run, or makes the delivery unknown; it does not harm the engine. Code that blocks its
/// thread belongs into [`blocking_handler`](crate::EngineBuilder::blocking_handler) or
/// [`tokio::task::spawn_blocking`].
pub trait Handler<A: JobArgs>: Send + Sync + 'static {
    /// What `run` returns and `deliver` receives. It is stored as JSON between the two, at most
    /// [`Limits::payload`](crate::Limits::payload) bytes; a longer one fails the run for good.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// Whether outputs are delivered. Defaults to true; with false `deliver` is never called.
    const DELIVERS: bool = true;

    /// Does the work of one attempt at one occurrence.
    ///
    /// # Errors
    /// A [`Failure`] says whether and when it is tried again; `?` on any error means: with the job's backoff.
    fn run(&self, args: A, cx: RunContext) -> impl Future<Output = Result<Self::Output, Failure>> + Send;

    /// Says whether the work of an attempt was done whose process died, or shut down, before it could say so. Under
    /// [`OnInterrupt::Verify`](crate::OnInterrupt::Verify) the next attempt asks this first, under the same
    /// idempotency key; a handler of payments looks into the ledger of its provider here. The default does not know.
    ///
    /// # Errors
    /// As of `run`: the attempt has failed, and the next one asks again.
    fn verify(
        &self,
        args: A,
        cx: RunContext,
    ) -> impl Future<Output = Result<Verified<Self::Output>, Failure>> + Send {
        drop((args, cx));
        std::future::ready(Ok(Verified::Unknown))
    }

    /// Hands an output over. It is called again, with the same output under the same idempotency key, when it
    /// was not sent, or when the answer is unknown and the job's policy is to resend.
    ///
    /// # Errors
    /// A [`DeliveryError`] says what is known: not sent, rejected, or unknown. `?` on any error means unknown.
    fn deliver(
        &self,
        output: Self::Output,
        cx: DeliveryContext,
    ) -> impl Future<Output = Result<Receipt, DeliveryError>> + Send;
}

/// What a handler knows of an attempt that was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified<T> {
    /// The work was done, and this came of it: it is recorded, and delivered, as if the handler had returned it.
    Done(T),
    /// It was not done: `run` is called now.
    NotDone,
    /// Nobody can tell: the job is parked until a person decides, with `resume` or `retry`.
    Unknown,
}

impl<A, F, Fut, O, E> Handler<A> for F
where
    A: JobArgs,
    F: Fn(A, RunContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, E>> + Send + 'static,
    O: Serialize + DeserializeOwned + Send + 'static,
    E: Into<BoxError>,
{
    type Output = O;
    const DELIVERS: bool = false;

    async fn run(&self, args: A, cx: RunContext) -> Result<O, Failure> {
        self(args, cx).await.map_err(|error| Failure::from_box(error.into()))
    }

    async fn deliver(&self, _output: O, _cx: DeliveryContext) -> Result<Receipt, DeliveryError> {
        // Reached by outputs that an older build of the application stored for delivery.
        Err(DeliveryError::rejected(format!("the handler of kind {:?} does not deliver any more", A::KIND)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::failure::Verdict;
    use crate::engine::tests::{Args, context};

    async fn verdict_of<E: Into<BoxError> + Send + 'static>(
        fail: impl Fn() -> E + Clone + Send + Sync + 'static,
    ) -> (Verdict, String) {
        let handler = move |_: Args, _: RunContext| {
            let fail = fail.clone();
            async move { Err::<(), E>(fail()) }
        };
        let args = Args { word: String::new() };
        let failure = handler.run(args, context()).await.unwrap_err();
        (failure.verdict(), failure.into_text())
    }

    #[tokio::test(start_paused = true)]
    async fn a_function_may_fail_with_any_error_a_boxed_one_a_text_or_a_failure() {
        let retry = |text: &str| (Verdict::Retry, text.to_owned());
        assert_eq!(verdict_of(|| std::fmt::Error).await, retry(&std::fmt::Error.to_string()));
        assert_eq!(verdict_of(|| -> BoxError { "boxed".into() }).await, retry("boxed"));
        assert_eq!(verdict_of(|| "text".to_owned()).await, retry("text"));
        let discarded = verdict_of(|| Failure::discard("useless")).await;
        assert_eq!(discarded, (Verdict::Discard, "useless".to_owned()));
    }

    #[test]
    fn a_plain_function_delivers_nothing() {
        fn delivers<A: JobArgs, H: Handler<A>>(_: &H) -> bool {
            H::DELIVERS
        }
        assert!(!delivers(&|_: Args, _: RunContext| async { Ok::<_, Failure>(()) }));
    }
}
