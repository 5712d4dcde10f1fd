//! What the tests of time share: a queue on a clock that moves by hand, an engine whose handler keeps a diary, and
//! processes of the same kind that can be killed or frozen.
#![allow(dead_code, unreachable_pub, reason = "each test file is a crate of its own and uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainspring::plan::Trigger;
use mainspring::testing::ManualClock;
use mainspring::*;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::Semaphore;

/// What the handler does with a job.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub enum Work {
    /// Returns at once.
    Quick,
    /// Goes on until it is released or asked to stop.
    Held,
    /// Fails so many attempts, each to be tried again after so many seconds.
    Fails(u32, u64),
    /// Fails and is not to be tried again.
    Broken,
}

impl JobArgs for Work {
    const KIND: &'static str = "work";
}

/// What one call of the handler knew.
#[derive(Clone, Debug)]
pub struct Call {
    pub name: String,
    pub occurrence: Timestamp,
    pub trigger: Trigger,
    pub attempt: u32,
    pub began: Timestamp,
    pub lateness: Duration,
}

#[derive(Clone)]
struct Diary {
    calls: Arc<Mutex<Vec<Call>>>,
    gate: Arc<Semaphore>,
    /// Handlers that wait to be released.
    waiting: Arc<AtomicU32>,
}

pub struct World {
    pub queue: Queue,
    pub clock: ManualClock,
    path: PathBuf,
    _dir: Option<TempDir>,
    diary: Diary,
    engine: Option<EngineHandle>,
}

pub fn at(text: &str) -> Timestamp {
    text.parse::<chrono::DateTime<chrono::Utc>>().unwrap_or_else(|why| panic!("{text}: {why}")).into()
}

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn cron(text: &str) -> Schedule {
    Schedule::cron(text).unwrap()
}

pub fn quick() -> NewJob<Work> {
    NewJob::new(Work::Quick)
}

pub fn held() -> NewJob<Work> {
    NewJob::new(Work::Held)
}

/// An instant of January 2026, short.
pub fn short(at: Timestamp) -> String {
    let text = at.to_datetime().format("%d %H:%M:%S").to_string();
    if at.millis() % 1_000 == 0 { text } else { format!("{text}.{:03}", at.millis() % 1_000) }
}

const PATIENCE: Duration = Duration::from_secs(20);

impl World {
    /// A new file, no engine.
    pub fn at(now: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.db");
        Self { _dir: Some(dir), ..Self::open(&path, at(now)) }
    }

    /// Another handle on a file, with a clock of its own.
    pub fn open(path: &Path, now: Timestamp) -> Self {
        let clock = ManualClock::at(now);
        let queue = Queue::open_on_clock(&OpenOptions::new(path), Arc::new(clock.clone())).unwrap();
        let diary =
            Diary { calls: Arc::default(), gate: Arc::new(Semaphore::new(0)), waiting: Arc::default() };
        Self { queue, clock, path: path.to_owned(), _dir: None, diary, engine: None }
    }

    /// The same with an engine.
    pub async fn running_at(now: &str) -> Self {
        let mut world = Self::at(now);
        world.start().await;
        world
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub async fn start(&mut self) {
        self.start_with(64).await;
    }

    pub async fn start_with(&mut self, workers: u32) {
        let diary = self.diary.clone();
        let work = move |work: Work, cx: RunContext| note(diary.clone(), work, cx);
        let engine =
            Engine::builder(self.queue.clone()).handler(work).queue("default", workers).build().unwrap();
        self.engine = Some(engine.start().await.unwrap());
    }

    /// Shuts the engine down and opens the file anew: the process went and another one comes later.
    pub async fn restart_at(&mut self, now: &str) {
        self.down().await;
        self.clock.set(at(now));
        self.queue =
            Queue::open_on_clock(&OpenOptions::new(&self.path), Arc::new(self.clock.clone())).unwrap();
        self.start().await;
        self.settle().await;
    }

    pub async fn down(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.shutdown(secs(20)).await.unwrap();
        }
    }

    /// Sets the clock and lets everything happen that happens then.
    pub async fn go(&self, now: &str) {
        self.clock.set(at(now));
        self.settle().await;
    }

    pub async fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.settle().await;
    }

    /// Makes the writer look at the clock: each command's transaction claims what is due. The second one comes
    /// after all that the first one led to.
    pub async fn look(&self) {
        self.queue.resume_queue("nobody").await.unwrap();
        self.queue.resume_queue("nobody").await.unwrap();
    }

    /// Until nothing is due and nothing runs but what waits to be released.
    pub async fn settle(&self) {
        self.look().await;
        self.until("nothing to do", async || {
            let status = self.queue.status().await.unwrap();
            status.ready == 0
                && status.overdue == 0
                && status.running == self.diary.waiting.load(Ordering::SeqCst)
        })
        .await;
    }

    pub async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let mut look = tokio::time::interval(Duration::from_millis(3));
        let found = tokio::time::timeout(PATIENCE, async {
            while !is_so().await {
                look.tick().await;
            }
        });
        if found.await.is_err() {
            let status = self.queue.status().await.unwrap();
            let jobs = self.queue.list(ListFilter { limit: 3, ..ListFilter::default() }).await.unwrap().jobs;
            panic!("no {what}: {status:?} {:?} {jobs:?}", self.calls());
        }
    }

    pub async fn until_calls(&self, calls: usize) {
        self.until("so many calls", async || self.calls().len() >= calls).await;
        self.look().await;
    }

    /// Lets one waiting handler return.
    pub async fn release(&self) {
        let waiting = self.diary.waiting.load(Ordering::SeqCst);
        let ended = self.ended().await;
        assert!(waiting > 0, "nobody waits");
        self.diary.gate.add_permits(1);
        self.until("end of a run", async || self.ended().await > ended).await;
        self.settle().await;
    }

    /// Lets one waiting handler return, whatever else is due.
    pub async fn release_any(&self) {
        let ended = self.ended().await;
        self.diary.gate.add_permits(1);
        self.until("end of a run", async || self.ended().await > ended).await;
    }

    async fn ended(&self) -> usize {
        let mut ended = 0;
        for job in self.queue.list(ListFilter::default()).await.unwrap().jobs {
            let runs = self.queue.runs(job.id, 1_000).await.unwrap();
            ended += runs.iter().filter(|run| run.completion.is_some()).count();
        }
        ended
    }

    pub fn calls(&self) -> Vec<Call> {
        self.diary.calls.lock().unwrap().clone()
    }

    /// The runs of a job as `day time trigger`, oldest first.
    pub async fn ran(&self, job: &str) -> Vec<String> {
        let mut runs = self.queue.runs(job, 1_000).await.unwrap();
        runs.reverse();
        runs.iter().map(|run| format!("{} {}", short(run.scheduled_for), run.trigger.as_str())).collect()
    }

    /// The ledger of a job as `from - to xN reason`, oldest first.
    pub async fn missed(&self, job: &str) -> Vec<String> {
        let mut misses = self.queue.misses(job, 1_000).await.unwrap();
        misses.sort_by_key(|miss| miss.from);
        misses
            .iter()
            .map(|miss| {
                let (from, to) = (short(miss.from), short(miss.to));
                let range = if from == to { from } else { format!("{from} - {to}") };
                format!("{range} x{} {}", miss.occurrences, miss.reason.as_str())
            })
            .collect()
    }

    /// When the job is claimed next; empty for never.
    pub async fn next(&self, job: &str) -> String {
        self.queue.get(job).await.unwrap().next_run_at.map(short).unwrap_or_default()
    }

    /// Nothing is broken in the file, and every occurrence of every named job is accounted for.
    pub async fn is_sound(&self) {
        let findings = self.queue.doctor().await.unwrap();
        assert!(findings.is_empty(), "{findings:#?}");
        let jobs = self.queue.list(ListFilter { named: true, ..ListFilter::default() }).await.unwrap();
        for job in jobs.jobs {
            let now = self.clock.now();
            let from = now.minus(secs(40 * 86_400)).max(job.schedule_activated_at);
            let lost = match self.queue.unaccounted(job.id, from, now).await {
                // A schedule this dense is asked about its last minute.
                Err(Error::InvalidOption { .. }) => {
                    self.queue.unaccounted(job.id, now.minus(secs(60)), now).await.unwrap()
                }
                other => other.unwrap(),
            };
            assert!(lost.is_empty(), "{:?}: unaccounted for {lost:?}", job.name);
        }
    }
}

async fn note(diary: Diary, work: Work, cx: RunContext) -> Result<(), Failure> {
    diary.calls.lock().unwrap().push(Call {
        name: cx.name().unwrap_or_default().to_owned(),
        occurrence: cx.scheduled_for(),
        trigger: cx.trigger(),
        attempt: cx.attempt(),
        began: cx.started_at(),
        lateness: cx.lateness(),
    });
    match work {
        Work::Quick => Ok(()),
        Work::Held => {
            diary.waiting.fetch_add(1, Ordering::SeqCst);
            let released = tokio::select! {
                permit = diary.gate.acquire() => permit.map(tokio::sync::SemaphorePermit::forget).is_ok(),
                () = cx.cancelled() => false,
            };
            diary.waiting.fetch_sub(1, Ordering::SeqCst);
            if released { Ok(()) } else { Err(Failure::discard("asked to stop")) }
        }
        Work::Fails(times, wait) if cx.attempt() <= times => Err(Failure::retry_after(secs(wait), "not yet")),
        Work::Fails(..) => Ok(()),
        Work::Broken => Err(Failure::discard("broken")),
    }
}

const FILE: &str = "MAINSPRING_TEST_FILE";
const NOW: &str = "MAINSPRING_TEST_NOW";

/// A process with an engine on the file, whose clock moves when it is told to. Dropped, it is killed.
pub struct Process {
    process: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Starts one, and returns once it has done what was due.
    pub fn start(path: &Path, now: Timestamp) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_child_keeps_time", "--ignored", "--nocapture", "--test-threads=1"])
            .env(FILE, path)
            .env(NOW, now.millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = process.stdin.take().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let mut this = Self { process, stdin, stdout };
        this.wait();
        this
    }

    pub fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(self.process.id().try_into().unwrap())
    }

    /// Sets its clock and does not wait.
    pub fn tell(&mut self, now: Timestamp) {
        writeln!(self.stdin, "{}", now.millis()).unwrap();
    }

    /// Sets its clock, and returns once it has done what was due.
    pub fn go(&mut self, now: Timestamp) {
        self.tell(now);
        self.wait();
    }

    /// Sets its clock and kills it, wherever it is.
    pub fn go_and_die(mut self, now: Timestamp) {
        self.tell(now);
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Until it has done what was due.
    pub fn wait(&mut self) {
        let mut line = String::new();
        while self.stdout.read_line(&mut line).unwrap() > 0 {
            if line.trim() == "settled" {
                return;
            }
            line.clear();
        }
        panic!("the child is gone");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The main function of such a process: a test that is ignored and named `a_child_keeps_time` calls it.
pub async fn be_a_child() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let now = Timestamp::from_millis(std::env::var(NOW).unwrap().parse().unwrap());
    let mut world = World::open(Path::new(&path), now);
    world.start().await;
    loop {
        world.settle().await;
        println!("\nsettled");
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).unwrap();
            line
        });
        let Ok(ms) = line.await.unwrap().trim().parse() else { return };
        world.clock.set(Timestamp::from_millis(ms));
    }
}
