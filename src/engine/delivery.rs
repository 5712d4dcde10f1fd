//! One delivery: begun on record, handed to the handler, its answer recorded.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;

use super::context::DeliveryContext;
use super::decide_delivery::{self, DeliveryRules};
use super::env::Env;
use super::erased::{DeliveryResult, ErasedHandler};
use super::handover::Handover;
use super::log;
use super::receipt::Undelivered;
use super::supervise::{Ended, Leash, supervise};
use super::writer::Writer;
use crate::core::messages::{BeginDelivery, DeliveryAnswer, SettleDelivery};
use crate::crash::{CrashPoint, reach};
use crate::error::Error;
use crate::run::RunId;
use crate::time::Timestamp;

/// How long a stored output waits that came to an engine without a handler for it.
const NO_HANDLER_WAIT: Duration = Duration::from_secs(60);

/// How the engine came out of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeliveryEnd {
    /// An answer is on record.
    Settled,
    /// Its answer is on record as unknown.
    Unknown,
    /// It was not begun: the file has it still.
    NotBegun,
    /// It was begun, and no answer is on record: recovery will settle it.
    Unrecorded,
}

/// Delivers one output, once there is room for another delivery.
pub(super) async fn deliver<W: Writer>(env: Arc<Env<W>>, handover: Box<Handover>) -> DeliveryEnd {
    let Some(_permit) = room(&env).await else { return DeliveryEnd::NotBegun };
    let handover: Arc<Handover> = Arc::from(handover);
    let now = env.now();
    if let Some(by) = handover.deliver_by.filter(|by| *by < now) {
        return settle(&env, &handover, suppressed(by)).await;
    }
    let Some(handler) = env.handlers.of_kind(&handover.kind) else {
        return settle(&env, &handover, no_handler(&handover.kind, now)).await;
    };
    let Some(attempt) = begin(&env, &handover).await else { return DeliveryEnd::NotBegun };
    log::delivery_begins(attempt);
    reach(CrashPoint::DeliveryBegun);
    let answer = hand_over(&env, &handover, handler, attempt).await;
    reach(CrashPoint::Delivered);
    let end = settle(&env, &handover, answer).await;
    reach(CrashPoint::Settled);
    end
}

/// `None` if the engine's time is over first.
async fn room<W: Writer>(env: &Env<W>) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        biased;
        () = env.time_is_over.cancelled() => None,
        permit = Arc::clone(&env.deliveries).acquire_owned() => permit.ok(),
    }
}

/// It is too late to deliver it.
pub(super) fn suppressed(by: Timestamp) -> DeliveryAnswer {
    DeliveryAnswer::Suppressed { why: format!("it was to be delivered by {by}") }
}

/// There is nobody here to deliver it.
fn no_handler(kind: &str, now: Timestamp) -> DeliveryAnswer {
    let error = format!("this engine has no handler for kind {kind:?}");
    DeliveryAnswer::RetryAt { at: now.plus(NO_HANDLER_WAIT), error }
}

/// Which attempt has begun; `None` if it is not this engine's to make.
async fn begin<W: Writer>(env: &Env<W>, handover: &Handover) -> Option<u32> {
    let (run_id, owner_id) = (handover.run_id, handover.owner_id);
    match env.writer.begin_delivery(BeginDelivery { run_id, owner_id }).await {
        Ok(attempt) => Some(attempt),
        Err(Error::ClaimLost(_)) => {
            log::delivery_is_anothers(run_id);
            None
        }
        Err(why) => {
            log::delivery_failed_to_begin(run_id, &why);
            None
        }
    }
}

/// Calls the handler and waits for its answer. The job's timeout for deliveries always applies.
async fn hand_over<W: Writer>(
    env: &Arc<Env<W>>,
    handover: &Arc<Handover>,
    handler: &Arc<dyn ErasedHandler>,
    attempt: u32,
) -> DeliveryAnswer {
    let cx = DeliveryContext::new(Arc::clone(handover), attempt);
    let mut task = handler.deliver(cx.clone());
    // Nobody cancels a delivery by hand: the sender is gone at once.
    let (_, no_asks) = mpsc::channel(1);
    let leash = Leash {
        token: cx.token(),
        engine: &env.time_is_over,
        timeout: Some(Duration::from_millis(handover.policies.delivery_timeout_ms)),
        grace: Duration::from_millis(handover.policies.grace_ms),
    };
    let (ended, _asked) = supervise(&mut task, no_asks, leash, || cx.begun()).await;
    if matches!(ended, Ended::StillRunning) {
        leave_behind(env, handover.run_id, task);
    }
    let rules = DeliveryRules {
        policies: &handover.policies,
        limits: env.limits,
        attempt,
        now: env.now(),
        random: fastrand::f64(),
    };
    decide_delivery::decide(ended, rules)
}

async fn settle<W: Writer>(env: &Env<W>, handover: &Handover, answer: DeliveryAnswer) -> DeliveryEnd {
    let (run_id, owner_id) = (handover.run_id, handover.owner_id);
    let settle = SettleDelivery { run_id, owner_id, answer: answer.clone() };
    match env.writer.settle_delivery(settle).await {
        Ok(()) => {
            log::delivery_ended(run_id, &answer);
            match answer {
                DeliveryAnswer::Unknown { .. } => DeliveryEnd::Unknown,
                _ => DeliveryEnd::Settled,
            }
        }
        Err(Error::ClaimLost(_)) => {
            log::delivery_is_anothers(run_id);
            DeliveryEnd::Unrecorded
        }
        Err(why) => {
            log::delivery_is_unrecorded(run_id, &answer, &why);
            DeliveryEnd::Unrecorded
        }
    }
}

/// A delivery that was given up may answer yet. The record stays unknown; the log says what came.
fn leave_behind<W: Writer>(env: &Arc<Env<W>>, run: RunId, task: JoinHandle<DeliveryResult>) {
    let counted = env.leave_behind();
    tokio::spawn(async move {
        let joined = task.await;
        drop(counted);
        match joined {
            Ok(Ok(_)) => log::delivery_answered_late(run, "delivered"),
            Ok(Err(error)) => match error.kind() {
                Undelivered::NotSent => log::delivery_answered_late(run, "not sent"),
                Undelivered::Rejected => log::delivery_answered_late(run, "rejected"),
                Undelivered::Unknown => log::delivery_answered_late(run, "unknown"),
            },
            // It was dropped or panicked: it has nothing more to say.
            Err(_) => {}
        }
    });
}
