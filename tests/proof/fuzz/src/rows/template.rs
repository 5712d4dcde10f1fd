//! A file in which every table has rows, and each state of a job, a run and a delivery is one of them.

use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use mainspring::plan::{CatchUp, Overlap};
use mainspring::schedule::Calendar;
use mainspring::testing::ManualClock;
use mainspring::{Backoff, Engine, NewJob, OnInterrupt, OnUnknownDelivery, Queue, Schedule};
use rusqlite::Connection;
use tokio::sync::mpsc::unbounded_channel;

use super::work::{Hands, Parcel, Work};
use crate::file;

const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);

/// The file, closed, as bytes. The engine that lived on it is dead, with runs open and deliveries begun.
pub(crate) static USED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let dir = file::folder();
    let (path, copy) = (dir.path().join("used.db"), dir.path().join("copy.db"));
    let clock = file::clock();
    let queue = file::open(&path, &clock).expect("a new file can be opened");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (sender, mut calls) = unbounded_channel();
        let engine = Hands::new(sender, true).engine(Engine::builder(queue.clone()));
        let engine = engine.build().expect("an engine").start().await.expect("an engine that starts");
        jobs(&queue).await.expect("jobs that are in order");
        for _ in 0..3 {
            clock.advance(HOUR);
            settled(&queue).await;
        }
        operated(&queue, &clock).await.expect("what an operator may do");
        calls.try_recv().expect("the handlers were called");
        // As the disk would be if the process died now: without the lock file, the owner is dead.
        let conn = Connection::open(&path).expect("the file can be read");
        conn.execute("VACUUM INTO ?1", [copy.to_str()]).expect("and copied");
        drop(engine);
    });
    runtime.shutdown_background();
    file::options(&copy).migrate().expect("the copy is a queue");
    fs::read(copy).expect("and can be read")
});

/// Nothing runs but what waits for ever.
async fn settled(queue: &Queue) {
    const WAIT_FOR_EVER: u32 = 2;
    let settled = async {
        loop {
            let status = queue.status().await.expect("the file can be read");
            if status.ready == 0
                && status.overdue == 0
                && status.running <= WAIT_FOR_EVER
                && status.delivering <= 1
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(60), settled).await.is_err() {
        panic!("the jobs do not run: {:?}", queue.status().await);
    }
}

async fn jobs(queue: &Queue) -> mainspring::Result<()> {
    queue.store_calendar("holidays", Calendar::new().every_year(12, 25)?).await?;
    let cron = Schedule::cron("*/20 * * * *")?;
    let every = Schedule::every(HOUR)?.excluding("holidays").jitter(MINUTE);
    queue.schedule("cron", cron.clone().in_tz(chrono_tz::Europe::Berlin), Work::new("cron")).await?;
    queue.schedule("every", every, NewJob::new(Work::new("every")).catch_up(CatchUp::all(3))).await?;
    queue.schedule("after each", Schedule::after_each(MINUTE)?.max_runs(5), Work::new("after each")).await?;
    let fails = NewJob::new(Work::new("fails")).backoff(Backoff::fixed(10 * HOUR)).max_attempts(3);
    queue.schedule("fails", cron.clone(), fails).await?;
    let open = NewJob::new(Work::new("waits")).overlap(Overlap::QueueOne).on_interrupt(OnInterrupt::Verify);
    queue.schedule("open", cron.clone(), open).await?;
    queue.schedule("disabled", cron.clone(), NewJob::new(Work::new("x")).enabled(false)).await?;
    queue.schedule("parcels", cron.clone(), Parcel::new("delivered")).await?;
    let held = NewJob::new(Parcel::new("unknown")).on_unknown_delivery(OnUnknownDelivery::Hold);
    queue.schedule("held", Schedule::every(HOUR)?, held).await?;
    queue.enqueue(NewJob::new(Work::new("waits")).unique("key")).await?;
    queue.enqueue(NewJob::new(Work::new("snoozes")).priority(7)).await?;
    queue.enqueue(NewJob::new(Work::new("later")).after(100 * HOUR).expires_after(200 * HOUR)).await?;
    queue.enqueue(Work::new("done")).await?;
    queue.enqueue(Parcel::new("sends for ever")).await?;
    queue.enqueue(Parcel::new("rejected")).await?;
    let again = NewJob::new(Parcel::new("not sent")).delivery_attempts(3, Backoff::fixed(50 * HOUR));
    queue.enqueue(again).await?;
    Ok(())
}

async fn operated(queue: &Queue, clock: &ManualClock) -> mainspring::Result<()> {
    queue.pause("cron", Some("by hand")).await?;
    clock.advance(HOUR);
    queue.pause_queue("asleep", Some("by hand")).await?;
    queue.run_now("cron").await?;
    settled(queue).await;
    // Asked for, and not run yet: its queue sleeps.
    queue.enqueue(NewJob::new(Work::new("asleep")).queue("asleep")).await?;
    let asleep = NewJob::new(Work::new("asleep")).queue("asleep");
    let named = queue.schedule("asleep", Schedule::every(HOUR)?, asleep).await?;
    queue.run_now(named.id()).await?;
    queue.run_now(named.id()).await?;
    let now = mainspring::Clock::now(clock);
    queue.backfill("every", now.minus(30 * HOUR), now.minus(20 * HOUR)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table without a row would never be tried.
    #[test]
    fn every_table_has_rows() {
        let copy = file::Copy::of(&USED);
        let conn = copy.unchecked();
        for table in crate::rows::edit::tables(&conn) {
            let rows: i64 = conn
                .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
                .expect("a table");
            let by_accident = ["mainspring_late_results", "mainspring_writers"];
            assert!(rows > 0 || by_accident.contains(&table.as_str()), "{table}");
        }
        let open: i64 = conn
            .query_row("SELECT count(*) FROM mainspring_runs WHERE ended_at_ms IS NULL", [], |row| row.get(0))
            .expect("a count");
        assert_eq!(open, 2);
    }
}
