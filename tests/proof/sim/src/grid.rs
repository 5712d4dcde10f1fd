//! Schedules once more, by counting: what the accounts are checked with.

/// A schedule whose occurrences come whether or not anything runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grid {
    /// So many milliseconds apart, from an anchor.
    Every { step: i64, anchor: i64 },
    /// At these seconds, minutes, hours and weekdays of UTC.
    Cron { finest: i64, seconds: Vec<bool>, minutes: Vec<bool>, hours: Vec<bool>, weekdays: Vec<bool> },
}

impl Grid {
    /// From the columns of a job; `None` for a schedule that is on no grid.
    pub(crate) fn of(
        kind: &str,
        text: Option<&str>,
        every: Option<i64>,
        anchor: Option<i64>,
    ) -> Option<Self> {
        match kind {
            "every" => Some(Self::Every { step: every?, anchor: anchor? }),
            "cron" => Self::cron(text?),
            _ => None,
        }
    }

    /// Only what the simulator writes: `*`, `*/n` and plain numbers; day and month are `*`.
    fn cron(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let (finest, seconds, rest) = match fields.as_slice() {
            [second, rest @ ..] if rest.len() == 5 => (1_000, field(second, 60)?, rest),
            rest => (60_000, field("0", 60)?, rest),
        };
        let [minute, hour, _day, _month, weekday] = rest else { return None };
        let (minutes, hours, weekdays) = (field(minute, 60)?, field(hour, 24)?, field(weekday, 7)?);
        Some(Self::Cron { finest, seconds, minutes, hours, weekdays })
    }

    /// Its occurrences after one instant up to another one.
    pub(crate) fn between(&self, after: i64, until: i64) -> Vec<i64> {
        let (step, anchor) = match self {
            Self::Every { step, anchor } => (*step, *anchor),
            Self::Cron { finest, .. } => (*finest, 0),
        };
        let mut at = anchor + ((after - anchor).div_euclid(step) + 1) * step;
        let mut found = Vec::new();
        while at <= until {
            if self.names(at) {
                found.push(at);
            }
            at += step;
        }
        found
    }

    /// Whether an instant is an occurrence.
    pub(crate) fn names(&self, at: i64) -> bool {
        match self {
            Self::Every { step, anchor } => (at - anchor).rem_euclid(*step) == 0,
            Self::Cron { finest, seconds, minutes, hours, weekdays } => {
                let seconds_since = at.div_euclid(1_000);
                let part = |unit: i64, of: i64| {
                    usize::try_from(seconds_since.div_euclid(unit).rem_euclid(of)).unwrap_or(0)
                };
                // The first day of 1970 was a Thursday.
                let weekday = (part(86_400, 7) + 4) % 7;
                at.rem_euclid(*finest) == 0
                    && seconds[part(1, 60)]
                    && minutes[part(60, 60)]
                    && hours[part(3_600, 24)]
                    && weekdays[weekday]
            }
        }
    }
}

fn field(text: &str, size: usize) -> Option<Vec<bool>> {
    let mut chosen = vec![false; size];
    match text.split_once('/') {
        Some(("*", step)) => (0..size).step_by(step.parse().ok()?).for_each(|at| chosen[at] = true),
        Some(_) => return None,
        None if text == "*" => chosen.fill(true),
        None => *chosen.get_mut(text.parse::<usize>().ok()?)? = true,
    }
    Some(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONDAY: i64 = 1_767_571_200_000; // 2026-01-05T00:00:00Z

    #[test]
    fn a_weekly_line_names_one_minute_a_week() {
        let grid = Grid::of("cron", Some("0 9 * * 1"), None, None).unwrap();
        let week = 7 * 86_400_000;
        assert_eq!(grid.between(MONDAY - 1, MONDAY + week - 1), [MONDAY + 9 * 3_600_000]);
    }

    #[test]
    fn seconds_and_steps_are_counted() {
        let grid = Grid::of("cron", Some("*/20 * * * * *"), None, None).unwrap();
        assert_eq!(grid.between(MONDAY, MONDAY + 60_000).len(), 3);
        let grid = Grid::of("cron", Some("*/7 * * * *"), None, None).unwrap();
        assert_eq!(grid.between(MONDAY - 1, MONDAY + 3_599_999).len(), 9);
    }

    #[test]
    fn a_grid_goes_through_its_anchor_both_ways() {
        let grid = Grid::Every { step: 7_000, anchor: 100 };
        assert_eq!(grid.between(-14_000, 7_100), [-13_900, -6_900, 100, 7_100]);
    }
}
