//! Two morning briefings.
//!
//! A cron job ran at 08:00, its briefing was delivered, and the process was restarted before the outcome was
//! written. The store still said that it had last run the day before, and that its next time was 08:00. So at the
//! restart the job looked missed, was caught up, and the user got a second briefing at 12:06.
//!
//! What prevents it: the claim moves the next time forward in the transaction that opens the run, so that no
//! restart finds the occurrence again; the outcome is committed before the delivery begins, and the begun mark
//! before the sink is called, so that a crash anywhere leaves a row that says how far it came; and of an open run or
//! delivery recovery does what the job's policy says, which for recurring jobs is never to repeat by itself.
#![cfg(target_os = "linux")]
#![allow(
    clippy::type_complexity,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, wherever it does"
)]

mod children;

use std::path::Path;

use children::app::{self, App, report, start, stop};
use children::child::{self, Child};
use children::rows::{assert_sound, attempts, settled, value};
use chrono::{DateTime, Utc};
use chrono_tz::Europe::Berlin;
use mainspring::crash::{CrashPoint, VARIABLE};
use mainspring::plan::Trigger;
use mainspring::testing::ManualClock;
use mainspring::{Delivery, JobId, Outcome, Queue, Schedule, Scheduled, Timestamp};
use nix::sys::signal::Signal;

const NAME: &str = "morning-briefing";
const INTERRUPTED: (Outcome, Delivery) = (Outcome::Interrupted, Delivery::NotRequested);
const NOBODY_KNOWS: (Outcome, Delivery) = (Outcome::Succeeded, Delivery::Unknown);
const DELIVERED: (Outcome, Delivery) = (Outcome::Succeeded, Delivery::Delivered);

/// An instant of that day by the clocks of Berlin, which were an hour ahead of UTC.
fn at(time: &str) -> Timestamp {
    on("2026-03-10", time)
}

fn on(day: &str, time: &str) -> Timestamp {
    let instant: DateTime<Utc> = format!("{day}T{time}+01:00").parse().unwrap();
    instant.into()
}

/// What the program does at each of its starts.
async fn declare(queue: &Queue) -> Scheduled {
    let daily = Schedule::cron("0 8 * * *").unwrap().in_tz(Berlin);
    queue.schedule(NAME, daily, report("briefing")).await.unwrap()
}

/// The process that runs at eight. It is killed at the crash point that its environment names.
fn at_eight(dir: &Path) {
    child::forever(async {
        let (queue, clock) = app::open_on_clock(dir, at("07:59:59"));
        declare(&queue).await;
        let engine = start(&queue).await;
        clock.set(at("08:00:00.004"));
        (engine, clock)
    });
}

#[test]
#[ignore = "the main function of a child"]
fn child() {
    child::main(&[("at eight", at_eight)]);
}

fn killed_at_eight(point: CrashPoint) -> App {
    let app = App::new();
    let child = Child::start_with("at eight", app.path(), &[(VARIABLE, point.as_str())]);
    assert_eq!(child.ended(), Ok(Signal::SIGKILL));
    app
}

/// The program is started again at noon, and once more, and lives until the next morning.
async fn from_noon_on(app: &App, mut checks: impl AsyncFnMut(&Queue, JobId)) -> (Queue, ManualClock, JobId) {
    for restart in ["12:06:00", "12:07:00"] {
        let (queue, _clock) = app.on_clock(at(restart));
        let declared = declare(&queue).await;
        assert_eq!(declared, Scheduled::Unchanged(declared.id()));
        let engine = start(&queue).await;
        settled(&queue, 1).await;
        checks(&queue, declared.id()).await;
        stop(engine).await;
        assert_sound(&queue).await;
    }
    let (queue, clock) = app.on_clock(at("23:59:59"));
    let job = declare(&queue).await.id();
    (queue, clock, job)
}

#[tokio::test]
async fn a_briefing_of_eight_is_not_made_or_sent_again_at_noon() {
    let table: [(CrashPoint, (usize, usize), (Outcome, Delivery)); 6] = [
        (CrashPoint::Claimed, (0, 0), INTERRUPTED),
        (CrashPoint::Ran, (1, 0), INTERRUPTED),
        // Made and never sent: it is sent from the stored output.
        (CrashPoint::Completed, (1, 1), DELIVERED),
        (CrashPoint::DeliveryBegun, (1, 0), NOBODY_KNOWS),
        // The story: sent, and the outcome was not written.
        (CrashPoint::Delivered, (1, 1), NOBODY_KNOWS),
        (CrashPoint::Settled, (1, 1), DELIVERED),
    ];
    for (point, calls, end) in table {
        let app = killed_at_eight(point);
        let (queue, clock, job) = from_noon_on(&app, async |queue, job| {
            assert_eq!(app.ledger.calls("briefing"), calls, "{point}");
            assert_eq!(attempts(queue, job).await, [(1, Some(end))], "{point}");
            assert!(queue.misses(job, 9).await.unwrap().is_empty(), "{point}: nothing was missed");
        })
        .await;

        // The next morning has its briefing, one.
        let engine = start(&queue).await;
        clock.set(on("2026-03-11", "08:00:00"));
        settled(&queue, 1).await;
        let runs = children::rows::runs(&queue, job).await;
        assert_eq!(runs.len(), 2, "{point}");
        assert_eq!((runs[1].scheduled_for, runs[1].trigger), (clock.now(), Trigger::Schedule), "{point}");
        assert_eq!(app.ledger.calls("briefing"), (calls.0 + 1, calls.1 + 1), "{point}");
        stop(engine).await;
        assert_sound(&queue).await;
    }
}

#[test]
fn the_claim_has_moved_the_next_time_forward_before_the_handler_is_called() {
    // What stood in the store at the crash was the state from before the run.
    let app = killed_at_eight(CrashPoint::Claimed);
    let next: i64 = value(app.path(), "SELECT next_run_at_ms FROM mainspring_jobs");
    assert_eq!(Timestamp::from_millis(next), on("2026-03-11", "08:00:00"));
    let last: i64 = value(app.path(), "SELECT last_run_at_ms FROM mainspring_jobs");
    assert_eq!(Timestamp::from_millis(last), at("08:00:00.004"));
}

#[tokio::test]
async fn an_occurrence_that_has_a_run_is_not_run_again_even_if_the_next_time_is_set_back_to_it() {
    // D4.2: a stale next time, however it came to be: a row from a backup, a hand in the file.
    let app = killed_at_eight(CrashPoint::Settled);
    let eight = at("08:00:00").millis();
    let sql = format!("UPDATE mainspring_jobs SET next_run_at_ms = {eight}, scheduled_for_ms = {eight}");
    // Half a minute later there is nothing to run; a day later there is the newer occurrence, and that one only.
    for (back_at, calls) in [(at("08:00:30"), 1), (on("2026-03-11", "08:05:00"), 2)] {
        children::rows::edit(app.path(), &sql);
        let (queue, _clock) = app.on_clock(back_at);
        let job = declare(&queue).await.id();
        let engine = start(&queue).await;
        settled(&queue, 1).await;
        assert_eq!(app.ledger.calls("briefing"), (calls, calls));
        let next = queue.get(job).await.unwrap().next_run_at;
        assert_eq!(next, Some(on(if calls == 1 { "2026-03-11" } else { "2026-03-12" }, "08:00:00")));
        stop(engine).await;
        assert_sound(&queue).await;
    }
}
