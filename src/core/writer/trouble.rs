//! What went wrong and may go away: how long to wait, who is told, and what is saved of a log that lost its name.

use std::time::Duration;

use super::Core;
use crate::core::op::{Patience, Work};
use crate::error::Error;
use crate::store::{log, savepoint};

/// After a failed transaction the next one waits this long, doubling up to a second.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Core {
    /// Something failed that may go away: wait a little, longer each time, and say so once a time.
    pub(super) fn pause(&mut self, error: &Error) -> Duration {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.shared.pulse.error(Some(error.to_string()));
        // What has panicked may do so again at the same row: the next claims are made one by one.
        self.careful |= matches!(error, Error::Panicked { .. });
        if matches!(error, Error::DiskFull) && self.shared.engines.any() {
            self.log_room.found_full(self.shared.clock.steady());
        }
        // A connection that has seen an I/O error is not trusted again. What says nothing about it leaves it open: the
        // last one that closes takes the log with it, and on a bad day there may be no other.
        let is_to_blame = !matches!(
            error,
            Error::DiskFull | Error::FileReplaced { .. } | Error::Forked { .. } | Error::Io { .. }
        );
        if is_to_blame && !error.is_busy() {
            self.conn = None;
        }
        self.fail_impatient(error);
        match error {
            Error::Panicked { .. } => tracing::error!(%error, "this must not happen; going on"),
            _ if self.failures == 1 => {
                tracing::warn!(%error, "the queue's file cannot be written or read just now; trying again");
            }
            _ => {}
        }
        pause
    }

    /// Callers that have waited as long as they may get the error; facts wait on, unless the queue closes and no
    /// waiting helps.
    fn fail_impatient(&mut self, error: &Error) {
        let patience = self.shared.db.options().busy_timeout;
        let steady = self.shared.clock.steady();
        let closes = self.shared.inbox.is_closed() && !error.is_transient();
        let is_over = |command: &dyn Work| {
            closes
                || command.patience() == Patience::Caller
                    && steady.saturating_sub(command.since()) >= patience
        };
        let hopeless = !error.is_transient() || matches!(error, Error::DiskFull);
        let impatient = self.shared.inbox.take_if(self.generation.number, |command| {
            is_over(&**command) || hopeless && command.patience() == Patience::Caller
        });
        impatient.answer(|command| {
            let waited = steady.saturating_sub(command.since());
            command.fail(error.twin().after_waiting(waited));
        });
        for unresolved in &mut self.unresolved {
            let impatient = unresolved.batch.commands.take_if(|command| is_over(&**command));
            impatient.answer(|command| command.fail(Error::OutcomeUnknown { why: error.to_string() }));
        }
    }

    /// The log that this connection has open has lost its name, and would be gone with the process: what is in it is
    /// moved into the database, unless somebody else has written since.
    pub(super) fn save_log(&mut self) {
        let Some(conn) = &self.conn else { return };
        if std::mem::replace(&mut self.saved_log, true) || !self.shared.db.lost_its_log() {
            return;
        }
        let saved = match savepoint::data_version(conn) {
            Ok(version) if self.changes.is_still(version) => log::empty(conn),
            Ok(_) => return,
            Err(error) => Err(error),
        };
        match saved {
            Ok(()) => {
                tracing::warn!("the write-ahead log was deleted: what was in it is in the database now")
            }
            Err(error) => tracing::error!(%error, "the write-ahead log was deleted and could not be saved"),
        }
    }
}
