//! An observer who reads the file all the time: when is settled what a killed process left, and is nobody robbed?

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::fleet::Lives;
use crate::ledger::now;
use crate::{FILE, Outcome};

/// How often it looks.
const LOOK: Duration = Duration::from_millis(4);
/// How often it tries whether the file can be written.
const TRY: Duration = Duration::from_millis(5);
/// How long it goes on at the end for what is still open.
const LAST_WAIT: Duration = Duration::from_secs(20);
/// Nobody could write for this long: the file was locked, and not only busy.
const LOCKED: Duration = Duration::from_millis(50);

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// From each kill until nothing was left open of what the killed process had in hand.
    pub(crate) settled: Vec<(Duration, Duration)>,
    /// Lives whose runs and deliveries were still open at the end.
    pub(crate) never: Vec<u64>,
    /// Kills of processes that had nothing in hand.
    pub(crate) idle: u64,
    /// Owners that were declared dead although nobody had killed their process.
    pub(crate) robbed: Vec<String>,
    /// Times in which nobody could write.
    pub(crate) locked: Vec<(Duration, Duration)>,
}

/// The observer, and another who tries the lock.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    observer: JoinHandle<Result<Seen, String>>,
    lock: JoinHandle<Result<Vec<(Duration, Duration)>, String>>,
}

impl Watch {
    pub(crate) fn begin(dir: &Path, lives: &Lives) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (file, until, lives) = (dir.join(FILE), Arc::clone(&over), lives.clone());
        let observer = std::thread::spawn(move || {
            let conn = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)
                .map_err(|error| error.to_string())?;
            Observer::new(conn, lives).observe(&until).map_err(|error| error.to_string())
        });
        let (file, until) = (dir.join(FILE), Arc::clone(&over));
        let lock = std::thread::spawn(move || try_lock(&file, &until).map_err(|error| error.to_string()));
        Self { over, observer, lock }
    }

    pub(crate) fn end(self) -> Outcome<Seen> {
        self.over.store(true, Ordering::SeqCst);
        let mut seen = self.observer.join().map_err(|_| "the observer panicked")??;
        seen.locked = self.lock.join().map_err(|_| "the thread that tries the lock panicked")??;
        Ok(seen)
    }
}

struct Observer {
    conn: Connection,
    lives: Lives,
    /// Owners that had not ended at the last look: their ids with the ids of their processes.
    owners: BTreeMap<i64, u32>,
    /// Lives whose end was looked at.
    looked_at: BTreeSet<u64>,
    /// Lives that left something: their process, and when they were killed.
    open: BTreeMap<u64, (u32, Duration)>,
    seen: Seen,
}

impl Observer {
    fn new(conn: Connection, lives: Lives) -> Self {
        Self {
            conn,
            lives,
            owners: BTreeMap::new(),
            looked_at: BTreeSet::new(),
            open: BTreeMap::new(),
            seen: Seen::default(),
        }
    }

    fn observe(mut self, over: &AtomicBool) -> Outcome<Seen> {
        self.conn.busy_timeout(Duration::from_secs(20))?;
        let mut until = None;
        loop {
            self.look()?;
            if over.load(Ordering::SeqCst) {
                let until = *until.get_or_insert_with(|| now() + LAST_WAIT);
                if self.open.is_empty() || now() > until {
                    break;
                }
            }
            std::thread::sleep(LOOK);
        }
        self.seen.never = self.open.keys().copied().collect();
        Ok(self.seen)
    }

    fn look(&mut self) -> Outcome<()> {
        // Those that are gone before the look cannot write any more: what it shows of them is what they left.
        let gone: Vec<(u64, u32, Duration)> = self
            .lives
            .lock()
            .iter()
            .filter(|life| life.buried.is_some() && !self.looked_at.contains(&life.number))
            .filter_map(|life| Some((life.number, life.pid, life.killed?)))
            .collect();
        let busy = self.processes_with_work()?;
        let at = now();
        for (life, pid, killed) in gone {
            self.looked_at.insert(life);
            if busy.contains(&pid) {
                self.open.insert(life, (pid, killed));
            } else {
                self.seen.idle += 1;
            }
        }
        let settled: Vec<u64> =
            self.open.iter().filter(|(_, (pid, _))| !busy.contains(pid)).map(|(life, _)| *life).collect();
        for life in settled {
            if let Some((_, killed)) = self.open.remove(&life) {
                self.seen.settled.push((killed, at));
            }
        }
        self.look_for_robbed()
    }

    /// Processes with open runs or deliveries in hand.
    fn processes_with_work(&self) -> Outcome<BTreeSet<u32>> {
        const WITH_WORK: &str = "
            SELECT pid FROM mainspring_owners WHERE id IN (
                SELECT owner_id FROM mainspring_runs INDEXED BY mainspring_runs_open WHERE ended_at_ms IS NULL
                UNION ALL
                SELECT delivery_owner_id FROM mainspring_completions WHERE delivery_owner_id IS NOT NULL)";
        let mut statement = self.conn.prepare_cached(WITH_WORK)?;
        let pids = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok(pids)
    }

    /// An owner that ended as dead since the last look must have been killed.
    fn look_for_robbed(&mut self) -> Outcome<()> {
        let mut statement =
            self.conn.prepare_cached("SELECT id, pid FROM mainspring_owners WHERE ended_at_ms IS NULL")?;
        let owners: BTreeMap<i64, u32> = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let mut how = self.conn.prepare_cached("SELECT end_reason FROM mainspring_owners WHERE id = ?1")?;
        for (owner, pid) in self.owners.iter().filter(|(id, _)| !owners.contains_key(id)) {
            let reason: String = how.query_row([owner], |row| row.get(0))?;
            let at = now();
            let killed = self.lives.lock().iter().any(|life| life.pid == *pid && life.was_killed_before(at));
            if reason == "died" && !killed {
                self.seen.robbed.push(format!("owner {owner} (process {pid}) was declared dead and lives"));
            }
        }
        self.owners = owners;
        Ok(())
    }
}

/// When nobody could write: one who asks all the time did not get the lock.
fn try_lock(file: &Path, over: &AtomicBool) -> Outcome<Vec<(Duration, Duration)>> {
    let conn = Connection::open(file)?;
    conn.busy_timeout(Duration::ZERO)?;
    let mut locked = Vec::new();
    let mut last = now();
    while !over.load(Ordering::SeqCst) {
        match conn.execute_batch("BEGIN IMMEDIATE; ROLLBACK") {
            Ok(()) => {
                let at = now();
                if at.saturating_sub(last) > LOCKED {
                    locked.push((last, at));
                }
                last = at;
                std::thread::sleep(TRY);
            }
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(locked)
}
