//! Replace all: a declared set of schedules converges, those that are no longer declared go.

use std::collections::HashSet;

use rusqlite::{Connection, named_params};

use super::Tx;
use super::cancel::remove;
use super::events::{added, recorded};
use super::schedule::{by_name, schedule};
use crate::error::{Error, Result};
use crate::job::{JobId, JobSpec, Scheduled};
use crate::run::RunId;
use crate::time::Timestamp;

const DECLARED: &str = "
SELECT id, name
FROM mainspring_jobs INDEXED BY mainspring_jobs_name
WHERE name IS NOT NULL AND declared_by = :label";

const ADOPT: &str = "
UPDATE mainspring_jobs
SET declared_by = :label
WHERE id = :id AND declared_by IS NOT :label";

/// What converging a set came to, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Converged {
    pub(crate) created: Vec<String>,
    pub(crate) changed: Vec<String>,
    pub(crate) unchanged: Vec<String>,
    pub(crate) removed: Vec<String>,
    /// Open runs of removed jobs, which were asked to stop.
    pub(crate) stopping: Vec<RunId>,
}

/// Declares every job of the set under the label and removes the label's other jobs, in one transaction.
pub(crate) fn replace_all(tx: &Tx<'_>, label: &str, specs: &[JobSpec], now: Timestamp) -> Result<Converged> {
    let mut converged = Converged::default();
    let mut declared = HashSet::new();
    for spec in specs {
        let name = spec.name.clone().unwrap_or_default();
        if !declared.insert(name.clone()) {
            return Err(Error::invalid("name", format!("{name:?} is declared twice in one set")));
        }
        if let Some(stored) = by_name(tx, &name)?
            && let Some(other) = stored.declared_by.filter(|other| other != label)
        {
            return Err(Error::invalid(
                "name",
                format!("{name:?} is declared by {other:?}: choose another name"),
            ));
        }
        let scheduled = schedule(tx, spec, now)?;
        let id = scheduled.id();
        recorded(tx, Some(id), now, || {
            Ok(tx.prepare_cached(ADOPT)?.execute(named_params! { ":id": id, ":label": label })?)
        })?;
        match scheduled {
            Scheduled::Created(_) => {
                added(tx, id, now)?;
                converged.created.push(name);
            }
            Scheduled::Changed(_) => converged.changed.push(name),
            Scheduled::Unchanged(_) => converged.unchanged.push(name),
        }
    }
    for (id, name) in of_label(tx, label)? {
        if !declared.contains(&name) {
            converged.stopping.extend(remove(tx, id, now)?.stopping);
            converged.removed.push(name);
        }
    }
    Ok(converged)
}

fn of_label(tx: &Connection, label: &str) -> Result<Vec<(JobId, String)>> {
    let mut statement = tx.prepare_cached(DECLARED)?;
    let found = statement
        .query_map(named_params! { ":label": label }, |row| Ok((row.get("id")?, row.get("name")?)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(found)
}
