//! Prune: by age and by number, in small transactions. What it must leave alone is in D11.14.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod stage;

use std::time::Duration;

use mainspring::plan::CatchUp;
use mainspring::testing::TestQueue;
use mainspring::{ErrorClass, ListFilter, NewJob, Outcome, Prune, Schedule};
use stage::puppet::puppet;
use stage::*;

fn count(test: &TestQueue, table: &str) -> i64 {
    value(test.queue().path(), &format!("SELECT count(*) FROM mainspring_{table}"))
}

#[tokio::test]
async fn what_ended_longer_ago_than_the_age_goes_with_all_that_belongs_to_it() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    test.queue().schedule("named", Schedule::at(second(1)), note("named")).await.unwrap();
    test.queue().enqueue(note("old")).await.unwrap();
    // Before the clock is moved, or it would be as young as the other one.
    drain(&test).await;
    test.queue()
        .schedule("hourly", Schedule::every(HOUR).unwrap(), NewJob::new(note("x")).catch_up(CatchUp::skip()))
        .await
        .unwrap();
    pass(&test, 10 * HOUR).await;
    test.queue().enqueue(note("young")).await.unwrap();
    drain(&test).await;
    let before = (count(&test, "runs"), count(&test, "jobs"), count(&test, "misses"));

    // Nothing is old enough; then all that is older than the young one.
    assert_eq!(
        test.queue().prune(Prune::older_than(11 * HOUR)).await.unwrap(),
        mainspring::Pruned::default()
    );
    test.clock().advance(HOUR - Duration::from_millis(1));
    let pruned = test.queue().prune(Prune::older_than(HOUR)).await.unwrap();

    // The hourly job ran once in ten hours, on time, and the rest of them are a row of misses of now.
    assert_eq!((pruned.runs, pruned.jobs), (1, 1), "{before:?}");
    let texts: Vec<String> = test
        .queue()
        .list(ListFilter::default())
        .await
        .unwrap()
        .jobs
        .into_iter()
        .map(|job| job.args)
        .collect();
    assert_eq!(texts.len(), 3);
    assert!(texts.iter().all(|text| !text.contains("old")), "{texts:?}");
    end(&test, engine).await;
}

#[tokio::test]
async fn of_what_is_young_only_the_newest_runs_stay_where_a_number_is_given() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding()).queue("default", 1)).await;
    let made = test.queue().enqueue_many((0..30).map(|n| note(format!("{n}")))).await.unwrap();
    drain(&test).await;
    let pruned = test.queue().prune(Prune::older_than(DAY).keep_newest(7)).await.unwrap();
    assert_eq!((pruned.runs, pruned.jobs), (23, 0), "jobs go by their age alone");
    for (n, made) in made.iter().enumerate() {
        assert_eq!(runs(test.queue(), made.id()).await.len(), usize::from(n >= 23), "{n}");
    }
    assert_eq!(test.queue().prune(Prune::older_than(DAY).keep_newest(7)).await.unwrap().runs, 0);
    end(&test, engine).await;
}

#[tokio::test]
async fn a_large_history_goes_in_many_small_transactions_with_work_between_them() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding()).queue("default", 64)).await;
    test.queue().enqueue_many((0..3_000).map(|n| note(format!("{n}")))).await.unwrap();
    drain(&test).await;
    test.clock().advance(DAY);
    let transactions =
        || value::<i64>(test.queue().path(), "SELECT max(transaction_no) FROM mainspring_writers");
    let before = transactions();

    let queue = test.queue().clone();
    let pruning = tokio::spawn(async move { queue.prune(Prune::older_than(HOUR)).await });
    let mut ran_meanwhile = 0;
    while !pruning.is_finished() {
        // Under a name: a transaction that enqueues needs no number.
        let (name, now) = (format!("meanwhile {ran_meanwhile}"), test.clock().now());
        test.queue().schedule(&name, Schedule::at(now), note("meanwhile")).await.unwrap();
        ran_meanwhile += 1;
    }
    let pruned = pruning.await.unwrap().unwrap();

    assert_eq!((pruned.runs, pruned.jobs), (3_000, 3_000));
    assert!(ran_meanwhile > 1 && transactions() - before >= 6, "{ran_meanwhile}");
    drain(&test).await;
    assert_eq!(count(&test, "runs"), ran_meanwhile);
    assert_eq!(count(&test, "completions"), ran_meanwhile);
    end(&test, engine).await;
}

#[tokio::test]
async fn the_file_is_smaller_after_a_prune() {
    // What was pruned stayed in the file as empty pages, for ever: a file that was large once was large.
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding()).queue("default", 64)).await;
    test.queue().enqueue_many((0..2_000).map(|n| note(format!("{n:4000}")))).await.unwrap();
    drain(&test).await;
    test.clock().advance(DAY);
    let pages = || value::<i64>(test.queue().path(), "PRAGMA page_count");
    let before = pages();
    assert_eq!(test.queue().prune(Prune::older_than(HOUR)).await.unwrap().jobs, 2_000);
    assert!(before > 2_000 && pages() < before / 4, "{before} pages, then {}", pages());
    end(&test, engine).await;
}

/// A late result belongs to its run, and misses have an age of their own.
#[tokio::test]
async fn late_results_go_with_their_runs_and_misses_by_their_age() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job = NewJob::new(note("x")).catch_up(CatchUp::skip());
    test.queue().schedule("job", Schedule::every(HOUR).unwrap(), job).await.unwrap();
    test.clock().advance(HOUR);
    let call = calls.next().await;
    test.queue().release(call.cx.run_id(), false).await.unwrap();
    call.succeed("late");
    until("the late result", || std::future::ready(count(&test, "late_results") == 1)).await;
    pass(&test, 5 * HOUR + 10 * MINUTE).await;
    assert!(calls.is_empty());
    assert_eq!((count(&test, "runs"), count(&test, "misses")), (1, 1));
    let run = &runs(test.queue(), "job").await[0];
    assert_eq!(
        (outcome(run), run.completion.as_ref().unwrap().error_class),
        (Outcome::Interrupted, Some(ErrorClass::Released))
    );

    assert_eq!(test.queue().prune(Prune::older_than(2 * HOUR)).await.unwrap().runs, 1);
    assert_eq!((count(&test, "late_results"), count(&test, "misses")), (0, 1), "the miss is young");
    test.queue().pause("job", None).await.unwrap();
    pass(&test, DAY).await;
    assert_eq!(test.queue().prune(Prune::older_than(2 * HOUR)).await.unwrap().misses, 1);
    assert_eq!(count(&test, "misses"), 0);
    test.queue().get("job").await.unwrap();
    end(&test, engine).await;
}

/// Pruning while others work: nothing that is open, or was just written, is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pruning_from_two_handles_at_once_drops_each_row_once() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    test.queue().enqueue_many((0..1_200).map(|n| note(format!("{n}")))).await.unwrap();
    drain(&test).await;
    test.clock().advance(DAY);
    let (here, there) = (test.queue().clone(), test.reopen().unwrap());
    let (one, other) = tokio::join!(
        tokio::spawn(async move { here.prune(Prune::older_than(HOUR)).await.unwrap() }),
        tokio::spawn(async move { there.prune(Prune::older_than(HOUR)).await.unwrap() }),
    );
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!((count(&test, "runs"), count(&test, "jobs")), (0, 0));
    assert_eq!((one.runs + other.runs, one.jobs + other.jobs), (1_200, 1_200));
    end(&test, engine).await;
}
