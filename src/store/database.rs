//! The queue's file, open: what it is called, who may write to it, who reads from it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::Connection;

use super::files::{LogFiles, Place};
use super::folder::Folder;
use super::history;
use super::identity::Identity;
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
    watched: Mutex<Watched>,
    /// The process that opened it. What a fork leaves of it in a child is of no use.
    process: u32,
}

/// What a writer looks at before it writes.
struct Watched {
    folder: Folder,
    /// The log that its connection has open. It stays the same file for as long as anybody has it open.
    log: Option<LogFiles>,
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
        let watched = Mutex::new(Watched { folder: place.folder(), log: None });
        Ok(Self {
            place,
            options,
            identity,
            uuid: migrated.database_uuid,
            readers,
            watched,
            process: std::process::id(),
        })
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
        self.readers.read(&self.options, f)
    }

    /// Checks that the path still names the file that was opened, and that this is the process that opened it. It only
    /// looks, and may be called each tick.
    ///
    /// # Errors
    /// [`Error::FileReplaced`], [`Error::Forked`].
    pub(crate) fn check_identity(&self) -> Result<()> {
        self.check_process()?;
        self.place.is_still(self.identity)
    }

    /// As [`check_identity`](Self::check_identity), and that the log is still the one that the writer has open. To be
    /// asked by a writer that has its connection: once nobody has one, SQLite itself removes the log, and the next
    /// connection makes another.
    ///
    /// # Errors
    /// [`Error::FileReplaced`], [`Error::Forked`].
    pub(crate) fn check_files(&self) -> Result<()> {
        self.check_process()?;
        let mut watched = self.watched();
        if watched.folder.is_as_it_was() {
            return Ok(());
        }
        let changed = watched.folder.changed();
        self.place.is_still(self.identity)?;
        watched.log.map_or(Ok(()), |log| self.place.log_is_still(log))?;
        watched.folder.was_looked_at(changed);
        Ok(())
    }

    /// Checks that this is the process that opened the file.
    ///
    /// # Errors
    /// [`Error::Forked`].
    pub(crate) fn check_process(&self) -> Result<()> {
        if std::process::id() == self.process {
            return Ok(());
        }
        Err(Error::Forked { opened_by: self.process })
    }

    /// Opens the connection of a writer, as [`writer`](Self::writer) does, and remembers which log it has open: SQLite
    /// does not notice that somebody deletes it, and what is written then is lost with the process.
    ///
    /// # Errors
    /// Those of [`writer`](Self::writer).
    pub(crate) fn only_writer(&self) -> Result<Connection> {
        let conn = self.writer()?;
        let files = self.place.log_files()?;
        let mut watched = self.watched();
        watched.log = Some(files);
        watched.folder.forget();
        Ok(conn)
    }

    /// Whether the log that the writer has open was deleted, and nobody has made another one.
    pub(crate) fn lost_its_log(&self) -> bool {
        let known = self.watched().log;
        known.is_some_and(|files| self.place.log_files().is_ok_and(|now| files.lost_its_log(now)))
    }

    /// How long the file of the write-ahead log is.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.place.log_bytes()
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
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
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::store::{Sync, set_synchronous};

    fn open() -> (tempfile::TempDir, Database) {
        let dir = tempfile::tempdir().unwrap();
        let options = OpenOptions::new(dir.path().join("app.db")).busy_timeout(Duration::from_millis(40));
        let database = Database::open(&options).unwrap();
        (dir, database)
    }

    const COUNT: &str = "SELECT count(*) FROM mainspring_queues";

    fn count(conn: &Connection) -> Result<i64> {
        Ok(conn.query_row(COUNT, [], |row| row.get(0))?)
    }

    #[test]
    fn a_database_is_shared_between_threads() {
        fn shared<T: Send + std::marker::Sync>() {}
        shared::<Database>();
    }

    #[test]
    fn a_writer_writes_and_a_reader_cannot() {
        let (_dir, database) = open();
        let writer = database.writer().unwrap();
        writer.execute("INSERT INTO mainspring_queues (name) VALUES ('mail')", []).unwrap();
        assert_eq!(database.read(count).unwrap(), 1);
        let refused = database.read(|conn| Ok(conn.execute("DELETE FROM mainspring_queues", [])?));
        assert!(refused.unwrap_err().to_string().contains("readonly"));
    }

    /// D11.11: the log holds what the database holds, so that it must be as private.
    #[cfg(unix)]
    #[test]
    fn the_log_is_as_private_as_the_database() {
        use std::os::unix::fs::PermissionsExt;
        let (dir, database) = open();
        let writer = database.writer().unwrap();
        writer.execute("INSERT INTO mainspring_queues (name) VALUES ('mail')", []).unwrap();
        for name in ["app.db", "app.db-wal", "app.db-shm"] {
            let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    /// D11.8: a reader with an open transaction does not block a writer, and sees what it saw.
    #[test]
    fn all_that_one_read_sees_is_of_one_moment() {
        let (_dir, database) = open();
        let writer = database.writer().unwrap();
        let counts = database
            .read(|conn| {
                let before = count(conn)?;
                writer.execute("INSERT INTO mainspring_queues (name) VALUES ('mail')", [])?;
                Ok((before, count(conn)?))
            })
            .unwrap();
        assert_eq!(counts, (0, 0));
        assert_eq!(database.read(count).unwrap(), 1);
    }

    #[test]
    fn a_second_writer_is_busy_for_as_long_as_the_timeout_and_no_longer() {
        let (_dir, database) = open();
        let (first, second) = (database.writer().unwrap(), database.writer().unwrap());
        first.execute_batch("BEGIN IMMEDIATE").unwrap();
        let refused = second.execute_batch("BEGIN IMMEDIATE").unwrap_err();
        assert!(Error::from(refused).is_busy());
        first.execute_batch("COMMIT").unwrap();
        second.execute_batch("BEGIN IMMEDIATE; COMMIT").unwrap();
    }

    /// D11.7: "database is locked" at once, because the timeout was set late or never.
    #[test]
    fn a_writer_waits_for_another_ones_lock() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(&OpenOptions::new(dir.path().join("app.db"))).unwrap();
        let (first, second) = (database.writer().unwrap(), database.writer().unwrap());
        first.execute_batch("BEGIN IMMEDIATE").unwrap();
        std::thread::scope(|threads| {
            let (sender, answer) = std::sync::mpsc::channel();
            threads.spawn(move || sender.send(second.execute_batch("BEGIN IMMEDIATE; COMMIT")));
            let at_once = answer.recv_timeout(Duration::from_millis(50));
            assert!(at_once.is_err(), "it did not wait: {at_once:?}");
            first.execute_batch("COMMIT").unwrap();
            answer.recv_timeout(Duration::from_secs(9)).unwrap().unwrap();
        });
    }

    /// While a folder is believed, its files are not looked at.
    #[cfg(unix)]
    #[test]
    fn a_writer_notices_what_becomes_of_its_files_although_it_believed_their_folder() {
        type Deed = fn(&Path);
        let deeds: [Deed; 4] = [
            |path| fs::remove_file(path).unwrap(),
            |path| fs::rename(path, path.with_extension("moved")).unwrap(),
            |path| fs::remove_file(path.with_extension("db-wal")).unwrap(),
            |path| fs::rename(path.with_extension("db-shm"), path.with_extension("moved")).unwrap(),
        ];
        for deed in deeds {
            let (dir, database) = open();
            let _writer = database.only_writer().unwrap();
            let long_ago = std::time::SystemTime::now() - Duration::from_secs(60);
            let times = fs::FileTimes::new().set_modified(long_ago);
            fs::File::open(dir.path()).unwrap().set_times(times).unwrap();
            database.check_files().unwrap();
            database.check_files().unwrap();
            deed(&dir.path().join("app.db"));
            assert!(matches!(database.check_files(), Err(Error::FileReplaced { .. })));
        }
    }

    #[test]
    fn a_deleted_or_replaced_file_is_noticed_by_everything() {
        let (dir, database) = open();
        let path = dir.path().join("app.db");
        database.check_identity().unwrap();
        fs::rename(&path, dir.path().join("moved.db")).unwrap();
        let replaced = |result: Result<()>| matches!(result, Err(Error::FileReplaced { .. }));
        assert!(replaced(database.check_identity()));
        assert!(replaced(database.writer().map(drop)));
        assert!(replaced(database.read(count).map(drop)));
        OpenOptions::new(&path).migrate().unwrap();
        assert!(replaced(database.check_identity()), "another file of the same name");
        assert!(replaced(database.writer().map(drop)));
        fs::remove_file(&path).unwrap();
        fs::rename(dir.path().join("moved.db"), &path).unwrap();
        database.check_identity().unwrap();
    }

    /// A deployment that moves a link to its folder moves the file away as well.
    #[cfg(unix)]
    #[test]
    fn a_folder_link_that_leads_elsewhere_now_is_a_replaced_file() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        for release in ["one", "two"] {
            fs::create_dir(dir.path().join(release)).unwrap();
            OpenOptions::new(dir.path().join(release).join("app.db")).migrate().unwrap();
        }
        let current = dir.path().join("current");
        symlink("one", &current).unwrap();
        let database = Database::open(&OpenOptions::new(current.join("app.db"))).unwrap();
        fs::remove_file(&current).unwrap();
        symlink("two", &current).unwrap();
        assert!(matches!(database.check_identity(), Err(Error::FileReplaced { .. })));
    }

    #[test]
    fn a_schema_that_became_newer_while_it_was_open_is_noticed() {
        let (_dir, database) = open();
        let writer = database.writer().unwrap();
        database.check_schema(&writer).unwrap();
        writer.execute("UPDATE mainspring_meta SET oldest_writer = 98", []).unwrap();
        assert!(matches!(database.check_schema(&writer), Err(Error::NewerSchema { found: 98, .. })));
        writer.execute("DELETE FROM mainspring_meta", []).unwrap();
        assert!(matches!(database.check_schema(&writer), Err(Error::MalformedHistory { .. })));
    }

    #[test]
    fn the_folder_of_owners_is_private_and_made_once() {
        let (dir, database) = open();
        let owners = database.owners_dir().unwrap();
        assert_eq!(owners, dir.path().canonicalize().unwrap().join("app.db.owners"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&owners).unwrap().permissions().mode() & 0o777, 0o700);
        }
        assert_eq!(database.owners_dir().unwrap(), owners);
        fs::remove_dir_all(&owners).unwrap();
        fs::write(&owners, "").unwrap();
        assert!(matches!(database.owners_dir(), Err(Error::CannotOpen { .. })));
    }

    #[test]
    fn the_safety_of_commits_is_switched_between_transactions_only() {
        let (_dir, database) = open();
        let writer = database.writer().unwrap();
        let synchronous = || writer.query_row("PRAGMA synchronous", [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(synchronous(), 2);
        set_synchronous(&writer, Sync::Normal).unwrap();
        assert_eq!(synchronous(), 1);
        writer.execute_batch("BEGIN").unwrap();
        let refused = set_synchronous(&writer, Sync::Full);
        assert!(matches!(refused, Err(Error::ConnectionSetting { setting: "synchronous", .. })));
        writer.execute_batch("COMMIT").unwrap();
        set_synchronous(&writer, Sync::Full).unwrap();
        assert_eq!(synchronous(), 2);
    }
}
