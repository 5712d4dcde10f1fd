//! What the VFS does to a real database.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::*;

struct Bench {
    vfs: FaultVfs,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { vfs: FaultVfs::register_unique("test").unwrap(), dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("app.db")
    }

    fn open(&self) -> Connection {
        open(&self.path(), self.vfs.name())
    }

    /// Opens the database as the next process would: what lies in the log counts, what its index said does not.
    fn recovered(&self, last: Connection) -> Connection {
        last.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        drop(last);
        Connection::open(self.path()).unwrap()
    }

    /// A database in WAL mode with one row.
    fn with_row(&self) -> Connection {
        let conn = self.open();
        conn.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE t (x); INSERT INTO t VALUES (1)")
            .unwrap();
        conn
    }
}

fn open(path: &Path, vfs: &str) -> Connection {
    Connection::open_with_flags_and_vfs(path, OpenFlags::default(), vfs).unwrap()
}

fn count(conn: &Connection) -> i64 {
    conn.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

fn insert(conn: &Connection) -> Result<(), ErrorCode> {
    conn.execute("INSERT INTO t VALUES (2)", [])
        .map(|_| ())
        .map_err(|error| error.sqlite_error_code().unwrap())
}

fn intact(conn: &Connection) {
    let found: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(found, "ok");
}

#[test]
fn without_a_fault_it_is_the_system() {
    let bench = Bench::new();
    let conn = bench.with_row();
    assert_eq!(insert(&conn), Ok(()));
    assert_eq!(count(&conn), 2);
    let counts = bench.vfs.counts();
    for (op, file) in [
        (Op::Open, FileKind::Database),
        (Op::Open, FileKind::Wal),
        (Op::Write, FileKind::Wal),
        (Op::Lock, FileKind::Database),
        (Op::ShmMap, FileKind::Shm),
        (Op::ShmLock, FileKind::Shm),
        (Op::Write, FileKind::Journal),
        (Op::Delete, FileKind::Journal),
        (Op::Read, FileKind::Database),
        (Op::Access, FileKind::Wal),
    ] {
        assert!(counts.of(Some(op), Some(file)) > 0, "{op} {file}: {counts:?}");
    }
    drop(conn);
    assert_eq!(count(&Connection::open(bench.path()).unwrap()), 2);
    assert_eq!(bench.vfs.fired(), 0);
}

#[test]
fn a_fault_has_the_error_of_its_flavour_once() {
    for (fault, code) in [
        (Fault::first(Op::Write, Flavour::IoError), ErrorCode::SystemIoFailure),
        (Fault::first(Op::Write, Flavour::Full), ErrorCode::DiskFull),
        (Fault::first(Op::Write, Flavour::Short), ErrorCode::DiskFull),
        (Fault::first(Op::Write, Flavour::Torn).at(2), ErrorCode::SystemIoFailure),
        (Fault::first(Op::Write, Flavour::NoMemory), ErrorCode::OutOfMemory),
        (Fault::first(Op::Sync, Flavour::IoError), ErrorCode::SystemIoFailure),
        (Fault::first(Op::Sync, Flavour::Unheard), ErrorCode::SystemIoFailure),
        (Fault::first(Op::ShmLock, Flavour::IoError).on(FileKind::Shm), ErrorCode::SystemIoFailure),
    ] {
        let bench = Bench::new();
        let conn = bench.with_row();
        bench.vfs.arm(fault);
        assert_eq!(insert(&conn), Err(code), "{fault}");
        assert_eq!((insert(&conn), bench.vfs.fired()), (Ok(()), 1), "{fault}");
        assert_eq!(count(&conn), 2, "{fault}");
        intact(&conn);
    }
}

#[test]
fn a_sticky_fault_lasts_until_it_is_disarmed() {
    let bench = Bench::new();
    let conn = bench.with_row();
    bench.vfs.arm(Fault::first(Op::Write, Flavour::Full).on(FileKind::Wal).sticky());
    for _ in 0..3 {
        assert_eq!(insert(&conn), Err(ErrorCode::DiskFull));
    }
    bench.vfs.disarm();
    assert_eq!((insert(&conn), count(&conn)), (Ok(()), 2));
    assert!(bench.vfs.fired() >= 3);
    assert_eq!(bench.vfs.where_fired().first(), Some(&(Op::Write, FileKind::Wal)));
}

#[test]
fn a_lock_that_somebody_holds_is_busy_and_given_back_all_the_same() {
    let bench = Bench::new();
    let conn = bench.open();
    conn.execute_batch("CREATE TABLE t (x); PRAGMA busy_timeout = 0").unwrap();
    bench.vfs.arm(Fault::first(Op::Lock, Flavour::Busy).at(2).sticky());
    assert_eq!(insert(&conn), Err(ErrorCode::DatabaseBusy));
    bench.vfs.disarm();
    assert_eq!((insert(&bench.open()), insert(&conn)), (Ok(()), Ok(())));
}

/// SQLite tries a hundred times for the read lock of a log, for ten seconds together.
#[test]
fn the_sleeps_of_sqlite_are_bounded() {
    let bench = Bench::new();
    let conn = bench.with_row();
    bench.vfs.longest_sleep(Duration::ZERO);
    bench.vfs.arm(Fault::first(Op::ShmLock, Flavour::Busy).sticky());
    let begun = std::time::Instant::now();
    assert_eq!(insert(&conn), Err(ErrorCode::FileLockingProtocolFailed));
    assert!(begun.elapsed() < Duration::from_secs(5), "it slept for {:?}", begun.elapsed());
    assert!(bench.vfs.fired() >= 50, "it tried {} times", bench.vfs.fired());
}

#[test]
fn of_two_connections_on_a_file_only_one_goes_wrong() {
    let (bench, other) = (Bench::new(), FaultVfs::register_unique("test").unwrap());
    let conn = bench.with_row();
    let healthy = open(&bench.path(), other.name());
    bench.vfs.arm(Fault::first(Op::Write, Flavour::IoError).sticky());
    assert_eq!((insert(&healthy), insert(&conn)), (Ok(()), Err(ErrorCode::SystemIoFailure)));
}

#[test]
fn a_name_is_registered_once_and_a_connection_outlives_it() {
    let bench = Bench::new();
    let name = bench.vfs.name().to_owned();
    assert!(FaultVfs::register(&name).unwrap_err().contains("registered already"));
    assert!(FaultVfs::register("a\0b").is_err());
    let conn = bench.with_row();
    let Bench { vfs, dir } = bench;
    drop(vfs);
    assert_eq!((insert(&conn), count(&conn)), (Ok(()), 2));
    let again =
        Connection::open_with_flags_and_vfs(dir.path().join("app.db"), OpenFlags::default(), name.as_str());
    assert!(again.unwrap_err().to_string().contains("no such vfs"));
}

#[test]
#[should_panic(expected = "\"read any 1 busy once\" can never fire")]
fn a_fault_that_can_never_fire_is_refused() {
    Bench::new().vfs.arm(Fault::first(Op::Read, Flavour::Busy));
}

/// What the log says was written, with nothing lost, is what the files hold.
#[test]
fn the_log_replays_to_the_same_files() {
    let bench = Bench::new();
    let recorder = bench.vfs.recorder();
    recorder.start();
    let conn = bench.with_row();
    assert!(recorder.mark("acknowledged 1"));
    bench.vfs.arm(Fault::first(Op::Write, Flavour::Torn).at(2));
    insert(&conn).unwrap_err();
    insert(&conn).unwrap();
    conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO t VALUES (3)").unwrap();
    assert!(!recorder.is_empty());
    let log = recorder.stop();
    assert!(!recorder.mark("late") && recorder.is_empty());
    let at = log.iter().position(|event| *event == Event::Mark("acknowledged 1".to_owned())).unwrap();
    assert!(at > 0 && at + 1 < log.len());

    let mut files = std::collections::HashMap::<PathBuf, Vec<u8>>::new();
    let (mut created, mut deleted) = (Vec::new(), Vec::new());
    for event in &log {
        match event {
            Event::Open { file, created: true } => created.push(file.kind),
            Event::Write { file, offset, bytes } => {
                let (content, from) = (files.entry(file.path.clone()).or_default(), *offset as usize);
                content.resize(content.len().max(from + bytes.len()), 0);
                content[from..from + bytes.len()].copy_from_slice(bytes);
            }
            Event::Truncate { file, length } => {
                files.entry(file.path.clone()).or_default().resize(*length as usize, 0);
            }
            Event::Delete { file, .. } => {
                deleted.push(file.kind);
                files.remove(&file.path);
            }
            Event::Open { .. } | Event::Sync { .. } | Event::Mark(_) => {}
        }
    }
    assert!(log.iter().any(|event| matches!(event, Event::Sync { file } if file.kind == FileKind::Wal)));
    assert_eq!(deleted, [FileKind::Journal; 1]);
    // SQLite makes the database itself when it first writes to it; it was opened empty before.
    assert_eq!(created, [FileKind::Database, FileKind::Journal, FileKind::Wal]);
    for name in ["app.db", "app.db-wal"] {
        let path = bench.dir.path().join(name);
        // The path that SQLite names is the one with its links followed.
        let replayed = files.get(&path.canonicalize().unwrap()).unwrap();
        assert!(fs::read(&path).unwrap() == *replayed, "{name}");
    }
}

#[test]
fn a_sync_that_failed_or_was_pretended_is_not_in_the_log() {
    for flavour in [Flavour::IoError, Flavour::Pretended] {
        let bench = Bench::new();
        let conn = bench.with_row();
        let recorder = bench.vfs.recorder();
        recorder.start();
        bench.vfs.arm(Fault::first(Op::Sync, flavour).on(FileKind::Wal));
        assert_eq!(insert(&conn).is_ok(), flavour == Flavour::Pretended);
        assert_eq!(bench.vfs.fired(), 1);
        assert!(!recorder.stop().iter().any(|event| matches!(event, Event::Sync { .. })), "{flavour}");
    }
}

#[test]
fn a_sync_that_is_only_counted_is_counted_recorded_and_can_fail() {
    let bench = Bench::new();
    let conn = bench.with_row();
    bench.vfs.only_count_syncs();
    let recorder = bench.vfs.recorder();
    recorder.start();
    let before = bench.vfs.counts().of(Some(Op::Sync), None);
    assert_eq!(insert(&conn), Ok(()));
    assert!(bench.vfs.counts().of(Some(Op::Sync), None) > before);
    assert!(recorder.stop().iter().any(|event| matches!(event, Event::Sync { .. })));
    bench.vfs.arm(Fault::first(Op::Sync, Flavour::IoError).on(FileKind::Wal));
    assert_eq!(insert(&conn), Err(ErrorCode::SystemIoFailure));
}

const CHILD: &str = "MAINSPRING_PROOF_VFS_CHILD";

/// Not a test by itself: the process that `a_kill_leaves_what_was_done_up_to_there` starts.
#[test]
fn child_that_is_killed() {
    let Ok(task) = std::env::var(CHILD) else { return };
    let (path, fault) = task.split_once('|').unwrap();
    let vfs = FaultVfs::register("child").unwrap();
    let conn = open(Path::new(path), vfs.name());
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    vfs.arm(fault.parse().unwrap());
    conn.execute_batch("INSERT INTO t VALUES (2); COMMIT").unwrap();
    std::process::exit(0);
}

#[test]
fn a_kill_leaves_what_was_done_up_to_there() {
    use std::os::unix::process::ExitStatusExt;
    // One transaction of one page: the header of its frame, then the page; with both the frame is whole.
    for (fault, rows) in [
        ("write wal 1 kill-before once", 1),
        ("write wal 2 kill-torn once", 1),
        ("write wal 2 kill-after once", 2),
        ("sync wal 1 kill-before once", 2),
        ("sync wal 1 kill-after once", 2),
        ("any any 1 kill-after once", 1),
    ] {
        let bench = Bench::new();
        let keeper = bench.with_row();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["tests::child_that_is_killed", "--exact", "--quiet"])
            .env(CHILD, format!("{}|{fault}", bench.path().display()))
            .output()
            .unwrap();
        assert_eq!(child.status.signal(), Some(9), "{fault}: {child:?}");
        let conn = bench.recovered(keeper);
        intact(&conn);
        assert_eq!(count(&conn), rows, "{fault}");
    }
}

#[test]
fn on_a_full_disk_what_is_there_is_written_anew_and_nothing_grows() {
    let bench = Bench::new();
    let conn = bench.with_row();
    conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    bench.vfs.set_full(true);
    // The page is in the database; the log would have to grow.
    assert_eq!(insert(&conn), Err(ErrorCode::DiskFull));
    assert!(bench.vfs.refused_growth() > 0);
    bench.vfs.set_full(false);
    assert_eq!(insert(&conn), Ok(()));
    conn.execute_batch("PRAGMA wal_checkpoint(RESTART)").unwrap();
    bench.vfs.set_full(true);
    // The log is as long as it was, and begins anew.
    assert_eq!(insert(&conn), Ok(()));
    intact(&conn);
}
