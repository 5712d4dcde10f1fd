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
use crate::store::marks::{self, Mark};
use crate::store::{Immediate, Sync, Tx, deliver};
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
            Err(Failed::Commit(error, _)) if on(Bug::CommitErrorMeansNo) => Err(error),
            Err(Failed::Commit(error, mark)) => {
                // Unknown, never no: neither a handler nor a delivery starts, and nobody is answered, before the
                // file has told what became of it.
                tracing::warn!(%error, "a commit returned an error: looking at what became of it");
                self.unresolved.push(Unresolved { writer_id: self.writer_id, mark, batch });
                self.spent = self.conn.take();
                Err(error)
            }
        }
    }

    fn write(&mut self, batch: &mut Batch, mut now: Timestamp) -> std::result::Result<(), Failed> {
        let durability = self.shared.db.options().durability;
        let sync = self.choose_sync(batch.commands.commands(), durability)?;
        let generation = Arc::clone(&self.generation);
        let Some(conn) = &self.conn else { return Err(Failed::Before(Error::Closed)) };
        let before = conn.total_changes();
        // What is reserved in a transaction that is not made is not reserved.
        let statements = Tx::of_writer(conn, self.writer_id, std::mem::take(&mut self.ids));
        let tx = Immediate::begin(conn)?;
        if self.changes.look(conn, &self.shared)? {
            self.stuck.clear();
        }
        if self.changes.take_others() {
            statements.ids().look(&tx)?;
        }
        let (tx, run, effects) = self.apply(tx, conn, &statements, &mut batch.commands, sync, &mut now)?;
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
            self.ids = statements.ids().clone();
            return Ok(());
        }
        // What was undone has left no job.
        let first_job = statements.first_job().filter(|_| run == Run::All);
        let row_is_new = self.row_written_at.is_some_and(|at| !marks::is_old(at, now));
        let mark = match first_job {
            Some(job) if row_is_new => Mark::Job(job),
            _ => {
                self.transaction_no += 1;
                marks::leave(&tx, self.writer_id, self.transaction_no, now).map_err(Failed::Before)?;
                Mark::Number(self.transaction_no)
            }
        };
        if generation.is_over() {
            return Err(Failed::Before(Error::Closed));
        }
        tx.commit().map_err(|error| Failed::Commit(error.into(), mark))?;
        if run == Run::All && !self.careful {
            self.ids = statements.ids().clone();
        }
        if matches!(mark, Mark::Number(_)) {
            self.row_written_at = Some(now);
        }
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
    ) -> Result<(Immediate<'conn>, Run, Effects)> {
        // Whoever comes later may need a sync that was not chosen, and on a full disk it is not for everybody.
        let others_may_join = !self.log_room.is_full()
            && (sync == Sync::Full || self.shared.db.options().durability == Durability::Relaxed);
        let mut effects = Effects::default();
        let mut applied = 0;
        while let Some(new @ [_, ..]) = commands.commands_mut().get_mut(applied..) {
            if apply_all(statements, new, &mut effects, *now)? == Run::OneFailed {
                drop(tx);
                let tx = Immediate::begin(conn)?;
                // Ids that are reserved where something is undone are not reserved.
                let effects = apply_apart(&Tx::on(conn), commands.commands_mut(), *now)?;
                return Ok((tx, Run::OneFailed, effects));
            }
            applied = commands.commands().len();
            if others_may_join && commands.take_more() > 0 {
                // What was made due at once, just now, is due.
                *now = self.shared.clock.now();
            }
        }
        Ok((tx, Run::All, effects))
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
