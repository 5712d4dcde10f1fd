//! What is not a command: other owners' deaths, stops, jobs without a next time, and the writer's own mark.

use rusqlite::{Transaction, TransactionBehavior};

use super::{Core, use_sync};
use crate::core::liveness;
use crate::core::op::Promise;
use crate::error::{Error, Result};
use crate::store::{marks, replan};
use crate::time::Timestamp;

impl Core {
    /// What is not a command: other owners' deaths, stops, jobs without a next time.
    pub(super) fn tend(&mut self, now: Timestamp) -> Result<()> {
        let news = self.changes.take_news();
        self.look_for_unplanned |= news;
        let Self { liveness: looks, shared, generation, conn, synchronous, look_for_unplanned, .. } = self;
        let Some(conn) = conn.as_ref() else { return Err(Error::Closed) };
        if !shared.engines.any() {
            return Ok(());
        }
        // What is done here is repaired by itself after a power cut: synced under `Strict` only.
        let full = Promise::Repaired.needs_sync(shared.db.options().durability);
        if looks.may_write(news, shared.clock.steady()) {
            use_sync(conn, synchronous, full)?;
        }
        looks.tend(shared, generation, conn, news, now)?;
        if *look_for_unplanned && replan::has_unplanned(conn)? {
            use_sync(conn, synchronous, full)?;
            let tx = liveness::begin(conn, generation)?;
            let planned = replan::replan(&tx, now)?;
            liveness::commit(tx, generation)?;
            tracing::info!(jobs = planned, "jobs without a next time were planned anew");
        } else {
            // Looked at again until none is left: they are planned a batch at a time.
            *look_for_unplanned = false;
        }
        Ok(())
    }

    /// The writer's mark is forgotten, and the ids that it did not need are given back.
    pub(super) fn forget_mark(&self) {
        let Some(conn) = &self.conn else { return };
        let forgotten = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)
            .map_err(Error::from)
            .and_then(|tx| {
                marks::forget(&tx, self.writer_id, self.shared.clock.now())?;
                self.ids.give_back(&tx)?;
                Ok(tx.commit()?)
            });
        if let Err(error) = forgotten {
            tracing::debug!(%error, "the writer's mark was left; a later writer drops it");
        }
    }
}
