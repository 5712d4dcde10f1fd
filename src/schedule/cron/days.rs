//! Which days an expression names, as bits and arithmetic: what the wall-clock engine cannot say.

use chrono::{Datelike, Days as Add, NaiveDate, Weekday};

/// No pair of month day, month and weekday stays away for longer: 29 February on one weekday comes every
/// 28 years, and 40 across a century without a leap day.
pub(super) const LONGEST_WAIT_YEARS: i32 = 41;

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

    /// Whether only plain day numbers are named.
    fn is_plain(&self) -> bool {
        self.nearest_weekday == 0 && !self.last && !self.last_weekday
    }

    fn includes(&self, date: NaiveDate) -> bool {
        let day = date.day();
        if self.plain & bit(day) != 0 {
            return true;
        }
        if self.is_plain() {
            return false;
        }
        let length = u32::from(date.num_days_in_month());
        (self.last && day == length)
            || (self.last_weekday && day == nearest_weekday(date, length, length))
            || (1..=length).any(|wanted| {
                self.nearest_weekday & bit(wanted) != 0 && day == nearest_weekday(date, wanted, length)
            })
    }
}

/// The Monday to Friday nearest to day `wanted` in the month of `date`, without leaving that month.
fn nearest_weekday(date: NaiveDate, wanted: u32, length: u32) -> u32 {
    match date.with_day(wanted).map(|day| day.weekday()) {
        Some(Weekday::Sat) if wanted == 1 => 3,
        Some(Weekday::Sat) => wanted - 1,
        Some(Weekday::Sun) if wanted == length => wanted - 2,
        Some(Weekday::Sun) => wanted + 1,
        _ => wanted,
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

    fn is_plain(&self) -> bool {
        self.last == 0 && self.nth == 0
    }

    fn includes(&self, date: NaiveDate) -> bool {
        let weekday = date.weekday().num_days_from_sunday();
        if self.plain & bit(weekday) != 0 {
            return true;
        }
        if self.is_plain() {
            return false;
        }
        let is_last = date.day() + 7 > u32::from(date.num_days_in_month());
        (is_last && self.last & bit(weekday) != 0)
            || self.nth & bit(7 * ((date.day() - 1) / 7) + weekday) != 0
    }
}

/// Days that match a month, a day of the month and a day of the week at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Days {
    /// Bit n stands for month n.
    pub(super) months: u64,
    pub(super) month_days: MonthDays,
    pub(super) week_days: WeekDays,
}

impl Days {
    /// Whether plain numbers say it all, so that the wall-clock engine can find the days by itself.
    pub(super) fn is_plain(&self) -> bool {
        self.month_days.is_plain() && self.week_days.is_plain()
    }

    pub(super) fn includes(&self, date: NaiveDate) -> bool {
        self.has_month(date.month()) && self.month_days.includes(date) && self.week_days.includes(date)
    }

    /// The first such day from `date` on.
    pub(super) fn on_or_after(&self, mut date: NaiveDate) -> Option<NaiveDate> {
        let last_year = date.year().saturating_add(LONGEST_WAIT_YEARS);
        while date.year() <= last_year {
            if !self.has_month(date.month()) {
                date = first_of_next_month(date)?;
            } else if self.includes(date) {
                return Some(date);
            } else {
                date = date.succ_opt()?;
            }
        }
        None
    }

    /// The last such day up to `date`.
    pub(super) fn on_or_before(&self, mut date: NaiveDate) -> Option<NaiveDate> {
        let first_year = date.year().saturating_sub(LONGEST_WAIT_YEARS);
        while date.year() >= first_year {
            if !self.has_month(date.month()) {
                date = date.checked_sub_days(Add::new(u64::from(date.day())))?;
            } else if self.includes(date) {
                return Some(date);
            } else {
                date = date.pred_opt()?;
            }
        }
        None
    }

    fn has_month(&self, month: u32) -> bool {
        self.months & bit(month) != 0
    }
}

fn first_of_next_month(date: NaiveDate) -> Option<NaiveDate> {
    date.with_day(1)?.checked_add_months(chrono::Months::new(1))
}

fn bit(value: u32) -> u64 {
    1 << value
}
