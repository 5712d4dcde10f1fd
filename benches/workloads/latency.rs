//! From the call of `enqueue` to the call of the handler, on a queue that does nothing else.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mainspring::{Durability, Engine, Failure, Queue, RunContext};
use tokio::sync::mpsc;

use crate::enqueue::{Nothing, options, runtime};
use crate::floor::Floor;
use crate::measure::{Figure, Round, Unit, Workload, contestant_with_figures, quantile};
use crate::peers;

/// The pause between two jobs: long enough for every thread to fall asleep.
const PAUSE: Duration = Duration::from_millis(3);

pub(crate) fn workloads() -> Vec<Workload> {
    let figures = |goals: [&'static str; 2]| {
        let figure = |(name, goal)| Figure { name, unit: Unit::Micros, goal };
        ["_p50", "_p99"].into_iter().zip(goals).map(figure).collect()
    };
    let within = "the floor + 200 us, ahead of every peer";
    let mut here =
        vec![contestant_with_figures("floor", by_floor), contestant_with_figures("mainspring", by_engine)];
    here.extend(peers::beside("latency", Durability::Balanced, 8, 4));
    let elsewhere = vec![
        contestant_with_figures("floor", by_floor),
        contestant_with_figures("mainspring", by_another_process),
    ];
    vec![
        Workload::with_figures("enqueue_to_start", figures([within, within]), 800, here),
        Workload::with_figures("enqueue_to_start_elsewhere", figures(["under 5000 us", "-"]), 400, elsewhere),
    ]
}

fn both(took: &[f64]) -> Vec<f64> {
    vec![quantile(took, 0.5), quantile(took, 0.99)]
}

/// The two commits in between: the job's, which is synced, and the claim's, which is not.
fn by_floor(round: &Round<'_>) -> Vec<f64> {
    let path = round.folder.join("queue.db");
    let synced = Floor::open(&path, Durability::Balanced);
    let mut unsynced = Floor::open_made(&path, Durability::Relaxed);
    let mut took = Vec::new();
    for _ in 0..round.operations {
        std::thread::sleep(PAUSE);
        let begin = Instant::now();
        synced.enqueue(1);
        assert_eq!(unsynced.turn(1), 1);
        took.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    both(&took)
}

fn by_engine(round: &Round<'_>) -> Vec<f64> {
    runtime().block_on(async {
        let queue = Queue::open_with(options(round.folder, Durability::Balanced)).await.unwrap();
        let (started, mut starts) = mpsc::unbounded_channel();
        let nothing = move |_: Nothing, _: RunContext| {
            started.send(Instant::now()).unwrap();
            std::future::ready(Ok::<(), Failure>(()))
        };
        let engine = Engine::builder(queue.clone()).handler(nothing).build().unwrap().start().await.unwrap();
        let mut took = Vec::new();
        for _ in 0..round.operations {
            tokio::time::sleep(PAUSE).await;
            let begin = Instant::now();
            queue.enqueue(Nothing).await.unwrap();
            let start: Instant = starts.recv().await.unwrap();
            took.push(start.duration_since(begin).as_secs_f64() * 1e6);
        }
        engine.shutdown(Duration::from_secs(10)).await.unwrap();
        both(&took)
    })
}

fn wall_micros() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() * 1e6
}

fn by_another_process(round: &Round<'_>) -> Vec<f64> {
    let queue = Queue::open_blocking(&options(round.folder, Durability::Balanced)).unwrap().blocking();
    let mut other = Other::start("tell-starts", round.folder);
    let mut took = Vec::new();
    for _ in 0..round.operations {
        std::thread::sleep(PAUSE);
        let begin = wall_micros();
        queue.enqueue(Nothing).unwrap();
        took.push(other.line().parse::<f64>().unwrap() - begin);
    }
    both(&took)
}

/// This program in another process, with an engine on the file of a folder; it ends when it is dropped.
pub(crate) struct Other {
    pub(crate) child: Child,
    out: BufReader<ChildStdout>,
}

impl Other {
    /// Starts it, and waits until its engine runs.
    pub(crate) fn start(role: &str, folder: &std::path::Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--role", role])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut other = Self { child, out };
        assert_eq!(other.line(), "ready");
        other
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

/// What the other process does, until its input ends: an engine, which prints when each handler starts, or nothing.
pub(crate) fn be_the_other(role: &str, folder: &std::path::Path) {
    let tells = role == "tell-starts";
    runtime().block_on(async {
        let queue = Queue::open_with(options(folder, Durability::Balanced)).await.unwrap();
        let nothing = move |_: Nothing, _: RunContext| {
            if tells {
                println!("{}", wall_micros());
            }
            std::future::ready(Ok::<(), Failure>(()))
        };
        let engine = Engine::builder(queue).handler(nothing).build().unwrap().start().await.unwrap();
        println!("ready");
        std::io::stdout().flush().unwrap();
        let until_its_end = || std::io::stdin().lines().for_each(drop);
        tokio::task::spawn_blocking(until_its_end).await.unwrap();
        engine.shutdown(Duration::from_secs(10)).await.unwrap();
    });
}
