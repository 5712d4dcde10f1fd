//! Commits that returned an error: nobody is answered before the file has told what became of them.

use super::Core;
use super::batch::Batch;
use crate::error::Result;
use crate::store::marks::{self, Mark};
use crate::time::Timestamp;

/// A transaction whose commit returned an error: its mark tells what became of it.
pub(in crate::core) struct Unresolved {
    pub(super) writer_id: i64,
    pub(super) mark: Mark,
    pub(super) batch: Batch,
}

impl Core {
    /// After a commit that returned an error: its mark tells whether the transaction is in the file.
    pub(super) fn resolve(&mut self, now: Timestamp) -> Result<()> {
        while let Some(last) = self.unresolved.last() {
            let is_there = marks::is_there(self.conn()?, last.writer_id, last.mark)?;
            let Some(Unresolved { mut batch, .. }) = self.unresolved.pop() else { break };
            if is_there {
                self.committed(batch);
                tracing::info!("the commit that returned an error is in the file");
            } else {
                // It is not in the file. The same commands are driven again; claims are made anew. Until one of them
                // is written, what lies in the log may still come to life: a process that is killed now leaves it to
                // the next one to read.
                batch.commands.commands_mut().iter_mut().for_each(|command| command.doubt());
                self.transact(Batch::new(batch.commands), now)?;
            }
        }
        Ok(())
    }

    /// Takes over what a replaced writer did not know of its last commit. Its claims have started no handler, and are
    /// given back like all that it made in its last moment.
    pub(super) fn adopt(&mut self) {
        for left in self.shared.take_unresolved() {
            let batch = Batch::new(left.batch.commands);
            self.unresolved.push(Unresolved { batch, ..left });
        }
    }
}
