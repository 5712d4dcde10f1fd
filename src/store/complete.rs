//! Complete: record how a run ended, unless it was ended by somebody else before.

use rusqlite::named_params;

use super::Tx;
use super::ending::{Ending, end_run};
use super::sabotage;
use crate::error::Result;
use crate::exchange::{Complete, Completed};
use crate::sabotage::{Bug, on};
use crate::time::Timestamp;

const KEEP_LATE_RESULT: &str = "
INSERT INTO mainspring_late_results (run_id, arrived_at_ms, outcome, output, error)
VALUES (:run_id, :now_ms, :outcome, :output, :error)";

/// What became of a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// It is the outcome.
    Outcome(Completed),
    /// The run had been ended by somebody else; the result was kept as a fact, not as the outcome.
    Late,
}

/// Writes the completion with its delivery intent, frees the job and plans what comes next.
pub(crate) fn complete(tx: &Tx<'_>, fact: &Complete, now: Timestamp) -> Result<Recorded> {
    let ending = Ending {
        run_id: fact.run_id,
        job_id: Some(fact.job_id),
        outcome: fact.outcome,
        output: fact.output.as_deref(),
        error: fact.error.as_deref(),
        error_class: fact.error_class,
        deliver: fact.deliver,
        deliver_by: fact.deliver_by,
        then: &fact.then,
        started_at: Some(fact.started_at),
        finished_at: fact.finished_at,
    };
    match end_run(tx, &ending, now)? {
        Some(ended) => {
            Ok(Recorded::Outcome(Completed { delivery: ended.delivery, next_run_at: ended.next_run_at }))
        }
        None if on(Bug::NoFence) => Ok(Recorded::Outcome(sabotage::overwrite(tx, fact)?)),
        None => {
            tx.prepare_cached(KEEP_LATE_RESULT)?.execute(named_params! {
                ":run_id": fact.run_id,
                ":now_ms": now,
                ":outcome": fact.outcome,
                ":output": fact.output,
                ":error": fact.error,
            })?;
            Ok(Recorded::Late)
        }
    }
}
