//! Each so many steps, and at the end: what can only be seen by looking at everything.

use crate::Found;
use crate::rows::{self, JobRow};
use crate::world::World;

impl World {
    pub(crate) fn audit(&mut self) -> Found<()> {
        let jobs = rows::jobs(&self.observer)?;
        self.audit_jobs(&jobs)?;
        self.accounts(&jobs)?;
        self.audit_outcomes()?;
        let Some(slot) = self.awake().first().copied() else { return Ok(()) };
        let findings =
            self.life(slot)?.process.queue().blocking().doctor().map_err(|error| error.to_string())?;
        match findings.first() {
            Some(finding) => Err(format!("doctor: {finding}")),
            None => Ok(()),
        }
    }

    fn audit_jobs(&mut self, jobs: &[JobRow]) -> Found<()> {
        let there: std::collections::BTreeSet<i64> = jobs.iter().map(|job| job.id).collect();
        for (id, fact) in &self.ledger.jobs {
            if fact.acknowledged && !fact.may_be_gone && !fact.pruned && !there.contains(id) {
                return Err(format!("job {id} was acknowledged and is gone"));
            }
            if fact.removed && there.contains(id) {
                return Err(format!("job {id} was removed and is there"));
            }
        }
        Ok(())
    }

    /// An outcome that is on record never changes, and nobody but a handler makes a success.
    fn audit_outcomes(&mut self) -> Found<()> {
        let mut statement = self
            .observer
            .prepare_cached("SELECT run_id, outcome, error_class FROM mainspring_completions ORDER BY run_id")
            .map_err(|error| error.to_string())?;
        let mut found = statement.query([]).map_err(|error| error.to_string())?;
        while let Some(row) = found.next().map_err(|error| error.to_string())? {
            let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<(i64, String, Option<String>)> {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            };
            let (run, outcome, class) = read(row).map_err(|error| error.to_string())?;
            let known = self.ledger.runs.get(&run).and_then(|fact| fact.end.as_ref());
            if known.is_none_or(|end| end.outcome != outcome || end.class != class) {
                return Err(format!("run {run} stands on record as {outcome}, it was {known:?}"));
            }
        }
        Ok(())
    }
}
