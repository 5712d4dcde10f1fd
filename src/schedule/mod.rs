//! When a job runs: `at`, `every`, `cron`.
use crate::time::Timestamp;
/// A schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule;
impl Schedule {
    /// a
    pub fn at(_at: Timestamp) -> Self {
        Self
    }
    /// r
    pub fn is_recurring(&self) -> bool {
        false
    }
}
/// Why a schedule was refused.
#[derive(Debug, thiserror::Error)]
#[error("s")]
pub struct ScheduleError;
