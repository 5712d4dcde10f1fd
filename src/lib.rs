//! A durable job queue and scheduler in one SQLite file.
#![forbid(unsafe_code)]

pub mod plan;
pub mod schedule;
mod time;

pub use schedule::{Schedule, ScheduleError};
pub use time::{Clock, SystemClock, Timestamp};
