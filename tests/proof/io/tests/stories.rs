//! Faults that showed something wrong once, each with its story.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mainspring::{Error, JobArgs, ListFilter, OpenOptions, Queue};
use mainspring_proof_stage::class;
use mainspring_proof_vfs::{Fault, FaultVfs, FileKind, Flavour, Op};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Note;

impl JobArgs for Note {
    const KIND: &'static str = "note";
}

struct Story {
    vfs: FaultVfs,
    dir: tempfile::TempDir,
}

impl Story {
    fn begin() -> Self {
        Self { vfs: FaultVfs::register_unique("story").unwrap(), dir: tempfile::tempdir().unwrap() }
    }

    fn options(&self) -> OpenOptions {
        OpenOptions::new(self.path()).vfs(self.vfs.name())
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("app.db")
    }

    fn syncs_of_the_log(&self) -> u64 {
        self.vfs.counts().of(Some(Op::Sync), Some(FileKind::Wal))
    }

    /// Opens what a kill at this moment would leave.
    fn killed_here(&self) -> (tempfile::TempDir, Queue) {
        let left = tempfile::tempdir().unwrap();
        // By another process: closing a file of its own would take this process's locks away.
        for name in ["app.db", "app.db-wal"] {
            let copied =
                Command::new("cp").arg(self.dir.path().join(name)).arg(left.path()).status().unwrap();
            assert!(copied.success());
        }
        let queue = open(&left.path().join("app.db"));
        (left, queue)
    }
}

fn open(path: &Path) -> Queue {
    Queue::open_blocking(&OpenOptions::new(path)).unwrap()
}

fn jobs(queue: &Queue) -> usize {
    queue.blocking().list(ListFilter::default()).unwrap().jobs.len()
}

/// A first start while the disk failed made a file that was not in WAL mode, and then refused it: "connection setting
/// journal_mode is \"delete\" … let no other program change the journal mode". The pragma answers with a row before its
/// own commit; whoever stops at the row does not hear that the commit failed. It is run to its end now, and the error
/// is the disk's.
#[test]
fn a_first_start_on_a_failing_disk_blames_the_disk() {
    for fault in [
        "write journal 2 unheard once",
        "write journal 2 eio once",
        "sync journal 1 eio once",
        "write db 1 full once",
        "sync db 1 eio once",
        "delete journal 1 eio once",
    ] {
        let vfs = FaultVfs::register_unique("story").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let options = OpenOptions::new(dir.path().join("app.db")).vfs(vfs.name());
        let armed = vfs.arm(fault.parse::<Fault>().unwrap());
        let found = Queue::open_blocking(&options);
        assert_eq!(vfs.fired_by(armed), 1, "{fault}");
        if let Err(error) = found {
            assert!(class(&error).is_ok(), "{fault}: {error:?}");
            assert!(matches!(error, Error::Sqlite(_) | Error::DiskFull), "{fault}: {error:?}");
        }
        Queue::open_blocking(&options).unwrap_or_else(|error| panic!("{fault}, and then: {error:?}"));
    }
}

/// The sync of a commit failed, so that the writer drove the command again; but then another program held the file for
/// long. The caller was told that the file was busy, to try again, and did. But all of the first commit lay in the log:
/// the process was killed, the next one read the log, and the job was there twice. A command that was once part of a
/// commit which failed is in doubt now, whatever goes wrong after that.
#[test]
fn a_commit_that_failed_leaves_a_doubt_that_no_later_error_takes_away() {
    let begin = || {
        let story = Story::begin();
        let queue = Queue::open_blocking(&story.options().busy_timeout(Duration::from_millis(50))).unwrap();
        jobs(&queue);
        (story, queue)
    };
    let (rehearsal, queue) = begin();
    let before = rehearsal.syncs_of_the_log();
    queue.blocking().enqueue(Note).unwrap();
    let syncs = rehearsal.syncs_of_the_log() - before;

    // The other program has 20 ms to be faster than the writer. On a busy machine it needs another chance.
    for _ in 0..50 {
        let (story, queue) = begin();
        let other = Connection::open(story.path()).unwrap();
        // The last sync comes when all is written.
        story.vfs.arm(Fault::first(Op::Sync, Flavour::IoError).on(FileKind::Wal).at(syncs));
        let answer = std::thread::scope(|scope| {
            let asking = scope.spawn(|| queue.blocking().enqueue(Note));
            assert!(story.vfs.wait_fired(1, Duration::from_secs(30)));
            let held = other.execute_batch("PRAGMA busy_timeout = 1000; BEGIN IMMEDIATE");
            let answer = asking.join().unwrap();
            held.and_then(|()| other.execute_batch("ROLLBACK")).unwrap();
            answer
        });
        let Err(error) = answer else { continue };
        let (_left, next) = story.killed_here();
        assert_eq!(jobs(&next), 1, "the log held the whole commit");
        assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error:?}");
        return;
    }
    panic!("the other program was never fast enough");
}

/// SQLite tries a hundred times for a lock of the log that others hold at that moment, and then answers "locking
/// protocol". To a caller that was an error of no kind, about which nothing could be done, or, from a pool of readers
/// that had no connection yet, a file that "cannot be opened". It is a busy file.
#[test]
fn a_lock_that_is_never_free_is_a_busy_file() {
    let story = Story::begin();
    let options = story.options().busy_timeout(Duration::from_millis(100));
    let queue = Queue::open_blocking(&options).unwrap();
    story.vfs.longest_sleep(Duration::ZERO);
    story.vfs.arm(Fault::first(Op::ShmLock, Flavour::Busy).sticky());
    let reading = queue.blocking().list(ListFilter::default()).unwrap_err();
    let writing = queue.blocking().enqueue(Note).unwrap_err();
    let opening = Queue::open_blocking(&options).unwrap_err();
    assert!(story.vfs.fired() > 0);
    for error in [reading, writing, opening] {
        assert!(error.is_busy(), "{error:?}");
    }
    story.vfs.disarm();
    queue.blocking().enqueue(Note).unwrap();
    assert_eq!(jobs(&queue), 1);
}
