//! The synchronous core: one step takes what has arrived, writes it in one transaction and answers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::drive::Steps;
use super::engines::Room;
use super::generation::Generation;
use super::inbox::Hand;
use super::liveness::{self, Liveness};
use super::log_room::LogRoom;
use super::op::{Applied, Effect, Patience, Promise, Work};
use super::shared::Shared;
use crate::error::{Error, Result, caught};
use crate::exchange::{ClaimedDelivery, ClaimedRun};
use crate::policy::Durability;
use crate::run::RunId;
use crate::sabotage::{Bug, on};
use crate::store::claim::{Burst, ClaimRequest, claim};
use crate::store::savepoint::{self, Savepoint};
use crate::store::{Sync, deliver, log, owners, read, replan, set_synchronous};
use crate::time::Timestamp;

/// The longest sleep: a machine that was suspended notices within this time that its jobs are late.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// After a failed transaction the next one waits this long, doubling up to a second.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Jobs that were ready but could not be claimed (a paused queue, kinds of other engines) are looked at again
/// after this time, or when something was written.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How often another process's commits are looked for, by how long ago the last one was.
fn poll_interval(quiet_for: Duration) -> Duration {
    match quiet_for.as_secs() {
        0..5 => Duration::from_millis(4),
        5..60 => Duration::from_millis(25),
        _ => Duration::from_millis(100),
    }
}

/// The writer of one generation. Whoever holds its mutex drives it: the thread, or a caller that blocks.
pub(super) struct Core {
    shared: Arc<Shared>,
    generation: Arc<Generation>,
    conn: Option<Connection>,
    synchronous: Option<Sync>,
    data_version: Option<i64>,
    /// When another connection committed last, on the steady clock.
    changed_at: Duration,
    /// Names this writer in its marks.
    writer_id: i64,
    transaction_no: i64,
    /// Commits that returned an error, and nobody knows yet whether they happened: this writer's last one, and those
    /// that writers left which it replaced.
    unresolved: Vec<Unresolved>,
    burst: HashMap<crate::run::OwnerId, Burst>,
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
    /// A connection whose commit returned an error: closed once there is another one, so that it is not the last.
    spent: Option<Connection>,
    /// The log that lost its name was saved, as far as it could be.
    saved_log: bool,
}

/// A transaction whose commit returned an error: the mark of its writer tells what became of it.
pub(super) struct Unresolved {
    writer_id: i64,
    transaction_no: i64,
    batch: Batch,
}

/// What one transaction does. Commands that it does not answer go back into the inbox when it is dropped.
struct Batch {
    commands: Hand<Box<dyn Work>>,
    runs: Vec<ClaimedRun>,
    deliveries: Vec<ClaimedDelivery>,
    /// Queues that were asked and gave nothing although they have ready jobs.
    stuck: HashSet<Arc<str>>,
    needs_sync: bool,
    may_stop_runs: bool,
    parked: Vec<(crate::job::JobId, String)>,
}

impl Batch {
    fn new(commands: Hand<Box<dyn Work>>) -> Self {
        Self {
            commands,
            runs: Vec::new(),
            deliveries: Vec::new(),
            stuck: HashSet::new(),
            needs_sync: false,
            may_stop_runs: false,
            parked: Vec::new(),
        }
    }
}

impl Core {
    pub(super) fn new(shared: Arc<Shared>, generation: Arc<Generation>) -> Self {
        Self {
            shared,
            generation,
            conn: None,
            synchronous: None,
            data_version: None,
            changed_at: Duration::ZERO,
            writer_id: i64::from_ne_bytes(uuid::Uuid::new_v4().as_u64_pair().0.to_ne_bytes()) >> 1,
            transaction_no: 0,
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
        match caught("the writer", || self.try_step()) {
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
        let now = self.shared.clock.now();
        self.shared.pulse.tick(now, self.shared.clock.steady());
        self.connect()?;
        // SQLite does not notice that its file was deleted or replaced: what is written then is lost.
        if let Err(replaced) = self.shared.db.check_identity().and_then(|()| self.shared.db.check_log()) {
            self.save_log();
            return Err(replaced);
        }
        self.resolve(now)?;
        let news = self.look_for_changes()?;
        let mut commands = self.shared.inbox.take(self.generation.number);
        if self.log_room.is_full() {
            // What room there is in the log is for what has happened.
            let refused = commands.take_if(|command| command.patience() == Patience::Caller);
            refused.answer(|command| command.fail(Error::DiskFull));
        }
        // After the commands: whoever is replaced from here on gives notice after this step took notice.
        self.adopt();
        let more = !commands.commands().is_empty();
        if more || self.needs_sync || self.failures > 0 || self.something_is_due(now)? {
            self.transact(Batch::new(commands), now)?;
        }
        self.tend(news, now)?;
        let steady = self.shared.clock.steady();
        if let Some(conn) = &self.conn {
            self.log_room.look(&self.shared, conn, steady)?;
        }
        let waiting = self.shared.inbox.len() > 0 || self.needs_sync || !self.unresolved.is_empty();
        Ok(if waiting { Duration::ZERO } else { self.sleep_until_next(now)? })
    }

    /// Something failed that may go away: wait a little, longer each time, and say so once a time.
    fn pause(&mut self, error: &Error) -> Duration {
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
        impatient.answer(|command| command.fail(error.twin()));
        for unresolved in &mut self.unresolved {
            let impatient = unresolved.batch.commands.take_if(|command| is_over(&**command));
            impatient.answer(|command| command.fail(Error::OutcomeUnknown { why: error.to_string() }));
        }
    }

    fn connect(&mut self) -> Result<()> {
        if self.conn.is_none() {
            self.conn = Some(self.shared.db.only_writer()?);
            (self.synchronous, self.data_version, self.saved_log) = (None, None, false);
            self.spent = None;
        }
        Ok(())
    }

    /// The log that this connection has open has lost its name, and would be gone with the process: what is in it is
    /// moved into the database, unless somebody else has written since.
    fn save_log(&mut self) {
        let Some(conn) = &self.conn else { return };
        if std::mem::replace(&mut self.saved_log, true) || !self.shared.db.lost_its_log() {
            return;
        }
        let saved = match savepoint::data_version(conn) {
            Ok(version) if Some(version) == self.data_version => log::empty(conn),
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

    /// Whether another connection has committed since the last look.
    fn look_for_changes(&mut self) -> Result<bool> {
        let version = savepoint::data_version(self.conn()?)?;
        let changed = self.data_version.replace(version) != Some(version);
        if changed || self.shared.take_hint() {
            self.changed_at = self.shared.clock.steady();
        }
        if changed {
            self.stuck.clear();
            // Another process may have migrated the file past what this library may write.
            self.shared.db.check_schema(self.conn()?)?;
        }
        Ok(changed)
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

    /// One transaction: the commands, then the claims that the free slots allow, one commit, then the answers.
    fn transact(&mut self, mut batch: Batch, now: Timestamp) -> Result<()> {
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

    fn write(&mut self, batch: &mut Batch, now: Timestamp) -> std::result::Result<(), Failed> {
        let durability = self.shared.db.options().durability;
        let sync = self.choose_sync(batch.commands.commands(), durability)?;
        let generation = Arc::clone(&self.generation);
        let (writer_id, transaction_no) = (self.writer_id, self.transaction_no + 1);
        let Some(conn) = &self.conn else { return Err(Failed::Before(Error::Closed)) };
        let mut tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
        let before = conn.total_changes();
        let effects = match apply_all(&tx, batch.commands.commands_mut(), now).map_err(Failed::Before)? {
            Run::All(effects) => effects,
            Run::OneFailed => {
                drop(tx);
                tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
                apply_apart(&tx, batch.commands.commands_mut(), now).map_err(Failed::Before)?
            }
        };
        batch.may_stop_runs = effects.may_stop_runs;
        let rooms = self.rooms(&effects.ended, &effects.delivered);
        let mut deliveries_left: HashMap<crate::run::OwnerId, usize> = HashMap::new();
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
            let claims = claim(&tx, &request, burst, now).map_err(|error| {
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
        tx.commit().map_err(|error| Failed::Commit(error.into()))
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
    fn committed(&mut self, batch: Batch) {
        let (mut ended, mut delivered) = (Vec::new(), Vec::new());
        for command in batch.commands.commands() {
            match command.effect() {
                Effect::FreesSlot(run) => ended.push(run),
                Effect::FreesDelivery(run) => delivered.push(run),
                Effect::None | Effect::MayStopRuns => {}
            }
        }
        (self.needs_sync, self.careful) = (batch.needs_sync, false);
        self.log_room.count_transaction();
        let again = self.shared.clock.steady() + LOOK_AGAIN;
        self.stuck = batch.stuck.into_iter().map(|queue| (queue, again)).collect();
        self.liveness.look_at_stops |= batch.may_stop_runs;
        self.shared.engines.ended(&ended, &delivered);
        let claims = batch.runs.len();
        let is_over = !self.shared.engines.hand_over(&self.generation, batch.runs, batch.deliveries);
        batch.commands.answer(|command| command.answer());
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

    /// After a commit that returned an error: the writer's mark tells whether the transaction is in the file.
    fn resolve(&mut self, now: Timestamp) -> Result<()> {
        while let Some(last) = self.unresolved.last() {
            let marked = owners::marked(self.conn()?, last.writer_id)?;
            let Some(Unresolved { transaction_no, mut batch, .. }) = self.unresolved.pop() else { break };
            if marked == Some(transaction_no) {
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
    fn adopt(&mut self) {
        for left in self.shared.take_unresolved() {
            let Unresolved { writer_id, transaction_no, batch } = left;
            let batch = Batch::new(batch.commands);
            self.unresolved.push(Unresolved { writer_id, transaction_no, batch });
        }
    }

    /// What is not a command: other owners' deaths, stops, jobs without a next time.
    fn tend(&mut self, news: bool, now: Timestamp) -> Result<()> {
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

    /// Until the earliest due time, the next poll, or the next look at other owners.
    fn sleep_until_next(&mut self, now: Timestamp) -> Result<Duration> {
        let rooms = self.rooms(&[], &[]);
        if rooms.is_empty() && !self.shared.engines.any() {
            self.shared.pulse.next_due(None);
            return Ok(LONGEST_SLEEP);
        }
        let mut next: Option<Timestamp> = None;
        let conn = self.conn()?;
        for room in &rooms {
            let due = if room.slots > 0 { read::next_due(conn, &room.queue)? } else { None };
            let delivery = if room.deliveries > 0 { read::next_delivery(conn, &room.queue)? } else { None };
            next = [next, due, delivery].into_iter().flatten().min();
        }
        self.shared.pulse.next_due(next);
        let until_due = next.map_or(LONGEST_SLEEP, |at| self.shared.clock.real_wait(at.since(now)));
        let steady = self.shared.clock.steady();
        let poll = poll_interval(steady.saturating_sub(self.changed_at));
        let look_again =
            self.stuck.values().map(|again| again.saturating_sub(steady)).min().unwrap_or(LONGEST_SLEEP);
        let look_again = look_again.min(self.log_room.next_look(steady).unwrap_or(LONGEST_SLEEP));
        Ok(until_due.min(poll).min(look_again).min(self.liveness.next_look(steady)).min(LONGEST_SLEEP))
    }

    /// The writer's mark is forgotten.
    fn forget_mark(&self) {
        let Some(conn) = &self.conn else { return };
        let forgotten = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)
            .map_err(Error::from)
            .and_then(|tx| {
                owners::forget_mark(&tx, self.writer_id, self.shared.clock.now())?;
                Ok(tx.commit()?)
            });
        if let Err(error) = forgotten {
            tracing::debug!(%error, "the writer's mark was left; a later writer drops it");
        }
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

/// When a transaction failed.
enum Failed {
    /// Before its commit: nothing is in the file.
    Before(Error),
    /// A claim failed for what a row holds, and the next ones are made one by one. Nothing is in the file.
    Claim(Error),
    /// The commit returned an error: what became of it is unknown.
    Commit(Error),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Before(error.into())
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Before(error)
    }
}

#[derive(Default)]
struct Effects {
    ended: Vec<RunId>,
    delivered: Vec<RunId>,
    may_stop_runs: bool,
}

impl Effects {
    fn add(&mut self, effect: Effect) {
        match effect {
            Effect::None => {}
            Effect::FreesSlot(run) => self.ended.push(run),
            Effect::FreesDelivery(run) => self.delivered.push(run),
            Effect::MayStopRuns => self.may_stop_runs = true,
        }
    }
}

/// What the commands of a transaction came to.
enum Run {
    All(Effects),
    /// One has failed after it had written something.
    OneFailed,
}

/// Runs the commands one after the other. Few of them fail, and fewer after they have written: only then the
/// transaction is begun again, with each command in a savepoint, so that one that fails takes no other with it.
fn apply_all(tx: &Connection, commands: &mut [Box<dyn Work>], now: Timestamp) -> Result<Run> {
    let mut effects = Effects::default();
    for command in commands {
        let before = tx.total_changes();
        match command.apply(tx, now) {
            Applied::Keep => {}
            // SQLite ends the whole transaction after some errors.
            Applied::Undo if tx.total_changes() == before && !tx.is_autocommit() => {}
            Applied::Undo => return Ok(Run::OneFailed),
            Applied::Broken(error) => return Err(error),
        }
        effects.add(command.effect());
    }
    Ok(Run::All(effects))
}

/// Runs each command in a savepoint.
fn apply_apart(tx: &Connection, commands: &mut [Box<dyn Work>], now: Timestamp) -> Result<Effects> {
    let mut effects = Effects::default();
    for command in commands {
        let savepoint = Savepoint::begin(tx)?;
        match command.apply(tx, now) {
            Applied::Keep => savepoint.keep()?,
            Applied::Undo => savepoint.undo()?,
            Applied::Broken(error) => return Err(error),
        }
        effects.add(command.effect());
    }
    Ok(effects)
}
