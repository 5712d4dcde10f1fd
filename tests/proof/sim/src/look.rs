//! After each step: what is new in the file, and whether it may be.

use std::collections::BTreeSet;

use mainspring::Policies;

use crate::Found;
use crate::grid::Grid;
use crate::ledger::{End, Errand, RunFact};
use crate::rows::{self, ClaimRow, EndRow, JobRow};
use crate::world::World;

impl World {
    /// Looks at what the last step wrote; `slot` took it.
    pub(crate) fn look(&mut self, slot: Option<usize>) -> Found<()> {
        let version = rows::number(&self.observer, "PRAGMA data_version", [])?;
        let version = version.unwrap_or_default();
        if std::mem::replace(&mut self.data_version, version) == version {
            return Ok(());
        }
        self.watch()?;
        self.new_to_claims.clear();
        self.look_at_ends()?;
        self.look_at_deliveries()?;
        self.look_at_claims(slot)
    }

    fn look_at_ends(&mut self) -> Found<()> {
        if self.ledger.open.is_empty() {
            return Ok(());
        }
        let open: BTreeSet<i64> = rows::open_runs(&self.observer)?.into_iter().collect();
        let mut ended = Vec::new();
        for run in self.ledger.open.iter().copied().filter(|run| !open.contains(run)) {
            let Some(row) = rows::end_of(&self.observer, run)? else {
                return Err(format!("run {run} has ended and has no completion"));
            };
            ended.push((row.class.as_deref() == Some("owner_died"), run, row));
        }
        // A step does what it was asked for, and then recovers what the dead have left.
        ended.sort_by_key(|(died, run, _)| (*died, *run));
        ended.into_iter().try_for_each(|(_, run, row)| self.look_at_end(run, row))
    }

    fn look_at_end(&mut self, run: i64, row: EndRow) -> Found<()> {
        let job = rows::job(&self.observer, self.ledger.runs[&run].job)?;
        let assumes = job.as_ref().is_none_or(|job| job.on_interrupt == "assume_ran");
        let end = End { outcome: row.outcome, class: row.class, output: row.output };
        self.count_end(&end);
        self.note(run);
        self.note(end.outcome.len() as i64);
        self.tell(|_| format!("run {run} ends: {} {}", end.outcome, end.class.as_deref().unwrap_or("")));
        let died = end.class.as_deref() == Some("owner_died");
        if died {
            self.new_to_claims.extend(job.as_ref().map(|job| job.id));
        }
        self.ledger.ended(run, end, assumes)?;
        if matches!(row.delivery.as_str(), "pending" | "started") {
            self.ledger.unsettled.insert(run);
        }
        match job {
            Some(job) if died && self.ledger.job(job.id).deaths_in_a_row >= 3 && job.parked.is_none() => {
                Err(format!("job {} was interrupted three times in a row and is not parked", job.id))
            }
            _ => Ok(()),
        }
    }

    fn count_end(&mut self, end: &End) {
        self.counts.add(match (end.outcome.as_str(), end.class.as_deref()) {
            ("succeeded", _) => "successes",
            ("failed", _) => "failures",
            ("timed_out", _) => "timeouts",
            ("cancelled", _) => "cancelled runs",
            ("skipped", _) => "snoozes",
            ("interrupted", Some("owner_died")) => "recoveries",
            ("interrupted", Some("released")) => "releases",
            _ => "other interruptions",
        });
    }

    fn look_at_deliveries(&mut self) -> Found<()> {
        if self.ledger.unsettled.is_empty() {
            return Ok(());
        }
        let undelivered = rows::undelivered(&self.observer)?;
        let others = self.ledger.unsettled.iter().copied().filter(|run| !undelivered.contains(run));
        for run in others.collect::<Vec<_>>() {
            let Some(row) = rows::end_of(&self.observer, run)? else {
                return Err(format!("run {run} is gone, and its output was not settled"));
            };
            if matches!(row.delivery.as_str(), "pending" | "started") {
                continue;
            }
            self.ledger.unsettled.remove(&run);
            self.note(run);
            let post = &mut self.ledger.runs.get_mut(&run).ok_or("no such run")?.post;
            if row.delivery == "delivered" {
                if !post.taken {
                    return Err(format!(
                        "the output of run {run} is on record as delivered, and nobody has it"
                    ));
                }
                post.settled = true;
            }
            self.counts.add(match row.delivery.as_str() {
                "delivered" => "deliveries",
                "unknown" => "unknown deliveries",
                "suppressed" => "suppressed deliveries",
                _ => "failed deliveries",
            });
        }
        Ok(())
    }

    fn look_at_claims(&mut self, slot: Option<usize>) -> Found<()> {
        let claims = rows::claims_after(&self.observer, self.ledger.last_run)?;
        for claim in &claims {
            self.look_at_claim(claim)?;
        }
        if let (Some(slot), false) = (slot, claims.is_empty()) {
            self.look_at_priorities(slot, &claims)?;
        }
        Ok(())
    }

    fn look_at_claim(&mut self, claim: &ClaimRow) -> Found<()> {
        let id = claim.id;
        let job = rows::job(&self.observer, claim.job)?.ok_or_else(|| format!("run {id} has no job"))?;
        let asked_for = matches!(claim.trigger.as_str(), "manual" | "backfill");
        let held_back = self.held_back(&job, asked_for);
        let policies = Policies::from_json(&job.policies)?;
        self.note(id);
        self.note(claim.occurrence);
        self.tell(|_| {
            format!(
                "run {id} of job {} ({} {}), occurrence {}, attempt {}, {}, owner {}",
                job.id,
                job.name.as_deref().unwrap_or("-"),
                job.schedule_text.as_deref().unwrap_or(&job.schedule_kind),
                mainspring::Timestamp::from_millis(claim.occurrence),
                claim.attempt,
                claim.trigger,
                claim.owner
            )
        });
        let run = RunFact {
            job: claim.job,
            errand: claim.request.map_or(Errand::Occurrence(claim.occurrence), Errand::Request),
            attempt: claim.attempt,
            owner: claim.owner,
            backfill: claim.trigger == "backfill",
            called: false,
            reported: Vec::new(),
            max_attempts: policies.max_attempts,
            assumed: job.on_interrupt == "assume_ran",
            end: None,
            post: Default::default(),
        };
        self.counts.add(match claim.trigger.as_str() {
            "manual" => "runs by hand",
            "backfill" => "backfilled runs",
            "catch_up" => "caught-up runs",
            "retry" => "retries",
            _ => "scheduled runs",
        });
        self.forget_what_comes_again(claim, run.errand)?;
        self.ledger.claimed(id, run, held_back)?;
        if self.ledger.open_of(job.id) > job.max_open_runs {
            return Err(format!("run {id}: more runs of job {} are open than may be", job.id));
        }
        if asked_for || claim.attempt > 1 { Ok(()) } else { self.look_at_occurrence(claim, &job) }
    }

    /// A run of the wrong time that was pruned is known to nobody when its occurrence comes again: it is a new one. As
    /// long as one of its runs is on record, it is not.
    fn forget_what_comes_again(&mut self, claim: &ClaimRow, errand: Errand) -> Found<()> {
        let key = (claim.job, errand);
        let comes_again = self.ledger.errands.get(&key).is_some_and(|progress| progress.comes_again);
        if claim.attempt > 1 || !comes_again {
            return Ok(());
        }
        let before = rows::number(
            &self.observer,
            "SELECT count(*) FROM mainspring_runs
             WHERE job_id = ?1 AND scheduled_for_ms = ?2 AND request_id IS NULL AND id < ?3",
            [claim.job, claim.occurrence, claim.id],
        )?;
        if before == Some(0) {
            self.ledger.errands.remove(&key);
            self.counts.add("occurrences that were forgotten and came again");
        }
        Ok(())
    }

    fn held_back(&self, job: &JobRow, asked_for: bool) -> Option<&'static str> {
        let fact = self.ledger.jobs.get(&job.id);
        if self.ledger.paused_queues.contains(job.queue.as_str()) {
            return Some("in a queue that is paused");
        }
        if asked_for {
            return None;
        }
        if !job.enabled {
            return Some("disabled");
        }
        fact.is_some_and(|fact| fact.paused).then_some("paused")
    }

    fn look_at_occurrence(&self, claim: &ClaimRow, job: &JobRow) -> Found<()> {
        let (id, at) = (claim.id, claim.occurrence);
        if at > self.now() {
            return Err(format!("run {id} of job {} is early: its occurrence is {at}", job.id));
        }
        let grid = Grid::of(&job.schedule_kind, job.schedule_text.as_deref(), job.every, job.anchor);
        if grid.as_ref().is_some_and(|grid| !grid.names(at)) {
            return Err(format!("run {id}: the schedule of job {} does not name {at}", job.id));
        }
        if grid.is_some() && at <= job.activated {
            return Err(format!("run {id}: occurrence {at} was before job {} took effect", job.id));
        }
        if job.expires.is_some_and(|expires| expires <= self.now()) {
            return Err(format!("run {id}: job {} has expired", job.id));
        }
        Ok(())
    }

    /// Jobs whose claim met an occurrence that had run before, by a clock that was ahead or since somebody had asked for
    /// it: they have gone on to the one after it, which has its turn with the next claim.
    fn moved_on(&self) -> Found<Vec<i64>> {
        if self.next_before.is_empty() {
            return Ok(Vec::new());
        }
        let met_one = |id: &i64, was: i64, at: i64| {
            let of_job = self.ledger.occurrences.get(id);
            was < at && of_job.is_some_and(|of_job| of_job.run.range(was..at).next().is_some())
        };
        let next = rows::due(&self.observer, self.now())?;
        let moved = |(id, at): &&(i64, i64)| {
            self.next_before.iter().any(|(before, was)| before == id && met_one(id, *was, *at))
        };
        Ok(next.iter().filter(moved).map(|(id, _)| *id).collect())
    }

    /// Nothing of a higher priority that this process could have claimed was left behind a lower one.
    fn look_at_priorities(&mut self, slot: usize, claims: &[ClaimRow]) -> Found<()> {
        let Some(life) = &self.lives[slot] else { return Ok(()) };
        let foreign = life.kinds.len() == 1;
        let mut not_asked = self.new_to_claims.clone();
        not_asked.extend(self.moved_on()?);
        let not_asked = format!("{not_asked:?}");
        for claim in claims {
            let passed_over = rows::number(
                &self.observer,
                "SELECT id FROM mainspring_jobs AS other
                 WHERE queue = ?1 AND claimable = 1 AND next_run_at_ms <= ?2 AND requests = 0
                   AND priority > (SELECT priority FROM mainspring_jobs WHERE id = ?3)
                   AND (kind = 'work' OR NOT ?4)
                   AND NOT EXISTS (SELECT 1 FROM mainspring_runs WHERE id > ?5 AND job_id = other.id)
                   AND id NOT IN (SELECT value FROM json_each(?6))
                 LIMIT 1",
                rusqlite::params![claim.queue, self.now(), claim.job, foreign, claims[0].id - 1, not_asked],
            )?;
            if let Some(other) = passed_over {
                return Err(format!("run {} of job {} was claimed before job {other}", claim.id, claim.job));
            }
        }
        Ok(())
    }
}
