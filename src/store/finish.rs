//! Finish: the end that nearly all runs have. A job of one instant has succeeded, nothing is to be delivered, and
//! nothing comes of it any more, so that its row need not be read.

use super::Tx;
use super::ending::Ending;
use super::parameters::bind;
use crate::error::Result;
use crate::exchange::{Deliver, Then};
use crate::job::JobId;
use crate::run::Outcome;
use crate::sabotage::{Bug, on};
use crate::time::Timestamp;

// Whatever the end of a run may change besides is asked for here: a job of which it would change is settled the long
// way, to the same end.
const FINISH: &str = "
UPDATE mainspring_jobs
SET open_runs = 0,
    running_at_ms = NULL,
    running_run_id = NULL,
    last_outcome = 'succeeded',
    finished_at_ms = :now_ms
WHERE id = :id
    AND running_run_id = :run_id
    AND open_runs = 1
    AND schedule_kind = 'at'
    AND scheduled_for_ms IS NULL
    AND next_run_at_ms IS NULL
    AND ready = 0
    AND requests = 0
    AND superseded_at_ms IS NULL
    AND failures_in_a_row = 0
    AND interruptions_in_a_row = 0";

const COMPLETE: &str = "
INSERT INTO mainspring_completions (run_id, outcome, finished_at_ms, output)
VALUES (:run_id, 'succeeded', :finished_at_ms, :output)";

/// Whether a run may end in this way, as far as the run itself tells.
pub(super) fn may_be_all(ending: &Ending<'_>) -> bool {
    ending.outcome == Outcome::Succeeded
        && ending.deliver == Deliver::No
        && *ending.then == Then::Finish
        && ending.deliver_by.is_none()
        && ending.error.is_none()
        && ending.error_class.is_none()
        && !on(Bug::SplitCompletion)
}

/// Writes the completion of a run that was ended, and that its job is finished; nothing if that is not all.
pub(super) fn finish(tx: &Tx<'_>, ending: &Ending<'_>, job_id: JobId, now: Timestamp) -> Result<bool> {
    let finished = tx.with(FINISH, |statement| {
        bind!(statement, FINISH, { ":id": job_id, ":run_id": ending.run_id, ":now_ms": now });
        Ok(statement.raw_execute()? == 1)
    })?;
    if finished {
        tx.with(COMPLETE, |statement| {
            bind!(statement, COMPLETE, {
                ":run_id": ending.run_id,
                ":finished_at_ms": ending.finished_at,
                ":output": ending.output,
            });
            Ok(statement.raw_execute()?)
        })?;
    }
    Ok(finished)
}
