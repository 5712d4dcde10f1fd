//! Somebody else's lock, for longer than anybody waits.

use mainspring::{Error, OpenOptions, Outcome, Queue};
use rusqlite::Connection;

use crate::app::{engine, work};
use crate::bench::{PATIENCE, ends, is_sound, run, until};
use crate::{Outside, Shown};

/// So many callers, each with the patience that a queue has unless it is told otherwise (10 s), one after the other.
const CALLERS: usize = 3;

/// Thirty seconds in which nobody else may write. Callers are told so; the result of a run is recorded when it is over.
pub fn an_exclusive_lock_of_thirty_seconds_is_busy_to_callers_and_loses_no_result(_: &Outside) -> Shown {
    let dir = tempfile::tempdir().unwrap();
    let options = OpenOptions::new(dir.path().join("app.db"));
    run(async {
        let queue = Queue::open_with(options.clone()).await.unwrap();
        let (engine, mut calls) = engine(&queue);
        let engine = engine.queue("default", 1).build().unwrap().start().await.unwrap();
        queue.enqueue(work("open")).await.unwrap();
        let open = calls.next().await;
        let somebody = Connection::open(options.path()).unwrap();
        somebody.busy_timeout(PATIENCE).unwrap();
        somebody.execute_batch("BEGIN EXCLUSIVE").unwrap();
        open.done();
        for _ in 0..CALLERS {
            let refused = queue.enqueue(work("refused")).await.unwrap_err();
            // As long as it was, which is its patience at least.
            assert!(matches!(refused, Error::Busy { waited_ms } if waited_ms >= 10_000), "{refused:?}");
        }
        // Reading goes on meanwhile: the run is open still.
        assert_eq!(queue.status().await.unwrap().running, 1);
        somebody.execute_batch("COMMIT").unwrap();
        until("the result is recorded", || async { ends(options.path()).len() == 1 }).await;
        assert_eq!(ends(options.path())[0].2, Outcome::Succeeded);
        queue.enqueue(work("after it")).await.unwrap();
        calls.next().await.done();
        until("the next has ended", || async { ends(options.path()).len() == 2 }).await;
        assert!(calls.is_empty());
        engine.shutdown(PATIENCE).await.unwrap();
        is_sound(&queue).await;
    });
    Shown::Yes
}
