//! Edits by hand in the `sqlite3` shell while an engine runs: they are honoured within its poll, and what the schema
//! forbids is refused with a name that explains itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod stage;

use mainspring::plan::{MissReason, Trigger};
use mainspring::testing::TestQueue;
use mainspring::{Backoff, JobState, NewJob, Outcome, Schedule};
use stage::puppet::puppet;
use stage::*;

fn edit(test: &TestQueue, sql: &str) {
    shell(test.queue().path(), sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// A job that comes and goes: the writer has looked at the file since.
async fn sign(test: &TestQueue, ledger: &Ledger) {
    let before = ledger.len();
    test.queue().enqueue(NewJob::new(note("sign")).priority(-1000)).await.unwrap();
    until("the sign", || async { ledger.len() > before }).await;
}

fn without_signs(ledger: &Ledger) -> Vec<i64> {
    ledger
        .entries()
        .iter()
        .filter(|entry| entry.text != "sign")
        .map(|entry| seconds(entry.scheduled_for))
        .collect()
}

#[tokio::test]
async fn a_pause_and_its_end_are_honoured() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    test.queue().schedule("job", Schedule::every(HOUR).unwrap(), note("x")).await.unwrap();
    let now = test.clock().now().millis();
    edit(
        &test,
        &format!(
            "UPDATE mainspring_jobs SET paused_at_ms = {now}, pause_reason = 'closed' WHERE name = 'job'"
        ),
    );
    pass(&test, 3 * HOUR).await;
    sign(&test, &ledger).await;
    assert!(without_signs(&ledger).is_empty());
    assert_eq!(test.queue().get("job").await.unwrap().state(test.clock().now()), JobState::Paused);

    edit(&test, "UPDATE mainspring_jobs SET paused_at_ms = NULL, pause_reason = NULL WHERE name = 'job'");
    until("the job goes on", || async { !without_signs(&ledger).is_empty() }).await;
    drain(&test).await;
    // As after a time without an engine: the latest occurrence stands for the others.
    assert_eq!(without_signs(&ledger), [3 * 3_600]);
    let misses = test.queue().misses("job", 10).await.unwrap();
    assert_eq!((misses.len(), misses[0].occurrences, misses[0].reason), (1, 2, MissReason::Coalesced));
    end(&test, engine).await;
}

#[tokio::test]
async fn a_paused_queue_and_its_end_are_honoured() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine =
        start(&test, |engine| engine.handler(ledger.succeeding()).queue("mail", 1).queue("default", 1)).await;
    edit(&test, "INSERT INTO mainspring_queues (name, paused_at_ms) VALUES ('mail', 1)");
    test.queue().enqueue(NewJob::new(note("mail")).queue("mail")).await.unwrap();
    sign(&test, &ledger).await;
    assert!(without_signs(&ledger).is_empty());
    edit(&test, "UPDATE mainspring_queues SET paused_at_ms = NULL WHERE name = 'mail'");
    until("the queue goes on", || async { !without_signs(&ledger).is_empty() }).await;
    drain(&test).await;
    end(&test, engine).await;
}

#[tokio::test]
async fn an_earlier_time_and_a_later_one_are_honoured_and_the_schedule_goes_on_from_the_occurrence() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    for name in ["earlier", "later"] {
        test.queue().schedule(name, Schedule::every(HOUR).unwrap(), note(name)).await.unwrap();
    }
    let now = test.clock().now().millis();
    edit(&test, &format!("UPDATE mainspring_jobs SET next_run_at_ms = {now} WHERE name = 'earlier'"));
    until("the earlier one runs", || async { ledger.len() == 1 }).await;
    drain(&test).await;
    let early = &ledger.entries()[0];
    assert_eq!((seconds(early.started_at), seconds(early.scheduled_for)), (0, 3_600));
    assert_eq!(early.trigger, Trigger::Schedule);
    assert_eq!(test.queue().get("earlier").await.unwrap().next_run_at, Some(second(7_200)));

    let late = second(3_630).millis();
    edit(&test, &format!("UPDATE mainspring_jobs SET next_run_at_ms = {late} WHERE name = 'later'"));
    pass(&test, HOUR).await;
    sign(&test, &ledger).await;
    assert_eq!(ledger.texts(), ["earlier", "sign"]);
    pass(&test, 30 * SECOND).await;
    let late = ledger.entries().pop().unwrap();
    assert_eq!(
        (late.text.as_str(), seconds(late.started_at), seconds(late.scheduled_for)),
        ("later", 3_630, 3_600)
    );
    pass(&test, HOUR).await;
    assert_eq!(without_signs(&ledger), [3_600, 3_600, 7_200, 7_200]);
    end(&test, engine).await;
}

/// It was ready, and waited for a worker, when its time was moved.
#[tokio::test]
async fn a_later_time_of_a_job_that_waits_for_a_worker_is_honoured() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler).queue("default", 1)).await;
    test.queue().enqueue(note("runs")).await.unwrap();
    let call = calls.next().await;
    let job = test.queue().enqueue(note("waits")).await.unwrap().id();
    assert_eq!(
        value::<i64>(test.queue().path(), "SELECT sum(ready) FROM mainspring_jobs WHERE open_runs = 0"),
        1
    );
    edit(
        &test,
        &format!("UPDATE mainspring_jobs SET next_run_at_ms = {} WHERE id = {job}", second(60).millis()),
    );
    call.succeed("done");
    drain(&test).await;
    assert!(calls.is_empty());
    test.clock().advance(MINUTE);
    calls.next().await.succeed("done");
    drain(&test).await;
    end(&test, engine).await;
}

#[tokio::test]
async fn a_job_whose_next_time_was_taken_away_is_planned_anew() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    test.queue().schedule("job", Schedule::every(HOUR).unwrap(), note("x")).await.unwrap();
    let once = test.queue().enqueue(NewJob::new(note("once")).after(2 * HOUR)).await.unwrap().id();
    pass(&test, HOUR).await;
    edit(&test, "UPDATE mainspring_jobs SET next_run_at_ms = NULL, ready = 0");
    until("they have a next time again", || async {
        let (job, once) = (test.queue().get("job").await.unwrap(), test.queue().get(once).await.unwrap());
        (job.next_run_at, once.next_run_at) == (Some(second(7_200)), Some(second(7_200)))
    })
    .await;
    pass(&test, HOUR).await;
    assert_eq!(ledger.slots(), [3_600, 7_200, 7_200]);
    end(&test, engine).await;
}

#[tokio::test]
async fn a_run_that_is_asked_to_stop_by_hand_stops() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler)).await;
    let job =
        test.queue().enqueue(NewJob::new(note("x")).backoff(Backoff::fixed(SECOND))).await.unwrap().id();
    let call = calls.next().await;
    edit(
        &test,
        &format!("UPDATE mainspring_runs SET cancel_requested_at_ms = 1 WHERE id = {}", call.cx.run_id()),
    );
    soon("the word to stop", call.cx.cancelled()).await;
    call.fail("stopped");
    drain(&test).await;
    pass(&test, MINUTE).await;
    assert_eq!(outcomes(test.queue(), job).await, [Outcome::Cancelled]);
    assert_eq!(test.queue().get(job).await.unwrap().state(test.clock().now()), JobState::Finished);
    end(&test, engine).await;
}

#[tokio::test]
async fn a_job_that_was_taken_back_by_hand_never_runs() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    let job = test.queue().enqueue(NewJob::new(note("x")).after(HOUR).unique("key")).await.unwrap().id();
    edit(
        &test,
        &format!(
            "UPDATE mainspring_jobs SET finished_at_ms = 1, next_run_at_ms = NULL, scheduled_for_ms = NULL, ready = 0
             WHERE id = {job} AND open_runs = 0 AND requests = 0"
        ),
    );
    pass(&test, DAY).await;
    assert!(ledger.entries().is_empty());
    let again = NewJob::new(note("again")).unique_or("key", mainspring::OnDuplicate::Error);
    test.queue().enqueue(again).await.unwrap();
    drain(&test).await;
    assert_eq!(ledger.texts(), ["again"]);
    end(&test, engine).await;
}

#[tokio::test]
async fn a_row_that_was_written_by_hand_is_a_job_like_any_other() {
    let test = queue().await;
    let ledger = Ledger::default();
    let engine = start(&test, |engine| engine.handler(ledger.succeeding())).await;
    let now = test.clock().now().millis();
    edit(
        &test,
        &format!(
            "INSERT INTO mainspring_jobs (kind, args, at_ms, next_run_at_ms, scheduled_for_ms, schedule_activated_at_ms,
                created_at_ms, updated_at_ms)
             VALUES ('note', json_object('text', 'by hand'), {now}, {now}, {now}, {now}, {now}, {now})"
        ),
    );
    until("it runs", || async { ledger.len() == 1 }).await;
    drain(&test).await;
    assert_eq!(ledger.texts(), ["by hand"]);
    end(&test, engine).await;
}

#[tokio::test]
async fn an_edit_that_would_break_a_promise_is_refused_by_name_and_changes_nothing() {
    let test = queue().await;
    let (handler, mut calls) = puppet();
    let engine = start(&test, |engine| engine.handler(handler).queue("default", 1)).await;
    test.queue().enqueue(note("done")).await.unwrap();
    calls.next().await.succeed("done");
    drain(&test).await;
    test.queue().enqueue(note("runs")).await.unwrap();
    let call = calls.next().await;
    let dump = || {
        shell(test.queue().path(), "SELECT * FROM mainspring_jobs; SELECT * FROM mainspring_runs; SELECT * FROM mainspring_completions").unwrap()
    };
    let before = dump();
    let forbidden = [
        ("UPDATE mainspring_jobs SET next_run_at_ms = 0 WHERE id = 1", "next_run_is_after_1970"),
        (
            "UPDATE mainspring_jobs SET next_run_at_ms = 'soon' WHERE id = 1",
            "cannot store TEXT value in INTEGER column",
        ),
        ("UPDATE mainspring_jobs SET args = '{' WHERE id = 1", "args_are_json"),
        ("UPDATE mainspring_jobs SET priority = 5000 WHERE id = 1", "priority_is_within_1000_of_zero"),
        ("UPDATE mainspring_jobs SET parked_at_ms = 1 WHERE id = 1", "a_parked_job_says_why"),
        ("UPDATE mainspring_jobs SET running_run_id = NULL WHERE id = 2", "running_names_its_run"),
        ("UPDATE mainspring_jobs SET overlap = 'perhaps' WHERE id = 1", "overlap_is_known"),
        ("UPDATE mainspring_jobs SET open_runs = 2 WHERE id = 2", "open_runs_stay_within_their_limit"),
        ("UPDATE mainspring_runs SET ended_at_ms = NULL WHERE id = 1", "an_ended_run_stays_ended"),
        ("DELETE FROM mainspring_runs WHERE id = 2", "an_open_run_is_not_deleted"),
        ("UPDATE mainspring_completions SET outcome = 'failed'", "a_completion_keeps_its_outcome"),
        ("UPDATE mainspring_completions SET delivery = 'delivered'", "a_settled_delivery_stays_settled"),
    ];
    for (sql, name) in forbidden {
        let error = shell(test.queue().path(), sql).unwrap_err();
        assert!(error.contains(name), "{sql}: {error}");
    }
    assert_eq!(dump(), before);
    call.succeed("done");
    drain(&test).await;
    end(&test, engine).await;
}
