//! The handle of an application on its queue: async methods, blocking ones, and those on a caller's transaction.

mod blocking;
mod declare;
mod key;
mod prune;
mod read;
mod tx;
mod verbs;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use r2d2_sqlite::SqliteConnectionManager;

use crate::core::Handle;
use crate::error::{Error, Result};
use crate::store::{Database, OpenOptions};
use crate::time::{Clock, SystemClock};

pub use blocking::BlockingQueue;
pub use declare::{Declaration, ReplaceReport};
pub use key::JobKey;
pub use prune::{Prune, Pruned};
pub use read::{Health, JobList, ListFilter, Status};
pub use write::CancelReport;

/// A durable queue in one SQLite file. Cheap to clone; all clones share one writer.
///
/// ```
/// use mainspring::{JobArgs, Queue};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Resize { path: String }
/// impl JobArgs for Resize { const KIND: &'static str = "resize"; }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> mainspring::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// let queue = Queue::open(dir.path().join("app.db")).await?;
/// let job = queue.enqueue(Resize { path: "a.png".into() }).await?.id();
/// assert_eq!(queue.get(job).await?.kind, "resize");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Queue {
    core: Handle,
}

impl Queue {
    /// Opens the queue in this file, creates the file if it is missing, and migrates it.
    ///
    /// # Errors
    /// One typed error for each thing that can be wrong with a file, its schema or its place; nothing is
    /// written then. See [`OpenOptions`] for what is created, and with which rights.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(OpenOptions::new(path)).await
    }

    /// Opens it with options.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with(options: OpenOptions) -> Result<Self> {
        off_the_runtime(move || Self::open_blocking(&options)).await
    }

    /// Opens it on this thread, for programs without an async runtime.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_blocking(options: &OpenOptions) -> Result<Self> {
        Self::open_on_clock(options, Arc::new(SystemClock))
    }

    /// Opens it with another clock than the system's; the feature `testing` has a manual one.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on_clock(options: &OpenOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        Ok(Self { core: Handle::start(Database::open(options)?, clock)? })
    }

    /// Opens the queue in the database of the application's own pool. The queue reads through the pool, under a
    /// guard that gives each connection back as it was, and writes through a connection of its own.
    ///
    /// # Errors
    /// As [`open`](Self::open); a database in memory is refused.
    pub async fn with_pool(pool: r2d2::Pool<SqliteConnectionManager>, options: OpenOptions) -> Result<Self> {
        off_the_runtime(move || {
            let database = Database::with_pool(pool, &options)?;
            Ok(Self { core: Handle::start(database, Arc::new(SystemClock))? })
        })
        .await
    }

    /// The same queue for callers that block. A lone blocking caller is faster than a lone async one: it does the
    /// writer's work itself.
    pub fn blocking(&self) -> BlockingQueue {
        BlockingQueue::new(self.clone())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.core.database().path()
    }

    /// Names the file for ever: a copy of it has the same uuid.
    pub fn database_uuid(&self) -> &str {
        self.core.database_uuid()
    }

    /// Takes no more commands and waits until those that were given are written, up to 10 seconds. Dropping the
    /// last clone closes the queue, too, without waiting.
    ///
    /// # Errors
    /// [`Error::Busy`] if commands are still waiting then.
    pub async fn close(&self) -> Result<()> {
        const LONGEST: Duration = Duration::from_secs(10);
        let core = self.core.clone();
        core.database().check_process()?;
        off_the_runtime(move || {
            if core.close(LONGEST) {
                Ok(())
            } else {
                Err(Error::Busy { waited_ms: LONGEST.as_millis() as u64 })
            }
        })
        .await
    }

    /// A queue whose writer has no thread.
    #[cfg(feature = "simulation")]
    pub(crate) fn without_thread(options: &OpenOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        Ok(Self { core: Handle::without_thread(Database::open(options)?, clock) })
    }

    pub(crate) fn core(&self) -> &Handle {
        &self.core
    }
}

/// Runs what blocks on a thread that may block.
async fn off_the_runtime<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    // A join error is a panic in `work`, or the runtime shutting down.
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Closed))
}
