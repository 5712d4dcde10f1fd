//! Enqueue: when, where and in which order a job runs, unique keys, and many at once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod stage;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mainspring::plan::{MissReason, Overlap};
use mainspring::{
    Backoff, Enqueued, Error, Failure, JobArgs, JobState, ListFilter, NewJob, OnDuplicate, OpenOptions,
    Outcome, Queue, RunContext, Schedule, Timestamp,
};
use serde::{Deserialize, Serialize};
use stage::child::{self, Child};
use stage::puppet::puppet;
use stage::*;

#[test]
#[ignore = "a child of the tests in this file"]
fn a_child_plays_its_part() {
    child::play(|part, path| match part {
        "races for keys" => race_for_keys(path),
        other => panic!("there is no part {other:?}"),
    });
}

// ---- when and where

#[tokio::test]
async fn a_job_runs_once_its_delay_has_passed_and_not_a_millisecond_before() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    test.queue().enqueue(NewJob::new(note("after")).after(MINUTE)).await.unwrap();
    test.queue().enqueue(NewJob::new(note("at")).at(second(120))).await.unwrap();
    test.queue().enqueue(NewJob::new(note("long past")).at(second(-86_400))).await.unwrap();
    drain(&test).await;
    assert_eq!(ledger.texts(), ["long past"]);

    pass(&test, MINUTE - Duration::from_millis(1)).await;
    assert_eq!(ledger.len(), 1);
    pass(&test, Duration::from_millis(1)).await;
    pass(&test, MINUTE).await;

    assert_eq!(ledger.texts(), ["long past", "after", "at"]);
    assert_eq!(ledger.slots(), [-86_400, 60, 120]);
    end(&test, engine).await;
}

#[tokio::test]
async fn a_queue_that_no_engine_serves_keeps_its_jobs_until_one_does() {
    let test = queue().await;
    let (here, there) = (Ledger::default(), Ledger::default());
    let engine = start(&test, |engine| engine.handler(here.succeeding())).await;
    let job = NewJob::new(note("job")).queue("elsewhere");
    let job = test.queue().enqueue(job).await.unwrap().id();
    test.queue().enqueue(note("a sign that the writer has looked")).await.unwrap();
    until("the sign", || async { here.len() == 1 }).await;
    assert_eq!(test.queue().get(job).await.unwrap().state(test.clock().now()), JobState::Due);

    let other = start(&test, |engine| engine.handler(there.succeeding()).queue("elsewhere", 1)).await;
    drain(&test).await;

    assert_eq!((here.len(), there.texts()), (1, vec!["job".to_owned()]));
    other.shutdown(PATIENCE).await.unwrap();
    end(&test, engine).await;
}

/// An engine put aside what it had no handler for, in order to see what stood behind it, each time that it came back:
/// where it looked first, the engine that had the handler never got any of it.
#[tokio::test]
async fn a_kind_that_an_engine_does_not_know_is_left_to_one_that_does() {
    let test = queue().await;
    let (notes, letters) = (Ledger::default(), Ledger::default());
    let engine = start(&test, |engine| engine.handler(notes.succeeding())).await;
    test.queue().enqueue_many((0..200).map(|_| NewJob::new(letter("x")).priority(9))).await.unwrap();
    test.queue().enqueue(note("known")).await.unwrap();
    until("the one that it knows runs", || async { notes.len() == 1 }).await;

    let pushed = letters.clone();
    let other = start(&test, |engine| {
        engine.handler(move |args: Letter, cx: RunContext| {
            pushed.push(&note(args.text), &cx);
            async { Ok::<_, Failure>(()) }
        })
    })
    .await;
    drain(&test).await;

    assert_eq!((notes.len(), letters.len()), (1, 200));
    other.shutdown(PATIENCE).await.unwrap();
    end(&test, engine).await;
}

#[tokio::test]
async fn jobs_that_nobody_knows_do_not_keep_others_from_running_however_many_they_are() {
    let test = queue().await;
    let ledger = Ledger::default();
    test.queue().enqueue_many((0..1_500).map(|_| NewJob::new(letter("x")).priority(9))).await.unwrap();
    test.queue().enqueue(note("known")).await.unwrap();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    until("the one that is known runs", || async {
        test.clock().advance(Duration::from_millis(1));
        ledger.len() == 1
    })
    .await;
    // Some of them wait a while, all are there.
    let status = test.queue().status().await.unwrap();
    assert!(status.ready > 0 && status.ready + status.scheduled == 1_500, "{status:?}");
    end(&test, engine).await;
}

#[tokio::test]
async fn the_higher_priority_goes_first_then_the_earlier_time_then_the_earlier_job() {
    let test = queue().await;
    let ledger = Ledger::default();
    let job = |text: &str, priority: i32, at: i64| NewJob::new(note(text)).priority(priority).at(second(at));
    let jobs = [
        job("fourth", 0, -10),
        job("sixth", -1000, -100),
        job("second", 5, 0),
        job("fifth", 0, 0),
        job("first", 1000, 0),
        job("third", 5, 0),
    ];
    test.queue().enqueue_many(jobs).await.unwrap();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding()).queue("default", 1)).await;
    drain(&test).await;
    assert_eq!(ledger.texts(), ["first", "second", "third", "fourth", "fifth", "sixth"]);
    end(&test, engine).await;
}

#[tokio::test]
async fn a_job_that_falls_due_later_with_a_higher_priority_overtakes_those_that_wait() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler).queue("default", 1)).await;
    test.queue().enqueue(note("runs")).await.unwrap();
    let call = calls.next().await;
    test.queue().enqueue(note("waits")).await.unwrap();
    test.queue().enqueue(NewJob::new(note("urgent")).priority(1).after(MINUTE)).await.unwrap();
    test.clock().advance(MINUTE);
    call.succeed("done");
    let call = calls.next().await;
    assert_eq!(call.text, "urgent");
    call.succeed("done");
    calls.next().await.succeed("done");
    drain(&test).await;
    end(&test, engine).await;
}

#[tokio::test]
async fn a_job_that_expires_before_it_is_claimed_never_runs_and_is_on_record() {
    let test = queue().await;
    let ledger = Ledger::default();
    let job = test.queue().enqueue(NewJob::new(note("late")).expires_after(MINUTE)).await.unwrap().id();
    let in_time =
        test.queue().enqueue(NewJob::new(note("in time")).expires_at(second(61))).await.unwrap().id();
    test.clock().advance(MINUTE);
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    drain(&test).await;
    assert_eq!(ledger.texts(), ["in time"]);
    let misses = test.queue().misses(job, 10).await.unwrap();
    assert_eq!((misses.len(), misses[0].reason), (1, MissReason::Expired));
    assert_eq!(test.queue().get(job).await.unwrap().state(test.clock().now()), JobState::Finished);
    assert!(test.queue().misses(in_time, 10).await.unwrap().is_empty());
    end(&test, engine).await;
}

/// "Does not start it after this instant": another attempt is a start, too.
#[tokio::test]
async fn an_attempt_that_would_begin_after_the_job_has_expired_is_not_made() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine =
        start(&test, |engine| engine.handler(ledger.answering(|_| Err(Failure::new("no luck"))))).await;
    let job = NewJob::new(note("job")).expires_after(MINUTE).backoff(Backoff::fixed(40 * SECOND));
    let job = test.queue().enqueue(job).await.unwrap().id();
    drain(&test).await;

    pass(&test, 40 * SECOND).await;

    let ended = test.queue().get(job).await.unwrap();
    assert_eq!(
        (ended.state(test.clock().now()), ended.last_outcome),
        (JobState::Finished, Some(Outcome::Failed))
    );
    pass(&test, DAY).await;
    assert_eq!(ledger.seconds(), [0, 40]);
    end(&test, engine).await;
}

/// The same for one that was to begin in time, when nobody was there to begin it.
#[tokio::test]
async fn an_attempt_that_comes_late_to_an_expired_job_is_not_made() {
    let test = queue().await;
    let ledger = Ledger::default();
    let handler = || ledger.answering(|_| Err(Failure::new("no luck")));
    let engine = start(&test, |engine| engine.handler(handler())).await;
    let job = NewJob::new(note("job")).expires_after(MINUTE).backoff(Backoff::fixed(40 * SECOND));
    let once = test.queue().enqueue(job).await.unwrap().id();
    drain(&test).await;
    engine.shutdown(PATIENCE).await.unwrap();
    test.clock().advance(10 * DAY);

    let engine = start(&test, |engine| engine.handler(handler())).await;
    drain(&test).await;

    assert_eq!(ledger.seconds(), [0]);
    assert_eq!(test.queue().get(once).await.unwrap().state(test.clock().now()), JobState::Finished);
    assert!(test.queue().misses(once, 10).await.unwrap().is_empty(), "it has been run: it is no miss");
    end(&test, engine).await;
}

#[tokio::test]
async fn what_a_row_may_not_hold_is_refused_by_name_before_anything_is_written() {
    #[derive(Serialize, Deserialize)]
    struct Nameless;
    impl JobArgs for Nameless {
        const KIND: &'static str = "";
    }
    let test = queue().await;
    let queue = test.queue();
    let new = || NewJob::new(note("x"));
    let option = |error: Error| match error {
        Error::InvalidOption { option, .. } => option,
        Error::TooLong { what, .. } => what,
        other => panic!("{other:?}"),
    };
    let refused = [
        ("priority", queue.enqueue(new().priority(1_001)).await.map(drop)),
        ("priority", queue.enqueue(new().priority(-1_001)).await.map(drop)),
        ("max_attempts", queue.enqueue(new().max_attempts(0)).await.map(drop)),
        ("queue", queue.enqueue(new().queue("")).await.map(drop)),
        ("queue", queue.enqueue(new().queue("x".repeat(201))).await.map(drop)),
        ("unique key", queue.enqueue(new().unique("a\nb")).await.map(drop)),
        ("at", queue.enqueue(new().at(Timestamp::from_millis(0))).await.map(drop)),
        ("kind", queue.enqueue(Nameless).await.map(drop)),
        ("args", queue.enqueue(note("x".repeat(2 << 20))).await.map(drop)),
        ("name", queue.schedule("", Schedule::at(second(1)), new()).await.map(drop)),
        ("at", queue.schedule("name", Schedule::at(second(1)), new().after(SECOND)).await.map(drop)),
    ];
    for (what, result) in refused {
        assert_eq!(option(result.unwrap_err()), what);
    }
    assert_eq!(value::<i64>(queue.path(), "SELECT count(*) FROM mainspring_jobs"), 0);
}

/// An option that has no place in the row of such a job was taken and forgotten.
#[tokio::test]
async fn no_option_is_taken_and_forgotten() {
    let test = queue().await;
    let job = NewJob::new(note("x")).overlap(Overlap::Allow(3));
    let job = test.queue().enqueue(job).await.unwrap().id();
    assert_eq!(test.queue().get(job).await.unwrap().overlap, Overlap::Allow(3));

    // A named job is unique by its name.
    let refused =
        test.queue().schedule("job", Schedule::at(second(1)), NewJob::new(note("x")).unique("key")).await;
    assert!(matches!(refused, Err(Error::InvalidOption { option: "unique key", .. })), "{refused:?}");
}

// ---- unique keys

#[tokio::test]
async fn a_held_key_keeps_the_job_that_holds_it_and_tells_which() {
    let test = queue().await;
    let first = test.queue().enqueue(NewJob::new(note("first")).unique("key").after(HOUR)).await.unwrap();
    let second = test.queue().enqueue(NewJob::new(note("second")).unique("key")).await.unwrap();
    assert!(matches!(first, Enqueued::Created(_)));
    assert_eq!(second, Enqueued::Existing(first.id()));
    let job = test.queue().get(first.id()).await.unwrap();
    assert!(job.args.contains("first") && job.revision == 1);
    assert_eq!(job.unique_key.as_deref(), Some("key"));
    is_sound(test.queue()).await;
}

#[tokio::test]
async fn a_held_key_gives_its_job_the_new_arguments_time_and_options_where_that_is_asked_for() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine =
        start(&test, |engine| engine.handler(ledger.succeeding()).queue("default", 1).queue("b", 1)).await;
    let first = NewJob::new(note("first")).unique("key").after(HOUR);
    let first = test.queue().enqueue(first).await.unwrap().id();

    let second = NewJob::new(note("second"))
        .unique_or("key", OnDuplicate::Replace)
        .after(MINUTE)
        .queue("b")
        .priority(7)
        .max_attempts(3)
        .overlap(Overlap::QueueOne);
    assert_eq!(test.queue().enqueue(second).await.unwrap(), Enqueued::Replaced(first));

    let job = test.queue().get(first).await.unwrap();
    assert_eq!((job.next_run_at, job.queue.as_str(), job.priority), (Some(stage::second(60)), "b", 7));
    assert_eq!((job.policies.max_attempts, job.overlap, job.revision), (3, Overlap::QueueOne, 2));
    pass(&test, MINUTE).await;
    pass(&test, HOUR).await;
    assert_eq!(ledger.texts(), ["second"]);
    end(&test, engine).await;
}

/// What was replaced while it waited for another attempt begins anew.
#[tokio::test]
async fn a_replaced_job_that_had_failed_begins_with_its_first_attempts_again() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = |text: &str| {
        NewJob::new(note(text)).unique_or("key", OnDuplicate::Replace).max_attempts(2).at(second(0))
    };
    let id = test.queue().enqueue(job("first")).await.unwrap().id();
    calls.next().await.fail("no luck");
    drain(&test).await;

    assert_eq!(test.queue().enqueue(job("second")).await.unwrap(), Enqueued::Replaced(id));

    for _ in 0..2 {
        let call = calls.next().await;
        assert_eq!(call.text, "second");
        call.fail("no luck");
        drain(&test).await;
        test.clock().advance(HOUR);
    }
    drain(&test).await;
    assert!(calls.is_empty());
    assert_eq!(runs(test.queue(), id).await.len(), 3);
    end(&test, engine).await;
}

#[tokio::test]
async fn a_held_key_is_an_error_where_that_is_asked_for() {
    let test = queue().await;
    let first = test.queue().enqueue(NewJob::new(note("first")).unique("key")).await.unwrap().id();
    let refused =
        test.queue().enqueue(NewJob::new(note("second")).unique_or("key", OnDuplicate::Error)).await;
    assert!(
        matches!(&refused, Err(Error::UniqueKeyHeld { key, held_by }) if key == "key" && *held_by == first),
        "{refused:?}"
    );
    assert_eq!(test.queue().list(ListFilter::default()).await.unwrap().jobs.len(), 1);
}

#[tokio::test]
async fn a_key_is_held_while_the_job_is_not_finished_and_by_each_kind_for_itself() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let unique = || NewJob::new(note("x")).unique("key");
    let first = test.queue().enqueue(unique()).await.unwrap().id();
    let other_kind = test.queue().enqueue(NewJob::new(letter("x")).unique("key").after(DAY)).await.unwrap();
    assert!(matches!(other_kind, Enqueued::Created(_)));
    let call = calls.next().await;
    // It runs: the key is held, and what runs is not replaced.
    assert_eq!(test.queue().enqueue(unique()).await.unwrap(), Enqueued::Existing(first));
    let replaced = test.queue().enqueue(NewJob::new(note("x")).unique_or("key", OnDuplicate::Replace)).await;
    assert!(matches!(replaced, Err(Error::AlreadyRunning(id)) if id == first), "{replaced:?}");
    // It waits for another attempt: the key is held.
    call.fail("no luck");
    drain(&test).await;
    assert_eq!(test.queue().enqueue(unique()).await.unwrap(), Enqueued::Existing(first));
    test.clock().advance(HOUR);
    calls.next().await.succeed("done");
    drain(&test).await;

    let next = test.queue().enqueue(unique()).await.unwrap();
    assert!(matches!(next, Enqueued::Created(id) if id != first));
    calls.next().await.succeed("done");
    drain(&test).await;
    end(&test, engine).await;
}

/// A finished job whose key somebody else holds by now cannot come back to life beside it.
#[tokio::test]
async fn a_retry_of_a_job_whose_key_is_held_by_another_is_refused_by_name() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let unique = || NewJob::new(note("x")).unique("key").max_attempts(1);
    let failed = test.queue().enqueue(unique()).await.unwrap().id();
    calls.next().await.fail("no luck");
    drain(&test).await;
    let holder = test.queue().enqueue(unique().after(HOUR)).await.unwrap().id();

    let refused = test.queue().retry(failed).await;

    assert!(
        matches!(&refused, Err(Error::UniqueKeyHeld { key, held_by }) if key == "key" && *held_by == holder),
        "{refused:?}"
    );
    assert_eq!(test.queue().get(failed).await.unwrap().state(test.clock().now()), JobState::Finished);
    end(&test, engine).await;
}

/// How often two processes race for a key.
const ROUNDS: usize = 200;

fn race_for_keys(path: PathBuf) {
    let queue = Queue::open_blocking(&OpenOptions::new(path)).unwrap().blocking();
    child::say("ready");
    for round in 0..ROUNDS {
        child::listen().unwrap();
        let job = NewJob::new(note(std::process::id().to_string())).unique(format!("key {round}"));
        match queue.enqueue(job).unwrap() {
            Enqueued::Created(id) => child::say(format!("{round} {id} created")),
            Enqueued::Existing(id) => child::say(format!("{round} {id} existing")),
            Enqueued::Replaced(id) => panic!("job {id} was replaced"),
        }
    }
}

#[test]
fn processes_that_race_for_a_key_get_one_job_and_each_is_told_which() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    OpenOptions::new(&path).migrate().unwrap();
    let mut children: Vec<Child> = (0..3).map(|_| Child::start(&path, "races for keys")).collect();
    for child in &children {
        child.hear_of("ready");
    }

    let mut created_by = BTreeSet::new();
    for round in 0..ROUNDS {
        // Each of them begins in its turn, so that none is always the first.
        for turn in 0..3 {
            children[(round + turn) % 3].tell("go");
        }
        let of_round = |child: &Child| {
            let answer = child.hear_of(&format!("{round} "));
            let (id, made) = answer.split_once(' ').unwrap();
            (id.to_owned(), made == "created")
        };
        let answers: Vec<(String, bool)> = children.iter().map(of_round).collect();
        assert!(answers.iter().all(|(id, _)| *id == answers[0].0), "round {round}: {answers:?}");
        let creators: Vec<usize> = (0..3).filter(|child| answers[*child].1).collect();
        assert_eq!(creators.len(), 1, "round {round}: {answers:?}");
        created_by.insert(creators[0]);
    }
    assert!(created_by.len() > 1, "one child made all jobs: there was no race");
    assert_eq!(value::<i64>(&path, "SELECT count(*) FROM mainspring_jobs"), ROUNDS as i64);
}

// ---- many at once

/// The commits in the write-ahead log: the last frame of each says how many pages the database has then.
/// See "The WAL File Format" of SQLite's documentation: a header of 32 bytes, and one of 24 before each page.
fn commits_in_the_log(path: &Path) -> usize {
    let log = std::fs::read(path.with_extension("db-wal")).unwrap();
    let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap()) as usize;
    let (page, salts) = (number(8), &log[16..24]);
    log[32..]
        .chunks_exact(24 + page)
        .take_while(|frame| frame[8..16] == *salts)
        .filter(|frame| frame[4..8] != [0; 4])
        .count()
}

#[tokio::test]
async fn ten_thousand_jobs_are_one_transaction() {
    let test = queue().await;
    test.queue().enqueue(note("first")).await.unwrap();
    let before = commits_in_the_log(test.queue().path());

    let made = test.queue().enqueue_many((0..10_000).map(|n| note(format!("{n}")))).await.unwrap();

    assert_eq!((made.len(), commits_in_the_log(test.queue().path())), (10_000, before + 1));
    let ids: BTreeSet<_> = made.iter().map(|made| made.id()).collect();
    assert_eq!(ids.len(), 10_000);
    assert_eq!(test.queue().get(made[4_711].id()).await.unwrap().args, r#"{"text":"4711"}"#);
    assert_eq!(test.queue().status().await.unwrap().ready, 10_001);
    is_sound(test.queue()).await;
}

#[tokio::test]
async fn of_many_jobs_each_gets_its_own_id_however_they_are_written_together() {
    let test = queue().await;
    let held = test.queue().enqueue(NewJob::new(note("held")).unique("key").after(HOUR)).await.unwrap();
    for many in [1, 2, 31, 32, 33, 49, 100] {
        // One with a key, whose holder is looked up, stands between those that nothing is looked up for.
        let keyed = many / 3;
        let jobs = (0..many).map(|n| {
            let job = NewJob::new(note(format!("{n} of {many}"))).priority(n).after(MINUTE * (n as u32 % 3));
            if n == keyed { job.unique("key") } else { job }
        });
        let made = test.queue().enqueue_many(jobs).await.unwrap();
        assert_eq!(made.len(), many as usize);
        for (n, made) in (0..many).zip(made) {
            if n == keyed {
                assert_eq!(made, Enqueued::Existing(held.id()));
                continue;
            }
            let job = test.queue().get(made.id()).await.unwrap();
            assert_eq!((job.args, job.priority), (format!(r#"{{"text":"{n} of {many}"}}"#), n));
            assert_eq!(job.next_run_at, Some(second(60 * (i64::from(n) % 3))));
        }
    }
    is_sound(test.queue()).await;
}

#[tokio::test]
async fn many_jobs_are_all_written_or_none() {
    let test = queue().await;
    let held = test.queue().enqueue(NewJob::new(note("held")).unique("key").after(HOUR)).await.unwrap().id();
    let jobs = |last: NewJob<Note>| (0..999).map(|n| NewJob::new(note(format!("{n}")))).chain([last]);

    let too_long = test.queue().enqueue_many(jobs(NewJob::new(note("x".repeat(2 << 20))))).await;
    assert!(matches!(too_long, Err(Error::TooLong { what: "args", .. })), "{too_long:?}");
    let error = NewJob::new(note("x")).unique_or("key", OnDuplicate::Error);
    let refused = test.queue().enqueue_many(jobs(error)).await;
    assert!(matches!(refused, Err(Error::UniqueKeyHeld { held_by, .. }) if held_by == held), "{refused:?}");

    assert_eq!(value::<i64>(test.queue().path(), "SELECT count(*) FROM mainspring_jobs"), 1);
    assert!(test.queue().enqueue_many(Vec::<Note>::new()).await.unwrap().is_empty());
    // A key within the many: the second one is told of the first.
    let twice =
        test.queue().enqueue_many((0..2).map(|_| NewJob::new(note("x")).unique("new"))).await.unwrap();
    assert_eq!(twice[1], Enqueued::Existing(twice[0].id()));
    is_sound(test.queue()).await;
}
