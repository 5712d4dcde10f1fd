//! Which days an expression names, a month at a time, in bits.

use chrono::{Datelike, NaiveDate};

/// No month day, month and weekday that meet at all stay apart for longer than 40 years: a 29 February on one
/// weekday comes every 28, and after 40 across a century without a leap day.
const MOST_MONTHS: u32 = 12 * 41;
/// Bit 0 of each of five weeks.
const EACH_WEEK: u64 = 1 | 1 << 7 | 1 << 14 | 1 << 21 | 1 << 28;

/// The days of the month that the day-of-month field names. Bit n stands for day n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MonthDays {
    pub(super) plain: u64,
    pub(super) nearest_weekday: u64,
    pub(super) last: bool,
    pub(super) last_weekday: bool,
}

impl MonthDays {
    pub(super) const NONE: Self = Self { plain: 0, nearest_weekday: 0, last: false, last_weekday: false };
    pub(super) const ALL: Self = Self { plain: 0xffff_fffe, ..Self::NONE };

    fn in_month(&self, month: Month) -> u64 {
        let mut days = self.plain;
        if self.last {
            days |= bit(month.length);
        }
        if self.last_weekday {
            days |= bit(month.nearest_weekday(month.length));
        }
        if self.nearest_weekday != 0 {
            let wanted = (1..=month.length).filter(|&day| self.nearest_weekday & bit(day) != 0);
            days |= wanted.fold(0, |days, day| days | bit(month.nearest_weekday(day)));
        }
        days & month.all_days()
    }
}

/// The days of the week that the day-of-week field names. Bit 0 is Sunday.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WeekDays {
    pub(super) plain: u64,
    pub(super) last: u64,
    /// Bit 7·(k − 1) + d: the k-th weekday d of the month.
    pub(super) nth: u64,
}

impl WeekDays {
    pub(super) const NONE: Self = Self { plain: 0, last: 0, nth: 0 };
    pub(super) const ALL: Self = Self { plain: 0x7f, ..Self::NONE };

    pub(super) fn add_nth(&mut self, weekday: u32, nth: u32) {
        self.nth |= bit(7 * nth.saturating_sub(1) + weekday);
    }

    fn in_month(&self, month: Month) -> u64 {
        let mut days = (week_from(self.plain, month.starts_on) * EACH_WEEK) << 1;
        for week in 0..5 {
            days |= week_from(self.nth >> (7 * week) & 0x7f, month.starts_on) << (1 + 7 * week);
        }
        // The last seven days, of which the first has the weekday of the day after four weeks less a week.
        let last_week = month.length - 6;
        days |= week_from(self.last, (month.starts_on + last_week - 1) % 7) << last_week;
        days & month.all_days()
    }
}

/// The days that the three day fields name together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Days {
    /// Bit n stands for month n.
    pub(super) months: u64,
    pub(super) month_days: MonthDays,
    pub(super) week_days: WeekDays,
    /// Vixie's rule: a day field whose text starts with `*` restricts the other one; otherwise either may match.
    pub(super) both: bool,
}

impl Days {
    /// Whether any year has such a day: one of the fourteen kinds, by the weekday of 1 January and its length.
    pub(super) fn ever_occur(&self) -> bool {
        (0..7).any(|starts_on| self.occur_in_year(starts_on, false) || self.occur_in_year(starts_on, true))
    }

    /// Whether a year has such a day whose 1 January has the weekday `starts_on`.
    fn occur_in_year(&self, mut starts_on: u32, leap: bool) -> bool {
        for month in 1..=12 {
            let length = match month {
                2 => 28 + u32::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            if self.has_month(month) && self.in_month(Month { length, starts_on }) != 0 {
                return true;
            }
            starts_on = (starts_on + length) % 7;
        }
        false
    }

    /// The days of the month that begins on `first`; bit n stands for day n.
    pub(super) fn of_month(&self, first: NaiveDate) -> u64 {
        if self.has_month(first.month()) { self.in_month(Month::of(first)) } else { 0 }
    }

    pub(super) fn includes(&self, date: NaiveDate) -> bool {
        date.with_day(1).is_some_and(|first| self.of_month(first) & bit(date.day()) != 0)
    }

    /// The first such day from `date` on.
    pub(super) fn on_or_after(&self, date: NaiveDate) -> Option<NaiveDate> {
        let mut first = date.with_day(1)?;
        let mut days_left = u64::MAX << date.day();
        for _ in 0..MOST_MONTHS {
            let days = self.of_month(first) & days_left;
            if days != 0 {
                return first.with_day(days.trailing_zeros());
            }
            first = match self.months & (u64::MAX << (first.month() + 1)) {
                0 => NaiveDate::from_ymd_opt(first.year() + 1, self.months.trailing_zeros(), 1)?,
                later => first.with_month(later.trailing_zeros())?,
            };
            days_left = u64::MAX;
        }
        None
    }

    /// The last such day up to `date`.
    pub(super) fn on_or_before(&self, date: NaiveDate) -> Option<NaiveDate> {
        let mut first = date.with_day(1)?;
        let mut days_left = (2 << date.day()) - 1;
        for _ in 0..MOST_MONTHS {
            let days = self.of_month(first) & days_left;
            if days != 0 {
                return first.with_day(days.ilog2());
            }
            first = match self.months & (bit(first.month()) - 1) {
                0 => NaiveDate::from_ymd_opt(first.year() - 1, self.months.checked_ilog2()?, 1)?,
                earlier => first.with_month(earlier.ilog2())?,
            };
            days_left = u64::MAX;
        }
        None
    }

    fn in_month(&self, month: Month) -> u64 {
        let (of_month, of_week) = (self.month_days.in_month(month), self.week_days.in_month(month));
        if self.both { of_month & of_week } else { of_month | of_week }
    }

    fn has_month(&self, month: u32) -> bool {
        self.months & bit(month) != 0
    }
}

/// All that the days of a month depend on.
#[derive(Clone, Copy)]
struct Month {
    length: u32,
    /// The weekday of its first day; 0 is Sunday.
    starts_on: u32,
}

impl Month {
    fn of(first: NaiveDate) -> Self {
        Self {
            length: u32::from(first.num_days_in_month()),
            starts_on: first.weekday().num_days_from_sunday(),
        }
    }

    fn all_days(self) -> u64 {
        (2 << self.length) - 2
    }

    /// The Monday to Friday nearest to day `wanted`, without leaving the month.
    fn nearest_weekday(self, wanted: u32) -> u32 {
        match (self.starts_on + wanted - 1) % 7 {
            6 if wanted == 1 => 3,
            6 => wanted - 1,
            0 if wanted == self.length => wanted - 2,
            0 => wanted + 1,
            _ => wanted,
        }
    }
}

/// Weekdays as the days of a week that begins on `first`: bit 0 is that weekday.
fn week_from(weekdays: u64, first: u32) -> u64 {
    (weekdays >> first | weekdays << (7 - first)) & 0x7f
}

fn bit(value: u32) -> u64 {
    1 << value
}
