//! The transactions of `src/store`, each as one step: it happens as a whole or not at all.

use crate::rules::{Bug, MAX_ATTEMPTS, MAX_DELIVERIES, OnInterrupt, OnUnknownDelivery, Rules};
use crate::world::{Answer, Delivery, File, Outcome, Owner, Run, RunNo};

/// What becomes of the occurrence of a run that has ended.
#[derive(Clone, Copy)]
enum Then {
    Finish,
    Again,
    Park,
}

impl File {
    /// Whether a claim would find the job due.
    pub(crate) fn is_due(&self, clock: u8) -> bool {
        let job = &self.job;
        job.scheduled_for.is_some() && job.next_run <= clock && job.open.is_none() && !job.parked
    }

    /// Marks the job running, opens the run and moves the next time forward. `None` if nothing runs: the occurrence
    /// is on record already.
    pub(crate) fn claim(&mut self, rules: &Rules, owner: Owner, clock: u8) -> Option<RunNo> {
        let first = self.job.scheduled_for?;
        let following = first.checked_add(1).filter(|next| *next <= rules.occurrences);
        let overtaken = following.is_some_and(|next| next <= clock);
        let (occurrence, attempt) = if self.job.attempt > 1 && !overtaken {
            (first, self.job.attempt)
        } else {
            // Another attempt that was overtaken is given up. The latest that is due stands for those before it.
            let first = if self.job.attempt > 1 { following.unwrap_or(first) } else { first };
            let latest = clock.min(rules.occurrences).max(first);
            self.miss(rules, first, latest - 1);
            (latest, 1)
        };
        self.plan(occurrence.checked_add(1).filter(|next| *next <= rules.occurrences));
        // UNIQUE(job_id, scheduled_for_ms, attempt)
        if self.runs().any(|(_, run)| (run.occurrence, run.attempt) == (occurrence, attempt)) {
            return None;
        }
        let run = self.runs.iter().position(Option::is_none)?;
        self.runs[run] = Some(Run {
            occurrence,
            attempt,
            owner,
            outcome: None,
            delivery: Delivery::NotRequested,
            delivery_owner: None,
            deliveries: 0,
            late: false,
        });
        self.job.open = Some(run as RunNo);
        Some(run as RunNo)
    }

    /// Occurrences that are not run go on record. Those that have a run since before the clock was set back do not.
    fn miss(&mut self, rules: &Rules, first: u8, last: u8) {
        for occurrence in first..=last {
            let has_run = self.runs().any(|(_, run)| run.occurrence == occurrence);
            if !has_run || rules.bug == Some(Bug::MissWhatHasRun) {
                self.job.missed.add(occurrence);
            }
        }
    }

    /// The next occurrence, at its own time.
    fn plan(&mut self, next: Option<u8>) {
        self.job.scheduled_for = next;
        self.job.attempt = 1;
        self.job.next_run = next.unwrap_or(0);
    }

    /// Records how a run ended, and that its output is to be delivered. A run that was ended by somebody else keeps
    /// its outcome; what came now is kept as a late result. Says whether it is the outcome.
    pub(crate) fn complete(&mut self, rules: &Rules, run: RunNo, succeeded: bool, clock: u8) -> bool {
        let Some(row) = self.runs[usize::from(run)].as_mut() else { return false };
        if row.outcome.is_some() && rules.bug != Some(Bug::NoFence) {
            row.late = true;
            return false;
        }
        if succeeded {
            let too_late = rules.deliver_within.is_some_and(|window| row.occurrence + window < clock);
            row.delivery = if too_late { Delivery::Suppressed } else { Delivery::Pending };
            row.delivery_owner = Some(row.owner).filter(|_| !too_late);
            self.end(rules, run, Outcome::Succeeded, Then::Finish, clock);
        } else {
            let failed = self.runs().filter(|(_, other)| self.is_failed_attempt_of(other, run)).count() as u8;
            let then = if failed + 1 < MAX_ATTEMPTS { Then::Again } else { Then::Finish };
            self.end(rules, run, Outcome::Failed, then, clock);
        }
        true
    }

    fn is_failed_attempt_of(&self, other: &Run, run: RunNo) -> bool {
        self.run(run).is_some_and(|run| run.occurrence == other.occurrence)
            && other.outcome == Some(Outcome::Failed)
    }

    /// A person ends an open run, whoever holds it.
    pub(crate) fn release(&mut self, rules: &Rules, run: RunNo, again: bool, clock: u8) {
        let then = if again { Then::Again } else { Then::Finish };
        self.end(rules, run, Outcome::Released, then, clock);
    }

    /// Settles what a dead owner left, by the policies of the job.
    pub(crate) fn recover(&mut self, rules: &Rules, owner: Owner, clock: u8) {
        for run in 0..self.runs.len() {
            let Some(row) = self.runs[run].as_mut() else { continue };
            if row.delivery_owner == Some(owner) {
                let again = match rules.on_unknown_delivery {
                    OnUnknownDelivery::Resend => row.deliveries < MAX_DELIVERIES,
                    OnUnknownDelivery::Hold => rules.bug == Some(Bug::ResendUnderHold),
                };
                row.delivery_owner = None;
                row.delivery = match row.delivery {
                    Delivery::Started if again => Delivery::Pending,
                    Delivery::Started => Delivery::Unknown,
                    other => other,
                };
            }
            if row.owner == owner && row.outcome.is_none() {
                let then = match rules.on_interrupt {
                    OnInterrupt::Rerun => Then::Again,
                    OnInterrupt::AssumeRan => Then::Finish,
                    OnInterrupt::Verify => Then::Park,
                };
                self.end(rules, run as RunNo, Outcome::Interrupted, then, clock);
                if rules.bug == Some(Bug::UncountedRecovery) {
                    self.job.attempt = 1;
                }
            }
        }
    }

    /// Whether the owner has open runs or deliveries in its hands.
    pub(crate) fn has_work(&self, owner: Owner) -> bool {
        self.runs()
            .any(|(_, run)| run.owner == owner && run.outcome.is_none() || run.delivery_owner == Some(owner))
    }

    /// The end of a run, and what it means for its job.
    fn end(&mut self, rules: &Rules, run: RunNo, outcome: Outcome, then: Then, clock: u8) {
        let Some(row) = self.runs[usize::from(run)].as_mut() else { return };
        row.outcome = Some(outcome);
        let (occurrence, attempt) = (row.occurrence, row.attempt);
        if self.job.open == Some(run) {
            self.job.open = None;
        }
        // By the next occurrence, or by an earlier one that is ahead again since the clock was set back.
        let overtaken =
            self.job.scheduled_for.is_some_and(|next| self.job.next_run <= clock || next < occurrence);
        match then {
            Then::Again if !overtaken => {
                self.job.scheduled_for = Some(occurrence);
                self.job.attempt = attempt + 1;
                self.job.next_run = clock;
            }
            Then::Again | Then::Finish | Then::Park => {
                // What came due while the run went on overlapped it, unless its owner had died: then it was missed
                // for want of an engine, and the claim catches it up.
                let waited = if outcome == Outcome::Interrupted { None } else { self.job.scheduled_for };
                if let Some(first) = waited.filter(|first| *first < clock) {
                    let latest = (clock - 1).min(rules.occurrences);
                    self.miss(rules, first, latest);
                    self.plan(latest.checked_add(1).filter(|next| *next <= rules.occurrences));
                }
            }
        }
        self.job.parked |= matches!(then, Then::Park);
    }

    /// Takes up a pending delivery that nobody works on.
    pub(crate) fn take_up(&mut self, run: RunNo, owner: Owner) {
        if let Some(row) = self.runs[usize::from(run)].as_mut() {
            row.delivery_owner = Some(owner);
        }
    }

    /// Marks a delivery as begun, if it is this owner's to begin.
    pub(crate) fn begin_delivery(&mut self, rules: &Rules, run: RunNo, owner: Owner, clock: u8) -> bool {
        let Some(row) = self.runs[usize::from(run)].as_mut() else { return false };
        if row.delivery != Delivery::Pending || row.delivery_owner != Some(owner) {
            return false;
        }
        if rules.deliver_within.is_some_and(|window| row.occurrence + window < clock) {
            (row.delivery, row.delivery_owner) = (Delivery::Suppressed, None);
            return false;
        }
        row.delivery = Delivery::Started;
        row.deliveries += 1;
        true
    }

    /// Records the answer to a delivery, if it is this owner's to record.
    pub(crate) fn settle_delivery(&mut self, rules: &Rules, run: RunNo, owner: Owner, answer: Answer) {
        let Some(row) = self.runs[usize::from(run)].as_mut() else { return };
        if row.delivery != Delivery::Started || row.delivery_owner != Some(owner) {
            return;
        }
        let more = row.deliveries < MAX_DELIVERIES;
        let resend = rules.on_unknown_delivery == OnUnknownDelivery::Resend;
        row.delivery_owner = None;
        row.delivery = match answer {
            Answer::Delivered => Delivery::Delivered,
            Answer::NotSent if more => Delivery::Pending,
            Answer::NotSent => Delivery::Failed,
            Answer::LostAfter | Answer::LostBefore if resend && more => Delivery::Pending,
            Answer::LostAfter | Answer::LostBefore => Delivery::Unknown,
        };
    }

    /// A person decides that an output is to be sent after all.
    pub(crate) fn redeliver(&mut self, run: RunNo) {
        if let Some(row) = self.runs[usize::from(run)].as_mut() {
            row.delivery = Delivery::Pending;
        }
    }

    /// Occurrences that are ahead again since the clock was set back are planned anew, but for those with a run. Another
    /// attempt at a later one gives way to them.
    pub(crate) fn set_back(&mut self, clock: u8) {
        let Some(pending) = self.job.scheduled_for.filter(|next| *next > clock) else { return };
        for ahead in clock + 1..8 {
            self.job.missed.remove(ahead);
        }
        let has_run = |at: &u8| self.runs().any(|(_, run)| run.occurrence == *at);
        if let Some(next) = (clock + 1..pending).find(|at| !has_run(at)) {
            self.plan(Some(next));
        }
    }
}
