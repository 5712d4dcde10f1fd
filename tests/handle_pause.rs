//! Pause, resume, run now, backfill: what an operator does with the times of a job.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod stage;

use std::path::PathBuf;

use mainspring::plan::{MissReason, Overlap, Trigger};
use mainspring::{
    Backoff, Engine, Error, Failure, JobState, NewJob, OpenOptions, Outcome, Queue, RequestId, Schedule,
};
use stage::child::{self, Child};
use stage::puppet::puppet;
use stage::*;

#[test]
#[ignore = "a child of the tests in this file"]
fn a_child_plays_its_part() {
    child::play(|part, path| match part {
        "asks for runs" => ask_for_runs(path),
        other => panic!("there is no part {other:?}"),
    });
}

fn hourly() -> Schedule {
    Schedule::cron("0 * * * *").unwrap()
}

// ---- pause and resume

#[tokio::test]
async fn a_paused_job_does_not_run_and_what_it_missed_is_on_record_and_not_made_up_for() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    test.queue().schedule("job", hourly(), note("x")).await.unwrap();
    pass(&test, HOUR).await;
    test.queue().pause("job", Some("holidays")).await.unwrap();
    let paused = test.queue().get("job").await.unwrap();
    assert_eq!(paused.state(test.clock().now()), JobState::Paused);
    assert_eq!((paused.paused_at, paused.pause_reason.as_deref()), (Some(second(3_600)), Some("holidays")));
    pass(&test, 3 * HOUR + 30 * MINUTE).await;
    assert_eq!(ledger.len(), 1);

    test.queue().resume("job").await.unwrap();
    drain(&test).await;

    let job = test.queue().get("job").await.unwrap();
    assert_eq!((job.paused_at, job.pause_reason, job.next_run_at), (None, None, Some(second(5 * 3_600))));
    let misses = test.queue().misses("job", 10).await.unwrap();
    let range =
        |miss: &mainspring::plan::Miss| (seconds(miss.from), seconds(miss.to), miss.occurrences, miss.reason);
    assert_eq!(misses.iter().map(range).collect::<Vec<_>>(), [(7_200, 14_400, 3, MissReason::Paused)]);
    pass(&test, HOUR).await;
    assert_eq!(ledger.slots(), [3_600, 18_000]);
    end(&test, engine).await;
}

#[tokio::test]
async fn pausing_twice_is_pausing_once_and_resuming_what_runs_is_nothing() {
    let test = queue().await;
    test.queue().schedule("job", hourly(), note("x")).await.unwrap();
    let before = test.queue().get("job").await.unwrap();
    test.queue().resume("job").await.unwrap();
    assert_eq!(test.queue().get("job").await.unwrap(), before);
    test.queue().pause("job", Some("first")).await.unwrap();
    test.clock().advance(MINUTE);
    test.queue().pause("job", Some("second")).await.unwrap();
    let job = test.queue().get("job").await.unwrap();
    assert_eq!((job.paused_at, job.pause_reason.as_deref()), (Some(second(0)), Some("second")));
    test.queue().resume("job").await.unwrap();
    assert_eq!(test.queue().get("job").await.unwrap().state(test.clock().now()), JobState::Scheduled);
    for missing in [test.queue().pause("no such job", None).await, test.queue().resume("no such job").await] {
        assert!(missing.unwrap_err().is_not_found());
    }
    is_sound(test.queue()).await;
}

#[tokio::test]
async fn a_one_shot_whose_time_came_while_it_was_paused_runs_when_it_is_resumed() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    let job = test.queue().enqueue(NewJob::new(note("reminder")).after(HOUR)).await.unwrap().id();
    test.queue().pause(job, None).await.unwrap();
    pass(&test, 30 * DAY).await;
    assert!(ledger.entries().is_empty());
    test.queue().resume(job).await.unwrap();
    drain(&test).await;
    assert_eq!(ledger.slots(), [3_600]);
    end(&test, engine).await;
}

#[tokio::test]
async fn a_run_that_is_open_goes_on_when_its_job_is_paused() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    test.queue()
        .schedule("job", hourly(), NewJob::new(note("x")).backoff(Backoff::fixed(MINUTE)))
        .await
        .unwrap();
    test.clock().advance(HOUR);
    let call = calls.next().await;
    test.queue().pause("job", None).await.unwrap();
    assert!(!call.cx.is_cancelled());
    call.fail("no luck");
    drain(&test).await;
    // Its next attempt waits for the resumption, and comes with it.
    pass(&test, 10 * MINUTE).await;
    assert!(calls.is_empty());
    test.queue().resume("job").await.unwrap();
    let call = calls.next().await;
    assert_eq!((call.cx.attempt(), seconds(call.cx.scheduled_for())), (2, 3_600));
    call.succeed("done");
    drain(&test).await;
    end(&test, engine).await;
}

#[tokio::test]
async fn a_paused_queue_holds_back_all_its_jobs_and_no_others() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine =
        start(&test, |engine| engine.handler(ledger.succeeding()).queue("mail", 1).queue("other", 1)).await;
    test.queue().pause_queue("mail", None).await.unwrap();
    let mail = test.queue().enqueue(NewJob::new(note("mail")).queue("mail")).await.unwrap().id();
    test.queue().enqueue(NewJob::new(note("other")).queue("other")).await.unwrap();
    until("the other queue goes on", || async { ledger.len() == 1 }).await;
    // What a person asks for waits, too: it is the queue that is held.
    test.queue().run_now(mail).await.unwrap();
    test.queue().enqueue(NewJob::new(note("other")).queue("other")).await.unwrap();
    until("the other queue goes on", || async { ledger.len() == 2 }).await;
    test.queue().resume_queue("mail").await.unwrap();
    drain(&test).await;
    assert_eq!(ledger.texts(), ["other", "other", "mail", "mail"]);
    end(&test, engine).await;
}

// ---- run now

#[tokio::test]
async fn a_run_that_was_asked_for_comes_at_once_and_the_schedule_keeps_its_times() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    test.queue().schedule("job", hourly(), note("x")).await.unwrap();
    test.clock().advance(10 * MINUTE);
    let request = test.queue().run_now("job").await.unwrap();
    drain(&test).await;
    let run = test.queue().run_of("job", request).await.unwrap().unwrap();
    assert_eq!(
        (run.trigger, seconds(run.scheduled_for), outcome(&run)),
        (Trigger::Manual, 600, Outcome::Succeeded)
    );
    assert_eq!(test.queue().get("job").await.unwrap().next_run_at, Some(second(3_600)));
    pass(&test, 50 * MINUTE).await;
    assert_eq!(ledger.slots(), [600, 3_600]);
    end(&test, engine).await;
}

#[tokio::test]
async fn a_job_that_is_held_or_over_runs_when_it_is_asked_for_and_stays_what_it_was() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    test.queue().schedule("paused", hourly(), note("paused")).await.unwrap();
    test.queue().pause("paused", None).await.unwrap();
    test.queue().schedule("disabled", hourly(), NewJob::new(note("disabled")).enabled(false)).await.unwrap();
    test.queue().schedule("over", Schedule::at(second(0)), note("over")).await.unwrap();
    drain(&test).await;
    for (name, state) in
        [("paused", JobState::Paused), ("disabled", JobState::Disabled), ("over", JobState::Finished)]
    {
        let before = test.queue().get(name).await.unwrap();
        assert_eq!(before.state(test.clock().now()), state, "{name}");
        test.queue().run_now(name).await.unwrap();
        drain(&test).await;
        let after = test.queue().get(name).await.unwrap();
        assert_eq!(after.state(test.clock().now()), state, "{name}");
        assert_eq!(after.next_run_at, before.next_run_at, "{name}");
        assert_eq!((after.requests, after.last_outcome), (0, Some(Outcome::Succeeded)), "{name}");
    }
    assert_eq!(ledger.texts(), ["over", "paused", "disabled", "over"]);
    pass(&test, DAY).await;
    assert_eq!(ledger.len(), 4);
    end(&test, engine).await;
}

fn ask_for_runs(path: PathBuf) {
    let queue = Queue::open_blocking(&OpenOptions::new(path)).unwrap().blocking();
    for _ in 0.. {
        child::say(format!("asked {}", queue.run_now("job").unwrap()));
    }
}

/// An acknowledged run by hand was lost with the process that had acknowledged it.
#[tokio::test]
async fn a_run_that_was_acknowledged_is_run_though_the_process_was_killed_right_after() {
    let test = queue_for_children().await;
    let job = NewJob::new(note("job")).overlap(Overlap::QueueOne);
    test.queue().schedule("job", Schedule::every(DAY).unwrap(), job).await.unwrap();
    let mut asked = Vec::new();
    for _ in 0..3 {
        let child = Child::start(test.queue().path(), "asks for runs");
        let first = child.hear_of("asked");
        let rest = child.kill();
        let rest = rest.iter().filter_map(|line| line.strip_prefix("asked ").map(str::to_owned));
        asked.extend([first].into_iter().chain(rest));
    }
    // The children's clock went on.
    test.clock().advance(HOUR);
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    drain(&test).await;
    for request in asked {
        let request = RequestId(request.parse().unwrap());
        let run = test.queue().run_of("job", request).await.unwrap().unwrap();
        assert_eq!(outcome(&run), Outcome::Succeeded);
    }
    end(&test, engine).await;
}

#[tokio::test]
async fn a_run_by_hand_of_a_job_that_may_queue_waits_for_the_open_one() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = NewJob::new(note("x")).overlap(Overlap::QueueOne);
    test.queue().schedule("job", hourly(), job).await.unwrap();
    test.clock().advance(HOUR);
    let own = calls.next().await;
    let requests = [test.queue().run_now("job").await.unwrap(), test.queue().run_now("job").await.unwrap()];
    assert_eq!(test.queue().get("job").await.unwrap().requests, 2);
    assert_eq!(test.queue().run_of("job", requests[0]).await.unwrap(), None);
    own.succeed("done");
    for request in requests {
        let call = calls.next().await;
        assert_eq!(test.queue().run_of("job", request).await.unwrap().unwrap().id, call.cx.run_id());
        call.succeed("done");
    }
    drain(&test).await;
    assert_eq!(test.queue().get("job").await.unwrap().next_run_at, Some(second(7_200)));
    end(&test, engine).await;
}

#[tokio::test]
async fn a_run_by_hand_that_fails_is_tried_again_under_its_own_key_beside_the_schedule() {
    let test = queue().await;
    let ledger = Ledger::default();
    let handler =
        ledger.answering(|before| if before == 0 { Err(Failure::new("no luck")) } else { Ok("".into()) });
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = NewJob::new(note("x")).backoff(Backoff::fixed(MINUTE));
    test.queue().schedule("job", hourly(), job).await.unwrap();
    let request = test.queue().run_now("job").await.unwrap();
    drain(&test).await;
    assert_eq!(test.queue().get("job").await.unwrap().next_run_at, Some(second(60)));
    pass(&test, MINUTE).await;
    let entries = ledger.entries();
    assert_eq!((entries.len(), entries[1].attempt, &entries[1].key), (2, 2, &entries[0].key));
    let run = test.queue().run_of("job", request).await.unwrap().unwrap();
    assert_eq!((run.attempt, outcome(&run)), (2, Outcome::Succeeded));
    assert_eq!(test.queue().get("job").await.unwrap().next_run_at, Some(second(3_600)));
    end(&test, engine).await;
}

// ---- backfill

#[tokio::test]
async fn a_past_range_is_run_on_request_and_no_occurrence_of_it_twice() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    test.queue().schedule("job", hourly(), note("x")).await.unwrap();
    pass(&test, HOUR).await;
    test.queue().pause("job", None).await.unwrap();
    pass(&test, 4 * HOUR + MINUTE).await;
    test.queue().resume("job").await.unwrap();

    assert_eq!(test.queue().backfill("job", second(0), second(5 * 3_600)).await.unwrap(), 5);
    drain(&test).await;
    assert_eq!(test.queue().backfill("job", second(0), second(5 * 3_600)).await.unwrap(), 0);
    drain(&test).await;

    let mut slots = ledger.slots();
    slots.sort_unstable();
    // The occurrence at 0 is one of the schedule, though from before it was declared.
    assert_eq!(slots, [0, 3_600, 7_200, 10_800, 14_400, 18_000]);
    let refused = test.queue().backfill("job", second(0), second(10 * 3_600)).await;
    assert!(matches!(refused, Err(Error::InvalidOption { option: "to", .. })), "{refused:?}");
    // What was missed and is run on request is no contradiction.
    engine.shutdown(PATIENCE).await.unwrap();
    let once = test.queue().enqueue(note("once")).await.unwrap().id();
    let refused = test.queue().backfill(once, second(0), second(1)).await;
    assert!(matches!(refused, Err(Error::WrongState { .. })), "{refused:?}");
    is_sound(test.queue()).await;
}

/// A pause of an engine without a queue to serve, and a resumption by a process that has none: rows are enough.
#[tokio::test]
async fn pausing_and_resuming_need_no_engine() {
    let test = queue().await;
    test.queue().schedule("job", hourly(), note("x")).await.unwrap();
    let other = test.reopen().unwrap();
    other.pause("job", None).await.unwrap();
    test.clock().advance(2 * HOUR);
    other.resume("job").await.unwrap();
    let ledger = Ledger::default();
    let engine = Engine::builder(other).handler(ledger.succeeding()).build().unwrap().start().await.unwrap();
    drain(&test).await;
    assert!(ledger.entries().is_empty());
    pass(&test, HOUR).await;
    assert_eq!(ledger.slots(), [3 * 3_600]);
    engine.shutdown(PATIENCE).await.unwrap();
    is_sound(test.queue()).await;
}
