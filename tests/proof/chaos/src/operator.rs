//! The operator: somebody with a shell on the same file, who locks it, compacts it and reads it for long.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use crate::ledger::now;
use crate::{FILE, Outcome};

/// What the operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Holds `BEGIN EXCLUSIVE` for so long.
    Lock(Duration),
    /// Compacts the file.
    Vacuum,
    /// Keeps one read transaction open for so long.
    Read(Duration),
}

/// An act that was done, from when to when.
pub(crate) type Done = (Act, Duration, Duration);

/// A person who locks and compacts, one thing after the other, and others who read meanwhile.
pub(crate) struct Operator {
    orders: Sender<Act>,
    locker: JoinHandle<Result<Vec<Done>, String>>,
    readers: Vec<JoinHandle<Result<Done, String>>>,
    file: PathBuf,
}

impl Operator {
    pub(crate) fn begin(dir: &Path) -> Self {
        let (orders, received) = channel();
        let file = dir.join(FILE);
        let path = file.clone();
        let locker =
            std::thread::spawn(move || lock_and_compact(&path, &received).map_err(|error| error.to_string()));
        Self { orders, locker, readers: Vec::new(), file }
    }

    pub(crate) fn order(&mut self, act: Act) {
        if let Act::Read(long) = act {
            let file = self.file.clone();
            self.readers
                .push(std::thread::spawn(move || read(&file, long).map_err(|error| error.to_string())));
        } else {
            // A locker that has failed is asked for its reason at the end.
            let _ = self.orders.send(act);
        }
    }

    /// Waits until all is done.
    pub(crate) fn end(self) -> Outcome<Vec<Done>> {
        drop(self.orders);
        let mut done = self.locker.join().map_err(|_| "the operator panicked")??;
        for reader in self.readers {
            done.push(reader.join().map_err(|_| "a reader panicked")??);
        }
        Ok(done)
    }
}

/// Asks for the lock each millisecond: SQLite's own handler waits up to 100 ms, and starves where others ask often.
fn patient(conn: &Connection, sql: &str) -> rusqlite::Result<()> {
    conn.busy_timeout(Duration::ZERO)?;
    let until = now() + Duration::from_secs(20);
    loop {
        match conn.execute_batch(sql) {
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) && now() < until =>
            {
                std::thread::sleep(Duration::from_millis(1));
            }
            ended => return ended,
        }
    }
}

fn lock_and_compact(file: &Path, orders: &Receiver<Act>) -> Outcome<Vec<Done>> {
    let conn = Connection::open(file)?;
    let mut done = Vec::new();
    for act in orders {
        let from;
        match act {
            Act::Lock(long) => {
                patient(&conn, "BEGIN EXCLUSIVE")?;
                from = now();
                std::thread::sleep(long);
                conn.execute_batch("COMMIT")?;
            }
            Act::Vacuum => {
                from = now();
                patient(&conn, "VACUUM")?;
            }
            Act::Read(_) => continue,
        }
        done.push((act, from, now()));
    }
    Ok(done)
}

/// Reads twice in one transaction: what it sees must not change, whatever the others write.
fn read(file: &Path, long: Duration) -> Outcome<Done> {
    const SEEN: &str = "SELECT count(*) || ' ' || coalesce(max(id), 0) FROM mainspring_runs";
    let conn = Connection::open(file)?;
    conn.busy_timeout(Duration::from_secs(20))?;
    conn.execute_batch("BEGIN")?;
    let from = now();
    let before: String = conn.query_row(SEEN, [], |row| row.get(0))?;
    std::thread::sleep(long);
    let after: String = conn.query_row(SEEN, [], |row| row.get(0))?;
    conn.execute_batch("COMMIT")?;
    if before != after {
        return Err(format!("one read transaction saw {before:?} and then {after:?}").into());
    }
    Ok((Act::Read(long), from, now()))
}
