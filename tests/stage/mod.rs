//! What the tests of scenarios and of the handle share: handlers that do what the test says, ledgers of what was
//! called, and other processes.
#![allow(dead_code, unreachable_pub, reason = "each test file is a crate of its own and uses a part of it")]

pub mod child;
pub mod post;
pub mod puppet;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainspring::plan::Trigger;
use mainspring::testing::TestQueue;
use mainspring::{
    Clock, EngineBuilder, EngineHandle, Failure, Handler, JobArgs, JobId, JobKey, Outcome, Queue, Run,
    RunContext, RunId, SystemClock, Timestamp,
};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

/// How long anything is waited for before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(3_600);
pub const DAY: Duration = Duration::from_secs(86_400);

/// Work whose output nobody receives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    pub text: String,
}

impl JobArgs for Note {
    const KIND: &'static str = "note";
}

pub fn note(text: impl Into<String>) -> Note {
    Note { text: text.into() }
}

/// Work whose output is delivered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Letter {
    pub text: String,
}

impl JobArgs for Letter {
    const KIND: &'static str = "letter";
}

pub fn letter(text: impl Into<String>) -> Letter {
    Letter { text: text.into() }
}

/// A call of a handler.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub job: JobId,
    pub run: RunId,
    pub text: String,
    pub scheduled_for: Timestamp,
    pub attempt: u32,
    pub trigger: Trigger,
    pub started_at: Timestamp,
    pub key: String,
}

/// What handlers of notes were called for, in order. Clones are the same ledger.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Vec<Entry>>>);

impl Ledger {
    /// A handler that succeeds.
    pub fn succeeding(&self) -> impl Handler<Note> {
        self.answering(|_| Ok("done".to_owned()))
    }

    /// A handler that answers what the function says, which is given how many calls there have been before.
    pub fn answering(
        &self,
        answer: impl Fn(usize) -> Result<String, Failure> + Send + Sync + 'static,
    ) -> impl Handler<Note> {
        let ledger = self.clone();
        move |args: Note, cx: RunContext| {
            let answer = answer(ledger.push(&args, &cx));
            async move { answer }
        }
    }

    pub fn push(&self, args: &Note, cx: &RunContext) -> usize {
        let mut entries = self.0.lock().unwrap();
        entries.push(Entry {
            job: cx.job_id(),
            run: cx.run_id(),
            text: args.text.clone(),
            scheduled_for: cx.scheduled_for(),
            attempt: cx.attempt(),
            trigger: cx.trigger(),
            started_at: cx.started_at(),
            key: cx.idempotency_key(),
        });
        entries.len() - 1
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap().clone()
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub fn texts(&self) -> Vec<String> {
        self.entries().into_iter().map(|entry| entry.text).collect()
    }

    /// When handlers were called, in seconds after the clock's start.
    pub fn seconds(&self) -> Vec<i64> {
        self.entries().iter().map(|entry| seconds(entry.started_at)).collect()
    }

    /// Which occurrences handlers were called for, in seconds after the clock's start.
    pub fn slots(&self) -> Vec<i64> {
        self.entries().iter().map(|entry| seconds(entry.scheduled_for)).collect()
    }
}

/// Seconds since the start of the tests' clock.
pub fn seconds(at: Timestamp) -> i64 {
    (at.millis() - mainspring::testing::START_MS).div_euclid(1_000)
}

/// The instant so many seconds after the start of the tests' clock.
pub fn second(seconds: i64) -> Timestamp {
    Timestamp::from_millis(mainspring::testing::START_MS + seconds * 1_000)
}

/// A queue in a file of its own, on a clock that moves by hand.
pub async fn queue() -> TestQueue {
    TestQueue::new().await.unwrap()
}

/// The same on a clock that stands where the system's does: what is due here is due in other processes, too.
pub async fn queue_for_children() -> TestQueue {
    TestQueue::at(SystemClock.now()).await.unwrap()
}

/// An engine on the queue.
pub async fn start(test: &TestQueue, configure: impl FnOnce(EngineBuilder) -> EngineBuilder) -> EngineHandle {
    test.start(configure).await.unwrap()
}

/// Waits until nothing is left to do now.
pub async fn drain(test: &TestQueue) {
    test.drain().await.unwrap();
}

/// Moves the clock and waits until nothing is left to do then.
pub async fn pass(test: &TestQueue, time: Duration) {
    test.clock().advance(time);
    drain(test).await;
}

/// The end of a test: the engine stops, and the file breaks no invariant.
pub async fn end(test: &TestQueue, engine: EngineHandle) {
    engine.shutdown(PATIENCE).await.unwrap();
    is_sound(test.queue()).await;
}

/// The doctor finds nothing.
pub async fn is_sound(queue: &Queue) {
    assert_eq!(queue.doctor().await.unwrap(), []);
}

/// The runs of a job, oldest first.
pub async fn runs(queue: &Queue, job: impl Into<JobKey>) -> Vec<Run> {
    let mut runs = queue.runs(job, 1_000).await.unwrap();
    runs.reverse();
    runs
}

/// The outcomes of a job's runs, oldest first; all of them are over.
pub async fn outcomes(queue: &Queue, job: impl Into<JobKey>) -> Vec<Outcome> {
    runs(queue, job).await.iter().map(outcome).collect()
}

pub fn outcome(run: &Run) -> Outcome {
    run.completion.as_ref().unwrap_or_else(|| panic!("{run:?} is open")).outcome
}

/// Awaits something that must come.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: it did not come"))
}

/// Looks again and again until it is so. For what no event tells: rows, and other processes.
pub async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    soon(what, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// A connection that writes past the library, as a person with a shell does.
pub fn by_hand(path: &Path) -> Connection {
    let conn = Connection::open(path).unwrap();
    conn.busy_timeout(PATIENCE).unwrap();
    conn.pragma_update(None, "foreign_keys", true).unwrap();
    conn
}

/// One value, read past the library.
pub fn value<T: rusqlite::types::FromSql>(path: &Path, sql: &str) -> T {
    by_hand(path).query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Runs SQL in the `sqlite3` shell, as the page on the schema says, and returns what it printed.
pub fn shell(path: &Path, sql: &str) -> Result<String, String> {
    let output = Command::new("sqlite3")
        .args(["-batch", "-bail", "-cmd", ".timeout 30000", "-cmd", "PRAGMA foreign_keys = ON"])
        .args(["-cmd", "PRAGMA wal_autocheckpoint = 0"])
        .arg(path)
        .arg(sql)
        .stdin(Stdio::null())
        .output()
        .expect("this test needs the sqlite3 shell");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
