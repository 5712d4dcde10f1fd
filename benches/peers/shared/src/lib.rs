//! What the programs of the other queues share: what they are asked, the workloads, and how they answer.
//!
//! A program is called as `PROGRAM WORKLOAD SETTING WORKERS OPERATIONS FOLDER` and prints one line: the workload's
//! figures, or `skipped reason=WORD`. Asked `about`, it prints what it is and which settings it read back.

mod asked;
mod counter;
mod settings;
mod workloads;

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

pub use asked::{Asked, Setting, Workload};
pub use settings::Settings;

/// Whatever went wrong.
pub type Failure = Box<dyn Error + Send + Sync>;

/// What a job does: it tells that it was called.
pub type Handler = Arc<dyn Fn() + Send + Sync>;

/// When jobs are to run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Due {
    /// At once.
    Now,
    /// A day from now, so never while this runs.
    Tomorrow,
}

/// What the file says has become of the jobs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counts {
    /// Recorded as finished; none where a finished job leaves nothing behind.
    pub finished: Option<usize>,
    /// Still to be run, or running.
    pub unfinished: usize,
}

/// A queue, opened.
pub trait Peer: Clone + Send + Sync + Sized + 'static {
    /// Its package.
    const PACKAGE: &'static str;
    /// The program's lock file, which knows the package's version.
    const LOCK: &'static str;

    /// What runs jobs.
    type Running: Send;

    /// Opens a file, and makes it if there is none.
    fn open(file: &Path, setting: Setting) -> impl Future<Output = Result<Self, Failure>> + Send;

    /// Reads back how its connections are set.
    fn settings(&self) -> impl Future<Output = Result<Settings, Failure>> + Send;

    /// Enqueues a job by itself; returns when it is in the file.
    fn enqueue(&self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Enqueues jobs by the queue's call for many.
    fn enqueue_many(&self, jobs: usize, due: Due) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Starts so many workers.
    fn start(
        &self,
        workers: usize,
        handler: Handler,
    ) -> impl Future<Output = Result<Self::Running, Failure>> + Send;

    /// Stops them; what they have done is in the file then.
    fn stop(&self, running: Self::Running) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Counts the jobs in the file.
    fn counts(&self) -> impl Future<Output = Result<Counts, Failure>> + Send;

    /// Copies the row that one finished job has left, so many times: a history.
    fn copy_finished(&self, copies: usize) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Closes the file in good order.
    fn close(&self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Runs jobs in batches that it claims and acknowledges by hand, and returns when all have been run.
    fn run_in_batches(
        &self,
        _batch: usize,
        _jobs: usize,
        _handler: Handler,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        std::future::ready(Err(skipped("has_no_batches_by_hand")))
    }
}

/// Why a queue cannot do a workload, in a word.
#[derive(Debug)]
struct Skipped(&'static str);

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "skipped reason={}", self.0)
    }
}

impl Error for Skipped {}

/// The queue cannot do it, for this reason.
pub fn skipped(reason: &'static str) -> Failure {
    Box::new(Skipped(reason))
}

/// No workload takes as long; whoever waits for the answer is not to wait for ever.
const PATIENCE: Duration = Duration::from_secs(300);

/// The `main` of a queue's program.
pub fn play<P: Peer>() -> ExitCode {
    std::thread::spawn(|| {
        std::thread::sleep(PATIENCE);
        eprintln!("{}: there is no answer after {PATIENCE:?}", P::PACKAGE);
        std::process::exit(1);
    });
    match answer::<P>() {
        Ok(line) => println!("{line}"),
        Err(failure) if failure.is::<Skipped>() => println!("{failure}"),
        Err(failure) => {
            eprintln!("{}: {failure}", P::PACKAGE);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn answer<P: Peer>() -> Result<String, Failure> {
    let asked = Asked::from_arguments()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let answer = runtime.block_on(async {
        let peer = P::open(&asked.file(), asked.setting).await?;
        let answer = answer_with(&peer, &asked).await;
        peer.close().await?;
        answer
    });
    // Whatever the queue has left behind is not waited for.
    runtime.shutdown_background();
    answer
}

async fn answer_with<P: Peer>(peer: &P, asked: &Asked) -> Result<String, Failure> {
    let settings = peer.settings().await?;
    settings.check(asked.setting)?;
    if asked.workload == Workload::About {
        return Ok(format!("{} {}, {settings}", P::PACKAGE, settings::version_in(P::LOCK, P::PACKAGE)?));
    }
    let figures = workloads::run(peer, asked).await?;
    Ok(figures.iter().map(f64::to_string).collect::<Vec<_>>().join(" "))
}
