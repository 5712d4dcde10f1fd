//! Events: who changed what. Triggers of the schema write them, in the transaction of the change, so that none is there
//! without the other after a crash, and changes that others make are on record too.
//!
//! A trigger knows no clock but the machine's, nor whose statement it is part of: what the library does is put on record
//! with [`recorded`]. What no trigger can see without being part of claims, ends of runs and bulk inserts is written
//! here: that a job was added, cancelled or reopened. So a job that somebody inserts, marks as finished or moves to
//! another time by hand leaves no event.

use rusqlite::{Connection, named_params};

use crate::error::Result;
use crate::event::EventKind;
use crate::job::JobId;
use crate::time::Timestamp;

const NEWEST: &str = "
SELECT coalesce(max(id), 0) AS id
FROM mainspring_events INDEXED BY mainspring_events_of_job
WHERE job_id IS :job_id";

const SIGN: &str = "
UPDATE mainspring_events INDEXED BY mainspring_events_of_job
SET at_ms = :now_ms, made_by = 'library'
WHERE job_id IS :job_id AND id > :newest";

const RECORD: &str = "
INSERT INTO mainspring_events (job_id, name, kind, queue, event, revision, at_ms, made_by)
SELECT id, name, kind, queue, :event, revision, :now_ms, 'library'
FROM mainspring_jobs
WHERE id = :job_id";

const FORGET_PARTS: &str = "
DELETE FROM mainspring_events INDEXED BY mainspring_events_of_job
WHERE job_id = :job_id";

/// Makes a change of a job, or of a queue where there is none. The events that it leaves are the library's, at `now`.
pub(super) fn recorded<T>(
    tx: &Connection,
    job: Option<JobId>,
    now: Timestamp,
    change: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let newest: i64 =
        tx.prepare_cached(NEWEST)?.query_row(named_params! { ":job_id": job }, |row| row.get("id"))?;
    let made = change()?;
    tx.prepare_cached(SIGN)?.execute(named_params! { ":job_id": job, ":newest": newest, ":now_ms": now })?;
    Ok(made)
}

/// Writes what no trigger can see.
pub(super) fn record(tx: &Connection, job: JobId, event: EventKind, now: Timestamp) -> Result<()> {
    tx.prepare_cached(RECORD)?.execute(named_params! { ":job_id": job, ":event": event, ":now_ms": now })?;
    Ok(())
}

/// Writes that a job was added. Its row was filled in parts, and what triggers said of these is no change.
pub(super) fn added(tx: &Connection, job: JobId, now: Timestamp) -> Result<()> {
    tx.prepare_cached(FORGET_PARTS)?.execute(named_params! { ":job_id": job })?;
    record(tx, job, EventKind::Added, now)
}
