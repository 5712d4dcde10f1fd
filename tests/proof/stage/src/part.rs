//! A part is one job of a scenario: what its handler and its sink do, and how it ends.

use std::fmt;
use std::str::FromStr;

use mainspring::{Delivery, OnInterrupt, OnUnknownDelivery, Outcome};

/// What the handler does when it is called for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Returns an output.
    Succeed,
    /// Fails, and may be tried again.
    Fail,
    /// Fails for good.
    Discard,
    /// Not yet.
    Snooze,
    /// Panics.
    Panic,
    /// Goes on until it is asked to stop.
    AwaitStop,
}

/// What the sink answers to a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has the output.
    Accept,
    /// It was not sent.
    NotSent,
    /// It never will take it.
    Reject,
    /// Nobody knows.
    Unknown,
}

const ANSWERS: [(Answer, &str); 4] = [
    (Answer::Accept, "accept"),
    (Answer::NotSent, "not_sent"),
    (Answer::Reject, "reject"),
    (Answer::Unknown, "unknown"),
];

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ANSWERS.iter().find(|(answer, _)| answer == self).map_or("", |(_, word)| word))
    }
}

impl FromStr for Answer {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = ANSWERS.iter().find(|(_, known)| *known == word).map(|(answer, _)| *answer);
        found.ok_or_else(|| format!("{word:?} is no answer of a sink"))
    }
}

/// How the last attempt at each occurrence of a job ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// So, if nothing kills the process.
    Run(Outcome, Delivery),
    /// Interrupted in a former life, and nobody called it again.
    LeftInterrupted,
    /// It has no run: it was cancelled before.
    NoRun,
    /// The job is gone; its runs are not looked at.
    Gone,
}

/// One job of a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Stands in the job's arguments.
    pub label: &'static str,
    /// The call that makes it; empty for one that is in the file from the beginning.
    pub made_by: &'static str,
    /// What the handler does at each attempt; the last one again at every later attempt.
    pub acts: &'static [Act],
    /// What the sink answers at each delivery; none for a job that delivers nothing.
    pub answers: &'static [Answer],
    /// How many occurrences are run.
    pub occurrences: usize,
    /// The policy that the job has.
    pub on_interrupt: OnInterrupt,
    /// The policy that the job has.
    pub on_unknown_delivery: OnUnknownDelivery,
    /// Attempts and deliveries that were made before the scenario began, which its ledger does not know.
    pub before: (u32, u32),
    /// How it ends.
    pub last: Last,
}

/// A one-shot that succeeds at once and delivers nothing.
pub(crate) const PLAIN: Part = Part {
    label: "",
    made_by: "",
    acts: &[Act::Succeed],
    answers: &[],
    occurrences: 1,
    on_interrupt: OnInterrupt::Rerun,
    on_unknown_delivery: OnUnknownDelivery::Resend,
    before: (0, 0),
    last: Last::Run(Outcome::Succeeded, Delivery::NotRequested),
};

/// A one-shot that succeeds at once and whose output is taken at once.
pub(crate) const POST: Part =
    Part { answers: &[Answer::Accept], last: Last::Run(Outcome::Succeeded, Delivery::Delivered), ..PLAIN };

/// A recurring job with the policies that recurring jobs have.
pub(crate) const RECURRING: Part =
    Part { on_interrupt: OnInterrupt::AssumeRan, on_unknown_delivery: OnUnknownDelivery::Hold, ..POST };

impl Part {
    pub(crate) const fn named(self, label: &'static str) -> Self {
        Self { label, made_by: label, ..self }
    }

    pub(crate) const fn made_by(self, made_by: &'static str) -> Self {
        Self { made_by, ..self }
    }

    pub(crate) const fn acts(self, acts: &'static [Act]) -> Self {
        Self { acts, ..self }
    }

    pub(crate) const fn answers(self, answers: &'static [Answer]) -> Self {
        Self { answers, ..self }
    }

    pub(crate) const fn occurrences(self, occurrences: usize) -> Self {
        Self { occurrences, ..self }
    }

    pub(crate) const fn last(self, last: Last) -> Self {
        Self { last, ..self }
    }

    pub(crate) const fn after(self, attempts: u32, deliveries: u32) -> Self {
        Self { before: (attempts, deliveries), ..self }
    }

    /// What the handler does at this attempt, from 1.
    pub fn act(&self, attempt: u32) -> Act {
        at(self.acts, attempt).unwrap_or(Act::Discard)
    }

    /// What the sink answers at this delivery, from 1.
    pub fn answer(&self, attempt: u32) -> Answer {
        at(self.answers, attempt).unwrap_or(Answer::Reject)
    }

    /// Whether its output is delivered.
    pub fn delivers(&self) -> bool {
        !self.answers.is_empty()
    }
}

fn at<T: Copy>(all: &[T], nth: u32) -> Option<T> {
    let index = (nth as usize).saturating_sub(1).min(all.len().saturating_sub(1));
    all.get(index).copied()
}
