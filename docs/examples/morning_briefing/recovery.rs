//! What the last start left, before and after the engine has recovered it.

use std::time::Duration;

use mainspring::{Delivery, Outcome, Queue, Run};

use crate::outbox::Outbox;
use crate::story::{local, say};
use crate::{BRIEFING, Setting};

/// As many runs are looked at; a process that dies leaves at most one open run of a job that does not overlap.
const NEWEST: u32 = 20;

/// Runs that were not over when this process started.
#[derive(Debug)]
pub struct Left {
    runs: Vec<Run>,
}

impl Left {
    /// Looks before an engine runs.
    pub async fn find(queue: &Queue) -> mainspring::Result<Self> {
        let mut runs = match queue.runs(BRIEFING, NEWEST).await {
            Err(error) if error.is_not_found() => Vec::new(),
            runs => runs?,
        };
        runs.retain(|run| run.completion.as_ref().is_none_or(|it| !it.delivery.is_settled()));
        runs.reverse();
        Ok(Self { runs })
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Looks again, while the engine recovers them, and says what has become of them.
    pub async fn tell(&self, queue: &Queue, outbox: &Outbox, setting: &Setting<'_>) -> crate::Result<()> {
        for before in &self.runs {
            let after = settled(queue, before).await?;
            let key = queue.idempotency_key(&after);
            let lines = outbox.lines()?.iter().filter(|(delivered, _)| *delivered == key).count();
            let occurrence = local(after.scheduled_for.to_datetime(), setting.zone, chrono::Utc::now());
            say(format_args!("recovered   run {} for {occurrence}: {}", after.id, found(before)));
            say(format_args!("            {}", became(&after)));
            say(format_args!("            lines of {key} in the outbox: {lines}"));
        }
        Ok(())
    }
}

/// The run once there is nothing left for recovery to do. Recovery is the first thing that an engine does; what is
/// not settled after this long is in the hands of another process that lives.
async fn settled(queue: &Queue, before: &Run) -> mainspring::Result<Run> {
    let until = tokio::time::Instant::now() + Duration::from_secs(3);
    loop {
        let run = queue.run(before.id).await?;
        let is_settled = run.completion.as_ref().is_some_and(|it| it.delivery.is_settled());
        if is_settled || tokio::time::Instant::now() > until {
            return Ok(run);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What the file said when this process started.
fn found(run: &Run) -> &'static str {
    match run.completion.as_ref().map(|it| it.delivery) {
        None => "its process ended before it could record how it went",
        Some(Delivery::Started) => "its delivery was begun, and nobody recorded an answer",
        Some(_) => "it succeeded, and its delivery was not begun",
    }
}

/// What the engine made of it.
fn became(run: &Run) -> String {
    let Some(done) = &run.completion else {
        return "it is still open: another process is alive and has it".to_owned();
    };
    let text = match (done.outcome, done.delivery) {
        (Outcome::Interrupted, _) => {
            "interrupted: recorded, not repeated (assume_ran); the next occurrence comes by itself"
        }
        (_, Delivery::Delivered) => "delivered from the stored output; the handler was not called again",
        (_, Delivery::Unknown) => {
            "unknown: listed, not sent again by itself (hold); `redeliver` would send the same text"
        }
        (outcome, delivery) => return format!("{outcome}, its delivery is {delivery}"),
    };
    text.to_owned()
}
