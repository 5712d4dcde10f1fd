//! The words for why a run came and why an occurrence did not, as they stand in the database.

use crate::words::words;

words! {
    /// Why a run came.
    Trigger: "trigger" {
        /// Its schedule, in time.
        Schedule = "schedule",
        /// Its schedule, more than a minute late.
        CatchUp = "catch_up",
        /// Someone asked for it.
        Manual = "manual",
        /// The attempt before did not succeed.
        Retry = "retry",
        /// Someone asked for a past range to be run.
        Backfill = "backfill",
    }
}

words! {
    /// Why an occurrence was not run.
    MissReason: "reason of a miss" {
        /// Nobody could claim it in time, and the catch-up policy does not reach it.
        Downtime = "downtime",
        /// The last run was still going.
        Overlap = "overlap",
        /// The job was paused.
        Paused = "paused",
        /// The job had expired.
        Expired = "expired",
        /// Another occurrence was run in its place.
        Coalesced = "coalesced",
        /// A calendar leaves it out, or the clocks jumped over it and the schedule says to skip it then.
        Excluded = "excluded",
    }
}
