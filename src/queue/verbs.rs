//! What each method that writes does in its transaction; the async and the blocking methods share it.

use super::JobKey;
use crate::core::Promise;
use crate::error::Result;
use crate::job::{Enqueued, JobSpec, Scheduled};
use crate::run::{RequestId, RunId};
use crate::schedule::Calendar;
use crate::store::cancel::{self, Cancelled};
use crate::store::replace_all::Converged;
use crate::store::{Tx, calendars, enqueue, pause, redeliver, replace_all, run_now, schedule};
use crate::time::Timestamp;

/// A function over a transaction, and what its commit promises.
pub(super) struct Verb<F> {
    pub(super) promise: Promise,
    /// Whether it may stop or end open runs.
    pub(super) stops: bool,
    pub(super) run: F,
}

fn kept<T, F: FnMut(&Tx<'_>, Timestamp) -> Result<T>>(run: F) -> Verb<F> {
    Verb { promise: Promise::Kept, stops: false, run }
}

fn stopping<T, F: FnMut(&Tx<'_>, Timestamp) -> Result<T>>(run: F) -> Verb<F> {
    Verb { promise: Promise::Kept, stops: true, run }
}

/// A function that can be driven again after a commit that failed.
pub(super) trait Transaction<T>: FnMut(&Tx<'_>, Timestamp) -> Result<T> + Send + 'static {}
impl<T, F: FnMut(&Tx<'_>, Timestamp) -> Result<T> + Send + 'static> Transaction<T> for F {}

pub(super) fn enqueue(spec: JobSpec) -> Verb<impl Transaction<Enqueued>> {
    kept(move |tx, now| enqueue::enqueue(tx, &spec, now))
}

pub(super) fn enqueue_many(specs: Vec<JobSpec>) -> Verb<impl Transaction<Vec<Enqueued>>> {
    kept(move |tx, now| enqueue::enqueue_many(tx, &specs, now))
}

pub(super) fn schedule(spec: JobSpec) -> Verb<impl Transaction<Scheduled>> {
    kept(move |tx, now| schedule::schedule(tx, &spec, now))
}

pub(super) fn replace_all(label: String, specs: Vec<JobSpec>) -> Verb<impl Transaction<Converged>> {
    stopping(move |tx, now| replace_all::replace_all(tx, &label, &specs, now))
}

pub(super) fn store_calendar(name: String, calendar: Calendar) -> Verb<impl Transaction<()>> {
    kept(move |tx, now| calendars::store(tx, &name, &calendar, now))
}

pub(super) fn pause(key: JobKey, reason: Option<String>) -> Verb<impl Transaction<()>> {
    kept(move |tx, now| pause::pause(tx, key.resolve(tx)?, reason.as_deref(), now))
}

pub(super) fn resume(key: JobKey) -> Verb<impl Transaction<()>> {
    kept(move |tx, now| pause::resume(tx, key.resolve(tx)?, now))
}

pub(super) fn pause_queue(name: String, reason: Option<String>) -> Verb<impl Transaction<()>> {
    kept(move |tx, now| pause::pause_queue(tx, &name, reason.as_deref(), now))
}

pub(super) fn resume_queue(name: String) -> Verb<impl Transaction<()>> {
    kept(move |tx, now| pause::resume_queue(tx, &name, now))
}

pub(super) fn run_now(key: JobKey) -> Verb<impl Transaction<RequestId>> {
    kept(move |tx, now| run_now::run_now(tx, key.resolve(tx)?, now))
}

pub(super) fn backfill(key: JobKey, from: Timestamp, to: Timestamp) -> Verb<impl Transaction<usize>> {
    kept(move |tx, now| run_now::backfill(tx, key.resolve(tx)?, from, to, now))
}

pub(super) fn retry(key: JobKey) -> Verb<impl Transaction<()>> {
    kept(move |tx, now| cancel::retry(tx, key.resolve(tx)?, now))
}

pub(super) fn redeliver(run: RunId) -> Verb<impl Transaction<()>> {
    kept(move |tx, now| redeliver::redeliver(tx, run, now))
}

pub(super) fn cancel(key: JobKey) -> Verb<impl Transaction<Cancelled>> {
    stopping(move |tx, now| cancel::cancel_job(tx, key.resolve(tx)?, now))
}

pub(super) fn cancel_run(run: RunId) -> Verb<impl Transaction<Cancelled>> {
    stopping(move |tx, now| cancel::cancel_run(tx, run, now))
}

pub(super) fn release(run: RunId, again: bool) -> Verb<impl Transaction<()>> {
    stopping(move |tx, now| cancel::release(tx, run, again, now).map(|_| ()))
}

pub(super) fn remove(key: JobKey) -> Verb<impl Transaction<Cancelled>> {
    stopping(move |tx, now| cancel::remove(tx, key.resolve(tx)?, now))
}
