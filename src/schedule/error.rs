//! Why a schedule was refused, in words that say what would have been taken.

use crate::brief::Quoted;
use crate::time::Timestamp;

/// Why a schedule, or what a row says about one, was refused.
///
/// Each variant names the text that was given; [`Display`](std::fmt::Display) adds what is allowed there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// A cron expression with neither five nor six fields.
    #[error(
        "cron expression {} has {found} fields: give 5 (minute hour day-of-month month day-of-week), \
         or 6 with seconds in front",
        Quoted(expression)
    )]
    FieldCount {
        /// The whole expression.
        expression: String,
        /// How many fields it has.
        found: usize,
    },
    /// A field of a cron expression, or one item of its list, that means nothing.
    #[error(
        "{} in the {field} field of cron expression {}: {problem}; allowed is {allowed}",
        Quoted(item),
        Quoted(expression)
    )]
    Field {
        /// The field's name, such as `day-of-week`.
        field: &'static str,
        /// The item of the list that was refused.
        item: String,
        /// The whole expression.
        expression: String,
        /// What is wrong with it.
        problem: &'static str,
        /// What is taken there.
        allowed: &'static str,
    },
    /// An `@word` that is not one of the seven known ones.
    #[error(
        "unknown macro {}: allowed is @hourly, @daily, @midnight, @weekly, @monthly, @yearly or @annually; \
         for an interval use Schedule::every",
        Quoted(text)
    )]
    Macro {
        /// The text as given.
        text: String,
    },
    /// A one-shot whose instant has passed.
    #[error(
        "{at} is in the past by {late}: a one-shot may be a minute late when it is made, unless that is allowed"
    )]
    InThePast {
        /// The instant.
        at: Timestamp,
        /// By how much.
        late: String,
    },
    /// A recurring schedule whose end has come before any occurrence.
    #[error("schedule {} has no occurrence after {now}: it ends before the first one", Quoted(schedule))]
    NothingLeft {
        /// The schedule.
        schedule: String,
        /// When it was asked.
        now: Timestamp,
    },
    /// A cron expression that names no date of any year.
    #[error("cron expression {} can never fire: no year has a day that it names", Quoted(expression))]
    NeverFires {
        /// The whole expression.
        expression: String,
    },
    /// An interval or a delay that cannot be kept.
    #[error("{what} of {given}: give whole milliseconds, {allowed}")]
    Interval {
        /// Whether it is an interval, a delay or a jitter.
        what: &'static str,
        /// What was given.
        given: String,
        /// The range that is taken.
        allowed: &'static str,
    },
    /// A text that is no local date and time.
    #[error("local time {}: give a date and a time such as \"2026-03-29 08:00\"", Quoted(text))]
    LocalTime {
        /// The text as given.
        text: String,
    },
    /// A local time that the clocks of its zone jump over.
    #[error("local time {} does not exist in {zone}: the clocks jump over it, to {resumes_at}", Quoted(text))]
    SkippedLocalTime {
        /// The text as given.
        text: String,
        /// The zone's name.
        zone: &'static str,
        /// The first local time after the jump.
        resumes_at: String,
    },
    /// An instant that passed more than a minute ago, given to a schedule that is new.
    #[error(
        "schedule {} names {at}, which has passed (it is {now}): give an instant to come, or `allow_past` \
         to run it at once",
        Quoted(schedule)
    )]
    Past {
        /// The schedule as its user wrote it.
        schedule: String,
        /// The instant that it names.
        at: Timestamp,
        /// What the clock showed.
        now: Timestamp,
    },
    /// A zone that is not in the IANA database.
    #[error("unknown time zone {}: give an IANA name such as \"Europe/Berlin\", or \"UTC\"", Quoted(name))]
    TimeZone {
        /// The name as given.
        name: String,
    },
    /// A calendar's name, date or time of day that cannot be read.
    #[error("calendar {what} {}: allowed is {allowed}", Quoted(text))]
    Calendar {
        /// Which part of the calendar it is.
        what: &'static str,
        /// The text as given.
        text: String,
        /// What is taken there.
        allowed: &'static str,
    },
    /// A stored schedule whose column holds what no schedule writes there.
    #[error("stored schedule column \"{column}\" holds {}: allowed is {allowed}", Quoted(value))]
    Stored {
        /// The column's name.
        column: &'static str,
        /// What it holds; empty for NULL.
        value: String,
        /// What is taken there.
        allowed: &'static str,
    },
}
