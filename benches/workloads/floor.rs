//! The floor: the rows that the library writes, written by plain statements with nothing around them.

use std::path::Path;

use mainspring::{Durability, OpenOptions};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, Transaction, TransactionBehavior, named_params};

const INSERT: &str = "
INSERT INTO mainspring_jobs (
    kind, queue, priority, args, at_ms, on_interrupt, on_unknown_delivery, policies, enabled,
    schedule_activated_at_ms, next_run_at_ms, scheduled_for_ms, ready, created_at_ms, updated_at_ms,
    writer_id)
VALUES ('nothing', 'default', 0, :args, :now_ms, 'rerun', 'resend', '{}', 1, :now_ms, :now_ms, :now_ms, 1, :now_ms, :now_ms, 1)";

const MARK: &str = "
INSERT INTO mainspring_writers (id, transaction_no, written_at_ms)
VALUES (1, 1, :now_ms)
ON CONFLICT (id) DO UPDATE
SET transaction_no = transaction_no + 1, written_at_ms = excluded.written_at_ms";

const READY: &str = "
SELECT id, kind, args, policies, next_run_at_ms
FROM mainspring_jobs
WHERE queue = 'default' AND ready = 1 AND claimable = 1
ORDER BY priority DESC, next_run_at_ms, id
LIMIT :slots";

const OPEN_RUN: &str = "
INSERT INTO mainspring_runs (
    job_id, job_revision, kind, queue, scheduled_for_ms, attempt, trigger, owner_id, claimed_at_ms)
VALUES (:job_id, 1, 'nothing', 'default', :scheduled_for_ms, 1, 'schedule', 1, :now_ms)";

const MARK_RUNNING: &str = "
UPDATE mainspring_jobs
SET ready = 0, next_run_at_ms = NULL, scheduled_for_ms = NULL, open_runs = 1, running_at_ms = :now_ms,
    running_run_id = :run_id, last_run_at_ms = :now_ms, last_scheduled_for_ms = :scheduled_for_ms, runs_started = 1
WHERE id = :job_id";

const END_RUN: &str = "
UPDATE mainspring_runs
SET started_at_ms = :now_ms, ended_at_ms = :now_ms
WHERE id = :run_id AND ended_at_ms IS NULL";

const COMPLETE: &str = "
INSERT INTO mainspring_completions (run_id, outcome, finished_at_ms)
VALUES (:run_id, 'succeeded', :now_ms)";

const COMPLETE_WITH_OUTPUT: &str = "
INSERT INTO mainspring_completions (
    run_id, outcome, finished_at_ms, output, delivery, delivery_queue, on_unknown_delivery, delivery_owner_id,
    next_delivery_at_ms)
VALUES (:run_id, 'succeeded', :now_ms, '1', 'pending', 'default', 'resend', 1, :now_ms)";

const BEGIN_DELIVERY: &str = "
UPDATE mainspring_completions
SET delivery = 'started', delivery_attempts = 1, delivery_started_at_ms = :now_ms
WHERE run_id = :run_id AND delivery = 'pending'";

const SETTLE_DELIVERY: &str = "
UPDATE mainspring_completions
SET delivery = 'delivered', delivery_owner_id = NULL, next_delivery_at_ms = NULL, delivery_settled_at_ms = :now_ms
WHERE run_id = :run_id AND delivery = 'started'";

const FINISH: &str = "
UPDATE mainspring_jobs
SET open_runs = 0, running_at_ms = NULL, running_run_id = NULL, last_outcome = 'succeeded', finished_at_ms = :now_ms
WHERE id = :job_id";

const INTERRUPT: &str = "
INSERT INTO mainspring_completions (run_id, outcome, finished_at_ms, error, error_class)
VALUES (:run_id, 'interrupted', :now_ms, 'the process that ran it died', 'owner_died')";

const RUN_AGAIN: &str = "
UPDATE mainspring_jobs
SET open_runs = 0, running_at_ms = NULL, running_run_id = NULL, last_outcome = 'interrupted', next_run_at_ms = :now_ms,
    scheduled_for_ms = at_ms, attempt = 2, ready = 1, interruptions_in_a_row = 1
WHERE id = :job_id";

/// What every row says it is.
pub(crate) const NOW: i64 = 1_767_600_000_000;

/// A connection with the library's schema and settings.
pub(crate) struct Floor {
    conn: Connection,
    /// The open runs and their jobs.
    running: Vec<(i64, i64)>,
    /// Runs whose outputs are to be delivered, and those whose deliveries have begun.
    pending: Vec<i64>,
    started: Vec<i64>,
}

impl Floor {
    /// Opens the file, and makes it where there is none.
    pub(crate) fn open(path: &Path, durability: Durability) -> Self {
        OpenOptions::new(path).migrate().unwrap();
        Self::open_made(path, durability)
    }

    pub(crate) fn open_made(path: &Path, durability: Durability) -> Self {
        let conn = Connection::open(path).unwrap();
        let synchronous = if durability == Durability::Relaxed { "NORMAL" } else { "FULL" };
        conn.pragma_update(None, "synchronous", synchronous).unwrap();
        conn.pragma_update(None, "journal_size_limit", 64 << 20).unwrap();
        // As the library has it: otherwise SQLite plans a statement anew for each value of its LIMIT.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).unwrap();
        conn.set_prepared_statement_cache_capacity(32);
        Self { conn, running: Vec::new(), pending: Vec::new(), started: Vec::new() }
    }

    /// Writes so many jobs in one transaction. They name their writer, and are its mark.
    pub(crate) fn enqueue(&self, jobs: usize) {
        self.transaction(|tx| {
            let mut insert = tx.prepare_cached(INSERT).unwrap();
            for _ in 0..jobs {
                insert.execute(named_params! { ":args": "null", ":now_ms": NOW }).unwrap();
            }
        });
    }

    /// Ends what runs and claims as many as there are workers, in one transaction; how many it claimed.
    pub(crate) fn turn(&mut self, workers: usize) -> usize {
        let ending = std::mem::take(&mut self.running);
        self.running = self.write(|tx| {
            for (run, job) in ending {
                let run_only = named_params! { ":run_id": run, ":now_ms": NOW };
                tx.prepare_cached(END_RUN).unwrap().execute(run_only).unwrap();
                tx.prepare_cached(COMPLETE).unwrap().execute(run_only).unwrap();
                tx.prepare_cached(FINISH)
                    .unwrap()
                    .execute(named_params! { ":job_id": job, ":now_ms": NOW })
                    .unwrap();
            }
            claim(tx, workers)
        });
        self.running.len()
    }

    /// A turn with deliveries: in one transaction it ends what runs, begins the deliveries of what ended in the last
    /// turn, settles those begun then, and claims. How many runs or deliveries it has in hand.
    pub(crate) fn turn_with_deliveries(&mut self, workers: usize) -> usize {
        let ending = std::mem::take(&mut self.running);
        let beginning = std::mem::take(&mut self.pending);
        let settling = std::mem::replace(&mut self.started, beginning.clone());
        self.pending = ending.iter().map(|(run, _)| *run).collect();
        self.running = self.write(|tx| {
            for (run, job) in ending {
                let run_only = named_params! { ":run_id": run, ":now_ms": NOW };
                tx.prepare_cached(END_RUN).unwrap().execute(run_only).unwrap();
                tx.prepare_cached(COMPLETE_WITH_OUTPUT).unwrap().execute(run_only).unwrap();
                tx.prepare_cached(FINISH)
                    .unwrap()
                    .execute(named_params! { ":job_id": job, ":now_ms": NOW })
                    .unwrap();
            }
            for (sql, runs) in [(BEGIN_DELIVERY, beginning), (SETTLE_DELIVERY, settling)] {
                for run in runs {
                    let changed = tx
                        .prepare_cached(sql)
                        .unwrap()
                        .execute(named_params! { ":run_id": run, ":now_ms": NOW })
                        .unwrap();
                    assert_eq!(changed, 1);
                }
            }
            claim(tx, workers)
        });
        self.running.len() + self.pending.len() + self.started.len()
    }

    /// Settles open runs as interrupted, so many in one transaction; how many there were.
    pub(crate) fn interrupt(&self, batch: usize) -> usize {
        const OPEN: &str = "
            SELECT id, job_id FROM mainspring_runs INDEXED BY mainspring_runs_open
            WHERE owner_id = 1 AND ended_at_ms IS NULL ORDER BY id LIMIT :batch";
        self.write(|tx| {
            let open: Vec<(i64, i64)> = tx
                .prepare_cached(OPEN)
                .unwrap()
                .query_map(named_params! { ":batch": batch as i64 }, |row| Ok((row.get(0)?, row.get(1)?)))
                .unwrap()
                .map(|row| row.unwrap())
                .collect();
            for (run, job) in &open {
                let run_only = named_params! { ":run_id": run, ":now_ms": NOW };
                tx.prepare_cached(END_RUN).unwrap().execute(run_only).unwrap();
                tx.prepare_cached(INTERRUPT).unwrap().execute(run_only).unwrap();
                tx.prepare_cached(RUN_AGAIN)
                    .unwrap()
                    .execute(named_params! { ":job_id": job, ":now_ms": NOW })
                    .unwrap();
            }
            open.len()
        })
    }

    fn write<T>(&self, write: impl FnOnce(&Transaction<'_>) -> T) -> T {
        self.transaction(|tx| {
            let written = write(tx);
            tx.prepare_cached(MARK).unwrap().execute(named_params! { ":now_ms": NOW }).unwrap();
            written
        })
    }

    fn transaction<T>(&self, write: impl FnOnce(&Transaction<'_>) -> T) -> T {
        let tx = Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate).unwrap();
        let written = write(&tx);
        tx.commit().unwrap();
        written
    }
}

fn claim(tx: &Transaction<'_>, slots: usize) -> Vec<(i64, i64)> {
    let ready: Vec<(i64, String, String, String, i64)> = tx
        .prepare_cached(READY)
        .unwrap()
        .query_map(named_params! { ":slots": slots as i64 }, |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })
        .unwrap()
        .map(|row| row.unwrap())
        .collect();
    let open = |(job, _, _, _, due): (i64, String, String, String, i64)| {
        let opened = named_params! { ":job_id": job, ":scheduled_for_ms": due, ":now_ms": NOW };
        tx.prepare_cached(OPEN_RUN).unwrap().execute(opened).unwrap();
        let run = tx.last_insert_rowid();
        let marked =
            named_params! { ":job_id": job, ":run_id": run, ":scheduled_for_ms": due, ":now_ms": NOW };
        tx.prepare_cached(MARK_RUNNING).unwrap().execute(marked).unwrap();
        (run, job)
    };
    ready.into_iter().map(open).collect()
}

/// Puts jobs that are due into a file, and makes the file if there is none, as fast as it goes.
pub(crate) fn fill(path: &Path, jobs: usize) {
    Floor::open(path, Durability::Relaxed).enqueue(jobs);
}

/// Jobs that lie in a file without being the engine's next work.
pub(crate) struct Lying {
    pub(crate) jobs: usize,
    pub(crate) queue: &'static str,
    pub(crate) priority: i32,
    /// Due a day from now, or due already.
    pub(crate) future: bool,
}

/// Puts them in.
pub(crate) fn lay(path: &Path, lying: &Lying) {
    const LAY: &str = "
        INSERT INTO mainspring_jobs (
            kind, queue, priority, args, at_ms, on_interrupt, on_unknown_delivery, policies, enabled,
            schedule_activated_at_ms, next_run_at_ms, scheduled_for_ms, ready, created_at_ms, updated_at_ms)
        VALUES ('nothing', :queue, :priority, 'null', :at_ms, 'rerun', 'resend', '{}', 1, 1, :at_ms, :at_ms, :ready, 1, 1)";
    let floor = Floor::open(path, Durability::Relaxed);
    let day = 86_400_000;
    let now = chrono::Utc::now().timestamp_millis();
    floor.write(|tx| {
        let mut insert = tx.prepare_cached(LAY).unwrap();
        for n in 0..lying.jobs {
            let at_ms = if lying.future { now + day + n as i64 } else { NOW };
            insert
                .execute(named_params! {
                    ":queue": lying.queue,
                    ":priority": lying.priority,
                    ":at_ms": at_ms,
                    ":ready": !lying.future,
                })
                .unwrap();
        }
    });
}

/// Puts finished jobs into a file, with their runs and completions.
pub(crate) fn fill_with_history(path: &Path, jobs: usize) {
    let mut floor = Floor::open(path, Durability::Relaxed);
    let mut left = jobs;
    while left > 0 {
        let batch = left.min(10_000);
        floor.enqueue(batch);
        assert_eq!(floor.turn(batch), batch);
        left -= batch;
    }
    assert_eq!(floor.turn(1), 0);
}

/// Puts jobs into a file whose runs are open under an owner that is dead: it has no lock.
pub(crate) fn fill_with_open_runs(path: &Path, jobs: usize) {
    const OWNER: &str = "
        INSERT INTO mainspring_owners (id, uuid, pid, host, library, started_at_ms)
        VALUES (1, 'dead', 1, 'host', '0', 1)";
    let mut floor = Floor::open(path, Durability::Relaxed);
    floor.conn.execute(OWNER, []).unwrap();
    floor.enqueue(jobs);
    assert_eq!(floor.turn(jobs), jobs);
}
