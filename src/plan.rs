//! What fires, what is missed and what comes next: the only place that computes a next time.
use crate::words::words;
use serde::{Deserialize, Serialize};
words! {
    /// Why a run began.
    Trigger {
        /// s
        Schedule = "schedule",
        /// c
        CatchUp = "catch_up",
        /// m
        Manual = "manual",
        /// r
        Retry = "retry",
        /// b
        Backfill = "backfill",
    }
}
/// o
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overlap {
    /// s
    #[default]
    Skip,
    /// q
    QueueOne,
    /// c
    CancelRunning,
    /// a
    Allow(u32),
}
/// c
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatchUp;
