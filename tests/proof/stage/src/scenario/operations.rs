//! What an operator does while work goes on.

use std::time::Duration;

use mainspring::plan::Trigger;
use mainspring::{Delivery, NewJob, Outcome, Prune, Queue, Schedule};

use super::work::{enqueue_once, plain, post};
use crate::part::{Act, Last, PLAIN, POST, Part, RECURRING};
use crate::play::{Play, id_of, job_of};
use crate::stage::Stage;

const HOUR: Duration = Duration::from_secs(3_600);
const CANCELLED: Last = Last::Run(Outcome::Cancelled, Delivery::NotRequested);

pub(super) const CANCEL: &[Part] = &[
    PLAIN.named("waiting").last(Last::NoRun),
    PLAIN.named("running").acts(&[Act::AwaitStop]).last(CANCELLED),
    PLAIN.named("paused"),
    PLAIN.named("removed").last(Last::Gone),
    RECURRING.named("by-hand"),
];

pub(super) async fn cancel(stage: &Stage) -> Result<(), String> {
    let play = Play::begin(stage).await?;
    enqueue_once(&play, "running", || NewJob::new(plain("running"))).await?;
    play.called("running").await?;
    for label in ["waiting", "paused"] {
        enqueue_once(&play, label, || NewJob::new(plain(label)).after(HOUR)).await?;
    }
    let removed = async |queue: &Queue| queue.enqueue(NewJob::new(plain("removed")).after(HOUR)).await;
    play.call_unless("removed", removed, async |queue| Ok(job_of(queue, "removed").await?.is_some())).await?;
    let hourly = Schedule::every(HOUR * 24).map_err(|error| error.to_string())?;
    play.call("by-hand", async |queue| queue.schedule("by-hand", hourly.clone(), post("by-hand")).await)
        .await?;

    // Each of these is the same twice.
    play.call("cancel-running", async |queue| queue.cancel(id_of(queue, "running").await?).await).await?;
    play.call("cancel-waiting", async |queue| queue.cancel(id_of(queue, "waiting").await?).await).await?;
    play.call("pause", async |queue| queue.pause(id_of(queue, "paused").await?, Some("wait")).await).await?;
    let remove = async |queue: &Queue| match job_of(queue, "removed").await? {
        Some(job) => queue.remove(job.id).await.map(drop),
        None => Ok(()),
    };
    play.call("remove", remove).await?;

    let run_now = async |queue: &Queue| queue.run_now("by-hand").await;
    let is_asked_for = async |queue: &Queue| {
        let asked = queue.get("by-hand").await?.requests > 0;
        Ok(asked || queue.runs("by-hand", 10).await?.iter().any(|run| run.trigger == Trigger::Manual))
    };
    play.call_unless("run-now", run_now, is_asked_for).await?;
    play.quiet().await?;

    play.pass_to(HOUR).await?;
    play.call("resume", async |queue| queue.resume(id_of(queue, "paused").await?).await).await?;
    play.quiet().await?;
    play.end().await
}

/// How many jobs have run long ago.
pub(crate) const OLD_JOBS: usize = 12;
const OLDER: Duration = Duration::from_secs(30 * 86_400);

pub(super) const PRUNE: &[Part] = &[PLAIN.named("before"), POST.named("after"), RECURRING.named("kept")];

pub(super) async fn prune(stage: &Stage) -> Result<(), String> {
    let play = Play::begin(stage).await?;
    let hourly = Schedule::every(HOUR).map_err(|error| error.to_string())?;
    play.call("kept", async |queue| queue.schedule("kept", hourly.clone(), post("kept")).await).await?;
    enqueue_once(&play, "before", || NewJob::new(plain("before"))).await?;
    play.call("prune", async |queue| queue.prune(Prune::older_than(OLDER)).await).await?;
    enqueue_once(&play, "after", || NewJob::new(post("after"))).await?;
    play.quiet().await?;
    play.pass_to(HOUR).await?;
    let old = play.ask("old", async |queue| job_of(queue, "old").await).await?;
    match old {
        None => play.end().await,
        Some(job) => Err(format!("job {} was to be pruned and is there", job.id)),
    }
}
