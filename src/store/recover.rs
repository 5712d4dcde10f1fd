//! Recover: settle what a dead owner left, in pieces that never hold the file for long.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::Tx;
use super::ending::{Ending, end_run};
use super::rows::Columns;
use crate::error::Result;
use crate::exchange::{Deliver, Then};
use crate::policy::{OnInterrupt, OnUnknownDelivery, Policies};
use crate::run::{Delivery, ErrorClass, Outcome, OwnerId, RunId};
use crate::time::Timestamp;

/// So many runs or deliveries are settled in one transaction; claims come in between.
pub(crate) const RECOVERY_BATCH: usize = 500;

/// What a piece of recovery did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Open runs that were settled as interrupted.
    pub(crate) runs: usize,
    /// Deliveries that were settled, or handed back.
    pub(crate) deliveries: usize,
    /// Whether the owner has nothing left.
    pub(crate) done: bool,
}

const OPEN_RUNS: &str = "
SELECT
    id, cancel_requested_at_ms, (SELECT on_interrupt FROM mainspring_jobs WHERE id = r.job_id) AS on_interrupt
FROM mainspring_runs r INDEXED BY mainspring_runs_open
WHERE owner_id = :owner_id AND ended_at_ms IS NULL
ORDER BY id
LIMIT :batch";

const DELIVERIES: &str = "
SELECT
    run_id AS id, delivery, on_unknown_delivery, delivery_attempts, (
        SELECT policies
        FROM mainspring_jobs
        WHERE id = (SELECT job_id FROM mainspring_runs WHERE id = c.run_id)) AS policies
FROM mainspring_completions c INDEXED BY mainspring_completions_owned
WHERE delivery_owner_id = :owner_id AND delivery IN ('pending', 'started')
LIMIT :batch";

const SETTLE_DELIVERY: &str = "
UPDATE mainspring_completions
SET delivery = :delivery,
    delivery_owner_id = NULL,
    next_delivery_at_ms = :next_delivery_at_ms,
    delivery_settled_at_ms = :settled_at_ms,
    delivery_error = coalesce(:error, delivery_error)
WHERE run_id = :run_id AND delivery_owner_id = :owner_id";

/// Why an owner's runs are settled by somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Its process died.
    OwnerDied,
    /// Its writer was replaced and the handler never started.
    NeverStarted,
}

/// Settles one piece of what the owner left.
pub(crate) fn recover(tx: &Connection, owner: OwnerId, cause: Cause, now: Timestamp) -> Result<Recovered> {
    let runs = interrupted(tx, owner, &[], cause, now)?;
    let deliveries = deliveries(tx, owner, now)?;
    Ok(Recovered { runs, deliveries, done: runs < RECOVERY_BATCH && deliveries < RECOVERY_BATCH })
}

/// Settles one piece of the owner's open runs, but for those whose handlers run in this process.
pub(crate) fn interrupted(
    tx: &Connection,
    owner: OwnerId,
    running_here: &[RunId],
    cause: Cause,
    now: Timestamp,
) -> Result<usize> {
    let mut found = Vec::new();
    {
        let mut statement = tx.prepare_cached(OPEN_RUNS)?;
        let mut rows =
            statement.query(named_params! { ":owner_id": owner, ":batch": RECOVERY_BATCH as i64 })?;
        while let Some(row) = rows.next()? {
            let run_id: RunId = row.get("id")?;
            if !running_here.contains(&run_id) {
                found.push((run_id, then(row, cause, now)?));
            }
        }
    }
    let (error, class) = match cause {
        Cause::OwnerDied => ("the process that ran it died", ErrorClass::OwnerDied),
        Cause::NeverStarted => {
            ("its claim was committed too late for its handler to start", ErrorClass::Released)
        }
    };
    let tx = &Tx::on(tx);
    for (run_id, then) in &found {
        let ending = Ending {
            run_id: *run_id,
            job_id: None,
            outcome: Outcome::Interrupted,
            output: None,
            error: Some(error),
            error_class: Some(class),
            deliver: Deliver::No,
            deliver_by: None,
            then,
            started_at: None,
            finished_at: now,
        };
        end_run(tx, &ending, now)?;
    }
    Ok(found.len())
}

/// The policy of the run's job; a run whose handler never started is simply run again.
fn then(row: &Row<'_>, cause: Cause, now: Timestamp) -> Result<Then> {
    let c = Columns::of("mainspring_runs", row)?;
    let cancelled: Option<Timestamp> = c.read("cancel_requested_at_ms")?;
    let policy: Option<OnInterrupt> = c.read("on_interrupt")?;
    Ok(match (cause, policy) {
        _ if cancelled.is_some() => Then::Finish,
        // Under `Verify` that attempt asks its handler first.
        (Cause::NeverStarted, Some(_)) | (_, Some(OnInterrupt::Rerun | OnInterrupt::Verify)) => {
            Then::Again(now)
        }
        (_, Some(OnInterrupt::AssumeRan) | None) => Then::Finish,
    })
}

fn deliveries(tx: &Connection, owner: OwnerId, now: Timestamp) -> Result<usize> {
    let mut found = Vec::new();
    {
        let mut statement = tx.prepare_cached(DELIVERIES)?;
        let mut rows =
            statement.query(named_params! { ":owner_id": owner, ":batch": RECOVERY_BATCH as i64 })?;
        while let Some(row) = rows.next()? {
            found.push(left_delivery(row)?);
        }
    }
    for (run_id, delivery, error) in &found {
        let pending = *delivery == Delivery::Pending;
        tx.prepare_cached(SETTLE_DELIVERY)?.execute(named_params! {
            ":run_id": run_id,
            ":owner_id": owner,
            ":delivery": delivery,
            ":next_delivery_at_ms": pending.then_some(now),
            ":settled_at_ms": (!pending).then_some(now),
            ":error": error,
        })?;
    }
    Ok(found.len())
}

fn left_delivery(row: &Row<'_>) -> Result<(RunId, Delivery, Option<&'static str>)> {
    let c = Columns::of("mainspring_completions", row)?;
    let delivery: Delivery = c.read("delivery")?;
    let policy: Option<OnUnknownDelivery> = c.read("on_unknown_delivery")?;
    let attempts = c.clamped_count("delivery_attempts")?;
    // Policies that cannot be read keep nobody from settling what is left: the defaults stand for them.
    let policies: Option<String> = c.read("policies").unwrap_or_default();
    let limit =
        policies.and_then(|text| Policies::from_json(&text).ok()).unwrap_or_default().max_delivery_attempts;
    let (delivery, error) = match (delivery, policy) {
        (Delivery::Started, Some(OnUnknownDelivery::Resend)) if attempts < limit => {
            (Delivery::Pending, Some("the process died while it delivered: sent again under the same key"))
        }
        (Delivery::Started, _) => (
            Delivery::Unknown,
            Some("the process died while it delivered: look whether it arrived, then redeliver"),
        ),
        (other, _) => (other, None),
    };
    Ok((RunId(c.id()), delivery, error))
}

const HAS_WORK: &str = "
SELECT 1
FROM mainspring_runs INDEXED BY mainspring_runs_open
WHERE owner_id = :owner_id AND ended_at_ms IS NULL
UNION ALL
SELECT 1
FROM mainspring_completions INDEXED BY mainspring_completions_owned
WHERE delivery_owner_id = :owner_id AND delivery IN ('pending', 'started')
LIMIT 1";

/// Whether the owner has open runs or deliveries in its hands.
pub(crate) fn has_work(tx: &Connection, owner: OwnerId) -> Result<bool> {
    Ok(tx
        .prepare_cached(HAS_WORK)?
        .query_row(named_params! { ":owner_id": owner }, |_| Ok(()))
        .optional()?
        .is_some())
}
