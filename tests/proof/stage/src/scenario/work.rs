//! Work that is enqueued, and work that fails.

use std::time::Duration;

use mainspring::{Backoff, Delivery, Enqueued, Error, NewJob, Outcome, Queue, Result as Answered};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::WAIT;
use crate::handlers::{Plain, Post};
use crate::part::{Act, Last, PLAIN, Part};
use crate::play::{Play, id_of, job_of};
use crate::stage::Stage;

const HOUR: Duration = Duration::from_secs(3_600);

pub(super) fn plain(label: &str) -> Plain {
    Plain { label: label.to_owned() }
}

pub(super) fn post(label: &str) -> Post {
    Post { label: label.to_owned() }
}

/// Enqueues a job of which the file would have two if it were asked for twice: looks first.
pub(super) async fn enqueue_once<A: mainspring::JobArgs>(
    play: &Play<'_>,
    label: &str,
    job: impl Fn() -> NewJob<A>,
) -> Result<(), String> {
    let call = async |queue: &Queue| queue.enqueue(job()).await;
    play.call_unless(label, call, async |queue| has(queue, label).await).await.map(drop)
}

async fn has(queue: &Queue, label: &str) -> Answered<bool> {
    Ok(job_of(queue, label).await?.is_some())
}

pub(super) const ENQUEUE: &[Part] = &[
    PLAIN.named("single"),
    PLAIN.named("blocking"),
    PLAIN.named("many-1").made_by("many"),
    PLAIN.named("many-2").made_by("many"),
    PLAIN.named("many-3").made_by("many"),
    PLAIN.named("unique"),
    PLAIN.named(WITH_ROWS),
];

pub(super) async fn enqueue(stage: &Stage) -> Result<(), String> {
    let play = Play::begin(stage).await?;
    enqueue_once(&play, "single", || NewJob::new(plain("single"))).await?;

    let blocking = async |queue: &Queue| queue.blocking().enqueue(plain("blocking"));
    play.call_unless("blocking", blocking, async |queue| has(queue, "blocking").await).await?;

    // One transaction: all of them or none, so that looking for one is enough. The check looks for all.
    let many = async |queue: &Queue| queue.enqueue_many(["many-1", "many-2", "many-3"].map(plain)).await;
    play.call_unless("many", many, async |queue| has(queue, "many-3").await).await?;

    // Its key is held until it has run: whoever asks again gets the same job.
    let unique =
        async |queue: &Queue| queue.enqueue(NewJob::new(plain("unique")).unique("key").after(HOUR)).await;
    let first = play.call("unique", unique).await?;
    let again = play.call("unique-again", unique).await?;
    if let (Some(first), Some(again)) = (first, again)
        && (first.id() != again.id() || !matches!(again, Enqueued::Existing(_)))
    {
        return Err(format!("one unique key gave two jobs: {first:?} and {again:?}"));
    }

    let with_rows = async |queue: &Queue| in_my_transaction(stage, queue);
    play.call_unless(WITH_ROWS, with_rows, async |queue| has(queue, WITH_ROWS).await).await?;
    play.quiet().await?;
    play.pass_to(HOUR).await?;
    play.end().await
}

/// The job of this label is enqueued in a transaction of the application, together with a row of its own.
pub(crate) const WITH_ROWS: &str = "with-rows";
/// The application's own table.
pub(crate) const ROWS: &str = "CREATE TABLE application_rows (label TEXT NOT NULL)";
const MY_ROW: &str = "INSERT INTO application_rows (label) VALUES ('with-rows')";

fn in_my_transaction(stage: &Stage, queue: &Queue) -> Answered<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let mut conn = match stage.vfs_name() {
        Some(vfs) => Connection::open_with_flags_and_vfs(stage.path(), flags, vfs)?,
        None => Connection::open_with_flags(stage.path(), flags)?,
    };
    conn.busy_timeout(Duration::from_secs(1))?;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute(MY_ROW, [])?;
    queue.enqueue_tx(&tx, plain(WITH_ROWS))?;
    tx.commit().map_err(|error| Error::OutcomeUnknown { why: error.to_string() })
}

const FAILED: Last = Last::Run(Outcome::Failed, Delivery::NotRequested);

pub(super) const RETRY: &[Part] = &[
    PLAIN.named("third-time").acts(&[Act::Fail, Act::Fail, Act::Succeed]),
    PLAIN.named("gives-up").acts(&[Act::Fail, Act::Fail]).last(FAILED),
    PLAIN.named("useless").acts(&[Act::Discard]).last(FAILED),
    PLAIN.named("panics").acts(&[Act::Panic, Act::Succeed]),
    PLAIN.named("not-yet").acts(&[Act::Snooze, Act::Succeed]),
    PLAIN.named("by-hand").acts(&[Act::Discard, Act::Succeed]),
];

pub(super) async fn retry(stage: &Stage) -> Result<(), String> {
    let play = Play::begin(stage).await?;
    for part in RETRY {
        let job = || {
            let job = NewJob::new(plain(part.label)).backoff(Backoff::fixed(WAIT));
            if part.label == "gives-up" { job.max_attempts(2) } else { job }
        };
        enqueue_once(&play, part.label, job).await?;
    }
    play.quiet().await?;
    // A job that runs, or has run again, was given its attempt. After a kill in the middle of the first one it has
    // succeeded by itself.
    let again = async |queue: &Queue| match job_of(queue, "by-hand").await? {
        Some(job) if job.last_outcome == Some(Outcome::Succeeded) => Ok(()),
        _ => queue.retry(id_of(queue, "by-hand").await?).await.map(drop),
    };
    let is_given = async |queue: &Queue| {
        let job = job_of(queue, "by-hand").await?;
        Ok(job.is_some_and(|job| job.runs_started > 1 || job.finished_at.is_none()))
    };
    play.call_unless("retry-by-hand", again, is_given).await?;
    play.pass_to(WAIT).await?;
    play.pass_to(WAIT * 2).await?;
    play.end().await
}
