//! Where a scenario is played: a file, a clock, a ledger, and how the file is opened.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mainspring::testing::ManualClock;
use mainspring::{Durability, OpenOptions, Timestamp};

use crate::ledger::Ledger;
use crate::scenario::Scenario;

/// The time at which every scenario begins: 2025-01-06T08:00:00Z, a Monday.
pub const BEGINNING: Timestamp = Timestamp::from_millis(1_736_150_400_000);

/// A place for one scenario.
#[derive(Debug)]
pub struct Stage {
    pub(crate) scenario: Scenario,
    pub(crate) path: PathBuf,
    pub(crate) ledger: Ledger,
    pub(crate) clock: ManualClock,
    pub(crate) patience: Duration,
    vfs: Option<String>,
    /// Whether the process that has no trouble goes through it as well.
    vfs_is_for_all: bool,
    durability: Durability,
    busy_timeout: Duration,
}

impl Stage {
    /// A stage on the file at `path`, which [`Scenario::prepare`] made or a killed process left. The clock goes on
    /// where the ledger says.
    pub fn new(scenario: Scenario, path: impl AsRef<Path>, ledger: Ledger) -> Self {
        let now = ledger.clock_ms().map_or(BEGINNING, Timestamp::from_millis);
        Self {
            scenario,
            path: path.as_ref().to_path_buf(),
            clock: ManualClock::at(now),
            ledger,
            patience: Duration::from_secs(30),
            vfs: None,
            vfs_is_for_all: false,
            durability: Durability::Balanced,
            busy_timeout: Duration::from_millis(60),
        }
    }

    /// Opens the file through this VFS. Defaults to SQLite's own.
    #[must_use]
    pub fn vfs(mut self, name: &str) -> Self {
        self.vfs = Some(name.to_owned());
        self
    }

    /// Opens the file through this VFS in every process of the scenario, so that no write is missed by whoever records
    /// them.
    #[must_use]
    pub fn vfs_for_all(mut self, name: &str) -> Self {
        self.vfs_is_for_all = true;
        self.vfs(name)
    }

    /// Opens the file with this durability. Defaults to [`Durability::Balanced`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How long a call waits for locks before its caller gets an error. Defaults to 60 ms.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// How long each step of the scenario may take. Defaults to 30 seconds.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What is played.
    pub fn scenario(&self) -> Scenario {
        self.scenario
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn vfs_name(&self) -> Option<&str> {
        self.vfs.as_deref()
    }

    pub(crate) fn options(&self) -> OpenOptions {
        let options =
            OpenOptions::new(&self.path).durability(self.durability).busy_timeout(self.busy_timeout);
        // The room that an engine keeps in the log is a thousand writes: a sweep would be over little else.
        let options = options.reserve(false);
        match &self.vfs {
            Some(vfs) => options.vfs(vfs),
            None => options,
        }
    }

    /// How another process that has no trouble, and time, opens the file.
    pub(crate) fn healthy_options(&self) -> OpenOptions {
        let options = OpenOptions::new(&self.path).durability(self.durability).busy_timeout(self.patience);
        match &self.vfs {
            Some(vfs) if self.vfs_is_for_all => options.vfs(vfs),
            _ => options,
        }
    }
}
