//! What becomes of an occurrence that comes while the last one still runs, and what the ledger says of it.
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
use mainspring::{NewJob, Outcome};
use timed::*;

async fn hourly(overlap: Overlap, catch_up: CatchUp) -> World {
    let world = World::running_at("2026-01-05T08:30:00Z").await;
    let job = held().overlap(overlap).catch_up(catch_up);
    world.queue.schedule("job", cron("0 * * * *"), job).await.unwrap();
    world.go("2026-01-05T09:00:00Z").await;
    assert_eq!(world.calls().len(), 1);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn under_skip_what_comes_during_a_run_is_a_miss() {
    let world = hourly(Overlap::Skip, CatchUp::default()).await;
    world.go("2026-01-05T11:30:00Z").await;
    assert_eq!(world.calls().len(), 1);
    world.release().await;
    assert_eq!(world.ran("job").await, ["05 09:00:00 schedule"]);
    assert_eq!(world.missed("job").await, ["05 10:00:00 - 05 11:00:00 x2 overlap"]);
    assert_eq!(world.next("job").await, "05 12:00:00");
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_queue_one_the_latest_waits_for_the_end_of_the_run() {
    let world = hourly(Overlap::QueueOne, CatchUp::default()).await;
    world.go("2026-01-05T11:30:00Z").await;
    assert_eq!(world.calls().len(), 1);
    world.release().await;
    assert_eq!(world.ran("job").await, ["05 09:00:00 schedule", "05 11:00:00 catch_up"]);
    assert_eq!(world.missed("job").await, ["05 10:00:00 x1 overlap"]);
    world.release().await;
    assert_eq!(world.next("job").await, "05 12:00:00");
    world.is_sound().await;
}

/// What waited for the end of a run was called missed, and a job that catches nothing up never ran it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_queued_runs_whatever_the_catch_up_policy() {
    for policy in [CatchUp::skip(), CatchUp::latest().within(secs(60)), CatchUp::latest().at_once(0)] {
        let world = hourly(Overlap::QueueOne, policy).await;
        world.go("2026-01-05T10:20:00Z").await;
        world.release().await;
        assert_eq!(world.ran("job").await, ["05 09:00:00 schedule", "05 10:00:00 catch_up"], "{policy:?}");
        assert!(world.missed("job").await.is_empty(), "{policy:?}");
        world.release().await;
        world.is_sound().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_cancel_running_the_run_is_stopped_for_the_next_one() {
    let world = hourly(Overlap::CancelRunning, CatchUp::default()).await;
    world.clock.set(at("2026-01-05T10:00:00Z"));
    world.until_calls(2).await;
    world.settle().await;
    assert_eq!(world.ran("job").await, ["05 09:00:00 schedule", "05 10:00:00 schedule"]);
    let runs = world.queue.runs("job", 2).await.unwrap();
    assert!(runs[0].completion.is_none());
    assert_eq!(runs[1].completion.as_ref().map(|it| it.outcome), Some(Outcome::Cancelled));
    assert!(world.missed("job").await.is_empty());
    world.release().await;
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_allow_so_many_run_beside_each_other_and_the_latest_waits() {
    for policy in [CatchUp::default(), CatchUp::skip()] {
        let world = hourly(Overlap::Allow(2), policy).await;
        world.go("2026-01-05T10:00:00Z").await;
        assert_eq!(world.calls().len(), 2);
        world.go("2026-01-05T11:00:00Z").await;
        world.go("2026-01-05T12:00:00Z").await;
        world.go("2026-01-05T12:30:00Z").await;
        assert_eq!(world.calls().len(), 2);
        world.release().await;
        assert_eq!(
            world.ran("job").await,
            ["05 09:00:00 schedule", "05 10:00:00 schedule", "05 12:00:00 catch_up"],
            "{policy:?}"
        );
        assert_eq!(world.missed("job").await, ["05 11:00:00 x1 overlap"], "{policy:?}");
        world.release().await;
        world.release().await;
        assert_eq!(world.next("job").await, "05 13:00:00");
        world.is_sound().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_hand_does_not_overlap_one_that_may_not_be_overlapped() {
    let world = hourly(Overlap::Skip, CatchUp::default()).await;
    let refused = world.queue.run_now("job").await;
    assert!(matches!(refused, Err(mainspring::Error::AlreadyRunning(_))), "{refused:?}");
    world.release().await;
    world.is_sound().await;
}

/// A retry by hand of a run whose overlapped occurrences are on record ran one of those.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_by_hand_runs_its_occurrence_and_not_one_on_record_as_missed() {
    let world = hourly(Overlap::Skip, CatchUp::default()).await;
    world.go("2026-01-05T10:10:00Z").await;
    let run = world.queue.runs("job", 1).await.unwrap()[0].id;
    world.queue.release(run, false).await.unwrap();
    assert_eq!(world.missed("job").await, ["05 10:00:00 x1 overlap"]);
    assert!(world.queue.release(run, true).await.is_err(), "it has ended");
    world.queue.retry("job").await.unwrap();
    world.settle().await;
    assert_eq!(world.ran("job").await, ["05 09:00:00 schedule", "05 09:00:00 retry"]);
    world.release().await;
    assert_eq!(world.next("job").await, "05 11:00:00");
}

/// A failure whose next attempt would come after the next occurrence is not tried again: that one comes.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_the_next_occurrence_overtakes_is_given_up() {
    let world = World::running_at("2026-01-05T08:30:00Z").await;
    world.queue.schedule("job", cron("0 * * * *"), NewJob::new(Work::Fails(9, 3_600))).await.unwrap();
    for hour in ["09", "10", "11"] {
        world.go(&format!("2026-01-05T{hour}:00:00Z")).await;
    }
    assert_eq!(
        world.ran("job").await,
        ["05 09:00:00 schedule", "05 10:00:00 schedule", "05 11:00:00 schedule"]
    );
    assert_eq!(world.next("job").await, "05 12:00:00");
    world.is_sound().await;
}

/// Found by the simulator: two runs were asked for of a job whose next occurrence stops the open run. While the first
/// one went on, the job could be claimed for the second, which broke the limit on open runs: the transaction of the
/// writer failed with all that was in it, and then the job was parked. A run by hand now waits for the end.
#[tokio::test(flavor = "multi_thread")]
async fn under_cancel_running_what_was_asked_for_waits_for_the_end_of_the_run() {
    let world = World::running_at("2026-01-05T08:30:00Z").await;
    let job = held().overlap(Overlap::CancelRunning);
    world.queue.schedule("job", cron("0 * * * *"), job).await.unwrap();
    world.queue.pause_queue("default", None).await.unwrap();
    for _ in 0..2 {
        world.queue.run_now("job").await.unwrap();
    }
    world.queue.resume_queue("default").await.unwrap();
    world.until_calls(1).await;
    world.settle().await;
    assert_eq!(world.calls().len(), 1);
    assert_eq!(world.queue.get("job").await.unwrap().park_reason, None);
    world.release().await;
    world.until_calls(2).await;
    world.release().await;
    assert_eq!(world.ran("job").await, ["05 08:30:00 manual", "05 08:30:00 manual"]);
    assert_eq!(world.next("job").await, "05 09:00:00");
    world.is_sound().await;
}
