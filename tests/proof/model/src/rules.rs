//! What one model is about: the policies of the job, what fate may do, and the bug that it has, if any.

use crate::world::Budget;

/// One model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) name: &'static str,
    /// How many occurrences the schedule names; a one-shot has one.
    pub(crate) occurrences: u8,
    pub(crate) on_interrupt: OnInterrupt,
    pub(crate) on_unknown_delivery: OnUnknownDelivery,
    /// So long after its occurrence a delivery may begin.
    pub(crate) deliver_within: Option<u8>,
    pub(crate) fate: Budget,
    pub(crate) bug: Option<Bug>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnInterrupt {
    Rerun,
    AssumeRan,
    Verify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnUnknownDelivery {
    Hold,
    Resend,
}

/// What makes a model wrong: each must break a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A completion is written whether or not the run is open.
    NoFence,
    /// An owner that has not been heard of for a while is recovered, alive or not.
    RobByTime,
    /// The output is handed over before its completion is committed.
    DeliverBeforeCommit,
    /// A commit that returned an error is taken for one that did not happen.
    CommitErrorMeansNo,
    /// Recovery sends again what was begun, under `hold` as well.
    ResendUnderHold,
    /// Recovery leaves the occurrence due without counting the interrupted attempt.
    UncountedRecovery,
    /// A next time that has passed is moved to the next one when an engine starts.
    RecomputeAtStart,
    /// What goes on record as missed is a range, whatever in it has a run since before the clock was set back.
    MissWhatHasRun,
}

impl Bug {
    pub(crate) const ALL: [Self; 8] = [
        Self::NoFence,
        Self::RobByTime,
        Self::DeliverBeforeCommit,
        Self::CommitErrorMeansNo,
        Self::ResendUnderHold,
        Self::UncountedRecovery,
        Self::RecomputeAtStart,
        Self::MissWhatHasRun,
    ];
}

/// An occurrence has so many attempts.
pub(crate) const MAX_ATTEMPTS: u8 = 2;
/// An output is begun to be delivered so many times.
pub(crate) const MAX_DELIVERIES: u8 = 2;

const FATE: Budget = Budget {
    kills: 1,
    pauses: 0,
    set_backs: 0,
    releases: 1,
    redeliveries: 0,
    failures: 1,
    bad_answers: 1,
    commit_errors: 1,
};

const ONE_SHOT: Rules = Rules {
    name: "one-shot, rerun, resend",
    occurrences: 1,
    on_interrupt: OnInterrupt::Rerun,
    on_unknown_delivery: OnUnknownDelivery::Resend,
    deliver_within: None,
    fate: FATE,
    bug: None,
};

const RECURRING: Rules = Rules {
    name: "recurring, assume_ran, hold",
    occurrences: 2,
    on_interrupt: OnInterrupt::AssumeRan,
    on_unknown_delivery: OnUnknownDelivery::Hold,
    ..ONE_SHOT
};

const CLOCK: Rules = Rules {
    name: "recurring, assume_ran, resend, a clock set back",
    occurrences: 3,
    on_unknown_delivery: OnUnknownDelivery::Resend,
    fate: Budget { kills: 0, set_backs: 1, failures: 1, bad_answers: 0, commit_errors: 0, ..FATE },
    ..RECURRING
};

/// The models that must hold, each with every state that it can come to.
pub(crate) const MODELS: [Rules; 6] = [
    Rules { fate: Budget { kills: 2, releases: 0, ..FATE }, ..ONE_SHOT },
    Rules {
        name: "one-shot, rerun, hold",
        on_unknown_delivery: OnUnknownDelivery::Hold,
        deliver_within: Some(0),
        fate: Budget { pauses: 1, redeliveries: 1, commit_errors: 0, ..FATE },
        ..ONE_SHOT
    },
    Rules { fate: Budget { commit_errors: 0, ..FATE }, ..RECURRING },
    Rules {
        name: "recurring, rerun, resend",
        on_interrupt: OnInterrupt::Rerun,
        on_unknown_delivery: OnUnknownDelivery::Resend,
        fate: Budget { bad_answers: 0, releases: 0, ..FATE },
        ..RECURRING
    },
    CLOCK,
    Rules {
        name: "recurring, verify, hold",
        on_interrupt: OnInterrupt::Verify,
        deliver_within: Some(0),
        fate: Budget { bad_answers: 0, commit_errors: 0, ..FATE },
        ..RECURRING
    },
];

/// The model with a bug, where it shows.
pub(crate) fn with_bug(bug: Bug) -> Rules {
    let rules = match bug {
        Bug::MissWhatHasRun => CLOCK,
        Bug::RecomputeAtStart | Bug::ResendUnderHold => RECURRING,
        Bug::NoFence
        | Bug::RobByTime
        | Bug::DeliverBeforeCommit
        | Bug::CommitErrorMeansNo
        | Bug::UncountedRecovery => ONE_SHOT,
    };
    Rules { bug: Some(bug), ..rules }
}
