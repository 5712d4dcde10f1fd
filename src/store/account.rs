//! Account: which occurrences of a job have neither a run nor a row in the ledger of misses. There should be none.

use rusqlite::{Connection, named_params};

use super::insert::calendar_of;
use super::read::require_job;
use crate::error::{Error, Result};
use crate::job::JobId;
use crate::plan;
use crate::schedule::ScheduleKind;
use crate::time::Timestamp;

/// At most so many occurrences are looked at in one call.
pub(crate) const MOST_ACCOUNTED: usize = 100_000;

const IS_ON_RECORD: &str = "
SELECT
    EXISTS (
        SELECT 1
        FROM mainspring_runs
        WHERE job_id = :job_id AND scheduled_for_ms = :at_ms AND request_id IS NULL)
    OR EXISTS (
        SELECT 1
        FROM mainspring_misses
        WHERE job_id = :job_id AND from_ms <= :at_ms AND to_ms >= :at_ms)";

/// The occurrences of the job's present schedule between `from` and `to`, both included, that are neither run, nor
/// missed on record, nor still ahead.
pub(crate) fn unaccounted(
    conn: &Connection,
    id: JobId,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Timestamp>> {
    let job = require_job(conn, id)?;
    if !matches!(job.schedule.kind(), ScheduleKind::Every | ScheduleKind::Cron) {
        // A one-shot is its own row; a delay after each run names its occurrence only when that run ends.
        return Ok(Vec::new());
    }
    let calendar = calendar_of(conn, &job.schedule)?;
    let position = job.position(calendar.as_ref());
    // The schedule has no past before it took effect, and what is pending is still ahead.
    let from = from.max(Timestamp::from_millis(job.schedule_activated_at.millis().saturating_add(1)));
    let to = match job.position_ahead(calendar.as_ref()).scheduled_for {
        Some(pending) => to.min(Timestamp::from_millis(pending.millis() - 1)),
        // Its runs are used up: it has no occurrence after the last of them.
        None if position.is_used_up(0) => to.min(job.last_scheduled_for.unwrap_or(to)),
        // It was cancelled or has expired, maybe while a run went on.
        None if job.schedule.end().is_none() => {
            let told = job.updated_at.max(job.last_scheduled_for.unwrap_or(from));
            to.min(job.finished_at.map_or(told, |finished| finished.min(told)))
        }
        // Nothing is left to come: its schedule has ended.
        None => to.min(job.finished_at.or(job.last_scheduled_for).unwrap_or(to)),
    };
    let occurrences = plan::backfill(&position, from, to, MOST_ACCOUNTED + 1);
    if occurrences.len() > MOST_ACCOUNTED {
        let why = format!("holds more than {MOST_ACCOUNTED} occurrences: ask for it in parts");
        return Err(Error::invalid("range", why));
    }
    let mut statement = conn.prepare_cached(IS_ON_RECORD)?;
    let mut missing = Vec::new();
    for at in occurrences {
        let on_record: bool =
            statement.query_row(named_params! { ":job_id": id, ":at_ms": at }, |row| row.get(0))?;
        if !on_record {
            missing.push(at);
        }
    }
    Ok(missing)
}
