//! Connections that read: our own pool, or the application's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::files::{Place, millis};
use super::identity::Identity;
use super::open::{connect, explain};
use super::options::OpenOptions;
use super::settings;
use crate::error::{Error, Result};

/// A read waits at least this long for a connection, however short the busy timeout: opening one is not a lock
/// that somebody holds, and on a loaded machine it takes its time.
const LEAST_WAIT: Duration = Duration::from_secs(1);

/// Where reads get their connection from.
pub(super) enum Readers {
    /// Ours: each connection may do nothing but read.
    Own {
        /// The connections.
        pool: r2d2::Pool<Manager>,
        /// Why one could not be opened.
        failure: Failure,
    },
    /// The application's: made read-only for as long as we have it.
    Application(r2d2::Pool<SqliteConnectionManager>),
}

impl Readers {
    /// A pool of our own. It opens one connection at once, so that what is wrong is known now and by name.
    pub(super) fn own(place: Place, options: OpenOptions, identity: Identity) -> Result<Self> {
        let manager = Manager { place, options, identity };
        drop(r2d2::ManageConnection::connect(&manager)?);
        let failure = Failure::default();
        let builder = r2d2::Pool::builder()
            .error_handler(Box::new(failure.clone()))
            .max_size(manager.options.readers)
            .min_idle(Some(0))
            .connection_timeout(manager.options.busy_timeout.max(LEAST_WAIT))
            // A reader that was left in a transaction is not put back; nothing else can happen to one.
            .test_on_check_out(false)
            .max_lifetime(None)
            .idle_timeout(None);
        Ok(Self::Own { pool: builder.build_unchecked(manager), failure })
    }

    /// Calls `f` with a connection that cannot write, inside one transaction: all that it reads is of one
    /// moment.
    pub(super) fn read<R>(
        &self,
        options: &OpenOptions,
        f: impl FnOnce(&Connection) -> Result<R>,
    ) -> Result<R> {
        match self {
            Self::Own { pool, failure } => {
                let waited = |error: Error| error.after_waiting(options.busy_timeout);
                let conn = taken(pool, options).map_err(|error| match error {
                    // The pool has only a text for it; the caller needs to know the kind.
                    Error::CannotOpen { .. } => failure.take().map_or(error, waited),
                    other => other,
                })?;
                snapshot(&conn, f).map_err(waited)
            }
            Self::Application(pool) => {
                let conn = taken(pool, options)?;
                if !conn.is_autocommit() {
                    return Err(Error::LeftInTransaction);
                }
                let _query_only = QueryOnly::set(&conn)?;
                snapshot(&conn, f)
            }
        }
    }
}

fn taken<M: r2d2::ManageConnection>(
    pool: &r2d2::Pool<M>,
    options: &OpenOptions,
) -> Result<r2d2::PooledConnection<M>> {
    pool.get().map_err(|error| {
        let state = pool.state();
        if state.idle_connections == 0 && state.connections >= pool.max_size() {
            return Error::Busy { waited_ms: millis(pool.connection_timeout()) };
        }
        Error::CannotOpen { path: options.path().to_owned(), why: error.to_string() }
    })
}

fn snapshot<R>(conn: &Connection, f: impl FnOnce(&Connection) -> Result<R>) -> Result<R> {
    // Dropped on every way out, a panic included, and then rolled back.
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Deferred)?;
    let found = f(&tx)?;
    tx.rollback()?;
    Ok(found)
}

/// Makes a connection of the application read-only, and gives it back as it was.
struct QueryOnly<'a> {
    conn: &'a Connection,
    before: i64,
}

impl<'a> QueryOnly<'a> {
    fn set(conn: &'a Connection) -> Result<Self> {
        let before = conn.pragma_query_value(None, "query_only", |row| row.get(0))?;
        conn.pragma_update(None, "query_only", 1)?;
        Ok(Self { conn, before })
    }
}

impl Drop for QueryOnly<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.conn.pragma_update(None, "query_only", self.before) {
            tracing::warn!(%error, "a connection of the application's pool is still read-only");
        }
    }
}

/// The last error of a connection that could not be opened; shared with the pool, which tells it.
#[derive(Clone, Debug, Default)]
pub(super) struct Failure(Arc<Mutex<Option<Error>>>);

impl Failure {
    fn last(&self) -> MutexGuard<'_, Option<Error>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Error> {
        self.last().take()
    }
}

impl r2d2::HandleError<Error> for Failure {
    fn handle_error(&self, error: Error) {
        *self.last() = Some(error);
    }
}

/// Opens the connections of our own pool.
#[derive(Debug)]
pub(super) struct Manager {
    place: Place,
    options: OpenOptions,
    identity: Identity,
}

impl r2d2::ManageConnection for Manager {
    type Connection = Connection;
    type Error = Error;

    fn connect(&self) -> Result<Connection> {
        let conn = connect(&self.place, &self.options)
            .and_then(|conn| settings::for_reading(&conn, &self.options).map(|()| conn))
            .map_err(|error| explain(error, &self.place, &self.options))?;
        // Looked at after opening: a file that was put there meanwhile would be another one than the writer's.
        self.place.is_still(self.identity)?;
        Ok(conn)
    }

    fn is_valid(&self, conn: &mut Connection) -> Result<()> {
        Ok(conn.execute_batch("")?)
    }

    fn has_broken(&self, conn: &mut Connection) -> bool {
        !conn.is_autocommit()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::path::Path;

    use super::*;
    use crate::store::Database;

    fn pool(path: &Path, size: u32) -> r2d2::Pool<SqliteConnectionManager> {
        let manager = SqliteConnectionManager::file(path);
        r2d2::Pool::builder().max_size(size).connection_timeout(LEAST_WAIT).build(manager).unwrap()
    }

    fn on_pool(size: u32) -> (tempfile::TempDir, r2d2::Pool<SqliteConnectionManager>, Database) {
        let dir = tempfile::tempdir().unwrap();
        let pool = pool(&dir.path().join("app.db"), size);
        pool.get().unwrap().execute_batch("CREATE TABLE users (name TEXT)").unwrap();
        let database = Database::with_pool(pool.clone(), &OpenOptions::new("ignored")).unwrap();
        (dir, pool, database)
    }

    fn query_only(conn: &Connection) -> i64 {
        conn.query_row("PRAGMA query_only", [], |row| row.get(0)).unwrap()
    }

    fn one(conn: &Connection) -> Result<i64> {
        Ok(conn.query_row("SELECT 1", [], |row| row.get(0))?)
    }

    #[test]
    fn the_applications_pool_reads_and_our_own_connection_writes() {
        let (dir, pool, database) = on_pool(2);
        assert_eq!(database.path(), dir.path().canonicalize().unwrap().join("app.db"));
        let writer = database.writer().unwrap();
        writer.execute("INSERT INTO mainspring_queues (name) VALUES ('mail')", []).unwrap();
        let name: String = database
            .read(|conn| Ok(conn.query_row("SELECT name FROM mainspring_queues", [], |row| row.get(0))?))
            .unwrap();
        assert_eq!(name, "mail");
        let held: Vec<_> = (0..2).map(|_| pool.get().unwrap()).collect();
        assert!(
            matches!(database.read(one), Err(Error::Busy { .. })),
            "it has no other connections to read with"
        );
        drop(held);
        database.read(one).unwrap();
    }

    #[test]
    fn the_file_of_a_pool_may_carry_the_applications_own_id() {
        let dir = tempfile::tempdir().unwrap();
        let pool = pool(&dir.path().join("app.db"), 1);
        pool.get()
            .unwrap()
            .execute_batch("PRAGMA application_id = 7; CREATE TABLE users (name TEXT)")
            .unwrap();
        let database = Database::with_pool(pool, &OpenOptions::new("ignored")).unwrap();
        let found: i64 =
            database.read(|conn| Ok(conn.query_row("PRAGMA application_id", [], |row| row.get(0))?)).unwrap();
        assert_eq!(found, 7);
    }

    #[test]
    fn a_connection_of_the_application_goes_back_as_it_came() {
        let (_dir, pool, database) = on_pool(1);
        for before in [0, 1] {
            pool.get().unwrap().pragma_update(None, "query_only", before).unwrap();
            let during = database.read(|conn| Ok((query_only(conn), conn.is_autocommit()))).unwrap();
            assert_eq!(during, (1, false));
            database.read::<()>(|_| Err(Error::Closed)).unwrap_err();
            let panicked =
                catch_unwind(AssertUnwindSafe(|| database.read::<()>(|_| panic!("a bug in a read"))));
            assert!(panicked.is_err());
            let conn = pool.get().unwrap();
            assert_eq!((query_only(&conn), conn.is_autocommit()), (before, true));
        }
    }

    /// r2d2 hands out connections as they were given back. Reading in somebody's open transaction would show
    /// what is not committed, or what was true an hour ago.
    #[test]
    fn a_connection_that_was_left_in_a_transaction_is_noticed_and_not_touched() {
        let (_dir, pool, database) = on_pool(1);
        pool.get().unwrap().execute_batch("BEGIN; INSERT INTO users VALUES ('Ada')").unwrap();
        assert!(matches!(database.read(one), Err(Error::LeftInTransaction)));
        pool.get().unwrap().execute_batch("COMMIT").unwrap();
        let users: i64 = database
            .read(|conn| Ok(conn.query_row("SELECT count(*) FROM users", [], |row| row.get(0))?))
            .unwrap();
        assert_eq!(users, 1);
    }

    #[test]
    fn a_pool_in_memory_or_on_a_temporary_database_is_refused() {
        let temporary = || r2d2::Pool::new(SqliteConnectionManager::file("")).unwrap();
        let memory = || r2d2::Pool::new(SqliteConnectionManager::memory()).unwrap();
        let named = || r2d2::Pool::new(SqliteConnectionManager::file("file:/named?vfs=memdb")).unwrap();
        for pool in [temporary(), memory(), named()] {
            let refused = Database::with_pool(pool, &OpenOptions::new("ignored"));
            assert!(matches!(refused, Err(Error::NoFile)), "{refused:?}");
        }
    }

    #[test]
    fn a_read_does_not_wait_for_ever_for_a_free_reader() {
        let dir = tempfile::tempdir().unwrap();
        let options = OpenOptions::new(dir.path().join("app.db")).readers(1).busy_timeout(Duration::ZERO);
        let database = Database::open(&options).unwrap();
        let nested = database.read(|_| Ok(database.read(one))).unwrap();
        assert!(matches!(nested, Err(Error::Busy { waited_ms: 1_000 })), "{nested:?}");
        database.read(one).unwrap();
    }

    #[test]
    fn a_read_that_fails_or_panics_leaves_its_connection_usable() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(&OpenOptions::new(dir.path().join("app.db")).readers(1)).unwrap();
        database.read::<()>(|_| Err(Error::Closed)).unwrap_err();
        assert!(
            catch_unwind(AssertUnwindSafe(|| database.read::<()>(|_| panic!("a bug in a read")))).is_err()
        );
        assert!(
            database.read(|conn| Ok(conn.execute_batch("ROLLBACK")?)).is_err(),
            "its transaction is gone"
        );
        assert!(!database.read(|conn| Ok(conn.is_autocommit())).unwrap());
    }
}
