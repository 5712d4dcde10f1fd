//! Enqueue: insert a job that runs once, or converge by its unique key.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::Tx;
use super::events::recorded;
use super::insert::{insert_job, insert_plain, once, replace_job};
use crate::error::{Error, Result};
use crate::job::{Enqueued, JobId, JobSpec, OnDuplicate};
use crate::time::Timestamp;

const HOLDER: &str = "
SELECT id, open_runs
FROM mainspring_jobs
WHERE kind = :kind AND unique_key = :unique_key AND unique_key IS NOT NULL AND finished_at_ms IS NULL";

/// Writes one job, unless an unfinished one holds its unique key; says which job the caller got.
pub(crate) fn enqueue(tx: &Tx<'_>, spec: &JobSpec, now: Timestamp) -> Result<Enqueued> {
    let Some(unique) = &spec.unique else {
        return insert_job(tx, spec, now).map(Enqueued::Created);
    };
    // The write lock is held: nobody takes the key between this look and the insert, and the index would refuse it.
    match holder(tx, spec.kind, &unique.key)? {
        None => insert_job(tx, spec, now).map(Enqueued::Created),
        Some((held_by, open_runs)) => match unique.on_duplicate {
            OnDuplicate::Keep => Ok(Enqueued::Existing(held_by)),
            OnDuplicate::Error => Err(Error::UniqueKeyHeld { key: unique.key.clone(), held_by }),
            OnDuplicate::Replace if open_runs > 0 => Err(Error::AlreadyRunning(held_by)),
            OnDuplicate::Replace => {
                recorded(tx, Some(held_by), now, || replace_job(tx, held_by, spec, now))?;
                Ok(Enqueued::Replaced(held_by))
            }
        },
    }
}

/// Writes many jobs; those that nothing has to be looked up for, several in one statement.
pub(crate) fn enqueue_many(tx: &Tx<'_>, specs: &[JobSpec], now: Timestamp) -> Result<Vec<Enqueued>> {
    let mut enqueued = Vec::with_capacity(specs.len());
    let mut rest = specs;
    while let Some((first, after)) = rest.split_first() {
        let plain: Vec<_> = rest.iter().map_while(|spec| Some((spec, plain(spec)?))).collect();
        if plain.is_empty() {
            enqueued.push(enqueue(tx, first, now)?);
            rest = after;
        } else {
            enqueued.extend(insert_plain(tx, &plain, now)?.into_iter().map(Enqueued::Created));
            rest = rest.get(plain.len()..).unwrap_or_default();
        }
    }
    Ok(enqueued)
}

/// When a job runs that has neither a name nor a schedule nor a unique key.
fn plain(spec: &JobSpec) -> Option<Timestamp> {
    once(spec).filter(|_| spec.unique.is_none())
}

/// The unfinished job that holds a unique key, and how many runs of it are open.
pub(super) fn holder(tx: &Connection, kind: &str, key: &str) -> Result<Option<(JobId, i64)>> {
    let mut statement = tx.prepare_cached(HOLDER)?;
    let found = statement
        .query_row(named_params! { ":kind": kind, ":unique_key": key }, |row| {
            Ok((row.get("id")?, row.get("open_runs")?))
        })
        .optional()?;
    Ok(found)
}
