//! The kinds of jobs of the example, and the code that runs and delivers them.

use std::path::PathBuf;

use chrono::Weekday;
use mainspring::{
    BoxError, DeliveryContext, DeliveryError, Failure, Handler, JobArgs, Queue, Receipt, RunContext,
};
use serde::{Deserialize, Serialize};

use crate::agenda::{Agenda, tally};
use crate::outbox::Outbox;
use crate::story;

/// Builds a briefing from an agenda and delivers it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Briefing {
    pub agenda: PathBuf,
}

impl JobArgs for Briefing {
    const KIND: &'static str = "briefing";
}

/// Delivers a text.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reminder {
    pub text: String,
}

impl JobArgs for Reminder {
    const KIND: &'static str = "reminder";
}

/// Looks whether the queue does its work.
#[derive(Debug, Serialize, Deserialize)]
pub struct HealthCheck {}

impl JobArgs for HealthCheck {
    const KIND: &'static str = "health_check";
}

/// Counts the entries of one day of the week.
#[derive(Debug, Serialize, Deserialize)]
pub struct Tally {
    pub agenda: PathBuf,
    pub day: String,
}

impl JobArgs for Tally {
    const KIND: &'static str = "tally";
}

/// Runs and delivers what goes to the outbox.
#[derive(Clone, Debug)]
pub struct Secretary {
    pub outbox: Outbox,
}

impl Handler<Briefing> for Secretary {
    type Output = String;

    /// `?` on any error means: try again, with the job's backoff.
    async fn run(&self, args: Briefing, cx: RunContext) -> Result<String, Failure> {
        let agenda = tokio::task::spawn_blocking(move || Agenda::read(&args.agenda)).await??;
        // The day that the occurrence is for, not the day that it happens to be now: a run may be late.
        let day = cx.scheduled_for().to_datetime().with_timezone(&agenda.zone).date_naive();
        let text = agenda.briefing(day);
        tracing::info!(lines = text.lines().count(), "the handler has built the briefing from the agenda");
        Ok(text)
    }

    /// The text is on disk as the output of a finished run: a crash from here on never builds it again.
    async fn deliver(&self, text: String, cx: DeliveryContext) -> Result<Receipt, DeliveryError> {
        hand_over(&self.outbox, &text, &cx).await
    }
}

impl Handler<Reminder> for Secretary {
    type Output = String;

    async fn run(&self, args: Reminder, _cx: RunContext) -> Result<String, Failure> {
        Ok(args.text)
    }

    async fn deliver(&self, text: String, cx: DeliveryContext) -> Result<Receipt, DeliveryError> {
        hand_over(&self.outbox, &text, &cx).await
    }
}

async fn hand_over(outbox: &Outbox, text: &str, cx: &DeliveryContext) -> Result<Receipt, DeliveryError> {
    let receipt = outbox.deliver(text, cx).await?;
    tracing::info!(key = cx.idempotency_key(), "the outbox has it");
    story::quote(text);
    Ok(receipt)
}

/// Work without delivery is a plain function; this one holds on to the queue that it looks after.
pub fn health_check(queue: Queue) -> impl Handler<HealthCheck> {
    move |_: HealthCheck, _: RunContext| {
        let queue = queue.clone();
        async move {
            if let Some(stalled) = queue.health().await?.stalled {
                return Err(Failure::new(stalled));
            }
            let status = queue.status().await?;
            tracing::info!(ready = status.ready, scheduled = status.scheduled, "all is well");
            Ok(())
        }
    }
}

/// Code that blocks its thread is a plain function too. What it returns is kept with the run.
pub fn count(args: Tally, _: RunContext) -> Result<String, BoxError> {
    let day: Weekday = args.day.parse().map_err(|_| Failure::discard(format!("{:?} is no day", args.day)))?;
    let text = format!("{}: {}", args.day, tally(Agenda::read(&args.agenda)?.of(day)));
    tracing::info!("{text}");
    Ok(text)
}
