//! The beginning and the end of a process, and what one finds that begins.

use std::time::Duration;

use mainspring::{Delivery, NewJob, OnUnknownDelivery, Outcome};

use super::work::{enqueue_once, plain, post};
use crate::part::{Act, Answer, Last, PLAIN, POST, Part, RECURRING};
use crate::play::Play;
use crate::stage::Stage;

const HOUR: Duration = Duration::from_secs(3_600);

pub(super) const FIRST_START: &[Part] = &[PLAIN.named("first"), POST.named("second")];

pub(super) async fn first_start(stage: &Stage) -> Result<(), String> {
    let play = Play::begin(stage).await?;
    enqueue_once(&play, "first", || NewJob::new(plain("first"))).await?;
    enqueue_once(&play, "second", || NewJob::new(post("second"))).await?;
    play.quiet().await?;
    play.end().await
}

/// The first three are in the file of the first version.
pub(super) const UPGRADE: &[Part] = &[
    PLAIN.named("old-1").made_by(""),
    POST.named("old-2").made_by(""),
    PLAIN.named("old-later").made_by(""),
    PLAIN.named("new"),
];

pub(super) async fn upgrade(stage: &Stage) -> Result<(), String> {
    let play = Play::begin(stage).await?;
    enqueue_once(&play, "new", || NewJob::new(plain("new"))).await?;
    play.quiet().await?;
    play.pass_to(HOUR).await?;
    play.end().await
}

/// What the dead process was doing.
pub(super) const RECOVERY: &[Part] = &[
    POST.named("rerun").made_by("").acts(&[Act::AwaitStop, Act::Succeed]).after(1, 0),
    Part { on_interrupt: mainspring::OnInterrupt::AssumeRan, ..PLAIN.named("assume-ran").made_by("") }
        .acts(&[Act::AwaitStop])
        .after(1, 0)
        .last(Last::LeftInterrupted),
    Part { on_unknown_delivery: OnUnknownDelivery::Hold, ..POST.named("hold").made_by("") }
        .after(1, 1)
        .last(Last::Run(Outcome::Succeeded, Delivery::Unknown)),
    POST.named("resend").made_by("").answers(&[Answer::Unknown, Answer::Accept]).after(1, 1),
    POST.named("pending").made_by("").after(1, 0),
    PLAIN.named("waiting").made_by(""),
    RECURRING.named("recurring").made_by("").after(0, 0),
    PLAIN.named("new"),
];

pub(super) async fn recovery(stage: &Stage) -> Result<(), String> {
    let play = Play::begin(stage).await?;
    enqueue_once(&play, "new", || NewJob::new(plain("new"))).await?;
    play.quiet().await?;
    play.pass_to(HOUR).await?;
    play.end().await
}

pub(super) const RESTART: &[Part] = &[
    POST.named("before"),
    PLAIN.named("while-down").made_by("while-down"),
    PLAIN.named("later"),
    POST.named("after"),
];

pub(super) async fn restart(stage: &Stage) -> Result<(), String> {
    let mut play = Play::begin(stage).await?;
    enqueue_once(&play, "before", || NewJob::new(post("before"))).await?;
    enqueue_once(&play, "later", || NewJob::new(plain("later")).after(HOUR)).await?;
    play.quiet().await?;
    // An engine that stops, and another one on the same handle.
    play.stop().await?;
    enqueue_once(&play, "while-down", || NewJob::new(plain("while-down"))).await?;
    play.start().await?;
    play.quiet().await?;
    play.end().await?;

    play = Play::begin(stage).await?;
    enqueue_once(&play, "after", || NewJob::new(post("after"))).await?;
    play.quiet().await?;
    play.pass_to(HOUR).await?;
    play.end().await
}

pub(super) const TWO_ENGINES: &[Part] = &[
    POST.named("a1"),
    PLAIN.named("a2"),
    PLAIN.named("b1"),
    POST.named("b2"),
    POST.named("a3"),
    PLAIN.named("b-later"),
];

pub(super) async fn two_engines(stage: &Stage) -> Result<(), String> {
    let first = Play::begin(stage).await?;
    let second = Play::begin_with(stage, &stage.healthy_options()).await?;
    enqueue_once(&first, "a1", || NewJob::new(post("a1"))).await?;
    enqueue_once(&second, "b1", || NewJob::new(plain("b1"))).await?;
    enqueue_once(&first, "a2", || NewJob::new(plain("a2"))).await?;
    enqueue_once(&second, "b2", || NewJob::new(post("b2"))).await?;
    enqueue_once(&second, "b-later", || NewJob::new(plain("b-later")).after(HOUR)).await?;
    first.quiet().await?;
    enqueue_once(&first, "a3", || NewJob::new(post("a3"))).await?;
    first.quiet().await?;
    first.end().await?;
    second.pass_to(HOUR).await?;
    second.end().await
}
