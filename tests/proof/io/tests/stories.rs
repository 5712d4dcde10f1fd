//! Faults that showed something wrong once, each with its story.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mainspring::{Engine, Error, Failure, JobArgs, ListFilter, OpenOptions, Queue, RunContext};
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

/// The commit of a job and of its claim returned an error, though all of it lay in the log. A new connection looked, did
/// not find it, and failed in its turn before anything else was written. It was the last one that was open: with it went
/// the index of the log, the next connection read the log anew, and the commit came to life. The claim in it had been
/// given up by then: the run stayed open, in the hands of an engine that lived and knew nothing of it. A connection
/// stays open now until a commit has taken the failed one's place in the log.
#[test]
fn a_claim_whose_commit_failed_does_not_come_to_life_behind_the_engines_back() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut failed_twice = 0;
    for nth in LOCKS {
        let story = Story::begin();
        let options = story.options().busy_timeout(Duration::from_millis(50)).reserve(false);
        let queue = Queue::open_blocking(&options).unwrap();
        let (called, calls) = std::sync::mpsc::channel();
        let work = move |_: Note, _: RunContext| {
            let called = called.clone();
            async move { called.send(()).map_err(|_| Failure::discard("nobody listens")) }
        };
        let start = async { Engine::builder(queue.clone()).handler(work).build().unwrap().start().await };
        let engine = runtime.block_on(start).unwrap();

        let sync = story.vfs.arm(Fault::first(Op::Sync, Flavour::IoError).on(FileKind::Wal).sticky());
        let lock = story.vfs.arm(Fault::first(Op::ShmLock, Flavour::NoMemory).at(nth).sticky());
        let answer = std::thread::scope(|scope| {
            let asking = scope.spawn(|| queue.blocking().enqueue(Note));
            story.vfs.wait_fired(12, Duration::from_millis(250));
            failed_twice += u32::from(story.vfs.fired_by(sync) > 0 && story.vfs.fired_by(lock) > 0);
            story.vfs.disarm();
            asking.join().unwrap()
        });
        let known = jobs(&queue);
        assert!(known == 1 || known == 0 && answer.is_err(), "{nth}: {known} jobs, {answer:?}");
        for _ in 0..known {
            calls
                .recv_timeout(Duration::from_secs(20))
                .unwrap_or_else(|_| panic!("{nth}: nobody was called"));
        }
        runtime.block_on(engine.shutdown(Duration::from_secs(10))).unwrap();
        assert!(calls.try_recv().is_err(), "{nth}: called twice");
    }
    assert!(failed_twice > 0, "the two faults have never met");
}

/// The locks of the log at which the second fault begins: the way of a new connection to its first write.
const LOCKS: std::ops::RangeInclusive<u64> = 1..=16;

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
