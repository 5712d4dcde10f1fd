//! A briefing for each weekday morning, from a fresh file to its delivery, and through any crash.
//!
//! `cargo run --example morning_briefing -- --help` says what it does. Begin to read at [`example`].
#![allow(missing_docs, unreachable_pub, reason = "a program: nobody imports anything from it")]

mod agenda;
mod jobs;
mod options;
mod outbox;
mod recovery;
mod story;
mod summary;

use std::process::ExitCode;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use chrono_tz::Tz;
use mainspring::{Engine, EngineBuilder, Enqueued, NewJob, Queue, Schedule, Scheduled, Timestamp, crash};

use agenda::Agenda;
use jobs::{Briefing, HealthCheck, Reminder, Secretary, Tally};
use options::{HELP, Options};
use outbox::Outbox;
use recovery::Left;
use story::say;
use summary::next_time;

pub type Result<T, E = mainspring::BoxError> = std::result::Result<T, E>;

/// The name of the job that this is all about.
pub const BRIEFING: &str = "morning-briefing";
/// The queue of the briefings. What else there is to do is in the queue `default`.
const BRIEFINGS: &str = "briefings";
/// How long `--fast` goes on.
const FAST: Duration = Duration::from_secs(12);
/// How long what is due now may take at most.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) if options.help => {
            say(HELP);
            return ExitCode::SUCCESS;
        }
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    match example(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Everything that the jobs need to know.
#[derive(Debug)]
pub struct Setting<'a> {
    pub options: &'a Options,
    pub agenda: Agenda,
    pub zone: Tz,
}

async fn example(options: &Options) -> Result<()> {
    let agenda = Agenda::read(&options.agenda)?;
    let setting = Setting { options, zone: agenda.zone, agenda };
    story::begin(setting.zone)?;
    let start = Timestamp::from(Utc::now());

    let queue = Queue::open(&options.db).await?;
    let outbox = Outbox::beside(queue.path());
    say(format_args!("queue       {}", queue.path().display()));
    say(format_args!("outbox      {}", outbox.path().display()));
    let left = Left::find(&queue).await?;
    schedule(&queue, &setting).await?;
    enqueue(&queue, &setting).await?;
    if options.resume {
        queue.resume(BRIEFING).await?;
    }
    // A briefing that waits since it could not be run in time comes by itself.
    let is_due = queue.get(BRIEFING).await?.next_run_at.is_some_and(|at| at <= Utc::now().into());

    if let Some(point) = options.crash_at {
        crash::arm(point);
        say(format_args!(
            "crash       at {point}: the process dies there; start it again without --crash-at"
        ));
    }
    say("");
    let engine = engine(&queue, &outbox, options).build()?.start().await?;
    left.tell(&queue, &outbox, &setting).await?;
    if !options.fast && !is_due && (left.is_empty() || options.crash_at.is_some()) {
        let request = queue.run_now(BRIEFING).await?;
        say(format_args!("asked for   one {BRIEFING} now, besides its schedule (request {request})"));
    } else if !options.fast && !is_due {
        say("            start it again for another briefing at once");
    }
    tokio::select! {
        done = until_done(&queue, options) => done?,
        signal = tokio::signal::ctrl_c() => signal?,
    }

    let report = engine.shutdown(PATIENCE).await?;
    say(format_args!(
        "\nshut down   {} runs ended meanwhile, {} were interrupted, {} deliveries are unknown",
        report.finished, report.interrupted, report.unknown
    ));
    summary::tell(&queue, &outbox, &setting, start).await?;
    queue.close().await?;
    match options.crash_at {
        Some(point) => Err(format!("no briefing has come to {point:?}: nothing was killed").into()),
        None => Ok(()),
    }
}

/// Declares what recurs, and the reminder. Done at each start: what is in the file already stays as it is.
async fn schedule(queue: &Queue, setting: &Setting<'_>) -> Result<()> {
    let Setting { options, agenda, zone } = setting;
    let weekdays = if options.fast { "*/4 * * * * *" } else { "0 8 * * mon-fri" };
    let briefing = NewJob::new(Briefing { agenda: options.agenda.clone() }).queue(BRIEFINGS);
    let every = Duration::from_secs(if options.fast { 3 } else { 300 });
    let (reminder, text) = reminder(agenda, options.fast)?;

    let scheduled = [
        queue.schedule(BRIEFING, Schedule::cron(weekdays)?.in_tz(*zone), briefing).await?,
        queue.schedule("health-check", Schedule::every(every)?, HealthCheck {}).await?,
        queue.schedule("reminder", reminder, Reminder { text }).await?,
    ];
    for scheduled in scheduled {
        let what = match scheduled {
            Scheduled::Created(_) => "created",
            Scheduled::Changed(_) => "changed",
            Scheduled::Unchanged(_) => "unchanged",
        };
        let job = queue.get(scheduled.id()).await?;
        let next = next_time(&job, *zone);
        let name = job.name.unwrap_or_default();
        say(format_args!("schedule    {name:<17} {:<24} {what}, next: {next}", job.schedule.to_string()));
    }
    Ok(())
}

/// The reminder: ten minutes before the next day begins that has entries.
fn reminder(agenda: &Agenda, fast: bool) -> Result<(Schedule, String)> {
    if fast {
        return Ok((Schedule::after(Duration::from_secs(6)), "Six seconds have passed.".to_owned()));
    }
    let before = TimeDelta::minutes(10);
    let now = Utc::now().with_timezone(&agenda.zone).naive_local();
    let (begins, entry) = agenda.first_entry_after(now + before).ok_or("the agenda has no entry")?;
    Ok((Schedule::at_local(begins - before, agenda.zone)?, format!("In ten minutes: {}.", entry.what)))
}

/// Enqueues a few plain jobs, in one transaction.
async fn enqueue(queue: &Queue, setting: &Setting<'_>) -> Result<()> {
    let jobs = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"].map(|day| {
        let tally = Tally { agenda: setting.options.agenda.clone(), day: day.to_owned() };
        NewJob::new(tally).unique(format!("tally of {day}"))
    });
    let jobs = queue.enqueue_many(jobs).await?;
    let made = jobs.iter().filter(|job| matches!(job, Enqueued::Created(_))).count();
    say(format_args!("enqueued    {made} plain jobs, {} of an earlier start still wait", jobs.len() - made));
    Ok(())
}

fn engine(queue: &Queue, outbox: &Outbox, options: &Options) -> EngineBuilder {
    let secretary = Secretary { outbox: outbox.clone() };
    let engine = Engine::builder(queue.clone())
        .handler::<Briefing, _>(secretary.clone())
        .handler::<Reminder, _>(secretary)
        .handler(jobs::health_check(queue.clone()))
        .blocking_handler(jobs::count)
        .queue(BRIEFINGS, 1);
    // A crash is for the briefing: what else there is to do waits for the next start.
    if options.crash_at.is_some() { engine } else { engine.queue("default", 4) }
}

/// Waits for as long as the options say.
async fn until_done(queue: &Queue, options: &Options) -> Result<()> {
    if options.stay {
        say("stay        until Ctrl-C");
        std::future::pending::<()>().await;
    } else if options.fast {
        tokio::time::sleep(FAST).await;
    } else {
        until_idle(queue).await?;
    }
    Ok(())
}

/// Waits until nothing is left to do at this time.
async fn until_idle(queue: &Queue) -> mainspring::Result<()> {
    let waiting = async {
        loop {
            let status = queue.status().await?;
            if status.overdue + status.ready + status.running + status.undelivered + status.delivering == 0 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // What takes longer is on record as it is, and goes on at the next start.
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or(Ok(()))
}
