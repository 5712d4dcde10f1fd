//! When a job runs: at an instant, on a grid, some time after its last run, or by a crontab line in a time zone.
//!
//! Everything here is a pure function of the schedule and the instants given; nothing reads a clock.

mod at;
mod bounds;
mod calendar;
mod cron;
mod error;
mod every;
mod explain;
mod preview;
mod span;
mod stored;
mod zone;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use self::bounds::Bounds;
use self::cron::Cron;
use self::span::Span;
use crate::time::Timestamp;

pub use self::at::IntoLocalTime;
pub use self::calendar::Calendar;
pub use self::error::ScheduleError;
pub use self::every::Grid;
pub use self::preview::{ClockChange, Preview};
pub use self::stored::StoredSchedule;

/// When a job runs.
///
/// A schedule is made by one of the constructors, narrowed by the builder methods, and then never wrong: what
/// cannot be kept is refused when it is made. It shows itself ([`Display`](fmt::Display)) as the text that it
/// was made from.
///
/// ```
/// use chrono::{DateTime, Utc};
/// use chrono_tz::Europe::Berlin;
/// use mainspring::Schedule;
///
/// let schedule = Schedule::cron("0 8 * * mon-fri")?.in_tz(Berlin);
/// let friday: DateTime<Utc> = "2026-03-27T12:00:00Z".parse()?;
/// // Monday at 08:00, by when the clocks have been set forward.
/// assert_eq!(schedule.next_after(friday), Some("2026-03-30T06:00:00Z".parse()?));
/// assert_eq!(schedule.to_string(), "0 8 * * mon-fri");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    rule: Rule,
    bounds: Bounds,
}

/// What kind of schedule it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScheduleKind {
    /// Once, at an instant.
    At,
    /// On a grid of fixed steps.
    Every,
    /// A fixed delay after the end of the last run.
    AfterEach,
    /// By a crontab line.
    Cron,
}

impl ScheduleKind {
    /// The word in the database: `at`, `every`, `after_each` or `cron`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::At => "at",
            Self::Every => "every",
            Self::AfterEach => "after_each",
            Self::Cron => "cron",
        }
    }
}

/// What becomes of a fixed local time that the clocks jump over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Gap {
    /// It runs once, at the first instant after the jump, if the jump is of three hours or less.
    #[default]
    RunAfter,
    /// It does not run that day; the ledger of misses says so.
    Skip,
}

impl Gap {
    /// The word in the database: `run_after` or `skip`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RunAfter => "run_after",
            Self::Skip => "skip",
        }
    }
}

/// The rule without its bounds.
#[derive(Clone, Debug, PartialEq)]
enum Rule {
    At { at: Timestamp, local: Option<LocalText> },
    After { delay_ms: i64, at: Option<Timestamp> },
    Every { every_ms: i64, anchor: Option<Timestamp> },
    AfterEach { delay_ms: i64 },
    Cron { cron: Arc<Cron>, zone: Tz, gap: Gap },
}

/// A local time as it was written, with its zone.
#[derive(Clone, Debug, PartialEq)]
struct LocalText {
    text: String,
    zone: Tz,
}

impl Schedule {
    /// A crontab line: five fields (minute, hour, day of month, month, day of week), six with seconds in
    /// front, or one of `@hourly @daily @midnight @weekly @monthly @yearly @annually`.
    ///
    /// Fields take numbers, names in any case, lists, `a-b`, `a-b/n`, `*/n` and `a/n` (from a to the end);
    /// 0 and 7 are Sunday; `?` is `*` in the two day fields. The day of the month also takes `L` (the last),
    /// `LW` (the last from Monday to Friday) and `nW` (the Monday to Friday nearest to day n of that month);
    /// the day of the week takes `d#k` (the k-th of the month) and `dL` (the last of the month).
    /// If either day field starts with `*`, both must match; otherwise either may.
    ///
    /// The line is read in UTC unless [`in_tz`](Self::in_tz) names a zone.
    ///
    /// # Errors
    /// Names the field, the text and what is allowed there. A line that can never fire, such as
    /// `0 0 30 2 *`, is refused as well.
    ///
    /// ```
    /// use mainspring::{Schedule, ScheduleError};
    ///
    /// assert!(Schedule::cron("*/15 9-17 * * mon-fri").is_ok());
    /// assert!(matches!(Schedule::cron("0 0 30 2 *"), Err(ScheduleError::NeverFires { .. })));
    /// let error = Schedule::cron("0 25 * * *").unwrap_err().to_string();
    /// assert!(error.starts_with("\"25\" in the hour field of cron expression \"0 25 * * *\": out of range"));
    /// ```
    pub fn cron(expression: &str) -> Result<Self, ScheduleError> {
        Ok(Rule::Cron { cron: Arc::new(Cron::parse(expression)?), zone: Tz::UTC, gap: Gap::default() }.into())
    }

    /// At fixed steps on a grid, whatever the runs take: no drift, and no restart moves it.
    ///
    /// The grid begins at its anchor. Without [`anchored_at`](Self::anchored_at), storing the job fixes the
    /// anchor at that moment (or at [`starting_at`](Self::starting_at), if given), and the first run comes
    /// one step later; until then questions are answered as if the anchor were the instant asked about.
    ///
    /// # Errors
    /// The step must be whole milliseconds, at least one.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mainspring::{Schedule, Timestamp};
    ///
    /// let hourly = Schedule::every(Duration::from_secs(3600))?.anchored_at(Timestamp::from_millis(250));
    /// let midnight = Timestamp::from_millis(0).to_datetime();
    /// assert_eq!(hourly.next_after(midnight), Some(Timestamp::from_millis(250).to_datetime()));
    /// # Ok::<(), mainspring::ScheduleError>(())
    /// ```
    pub fn every(step: Duration) -> Result<Self, ScheduleError> {
        let every_ms = span::millis("interval", step, 1, "at least 1 ms")?;
        Ok(Rule::Every { every_ms, anchor: None }.into())
    }

    /// A fixed delay after the end of each run; the first one a delay after the job is stored.
    ///
    /// # Errors
    /// The delay must be whole milliseconds, at least one.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mainspring::Schedule;
    ///
    /// let pause = Schedule::after_each(Duration::from_secs(600))?;
    /// let ended = "2026-03-10T10:25:00Z".parse().unwrap();
    /// assert_eq!(pause.next_after(ended), Some("2026-03-10T10:35:00Z".parse().unwrap()));
    /// # Ok::<(), mainspring::ScheduleError>(())
    /// ```
    pub fn after_each(delay: Duration) -> Result<Self, ScheduleError> {
        let delay_ms = span::millis("delay", delay, 1, "at least 1 ms")?;
        Ok(Rule::AfterEach { delay_ms }.into())
    }

    /// Once, at an instant.
    pub fn at(instant: impl Into<Timestamp>) -> Self {
        Rule::At { at: instant.into(), local: None }.into()
    }

    /// Once, at a local time of a zone; the first time if the clocks show it twice.
    ///
    /// # Errors
    /// A text that is no date and time, and a local time that the clocks jump over.
    ///
    /// ```
    /// use chrono_tz::Europe::Berlin;
    /// use mainspring::Schedule;
    ///
    /// let reminder = Schedule::at_local("2026-10-25 02:30", Berlin)?;
    /// let day_before = "2026-10-24T12:00:00Z".parse().unwrap();
    /// assert_eq!(reminder.next_after(day_before), Some("2026-10-25T00:30:00Z".parse().unwrap()));
    /// assert!(Schedule::at_local("2026-03-29 02:30", Berlin).is_err());
    /// # Ok::<(), mainspring::ScheduleError>(())
    /// ```
    pub fn at_local(time: impl IntoLocalTime, zone: Tz) -> Result<Self, ScheduleError> {
        let (time, text) = time.into_local_time()?;
        let at = at::instant(time, &text, zone)?;
        Ok(Rule::At { at, local: Some(LocalText { text, zone }) }.into())
    }

    /// Once, a delay after the job is stored. Parts of a millisecond are dropped.
    pub fn after(delay: Duration) -> Self {
        Rule::After { delay_ms: crate::time::millis_of(delay), at: None }.into()
    }

    /// Reads the crontab line in this zone. Defaults to UTC. Other schedules have no use for it.
    #[must_use]
    pub fn in_tz(mut self, tz: Tz) -> Self {
        if let Rule::Cron { zone, .. } = &mut self.rule {
            *zone = tz;
        }
        self
    }

    /// What becomes of a fixed local time that the clocks jump over. Defaults to [`Gap::RunAfter`].
    #[must_use]
    pub fn on_gap(mut self, policy: Gap) -> Self {
        if let Rule::Cron { gap, .. } = &mut self.rule {
            *gap = policy;
        }
        self
    }

    /// Fixes the anchor of an [`every`](Self::every) grid. Other schedules have no use for it.
    #[must_use]
    pub fn anchored_at(mut self, instant: impl Into<Timestamp>) -> Self {
        if let Rule::Every { anchor, .. } = &mut self.rule {
            *anchor = Some(instant.into());
        }
        self
    }

    /// Fixes what was left to the moment of storing: a grid without an anchor, a delay without an instant.
    /// What is fixed already stays.
    #[must_use]
    pub fn anchored_or(mut self, now: Timestamp) -> Self {
        let start = self.bounds.starts_at.unwrap_or(now);
        match &mut self.rule {
            Rule::Every { anchor: anchor @ None, .. } => *anchor = Some(start),
            Rule::After { delay_ms, at: at @ None } => *at = Some(plus_ms(now, *delay_ms)),
            _ => {}
        }
        self
    }

    /// The kind of this schedule.
    pub fn kind(&self) -> ScheduleKind {
        match self.rule {
            Rule::At { .. } | Rule::After { .. } => ScheduleKind::At,
            Rule::Every { .. } => ScheduleKind::Every,
            Rule::AfterEach { .. } => ScheduleKind::AfterEach,
            Rule::Cron { .. } => ScheduleKind::Cron,
        }
    }

    /// The instant of a one-shot, if it is fixed; a delay is fixed by [`anchored_or`](Self::anchored_or).
    pub(crate) fn at_instant(&self) -> Option<Timestamp> {
        match self.rule {
            Rule::At { at, .. } => Some(at),
            Rule::After { at, .. } => at,
            _ => None,
        }
    }

    /// Whether more than one run may come of it.
    pub fn is_recurring(&self) -> bool {
        self.kind() != ScheduleKind::At
    }

    /// The zone in which the schedule was written; UTC if none was said.
    pub fn time_zone(&self) -> Tz {
        match &self.rule {
            Rule::Cron { zone, .. } => *zone,
            Rule::At { local: Some(local), .. } => local.zone,
            _ => Tz::UTC,
        }
    }

    /// The first occurrence after `after`, never `after` itself.
    ///
    /// `None` if none is left. A delay after each run is answered as if a run ended at `after`. Calendars and
    /// the greatest number of runs belong to a job, not to this function. Takes less than a microsecond for most
    /// schedules, and less than 50 for all.
    ///
    /// ```
    /// use mainspring::Schedule;
    ///
    /// let leap_days = Schedule::cron("0 0 29 2 *")?;
    /// let next = leap_days.next_after("2028-02-29T00:00:00Z".parse()?);
    /// assert_eq!(next, Some("2032-02-29T00:00:00Z".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.next_slot(after.into()).map(Timestamp::to_datetime)
    }

    /// The last occurrence before `before`, never `before` itself; `None` if there was none.
    ///
    /// ```
    /// use mainspring::Schedule;
    ///
    /// let daily = Schedule::cron("@daily")?;
    /// let previous = daily.previous_before("2026-03-10T00:00:00Z".parse()?);
    /// assert_eq!(previous, Some("2026-03-09T00:00:00Z".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn previous_before(&self, before: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // Occurrences fall on whole milliseconds: before a part of one is before the next whole one.
        let mut end = Timestamp::from(before);
        if !before.timestamp_subsec_nanos().is_multiple_of(1_000_000) {
            end = plus_ms(end, 1);
        }
        self.previous_slot(end).map(Timestamp::to_datetime)
    }

    /// All occurrences after `from`, in order; without end for most schedules.
    ///
    /// ```
    /// use mainspring::Schedule;
    ///
    /// let quarters = Schedule::cron("*/15 9 * * *")?;
    /// let morning = quarters.upcoming("2026-03-10T00:00:00Z".parse()?).take(2);
    /// let times: Vec<String> = morning.map(|at| at.format("%H:%M").to_string()).collect();
    /// assert_eq!(times, ["09:00", "09:15"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn upcoming(&self, from: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
        std::iter::successors(self.next_after(from), |&last| self.next_after(last))
    }

    /// Whether declaring `self` again leaves a job as it is that has `stored`: the same schedule, or the same
    /// but for what storing fixed (the anchor of a grid, the instant of a delay).
    ///
    /// ```
    /// use std::time::Duration;
    /// use mainspring::{Schedule, Timestamp};
    ///
    /// let hourly = || Schedule::every(Duration::from_secs(3600));
    /// let stored = hourly()?.anchored_or(Timestamp::from_millis(1_767_225_600_000));
    /// assert!(hourly()?.same_declaration(&stored));
    /// # Ok::<(), mainspring::ScheduleError>(())
    /// ```
    pub fn same_declaration(&self, stored: &Self) -> bool {
        let rules = match (&self.rule, &stored.rule) {
            (Rule::Every { every_ms: a, anchor: None }, Rule::Every { every_ms: b, .. }) => a == b,
            (Rule::After { delay_ms: a, at: None }, Rule::After { delay_ms: b, .. }) => a == b,
            (declared, stored) => declared == stored,
        };
        rules && self.bounds == stored.bounds
    }

    /// [`next_after`](Self::next_after) in milliseconds.
    pub(crate) fn next_slot(&self, after: Timestamp) -> Option<Timestamp> {
        let asked = after;
        let start = self.bounds.starts_at.unwrap_or(Timestamp::MIN);
        let after = after.max(plus_ms(start, -1));
        let next = match &self.rule {
            Rule::At { at, .. } | Rule::After { at: Some(at), .. } => Some(*at),
            Rule::After { delay_ms, at: None } => later(asked, *delay_ms).map(|next| next.max(start)),
            Rule::Every { every_ms, anchor: Some(anchor) } => {
                Grid::new(*every_ms, anchor.millis())?.next_after(after.millis()).and_then(shown)
            }
            Rule::Every { every_ms: step_ms, anchor: None } | Rule::AfterEach { delay_ms: step_ms } => {
                later(asked, *step_ms).map(|next| next.max(start))
            }
            Rule::Cron { cron, zone, gap } => {
                cron.next_after(*zone, *gap, after.millis().div_euclid(1_000)).and_then(second)
            }
        }?;
        (next > after && self.bounds.admit(next)).then_some(next)
    }

    /// [`previous_before`](Self::previous_before) in milliseconds.
    pub(crate) fn previous_slot(&self, before: Timestamp) -> Option<Timestamp> {
        let before = self.bounds.ends_at.map_or(before, |end| before.min(plus_ms(end, 1)));
        let previous = match &self.rule {
            Rule::At { at, .. } | Rule::After { at: Some(at), .. } => Some(*at),
            Rule::Every { every_ms, anchor: Some(anchor) } => {
                Grid::new(*every_ms, anchor.millis())?.previous_before(before.millis()).and_then(shown)
            }
            Rule::After { at: None, .. } | Rule::Every { anchor: None, .. } | Rule::AfterEach { .. } => None,
            Rule::Cron { cron, zone, gap } => {
                // Before a part of a second is before the next whole one.
                let before_s = before.millis().saturating_add(999).div_euclid(1_000);
                cron.previous_before(*zone, *gap, before_s).and_then(second)
            }
        }?;
        (previous < before && self.bounds.admit(previous)).then_some(previous)
    }

    /// The instants in (`after`, `until`] at which the clocks of the zone are set.
    pub(crate) fn clock_changes(
        &self,
        after: Timestamp,
        until: Timestamp,
    ) -> impl Iterator<Item = Timestamp> {
        let seconds = |at: Timestamp| at.millis().div_euclid(1_000);
        zone::changes(self.time_zone(), seconds(after), seconds(until)).filter_map(second)
    }

    /// How many occurrences there are after `after` up to `until`, both within the bounds; `None` if that
    /// cannot be told without walking through them.
    pub(crate) fn count_slots(&self, after: Timestamp, until: Timestamp) -> Option<u64> {
        match &self.rule {
            Rule::Every { every_ms, anchor: Some(anchor) } => {
                let grid = Grid::new(*every_ms, anchor.millis())?;
                Some(grid.count(after.millis().saturating_add(1), until.millis()))
            }
            Rule::Cron { cron, zone, gap } => {
                cron.count(*zone, *gap, after.millis().div_euclid(1_000), until.millis().div_euclid(1_000))
            }
            _ => None,
        }
    }

    /// The same schedule as if it made up for what clocks jump over, if it says that it does not.
    pub(crate) fn with_gaps_made_up(&self) -> Option<Self> {
        match self.rule {
            Rule::Cron { gap: Gap::Skip, zone, .. } if zone != Tz::UTC => {
                Some(self.clone().on_gap(Gap::RunAfter))
            }
            _ => None,
        }
    }
}

impl From<Rule> for Schedule {
    fn from(rule: Rule) -> Self {
        Self { rule, bounds: Bounds::default() }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Rule::At { local: Some(local), .. } => f.write_str(&local.text),
            Rule::At { at, local: None } => write!(f, "{at}"),
            Rule::After { delay_ms, .. } => write!(f, "in {}", Span(*delay_ms)),
            Rule::Every { every_ms, .. } => write!(f, "every {}", Span(*every_ms)),
            Rule::AfterEach { delay_ms } => write!(f, "{} after each", Span(*delay_ms)),
            Rule::Cron { cron, .. } => f.write_str(cron.text()),
        }
    }
}

/// An instant in whole seconds.
fn second(seconds: i64) -> Option<Timestamp> {
    seconds.checked_mul(1_000).and_then(shown)
}

/// `at` plus `ms`, if that can be shown.
fn later(at: Timestamp, ms: i64) -> Option<Timestamp> {
    at.millis().checked_add(ms).and_then(shown)
}

/// The instant `ms`, if a [`DateTime`] can show it: an occurrence that it cannot show never comes.
fn shown(ms: i64) -> Option<Timestamp> {
    Some(Timestamp::from_millis(ms)).filter(|at| at.millis() == ms)
}

fn plus_ms(at: Timestamp, ms: i64) -> Timestamp {
    Timestamp::from_millis(at.millis().saturating_add(ms))
}
