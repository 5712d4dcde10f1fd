//! A life on the file: readers, an engine, an operator, and a job with which nothing is wrong.

use std::time::Duration;

use mainspring::testing::ManualClock;
use mainspring::{Engine, EngineHandle, NewJob, Queue};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::ask::{operate, read};
use super::work::{FINE, Hands, Work};
use crate::Verdict;
use crate::dice::Dice;
use crate::errors::{answer, judge, printable};
use crate::file::{self, Copy};
use crate::hostile::say;

/// How long the fine job is waited for. It takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often health is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(20);

pub(super) async fn live(copy: &Copy, checked: bool, dice: &mut Dice) -> Verdict {
    let clock = file::clock();
    clock.advance(Duration::from_secs(5 * 3_600));
    let queue = file::open(&copy.path, &clock).map_err(|error| format!("it cannot be opened: {error}"))?;
    read(&queue, dice).await?;
    let (sender, calls) = unbounded_channel();
    let engine = Hands::new(sender, false).engine(Engine::builder(queue.clone()));
    let engine = engine.build().map_err(|error| error.to_string())?;
    let engine = engine.start().await.map_err(|error| format!("no engine starts on it: {error}"))?;
    let mut fine = Fine { queue: &queue, calls, checked };
    fine.runs("first").await?;
    for (n, hours) in [1, 60, 24 * 40].into_iter().enumerate() {
        clock.advance(Duration::from_secs(hours * 3_600));
        fine.runs(&format!("after {hours} hours")).await?;
        if n == 0 {
            operate(&queue, dice).await?;
        }
    }
    healthy(&queue, &engine, checked).await?;
    read(&queue, dice).await?;
    back(&clock, &mut fine).await?;
    answer("shutdown", engine.shutdown(Duration::from_secs(5)).await)?;
    answer("close", queue.close().await).map(drop)
}

/// The clock is set back behind everything that has happened.
async fn back(clock: &ManualClock, fine: &mut Fine<'_>) -> Verdict {
    clock.set(mainspring::Timestamp::from_millis(crate::hostile::NOW_MS));
    fine.runs("with the clock set back").await
}

/// Jobs with which nothing is wrong.
struct Fine<'a> {
    queue: &'a Queue,
    calls: UnboundedReceiver<String>,
    /// Whether the schema let all of it through.
    checked: bool,
}

impl Fine<'_> {
    /// One is taken and run; or, where rows are on the file that cannot be, health tells why not.
    async fn runs(&mut self, when: &str) -> Verdict {
        let text = format!("fine {when}");
        let job = NewJob::new(Work::new(&text)).queue(FINE);
        match self.queue.enqueue(job).await {
            Ok(_) => {}
            Err(error) if self.checked => return Err(format!("a fine job is refused {when}: {error}")),
            Err(error) => return judge("enqueue", &error),
        }
        match tokio::time::timeout(PATIENCE, self.called(&text)).await {
            Ok(true) => {
                say(|| format!("a fine job runs {when}"));
                Ok(())
            }
            _ => {
                let health = self.queue.health().await.map(|health| health.last_error);
                Err(format!("a fine job does not run {when}: {health:?}"))
            }
        }
    }

    async fn called(&mut self, text: &str) -> bool {
        loop {
            match tokio::time::timeout(LOOK, self.calls.recv()).await {
                Ok(Some(call)) if call == text => return true,
                Ok(Some(_)) => {}
                Ok(None) => return false,
                Err(_) if self.checked => {}
                Err(_) => {
                    if self.queue.health().await.is_ok_and(|health| health.last_error.is_some()) {
                        return true;
                    }
                }
            }
        }
    }
}

/// What the schema lets through is no reason for the engine to be unwell.
async fn healthy(queue: &Queue, engine: &EngineHandle, checked: bool) -> Verdict {
    let Some(health) = answer("health", queue.health().await)? else { return Ok(()) };
    for error in [health.last_error, engine.health().last_error].into_iter().flatten() {
        printable("the error of the health", &error)?;
        if checked || error.contains("panicked") {
            return Err(format!("the engine is not well: {error}"));
        }
        say(|| format!("health: {error}"));
    }
    Ok(())
}
