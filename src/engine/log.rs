//! Every span, field name and line that the engine writes. Outputs and arguments are in none of them.
//!
//! `warn`: someone should look. `error`: a promise was broken, or is about to be.

use std::time::Duration;

use tracing::field::display;
use tracing::{Span, debug, error, info, info_span, warn};

use super::handover::Handover;
use super::shutdown::ShutdownReport;
use crate::core::messages::{ClaimedDelivery, ClaimedRun, Complete, Completed, DeliveryAnswer, Then};
use crate::error::Error;
use crate::run::{OwnerId, RunId};

/// The span of a run and of everything that its handler logs.
pub(super) fn run_span(claim: &ClaimedRun) -> Span {
    let (job, run, attempt) = (claim.job_id.0, claim.run_id.0, claim.attempt);
    info_span!("run", job, run, attempt, kind = %claim.kind, name = claim.name.as_deref())
}

/// The span of a delivery and of everything that its handler logs.
pub(super) fn delivery_span(handover: &Handover) -> Span {
    let (job, run) = (handover.job_id.0, handover.run_id.0);
    info_span!("delivery", job, run, kind = %handover.kind, name = handover.name.as_deref())
}

pub(super) fn engine_started(owner: OwnerId) {
    info!(owner = owner.0, "the engine claims");
}

pub(super) fn engine_stopped(owner: OwnerId, report: &ShutdownReport) {
    let ShutdownReport { finished, interrupted, unknown, unrecorded, .. } = *report;
    info!(owner = owner.0, finished, interrupted, unknown, unrecorded, "the engine has stopped");
}

pub(super) fn writer_is_gone(owner: OwnerId) {
    warn!(owner = owner.0, "the queue was closed under its engine, which stops");
}

pub(super) fn shutdown_step_failed(owner: OwnerId, step: &'static str, why: &Error) {
    error!(owner = owner.0, step, %why, "a step of the shutdown failed; recovery will settle what is left");
}

pub(super) fn task_failed(what: &'static str, why: &tokio::task::JoinError) {
    error!(what, %why, "a task of the engine ended early; recovery will settle what is left");
}

/// The claim is on disk: the run is open, and the job's next time has moved on.
pub(super) fn run_claimed(claim: &ClaimedRun) {
    let (occurrence, trigger) = (claim.scheduled_for, claim.trigger.as_str());
    debug!(%occurrence, trigger, next = claim.next_run_at.map(display), "claimed");
}

pub(super) fn run_ended(complete: &Complete, completed: Completed) {
    let (job, run) = (complete.job_id.0, complete.run_id.0);
    let (outcome, why) = (complete.outcome.as_str(), complete.error.as_deref());
    match (&complete.then, complete.error_class) {
        (Then::Park(_), _) => warn!(job, run, outcome, why, "the run has ended and its job is parked"),
        (Then::Finish, Some(class)) => {
            warn!(job, run, outcome, class = class.as_str(), why, "the run has ended without success");
        }
        (Then::Retry(at) | Then::Again(at), Some(class)) => {
            info!(job, run, outcome, class = class.as_str(), why, next = %at, "the run is tried again");
        }
        (Then::Again(at), None) => debug!(job, run, outcome, next = %at, "the run is tried later"),
        (Then::Finish | Then::Retry(_), None) => {
            let delivery = completed.delivery.as_str();
            let next = completed.next_run_at.map(display);
            debug!(job, run, outcome, delivery, next, "the run has ended");
        }
    }
}

pub(super) fn run_was_lost(complete: &Complete) {
    let (job, run, outcome) = (complete.job_id.0, complete.run_id.0, complete.outcome.as_str());
    info!(job, run, outcome, "the run was ended by somebody else; this result is kept as a late one");
}

pub(super) fn run_is_unrecorded(complete: &Complete, why: &Error) {
    let (job, run, outcome) = (complete.job_id.0, complete.run_id.0, complete.outcome.as_str());
    error!(job, run, outcome, %why, "how the run ended could not be recorded");
}

pub(super) fn handler_left_behind(claim: &ClaimedRun) {
    warn!(
        job = claim.job_id.0,
        run = claim.run_id.0,
        "the handler did not stop within its grace and goes on without its run"
    );
}

pub(super) fn late_result_was_taken(run: RunId) {
    error!(run = run.0, "a late result was taken as the outcome of a run that had ended");
}

pub(super) fn delivery_under_default_policies(claim: &ClaimedDelivery, why: &str) {
    let (job, run) = (claim.job_id.0, claim.run_id.0);
    warn!(
        job,
        run, why, "column \"policies\" cannot be read: the output is delivered under the default policies"
    );
}

/// The begun mark is on disk: if no answer follows, nobody will know whether the output arrived.
pub(super) fn delivery_begins(attempt: u32) {
    debug!(attempt, "the delivery begins");
}

pub(super) fn delivery_is_anothers(run: RunId) {
    info!(run = run.0, "somebody else has this delivery");
}

pub(super) fn delivery_failed_to_begin(run: RunId, why: &Error) {
    error!(run = run.0, %why, "the delivery could not be begun; its output stays on record");
}

pub(super) fn delivery_ended(run: RunId, answer: &DeliveryAnswer) {
    let run = run.0;
    match answer {
        DeliveryAnswer::Delivered { .. } => debug!(run, "delivered"),
        DeliveryAnswer::RetryAt { at, error } => {
            info!(run, why = %error, next = %at, "not delivered yet");
        }
        DeliveryAnswer::Failed { error } => warn!(run, why = %error, "not delivered, and never will be"),
        DeliveryAnswer::Unknown { error, .. } => {
            warn!(run, why = %error, "it is unknown whether it was delivered")
        }
        DeliveryAnswer::Suppressed { why } => info!(run, %why, "not delivered on purpose"),
    }
}

pub(super) fn delivery_is_unrecorded(run: RunId, answer: &DeliveryAnswer, why: &Error) {
    let (run, answer) = (run.0, answer.in_a_word());
    error!(run, answer, %why, "what came of the delivery could not be recorded: it will count as unknown");
}

pub(super) fn delivery_answered_late(run: RunId, answer: &'static str) {
    warn!(run = run.0, answer, "a delivery that had been given up answered late; it stays unknown");
}

pub(super) fn writer_is_stalled(silence: Duration) {
    error!(silence_ms = silence.as_millis() as u64, "the writer does not tick: a new generation takes over");
}

pub(super) fn writer_was_not_replaced(why: &Error) {
    error!(%why, "the writer does not tick and could not be replaced; this is tried again");
}

pub(super) fn writer_ticks_again(generation: u32) {
    info!(generation, "the writer ticks again");
}

pub(super) fn runtime_is_stalled(limit: Duration) {
    warn!(
        limit_ms = limit.as_millis() as u64,
        "the async runtime is blocked: some code on it does not yield; claims go on, handlers do not start"
    );
}

pub(super) fn runtime_goes_on() {
    info!("the async runtime goes on");
}
