//! Delivery: `started` is committed before the sink is called, its answer after.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::rows::Columns;
use crate::error::{Error, Result};
use crate::exchange::{BeginDelivery, ClaimedDelivery, DeliveryAnswer, SettleDelivery};
use crate::policy::OnUnknownDelivery;
use crate::run::{Delivery, OwnerId, RunId};
use crate::sabotage::{Bug, on};
use crate::time::Timestamp;

const PENDING: &str = "
SELECT run_id
FROM mainspring_completions INDEXED BY mainspring_completions_pending
WHERE delivery_queue = :queue
    AND delivery = 'pending'
    AND delivery_owner_id IS NULL
    AND next_delivery_at_ms <= :now_ms
ORDER BY next_delivery_at_ms
LIMIT :slots";

const TAKE_UP: &str = "
UPDATE mainspring_completions
SET delivery_owner_id = :owner_id
WHERE run_id = :run_id AND delivery = 'pending' AND delivery_owner_id IS NULL";

const TAKEN_UP: &str = "
SELECT
    id, job_id, kind, scheduled_for_ms, request_id,
    (SELECT name FROM mainspring_jobs WHERE id = r.job_id) AS name,
    (SELECT policies FROM mainspring_jobs WHERE id = r.job_id) AS policies,
    (SELECT output FROM mainspring_completions WHERE run_id = r.id) AS output,
    (SELECT deliver_by_ms FROM mainspring_completions WHERE run_id = r.id) AS deliver_by_ms
FROM mainspring_runs r
WHERE id = :run_id";

const BEGIN: &str = "
UPDATE mainspring_completions
SET delivery = 'started', delivery_started_at_ms = :now_ms, delivery_attempts = delivery_attempts + 1
WHERE run_id = :run_id AND delivery = 'pending' AND delivery_owner_id = :owner_id
RETURNING delivery_attempts";

// delivery_owner_id is the fence: what recovery took away, its old owner does not settle.
const SETTLE: &str = "
UPDATE mainspring_completions
SET delivery = :delivery,
    delivery_owner_id = NULL,
    next_delivery_at_ms = :next_delivery_at_ms,
    delivery_settled_at_ms = :settled_at_ms,
    receipt = coalesce(:receipt, receipt),
    delivery_error = :error
WHERE run_id = :run_id AND delivery IN ('pending', 'started') AND delivery_owner_id = :owner_id";

const POLICY: &str = "
SELECT on_unknown_delivery
FROM mainspring_completions
WHERE run_id = :run_id";

const HAND_BACK: &str = "
UPDATE mainspring_completions INDEXED BY mainspring_completions_owned
SET delivery_owner_id = NULL
WHERE delivery_owner_id = :owner_id AND delivery = 'pending'";

/// Takes up pending deliveries of a queue that nobody works on.
pub(crate) fn take_up(
    tx: &Connection,
    owner: OwnerId,
    queue: &str,
    slots: usize,
    now: Timestamp,
) -> Result<Vec<ClaimedDelivery>> {
    let slots = i64::try_from(slots).unwrap_or(i64::MAX);
    let pending: Vec<RunId> = tx
        .prepare_cached(PENDING)?
        .query_map(named_params! { ":queue": queue, ":now_ms": now, ":slots": slots }, |row| {
            row.get("run_id")
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut deliveries = Vec::with_capacity(pending.len());
    for run_id in pending {
        tx.prepare_cached(TAKE_UP)?.execute(named_params! { ":run_id": run_id, ":owner_id": owner })?;
        let read = tx
            .prepare_cached(TAKEN_UP)?
            .query_row(named_params! { ":run_id": run_id }, |row| Ok(read(row, owner)))?;
        match read {
            Ok(delivery) => deliveries.push(delivery),
            // An output that cannot be read cannot be delivered: it is settled as failed and says why.
            Err(error) => fail(tx, run_id, owner, &error.to_string(), now)?,
        }
    }
    Ok(deliveries)
}

fn read(row: &Row<'_>, owner_id: OwnerId) -> Result<ClaimedDelivery> {
    let c = Columns::of("mainspring_runs", row)?;
    Ok(ClaimedDelivery {
        run_id: RunId(c.id()),
        job_id: c.read("job_id")?,
        owner_id,
        // The output was promised. What cannot be read of its job, or was removed with it, keeps it from nobody.
        name: c.read("name").unwrap_or_default(),
        kind: c.read("kind")?,
        policies: c.read::<Option<String>>("policies").unwrap_or_default().unwrap_or_else(|| "{}".to_owned()),
        output: c.read::<Option<String>>("output")?.unwrap_or_else(|| "null".to_owned()),
        scheduled_for: c.read("scheduled_for_ms")?,
        request_id: c.read("request_id")?,
        deliver_by: c.read("deliver_by_ms")?,
    })
}

fn fail(tx: &Connection, run_id: RunId, owner_id: OwnerId, error: &str, now: Timestamp) -> Result<()> {
    let answer = DeliveryAnswer::Failed { error: error.to_owned() };
    settle(tx, &SettleDelivery { run_id, owner_id, answer }, now)
}

/// Marks a delivery as begun and says which attempt it is.
pub(crate) fn begin(tx: &Connection, fact: &BeginDelivery, now: Timestamp) -> Result<u32> {
    tx.prepare_cached(BEGIN)?
        .query_row(
            named_params! { ":run_id": fact.run_id, ":owner_id": fact.owner_id, ":now_ms": now },
            |row| row.get("delivery_attempts"),
        )
        .optional()?
        .or(on(Bug::NoStateGuard).then_some(1))
        .ok_or(Error::ClaimLost(fact.run_id))
}

/// Whether the loss of the begun mark in a power cut would send the output twice.
pub(crate) fn begin_needs_sync(tx: &Connection, run_id: RunId) -> Result<bool> {
    let policy: Option<OnUnknownDelivery> = tx
        .prepare_cached(POLICY)?
        .query_row(named_params! { ":run_id": run_id }, |row| row.get(0))
        .optional()?
        .flatten();
    Ok(policy != Some(OnUnknownDelivery::Resend))
}

/// Records what is known of a delivery.
pub(crate) fn settle(tx: &Connection, fact: &SettleDelivery, now: Timestamp) -> Result<()> {
    let resend = !begin_needs_sync(tx, fact.run_id)?;
    if resend && on(Bug::ResendDelivered) && matches!(fact.answer, DeliveryAnswer::Delivered { .. }) {
        return Ok(());
    }
    let (delivery, next, receipt, error) = match &fact.answer {
        DeliveryAnswer::Delivered { receipt } => (Delivery::Delivered, None, receipt.as_deref(), None),
        DeliveryAnswer::RetryAt { at, error } => (Delivery::Pending, Some(*at), None, Some(error.as_str())),
        DeliveryAnswer::Failed { error } => (Delivery::Failed, None, None, Some(error.as_str())),
        DeliveryAnswer::Unknown { retry_at: Some(at), error } if resend => {
            (Delivery::Pending, Some(*at), None, Some(error.as_str()))
        }
        DeliveryAnswer::Unknown { error, .. } => (Delivery::Unknown, None, None, Some(error.as_str())),
        DeliveryAnswer::Suppressed { why } => (Delivery::Suppressed, None, None, Some(why.as_str())),
    };
    let changed = tx.prepare_cached(SETTLE)?.execute(named_params! {
        ":run_id": fact.run_id,
        ":owner_id": fact.owner_id,
        ":delivery": delivery,
        ":next_delivery_at_ms": next,
        ":settled_at_ms": delivery.is_settled().then_some(now),
        ":receipt": receipt,
        ":error": error,
    })?;
    if changed == 1 || on(Bug::NoStateGuard) { Ok(()) } else { Err(Error::ClaimLost(fact.run_id)) }
}

/// Gives pending deliveries back, so that another engine takes them up.
pub(crate) fn hand_back(tx: &Connection, owner: OwnerId) -> Result<()> {
    tx.prepare_cached(HAND_BACK)?.execute(named_params! { ":owner_id": owner })?;
    Ok(())
}
