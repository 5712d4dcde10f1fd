//! A past range on request: each occurrence once, bounded, under its own trigger.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test fail it"
)]

#[path = "support/timed.rs"]
mod timed;

use mainspring::plan::Trigger;
use mainspring::{Error, Outcome, RunId, Schedule};
use timed::*;

/// Hourly since midnight, down from 08:30 to 12:10, one run since: 12:00 has run, 09:00 to 11:00 are on record.
async fn after_a_night() -> World {
    let mut world = World::running_at("2026-01-05T07:30:00Z").await;
    world.queue.schedule("hourly", cron("0 * * * *"), quick()).await.unwrap();
    world.go("2026-01-05T08:00:00Z").await;
    world.restart_at("2026-01-05T12:10:00Z").await;
    assert_eq!(world.ran("hourly").await, ["05 08:00:00 schedule", "05 12:00:00 catch_up"]);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_runs_each_occurrence_without_a_run_once() {
    let world = after_a_night().await;
    let (from, to) = (at("2026-01-05T08:00:00Z"), at("2026-01-05T12:00:00Z"));
    assert_eq!(world.queue.backfill("hourly", from, to).await.unwrap(), 3);
    world.settle().await;
    let backfilled: Vec<_> = world.calls().into_iter().filter(|it| it.trigger == Trigger::Backfill).collect();
    let occurrences: Vec<_> = backfilled.iter().map(|call| short(call.occurrence)).collect();
    assert_eq!(occurrences, ["05 09:00:00", "05 10:00:00", "05 11:00:00"]);
    assert_eq!(world.queue.backfill("hourly", from, to).await.unwrap(), 0);
    world.settle().await;
    assert_eq!(world.calls().len(), 5);
    assert_eq!(world.next("hourly").await, "05 13:00:00");
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_twice_before_anything_has_run_asks_once() {
    let mut world = after_a_night().await;
    world.down().await;
    let (from, to) = (at("2026-01-05T08:00:00Z"), at("2026-01-05T12:00:00Z"));
    assert_eq!(world.queue.backfill("hourly", from, at("2026-01-05T10:00:00Z")).await.unwrap(), 2);
    assert_eq!(world.queue.backfill("hourly", from, to).await.unwrap(), 1);
    world.start().await;
    world.settle().await;
    assert_eq!(world.calls().len(), 5);
    world.is_sound().await;
}

/// A backfill whose occurrence is on record as missed leaves no finding: the ledger and the run would contradict
/// each other.
#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_of_what_downtime_missed_agrees_with_the_ledger() {
    let mut world = World::running_at("2026-01-05T07:30:00Z").await;
    let job = quick().catch_up(mainspring::plan::CatchUp::skip());
    world.queue.schedule("hourly", cron("0 * * * *"), job).await.unwrap();
    world.restart_at("2026-01-05T12:10:00Z").await;
    assert_eq!(world.missed("hourly").await, ["05 08:00:00 - 05 12:00:00 x5 downtime"]);
    let (from, to) = (at("2026-01-05T09:30:00Z"), at("2026-01-05T10:30:00Z"));
    assert_eq!(world.queue.backfill("hourly", from, to).await.unwrap(), 1);
    world.settle().await;
    assert_eq!(world.ran("hourly").await, ["05 10:00:00 backfill"]);
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_by_hand_between_them_are_runs_of_their_own() {
    let mut world = after_a_night().await;
    let by_hand = world.queue.run_now("hourly").await.unwrap();
    world.settle().await;
    // Asked for while nothing runs, since a run by hand is refused while one is open.
    world.down().await;
    let (from, to) = (at("2026-01-05T09:00:00Z"), at("2026-01-05T11:00:00Z"));
    assert_eq!(world.queue.backfill("hourly", from, to).await.unwrap(), 3);
    let again = world.queue.run_now("hourly").await.unwrap();
    world.start().await;
    world.settle().await;
    for request in [by_hand, again] {
        let run = world.queue.run_of("hourly", request).await.unwrap().unwrap();
        assert_eq!(run.trigger, Trigger::Manual);
        assert_eq!(run.completion.map(|it| it.outcome), Some(Outcome::Succeeded));
    }
    assert_eq!(world.calls().len(), 7);
    world.go("2026-01-05T13:00:00Z").await;
    assert_eq!(world.ran("hourly").await.last().map(String::as_str), Some("05 13:00:00 schedule"));
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_that_fails_is_tried_again_and_the_schedule_keeps_its_time() {
    let mut world = World::at("2026-01-05T07:30:00Z");
    let job = mainspring::NewJob::new(Work::Fails(1, 60)).catch_up(mainspring::plan::CatchUp::skip());
    world.queue.schedule("hourly", cron("0 * * * *"), job).await.unwrap();
    world.clock.set(at("2026-01-05T10:10:00Z"));
    world.start().await;
    world.settle().await;
    let nine = at("2026-01-05T09:00:00Z");
    assert_eq!(world.queue.backfill("hourly", nine, nine).await.unwrap(), 1);
    world.settle().await;
    assert_eq!(world.queue.backfill("hourly", nine, nine).await.unwrap(), 0, "its next attempt waits");
    world.advance(secs(60)).await;
    assert_eq!(world.ran("hourly").await, ["05 09:00:00 backfill", "05 09:00:00 backfill"]);
    let runs: Vec<RunId> = world.queue.runs("hourly", 9).await.unwrap().iter().map(|run| run.id).collect();
    assert_eq!(runs.len(), 2);
    assert_eq!(world.next("hourly").await, "05 11:00:00");
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_is_too_long_or_not_past_is_refused_whole() {
    let world = after_a_night().await;
    let now = world.clock.now();
    let invalid = |result: mainspring::Result<usize>| matches!(result, Err(Error::InvalidOption { .. }));
    assert!(invalid(world.queue.backfill("hourly", now, now.plus(secs(1))).await));
    assert!(invalid(world.queue.backfill("hourly", now.minus(secs(3_600 * 1_002)), now).await));
    world.queue.schedule("once", Schedule::at(now.plus(secs(60))), quick()).await.unwrap();
    let refused = world.queue.backfill("once", now.minus(secs(60)), now).await;
    assert!(matches!(refused, Err(Error::WrongState { .. })), "{refused:?}");
    assert_eq!(world.queue.get("hourly").await.unwrap().requests, 0);
    world.is_sound().await;
}
