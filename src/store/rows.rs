//! Rows into values. A row may hold anything: what cannot be read is named, not panicked over.

use std::cell::Cell;

use rusqlite::Row;
use rusqlite::types::{FromSql, ValueRef};

use crate::brief::{Quoted, brief};
use crate::error::{Error, Result};
use crate::event::{Event, EventId};
use crate::job::{Job, JobId};
use crate::plan::{Miss, Next, Overlap};
use crate::policy::Policies;
use crate::run::{Completion, Run, RunId};
use crate::schedule::{Schedule, StoredSchedule};
use crate::time::Timestamp;

/// The columns of a row by name; an unreadable one is an [`Error::MalformedRow`] that names table, id and column.
///
/// Read them in the order in which they are selected: a column is looked for from where the last one was found, and
/// asking SQLite for the names of others costs more than the row itself.
pub(crate) struct Columns<'r> {
    row: &'r Row<'r>,
    /// What is selected; without it SQLite is asked.
    names: Option<&'static [&'static str]>,
    table: &'static str,
    id: i64,
    /// Where the next column is expected.
    next: Cell<usize>,
}

impl<'r> Columns<'r> {
    /// `row` must have the column `id`.
    pub(crate) fn of(table: &'static str, row: &'r Row<'r>) -> Result<Self> {
        Self::new(table, row, None)
    }

    /// The same for a row that is read often: asking SQLite for its columns' names takes longer than reading it.
    pub(crate) fn listed(
        table: &'static str,
        row: &'r Row<'r>,
        names: &'static [&'static str],
    ) -> Result<Self> {
        Self::new(table, row, Some(names))
    }

    fn new(table: &'static str, row: &'r Row<'r>, names: Option<&'static [&'static str]>) -> Result<Self> {
        let mut columns = Self { row, names, table, id: 0, next: Cell::new(0) };
        columns.id = columns.read("id")?;
        Ok(columns)
    }

    pub(crate) fn id(&self) -> i64 {
        self.id
    }

    pub(crate) fn read<T: FromSql>(&self, column: &str) -> Result<T> {
        let index = self.index(column)?;
        self.row.get(index).map_err(|error| self.malformed(column, error.to_string()))
    }

    fn index(&self, column: &str) -> Result<usize> {
        let expected = self.next.get();
        let index = if self.is_called(expected, column) {
            expected
        } else {
            (0..self.row.as_ref().column_count())
                .find(|index| self.is_called(*index, column))
                .ok_or_else(|| self.malformed(column, "is not selected".to_owned()))?
        };
        self.next.set(index + 1);
        Ok(index)
    }

    /// A text that is only looked at; `None` if it is none that can be read.
    pub(crate) fn text(&self, column: &str) -> Option<&str> {
        self.row.get_ref(self.index(column).ok()?).ok()?.as_str().ok()
    }

    /// A text that people read and nothing is decided by: bytes that are no text are shown as �.
    fn shown(&self, column: &str) -> Result<Option<String>> {
        match self.row.get_ref(self.index(column)?)? {
            ValueRef::Null => Ok(None),
            ValueRef::Text(bytes) => Ok(Some(String::from_utf8_lossy(bytes).into_owned())),
            other => Err(self.malformed(column, format!("is no text but {}", other.data_type()))),
        }
    }

    #[inline]
    fn is_called(&self, index: usize, column: &str) -> bool {
        match self.names {
            Some(names) => names.get(index).is_some_and(|name| *name == column),
            None => self.row.as_ref().column_name(index).is_ok_and(|name| name == column),
        }
    }

    pub(crate) fn malformed(&self, column: &str, why: String) -> Error {
        Error::MalformedRow { table: self.table, id: self.id, column: column.to_owned(), why: brief(why) }
    }

    /// An integer that counts something: negative values and those beyond `u32` are malformed.
    pub(crate) fn count(&self, column: &str) -> Result<u32> {
        let value: i64 = self.read(column)?;
        u32::try_from(value).map_err(|_| self.malformed(column, format!("{value} is no count")))
    }

    /// The same brought into range, where a row that was edited by hand must not stop what has to be done.
    pub(crate) fn clamped_count(&self, column: &str) -> Result<u32> {
        let value: i64 = self.read(column)?;
        Ok(u32::try_from(value.max(0)).unwrap_or(u32::MAX))
    }

    pub(crate) fn schedule(&self) -> Result<Schedule> {
        let stored = StoredSchedule {
            kind: self.read("schedule_kind")?,
            text: self.read::<Option<String>>("schedule_text")?.unwrap_or_default(),
            at_ms: self.read("at_ms")?,
            every_ms: self.read("every_ms")?,
            anchor_ms: self.read("anchor_ms")?,
            time_zone: self.read("time_zone")?,
            gap: self.read("gap")?,
            starts_at_ms: self.read("starts_at_ms")?,
            ends_at_ms: self.read("ends_at_ms")?,
            max_runs: self.read("max_runs")?,
            jitter_ms: self.read("jitter_ms")?,
            calendar: self.read("calendar")?,
        };
        Schedule::from_stored(&stored).map_err(|error| self.malformed("schedule_text", error.to_string()))
    }

    /// What comes after another attempt that waits.
    pub(crate) fn then(&self) -> Result<Option<Next>> {
        let scheduled_for: Option<Timestamp> = self.read("then_scheduled_for_ms")?;
        let run_at: Option<Timestamp> = self.read("then_run_at_ms")?;
        Ok(scheduled_for.zip(run_at).map(|(scheduled_for, run_at)| Next { scheduled_for, run_at }))
    }

    pub(crate) fn overlap(&self) -> Result<Overlap> {
        let word: String = self.read("overlap")?;
        overlap_of(&word, self.count("max_open_runs")?)
            .ok_or_else(|| self.malformed("overlap", format!("{} is no overlap policy", Quoted(&word))))
    }

    pub(crate) fn miss(&self) -> Result<Miss> {
        let reason: String = self.read("reason")?;
        Ok(Miss {
            from: self.read("from_ms")?,
            to: self.read("to_ms")?,
            occurrences: self.read::<i64>("occurrences")?.unsigned_abs(),
            exact: self.read("exact")?,
            reason: reason
                .parse()
                .map_err(|_| self.malformed("reason", format!("{} is no reason", Quoted(&reason))))?,
        })
    }

    pub(crate) fn policies(&self) -> Result<Policies> {
        let text: String = self.read("policies")?;
        Policies::from_json(&text).map_err(|why| self.malformed("policies", why))
    }
}

/// The names in a list of columns, as it stands in a SELECT.
pub(crate) fn names_in(list: &'static str) -> Box<[&'static str]> {
    list.split(',').map(str::trim).map(|column| column.rsplit(' ').next().unwrap_or(column)).collect()
}

/// The columns `overlap` and `max_open_runs` of a policy.
pub(crate) fn overlap_columns(overlap: Overlap) -> (&'static str, u32) {
    match overlap {
        Overlap::Skip => ("skip", 1),
        Overlap::QueueOne => ("queue_one", 1),
        Overlap::CancelRunning => ("cancel_running", 1),
        Overlap::Allow(runs) => ("allow", runs.max(1)),
    }
}

fn overlap_of(word: &str, max_open_runs: u32) -> Option<Overlap> {
    match word {
        "skip" => Some(Overlap::Skip),
        "queue_one" => Some(Overlap::QueueOne),
        "cancel_running" => Some(Overlap::CancelRunning),
        "allow" => Some(Overlap::Allow(max_open_runs)),
        _ => None,
    }
}

/// The columns that [`job`] reads.
macro_rules! job_columns {
    () => {
        "id, name, kind, queue, priority, args, unique_key, declared_by, schedule_kind, schedule_text, at_ms, \
         every_ms, anchor_ms, time_zone, gap, starts_at_ms, ends_at_ms, max_runs, jitter_ms, calendar, \
         expires_at_ms, on_interrupt, on_unknown_delivery, overlap, max_open_runs, policies, enabled, \
         paused_at_ms, pause_reason, parked_at_ms, park_reason, schedule_activated_at_ms, next_run_at_ms, \
         scheduled_for_ms, attempt, failed_attempts, then_scheduled_for_ms, then_run_at_ms, requests, \
         planned_run_at_ms, open_runs, running_at_ms, running_run_id, last_run_at_ms, last_scheduled_for_ms, \
         last_outcome, runs_started, failures_in_a_row, interruptions_in_a_row, revision, schedule_revision, created_at_ms, updated_at_ms, finished_at_ms"
    };
}
pub(crate) use job_columns;

/// A whole job.
pub(crate) fn job(row: &Row<'_>) -> Result<Job> {
    let c = Columns::of("mainspring_jobs", row)?;
    Ok(Job {
        id: JobId(c.id()),
        name: c.read("name")?,
        kind: c.read("kind")?,
        queue: c.read("queue")?,
        priority: c.read("priority")?,
        args: c.read("args")?,
        unique_key: c.read("unique_key")?,
        declared_by: c.read("declared_by")?,
        schedule: c.schedule()?,
        expires_at: c.read("expires_at_ms")?,
        on_interrupt: c.read("on_interrupt")?,
        on_unknown_delivery: c.read("on_unknown_delivery")?,
        overlap: c.overlap()?,
        policies: c.policies()?,
        enabled: c.read("enabled")?,
        paused_at: c.read("paused_at_ms")?,
        pause_reason: c.read("pause_reason")?,
        parked_at: c.read("parked_at_ms")?,
        park_reason: c.read("park_reason")?,
        schedule_activated_at: c.read("schedule_activated_at_ms")?,
        next_run_at: c.read("next_run_at_ms")?,
        scheduled_for: c.read("scheduled_for_ms")?,
        attempt: c.count("attempt")?,
        then: c.then()?,
        requests: c.count("requests")?,
        open_runs: c.count("open_runs")?,
        running_at: c.read("running_at_ms")?,
        running_run_id: c.read("running_run_id")?,
        last_run_at: c.read("last_run_at_ms")?,
        last_scheduled_for: c.read("last_scheduled_for_ms")?,
        last_outcome: c.read("last_outcome")?,
        runs_started: c.count("runs_started")?,
        failures_in_a_row: c.count("failures_in_a_row")?,
        interruptions_in_a_row: c.count("interruptions_in_a_row")?,
        revision: c.read("revision")?,
        created_at: c.read("created_at_ms")?,
        updated_at: c.read("updated_at_ms")?,
        finished_at: c.read("finished_at_ms")?,
    })
}

/// The columns that [`run`] reads, of `mainspring_runs r LEFT JOIN mainspring_completions c`.
macro_rules! run_columns {
    () => {
        "r.id AS id, r.job_id AS job_id, r.job_revision AS job_revision, r.kind AS kind, r.queue AS queue, \
         r.scheduled_for_ms AS scheduled_for_ms, r.attempt AS attempt, r.trigger AS trigger, \
         r.request_id AS request_id, r.owner_id AS owner_id, r.claimed_at_ms AS claimed_at_ms, \
         r.started_at_ms AS started_at_ms, r.ended_at_ms AS ended_at_ms, \
         r.cancel_requested_at_ms AS cancel_requested_at_ms, c.outcome AS outcome, \
         c.finished_at_ms AS finished_at_ms, c.output AS output, c.error AS error, c.error_class AS error_class, \
         c.delivery AS delivery, c.delivery_attempts AS delivery_attempts, \
         c.next_delivery_at_ms AS next_delivery_at_ms, c.delivery_started_at_ms AS delivery_started_at_ms, \
         c.delivery_settled_at_ms AS delivery_settled_at_ms, c.receipt AS receipt, \
         c.delivery_error AS delivery_error"
    };
}
pub(crate) use run_columns;

/// A run, with its completion if it is over.
pub(crate) fn run(row: &Row<'_>) -> Result<Run> {
    let c = Columns::of("mainspring_runs", row)?;
    let completion = match c.read("outcome")? {
        None => None,
        Some(outcome) => Some(Completion {
            outcome,
            finished_at: c.read("finished_at_ms")?,
            output: c.read("output")?,
            error: c.read("error")?,
            error_class: c.read("error_class")?,
            delivery: c.read("delivery")?,
            delivery_attempts: c.count("delivery_attempts")?,
            next_delivery_at: c.read("next_delivery_at_ms")?,
            delivery_started_at: c.read("delivery_started_at_ms")?,
            delivery_settled_at: c.read("delivery_settled_at_ms")?,
            receipt: c.read("receipt")?,
            delivery_error: c.read("delivery_error")?,
        }),
    };
    Ok(Run {
        id: RunId(c.id()),
        job_id: c.read("job_id")?,
        job_revision: c.read("job_revision")?,
        kind: c.read("kind")?,
        queue: c.read("queue")?,
        scheduled_for: c.read("scheduled_for_ms")?,
        attempt: c.count("attempt")?,
        trigger: c.read("trigger")?,
        request_id: c.read("request_id")?,
        owner_id: c.read("owner_id")?,
        claimed_at: c.read("claimed_at_ms")?,
        started_at: c.read("started_at_ms")?,
        ended_at: c.read("ended_at_ms")?,
        cancel_requested_at: c.read("cancel_requested_at_ms")?,
        completion,
    })
}

/// The columns that [`event`] reads.
macro_rules! event_columns {
    () => {
        "id, job_id, name, kind, queue, event, revision, at_ms, made_by, detail"
    };
}
pub(crate) use event_columns;

/// What was done to a job or a queue. It is history, which nobody mends: what the row said of an odd job is shown.
pub(crate) fn event(row: &Row<'_>) -> Result<Event> {
    let c = Columns::of("mainspring_events", row)?;
    Ok(Event {
        id: EventId(c.id()),
        job_id: c.read("job_id")?,
        name: c.shown("name")?,
        kind: c.shown("kind")?,
        queue: c.shown("queue")?.unwrap_or_default(),
        event: c.read("event")?,
        revision: c.read("revision")?,
        at: c.read("at_ms")?,
        made_by: c.read("made_by")?,
        detail: c.shown("detail")?,
    })
}
