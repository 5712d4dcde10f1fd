//! The log of the file: room in it for facts when the disk has none, and a warning when it cannot be emptied.

use std::time::Duration;

use rusqlite::Connection;

use super::shared::Shared;
use crate::error::{Error, Result};
use crate::store::log::{self, LogState, RESERVE};

/// The log is looked at after so many transactions, or after so long.
const TRANSACTIONS: u32 = 16;
const LOOK: Duration = Duration::from_millis(500);
/// When nothing was written for so long, what is in the log is moved into the database, if it is so much: then it need
/// not be by a commit that somebody waits for. Less is left to become more, since each page is written once however often
/// it was changed.
const QUIET: Duration = Duration::from_secs(1);
const WORTH_MOVING: u64 = 1 << 20;
/// On a full disk room is looked for this often.
const LOOK_FOR_ROOM: Duration = Duration::from_secs(1);
/// Below this the room is made longer again: more than so many transactions take.
const LEAST_AHEAD: u64 = RESERVE / 2;
/// A log of which so much waits to be moved into the database cannot be emptied: some connection reads for long. It is
/// emptied every four megabytes otherwise.
const HELD_BACK: u64 = 32 << 20;

/// What is known of the log, on the steady clock.
#[derive(Debug, Default)]
pub(super) struct LogRoom {
    looked_at: Option<Duration>,
    transactions: u32,
    /// When something was written last that was not moved in a quiet moment.
    written_at: Option<Duration>,
    /// The disk is full: nothing is claimed, and callers are refused, so that what room there is stays for facts.
    full: bool,
    /// How much waited when it was last warned of; 0 if the log can be emptied.
    warned_at: u64,
}

impl LogRoom {
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// A transaction found the disk full.
    pub(super) fn found_full(&mut self, steady: Duration) {
        if !self.full {
            tracing::warn!("the disk is full: nothing is claimed until there is room, and results are kept");
        }
        (self.full, self.looked_at) = (true, Some(steady));
    }

    pub(super) fn count_transaction(&mut self, steady: Duration) {
        self.written_at = Some(steady);
        self.transactions = self.transactions.saturating_add(1);
    }

    /// How long until the next look, if there is one by itself.
    pub(super) fn next_look(&self, steady: Duration) -> Option<Duration> {
        let looked_at = self.looked_at.filter(|_| self.full)?;
        Some(LOOK_FOR_ROOM.saturating_sub(steady.saturating_sub(looked_at)))
    }

    /// Looks at the log if it is time.
    pub(super) fn look(&mut self, shared: &Shared, conn: &Connection, steady: Duration) -> Result<()> {
        let waited = self.looked_at.map(|at| steady.saturating_sub(at));
        let due = match waited {
            None => true,
            Some(waited) if self.full => waited >= LOOK_FOR_ROOM,
            Some(waited) => waited >= LOOK || self.transactions >= TRANSACTIONS,
        };
        if !due {
            return Ok(());
        }
        (self.looked_at, self.transactions) = (Some(steady), 0);
        let state = log::look(conn, &shared.db)?;
        self.warn_of_readers(&state);
        shared.pulse.log(state.not_moved, self.warned_at > 0);
        self.keep_room(shared, &state);
        self.use_the_quiet(conn, &state, steady);
        Ok(())
    }

    /// Moves what waits in the log, once after the last transaction.
    fn use_the_quiet(&mut self, conn: &Connection, state: &LogState, steady: Duration) {
        let is_quiet = self.written_at.is_some_and(|at| steady.saturating_sub(at) >= QUIET);
        if !is_quiet || self.full || self.warned_at > 0 || state.not_moved < WORTH_MOVING {
            return;
        }
        self.written_at = None;
        if let Err(error) = log::empty(conn) {
            // As after a commit, where SQLite says nothing of it: all is in the log still, and is moved another time.
            tracing::debug!(%error, "the write-ahead log could not be moved into the database");
        }
    }

    /// Warns when the log is held back, and again each time it has doubled.
    fn warn_of_readers(&mut self, state: &LogState) {
        if state.not_moved < HELD_BACK {
            self.warned_at = 0;
        } else if self.warned_at == 0 || state.not_moved >= self.warned_at.saturating_mul(2) {
            self.warned_at = state.not_moved;
            let megabytes = state.not_moved >> 20;
            tracing::warn!(
                megabytes,
                "the write-ahead log grows: some connection keeps a read transaction open"
            );
        }
    }

    /// Sees to it that facts can be written on a full disk. That it cannot be done is how a full disk is noticed.
    fn keep_room(&mut self, shared: &Shared, state: &LogState) {
        let wanted = shared.db.options().reserve && shared.engines.any();
        if !wanted {
            // Nothing tells that there is room again but another try.
            self.full = false;
            return;
        }
        if !self.full && state.ahead >= LEAST_AHEAD {
            return;
        }
        match log::reserve(&shared.db) {
            Ok(()) if self.full => {
                self.full = false;
                tracing::info!("there is room on the disk again");
            }
            Ok(()) => {}
            Err(Error::DiskFull) if self.full => {}
            Err(Error::DiskFull) => self.found_full(self.looked_at.unwrap_or_default()),
            Err(error) if error.is_busy() => {}
            // The room is for a bad day, and this may be one: whoever writes next is told what is wrong.
            Err(error) => tracing::warn!(%error, "no room could be kept in the write-ahead log"),
        }
    }
}
