//! The files that the scenarios begin with. Nothing goes wrong while they are made.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mainspring::{
    DeliveryContext, DeliveryError, Engine, EngineHandle, Failure, Handler, NewJob, Queue, Receipt,
    RunContext, Schedule,
};
use mainspring_proof_tally::drop_views;
use refinery::Target;
use rusqlite::Connection;

use crate::handlers::{Plain, Post, delivered_label, output_of};
use crate::ledger::{Entry, Ledger};
use crate::part::{Act, Answer, Part};
use crate::scenario::{OLD_JOBS, ROWS, Scenario};
use crate::stage::{BEGINNING, Stage};

const HOUR: Duration = Duration::from_secs(3_600);
const PATIENCE: Duration = Duration::from_secs(30);

/// The migrations as they are shipped, so that the first of them can be applied alone.
mod shipped {
    refinery::embed_migrations!("../../../migrations");
}

const HISTORY: &str = "mainspring_schema_history";
/// The id that mainspring gives a file of its own.
const APPLICATION_ID: i32 = 0x4d4e_5350;

type Prepared<T = ()> = Result<T, String>;

fn plainly<E: std::fmt::Display>(what: &str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}

pub(crate) async fn prepare(scenario: Scenario, path: &Path) -> Prepared {
    if scenario == Scenario::FirstStart {
        return Ok(());
    }
    fill(scenario, path).await?;
    if scenario != Scenario::Upgrade {
        drop_views(path)?;
    }
    // One file is all there is: who copies it copies everything.
    run(path, &["PRAGMA wal_checkpoint(TRUNCATE)"])
}

async fn fill(scenario: Scenario, path: &Path) -> Prepared {
    match scenario {
        Scenario::Upgrade => first_version(path).await,
        Scenario::Recovery => left_by_a_dead_process(path).await,
        Scenario::Prune => with_history(path).await,
        Scenario::Enqueue => {
            close(open(path)?).await?;
            run(path, &[ROWS])
        }
        _ => close(open(path)?).await,
    }
}

fn open(path: &Path) -> Prepared<Queue> {
    let stage = Stage::new(Scenario::FirstStart, path, Ledger::in_memory());
    Queue::open_on_clock(&stage.options().busy_timeout(PATIENCE), Arc::new(stage.clock.clone()))
        .map_err(plainly("opening"))
}

async fn close(queue: Queue) -> Prepared {
    queue.close().await.map_err(plainly("closing"))
}

fn run(path: &Path, statements: &[&str]) -> Prepared {
    let conn = Connection::open(path).map_err(plainly("opening"))?;
    statements.iter().try_for_each(|sql| conn.execute_batch(sql).map_err(plainly(sql)))
}

/// A file as the first version of the schema made it, with jobs in it: made anew and filled from a file of today.
async fn first_version(path: &Path) -> Prepared {
    let today = path.with_extension("today");
    let queue = open(&today)?;
    let plain = |label: &str| NewJob::new(Plain { label: label.to_owned() });
    queue.enqueue(plain("old-1")).await.map_err(plainly("enqueueing"))?;
    queue.enqueue(NewJob::new(Post { label: "old-2".to_owned() })).await.map_err(plainly("enqueueing"))?;
    queue.enqueue(plain("old-later").after(HOUR)).await.map_err(plainly("enqueueing"))?;
    close(queue).await?;

    let mut conn = Connection::open(path).map_err(plainly("opening"))?;
    conn.execute_batch("PRAGMA journal_mode = wal").map_err(plainly("wal"))?;
    conn.pragma_update(None, "application_id", APPLICATION_ID).map_err(plainly("application_id"))?;
    shipped::migrations::runner()
        .set_grouped(true)
        .set_target(Target::Version(1))
        .set_migration_table_name(HISTORY)
        .run(&mut conn)
        .map_err(plainly("the first migration"))?;
    conn.execute("ATTACH ?1 AS today", [today.to_str()]).map_err(plainly("attaching"))?;
    let fill = columns(&conn).map_err(plainly("the jobs' columns"))?;
    conn.execute_batch(&fill).map_err(plainly(&fill))?;
    let (version, jobs): (i64, i64) = conn
        .query_row(
            "SELECT (SELECT max(version) FROM mainspring_schema_history), (SELECT count(*) FROM mainspring_jobs)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .map_err(plainly("looking"))?;
    conn.execute_batch("DETACH today").map_err(plainly("detaching"))?;
    std::fs::remove_file(&today).map_err(plainly("removing the file of today"))?;
    if (version, jobs) == (1, 3) {
        Ok(())
    } else {
        Err(format!("the old file has version {version} and {jobs} jobs"))
    }
}

/// The generated columns are not among those that `table_info` names.
fn columns(conn: &Connection) -> rusqlite::Result<String> {
    let mut statement = conn.prepare("SELECT name FROM pragma_table_info('mainspring_jobs')")?;
    let names: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let names = names.join(", ");
    Ok(format!("INSERT INTO main.mainspring_jobs ({names}) SELECT {names} FROM today.mainspring_jobs"))
}

/// A file with jobs that ran two months ago.
async fn with_history(path: &Path) -> Prepared {
    let past = Past::begin(Scenario::Prune, path, Duration::from_secs(60 * 86_400), 4).await?;
    let jobs: Vec<_> = (0..OLD_JOBS).map(|_| Post { label: "old".to_owned() }).collect();
    past.queue.enqueue_many(jobs).await.map_err(plainly("enqueueing"))?;
    let done = format!("{OLD_JOBS} runs, 0 open, 0 started, 0 pending");
    past.until_it_stands(&done).await?;
    past.end(PATIENCE).await
}

/// A copy of a file whose engine was in the middle of everything: in the copy, that engine is dead.
async fn left_by_a_dead_process(path: &Path) -> Prepared {
    let alive = path.with_extension("alive");
    // Two deliveries at once, so that the third output waits for them.
    let past = Past::begin(Scenario::Recovery, &alive, Duration::from_secs(5), 2).await?;
    for part in Scenario::Recovery.parts().iter().filter(|part| part.made_by.is_empty()) {
        past.enqueue(part).await?;
        let called = |entry: &Entry| matches!(entry, Entry::Called { label, .. } if label == part.label);
        let sent = |entry: &Entry| matches!(entry, Entry::Sent { label, .. } if label == part.label);
        if (part.before.0 > 0 && !past.ledger.wait(PATIENCE, called))
            || (part.before.1 > 0 && !past.ledger.wait(PATIENCE, sent))
        {
            return Err(format!("{:?} does not come to where it dies", part.label));
        }
    }
    past.until_it_stands("5 runs, 2 open, 2 started, 1 pending").await?;
    run(&alive, &["PRAGMA wal_checkpoint(TRUNCATE)"])?;
    // By another process: closing a file of its own would take this process's locks away.
    let copied = Command::new("cp").arg(&alive).arg(path).status().map_err(plainly("cp"))?;
    if !copied.success() {
        return Err(format!("cp failed: {copied}"));
    }
    past.end(Duration::ZERO).await?;
    for suffix in ["", "-wal", "-shm"] {
        let litter = format!("{}{suffix}", alive.display());
        drop(std::fs::remove_file(litter));
    }
    Ok(())
}

/// An engine of the past. Its handlers and sinks stop where their part of the recovery says that they died.
struct Past {
    path: PathBuf,
    ledger: Ledger,
    queue: Queue,
    engine: EngineHandle,
}

impl Past {
    async fn begin(scenario: Scenario, path: &Path, ago: Duration, deliveries: u32) -> Prepared<Self> {
        let ledger = Ledger::in_memory();
        ledger.write(Entry::Clock { to_ms: BEGINNING.minus(ago).millis() });
        let stage = Stage::new(scenario, path, ledger.clone()).busy_timeout(PATIENCE);
        let queue = Queue::open_on_clock(&stage.options(), Arc::new(stage.clock.clone()))
            .map_err(plainly("opening"))?;
        let crew = PastCrew { scenario, ledger: ledger.clone() };
        let plain = crew.clone();
        let engine = Engine::builder(queue.clone())
            .handler(crew)
            .handler(move |args: Plain, cx: RunContext| {
                let crew = plain.clone();
                async move { crew.act(args.label, &cx).await }
            })
            .queue("default", 8)
            .deliveries(deliveries)
            .build()
            .map_err(plainly("building"))?
            .start()
            .await
            .map_err(plainly("starting"))?;
        Ok(Self { path: path.to_path_buf(), ledger, queue, engine })
    }

    async fn enqueue(&self, part: &Part) -> Prepared {
        let label = part.label.to_owned();
        let made = if part.label == "recurring" {
            let hourly = Schedule::every(HOUR).map_err(plainly("hourly"))?.anchored_at(BEGINNING.plus(HOUR));
            self.queue.schedule("recurring", hourly, Post { label }).await.map(drop)
        } else if part.delivers() {
            let job = NewJob::new(Post { label }).on_unknown_delivery(part.on_unknown_delivery);
            self.queue.enqueue(job.on_interrupt(part.on_interrupt)).await.map(drop)
        } else {
            let job = NewJob::new(Plain { label }).on_interrupt(part.on_interrupt);
            // One that the dead process never came to.
            let job = if part.label == "waiting" { job.after(Duration::from_secs(4)) } else { job };
            self.queue.enqueue(job).await.map(drop)
        };
        made.map_err(plainly("enqueueing"))
    }

    async fn until_it_stands(&self, wanted: &str) -> Prepared {
        let until = Instant::now() + PATIENCE;
        loop {
            let found: String = Connection::open(&self.path)
                .and_then(|conn| conn.query_row(STANDS, [], |row| row.get(0)))
                .map_err(plainly("looking"))?;
            if found == wanted {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(format!("it stands at {found}, not at {wanted}"));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn end(self, patience: Duration) -> Prepared {
        self.engine.shutdown(patience).await.map_err(plainly("shutdown"))?;
        close(self.queue).await
    }
}

const STANDS: &str = "
SELECT (SELECT count(*) FROM mainspring_runs) || ' runs, '
    || (SELECT count(*) FROM mainspring_runs WHERE ended_at_ms IS NULL) || ' open, '
    || (SELECT count(*) FROM mainspring_completions WHERE delivery = 'started') || ' started, '
    || (SELECT count(*) FROM mainspring_completions WHERE delivery = 'pending') || ' pending'";

#[derive(Clone)]
struct PastCrew {
    scenario: Scenario,
    ledger: Ledger,
}

impl PastCrew {
    async fn act(&self, label: String, cx: &RunContext) -> Result<String, Failure> {
        let (run, occurrence) = (cx.run_id().0, cx.scheduled_for().millis());
        let stops = self.scenario.part(&label).is_some_and(|part| part.act(cx.attempt()) == Act::AwaitStop);
        let output = output_of(&label);
        self.ledger.write(Entry::Called { label, run, occurrence, attempt: cx.attempt() });
        if stops {
            cx.cancelled().await;
        }
        Ok(output)
    }
}

impl Handler<Post> for PastCrew {
    type Output = String;

    async fn run(&self, args: Post, cx: RunContext) -> Result<String, Failure> {
        self.act(args.label, &cx).await
    }

    async fn deliver(&self, output: String, cx: DeliveryContext) -> Result<Receipt, DeliveryError> {
        let label = delivered_label(&output).to_owned();
        let stops = self.scenario.part(&label).is_some_and(|part| part.before.1 > 0);
        let (run, attempt, answer) = (cx.run_id().0, cx.attempt(), Answer::Accept);
        self.ledger.write(Entry::Sent { label, run, attempt, answer });
        if stops {
            cx.cancelled().await;
        }
        Ok(Receipt::none())
    }
}
