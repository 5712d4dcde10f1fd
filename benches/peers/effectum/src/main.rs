//! effectum as a contestant. It sets `synchronous=NORMAL`, and means to set WAL but misspells the pragma, so a file of
//! its own has a rollback journal; one that is in WAL already stays in it.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use effectum::{Job, JobRunner, Queue, RunningJob, Worker};
use peer::{Counts, Due, Failure, Handler, Peer, Setting, Settings, skipped};
use rusqlite::Connection;
use time::OffsetDateTime;

#[derive(Clone)]
struct Effectum {
    queue: Arc<Queue>,
    /// Beside the queue, which keeps its own to itself.
    file: Arc<Path>,
}

/// What jobs are given.
#[derive(Clone)]
struct Context(Handler);

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Context")
    }
}

async fn nothing(_: RunningJob, context: Context) -> Result<(), effectum::Error> {
    (context.0)();
    Ok(())
}

const ENOUGH: Duration = Duration::from_secs(30);

impl Peer for Effectum {
    const PACKAGE: &'static str = "effectum";
    const LOCK: &'static str = include_str!("../Cargo.lock");

    type Running = Worker;

    async fn open(file: &Path, setting: Setting) -> Result<Self, Failure> {
        match setting {
            Setting::Own => {}
            // The mode is the file's, so every later connection has it.
            Setting::Normal => {
                let made = Connection::open(file)?;
                made.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0))?;
            }
            Setting::Full => return Err(skipped("it_sets_NORMAL_itself")),
        }
        Ok(Self { queue: Arc::new(Queue::new(file).await?), file: file.into() })
    }

    async fn settings(&self) -> Result<Settings, Failure> {
        let beside = Connection::open(&self.file)?;
        let journal_mode = beside.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        Ok(Settings { sqlite: rusqlite::version().to_owned(), journal_mode, synchronous: Vec::new() })
    }

    async fn enqueue(&self) -> Result<(), Failure> {
        Job::builder("nothing").add_to(&self.queue).await?;
        Ok(())
    }

    async fn enqueue_many(&self, jobs: usize, due: Due) -> Result<(), Failure> {
        let job = || match due {
            Due::Now => Job::builder("nothing").build(),
            Due::Tomorrow => {
                let tomorrow = OffsetDateTime::now_utc() + Duration::from_secs(86_400);
                Job::builder("nothing").run_at(tomorrow).build()
            }
        };
        self.queue.add_jobs((0..jobs).map(|_| job()).collect()).await?;
        Ok(())
    }

    async fn start(&self, workers: usize, handler: Handler) -> Result<Worker, Failure> {
        let worker = Worker::builder(&self.queue, Context(handler))
            .max_concurrency(u16::try_from(workers)?)
            .jobs([JobRunner::builder("nothing", nothing).build()]);
        Ok(worker.build().await?)
    }

    async fn stop(&self, running: Worker) -> Result<(), Failure> {
        Ok(running.unregister(Some(ENOUGH)).await?)
    }

    async fn counts(&self) -> Result<Counts, Failure> {
        let beside = Connection::open(&self.file)?;
        let count = |sql| beside.query_row(sql, [], |row| row.get(0));
        let finished = count("SELECT count(*) FROM jobs WHERE status = 'succeeded'")?;
        let unfinished = count("SELECT count(*) FROM active_jobs")?;
        Ok(Counts { finished: Some(finished), unfinished })
    }
    async fn close(&self) -> Result<(), Failure> {
        Ok(self.queue.close(ENOUGH).await?)
    }

    async fn copy_finished(&self, copies: usize) -> Result<(), Failure> {
        const COPY: &str = "
            WITH RECURSIVE copies (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copies WHERE n < ?1)
            INSERT INTO jobs (
                external_id, job_type, priority, weight, status, from_base_job, orig_run_at, payload,
                checkpointed_payload, current_try, max_retries, backoff_multiplier, backoff_randomization,
                backoff_initial_interval, added_at, default_timeout, heartbeat_increment, started_at, finished_at,
                run_info, name)
            SELECT
                randomblob(16), job_type, priority, weight, status, from_base_job, orig_run_at, payload,
                checkpointed_payload, current_try, max_retries, backoff_multiplier, backoff_randomization,
                backoff_initial_interval, added_at, default_timeout, heartbeat_increment, started_at, finished_at,
                run_info, name
            FROM jobs, copies
            WHERE finished_at IS NOT NULL";
        Connection::open(&self.file)?.execute(COPY, [copies])?;
        Ok(())
    }
}

fn main() -> ExitCode {
    peer::play::<Effectum>()
}
