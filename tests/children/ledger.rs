//! A file of lines outside the database: what handlers and sinks really did, whatever any row says.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use mainspring::{Clock, SystemClock};
use serde::{Deserialize, Serialize};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed {
    /// A handler was called.
    Began,
    /// A handler is about to return.
    Ended,
    /// A sink was called.
    Sent,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub deed: Deed,
    /// The label of the work.
    pub label: String,
    pub run: i64,
    /// Which attempt at the occurrence, or at the delivery.
    pub attempt: u32,
    pub key: String,
    pub pid: u32,
    pub at_ms: i64,
}

/// The file. Clones write into the same one.
#[derive(Clone, Debug)]
pub struct Ledger {
    path: PathBuf,
}

impl Ledger {
    /// The ledger of the application in this folder.
    pub fn in_dir(dir: &Path) -> Self {
        Self { path: dir.join("ledger.jsonl") }
    }

    /// Adds a line in one call of the system, and returns when it is on the disk.
    pub fn write(&self, deed: Deed, label: &str, run: i64, attempt: u32, key: String) {
        let at_ms = SystemClock.now().millis();
        let entry =
            Entry { deed, label: label.to_owned(), run, attempt, key, pid: std::process::id(), at_ms };
        let line = format!("{}\n", serde_json::to_string(&entry).unwrap());
        let mut file = OpenOptions::new().append(true).create(true).open(&self.path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
        file.sync_data().unwrap();
    }

    /// All lines, in the order in which they were written.
    pub fn entries(&self) -> Vec<Entry> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => panic!("{}: {error}", self.path.display()),
        };
        // A child that is just writing, or was killed while it did, leaves a last line without its end.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The lines of one deed.
    pub fn all(&self, deed: Deed) -> Vec<Entry> {
        self.entries().into_iter().filter(|entry| entry.deed == deed).collect()
    }

    /// The lines of one deed on the work of this label.
    pub fn of(&self, deed: Deed, label: &str) -> Vec<Entry> {
        self.all(deed).into_iter().filter(|entry| entry.label == label).collect()
    }

    /// How often a handler was called for the work of this label, and how often a sink.
    pub fn calls(&self, label: &str) -> (usize, usize) {
        (self.of(Deed::Began, label).len(), self.of(Deed::Sent, label).len())
    }

    /// Blocks until a deed on the work of this label is in the ledger.
    pub fn wait(&self, deed: Deed, label: &str) -> Entry {
        super::until(&format!("{deed:?} {label}"), || self.of(deed, label).pop())
    }

    /// Blocks until there are so many lines of a deed.
    pub fn wait_for(&self, deed: Deed, lines: usize) {
        super::until(&format!("{lines} times {deed:?}"), || (self.all(deed).len() >= lines).then_some(()));
    }
}
