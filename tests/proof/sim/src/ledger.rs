//! The reference model: what is known from outside of every job, run and delivery, and what the promises make of it.
//! It shares no code with the library, and plans nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What is to be done once: an occurrence of a job, or something that a person asked for besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Errand {
    /// The occurrence at this instant.
    Occurrence(i64),
    /// The request with this id.
    Request(i64),
}

/// What is known of one run.
#[derive(Clone, Debug)]
pub(crate) struct RunFact {
    pub(crate) job: i64,
    pub(crate) errand: Errand,
    pub(crate) attempt: u32,
    pub(crate) owner: i64,
    pub(crate) backfill: bool,
    /// Its handler was called.
    pub(crate) called: bool,
    /// What its handler has come back with, as far as its owner sent it.
    pub(crate) reported: Vec<&'static str>,
    /// The attempts that its errand had when it was claimed.
    pub(crate) max_attempts: u32,
    /// It was claimed as one that is assumed to have run if it is interrupted.
    pub(crate) assumed: bool,
    pub(crate) end: Option<End>,
    pub(crate) post: Post,
}

/// How a run ended, as it stands on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) outcome: String,
    pub(crate) class: Option<String>,
    pub(crate) output: Option<String>,
}

/// What is known of handing an output over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Post {
    pub(crate) sent: u32,
    pub(crate) text: Option<String>,
    /// The receiver has it, and this was acknowledged: nobody sends it again, ever.
    pub(crate) settled: bool,
    /// The receiver said so.
    pub(crate) taken: bool,
    /// It was sent and no answer is on record that says that it was not: under `hold` nobody sends it again by itself.
    pub(crate) in_doubt: bool,
}

/// What is known of one errand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) attempts: u32,
    pub(crate) last_run: i64,
    pub(crate) succeeded: bool,
    pub(crate) failed: u32,
    /// Some of its attempts may have been pruned.
    pub(crate) forgotten: bool,
    /// Its occurrence comes again by a clock that was set back, and some of its attempts may have been pruned.
    pub(crate) comes_again: bool,
    /// Whether its last attempt may be followed by another one, and if not, why.
    pub(crate) no_more: Option<&'static str>,
}

/// What is known of one job.
#[derive(Clone, Debug, Default)]
pub(crate) struct JobFact {
    /// Somebody was told that it exists.
    pub(crate) acknowledged: bool,
    /// Somebody asked for its removal.
    pub(crate) may_be_gone: bool,
    /// Somebody was told that it is removed.
    pub(crate) removed: bool,
    /// It was finished when somebody pruned.
    pub(crate) pruned: bool,
    /// Somebody was told that it is cancelled, and nobody has asked for more of it since.
    pub(crate) cancelled: bool,
    /// When somebody asked for its cancellation: its schedule ended then.
    pub(crate) cancelled_at: Option<i64>,
    /// Somebody was told that it is paused, and nobody has resumed it since.
    pub(crate) paused: bool,
    /// Somebody asked for another attempt at what has ended.
    pub(crate) retried: bool,
    /// Ends by the death of an owner, one after the other.
    pub(crate) deaths_in_a_row: u32,
    /// Misses up to this one may be those of an earlier schedule, for which the clock was ahead.
    pub(crate) earlier_misses: i64,
    /// The same of runs.
    pub(crate) earlier_runs: i64,
    /// Up to here every occurrence was found on record.
    pub(crate) accounted: i64,
}

/// The occurrences of a job that have a run, for the accounts.
#[derive(Debug, Default)]
pub(crate) struct Occurrences {
    /// Each with its first run.
    pub(crate) run: BTreeMap<i64, i64>,
    /// Those of them that a person asked for after they had been missed.
    pub(crate) backfilled: BTreeSet<i64>,
}

impl Occurrences {
    fn note(&mut self, id: i64, run: &RunFact) {
        if let Errand::Occurrence(at) = run.errand {
            self.run.entry(at).or_insert(id);
            if run.backfill {
                self.backfilled.insert(at);
            }
        }
    }
}

/// Everything that is known.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) jobs: HashMap<i64, JobFact>,
    pub(crate) runs: BTreeMap<i64, RunFact>,
    pub(crate) open: BTreeSet<i64>,
    /// Runs whose deliveries are not settled.
    pub(crate) unsettled: BTreeSet<i64>,
    pub(crate) errands: HashMap<(i64, Errand), Progress>,
    pub(crate) occurrences: HashMap<i64, Occurrences>,
    pub(crate) keys: HashMap<String, (i64, Errand)>,
    /// Owners and whether they may be taken for dead.
    pub(crate) dead: HashMap<i64, bool>,
    /// Queues that are paused for all that people were told.
    pub(crate) paused_queues: BTreeSet<&'static str>,
    pub(crate) last_run: i64,
}

impl Ledger {
    pub(crate) fn job(&mut self, id: i64) -> &mut JobFact {
        self.jobs.entry(id).or_default()
    }

    /// Some history may have been pruned, or a clock was set back: of what lies ahead, nobody may know that it has run.
    pub(crate) fn mark_what_comes_again(&mut self, now: i64) {
        for ((_, errand), progress) in &mut self.errands {
            let is_ahead = matches!(errand, Errand::Occurrence(at) if *at > now);
            progress.comes_again |= progress.forgotten && is_ahead;
        }
    }

    /// A run was claimed.
    pub(crate) fn claimed(&mut self, id: i64, run: RunFact, held_back: Option<&str>) -> Result<(), String> {
        let errand = (run.job, run.errand);
        let job = self.jobs.entry(run.job).or_default();
        if job.cancelled {
            return Err(format!("run {id}: job {} was cancelled", run.job));
        }
        if job.removed {
            return Err(format!("run {id}: job {} was removed", run.job));
        }
        if let Some(why) = held_back {
            return Err(format!("run {id}: job {} is {why}", run.job));
        }
        let progress = self.errands.entry(errand).or_default();
        if progress.forgotten && job.retried {
            // The attempts before were pruned, and a person asked for another one: it is counted from what is left.
            progress.attempts = progress.attempts.min(run.attempt - 1);
        }
        if run.attempt != progress.attempts + 1 {
            return Err(format!("run {id}: attempt {} follows {}", run.attempt, progress.attempts));
        }
        if progress.succeeded {
            return Err(format!("run {id}: {errand:?} has succeeded before"));
        }
        if self.open.contains(&progress.last_run) {
            return Err(format!("run {id}: run {} of the same is open", progress.last_run));
        }
        if let Some(why) = progress.no_more.filter(|_| !job.retried) {
            return Err(format!("run {id}: the attempt before, run {}, {why}", progress.last_run));
        }
        if run.attempt > 1 && std::mem::take(&mut job.retried) {
            progress.failed = 0;
        }
        if self.dead.get(&run.owner) != Some(&false) {
            return Err(format!("run {id}: its owner {} is none that lives", run.owner));
        }
        (progress.attempts, progress.last_run) = (run.attempt, id);
        self.occurrences.entry(run.job).or_default().note(id, &run);
        self.open.insert(id);
        self.runs.insert(id, run);
        self.last_run = self.last_run.max(id);
        Ok(())
    }

    /// How many runs of a job are open.
    pub(crate) fn open_of(&self, job: i64) -> usize {
        self.open.iter().filter(|open| self.runs[open].job == job).count()
    }

    /// A handler was called.
    pub(crate) fn called(&mut self, id: i64, owner: i64, key: &str) -> Result<(), String> {
        let Some(run) = self.runs.get_mut(&id) else {
            return Err(format!("the handler of run {id} was called, and there is no such run on record"));
        };
        if std::mem::replace(&mut run.called, true) {
            return Err(format!("the handler of run {id} was called twice"));
        }
        if run.owner != owner || !self.open.contains(&id) {
            return Err(format!("the handler of run {id} was called by owner {owner}, who does not hold it"));
        }
        let errand = (run.job, run.errand);
        match self.keys.get(key) {
            Some(other) if *other != errand => Err(format!("key {key} stands for {other:?} and {errand:?}")),
            Some(_) => Ok(()),
            None => {
                self.keys.insert(key.to_owned(), errand);
                Ok(())
            }
        }
    }

    /// A run has ended on record.
    pub(crate) fn ended(&mut self, id: i64, end: End, assumes: bool) -> Result<(), String> {
        self.open.remove(&id);
        let run = &mut self.runs.get_mut(&id).ok_or_else(|| format!("run {id} is not known"))?;
        let job = self.jobs.entry(run.job).or_default();
        let progress = self.errands.entry((run.job, run.errand)).or_default();
        let class = end.class.as_deref().unwrap_or_default();
        let handler_said = run.reported.contains(&end.outcome.as_str());
        match end.outcome.as_str() {
            "succeeded" if !handler_said => return Err(format!("run {id} succeeded, and nobody said so")),
            "succeeded" if progress.succeeded => {
                return Err(format!("run {id}: {:?} succeeded twice", run.errand));
            }
            "succeeded" => progress.succeeded = true,
            "failed" | "timed_out" if !handler_said => {
                return Err(format!("run {id} {}, and nobody said so", end.outcome));
            }
            "failed" | "timed_out" => {
                progress.failed += 1;
                progress.no_more = match class {
                    "permanent" => Some("failed for good"),
                    _ if progress.failed >= run.max_attempts && !progress.forgotten => {
                        Some("was its last one")
                    }
                    _ => None,
                };
            }
            "interrupted" => {
                if class == "owner_died" && self.dead.get(&run.owner) != Some(&true) {
                    return Err(format!("run {id} was taken from owner {}, who lives", run.owner));
                }
                // Whoever lives decides by what it was given with the claim, and who finds a dead one by what stands
                // there now: the job may have been declared anew in between.
                let assumes = if class == "shutdown" { run.assumed } else { assumes };
                progress.no_more = match class {
                    "owner_died" | "shutdown" if assumes => {
                        Some("was interrupted, and is assumed to have run")
                    }
                    "unverified" => Some("waits for a person"),
                    _ => None,
                };
            }
            "cancelled" => progress.no_more = Some("was cancelled"),
            _ => progress.no_more = None,
        }
        if class == "owner_died" {
            job.deaths_in_a_row += 1;
        } else if end.outcome != "interrupted" {
            job.deaths_in_a_row = 0;
        }
        run.end = Some(end);
        Ok(())
    }

    /// An output is handed to its receiver.
    pub(crate) fn sent(&mut self, id: i64, text: &str, holds: bool) -> Result<(), String> {
        let run = self.runs.get_mut(&id).ok_or_else(|| format!("run {id} is not known"))?;
        let post = &mut run.post;
        if post.settled {
            return Err(format!("the output of run {id} was delivered before"));
        }
        if post.in_doubt && holds {
            return Err(format!("the output of run {id} may have arrived before, and is held"));
        }
        if run
            .end
            .as_ref()
            .is_none_or(|end| end.outcome != "succeeded" || end.output.as_deref() != Some(text))
        {
            return Err(format!("what is delivered of run {id} is not its output on record: {text}"));
        }
        post.sent += 1;
        post.in_doubt = true;
        post.text = Some(text.to_owned());
        Ok(())
    }
}
