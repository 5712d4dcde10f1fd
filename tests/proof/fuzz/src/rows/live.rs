//! A life on the file: readers, an engine, an operator, and a job with which nothing is wrong.

use std::time::Duration;

use mainspring::testing::ManualClock;
use mainspring::{Engine, EngineHandle, NewJob, Queue};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::ask::{operate, read};
use super::work::{FINE, Hands, Work};
use crate::Verdict;
use crate::dice::Dice;
use crate::errors::{answer, printable};
use crate::file::{self, Copy};
use crate::hostile::say;

/// How long the fine job is waited for. It takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn live(copy: &Copy, dice: &mut Dice) -> Verdict {
    let clock = file::clock();
    clock.advance(Duration::from_secs(5 * 3_600));
    let queue = file::open(&copy.path, &clock).map_err(|error| format!("it cannot be opened: {error}"))?;
    read(&queue, dice).await?;
    let (sender, mut calls) = unbounded_channel();
    let engine = Hands::new(sender, false).engine(Engine::builder(queue.clone()));
    let engine = engine.build().map_err(|error| error.to_string())?;
    let engine = engine.start().await.map_err(|error| format!("no engine starts on it: {error}"))?;
    fine(&queue, &mut calls, "first").await?;
    for (n, hours) in [1, 60, 24 * 40].into_iter().enumerate() {
        clock.advance(Duration::from_secs(hours * 3_600));
        fine(&queue, &mut calls, &format!("after {hours} hours")).await?;
        if n == 0 {
            operate(&queue, dice).await?;
        }
    }
    healthy(&queue, &engine).await?;
    read(&queue, dice).await?;
    back(&clock, &queue, &mut calls).await?;
    answer("shutdown", engine.shutdown(Duration::from_secs(5)).await)?;
    answer("close", queue.close().await).map(drop)
}

/// The clock is set back behind everything that has happened.
async fn back(clock: &ManualClock, queue: &Queue, calls: &mut UnboundedReceiver<String>) -> Verdict {
    clock.set(mainspring::Timestamp::from_millis(crate::hostile::NOW_MS));
    fine(queue, calls, "with the clock set back").await
}

/// A job with which nothing is wrong is taken and run.
async fn fine(queue: &Queue, calls: &mut UnboundedReceiver<String>, when: &str) -> Verdict {
    let text = format!("fine {when}");
    let job = NewJob::new(Work::new(&text)).queue(FINE);
    queue.enqueue(job).await.map_err(|error| format!("a fine job is refused {when}: {error}"))?;
    let called = async {
        while let Some(call) = calls.recv().await {
            if call == text {
                return true;
            }
        }
        false
    };
    match tokio::time::timeout(PATIENCE, called).await {
        Ok(true) => {
            say(|| format!("a fine job runs {when}"));
            Ok(())
        }
        _ => {
            let health = queue.health().await.map(|health| health.last_error);
            Err(format!("a fine job does not run {when}: {health:?}"))
        }
    }
}

/// Whatever stands in the rows, it is no reason for the engine to be unwell.
async fn healthy(queue: &Queue, engine: &EngineHandle) -> Verdict {
    let Some(health) = answer("health", queue.health().await)? else { return Ok(()) };
    for error in [health.last_error, engine.health().last_error].into_iter().flatten() {
        printable("the error of the health", &error)?;
        return Err(format!("the engine is not well: {error}"));
    }
    Ok(())
}
