//! honker as a contestant: threads that claim, call and acknowledge, which is how its documentation has it, on the one
//! connection of its handle.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;

use honker::{Database, EnqueueOpts, Queue, QueueOpts};
use peer::{Counts, Due, Failure, Handler, Peer, Setting, Settings, skipped};
use serde_json::Value;

#[derive(Clone)]
struct Honker {
    db: Database,
    queue: Queue,
}

/// Threads that work until they get a job that tells them to stop.
type Working = Vec<JoinHandle<honker::Result<()>>>;

const STOP: Value = Value::Bool(true);

impl Peer for Honker {
    const PACKAGE: &'static str = "honker";
    const LOCK: &'static str = include_str!("../Cargo.lock");

    type Running = Working;

    async fn open(file: &Path, setting: Setting) -> Result<Self, Failure> {
        let db = Database::open(file)?;
        match setting {
            Setting::Own => return Err(skipped("its_own_setting_is_normal")),
            Setting::Normal => {}
            Setting::Full => db.with_conn(|conn| conn.execute_batch("PRAGMA synchronous = FULL"))?,
        }
        let queue = db.queue("default", QueueOpts::default());
        Ok(Self { db, queue })
    }

    async fn settings(&self) -> Result<Settings, Failure> {
        let read = self.db.with_conn(|conn| {
            Ok::<_, honker::Error>(Settings {
                sqlite: conn.query_row("SELECT sqlite_version()", [], |row| row.get(0))?,
                journal_mode: conn.query_row("PRAGMA journal_mode", [], |row| row.get(0))?,
                synchronous: vec![conn.query_row("PRAGMA synchronous", [], |row| row.get(0))?],
            })
        });
        Ok(read?)
    }

    async fn enqueue(&self) -> Result<(), Failure> {
        self.queue.enqueue(&Value::Null, EnqueueOpts::default())?;
        Ok(())
    }

    /// It has no call for many: a transaction does it.
    async fn enqueue_many(&self, jobs: usize, due: Due) -> Result<(), Failure> {
        let delay = (due == Due::Tomorrow).then_some(86_400);
        let tx = self.db.transaction()?;
        for _ in 0..jobs {
            self.queue.enqueue_tx(&tx, &Value::Null, EnqueueOpts { delay, ..EnqueueOpts::default() })?;
        }
        Ok(tx.commit()?)
    }

    async fn start(&self, workers: usize, handler: Handler) -> Result<Working, Failure> {
        let work = |number: usize| {
            let (waker, handler) = (self.queue.claim_waker(), Arc::clone(&handler));
            std::thread::spawn(move || {
                let name = format!("worker-{number}");
                while let Some(job) = waker.next(&name)? {
                    let is_last = job.payload_as::<Value>()? == STOP;
                    if !is_last {
                        handler();
                    }
                    job.ack()?;
                    if is_last {
                        break;
                    }
                }
                Ok(())
            })
        };
        Ok((0..workers).map(work).collect())
    }

    /// A thread that waits for a job ends with one, before all others.
    async fn stop(&self, running: Working) -> Result<(), Failure> {
        for _ in &running {
            self.queue.enqueue(&STOP, EnqueueOpts { priority: 1, ..EnqueueOpts::default() })?;
        }
        for thread in running {
            thread.join().map_err(|_| "a worker panicked")??;
        }
        Ok(())
    }

    /// A job that was acknowledged is deleted.
    async fn counts(&self) -> Result<Counts, Failure> {
        let count = "SELECT count(*) FROM _honker_live";
        let left: i64 = self.db.with_conn(|conn| conn.query_row(count, [], |row| row.get(0)))?;
        Ok(Counts { finished: None, unfinished: usize::try_from(left)? })
    }
    /// Its handle closes itself.
    async fn close(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn copy_finished(&self, _: usize) -> Result<(), Failure> {
        Err(skipped("keeps_no_history"))
    }

    async fn run_in_batches(&self, batch: usize, jobs: usize, handler: Handler) -> Result<(), Failure> {
        let mut left = jobs;
        while left > 0 {
            let claimed = self.queue.claim_batch("worker", i64::try_from(batch)?)?;
            let ids: Vec<i64> = claimed.iter().map(|job| job.id).collect();
            ids.iter().for_each(|_| handler());
            if usize::try_from(self.queue.ack_batch(&ids, "worker")?)? != ids.len() || ids.is_empty() {
                return Err(format!("{left} jobs were left, and the batch was {ids:?}").into());
            }
            left -= ids.len();
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    peer::play::<Honker>()
}
