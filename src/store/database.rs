//! The queue's file, open: what it is called, who may write to it, who reads from it.

use std::fmt;
use std::path::{Path, PathBuf};

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::Connection;

use super::files::{Identity, Place, millis};
use super::history;
use super::open::{self, Opened};
use super::options::OpenOptions;
use super::pool::Readers;
use super::settings;
use crate::error::{Error, Result};

/// An open file that was checked and is up to date. Share it in an `Arc`.
pub(crate) struct Database {
    place: Place,
    options: OpenOptions,
    identity: Identity,
    uuid: String,
    readers: Readers,
}

impl Database {
    /// Opens the file, makes and migrates it where needed, and opens the pool of readers.
    ///
    /// # Errors
    /// See [`OpenOptions::migrate`].
    pub(crate) fn open(options: &OpenOptions) -> Result<Self> {
        Self::with_readers(options.clone(), Readers::own)
    }

    /// Opens the file that the application's own pool is open on. Reads then go through that pool; writes have
    /// a connection of their own. The path and the application id in `options` do not matter.
    ///
    /// # Errors
    /// [`Error::NoFile`] if the pool's database is in memory or temporary, [`Error::CannotOpen`] if the pool
    /// gives no connection, and those of [`OpenOptions::migrate`].
    pub(crate) fn with_pool(
        pool: r2d2::Pool<SqliteConnectionManager>,
        options: &OpenOptions,
    ) -> Result<Self> {
        let path = file_of(&pool, options)?;
        Self::with_readers(options.for_pool_at(path), |_, _, _| Ok(Readers::Application(pool)))
    }

    fn with_readers(
        options: OpenOptions,
        readers: impl FnOnce(Place, OpenOptions, Identity) -> Result<Readers>,
    ) -> Result<Self> {
        let Opened { place, identity, migrated } = open::open(&options)?;
        let readers = readers(place.clone(), options.clone(), identity)?;
        Ok(Self { place, options, identity, uuid: migrated.database_uuid, readers })
    }

    /// The path that was opened, made absolute.
    pub(crate) fn path(&self) -> &Path {
        self.place.named()
    }

    /// Names the database, wherever it is copied to.
    pub(crate) fn uuid(&self) -> &str {
        &self.uuid
    }

    /// How it was opened.
    pub(crate) fn options(&self) -> &OpenOptions {
        &self.options
    }

    /// A new connection that writes. Its commits wait for the disk until [`settings::set_synchronous`] says
    /// otherwise; while another one holds the lock it asks each millisecond, for as long as the busy timeout.
    ///
    /// # Errors
    /// [`Error::FileReplaced`], [`Error::ConnectionSetting`], [`Error::CannotOpen`] and their like.
    pub(crate) fn writer(&self) -> Result<Connection> {
        let conn = open::connect(&self.place, &self.options)
            .and_then(|conn| settings::for_writing(&conn).map(|()| conn))
            .map_err(|error| match self.check_identity() {
                Ok(()) => open::explain(error, &self.place, &self.options),
                Err(replaced) => replaced,
            })?;
        self.check_identity()?;
        Ok(conn)
    }

    /// Calls `f` with a connection that cannot write, inside one transaction: all that it reads is of one
    /// moment. Do not call it from within `f`: the pool may be empty then.
    ///
    /// # Errors
    /// Those of `f`; [`Error::FileReplaced`]; [`Error::Busy`] if no reader is free within the busy timeout;
    /// [`Error::LeftInTransaction`] if the application's pool gave a connection that is in a transaction.
    pub(crate) fn read<R>(&self, f: impl FnOnce(&Connection) -> Result<R>) -> Result<R> {
        // Asked first: the pool would try to open a file that is gone for as long as the timeout.
        self.check_identity()?;
        self.readers.read(&self.options, f).map_err(|error| match error {
            Error::Busy { .. } => Error::Busy { waited_ms: millis(self.options.busy_timeout) },
            other => other,
        })
    }

    /// Checks that the path still names the file that was opened. It only looks, and may be called each tick.
    ///
    /// # Errors
    /// [`Error::FileReplaced`].
    pub(crate) fn check_identity(&self) -> Result<()> {
        self.place.is_still(self.identity)
    }

    /// Checks that no newer library has changed the schema beyond what this one may write. Worth asking when
    /// `PRAGMA data_version` says that another process has written.
    ///
    /// # Errors
    /// [`Error::NewerSchema`], [`Error::MalformedHistory`].
    pub(crate) fn check_schema(&self, conn: &Connection) -> Result<()> {
        history::may_write(conn, self.path())
    }

    /// The folder of the owners' lock files, `<file>.owners`, made with mode 0700 if there is none.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] and [`Error::CannotOpen`].
    pub(crate) fn owners_dir(&self) -> Result<PathBuf> {
        self.place.owners_dir()
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("path", &self.path())
            .field("uuid", &self.uuid)
            .finish_non_exhaustive()
    }
}

fn file_of(pool: &r2d2::Pool<SqliteConnectionManager>, options: &OpenOptions) -> Result<PathBuf> {
    let cannot_open = |why: String| Error::CannotOpen { path: options.path().to_owned(), why };
    let conn = pool.get().map_err(|error| cannot_open(format!("the application's pool: {error}")))?;
    match conn.path() {
        Some("") => Err(Error::NoFile),
        // `file:/name?vfs=memdb` has a name, too.
        Some(path) if Path::new(path).is_file() => Ok(PathBuf::from(path)),
        Some(_) => Err(Error::NoFile),
        None => Err(cannot_open("the path of the application's database is not UTF-8".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_writes_and_a_reader_cannot() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(&OpenOptions::new(dir.path().join("app.db"))).unwrap();
        let writer = database.writer().unwrap();
        writer.execute("INSERT INTO mainspring_queues (name) VALUES ('mail')", []).unwrap();
        let count: i64 = database
            .read(|conn| Ok(conn.query_row("SELECT count(*) FROM mainspring_queues", [], |row| row.get(0))?))
            .unwrap();
        assert_eq!(count, 1);
        let refused = database.read(|conn| Ok(conn.execute("DELETE FROM mainspring_queues", [])?));
        assert!(refused.unwrap_err().to_string().contains("readonly"));
    }
}
