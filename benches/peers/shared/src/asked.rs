//! What a program is asked.

use std::path::PathBuf;

use crate::Failure;

/// How a queue's commits are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting {
    /// As the queue sets itself or its documentation tells, where that is neither of the others.
    Own,
    /// WAL and `synchronous=NORMAL`: a commit is synced with the next checkpoint.
    Normal,
    /// WAL and `synchronous=FULL`: each commit is synced.
    Full,
}

/// What is to be measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Workload {
    /// Nothing: what it is, and how it is set.
    About,
    /// Enqueues a second, one job after the other.
    EnqueueOne,
    /// Enqueues a second by 64 tasks, each of which waits for its own.
    EnqueueTasks,
    /// Enqueues a second by the call for many, 10,000 at once.
    EnqueueBulk,
    /// Jobs a second that are in the file already.
    Jobs,
    /// The same, claimed and acknowledged by hand, as many at once as there are workers.
    Batch,
    /// The same behind 100,000 that have finished.
    BehindFinished,
    /// The same behind 100,000 that are due tomorrow.
    BehindFuture,
    /// Microseconds from the call that enqueues to the call of the handler: the median and the 99th of a hundred.
    Latency,
}

/// A program's arguments.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What to do.
    pub workload: Workload,
    /// With which durability.
    pub setting: Setting,
    /// How many jobs may run at once.
    pub workers: usize,
    /// How many jobs.
    pub operations: usize,
    pub(crate) folder: PathBuf,
}

const USAGE: &str = "WORKLOAD SETTING WORKERS OPERATIONS FOLDER";

impl Asked {
    /// Reads the command line.
    ///
    /// # Errors
    ///
    /// If it is another number of words, or one of them is not known.
    pub fn from_arguments() -> Result<Self, Failure> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let [workload, setting, workers, operations, folder] = &words[..] else { return Err(USAGE.into()) };
        let workload = match workload.as_str() {
            "about" => Workload::About,
            "enqueue_one" => Workload::EnqueueOne,
            "enqueue_tasks" => Workload::EnqueueTasks,
            "enqueue_bulk" => Workload::EnqueueBulk,
            "jobs" => Workload::Jobs,
            "batch" => Workload::Batch,
            "behind_finished" => Workload::BehindFinished,
            "behind_future" => Workload::BehindFuture,
            "latency" => Workload::Latency,
            other => return Err(format!("the workload {other:?} is not known: {USAGE}").into()),
        };
        let setting = match setting.as_str() {
            "own" => Setting::Own,
            "normal" => Setting::Normal,
            "full" => Setting::Full,
            other => return Err(format!("the setting {other:?} is not known: {USAGE}").into()),
        };
        let (workers, operations) = (workers.parse()?, operations.parse()?);
        Ok(Self { workload, setting, workers, operations, folder: folder.into() })
    }

    /// The queue's file.
    pub fn file(&self) -> PathBuf {
        self.folder.join("queue.db")
    }
}
