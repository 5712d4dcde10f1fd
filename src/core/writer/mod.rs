//! The synchronous core: one step takes what has arrived, writes it in one transaction and answers.

mod batch;
mod changes;
mod doubt;
mod sleep;
mod tend;
mod transact;
mod trouble;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use self::batch::Batch;
use self::changes::Changes;
pub(super) use self::doubt::Unresolved;
use self::trouble::LONGEST_PAUSE;
use super::drive::Steps;
use super::engines::Room;
use super::generation::Generation;
use super::liveness::Liveness;
use super::log_room::LogRoom;
use super::op::{Patience, Work};
use super::shared::Shared;
use crate::error::{Error, Result, caught};
use crate::run::{OwnerId, RunId};
use crate::sabotage::{Bug, on};
use crate::store::claim::Burst;
use crate::store::ids::Ids;
use crate::store::{Sync, read, set_synchronous};
use crate::time::Timestamp;

/// Jobs that were ready but could not be claimed (a paused queue, kinds of other engines) are looked at again
/// after this time, or when something was written.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The writer of one generation. Whoever holds its mutex drives it: the thread, or a caller that blocks.
pub(super) struct Core {
    shared: Arc<Shared>,
    generation: Arc<Generation>,
    conn: Option<Connection>,
    synchronous: Option<Sync>,
    changes: Changes,
    /// Names this writer in its marks.
    writer_id: i64,
    transaction_no: i64,
    /// When its row was last written by this connection.
    row_written_at: Option<Timestamp>,
    /// What it has reserved in transactions that are in the file.
    ids: Ids,
    /// Commits that returned an error, and nobody knows yet whether they happened: this writer's last one, and those
    /// that writers left which it replaced.
    unresolved: Vec<Unresolved>,
    burst: HashMap<OwnerId, Burst>,
    /// Queues whose ready jobs could not be claimed, and when to look again.
    stuck: HashMap<Arc<str>, Duration>,
    needs_sync: bool,
    /// A claim failed for what a row holds: each job is claimed in a savepoint of its own, so that the one which
    /// cannot be claimed is found and parked.
    careful: bool,
    /// Somebody else wrote: jobs whose next time they took away are to be looked for, once there is an engine.
    look_for_unplanned: bool,
    failures: u32,
    liveness: Liveness,
    log_room: LogRoom,
    /// Whether health says that the disk is full.
    told_full: bool,
    /// A connection whose commit returned an error, closed once another commit has worked. What failed may lie in the log
    /// whole, behind its last commit, and the index of the log leaves it out. The index goes with the last connection:
    /// whoever opens the next one reads the log anew, and that commit comes to life when nobody asks for it any more.
    spent: Option<Connection>,
    /// The log that lost its name was saved, as far as it could be.
    saved_log: bool,
}

impl Core {
    pub(super) fn new(shared: Arc<Shared>, generation: Arc<Generation>) -> Self {
        Self {
            shared,
            generation,
            conn: None,
            synchronous: None,
            changes: Changes::default(),
            writer_id: i64::from_ne_bytes(uuid::Uuid::new_v4().as_u64_pair().0.to_ne_bytes()) >> 1,
            transaction_no: 0,
            row_written_at: None,
            ids: Ids::default(),
            unresolved: Vec::new(),
            burst: HashMap::new(),
            stuck: HashMap::new(),
            needs_sync: false,
            careful: false,
            look_for_unplanned: true,
            failures: 0,
            liveness: Liveness::default(),
            log_room: LogRoom::default(),
            told_full: false,
            spent: None,
            saved_log: false,
        }
    }

    fn step_or_pause(&mut self) -> Duration {
        if self.generation.is_over() {
            return Duration::ZERO;
        }
        let waits = self.shared.db.options().busy_timeout;
        match caught("the writer", || self.try_step()).map_err(|error| error.after_waiting(waits)) {
            Ok(sleep) => {
                let full = self.log_room.is_full();
                if self.failures > 0 || self.told_full != full {
                    (self.failures, self.told_full) = (0, full);
                    self.shared.pulse.error(full.then(|| Error::DiskFull.to_string()));
                }
                sleep
            }
            Err(_) if self.generation.is_over() => Duration::ZERO,
            Err(error) if on(Bug::TimerNotRearmed) => {
                self.pause(&error);
                Duration::from_secs(86_400)
            }
            Err(error) => self.pause(&error),
        }
    }

    fn try_step(&mut self) -> Result<Duration> {
        let mut now = self.shared.clock.now();
        self.shared.pulse.tick(now, self.shared.clock.steady());
        self.connect()?;
        // SQLite does not notice that its file was deleted or replaced: what is written then is lost.
        if let Err(replaced) = self.shared.db.check_files() {
            self.save_log();
            return Err(replaced);
        }
        self.resolve(now)?;
        let mut commands = self.shared.inbox.take(self.generation.number);
        if self.log_room.is_full() {
            // What room there is in the log is for what has happened.
            let refused = commands.take_if(|command| command.patience() == Patience::Caller);
            refused.answer(|command| command.fail(Error::DiskFull));
        }
        // After the commands: whoever is replaced from here on gives notice after this step took notice.
        self.adopt();
        let more = !commands.commands().is_empty();
        if more {
            // What was given since the step began may be due by now. Their transaction looks for changes itself.
            now = self.shared.clock.now();
        } else {
            self.look_for_changes()?;
        }
        if more || self.needs_sync || self.failures > 0 || self.something_is_due(now)? {
            self.transact(Batch::new(commands), now)?;
            // A commit may take long.
            now = self.shared.clock.now();
        }
        self.tend(now)?;
        let steady = self.shared.clock.steady();
        if let Some(conn) = &self.conn {
            self.log_room.look(&self.shared, conn, steady)?;
        }
        let waiting = self.shared.inbox.len() > 0 || self.needs_sync || !self.unresolved.is_empty();
        Ok(if waiting { Duration::ZERO } else { self.sleep_until_next(now)? })
    }

    fn connect(&mut self) -> Result<()> {
        if self.conn.is_none() {
            self.conn = Some(self.shared.db.only_writer()?);
            (self.synchronous, self.saved_log, self.row_written_at) = (None, false, None);
            self.ids = Ids::default();
            self.changes.forget();
            // One that could not even roll back still holds the lock.
            self.spent = self.spent.take().filter(Connection::is_autocommit);
        }
        Ok(())
    }

    /// What there is room for; nothing on a full disk, since what is claimed there could not be recorded.
    fn rooms(&self, ending: &[RunId], delivered: &[RunId]) -> Vec<Room> {
        if self.log_room.is_full() {
            return Vec::new();
        }
        self.shared.engines.rooms(self.generation.number, ending, delivered)
    }

    fn conn(&self) -> Result<&Connection> {
        self.conn.as_ref().ok_or(Error::Closed)
    }

    /// Looks whether another connection has committed since the last look.
    fn look_for_changes(&mut self) -> Result<()> {
        let conn = self.conn.as_ref().ok_or(Error::Closed)?;
        if self.changes.look(conn, &self.shared)? {
            self.stuck.clear();
        }
        Ok(())
    }

    fn something_is_due(&mut self, now: Timestamp) -> Result<bool> {
        let rooms = self.rooms(&[], &[]);
        let looked_at = self.shared.clock.steady();
        self.stuck.retain(|_, again| *again > looked_at);
        let conn = self.conn()?;
        for room in rooms {
            if room.slots > 0
                && (read::next_due(conn, &room.queue)?.is_some_and(|at| at <= now)
                    || (!self.stuck.contains_key(&room.queue) && read::has_ready(conn, &room.queue)?))
            {
                return Ok(true);
            }
            if room.deliveries > 0 && read::next_delivery(conn, &room.queue)?.is_some_and(|at| at <= now) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Steps for Core {
    type Command = Box<dyn Work>;

    /// Whatever happens, a step is followed by another one: no error and no panic ends the thread that is the timer.
    fn step(&mut self) -> Duration {
        // The pause tells of errors, and whoever listens may panic.
        caught("the writer's step", || Ok(self.step_or_pause())).unwrap_or(LONGEST_PAUSE)
    }

    fn close(&mut self) {
        self.forget_mark();
        (self.conn, self.spent) = (None, None);
    }

    fn retire(&mut self) {
        (self.conn, self.spent) = (None, None);
        self.shared.leave_unresolved(std::mem::take(&mut self.unresolved));
        tracing::warn!(generation = self.generation.number, "a replaced writer has stopped");
    }
}

/// Sets how the next commits are synced, where they were made in another way before.
fn use_sync(conn: &Connection, now_used: &mut Option<Sync>, full: bool) -> Result<Sync> {
    let sync = if full && !on(Bug::NormalForFull) { Sync::Full } else { Sync::Normal };
    if *now_used != Some(sync) {
        set_synchronous(conn, sync)?;
        *now_used = Some(sync);
    }
    Ok(sync)
}
