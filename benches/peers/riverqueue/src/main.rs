//! riverqueue as a contestant: a pool of five connections in WAL with a busy timeout, as its README has it.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use peer::{Counts, Due, Failure, Handler, Peer, Setting, Settings, skipped};
use riverqueue::jiff::Timestamp;
use riverqueue::migrate::SqliteMigrator;
use riverqueue::{
    Client, FETCH_COOLDOWN_MIN, InsertOpts, Job, JobArgs, QueueConfig, RunHandle, WorkContext, WorkOutcome,
    Workers,
};
use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

const CONNECTIONS: u32 = 5;

#[derive(Clone, Deserialize, JobArgs, Serialize)]
#[river(kind = "nothing")]
struct Nothing {}

/// The pool, and a client that only inserts.
#[derive(Clone)]
struct River {
    pool: SqlitePool,
    client: Client,
}

impl Peer for River {
    const PACKAGE: &'static str = "riverqueue";
    const LOCK: &'static str = include_str!("../Cargo.lock");

    type Running = RunHandle;

    async fn open(file: &Path, setting: Setting) -> Result<Self, Failure> {
        let synchronous = match setting {
            Setting::Own => return Err(skipped("its_own_setting_is_full")),
            Setting::Normal => SqliteSynchronous::Normal,
            Setting::Full => SqliteSynchronous::Full,
        };
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .busy_timeout(Duration::from_secs(5));
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options).await?;
        SqliteMigrator::new(pool.clone()).migrate_up().await?;
        let client = Client::builder(pool.clone()).build()?;
        Ok(Self { pool, client })
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
        self.client.insert(Nothing {}).await?;
        Ok(())
    }

    async fn enqueue_many(&self, jobs: usize, due: Due) -> Result<(), Failure> {
        let opts = match due {
            Due::Now => InsertOpts::default(),
            Due::Tomorrow => {
                let tomorrow = Timestamp::now() + Duration::from_secs(86_400);
                InsertOpts::default().with_scheduled_at(tomorrow)
            }
        };
        self.client.insert_many((0..jobs).map(|_| (Nothing {}, opts.clone()))).await?;
        Ok(())
    }

    /// A client with workers. It fetches as often as it may: by default it does each 100 ms, which with 8 workers
    /// would be 80 jobs a second.
    async fn start(&self, workers: usize, handler: Handler) -> Result<RunHandle, Failure> {
        let mut kinds = Workers::new();
        kinds.add_fn(move |_: WorkContext, _: Job<Nothing>| {
            handler();
            std::future::ready(Ok::<_, Failure>(WorkOutcome::Complete))
        })?;
        let client = Client::builder(self.pool.clone())
            .workers(kinds)
            .fetch_cooldown(FETCH_COOLDOWN_MIN)
            .queue("default", QueueConfig::new(workers))
            .build()?;
        Ok(client.start()?)
    }

    async fn stop(&self, mut running: RunHandle) -> Result<(), Failure> {
        Ok(running.stop().await?)
    }

    async fn counts(&self) -> Result<Counts, Failure> {
        let count = "SELECT count(*) FROM river_job WHERE state = 'completed'";
        let finished: i64 = sqlx::query_scalar(count).fetch_one(&self.pool).await?;
        let all: i64 = sqlx::query_scalar("SELECT count(*) FROM river_job").fetch_one(&self.pool).await?;
        Ok(Counts {
            finished: Some(usize::try_from(finished)?),
            unfinished: usize::try_from(all - finished)?,
        })
    }
    async fn close(&self) -> Result<(), Failure> {
        self.pool.close().await;
        Ok(())
    }

    async fn copy_finished(&self, copies: usize) -> Result<(), Failure> {
        const COPY: &str = "
            WITH RECURSIVE copies (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copies WHERE n < ?)
            INSERT INTO river_job (
                args, attempt, attempted_at, attempted_by, created_at, errors, finalized_at, kind, max_attempts,
                metadata, priority, queue, state, scheduled_at, tags, unique_key, unique_states)
            SELECT
                args, attempt, attempted_at, attempted_by, created_at, errors, finalized_at, kind, max_attempts,
                metadata, priority, queue, state, scheduled_at, tags, unique_key, unique_states
            FROM river_job, copies
            WHERE state = 'completed'";
        sqlx::query(COPY).bind(i64::try_from(copies)?).execute(&self.pool).await?;
        Ok(())
    }
}

fn main() -> ExitCode {
    peer::play::<River>()
}
