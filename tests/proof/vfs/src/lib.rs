//! A pass-through SQLite VFS over the system's one: it counts what SQLite asks of its files, lets the n-th operation
//! of a kind go wrong, kills the process there, and records every write for images of what a power cut leaves.
//!
//! ```
//! use mainspring_proof_vfs::{Fault, FaultVfs, FileKind, Flavour, Op};
//!
//! let vfs = FaultVfs::register("doc").unwrap();
//! let folder = tempfile::tempdir().unwrap();
//! let path = folder.path().join("app.db");
//! let conn =
//!     rusqlite::Connection::open_with_flags_and_vfs(path, Default::default(), vfs.name()).unwrap();
//! vfs.arm(Fault::first(Op::Write, Flavour::Full).on(FileKind::Database));
//! conn.execute_batch("CREATE TABLE t (x)").unwrap_err();
//! assert_eq!(vfs.fired(), 1);
//! conn.execute_batch("CREATE TABLE t (x)").unwrap();
//! ```
//!
//! Each registered VFS has state of its own, so that many run side by side in one process, and so that of two
//! connections on one file only one goes wrong. Unlocking, unmapping and closing never fail: SQLite has no answer to
//! that, and spins.
//!
//! This crate is the only one of the project with `unsafe` in it.

mod fault;
mod fork;
mod io_methods;
mod memory;
mod op;
mod record;
mod state;
#[cfg(test)]
mod tests;
mod vfs_methods;

use std::sync::Arc;
use std::time::Duration;

pub use fault::{Fault, Flavour};
pub use fork::{Ended, fork_until_its_end, in_a_fork};
pub use memory::without_memory_statistics;
pub use op::{Counts, FileKind, FileName, Op};
pub use record::{Event, Recorder};
use state::State;

/// A registered VFS. Dropping it takes the name away; connections that are open through it go on to work.
#[derive(Debug)]
pub struct FaultVfs {
    registration: vfs_methods::Registration,
    state: Arc<State>,
}

/// Names a fault that was armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Armed(usize);

impl FaultVfs {
    /// Registers a VFS under a name that no other one has. It becomes nobody's default.
    ///
    /// Some 300 bytes of it stay for the life of the process, since a connection may outlive the name.
    ///
    /// # Errors
    /// A sentence, if the name is taken or holds a NUL, or if SQLite has no VFS to pass through to.
    pub fn register(name: &str) -> Result<Self, String> {
        let state = Arc::new(State::new());
        let registration = vfs_methods::Registration::new(name, Arc::clone(&state))?;
        Ok(Self { registration, state })
    }

    /// Registers a VFS under a name that is unique in this process and begins with the given one.
    ///
    /// # Errors
    /// As of [`register`](Self::register).
    pub fn register_unique(prefix: &str) -> Result<Self, String> {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Self::register(&format!("{prefix}-{number}"))
    }

    /// The name, for `OpenOptions::vfs`.
    pub fn name(&self) -> &str {
        self.registration.name()
    }

    /// Lets something go wrong from now on. Several faults may be armed; where two meet, the first one counts.
    ///
    /// # Panics
    /// If the fault can never fire ([`Fault::can_fire`]): a test that arms it would test nothing.
    pub fn arm(&self, fault: Fault) -> Armed {
        assert!(fault.can_fire(), "\"{fault}\" can never fire");
        Armed(self.state.arm(fault))
    }

    /// Lets everything go right again. What fired stays on record.
    pub fn disarm(&self) {
        self.state.disarm();
    }

    /// Takes one fault away and leaves the others.
    pub fn disarm_one(&self, armed: Armed) {
        self.state.disarm_one(armed.0);
    }

    /// How often this fault fired.
    pub fn fired_by(&self, armed: Armed) -> u64 {
        self.state.fired_by(armed.0)
    }

    /// How often something went wrong, since it was registered.
    pub fn fired(&self) -> u64 {
        self.state.fired()
    }

    /// Where the first sixteen of them went wrong.
    pub fn where_fired(&self) -> Vec<(Op, FileKind)> {
        self.state.where_fired()
    }

    /// Waits until something went wrong that often. Returns whether it did.
    pub fn wait_fired(&self, times: u64, longest: Duration) -> bool {
        self.state.wait_fired(times, longest)
    }

    /// Fills the disk, or makes room on it again: while it is full, what is on it can be written anew, and no file can
    /// grow.
    pub fn set_full(&self, is_full: bool) {
        self.state.set_full(is_full);
    }

    /// How many writes a full disk has refused.
    pub fn refused_growth(&self) -> u64 {
        self.state.refused_growth()
    }

    /// How often each operation was asked for, since it was registered.
    pub fn counts(&self) -> Counts {
        self.state.counts()
    }

    /// The log of what is written through this VFS.
    pub fn recorder(&self) -> Recorder {
        Recorder { state: Arc::clone(&self.state) }
    }

    /// Bounds each of SQLite's own sleeps (its busy handler, its retries of a lock), so that a test which takes the
    /// locks away does not wait ten seconds. Defaults to no bound.
    pub fn longest_sleep(&self, longest: Duration) {
        self.state.set_longest_sleep(longest);
    }

    /// From now on a sync is counted, can go wrong and is recorded, and is not passed on: what a killed process has
    /// written is in the system's memory whether it was synced or not, and only a power cut tells the difference.
    pub fn only_count_syncs(&self) {
        self.state.set_only_counts_syncs();
    }
}
