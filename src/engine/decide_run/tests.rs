//! The table of ends: what the handler did, who asked it to stop, what is recorded.

use super::*;
use crate::engine::tests::{BEGIN, claim};
use crate::policy::Backoff;

const ENDED: Timestamp = Timestamp::from_millis(BEGIN.millis() + 600_000);
const SECOND: Duration = Duration::from_secs(1);

const NOBODY: Asked = Asked { timed_out: false, cancelled: false, fenced: false, shutdown: false };
const TIMEOUT: Asked = Asked { timed_out: true, ..NOBODY };
const CANCEL: Asked = Asked { cancelled: true, ..NOBODY };
const FENCE: Asked = Asked { fenced: true, ..NOBODY };
const SHUTDOWN: Asked = Asked { shutdown: true, ..NOBODY };
const TIMEOUT_CANCEL: Asked = Asked { timed_out: true, cancelled: true, ..NOBODY };

fn returned() -> How {
    Ended::Answered(Answer::Returned(Some("1".to_owned())))
}

fn failed(failure: Failure) -> How {
    Ended::Answered(Answer::Failed(failure))
}

fn policies() -> Policies {
    let backoff = Backoff::fixed(30 * SECOND);
    Policies { timeout_ms: Some(5_000), max_attempts: 3, backoff, ..Policies::default() }
}

fn decided(claim: &ClaimedRun, how: How, asked: Asked) -> Decision {
    let policies = policies();
    let rules = Rules { policies: &policies, limits: Limits::default(), delivers: true, random: 0.5 };
    decide(claim, rules, Call { how, asked, started_at: BEGIN, finished_at: ENDED })
}

fn after(seconds: u32) -> Timestamp {
    ENDED.plus(SECOND * seconds)
}

#[test]
fn every_end_has_its_outcome_its_class_and_what_comes_next() {
    use ErrorClass as Class;
    use Outcome::{Cancelled, Failed, Interrupted, Skipped, Succeeded, TimedOut};
    let retry = || failed(Failure::new("x"));
    let panicked = || Ended::Panicked("x".to_owned());
    let wait = 7 * SECOND;
    let table: Vec<(How, Asked, Outcome, Option<Class>, Then)> = vec![
        (returned(), NOBODY, Succeeded, None, Then::Finish),
        (returned(), CANCEL, Succeeded, None, Then::Finish),
        (returned(), SHUTDOWN, Succeeded, None, Then::Finish),
        (returned(), FENCE, Succeeded, None, Then::Finish),
        (returned(), TIMEOUT, TimedOut, Some(Class::Timeout), Then::Retry(after(30))),
        (returned(), TIMEOUT_CANCEL, Cancelled, Some(Class::Cancelled), Then::Finish),
        (retry(), NOBODY, Failed, Some(Class::Retryable), Then::Retry(after(30))),
        (retry(), FENCE, Failed, Some(Class::Retryable), Then::Retry(after(30))),
        (retry(), TIMEOUT, TimedOut, Some(Class::Timeout), Then::Retry(after(30))),
        (retry(), CANCEL, Cancelled, Some(Class::Cancelled), Then::Finish),
        (retry(), TIMEOUT_CANCEL, Cancelled, Some(Class::Cancelled), Then::Finish),
        (retry(), SHUTDOWN, Interrupted, Some(Class::Shutdown), Then::Again(ENDED)),
        (panicked(), NOBODY, Failed, Some(Class::Panic), Then::Retry(after(30))),
        (panicked(), CANCEL, Cancelled, Some(Class::Cancelled), Then::Finish),
        (panicked(), SHUTDOWN, Interrupted, Some(Class::Shutdown), Then::Again(ENDED)),
        (Ended::StillRunning, TIMEOUT, TimedOut, Some(Class::Timeout), Then::Retry(after(30))),
        (Ended::StillRunning, CANCEL, Cancelled, Some(Class::Cancelled), Then::Finish),
        (Ended::StillRunning, SHUTDOWN, Interrupted, Some(Class::Shutdown), Then::Again(ENDED)),
        (Ended::StillRunning, FENCE, Interrupted, Some(Class::Released), Then::Finish),
        (Ended::Dropped, NOBODY, Interrupted, Some(Class::Shutdown), Then::Again(ENDED)),
        (
            failed(Failure::retry_after(wait, "x")),
            NOBODY,
            Failed,
            Some(Class::Retryable),
            Then::Retry(after(7)),
        ),
        (failed(Failure::snooze(wait)), NOBODY, Skipped, None, Then::Again(after(7))),
        (failed(Failure::snooze(wait)), SHUTDOWN, Skipped, None, Then::Again(after(7))),
        (failed(Failure::discard("x")), NOBODY, Failed, Some(Class::Permanent), Then::Finish),
        (failed(Failure::discard("x")), SHUTDOWN, Failed, Some(Class::Permanent), Then::Finish),
    ];
    for (how, asked, outcome, class, then) in table {
        let case = format!("{how:?} after {asked:?}");
        let complete = decided(&claim(1), how, asked).complete;
        assert_eq!((complete.outcome, complete.error_class, complete.then), (outcome, class, then), "{case}");
        assert_eq!(complete.deliver != Deliver::No, outcome == Outcome::Succeeded, "{case}");
        assert_eq!(complete.output.is_some(), outcome == Outcome::Succeeded, "{case}");
        assert_eq!(complete.error.is_none(), outcome == Outcome::Succeeded, "{case}");
    }
}

#[test]
fn only_a_success_after_the_timeout_is_a_late_result() {
    // D6.2
    let late = decided(&claim(1), returned(), TIMEOUT).late.unwrap();
    assert_eq!((late.outcome, late.output.as_deref()), (Outcome::Succeeded, Some("1")));
    assert!(decided(&claim(1), failed(Failure::new("x")), TIMEOUT).late.is_none());
    assert!(decided(&claim(1), returned(), CANCEL).late.is_none());
}

#[test]
fn the_last_attempt_is_not_followed_by_another() {
    // D7.1: three attempts are allowed.
    let fails = |failed_attempts, failure| {
        let claim = ClaimedRun { attempt: failed_attempts + 1, failed_attempts, ..claim(1) };
        decided(&claim, failed(failure), NOBODY).complete.then
    };
    assert_eq!(fails(1, Failure::new("x")), Then::Retry(after(30)));
    assert_eq!(fails(2, Failure::new("x")), Then::Finish);
    assert_eq!(fails(2, Failure::retry_after(SECOND, "x")), Then::Finish);
    assert_eq!(fails(u32::MAX - 1, Failure::new("x")), Then::Finish);
}

#[test]
fn snoozes_and_interruptions_use_up_no_attempt() {
    // D7.9: the twentieth run of an occurrence of which nothing has failed yet.
    let claim = ClaimedRun { attempt: 20, failed_attempts: 0, ..claim(1) };
    let then = decided(&claim, failed(Failure::new("x")), NOBODY).complete.then;
    assert_eq!(then, Then::Retry(after(30)));
    let then = decided(&claim, failed(Failure::snooze(SECOND)), NOBODY).complete.then;
    assert_eq!(then, Then::Again(after(1)));
}

#[test]
fn the_wait_grows_with_the_failed_attempts_and_counts_from_the_end() {
    // D7.7: the run took ten minutes, the backoff is ten seconds.
    let policies = Policies::default();
    let rules = Rules { policies: &policies, limits: Limits::default(), delivers: false, random: 0.5 };
    let waits = [0, 1, 2].map(|failed_attempts| {
        let claim = ClaimedRun { failed_attempts, ..claim(1) };
        let how = failed(Failure::new("x"));
        let call = Call { how, asked: NOBODY, started_at: BEGIN, finished_at: ENDED };
        decide(&claim, rules, call).complete.then
    });
    assert_eq!(waits, [10, 20, 40].map(|seconds| Then::Retry(after(seconds))));
}

#[test]
fn a_permanent_failure_is_permanent_whatever_its_text() {
    // D7.5
    let complete = decided(&claim(1), failed(Failure::discard("status 503, retry later")), NOBODY).complete;
    assert_eq!(complete.then, Then::Finish);
}

#[test]
fn a_shutdown_leaves_a_recurring_job_to_its_next_occurrence() {
    let claim = ClaimedRun { on_interrupt: OnInterrupt::AssumeRan, ..claim(1) };
    assert_eq!(decided(&claim, Ended::StillRunning, SHUTDOWN).complete.then, Then::Finish);
}

#[test]
fn texts_are_cut_and_say_who_spoke() {
    let long = decided(&claim(1), failed(Failure::new("x".repeat(100_000))), NOBODY).complete;
    assert!(long.error.unwrap().len() <= Limits::default().text);
    let panicked = decided(&claim(1), Ended::Panicked("no luck".to_owned()), TIMEOUT).complete;
    assert_eq!(panicked.error.as_deref(), Some("timed out after 5000 ms: panicked: no luck"));
}

#[test]
fn what_cannot_be_read_or_written_is_not_tried_again() {
    let args = Ended::Answered(Answer::MalformedArgs("missing field `word`".to_owned()));
    let complete = decided(&claim(1), args, NOBODY).complete;
    let why = "column \"args\": missing field `word`".to_owned();
    assert_eq!((complete.error_class, complete.then), (Some(ErrorClass::Malformed), Then::Park(why)));
    let output = Ended::Answered(Answer::UnwritableOutput("key must be a string".to_owned()));
    let complete = decided(&claim(1), output, NOBODY).complete;
    assert_eq!((complete.error_class, complete.then), (Some(ErrorClass::Permanent), Then::Finish));
}
