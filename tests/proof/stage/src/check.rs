//! Reads a file after a play, and says what is not as the ledger and the promises of the library want it.

use std::collections::BTreeMap;
use std::path::Path;

use mainspring::{Delivery, OnInterrupt, OnUnknownDelivery, Outcome};
use rusqlite::Connection;

use crate::handlers::label_of;
use crate::ledger::{Entry, Ledger};
use crate::part::{Answer, Last, Part};
use crate::play::RESUME;
use crate::scenario::{Scenario, WITH_ROWS};

/// What had happened to the play that is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// How often its process was killed. Each time, work under `rerun` may be done once more, work under
    /// `assume_ran` not at all, an output under `resend` be sent once more, and one under `hold` stay unknown.
    pub kills: u32,
    /// Whether the play has come to its end. If not, what is missing may yet come.
    pub is_over: bool,
}

impl Terms {
    /// A play that came to its end in one life.
    pub const fn over() -> Self {
        Self { kills: 0, is_over: true }
    }
}

/// A job is parked once the processes that ran it have died so often in a row.
const MOST_INTERRUPTIONS: u32 = 3;

/// Says what is wrong in the file, a sentence each; nothing if all is as promised.
///
/// # Errors
/// If the file cannot be read at all, which is wrong, too.
pub fn check(scenario: Scenario, path: &Path, ledger: &Ledger, terms: Terms) -> Result<Vec<String>, String> {
    let file = Look::at(path).map_err(|error| format!("the file cannot be read: {error}"))?;
    let mut wrong = file.damage.clone();
    wrong.extend(ledger.broken());
    let entries = ledger.entries();
    for part in scenario.parts() {
        let one = PartCheck { part, file: &file, ledger, entries: &entries, terms };
        wrong.extend(one.all().into_iter().map(|what| format!("{:?}: {what}", part.label)));
    }
    wrong.extend(facts(&file, &entries));
    let resumed = entries.iter().any(|entry| matches!(entry, Entry::Asked { call } if call == RESUME));
    if resumed && terms.kills < MOST_INTERRUPTIONS {
        wrong.push("a job was parked, and too few kills explain that".to_owned());
    }
    Ok(wrong)
}

/// What the file holds.
struct Look {
    damage: Vec<String>,
    jobs: Vec<(i64, String)>,
    runs: Vec<FileRun>,
    /// The application's own rows.
    rows: i64,
}

struct FileRun {
    id: i64,
    job: i64,
    /// Its schedule's occurrence, or the request that it is for.
    occurrence: (i64, Option<i64>),
    attempt: u32,
    outcome: Option<Outcome>,
    delivery: Option<Delivery>,
}

const JOBS: &str = "SELECT id, args FROM mainspring_jobs";
const RUNS: &str = "
SELECT r.id, r.job_id, r.scheduled_for_ms, r.request_id, r.attempt, c.outcome, c.delivery
FROM mainspring_runs r
LEFT JOIN mainspring_completions c ON c.run_id = r.id
ORDER BY r.job_id, r.scheduled_for_ms, r.attempt";
const OWN_TABLE: &str = "SELECT count(*) FROM sqlite_schema WHERE name = 'application_rows'";
const OWN_ROWS: &str = "SELECT count(*) FROM application_rows";

impl Look {
    fn at(path: &Path) -> rusqlite::Result<Self> {
        let conn = Connection::open(path)?;
        conn.busy_timeout(std::time::Duration::from_secs(10))?;
        let mut damage = Vec::new();
        let mut integrity = conn.prepare("PRAGMA integrity_check")?;
        for line in integrity.query_map([], |row| row.get::<_, String>(0))? {
            damage.extend(Some(line?).filter(|line| line != "ok").map(|line| format!("integrity: {line}")));
        }
        let jobs = conn
            .prepare(JOBS)?
            .query_map([], |row| Ok((row.get("id")?, row.get::<_, String>("args")?)))?
            .map(|job| job.map(|(id, args)| (id, label_of(&args).unwrap_or_default())))
            .collect::<rusqlite::Result<_>>()?;
        let runs = conn
            .prepare(RUNS)?
            .query_map([], |row| {
                Ok(FileRun {
                    id: row.get("id")?,
                    job: row.get("job_id")?,
                    occurrence: (row.get("scheduled_for_ms")?, row.get("request_id")?),
                    attempt: row.get("attempt")?,
                    outcome: word(row, "outcome")?,
                    delivery: word(row, "delivery")?,
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
        let has_rows: i64 = conn.query_row(OWN_TABLE, [], |row| row.get(0))?;
        let rows = if has_rows > 0 { conn.query_row(OWN_ROWS, [], |row| row.get(0))? } else { 0 };
        Ok(Self { damage, jobs, runs, rows })
    }
}

fn word<T: std::str::FromStr>(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<Option<T>> {
    let word: Option<String> = row.get(column)?;
    Ok(word.and_then(|word| word.parse().ok()))
}

/// One job: its file, its ledger, what is promised.
struct PartCheck<'a> {
    part: &'a Part,
    file: &'a Look,
    ledger: &'a Ledger,
    entries: &'a [Entry],
    terms: Terms,
}

impl PartCheck<'_> {
    fn all(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let ids: Vec<i64> =
            self.file.jobs.iter().filter(|(_, label)| label == self.part.label).map(|(id, _)| *id).collect();
        self.existence(ids.len(), &mut wrong);
        if let [id] = ids[..] {
            self.occurrences(id, &mut wrong);
        }
        wrong
    }

    /// What was acknowledged is there, once; what was refused for sure is not.
    fn existence(&self, found: usize, wrong: &mut Vec<String>) {
        let call = self.part.made_by;
        let asked = self.ledger.any(|entry| matches!(entry, Entry::Asked { call: named } if named == call));
        let is_there = call.is_empty() || self.ledger.acknowledged(call);
        let may_be_there = is_there || self.ledger.in_doubt(call);
        match (self.part.last, found) {
            (Last::Gone, 0) if self.terms.is_over => {}
            (Last::Gone, found) if self.terms.is_over => {
                wrong.push(format!("{found} are there and none shall be"))
            }
            (Last::Gone, _) => {}
            (_, 0) if is_there => wrong.push("it was acknowledged and is not in the file".to_owned()),
            (_, 0 | 1) if found == 0 || may_be_there => {}
            (_, 1) if asked => wrong.push("its call was refused, and it is in the file".to_owned()),
            (_, 1) => wrong.push("nobody asked for it, and it is in the file".to_owned()),
            (_, found) => wrong.push(format!("it is in the file {found} times")),
        }
        if self.part.label == WITH_ROWS && self.file.rows != found as i64 {
            wrong.push(format!("{} of the application's rows stand beside {found} jobs", self.file.rows));
        }
    }

    fn occurrences(&self, job: i64, wrong: &mut Vec<String>) {
        let mut occurrences = BTreeMap::<_, Vec<&FileRun>>::new();
        for run in self.file.runs.iter().filter(|run| run.job == job) {
            occurrences.entry(run.occurrence).or_default().push(run);
        }
        for runs in occurrences.values() {
            self.one_occurrence(runs, wrong);
        }
        let expected = if self.part.last == Last::NoRun { 0 } else { self.part.occurrences };
        if occurrences.len() > expected || (self.terms.is_over && occurrences.len() < expected) {
            wrong.push(format!("{} occurrences were run, not {expected}", occurrences.len()));
        }
    }

    /// All attempts at one occurrence.
    fn one_occurrence(&self, runs: &[&FileRun], wrong: &mut Vec<String>) {
        let Terms { kills, is_over } = self.terms;
        let part = self.part;
        let of_these = |run: i64| runs.iter().any(|these| these.id == run);
        let count = |is: &dyn Fn(&Entry) -> bool| self.entries.iter().filter(|entry| is(entry)).count();
        let called = count(&|entry| matches!(entry, Entry::Called { run, .. } if of_these(*run)));
        let succeeded =
            count(&|entry| matches!(entry, Entry::Returned { run, ok: true, .. } if of_these(*run)));
        let sent = count(&|entry| matches!(entry, Entry::Sent { run, .. } if of_these(*run)));
        let taken = count(
            &|entry| matches!(entry, Entry::Sent { run, answer: Answer::Accept, .. } if of_these(*run)),
        );

        let again = if part.on_interrupt == OnInterrupt::Rerun { kills as usize } else { 0 };
        let resent = if part.on_unknown_delivery == OnUnknownDelivery::Resend { kills as usize } else { 0 };
        let calls = part.acts.len() - (part.before.0 as usize).min(part.acts.len());
        let sends = part.answers.len() - (part.before.1 as usize).min(part.answers.len());
        most("its handler was called", called, calls + again, wrong);
        most("its handler succeeded", succeeded, 1 + again, wrong);
        // An output that two successes stand for is still delivered under one key, by one run.
        most("it was sent", sent, sends + resent, wrong);
        most("it was taken", taken, 1 + resent, wrong);
        if is_over && kills == 0 {
            least("its handler was called", called, calls, wrong);
            least("it was sent", sent, sends, wrong);
        }
        if is_over {
            let last = runs.iter().max_by_key(|run| run.attempt);
            self.end(last.and_then(|run| run.outcome.zip(run.delivery)), wrong);
        }
    }

    fn end(&self, found: Option<(Outcome, Delivery)>, wrong: &mut Vec<String>) {
        let Some((outcome, delivery)) = found else {
            wrong.push("its last run has no completion".to_owned());
            return;
        };
        let is_right = match self.part.last {
            Last::Run(wanted, at_last) => {
                (outcome, delivery) == (wanted, at_last)
                    || self.terms.kills > 0 && self.a_kill_explains((outcome, delivery), (wanted, at_last))
            }
            Last::LeftInterrupted => outcome == Outcome::Interrupted,
            Last::NoRun | Last::Gone => false,
        };
        if !is_right {
            wrong.push(format!("it ended as {outcome} and {delivery}, not as {:?}", self.part.last));
        }
    }

    fn a_kill_explains(&self, found: (Outcome, Delivery), wanted: (Outcome, Delivery)) -> bool {
        if found.0 == Outcome::Interrupted {
            // Nobody calls it again, by its policy or because somebody had cancelled it.
            return self.part.on_interrupt != OnInterrupt::Rerun || wanted.0 == Outcome::Cancelled;
        }
        // What was begun and has no answer is not sent again: by its policy, or since it was the last that it had.
        let is_last =
            self.part.on_unknown_delivery == OnUnknownDelivery::Hold || wanted.1 == Delivery::Failed;
        is_last && found == (wanted.0, Delivery::Unknown)
    }
}

fn most(what: &str, found: usize, allowed: usize, wrong: &mut Vec<String>) {
    if found > allowed {
        wrong.push(format!("{what} {found} times, at most {allowed} is promised"));
    }
}

fn least(what: &str, found: usize, wanted: usize, wrong: &mut Vec<String>) {
    if found < wanted {
        wrong.push(format!("{what} {found} times and not {wanted}"));
    }
}

/// What holds of every run and every delivery, whoever ordered it.
fn facts(file: &Look, entries: &[Entry]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut calls = BTreeMap::<i64, usize>::new();
    let mut sends = BTreeMap::<(i64, u32), usize>::new();
    for entry in entries {
        match entry {
            Entry::Called { run, .. } => *calls.entry(*run).or_default() += 1,
            Entry::Sent { run, attempt, .. } => *sends.entry((*run, *attempt)).or_default() += 1,
            _ => {}
        }
    }
    let twice = |count: &usize| *count > 1;
    wrong.extend(
        calls
            .iter()
            .filter(|(_, count)| twice(count))
            .map(|(run, n)| format!("run {run} was called {n} times")),
    );
    wrong.extend(
        sends
            .iter()
            .filter(|(_, count)| twice(count))
            .map(|((run, attempt), n)| format!("delivery {attempt} of run {run} was made {n} times")),
    );
    for run in &file.runs {
        let is = |entry: &Entry| match entry {
            Entry::Called { run: id, .. } | Entry::Sent { run: id, .. } => *id == run.id,
            _ => false,
        };
        if !entries.iter().any(is) {
            // Of a former life, or not called at all: the ledger knows nothing of it.
            continue;
        }
        let returned =
            entries.iter().any(|e| matches!(e, Entry::Returned { run: id, ok: true, .. } if *id == run.id));
        let called = calls.contains_key(&run.id);
        let taken = entries
            .iter()
            .any(|e| matches!(e, Entry::Sent { run: id, answer: Answer::Accept, .. } if *id == run.id));
        if called && run.outcome == Some(Outcome::Succeeded) && !returned {
            wrong.push(format!("run {} is on record as succeeded, and its handler did not", run.id));
        }
        if run.delivery == Some(Delivery::Delivered) && !taken {
            wrong.push(format!("run {} is on record as delivered, and nobody took its output", run.id));
        }
    }
    for run in calls.keys().filter(|run| !file.runs.iter().any(|in_file| in_file.id == **run)) {
        wrong.push(format!("the handler was called for run {run}, which is not in the file"));
    }
    wrong
}
