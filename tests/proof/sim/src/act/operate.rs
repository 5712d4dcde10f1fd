//! What people do by hand: pause, resume, run now, retry, cancel, release, redeliver, remove, prune.

use mainspring::{Error, JobId, RunId, Timestamp};

use crate::Found;
use crate::dice::Dice;
use crate::kinds::QUEUES;
use crate::ledger::JobFact;
use crate::rows;
use crate::world::{Asked, World};

#[derive(Clone, Copy, Debug)]
enum Verb {
    Pause,
    Resume,
    RunNow,
    Backfill,
    Retry,
    Cancel,
    CancelRun,
    Release,
    Redeliver,
    Remove,
    Prune,
    PauseQueue,
    ResumeQueue,
}

const VERBS: &[(u32, Verb)] = &[
    (5, Verb::Pause),
    (12, Verb::Resume),
    (10, Verb::RunNow),
    (5, Verb::Backfill),
    (10, Verb::Retry),
    (3, Verb::Cancel),
    (6, Verb::CancelRun),
    (14, Verb::Release),
    (8, Verb::Redeliver),
    (2, Verb::Remove),
    (2, Verb::Prune),
    (1, Verb::PauseQueue),
    (3, Verb::ResumeQueue),
];

impl World {
    pub(super) fn operate(&mut self, slot: usize, dice: &mut Dice) -> Found<()> {
        match dice.weighted(VERBS) {
            Verb::CancelRun | Verb::Release => self.operate_on_run(slot, dice),
            Verb::Redeliver => self.redeliver(slot, dice),
            Verb::Prune => self.prune(slot, dice),
            Verb::PauseQueue => self.hold_queue(slot, true, dice),
            Verb::ResumeQueue => self.hold_queue(slot, false, dice),
            verb => self.operate_on_job(slot, verb, dice),
        }
    }

    fn operate_on_job(&mut self, slot: usize, verb: Verb, dice: &mut Dice) -> Found<()> {
        let jobs: Vec<i64> = rows::jobs(&self.observer)?.iter().map(|job| job.id).collect();
        let Some(job) = dice.pick_if_any(&jobs) else { return Ok(()) };
        let before = self.ledger.job(job).clone();
        self.tell(|_| format!("process {slot} is asked for {verb:?} of job {job}"));
        self.may(job, verb);
        let now = Timestamp::from_millis(self.now());
        let (process, id) = (&self.life(slot)?.process, JobId(job));
        let queue = process.queue().clone();
        let answered = match verb {
            Verb::Pause => {
                done(self.ask(slot, dice, async move { queue.pause(id, Some("by hand")).await })?)
            }
            Verb::Resume => done(self.ask(slot, dice, async move { queue.resume(id).await })?),
            Verb::RunNow => done(self.ask(slot, dice, async move { queue.run_now(id).await })?),
            Verb::Backfill => {
                let to = now.minus(std::time::Duration::from_millis(dice.ms(0, 600_000)));
                let from = to.minus(std::time::Duration::from_millis(dice.ms(0, 3_600_000)));
                done(self.ask(slot, dice, async move { queue.backfill(id, from, to).await })?)
            }
            Verb::Retry => done(self.ask(slot, dice, async move { queue.retry(id).await })?),
            Verb::Remove => {
                let remove = process.remove(id);
                done(self.ask(slot, dice, remove)?)
            }
            _ => {
                let cancel = process.cancel(id);
                done(self.ask(slot, dice, cancel)?)
            }
        };
        match answered {
            None => {}
            Some(Ok(())) => self.did(job, verb)?,
            Some(Err(why)) => {
                self.tell(|_| format!("refused: {why}"));
                *self.ledger.job(job) = JobFact { accounted: before.accounted, ..before };
            }
        }
        Ok(())
    }

    /// Pauses a job when there are no accidents any more.
    pub(crate) fn pause_at_the_end(&mut self, job: i64, dice: &mut Dice) -> Found<()> {
        let queue = self.life(0)?.process.queue().clone();
        match done(self.ask(0, dice, async move { queue.pause(JobId(job), None).await })?) {
            Some(Ok(())) => self.did(job, Verb::Pause),
            other => Err(format!("job {job} cannot be paused: {other:?}")),
        }
    }

    /// What is allowed as soon as somebody has asked for it, whether they hear of it or not.
    fn may(&mut self, job: i64, verb: Verb) {
        let now = self.now();
        let fact = self.ledger.job(job);
        match verb {
            Verb::Cancel => fact.cancelled_at = Some(now),
            Verb::Resume => (fact.paused, fact.deaths_in_a_row) = (false, 0),
            Verb::RunNow | Verb::Backfill => fact.cancelled = false,
            Verb::Retry => (fact.cancelled, fact.retried, fact.deaths_in_a_row) = (false, true, 0),
            Verb::Remove => fact.may_be_gone = true,
            _ => {}
        }
    }

    /// What is promised to those who were told that it is done.
    fn did(&mut self, job: i64, verb: Verb) -> Found<()> {
        let fact = self.ledger.job(job);
        self.counts.add(match verb {
            Verb::Pause => {
                fact.paused = true;
                "pauses"
            }
            Verb::Resume => "resumes",
            Verb::RunNow => "requests",
            Verb::Backfill => "backfills",
            Verb::Retry => "retries by hand",
            Verb::Remove => {
                fact.removed = true;
                "removals"
            }
            _ => {
                fact.cancelled = true;
                "cancels"
            }
        });
        Ok(())
    }

    fn operate_on_run(&mut self, slot: usize, dice: &mut Dice) -> Found<()> {
        let open: Vec<i64> = self.ledger.open.iter().copied().collect();
        let Some(run) = dice.pick_if_any(&open) else { return Ok(()) };
        if dice.chance(300) {
            self.tell(|_| format!("process {slot} is asked to cancel run {run}"));
            let cancel = self.life(slot)?.process.cancel_run(RunId(run));
            if let Asked::Answered(Ok(_)) = self.ask(slot, dice, cancel)? {
                self.counts.add("cancels of runs");
            }
            return Ok(());
        }
        let again = dice.chance(600);
        self.tell(|_| format!("process {slot} is asked to release run {run}, again: {again}"));
        let queue = self.life(slot)?.process.queue().clone();
        match self.ask(slot, dice, async move { queue.release(RunId(run), again).await })? {
            Asked::Answered(Ok(())) if self.ledger.open.contains(&run) => {
                Err(format!("run {run} was released and is open"))
            }
            Asked::Answered(Err(Error::ClaimLost(_))) => {
                Err(format!("run {run} is open and cannot be released"))
            }
            _ => Ok(()),
        }
    }

    fn redeliver(&mut self, slot: usize, dice: &mut Dice) -> Found<()> {
        let doubtful = |post: &crate::ledger::Post| post.in_doubt || post.sent > 0 && !post.settled;
        let runs: Vec<i64> = self
            .ledger
            .runs
            .iter()
            .rev()
            .filter(|(run, fact)| doubtful(&fact.post) || (**run % 7 == 0 && fact.end.is_some()))
            .map(|(run, _)| *run)
            .take(8)
            .collect();
        let Some(run) = dice.pick_if_any(&runs) else { return Ok(()) };
        let before = self.ledger.runs[&run].post.clone();
        self.tell(|_| format!("process {slot} is asked to redeliver run {run}"));
        let fact = self.ledger.runs.get_mut(&run).ok_or("no such run")?;
        fact.post.in_doubt = false;
        let queue = self.life(slot)?.process.queue().clone();
        match self.ask(slot, dice, async move { queue.redeliver(RunId(run)).await })? {
            Asked::Answered(Ok(())) if before.settled => {
                Err(format!("the output of run {run} was delivered and is to be sent again"))
            }
            Asked::Answered(Ok(())) => {
                self.ledger.unsettled.insert(run);
                self.counts.add("redeliveries");
                Ok(())
            }
            Asked::Answered(Err(_)) => {
                self.ledger.runs.get_mut(&run).ok_or("no such run")?.post = before;
                Ok(())
            }
            // It may have been done, or not, or been refused of a run that was pruned.
            Asked::Died => {
                if rows::end_of(&self.observer, run)?.is_some_and(|row| row.delivery == "pending") {
                    self.ledger.unsettled.insert(run);
                }
                Ok(())
            }
        }
    }

    fn prune(&mut self, slot: usize, dice: &mut Dice) -> Found<()> {
        let since = self.now() - i64::try_from(dice.ms(3_600_000, 48 * 3_600_000)).unwrap_or(0);
        let newest = dice.chance(200).then(|| dice.ms(50, 400));
        for job in rows::jobs(&self.observer)? {
            if job.finished.is_some() {
                self.ledger.job(job.id).pruned = true;
            }
        }
        self.tell(|_| {
            format!(
                "process {slot} is asked to prune before {}, but the newest {newest:?}",
                Timestamp::from_millis(since)
            )
        });
        self.ledger.errands.values_mut().for_each(|progress| progress.forgotten = true);
        let now = self.now();
        self.ledger.mark_what_comes_again(now);
        self.accounted_from = self.accounted_from.max(since);
        // By number, any of the runs up to now may go.
        let any_may_go = newest.is_some() || self.counts.of("jumps back") > 0;
        self.whole_from = self.whole_from.max(if any_may_go { self.latest } else { self.accounted_from });
        let prune = self.life(slot)?.process.prune(Timestamp::from_millis(since), newest);
        if let Asked::Answered(Ok(_)) = self.ask(slot, dice, prune)? {
            self.counts.add("prunes");
        }
        Ok(())
    }

    fn hold_queue(&mut self, slot: usize, hold: bool, dice: &mut Dice) -> Found<()> {
        let name = dice.pick(&QUEUES);
        self.tell(|_| format!("process {slot} is asked to hold ({hold}) queue {name}"));
        let queue = self.life(slot)?.process.queue().clone();
        if hold {
            if let Asked::Answered(Ok(())) =
                self.ask(slot, dice, async move { queue.pause_queue(name, None).await })?
            {
                self.ledger.paused_queues.insert(name);
                self.counts.add("paused queues");
            }
        } else {
            self.ledger.paused_queues.remove(name);
            self.ask(slot, dice, async move { queue.resume_queue(name).await })?;
        }
        Ok(())
    }
}

/// Only whether it was answered, and how.
fn done<T>(asked: Asked<T>) -> Option<Result<(), Error>> {
    match asked {
        Asked::Answered(answer) => Some(answer.map(drop)),
        Asked::Died => None,
    }
}
