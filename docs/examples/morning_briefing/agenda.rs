//! The agenda: a page of entries by weekday, and the briefing that is made of it.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Weekday};
use chrono_tz::Tz;

/// What is on from Monday to Sunday, and in which time zone.
#[derive(Debug)]
pub struct Agenda {
    pub zone: Tz,
    /// By the number of the day, Monday first.
    days: BTreeMap<u32, Vec<Entry>>,
}

/// One entry of a day.
#[derive(Debug)]
pub struct Entry {
    pub from: NaiveTime,
    pub to: NaiveTime,
    pub what: String,
}

/// Why a page is no agenda.
#[derive(Debug, thiserror::Error)]
pub enum AgendaError {
    #[error("the agenda {path:?} cannot be read: {why}")]
    Unreadable { path: String, why: std::io::Error },
    #[error("line {line} of the agenda, {text:?}: {why}")]
    Malformed { line: usize, text: String, why: &'static str },
    #[error("the agenda has no line \"Zone: <Area/City>\"")]
    NoZone,
    #[error("the agenda has no entry: write some, such as \"* 09:00-09:15 Stand-up\" under \"## Monday\"")]
    Empty,
}

impl Agenda {
    /// Reads and parses a page; blocks.
    pub fn read(path: &Path) -> Result<Self, AgendaError> {
        let unreadable = |why| AgendaError::Unreadable { path: path.display().to_string(), why };
        Self::parse(&std::fs::read_to_string(path).map_err(unreadable)?)
    }

    /// Parses a page: a line `Zone: …`, headings `## <weekday>`, and below them entries `* <from>-<to> <what>`.
    /// Everything else is text for its readers.
    pub fn parse(page: &str) -> Result<Self, AgendaError> {
        let mut zone = None;
        let mut days = BTreeMap::<u32, Vec<Entry>>::new();
        let mut day = None;
        for (index, text) in page.lines().enumerate() {
            let malformed = |why| AgendaError::Malformed { line: index + 1, text: text.to_owned(), why };
            if let Some(name) = text.strip_prefix("Zone:") {
                let known = name.trim().parse::<Tz>();
                zone = Some(known.map_err(|_| malformed("is no time zone such as Europe/Berlin"))?);
            } else if let Some(heading) = text.strip_prefix("## ") {
                let weekday = heading.trim().parse::<Weekday>();
                day = Some(weekday.map_err(|_| malformed("is no day of the week"))?);
            } else if let Some(entry) = text.strip_prefix("* ") {
                let day: Weekday = day.ok_or_else(|| malformed("stands before the first day"))?;
                let entry = Entry::parse(entry).map_err(malformed)?;
                days.entry(day.num_days_from_monday()).or_default().push(entry);
            }
        }
        if days.is_empty() {
            return Err(AgendaError::Empty);
        }
        for entries in days.values_mut() {
            entries.sort_by_key(|entry| entry.from);
        }
        Ok(Self { zone: zone.ok_or(AgendaError::NoZone)?, days })
    }

    /// The entries of a day of the week, by their beginning.
    pub fn of(&self, day: Weekday) -> &[Entry] {
        self.days.get(&day.num_days_from_monday()).map_or(&[], Vec::as_slice)
    }

    /// The first day from `date` on that has an entry.
    fn next_day(&self, date: NaiveDate) -> NaiveDate {
        let mut week = (0..7).filter_map(|days| date.checked_add_days(Days::new(days)));
        week.find(|date| !self.of(date.weekday()).is_empty()).unwrap_or(date)
    }

    /// The first entry of a day that begins after `now`, with the time at which it does.
    pub fn first_entry_after(&self, now: NaiveDateTime) -> Option<(NaiveDateTime, &Entry)> {
        let days = (0..8).filter_map(|days| now.date().checked_add_days(Days::new(days)));
        let mut firsts = days.filter_map(|date| {
            let first = self.of(date.weekday()).first()?;
            Some((date.and_time(first.from), first))
        });
        firsts.find(|(begins, _)| *begins > now)
    }

    /// The briefing for a day; on a day without entries, for the next one that has some.
    pub fn briefing(&self, date: NaiveDate) -> String {
        let day = self.next_day(date);
        let entries = self.of(day.weekday());
        let mut lines = vec![format!("{}: {}.", day.format("%A, %-d %B"), tally(entries))];
        if day != date {
            lines.insert(0, format!("Nothing on {}.", date.format("%A")));
        }
        lines.extend(entries.iter().map(|Entry { from, to, what }| format!("{} {what}", span(*from, *to))));
        if let Some((from, to)) = longest_gap(entries) {
            lines.push(format!("The longest break: {}.", span(from, to)));
        }
        format!("Good morning. {}", lines.join("\n"))
    }
}

impl Entry {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (times, what) = text.trim().split_once(' ').ok_or("has no text after its times")?;
        let (from, to) = times.split_once('-').ok_or("has no times such as 09:00-09:15")?;
        let time = |text| NaiveTime::parse_from_str(text, "%H:%M").map_err(|_| "has a time that is none");
        let entry = Self { from: time(from)?, to: time(to)?, what: what.trim().to_owned() };
        if entry.to > entry.from { Ok(entry) } else { Err("ends before it has begun") }
    }
}

/// How many entries and how long they take together: "3 entries, 2 h 15 min".
pub fn tally(entries: &[Entry]) -> String {
    let total: TimeDelta = entries.iter().map(|entry| entry.to - entry.from).sum();
    let (hours, minutes) = (total.num_hours(), total.num_minutes() % 60);
    let count = entries.len();
    let noun = if count == 1 { "entry" } else { "entries" };
    match (hours, minutes) {
        (0, minutes) => format!("{count} {noun}, {minutes} min"),
        (hours, 0) => format!("{count} {noun}, {hours} h"),
        (hours, minutes) => format!("{count} {noun}, {hours} h {minutes} min"),
    }
}

/// The longest time between two entries in which nothing is on.
fn longest_gap(entries: &[Entry]) -> Option<(NaiveTime, NaiveTime)> {
    let mut busy_until = entries.first()?.to;
    let mut longest: Option<(NaiveTime, NaiveTime)> = None;
    for entry in entries {
        let gap = entry.from - busy_until;
        if gap > longest.map_or(TimeDelta::zero(), |(from, to)| to - from) {
            longest = Some((busy_until, entry.from));
        }
        busy_until = busy_until.max(entry.to);
    }
    longest
}

fn span(from: NaiveTime, to: NaiveTime) -> String {
    format!("{}-{}", from.format("%H:%M"), to.format("%H:%M"))
}
