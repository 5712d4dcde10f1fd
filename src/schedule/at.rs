//! Local times that a person writes, as instants.

use chrono::{DateTime, NaiveDateTime};
use chrono_tz::Tz;

use super::ScheduleError;
use super::zone::{self, Local};
use crate::time::Timestamp;

/// A local date and time, as a value or as text such as `2026-03-29 08:00`.
///
/// Implemented for [`NaiveDateTime`] and for text. Between date and time stands a blank or a `T`; seconds and
/// fractions may follow.
pub trait IntoLocalTime {
    /// The date and time, and the text that shows it.
    ///
    /// # Errors
    /// [`ScheduleError::LocalTime`] if the text is none.
    fn into_local_time(self) -> Result<(NaiveDateTime, String), ScheduleError>;
}

impl IntoLocalTime for NaiveDateTime {
    fn into_local_time(self) -> Result<(NaiveDateTime, String), ScheduleError> {
        Ok((self, self.format("%Y-%m-%d %H:%M:%S%.f").to_string()))
    }
}

impl IntoLocalTime for &str {
    fn into_local_time(self) -> Result<(NaiveDateTime, String), ScheduleError> {
        const FORMATS: [&str; 4] =
            ["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"];
        let text = self.trim();
        let parsed = FORMATS.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
        match parsed {
            Some(time) => Ok((time, text.to_owned())),
            None => Err(ScheduleError::LocalTime { text: self.to_owned() }),
        }
    }
}

impl IntoLocalTime for String {
    fn into_local_time(self) -> Result<(NaiveDateTime, String), ScheduleError> {
        self.as_str().into_local_time()
    }
}

/// The instant of a local time: the first if it comes twice, an error if the clocks jump over it.
pub(super) fn instant(time: NaiveDateTime, text: &str, zone: Tz) -> Result<Timestamp, ScheduleError> {
    let whole = time.and_utc();
    match zone::resolve(zone, whole.timestamp()) {
        Local::Once(at) | Local::Twice(at, _) => {
            let millis = at.saturating_mul(1_000).saturating_add(i64::from(whole.timestamp_subsec_millis()));
            Ok(Timestamp::from_millis(millis))
        }
        Local::Skipped(jump) => Err(ScheduleError::SkippedLocalTime {
            text: text.to_owned(),
            zone: zone.name(),
            resumes_at: DateTime::from_timestamp(jump.to, 0)
                .map(|local| local.format("%Y-%m-%d %H:%M:%S").to_string())
                .unwrap_or_default(),
        }),
    }
}
