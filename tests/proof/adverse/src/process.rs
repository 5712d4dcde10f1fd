//! What the system does to a process: no file descriptor is left, or it was forked.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use mainspring::{Error, OpenOptions, Outcome, Queue};
use mainspring_proof_vfs::in_a_fork;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::app::{engine, work};
use crate::bench::{PATIENCE, ends, is_sound, run, until};
use crate::{Outside, Shown};

/// The role of the child that uses up its file descriptors.
pub const WITHOUT_DESCRIPTORS: &str = "without-descriptors";
/// So many descriptors are enough for everything but what the child opens to have no more.
const LIMIT: u64 = 96;

pub fn without_free_file_descriptors_jobs_run_on(outside: &Outside) -> Shown {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        // Another engine, so that the child has a lock file to look at, for which it has no descriptor.
        let queue = Queue::open(dir.path().join("app.db")).await.unwrap();
        let (engine, _calls) = engine(&queue);
        let engine = engine.queue("another", 1).build().unwrap().start().await.unwrap();
        let (exe, path) = (outside.exe.clone(), dir.path().to_owned());
        let child = move || Command::new(exe).arg(WITHOUT_DESCRIPTORS).arg(path).status();
        let status = tokio::task::spawn_blocking(child).await.unwrap().unwrap();
        assert!(status.success(), "{status}");
        engine.shutdown(PATIENCE).await.unwrap();
        is_sound(&queue).await;
    });
    Shown::Yes
}

/// What that child does.
pub fn without_descriptors(dir: &Path) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, LIMIT, hard).unwrap();
    let path = dir.join("app.db");
    run(async {
        let queue = Queue::open(&path).await.unwrap();
        let (engine, mut calls) = engine(&queue);
        let engine = engine.queue("default", 2).build().unwrap().start().await.unwrap();
        queue.enqueue(work("before")).await.unwrap();
        calls.next().await.done();
        until("the first has ended", || async { ends(&path).len() == 1 }).await;

        let mut used = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            used.push(file);
        }
        // It cannot look who lives, and says so; jobs are taken, run and recorded all the same.
        until("it has noticed", || async { engine.health().last_error.is_some() }).await;
        let told = engine.health().last_error.unwrap();
        assert!(told.contains("Too many open files") || told.contains("os error 24"), "{told}");
        let mut jobs = Vec::new();
        for n in 0..10 {
            jobs.push(queue.enqueue(work(format!("job {n}"))).await.unwrap().id());
            calls.next().await.done();
        }
        // A second file cannot be opened now, and that is no other error than it is.
        let refused = OpenOptions::new(dir.join("other.db")).migrate().unwrap_err();
        assert!(matches!(refused, Error::CannotOpen { .. }), "{refused:?}");

        drop(used);
        until("all have ended", || async { ends(&path).len() == 11 }).await;
        assert!(ends(&path).iter().all(|(_, _, outcome)| *outcome == Outcome::Succeeded));
        until("all is well", || async { engine.health().last_error.is_none() }).await;
        assert!(calls.is_empty());
        engine.shutdown(PATIENCE).await.unwrap();
        is_sound(&queue).await;
    });
}

/// SQLite's connections and the writer's thread do not survive a fork; what tries to use them would hang or do harm.
pub fn a_fork_is_told_to_open_the_queue_anew_and_its_parent_goes_on(_: &Outside) -> Shown {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open_blocking(&OpenOptions::new(dir.path().join("app.db"))).unwrap();
    let parent = std::process::id();
    let is_told = |error: Error| matches!(error, Error::Forked { opened_by } if opened_by == parent);
    let told = in_a_fork(PATIENCE, || {
        let refused = [
            queue.blocking().enqueue(work("x")).is_err_and(is_told),
            queue.blocking().status().is_err_and(is_told),
            queue.blocking().pause("x", None).is_err_and(is_told),
        ];
        u8::from(refused == [true; 3])
    });
    assert_eq!(told, Ok(1));
    run(async {
        let (engine, mut calls) = engine(&queue);
        let engine = engine.build().unwrap().start().await.unwrap();
        queue.enqueue(work("x")).await.unwrap();
        calls.next().await.done();
        engine.shutdown(PATIENCE).await.unwrap();
        is_sound(&queue).await;
    });
    assert_eq!(ends(&dir.path().join("app.db")).len(), 1);
    Shown::Yes
}
