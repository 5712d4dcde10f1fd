//! Deliberate bugs: the proof (`tests/proof`) switches them on, one at a time, and must catch each. In a normal
//! build they are nothing.
#![cfg_attr(
    not(feature = "sabotage"),
    allow(
        dead_code,
        unreachable_pub,
        reason = "public, and switched on by the proof, with the feature only"
    )
)]

use crate::words::words;

words! {
    /// A bug that somebody could have written here.
    Bug: "bug" {
        /// The completion row and the job's row are written in two transactions.
        SplitCompletion = "split_completion",
        /// A run that lost its claim may still record its outcome.
        NoFence = "no_fence",
        /// A delivery is begun and settled whatever state it is in.
        NoStateGuard = "no_state_guard",
        /// Commits that promise to survive a power cut are not synced.
        NormalForFull = "normal_for_full",
        /// The output is handed to the sink before the completion is committed.
        DeliverBeforeCommit = "deliver_before_commit",
        /// A commit that returned an error is taken for one that did not happen.
        CommitErrorMeansNo = "commit_error_means_no",
        /// Overdue occurrences are moved to the next one when the file is opened.
        RecomputeAtLoad = "recompute_at_load",
        /// Recovery makes the occurrence due again without counting the interrupted attempt.
        UncountedRecovery = "uncounted_recovery",
        /// Recovery sends again what is on record as delivered.
        ResendDelivered = "resend_delivered",
        /// An owner that is paused, not dead, is recovered.
        RobPausedOwner = "rob_paused_owner",
        /// A migration and its line in the history are two transactions.
        UngroupedMigration = "ungrouped_migration",
        /// The idempotency key does not name the occurrence.
        KeyWithoutOccurrence = "key_without_occurrence",
        /// After an error the timer is not set again.
        TimerNotRearmed = "timer_not_rearmed",
        /// A command that arrives just before the writer sleeps does not wake it.
        LostWakeup = "lost_wakeup",
    }
}

/// The environment variable that names the bug.
#[cfg(feature = "sabotage")]
pub const VARIABLE: &str = "MAINSPRING_SABOTAGE";

/// Whether a bug is switched on.
#[cfg(feature = "sabotage")]
pub fn on(bug: Bug) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<Bug>> = std::sync::OnceLock::new();
    *CHOSEN.get_or_init(|| std::env::var(VARIABLE).ok().and_then(|name| name.parse().ok())) == Some(bug)
}

/// Never, in a normal build.
#[cfg(not(feature = "sabotage"))]
#[inline(always)]
pub(crate) const fn on(_bug: Bug) -> bool {
    false
}
