//! What the rows and the ledger say together, at the end: each violation is a sentence.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use rusqlite::Connection;

use crate::Outcome;
use crate::fleet::Life;
use crate::ledger::{Deed, Line};
use crate::producer::Acked;
use crate::work::{DELIVERY_ATTEMPTS, HOPELESS, HOPELESS_ATTEMPTS, Script};

/// After so many interruptions in a row a job is parked.
const PARKED_AFTER: usize = 3;

/// A run as its rows hold it.
#[derive(Debug)]
struct Run {
    id: i64,
    job: i64,
    request: Option<i64>,
    scheduled_for: i64,
    attempt: u32,
    pid: u32,
    outcome: Option<String>,
    error_class: Option<String>,
    delivery: String,
    on_unknown: Option<String>,
    delivery_attempts: u32,
}

impl Run {
    fn succeeded(&self) -> bool {
        self.outcome.as_deref() == Some("succeeded")
    }

    fn died(&self) -> bool {
        self.outcome.as_deref() == Some("interrupted") && self.error_class.as_deref() == Some("owner_died")
    }
}

/// A job as its row holds it.
#[derive(Debug)]
struct Job {
    recurring: bool,
    on_interrupt: String,
    finished: bool,
    script: Script,
}

/// What was tried, besides kills.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) jobs: usize,
    pub(crate) runs: usize,
    /// Runs whose process was killed.
    pub(crate) interrupted: usize,
    /// Handlers that had done their work when their process was killed, and whose completion was not committed.
    pub(crate) windows: usize,
    /// Deliveries that were begun again without an answer on record, under `resend`.
    pub(crate) resent: usize,
    /// Deliveries that were killed under `hold`, and are not sent again.
    pub(crate) held: usize,
    /// Attempts that failed by their script.
    pub(crate) failed: usize,
}

/// The rows, the ledger and the lives, in one hand.
pub(crate) struct Judge<'a> {
    jobs: BTreeMap<i64, Job>,
    runs: Vec<Run>,
    late_results: i64,
    lines: BTreeMap<i64, Vec<&'a Line>>,
    lives: &'a [Life],
    pub(crate) counts: Counts,
    pub(crate) violations: Vec<String>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(conn: &Connection, ledger: &'a [Line], lives: &'a [Life]) -> Outcome<Self> {
        let mut lines: BTreeMap<i64, Vec<&Line>> = BTreeMap::new();
        for line in ledger.iter().filter(|line| line.run != 0) {
            lines.entry(line.run).or_default().push(line);
        }
        let (jobs, runs) = (jobs(conn)?, runs(conn)?);
        let late_results =
            conn.query_row("SELECT count(*) FROM mainspring_late_results", [], |row| row.get(0))?;
        let counts = Counts { jobs: jobs.len(), runs: runs.len(), ..Counts::default() };
        Ok(Self { jobs, runs, late_results, lines, lives, counts, violations: Vec::new() })
    }

    pub(crate) fn judge(&mut self, acked: &Acked, ledger: &[Line]) {
        self.nothing_acknowledged_is_lost(acked, ledger);
        self.nobody_was_robbed();
        self.every_call_is_on_record();
        self.every_job_ended_as_its_policy_says();
        self.who_loses_its_process_again_and_again_is_parked(acked);
        self.no_success_twice();
        self.no_delivery_twice();
    }

    fn violation(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }

    fn was_killed_before(&self, life: u64, at: Duration) -> bool {
        self.lives.iter().any(|one| one.number == life && one.was_killed_before(at))
    }

    fn lines_of(&self, run: i64, deed: Deed) -> Vec<&'a Line> {
        let lines = self.lines.get(&run).map(Vec::as_slice).unwrap_or_default();
        lines.iter().filter(|line| line.deed == deed).copied().collect()
    }

    fn nothing_acknowledged_is_lost(&mut self, acked: &Acked, ledger: &[Line]) {
        let by_engines = ledger.iter().filter(|line| line.deed == Deed::Acked).map(|line| line.job);
        let lost: BTreeSet<i64> =
            acked.jobs.iter().copied().chain(by_engines).filter(|job| !self.jobs.contains_key(job)).collect();
        for job in lost {
            self.violation(format!("job {job} was acknowledged and is not there"));
        }
        for (job, request) in &acked.requests {
            let answered = self
                .runs
                .iter()
                .any(|run| run.job == *job && run.request == Some(request.0) && run.outcome.is_some());
            if !answered {
                self.violation(format!(
                    "request {request} of job {job} was acknowledged and has no ended run"
                ));
            }
        }
    }

    /// Nothing in this tier takes a run from its owner but recovery, so a late result is one of a living owner.
    fn nobody_was_robbed(&mut self) {
        if self.late_results > 0 {
            self.violation(format!("{} handlers had lost their runs when they returned", self.late_results));
        }
        let mut found = Vec::new();
        for run in self.runs.iter().filter(|run| run.died()) {
            self.counts.interrupted += 1;
            if !self.lives.iter().any(|life| life.pid == run.pid && life.killed.is_some()) {
                found.push(format!(
                    "run {} was interrupted, and nobody had killed process {}",
                    run.id, run.pid
                ));
            }
        }
        self.violations.append(&mut found);
    }

    fn every_call_is_on_record(&mut self) {
        let known: HashMap<i64, &Run> = self.runs.iter().map(|run| (run.id, run)).collect();
        let mut found = Vec::new();
        for (run, lines) in &self.lines {
            let Some(row) = known.get(run) else {
                found.push(format!("run {run} was called and is not on record"));
                continue;
            };
            let count = |deed| lines.iter().filter(|line| line.deed == deed).count();
            let (began, did) = (count(Deed::Began), count(Deed::Did));
            let pids: BTreeSet<u32> = lines
                .iter()
                .filter(|line| line.deed == Deed::Began)
                .filter_map(|line| self.pid(line))
                .collect();
            if began > 1 || did > began {
                found
                    .push(format!("the handler of run {run} was called {began} times and ended {did} times"));
            }
            if pids.iter().any(|pid| *pid != row.pid) {
                found.push(format!("run {run} of process {} was called in {pids:?}", row.pid));
            }
            if row.succeeded() && (began, did) != (1, 1) {
                found.push(format!("run {run} succeeded, and its handler ended {did} of {began} times"));
            }
        }
        for run in self.runs.iter().filter(|run| run.succeeded() && !self.lines.contains_key(&run.id)) {
            found.push(format!("run {} succeeded without a call of its handler", run.id));
        }
        self.violations.append(&mut found);
    }

    fn pid(&self, line: &Line) -> Option<u32> {
        self.lives.iter().find(|life| life.number == line.life).map(|life| life.pid)
    }

    fn every_job_ended_as_its_policy_says(&mut self) {
        let mut of_job: BTreeMap<i64, Vec<&Run>> = BTreeMap::new();
        for run in &self.runs {
            of_job.entry(run.job).or_default().push(run);
        }
        let mut found = Vec::new();
        for (id, job) in &self.jobs {
            let runs = of_job.get(id).map(Vec::as_slice).unwrap_or_default();
            for run in runs {
                self.counts.failed += usize::from(run.outcome.as_deref() == Some("failed"));
                let wrong = wrong_outcome(job, run);
                found.extend(wrong.map(|why| format!("run {} of job {id}: {why}: {run:?}", run.id)));
            }
            if !job.recurring {
                let wrong = wrong_end(job, runs);
                found.extend(wrong.map(|why| format!("job {id} ({}): {why}: {runs:?}", job.script.label)));
            }
        }
        self.violations.append(&mut found);
    }

    /// Three interruptions in a row park a job; the operator has let those go on that were parked.
    fn who_loses_its_process_again_and_again_is_parked(&mut self, acked: &Acked) {
        let mut in_a_row: BTreeMap<i64, usize> = BTreeMap::new();
        let mut found = Vec::new();
        for run in &self.runs {
            let died = in_a_row.entry(run.job).or_default();
            *died = if run.died() { *died + 1 } else { 0 };
            if *died == PARKED_AFTER && !acked.resumed.contains(&run.job) {
                found.push(format!(
                    "job {} lost its process {died} times in a row and was not parked",
                    run.job
                ));
            }
        }
        self.violations.append(&mut found);
    }

    /// Of the attempts at one occurrence one succeeds; another one had done its work only if its process was killed
    /// before that was on record.
    fn no_success_twice(&mut self) {
        let mut occurrences: BTreeMap<(i64, Option<i64>, i64), Vec<&Run>> = BTreeMap::new();
        for run in &self.runs {
            let scheduled_for = if run.request.is_some() { 0 } else { run.scheduled_for };
            occurrences.entry((run.job, run.request, scheduled_for)).or_default().push(run);
        }
        let mut found = Vec::new();
        for ((job, request, at), runs) in &occurrences {
            let succeeded = runs.iter().filter(|run| run.succeeded()).count();
            if succeeded > 1 {
                found.push(format!("job {job} at {at} ({request:?}) succeeded {succeeded} times"));
            }
            for run in runs.iter().filter(|run| !run.succeeded()) {
                let did = !self.lines_of(run.id, Deed::Did).is_empty();
                self.counts.windows += usize::from(did);
                if did && !run.died() {
                    found.push(format!(
                        "run {} had done its work and is on record as {:?}",
                        run.id, run.outcome
                    ));
                }
            }
            let keys: BTreeSet<&str> = runs
                .iter()
                .flat_map(|run| self.lines_of(run.id, Deed::Began))
                .map(|line| line.key.as_str())
                .collect();
            if keys.len() > 1 {
                found.push(format!("job {job} at {at} has several keys: {keys:?}"));
            }
            found.extend(self.begun_too_early(runs));
        }
        self.violations.append(&mut found);
    }

    /// Another attempt begins only once the process of the one before it was killed, or that one has ended.
    fn begun_too_early(&self, runs: &[&Run]) -> Vec<String> {
        let mut found = Vec::new();
        for pair in runs.windows(2) {
            let [before, after] = pair else { continue };
            let Some(second) = self.lines_of(after.id, Deed::Began).first().copied() else { continue };
            for first in self.lines_of(before.id, Deed::Began) {
                if before.died() && !self.was_killed_before(first.life, second.at) {
                    found.push(format!(
                        "run {} began while the process of run {} was not killed",
                        after.id, before.id
                    ));
                }
            }
        }
        found
    }

    fn no_delivery_twice(&mut self) {
        let mut found = Vec::new();
        for run in self.runs.iter().filter(|run| run.delivery != "not_requested") {
            let sent = self.lines_of(run.id, Deed::Sent);
            let resends = run.on_unknown.as_deref() == Some("resend");
            for pair in sent.windows(2) {
                let [first, second] = pair else { continue };
                if self.answered(run.id, Deed::NotSent, first) {
                    continue;
                }
                let unsure = self.answered(run.id, Deed::Unsure, first);
                let killed = self.was_killed_before(first.life, second.at);
                self.counts.resent += usize::from(killed);
                if !(resends && (unsure || killed)) {
                    found.push(format!("run {} was delivered twice: {first:?}, {second:?}", run.id));
                }
            }
            // Killed between the mark that it is begun and the call of the sink.
            let begun_only = run.delivery_attempts as usize > sent.len();
            let last = sent.last().copied();
            let answered = |answer| last.is_some_and(|last| self.answered(run.id, answer, last));
            let killed = begun_only
                || last.is_some_and(|last| {
                    self.lives.iter().any(|life| life.number == last.life && life.killed.is_some())
                });
            let explained = match run.delivery.as_str() {
                "delivered" => answered(Deed::Accepted),
                // Under `resend` only after the last attempt.
                "unknown" if resends => run.delivery_attempts >= DELIVERY_ATTEMPTS,
                "unknown" => answered(Deed::Unsure) || killed,
                _ => false,
            };
            self.counts.held += usize::from(run.delivery == "unknown" && killed);
            if !explained {
                found
                    .push(format!("the delivery of run {} does not follow from its ledger: {run:?}", run.id));
            }
        }
        self.violations.append(&mut found);
    }

    fn answered(&self, run: i64, answer: Deed, sent: &Line) -> bool {
        self.lines_of(run, answer).iter().any(|line| line.attempt == sent.attempt && line.life == sent.life)
    }
}

/// What is wrong with the outcome of one run, given the script and the policy of its job.
fn wrong_outcome(job: &Job, run: &Run) -> Option<&'static str> {
    let fails = run.attempt <= job.script.fails;
    match run.outcome.as_deref() {
        None => Some("it is open"),
        Some("succeeded") if fails => Some("it succeeded against its script"),
        Some("failed") if !fails => Some("it failed against its script"),
        Some("succeeded" | "failed") => None,
        Some("interrupted") if run.died() => None,
        Some(_) => Some("nothing in this tier ends a run like this"),
    }
}

/// What is wrong with the end of a one-shot.
fn wrong_end(job: &Job, runs: &[&Run]) -> Option<&'static str> {
    let failed = runs.iter().filter(|run| run.outcome.as_deref() == Some("failed")).count();
    let attempts: Vec<u32> = runs.iter().map(|run| run.attempt).collect();
    let numbered = attempts.iter().copied().eq(1..=attempts.len() as u32);
    let Some(last) = runs.last() else { return Some("it never ran") };
    if !job.finished {
        return Some("it is not finished");
    }
    if !numbered {
        return Some("its attempts are not numbered through");
    }
    if job.on_interrupt == "assume_ran" {
        return (runs.len() != 1).then_some("it was run again, which its policy forbids");
    }
    if job.script.fails == HOPELESS {
        return (failed != HOPELESS_ATTEMPTS as usize).then_some("it had not the attempts that it has");
    }
    (!last.succeeded()).then_some("its last attempt did not succeed")
}

fn jobs(conn: &Connection) -> Outcome<BTreeMap<i64, Job>> {
    let mut statement = conn.prepare(
        "SELECT id, schedule_kind <> 'at' AS recurring, on_interrupt, finished_at_ms IS NOT NULL AS finished, args
         FROM mainspring_jobs",
    )?;
    let mut rows = statement.query([])?;
    let mut jobs = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let args: String = row.get("args")?;
        let job = Job {
            recurring: row.get("recurring")?,
            on_interrupt: row.get("on_interrupt")?,
            finished: row.get("finished")?,
            script: serde_json::from_str(&args)?,
        };
        jobs.insert(row.get("id")?, job);
    }
    Ok(jobs)
}

fn runs(conn: &Connection) -> Outcome<Vec<Run>> {
    let mut statement = conn.prepare(
        "SELECT r.id, r.job_id, r.request_id, r.scheduled_for_ms, r.attempt, o.pid, c.outcome, c.error_class,
                coalesce(c.delivery, 'not_requested') AS delivery, c.on_unknown_delivery,
                coalesce(c.delivery_attempts, 0) AS delivery_attempts
         FROM mainspring_runs r
         JOIN mainspring_owners o ON o.id = r.owner_id
         LEFT JOIN mainspring_completions c ON c.run_id = r.id
         ORDER BY r.id",
    )?;
    let runs = statement.query_map([], |row| {
        Ok(Run {
            id: row.get("id")?,
            job: row.get("job_id")?,
            request: row.get("request_id")?,
            scheduled_for: row.get("scheduled_for_ms")?,
            attempt: row.get("attempt")?,
            pid: row.get("pid")?,
            outcome: row.get("outcome")?,
            error_class: row.get("error_class")?,
            delivery: row.get("delivery")?,
            on_unknown: row.get("on_unknown_delivery")?,
            delivery_attempts: row.get("delivery_attempts")?,
        })
    })?;
    Ok(runs.collect::<rusqlite::Result<_>>()?)
}
