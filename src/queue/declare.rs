//! A set of schedules that an application declares at each start.

use std::fmt;

use super::{Queue, verbs};
use crate::error::Result;
use crate::job::{JobArgs, JobSpec, Limits, NewJob};
use crate::schedule::Schedule;
use crate::store::replace_all::Converged;
use crate::time::Timestamp;

/// What becomes of a declaration once the limits and the time are known; its type of arguments is erased.
type MakeSpec = dyn FnOnce(&Limits, Timestamp) -> Result<JobSpec> + Send;

/// One job of a declared set: its name, its schedule, its arguments and options.
#[must_use = "a declaration does nothing until it is given to `replace_all`"]
pub struct Declaration {
    name: String,
    spec: Box<MakeSpec>,
}

impl fmt::Debug for Declaration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Declaration").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Declaration {
    /// Declares a job; the arguments are those of [`Queue::schedule`].
    pub fn new<A: JobArgs>(name: impl Into<String>, schedule: Schedule, job: impl Into<NewJob<A>>) -> Self {
        let (name, job) = (name.into(), job.into());
        let named = name.clone();
        Self { name, spec: Box::new(move |limits, now| job.into_named_spec(&named, schedule, limits, now)) }
    }
}

/// What converging a declared set came to, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplaceReport {
    /// Jobs that did not exist.
    pub created: Vec<String>,
    /// Jobs that differed.
    pub changed: Vec<String>,
    /// Jobs that were as declared.
    pub unchanged: Vec<String>,
    /// Jobs that this label had declared before and does not any more.
    pub removed: Vec<String>,
}

impl From<Converged> for ReplaceReport {
    fn from(converged: Converged) -> Self {
        let Converged { created, changed, unchanged, removed, stopping: _ } = converged;
        Self { created, changed, unchanged, removed }
    }
}

impl Queue {
    /// Converges the set of jobs that `label` declares, in one transaction: creates, changes, leaves alone, and
    /// removes those that the label declared before and does not any more. Jobs of other labels, and those that
    /// were scheduled one by one, are not touched; one of the latter whose name is declared belongs to the label
    /// from then on. Open runs of removed jobs are asked to stop.
    ///
    /// ```
    /// # use mainspring::{Declaration, JobArgs, Queue, Schedule};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Report { of: String }
    /// # impl JobArgs for Report { const KIND: &'static str = "report"; }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let queue = Queue::open(dir.path().join("app.db")).await?;
    /// let daily = || Declaration::new("daily", Schedule::cron("@daily").unwrap(), Report { of: "day".into() });
    /// let weekly = Declaration::new("weekly", Schedule::cron("@weekly")?, Report { of: "week".into() });
    /// assert_eq!(queue.replace_all("reports", [daily(), weekly]).await?.created, ["daily", "weekly"]);
    /// let report = queue.replace_all("reports", [daily()]).await?;
    /// assert_eq!((report.unchanged, report.removed), (vec!["daily".to_owned()], vec!["weekly".to_owned()]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`schedule`](Self::schedule); [`Error::InvalidOption`](crate::Error::InvalidOption) for a name that is
    /// declared twice, or by another label. On an error nothing is changed.
    pub async fn replace_all(
        &self,
        label: &str,
        declarations: impl IntoIterator<Item = Declaration>,
    ) -> Result<ReplaceReport> {
        let limits = self.core.limits();
        limits.check_word("label", label)?;
        let now = self.core.clock().now();
        let specs = declarations
            .into_iter()
            .map(|declaration| (declaration.spec)(&limits, now))
            .collect::<Result<Vec<_>>>()?;
        self.drive(verbs::replace_all(label.to_owned(), specs)).await.map(ReplaceReport::from)
    }
}
