//! Another attempt at an occurrence waits, or a run that was asked for does, and the schedule goes on beside it. Each
//! test tells what went wrong while the one was kept in the place of the other. Issue 3, items 8, 10 and 11.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test fail it"
)]

#[path = "support/timed.rs"]
mod timed;

use mainspring::plan::{CatchUp, Overlap};
use mainspring::{NewJob, Prune, Schedule};
use timed::*;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the main function of a child process"]
async fn a_child_keeps_time() {
    be_a_child().await;
}

fn fails(times: u32, seconds: u64) -> NewJob<Work> {
    NewJob::new(Work::Fails(times, seconds))
}

/// A clock that was wrong by hours left a run ahead. When a night of downtime passed over its time, the whole night went
/// on record as missed, the occurrence that had run with it.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_run_is_not_on_record_as_missed_when_downtime_passes_over_it() {
    let world = World::running_at("2026-01-05T14:30:00Z").await;
    world.queue.schedule("hourly", cron("0 * * * *"), quick()).await.unwrap();
    world.go("2026-01-05T15:00:00Z").await;
    world.go("2026-01-05T11:30:00Z").await;
    world.go("2026-01-05T18:10:00Z").await;
    assert_eq!(world.ran("hourly").await, ["05 15:00:00 schedule", "05 18:00:00 catch_up"]);
    assert_eq!(
        world.missed("hourly").await,
        ["05 12:00:00 - 05 14:00:00 x3 coalesced", "05 16:00:00 - 05 17:00:00 x2 coalesced"]
    );
    world.is_sound().await;
}

/// A claim that met an occurrence which had run already wrote what that one stood for into the ledger, went on with the
/// occurrence after it, and wrote the same again.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_meets_an_occurrence_which_has_run_goes_on_after_it_and_writes_nothing_twice() {
    let world = World::running_at("2026-01-05T14:30:00Z").await;
    let earliest = quick().catch_up(CatchUp::earliest().within(secs(12 * 3_600)));
    world.queue.schedule("hourly", cron("0 * * * *"), earliest).await.unwrap();
    world.go("2026-01-05T15:00:00Z").await;
    for back in ["11:30:00", "12:00:00", "13:00:00", "14:00:00"] {
        world.go(&format!("2026-01-05T{back}Z")).await;
    }
    world.go("2026-01-05T18:10:00Z").await;
    let ran = world.ran("hourly").await;
    assert_eq!(ran.iter().filter(|run| run.starts_with("05 15")).count(), 1, "{ran:?}");
    assert_eq!(ran.last().unwrap(), "05 16:00:00 catch_up");
    assert_eq!(world.missed("hourly").await, ["05 17:00:00 - 05 18:00:00 x2 coalesced"]);
    world.is_sound().await;
}

/// Another attempt that a person asked for took the place of the occurrence that was due next, and what came after it
/// was found by looking after the one that was tried again: at four in the afternoon and not at noon.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_by_hand_after_the_clock_was_set_back_keeps_the_occurrence_that_is_due() {
    let world = World::running_at("2026-01-05T14:30:00Z").await;
    world.queue.schedule("hourly", cron("0 * * * *"), NewJob::new(Work::Broken)).await.unwrap();
    world.go("2026-01-05T15:00:00Z").await;
    world.go("2026-01-05T11:30:00Z").await;
    world.queue.pause("hourly", None).await.unwrap();
    world.queue.retry("hourly").await.unwrap();
    let waiting = world.queue.get("hourly").await.unwrap();
    assert_eq!(waiting.then.map(|next| short(next.scheduled_for)).as_deref(), Some("05 12:00:00"));
    world.queue.resume("hourly").await.unwrap();
    world.settle().await;
    assert_eq!(world.ran("hourly").await, ["05 15:00:00 schedule", "05 15:00:00 retry"]);
    assert_eq!(world.next("hourly").await, "05 12:00:00");
    world.go("2026-01-05T12:00:00Z").await;
    assert_eq!(world.ran("hourly").await.last().unwrap(), "05 12:00:00 schedule");
    world.is_sound().await;
}

/// A retry that was planned by the wrong clock, and then downtime past its time and many others: the schedule went on
/// after the occurrence that was to be tried again, and those before it were neither run nor on record.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_from_before_the_clock_was_set_back_loses_no_occurrence_to_downtime() {
    let world = World::running_at("2026-01-05T14:30:00Z").await;
    world.queue.schedule("hourly", cron("0 * * * *"), fails(1, 600)).await.unwrap();
    world.go("2026-01-05T15:00:00Z").await;
    world.go("2026-01-05T11:30:00Z").await;
    assert_eq!(world.next("hourly").await, "05 11:40:00");
    world.go("2026-01-05T17:10:00Z").await;
    assert_eq!(world.ran("hourly").await[..2], ["05 15:00:00 schedule", "05 17:00:00 catch_up"]);
    assert_eq!(
        world.missed("hourly").await,
        ["05 12:00:00 - 05 14:00:00 x3 coalesced", "05 16:00:00 x1 coalesced"]
    );
    world.is_sound().await;
}

/// After the clock was set back the next occurrence of a minutely job comes before the other attempt at the one from
/// ahead, which waited its five minutes while five occurrences passed.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_is_overtaken_because_the_clock_was_set_back_is_given_up() {
    let world = World::running_at("2026-01-05T14:59:30Z").await;
    world.queue.schedule("often", cron("*/10 * * * *"), fails(1, 540)).await.unwrap();
    world.go("2026-01-05T15:00:00Z").await;
    assert_eq!(world.next("often").await, "05 15:09:00");
    world.go("2026-01-05T11:58:00Z").await;
    assert_eq!(world.next("often").await, "05 12:00:00");
    world.go("2026-01-05T12:00:00Z").await;
    assert_eq!(world.ran("often").await, ["05 15:00:00 schedule", "05 12:00:00 schedule"]);
    world.is_sound().await;
}

/// A run by hand failed and was to be tried again in two hours. Until then the job's own schedule stood still: the row
/// has one time to wake at, and that was the request's.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_hand_that_waits_for_its_retry_does_not_hold_back_the_schedule() {
    let world = World::running_at("2026-01-05T10:10:00Z").await;
    world.queue.schedule("hourly", cron("0 * * * *"), fails(1, 7_200)).await.unwrap();
    world.queue.run_now("hourly").await.unwrap();
    world.settle().await;
    assert_eq!(world.next("hourly").await, "05 11:00:00");
    world.go("2026-01-05T11:00:00Z").await;
    world.go("2026-01-05T12:00:00Z").await;
    let by_hand = async || {
        let ran = world.ran("hourly").await;
        (ran.iter().filter(|run| run.ends_with("manual")).count(), ran.len())
    };
    assert_eq!(by_hand().await, (1, 3), "its retry is not brought forward by the schedule's runs");
    assert_eq!(world.next("hourly").await, "05 12:10:00");
    world.go("2026-01-05T12:10:00Z").await;
    assert_eq!(by_hand().await, (2, 4));
    world.is_sound().await;
}

/// The same while the job is paused: its own time passes, the request's retry keeps its time, and the job's own run has
/// its turn as soon as it is resumed.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_resumed_runs_at_once_although_a_run_by_hand_waits_for_its_retry() {
    let world = World::running_at("2026-01-05T10:00:00Z").await;
    let noon = Schedule::at(at("2026-01-05T12:00:00Z"));
    world.queue.schedule("once", noon, fails(1, 4 * 3_600)).await.unwrap();
    world.queue.pause("once", None).await.unwrap();
    world.queue.run_now("once").await.unwrap();
    world.until_calls(1).await;
    world.go("2026-01-05T12:00:00Z").await;
    assert_eq!(world.calls().len(), 1);
    assert_eq!(world.next("once").await, "05 14:00:00");
    world.clock.set(at("2026-01-05T12:30:00Z"));
    world.queue.resume("once").await.unwrap();
    world.until_calls(2).await;
    assert_eq!(short(world.calls()[1].occurrence), "05 12:00:00");
    world.go("2026-01-05T14:00:00Z").await;
    assert_eq!(world.calls().len(), 3);
    world.is_sound().await;
}

/// The clock was set back between two attempts, so that the second ended before the first. Pruning by age took the second
/// from between the first and the third.
#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_pruned_in_their_order_whatever_the_clock_said() {
    let world = World::running_at("2026-01-05T14:30:00Z").await;
    world.queue.schedule("hourly", cron("0 * * * *"), fails(2, 600)).await.unwrap();
    for time in ["15:00:00", "11:30:00", "11:40:00", "11:50:00"] {
        world.go(&format!("2026-01-05T{time}Z")).await;
    }
    assert_eq!(world.ran("hourly").await.len(), 3);
    world.clock.set(at("2026-01-05T11:59:00Z"));
    let pruned = world.queue.prune(Prune::older_than(secs(600))).await.unwrap();
    assert_eq!(pruned.runs, 0, "the second is old, and waits for the first");
    world.is_sound().await;
    world.go("2026-01-05T15:30:00Z").await;
    let pruned = world.queue.prune(Prune::older_than(secs(600))).await.unwrap();
    assert!(pruned.runs >= 3, "{pruned:?}");
    assert!(world.queue.doctor().await.unwrap().is_empty());
}

/// An occurrence had succeeded. Then a run that was asked for besides failed, the success was pruned, and a person asked
/// for another attempt: what had succeeded was run again. Nobody knows of pruned runs how they ended.
#[tokio::test(flavor = "multi_thread")]
async fn an_occurrence_whose_runs_were_pruned_is_not_tried_again() {
    let world = World::running_at("2026-01-05T07:00:00Z").await;
    world.queue.schedule("daily", cron("0 8 * * *"), quick()).await.unwrap();
    world.go("2026-01-05T08:00:00Z").await;
    world.go("2026-01-05T12:00:00Z").await;
    world.queue.schedule("daily", cron("0 8 * * *"), NewJob::new(Work::Broken)).await.unwrap();
    world.queue.run_now("daily").await.unwrap();
    world.settle().await;
    assert_eq!(world.queue.prune(Prune::older_than(secs(3_600))).await.unwrap().runs, 1);
    let refused = world.queue.retry("daily").await.unwrap_err().to_string();
    assert!(refused.contains("were pruned") && refused.contains("run_now"), "{refused}");
    assert_eq!(world.ran("daily").await, ["05 12:00:00 manual"]);
    assert_eq!(world.next("daily").await, "06 08:00:00");
    // What was pruned is accounted for no more.
    assert!(world.queue.doctor().await.unwrap().is_empty());
}

/// Somebody took the time away for which another attempt waited. It is due now, and what comes after it is what it was.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_lost_its_time_is_due_and_not_forgotten() {
    let world = World::running_at("2026-01-05T10:30:00Z").await;
    world.queue.schedule("hourly", cron("0 * * * *"), fails(1, 1_800)).await.unwrap();
    world.go("2026-01-05T11:00:00Z").await;
    assert_eq!(world.next("hourly").await, "05 11:30:00");
    let shell = rusqlite::Connection::open(world.path()).unwrap();
    shell.execute_batch("UPDATE mainspring_jobs SET next_run_at_ms = NULL, ready = 0").unwrap();
    world.until("the second attempt", async || world.calls().len() == 2).await;
    world.settle().await;
    assert_eq!(world.ran("hourly").await, ["05 11:00:00 schedule", "05 11:00:00 retry"]);
    assert_eq!(world.next("hourly").await, "05 12:00:00");
    world.is_sound().await;
}

/// Found by the simulator: a job that had finished ran once more because somebody had asked for it. Cancelled while that
/// run went on, it was only that run that was asked to stop; and when somebody released it, another attempt began of a
/// job that was cancelled.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_makes_no_other_attempt_at_what_was_asked_for() {
    use nix::sys::signal::{Signal, kill};
    let now = "2026-01-05T08:30:00Z";
    let world = World::at(now);
    let job = world.queue.enqueue(held().at(at("2026-01-05T12:00:00Z"))).await.unwrap().id();
    world.queue.cancel(job).await.unwrap();
    world.queue.run_now(job).await.unwrap();
    let process = Process::start(world.path(), at(now));
    kill(process.pid(), Signal::SIGSTOP).unwrap();
    let run = world.queue.runs(job, 10).await.unwrap()[0].id;
    // The cancel waits for the end of the run.
    let (cancelled, released) = tokio::join!(world.queue.cancel(job), world.queue.release(run, true));
    assert_eq!(cancelled.unwrap().stopped, [run]);
    released.unwrap();
    let cancelled = world.queue.get(job).await.unwrap();
    assert_eq!((cancelled.requests, cancelled.next_run_at), (0, None));
    assert_eq!(world.queue.runs(job, 10).await.unwrap().len(), 1);
    world.is_sound().await;
}

/// Found by the simulator: a run was asked for of a job whose own run was overdue. It woke the job at once, which was
/// later than it had been due: whatever had come due in between went first.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_does_not_put_off_an_own_run_that_is_overdue() {
    let mut world = World::at("2026-01-05T11:30:00Z");
    world.queue.schedule("noon", cron("0 12 * * *"), quick()).await.unwrap();
    world.queue.schedule("later", cron("15 12 * * *"), quick()).await.unwrap();
    world.clock.set(at("2026-01-05T12:30:00Z"));
    world.queue.run_now("noon").await.unwrap();
    assert_eq!(world.next("noon").await, "05 12:00:00");
    world.start_with(1).await;
    world.until_calls(3).await;
    world.settle().await;
    assert_eq!(world.calls()[0].name, "noon");
    assert_eq!(short(world.calls()[0].occurrence), "05 12:00:00");
    assert_eq!(world.next("noon").await, "06 12:00:00");
    world.is_sound().await;
}

/// Found by the simulator: one run failed often enough for its job to be parked while another one of it went on and
/// succeeded. A retry took the occurrence that comes next for the one that the parked job had been kept from, and ran it
/// hours before its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_a_parked_job_runs_no_occurrence_before_its_time() {
    let world = World::running_at("2026-01-05T11:30:00Z").await;
    let job = world.queue.schedule("hourly", cron("0 * * * *"), quick()).await.unwrap().id();
    world.go("2026-01-05T12:00:00Z").await;
    rusqlite::Connection::open(world.path())
        .unwrap()
        .execute(
            "UPDATE mainspring_jobs SET parked_at_ms = 1767614400000, park_reason = 'it failed' WHERE id = ?1",
            [job.0],
        )
        .unwrap();
    let refused = world.queue.retry("hourly").await.unwrap_err().to_string();
    assert!(refused.contains("has not come") && refused.contains("resume"), "{refused}");
    world.clock.set(at("2026-01-05T13:10:00Z"));
    world.queue.retry("hourly").await.unwrap();
    world.settle().await;
    assert_eq!(world.ran("hourly").await.len(), 2);
    assert_eq!(short(world.calls()[1].occurrence), "05 13:00:00");
    assert_eq!(world.next("hourly").await, "05 14:00:00");
    world.is_sound().await;
}

/// Found by the simulator: a job was cancelled, and what it had missed by then went on record. A person asked for another
/// attempt at its last occurrence, and the schedule went on with the one after that: it ran what stood on record as
/// missed.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_a_cancelled_job_goes_on_with_what_comes_next_and_not_with_what_is_on_record() {
    let world = World::running_at("2026-01-05T08:30:00Z").await;
    let earliest = held().catch_up(CatchUp::earliest());
    world.queue.schedule("hourly", cron("0 * * * *"), earliest).await.unwrap();
    world.go("2026-01-05T09:00:00Z").await;
    world.go("2026-01-05T11:30:00Z").await;
    world.queue.cancel("hourly").await.unwrap();
    world.go("2026-01-05T12:10:00Z").await;
    world.queue.retry("hourly").await.unwrap();
    world.until_calls(2).await;
    world.release().await;
    assert_eq!(world.ran("hourly").await, ["05 09:00:00 schedule", "05 09:00:00 retry"]);
    assert_eq!(world.missed("hourly").await, ["05 10:00:00 - 05 11:00:00 x2 downtime"]);
    assert_eq!(world.next("hourly").await, "05 13:00:00");
    world.is_sound().await;
}

/// Found by the simulator: a job had finished, ran once more because somebody had asked for it, and another job had its
/// unique key by then. Resumed meanwhile, it was no longer finished, and two held the key: the resume failed; and the end
/// of one of several such runs could not be recorded.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_finished_holds_its_unique_key_no_more_whatever_of_it_runs() {
    let world = World::running_at("2026-01-05T08:30:00Z").await;
    let noon = || held().overlap(Overlap::Allow(2)).at(at("2026-01-05T12:00:00Z")).unique("key");
    let first = world.queue.enqueue(noon()).await.unwrap().id();
    world.queue.cancel(first).await.unwrap();
    let second = world.queue.enqueue(noon()).await.unwrap().id();
    assert_ne!(first, second);
    for calls in 1..=2 {
        world.queue.run_now(first).await.unwrap();
        world.until_calls(calls).await;
    }
    world.queue.pause(first, None).await.unwrap();
    world.queue.resume(first).await.unwrap();
    for _ in 0..2 {
        world.release().await;
        assert!(world.queue.get(first).await.unwrap().finished_at.is_some());
    }
    assert_eq!(world.queue.enqueue(noon()).await.unwrap().id(), second);
    world.is_sound().await;
}

/// Found by the simulator: a job with a delay after each run was cancelled, and later somebody asked for one run of it. The
/// end of that run named the next one, and so on: the cancelled schedule went on.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_hand_of_a_cancelled_job_does_not_begin_its_schedule_again() {
    let world = World::running_at("2026-01-05T08:30:00Z").await;
    world.queue.schedule("job", Schedule::after_each(secs(600)).unwrap(), quick()).await.unwrap();
    world.queue.cancel("job").await.unwrap();
    world.queue.run_now("job").await.unwrap();
    world.until_calls(1).await;
    world.settle().await;
    assert_eq!(world.next("job").await, "");
    world.go("2026-01-05T12:00:00Z").await;
    assert_eq!(world.ran("job").await, ["05 08:30:00 manual"]);
    world.is_sound().await;
}
