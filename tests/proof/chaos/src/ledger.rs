//! A file of lines outside the database: what handlers and sinks really did, whatever any row says.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Deed {
    /// An engine claims from now on.
    Up,
    /// A job was enqueued: its caller has the acknowledgement.
    Acked,
    /// A handler was called.
    Began,
    /// The work of a handler is done, and it is about to return.
    Did,
    /// A sink was called.
    Sent,
    /// A sink is about to answer that the receiver has it.
    Accepted,
    /// A sink is about to answer that nothing was sent.
    NotSent,
    /// A sink is about to answer that it does not know.
    Unsure,
    /// Something that must not happen in a process.
    Wrong,
}

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) deed: Deed,
    /// Which process; the n-th that was started, 0 for the operator.
    pub(crate) life: u64,
    /// On the clock that all processes of the machine share and nobody sets.
    pub(crate) at: Duration,
    pub(crate) run: i64,
    pub(crate) job: i64,
    pub(crate) attempt: u32,
    pub(crate) key: String,
    pub(crate) text: String,
}

/// The file, open for one process. Clones write into the same one.
#[derive(Clone)]
pub(crate) struct Ledger {
    file: Arc<File>,
    life: u64,
}

/// The run or delivery that a line is about.
#[derive(Default)]
pub(crate) struct About<'a> {
    pub(crate) run: i64,
    pub(crate) job: i64,
    pub(crate) attempt: u32,
    pub(crate) key: String,
    pub(crate) text: &'a str,
}

impl Ledger {
    pub(crate) fn open(dir: &Path, life: u64) -> std::io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(dir.join("ledger.jsonl"))?;
        Ok(Self { file: Arc::new(file), life })
    }

    /// Adds a line in one call of the system: it is in the file when this returns, however the process ends then.
    pub(crate) fn write(&self, deed: Deed, about: About<'_>) -> std::io::Result<()> {
        let About { run, job, attempt, key, text } = about;
        let line = Line { deed, life: self.life, at: now(), run, job, attempt, key, text: text.to_owned() };
        // An end of line in front as well: a process that is killed in the middle of this spoils no other line.
        let text = format!("\n{}\n", serde_json::to_string(&line)?);
        (&*self.file).write_all(text.as_bytes())
    }
}

/// All lines in the order in which they were written, and how many were torn by a kill.
pub(crate) fn read(dir: &Path) -> std::io::Result<(Vec<Line>, u64)> {
    let bytes = fs::read(dir.join("ledger.jsonl"))?;
    let mut torn = 0;
    let mut lines = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(line) => lines.push(line),
            Err(_) => torn += 1,
        }
    }
    Ok((lines, torn))
}

/// The time on the clock that all processes of the machine share and nobody sets.
pub(crate) fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}
