//! One transaction: the commands, then the claims that the free slots allow, one commit, then the answers.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;

use super::batch::{Batch, Effects, Failed, Run, apply_all, apply_apart};
use super::doubt::Unresolved;
use super::{Core, LOOK_AGAIN, use_sync};
use crate::core::inbox::Hand;
use crate::core::messages::Answers;
use crate::core::op::{Effect, Promise, Work};
use crate::error::{Error, Result};
use crate::policy::Durability;
use crate::run::OwnerId;
use crate::sabotage::{Bug, on};
use crate::store::claim::{ClaimRequest, claim};
use crate::store::{Immediate, Sync, Tx, deliver, owners};
use crate::time::Timestamp;

impl Core {
    /// One transaction: the commands, then the claims that the free slots allow, one commit, then the answers.
    pub(super) fn transact(&mut self, mut batch: Batch, now: Timestamp) -> Result<()> {
        let mut written = self.write(&mut batch, now);
        if matches!(written, Err(Failed::Claim(_))) {
            // Nobody who called is to blame for what a row holds: claimed one by one, the row is found and parked.
            batch = Batch::new(batch.commands);
            written = self.write(&mut batch, now);
        }
        match written {
            Ok(()) => {
                self.committed(batch);
                Ok(())
            }
            Err(Failed::Before(error) | Failed::Claim(error)) => Err(error),
            Err(Failed::Commit(error)) if on(Bug::CommitErrorMeansNo) => Err(error),
            Err(Failed::Commit(error)) => {
                // Unknown, never no: neither a handler nor a delivery starts, and nobody is answered, before the
                // file has told what became of it.
                tracing::warn!(%error, "a commit returned an error: looking at what became of it");
                let (writer_id, transaction_no) = (self.writer_id, self.transaction_no);
                self.unresolved.push(Unresolved { writer_id, transaction_no, batch });
                self.spent = self.conn.take();
                Err(error)
            }
        }
    }

    fn write(&mut self, batch: &mut Batch, mut now: Timestamp) -> std::result::Result<(), Failed> {
        let durability = self.shared.db.options().durability;
        let sync = self.choose_sync(batch.commands.commands(), durability)?;
        let generation = Arc::clone(&self.generation);
        let (writer_id, transaction_no) = (self.writer_id, self.transaction_no + 1);
        let Some(conn) = &self.conn else { return Err(Failed::Before(Error::Closed)) };
        let before = conn.total_changes();
        let statements = Tx::on(conn);
        let tx = Immediate::begin(conn)?;
        if self.changes.look(conn, &self.shared)? {
            self.stuck.clear();
        }
        let (tx, effects) = self.apply(tx, conn, &statements, &mut batch.commands, sync, &mut now)?;
        batch.may_stop_runs = effects.may_stop_runs;
        let rooms = self.rooms(&effects.ended, &effects.delivered);
        let mut deliveries_left: HashMap<OwnerId, usize> = HashMap::new();
        for room in rooms {
            let request = ClaimRequest {
                owner: room.owner,
                queue: &room.queue,
                slots: room.slots,
                kinds: &room.kinds,
                synced: sync == Sync::Full,
                careful: self.careful,
                durability,
            };
            let burst = self.burst.entry(room.owner).or_default();
            let claims = claim(&statements, &request, burst, now).map_err(|error| {
                self.careful = !error.is_transient();
                if self.careful && !request.careful { Failed::Claim(error) } else { Failed::Before(error) }
            })?;
            if claims.runs.is_empty() && room.slots > 0 && !claims.needs_sync && !claims.left {
                batch.stuck.insert(Arc::clone(&room.queue));
            }
            batch.needs_sync |= claims.needs_sync;
            batch.may_stop_runs |= !claims.superseded.is_empty();
            batch.runs.extend(claims.runs);
            batch.parked.extend(claims.parked);
            let left = deliveries_left.entry(room.owner).or_insert(room.deliveries);
            if *left > 0 {
                let taken =
                    deliver::take_up(&tx, room.owner, &room.queue, *left, now).map_err(Failed::Before)?;
                *left -= taken.len().min(*left);
                batch.deliveries.extend(taken);
            }
        }
        if conn.total_changes() == before && (self.failures == 0 || self.log_room.is_full()) {
            // Nothing was written: there is nothing to commit, and no mark to leave. After a failure the mark is
            // written all the same, to learn whether the file can be written again; on a full disk that is learnt
            // otherwise.
            tx.rollback()?;
            return Ok(());
        }
        owners::mark(&tx, writer_id, transaction_no, now).map_err(Failed::Before)?;
        if generation.is_over() {
            return Err(Failed::Before(Error::Closed));
        }
        self.transaction_no = transaction_no;
        tx.commit().map_err(|error| Failed::Commit(error.into()))?;
        // It has taken the place in the log of what failed before it.
        self.spent = None;
        Ok(())
    }

    /// Runs the commands: those that were taken, and then those that came meanwhile, so that one sync serves them all.
    /// Nobody is waited for.
    fn apply<'conn>(
        &self,
        tx: Immediate<'conn>,
        conn: &'conn Connection,
        statements: &Tx<'_>,
        commands: &mut Hand<Box<dyn Work>>,
        sync: Sync,
        now: &mut Timestamp,
    ) -> Result<(Immediate<'conn>, Effects)> {
        // Whoever comes later may need a sync that was not chosen, and on a full disk it is not for everybody.
        let others_may_join = !self.log_room.is_full()
            && (sync == Sync::Full || self.shared.db.options().durability == Durability::Relaxed);
        let mut effects = Effects::default();
        let mut applied = 0;
        while let Some(new @ [_, ..]) = commands.commands_mut().get_mut(applied..) {
            if apply_all(statements, new, &mut effects, *now)? == Run::OneFailed {
                drop(tx);
                let tx = Immediate::begin(conn)?;
                let effects = apply_apart(statements, commands.commands_mut(), *now)?;
                return Ok((tx, effects));
            }
            applied = commands.commands().len();
            if others_may_join && commands.take_more() > 0 {
                // What was made due at once, just now, is due.
                *now = self.shared.clock.now();
            }
        }
        Ok((tx, effects))
    }

    /// The sync of the next commit: that of the command which needs the most.
    fn choose_sync(&mut self, commands: &[Box<dyn Work>], durability: Durability) -> Result<Sync> {
        let conn = self.conn.as_ref().ok_or(Error::Closed)?;
        let full = self.needs_sync
            || Promise::Repaired.needs_sync(durability)
            || commands.iter().any(|command| command.promise(conn).needs_sync(durability));
        use_sync(conn, &mut self.synchronous, full)
    }

    /// The transaction is in the file: now handlers start and callers are answered.
    pub(super) fn committed(&mut self, batch: Batch) {
        let (mut ended, mut delivered) = (Vec::new(), Vec::new());
        for command in batch.commands.commands() {
            match command.effect() {
                Effect::FreesSlot(run) => ended.push(run),
                Effect::FreesDelivery(run) => delivered.push(run),
                Effect::None | Effect::MayStopRuns => {}
            }
        }
        (self.needs_sync, self.careful) = (batch.needs_sync, false);
        let steady = self.shared.clock.steady();
        self.log_room.count_transaction(steady);
        let again = steady + LOOK_AGAIN;
        self.stuck = batch.stuck.into_iter().map(|queue| (queue, again)).collect();
        self.liveness.look_at_stops |= batch.may_stop_runs;
        self.shared.engines.ended(&ended, &delivered);
        let claims = batch.runs.len();
        let mut commands = batch.commands;
        let mut answers = Answers(commands.take_all());
        let is_over =
            !self.shared.engines.tell(&self.generation, batch.runs, batch.deliveries, &mut answers.0);
        // Those that no engine took; then the hand is empty.
        drop(answers);
        drop(commands);
        // Told last: whoever listens to the log may be slow, or panic.
        for (job, reason) in &batch.parked {
            tracing::warn!(job = job.0, reason, "a job was parked");
        }
        if is_over {
            // This commit slipped in after the watchdog had given this generation up: the next one gives its
            // claims back, since no handler of them has started.
            tracing::warn!(claims, "claims of a replaced writer are left to be given back");
        }
    }
}
