//! Schedule: a job with a name converges to its declaration.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::events::recorded;
use super::insert::{bump_revision, calendar_of, describe, insert_declared, set_schedule};
use super::pause::pass_over;
use super::rows::{job, job_columns, overlap_columns};
use super::set_back::take_back_what_is_ahead;
use super::{Tx, misses};
use crate::error::{Error, Result};
use crate::job::{Job, JobSpec, Scheduled};
use crate::plan;
use crate::policy::Policies;
use crate::schedule::ScheduleError;
use crate::time::Timestamp;

const BY_NAME: &str = concat!("SELECT ", job_columns!(), " FROM mainspring_jobs WHERE name = :name");

/// Creates the job, changes what differs, or writes nothing.
///
/// An unchanged schedule keeps its next time, however overdue; what an operator paused stays paused.
pub(crate) fn schedule(tx: &Tx<'_>, spec: &JobSpec, now: Timestamp) -> Result<Scheduled> {
    let Some(name) = spec.name.as_deref() else {
        return Err(Error::invalid("name", "is missing: a schedule is declared under a name"));
    };
    let Some(stored) = by_name(tx, name)? else {
        refuse_the_past(spec, now)?;
        return insert_declared(tx, spec, now).map(Scheduled::Created);
    };
    if stored.kind != spec.kind {
        return Err(Error::NameHasOtherKind {
            name: name.to_owned(),
            found: stored.kind,
            wanted: spec.kind.to_owned(),
        });
    }
    let same_schedule = spec.schedule.same_declaration(&stored.schedule);
    if same_schedule && same_description(spec, &stored) {
        return Ok(Scheduled::Unchanged(stored.id));
    }
    if stored.open_runs > overlap_columns(spec.overlap).1 {
        let why = "more runs of it are open than its new overlap policy allows: wait until they have ended";
        return Err(Error::WrongState { job: stored.id, why });
    }
    if !same_schedule {
        refuse_the_past(spec, now)?;
    }
    recorded(tx, Some(stored.id), now, || change(tx, &stored, spec, same_schedule, now))?;
    Ok(Scheduled::Changed(stored.id))
}

fn change(tx: &Connection, stored: &Job, spec: &JobSpec, same_schedule: bool, now: Timestamp) -> Result<()> {
    bump_revision(tx, stored.id, now)?;
    describe(tx, stored.id, spec, now)?;
    if !same_schedule {
        close_old_schedule(tx, stored, now)?;
        take_back_what_is_ahead(tx, stored, now)?;
        set_schedule(tx, stored.id, spec, now)
    } else if spec.enabled && !stored.enabled {
        // Like a pause: it piles up no backlog.
        pass_over(tx, stored, stored.scheduled_for.unwrap_or(now), now)
    } else {
        Ok(())
    }
}

/// An instant that passed more than a minute ago is refused where it is new. One that was declared before stays as it
/// is: an application declares the same schedules at each start.
fn refuse_the_past(spec: &JobSpec, now: Timestamp) -> Result<()> {
    match spec.schedule.at_instant() {
        Some(at) if !spec.allow_past && now.since(at) > plan::ON_TIME => {
            Err(ScheduleError::Past { schedule: spec.schedule.to_string(), at, now }.into())
        }
        _ => Ok(()),
    }
}

/// The job of that name.
pub(crate) fn by_name(tx: &Connection, name: &str) -> Result<Option<Job>> {
    tx.prepare_cached(BY_NAME)?
        .query_row(named_params! { ":name": name }, |row| Ok(job(row)))
        .optional()?
        .transpose()
}

/// Occurrences of the old schedule that came and were not run go on record before the new one takes over.
pub(super) fn close_old_schedule(tx: &Connection, job: &Job, now: Timestamp) -> Result<()> {
    let calendar = calendar_of(tx, &job.schedule)?;
    // Where another attempt waits, its occurrence has been run; those after it may have come.
    let position = job.position_ahead(calendar.as_ref());
    let missed = plan::at_edit(&position, now);
    misses::record(tx, &position, &missed, now)
}

fn same_description(spec: &JobSpec, stored: &Job) -> bool {
    spec.queue == stored.queue
        && spec.priority == stored.priority
        && spec.args == stored.args
        && spec.expires_at == stored.expires_at
        && spec.on_interrupt == stored.on_interrupt
        && spec.on_unknown_delivery == stored.on_unknown_delivery
        && spec.overlap == stored.overlap
        && spec.enabled == stored.enabled
        && Policies::from_json(&spec.policies).is_ok_and(|policies| policies == stored.policies)
}
