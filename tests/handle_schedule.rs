//! Schedule: declaring a job under a name, again and again.
#![allow(
    clippy::type_complexity,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod stage;

use mainspring::plan::{CatchUp, MissReason, Overlap, Trigger};
use mainspring::{Backoff, Error, JobState, NewJob, OnInterrupt, OnUnknownDelivery, Schedule, Scheduled};
use stage::puppet::puppet;
use stage::*;

fn hourly() -> Schedule {
    Schedule::cron("0 * * * *").unwrap()
}

#[tokio::test]
async fn declaring_a_job_says_whether_it_was_made_changed_or_as_declared() {
    let test = queue().await;
    let declare = |job: NewJob<Note>| test.queue().schedule("job", hourly(), job);
    let created = declare(NewJob::new(note("a"))).await.unwrap();
    let unchanged = declare(NewJob::new(note("a"))).await.unwrap();
    let changed = declare(NewJob::new(note("b"))).await.unwrap();
    let id = created.id();
    assert_eq!(
        [created, unchanged, changed],
        [Scheduled::Created(id), Scheduled::Unchanged(id), Scheduled::Changed(id)]
    );
    is_sound(test.queue()).await;
}

/// Every option is compared, and none of them moves the next time.
#[tokio::test]
async fn each_option_that_differs_is_a_change_that_leaves_the_next_time_alone() {
    let new = || NewJob::new(note("job"));
    let options: Vec<(&str, fn(NewJob<Note>) -> NewJob<Note>)> = vec![
        ("queue", |job| job.queue("other")),
        ("priority", |job| job.priority(1)),
        ("timeout", |job| job.timeout(MINUTE)),
        ("grace", |job| job.grace(MINUTE)),
        ("max_attempts", |job| job.max_attempts(2)),
        ("backoff", |job| job.backoff(Backoff::fixed(MINUTE))),
        ("delivery_attempts", |job| job.delivery_attempts(2, Backoff::default())),
        ("delivery_backoff", |job| job.delivery_attempts(10, Backoff::fixed(MINUTE))),
        ("delivery_timeout", |job| job.delivery_timeout(SECOND)),
        ("deliver_within", |job| job.deliver_within(HOUR)),
        ("catch_up", |job| job.catch_up(CatchUp::skip())),
        ("catch_up window", |job| job.catch_up(CatchUp::latest().within(HOUR))),
        ("overlap", |job| job.overlap(Overlap::QueueOne)),
        ("overlap bound", |job| job.overlap(Overlap::Allow(2))),
        ("expires_at", |job| job.expires_at(second(1_000_000))),
        ("on_interrupt", |job| job.on_interrupt(OnInterrupt::Rerun)),
        ("on_unknown_delivery", |job| job.on_unknown_delivery(OnUnknownDelivery::Resend)),
        ("park_after_failures", |job| job.park_after_failures(3)),
        ("enabled", |job| job.enabled(false)),
        ("args", |_| NewJob::new(note("another"))),
    ];
    let test = queue().await;
    for (name, option) in options {
        let declare = |job: NewJob<Note>| test.queue().schedule(name, hourly(), job);
        let id = declare(new()).await.unwrap().id();
        let before = test.queue().get(id).await.unwrap();
        assert_eq!(declare(option(new())).await.unwrap(), Scheduled::Changed(id), "{name}");
        let after = test.queue().get(id).await.unwrap();
        assert_eq!((after.revision, after.next_run_at), (2, before.next_run_at), "{name}");
        assert_eq!(after.schedule_activated_at, before.schedule_activated_at, "{name}");
        assert_eq!(declare(option(new())).await.unwrap(), Scheduled::Unchanged(id), "{name}");
        assert_eq!(test.queue().get(id).await.unwrap(), after, "{name}");
        assert_eq!(declare(new()).await.unwrap(), Scheduled::Changed(id), "{name}, and back");
    }
    is_sound(test.queue()).await;
}

/// Schedules whose text leaves something to the moment of storing are the same when they are declared later.
#[tokio::test]
async fn a_schedule_declared_again_later_is_the_same_schedule() {
    let schedules = [
        ("every", Schedule::every(HOUR).unwrap()),
        ("after each", Schedule::after_each(HOUR).unwrap()),
        ("after", Schedule::after(HOUR)),
        ("at", Schedule::at(second(3_600))),
        ("cron", hourly().in_tz("Europe/Berlin".parse().unwrap())),
    ];
    let test = queue().await;
    for (name, schedule) in &schedules {
        test.queue().schedule(name, schedule.clone(), note("x")).await.unwrap();
    }
    test.clock().advance(17 * MINUTE);
    for (name, schedule) in schedules {
        let before = test.queue().get(name).await.unwrap();
        let again = test.queue().schedule(name, schedule, note("x")).await.unwrap();
        assert_eq!(again, Scheduled::Unchanged(before.id), "{name}");
        assert_eq!(test.queue().get(name).await.unwrap(), before, "{name}");
    }
}

#[tokio::test]
async fn another_schedule_takes_effect_at_once_and_has_no_past() {
    let test = queue().await;
    let ledger = Ledger::default();
    test.queue().schedule("job", hourly(), note("x")).await.unwrap();
    // Two occurrences pass and nobody is there; then the schedule is another one.
    test.clock().advance(2 * HOUR + 30 * MINUTE);
    let half_past = Schedule::cron("45 * * * *").unwrap();
    let changed = test.queue().schedule("job", half_past, note("x")).await.unwrap();
    assert!(matches!(changed, Scheduled::Changed(_)));
    let job = test.queue().get("job").await.unwrap();
    assert_eq!((job.next_run_at, job.schedule_activated_at), (Some(second(9_900)), second(9_000)));

    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    drain(&test).await;
    assert!(ledger.entries().is_empty(), "nothing of the old schedule is caught up, nor of the new one");
    pass(&test, 15 * MINUTE).await;
    assert_eq!(ledger.slots(), [9_900]);
    // What the old schedule left is on record.
    let misses = test.queue().misses("job", 10).await.unwrap();
    assert_eq!(
        misses.iter().map(|miss| (seconds(miss.from), seconds(miss.to), miss.reason)).collect::<Vec<_>>(),
        [(3_600, 7_200, MissReason::Downtime)]
    );
    end(&test, engine).await;
}

#[tokio::test]
async fn what_was_paused_stays_paused_when_it_is_declared_again() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    test.queue().schedule("job", hourly(), note("x")).await.unwrap();
    test.queue().pause("job", Some("the channel is closed")).await.unwrap();
    let declarations = [
        (hourly(), NewJob::new(note("x"))),
        (hourly(), NewJob::new(note("y")).priority(5)),
        (Schedule::every(MINUTE).unwrap(), NewJob::new(note("z"))),
        (Schedule::every(MINUTE).unwrap(), NewJob::new(note("z")).enabled(true)),
    ];
    for (schedule, job) in declarations {
        test.queue().schedule("job", schedule, job).await.unwrap();
        let job = test.queue().get("job").await.unwrap();
        assert_eq!(
            (job.paused_at, job.pause_reason.as_deref()),
            (Some(second(0)), Some("the channel is closed"))
        );
        assert_eq!(job.state(test.clock().now()), JobState::Paused);
    }
    pass(&test, DAY).await;
    assert!(ledger.entries().is_empty());
    end(&test, engine).await;
}

/// Each start of the application declared its jobs, and what was overdue then was moved on instead of run.
#[tokio::test]
async fn what_is_overdue_stays_overdue_when_it_is_declared_again() {
    let test = queue().await;
    let ledger = Ledger::default();
    test.queue().schedule("same", hourly(), note("same")).await.unwrap();
    test.queue().schedule("described anew", hourly(), note("old")).await.unwrap();
    test.clock().advance(HOUR + 5 * MINUTE);

    let same = test.queue().schedule("same", hourly(), note("same")).await.unwrap();
    let anew = test
        .queue()
        .schedule("described anew", hourly(), NewJob::new(note("new")).priority(1))
        .await
        .unwrap();
    assert!(matches!((same, anew), (Scheduled::Unchanged(_), Scheduled::Changed(_))));
    for name in ["same", "described anew"] {
        assert_eq!(test.queue().get(name).await.unwrap().next_run_at, Some(second(3_600)));
    }

    let engine = start(&test, |engine| engine.handler(ledger.succeeding()).queue("default", 1)).await;
    drain(&test).await;
    assert_eq!((ledger.texts(), ledger.slots()), (vec!["new".to_owned(), "same".to_owned()], vec![3_600; 2]));
    assert!(ledger.entries().iter().all(|entry| entry.trigger == Trigger::CatchUp));
    end(&test, engine).await;
}

#[tokio::test]
async fn a_one_shot_that_is_over_runs_again_only_for_another_instant() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    let declare = |at: i64| test.queue().schedule("once", Schedule::at(second(at)), note("x"));
    declare(60).await.unwrap();
    pass(&test, HOUR).await;
    assert!(matches!(declare(60).await.unwrap(), Scheduled::Unchanged(_)));
    pass(&test, HOUR).await;
    assert_eq!(ledger.slots(), [60]);
    assert!(matches!(declare(9_000).await.unwrap(), Scheduled::Changed(_)));
    pass(&test, HOUR).await;
    assert_eq!(ledger.slots(), [60, 9_000]);
    end(&test, engine).await;
}

#[tokio::test]
async fn a_name_stands_for_one_kind() {
    let test = queue().await;
    test.queue().schedule("job", hourly(), note("x")).await.unwrap();
    let refused = test.queue().schedule("job", hourly(), letter("x")).await;
    assert!(
        matches!(&refused, Err(Error::NameHasOtherKind { name, found, wanted })
            if (name.as_str(), found.as_str(), wanted.as_str()) == ("job", "note", "letter")),
        "{refused:?}"
    );
    test.queue().remove("job").await.unwrap();
    assert!(matches!(
        test.queue().schedule("job", hourly(), letter("x")).await.unwrap(),
        Scheduled::Created(_)
    ));
}

#[tokio::test]
async fn fewer_runs_may_overlap_only_once_the_open_ones_have_ended() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let declare = |overlap| {
        let job = NewJob::new(note("x")).overlap(overlap);
        test.queue().schedule("job", Schedule::every(MINUTE).unwrap(), job)
    };
    declare(Overlap::Allow(3)).await.unwrap();
    let mut open = Vec::new();
    for _ in 0..2 {
        test.clock().advance(MINUTE);
        open.push(calls.next().await);
    }
    let refused = declare(Overlap::Skip).await;
    assert!(matches!(refused, Err(Error::WrongState { .. })), "{refused:?}");
    assert!(matches!(declare(Overlap::Allow(2)).await.unwrap(), Scheduled::Changed(_)));
    open.into_iter().for_each(|call| call.succeed("done"));
    drain(&test).await;
    assert!(matches!(declare(Overlap::Skip).await.unwrap(), Scheduled::Changed(_)));
    end(&test, engine).await;
}

#[tokio::test]
async fn a_disabled_job_runs_once_its_declaration_enables_it() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    test.queue().schedule("job", hourly(), NewJob::new(note("x")).enabled(false)).await.unwrap();
    pass(&test, 30 * MINUTE).await;
    test.queue().schedule("job", hourly(), NewJob::new(note("x"))).await.unwrap();
    pass(&test, 30 * MINUTE).await;
    assert_eq!(ledger.slots(), [3_600]);
    end(&test, engine).await;
}
