//! When a job runs: `at`, `every`, `cron`.
/// A schedule.
#[derive(Clone, Debug)]
pub struct Schedule;
/// Why a schedule was refused.
#[derive(Debug)]
pub struct ScheduleError;
