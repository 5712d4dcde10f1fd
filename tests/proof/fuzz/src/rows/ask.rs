//! Everything that can be asked of a queue, and everything that an operator can do: each answers, if only with an error
//! that says what is wrong.

use std::time::Duration;

use mainspring::{JobId, ListFilter, NewJob, OnDuplicate, Prune, Queue, RunId, Schedule, Timestamp};
use rusqlite::Connection;

use super::work::Work;
use crate::Verdict;
use crate::dice::Dice;
use crate::errors::{answer, judge, printable};
use crate::hostile::{NOW_MS, say};

const MINUTE: Duration = Duration::from_secs(60);

/// The ids that there are, read past the library.
fn ids(queue: &Queue, sql: &str) -> Vec<i64> {
    let conn = Connection::open(queue.path()).expect("the file can be read");
    let mut statement = conn.prepare(sql).expect("a statement of ours");
    let ids = statement.query_map([], |row| row.get(0)).expect("ids can be read");
    ids.map(|id| id.expect("an id is a number")).collect()
}

fn jobs(queue: &Queue) -> Vec<JobId> {
    ids(queue, "SELECT id FROM mainspring_jobs ORDER BY id").into_iter().map(JobId).collect()
}

fn runs(queue: &Queue) -> Vec<RunId> {
    ids(queue, "SELECT id FROM mainspring_runs ORDER BY id DESC LIMIT 12").into_iter().map(RunId).collect()
}

/// All that reads.
pub(super) async fn read(queue: &Queue, dice: &mut Dice) -> Verdict {
    let now = Timestamp::from_millis(NOW_MS);
    // None of these reads single rows: no row makes them fail.
    for (what, read) in [
        ("status", queue.status().await.map(|_| Vec::new())),
        ("health", queue.health().await.map(|_| Vec::new())),
        ("doctor", queue.doctor().await),
        ("integrity", queue.integrity().await),
    ] {
        for finding in read.map_err(|error| format!("{what} fails: {error}"))? {
            say(|| format!("{what}: {finding}"));
            printable(what, &finding)?;
        }
    }
    let list = queue.list(ListFilter::default()).await.map_err(|error| format!("the list fails: {error}"))?;
    for error in &list.unreadable {
        say(|| format!("list: {error}"));
        judge("a job of the list", error)?;
    }
    let jobs = jobs(queue);
    // A page begins after an id, and none is before the least of all.
    let listed = jobs.iter().filter(|job| job.0 > i64::MIN).count();
    if list.jobs.len() + list.unreadable.len() != listed {
        return Err(format!("of {} jobs {} are listed", jobs.len(), list.jobs.len() + list.unreadable.len()));
    }
    for job in jobs {
        answer("get", queue.get(job).await)?;
        answer("runs", queue.runs(job, 5).await)?;
        answer("misses", queue.misses(job, 5).await)?;
        if dice.once_in(4) {
            answer("unaccounted", queue.unaccounted(job, now.minus(MINUTE * 60), now).await)?;
        }
    }
    for run in runs(queue) {
        if let Some(run) = answer("run", queue.run(run).await)? {
            queue.idempotency_key(&run);
        }
    }
    Ok(())
}

/// All that an operator and an application may do with what there is.
pub(super) async fn operate(queue: &Queue, dice: &mut Dice) -> Verdict {
    for run in runs(queue).into_iter().take(6) {
        match dice.below(3) {
            0 => answer("release", queue.release(run, dice.once_in(2)).await).map(drop)?,
            _ => answer("redeliver", queue.redeliver(run).await).map(drop)?,
        }
    }
    for job in jobs(queue) {
        one(queue, job, dice).await?;
    }
    for name in ["cron", "every", "open", "held", "new"] {
        let schedule = Schedule::cron("7 * * * *").map_err(|error| error.to_string())?;
        answer("schedule", queue.schedule(name, schedule, Work::new("declared anew")).await)?;
    }
    answer(
        "enqueue",
        queue.enqueue(NewJob::new(Work::new("x")).unique_or("key", OnDuplicate::Replace)).await,
    )?;
    answer("resume_queue", queue.resume_queue("asleep").await)?;
    let prune =
        Prune::older_than(Duration::from_secs(dice.below(5_000) as u64)).keep_newest(dice.below(50) as u64);
    answer("prune", queue.prune(prune).await)?;
    Ok(())
}

async fn one(queue: &Queue, job: JobId, dice: &mut Dice) -> Verdict {
    let now = Timestamp::from_millis(NOW_MS);
    let what = dice.below(9);
    say(|| format!("job {job}: operation {what}"));
    match what {
        0 => answer("pause", queue.pause(job, Some("by hand")).await).map(drop),
        1 => answer("resume", queue.resume(job).await).map(drop),
        2 => answer("run_now", queue.run_now(job).await).map(drop),
        3 => answer("retry", queue.retry(job).await).map(drop),
        4 => answer("backfill", queue.backfill(job, now.minus(MINUTE * 600), now).await).map(drop),
        // Without waiting: an open run may be in the hands of an owner that there is not.
        5 => answer("cancel", queue.blocking().cancel(job)).map(drop),
        6 => answer("remove", queue.blocking().remove(job)).map(drop),
        _ => Ok(()),
    }
}
