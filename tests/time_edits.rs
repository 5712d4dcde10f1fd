//! Edits: a new schedule takes effect at once, any other edit moves nothing, declaring again changes nothing.
//! Issue 3, item 10; SCENARIOS D7.13, D7.14, D10.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test fail it"
)]

#[path = "support/timed.rs"]
mod timed;

use mainspring::plan::{CatchUp, Trigger};
use mainspring::{Declaration, Error, JobState, NewJob, Schedule, ScheduleError, Scheduled};
use timed::*;

fn every(seconds: u64) -> Schedule {
    Schedule::every(secs(seconds)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_schedule_takes_effect_at_once_and_the_old_ones_overdue_occurrence_is_on_record() {
    let mut world = World::at("2026-01-05T08:30:00Z");
    world.queue.schedule("job", cron("0 * * * *"), quick()).await.unwrap();
    world.clock.set(at("2026-01-05T10:10:00Z"));
    world.queue.schedule("job", cron("*/15 * * * *"), quick()).await.unwrap();
    assert_eq!(world.next("job").await, "05 10:15:00");
    assert_eq!(world.missed("job").await, ["05 09:00:00 - 05 10:00:00 x2 downtime"]);
    world.start().await;
    world.go("2026-01-05T10:15:00Z").await;
    assert_eq!(world.ran("job").await, ["05 10:15:00 schedule"]);
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_while_a_run_is_open_survives_its_end() {
    let world = World::running_at("2026-01-05T08:30:00Z").await;
    world.queue.schedule("job", cron("0 * * * *"), held()).await.unwrap();
    world.go("2026-01-05T09:00:00Z").await;
    world.go("2026-01-05T09:10:00Z").await;
    world.queue.schedule("job", cron("45 * * * *"), held().priority(4)).await.unwrap();
    world.go("2026-01-05T09:20:00Z").await;
    world.release().await;
    let job = world.queue.get("job").await.unwrap();
    assert_eq!((job.priority, job.next_run_at), (4, Some(at("2026-01-05T09:45:00Z"))));
    assert!(world.missed("job").await.is_empty());
    world.is_sound().await;
}

/// A retry of the old schedule's occurrence must not come after the new schedule has taken over.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_ends_the_attempts_of_the_old_schedule() {
    let world = World::running_at("2026-01-05T08:30:00Z").await;
    world.queue.schedule("job", cron("0 9 * * *"), NewJob::new(Work::Fails(3, 600))).await.unwrap();
    world.go("2026-01-05T09:00:00Z").await;
    world.queue.schedule("job", cron("0 12 * * *"), NewJob::new(Work::Fails(3, 600))).await.unwrap();
    world.go("2026-01-05T09:10:00Z").await;
    assert_eq!(world.ran("job").await, ["05 09:00:00 schedule"]);
    assert_eq!(world.next("job").await, "05 12:00:00");
    world.is_sound().await;
}

/// An edit of the schedule dropped the run that a person had asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_asked_for_survives_an_edit_of_the_schedule() {
    let mut world = World::at("2026-01-05T08:30:00Z");
    world.queue.schedule("job", cron("0 9 * * *"), quick()).await.unwrap();
    let request = world.queue.run_now("job").await.unwrap();
    world.queue.schedule("job", cron("0 12 * * *"), quick()).await.unwrap();
    world.start().await;
    world.settle().await;
    let run = world.queue.run_of("job", request).await.unwrap().unwrap();
    assert_eq!(run.trigger, Trigger::Manual);
    assert_eq!(world.next("job").await, "05 12:00:00");
    world.go("2026-01-05T12:00:00Z").await;
    assert_eq!(world.calls().len(), 2);
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_piles_up_no_backlog_under_any_policy() {
    for policy in [CatchUp::latest(), CatchUp::earliest(), CatchUp::all(100), CatchUp::skip()] {
        let world = World::running_at("2026-01-05T08:30:00Z").await;
        world.queue.schedule("job", cron("0 * * * *"), quick().catch_up(policy)).await.unwrap();
        world.queue.pause("job", Some("a look")).await.unwrap();
        world.go("2026-01-05T12:10:00Z").await;
        assert_eq!(world.queue.get("job").await.unwrap().state(world.clock.now()), JobState::Paused);
        world.queue.resume("job").await.unwrap();
        world.settle().await;
        assert!(world.calls().is_empty(), "{policy:?}");
        assert_eq!(world.missed("job").await, ["05 09:00:00 - 05 12:00:00 x4 paused"], "{policy:?}");
        world.go("2026-01-05T13:00:00Z").await;
        assert_eq!(world.ran("job").await, ["05 13:00:00 schedule"]);
        world.is_sound().await;
    }
}

/// A job that was paused between two attempts caught up its pause when it was resumed.
/// A job that was switched off by its declaration and on again ran for an occurrence of the time between.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_disabled_and_enabled_again_makes_up_for_nothing() {
    let world = World::running_at("2026-01-05T08:30:00Z").await;
    world.queue.schedule("job", cron("0 * * * *"), quick().enabled(false)).await.unwrap();
    world.go("2026-01-05T11:10:00Z").await;
    world.queue.schedule("job", cron("0 * * * *"), quick()).await.unwrap();
    world.settle().await;
    assert!(world.ran("job").await.is_empty());
    assert_eq!(world.missed("job").await, ["05 09:00:00 - 05 11:00:00 x3 paused"]);
    world.go("2026-01-05T12:00:00Z").await;
    assert_eq!(world.ran("job").await, ["05 12:00:00 schedule"]);
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_between_two_attempts_piles_up_no_backlog() {
    let world = World::running_at("2026-01-05T08:30:00Z").await;
    let job = NewJob::new(Work::Fails(1, 600)).catch_up(CatchUp::all(10));
    world.queue.schedule("job", cron("0 * * * *"), job).await.unwrap();
    world.go("2026-01-05T09:00:00Z").await;
    world.queue.pause("job", None).await.unwrap();
    world.go("2026-01-05T12:10:00Z").await;
    world.queue.resume("job").await.unwrap();
    world.settle().await;
    assert_eq!(world.ran("job").await, ["05 09:00:00 schedule"]);
    assert_eq!(world.missed("job").await, ["05 10:00:00 - 05 12:00:00 x3 paused"]);
    assert_eq!(world.next("job").await, "05 13:00:00");
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_pause_keeps_the_next_attempt_and_the_next_occurrence() {
    let world = World::running_at("2026-01-05T08:30:00Z").await;
    world.queue.schedule("job", cron("0 * * * *"), NewJob::new(Work::Fails(1, 600))).await.unwrap();
    world.go("2026-01-05T09:00:00Z").await;
    world.queue.pause("job", None).await.unwrap();
    world.go("2026-01-05T09:20:00Z").await;
    assert_eq!(world.calls().len(), 1);
    world.queue.resume("job").await.unwrap();
    world.settle().await;
    assert_eq!(world.ran("job").await, ["05 09:00:00 schedule", "05 09:00:00 retry"]);
    assert_eq!(world.next("job").await, "05 10:00:00");
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_shot_whose_instant_came_during_its_pause_runs_when_it_is_resumed() {
    let world = World::running_at("2026-01-05T08:30:00Z").await;
    let job = world.queue.enqueue(quick().at(at("2026-01-05T09:00:00Z"))).await.unwrap().id();
    world.queue.pause(job, None).await.unwrap();
    world.clock.set(at("2026-01-05T20:00:00Z"));
    world.look().await;
    assert!(world.calls().is_empty());
    world.queue.resume(job).await.unwrap();
    world.until_calls(1).await;
    world.settle().await;
    world.is_sound().await;
}

/// A job that parked itself after failures goes on from now when somebody has looked.
#[tokio::test(flavor = "multi_thread")]
async fn resuming_a_parked_job_makes_up_for_nothing() {
    let world = World::running_at("2026-01-05T08:30:00Z").await;
    let job = NewJob::new(Work::Broken).park_after_failures(2).catch_up(CatchUp::all(9));
    world.queue.schedule("job", cron("0 * * * *"), job).await.unwrap();
    world.go("2026-01-05T09:00:00Z").await;
    world.go("2026-01-05T10:00:00Z").await;
    assert_eq!(world.queue.get("job").await.unwrap().state(world.clock.now()), JobState::Parked);
    world.go("2026-01-05T13:30:00Z").await;
    world.queue.resume("job").await.unwrap();
    world.settle().await;
    assert_eq!(world.ran("job").await, ["05 09:00:00 schedule", "05 10:00:00 schedule"]);
    assert_eq!(world.missed("job").await, ["05 11:00:00 - 05 13:00:00 x3 paused"]);
    assert_eq!(world.next("job").await, "05 14:00:00");
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn declaring_again_changes_nothing_loses_nothing_and_resumes_nothing() {
    let mut world = World::at("2026-01-05T08:30:00Z");
    let once = at("2026-01-05T09:15:00Z");
    let declare = async |world: &World| {
        let queue = &world.queue;
        [
            queue.schedule("hourly", cron("0 * * * *"), quick()).await.unwrap(),
            queue.schedule("grid", every(1_800), quick()).await.unwrap(),
            queue.schedule("held", cron("0 * * * *"), quick()).await.unwrap(),
            queue.schedule("once", Schedule::at(once), quick()).await.unwrap(),
            queue.schedule("later", Schedule::after(secs(900)), quick()).await.unwrap(),
        ]
    };
    assert!(declare(&world).await.iter().all(|it| matches!(it, Scheduled::Created(_))));
    world.queue.pause("held", Some("a look")).await.unwrap();
    world.clock.set(at("2026-01-05T09:40:00Z"));
    let before = world.queue.list(mainspring::ListFilter::default()).await.unwrap().jobs;
    assert!(declare(&world).await.iter().all(|it| matches!(it, Scheduled::Unchanged(_))));
    assert_eq!(world.queue.list(mainspring::ListFilter::default()).await.unwrap().jobs, before);
    world.start().await;
    world.settle().await;
    assert_eq!(world.ran("hourly").await, ["05 09:00:00 catch_up"]);
    assert_eq!(world.ran("grid").await, ["05 09:30:00 catch_up"]);
    assert!(world.ran("held").await.is_empty());
    assert_eq!(world.ran("once").await, ["05 09:15:00 catch_up"]);
    assert_eq!(world.ran("later").await, ["05 08:45:00 catch_up"]);
    // What has run stays run, however often it is declared.
    assert!(declare(&world).await.iter().all(|it| matches!(it, Scheduled::Unchanged(_))));
    world.settle().await;
    assert_eq!(world.calls().len(), 4);
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_set_converges_and_says_what_it_did() {
    let world = World::at("2026-01-05T08:30:00Z");
    let set = |text: &str, names: &[&str]| -> Vec<Declaration> {
        names.iter().map(|name| Declaration::new(*name, cron(text), quick())).collect()
    };
    world.queue.schedule("mine", cron("@daily"), quick()).await.unwrap();
    let first = world.queue.replace_all("app", set("0 * * * *", &["a", "b", "c"])).await.unwrap();
    assert_eq!(first.created, ["a", "b", "c"]);
    let mut second = set("0 * * * *", &["a"]);
    second.extend(set("30 * * * *", &["b"]));
    second.extend(set("0 0 * * *", &["d"]));
    let second = world.queue.replace_all("app", second).await.unwrap();
    assert_eq!(
        (second.created, second.changed, second.unchanged, second.removed),
        (vec!["d".into()], vec!["b".into()], vec!["a".into()], vec!["c".to_owned()])
    );
    assert!(world.queue.get("mine").await.is_ok());
    assert!(matches!(world.queue.get("c").await, Err(Error::JobNotFound(_))));
    assert_eq!(world.next("b").await, "05 09:30:00");
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_with_an_error_in_it_changes_nothing() {
    let world = World::at("2026-01-05T08:30:00Z");
    let job = |name: &str, schedule: Schedule| Declaration::new(name, schedule, quick());
    world.queue.replace_all("app", [job("a", cron("0 * * * *")), job("b", cron("0 * * * *"))]).await.unwrap();
    world.queue.replace_all("other", [job("theirs", cron("@daily"))]).await.unwrap();
    let before = world.queue.list(mainspring::ListFilter::default()).await.unwrap().jobs;
    let past = Schedule::at(at("2026-01-05T08:00:00Z"));
    let refused = [
        vec![job("new", cron("@daily")), job("a", cron("@weekly")), job("theirs", cron("@daily"))],
        vec![job("a", cron("@weekly")), job("a", cron("@weekly"))],
        vec![job("a", cron("@weekly")), job("past", past)],
    ];
    for set in refused {
        assert!(world.queue.replace_all("app", set).await.is_err());
        assert_eq!(world.queue.list(mainspring::ListFilter::default()).await.unwrap().jobs, before);
    }
    world.is_sound().await;
}

/// D10.1: an interval counted from the end of each run drifted by what the runs took.
#[tokio::test(flavor = "multi_thread")]
async fn a_grid_does_not_drift_with_what_its_runs_take() {
    let world = World::running_at("2026-01-05T08:00:00Z").await;
    world.queue.schedule("job", every(60), held()).await.unwrap();
    for run in 1..=100_u64 {
        world.clock.set(at("2026-01-05T08:00:00Z").plus(secs(60 * run)));
        world.settle().await;
        world.clock.advance(secs(3));
        world.release().await;
    }
    let calls = world.calls();
    assert_eq!(calls.len(), 100);
    for (run, call) in (1_u64..).zip(&calls) {
        assert_eq!(call.occurrence, at("2026-01-05T08:00:00Z").plus(secs(60 * run)));
        assert_eq!(call.lateness, secs(0));
    }
    world.is_sound().await;
}

/// D10.2: a restart 11 minutes before a four-hourly occurrence moved it four hours on.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_does_not_move_the_grid() {
    let mut world = World::running_at("2026-01-05T08:00:00Z").await;
    world.queue.schedule("job", every(4 * 3_600), quick()).await.unwrap();
    world.go("2026-01-05T11:00:00Z").await;
    world.restart_at("2026-01-05T11:49:00Z").await;
    world.queue.schedule("job", every(4 * 3_600), quick()).await.unwrap();
    assert_eq!(world.next("job").await, "05 12:00:00");
    world.go("2026-01-05T12:00:00Z").await;
    assert_eq!(world.ran("job").await, ["05 12:00:00 schedule"]);
    world.is_sound().await;
}

/// D10.3: an anchor ten years back made the next time a loop over every millisecond since.
#[tokio::test(flavor = "multi_thread")]
async fn an_anchor_ten_years_back_costs_nothing() {
    let world = World::running_at("2026-01-05T08:00:00Z").await;
    let began = std::time::Instant::now();
    let dense = Schedule::every(std::time::Duration::from_millis(1)).unwrap();
    world.queue.schedule("job", dense.anchored_at(at("2016-01-05T08:00:00Z")), quick()).await.unwrap();
    world.advance(secs(1)).await;
    assert!(began.elapsed() < secs(10), "{:?}", began.elapsed());
    assert_eq!(world.ran("job").await, ["05 08:00:01 schedule"]);
    world.is_sound().await;
}

/// D10.6: an instant in the past ran at once, or vanished.
#[tokio::test(flavor = "multi_thread")]
async fn a_past_instant_is_refused_beyond_a_minute_unless_it_is_allowed() {
    let world = World::running_at("2026-01-05T08:00:00Z").await;
    let ago = |ms: u64| Schedule::at(world.clock.now().minus(std::time::Duration::from_millis(ms)));
    let refused = world.queue.schedule("past", ago(60_001), quick()).await;
    assert!(matches!(refused, Err(Error::Schedule(ScheduleError::Past { .. }))), "{refused:?}");
    assert!(refused.unwrap_err().to_string().contains("allow_past"));
    let local = Schedule::at_local("2026-01-05 08:00", chrono_tz::Europe::Berlin).unwrap();
    assert!(world.queue.schedule("past", local, quick()).await.is_err());
    assert!(matches!(world.queue.get("past").await, Err(Error::JobNotFound(_))));
    world.queue.schedule("just", ago(60_000), quick()).await.unwrap();
    world.queue.schedule("allowed", ago(3_600_000), quick().allow_past()).await.unwrap();
    world.settle().await;
    assert_eq!(world.ran("just").await, ["05 07:59:00 schedule"]);
    assert_eq!(world.ran("allowed").await, ["05 07:00:00 catch_up"]);
    // An enqueued job says "or at once if that has passed".
    world.queue.enqueue(quick().at(at("2026-01-01T00:00:00Z"))).await.unwrap();
    world.settle().await;
    assert_eq!(world.calls().len(), 3);
    world.is_sound().await;
}

/// D10.9: a finished one-shot that was given another instant stayed finished.
#[tokio::test(flavor = "multi_thread")]
async fn a_finished_one_shot_that_gets_another_instant_runs_again_once() {
    let world = World::running_at("2026-01-05T08:00:00Z").await;
    world.queue.schedule("once", Schedule::at(at("2026-01-05T09:00:00Z")), quick()).await.unwrap();
    world.go("2026-01-05T09:00:00Z").await;
    assert_eq!(world.queue.get("once").await.unwrap().state(world.clock.now()), JobState::Finished);
    world.queue.schedule("once", Schedule::at(at("2026-01-05T10:00:00Z")), quick()).await.unwrap();
    world.go("2026-01-05T10:00:00Z").await;
    world.go("2026-01-05T11:00:00Z").await;
    assert_eq!(world.ran("once").await, ["05 09:00:00 schedule", "05 10:00:00 schedule"]);
    world.is_sound().await;
}

/// D7.13: a run by hand used up the one occurrence of a one-shot.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_hand_leaves_a_one_shot_its_occurrence() {
    let world = World::running_at("2026-01-05T08:00:00Z").await;
    world.queue.schedule("once", Schedule::at(at("2026-01-05T09:00:00Z")), quick()).await.unwrap();
    let limited = cron("0 * * * *").max_runs(1);
    world.queue.schedule("limited", limited, quick()).await.unwrap();
    for name in ["once", "limited"] {
        world.queue.run_now(name).await.unwrap();
    }
    world.settle().await;
    world.go("2026-01-05T09:00:00Z").await;
    for name in ["once", "limited"] {
        assert_eq!(world.ran(name).await, ["05 08:00:00 manual", "05 09:00:00 schedule"]);
        assert_eq!(world.queue.get(name).await.unwrap().state(world.clock.now()), JobState::Finished);
        // And one that is finished runs by hand and stays finished.
        world.queue.run_now(name).await.unwrap();
        world.settle().await;
        assert_eq!(world.queue.get(name).await.unwrap().state(world.clock.now()), JobState::Finished);
        assert_eq!(world.ran(name).await.len(), 3);
    }
    world.is_sound().await;
}

/// D7.14: a run by hand at 13:00 moved a job of every day at 07:00 to 13:00.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_hand_does_not_move_the_grid() {
    let world = World::running_at("2026-01-05T07:00:00Z").await;
    world.queue.schedule("daily", every(86_400), quick()).await.unwrap();
    world.go("2026-01-05T13:00:00Z").await;
    world.queue.run_now("daily").await.unwrap();
    world.settle().await;
    assert_eq!(world.next("daily").await, "06 07:00:00");
    world.go("2026-01-06T07:00:00Z").await;
    assert_eq!(world.ran("daily").await, ["05 13:00:00 manual", "06 07:00:00 schedule"]);
    world.is_sound().await;
}
