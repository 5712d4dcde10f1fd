//! Rows that no library writes: each is named and parked, and the others go on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod stage;

use std::path::PathBuf;

use mainspring::schedule::Calendar;
use mainspring::testing::TestQueue;
use mainspring::{
    Delivery, Engine, Error, ErrorClass, Failure, JobId, JobState, ListFilter, NewJob, Outcome, Queue,
    RunContext, Schedule,
};
use stage::child::{self, Child};
use stage::post::post;
use stage::puppet::puppet;
use stage::*;

#[test]
#[ignore = "a child of the tests in this file"]
fn a_child_plays_its_part() {
    child::play(|part, path| match part {
        "runs until it is killed" => run_until_killed(path),
        other => panic!("there is no part {other:?}"),
    });
}

fn run_until_killed(path: PathBuf) {
    child::end_with_the_test();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let handler = |_: Note, _: RunContext| async {
            child::say("runs");
            std::future::pending::<Result<(), Failure>>().await
        };
        let engine = Engine::builder(Queue::open(&path).await.unwrap()).handler(handler).queue("default", 8);
        let _engine = engine.build().unwrap().start().await.unwrap();
        std::future::pending::<()>().await;
    });
}

fn edit(test: &TestQueue, job: JobId, set: &str) {
    let changed = by_hand(test.queue().path())
        .execute(&format!("UPDATE mainspring_jobs SET {set} WHERE id = {job}"), [])
        .unwrap_or_else(|error| panic!("{set}: {error}"));
    assert_eq!(changed, 1);
}

/// What the job's row says of its parking, past the library, which may not be able to read the row.
fn park_reason(test: &TestQueue, job: JobId) -> Option<String> {
    value(test.queue().path(), &format!("SELECT park_reason FROM mainspring_jobs WHERE id = {job}"))
}

/// Edits that the schema lets through, for a job that waits. Each with the column that is to be named.
const EDITS: &[(&str, &str)] = &[
    ("args = CAST(x'22ff22' AS TEXT)", "args"),
    ("name = CAST(x'ff' AS TEXT)", "name"),
    ("policies = '7'", "policies"),
    ("policies = '{\"timeout\":5}'", "policies"),
    ("policies = '{\"max_attempts\":-1}'", "policies"),
    ("policies = CAST(x'22ff22' AS TEXT)", "policies"),
    ("schedule_text = 'every now and then'", "schedule_text"),
    ("schedule_text = '0 0 30 2 *'", "schedule_text"),
    ("time_zone = 'Europe/Atlantis'", "schedule_text"),
    ("gap = 'perhaps'", "schedule_text"),
    ("attempt = 99999999999", "attempt"),
    ("runs_started = -1", "runs_started"),
    ("failed_attempts = -1", "failed_attempts"),
    ("max_open_runs = 99999999999, overlap = 'allow'", "max_open_runs"),
];

#[tokio::test]
async fn a_row_that_cannot_be_read_is_parked_with_its_column_and_all_others_run() {
    let test = queue().await;
    let declare = |n: usize| {
        let queue = test.queue();
        async move {
            queue
                .schedule(&format!("job {n}"), Schedule::cron("0 * * * *").unwrap(), note("x"))
                .await
                .unwrap()
                .id()
        }
    };
    let mut broken = Vec::new();
    for (n, (set, column)) in EDITS.iter().enumerate() {
        let job = declare(n).await;
        edit(&test, job, set);
        broken.push((job, *set, *column));
    }
    // Behind them all, and with the lowest priority.
    let fine = test
        .queue()
        .schedule("fine", Schedule::cron("0 * * * *").unwrap(), NewJob::new(note("fine")).priority(-1000))
        .await
        .unwrap()
        .id();
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding()).queue("default", 1)).await;

    pass(&test, HOUR).await;

    assert_eq!(ledger.texts(), ["fine"]);
    for (job, set, column) in broken {
        let reason = park_reason(&test, job).unwrap_or_else(|| panic!("{set}: not parked"));
        let named = format!("mainspring_jobs row {job}, column \"{column}\": ");
        assert!(reason.starts_with(&named), "{set}: {reason}");
    }
    let status = test.queue().status().await.unwrap();
    assert_eq!((status.parked as usize, status.ready), (EDITS.len(), 0));
    let list = test.queue().list(ListFilter::default()).await.unwrap();
    assert_eq!(
        (list.jobs.len() + list.unreadable.len(), list.jobs.last().unwrap().id),
        (EDITS.len() + 1, fine)
    );
    pass(&test, HOUR).await;
    assert_eq!(ledger.len(), 2);
    end(&test, engine).await;
}

#[tokio::test]
async fn a_job_that_was_put_right_goes_on_once_it_is_resumed() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    let job =
        test.queue().schedule("job", Schedule::cron("0 * * * *").unwrap(), note("x")).await.unwrap().id();
    edit(&test, job, "schedule_text = '61 * * * *'");
    pass(&test, HOUR).await;
    assert!(park_reason(&test, job).is_some());
    // As long as nobody has, it stays parked, and says so.
    assert!(matches!(test.queue().resume(job).await, Err(Error::MalformedRow { .. })));
    edit(&test, job, "schedule_text = '0 * * * *'");
    test.queue().resume("job").await.unwrap();
    pass(&test, HOUR).await;
    assert_eq!(ledger.slots(), [7_200]);
    end(&test, engine).await;
}

/// What cannot be read can be removed, by its name as well, so that the application can declare it anew.
#[tokio::test]
async fn a_job_that_cannot_be_read_can_be_paused_and_removed() {
    let test = queue().await;
    let declare = || test.queue().schedule("job", Schedule::cron("0 * * * *").unwrap(), note("x"));
    let job = declare().await.unwrap().id();
    edit(&test, job, "schedule_text = '61 * * * *'");
    assert!(matches!(test.queue().get("job").await, Err(Error::MalformedRow { .. })));
    assert!(test.queue().runs("job", 1).await.unwrap().is_empty());
    assert!(test.queue().misses("job", 1).await.unwrap().is_empty());
    test.queue().pause("job", None).await.unwrap();
    test.queue().cancel("job").await.unwrap();
    test.queue().remove("job").await.unwrap();
    assert!(declare().await.unwrap().id() != job);
    is_sound(test.queue()).await;
}

#[tokio::test]
async fn arguments_of_another_shape_park_the_job_and_no_attempt_is_wasted_on_them() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    let job = test.queue().enqueue(NewJob::new(note("x")).after(HOUR)).await.unwrap().id();
    edit(&test, job, "args = '{\"txet\":1}'");
    test.queue().enqueue(NewJob::new(note("fine")).after(HOUR)).await.unwrap();
    pass(&test, HOUR).await;
    assert_eq!(ledger.texts(), ["fine"]);
    let reason = park_reason(&test, job).unwrap();
    assert!(reason.starts_with("column \"args\": ") && reason.contains("text"), "{reason}");
    let completion = runs(test.queue(), job).await.remove(0).completion.unwrap();
    assert_eq!((completion.outcome, completion.error_class), (Outcome::Failed, Some(ErrorClass::Malformed)));
    // Put right, it gets its attempt.
    edit(&test, job, "args = '{\"text\":\"right\"}'");
    test.queue().retry(job).await.unwrap();
    drain(&test).await;
    assert_eq!(ledger.texts(), ["fine", "right"]);
    end(&test, engine).await;
}

#[tokio::test]
async fn policies_that_cannot_be_read_park_a_one_shot_before_its_handler_is_called() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    let job = test.queue().enqueue(NewJob::new(note("x")).after(HOUR)).await.unwrap().id();
    edit(&test, job, "policies = '{\"max_atempts\":3}'");
    pass(&test, HOUR).await;
    assert!(ledger.entries().is_empty());
    let reason = park_reason(&test, job).unwrap();
    assert!(reason.starts_with("column \"policies\": ") && reason.contains("max_atempts"), "{reason}");
    end(&test, engine).await;
}

/// Edits that the schema lets through while the job runs.
const EDITS_OF_A_RUNNING_JOB: &[&str] = &[
    "policies = CAST(x'22ff22' AS TEXT)",
    "policies = '7'",
    "args = CAST(x'22ff22' AS TEXT)",
    "schedule_kind = 'cron', schedule_text = 'every now and then'",
    "failures_in_a_row = -1",
    "interruptions_in_a_row = -1",
    "runs_started = -1",
    "failed_attempts = -1",
    "attempt = 99999999999",
];

/// A run could not be ended, since a column of its job could not be read: it stayed open for ever, and each look at
/// it failed.
#[tokio::test]
async fn a_run_whose_job_became_unreadable_ends_all_the_same() {
    for set in EDITS_OF_A_RUNNING_JOB {
        for succeeds in [true, false] {
            let test = queue().await;
            let (handler, mut calls) = puppet();
            let engine = start(&test, |engine| engine.handler(handler)).await;
            let job = test.queue().enqueue(NewJob::new(note("x")).max_attempts(1)).await.unwrap().id();
            let call = calls.next().await;
            edit(&test, job, set);
            if succeeds {
                call.succeed("done")
            } else {
                call.fail("no luck")
            };
            test.queue().enqueue(note("another")).await.unwrap();
            calls.next().await.succeed("done");
            drain(&test).await;
            let wanted = if succeeds { Outcome::Succeeded } else { Outcome::Failed };
            assert_eq!(outcomes(test.queue(), job).await, [wanted], "{set}");
            end(&test, engine).await;
        }
    }
}

/// A calendar stands in a row of its own, which may be edited as well.
#[tokio::test]
async fn a_calendar_that_cannot_be_read_parks_the_jobs_that_name_it_and_ends_their_runs() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    test.queue().store_calendar("holidays", Calendar::default()).await.unwrap();
    for name in ["job", "removed"] {
        let schedule = Schedule::every(HOUR).unwrap().excluding("holidays");
        test.queue().schedule(name, schedule, note(name)).await.unwrap();
    }
    test.clock().advance(HOUR);
    let open = [calls.next().await, calls.next().await];
    let changed =
        by_hand(test.queue().path()).execute("UPDATE mainspring_calendars SET definition = '7'", []);
    assert_eq!(changed, Ok(1));
    // The next occurrence comes while they run.
    test.clock().advance(HOUR);
    open.into_iter().for_each(|call| call.succeed("done"));
    drain(&test).await;
    assert_eq!(outcomes(test.queue(), "job").await, [Outcome::Succeeded]);
    test.clock().advance(HOUR);
    let job = test.queue().get("job").await.unwrap();
    until("it is parked", || std::future::ready(park_reason(&test, job.id).is_some())).await;
    let reason = park_reason(&test, job.id).unwrap();
    assert!(reason.contains("mainspring_calendars") && reason.contains("holidays"), "{reason}");
    drain(&test).await;
    test.queue().remove("removed").await.unwrap();
    test.queue().enqueue(note("another")).await.unwrap();
    calls.next().await.succeed("done");
    drain(&test).await;
    // Put right, they go on.
    test.queue().store_calendar("holidays", Calendar::default()).await.unwrap();
    test.queue().resume("job").await.unwrap();
    test.clock().advance(HOUR);
    calls.next().await.succeed("done");
    drain(&test).await;
    end(&test, engine).await;
}

/// The same for what a dead owner left: recovery failed at the first such row, again and again, and with it every
/// call of an application that had done nothing wrong.
#[tokio::test]
async fn recovery_settles_the_runs_of_unreadable_jobs_and_goes_on() {
    let test = queue_for_children().await;
    let mut jobs = Vec::new();
    for _ in EDITS_OF_A_RUNNING_JOB {
        jobs.push(test.queue().enqueue(note("x")).await.unwrap().id());
    }
    let fine = test.queue().enqueue(NewJob::new(note("fine")).priority(-1)).await.unwrap().id();
    let child = Child::start(test.queue().path(), "runs until it is killed");
    for _ in 0..8 {
        child.hear_of("runs");
    }
    for (job, set) in jobs.iter().zip(EDITS_OF_A_RUNNING_JOB) {
        edit(&test, *job, set);
    }
    child.kill();

    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    until("the dead owner was settled", || async { test.queue().status().await.unwrap().engines == 1 }).await;
    drain(&test).await;

    assert_eq!(outcomes(test.queue(), fine).await, [Outcome::Succeeded]);
    for (job, set) in jobs.iter().zip(EDITS_OF_A_RUNNING_JOB).take(8) {
        assert_eq!(outcomes(test.queue(), *job).await[0], Outcome::Interrupted, "{set}");
    }
    assert_eq!(test.queue().health().await.unwrap().last_error, None);
    end(&test, engine).await;
}

/// An output was promised: that its job cannot be read any more is no reason not to deliver it.
#[tokio::test]
async fn an_output_is_delivered_although_the_policies_of_its_job_cannot_be_read() {
    for set in ["policies = '7'", "policies = CAST(x'22ff22' AS TEXT)", "name = CAST(x'ff' AS TEXT)"] {
        let test = queue().await;
        let (handler, mut parcels, _) = post();
        let engine = start(&test, |engine| engine.handler(handler)).await;
        let job = NewJob::new(letter("text")).delivery_attempts(3, mainspring::Backoff::fixed(MINUTE));
        let job = test.queue().enqueue(job).await.unwrap().id();
        parcels.next().await.not_sent("refused");
        drain(&test).await;
        edit(&test, job, set);
        test.clock().advance(MINUTE);
        parcels.next().await.accept();
        drain(&test).await;
        let completion = runs(test.queue(), job).await.remove(0).completion.unwrap();
        assert_eq!(completion.delivery, Delivery::Delivered, "{set}");
        end(&test, engine).await;
    }
}

#[tokio::test]
async fn a_job_that_became_unreadable_while_its_time_was_taken_away_is_parked_by_name() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    let job =
        test.queue().schedule("job", Schedule::cron("0 * * * *").unwrap(), note("x")).await.unwrap().id();
    edit(&test, job, "next_run_at_ms = NULL, ready = 0, schedule_text = '61 * * * *'");
    until("it is parked", || std::future::ready(park_reason(&test, job).is_some())).await;
    assert!(park_reason(&test, job).unwrap().contains("schedule_text"));
    let fine = test.queue().enqueue(note("fine")).await.unwrap().id();
    drain(&test).await;
    assert_eq!(test.queue().get(fine).await.unwrap().state(test.clock().now()), JobState::Finished);
    end(&test, engine).await;
}

/// The claim of a job that cannot be read failed, and with it the transaction in which it stood: whoever had enqueued in
/// the same moment was told that nothing was written, for a row that was none of theirs. Now the claim is made again with
/// each job by itself.
#[tokio::test]
async fn a_call_beside_the_claim_of_an_unreadable_job_does_not_fail() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    for round in 0..3 {
        let calendar = format!("holidays {round}");
        test.queue().store_calendar(&calendar, Calendar::default()).await.unwrap();
        let schedule = Schedule::every(HOUR).unwrap().excluding(&calendar);
        let job = test.queue().schedule(&format!("job {round}"), schedule, note("x")).await.unwrap().id();
        let conn = by_hand(test.queue().path());
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        // The writer has taken the call, and waits for the lock.
        let text = format!("fine {round}");
        let mut call = std::pin::pin!(test.queue().enqueue(note(&text)));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(call.as_mut().poll(&mut context).is_pending());
        until("the writer has taken it", || async {
            test.queue().health().await.unwrap().waiting_commands == 0
        })
        .await;
        // In the transaction after this one the job is due, and cannot be planned.
        conn.execute("UPDATE mainspring_calendars SET definition = '7'", []).unwrap();
        let due = "UPDATE mainspring_jobs SET next_run_at_ms = ?1, scheduled_for_ms = ?1 WHERE id = ?2";
        conn.execute(due, (test.clock().now().millis(), job.0)).unwrap();
        conn.execute_batch("COMMIT").unwrap();
        call.await.unwrap_or_else(|error| panic!("the call failed: {error}"));
        until("the job is parked", || std::future::ready(park_reason(&test, job).is_some())).await;
        drain(&test).await;
        assert!(ledger.texts().contains(&text));
    }
    assert_eq!(test.queue().health().await.unwrap().last_error, None);
    end(&test, engine).await;
}

/// A list began behind id 0, and left out what somebody had put before it by hand.
#[tokio::test]
async fn a_job_whose_id_is_not_positive_is_listed_like_any_other() {
    let test = queue().await;
    let job = test.queue().enqueue(NewJob::new(note("x")).after(HOUR)).await.unwrap().id();
    edit(&test, job, "id = -5");
    let list = test.queue().list(ListFilter::default()).await.unwrap();
    assert_eq!(list.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [JobId(-5)]);
    let after = ListFilter { after: Some(JobId(-5)), ..ListFilter::default() };
    assert!(test.queue().list(after).await.unwrap().jobs.is_empty());
}

/// The names of all owners were read together: one that was no text kept every dead owner from being noticed.
#[tokio::test]
async fn an_owner_whose_name_is_no_text_hides_no_other_and_is_dead() {
    let test = queue().await;
    let insert = "INSERT INTO mainspring_owners (uuid, pid, host, library, started_at_ms)
                  VALUES (CAST(x'ff' AS TEXT), 1, 'host', '0', 1)";
    assert_eq!(by_hand(test.queue().path()).execute(insert, []).unwrap(), 1);
    let engine = start(&test, |engine| engine.handler(Ledger::default().succeeding())).await;
    until("it was found dead", || async { test.queue().status().await.unwrap().engines == 1 }).await;
    assert_eq!(test.queue().health().await.unwrap().last_error, None);
    end(&test, engine).await;
}

/// It is tried again all the same: that it has an occurrence shows that it has not finished.
#[tokio::test]
async fn a_job_that_is_said_to_have_finished_while_it_runs_is_tried_again_and_hinders_nobody() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = test.queue().enqueue(NewJob::new(note("x")).max_attempts(2)).await.unwrap().id();
    let call = calls.next().await;
    edit(&test, job, "finished_at_ms = 5");
    call.fail("no luck");
    until("it has ended", || async { test.queue().status().await.unwrap().running == 0 }).await;
    test.queue().enqueue(NewJob::new(note("another")).after(HOUR)).await.unwrap();
    assert_eq!(test.queue().health().await.unwrap().last_error, None);
    assert_eq!(test.queue().get(job).await.unwrap().finished_at, None);
    test.clock().advance(MINUTE);
    calls.next().await.succeed("done");
    drain(&test).await;
    assert_eq!(outcomes(test.queue(), job).await, [Outcome::Failed, Outcome::Succeeded]);
    end(&test, engine).await;
}

/// A failed run that somebody had edited into the answer to a request could not be ended: its next attempt was another
/// request of a kind that the schema does not know.
#[tokio::test]
async fn a_run_that_was_edited_into_a_request_ends_all_the_same() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = test.queue().enqueue(NewJob::new(note("x")).max_attempts(2)).await.unwrap().id();
    let call = calls.next().await;
    let changed = by_hand(test.queue().path()).execute("UPDATE mainspring_runs SET request_id = 7", []);
    assert_eq!(changed, Ok(1));
    call.fail("no luck");
    until("it has ended", || async { test.queue().status().await.unwrap().running == 0 }).await;
    test.queue().enqueue(NewJob::new(note("another")).after(HOUR)).await.unwrap();
    assert_eq!(test.queue().health().await.unwrap().last_error, None);
    assert_eq!(outcomes(test.queue(), job).await[0], Outcome::Failed);
    test.clock().advance(MINUTE);
    calls.next().await.succeed("done");
    drain(&test).await;
    end(&test, engine).await;
}

/// A dead owner's id on a delivery that was settled, put there by hand, was taken for one in its hands: settling it was
/// refused, again and again, and with it the recovery of all else.
#[tokio::test]
async fn a_settled_delivery_in_the_hands_of_a_dead_owner_keeps_nobody_from_recovering() {
    let test = queue().await;
    let conn = by_hand(test.queue().path());
    let (handler, mut parcels, _) = post();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = test.queue().enqueue(letter("text")).await.unwrap().id();
    parcels.next().await.accept();
    drain(&test).await;
    conn.execute_batch(
        "INSERT INTO mainspring_owners (id, uuid, pid, host, library, started_at_ms) VALUES (99, 'dead', 1, 'h', '0', 1);
         UPDATE mainspring_completions SET delivery_owner_id = 99",
    )
    .unwrap();
    until("it was found dead", || async { test.queue().status().await.unwrap().engines == 1 }).await;
    let completion = runs(test.queue(), job).await.remove(0).completion.unwrap();
    assert_eq!(completion.delivery, Delivery::Delivered);
    assert_eq!(test.queue().health().await.unwrap().last_error, None);
    engine.shutdown(PATIENCE).await.unwrap();
}

/// Times that somebody took away are planned anew, all of them together: an unreadable calendar of one job kept all others
/// without a time. An occurrence before 1970 did so as well, since no job may run then.
#[tokio::test]
async fn what_cannot_be_planned_anew_keeps_no_other_from_it() {
    let test = queue().await;
    let ledger = Ledger::default();
    test.queue().store_calendar("holidays", Calendar::default()).await.unwrap();
    let hourly = || Schedule::every(HOUR).unwrap();
    let odd = test.queue().schedule("odd", hourly().excluding("holidays"), note("odd")).await.unwrap().id();
    let old =
        test.queue().schedule("old", Schedule::cron("@hourly").unwrap(), note("old")).await.unwrap().id();
    let fine = test.queue().schedule("fine", hourly(), note("fine")).await.unwrap().id();
    let conn = by_hand(test.queue().path());
    conn.execute_batch("UPDATE mainspring_calendars SET definition = '7'").unwrap();
    for job in [odd, fine] {
        edit(&test, job, "next_run_at_ms = NULL, ready = 0");
    }
    edit(
        &test,
        old,
        "next_run_at_ms = NULL, ready = 0, last_scheduled_for_ms = -2, schedule_activated_at_ms = -3",
    );
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    until("it is parked", || std::future::ready(park_reason(&test, odd).is_some())).await;
    test.clock().advance(HOUR);
    until("the others run", || async {
        ["fine", "old"].iter().all(|text| ledger.texts().iter().any(|t| t == text))
    })
    .await;
    assert_eq!(test.queue().health().await.unwrap().last_error, None);
    engine.shutdown(PATIENCE).await.unwrap();
}

/// A request with a time before 1970, a calendar that is none and a run with an attempt beyond counting, all written by
/// hand where the schema lets it. When the clock was set back, and when the dead owner of the run was found, each was an
/// error for the whole file: callers got it who had nothing to do with that row, and every job stayed by the wrong clock.
#[tokio::test]
async fn what_somebody_wrote_by_hand_keeps_no_other_job_by_the_wrong_clock() {
    let test = queue().await;
    let ledger = Ledger::default();
    test.queue().store_calendar("odd", Calendar::default()).await.unwrap();
    let hourly = || Schedule::every(HOUR).unwrap();
    test.queue().schedule("odd", hourly().excluding("odd"), note("odd")).await.unwrap();
    for name in ["fine", "asked"] {
        test.queue().schedule(name, hourly(), note(name)).await.unwrap();
    }
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    pass(&test, 3 * HOUR).await;
    let fine = || ledger.texts().iter().filter(|text| *text == "fine").count();
    let before = fine();
    by_hand(test.queue().path())
        .execute_batch(
            "UPDATE mainspring_calendars SET definition = '[]';
             INSERT INTO mainspring_requests (job_id, trigger, scheduled_for_ms, run_at_ms, requested_at_ms)
                 SELECT id, 'manual', 1, -5, 1 FROM mainspring_jobs WHERE name = 'asked';
             UPDATE mainspring_jobs SET requests = 1, planned_run_at_ms = next_run_at_ms WHERE name = 'asked';
             INSERT INTO mainspring_owners (id, uuid, pid, host, library, started_at_ms)
                 VALUES (77, '6f9f2c1c-0000-4000-8000-00000000dead', 1, 'nowhere', '0', 1);
             INSERT INTO mainspring_runs (
                 id, job_id, job_revision, kind, queue, scheduled_for_ms, attempt, trigger, owner_id, claimed_at_ms)
                 VALUES (900, 99, 1, 'note', 'default', 1, 9000000000000, 'schedule', 77, 1);",
        )
        .unwrap();

    test.clock().set(test.clock().now().minus(2 * HOUR + HOUR / 2));
    test.queue().enqueue(note("not to blame")).await.unwrap();
    until("the run of the dead owner has ended", || async {
        value(test.queue().path(), "SELECT ended_at_ms IS NOT NULL FROM mainspring_runs WHERE id = 900")
    })
    .await;
    test.clock().advance(HOUR);
    until("the others go on", || async {
        fine() > before && ledger.texts().iter().any(|text| text == "not to blame")
    })
    .await;
    engine.shutdown(PATIENCE).await.unwrap();
}
