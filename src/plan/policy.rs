//! What a job's owner wants done with occurrences that were missed, and with those that overlap a run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::{Timestamp, millis_of};

/// How far back a catch-up looks, unless the job says otherwise: a morning's work is worth doing at noon, and
/// yesterday's is not.
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(6 * 3600);
/// How many overdue jobs start at once when a process comes back, unless a job says otherwise.
pub const DEFAULT_AT_ONCE: u32 = 5;
/// How far apart the others start, unless a job says otherwise.
pub const DEFAULT_SPACING: Duration = Duration::from_secs(5);
/// The most that [`CatchUp::all`] runs of one job's past: the walk back over them is part of the claim.
pub const MOST_CAUGHT_UP: u32 = 1_000;

/// What becomes of the occurrences of a recurring job that nobody could claim in time.
///
/// ```text
/// hourly job, down from 08:30 to 12:10      09:00   10:00   11:00   12:00 | 12:10
/// latest() (the default)                    -       -       -       run
/// earliest()                                run     -       -       -
/// all(3)                                    -       run     run     run     one after the other
/// skip()                                    -       -       -       -       13:00 comes by itself
/// ```
///
/// What is not run is a row in the ledger of misses. An occurrence is caught up only within a window (6 hours
/// unless [`within`](Self::within) says otherwise) that never reaches back behind the moment when the schedule
/// took effect. What is up to a minute late is on time under every policy. One-shots have no window: they run,
/// however late.
///
/// ```
/// use std::time::Duration;
/// use mainspring::plan::CatchUp;
///
/// assert_eq!(CatchUp::default(), CatchUp::latest().within(Duration::from_secs(6 * 3600)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatchUp {
    pub(super) mode: Mode,
    within_ms: i64,
    pub(super) only_after_first_run: bool,
    at_once: u32,
    spacing_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    Latest,
    Earliest,
    All(u32),
    Skip,
}

impl CatchUp {
    /// Runs the latest missed occurrence; it stands for those before it. This is the default.
    pub fn latest() -> Self {
        Self::of(Mode::Latest)
    }

    /// Runs the earliest missed occurrence within the window; it stands for those after it.
    pub fn earliest() -> Self {
        Self::of(Mode::Earliest)
    }

    /// Runs up to `max` missed occurrences, the latest ones, in their order and apart from each other. At
    /// least 1, at most 1,000.
    pub fn all(max: u32) -> Self {
        Self::of(Mode::All(max.clamp(1, MOST_CAUGHT_UP)))
    }

    /// Runs nothing that is more than a minute late.
    pub fn skip() -> Self {
        Self::of(Mode::Skip)
    }

    /// How late an occurrence may be run at most. Defaults to 6 hours.
    #[must_use]
    pub fn within(mut self, window: Duration) -> Self {
        self.within_ms = millis_of(window);
        self
    }

    /// A job that has never run is not caught up. Defaults to catching it up as any other.
    #[must_use]
    pub fn only_after_first_run(mut self) -> Self {
        self.only_after_first_run = true;
        self
    }

    /// How many overdue jobs start at once when a process comes back. Defaults to 5.
    #[must_use]
    pub fn at_once(mut self, jobs: u32) -> Self {
        self.at_once = jobs;
        self
    }

    /// How far apart the others start, and the runs of one job under [`all`](Self::all). Defaults to 5 seconds.
    #[must_use]
    pub fn spacing(mut self, pause: Duration) -> Self {
        self.spacing_ms = millis_of(pause);
        self
    }

    /// How late an occurrence may be run at most.
    pub fn window(&self) -> Duration {
        Duration::from_millis(self.within_ms.max(0).unsigned_abs())
    }

    /// How far apart caught-up runs start.
    pub fn pause(&self) -> Duration {
        Duration::from_millis(self.spacing_ms.max(0).unsigned_abs())
    }

    /// When the overdue job number `index`, counted from 0, may start, given that the process came back at
    /// `now`: the first few at once, the others one pause after the other, always counted from `now`.
    ///
    /// Store it as the time when the job runs and leave its occurrence alone: then the spreading survives
    /// another crash.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mainspring::{Timestamp, plan::CatchUp};
    ///
    /// let back = Timestamp::from_millis(1_767_225_600_000);
    /// assert_eq!(CatchUp::default().spread(4, back), back);
    /// assert_eq!(CatchUp::default().spread(6, back), back.plus(Duration::from_secs(10)));
    /// ```
    pub fn spread(&self, index: u32, now: Timestamp) -> Timestamp {
        let waits = (u64::from(index) + 1).saturating_sub(u64::from(self.at_once));
        let wait_ms = self.spacing_ms.max(0).unsigned_abs().saturating_mul(waits);
        now.plus(Duration::from_millis(wait_ms))
    }

    /// Whether it is [`all`](Self::all), under which missed occurrences run one after the other.
    pub fn runs_them_all(&self) -> bool {
        matches!(self.mode, Mode::All(_))
    }

    fn of(mode: Mode) -> Self {
        Self { mode, ..Self::default() }
    }
}

impl Default for CatchUp {
    /// The latest missed occurrence within 6 hours; 5 jobs at once, the others 5 seconds apart.
    fn default() -> Self {
        Self {
            mode: Mode::Latest,
            within_ms: millis_of(DEFAULT_WINDOW),
            only_after_first_run: false,
            at_once: DEFAULT_AT_ONCE,
            spacing_ms: millis_of(DEFAULT_SPACING),
        }
    }
}

/// What becomes of an occurrence that comes while the last one still runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is a miss. This is the default.
    #[default]
    Skip,
    /// The latest of them waits for the end of the run; the others are misses.
    QueueOne,
    /// The run is cancelled for it.
    CancelRunning,
    /// It runs beside up to this many, itself included; beyond that the latest waits, as with `QueueOne`.
    Allow(u32),
}
