//! What was missed is caught up as the job says, spread, once, and on record. SCENARIOS D4.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test fail it"
)]

#[path = "support/timed.rs"]
mod timed;

use std::collections::BTreeMap;
use std::time::Instant;

use mainspring::plan::{CatchUp, Trigger};
use mainspring::{JobState, ListFilter, Timestamp};
use rusqlite::Connection;
use timed::*;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the main function of a child process"]
async fn a_child_keeps_time() {
    be_a_child().await;
}

/// D4.2: a job that had run was run again after a restart, since its stored next time was stale.
#[tokio::test(flavor = "multi_thread")]
async fn an_occurrence_that_has_run_does_not_run_again_after_a_restart() {
    let mut world = World::running_at("2026-01-05T07:00:00Z").await;
    world.queue.schedule("hourly", cron("0 * * * *"), quick()).await.unwrap();
    world.go("2026-01-05T08:00:00Z").await;
    world.down().await;
    let conn = Connection::open(world.path()).unwrap();
    // The state of the story: the next time is that of a run on record.
    conn.execute(
        "UPDATE mainspring_jobs SET next_run_at_ms = last_run_at_ms, scheduled_for_ms = last_run_at_ms",
        [],
    )
    .unwrap();
    world.restart_at("2026-01-05T08:10:00Z").await;
    assert_eq!(world.ran("hourly").await, ["05 08:00:00 schedule"]);
    assert_eq!(world.next("hourly").await, "05 09:00:00");
    world.down().await;
    conn.execute(
        "UPDATE mainspring_jobs SET next_run_at_ms = last_run_at_ms, scheduled_for_ms = last_run_at_ms",
        [],
    )
    .unwrap();
    world.restart_at("2026-01-05T09:10:00Z").await;
    assert_eq!(world.ran("hourly").await, ["05 08:00:00 schedule", "05 09:00:00 catch_up"]);
    world.is_sound().await;
}

/// D4.3: an occurrence that came while the process was down was silently passed over.
#[tokio::test(flavor = "multi_thread")]
async fn an_occurrence_that_came_while_nothing_ran_is_caught_up_at_the_start() {
    let mut world = World::running_at("2026-01-05T07:00:00Z").await;
    world.queue.schedule("daily", cron("0 8 * * *"), quick()).await.unwrap();
    world.go("2026-01-05T07:59:00Z").await;
    world.restart_at("2026-01-05T08:05:00Z").await;
    assert_eq!(world.ran("daily").await, ["05 08:00:00 catch_up"]);
    let call = &world.calls()[0];
    assert_eq!((call.occurrence, call.trigger), (at("2026-01-05T08:00:00Z"), Trigger::CatchUp));
    assert_eq!(call.lateness, secs(300));
    world.is_sound().await;
}

/// D4.4: a job that had lost its next time was planned from now, and what it had missed stayed hidden.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_lost_its_next_time_is_caught_up() {
    let mut world = World::running_at("2026-01-04T07:00:00Z").await;
    world.queue.schedule("daily", cron("0 8 * * *"), quick()).await.unwrap();
    world.go("2026-01-04T08:00:00Z").await;
    world.down().await;
    let conn = Connection::open(world.path()).unwrap();
    conn.execute("UPDATE mainspring_jobs SET next_run_at_ms = NULL, scheduled_for_ms = NULL", []).unwrap();
    world.restart_at("2026-01-05T09:00:00Z").await;
    world.until_calls(2).await;
    assert_eq!(world.ran("daily").await, ["04 08:00:00 schedule", "05 08:00:00 catch_up"]);
    world.is_sound().await;
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("job-{number:03}")).collect()
}

async fn overdue(jobs: usize) -> World {
    let world = World::at("2026-01-05T07:00:00Z");
    for name in names(jobs) {
        world.queue.schedule(&name, cron("0 8 * * *"), quick()).await.unwrap();
    }
    world
}

/// D4.10: everything that was overdue ran at once, and the program could not be reached for minutes.
#[tokio::test(flavor = "multi_thread")]
async fn of_200_overdue_jobs_five_start_at_once_and_the_rest_one_after_the_other() {
    let mut world = overdue(200).await;
    world.clock.set(at("2026-01-05T08:30:00Z"));
    world.start().await;
    let mut slowest = secs(0);
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(world.queue.list(ListFilter::default()).await.unwrap().jobs.len(), 200);
        slowest = slowest.max(began.elapsed());
    }
    // A generous bound for a machine that compiles besides; what must not be is a wait for the runs.
    assert!(slowest < secs(2), "list() took {slowest:?}");
    world.settle().await;
    assert_eq!(world.calls().len(), 5);
    for step in 1..=195 {
        world.advance(secs(5)).await;
        assert_eq!(world.calls().len(), 5 + step, "after {step} pauses");
    }
    for name in names(200) {
        assert_eq!(world.ran(&name).await, ["05 08:00:00 catch_up"]);
    }
    world.is_sound().await;
}

/// D4.11: deferred runs were kept in memory, and lost when the process crashed again before they started.
#[tokio::test(flavor = "multi_thread")]
async fn the_spreading_survives_two_more_crashes_and_each_overdue_job_runs_once() {
    let world = overdue(60).await;
    let start = at("2026-01-05T08:30:00Z");
    let after = |seconds| start.plus(secs(seconds));
    let mut first = Process::start(world.path(), start);
    for step in 1..=10 {
        first.go(after(step * 5));
    }
    first.go_and_die(after(55));
    // Down for 40 s: eight deferred times pass. They do not start together: five at once, and the one whose turn it is.
    let mut second = Process::start(world.path(), after(95));
    let began = starts(&world).await;
    assert!(began.values().all(|runs| *runs <= 6), "{began:?}");
    for step in 20..=25 {
        second.go(after(step * 5));
    }
    second.go_and_die(after(130));
    let mut third = Process::start(world.path(), after(200));
    for step in 0..=120 {
        third.go(after(200 + step * 5));
    }
    world.clock.set(after(800));
    let mut count = 0;
    for name in names(60) {
        assert_eq!(world.ran(&name).await, ["05 08:00:00 catch_up"], "{name}");
        count += 1;
    }
    assert_eq!(count, 60);
    let began = starts(&world).await;
    assert!(began.values().all(|runs| *runs <= 6), "{began:?}");
    world.is_sound().await;
}

/// How many runs were claimed at each instant.
async fn starts(world: &World) -> BTreeMap<Timestamp, usize> {
    let mut began = BTreeMap::new();
    for job in world.queue.list(ListFilter::default()).await.unwrap().jobs {
        for run in world.queue.runs(job.id, 10).await.unwrap() {
            *began.entry(run.claimed_at).or_default() += 1;
        }
    }
    began
}

/// D4.12: the others were deferred from a time that was taken before the first had run, and landed in the past.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_deferred_lies_ahead_however_long_the_first_ones_took() {
    let mut world = World::at("2026-01-05T07:00:00Z");
    for name in names(20) {
        world.queue.schedule(&name, cron("0 8 * * *"), held()).await.unwrap();
    }
    world.clock.set(at("2026-01-05T08:30:00Z"));
    world.start_with(5).await;
    world.until_calls(5).await;
    world.clock.set(at("2026-01-05T08:40:00Z"));
    for _ in 0..5 {
        world.queue.resume_queue("nobody").await.unwrap();
    }
    for calls in 6..=20 {
        world.release_any().await;
        let mut tries = 0;
        while world.calls().len() < calls {
            tries += 1;
            assert!(tries < 100, "{} of {calls} calls", world.calls().len());
            world.clock.advance(secs(5));
            world.look().await;
            for job in world.queue.list(ListFilter::default()).await.unwrap().jobs {
                let deferred = job.scheduled_for == Some(at("2026-01-05T08:00:00Z"));
                if deferred && job.state(world.clock.now()) == JobState::Scheduled {
                    assert!(job.next_run_at > Some(world.clock.now()), "{job:?}");
                }
            }
        }
    }
    for _ in 0..5 {
        world.release_any().await;
    }
    world.settle().await;
    for name in names(20) {
        assert_eq!(world.ran(&name).await, ["05 08:00:00 catch_up"]);
    }
    world.is_sound().await;
}

/// D4.13: after 19:00 had been changed to 21:00 at 20:00, a restart at 20:30 made up for a 20:00 that never was.
#[tokio::test(flavor = "multi_thread")]
async fn an_edited_schedule_has_no_past_to_catch_up() {
    let mut world = World::running_at("2026-01-05T18:00:00Z").await;
    world.queue.schedule("daily", cron("0 19 * * *"), quick()).await.unwrap();
    world.go("2026-01-05T19:00:00Z").await;
    world.go("2026-01-05T20:00:00Z").await;
    world.queue.schedule("daily", cron("0 21 * * *"), quick()).await.unwrap();
    world.restart_at("2026-01-05T20:30:00Z").await;
    assert_eq!(world.ran("daily").await, ["05 19:00:00 schedule"]);
    world.go("2026-01-05T21:00:00Z").await;
    assert_eq!(world.ran("daily").await, ["05 19:00:00 schedule", "05 21:00:00 schedule"]);
    world.is_sound().await;
}

/// D4.14: a restart ran a job that waited for its next attempt at once, or never.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_time_of_the_next_attempt() {
    for (back, then) in [("10:05", Some("10:15")), ("10:30", None)] {
        let mut world = World::running_at("2026-01-05T09:00:00Z").await;
        let job = mainspring::NewJob::new(Work::Fails(1, 900));
        world.queue.schedule("daily", cron("0 10 * * *"), job).await.unwrap();
        world.go("2026-01-05T10:00:00Z").await;
        world.restart_at(&format!("2026-01-05T{back}:00Z")).await;
        if let Some(then) = then {
            assert_eq!(world.calls().len(), 1);
            world.go(&format!("2026-01-05T{then}:00Z")).await;
        }
        assert_eq!(world.ran("daily").await, ["05 10:00:00 schedule", "05 10:00:00 retry"], "back at {back}");
        assert_eq!(world.calls()[1].attempt, 2);
        assert_eq!(world.next("daily").await, "06 10:00:00");
        world.is_sound().await;
    }
}

/// D4.15, and each policy: hourly, down from 08:30 to 12:10.
#[tokio::test(flavor = "multi_thread")]
async fn each_policy_catches_up_what_it_says_and_the_rest_is_on_record() {
    let mut world = World::at("2026-01-05T08:30:00Z");
    let policies = [
        ("latest", CatchUp::latest()),
        ("earliest", CatchUp::earliest()),
        ("all-3", CatchUp::all(3)),
        ("skip", CatchUp::skip()),
        ("short", CatchUp::latest().within(secs(300))),
        ("two-hours", CatchUp::earliest().within(secs(2 * 3_600 + 900))),
        ("fresh", CatchUp::latest().only_after_first_run()),
    ];
    for (name, policy) in policies {
        world.queue.schedule(name, cron("0 * * * *"), quick().catch_up(policy.at_once(50))).await.unwrap();
    }
    world.clock.set(at("2026-01-05T12:10:00Z"));
    world.start().await;
    world.settle().await;
    for _ in 0..3 {
        world.advance(secs(5)).await;
    }
    assert_eq!(world.ran("latest").await, ["05 12:00:00 catch_up"]);
    assert_eq!(world.missed("latest").await, ["05 09:00:00 - 05 11:00:00 x3 coalesced"]);
    assert_eq!(world.ran("earliest").await, ["05 09:00:00 catch_up"]);
    assert_eq!(world.missed("earliest").await, ["05 10:00:00 - 05 12:00:00 x3 coalesced"]);
    assert_eq!(
        world.ran("all-3").await,
        ["05 10:00:00 catch_up", "05 11:00:00 catch_up", "05 12:00:00 catch_up"]
    );
    assert_eq!(world.missed("all-3").await, ["05 09:00:00 x1 downtime"]);
    let began: Vec<_> = world.calls().into_iter().filter(|call| call.name == "all-3").collect();
    assert!(began.windows(2).all(|pair| pair[1].began.since(pair[0].began) >= secs(5)), "{began:?}");
    for name in ["skip", "short", "fresh"] {
        assert!(world.ran(name).await.is_empty(), "{name}");
        assert_eq!(world.missed(name).await, ["05 09:00:00 - 05 12:00:00 x4 downtime"], "{name}");
    }
    assert_eq!(world.ran("two-hours").await, ["05 10:00:00 catch_up"]);
    assert_eq!(
        world.missed("two-hours").await,
        ["05 09:00:00 x1 downtime", "05 11:00:00 - 05 12:00:00 x2 coalesced"]
    );
    for (name, _) in policies {
        assert_eq!(world.next(name).await, "05 13:00:00", "{name}");
    }
    world.is_sound().await;
}

/// The run that stood for those after it failed, and its next attempt was taken for one of them.
#[tokio::test(flavor = "multi_thread")]
async fn the_earliest_is_tried_again_and_not_what_it_stands_for() {
    let mut world = World::at("2026-01-05T08:30:00Z");
    let job = mainspring::NewJob::new(Work::Fails(1, 30)).catch_up(CatchUp::earliest());
    world.queue.schedule("earliest", cron("0 * * * *"), job).await.unwrap();
    world.clock.set(at("2026-01-05T12:10:00Z"));
    world.start().await;
    world.settle().await;
    world.advance(secs(30)).await;
    assert_eq!(world.ran("earliest").await, ["05 09:00:00 catch_up", "05 09:00:00 retry"]);
    assert_eq!(world.missed("earliest").await, ["05 10:00:00 - 05 12:00:00 x3 coalesced"]);
    assert_eq!(world.next("earliest").await, "05 13:00:00");
    world.is_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_run_once_is_caught_up_under_only_after_first_run() {
    let mut world = World::running_at("2026-01-05T07:30:00Z").await;
    let policy = CatchUp::latest().only_after_first_run();
    world.queue.schedule("job", cron("0 * * * *"), quick().catch_up(policy)).await.unwrap();
    world.go("2026-01-05T08:00:00Z").await;
    world.restart_at("2026-01-05T10:10:00Z").await;
    assert_eq!(world.ran("job").await, ["05 08:00:00 schedule", "05 10:00:00 catch_up"]);
    assert_eq!(world.missed("job").await, ["05 09:00:00 x1 coalesced"]);
    world.is_sound().await;
}

/// D4.15: an alert of the morning went off at night.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_the_window_is_a_miss_and_a_one_shot_has_no_window() {
    let mut world = World::at("2026-01-05T07:00:00Z");
    world.queue.schedule("alert", cron("0 9 * * *"), quick()).await.unwrap();
    let once = world.queue.enqueue(quick().at(at("2026-01-05T09:00:00Z"))).await.unwrap().id();
    world.clock.set(at("2026-01-05T15:00:01Z"));
    world.start().await;
    world.settle().await;
    assert!(world.ran("alert").await.is_empty());
    assert_eq!(world.missed("alert").await, ["05 09:00:00 x1 downtime"]);
    let run = &world.queue.runs(once, 1).await.unwrap()[0];
    assert_eq!((run.scheduled_for, run.trigger), (at("2026-01-05T09:00:00Z"), Trigger::CatchUp));
    world.is_sound().await;
}

/// D4.17: the process that caught up wrote back what it had read before, over an edit and a removal.
#[tokio::test(flavor = "multi_thread")]
async fn edits_and_removals_by_another_handle_survive_the_catching_up() {
    let mut world = overdue(20).await;
    world.clock.set(at("2026-01-05T08:30:00Z"));
    world.start().await;
    world.settle().await;
    let other = World::open(world.path(), world.clock.now());
    let waiting: Vec<_> = {
        let jobs = world.queue.list(ListFilter::default()).await.unwrap().jobs;
        jobs.into_iter().filter(|job| job.runs_started == 0).filter_map(|job| job.name).collect()
    };
    assert_eq!(waiting.len(), 15);
    let (edited, removed) = (&waiting[0], &waiting[1]);
    other.queue.schedule(edited, cron("0 20 * * *"), quick().priority(3)).await.unwrap();
    other.queue.remove(removed.as_str()).await.unwrap();
    for _ in 0..20 {
        world.advance(secs(5)).await;
    }
    let job = world.queue.get(edited.as_str()).await.unwrap();
    assert_eq!((job.priority, job.next_run_at), (3, Some(at("2026-01-05T20:00:00Z"))));
    assert!(world.ran(edited).await.is_empty());
    assert!(world.queue.get(removed.as_str()).await.is_err());
    assert_eq!(world.calls().len(), 18);
    world.is_sound().await;
}
