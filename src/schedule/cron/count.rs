//! How many occurrences a range has, without walking through them: days by the month, times by the day.

use chrono::{Datelike, NaiveDate};
use chrono_tz::Tz;

use super::days::Days;
use super::parse::Fields;
use super::wall::{SECONDS_OF_A_DAY, date};
use super::{Cron, made_up, shown_until};
use crate::schedule::Gap;
use crate::schedule::zone::{self, Jump};

/// A longer range than this many months (a thousand years) is not counted.
const MOST_MONTHS: u32 = 12_000;

impl Cron {
    /// The number of occurrences in (`after`, `until`], in seconds; `None` if that is a millennium or more.
    pub(in crate::schedule) fn count(&self, zone: Tz, gap: Gap, after: i64, until: i64) -> Option<u64> {
        if zone == Tz::UTC {
            return self.fields.count(after, until);
        }
        if self.fields.wild {
            self.count_wild(zone, after, until)
        } else {
            self.count_fixed(zone, gap, after, until)
        }
    }

    /// A wild job fires whenever the clock shows a match: each stretch between two changes counts by itself.
    fn count_wild(&self, zone: Tz, after: i64, until: i64) -> Option<u64> {
        let mut count = 0;
        let mut after = after;
        for change in zone::changes(zone, after, until).chain([until + 1]) {
            let offset = zone::offset_at(zone, change - 1);
            count += self.fields.count(after + offset, change - 1 + offset)?;
            after = change - 1;
        }
        Some(count)
    }

    /// A fixed job fires when the clock shows a match for the first time, and once for what a jump leaps over.
    fn count_fixed(&self, zone: Tz, gap: Gap, after: i64, until: i64) -> Option<u64> {
        let mut count = 0;
        let mut shown = shown_until(zone, after + 1) - 1;
        for change in zone::changes(zone, after, until).chain([until + 1]) {
            let local = change - 1 + zone::offset_at(zone, change - 1);
            count += self.fields.count(shown, local.max(shown))?;
            shown = shown.max(local);
            let resumes = change + zone::offset_at(zone, change);
            if change > until || resumes <= shown + 1 {
                continue;
            }
            let jump = Jump { at: change, from: local + 1, to: resumes };
            let leapt_over = self.fields.count(shown, resumes - 1)?;
            // If the first local time after the jump matches as well, it is the same occurrence.
            if made_up(gap, jump) && leapt_over > 0 && !self.matches_wall(resumes) {
                count += 1;
            }
            shown = resumes - 1;
        }
        Some(count)
    }
}

impl Fields {
    /// How many matches a clock on the wall shows in (`after`, `until`].
    fn count(&self, after: i64, until: i64) -> Option<u64> {
        if until <= after {
            return Some(0);
        }
        let (first, last) = (date(after)?, date(until)?);
        let days_before_last = self.days.count(first, last)?;
        let per_day = ones(self.seconds) * ones(self.minutes) * ones(self.hours);
        let first_counts = u64::from(self.days.includes(first));
        let last_counts = u64::from(self.days.includes(last));
        // All of the days from the first one on, less what is past on the first, and what is reached on the last.
        Some(
            days_before_last * per_day + last_counts * self.times_until(until)
                - first_counts * self.times_until(after),
        )
    }

    /// How many matching times of day there are up to that of `wall`, itself included.
    fn times_until(&self, wall: i64) -> u64 {
        let time = wall.rem_euclid(SECONDS_OF_A_DAY);
        let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
        let below = |bits: u64, value: i64| ones(bits & ((1 << value) - 1));
        let has = |bits: u64, value: i64| bits >> value & 1;
        let seconds = below(self.seconds, second) + has(self.seconds, second);
        let minutes = below(self.minutes, minute) * ones(self.seconds) + has(self.minutes, minute) * seconds;
        below(self.hours, hour) * ones(self.minutes) * ones(self.seconds) + has(self.hours, hour) * minutes
    }
}

impl Days {
    /// How many such days there are from `first` to before `end`.
    fn count(&self, first: NaiveDate, end: NaiveDate) -> Option<u64> {
        let mut month = first.with_day(1)?;
        let mut count = 0;
        for _ in 0..MOST_MONTHS {
            let mut days = self.of_month(month);
            if (month.year(), month.month()) == (first.year(), first.month()) {
                days &= u64::MAX << first.day();
            }
            if (month.year(), month.month()) == (end.year(), end.month()) {
                return Some(count + ones(days & ((1 << end.day()) - 1)));
            }
            count += ones(days);
            month = month.checked_add_months(chrono::Months::new(1))?;
        }
        None
    }
}

fn ones(bits: u64) -> u64 {
    u64::from(bits.count_ones())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is counted is what is found one by one.
    #[test]
    fn counts_agree_with_walking_in_every_kind_of_zone_and_line() {
        const LINES: [&str; 14] = [
            "* * * * *",
            "*/7 * * * *",
            "0 * * * *",
            "30 2 * * *",
            "0,15,30,45 0-5 * * *",
            "0 3 * * *",
            "30 1,2,3 * * *",
            "*/10 1-3 * * 0",
            "0 0 1,15 * 3",
            "15 2 L * *",
            "45 23 15W * 5#3",
            "0 0 29 2 *",
            "*/20 30 2 * * *",
            "5,35 */30 1-2 * * *",
        ];
        let zones = [
            "Europe/Berlin",
            "Australia/Lord_Howe",
            "Pacific/Apia",
            "Antarctica/Troll",
            "Africa/Cairo",
            "UTC",
        ];
        let mut rng = fastrand::Rng::with_seed(7);
        let mut counted = 0;
        for line in LINES {
            let cron = Cron::parse(line).unwrap();
            for zone in zones.map(|zone| zone.parse::<Tz>().unwrap()) {
                for gap in [Gap::RunAfter, Gap::Skip] {
                    for _ in 0..6 {
                        let mut after = rng.i64(1_200_000_000..2_000_000_000);
                        // Most ranges begin or end close to a change of the zone's clock.
                        if let Some(change) = zone::changes(zone, after, after + 40_000_000).next()
                            && rng.u8(0..4) > 0
                        {
                            after = change - rng.i64(0..200_000);
                        }
                        let until = after + rng.i64(0..400_000);
                        let next =
                            |after: &i64| cron.next_after(zone, gap, *after).filter(|next| *next <= until);
                        let walked = std::iter::successors(next(&after), next).count() as u64;
                        let label = format!("{line} in {zone} ({gap:?}) after {after} until {until}");
                        assert_eq!(cron.count(zone, gap, after, until), Some(walked), "{label}");
                        counted += walked;
                    }
                }
            }
        }
        assert!(counted > 100_000, "only {counted} occurrences");
    }

    #[test]
    fn a_century_of_minutes_is_counted_at_once_and_more_than_a_millennium_not_at_all() {
        let cron = Cron::parse("* * * * *").unwrap();
        let century = 36_525 * 86_400;
        assert_eq!(cron.count(Tz::UTC, Gap::RunAfter, 0, century), Some(36_525 * 1_440));
        assert_eq!(cron.count(Tz::UTC, Gap::RunAfter, 0, 8_000_000_000_000), None);
    }
}
