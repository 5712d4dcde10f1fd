//! How an engine ends: no more claims, then patience, then a word, then the door.

use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::delivery::DeliveryEnd;
use super::dispatch::Dispatcher;
use super::log;
use super::supervise::{SHUTDOWN_GRACE, later, sleep_until};
use super::worker::{Record, RunEnd};
use super::writer::Writer;
use crate::error::{Error, Result};
use crate::run::Outcome;

/// How long the last records may take after everything was asked to stop. A disk that is stuck for longer must
/// not keep the process from ending: what is not recorded is recovered.
const RECORDING: Duration = Duration::from_secs(10);

/// What a shutdown found and left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Runs that ended by themselves after the shutdown had begun.
    pub finished: u32,
    /// Runs that were asked to stop and are on record as interrupted.
    pub interrupted: u32,
    /// Runs that somebody else ended.
    pub lost: u32,
    /// Deliveries that got an answer.
    pub settled: u32,
    /// Deliveries that are on record as unknown.
    pub unknown: u32,
    /// Deliveries that were not begun: the next engine begins them.
    pub handed_back: u32,
    /// Runs and deliveries whose end is not on record: recovery settles them.
    pub unrecorded: u32,
    /// Handlers that did not stop. Blocking ones keep their thread, and with it the runtime, until they return.
    pub left_behind: u32,
}

impl ShutdownReport {
    pub(super) fn count_run(&mut self, end: &RunEnd) {
        *match end.record {
            Record::Ended(Outcome::Interrupted) => &mut self.interrupted,
            Record::Ended(_) => &mut self.finished,
            Record::Anothers => &mut self.lost,
            Record::Nothing => &mut self.unrecorded,
        } += 1;
    }

    pub(super) fn count_delivery(&mut self, end: DeliveryEnd) {
        *match end {
            DeliveryEnd::Settled => &mut self.settled,
            DeliveryEnd::Unknown => &mut self.unknown,
            DeliveryEnd::NotBegun => &mut self.handed_back,
            DeliveryEnd::Unrecorded => &mut self.unrecorded,
        } += 1;
    }
}

impl<W: Writer> Dispatcher<W> {
    /// Stops within `patience`, plus the grace, plus the time for the last records; no later, whatever hangs.
    ///
    /// # Errors
    /// Those of the writer. The report is logged all the same.
    pub(super) async fn shut_down(mut self, patience: Duration) -> Result<ShutdownReport> {
        self.env.pulse.set_stopping();
        let patience_ends = later(Instant::now(), patience);
        let mut claims = self.stop_claiming();
        let mut result = Ok(());
        if !self.drain(&mut claims, patience_ends, &mut result).await {
            self.env.time_is_over.cancel();
            let end = later(Instant::now(), SHUTDOWN_GRACE + RECORDING);
            if !self.drain(&mut claims, end, &mut result).await {
                self.give_up();
            }
        }
        // Deliveries that come to light from here on are handed back with the rest.
        self.env.time_is_over.cancel();
        let detached = self.detach().await;
        let report = self.report();
        log::engine_stopped(self.owner, &report);
        result.and(detached).map(|()| report)
    }

    /// In a task of its own: a writer that hangs must not keep the runs from ending.
    fn stop_claiming(&self) -> Option<JoinHandle<Result<()>>> {
        let (writer, owner) = (self.env.writer.clone(), self.owner);
        Some(tokio::spawn(async move { writer.stop_claiming(owner).await }))
    }

    /// Goes on until nothing is left in hand, or until `end`; says which.
    async fn drain(
        &mut self,
        claims: &mut Option<JoinHandle<Result<()>>>,
        end: Option<Instant>,
        result: &mut Result<()>,
    ) -> bool {
        let over = sleep_until(end);
        tokio::pin!(over);
        loop {
            if claims.is_none() && self.is_idle() {
                return true;
            }
            tokio::select! {
                () = &mut over => return false,
                stopped = joined(claims) => {
                    *claims = None;
                    if let Err(why) = &stopped {
                        log::shutdown_step_failed(self.owner, "stop claiming", why);
                    }
                    *result = std::mem::replace(result, Ok(())).and(stopped);
                }
                () = self.next() => {}
            }
        }
    }

    /// What is still in hand stays open in the file. It is not waited for: its owner ends now.
    fn give_up(&mut self) {
        let left = self.runs.len() + self.deliveries.len();
        self.report.unrecorded =
            self.report.unrecorded.saturating_add(u32::try_from(left).unwrap_or(u32::MAX));
        self.runs.abort_all();
        self.deliveries.abort_all();
    }

    async fn detach(&self) -> Result<()> {
        let detach = self.env.writer.detach(self.owner);
        let timely = tokio::time::timeout(RECORDING, detach).await;
        let detached = timely.unwrap_or(Err(Error::Busy { waited_ms: RECORDING.as_millis() as u64 }));
        if let Err(why) = &detached {
            log::shutdown_step_failed(self.owner, "detach", why);
        }
        detached
    }
}

/// Never resolves if there is no such task.
async fn joined(task: &mut Option<JoinHandle<Result<()>>>) -> Result<()> {
    match task {
        None => std::future::pending().await,
        Some(task) => task.await.unwrap_or_else(|why| {
            log::task_failed("stop claiming", &why);
            Err(Error::Closed)
        }),
    }
}
