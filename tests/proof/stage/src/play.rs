//! An application while it plays a scenario: it opens the queue, starts an engine, repeats what failed, and looks
//! first where an outcome is unknown.

use std::cell::Cell;
use std::time::{Duration, Instant};

use mainspring::{
    Engine, EngineHandle, Error, Job, JobId, ListFilter, OpenOptions, Queue, Result as Answered, RunContext,
    Timestamp,
};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::handlers::{Crew, Plain, label_of};
use crate::ledger::Entry;
use crate::stage::{BEGINNING, Stage};
use crate::typed::{class, leaves_doubt};

/// Between two tries of a call.
const PAUSE: Duration = Duration::from_millis(3);
/// Between two looks whether anything is left to do, doubling.
const LOOKS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(16));
/// How long a shutdown waits for what is under way.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// What is left to do at a time: open runs, jobs that can be claimed, deliveries.
const LEFT: &str = "
SELECT
    (SELECT count(*) FROM mainspring_runs WHERE ended_at_ms IS NULL) AS runs,
    (SELECT count(*) FROM mainspring_jobs WHERE claimable = 1 AND next_run_at_ms <= :now_ms) AS jobs,
    (SELECT count(*) FROM mainspring_completions
     WHERE delivery = 'started'
        OR (delivery = 'pending' AND (delivery_owner_id IS NOT NULL OR next_delivery_at_ms <= :now_ms))) AS deliveries,
    (SELECT count(*) FROM mainspring_jobs WHERE parked_at_ms IS NOT NULL) AS parked";

/// The call that lets a job go on which was parked, since it seemed to kill its process.
pub(crate) const RESUME: &str = "resume-parked";

/// An application that plays.
pub struct Play<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) queue: Queue,
    engine: Option<EngineHandle>,
    /// Gone before an engine stops: what a bystander holds open, the last one that closes does not tidy up.
    bystander: Cell<Option<Connection>>,
}

impl<'a> Play<'a> {
    /// Opens the queue and starts an engine on it.
    pub(crate) async fn begin(stage: &'a Stage) -> Result<Self, String> {
        Self::begin_with(stage, &stage.options()).await
    }

    /// The same with other options, as another process has them.
    pub(crate) async fn begin_with(stage: &'a Stage, options: &OpenOptions) -> Result<Self, String> {
        let open = async || Queue::open_on_clock(options, std::sync::Arc::new(stage.clock.clone()));
        let queue = until_it_works(stage, "open", open).await?;
        let mut play = Self { stage, queue, engine: None, bystander: Cell::default() };
        play.start().await?;
        Ok(play)
    }

    pub(crate) async fn start(&mut self) -> Result<(), String> {
        let crew = Crew { scenario: self.stage.scenario, ledger: self.stage.ledger.clone() };
        let start = async || {
            let plain = crew.clone();
            Engine::builder(self.queue.clone())
                .handler(crew.clone())
                .handler(move |args: Plain, cx: RunContext| {
                    let crew = plain.clone();
                    async move { crew.act(&args.label, &cx).await }
                })
                .queue("default", 4)
                .deliveries(4)
                .build()?
                .start()
                .await
        };
        self.engine = Some(until_it_works(self.stage, "start", start).await?);
        Ok(())
    }

    /// Shuts the engine down. An error of it is none of the application's concern: what it left, the next start
    /// settles.
    pub(crate) async fn stop(&mut self) -> Result<(), String> {
        self.bystander.take();
        let Some(engine) = self.engine.take() else { return Ok(()) };
        if let Err(error) = engine.shutdown(SHUTDOWN).await {
            refused(self.stage, "shutdown", &error)?;
        }
        Ok(())
    }

    /// Has the file examined, shuts down and closes the queue, in order.
    pub(crate) async fn end(mut self) -> Result<(), String> {
        let findings = self.ask("doctor", async |queue| queue.doctor().await).await?;
        if !findings.is_empty() {
            return Err(format!("the doctor finds {findings:?}"));
        }
        self.stop().await?;
        until_it_works(self.stage, "close", async || self.queue.close().await).await
    }

    /// Makes a call that may be made again whatever became of it; not if it was acknowledged in a former life.
    /// Returns what it returned.
    pub(crate) async fn call<T>(
        &self,
        name: &str,
        call: impl AsyncFn(&Queue) -> Answered<T>,
    ) -> Result<Option<T>, String> {
        self.call_unless(name, call, async |_| Ok(false)).await
    }

    /// Makes a call of which nobody may know what became of it: then `is_done` looks before it is made again.
    pub(crate) async fn call_unless<T>(
        &self,
        name: &str,
        call: impl AsyncFn(&Queue) -> Answered<T>,
        is_done: impl AsyncFn(&Queue) -> Answered<bool>,
    ) -> Result<Option<T>, String> {
        let ledger = &self.stage.ledger;
        if ledger.acknowledged(name) {
            return Ok(None);
        }
        let acknowledged = || ledger.write(Entry::Acknowledged { call: name.to_owned() });
        let until = Instant::now() + self.stage.patience;
        loop {
            if ledger.in_doubt(name)
                && until_it_works(self.stage, "look", async || is_done(&self.queue).await).await?
            {
                acknowledged();
                return Ok(None);
            }
            ledger.write(Entry::Asked { call: name.to_owned() });
            match call(&self.queue).await {
                Ok(value) => {
                    acknowledged();
                    return Ok(Some(value));
                }
                Err(error) => refused(self.stage, name, &error)?,
            }
            wait_or_give_up(name, until).await?;
        }
    }

    /// Asks for something that changes nothing.
    pub(crate) async fn ask<T>(
        &self,
        name: &str,
        question: impl AsyncFn(&Queue) -> Answered<T>,
    ) -> Result<T, String> {
        until_it_works(self.stage, name, async || question(&self.queue).await).await
    }

    /// Moves the clock so far from the beginning; it never goes back.
    pub(crate) fn clock_to(&self, offset: Duration) {
        let target = BEGINNING.plus(offset);
        if self.stage.clock.now() < target {
            // Written first: a process that is killed between the two goes on with the later time.
            self.stage.ledger.write(Entry::Clock { to_ms: target.millis() });
            self.stage.clock.set(target);
        }
    }

    /// Moves the clock, and waits until nothing is left to do then.
    pub(crate) async fn pass_to(&self, offset: Duration) -> Result<(), String> {
        self.clock_to(offset);
        self.quiet().await
    }

    /// Waits until nothing is left to do at the time that the clock shows. Looks as another process would.
    pub(crate) async fn quiet(&self) -> Result<(), String> {
        let until = Instant::now() + self.stage.patience;
        let mut pause = LOOKS.0;
        let cannot = |error| format!("a process without a fault cannot read the file: {error}");
        let bystander = match self.bystander.take() {
            Some(kept) => kept,
            None => bystander(self.stage).map_err(cannot)?,
        };
        loop {
            tokio::time::sleep(pause).await;
            let left = left(&bystander, self.stage.clock.now()).map_err(cannot)?;
            match left {
                (0, 0, 0, 0) => {
                    self.bystander.set(Some(bystander));
                    return Ok(());
                }
                (0, 0, 0, _) => self.resume().await?,
                _ => {}
            }
            if Instant::now() >= until {
                let (runs, jobs, deliveries, parked) = left;
                return Err(format!(
                    "it does not go on: {runs} open runs, {jobs} due jobs, {deliveries} deliveries and {parked} parked \
                     jobs are left after {:?}",
                    self.stage.patience
                ));
            }
            pause = (pause * 2).min(LOOKS.1);
        }
    }

    /// Lets go on what was parked, as a person does who has looked why.
    async fn resume(&self) -> Result<(), String> {
        self.stage.ledger.write(Entry::Asked { call: RESUME.to_owned() });
        let resume = async |queue: &Queue| {
            for job in queue.list(ListFilter::default()).await?.jobs {
                if job.parked_at.is_some() {
                    queue.resume(job.id).await?;
                }
            }
            Ok(())
        };
        self.ask(RESUME, resume).await
    }

    /// Waits until the handler was called for a job.
    pub(crate) async fn called(&self, label: &str) -> Result<(), String> {
        let is = |entry: &Entry| matches!(entry, Entry::Called { label: named, .. } if named == label);
        if self.stage.ledger.wait(self.stage.patience, is) {
            return Ok(());
        }
        Err(format!("the handler of {label:?} was not called within {:?}", self.stage.patience))
    }
}

/// Looks for a job with this label.
pub(crate) async fn job_of(queue: &Queue, label: &str) -> Answered<Option<Job>> {
    let list = queue.list(ListFilter::default()).await?;
    if let Some(unreadable) = list.unreadable.into_iter().next() {
        return Err(unreadable);
    }
    Ok(list.jobs.into_iter().find(|job| label_of(&job.args).as_deref() == Some(label)))
}

/// The id of the job with this label.
pub(crate) async fn id_of(queue: &Queue, label: &str) -> Answered<JobId> {
    job_of(queue, label).await?.map(|job| job.id).ok_or_else(|| Error::JobNotFound(label.to_owned()))
}

/// A connection of somebody else, who only looks: it is no part of what is tested, and goes through SQLite's own VFS.
pub(crate) fn bystander(stage: &Stage) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(&stage.path, flags)?;
    conn.busy_timeout(stage.patience)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(conn)
}

fn left(conn: &Connection, now: Timestamp) -> rusqlite::Result<(i64, i64, i64, i64)> {
    conn.prepare_cached(LEFT)?.query_row([now.millis()], |row| {
        Ok((row.get("runs")?, row.get("jobs")?, row.get("deliveries")?, row.get("parked")?))
    })
}

/// Does what changes nothing, or is the same twice, until it works.
async fn until_it_works<T>(
    stage: &Stage,
    name: &str,
    call: impl AsyncFn() -> Answered<T>,
) -> Result<T, String> {
    let until = Instant::now() + stage.patience;
    loop {
        match call().await {
            Ok(value) => return Ok(value),
            Err(error) => refused(stage, name, &error)?,
        }
        wait_or_give_up(name, until).await?;
    }
}

/// Notes an error; one that no fault explains ends the play.
fn refused(stage: &Stage, call: &str, error: &Error) -> Result<(), String> {
    let (class, broken) = match class(error) {
        Ok(class) => (class, None),
        Err(why) => ("untyped", Some(why)),
    };
    let (call, class) = (call.to_owned(), class.to_owned());
    match broken {
        Some(why) => {
            stage.ledger.write(Entry::Refused { call: call.clone(), class, doubt: true });
            Err(format!("{call:?} returned {why}"))
        }
        None => {
            stage.ledger.write(Entry::Refused { call, class, doubt: leaves_doubt(error) });
            Ok(())
        }
    }
}

async fn wait_or_give_up(name: &str, until: Instant) -> Result<(), String> {
    if Instant::now() >= until {
        return Err(format!("{name:?} does not work any more"));
    }
    tokio::time::sleep(PAUSE).await;
    Ok(())
}
