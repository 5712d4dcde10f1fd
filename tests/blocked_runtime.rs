//! A handler blocks every thread of the async runtime for seconds (D2.8): due times are kept and jobs claimed, other
//! processes go on, `health` says what is stalled, and all of it is over by itself when the handler returns.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod children;

use std::fs;
use std::path::Path;
use std::time::Duration;

use children::app::{self, Does, does, open, work};
use children::child::{self, Child};
use children::ledger::{Deed, Ledger};
use children::rows::{assert_sound, attempts, settled};
use children::until;
use mainspring::{Delivery, EngineHealth, JobId, NewJob, Outcome, Queue, Run, Stalled};
use tokio::runtime::{Builder, Runtime};

const SUCCEEDED: Option<(Outcome, Delivery)> = Some((Outcome::Succeeded, Delivery::NotRequested));

fn engine(dir: &Path) {
    child::forever(async {
        app::engine(&open(dir)).queue("default", 8).build().unwrap().start().await.unwrap()
    });
}

#[test]
#[ignore = "the main function of a child"]
fn child() {
    child::main(&[("engine", engine)]);
}

fn run_of(queue: &Queue, job: JobId) -> Option<Run> {
    queue.blocking().runs(job, 1).unwrap().pop()
}

/// The test watches from a thread outside of the runtime.
fn blocked(runtime: &Runtime, threads: u32) {
    let dir = tempfile::tempdir().unwrap();
    let (queue, ledger) = (open(dir.path()), Ledger::in_dir(dir.path()));
    let here = std::process::id();
    // One worker is left.
    let engine = app::engine(&queue).queue("default", threads + 1).build().unwrap();
    let engine = runtime.block_on(engine.start()).unwrap();
    let is = |what: &str, is: &dyn Fn(&EngineHealth) -> bool| {
        until(what, || Some(engine.health()).filter(is));
    };
    is("an engine that is well", &EngineHealth::is_well);
    let gate = dir.path().join("gate");
    let blockers = (0..threads).map(|no| does(format!("blocker {no}"), Does::BlockUntil(gate.clone())));
    let blockers = queue.blocking().enqueue_many(blockers).unwrap();
    std::thread::scope(|scope| {
        // A runtime without threads of its own has the one that drives it.
        scope.spawn(|| runtime.block_on(settled(&queue, 1)));
        ledger.wait_for(Deed::Began, threads as usize);

        // What falls due later is claimed in time; its handler waits for a thread.
        let later = NewJob::new(work("later")).after(Duration::from_millis(300));
        let later = queue.blocking().enqueue(later).unwrap().id();
        let run = until("the claim of a job that falls due", || run_of(&queue, later));
        let late = run.claimed_at.since(run.scheduled_for);
        assert!(late < Duration::from_secs(1), "claimed {late:?} after its time");
        is("the runtime is stalled", &|health| health.stalled == Some(Stalled::Runtime));
        let health = engine.health();
        assert!(!health.is_well() && health.generation == 1, "nobody blames the writer: {health:?}");
        assert!(health.since_last_tick_ms < 1_000, "{health:?}");
        assert_eq!(queue.blocking().health().unwrap().stalled, None);
        assert!(ledger.of(Deed::Began, "later").is_empty());

        // What is more than this process has workers for runs in another one.
        let other = Child::start("engine", dir.path());
        let many = queue.blocking().enqueue_many((0..20).map(|no| work(format!("many {no}")))).unwrap();
        until("the jobs of the other process", || {
            let done = |job: JobId| queue.blocking().get(job).unwrap().finished_at.is_some();
            many.iter().all(|job| done(job.id())).then_some(())
        });
        assert!(ledger.all(Deed::Ended).iter().all(|entry| entry.pid == other.id()));
        other.kill();

        // The handlers return, and nobody has to restart anything.
        fs::write(&gate, "").unwrap();
        let began = ledger.wait(Deed::Began, "later");
        assert_eq!(began.pid, here);
        is("the engine is well again", &EngineHealth::is_well);
        until("everything is done", || {
            let status = queue.blocking().status().unwrap();
            (status.running + status.ready + status.overdue == 0 && status.engines == 1).then_some(())
        });
        for job in blockers.iter().chain(&many).map(|job| job.id()).chain([later]) {
            let runs = queue.blocking().runs(job, 9).unwrap();
            assert_eq!(runs.len(), 1, "{runs:?}");
        }
    });
    runtime.block_on(async {
        for job in blockers {
            assert_eq!(attempts(&queue, job.id()).await, [(1, SUCCEEDED)]);
        }
        engine.shutdown(Duration::ZERO).await.unwrap();
        assert_sound(&queue).await;
    });
}

#[test]
fn a_handler_that_blocks_every_thread_of_the_runtime_stops_no_claim_and_is_named() {
    blocked(&Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap(), 3);
}

#[test]
fn a_handler_that_blocks_the_only_thread_of_a_runtime_stops_no_claim_and_is_named() {
    blocked(&Builder::new_current_thread().enable_all().build().unwrap(), 1);
}
