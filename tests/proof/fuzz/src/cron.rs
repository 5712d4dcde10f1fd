//! Cron lines: good ones, nearly good ones and none at all.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use mainspring::schedule::Gap;
use mainspring::{Schedule, ScheduleError};

use crate::Verdict;
use crate::dice::Dice;
use crate::errors::printable;
use crate::hostile::{self, say};

/// The lines on which the known parsers were compared.
static KNOWN: LazyLock<Vec<String>> = LazyLock::new(|| {
    #[derive(serde::Deserialize)]
    struct Row {
        expr: String,
    }
    let rows = include_str!("../../../data/time/cron_parse.jsonl").lines();
    rows.map(|row| serde_json::from_str::<Row>(row).expect("the vectors are JSON").expr).collect()
});

pub(crate) fn case(_: u64, dice: &mut Dice) -> Verdict {
    let line = line(dice);
    say(|| format!("{line:?}"));
    match Schedule::cron(&line) {
        Ok(schedule) => accepted(&line, schedule, dice),
        Err(error) => refused(&line, &error),
    }
}

fn refused(line: &str, error: &ScheduleError) -> Verdict {
    let is_of_cron = matches!(
        error,
        ScheduleError::FieldCount { .. }
            | ScheduleError::Field { .. }
            | ScheduleError::Macro { .. }
            | ScheduleError::NeverFires { .. }
    );
    if !is_of_cron {
        return Err(format!("{line:?}: an error of another kind: {error:?}"));
    }
    printable("the refusal", error)
}

fn accepted(line: &str, schedule: Schedule, dice: &mut Dice) -> Verdict {
    let shown = schedule.to_string();
    let again = Schedule::cron(&shown).map_err(|error| format!("{line:?} is shown as {shown:?}: {error}"))?;
    if again != schedule || again.to_string() != shown {
        return Err(format!("{line:?} is shown as {shown:?}, which is {again:?} and not {schedule:?}"));
    }
    let zone = zone(dice);
    let gap = *dice.pick(&[Gap::RunAfter, Gap::Skip]);
    let schedule = schedule.in_tz(zone).on_gap(gap);
    same_when_stored(&schedule)?;
    if schedule.explain().is_empty() {
        return Err(format!("{line:?}: no words for it"));
    }
    neighbours(&schedule, instant(dice))?;
    if gap == Gap::RunAfter {
        // A line that is taken has an occurrence, whenever one begins: the rarest comes every forty years.
        let begin =
            DateTime::<Utc>::from_timestamp_millis(dice.within(0..=4_000_000_000_000)).expect("an instant");
        if schedule.next_after(begin).is_none() {
            return Err(format!("{line:?} in {zone} has no occurrence after {begin}"));
        }
    }
    Ok(())
}

/// What is stored is what is read.
pub(crate) fn same_when_stored(schedule: &Schedule) -> Verdict {
    let stored = schedule.to_stored();
    let read =
        Schedule::from_stored(&stored).map_err(|error| format!("{stored:?} cannot be read: {error}"))?;
    if read != *schedule || read.to_stored() != stored {
        return Err(format!("{stored:?} is read as {read:?}, and was {schedule:?}"));
    }
    Ok(())
}

/// The next occurrence is after, the one before it is not; and there is none between.
pub(crate) fn neighbours(schedule: &Schedule, after: DateTime<Utc>) -> Verdict {
    let Some(next) = schedule.next_after(after) else { return Ok(()) };
    if next <= after {
        return Err(format!("{schedule}: the next after {after} is {next}"));
    }
    let Some(before) = schedule.previous_before(next) else { return Ok(()) };
    if before > after {
        return Err(format!("{schedule}: {before} was left out between {after} and {next}"));
    }
    if schedule.next_after(before) != Some(next) {
        let found = schedule.next_after(before);
        return Err(format!("{schedule}: the next after {before} is {next}, and then {found:?}"));
    }
    for preview in schedule.preview(after, 2) {
        printable_change(&preview)?;
    }
    Ok(())
}

fn printable_change(preview: &mainspring::schedule::Preview) -> Verdict {
    match &preview.clock_change {
        Some(change) => printable("a change of clocks", change),
        None => Ok(()),
    }
}

pub(crate) fn zone(dice: &mut Dice) -> Tz {
    if dice.once_in(3) { Tz::UTC } else { *dice.pick(&TZ_VARIANTS) }
}

/// Mostly from the years that people live in.
pub(crate) fn instant(dice: &mut Dice) -> DateTime<Utc> {
    let ms = match dice.below(10) {
        0 => hostile::number(dice),
        _ => dice.within(0..=4_000_000_000_000),
    };
    mainspring::Timestamp::from_millis(ms).to_datetime()
}

fn line(dice: &mut Dice) -> String {
    match dice.below(20) {
        0 => hostile::text(dice),
        1 => String::from_utf8_lossy(&hostile::bytes(dice)).into_owned(),
        2 | 3 => dice.pick(&KNOWN).clone(),
        4..=6 => {
            let known = dice.pick(&KNOWN).clone();
            hostile::mutated(dice, &known)
        }
        7 | 8 => {
            let good = grammar(dice);
            hostile::mutated(dice, &good)
        }
        _ => grammar(dice),
    }
}

/// A line by the grammar, with values that may lie outside of their ranges.
fn grammar(dice: &mut Dice) -> String {
    if dice.once_in(40) {
        let word = *dice
            .pick(&["hourly", "daily", "midnight", "weekly", "monthly", "yearly", "annually", "reboot", ""]);
        return format!("@{word}");
    }
    let mut fields: Vec<String> = Vec::new();
    if dice.once_in(4) {
        fields.push(field(dice, 0, 59, &[], &[]));
    }
    fields.push(field(dice, 0, 59, &[], &[]));
    fields.push(field(dice, 0, 23, &[], &[]));
    fields.push(field(dice, 1, 31, &[], &["L", "LW", "15W", "1W", "31W", "?", "L-3", "W"]));
    fields.push(field(dice, 1, 12, &["jan", "FEB", "Mar", "dec"], &[]));
    fields.push(field(
        dice,
        0,
        7,
        &["sun", "MON", "Fri", "sat"],
        &["1#1", "5#5", "7L", "0L", "?", "L", "3#6"],
    ));
    fields.join(*dice.pick(&[" ", " ", " ", "  ", "\t"]))
}

fn field(dice: &mut Dice, least: i64, most: i64, names: &[&str], odd: &[&str]) -> String {
    if dice.once_in(3) {
        return "*".to_owned();
    }
    let items: Vec<String> = (0..=dice.below(3)).map(|_| item(dice, least, most, names, odd)).collect();
    items.join(",")
}

fn item(dice: &mut Dice, least: i64, most: i64, names: &[&str], odd: &[&str]) -> String {
    let (from, to) = (value(dice, least, most, names), value(dice, least, most, names));
    match dice.below(9) {
        0 | 1 => from,
        2 => format!("{from}-{to}"),
        3 => format!("{from}-{to}/{}", value(dice, 1, most, &[])),
        4 => format!("*/{}", value(dice, 1, most, &[])),
        5 => format!("{from}/{}", value(dice, 1, most, &[])),
        6 if !odd.is_empty() => (*dice.pick(odd)).to_owned(),
        _ => dice.within(least..=most).to_string(),
    }
}

fn value(dice: &mut Dice, least: i64, most: i64, names: &[&str]) -> String {
    match dice.below(12) {
        0 => dice.within(least - 1..=most + 1).to_string(),
        1 => hostile::number(dice).to_string(),
        2 if !names.is_empty() => (*dice.pick(names)).to_owned(),
        _ => dice.within(least..=most).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that are all refused, or all taken, would try half of the parser.
    #[test]
    fn some_lines_are_taken_and_some_are_not() {
        let taken =
            (0..2_000).filter(|n| Schedule::cron(&line(&mut Dice::of(1, "cron", *n))).is_ok()).count();
        assert!((400..1_600).contains(&taken), "{taken} of 2000");
    }
}
