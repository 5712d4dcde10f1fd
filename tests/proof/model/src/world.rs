//! The world of the model: what is in the file, what each process has in memory, and what has happened outside.

/// Engines that share the file.
pub(crate) const PROCESSES: usize = 2;
/// The most rows that the table of runs takes.
pub(crate) const RUNS: usize = 5;
/// The most occurrences that a schedule names.
pub(crate) const OCCURRENCES: usize = 3;

/// A row of runs, by its number: the fencing token.
pub(crate) type RunNo = u8;

/// All there is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// What the wall clock shows. Occurrence `n` is at `n`.
    pub(crate) clock: u8,
    /// The clock fell back and no engine has looked since.
    pub(crate) fell_back: bool,
    pub(crate) file: File,
    pub(crate) processes: [Process; PROCESSES],
    pub(crate) outside: Outside,
    pub(crate) left: Budget,
}

/// What is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct File {
    pub(crate) job: Job,
    pub(crate) runs: [Option<Run>; RUNS],
}

/// The one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Job {
    /// The occurrence that the next claim is for.
    pub(crate) scheduled_for: Option<u8>,
    /// Which attempt at it.
    pub(crate) attempt: u8,
    /// When it may be claimed.
    pub(crate) next_run: u8,
    /// The open run: the job may not overlap with itself.
    pub(crate) open: Option<RunNo>,
    pub(crate) parked: bool,
    /// Occurrences on record as missed.
    pub(crate) missed: Set,
}

/// One attempt at one occurrence, with its completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    pub(crate) occurrence: u8,
    pub(crate) attempt: u8,
    pub(crate) owner: Owner,
    /// None while it is open.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) delivery: Delivery,
    pub(crate) delivery_owner: Option<Owner>,
    pub(crate) deliveries: u8,
    /// A late result of it is kept.
    pub(crate) late: bool,
}

/// One life of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub(crate) process: u8,
    pub(crate) life: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    Succeeded,
    Failed,
    Interrupted,
    /// Interrupted by hand.
    Released,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Delivery {
    NotRequested,
    Pending,
    Started,
    Delivered,
    Failed,
    Unknown,
    Suppressed,
}

/// What a process knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) life: u8,
    pub(crate) is: Vital,
    pub(crate) handler: Handler,
    /// Outputs that are its own to deliver, by run.
    pub(crate) in_hand: Set,
    pub(crate) sink: Sink,
    /// A commit returned an error, and the process has not looked yet whether it happened.
    pub(crate) doubt: Option<Doubt>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Vital {
    Up,
    /// Stopped by a signal or a debugger: its lock is held, it does nothing.
    Paused,
    /// Killed: its lock is free.
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Handler {
    Free,
    Running(RunNo),
    /// It has come back, with success or not, and nothing is on record.
    Returned(RunNo, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sink {
    Free,
    Begun(RunNo),
    Answered(RunNo, Answer),
}

/// What a receiver says of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Delivered,
    NotSent,
    /// No answer, and it had arrived.
    LostAfter,
    /// No answer, and it had not arrived.
    LostBefore,
}

/// The transaction whose commit returned an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Doubt {
    /// The claim; the run that it opened, if it is in the file.
    Claim(Option<RunNo>),
    /// The completion of what the handler returned; whether it is in the file.
    Completion { applied: bool },
}

/// What has happened where no transaction reaches, and what excuses it. Only the properties read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Outside {
    /// How often the work of an occurrence was done, and how often the named window allows more than once.
    pub(crate) effects: [u8; OCCURRENCES],
    pub(crate) effects_excused: [u8; OCCURRENCES],
    /// How often an output arrived, and how often the policy or a person allows more than once.
    pub(crate) arrivals: [u8; OCCURRENCES],
    pub(crate) arrivals_excused: [u8; OCCURRENCES],
    /// What must never happen.
    pub(crate) sins: Set,
}

/// How often fate and the operator may still act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    pub(crate) kills: u8,
    pub(crate) pauses: u8,
    pub(crate) set_backs: u8,
    pub(crate) releases: u8,
    pub(crate) redeliveries: u8,
    pub(crate) failures: u8,
    pub(crate) bad_answers: u8,
    pub(crate) commit_errors: u8,
}

/// A set of small numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Set(u8);

impl Set {
    pub(crate) fn add(&mut self, item: u8) {
        self.0 |= 1 << item;
    }

    pub(crate) fn remove(&mut self, item: u8) {
        self.0 &= !(1 << item);
    }

    pub(crate) fn contains(self, item: u8) -> bool {
        self.0 & (1 << item) != 0
    }

    pub(crate) fn items(self) -> impl Iterator<Item = u8> {
        (0..8).filter(move |item| self.contains(*item))
    }
}

impl World {
    pub(crate) fn owner(&self, process: usize) -> Owner {
        Owner { process: process as u8, life: self.processes[process].life }
    }

    /// Whether the lock of this owner can be taken.
    pub(crate) fn is_dead(&self, owner: Owner) -> bool {
        let process = &self.processes[usize::from(owner.process)];
        process.is == Vital::Dead || process.life != owner.life
    }
}

impl File {
    pub(crate) fn run(&self, run: RunNo) -> Option<&Run> {
        self.runs.get(usize::from(run)).and_then(Option::as_ref)
    }

    pub(crate) fn runs(&self) -> impl Iterator<Item = (RunNo, &Run)> {
        self.runs.iter().enumerate().filter_map(|(run, row)| Some((run as RunNo, row.as_ref()?)))
    }
}
