//! Work that comes by itself.

use std::time::Duration;

use mainspring::{NewJob, Queue, Schedule, Scheduled, Timestamp};

use super::work::{enqueue_once, plain, post};
use crate::part::{PLAIN, POST, Part, RECURRING};
use crate::play::Play;
use crate::stage::{BEGINNING, Stage};

const MINUTE: Duration = Duration::from_secs(60);
const MINUTELY: &str = "minutely";

pub(super) const CRON: &[Part] = &[RECURRING.named(MINUTELY).occurrences(4)];

pub(super) async fn cron(stage: &Stage) -> Result<(), String> {
    let play = Play::begin(stage).await?;
    let schedule = Schedule::cron("* * * * *").map_err(|error| error.to_string())?;
    let declare = async |queue: &Queue| queue.schedule(MINUTELY, schedule.clone(), post(MINUTELY)).await;
    play.call(MINUTELY, declare).await?;
    for minute in 1..=3 {
        play.pass_to(MINUTE * minute).await?;
    }
    // As at each start of the application: it changes nothing, and takes no occurrence away.
    let again = play.call("declared-again", declare).await?;
    if let Some(again) = again
        && !matches!(again, Scheduled::Unchanged(_))
    {
        return Err(format!("the same declaration was not the same: {again:?}"));
    }
    // The latest of these stands for those before it.
    play.pass_to(MINUTE * 9).await?;
    let (from, to): (Timestamp, Timestamp) = (BEGINNING, BEGINNING.plus(MINUTE * 9));
    let open = play.ask("unaccounted", async |queue| queue.unaccounted(MINUTELY, from, to).await).await?;
    if !open.is_empty() {
        return Err(format!("occurrences that are neither run nor on record as missed: {open:?}"));
    }
    play.end().await
}

pub(super) const ONE_SHOT: &[Part] =
    &[POST.named("at-noon"), PLAIN.named("in-a-minute"), PLAIN.named("long-past"), PLAIN.named("urgent")];

pub(super) async fn one_shot(stage: &Stage) -> Result<(), String> {
    let play = Play::begin(stage).await?;
    let noon = BEGINNING.plus(MINUTE * 240);
    enqueue_once(&play, "at-noon", || NewJob::new(post("at-noon")).at(noon)).await?;
    enqueue_once(&play, "in-a-minute", || NewJob::new(plain("in-a-minute")).after(MINUTE)).await?;
    enqueue_once(&play, "long-past", || NewJob::new(plain("long-past")).at(BEGINNING.minus(MINUTE))).await?;
    let urgent = || NewJob::new(plain("urgent")).at(noon).priority(5);
    enqueue_once(&play, "urgent", urgent).await?;
    play.quiet().await?;
    play.pass_to(MINUTE).await?;
    let status = play.ask("status", async |queue| queue.status().await).await?;
    let is_before_noon = status.at < noon;
    if is_before_noon && (status.ready, status.running, status.scheduled) != (0, 0, 2) {
        return Err(format!("two jobs wait for noon, and the status is {status:?}"));
    }
    play.pass_to(MINUTE * 240).await?;
    play.end().await
}
