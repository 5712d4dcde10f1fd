//! The one who enqueues, without a pause, and remembers what was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use fastrand::Rng;
use mainspring::{BlockingQueue, Enqueued, Error, JobArgs, ListFilter, NewJob, RequestId, Schedule};

use crate::Outcome;
use crate::work::{AnyJob, nth, recurring};

/// What was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Acked {
    pub(crate) jobs: Vec<i64>,
    /// Runs by hand, with the job that they were asked of.
    pub(crate) requests: Vec<(i64, RequestId)>,
    /// The recurring jobs: name and id.
    pub(crate) recurring: Vec<(String, i64)>,
    /// Jobs that three interruptions in a row had parked, and that were let go on.
    pub(crate) resumed: Vec<i64>,
    /// Answers that were no acknowledgement.
    pub(crate) refused: u64,
}

/// The thread that enqueues.
pub(crate) struct Producer {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Acked, String>>,
}

impl Producer {
    pub(crate) fn begin(queue: BlockingQueue, mut rng: Rng) -> Outcome<Self> {
        let mut acked = Acked::default();
        for (name, every, job) in recurring(&mut rng) {
            let schedule = Schedule::every(every)?;
            let scheduled = match job {
                AnyJob::Task(job) => queue.schedule(&name, schedule, job)?,
                AnyJob::Grind(job) => queue.schedule(&name, schedule, job)?,
                AnyJob::Parcel(job) => queue.schedule(&name, schedule, job)?,
            };
            acked.recurring.push((name, scheduled.id().0));
        }
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            produce(&queue, &mut rng, &mut acked, &until).map_err(|error| error.to_string())?;
            Ok(acked)
        });
        Ok(Self { over, thread })
    }

    pub(crate) fn end(self) -> Outcome<Acked> {
        self.over.store(true, Ordering::SeqCst);
        Ok(self.thread.join().map_err(|_| "the producer panicked")??)
    }
}

fn produce(queue: &BlockingQueue, rng: &mut Rng, acked: &mut Acked, over: &AtomicBool) -> Outcome<()> {
    let mut n = 0;
    while !over.load(Ordering::SeqCst) {
        n += 1;
        match nth(n, rng) {
            AnyJob::Task(job) => note(acked, queue.enqueue(job))?,
            AnyJob::Grind(job) => note(acked, queue.enqueue(job))?,
            AnyJob::Parcel(job) => note(acked, queue.enqueue(job))?,
        }
        if n % 40 == 0 {
            burst(queue, rng, acked, n)?;
        }
        if n % 50 == 0 {
            ask(queue, rng, acked)?;
            acked.resumed.extend(resume_parked(queue)?);
        }
        std::thread::sleep(Duration::from_millis(rng.u64(2..10)));
    }
    Ok(())
}

fn note(acked: &mut Acked, answer: mainspring::Result<Enqueued>) -> Outcome<()> {
    match answer {
        Ok(enqueued) => acked.jobs.push(enqueued.id().0),
        Err(error) => refused(acked, error)?,
    }
    Ok(())
}

/// A caller may be told that the file was busy for too long. Anything else must not happen.
fn refused(acked: &mut Acked, error: Error) -> Outcome<()> {
    if !error.is_busy() {
        return Err(format!("the operator was refused: {error}").into());
    }
    acked.refused += 1;
    Ok(())
}

/// Many at once.
fn burst(queue: &BlockingQueue, rng: &mut Rng, acked: &mut Acked, n: u64) -> Outcome<()> {
    let mut tasks = Vec::new();
    for offset in 0..20 {
        // Every tenth number is a plain task.
        if let AnyJob::Task(job) = nth(n * 1_000 + offset * 10, rng) {
            tasks.push(job);
        }
    }
    match enqueue_all(queue, tasks) {
        Ok(enqueued) => acked.jobs.extend(enqueued.iter().map(|one| one.id().0)),
        Err(error) => refused(acked, error)?,
    }
    Ok(())
}

fn enqueue_all<A: JobArgs>(queue: &BlockingQueue, jobs: Vec<NewJob<A>>) -> mainspring::Result<Vec<Enqueued>> {
    queue.enqueue_many(jobs)
}

/// A run by hand of a recurring job.
fn ask(queue: &BlockingQueue, rng: &mut Rng, acked: &mut Acked) -> Outcome<()> {
    let Some((name, job)) = rng.choice(&acked.recurring).cloned() else { return Ok(()) };
    match queue.run_now(name.as_str()) {
        Ok(request) => acked.requests.push((job, request)),
        Err(Error::AlreadyRunning(_)) => acked.refused += 1,
        Err(error) => refused(acked, error)?,
    }
    Ok(())
}

/// Lets jobs go on that three interruptions in a row have parked, as somebody does who has looked why; which.
pub(crate) fn resume_parked(queue: &BlockingQueue) -> Outcome<Vec<i64>> {
    if queue.status()?.parked == 0 {
        return Ok(Vec::new());
    }
    let mut resumed = Vec::new();
    let mut filter = ListFilter { unfinished: true, ..ListFilter::default() };
    loop {
        let page = queue.list(filter.clone())?;
        let Some(last) = page.jobs.last() else { return Ok(resumed) };
        filter.after = Some(last.id);
        for job in page.jobs.iter().filter(|job| job.parked_at.is_some()) {
            queue.resume(job.id)?;
            resumed.push(job.id.0);
        }
    }
}
