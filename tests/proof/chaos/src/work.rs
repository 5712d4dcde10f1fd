//! The application: work that follows its script and writes what it does into the ledger.

use std::time::Duration;

use fastrand::Rng;
use mainspring::{
    Backoff, DeliveryContext, DeliveryError, Failure, Handler, JobArgs, NewJob, OnInterrupt,
    OnUnknownDelivery, Queue, Receipt, RunContext,
};
use serde::{Deserialize, Serialize};

use crate::ledger::{About, Deed, Ledger};

/// What a job does. Its attempts up to `fails` fail, the next one succeeds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Script {
    pub(crate) label: String,
    /// How long the handler takes, in milliseconds.
    pub(crate) takes: u64,
    /// How many attempts fail first.
    pub(crate) fails: u32,
    /// Whether it enqueues another job.
    pub(crate) follows: bool,
    /// How long the sink takes, in milliseconds.
    pub(crate) sends: u64,
    /// The answers of the sink to the first deliveries; all others are accepted.
    pub(crate) answers: Vec<SinkSays>,
}

/// What a sink answers when it does not accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SinkSays {
    NotSent,
    Unsure,
}

/// Work without a delivery.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task(pub Script);

impl JobArgs for Task {
    const KIND: &'static str = "task";
}

/// The same on a thread of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Grind(pub Script);

impl JobArgs for Grind {
    const KIND: &'static str = "grind";
}

/// Work with a delivery.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Parcel(pub Script);

impl JobArgs for Parcel {
    const KIND: &'static str = "parcel";
}

/// So many attempts have jobs that always fail.
pub(crate) const HOPELESS_ATTEMPTS: u32 = 3;
/// So many deliveries of one output are begun.
pub(crate) const DELIVERY_ATTEMPTS: u32 = 10;
/// The script of a job that always fails.
pub(crate) const HOPELESS: u32 = 1_000;

const SHORT_WAIT: Duration = Duration::from_millis(40);

/// A job of some kind.
pub(crate) enum AnyJob {
    Task(NewJob<Task>),
    Grind(NewJob<Grind>),
    Parcel(NewJob<Parcel>),
}

/// The n-th job that the operator enqueues: which sort it is follows from the number, the rest from chance.
pub(crate) fn nth(n: u64, rng: &mut Rng) -> AnyJob {
    let label = format!("job-{n}");
    let script = |rng: &mut Rng| Script {
        label: label.clone(),
        takes: rng.u64(0..160),
        fails: 0,
        follows: false,
        sends: rng.u64(0..60),
        answers: Vec::new(),
    };
    match n % 10 {
        0 | 1 => AnyJob::Task(NewJob::new(Task(script(rng))).on_interrupt(OnInterrupt::Rerun)),
        2 => AnyJob::Task(NewJob::new(Task(script(rng))).on_interrupt(OnInterrupt::AssumeRan)),
        3 => AnyJob::Grind(NewJob::new(Grind(script(rng))).on_interrupt(OnInterrupt::Rerun)),
        4 => {
            let script = Script { fails: rng.u32(1..4), ..script(rng) };
            AnyJob::Task(NewJob::new(Task(script)).backoff(Backoff::fixed(SHORT_WAIT)))
        }
        5 if n % 50 == 5 => {
            let script = Script { fails: HOPELESS, ..script(rng) };
            let job = NewJob::new(Task(script)).max_attempts(HOPELESS_ATTEMPTS);
            AnyJob::Task(job.backoff(Backoff::fixed(SHORT_WAIT)))
        }
        5 => {
            let script = Script { follows: true, ..script(rng) };
            AnyJob::Task(NewJob::new(Task(script)).unique(format!("unique-{n}")))
        }
        6 | 7 => parcel(script(rng), OnUnknownDelivery::Hold, rng),
        _ => parcel(script(rng), OnUnknownDelivery::Resend, rng),
    }
}

fn parcel(script: Script, policy: OnUnknownDelivery, rng: &mut Rng) -> AnyJob {
    let answers = match rng.u32(0..6) {
        0 => vec![SinkSays::NotSent],
        1 => vec![SinkSays::NotSent, SinkSays::NotSent],
        2 => vec![SinkSays::Unsure],
        _ => Vec::new(),
    };
    let job = NewJob::new(Parcel(Script { answers, ..script })).on_unknown_delivery(policy);
    AnyJob::Parcel(job.delivery_attempts(DELIVERY_ATTEMPTS, Backoff::fixed(SHORT_WAIT)))
}

/// The recurring jobs: name, interval, and what each occurrence does.
pub(crate) fn recurring(rng: &mut Rng) -> Vec<(String, Duration, AnyJob)> {
    (0..12)
        .map(|n| {
            let name = format!("recurring-{n}");
            let script = Script {
                label: name.clone(),
                takes: rng.u64(0..120),
                fails: u32::from(n % 6 == 4),
                follows: false,
                sends: rng.u64(0..60),
                answers: Vec::new(),
            };
            let every = Duration::from_millis(300 + 150 * n);
            // The defaults of recurring jobs: assume that it ran, hold what is not known to have arrived.
            let job = match n % 3 {
                0 => AnyJob::Task(NewJob::new(Task(script))),
                1 => {
                    let job = NewJob::new(Task(script)).on_interrupt(OnInterrupt::Rerun);
                    AnyJob::Task(job.backoff(Backoff::fixed(SHORT_WAIT)))
                }
                _ => AnyJob::Parcel(NewJob::new(Parcel(script))),
            };
            (name, every, job)
        })
        .collect()
}

/// The handlers of all kinds.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) ledger: Ledger,
    pub(crate) queue: Queue,
}

impl Worker {
    /// One attempt.
    pub(crate) async fn run(&self, script: &Script, cx: &RunContext) -> Result<(), Failure> {
        self.note(Deed::Began, script, cx)?;
        tokio::time::sleep(Duration::from_millis(script.takes)).await;
        if cx.attempt() <= script.fails {
            return Err(Failure::new("the script says so"));
        }
        if script.follows {
            let label = format!("after-{}", script.label);
            let script = Script { label: label.clone(), follows: false, ..script.clone() };
            let job = NewJob::new(Task(script)).unique(&label);
            let enqueued = self.queue.enqueue(job).await?;
            self.ledger
                .write(Deed::Acked, About { job: enqueued.id().0, text: &label, ..About::default() })?;
        }
        self.note(Deed::Did, script, cx)
    }

    /// One attempt on a thread that blocks.
    pub(crate) fn grind(&self, script: &Script, cx: &RunContext) -> Result<(), Failure> {
        self.note(Deed::Began, script, cx)?;
        std::thread::sleep(Duration::from_millis(script.takes));
        self.note(Deed::Did, script, cx)
    }

    fn note(&self, deed: Deed, script: &Script, cx: &RunContext) -> Result<(), Failure> {
        let about = About {
            run: cx.run_id().0,
            job: cx.job_id().0,
            attempt: cx.attempt(),
            key: cx.idempotency_key(),
            text: &script.label,
        };
        Ok(self.ledger.write(deed, about)?)
    }
}

impl Handler<Parcel> for Worker {
    type Output = Script;

    async fn run(&self, parcel: Parcel, cx: RunContext) -> Result<Script, Failure> {
        Self::run(self, &parcel.0, &cx).await?;
        Ok(parcel.0)
    }

    async fn deliver(&self, script: Script, cx: DeliveryContext) -> Result<Receipt, DeliveryError> {
        let note = |deed| {
            let about = About {
                run: cx.run_id().0,
                job: cx.job_id().0,
                attempt: cx.attempt(),
                key: cx.idempotency_key(),
                text: &script.label,
            };
            self.ledger.write(deed, about)
        };
        note(Deed::Sent)?;
        tokio::time::sleep(Duration::from_millis(script.sends)).await;
        let says = usize::try_from(cx.attempt()).ok().and_then(|nth| script.answers.get(nth.wrapping_sub(1)));
        match says {
            None => {
                note(Deed::Accepted)?;
                Ok(Receipt::new("taken"))
            }
            Some(SinkSays::NotSent) => {
                note(Deed::NotSent)?;
                Err(DeliveryError::not_sent("the script says so"))
            }
            Some(SinkSays::Unsure) => {
                note(Deed::Unsure)?;
                Err(DeliveryError::unknown("the script says so"))
            }
        }
    }
}
