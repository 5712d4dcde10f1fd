//! The scenarios: what an application does, step by step, and which jobs it has.

mod deliveries;
mod lives;
mod operations;
mod schedules;
mod work;

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use crate::part::Part;
use crate::play::Play;
use crate::prepare;
use crate::stage::Stage;
pub(crate) use operations::OLD_JOBS;
pub(crate) use work::{ROWS, WITH_ROWS};

/// How long failed work waits for its next attempt.
pub(crate) const WAIT: Duration = Duration::from_secs(1);

macro_rules! scenarios {
    ($($(#[$meta:meta])* $variant:ident = $word:literal, $parts:path, $play:path;)+) => {
        /// A piece of an application's life.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Scenario { $($(#[$meta])* $variant,)+ }

        impl Scenario {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Its word on a command line.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// Its jobs.
            pub const fn parts(self) -> &'static [Part] {
                match self { $(Self::$variant => $parts,)+ }
            }

            async fn steps(self, stage: &Stage) -> Result<(), String> {
                match self { $(Self::$variant => $play(stage).await,)+ }
            }
        }
    };
}

scenarios! {
    /// One job, several, one with a unique key, some with the application's own rows.
    Enqueue = "enqueue", work::ENQUEUE, work::enqueue;
    /// A recurring job, on time and caught up.
    Cron = "cron", schedules::CRON, schedules::cron;
    /// Jobs that wait for their time.
    OneShot = "one-shot", schedules::ONE_SHOT, schedules::one_shot;
    /// Work that fails, panics, snoozes, gives up.
    Retry = "retry", work::RETRY, work::retry;
    /// Jobs that are stopped, paused, removed and run by hand.
    Cancel = "cancel", operations::CANCEL, operations::cancel;
    /// Outputs that are taken.
    Delivered = "delivered", deliveries::DELIVERED, deliveries::delivered;
    /// Outputs that are not taken at first, or never.
    Undelivered = "undelivered", deliveries::UNDELIVERED, deliveries::undelivered;
    /// Outputs of which nobody knows.
    Ambiguous = "ambiguous", deliveries::AMBIGUOUS, deliveries::ambiguous;
    /// Old history is dropped while work goes on.
    Prune = "prune", operations::PRUNE, operations::prune;
    /// There is no file.
    FirstStart = "first-start", lives::FIRST_START, lives::first_start;
    /// The file is of the first version.
    Upgrade = "upgrade", lives::UPGRADE, lives::upgrade;
    /// A process died in the middle of its work.
    Recovery = "recovery", lives::RECOVERY, lives::recovery;
    /// An orderly end, and another start.
    Restart = "restart", lives::RESTART, lives::restart;
    /// Two engines on one file, one of which has no trouble.
    TwoEngines = "two-engines", lives::TWO_ENGINES, lives::two_engines;
}

impl Scenario {
    /// The job of that label.
    pub fn part(self, label: &str) -> Option<&'static Part> {
        self.parts().iter().find(|part| part.label == label)
    }

    /// Makes the file that it begins with, if it begins with one. Once is enough: it is played on copies.
    ///
    /// # Errors
    /// A sentence; nothing is expected to go wrong here.
    pub async fn prepare(self, path: &Path) -> Result<(), String> {
        prepare::prepare(self, path).await
    }

    /// Plays it to its end, or, with the ledger of a life that was killed, from there on to its end.
    ///
    /// # Errors
    /// A sentence that says what is not as promised: an error of the wrong kind, something that does not go on, an
    /// answer that is wrong.
    pub async fn play(self, stage: &Stage) -> Result<(), String> {
        self.steps(stage).await
    }

    /// Opens what a play left and starts an engine on it, as the next process does; it has nothing to do but to settle
    /// what an unorderly end left. Nothing may go wrong with it.
    ///
    /// # Errors
    /// As of [`play`](Self::play).
    pub async fn afterwards(self, stage: &Stage) -> Result<(), String> {
        let play = Play::begin_with(stage, &stage.healthy_options()).await?;
        play.quiet().await?;
        play.end().await
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|scenario| scenario.as_str() == word).copied();
        found.ok_or_else(|| format!("{word:?} is no scenario; there are: {}", words().join(", ")))
    }
}

fn words() -> Vec<&'static str> {
    Scenario::ALL.iter().map(|scenario| scenario.as_str()).collect()
}
