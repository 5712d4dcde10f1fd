//! How the queue's file is opened.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::BUSY_TIMEOUT;
use super::migrate::Migrated;
use super::open::{self, APPLICATION_ID};
use crate::error::{Error, Result};
use crate::job::Limits;
use crate::policy::Durability;

/// How many connections read at once unless said otherwise.
const DEFAULT_READERS: u32 = 4;
/// More readers than this gain nothing and cost a file descriptor or two each.
const MOST_READERS: u32 = 256;
/// The longest busy timeout: what waits for longer is stuck.
const LONGEST_BUSY_TIMEOUT: Duration = Duration::from_secs(3_600);

/// How a queue's file is found, made and opened.
///
/// ```
/// use std::time::Duration;
/// use mainspring::OpenOptions;
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("app.db");
/// let options = OpenOptions::new(&path).busy_timeout(Duration::from_secs(5)).readers(2);
/// let migrated = options.migrate()?;
/// assert_eq!(migrated.version, migrated.applied.len() as i64);
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    path: PathBuf,
    pub(crate) create: bool,
    pub(crate) busy_timeout: Duration,
    pub(crate) readers: u32,
    pub(crate) durability: Durability,
    pub(crate) limits: Limits,
    application_id: AcceptedIds,
    pub(crate) vfs: Option<String>,
    pub(crate) reserve: bool,
}

impl OpenOptions {
    /// Options for the file at `path`. Its folder must exist; the last part of the path is no symbolic link.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_path_buf(),
            create: true,
            busy_timeout: BUSY_TIMEOUT,
            readers: DEFAULT_READERS,
            durability: Durability::Balanced,
            limits: Limits::default(),
            application_id: AcceptedIds::Ours,
            vfs: None,
            reserve: true,
        }
    }

    /// Sets whether a missing file is made, with mode 0600. Defaults to true.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Sets how long a connection waits for another one's lock, in whole milliseconds and at most an hour.
    /// Defaults to 10 seconds. A read waits as long for a free reader, but at least a second.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// Sets how many connections read at once, 1 to 256. They are opened when they are needed. Defaults to 4.
    /// An application's own pool has its own number.
    pub fn readers(mut self, readers: u32) -> Self {
        self.readers = readers;
        self
    }

    /// Sets which transactions wait for the disk. Defaults to [`Durability::Balanced`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets how long the values of a row may be. Defaults to [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Accepts a file that carries this application id: the application's own, in whose database the queue
    /// shall live. Defaults to none: only 0 (nobody's) and mainspring's own `0x4d4e5350` are accepted.
    pub fn application_id(mut self, id: i32) -> Self {
        self.application_id = AcceptedIds::And(id);
        self
    }

    /// Sets whether an engine keeps 2 MiB of room in the write-ahead log, on the disk already, so that the results of
    /// what runs can be written when the disk is full: then nothing new is claimed or enqueued until there is room
    /// again. Costs a few milliseconds and as much disk at the start of an engine. Does nothing on file systems that
    /// write to a new place each time (btrfs, zfs). Defaults to true.
    pub fn reserve(mut self, reserve: bool) -> Self {
        self.reserve = reserve;
        self
    }

    /// Opens the file through the SQLite VFS of that name, which is registered already. Defaults to SQLite's own.
    pub fn vfs(mut self, name: impl Into<String>) -> Self {
        self.vfs = Some(name.into());
        self
    }

    /// The path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes, checks and migrates the file without starting a queue on it, as a step of a deployment.
    ///
    /// An up-to-date file is not written. Several processes may do this at once.
    ///
    /// # Errors
    /// The same as opening a queue: [`Error::NewerSchema`], [`Error::DivergedHistory`],
    /// [`Error::MalformedHistory`], [`Error::Migration`], [`Error::NotADatabase`],
    /// [`Error::ForeignApplicationId`], [`Error::ReadOnly`], [`Error::CannotOpen`], [`Error::SymbolicLink`],
    /// [`Error::SqliteTooOld`], [`Error::ConnectionSetting`], [`Error::InvalidOption`] and [`Error::Busy`].
    /// After each of them the file is as it was before.
    pub fn migrate(&self) -> Result<Migrated> {
        open::open(self).map(|opened| opened.migrated)
    }

    /// The same options for the file of an application's own pool: handing the pool over says that the queue
    /// shall live in that file, whatever id it carries, and that it is there.
    pub(super) fn for_pool_at(&self, path: PathBuf) -> Self {
        Self { path, create: false, application_id: AcceptedIds::Any, ..self.clone() }
    }

    /// Whether a file that carries this id may be opened. 0 is nobody's.
    pub(super) fn accepts(&self, application_id: i32) -> bool {
        match self.application_id {
            AcceptedIds::Ours => [0, APPLICATION_ID].contains(&application_id),
            AcceptedIds::And(id) => [0, APPLICATION_ID, id].contains(&application_id),
            AcceptedIds::Any => true,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        if !(1..=MOST_READERS).contains(&self.readers) {
            return Err(Error::invalid("readers", format!("is {}: give 1 to {MOST_READERS}", self.readers)));
        }
        if self.busy_timeout > LONGEST_BUSY_TIMEOUT {
            return Err(Error::invalid(
                "busy_timeout",
                "is longer than an hour: what waits for longer is stuck",
            ));
        }
        match self.path.to_str() {
            Some("") => Err(Error::invalid("path", "is empty: name the database file")),
            Some(":memory:") => Err(Error::invalid("path", "is \":memory:\": a queue needs a file")),
            Some(uri) if uri.starts_with("file:") => {
                Err(Error::invalid("path", "is a URI: give the plain path of the database file"))
            }
            _ => Ok(()),
        }
    }
}

/// Which application ids a file may carry.
#[derive(Clone, Copy, Debug)]
enum AcceptedIds {
    Ours,
    And(i32),
    Any,
}
