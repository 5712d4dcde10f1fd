//! The wall clock goes back, jumps ahead and stands still; nothing runs twice, nothing is stuck, work is bounded.
//! Issue 3, item 11.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test fail it"
)]

#[path = "support/timed.rs"]
mod timed;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use mainspring::plan::CatchUp;
use mainspring::{Clock, Engine, Failure, NewJob, OpenOptions, Queue, RunContext, Schedule, Timestamp};
use timed::*;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the main function of a child process"]
async fn a_child_keeps_time() {
    be_a_child().await;
}

/// A clock that had been wrong by hours left every job waiting until the wrong time came round.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_by_hours_runs_nothing_twice_and_leaves_nothing_stuck() {
    let world = World::running_at("2026-01-05T09:50:00Z").await;
    world.queue.schedule("hourly", cron("0 * * * *"), quick()).await.unwrap();
    world.queue.schedule("grid", Schedule::every(secs(1_800)).unwrap(), quick()).await.unwrap();
    world.queue.schedule("after", Schedule::after_each(secs(600)).unwrap(), quick()).await.unwrap();
    world.go("2026-01-05T10:00:00Z").await;
    world.go("2026-01-05T15:00:00Z").await;
    let before = world.ran("hourly").await;
    assert_eq!(before, ["05 10:00:00 schedule", "05 15:00:00 schedule"]);
    world.go("2026-01-05T11:30:00Z").await;
    assert_eq!(world.ran("hourly").await, before);
    assert_eq!(world.next("hourly").await, "05 12:00:00");
    assert_eq!(world.next("after").await, "05 11:40:00");
    for hour in 12..=16 {
        world.go(&format!("2026-01-05T{hour}:00:00Z")).await;
    }
    let mut occurrences: Vec<_> =
        world.calls().into_iter().filter(|it| it.name == "hourly").map(|it| short(it.occurrence)).collect();
    occurrences.sort();
    assert_eq!(
        occurrences,
        ["05 10:00:00", "05 12:00:00", "05 13:00:00", "05 14:00:00", "05 15:00:00", "05 16:00:00"]
    );
    world.is_sound().await;
}

/// The same where nobody was there when the clock was set back.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_while_nothing_ran_is_noticed_at_the_start() {
    let mut world = World::running_at("2026-01-05T14:30:00Z").await;
    world.queue.schedule("hourly", cron("0 * * * *"), quick()).await.unwrap();
    world.go("2026-01-05T15:00:00Z").await;
    world.restart_at("2026-01-05T11:30:00Z").await;
    world.go("2026-01-05T12:00:00Z").await;
    assert_eq!(world.ran("hourly").await, ["05 15:00:00 schedule", "05 12:00:00 schedule"]);
    world.go("2026-01-05T15:00:00Z").await;
    assert_eq!(world.calls().iter().filter(|it| short(it.occurrence) == "05 15:00:00").count(), 1);
    world.is_sound().await;
}

/// Found by the simulator: what a wrong clock had put on record as missed was taken back for jobs that had a next
/// occurrence. One that waits for the end of its run to name it kept the record of times that had not come, and then
/// ran in the middle of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_run_goes_on_when_the_clock_is_set_back_is_not_on_record_as_missing_what_is_ahead() {
    let world = World::running_at("2026-01-05T08:00:30Z").await;
    world.queue.schedule("job", cron("* * * * *"), quick()).await.unwrap();
    world.go("2026-01-05T15:00:00Z").await;
    assert_eq!(world.missed("job").await, ["05 08:01:00 - 05 14:59:00 x419 coalesced"]);
    world.queue.schedule("job", Schedule::after_each(secs(600)).unwrap(), held()).await.unwrap();
    world.go("2026-01-05T15:10:00Z").await;
    world.go("2026-01-05T09:00:00Z").await;
    world.release().await;
    world.go("2026-01-05T09:10:00Z").await;
    assert_eq!(world.ran("job").await.last().unwrap(), "05 09:10:00 schedule");
    world.is_sound().await;
    world.release().await;
}

/// Found by the simulator: a schedule had used up its runs by a clock that was ahead, and was left as it was when the
/// clock was set back. Declared anew, the job ran what stood on record as missed.
#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_replaces_one_which_had_ended_by_a_wrong_clock_begins_with_nothing_missed() {
    let world = World::running_at("2026-01-05T08:30:00Z").await;
    world.queue.schedule("hourly", cron("0 * * * *").max_runs(1), quick()).await.unwrap();
    world.go("2026-01-05T15:10:00Z").await;
    assert_eq!(world.missed("hourly").await, ["05 09:00:00 - 05 14:00:00 x6 coalesced"]);
    world.go("2026-01-05T11:30:00Z").await;
    world.queue.schedule("hourly", cron("0 * * * *"), quick()).await.unwrap();
    world.go("2026-01-05T12:00:00Z").await;
    assert_eq!(world.ran("hourly").await, ["05 15:00:00 catch_up", "05 12:00:00 schedule"]);
    assert_eq!(world.missed("hourly").await, ["05 09:00:00 - 05 11:00:00 x3 coalesced"]);
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_shot_keeps_its_instant_when_the_clock_goes_back() {
    let world = World::running_at("2026-01-05T15:00:00Z").await;
    world.queue.enqueue(quick().at(at("2026-01-05T15:10:00Z"))).await.unwrap();
    let done = world.queue.enqueue(Work::Quick).await.unwrap().id();
    world.until_calls(1).await;
    world.go("2026-01-05T12:00:00Z").await;
    assert_eq!(world.queue.runs(done, 9).await.unwrap().len(), 1);
    let now = world.queue.enqueue(Work::Quick).await.unwrap().id();
    world.settle().await;
    assert_eq!(world.queue.runs(now, 9).await.unwrap().len(), 1, "what is enqueued now runs now");
    world.go("2026-01-05T15:10:00Z").await;
    assert_eq!(world.calls().len(), 3);
    world.is_sound().await;
}

/// What was enqueued, asked for, or to be tried again by a clock that ran ahead waited until that time came round.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_due_by_the_wrong_clock_does_not_wait_for_it() {
    let mut world = World::at("2026-01-05T15:00:00Z");
    world.queue.schedule("daily", cron("0 20 * * *"), quick()).await.unwrap();
    world.start_with(1).await;
    world.queue.enqueue(NewJob::new(Work::Held).priority(9)).await.unwrap();
    world.until_calls(1).await;
    let waits = world.queue.enqueue(Work::Quick).await.unwrap().id();
    let by_hand = world.queue.run_now("daily").await.unwrap();
    world.clock.set(at("2026-01-05T12:00:00Z"));
    world.look().await;
    world.release_any().await;
    world.until("the waiting runs", async || world.calls().len() == 3).await;
    assert_eq!(world.queue.runs(waits, 9).await.unwrap().len(), 1);
    assert!(world.queue.run_of("daily", by_hand).await.unwrap().is_some());
    world.settle().await;
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_the_wrong_clock_planned_does_not_wait_for_it() {
    let world = World::running_at("2026-01-05T15:00:00Z").await;
    let job = world.queue.enqueue(NewJob::new(Work::Fails(1, 60))).await.unwrap().id();
    world.settle().await;
    world.go("2026-01-05T12:00:00Z").await;
    world.go("2026-01-05T12:01:00Z").await;
    world.until("second attempt", async || world.calls().len() == 2).await;
    world.settle().await;
    assert_eq!(world.queue.runs(job, 9).await.unwrap().len(), 2);
    world.is_sound().await;
}

/// A job that was waiting for another attempt when the clock was set back ran that one, and then nothing until the
/// wrong time came round.
#[tokio::test(flavor = "multi_thread")]
async fn a_recurring_job_that_waits_for_another_attempt_goes_on_by_the_right_clock() {
    let world = World::running_at("2026-01-05T14:59:00Z").await;
    world.queue.schedule("hourly", cron("0 * * * *"), NewJob::new(Work::Fails(1, 60))).await.unwrap();
    world.go("2026-01-05T15:00:00Z").await;
    assert_eq!(world.ran("hourly").await, ["05 15:00:00 schedule"]);
    world.go("2026-01-05T11:30:00Z").await;
    world.go("2026-01-05T11:31:00Z").await;
    assert_eq!(world.ran("hourly").await, ["05 15:00:00 schedule", "05 15:00:00 retry"]);
    assert_eq!(world.next("hourly").await, "05 12:00:00");
    for hour in 12..=16 {
        world.go(&format!("2026-01-05T{hour}:00:00Z")).await;
        world.go(&format!("2026-01-05T{hour}:01:00Z")).await;
    }
    let ran = world.ran("hourly").await;
    let firsts: Vec<_> = ran.iter().filter(|run| run.ends_with("schedule")).collect();
    assert_eq!(firsts.len(), 5, "{ran:?}");
    for hour in ["12", "13", "14", "16"] {
        assert!(ran.contains(&format!("05 {hour}:00:00 schedule")), "{hour}: {ran:?}");
    }
    world.is_sound().await;
}

/// A clock that jumped ahead by years made the scheduler count every occurrence since, and write a row for each.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_ahead_by_years_costs_one_row_a_job_and_little_time() {
    let world = World::running_at("2026-01-05T08:00:00Z").await;
    world.queue.schedule("minutely", cron("* * * * *"), quick()).await.unwrap();
    world.queue.schedule("secondly", Schedule::every(secs(1)).unwrap(), quick()).await.unwrap();
    world.queue.schedule("all", cron("* * * * *"), quick().catch_up(CatchUp::all(3))).await.unwrap();
    let began = Instant::now();
    world.go("2036-01-05T08:00:30Z").await;
    assert!(began.elapsed() < secs(10), "{:?}", began.elapsed());
    for name in ["minutely", "secondly"] {
        assert_eq!(world.queue.runs(name, 9).await.unwrap().len(), 1);
        let misses = world.queue.misses(name, 9).await.unwrap();
        assert_eq!(misses.len(), 1, "{misses:?}");
        assert!(misses[0].occurrences > 5_000_000 && misses[0].exact, "{misses:?}");
    }
    for _ in 0..4 {
        world.advance(secs(5)).await;
    }
    assert_eq!(world.queue.misses("all", 9).await.unwrap().len(), 1);
    let findings = world.queue.doctor().await.unwrap();
    assert!(findings.is_empty(), "{findings:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleep_of_a_month_is_treated_like_downtime() {
    let world = World::running_at("2026-01-01T07:00:00Z").await;
    world.queue.schedule("daily", cron("0 8 * * *"), quick()).await.unwrap();
    world.queue.schedule("noon", cron("0 12 * * *"), quick()).await.unwrap();
    world.go("2026-01-31T13:00:00Z").await;
    assert_eq!(world.ran("daily").await, ["31 08:00:00 catch_up"]);
    assert_eq!(world.missed("daily").await, ["01 08:00:00 - 30 08:00:00 x30 coalesced"]);
    assert_eq!(world.ran("noon").await, ["31 12:00:00 catch_up"]);
    world.is_sound().await;
}

/// A process that was stopped and goes on is one that was down, although it still holds its lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_process_catches_up_when_it_goes_on() {
    use nix::sys::signal::{Signal, kill};
    let world = World::at("2026-01-05T08:30:00Z");
    world.queue.schedule("hourly", cron("0 * * * *"), quick()).await.unwrap();
    let mut process = Process::start(world.path(), at("2026-01-05T08:30:00Z"));
    kill(process.pid(), Signal::SIGSTOP).unwrap();
    process.tell(at("2026-01-05T12:10:00Z"));
    assert!(world.ran("hourly").await.is_empty());
    kill(process.pid(), Signal::SIGCONT).unwrap();
    process.wait();
    assert_eq!(world.ran("hourly").await, ["05 12:00:00 catch_up"]);
    assert_eq!(world.missed("hourly").await, ["05 09:00:00 - 05 11:00:00 x3 coalesced"]);
    world.clock.set(at("2026-01-05T12:10:00Z"));
    world.is_sound().await;
}

/// The clock of a machine that is suspended: it jumps, and tells nobody.
struct Silent(AtomicI64);

impl Clock for Silent {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// A timer that was set for hours ahead slept on after the machine had woken: nothing told it that they had passed.
#[tokio::test(flavor = "multi_thread")]
async fn a_jump_that_nobody_announces_is_noticed_within_thirty_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Silent(AtomicI64::new(at("2026-01-05T08:00:00Z").millis())));
    let options = OpenOptions::new(dir.path().join("app.db"));
    let queue = Queue::open_on_clock(&options, clock.clone()).unwrap();
    let (sender, mut ran) = tokio::sync::mpsc::unbounded_channel();
    let work = move |_: Work, cx: RunContext| {
        let _ = sender.send(cx.scheduled_for());
        async { Ok::<_, Failure>(()) }
    };
    let engine = Engine::builder(queue.clone()).handler(work).build().unwrap().start().await.unwrap();
    queue.schedule("daily", cron("0 20 * * *"), quick()).await.unwrap();
    clock.0.store(at("2026-01-05T20:30:00Z").millis(), Ordering::SeqCst);
    let occurrence = tokio::time::timeout(secs(30), ran.recv()).await.expect("noticed too late").unwrap();
    assert_eq!(occurrence, at("2026-01-05T20:00:00Z"));
    engine.shutdown(secs(5)).await.unwrap();
    assert!(queue.doctor().await.unwrap().is_empty());
}
