//! A job that is about to be written: the builder, and what it becomes once its type is erased.

use std::fmt;
use std::time::Duration;

use super::{JobArgs, Limits, OnDuplicate};
use crate::error::{Error, Result};
use crate::plan::{CatchUp, Overlap};
use crate::policy::{Backoff, OnInterrupt, OnUnknownDelivery, Policies};
use crate::schedule::Schedule;
use crate::time::{Timestamp, millis_of};

/// A job to enqueue or to schedule, with its options.
///
/// ```
/// # use mainspring::{JobArgs, NewJob};
/// # use serde::{Deserialize, Serialize};
/// # use std::time::Duration;
/// # #[derive(Serialize, Deserialize)] struct Resize { path: String }
/// # impl JobArgs for Resize { const KIND: &'static str = "resize"; }
/// let job = NewJob::new(Resize { path: "a.png".into() })
///     .queue("images")
///     .priority(5)
///     .unique("a.png")
///     .timeout(Duration::from_secs(30));
/// ```
#[must_use = "a job does nothing until it is enqueued or scheduled"]
pub struct NewJob<A> {
    args: A,
    when: When,
    queue: String,
    priority: i32,
    unique: Option<UniqueKey>,
    expires: Option<When>,
    on_interrupt: Option<OnInterrupt>,
    on_unknown_delivery: Option<OnUnknownDelivery>,
    overlap: Overlap,
    enabled: bool,
    allow_past: bool,
    policies: Policies,
}

/// A time that is fixed only when the job is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Now,
    After(Duration),
    At(Timestamp),
}

impl When {
    fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Now => now,
            Self::After(delay) => now.plus(delay),
            Self::At(instant) => instant,
        }
    }
}

/// A unique key and what to do when it is held.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UniqueKey {
    pub(crate) key: String,
    pub(crate) on_duplicate: OnDuplicate,
}

/// Without its arguments: they may hold what nobody is to read in a log.
impl<A: JobArgs> fmt::Debug for NewJob<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewJob")
            .field("kind", &A::KIND)
            .field("when", &self.when)
            .field("queue", &self.queue)
            .field("priority", &self.priority)
            .field("unique", &self.unique)
            .field("policies", &self.policies)
            .finish_non_exhaustive()
    }
}

impl<A: JobArgs> From<A> for NewJob<A> {
    fn from(args: A) -> Self {
        Self::new(args)
    }
}

impl<A: JobArgs> NewJob<A> {
    /// A job with these arguments and every option at its default: now, queue `default`, priority 0.
    pub fn new(args: A) -> Self {
        Self {
            args,
            when: When::Now,
            queue: "default".to_owned(),
            priority: 0,
            unique: None,
            expires: None,
            on_interrupt: None,
            on_unknown_delivery: None,
            overlap: Overlap::default(),
            enabled: true,
            allow_past: false,
            policies: Policies::default(),
        }
    }

    /// Runs it at this instant, or at once if that has passed. Defaults to now. Not for `schedule`, which has a
    /// schedule of its own.
    pub fn at(mut self, instant: impl Into<Timestamp>) -> Self {
        self.when = When::At(instant.into());
        self
    }

    /// Runs it so long after it was enqueued.
    pub fn after(mut self, delay: Duration) -> Self {
        self.when = When::After(delay);
        self
    }

    /// Puts it in this queue; engines serve queues by name. Defaults to `default`.
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = queue.into();
        self
    }

    /// Among due jobs of one queue the higher priority is claimed first, then the one that was due first.
    /// Between -1000 and 1000; defaults to 0.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Only one unfinished job of this kind may have this key; a second one is not made, and the caller is told
    /// which job it got. Defaults to no key. Not for `schedule`: a name is unique already.
    pub fn unique(self, key: impl Into<String>) -> Self {
        self.unique_or(key, OnDuplicate::Keep)
    }

    /// The same with a choice of what happens when the key is held.
    pub fn unique_or(mut self, key: impl Into<String>, on_duplicate: OnDuplicate) -> Self {
        self.unique = Some(UniqueKey { key: key.into(), on_duplicate });
        self
    }

    /// Asks the handler to stop after this time, and takes the run from it after the grace. Defaults to no limit.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.policies.timeout_ms = Some(millis_of(timeout).max(1) as u64);
        self
    }

    /// How long a handler may go on after it was asked to stop. Defaults to 30 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.policies.grace_ms = millis_of(grace) as u64;
        self
    }

    /// How many attempts an occurrence has, the first one included. Defaults to 10.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.policies.max_attempts = attempts;
        self
    }

    /// The waits between attempts. Defaults to 10 s, doubling, at most 6 h, with a tenth of chance.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.policies.backoff = backoff;
        self
    }

    /// How many deliveries of one output are begun, and the waits between them. Defaults to 10 and those of `backoff`.
    pub fn delivery_attempts(mut self, attempts: u32, backoff: Backoff) -> Self {
        self.policies.max_delivery_attempts = attempts;
        self.policies.delivery_backoff = backoff;
        self
    }

    /// How long one delivery may take before its answer counts as unknown. Defaults to 5 minutes.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.policies.delivery_timeout_ms = millis_of(timeout).max(1) as u64;
        self
    }

    /// Suppresses a delivery that would begin later than this after the occurrence. Defaults to no limit.
    pub fn deliver_within(mut self, window: Duration) -> Self {
        self.policies.deliver_within_ms = Some(millis_of(window) as u64);
        self
    }

    /// What to do with occurrences that passed while nothing ran. Defaults to the latest within 6 hours.
    pub fn catch_up(mut self, catch_up: CatchUp) -> Self {
        self.policies.catch_up = catch_up;
        self
    }

    /// What to do with an occurrence that comes while the last one still runs. Defaults to skipping it.
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// Does not start it after this instant: it is then a miss. Defaults to never.
    pub fn expires_at(mut self, instant: impl Into<Timestamp>) -> Self {
        self.expires = Some(When::At(instant.into()));
        self
    }

    /// Does not start it later than this after it was enqueued.
    pub fn expires_after(mut self, delay: Duration) -> Self {
        self.expires = Some(When::After(delay));
        self
    }

    /// What happens to a run whose owner died. Defaults to [`OnInterrupt::AssumeRan`] for recurring jobs and
    /// [`OnInterrupt::Rerun`] for all others.
    pub fn on_interrupt(mut self, policy: OnInterrupt) -> Self {
        self.on_interrupt = Some(policy);
        self
    }

    /// What happens to a delivery that was begun and has no answer. Defaults to [`OnUnknownDelivery::Hold`] for
    /// recurring jobs and [`OnUnknownDelivery::Resend`] for all others.
    pub fn on_unknown_delivery(mut self, policy: OnUnknownDelivery) -> Self {
        self.on_unknown_delivery = Some(policy);
        self
    }

    /// Parks the job after so many failed occurrences in a row. Defaults to never.
    pub fn park_after_failures(mut self, failures: u32) -> Self {
        self.policies.park_after_failures = Some(failures.max(1));
        self
    }

    /// Declares it without letting it run. Defaults to enabled.
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// Takes a schedule whose one instant passed more than a minute ago: it runs at once. Defaults to refusing it, since
    /// such an instant is more often a mistake than a wish. [`at`](Self::at) on a job that is enqueued needs no leave.
    pub fn allow_past(mut self) -> Self {
        self.allow_past = true;
        self
    }

    /// What the store writes for one that runs once.
    pub(crate) fn into_spec(self, limits: &Limits, now: Timestamp) -> Result<JobSpec> {
        let at = self.when.resolve(now);
        if at.millis() <= 0 {
            return Err(Error::invalid("at", format!("is {at}: give a time after 1970")));
        }
        self.erase(None, Schedule::at(at), limits, now)
    }

    /// What the store writes for one that has a name and a schedule.
    pub(crate) fn into_named_spec(
        self,
        name: &str,
        schedule: Schedule,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<JobSpec> {
        if self.when != When::Now {
            return Err(Error::invalid(
                "at",
                "is set on a job that has a schedule: put the time in the schedule",
            ));
        }
        if self.unique.is_some() {
            let why = "is set on a job that has a name: the name is unique already";
            return Err(Error::invalid("unique key", why));
        }
        self.erase(Some(name), schedule, limits, now)
    }

    fn erase(
        self,
        name: Option<&str>,
        schedule: Schedule,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<JobSpec> {
        if let Some(name) = name {
            limits.check_word("name", name)?;
        }
        limits.check_word("kind", A::KIND)?;
        limits.check_word("queue", &self.queue)?;
        if let Some(unique) = &self.unique {
            limits.check_word("unique key", &unique.key)?;
        }
        if !(-1000..=1000).contains(&self.priority) {
            let why = format!("is {}: give a number between -1000 and 1000", self.priority);
            return Err(Error::invalid("priority", why));
        }
        if self.policies.max_attempts == 0 {
            return Err(Error::invalid("max_attempts", "is 0: the first attempt counts, so give at least 1"));
        }
        let text = schedule.to_string().len();
        if text > limits.text {
            return Err(Error::TooLong { what: "schedule", length: text, limit: limits.text });
        }
        if let Some(calendar) = schedule.calendar() {
            limits.check_word("calendar", calendar)?;
        }
        for (option, backoff) in
            [("backoff", &self.policies.backoff), ("delivery backoff", &self.policies.delivery_backoff)]
        {
            backoff.check(option)?;
        }
        let args = limits.write_json("args", &self.args)?;
        let recurring = schedule.is_recurring();
        let on_interrupt = if recurring { OnInterrupt::AssumeRan } else { OnInterrupt::Rerun };
        let on_unknown = if recurring { OnUnknownDelivery::Hold } else { OnUnknownDelivery::Resend };
        Ok(JobSpec {
            name: name.map(str::to_owned),
            kind: A::KIND,
            queue: self.queue,
            priority: self.priority,
            args,
            unique: self.unique,
            schedule,
            expires_at: self.expires.map(|when| when.resolve(now)),
            on_interrupt: self.on_interrupt.unwrap_or(on_interrupt),
            on_unknown_delivery: self.on_unknown_delivery.unwrap_or(on_unknown),
            overlap: self.overlap,
            enabled: self.enabled,
            allow_past: self.allow_past,
            policies: self.policies.to_json(),
        })
    }
}

/// A checked job with its arguments as JSON: what the store writes.
#[derive(Clone, Debug)]
pub(crate) struct JobSpec {
    pub(crate) name: Option<String>,
    pub(crate) kind: &'static str,
    pub(crate) queue: String,
    pub(crate) priority: i32,
    pub(crate) args: String,
    pub(crate) unique: Option<UniqueKey>,
    pub(crate) schedule: Schedule,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) on_interrupt: OnInterrupt,
    pub(crate) on_unknown_delivery: OnUnknownDelivery,
    pub(crate) overlap: Overlap,
    pub(crate) enabled: bool,
    /// Whether a schedule of one instant may name one that has passed.
    pub(crate) allow_past: bool,
    pub(crate) policies: String,
}
