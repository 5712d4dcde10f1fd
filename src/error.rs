//! What can go wrong, one variant a cause. A message names the thing and says what to do.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

use crate::brief::{Brief, Quoted, brief};
use crate::job::JobId;
use crate::run::RunId;
use crate::schedule::ScheduleError;

/// The result of everything that touches the queue's file.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the queue could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is migrated further than this library knows.
    #[error(
        "{path:?} has schema version {found}, this library knows {known}: upgrade the application or restore an older file"
    )]
    NewerSchema {
        /// The database file.
        path: PathBuf,
        /// The version in the file.
        found: i64,
        /// The newest version that this library knows.
        known: i64,
    },
    /// A migration in the file differs from the one of the same number in this library.
    #[error(
        "{path:?} was migrated with another text of migration V{version} ({}): it was made by a different build; do not edit shipped migrations",
        Quoted(name)
    )]
    DivergedHistory {
        /// The database file.
        path: PathBuf,
        /// The number of the migration.
        version: i64,
        /// The name of the migration.
        name: String,
    },
    /// The table of applied migrations holds what no migration writes.
    #[error(
        "the migration history in {path:?} is malformed ({}): restore the file from a backup",
        Brief(why)
    )]
    MalformedHistory {
        /// The database file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A migration failed; the file is as it was before.
    #[error("{path:?} could not be migrated: {}", Brief(why))]
    Migration {
        /// The database file.
        path: PathBuf,
        /// What SQLite or refinery said.
        why: String,
    },
    /// The file is no SQLite database, or is damaged beyond reading.
    #[error("{path:?} is not a readable SQLite database: nothing was written; restore it from a backup")]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file belongs to another application.
    #[error(
        "{path:?} carries the application id {found:#010x} of another program: allow it with `OpenOptions::application_id` if the queue shall live in it"
    )]
    ForeignApplicationId {
        /// The file.
        path: PathBuf,
        /// The id in its header.
        found: i32,
    },
    /// The file or its folder cannot be written.
    #[error("{path:?} cannot be written: the queue needs write access to the file and its folder")]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The file or its folder cannot be opened.
    #[error("{path:?} cannot be opened: {why}")]
    CannotOpen {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The path is a symbolic link, which is not followed.
    #[error("{path:?} is a symbolic link: name the file itself")]
    SymbolicLink {
        /// The link.
        path: PathBuf,
    },
    /// The SQLite that is linked in can corrupt a WAL that two connections write.
    #[error(
        "SQLite {found} can corrupt a write-ahead log: link 3.51.3 or newer (the feature `bundled` of rusqlite does)"
    )]
    SqliteTooOld {
        /// The version that is linked in.
        found: String,
    },
    /// A connection does not have the settings that the queue's promises rest on.
    #[error("connection setting {setting} is {found:?}, needed is {wanted:?}: {hint}")]
    ConnectionSetting {
        /// The pragma or limit.
        setting: &'static str,
        /// Its value.
        found: String,
        /// The value that is needed.
        wanted: String,
        /// What to do.
        hint: &'static str,
    },
    /// The database file, or its write-ahead log, was deleted or replaced while it was open.
    #[error(
        "{path:?} was deleted or replaced while it was open: restart the application on the file that it shall use"
    )]
    FileReplaced {
        /// The path of the file that is not what it was.
        path: PathBuf,
    },
    /// The queue was opened by another process, of which this one is a fork.
    #[error(
        "the queue was opened by process {opened_by} before a fork: open it anew in this process, and leave what was opened before alone"
    )]
    Forked {
        /// The process that opened it.
        opened_by: u32,
    },
    /// The application's pool is on a database in memory or a temporary one.
    #[error("the pool's database is in memory or temporary: a queue needs a file that outlives the process")]
    NoFile,
    /// The application's pool gave a connection that was left in a transaction.
    #[error(
        "a connection came out of the application's pool in the middle of a transaction: commit or roll back before it goes back"
    )]
    LeftInTransaction,
    /// Another connection held the database longer than the busy timeout.
    #[error("the database was busy{}: another connection holds a long transaction; try again", for_long(*waited_ms))]
    Busy {
        /// How long was waited, in milliseconds; 0 if that is not known, as on a connection of the application.
        waited_ms: u64,
    },
    /// The disk is full.
    #[error("the disk is full: make room; results that are waiting are written as soon as there is some")]
    DiskFull,
    /// A commit returned an error and what became of it could not be found out.
    #[error("the outcome of a commit is unknown ({}): look before doing it again", Brief(why))]
    OutcomeUnknown {
        /// What SQLite said.
        why: String,
    },
    /// The transaction failed before its commit; nothing of it is in the file.
    #[error("nothing was written: {}", Brief(why))]
    NotWritten {
        /// What went wrong.
        why: String,
    },
    /// There is no such job.
    #[error("there is no job {0}")]
    JobNotFound(String),
    /// There is no such run.
    #[error("there is no run {0}")]
    RunNotFound(RunId),
    /// The run was ended by somebody else; what this caller wanted to record was not recorded.
    #[error("run {0} is no longer this owner's: it was ended by recovery, by its timeout or by hand")]
    ClaimLost(RunId),
    /// The job runs right now.
    #[error("job {0} is running: wait for it, or allow runs to overlap")]
    AlreadyRunning(JobId),
    /// The job's state does not allow what was asked for.
    #[error("job {job} cannot be changed this way: {why}")]
    WrongState {
        /// The job.
        job: JobId,
        /// Which state would be needed.
        why: &'static str,
    },
    /// An unfinished job holds the unique key.
    #[error("unique key {} is held by job {held_by}", Quoted(key))]
    UniqueKeyHeld {
        /// The key.
        key: String,
        /// The job that holds it.
        held_by: JobId,
    },
    /// A job of that name has another kind.
    #[error(
        "job {} has kind {}, not {wanted:?}: remove it first or choose another name",
        Quoted(name),
        Quoted(found)
    )]
    NameHasOtherKind {
        /// The name.
        name: String,
        /// The kind in the file.
        found: String,
        /// The kind that was asked for.
        wanted: String,
    },
    /// An option has a value that it cannot have.
    #[error("{option} {why}")]
    InvalidOption {
        /// The option.
        option: &'static str,
        /// What is wrong and what is allowed.
        why: String,
    },
    /// A value is longer than its limit.
    #[error(
        "{what} has {length} bytes or more, at most {limit} are allowed: store large data elsewhere and pass a reference"
    )]
    TooLong {
        /// The value.
        what: &'static str,
        /// Its length in bytes. The text of a payload is given up where it passes the limit: then it is at least so
        /// long.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A schedule was refused.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// A value could not be written as JSON.
    #[error("{what} cannot be written as JSON: {}", Brief(why))]
    Serialize {
        /// The value.
        what: &'static str,
        /// What serde said.
        why: String,
    },
    /// A row holds what the library never writes.
    #[error("{table} row {id}, column {}: {}", Quoted(column), Brief(why))]
    MalformedRow {
        /// The table.
        table: &'static str,
        /// The row's id; 0 where the value was read by itself.
        id: i64,
        /// The column.
        column: String,
        /// What is wrong with it.
        why: String,
    },
    /// A `_tx` method was called on a connection that is in no transaction.
    #[error(
        "the connection is in no transaction: begin one, so that the job commits or rolls back with your own rows"
    )]
    NoTransaction,
    /// The `_tx` method's connection is open on another file.
    #[error("the transaction is on another database than the queue's")]
    OtherDatabase,
    /// The queue was closed.
    #[error("the queue is closed")]
    Closed,
    /// So many commands wait for the writer that no more are taken.
    #[error("{waiting} commands wait for the writer: the disk is too slow for this rate; try again later")]
    Overloaded {
        /// How many wait.
        waiting: usize,
    },
    /// Two handlers were registered for one kind, or an engine lacks what it needs.
    #[error("the engine cannot be built: {0}")]
    Engine(String),
    /// An operating-system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// Something that was called panicked; nothing of it is in the file.
    #[error("{what} panicked: {}", Brief(why))]
    Panicked {
        /// What was being done.
        what: &'static str,
        /// The panic's message.
        why: String,
    },
    /// SQLite refused a statement.
    #[error("SQLite: {}", Brief(.0))]
    Sqlite(rusqlite::Error),
}

impl Error {
    /// Whether trying again later may help: the database was locked by somebody else, or the writer overloaded.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Overloaded { .. })
    }

    /// Whether the job or run that was named does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::JobNotFound(_) | Self::RunNotFound(_))
    }

    /// Whether the run was taken from this owner.
    pub fn is_claim_lost(&self) -> bool {
        matches!(self, Self::ClaimLost(_))
    }

    /// The same error of a connection, or for a caller, that waited for so long before giving up.
    pub(crate) fn after_waiting(self, waited: Duration) -> Self {
        match self {
            Self::Busy { .. } => {
                Self::Busy { waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX) }
            }
            other => other,
        }
    }

    /// The same error for another caller, as far as it can be had twice.
    pub(crate) fn twin(&self) -> Self {
        match self {
            Self::Busy { waited_ms } => Self::Busy { waited_ms: *waited_ms },
            Self::DiskFull => Self::DiskFull,
            Self::FileReplaced { path } => Self::FileReplaced { path: path.clone() },
            Self::Forked { opened_by } => Self::Forked { opened_by: *opened_by },
            Self::NotADatabase { path } => Self::NotADatabase { path: path.clone() },
            Self::ReadOnly { path } => Self::ReadOnly { path: path.clone() },
            Self::CannotOpen { path, why } => Self::CannotOpen { path: path.clone(), why: why.clone() },
            Self::Sqlite(rusqlite::Error::SqliteFailure(code, text)) => {
                Self::Sqlite(rusqlite::Error::SqliteFailure(*code, text.clone()))
            }
            Self::Closed => Self::Closed,
            Self::Panicked { what, why } => Self::Panicked { what, why: why.clone() },
            other => Self::NotWritten { why: other.to_string() },
        }
    }

    pub(crate) fn invalid(option: &'static str, why: impl Into<String>) -> Self {
        Self::InvalidOption { option, why: why.into() }
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// Whether the fault lies with the disk or the locks and may go away, so that a loop shall go on trying.
    pub(crate) fn is_transient(&self) -> bool {
        use rusqlite::ErrorCode::{
            CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, OperationInterrupted, OutOfMemory,
            SystemIoFailure,
        };
        match self {
            Self::Busy { .. } | Self::DiskFull | Self::OutcomeUnknown { .. } | Self::Overloaded { .. } => {
                true
            }
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    CannotOpen
                        | DatabaseBusy
                        | DatabaseLocked
                        | DiskFull
                        | OperationInterrupted
                        | OutOfMemory
                        | SystemIoFailure
                )
            ),
            Self::Io { .. } => true,
            _ => false,
        }
    }
}

/// Calls what may panic although it should not: a panic becomes an error that says what was being done. For loops
/// that must go on whatever happens in one turn, over state that is good between any two calls.
pub(crate) fn caught<T>(what: &'static str, call: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|panic| Err(Error::Panicked { what, why: panic_message(&*panic) }))
}

fn for_long(waited_ms: u64) -> String {
    if waited_ms == 0 { String::new() } else { format!(" for {waited_ms} ms") }
}

/// The text of `panic!("…")`; other payloads have none.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "a panic without a message".to_owned(),
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, FileLockingProtocolFailed};
        match error.sqlite_error_code() {
            // The last is how SQLite says that others had the locks of the log each time that it tried.
            Some(DatabaseBusy | DatabaseLocked | FileLockingProtocolFailed) => {
                // SQLite does not say for how long.
                Self::Busy { waited_ms: 0 }
            }
            Some(DiskFull) => Self::DiskFull,
            None => malformed(error),
            _ => Self::Sqlite(error),
        }
    }
}

/// What SQLite gave and rusqlite could not read: a value that somebody wrote who is not the library. Where a whole row is
/// read, the error names its table and its id.
fn malformed(error: rusqlite::Error) -> Error {
    let column = match &error {
        rusqlite::Error::FromSqlConversionFailure(column, ..)
        | rusqlite::Error::IntegralValueOutOfRange(column, _)
        | rusqlite::Error::InvalidColumnType(column, ..)
        | rusqlite::Error::Utf8Error(column, _) => format!("number {}", column.saturating_add(1)),
        _ => return Error::Sqlite(error),
    };
    Error::MalformedRow { table: "mainspring", id: 0, column, why: brief(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sqlite(code: i32) -> Error {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None).into()
    }

    #[test]
    fn a_lock_held_too_long_is_busy_and_transient() {
        for code in [rusqlite::ffi::SQLITE_BUSY, rusqlite::ffi::SQLITE_LOCKED, rusqlite::ffi::SQLITE_PROTOCOL]
        {
            let error = sqlite(code);
            assert!(error.is_busy() && error.is_transient(), "{code}");
        }
    }

    #[test]
    fn a_panic_that_is_caught_says_what_was_being_done() {
        let error = caught("a test", || -> Result<()> { panic!("no {}", "luck") }).unwrap_err();
        assert_eq!(error.to_string(), "a test panicked: no luck");
        assert!(!error.is_transient() && caught("a test", || Ok(5)).unwrap() == 5);
    }

    #[test]
    fn a_value_that_cannot_be_read_is_a_malformed_row_wherever_it_was_read() {
        let conn = rusqlite::Connection::open_in_memory().unwrap();
        let read = |sql| conn.query_row(sql, [], |row| row.get::<_, String>(0));
        for sql in ["SELECT CAST(x'ff' AS TEXT)", "SELECT 7"] {
            let error = Error::from(read(sql).unwrap_err());
            assert!(
                matches!(&error, Error::MalformedRow { column, .. } if column == "number 1"),
                "{error:?}"
            );
        }
        let error =
            Error::from(conn.query_row("SELECT 1 << 40", [], |row| row.get::<_, u32>(0)).unwrap_err());
        assert!(matches!(error, Error::MalformedRow { .. }), "{error:?}");
        assert!(matches!(Error::from(read("SELECT 1 WHERE 0").unwrap_err()), Error::Sqlite(_)));
    }

    #[test]
    fn a_constraint_is_not_transient() {
        assert!(!sqlite(rusqlite::ffi::SQLITE_CONSTRAINT).is_transient());
        assert!(sqlite(rusqlite::ffi::SQLITE_IOERR).is_transient());
    }
}
