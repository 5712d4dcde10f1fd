//! What every task of one engine's life has at hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::erased::Handlers;
use super::pulse::Pulse;
use super::writer::Writer;
use crate::job::Limits;
use crate::time::Timestamp;

/// So many outputs are at hand for each delivery that may be under way, so that one follows another without a look
/// into the file.
const OUTPUTS_PER_DELIVERY: usize = 4;

/// Shared by reference; nothing in it is changed but counters and tokens.
pub(super) struct Env<W> {
    pub(super) writer: W,
    pub(super) handlers: Handlers,
    pub(super) limits: Limits,
    /// The start of every idempotency key.
    pub(super) key_prefix: Arc<str>,
    /// One permit for each delivery that may be under way.
    pub(super) deliveries: Arc<Semaphore>,
    /// One permit for each output of a run that is kept in memory until it is delivered; the others wait in the file.
    pub(super) outputs: Arc<Semaphore>,
    /// Cancelled when the time of a shutdown is over: whatever still runs is asked to stop.
    pub(super) time_is_over: CancellationToken,
    pub(super) pulse: Pulse,
    /// Handlers that did not stop when their run was taken from them.
    pub(super) left_behind: AtomicUsize,
}

impl<W: Writer> Env<W> {
    pub(super) fn new(writer: W, handlers: Handlers, deliveries: usize) -> Self {
        Self {
            handlers,
            limits: writer.limits(),
            key_prefix: crate::run::key_prefix(writer.database_uuid()),
            deliveries: Arc::new(Semaphore::new(deliveries)),
            outputs: Arc::new(Semaphore::new(deliveries.saturating_mul(OUTPUTS_PER_DELIVERY))),
            time_is_over: CancellationToken::new(),
            pulse: Pulse::default(),
            left_behind: AtomicUsize::new(0),
            writer,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.writer.clock().now()
    }

    /// Counts a handler that goes on although its run was taken from it, until the guard is dropped.
    pub(super) fn leave_behind(self: &Arc<Self>) -> LeftBehind<W> {
        self.left_behind.fetch_add(1, Ordering::Relaxed);
        LeftBehind(Arc::clone(self))
    }
}

/// Stands for a handler that was left behind.
pub(super) struct LeftBehind<W>(Arc<Env<W>>);

impl<W> Drop for LeftBehind<W> {
    fn drop(&mut self) {
        self.0.left_behind.fetch_sub(1, Ordering::Relaxed);
    }
}
