//! Wake: when a job is claimed next, its own run or one that was asked for besides, whichever comes first.

use rusqlite::{Connection, named_params};

use crate::error::Result;
use crate::job::JobId;
use crate::time::Timestamp;

const FIRST_REQUEST: &str = "
SELECT min(run_at_ms) AS run_at_ms
FROM mainspring_requests INDEXED BY mainspring_requests_of_job
WHERE job_id = :job_id";

/// No job can have an earlier next time: what somebody wrote into another column by hand is due, and no error.
const FIRST_INSTANT: Timestamp = Timestamp::from_millis(1);

/// The next time of a job with so many requests whose own next run is at `own`. A job that is held back has requests
/// only: for it, `own` is `None`.
pub(super) fn wake_at(
    tx: &Connection,
    job: JobId,
    requests: u32,
    own: Option<Timestamp>,
) -> Result<Option<Timestamp>> {
    if requests == 0 {
        return Ok(own);
    }
    let first: Option<Timestamp> = tx
        .prepare_cached(FIRST_REQUEST)?
        .query_row(named_params! { ":job_id": job }, |row| row.get("run_at_ms"))?;
    Ok(first.into_iter().chain(own).min().map(|at| at.max(FIRST_INSTANT)))
}
