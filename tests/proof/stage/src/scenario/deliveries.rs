//! Outputs and what becomes of them.

use mainspring::{Backoff, Delivery, NewJob, OnUnknownDelivery, Outcome, Queue, Run};

use super::WAIT;
use super::work::{enqueue_once, post};
use crate::handlers::Post;
use crate::part::{Act, Answer, Last, POST, Part};
use crate::play::{Play, id_of};
use crate::stage::Stage;

fn letter(part: &Part) -> NewJob<Post> {
    NewJob::new(post(part.label))
        .backoff(Backoff::fixed(WAIT))
        .delivery_attempts(if part.label == NEVER { 3 } else { 10 }, Backoff::fixed(WAIT))
        .on_unknown_delivery(part.on_unknown_delivery)
}

async fn enqueue_all(play: &Play<'_>, parts: &[Part]) -> Result<(), String> {
    for part in parts {
        enqueue_once(play, part.label, || letter(part)).await?;
    }
    play.quiet().await
}

pub(super) const DELIVERED: &[Part] = &[
    POST.named("first"),
    POST.named("second"),
    POST.named("after-a-failure").acts(&[Act::Fail, Act::Succeed]),
    POST.named("third"),
];

pub(super) async fn delivered(stage: &Stage) -> Result<(), String> {
    let play = Play::begin(stage).await?;
    enqueue_all(&play, DELIVERED).await?;
    play.pass_to(WAIT).await?;
    play.end().await
}

const LOST: Last = Last::Run(Outcome::Succeeded, Delivery::Failed);
const BY_HAND: &str = "by-hand";
const NEVER: &str = "never";

pub(super) const UNDELIVERED: &[Part] = &[
    POST.named("later").answers(&[Answer::NotSent, Answer::Accept]),
    POST.named(NEVER).answers(&[Answer::NotSent, Answer::NotSent, Answer::NotSent]).last(LOST),
    POST.named("refused").answers(&[Answer::Reject]).last(LOST),
    POST.named(BY_HAND).answers(&[Answer::Reject, Answer::Accept]),
];

pub(super) async fn undelivered(stage: &Stage) -> Result<(), String> {
    let play = Play::begin(stage).await?;
    enqueue_all(&play, UNDELIVERED).await?;
    let redeliver = async |queue: &Queue| {
        let runs = queue.runs(id_of(queue, BY_HAND).await?, 1).await?;
        let is_delivered =
            |run: &Run| run.completion.as_ref().map(|it| it.delivery) == Some(Delivery::Delivered);
        match runs.first() {
            // After a kill in the middle of the first one it was sent again, and taken.
            Some(run) if is_delivered(run) => Ok(()),
            Some(run) => queue.redeliver(run.id).await.map(drop),
            None => Err(mainspring::Error::JobNotFound(BY_HAND.to_owned())),
        }
    };
    // It is no longer failed once it is to be sent again.
    let is_on_its_way = async |queue: &Queue| {
        let runs = queue.runs(id_of(queue, BY_HAND).await?, 1).await?;
        let delivery = runs.first().and_then(|run| run.completion.as_ref()).map(|it| it.delivery);
        Ok(delivery.is_some_and(|delivery| delivery != Delivery::Failed))
    };
    play.call_unless("redeliver", redeliver, is_on_its_way).await?;
    play.quiet().await?;
    play.pass_to(WAIT).await?;
    play.pass_to(WAIT * 2).await?;
    play.end().await
}

pub(super) const AMBIGUOUS: &[Part] = &[
    Part { on_unknown_delivery: OnUnknownDelivery::Hold, ..POST.named("hold") }
        .answers(&[Answer::Unknown])
        .last(Last::Run(Outcome::Succeeded, Delivery::Unknown)),
    POST.named("resend").answers(&[Answer::Unknown, Answer::Accept]),
    POST.named("resend-twice").answers(&[Answer::Unknown, Answer::Unknown, Answer::Accept]),
];

pub(super) async fn ambiguous(stage: &Stage) -> Result<(), String> {
    let play = Play::begin(stage).await?;
    enqueue_all(&play, AMBIGUOUS).await?;
    play.pass_to(WAIT).await?;
    play.pass_to(WAIT * 2).await?;
    play.end().await
}
