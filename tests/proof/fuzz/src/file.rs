//! Files that cases work on: each is a copy of one that was made once, in a place where syncing costs nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use mainspring::testing::ManualClock;
use mainspring::{Durability, Error, OpenOptions, Queue, Timestamp};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tempfile::TempDir;

use crate::hostile::NOW_MS;

/// How long a lock is waited for. Nobody holds one for longer than it takes to read a row.
const BUSY: Duration = Duration::from_secs(10);

/// A folder in memory, where there is one.
pub(crate) fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir()
        && let Ok(dir) = tempfile::tempdir_in(memory)
    {
        return dir;
    }
    tempfile::tempdir().expect("there is a place for temporary files")
}

pub(crate) fn options(path: &Path) -> OpenOptions {
    OpenOptions::new(path).durability(Durability::Relaxed).reserve(false).busy_timeout(BUSY).readers(1)
}

pub(crate) fn clock() -> ManualClock {
    ManualClock::at(Timestamp::from_millis(NOW_MS))
}

pub(crate) fn open(path: &Path, clock: &ManualClock) -> Result<Queue, Error> {
    Queue::open_on_clock(&options(path), Arc::new(clock.clone()))
}

/// A file that was just made, as bytes.
pub(crate) static NEW: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let dir = folder();
    let path = dir.path().join("new.db");
    options(&path).migrate().expect("a new file can be made");
    fs::read(path).expect("and read")
});

/// A copy of a file in a folder of its own.
pub(crate) struct Copy {
    _dir: TempDir,
    pub(crate) path: PathBuf,
}

impl Copy {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let dir = folder();
        let path = dir.path().join("case.db");
        fs::write(&path, bytes).expect("there is room for a file");
        Self { _dir: dir, path }
    }

    /// A connection as a person has it who edits a row by hand.
    pub(crate) fn checked(&self) -> Connection {
        let conn = Connection::open(&self.path).expect("the file can be opened");
        conn.execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = OFF").expect("pragmas");
        conn
    }

    /// A connection that no constraint, no trigger and no key keeps from anything.
    pub(crate) fn unchecked(&self) -> Connection {
        let conn = Connection::open(&self.path).expect("the file can be opened");
        for (config, on) in [
            (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false),
            (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false),
        ] {
            conn.set_db_config(config, on).expect("a setting that SQLite knows");
        }
        conn.execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA synchronous = OFF")
            .expect("pragmas");
        conn
    }
}
