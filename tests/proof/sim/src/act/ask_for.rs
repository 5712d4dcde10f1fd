//! Callers that enqueue work.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mainspring::{Backoff, Enqueued, JobArgs, NewJob, OnDuplicate, OnInterrupt, OnUnknownDelivery, Result};

use crate::Found;
use crate::dice::Dice;
use crate::kinds::{Mail, QUEUES, Work};
use crate::rows;
use crate::world::{Asked, World};

/// More unfinished work than this makes each step slower and finds nothing more.
const MOST_UNFINISHED: i64 = 25;

type Pending = Pin<Box<dyn Future<Output = Result<Enqueued>>>>;

impl World {
    /// Enqueues one job, or several callers do in the same transaction.
    pub(super) fn enqueue(&mut self, slot: usize, dice: &mut Dice) -> Found<()> {
        let sql = "SELECT count(*) FROM mainspring_jobs WHERE finished_at_ms IS NULL";
        if rows::number(&self.observer, sql, [])?.unwrap_or_default() > MOST_UNFINISHED {
            return self.tick(slot, dice);
        }
        match dice.weighted(&[(70, 0), (20, 1), (10, 2)]) {
            0 => self.enqueue_one(slot, dice),
            1 => self.enqueue_unique(slot, dice),
            _ => self.enqueue_together(slot, dice),
        }
    }

    fn enqueue_one(&mut self, slot: usize, dice: &mut Dice) -> Found<()> {
        self.names += 1;
        let queue = self.life(slot)?.process.queue().clone();
        let (args, mut own) = (self.names, fork(dice));
        let asked = match dice.chance(500) {
            true => self.ask(slot, dice, mail(&queue, args, &mut own))?,
            false => self.ask(slot, dice, work(&queue, args, &mut own))?,
        };
        if let Asked::Answered(Ok(enqueued)) = asked {
            self.acknowledged(&[enqueued]);
        }
        Ok(())
    }

    /// One key, one unfinished job.
    fn enqueue_unique(&mut self, slot: usize, dice: &mut Dice) -> Found<()> {
        self.names += 1;
        let key = format!("key {}", dice.below(3));
        let sql = "SELECT id FROM mainspring_jobs WHERE kind = 'work' AND unique_key = ?1 AND finished_at_ms IS NULL";
        let holder = rows::number(&self.observer, sql, [&key])?;
        let then =
            dice.pick(&[OnDuplicate::Keep, OnDuplicate::Keep, OnDuplicate::Replace, OnDuplicate::Error]);
        let job = options(NewJob::new(Work(self.names)), &mut fork(dice)).unique_or(key, then);
        self.tell(|_| {
            format!("process {slot} is asked to enqueue under a key, {then:?}; {holder:?} holds it")
        });
        let queue = self.life(slot)?.process.queue().clone();
        if let (OnDuplicate::Replace, Some(holder)) = (then, holder) {
            // Given new work, it may run again.
            self.ledger.job(holder).cancelled = false;
        }
        let asked = self.ask(slot, dice, async move { queue.enqueue(job).await })?;
        let Asked::Answered(answer) = asked else { return Ok(()) };
        match (answer, holder) {
            (Ok(Enqueued::Created(id)), None) => self.acknowledged(&[Enqueued::Created(id)]),
            (Ok(Enqueued::Existing(id) | Enqueued::Replaced(id)), Some(holder)) if id.0 == holder => {
                self.counts.add("duplicates");
            }
            (Err(_), Some(_)) => self.counts.add("duplicates"),
            (answer, holder) => return Err(format!("a key that {holder:?} holds came to {answer:?}")),
        }
        Ok(())
    }

    /// Several callers, one transaction.
    fn enqueue_together(&mut self, slot: usize, dice: &mut Dice) -> Found<()> {
        let queue = self.life(slot)?.process.queue().clone();
        let mut context = Context::from_waker(Waker::noop());
        let mut callers: Vec<Pending> = Vec::new();
        for _ in 0..dice.ms(2, 4) {
            self.names += 1;
            let (queue, args, mut own) = (queue.clone(), self.names, fork(dice));
            callers.push(Box::pin(async move { work(&queue, args, &mut own).await }));
        }
        for caller in &mut callers {
            if let Poll::Ready(answer) = caller.as_mut().poll(&mut context) {
                return Err(format!("an enqueue was answered before its commit: {answer:?}"));
            }
        }
        // A last one brings all of them into the file.
        self.enqueue_one(slot, dice)?;
        if self.lives[slot].is_none() {
            return Ok(());
        }
        for caller in &mut callers {
            match caller.as_mut().poll(&mut context) {
                Poll::Ready(Ok(enqueued)) => self.acknowledged(&[enqueued]),
                Poll::Ready(Err(error)) => return Err(format!("an enqueue is answered with {error}")),
                Poll::Pending => return Err("an enqueue was not answered by a step".to_owned()),
            }
        }
        Ok(())
    }

    pub(super) fn acknowledged(&mut self, enqueued: &[Enqueued]) {
        for one in enqueued {
            self.counts.add("acknowledged enqueues");
            self.ledger.job(one.id().0).acknowledged = true;
        }
    }
}

async fn work(queue: &mainspring::Queue, args: u64, dice: &mut Dice) -> Result<Enqueued> {
    queue.enqueue(options(NewJob::new(Work(args)), dice)).await
}

async fn mail(queue: &mainspring::Queue, args: u64, dice: &mut Dice) -> Result<Enqueued> {
    queue.enqueue(options(NewJob::new(Mail(args)), dice)).await
}

/// What any job may be told.
pub(super) fn options<A: JobArgs>(job: NewJob<A>, dice: &mut Dice) -> NewJob<A> {
    let mut job = common(job, dice);
    if dice.chance(300) {
        job = job.after(Duration::from_millis(dice.ms(0, 900_000)));
    }
    if dice.chance(60) {
        job = job.expires_after(Duration::from_secs(dice.ms(1, 3_600)));
    }
    job
}

/// The part of it that jobs with a schedule may be told, too.
pub(super) fn common<A: JobArgs>(job: NewJob<A>, dice: &mut Dice) -> NewJob<A> {
    let mut job = job
        .queue(dice.pick(&QUEUES))
        .priority(dice.pick(&[0, 0, 0, 5, -5, 9]))
        .max_attempts(dice.pick(&[1, 2, 3, 10]))
        .backoff(dice.pick(&[
            Backoff::fixed(Duration::ZERO),
            Backoff::fixed(Duration::from_secs(5)),
            Backoff::exponential(Duration::from_secs(20)),
        ]))
        .delivery_attempts(dice.pick(&[1, 3, 10]), Backoff::fixed(Duration::from_secs(dice.ms(0, 30))));
    if dice.chance(700) {
        let all = [OnInterrupt::Rerun, OnInterrupt::AssumeRan, OnInterrupt::Verify];
        job = job.on_interrupt(dice.pick(&all));
    }
    if dice.chance(700) {
        job = job.on_unknown_delivery(dice.pick(&[OnUnknownDelivery::Hold, OnUnknownDelivery::Resend]));
    }
    if dice.chance(300) {
        job = job
            .timeout(Duration::from_secs(dice.pick(&[10, 60, 600])))
            .grace(Duration::from_secs(dice.pick(&[0, 5, 30])));
    }
    if dice.chance(100) {
        job = job.deliver_within(Duration::from_secs(dice.pick(&[5, 600])));
    }
    if dice.chance(100) {
        job = job.park_after_failures(dice.pick(&[1, 2]));
    }
    job
}

/// A random source for what is chosen while another choice is on its way.
fn fork(dice: &mut Dice) -> Dice {
    Dice::new(dice.ms(0, u64::MAX - 1), 0)
}
