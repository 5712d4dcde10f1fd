//! A disk that answers a sync with an error: nobody knows whether the commit is on it.

use mainspring::{Error, NewJob, OpenOptions, Outcome, Queue};
use mainspring_proof_vfs::{Fault, FaultVfs, FileKind, Flavour, Op};
use tempfile::TempDir;

use crate::app::{engine, work};
use crate::bench::{PATIENCE, SHORT, count, ends, is_sound, run, until};
use crate::{Outside, Shown};

const JOBS: &str = "SELECT count(*) FROM mainspring_jobs";

fn place() -> (TempDir, FaultVfs, OpenOptions) {
    let dir = tempfile::tempdir().unwrap();
    let vfs = FaultVfs::register_unique("sync").unwrap();
    let options = OpenOptions::new(dir.path().join("app.db")).vfs(vfs.name()).busy_timeout(SHORT);
    (dir, vfs, options)
}

/// The sync of a commit fails, with the frames on the disk or without.
fn fault(flavour: Flavour) -> Fault {
    Fault::first(Op::Sync, flavour).on(FileKind::Wal)
}

/// The file is opened anew and looked at; then the same transaction is driven again, or is found to be there.
pub fn an_enqueue_whose_sync_fails_is_made_once(_: &Outside) -> Shown {
    for flavour in [Flavour::IoError, Flavour::Unheard] {
        let (_dir, vfs, options) = place();
        run(async {
            let queue = Queue::open_with(options.clone()).await.unwrap();
            queue.enqueue(work("before")).await.unwrap();
            for n in 1..=5 {
                vfs.arm(fault(flavour));
                queue.enqueue(work("x")).await.unwrap();
                vfs.disarm();
                assert_eq!((vfs.fired(), count(options.path(), JOBS)), (n, 1 + n as i64), "{flavour:?}");
            }
            is_sound(&queue).await;
        });
    }
    Shown::Yes
}

pub fn a_result_whose_sync_fails_is_recorded_once_and_its_handler_is_not_called_again(_: &Outside) -> Shown {
    for flavour in [Flavour::IoError, Flavour::Unheard] {
        let (_dir, vfs, options) = place();
        run(async {
            let queue = Queue::open_with(options.clone()).await.unwrap();
            let (engine, mut calls) = engine(&queue);
            let engine = engine.queue("default", 1).build().unwrap().start().await.unwrap();
            queue.enqueue(work("first")).await.unwrap();
            queue.enqueue(work("second")).await.unwrap();
            let first = calls.next().await;
            let run = first.run;
            vfs.arm(fault(flavour));
            first.done();
            // The claim of the second job shares the commit that fails: its handler is called once that is known.
            let second = calls.next().await;
            assert_eq!((vfs.fired(), second.label.as_str()), (1, "second"), "{flavour:?}");
            vfs.disarm();
            assert_eq!(
                ends(options.path()).iter().map(|end| (end.1, end.2)).collect::<Vec<_>>(),
                [(run, Outcome::Succeeded)]
            );
            second.done();
            until("the second has ended", || async { ends(options.path()).len() == 2 }).await;
            assert!(calls.is_empty());
            engine.shutdown(PATIENCE).await.unwrap();
            is_sound(&queue).await;
        });
    }
    Shown::Yes
}

/// As long as the disk does not answer nobody can tell. The caller is told just that, and repeats it with the same key.
pub fn an_enqueue_whose_outcome_cannot_be_found_out_says_so(_: &Outside) -> Shown {
    let (_dir, vfs, options) = place();
    run(async {
        let queue = Queue::open_with(options.clone()).await.unwrap();
        queue.enqueue(work("before")).await.unwrap();
        vfs.arm(fault(Flavour::IoError));
        // And then the file cannot be read either.
        vfs.arm(Fault::first(Op::Open, Flavour::IoError).on(FileKind::Database).sticky());
        let job = || NewJob::new(work("x")).unique("key");
        let unknown = queue.enqueue(job()).await.unwrap_err();
        assert!(matches!(unknown, Error::OutcomeUnknown { .. }), "{unknown:?}");
        assert!(unknown.to_string().contains("look before doing it again"), "{unknown}");
        vfs.disarm();
        queue.enqueue(job()).await.unwrap();
        assert_eq!(count(options.path(), JOBS), 2);
        until("all is well", || async { queue.health().await.unwrap().last_error.is_none() }).await;
        is_sound(&queue).await;
    });
    Shown::Yes
}
