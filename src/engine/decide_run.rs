//! What becomes of a run once its handler's task has ended: pure functions.

use std::time::Duration;

use super::erased::Answer;
use super::failure::{Failure, Verdict};
use super::handover::deliver_by;
use super::supervise::{Asked, Ended};
use crate::core::messages::{ClaimedRun, Complete, Deliver, Then};
use crate::error::Error;
use crate::job::Limits;
use crate::policy::{OnInterrupt, Policies};
use crate::run::{ErrorClass, Outcome};
use crate::time::Timestamp;

/// How long a run waits that came to an engine without a handler for it. Claims ask for kinds, so this is seldom.
const NO_HANDLER_WAIT: Duration = Duration::from_secs(60);

/// How the call of a handler ended.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) how: How,
    pub(super) asked: Asked,
    pub(super) started_at: Timestamp,
    pub(super) finished_at: Timestamp,
}

/// What the handler's task came to.
pub(super) type How = Ended<Answer>;

/// What is known besides the run and the call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    pub(super) policies: &'a Policies,
    pub(super) limits: Limits,
    /// Whether the handler's outputs are delivered.
    pub(super) delivers: bool,
    /// Between 0 and 1; moves the wait before a retry.
    pub(super) random: f64,
}

/// What is to be recorded.
#[derive(Debug)]
pub(super) struct Decision {
    /// The end of the run.
    pub(super) complete: Complete,
    /// What came too late to be the outcome; the writer keeps it as a fact.
    pub(super) late: Option<Complete>,
}

/// Decides what is recorded of a run.
///
/// A success stands, even if somebody has asked the handler to stop, unless its time was over. Anything else
/// is put down to whoever asked: cancelled before timed out before shut down.
pub(super) fn decide(claim: &ClaimedRun, rules: Rules<'_>, call: Call) -> Decision {
    let Call { how, asked, started_at, finished_at } = call;
    let run = Ending { claim, rules, started_at, finished_at };
    let succeeded = matches!(how, How::Answered(Answer::Returned(_)));
    let complete = match how {
        How::Answered(Answer::Returned(output)) if asked.timed_out => {
            let complete = if asked.cancelled { run.cancelled(None) } else { run.timed_out(None) };
            return Decision { complete, late: Some(run.returned(output)) };
        }
        how if asked.cancelled && !succeeded => run.cancelled(how.text()),
        how if asked.timed_out => run.timed_out(how.text()),
        how if asked.shutdown && !succeeded && !how.is_verdict() => run.interrupted(how.text()),
        how => run.ended(how),
    };
    Decision { complete, late: None }
}

/// What a handler that was left behind came back with, as if nobody had asked it to stop.
pub(super) fn late(claim: &ClaimedRun, rules: Rules<'_>, call: Call) -> Complete {
    let run = Ending { claim, rules, started_at: call.started_at, finished_at: call.finished_at };
    run.ended(call.how)
}

/// The engine shuts down and the handler was not called: nothing was done, so that every policy runs it again.
pub(super) fn not_called(claim: &ClaimedRun, now: Timestamp) -> Complete {
    let error = "the engine shut down before the handler was called";
    refused(claim, now, Outcome::Interrupted, ErrorClass::NotStarted, error, Then::Again(now))
}

/// This engine has no handler for the run's kind.
pub(super) fn no_handler(claim: &ClaimedRun, now: Timestamp) -> Complete {
    let error = format!("this engine has no handler for kind {:?}", claim.kind);
    let then = Then::Again(now.plus(NO_HANDLER_WAIT));
    refused(claim, now, Outcome::Skipped, ErrorClass::NoHandler, &error, then)
}

/// The row holds policies that cannot be read.
pub(super) fn malformed_policies(claim: &ClaimedRun, why: &str, limits: &Limits, now: Timestamp) -> Complete {
    let error = limits.cut(format!("column \"policies\": {why}"));
    refused(claim, now, Outcome::Failed, ErrorClass::Malformed, &error, Then::Park(error.clone()))
}

/// The writer refused to record `complete` for a reason that will not go away. The run must end all the same,
/// and must not be repeated: its handler was called.
pub(super) fn unrecordable(
    claim: &ClaimedRun,
    why: &Error,
    limits: &Limits,
    started_at: Timestamp,
    now: Timestamp,
) -> Complete {
    let error = limits.cut(format!("how the run ended could not be recorded: {why}"));
    let then = Then::Park(error.clone());
    let refused = refused(claim, now, Outcome::Failed, ErrorClass::Malformed, &error, then);
    Complete { started_at, ..refused }
}

fn refused(
    claim: &ClaimedRun,
    now: Timestamp,
    outcome: Outcome,
    class: ErrorClass,
    error: &str,
    then: Then,
) -> Complete {
    Complete {
        error: Some(error.to_owned()),
        error_class: Some(class),
        ..bare(claim, outcome, then, claim.claimed_at, now)
    }
}

fn bare(
    claim: &ClaimedRun,
    outcome: Outcome,
    then: Then,
    started: Timestamp,
    finished: Timestamp,
) -> Complete {
    Complete {
        run_id: claim.run_id,
        job_id: claim.job_id,
        owner_id: claim.owner_id,
        outcome,
        output: None,
        error: None,
        error_class: None,
        deliver: Deliver::No,
        deliver_by: None,
        then,
        started_at: started,
        finished_at: finished,
    }
}

impl Ended<Answer> {
    /// What the handler had to say, if it did not succeed.
    fn text(self) -> Option<String> {
        match self {
            Self::Answered(Answer::Returned(_) | Answer::Unverified) | Self::StillRunning | Self::Dropped => {
                None
            }
            Self::Answered(Answer::Failed(failure)) => Some(failure.into_text()),
            Self::Answered(Answer::MalformedArgs(why) | Answer::UnwritableOutput(why)) => Some(why),
            Self::Panicked(message) => Some(format!("panicked: {message}")),
        }
    }

    /// Whether it says more than that the handler was stopped: somebody who only stops says none of these.
    fn is_verdict(&self) -> bool {
        match self {
            Self::Answered(Answer::Failed(failure)) => {
                matches!(failure.verdict(), Verdict::Snooze(_) | Verdict::Discard)
            }
            Self::Answered(_) => true,
            Self::Panicked(_) | Self::StillRunning | Self::Dropped => false,
        }
    }
}

/// One run at its end.
struct Ending<'a> {
    claim: &'a ClaimedRun,
    rules: Rules<'a>,
    started_at: Timestamp,
    finished_at: Timestamp,
}

impl Ending<'_> {
    fn ended(&self, how: How) -> Complete {
        match how {
            How::Answered(Answer::Returned(output)) => self.returned(output),
            How::Answered(Answer::Failed(failure)) => self.failed(failure),
            How::Answered(Answer::MalformedArgs(why)) => {
                let why = self.rules.limits.cut(format!("column \"args\": {why}"));
                let then = Then::Park(why.clone());
                self.complete(Outcome::Failed, Some((ErrorClass::Malformed, why)), then)
            }
            How::Answered(Answer::UnwritableOutput(why)) => self.fruitless(why),
            How::Answered(Answer::Unverified) => {
                let why = "nobody can tell whether the attempt that was interrupted did its work: look, then resume \
                           or retry the job";
                let then = Then::Park(why.to_owned());
                self.complete(Outcome::Interrupted, Some((ErrorClass::Unverified, why.to_owned())), then)
            }
            How::Panicked(message) => {
                let then = self.next_attempt(None);
                self.complete(Outcome::Failed, Some((ErrorClass::Panic, message)), then)
            }
            How::StillRunning => {
                let why = "the run was taken from this owner and its handler did not stop".to_owned();
                self.complete(Outcome::Interrupted, Some((ErrorClass::Released, why)), Then::Finish)
            }
            How::Dropped => self.interrupted(None),
        }
    }

    fn returned(&self, output: Option<String>) -> Complete {
        let delivers = self.rules.delivers;
        let by = deliver_by(self.rules.policies, self.claim.scheduled_for).filter(|_| delivers);
        let deliver = if delivers { Deliver::By(self.claim.owner_id) } else { Deliver::No };
        let complete = self.complete(Outcome::Succeeded, None, Then::Finish);
        Complete { output, deliver, deliver_by: by, ..complete }
    }

    fn failed(&self, failure: Failure) -> Complete {
        let verdict = failure.verdict();
        let text = failure.into_text();
        match verdict {
            Verdict::Retry => {
                let then = self.next_attempt(None);
                self.complete(Outcome::Failed, Some((ErrorClass::Retryable, text)), then)
            }
            Verdict::RetryAfter(wait) => {
                let then = self.next_attempt(Some(wait));
                self.complete(Outcome::Failed, Some((ErrorClass::Retryable, text)), then)
            }
            Verdict::Snooze(wait) => {
                let again = Then::Again(self.finished_at.plus(wait));
                Complete { error: Some(text), ..self.complete(Outcome::Skipped, None, again) }
            }
            Verdict::Discard => {
                self.complete(Outcome::Failed, Some((ErrorClass::Permanent, text)), Then::Finish)
            }
        }
    }

    /// The handler did its work, but what it made is of no use, and would not be after another attempt.
    fn fruitless(&self, why: String) -> Complete {
        self.complete(Outcome::Failed, Some((ErrorClass::Permanent, why)), Then::Finish)
    }

    fn timed_out(&self, said: Option<String>) -> Complete {
        let timeout = self.rules.policies.timeout_ms.unwrap_or_default();
        let why = said.map_or_else(
            || format!("timed out after {timeout} ms"),
            |said| format!("timed out after {timeout} ms: {said}"),
        );
        let then = self.next_attempt(None);
        self.complete(Outcome::TimedOut, Some((ErrorClass::Timeout, why)), then)
    }

    fn cancelled(&self, said: Option<String>) -> Complete {
        let why = said.unwrap_or_else(|| "cancelled".to_owned());
        self.complete(Outcome::Cancelled, Some((ErrorClass::Cancelled, why)), Then::Finish)
    }

    fn interrupted(&self, said: Option<String>) -> Complete {
        let then = match self.claim.on_interrupt {
            // Under `Verify` that attempt asks its handler first.
            OnInterrupt::Rerun | OnInterrupt::Verify => Then::Again(self.finished_at),
            OnInterrupt::AssumeRan => Then::Finish,
        };
        let why = said.unwrap_or_else(|| "the engine shut down before the handler had returned".to_owned());
        self.complete(Outcome::Interrupted, Some((ErrorClass::Shutdown, why)), then)
    }

    /// Waits are counted from the end of the run: a long one has its pause as well.
    fn next_attempt(&self, wait: Option<Duration>) -> Then {
        let Rules { policies, random, .. } = self.rules;
        let failed = self.claim.failed_attempts.saturating_add(1);
        if failed >= policies.max_attempts {
            return Then::Finish;
        }
        let wait = wait.unwrap_or_else(|| policies.backoff.after_attempt(failed, random));
        Then::Retry(self.finished_at.plus(wait))
    }

    fn complete(&self, outcome: Outcome, error: Option<(ErrorClass, String)>, then: Then) -> Complete {
        let (error_class, error) = error.unzip();
        let complete = bare(self.claim, outcome, then, self.started_at, self.finished_at);
        Complete { error: error.map(|text| self.rules.limits.cut(text)), error_class, ..complete }
    }
}

#[cfg(test)]
mod tests;
