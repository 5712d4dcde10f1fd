//! Schedules in words.

use std::fmt::Write as _;

use super::{Rule, Schedule, Span};

impl Schedule {
    /// The schedule in plain English, with its zone and its bounds.
    ///
    /// ```
    /// use chrono_tz::Europe::Berlin;
    /// use mainspring::Schedule;
    ///
    /// let schedule = Schedule::cron("0 8 * * 1-5")?.in_tz(Berlin);
    /// assert_eq!(schedule.explain(), "at 08:00 on weekdays, Europe/Berlin");
    /// # Ok::<(), mainspring::ScheduleError>(())
    /// ```
    pub fn explain(&self) -> String {
        let mut words = match &self.rule {
            Rule::At { at, local: None } | Rule::After { at: Some(at), .. } => format!("once, at {at}"),
            Rule::At { local: Some(local), .. } => format!("once, at {}, {}", local.text, local.zone.name()),
            Rule::After { delay_ms, at: None } => format!("once, in {}", Span(*delay_ms)),
            Rule::Every { every_ms, anchor: None } => format!("every {}", Span(*every_ms)),
            Rule::Every { every_ms, anchor: Some(anchor) } => {
                format!("every {}, counted from {anchor}", Span(*every_ms))
            }
            Rule::AfterEach { delay_ms } => format!("{} after the end of each run", Span(*delay_ms)),
            Rule::Cron { cron, zone, .. } => format!("{}, {}", cron.explain(), zone.name()),
        };
        self.explain_bounds(&mut words);
        words
    }

    fn explain_bounds(&self, words: &mut String) {
        let bounds = &self.bounds;
        // Writing to a String cannot fail.
        if let Some(start) = bounds.starts_at {
            let _ = write!(words, ", from {start}");
        }
        if let Some(end) = bounds.ends_at {
            let _ = write!(words, ", until {end}");
        }
        if let Some(runs) = bounds.max_runs {
            let _ = write!(words, ", at most {runs} runs");
        }
        if bounds.jitter_ms > 0 {
            let _ = write!(words, ", spread over {}", Span(bounds.jitter_ms));
        }
        if let Some(calendar) = &bounds.calendar {
            let _ = write!(words, ", except as calendar \"{calendar}\" says");
        }
    }
}
