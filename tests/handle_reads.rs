//! The reads: list, get, runs, status, health; here and on the blocking face.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod stage;

use mainspring::{Backoff, Error, JobId, JobState, ListFilter, NewJob, Outcome, RequestId, RunId, Schedule};
use stage::post::post;
use stage::puppet::puppet;
use stage::*;

#[tokio::test]
async fn a_list_is_narrowed_by_each_field_and_comes_in_pages() {
    let test = queue().await;
    let ledger = Ledger::default();
    for n in 0..5 {
        test.queue().enqueue(NewJob::new(note(format!("{n}"))).queue("mail")).await.unwrap();
        test.queue().enqueue(NewJob::new(letter(format!("{n}"))).after(HOUR)).await.unwrap();
    }
    test.queue().schedule("named", Schedule::every(HOUR).unwrap(), note("x")).await.unwrap();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding()).queue("mail", 1)).await;
    drain(&test).await;

    let listed = |filter: ListFilter| async { test.queue().list(filter).await.unwrap().jobs.len() };
    let all = ListFilter::default;
    assert_eq!(listed(all()).await, 11);
    assert_eq!(listed(ListFilter { queue: Some("mail".into()), ..all() }).await, 5);
    assert_eq!(listed(ListFilter { kind: Some("note".into()), ..all() }).await, 6);
    assert_eq!(listed(ListFilter { unfinished: true, ..all() }).await, 6);
    assert_eq!(listed(ListFilter { named: true, ..all() }).await, 1);
    let narrow = ListFilter { kind: Some("note".into()), unfinished: true, ..all() };
    assert_eq!(listed(narrow).await, 1);

    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = test.queue().list(ListFilter { after, limit: 4, ..all() }).await.unwrap();
        assert!(page.jobs.len() <= 4 && page.unreadable.is_empty());
        let Some(last) = page.jobs.last() else { break };
        after = Some(last.id);
        seen.extend(page.jobs.iter().map(|job| job.id.0));
    }
    assert_eq!(seen, (1..=11).collect::<Vec<i64>>());
    end(&test, engine).await;
}

#[tokio::test]
async fn a_job_is_found_by_its_id_and_by_its_name_and_what_is_not_there_is_named() {
    let test = queue().await;
    let made = NewJob::new(note("x")).queue("mail").priority(3).timeout(MINUTE);
    let id =
        test.queue().schedule("briefing", Schedule::cron("0 9 * * *").unwrap(), made).await.unwrap().id();
    let job = test.queue().get("briefing").await.unwrap();
    assert_eq!(test.queue().get(id).await.unwrap(), job);
    assert_eq!((job.id, job.name.as_deref(), job.kind.as_str()), (id, Some("briefing"), "note"));
    assert_eq!((job.queue.as_str(), job.priority, job.policies.timeout_ms), ("mail", 3, Some(60_000)));
    assert_eq!((job.next_run_at, job.created_at), (Some(second(3_600)), second(0)));
    assert_eq!(job.state(test.clock().now()), JobState::Scheduled);

    let missing = [
        test.queue().get("briefings").await.unwrap_err(),
        test.queue().get(JobId(99)).await.unwrap_err(),
        test.queue().run(RunId(99)).await.unwrap_err(),
        test.queue().runs("briefings", 1).await.unwrap_err(),
        test.queue().misses("briefings", 1).await.unwrap_err(),
    ];
    assert!(missing.iter().all(Error::is_not_found), "{missing:?}");
    assert_eq!(missing[0].to_string(), "there is no job \"briefings\"");
    assert_eq!(test.queue().run_of("briefing", RequestId(99)).await.unwrap(), None);
}

#[tokio::test]
async fn the_newest_runs_come_first_those_by_hand_among_them() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    test.queue().schedule("job", Schedule::every(HOUR).unwrap(), note("x")).await.unwrap();
    for _ in 0..3 {
        pass(&test, HOUR).await;
        test.clock().advance(SECOND);
        test.queue().run_now("job").await.unwrap();
        drain(&test).await;
        test.clock().set(second(seconds(test.clock().now()) - 1));
    }
    let all = test.queue().runs("job", 100).await.unwrap();
    let slots: Vec<i64> = all.iter().map(|run| seconds(run.scheduled_for)).collect();
    assert_eq!(slots, [10_801, 10_800, 7_201, 7_200, 3_601, 3_600]);
    assert_eq!(test.queue().runs("job", 2).await.unwrap(), all[..2]);
    assert_eq!(test.queue().run(all[3].id).await.unwrap(), all[3]);
    assert!(all.iter().all(|run| outcome(run) == Outcome::Succeeded));
    end(&test, engine).await;
}

#[tokio::test]
async fn the_status_counts_each_thing_where_it_is() {
    let test = queue().await;
    let (worker, mut calls) = puppet();
    let (poster, mut parcels, _) = post();
    let hourly = || Schedule::every(HOUR).unwrap();
    test.queue().schedule("scheduled", hourly(), note("x")).await.unwrap();
    test.queue().schedule("paused", hourly(), note("x")).await.unwrap();
    test.queue().pause("paused", None).await.unwrap();
    test.queue().schedule("disabled", hourly(), NewJob::new(note("x")).enabled(false)).await.unwrap();
    let empty = test.queue().status().await.unwrap();
    assert_eq!((empty.scheduled, empty.ready, empty.running, empty.engines), (1, 0, 0, 0));
    assert_eq!((empty.paused, empty.disabled, empty.parked), (1, 1, 0));
    assert_eq!((empty.at, empty.next_due_at, empty.oldest_due_at), (second(0), Some(second(3_600)), None));

    let engine = start(&test, |engine| engine.handler(worker).handler(poster).queue("default", 2)).await;
    let retried = NewJob::new(letter("x")).delivery_attempts(2, Backoff::fixed(DAY));
    test.queue().enqueue(retried).await.unwrap();
    parcels.next().await.not_sent("refused");
    drain(&test).await;
    test.queue().enqueue(letter("x")).await.unwrap();
    let parcel = parcels.next().await;
    test.queue().enqueue_many((0..3).map(|_| note("x"))).await.unwrap();
    let running = [calls.next().await, calls.next().await];

    let status = test.queue().status().await.unwrap();
    assert_eq!((status.running, status.ready, status.engines), (2, 1, 1));
    assert_eq!((status.delivering, status.undelivered), (1, 1));
    assert_eq!(status.oldest_due_at, Some(second(0)));
    // As others read it.
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(
        (&json["running"], &json["nextDueAt"], &json["pausedQueues"]),
        (&2.into(), &second(3_600).millis().into(), &0.into())
    );

    parcel.accept();
    running.into_iter().for_each(|call| call.succeed("done"));
    calls.next().await.succeed("done");
    drain(&test).await;
    end(&test, engine).await;
}

#[tokio::test]
async fn health_tells_what_the_writer_does() {
    let test = queue().await;
    let health = test.queue().health().await.unwrap();
    assert_eq!((health.stalled, health.generation, health.waiting_commands), (None, 1, 0));
    assert_eq!((health.overdue, health.last_error), (0, None));
    assert!(health.since_last_tick_ms < 60_000);
    let json = serde_json::to_value(test.queue().health().await.unwrap()).unwrap();
    assert!(json["sinceLastTickMs"].is_u64() && json["stalled"].is_null(), "{json}");
}

#[tokio::test]
async fn the_blocking_face_says_and_does_the_same() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    let blocking = test.queue().blocking();
    let (first, named) = tokio::task::spawn_blocking(move || {
        let first = blocking.enqueue(note("first")).unwrap().id();
        assert_eq!(blocking.enqueue_many((0..2).map(|n| note(format!("{n}")))).unwrap().len(), 2);
        let named = blocking.schedule("named", Schedule::every(HOUR).unwrap(), note("named")).unwrap().id();
        blocking.pause("named", Some("why")).unwrap();
        assert_eq!(blocking.get("named").unwrap().pause_reason.as_deref(), Some("why"));
        blocking.resume("named").unwrap();
        blocking.run_now("named").unwrap();
        (first, named)
    })
    .await
    .unwrap();
    drain(&test).await;

    let blocking = test.queue().blocking();
    let queue = test.queue();
    assert_eq!(blocking.get(first).unwrap(), queue.get(first).await.unwrap());
    assert_eq!(blocking.runs(named, 9).unwrap(), queue.runs(named, 9).await.unwrap());
    let run = blocking.runs(first, 1).unwrap().remove(0);
    assert_eq!(blocking.run(run.id).unwrap(), run);
    assert_eq!(
        blocking.list(ListFilter::default()).unwrap().jobs,
        queue.list(ListFilter::default()).await.unwrap().jobs
    );
    assert_eq!(blocking.status().unwrap(), queue.status().await.unwrap());
    assert_eq!(blocking.health().unwrap().overdue, 0);
    assert!(blocking.doctor().unwrap().is_empty());
    assert!(matches!(blocking.retry(first), Err(Error::WrongState { .. })));
    assert!(matches!(blocking.redeliver(run.id), Err(Error::InvalidOption { .. })));
    assert!(matches!(blocking.release(run.id, false), Err(Error::ClaimLost(_))));
    assert!(blocking.remove("named").unwrap().is_empty());
    assert_eq!(ledger.len(), 4);
    end(&test, engine).await;
}

#[tokio::test]
async fn a_closed_queue_takes_nothing_more_and_can_still_be_read() {
    let test = queue().await;
    let job = test.queue().enqueue(note("x")).await.unwrap().id();
    test.queue().close().await.unwrap();
    assert!(matches!(test.queue().enqueue(note("y")).await, Err(Error::Closed)));
    assert!(matches!(test.queue().pause(job, None).await, Err(Error::Closed)));
    assert_eq!(test.queue().get(job).await.unwrap().id, job);
    // The file is free for the next one.
    let again = test.reopen().unwrap();
    again.enqueue(note("y")).await.unwrap();
    is_sound(&again).await;
}
