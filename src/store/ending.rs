//! The end of a run: its completion row, and what it means for its job. Completing, recovering and releasing
//! a run all end it here.

use std::sync::LazyLock;

use rusqlite::{Connection, Row, named_params};

use super::claim::park;
use super::parameters::bind;
use super::rows::{Columns, names_in, overlap_columns};
use super::wake::wake_at;
use super::{Tx, finish, misses, sabotage};
use crate::error::{Error, Result};
use crate::exchange::{Deliver, Then};
use crate::job::JobId;
use crate::plan::{self, Next, Overlap, Position};
use crate::policy::{MAX_INTERRUPTIONS_IN_A_ROW, OnUnknownDelivery, Policies};
use crate::run::{Delivery, ErrorClass, Outcome, RequestId, RunId};
use crate::sabotage::{Bug, on};
use crate::schedule::{Schedule, ScheduleKind};
use crate::time::Timestamp;

/// How a run ended.
#[derive(Debug)]
pub(super) struct Ending<'a> {
    pub(super) run_id: RunId,
    /// Its job, where the caller knows it without a look: then most rows of jobs need not be read.
    pub(super) job_id: Option<JobId>,
    pub(super) outcome: Outcome,
    pub(super) output: Option<&'a str>,
    pub(super) error: Option<&'a str>,
    pub(super) error_class: Option<ErrorClass>,
    /// Who delivers the output.
    pub(super) deliver: Deliver,
    pub(super) deliver_by: Option<Timestamp>,
    pub(super) then: &'a Then,
    pub(super) started_at: Option<Timestamp>,
    pub(super) finished_at: Timestamp,
}

/// What the end of a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) job_id: JobId,
    pub(super) delivery: Delivery,
    pub(super) next_run_at: Option<Timestamp>,
}

// ended_at_ms IS NULL is the fence: whoever ends the run first decides its outcome.
const END_RUN: &str = "
UPDATE mainspring_runs
SET started_at_ms = coalesce(:started_at_ms, started_at_ms), ended_at_ms = :now_ms
WHERE id = :run_id AND ended_at_ms IS NULL";

/// The columns that [`read_run`] reads, in its order.
macro_rules! ended_run_columns {
    () => {
        "id, job_id, job_revision, queue, scheduled_for_ms, attempt, trigger, request_id, cancel_requested_at_ms"
    };
}

// Not by RETURNING: SQLite builds a table in memory for it, which takes longer than another statement.
const RUN: &str = concat!(
    "SELECT ",
    ended_run_columns!(),
    "
FROM mainspring_runs
WHERE id = :run_id"
);

const COMPLETE: &str = "
INSERT INTO mainspring_completions (
    run_id, outcome, finished_at_ms, output, error, error_class, delivery, delivery_queue, on_unknown_delivery,
    delivery_owner_id, next_delivery_at_ms, deliver_by_ms, delivery_settled_at_ms, delivery_error)
VALUES (
    :run_id, :outcome, :finished_at_ms, :output, :error, :error_class, :delivery, :delivery_queue,
    :on_unknown_delivery, :delivery_owner_id, :next_delivery_at_ms, :deliver_by_ms, :delivery_settled_at_ms,
    :delivery_error)";

/// The columns that [`read_job`] reads, in its order.
macro_rules! ending_job_columns {
    () => {
        "id, requests, next_run_at_ms, schedule_kind, schedule_text, at_ms, every_ms, anchor_ms, time_zone, gap, \
         starts_at_ms, ends_at_ms, max_runs, jitter_ms, calendar, expires_at_ms, on_unknown_delivery, overlap, \
         max_open_runs, policies, schedule_activated_at_ms, schedule_revision, planned_run_at_ms, scheduled_for_ms, \
         attempt, failed_attempts, then_scheduled_for_ms, then_run_at_ms, open_runs, running_at_ms, running_run_id, runs_started, failures_in_a_row, \
         interruptions_in_a_row, finished_at_ms"
    };
}

const JOB: &str = concat!("SELECT ", ending_job_columns!(), " FROM mainspring_jobs WHERE id = :id");

static RUN_NAMES: LazyLock<Box<[&str]>> = LazyLock::new(|| names_in(ended_run_columns!()));
static JOB_NAMES: LazyLock<Box<[&str]>> = LazyLock::new(|| names_in(ending_job_columns!()));

// The time comes from the row that max() names.
const NEWEST_OPEN_RUN: &str = "
SELECT max(id) AS id, claimed_at_ms
FROM mainspring_runs INDEXED BY mainspring_runs_open
WHERE ended_at_ms IS NULL AND job_id = :job_id";

// One that had finished before what was asked for besides stays finished: another job may have its unique key by now. One
// with an occurrence has not, whatever its row says.
const UPDATE_JOB: &str = "
UPDATE mainspring_jobs
SET next_run_at_ms = :next_run_at_ms,
    scheduled_for_ms = :scheduled_for_ms,
    attempt = :attempt,
    failed_attempts = :failed_attempts,
    then_scheduled_for_ms = :then_scheduled_for_ms,
    then_run_at_ms = :then_run_at_ms,
    ready = :ready,
    requests = :requests,
    planned_run_at_ms = :planned_run_at_ms,
    open_runs = :open_runs,
    running_at_ms = :running_at_ms,
    running_run_id = :running_run_id,
    superseded_at_ms = NULL,
    last_outcome = :outcome,
    failures_in_a_row = :failures_in_a_row,
    interruptions_in_a_row = :interruptions_in_a_row,
    finished_at_ms = CASE WHEN :scheduled_for_ms IS NULL THEN coalesce(:finished_at_ms, finished_at_ms) END
WHERE id = :id";

const REQUEST_AGAIN: &str = "
INSERT INTO mainspring_requests (
    job_id, trigger, scheduled_for_ms, attempt, failed_attempts, run_at_ms, request_key, requested_at_ms)
VALUES (
    :job_id, :trigger, :scheduled_for_ms, :attempt, :failed_attempts, :run_at_ms, :request_key, :now_ms)";

/// The run that was ended.
struct EndedRun {
    job_id: JobId,
    job_revision: i64,
    queue: String,
    scheduled_for: Timestamp,
    attempt: u32,
    trigger: plan::Trigger,
    request_id: Option<RequestId>,
    /// Somebody asked for it to stop, whether its handler has heard of it or not.
    cancelled: bool,
}

/// The part of a job that the end of its run changes.
struct EndingJob {
    schedule: Schedule,
    expires_at: Option<Timestamp>,
    on_unknown_delivery: OnUnknownDelivery,
    overlap: Overlap,
    policies: String,
    activated_at: Timestamp,
    schedule_revision: i64,
    /// The time of the schedule's own next run, whatever was asked for besides.
    own_run_at: Option<Timestamp>,
    scheduled_for: Option<Timestamp>,
    attempt: u32,
    failed_attempts: u32,
    /// What comes after another attempt that waits already.
    then: Option<Next>,
    requests: u32,
    open_runs: u32,
    running_at: Option<Timestamp>,
    running_run_id: Option<RunId>,
    runs_started: u32,
    failures_in_a_row: u32,
    interruptions_in_a_row: u32,
    /// Its schedule has ended; what runs was asked for besides.
    had_finished: bool,
}

impl EndingJob {
    /// The next occurrence of its schedule, whether or not another attempt at an earlier one goes before it.
    fn schedules_next(&self) -> Option<Next> {
        if self.attempt > 1 {
            return self.then;
        }
        let (scheduled_for, run_at) = self.scheduled_for.zip(self.own_run_at)?;
        Some(Next { scheduled_for, run_at })
    }
}

/// Ends a run and settles its job; `None` if the run had ended already, and then nothing was written.
pub(super) fn end_run(tx: &Tx<'_>, ending: &Ending<'_>, now: Timestamp) -> Result<Option<Ended>> {
    if !close(tx, ending, now)? {
        return Ok(None);
    }
    if let Some(job_id) = ending.job_id
        && finish::may_be_all(ending)
        && finish::finish(tx, ending, job_id, now)?
    {
        return Ok(Some(Ended { job_id, delivery: Delivery::NotRequested, next_run_at: None }));
    }
    let Some(run) = ended_run(tx, ending.run_id)? else { return Ok(None) };
    let job = load(tx, run.job_id)?;
    let delivery = complete(tx, ending, &run, job.as_ref(), now)?;
    if on(Bug::SplitCompletion) {
        sabotage::split(tx)?;
    }
    let next_run_at = match job {
        Some(job) => settle_job(tx, ending, &run, job, now)?,
        None => None,
    };
    Ok(Some(Ended { job_id: run.job_id, delivery, next_run_at }))
}

/// Ends the run, unless it had ended.
fn close(tx: &Tx<'_>, ending: &Ending<'_>, now: Timestamp) -> Result<bool> {
    tx.with(END_RUN, |statement| {
        bind!(statement, END_RUN, {
            ":run_id": ending.run_id,
            ":started_at_ms": ending.started_at,
            ":now_ms": now,
        });
        Ok(statement.raw_execute()? == 1)
    })
}

fn ended_run(tx: &Tx<'_>, id: RunId) -> Result<Option<EndedRun>> {
    tx.with(RUN, |statement| {
        bind!(statement, RUN, { ":run_id": id });
        statement.raw_query().next()?.map(read_run).transpose()
    })
}

fn read_run(row: &Row<'_>) -> Result<EndedRun> {
    let c = Columns::listed("mainspring_runs", row, &RUN_NAMES)?;
    Ok(EndedRun {
        job_id: c.read("job_id")?,
        job_revision: c.read("job_revision")?,
        queue: c.read("queue")?,
        scheduled_for: c.read("scheduled_for_ms")?,
        attempt: c.clamped_count("attempt")?,
        trigger: c.read("trigger")?,
        request_id: c.read("request_id")?,
        cancelled: c.read::<Option<i64>>("cancel_requested_at_ms")?.is_some(),
    })
}

fn load(tx: &Tx<'_>, id: JobId) -> Result<Option<EndingJob>> {
    tx.with(JOB, |statement| {
        bind!(statement, JOB, { ":id": id });
        statement.raw_query().next()?.map(read_job).transpose()
    })
}

fn read_job(row: &Row<'_>) -> Result<EndingJob> {
    let c = Columns::listed("mainspring_jobs", row, &JOB_NAMES)?;
    let requests = c.clamped_count("requests")?;
    let next_run_at = c.read("next_run_at_ms")?;
    Ok(EndingJob {
        // What was made unreadable by hand must not keep its run from ending: the claim will name it.
        schedule: c.schedule().unwrap_or_else(|_| Schedule::at(Timestamp::MIN)),
        expires_at: c.read("expires_at_ms")?,
        on_unknown_delivery: c.read("on_unknown_delivery")?,
        overlap: c.overlap().unwrap_or_default(),
        policies: c.read("policies").unwrap_or_default(),
        activated_at: c.read("schedule_activated_at_ms")?,
        schedule_revision: c.read("schedule_revision")?,
        own_run_at: if requests > 0 { c.read("planned_run_at_ms")? } else { next_run_at },
        scheduled_for: c.read("scheduled_for_ms")?,
        attempt: c.clamped_count("attempt")?,
        failed_attempts: c.clamped_count("failed_attempts")?,
        then: c.then()?,
        requests,
        open_runs: c.clamped_count("open_runs")?,
        running_at: c.read("running_at_ms")?,
        running_run_id: c.read("running_run_id")?,
        runs_started: c.clamped_count("runs_started")?,
        failures_in_a_row: c.clamped_count("failures_in_a_row")?,
        interruptions_in_a_row: c.clamped_count("interruptions_in_a_row")?,
        had_finished: c.read::<Option<i64>>("finished_at_ms")?.is_some(),
    })
}

fn complete(
    tx: &Tx<'_>,
    ending: &Ending<'_>,
    run: &EndedRun,
    job: Option<&EndingJob>,
    now: Timestamp,
) -> Result<Delivery> {
    let late = ending.deliver_by.is_some_and(|by| by < now);
    let (delivery, why_not) = match (ending.deliver, job) {
        (Deliver::No, _) => (Delivery::NotRequested, None),
        (_, None) => (Delivery::Suppressed, Some("the job was removed while it ran")),
        (_, Some(_)) if late => (Delivery::Suppressed, Some("the time for its delivery had passed")),
        (_, Some(_)) => (Delivery::Pending, None),
    };
    let requested = delivery != Delivery::NotRequested;
    let pending = delivery == Delivery::Pending;
    let owner = match ending.deliver {
        Deliver::By(owner) => Some(owner),
        Deliver::No | Deliver::Anyone => None,
    };
    let on_unknown = job.map_or(OnUnknownDelivery::Hold, |job| job.on_unknown_delivery);
    tx.with(COMPLETE, |statement| {
        bind!(statement, COMPLETE, {
            ":run_id": ending.run_id,
            ":outcome": ending.outcome,
            ":finished_at_ms": ending.finished_at,
            ":output": ending.output,
            ":error": ending.error,
            ":error_class": ending.error_class,
            ":delivery": delivery,
            ":delivery_queue": requested.then_some(&run.queue),
            ":on_unknown_delivery": requested.then_some(on_unknown),
            ":delivery_owner_id": owner.filter(|_| pending),
            ":next_delivery_at_ms": pending.then_some(now),
            ":deliver_by_ms": ending.deliver_by,
            ":delivery_settled_at_ms": (requested && !pending).then_some(now),
            ":delivery_error": why_not,
        });
        Ok(statement.raw_execute()?)
    })?;
    Ok(delivery)
}

/// What the end of the run means for the job: another attempt, the next occurrence, or nothing more.
fn settle_job(
    tx: &Tx<'_>,
    ending: &Ending<'_>,
    run: &EndedRun,
    mut job: EndingJob,
    now: Timestamp,
) -> Result<Option<Timestamp>> {
    close_open_run(tx, ending.run_id, run.job_id, &mut job)?;
    let again = match ending.then {
        Then::Retry(at) => Some((*at, 1)),
        Then::Again(at) => Some((*at, 0)),
        Then::Finish | Then::Park(_) => None,
    };
    // A handler may fail by itself just as it is cancelled. Only a person who releases a run decides anew.
    let cancelled = run.cancelled && ending.error_class != Some(ErrorClass::Released);
    let again = again.filter(|(at, _)| !cancelled && may_try_again(run, &job, *at));
    match again {
        Some((at, counted)) if run.request_id.is_some() || run.trigger == plan::Trigger::Backfill => {
            request_again(tx, ending, run, &mut job, at, counted, now)?;
        }
        Some((at, counted)) => {
            let counted_before = failed_before(tx, run, ending.run_id)?;
            job.then = job.schedules_next().filter(|next| next.scheduled_for != run.scheduled_for);
            job.scheduled_for = Some(run.scheduled_for);
            job.own_run_at = Some(at);
            job.attempt = run.attempt.saturating_add(1);
            job.failed_attempts = counted_before.saturating_add(counted);
        }
        None => plan_next(tx, ending, run, &mut job, now)?,
    }
    count(ending, run, &mut job, again.is_some());
    let wake_at = write_job(tx, ending, run.job_id, &job, now)?;
    park_if_needed(tx, ending, run.job_id, &job, now)?;
    Ok(wake_at)
}

fn close_open_run(tx: &Connection, run_id: RunId, job_id: JobId, job: &mut EndingJob) -> Result<()> {
    job.open_runs = job.open_runs.saturating_sub(1);
    if job.open_runs == 0 {
        (job.running_run_id, job.running_at) = (None, None);
    } else if job.running_run_id == Some(run_id) {
        (job.running_run_id, job.running_at) =
            tx.prepare_cached(NEWEST_OPEN_RUN)?.query_row(named_params! { ":job_id": job_id }, |row| {
                Ok((row.get("id")?, row.get("claimed_at_ms")?))
            })?;
        if job.running_run_id.is_none() {
            job.open_runs = 0;
        }
    }
    Ok(())
}

/// Another attempt comes unless the next occurrence is due before it, the job has expired by then, or the schedule
/// was changed or ended meanwhile.
fn may_try_again(run: &EndedRun, job: &EndingJob, at: Timestamp) -> bool {
    let schedule_is_newer = job.schedule_revision > run.job_revision;
    if run.request_id.is_some() || run.trigger == plan::Trigger::Backfill {
        // What was asked for outlives another schedule, and not the end of all: the job itself was cancelled.
        return !(run.cancelled && schedule_is_newer && job.scheduled_for.is_none());
    }
    let overtaken = job.schedule.is_recurring() && job.schedules_next().is_some_and(|next| next.run_at <= at);
    let expired = job.expires_at.is_some_and(|expiry| expiry <= at);
    !schedule_is_newer && !overtaken && !expired
}

const OCCURRENCE_FAILED: &str = "
SELECT count(*)
FROM mainspring_runs r INDEXED BY mainspring_runs_occurrence
WHERE r.job_id = :job_id
    AND r.scheduled_for_ms = :scheduled_for_ms
    AND r.request_id IS NULL
    AND r.id < :run_id
    AND (SELECT outcome FROM mainspring_completions WHERE run_id = r.id) IN ('failed', 'timed_out')";

const REQUEST_FAILED: &str = "
SELECT count(*)
FROM mainspring_runs r INDEXED BY mainspring_runs_request
WHERE r.job_id = :job_id
    AND r.request_id = :request_id
    AND r.request_id IS NOT NULL
    AND r.id < :run_id
    AND (SELECT outcome FROM mainspring_completions WHERE run_id = r.id) IN ('failed', 'timed_out')";

/// How many earlier attempts at this occurrence failed; the job's own counter already speaks of its next one.
fn failed_before(tx: &Connection, run: &EndedRun, run_id: RunId) -> Result<u32> {
    if run.attempt == 1 {
        return Ok(0);
    }
    let failed = match run.request_id {
        None => tx.prepare_cached(OCCURRENCE_FAILED)?.query_row(
            named_params! {
                ":job_id": run.job_id,
                ":scheduled_for_ms": run.scheduled_for,
                ":run_id": run_id,
            },
            |row| row.get(0),
        )?,
        Some(request_id) => tx.prepare_cached(REQUEST_FAILED)?.query_row(
            named_params! { ":job_id": run.job_id, ":request_id": request_id, ":run_id": run_id },
            |row| row.get(0),
        )?,
    };
    Ok(failed)
}

fn request_again(
    tx: &Connection,
    ending: &Ending<'_>,
    run: &EndedRun,
    job: &mut EndingJob,
    at: Timestamp,
    counted: u32,
    now: Timestamp,
) -> Result<()> {
    let failed_attempts = failed_before(tx, run, ending.run_id)?.saturating_add(counted);
    tx.prepare_cached(REQUEST_AGAIN)?.execute(named_params! {
        ":job_id": run.job_id,
        ":trigger": asked_for(run.trigger),
        ":scheduled_for_ms": run.scheduled_for,
        ":attempt": run.attempt.saturating_add(1),
        ":failed_attempts": failed_attempts,
        ":run_at_ms": at,
        ":request_key": run.request_id,
        ":now_ms": now,
    })?;
    job.requests = job.requests.saturating_add(1);
    Ok(())
}

/// The trigger of another request like this one. A run that answers a request has one of the two; a row that says
/// otherwise was edited by hand, and must not keep its run from being ended.
fn asked_for(trigger: plan::Trigger) -> plan::Trigger {
    if trigger == plan::Trigger::Backfill { trigger } else { plan::Trigger::Manual }
}

/// What came due while the run was open, by the overlap policy; and the next time of a schedule that counts from
/// the end of a run.
fn plan_next(
    tx: &Connection,
    ending: &Ending<'_>,
    run: &EndedRun,
    job: &mut EndingJob,
    now: Timestamp,
) -> Result<()> {
    // Without a next time since it is to be counted from here, and not since somebody has cancelled the job, be it before
    // this run was asked for or while it went on.
    let waits_for_the_end = job.schedule.kind() == ScheduleKind::AfterEach
        && job.scheduled_for.is_none()
        && !job.had_finished
        && job.schedule_revision <= run.job_revision;
    let overdue = job.own_run_at.is_some_and(|at| at <= now);
    // Where several may run, an occurrence waits for the end of one only while as many run as may.
    let was_full = job.open_runs.saturating_add(1) >= overlap_columns(job.overlap).1;
    let waited = overdue && was_full;
    if !job.schedule.is_recurring() || !(waited || waits_for_the_end && job.open_runs == 0) {
        return Ok(());
    }
    let policies = Policies::from_json(&job.policies).unwrap_or_default();
    let calendar = match super::insert::calendar_of(tx, &job.schedule) {
        // Neither must a calendar that was made unreadable by hand.
        Err(Error::MalformedRow { .. }) => None,
        calendar => calendar?,
    };
    let mut position = Position {
        schedule: &job.schedule,
        calendar: calendar.as_ref(),
        job_id: run.job_id.0,
        activated_at: job.activated_at,
        scheduled_for: job.scheduled_for,
        runs_started: job.runs_started,
        catch_up: &policies.catch_up,
        overlap: job.overlap,
        expires_at: job.expires_at,
    };
    let owner_died = ending.error_class == Some(ErrorClass::OwnerDied);
    if job.attempt > 1 {
        // A run by hand has ended, and another attempt waits at an occurrence that has been run: it is as due as it
        // was, and no miss, unless the next occurrence came meanwhile.
        let then = plan::after_attempt(&position, job.then);
        match then.filter(|next| next.run_at <= now && !owner_died) {
            Some(next) => position.scheduled_for = Some(next.scheduled_for),
            None => return Ok(()),
        }
    }
    // What came due after the owner had died was missed for want of an engine: the claim catches it up.
    let plan =
        if owner_died { plan::at_interruption(&position, now) } else { plan::at_completion(&position, now) };
    misses::record(tx, &position, &plan.misses, now)?;
    job.scheduled_for = plan.next.map(|next| next.scheduled_for);
    job.own_run_at = plan.next.map(|next| {
        // What waited for this end has its turn now: the claim tells by this time that it was not missed.
        let queued = !owner_died && next.run_at <= now;
        if queued { now } else { next.run_at }
    });
    (job.attempt, job.failed_attempts, job.then) = (1, 0, None);
    Ok(())
}

/// Counts failures and interruptions in a row. What a person asked for counts for neither.
fn count(ending: &Ending<'_>, run: &EndedRun, job: &mut EndingJob, again: bool) {
    if ending.outcome == Outcome::Interrupted && ending.error_class == Some(ErrorClass::OwnerDied) {
        if on(Bug::UncountedRecovery) {
            return;
        }
        job.interruptions_in_a_row = job.interruptions_in_a_row.saturating_add(1);
        return;
    }
    if ending.outcome != Outcome::Interrupted {
        job.interruptions_in_a_row = 0;
    }
    if run.trigger == plan::Trigger::Manual {
        return;
    }
    match ending.outcome {
        Outcome::Succeeded | Outcome::Skipped => job.failures_in_a_row = 0,
        Outcome::Failed | Outcome::TimedOut if !again => {
            job.failures_in_a_row = job.failures_in_a_row.saturating_add(1);
        }
        Outcome::Failed | Outcome::TimedOut | Outcome::Cancelled | Outcome::Interrupted => {}
    }
}

/// Writes what has become of the job, and says when it is claimed next.
fn write_job(
    tx: &Tx<'_>,
    ending: &Ending<'_>,
    id: JobId,
    job: &EndingJob,
    now: Timestamp,
) -> Result<Option<Timestamp>> {
    let wake_at = wake_at(tx, id, job.requests, job.own_run_at)?;
    // What waits for a person's decision is not over: it is listed, keeps its unique key and is not pruned.
    let finished = job.scheduled_for.is_none() && job.open_runs == 0 && !matches!(ending.then, Then::Park(_));
    tx.with(UPDATE_JOB, |statement| {
        bind!(statement, UPDATE_JOB, {
            ":id": id,
            ":next_run_at_ms": wake_at,
            ":scheduled_for_ms": job.scheduled_for,
            ":attempt": job.attempt,
            ":failed_attempts": job.failed_attempts,
            ":then_scheduled_for_ms": job.then.map(|next| next.scheduled_for),
            ":then_run_at_ms": job.then.map(|next| next.run_at),
            ":ready": wake_at.is_some_and(|at| at <= now),
            ":requests": job.requests,
            ":planned_run_at_ms": if job.requests > 0 { job.own_run_at } else { None },
            ":open_runs": job.open_runs,
            ":running_at_ms": job.running_at,
            ":running_run_id": job.running_run_id,
            ":outcome": ending.outcome,
            ":failures_in_a_row": job.failures_in_a_row,
            ":interruptions_in_a_row": job.interruptions_in_a_row,
            ":finished_at_ms": finished.then_some(now),
        });
        Ok(statement.raw_execute()?)
    })?;
    Ok(wake_at)
}

fn park_if_needed(
    tx: &Connection,
    ending: &Ending<'_>,
    id: JobId,
    job: &EndingJob,
    now: Timestamp,
) -> Result<()> {
    let failures = job.failures_in_a_row;
    let limit = || match Policies::from_json(&job.policies) {
        Ok(policies) => policies.park_after_failures,
        Err(_) => None,
    };
    let reason = if let Then::Park(reason) = ending.then {
        reason.clone()
    } else if job.interruptions_in_a_row >= MAX_INTERRUPTIONS_IN_A_ROW
        && ending.outcome == Outcome::Interrupted
    {
        format!(
            "its process died {} times in a row while it ran: look why, then resume it",
            job.interruptions_in_a_row
        )
    } else if failures > 0 && limit().is_some_and(|limit| failures >= limit) {
        format!("{failures} occurrences in a row failed: look why, then resume it")
    } else {
        return Ok(());
    };
    park(tx, id, &reason, now)
}

/// A run that could not be ended since it had ended already.
pub(super) fn require_open(ended: Option<Ended>, run_id: RunId) -> Result<Ended> {
    ended.ok_or(Error::ClaimLost(run_id))
}
