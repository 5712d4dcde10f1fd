//! What other connections have committed: noticed by a number that SQLite counts.

use std::time::Duration;

use rusqlite::Connection;

use crate::core::shared::Shared;
use crate::error::Result;
use crate::store::savepoint;

/// What is known of other connections' commits.
#[derive(Debug, Default)]
pub(super) struct Changes {
    version: Option<i64>,
    /// When one was noticed last, on the steady clock.
    at: Duration,
    /// One was noticed, and what comes of it was not looked for yet.
    news: bool,
    /// One was noticed, and whether it gave ids was not looked at yet.
    has_others: bool,
}

impl Changes {
    /// Whether another connection has committed since the last look. Within a transaction it takes no lock.
    pub(super) fn look(&mut self, conn: &Connection, shared: &Shared) -> Result<bool> {
        let version = savepoint::data_version(conn)?;
        let changed = self.version != Some(version);
        if changed {
            // Another process may have migrated the file past what this library may write.
            shared.db.check_schema(conn)?;
            self.version = Some(version);
            (self.news, self.has_others) = (true, true);
        }
        if changed || shared.take_hint() {
            self.at = shared.clock.steady();
        }
        Ok(changed)
    }

    /// Whether nothing was committed since the last look.
    pub(super) fn is_still(&self, version: i64) -> bool {
        self.version == Some(version)
    }

    pub(super) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// Whether others may have given ids since this was asked last.
    pub(super) fn take_others(&mut self) -> bool {
        std::mem::take(&mut self.has_others)
    }

    /// How long ago one was noticed.
    pub(super) fn quiet_for(&self, steady: Duration) -> Duration {
        steady.saturating_sub(self.at)
    }

    /// Another connection of ours counts from another number.
    pub(super) fn forget(&mut self) {
        self.version = None;
    }
}
