//! What a handler says when it does not succeed.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// The sources of an error that are written out at most; a chain may be a ring by mistake.
const LONGEST_CHAIN: usize = 32;

/// An error of any type, or a text.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a handler did not succeed, and what is to happen now.
///
/// `?` turns every error into one that is tried again with the job's backoff. The constructors say otherwise.
/// The texts of an error's sources are written out behind its own, and the whole is cut at
/// [`Limits::text`](crate::Limits::text).
///
/// ```
/// use mainspring::Failure;
/// # use std::time::Duration;
///
/// fn read(path: &str) -> Result<String, Failure> {
///     if path.is_empty() {
///         return Err(Failure::discard("the path is empty"));
///     }
///     Ok(std::fs::read_to_string(path)?)
/// }
/// assert_eq!(read("").unwrap_err().to_string(), "the path is empty");
/// assert!(read("/no/such/file").is_err());
/// ```
pub struct Failure {
    verdict: Verdict,
    text: String,
}

/// What is to happen after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Try again with the job's backoff.
    Retry,
    /// Try again after this wait.
    RetryAfter(Duration),
    /// Nothing was done: try again after this wait and count nothing.
    Snooze(Duration),
    /// Trying again is useless.
    Discard,
}

impl Failure {
    /// A failure that is tried again with the job's backoff while it has attempts left; what `?` makes.
    pub fn new(why: impl Into<BoxError>) -> Self {
        Self::from_box(why.into())
    }

    /// A failure that is tried again after `wait`, counted from the end of the run, while the job has attempts
    /// left.
    pub fn retry_after(wait: Duration, why: impl Into<BoxError>) -> Self {
        Self { verdict: Verdict::RetryAfter(wait), text: chain(&*why.into()) }
    }

    /// Not yet: nothing was done, and the same occurrence is tried again after `wait`. The run is recorded as
    /// skipped; no attempt is counted, so that a job may snooze without limit.
    pub fn snooze(wait: Duration) -> Self {
        Self { verdict: Verdict::Snooze(wait), text: format!("snoozed for {} ms", wait.as_millis()) }
    }

    /// A failure that no further attempt will mend: the occurrence is over, whatever attempts are left.
    pub fn discard(why: impl Into<BoxError>) -> Self {
        Self { verdict: Verdict::Discard, text: chain(&*why.into()) }
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.verdict
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// A failure that was carried inside a box comes out as it went in.
    pub(super) fn from_box(error: BoxError) -> Self {
        match error.downcast::<Carried>() {
            Ok(carried) => carried.0,
            Err(error) => Self { verdict: Verdict::Retry, text: chain(&*error) },
        }
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::from_box(Box::new(error))
    }
}

impl From<Failure> for BoxError {
    fn from(failure: Failure) -> Self {
        Box::new(Carried(failure))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.verdict, self.text)
    }
}

/// A failure as an error: [`Failure`] itself is none, so that every error can become one by `?`.
#[derive(Debug)]
struct Carried(Failure);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for Carried {}

/// An error's text and those of its sources. A source that the text before it ends with is not said twice.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    for _ in 0..LONGEST_CHAIN {
        let Some(error) = source else { break };
        source = error.source();
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the mail server did not answer")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("connection refused")]
    struct Inner;

    #[derive(Debug, thiserror::Error)]
    #[error("lost: {0}")]
    struct Repeating(#[source] Inner);

    fn by_question_mark<E: StdError + Send + Sync + 'static>(error: E) -> Failure {
        let attempt = || -> Result<(), Failure> { Err(error)? };
        attempt().unwrap_err()
    }

    #[test]
    fn a_question_mark_means_retry_and_keeps_the_sources() {
        let failure = by_question_mark(Outer(Inner));
        assert_eq!(failure.verdict(), Verdict::Retry);
        assert_eq!(failure.to_string(), "the mail server did not answer: connection refused");
    }

    #[test]
    fn a_source_that_was_already_said_is_not_repeated() {
        assert_eq!(by_question_mark(Repeating(Inner)).to_string(), "lost: connection refused");
    }

    #[test]
    fn a_failure_survives_a_box() {
        let boxed: BoxError = Failure::discard("no such user").into();
        let failure = Failure::from_box(boxed);
        assert_eq!((failure.verdict(), failure.to_string().as_str()), (Verdict::Discard, "no such user"));
    }

    #[test]
    fn every_constructor_says_what_happens_next() {
        let wait = Duration::from_secs(3);
        assert_eq!(Failure::new("x").verdict(), Verdict::Retry);
        assert_eq!(Failure::retry_after(wait, "x").verdict(), Verdict::RetryAfter(wait));
        assert_eq!(Failure::snooze(wait).verdict(), Verdict::Snooze(wait));
        assert_eq!(Failure::discard(String::from("x")).verdict(), Verdict::Discard);
    }
}
