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
        let fact = self.ledger.job(job.id);
        let (known, earlier, earlier_runs) = (fact.accounted, fact.earlier_misses, fact.earlier_runs);
        let cancelled = fact.cancelled_at.unwrap_or(i64::MAX);
        let from = job.activated.max(known).max(self.accounted_from);
        let misses = rows::misses(&self.observer, job.id, from)?;
        let none = Default::default();
        let seen = self.ledger.occurrences.get(&job.id).unwrap_or(&none);
        let now = self.now();
        let until = match job.ahead {
            _ if closed => now,
            Some(ahead) => now.min(ahead - 1),
            // The end of all is known by what is on record of it: by the last claim, and not by the latest occurrence,
            // for which a clock may have been ahead. Nor is it what an earlier schedule left there, or what had been
            // claimed by a clock that was ahead when somebody cancelled the job.
            None => {
                let runs = seen.run.range(..=now).filter(|(at, _)| !seen.backfilled.contains(at));
                let last = runs.max_by_key(|(_, run)| **run).filter(|(_, run)| **run > earlier_runs);
                let run = last.map(|(at, _)| *at);
                let missed = misses.iter().filter(|miss| miss.id > earlier && miss.to <= now);
                let missed = missed.map(|miss| miss.to).max();
                now.min(cancelled).min(run.max(missed).unwrap_or(from))
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
            let on_record: Vec<_> = on_record.collect();
            let reasons: Vec<&str> =
                on_record.iter().filter(|miss| miss.id > earlier).map(|miss| miss.reason.as_str()).collect();
            let (run, asked_for) = (seen.run.contains_key(&at), seen.backfilled.contains(&at));
            let what = || format!("occurrence {} of job {}", mainspring::Timestamp::from_millis(at), job.id);
            match reasons.as_slice() {
                [] if !run && on_record.is_empty() => {
                    return Err(format!("{} is neither run, nor missed, nor ahead", what()));
                }
                [_] if run && !asked_for && !self.was_pruned(job.id, at)? => {
                    return Err(format!("{} was run and is on record as missed: {reasons:?}", what()));
                }
                [] | [_] => {}
                _ => return Err(format!("{} is on record as missed {reasons:?}", what())),
            }
        }
        if !closed {
            self.ledger.job(job.id).accounted = until.max(known);
        }
        Ok(())
    }

    /// Whether the runs of an occurrence are gone that were there. A clock that was set back lets runs end, and be old
    /// enough to be pruned, whose occurrences lie ahead: then nothing tells that those were run.
    fn was_pruned(&self, job: i64, at: i64) -> Found<bool> {
        let runs = "SELECT count(*) FROM mainspring_runs
                    WHERE job_id = ?1 AND scheduled_for_ms = ?2 AND request_id IS NULL";
        Ok(at <= self.whole_from && rows::number(&self.observer, runs, [job, at])? == Some(0))
    }

    /// The accounts of all jobs, and whether the library says the same.
    pub(crate) fn accounts(&mut self, jobs: &[JobRow]) -> Found<()> {
        for job in jobs {
            self.account(job, false)?;
        }
        let Some(slot) = self.awake().first().copied() else { return Ok(()) };
        let now = mainspring::Timestamp::from_millis(self.now());
        // When a schedule was ended by hand is nowhere on record if its job has been described anew since.
        for job in jobs.iter().filter(|job| job.name.is_some() && job.ahead.is_some()) {
            let from = mainspring::Timestamp::from_millis(self.whole_from.max(self.now() - 6 * 3_600_000));
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
        self.ledger.mark_what_comes_again(now);
    }
}
