//! Moments that somebody waits for: the first job after a start, a recovery.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mainspring::{Durability, Engine, Failure, Queue, RunContext};
use rusqlite::Connection;
use tokio::sync::mpsc;

use crate::enqueue::{Nothing, options, runtime};
use crate::floor::{Floor, Lying, fill, fill_with_open_runs, lay};
use crate::measure::{Figure, Round, Unit, Workload, contestant, contestant_with_figures};

/// Jobs that wait when the file is opened.
const WAITING: usize = 100_000;
/// What the library settles in one transaction.
const RECOVERY_BATCH: usize = 500;

pub(crate) fn workloads() -> Vec<Workload> {
    let figures = [("", "under 1000 ms"), ("_longest_wait_for_a_claim", "-")].map(|(name, goal)| Figure {
        name,
        unit: Unit::Millis,
        goal,
    });
    let recovering = vec![
        contestant_with_figures("floor", recover_by_floor),
        contestant_with_figures("mainspring", recover_by_engine),
    ];
    vec![
        Workload::new(
            "open_to_first_handler_100k_waiting",
            Unit::Millis,
            "-",
            WAITING,
            vec![contestant("floor", open_by_floor), contestant("mainspring", open_by_engine)],
        ),
        Workload::with_figures("recovery_of_10000_runs", figures.to_vec(), 10_000, recovering),
    ]
}

fn open_by_floor(round: &Round<'_>) -> f64 {
    let path = round.folder.join("queue.db");
    fill(&path, round.operations);
    let begin = Instant::now();
    let mut floor = Floor::open_made(&path, Durability::Relaxed);
    assert_eq!(floor.turn(1), 1);
    begin.elapsed().as_secs_f64() * 1e3
}

fn open_by_engine(round: &Round<'_>) -> f64 {
    fill(&round.folder.join("queue.db"), round.operations);
    runtime().block_on(async {
        let (started, mut starts) = mpsc::unbounded_channel();
        let nothing = move |_: Nothing, _: RunContext| {
            // Nobody listens after the first one.
            let _ = started.send(Instant::now());
            std::future::ready(Ok::<(), Failure>(()))
        };
        let begin = Instant::now();
        let queue = Queue::open_with(options(round.folder, Durability::Balanced)).await.unwrap();
        let engine = Engine::builder(queue).queue("default", 1).handler(nothing).build().unwrap();
        let engine = engine.start().await.unwrap();
        let start: Instant = starts.recv().await.unwrap();
        engine.shutdown(Duration::from_secs(10)).await.unwrap();
        start.duration_since(begin).as_secs_f64() * 1e3
    })
}

/// It claims nothing; somebody else could between two pieces.
fn recover_by_floor(round: &Round<'_>) -> Vec<f64> {
    let path = round.folder.join("queue.db");
    fill_with_open_runs(&path, round.operations);
    let floor = Floor::open_made(&path, Durability::Relaxed);
    let begin = Instant::now();
    let (mut last, mut longest) = (begin, Duration::ZERO);
    while floor.interrupt(RECOVERY_BATCH) > 0 {
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    [begin.elapsed(), longest].map(|took| took.as_secs_f64() * 1e3).to_vec()
}

/// The engine serves another queue meanwhile, so that the recovered jobs are left alone.
fn recover_by_engine(round: &Round<'_>) -> Vec<f64> {
    let path = round.folder.join("queue.db");
    fill_with_open_runs(&path, round.operations);
    lay(&path, &Lying { jobs: 20_000, queue: "another", priority: 0, future: false });
    let reader = Connection::open(&path).unwrap();
    let is_over = || {
        let sql = "SELECT end_reason = 'died' FROM mainspring_owners WHERE id = 1";
        reader.query_row(sql, [], |row| row.get::<_, Option<bool>>(0)).unwrap() == Some(true)
    };
    let starts = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&starts);
    let took = runtime().block_on(async {
        let queue = Queue::open_with(options(round.folder, Durability::Balanced)).await.unwrap();
        let nothing = move |_: Nothing, _: RunContext| {
            noted.lock().unwrap().push(Instant::now());
            std::future::ready(Ok::<(), Failure>(()))
        };
        let engine = Engine::builder(queue).queue("another", 8).handler(nothing).build().unwrap();
        let begin = Instant::now();
        let engine = engine.start().await.unwrap();
        while !is_over() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let took = begin.elapsed();
        engine.shutdown(Duration::from_secs(10)).await.unwrap();
        took
    });
    let mut starts = std::mem::take(&mut *starts.lock().unwrap());
    starts.sort();
    let longest = starts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
    [took, longest].map(|took| took.as_secs_f64() * 1e3).to_vec()
}
