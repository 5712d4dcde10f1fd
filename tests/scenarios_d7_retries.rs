//! D7: retries, waits between them, and jobs that are stopped for failing. Each test is a row of the table of
//! scenarios.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod stage;

use std::path::PathBuf;
use std::time::Duration;

use mainspring::plan::{MissReason, Trigger};
use mainspring::{
    Backoff, Delivery, Engine, ErrorClass, Failure, JobState, ListFilter, NewJob, OnInterrupt, Outcome,
    Queue, RunContext, Schedule,
};
use stage::child::{self, Child};
use stage::post::post;
use stage::puppet::puppet;
use stage::*;

#[test]
#[ignore = "a child of the tests in this file"]
fn a_child_plays_its_part() {
    child::play(|part, path| match part {
        "dies in its handler" => die_in_the_handler(path),
        other => panic!("there is no part {other:?}"),
    });
}

fn failing() -> Result<String, Failure> {
    Err(Failure::new("no luck"))
}

/// A one-shot that failed stayed due, since its time was in the past: 15 runs in 25 minutes.
#[tokio::test]
async fn d7_1_a_one_shot_that_fails_has_its_attempts_and_no_more() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.answering(|_| failing()))).await;
    let three = |text| NewJob::new(note(text)).max_attempts(3).backoff(Backoff::fixed(MINUTE));
    let plain = test.queue().enqueue(three("plain")).await.unwrap().id();
    test.queue().schedule("named", Schedule::at(second(1)), three("named")).await.unwrap();

    for _ in 0..25 {
        pass(&test, MINUTE).await;
    }
    pass(&test, DAY).await;

    assert_eq!(ledger.texts().iter().filter(|text| *text == "plain").count(), 3);
    assert_eq!(ledger.texts().iter().filter(|text| *text == "named").count(), 3);
    for job in [plain, test.queue().get("named").await.unwrap().id] {
        let job = test.queue().get(job).await.unwrap();
        assert_eq!(
            (job.state(test.clock().now()), job.last_outcome),
            (JobState::Finished, Some(Outcome::Failed))
        );
    }
    end(&test, engine).await;
}

/// A one-shot was lost on an error that would have gone away.
#[tokio::test]
async fn d7_2_a_one_shot_is_tried_again_at_the_times_of_its_backoff() {
    let table: &[(usize, u32, &[i64], Outcome)] = &[
        (0, 10, &[0], Outcome::Succeeded),
        (1, 10, &[0, 10], Outcome::Succeeded),
        (3, 10, &[0, 10, 30, 70], Outcome::Succeeded),
        // From here on the longest wait holds.
        (5, 10, &[0, 10, 30, 70, 110, 150], Outcome::Succeeded),
        // The attempts are used up.
        (9, 3, &[0, 10, 30], Outcome::Failed),
        (9, 1, &[0], Outcome::Failed),
    ];
    for (failures, attempts, times, last) in table {
        let test = queue().await;
        let ledger = Ledger::default();
        let (handler, failures) = (ledger.clone(), *failures);
        let handler =
            handler.answering(move |before| if before < failures { failing() } else { Ok("".into()) });
        let engine = start(&test, |engine| engine.handler(handler)).await;
        let backoff = Backoff { jitter: 0.0, ..Backoff::exponential(10 * SECOND) }.at_most(40 * SECOND);
        let job = NewJob::new(note("once")).max_attempts(*attempts).backoff(backoff);
        let job = test.queue().enqueue(job).await.unwrap().id();

        drain(&test).await;
        while let Some(next) = test.queue().get(job).await.unwrap().next_run_at {
            let ran = ledger.len();
            test.clock().set(next.minus(Duration::from_millis(1)));
            drain(&test).await;
            assert_eq!(ledger.len(), ran, "not a millisecond early");
            test.clock().set(next);
            drain(&test).await;
        }

        assert_eq!(ledger.seconds(), *times);
        assert_eq!(ledger.slots(), vec![0; times.len()], "all attempts are at one occurrence");
        assert_eq!(*outcomes(test.queue(), job).await.last().unwrap(), *last);
        end(&test, engine).await;
    }
}

/// A one-shot that had been skipped, or had failed, ran again at each restart: only success was an end.
#[tokio::test]
async fn d7_3_a_one_shot_that_is_over_stays_over_whatever_its_end_was() {
    let test = queue().await;
    let ledger = Ledger::default();
    let handler = || {
        ledger.answering(|before| match before {
            0 => failing(),
            1 => Err(Failure::discard("useless")),
            2 => Err(Failure::snooze(MINUTE)),
            3 => failing(),
            _ => panic!("a job that is over was run"),
        })
    };
    let expired = NewJob::new(note("expired")).expires_after(MINUTE);
    let expired = test.queue().enqueue(expired).await.unwrap().id();
    test.clock().advance(2 * MINUTE);
    let engine = start(&test, |engine| engine.handler(handler()).queue("default", 1)).await;
    let once = |text| NewJob::new(note(text)).max_attempts(1);
    for text in ["fails", "is discarded", "snoozes"] {
        test.queue().enqueue(once(text)).await.unwrap();
        drain(&test).await;
    }
    pass(&test, MINUTE).await;
    assert_eq!(ledger.texts(), ["fails", "is discarded", "snoozes", "snoozes"]);
    let misses = test.queue().misses(expired, 10).await.unwrap();
    assert_eq!(misses.iter().map(|miss| miss.reason).collect::<Vec<_>>(), [MissReason::Expired]);
    engine.shutdown(PATIENCE).await.unwrap();

    for _ in 0..3 {
        let engine = Engine::builder(test.reopen().unwrap()).handler(handler()).build().unwrap();
        let engine = engine.start().await.unwrap();
        pass(&test, DAY).await;
        engine.shutdown(PATIENCE).await.unwrap();
    }

    assert_eq!(ledger.len(), 4);
    let left = ListFilter { unfinished: true, ..ListFilter::default() };
    assert!(test.queue().list(left).await.unwrap().jobs.is_empty());
    is_sound(test.queue()).await;
}

/// A daily job that failed once waited for a day.
#[tokio::test]
async fn d7_4_a_daily_job_that_fails_is_tried_again_within_its_occurrence() {
    let test = queue().await;
    let ledger = Ledger::default();
    let handler = ledger.answering(|before| if before == 0 { failing() } else { Ok("brief".into()) });
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = NewJob::new(note("daily")).backoff(Backoff::fixed(5 * MINUTE));
    test.queue().schedule("daily", Schedule::cron("30 8 * * *").unwrap(), job).await.unwrap();

    pass(&test, 30 * MINUTE).await;
    pass(&test, 5 * MINUTE).await;
    test.clock().set(second(1_800 + 86_400));
    drain(&test).await;

    assert_eq!(ledger.seconds(), [1_800, 2_100, 1_800 + 86_400]);
    assert_eq!(ledger.slots(), [1_800, 1_800, 1_800 + 86_400]);
    let triggers: Vec<Trigger> = ledger.entries().iter().map(|entry| entry.trigger).collect();
    assert_eq!(triggers, [Trigger::Schedule, Trigger::Retry, Trigger::Schedule]);
    assert!(test.queue().misses("daily", 10).await.unwrap().is_empty());
    end(&test, engine).await;
}

/// A retry does not push the next occurrence away: if that comes first, the retry is given up.
#[tokio::test]
async fn d7_4_a_retry_that_would_come_after_the_next_occurrence_is_not_made() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.answering(|_| failing()))).await;
    let job = NewJob::new(note("minutely")).backoff(Backoff::fixed(90 * SECOND));
    test.queue().schedule("minutely", Schedule::every(MINUTE).unwrap(), job).await.unwrap();
    for _ in 0..18 {
        pass(&test, 10 * SECOND).await;
    }
    assert_eq!(ledger.slots(), [60, 120, 180]);
    assert_eq!(test.queue().get("minutely").await.unwrap().failures_in_a_row, 3);
    end(&test, engine).await;
}

/// A permanent failure was retried because its text held "503", and one that would have gone away was not.
#[tokio::test]
async fn d7_5_the_type_of_a_failure_decides_and_never_its_text() {
    let test = queue().await;
    let ledger = Ledger::default();
    let handler = ledger.answering(|before| match before {
        0 => Err(Failure::discard("status 429, 503 lines, ECONNRESET, timeout: try again")),
        1 => Err(Failure::new("401 forbidden, permanent, fatal, invalid: do not try again")),
        _ => Ok("done".into()),
    });
    let engine = start(&test, |engine| engine.handler(handler)).await;

    let permanent = test.queue().enqueue(note("permanent")).await.unwrap().id();
    pass(&test, DAY).await;
    let transient = test.queue().enqueue(note("transient")).await.unwrap().id();
    drain(&test).await;
    pass(&test, DAY).await;

    assert_eq!(ledger.texts(), ["permanent", "transient", "transient"]);
    let class = |run: &mainspring::Run| run.completion.as_ref().unwrap().error_class;
    assert_eq!(class(&runs(test.queue(), permanent).await[0]), Some(ErrorClass::Permanent));
    assert_eq!(class(&runs(test.queue(), transient).await[0]), Some(ErrorClass::Retryable));
    end(&test, engine).await;
}

/// A failure that nobody had classified counted as permanent, and the one-shot was disabled silently.
#[tokio::test]
async fn d7_6_a_failure_of_any_type_is_tried_again_unless_the_job_says_otherwise() {
    let test = queue().await;
    // `?` on an error of the standard library: nobody has said what kind of failure this is.
    let handler = |_: Note, _: RunContext| async {
        std::fs::read_to_string("/no/such/file").map_err(Failure::from)?;
        Ok::<_, Failure>(())
    };
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let by_default = test.queue().enqueue(note("by default")).await.unwrap().id();
    let once = test.queue().enqueue(NewJob::new(note("once")).max_attempts(1)).await.unwrap().id();

    drain(&test).await;

    let job = test.queue().get(by_default).await.unwrap();
    assert_eq!((job.state(test.clock().now()), job.attempt), (JobState::Retrying, 2));
    // The end of its attempts is no secret either: it is listed, with its outcome, its error and its class.
    let job = test.queue().get(once).await.unwrap();
    assert_eq!(
        (job.state(test.clock().now()), job.last_outcome),
        (JobState::Finished, Some(Outcome::Failed))
    );
    assert!(job.enabled && job.parked_at.is_none());
    let completion = runs(test.queue(), once).await.remove(0).completion.unwrap();
    assert_eq!(completion.error_class, Some(ErrorClass::Retryable));
    assert!(completion.error.unwrap().contains("No such file"));
    end(&test, engine).await;
}

/// The wait was counted from the start of the run, so that long runs had none.
#[tokio::test]
async fn d7_7_the_wait_before_the_next_attempt_begins_at_the_end_of_the_run() {
    let test = queue().await;
    let (ledger, clock) = (Ledger::default(), test.clock().clone());
    let handler = ledger.answering(move |_| {
        clock.advance(10 * MINUTE);
        failing()
    });
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = NewJob::new(note("takes ten minutes")).backoff(Backoff::fixed(30 * SECOND)).max_attempts(2);
    let job = test.queue().enqueue(job).await.unwrap().id();

    drain(&test).await;
    assert_eq!(test.queue().get(job).await.unwrap().next_run_at, Some(second(630)));
    pass(&test, 29 * SECOND).await;
    assert_eq!(ledger.len(), 1);
    pass(&test, SECOND).await;
    assert_eq!(ledger.seconds(), [0, 630]);
    end(&test, engine).await;
}

/// A streak of failures went on across an occurrence that had been skipped.
#[tokio::test]
async fn d7_8_a_skipped_run_ends_a_streak_of_failures() {
    let test = queue().await;
    let ledger = Ledger::default();
    let handler =
        ledger.answering(|before| if before == 2 { Err(Failure::snooze(MINUTE)) } else { failing() });
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = NewJob::new(note("job")).max_attempts(1).park_after_failures(3);
    test.queue().schedule("job", Schedule::every(HOUR).unwrap(), job).await.unwrap();

    let mut streak = Vec::new();
    for wait in [HOUR, HOUR, HOUR, MINUTE] {
        pass(&test, wait).await;
        streak.push(test.queue().get("job").await.unwrap().failures_in_a_row);
    }

    let ends = [Outcome::Failed, Outcome::Failed, Outcome::Skipped, Outcome::Failed];
    assert_eq!(outcomes(test.queue(), "job").await, ends);
    assert_eq!(streak, [1, 2, 0, 1]);
    assert!(test.queue().get("job").await.unwrap().parked_at.is_none());
    end(&test, engine).await;
}

/// Restarts of the gateway counted as failures of whatever ran, and disabled it.
#[tokio::test]
async fn d7_9_ten_shutdowns_in_the_middle_of_a_run_are_no_failure_of_the_job() {
    let test = queue().await;
    let job =
        NewJob::new(note("job")).on_interrupt(OnInterrupt::Rerun).max_attempts(2).park_after_failures(1);
    test.queue().schedule("job", Schedule::every(DAY).unwrap(), job).await.unwrap();
    test.clock().advance(DAY);
    for _ in 0..10 {
        let (handler, mut calls) = puppet();
        let engine = start(&test, |engine| engine.handler(handler)).await;
        let call = calls.next().await;
        let stopping = async {
            call.cx.cancelled().await;
            call.fail("stopped half-way");
        };
        let (report, ()) = tokio::join!(engine.shutdown(Duration::ZERO), stopping);
        assert_eq!(report.unwrap().interrupted, 1);
    }
    let job = test.queue().get("job").await.unwrap();
    assert_eq!((job.failures_in_a_row, job.interruptions_in_a_row, job.parked_at), (0, 0, None));

    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let call = calls.next().await;
    assert_eq!((call.cx.attempt(), seconds(call.cx.scheduled_for())), (11, 86_400));
    call.succeed("at last");
    drain(&test).await;
    end(&test, engine).await;
}

fn die_in_the_handler(path: PathBuf) {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let queue = Queue::open(&path).await.unwrap();
        let handler = |_: Note, _: RunContext| async {
            child::say("runs");
            std::process::abort();
            #[expect(unreachable_code, reason = "what an async block returns")]
            Ok::<(), Failure>(())
        };
        let engine = Engine::builder(queue).handler(handler).build().unwrap();
        let _engine = engine.start().await.unwrap();
        std::future::pending::<()>().await;
    });
}

/// The other counter: a job that kills its process is stopped after three times, and failed none.
#[tokio::test]
async fn d7_9_three_deaths_in_a_row_park_a_job_and_are_no_failures() {
    let test = queue_for_children().await;
    let job = NewJob::new(note("kills its process")).park_after_failures(1);
    let job = test.queue().enqueue(job).await.unwrap().id();
    for _ in 0..3 {
        Child::start(test.queue().path(), "dies in its handler").hear_of("runs");
    }
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    until("the third death is found", || async { test.queue().get(job).await.unwrap().parked_at.is_some() })
        .await;
    test.queue().enqueue(note("another")).await.unwrap();
    drain(&test).await;

    let job = test.queue().get(job).await.unwrap();
    assert_eq!((job.failures_in_a_row, job.interruptions_in_a_row), (0, 3));
    assert!(job.park_reason.unwrap().contains("died 3 times in a row"));
    assert_eq!(outcomes(test.queue(), job.id).await, [Outcome::Interrupted; 3]);
    assert_eq!(ledger.texts(), ["another"], "the others go on");
    end(&test, engine).await;
}

/// A job failed 99 times, and nobody was told.
#[tokio::test]
async fn d7_10_the_tenth_failure_in_a_row_parks_a_job_and_resuming_counts_anew() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.answering(|_| failing()))).await;
    let job = NewJob::new(note("job")).max_attempts(1).park_after_failures(10);
    test.queue().schedule("job", Schedule::every(HOUR).unwrap(), job).await.unwrap();

    for _ in 0..15 {
        pass(&test, HOUR).await;
    }

    assert_eq!(ledger.len(), 10);
    let parked = test.queue().get("job").await.unwrap();
    assert_eq!(
        (parked.state(test.clock().now()), parked.parked_at),
        (JobState::Parked, Some(second(36_000)))
    );
    assert_eq!(
        parked.park_reason.as_deref(),
        Some("10 occurrences in a row failed: look why, then resume it")
    );
    assert_eq!(
        (test.drain().await.unwrap().parked, test.queue().list(ListFilter::default()).await.unwrap().held),
        (1, 1)
    );

    test.queue().resume("job").await.unwrap();
    let resumed = test.queue().get("job").await.unwrap();
    assert_eq!((resumed.failures_in_a_row, resumed.next_run_at), (0, Some(second(16 * 3_600))));
    for _ in 0..9 {
        pass(&test, HOUR).await;
    }
    assert_eq!(ledger.len(), 19);
    assert!(test.queue().get("job").await.unwrap().parked_at.is_none());
    end(&test, engine).await;
}

/// A job was disabled, and only a line in a log said so.
///
/// The reason stands in the row from the same transaction as the end of the run that led to it, so that whoever is
/// to be told can be: here by the application's own trigger, which writes a row of its own.
#[tokio::test]
async fn d7_11_why_a_job_was_parked_is_committed_with_the_run_that_parked_it() {
    let test = queue().await;
    by_hand(test.queue().path())
        .execute_batch(
            "CREATE TABLE notices (job INTEGER, reason TEXT, failed_runs INTEGER) STRICT;
             CREATE TRIGGER tell AFTER UPDATE OF parked_at_ms ON mainspring_jobs
             WHEN NEW.parked_at_ms IS NOT NULL AND OLD.parked_at_ms IS NULL
             BEGIN
                 INSERT INTO notices
                 SELECT NEW.id, NEW.park_reason, count(*)
                 FROM mainspring_completions
                 WHERE outcome = 'failed';
             END;",
        )
        .unwrap();
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.answering(|_| failing()))).await;
    let job = NewJob::new(note("job")).max_attempts(1).park_after_failures(2);
    let id = test.queue().schedule("job", Schedule::every(HOUR).unwrap(), job).await.unwrap().id();

    for _ in 0..4 {
        pass(&test, HOUR).await;
    }

    let notices: String = value(
        test.queue().path(),
        "SELECT group_concat(job || ': ' || reason || ' ' || failed_runs) FROM notices",
    );
    assert_eq!(notices, format!("{id}: 2 occurrences in a row failed: look why, then resume it 2"));
    end(&test, engine).await;
}

/// One status for both: a message that could not be sent made the work wait, and counted as its failure.
#[tokio::test]
async fn d7_12_a_delivery_that_fails_is_no_failure_of_the_run() {
    let test = queue().await;
    let (handler, mut parcels, ran) = post();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = NewJob::new(letter("brief")).park_after_failures(1);
    test.queue().schedule("job", Schedule::every(HOUR).unwrap(), job).await.unwrap();

    test.clock().advance(HOUR);
    parcels.next().await.reject("no such address");
    drain(&test).await;

    let job = test.queue().get("job").await.unwrap();
    assert_eq!((job.failures_in_a_row, job.attempt, job.parked_at), (0, 1, None));
    assert_eq!((job.next_run_at, job.last_outcome), (Some(second(7_200)), Some(Outcome::Succeeded)));
    let completion = runs(test.queue(), "job").await.remove(0).completion.unwrap();
    assert_eq!((completion.outcome, completion.delivery), (Outcome::Succeeded, Delivery::Failed));
    assert_eq!(ran.times(), 1);
    end(&test, engine).await;
}

/// A run by hand used up the one-shot's own time, and its failure counted.
#[tokio::test]
async fn d7_13_a_run_by_hand_leaves_the_one_shots_own_run_and_its_counters_alone() {
    let test = queue().await;
    let ledger = Ledger::default();
    let handler = ledger.answering(|before| if before == 0 { failing() } else { Ok("done".into()) });
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = NewJob::new(note("tomorrow")).after(DAY).max_attempts(1).park_after_failures(1);
    let job = test.queue().enqueue(job).await.unwrap().id();

    test.queue().run_now(job).await.unwrap();
    drain(&test).await;

    let after = test.queue().get(job).await.unwrap();
    assert_eq!((after.next_run_at, after.scheduled_for), (Some(second(86_400)), Some(second(86_400))));
    assert_eq!((after.failures_in_a_row, after.attempt, after.runs_started), (0, 1, 0));
    assert_eq!((after.parked_at, after.finished_at), (None, None));
    pass(&test, DAY).await;
    assert_eq!(ledger.slots(), [0, 86_400]);
    let triggers: Vec<Trigger> = ledger.entries().iter().map(|entry| entry.trigger).collect();
    assert_eq!(triggers, [Trigger::Manual, Trigger::Schedule]);
    assert_eq!(outcomes(test.queue(), job).await, [Outcome::Failed, Outcome::Succeeded]);
    end(&test, engine).await;
}

/// Each run by hand moved the grid of an interval.
#[tokio::test]
async fn d7_14_a_run_by_hand_moves_no_occurrence_of_an_interval() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    // Every 24 hours at 07:00; the clock stands at 08:00.
    let every = Schedule::every(DAY).unwrap().anchored_at(second(-3_600));
    test.queue().schedule("job", every, note("job")).await.unwrap();
    let seven = second(-3_600 + 86_400);
    assert_eq!(test.queue().get("job").await.unwrap().next_run_at, Some(seven));

    test.clock().advance(5 * HOUR);
    test.queue().run_now("job").await.unwrap();
    drain(&test).await;

    assert_eq!(ledger.len(), 1);
    assert_eq!(test.queue().get("job").await.unwrap().next_run_at, Some(seven));
    test.clock().set(seven);
    drain(&test).await;
    assert_eq!(ledger.entries()[1].scheduled_for, seven);
    end(&test, engine).await;
}
