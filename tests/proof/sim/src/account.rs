//! The accounts: every occurrence of every schedule up to now is run, on record as missed, or ahead; one of the three.

use crate::Found;
use crate::grid::Grid;
use crate::rows::{self, JobRow};
use crate::world::World;

/// So many occurrences are looked at in one look.
const MOST: i64 = 50_000;

impl World {
    /// The account of one job. `closed`: its schedule was to end by now, so that nothing is ahead.
    pub(crate) fn account(&mut self, job: &JobRow, closed: bool) -> Found<()> {
        let Some(grid) = Grid::of(&job.schedule_kind, job.schedule_text.as_deref(), job.every, job.anchor)
        else {
            return Ok(());
        };
        let known = self.ledger.job(job.id).accounted;
        let from = job.activated.max(known).max(self.accounted_from);
        let misses = rows::misses(&self.observer, job.id, from)?;
        let none = Default::default();
        let seen = self.ledger.occurrences.get(&job.id).unwrap_or(&none);
        let now = self.now();
        let until = match job.ahead {
            _ if closed => now,
            Some(ahead) => now.min(ahead - 1),
            // The end of all is known by what is on record of it.
            None => {
                let run = seen.run.range(..=now).next_back().copied();
                let missed = misses.iter().map(|miss| miss.to).filter(|to| *to <= now).max();
                now.min(run.max(missed).unwrap_or(from))
            }
        };
        let occurrences = grid.between(from.max(until - MOST * 1_000), until);
        let mut last = 0;
        for at in occurrences {
            while misses.get(last).is_some_and(|miss| miss.to < at) {
                last += 1;
            }
            let on_record =
                misses[last..].iter().take_while(|miss| miss.from <= at).filter(|miss| miss.to >= at);
            let reasons: Vec<&str> = on_record.map(|miss| miss.reason.as_str()).collect();
            let run = seen.run.contains(&at) && !seen.backfilled.contains(&at);
            let what = || format!("occurrence {} of job {}", mainspring::Timestamp::from_millis(at), job.id);
            match (reasons.len(), run, seen.backfilled.contains(&at)) {
                (0, false, false) => return Err(format!("{} is neither run, nor missed, nor ahead", what())),
                (0, true, _) | (0 | 1, _, true) | (1, false, false) => {}
                (1, true, false) => {
                    return Err(format!("{} was run and is on record as missed: {reasons:?}", what()));
                }
                _ => return Err(format!("{} is on record as missed {reasons:?}", what())),
            }
        }
        if !closed {
            self.ledger.job(job.id).accounted = until.max(known);
        }
        Ok(())
    }

    /// The accounts of all jobs, and whether the library says the same.
    pub(crate) fn accounts(&mut self, jobs: &[JobRow]) -> Found<()> {
        for job in jobs {
            self.account(job, false)?;
        }
        let Some(slot) = self.awake().first().copied() else { return Ok(()) };
        let now = mainspring::Timestamp::from_millis(self.now());
        for job in jobs.iter().filter(|job| job.name.is_some()) {
            let from =
                mainspring::Timestamp::from_millis(self.accounted_from.max(self.now() - 6 * 3_600_000));
            let missing =
                self.life(slot)?.process.unaccounted(mainspring::JobId(job.id), from, now).map_err(
                    |error| format!("the occurrences of job {} cannot be accounted for: {error}", job.id),
                )?;
            if let Some(at) = missing.first() {
                return Err(format!("occurrence {at} of job {} is not accounted for", job.id));
            }
        }
        Ok(())
    }

    /// The wall clock was set back: what comes again is looked at again.
    pub(crate) fn account_again(&mut self) {
        let now = self.now();
        for job in self.ledger.jobs.values_mut() {
            job.accounted = job.accounted.min(now);
        }
    }
}
