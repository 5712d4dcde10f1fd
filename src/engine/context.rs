//! What a handler is told about the run or the delivery that it is called for.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::handover::Handover;
use crate::core::messages::ClaimedRun;
use crate::job::JobId;
use crate::plan::Trigger;
use crate::run::{RunId, idempotency_key};
use crate::time::{Clock, Timestamp};

/// What a handler knows of the run that it is called for. Cheap to clone.
#[derive(Clone)]
pub struct RunContext {
    inner: Arc<RunFacts>,
}

struct RunFacts {
    claim: ClaimedRun,
    key_prefix: Arc<str>,
    timeout: Option<Duration>,
    token: CancellationToken,
    clock: Arc<dyn Clock>,
    started: OnceLock<Started>,
}

/// When the handler was called, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Started {
    /// For people and rows.
    pub(super) at: Timestamp,
    /// For the timeout: it is not moved when somebody sets the wall clock.
    pub(super) instant: Instant,
}

impl RunContext {
    pub(super) fn new(
        claim: ClaimedRun,
        key_prefix: Arc<str>,
        timeout: Option<Duration>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let token = CancellationToken::new();
        Self {
            inner: Arc::new(RunFacts { claim, key_prefix, timeout, token, clock, started: OnceLock::new() }),
        }
    }

    pub(super) fn claim(&self) -> &ClaimedRun {
        &self.inner.claim
    }

    /// Notes that the handler is called now. The timeout counts from here and not from the claim, since a busy
    /// runtime may call a handler late.
    pub(super) fn begin(&self) {
        let now = Started { at: self.inner.clock.now(), instant: Instant::now() };
        self.inner.started.get_or_init(|| now);
    }

    /// When the handler was called, if it was.
    pub(super) fn started(&self) -> Option<Started> {
        self.inner.started.get().copied()
    }

    /// The job.
    pub fn job_id(&self) -> JobId {
        self.inner.claim.job_id
    }

    /// This run: one attempt at one occurrence.
    pub fn run_id(&self) -> RunId {
        self.inner.claim.run_id
    }

    /// The job's name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.inner.claim.name.as_deref()
    }

    /// Which attempt at the occurrence this is; 1 for the first. Snoozes and interruptions make attempts too.
    pub fn attempt(&self) -> u32 {
        self.inner.claim.attempt
    }

    /// The instant that the schedule named; for a run by hand the time of the request.
    pub fn scheduled_for(&self) -> Timestamp {
        self.inner.claim.scheduled_for
    }

    /// Why it runs.
    pub fn trigger(&self) -> Trigger {
        self.inner.claim.trigger
    }

    /// When the handler was called.
    pub fn started_at(&self) -> Timestamp {
        self.started().map_or(self.inner.claim.claimed_at, |started| started.at)
    }

    /// How long after its occurrence the handler was called; zero if the clock was moved back.
    pub fn lateness(&self) -> Duration {
        self.started_at().since(self.scheduled_for())
    }

    /// The same text for every attempt at this occurrence and for its delivery, and for no other: what a
    /// receiver needs to recognise a repetition.
    pub fn idempotency_key(&self) -> String {
        let claim = &self.inner.claim;
        idempotency_key(&self.inner.key_prefix, claim.job_id, claim.scheduled_for, claim.request_id)
    }

    /// When the handler is asked to stop; `None` if the job has no timeout.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.inner.timeout.map(|timeout| self.started_at().plus(timeout))
    }

    /// Whether the handler shall stop: its timeout passed, somebody cancelled the run or took it away, or the
    /// engine shuts down.
    pub fn is_cancelled(&self) -> bool {
        self.inner.token.is_cancelled()
    }

    /// Resolves when the handler shall stop. What it returns then is recorded if it comes within the job's
    /// grace; after that the run is taken from it.
    pub async fn cancelled(&self) {
        self.inner.token.cancelled().await;
    }

    /// The token behind [`cancelled`](Self::cancelled), to hand on. Cancelling it stops nothing but the handler.
    pub fn token(&self) -> &CancellationToken {
        &self.inner.token
    }
}

impl std::fmt::Debug for RunContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunContext")
            .field("job_id", &self.job_id())
            .field("run_id", &self.run_id())
            .field("attempt", &self.attempt())
            .field("scheduled_for", &self.scheduled_for())
            .finish_non_exhaustive()
    }
}

/// What a handler knows of the delivery that it is called for. Cheap to clone.
#[derive(Clone)]
pub struct DeliveryContext {
    inner: Arc<Handover>,
    attempt: u32,
    token: CancellationToken,
    begun: Arc<OnceLock<Instant>>,
}

impl DeliveryContext {
    pub(super) fn new(handover: Arc<Handover>, attempt: u32) -> Self {
        Self { inner: handover, attempt, token: CancellationToken::new(), begun: Arc::default() }
    }

    /// Notes that the handler is called now: its timeout counts from here.
    pub(super) fn begin(&self) {
        self.begun.get_or_init(Instant::now);
    }

    pub(super) fn begun(&self) -> Option<Instant> {
        self.begun.get().copied()
    }

    pub(super) fn output(&self) -> &str {
        &self.inner.output
    }

    /// The job; it may have been removed since.
    pub fn job_id(&self) -> JobId {
        self.inner.job_id
    }

    /// The run whose output this is.
    pub fn run_id(&self) -> RunId {
        self.inner.run_id
    }

    /// The job's name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.inner.name.as_deref()
    }

    /// Which delivery of this output is being tried; 1 for the first.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The occurrence that the output is for.
    pub fn scheduled_for(&self) -> Timestamp {
        self.inner.scheduled_for
    }

    /// The same text as in [`RunContext::idempotency_key`], for every attempt at the delivery.
    pub fn idempotency_key(&self) -> String {
        self.inner.idempotency_key.clone()
    }

    /// Whether the delivery shall stop: its timeout passed or the engine shuts down.
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Resolves when the delivery shall stop.
    pub async fn cancelled(&self) {
        self.token.cancelled().await;
    }

    /// The token behind [`cancelled`](Self::cancelled), to hand on.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }
}

impl std::fmt::Debug for DeliveryContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeliveryContext")
            .field("job_id", &self.job_id())
            .field("run_id", &self.run_id())
            .field("attempt", &self.attempt)
            .field("scheduled_for", &self.scheduled_for())
            .finish_non_exhaustive()
    }
}
