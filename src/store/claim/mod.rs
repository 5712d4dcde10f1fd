//! Claim: mark due jobs running, open their runs and move their next times forward, in one transaction.

mod due;
mod mark;
mod pick;
mod request;
#[cfg(test)]
mod tests;
mod verify;

use std::collections::HashSet;
use std::mem;
use std::time::Duration;

use rusqlite::{Connection, named_params};

use self::due::DueJob;
use self::mark::mark_own;
use self::verify::was_interrupted;
use super::events::recorded;
use super::ids::Table;
use super::parameters::bind;
use super::savepoint::Savepoint;
use super::wake::wake_at;
use super::{Tx, misses};
use crate::error::{Error, Result, caught};
use crate::exchange::ClaimedRun;
use crate::job::JobId;
use crate::plan::{self, CatchUp, Fire, Next, Trigger};
use crate::policy::{Durability, OnInterrupt};
use crate::run::{OwnerId, RequestId, RunId};
use crate::schedule::Calendar;
use crate::time::Timestamp;

/// What a claim is asked for.
#[derive(Debug)]
pub(crate) struct ClaimRequest<'a> {
    pub(crate) owner: OwnerId,
    pub(crate) queue: &'a str,
    /// At most so many runs.
    pub(crate) slots: usize,
    /// The kinds that the engine has handlers for.
    pub(crate) kinds: &'a HashSet<String>,
    /// Whether this transaction's commit will be synced.
    pub(crate) synced: bool,
    /// Claim each job in a savepoint of its own and park the one that cannot be claimed.
    pub(crate) careful: bool,
    pub(crate) durability: Durability,
}

/// What a claim did.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// Runs whose handlers start once the transaction is committed.
    pub(crate) runs: Vec<ClaimedRun>,
    /// Open runs that were asked to stop since their next occurrence came.
    pub(crate) superseded: Vec<RunId>,
    /// The job at the head needs a synced commit: claim again in one.
    pub(crate) needs_sync: bool,
    /// More jobs may be ready: as many were found as there was room for, though not each of them runs now.
    pub(crate) left: bool,
    /// Jobs that could not be read, or cannot go on, and were parked.
    pub(crate) parked: Vec<(JobId, String)>,
}

/// One claim looks at no more than so many jobs that are due and yet do not run (expired, put off, moved by hand)
/// before it lets a commit come in between.
const MOST_LOOKED_AT: usize = 1_000;

/// The catch-up runs that one engine starts together, so that a hundred overdue jobs do not start at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Burst {
    started_at: Option<Timestamp>,
    runs: u32,
}

impl Burst {
    /// A burst is over when nothing was caught up for this long, in milliseconds.
    const QUIET_MS: i64 = 60_000;

    /// When the next catch-up run may start, if not now.
    fn next_slot(&mut self, catch_up: &CatchUp, now: Timestamp) -> Option<Timestamp> {
        let over = |start: Timestamp| (now.millis() - start.millis()).abs() > Self::QUIET_MS;
        if self.started_at.is_none_or(over) {
            *self = Self { started_at: Some(now), runs: 0 };
        }
        let at = catch_up.spread(self.runs, now);
        self.runs = self.runs.saturating_add(1);
        (at > now).then_some(at)
    }
}

const OPEN_RUN: &str = "
INSERT INTO mainspring_runs (
    id, job_id, job_revision, kind, queue, scheduled_for_ms, attempt, trigger, request_id, owner_id, claimed_at_ms)
VALUES (
    :id, :job_id, :job_revision, :kind, :queue, :scheduled_for_ms, :attempt, :trigger, :request_id, :owner_id,
    :now_ms)
ON CONFLICT (job_id, scheduled_for_ms, attempt) WHERE request_id IS NULL DO NOTHING
ON CONFLICT (job_id, request_id, attempt) WHERE request_id IS NOT NULL DO NOTHING";

// What was asked for besides keeps the job from being over.
const MOVE_ON: &str = "
UPDATE mainspring_jobs
SET ready = 0,
    next_run_at_ms = :wake_at_ms,
    planned_run_at_ms = CASE WHEN requests > 0 THEN :run_at_ms END,
    scheduled_for_ms = :scheduled_for_ms,
    attempt = 1,
    failed_attempts = 0,
    then_scheduled_for_ms = NULL,
    then_run_at_ms = NULL,
    finished_at_ms = CASE
        WHEN :scheduled_for_ms IS NULL AND open_runs = 0 AND requests = 0 THEN :now_ms
        WHEN :scheduled_for_ms IS NULL THEN finished_at_ms
    END
WHERE id = :id";

const WAIT_UNTIL: &str = "
UPDATE mainspring_jobs
SET ready = 0, next_run_at_ms = :next_run_at_ms
WHERE id = :id";

const SUPERSEDE_JOB: &str = "
UPDATE mainspring_jobs
SET superseded_at_ms = :now_ms
WHERE id = :id";

const STOP_RUN: &str = "
UPDATE mainspring_runs
SET cancel_requested_at_ms = :now_ms
WHERE id = :run_id AND ended_at_ms IS NULL AND cancel_requested_at_ms IS NULL";

pub(super) const PARK: &str = "
UPDATE mainspring_jobs
SET parked_at_ms = :now_ms, park_reason = :reason, ready = 0
WHERE id = :id";

// What was asked for by hand is claimable although the job is parked. It waits, so that the same claim does not fail
// again at once and for ever, and it is there still when somebody has mended the row.
const PARK_UNCLAIMED: &str = "
UPDATE mainspring_jobs
SET parked_at_ms = :now_ms,
    park_reason = :reason,
    ready = 0,
    next_run_at_ms = CASE WHEN requests > 0 THEN :again_ms ELSE next_run_at_ms END
WHERE id = :id";

/// Claims due jobs of one queue, the highest priority first, at most as many as there are free slots.
pub(crate) fn claim(
    tx: &Tx<'_>,
    request: &ClaimRequest<'_>,
    burst: &mut Burst,
    now: Timestamp,
) -> Result<Claims> {
    let mut claims = Claims::default();
    if request.slots == 0 || pick::is_paused(tx, request.queue)? {
        return Ok(claims);
    }
    pick::make_due_ready(tx, request.queue, now)?;
    let mut looked_at = 0;
    while claims.runs.len() < request.slots && looked_at < MOST_LOOKED_AT && !claims.needs_sync {
        let free = request.slots - claims.runs.len();
        let picked = pick::ready(tx, request.queue, request.kinds, free, now)?;
        looked_at += picked.len();
        claims.left = picked.len() == free;
        take(tx, picked, request, burst, now, &mut claims)?;
        if !claims.left {
            break;
        }
    }
    Ok(claims)
}

/// Claims those that were picked; each of them is claimed, or is not ready any more.
fn take(
    tx: &Tx<'_>,
    picked: Vec<pick::Picked>,
    request: &ClaimRequest<'_>,
    burst: &mut Burst,
    now: Timestamp,
    claims: &mut Claims,
) -> Result<()> {
    for picked in picked {
        let mut job = match picked {
            Ok(job) => job,
            Err((id, error)) => {
                park_unclaimed(tx, id, &error, now, claims)?;
                continue;
            }
        };
        if job.next_run_at > now {
            // Somebody moved its time by hand after it had become ready: it waits for that time.
            wait_until(tx, job.id, job.next_run_at)?;
        } else if needs_sync(&job, request) {
            claims.needs_sync = true;
            break;
        } else if let Err(error) = claim_apart(tx, &mut job, request, burst, now, claims) {
            match error {
                error if request.careful && !error.is_transient() => {
                    park_unclaimed(tx, job.id, &error, now, claims)?;
                }
                other => return Err(other),
            }
        }
    }
    Ok(())
}

/// A claim whose loss in a power cut would make the occurrence run twice.
fn needs_sync(job: &DueJob, request: &ClaimRequest<'_>) -> bool {
    let wanted = match request.durability {
        Durability::Strict => true,
        Durability::Balanced => job.on_interrupt != OnInterrupt::Rerun,
        Durability::Relaxed => false,
    };
    wanted && !request.synced
}

/// Claims one job; in a savepoint of its own where a claim has failed, or panicked, before.
fn claim_apart(
    tx: &Tx<'_>,
    job: &mut DueJob,
    request: &ClaimRequest<'_>,
    burst: &mut Burst,
    now: Timestamp,
    claims: &mut Claims,
) -> Result<()> {
    if !request.careful {
        return claim_job(tx, job, request, burst, now, claims);
    }
    let savepoint = Savepoint::begin(tx)?;
    let claimed = caught("the claim of a job", || claim_job(tx, job, request, burst, now, claims));
    if claimed.is_ok() {
        savepoint.keep()?;
    } else {
        savepoint.undo()?;
    }
    claimed
}

fn claim_job(
    tx: &Tx<'_>,
    job: &mut DueJob,
    request: &ClaimRequest<'_>,
    burst: &mut Burst,
    now: Timestamp,
    claims: &mut Claims,
) -> Result<()> {
    let asked_for = job.requests > 0 && !job.own_run_is_due(now);
    if job.open_runs >= job.max_open_runs {
        // Only a job whose overlap policy is to stop its open run is claimable while it runs: for its next occurrence,
        // and not for what was asked for besides, which has its turn when the run has ended.
        return if asked_for { request::wait_for_the_end(tx, job) } else { supersede(tx, job, now, claims) };
    }
    if asked_for {
        return request::claim_request(tx, job, request, now, claims);
    }
    let mut overtaken = overtaken(tx, job, now)?;
    let job = overtaken.as_mut().unwrap_or(job);
    let Some(decision) = decide(tx, job, now)? else {
        return Err(Error::MalformedRow {
            table: "mainspring_jobs",
            id: job.id.0,
            column: "scheduled_for_ms".to_owned(),
            why: "is missing although the job is due: set the occurrence that it is to run for".to_owned(),
        });
    };
    if let Some(Fire { trigger: Trigger::CatchUp, .. }) = decision.fire
        && let Some(at) = job.spread(burst, now)?
    {
        let scheduled_for = job.scheduled_for.unwrap_or(at);
        return move_on(tx, job, Some(Next { scheduled_for, run_at: at }), now);
    }
    let position = job.position(decision.calendar.as_ref());
    let Some(fire) = decision.fire else {
        misses::record(tx, &position, &decision.misses, now)?;
        return move_on(tx, job, decision.next, now);
    };
    let opening = Opening {
        scheduled_for: fire.scheduled_for,
        trigger: fire.trigger,
        attempt: decision.attempt,
        failed_attempts: decision.failed_attempts,
        request_id: None,
    };
    let Some(run_id) = open_run(tx, job, &opening, request.owner, now)? else {
        return go_on_after(tx, job, &position, fire.scheduled_for, &decision.misses, now);
    };
    misses::record(tx, &position, &decision.misses, now)?;
    mark_own(tx, job, run_id, &decision, now)?;
    let verify = was_interrupted(tx, job, &opening)?;
    let next = decision.next.map(|next| next.run_at);
    claims.runs.push(claimed(job, run_id, &opening, request.owner, next, verify, now));
    Ok(())
}

/// The occurrence is on record as run: whatever the clock did, it is not run again. It stands for nothing that came
/// after it, so that only the misses before it go on record.
fn go_on_after(
    tx: &Tx<'_>,
    job: &DueJob,
    position: &plan::Position<'_>,
    has_run: Timestamp,
    misses: &[plan::Miss],
    now: Timestamp,
) -> Result<()> {
    let before: Vec<plan::Miss> = misses.iter().filter(|miss| miss.to < has_run).copied().collect();
    misses::record(tx, position, &before, now)?;
    let after_it = plan::Position { scheduled_for: Some(has_run), ..*position };
    move_on(tx, job, plan::after_attempt(&after_it, job.then), now)
}

/// The job as its next occurrence finds it that has come before another attempt at the one before; `None` if there is
/// no such attempt, or if it has its turn.
fn overtaken(tx: &Connection, job: &DueJob, now: Timestamp) -> Result<Option<DueJob>> {
    if job.attempt == 1 {
        return Ok(None);
    }
    let calendar = super::insert::calendar_of(tx, &job.schedule)?;
    let then = plan::after_attempt(&job.position(calendar.as_ref()), job.then);
    Ok(then.filter(|next| next.run_at <= now).map(|next| job.overtaken_by(next)))
}

/// What a due job does now.
struct Decision {
    fire: Option<Fire>,
    attempt: u32,
    failed_attempts: u32,
    misses: Vec<plan::Miss>,
    next: Option<Next>,
    calendar: Option<Calendar>,
}

fn decide(tx: &Connection, job: &DueJob, now: Timestamp) -> Result<Option<Decision>> {
    let Some(scheduled_for) = job.scheduled_for else { return Ok(None) };
    let calendar = super::insert::calendar_of(tx, &job.schedule)?;
    let position = job.position(calendar.as_ref());
    if job.attempt > 1 {
        // Another attempt is a start, too. The occurrence has been run, so that it is no miss.
        let expired = job.expires_at.is_some_and(|expiry| expiry <= now);
        let next = plan::after_attempt(&position, job.then);
        return Ok(Some(Decision {
            fire: (!expired).then_some(Fire { scheduled_for, trigger: Trigger::Retry }),
            attempt: job.attempt,
            failed_attempts: job.failed_attempts,
            misses: Vec::new(),
            next,
            calendar,
        }));
    }
    let queued = CatchUp::latest().within(Duration::MAX);
    let position = match job.was_queued(now) {
        true => plan::Position { catch_up: &queued, ..position },
        false => position,
    };
    let plan = match plan::at_claim(&position, now) {
        // By its schedule the time has not come, by its row it has: somebody moved it forward by hand. The
        // occurrence runs early, and the schedule goes on from it.
        plan::ClaimPlan { fire: None, next: Some(same), misses }
            if misses.is_empty() && Some(same.scheduled_for) == position.scheduled_for =>
        {
            plan::at_claim(&position, same.run_at)
        }
        plan => plan,
    };
    Ok(Some(Decision {
        fire: plan.fire,
        attempt: 1,
        failed_attempts: 0,
        misses: plan.misses,
        next: plan.next,
        calendar,
    }))
}

/// A run that is about to be opened.
struct Opening {
    scheduled_for: Timestamp,
    trigger: Trigger,
    attempt: u32,
    failed_attempts: u32,
    request_id: Option<RequestId>,
}

/// Inserts the run; `None` if this occurrence and attempt is on record already.
fn open_run(
    tx: &Tx<'_>,
    job: &DueJob,
    opening: &Opening,
    owner: OwnerId,
    now: Timestamp,
) -> Result<Option<RunId>> {
    let id = tx.ids().next(tx, Table::Runs)?;
    let inserted = tx.with(OPEN_RUN, |statement| {
        bind!(statement, OPEN_RUN, {
            ":id": id,
            ":job_id": job.id,
            ":job_revision": job.revision,
            ":kind": job.kind,
            ":queue": job.queue,
            ":scheduled_for_ms": opening.scheduled_for,
            ":attempt": opening.attempt,
            ":trigger": opening.trigger,
            ":request_id": opening.request_id,
            ":owner_id": owner,
            ":now_ms": now,
        });
        Ok(statement.raw_execute()?)
    })?;
    Ok((inserted == 1).then(|| RunId(tx.last_insert_rowid())))
}

/// What the engine is told. Takes the texts out of the job, which is of no more use.
fn claimed(
    job: &mut DueJob,
    run_id: RunId,
    opening: &Opening,
    owner_id: OwnerId,
    next_run_at: Option<Timestamp>,
    verify: bool,
    now: Timestamp,
) -> ClaimedRun {
    ClaimedRun {
        run_id,
        job_id: job.id,
        owner_id,
        name: job.name.take(),
        kind: mem::take(&mut job.kind),
        queue: mem::take(&mut job.queue),
        args: mem::take(&mut job.args),
        policies: mem::take(&mut job.policies),
        on_interrupt: job.on_interrupt,
        verify,
        scheduled_for: opening.scheduled_for,
        attempt: opening.attempt,
        failed_attempts: opening.failed_attempts,
        trigger: opening.trigger,
        request_id: opening.request_id,
        claimed_at: now,
        next_run_at,
    }
}

/// Nothing runs now for what was due: the next occurrence takes its place, or the same at another time.
fn move_on(tx: &Connection, job: &DueJob, next: Option<Next>, now: Timestamp) -> Result<()> {
    let own = next.map(|next| next.run_at);
    tx.prepare_cached(MOVE_ON)?.execute(named_params! {
        ":id": job.id,
        ":wake_at_ms": wake_at(tx, job.id, job.requests, own)?,
        ":run_at_ms": own,
        ":scheduled_for_ms": next.map(|next| next.scheduled_for),
        ":now_ms": now,
    })?;
    Ok(())
}

fn wait_until(tx: &Connection, id: JobId, at: Timestamp) -> Result<()> {
    tx.prepare_cached(WAIT_UNTIL)?.execute(named_params! { ":id": id, ":next_run_at_ms": at })?;
    Ok(())
}

/// The next occurrence has come: the open run is asked to stop, and the job waits for its end.
fn supersede(tx: &Connection, job: &DueJob, now: Timestamp, claims: &mut Claims) -> Result<()> {
    tx.prepare_cached(SUPERSEDE_JOB)?.execute(named_params! { ":id": job.id, ":now_ms": now })?;
    if let Some(run_id) = job.running_run_id {
        tx.prepare_cached(STOP_RUN)?.execute(named_params! { ":run_id": run_id, ":now_ms": now })?;
        claims.superseded.push(run_id);
    }
    Ok(())
}

/// Stops a job that cannot be claimed, and says why; the others go on.
fn park_unclaimed(
    tx: &Connection,
    id: JobId,
    why: &Error,
    now: Timestamp,
    claims: &mut Claims,
) -> Result<()> {
    let again = Timestamp::from_millis(now.millis().saturating_add(pick::SET_ASIDE_MS));
    let reason = why.to_string();
    recorded(tx, Some(id), now, || {
        Ok(tx.prepare_cached(PARK_UNCLAIMED)?.execute(named_params! {
            ":id": id,
            ":reason": reason,
            ":now_ms": now,
            ":again_ms": again,
        })?)
    })?;
    claims.parked.push((id, reason));
    Ok(())
}

/// Stops a job that cannot go on, and says why.
pub(super) fn park(tx: &Connection, id: JobId, reason: &str, now: Timestamp) -> Result<()> {
    recorded(tx, Some(id), now, || {
        tx.prepare_cached(PARK)?.execute(named_params! { ":id": id, ":reason": reason, ":now_ms": now })?;
        Ok(())
    })
}
