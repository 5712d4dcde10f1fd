//! apalis-sqlite as a contestant: its event-driven storage, as its README has it, on sqlx's pool of ten connections.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apalis::prelude::*;
use apalis_sqlite::callback::HookCallbackListener;
use apalis_sqlite::{Config, SqliteConnectOptions, SqlitePool, SqliteStorage};
use futures::StreamExt;
use peer::{Counts, Due, Failure, Handler, Peer, Setting, Settings};
use sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use tokio::task::JoinHandle;

/// What sqlx opens at most by default.
const CONNECTIONS: u32 = 10;

#[derive(Clone)]
struct Apalis {
    pool: SqlitePool,
    /// Tells of rows that are inserted.
    listener: HookCallbackListener,
}

/// A worker, and how it is told to stop.
struct Running {
    context: Arc<Mutex<Option<WorkerContext>>>,
    worker: JoinHandle<Result<(), WorkerError>>,
}

impl Apalis {
    fn storage(&self, workers: usize) -> SqliteStorage<u32> {
        let config = Config::default();
        let batch = config.batch_size.max(workers);
        SqliteStorage::new(&self.pool).with_config(config.batch_size(batch))
    }

    async fn count(&self, sql: &'static str) -> Result<usize, Failure> {
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&self.pool).await?;
        Ok(usize::try_from(count)?)
    }
}

impl Peer for Apalis {
    const PACKAGE: &'static str = "apalis-sqlite";
    const LOCK: &'static str = include_str!("../Cargo.lock");

    type Running = Running;

    /// Its own `setup` sets `synchronous=OFF` on one connection of the pool, whichever it gets, and leaves the others
    /// at FULL. For the other settings the pool's options say it, and only the migrations are run.
    async fn open(file: &Path, setting: Setting) -> Result<Self, Failure> {
        let (pool, listener) =
            SqliteStorage::connect_with_callback(&format!("sqlite://{}?mode=rwc", file.display()))?;
        let synchronous = match setting {
            Setting::Own => {
                SqliteStorage::setup(&pool).await?;
                return Ok(Self { pool, listener });
            }
            Setting::Normal => SqliteSynchronous::Normal,
            Setting::Full => SqliteSynchronous::Full,
        };
        let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
        pool.set_connect_options(options.journal_mode(SqliteJournalMode::Wal).synchronous(synchronous));
        SqliteStorage::migrations().run(&pool).await?;
        Ok(Self { pool, listener })
    }

    async fn settings(&self) -> Result<Settings, Failure> {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(self.pool.acquire().await?);
        }
        let mut synchronous = Vec::new();
        for connection in &mut connections {
            synchronous.push(sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut **connection).await?);
        }
        drop(connections);
        let sqlite = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&self.pool).await?;
        let journal_mode = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&self.pool).await?;
        Ok(Settings { sqlite, journal_mode, synchronous })
    }

    async fn enqueue(&self) -> Result<(), Failure> {
        self.storage(1).push(0).await?;
        Ok(())
    }

    async fn enqueue_many(&self, jobs: usize, due: Due) -> Result<(), Failure> {
        let task = || match due {
            Due::Now => TaskBuilder::new(0).build(),
            Due::Tomorrow => TaskBuilder::new(0).run_in_hours(24).build(),
        };
        let tasks: Vec<_> = (0..jobs).map(|_| task()).collect();
        self.storage(1).push_all(futures::stream::iter(tasks)).await?;
        Ok(())
    }

    async fn start(&self, workers: usize, handler: Handler) -> Result<Running, Failure> {
        let context = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&context);
        let nothing = move |_: u32, context: WorkerContext| {
            if let Ok(mut kept) = kept.lock() {
                kept.get_or_insert(context);
            }
            handler();
            std::future::ready(Ok::<(), BoxDynError>(()))
        };
        let strategy = Strategy::new()
            .stream(self.listener.clone().ready_chunks(workers))
            .interval(Duration::from_millis(500));
        let worker = WorkerBuilder::new("worker-1")
            .backend(self.storage(workers).poll_with_strategy(strategy))
            .concurrency(workers)
            .parallelize(tokio::spawn)
            .build(nothing);
        Ok(Running { context, worker: tokio::spawn(worker.run()) })
    }

    async fn stop(&self, running: Running) -> Result<(), Failure> {
        let context = running.context.lock().map_err(|_| "a handler panicked")?.take();
        context.ok_or("no handler was called")?.stop()?;
        Ok(running.worker.await??)
    }

    async fn counts(&self) -> Result<Counts, Failure> {
        let finished = self.count("SELECT count(*) FROM Jobs WHERE status = 'Done'").await?;
        let all = self.count("SELECT count(*) FROM Jobs").await?;
        Ok(Counts { finished: Some(finished), unfinished: all - finished })
    }

    async fn close(&self) -> Result<(), Failure> {
        self.pool.close().await;
        Ok(())
    }

    /// Also lets its worker's last sign of life be an hour old, or none of that name could be started within a minute.
    async fn copy_finished(&self, copies: usize) -> Result<(), Failure> {
        const COPY: &str = "
            WITH RECURSIVE copies (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copies WHERE n < ?)
            INSERT INTO Jobs (
                job, id, job_type, status, attempts, max_attempts, run_at, last_result, lock_at, lock_by, done_at,
                priority, metadata)
            SELECT
                job, hex(randomblob(13)), job_type, status, attempts, max_attempts, run_at, last_result, lock_at,
                lock_by, done_at, priority, metadata
            FROM Jobs, copies
            WHERE status = 'Done'";
        sqlx::query(COPY).bind(i64::try_from(copies)?).execute(&self.pool).await?;
        sqlx::query("UPDATE Workers SET last_seen = last_seen - 3600").execute(&self.pool).await?;
        Ok(())
    }
}

fn main() -> ExitCode {
    peer::play::<Apalis>()
}
