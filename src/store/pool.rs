//! Connections that read: our own pool, or the application's.

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::files::{Identity, Place, millis};
use super::open::{connect, explain};
use super::options::OpenOptions;
use super::settings;
use crate::error::{Error, Result};

/// Where reads get their connection from.
pub(super) enum Readers {
    /// Ours: each connection may do nothing but read.
    Own(r2d2::Pool<Manager>),
    /// The application's: made read-only for as long as we have it.
    Application(r2d2::Pool<SqliteConnectionManager>),
}

impl Readers {
    /// A pool of our own. It opens one connection at once, so that what is wrong is known now and by name.
    pub(super) fn own(place: Place, options: OpenOptions, identity: Identity) -> Result<Self> {
        let manager = Manager { place, options, identity };
        drop(r2d2::ManageConnection::connect(&manager)?);
        let builder = r2d2::Pool::builder()
            .max_size(manager.options.readers)
            .min_idle(Some(0))
            .connection_timeout(manager.options.busy_timeout)
            // A reader that was left in a transaction is not put back; nothing else can happen to one.
            .test_on_check_out(false)
            .max_lifetime(None)
            .idle_timeout(None);
        Ok(Self::Own(builder.build_unchecked(manager)))
    }

    /// Calls `f` with a connection that cannot write, inside one transaction: all that it reads is of one
    /// moment.
    pub(super) fn read<R>(
        &self,
        options: &OpenOptions,
        f: impl FnOnce(&Connection) -> Result<R>,
    ) -> Result<R> {
        match self {
            Self::Own(pool) => snapshot(&*taken(pool, options)?, f),
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
            return Error::Busy { waited_ms: millis(options.busy_timeout) };
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
