//! Schedules from their builders and from the columns of a row, with every number at its worst.

use std::time::Duration;

use chrono::Utc;
use mainspring::schedule::{Gap, StoredSchedule};
use mainspring::{Schedule, Timestamp};

use crate::Verdict;
use crate::cron::{instant, neighbours, same_when_stored, zone};
use crate::dice::Dice;
use crate::errors::printable;
use crate::hostile::{self, say};

pub(crate) fn case(_: u64, dice: &mut Dice) -> Verdict {
    if dice.once_in(2) { built(dice) } else { stored(dice) }
}

/// A schedule as a program makes it.
fn built(dice: &mut Dice) -> Verdict {
    let schedule = match rule(dice) {
        Ok(schedule) => schedule,
        Err(refused) => return printable("the refusal", &refused),
    };
    let schedule = bounded(schedule, dice);
    say(|| format!("{schedule:?}"));
    same_when_stored(&schedule)?;
    examined(&schedule, dice)
}

fn rule(dice: &mut Dice) -> Result<Schedule, mainspring::ScheduleError> {
    match dice.below(6) {
        0 => Schedule::every(duration(dice)),
        1 => Schedule::every(duration(dice))
            .map(|every| every.anchored_at(Timestamp::from_millis(hostile::number(dice)))),
        2 => Schedule::after_each(duration(dice)),
        3 => Ok(Schedule::after(duration(dice))),
        4 => Ok(Schedule::at(Timestamp::from_millis(hostile::number(dice)))),
        _ => Schedule::at_local(local_time(dice), zone(dice)),
    }
}

fn local_time(dice: &mut Dice) -> String {
    let good = [
        "2026-03-29 02:30",
        "2026-10-25T02:30:15.250",
        "2011-12-30 12:00",
        "0001-01-01 00:00",
        "9999-12-31 23:59:60",
    ];
    let good = (*dice.pick(&good)).to_owned();
    match dice.below(4) {
        0 => good,
        1 => hostile::text(dice),
        2 => instant(dice).format("%Y-%m-%d %H:%M").to_string(),
        _ => hostile::mutated(dice, &good),
    }
}

fn bounded(mut schedule: Schedule, dice: &mut Dice) -> Schedule {
    let at = |dice: &mut Dice| Timestamp::from_millis(hostile::number(dice));
    if dice.once_in(3) {
        schedule = schedule.starting_at(at(dice));
    }
    if dice.once_in(3) {
        schedule = schedule.ending_at(at(dice));
    }
    if dice.once_in(4) {
        schedule = schedule.max_runs(hostile::number(dice) as u32);
    }
    if dice.once_in(4) {
        schedule = schedule.jitter(duration(dice));
    }
    if dice.once_in(8) {
        schedule = schedule.excluding(hostile::text(dice));
    }
    schedule
}

pub(crate) fn duration(dice: &mut Dice) -> Duration {
    match dice.below(6) {
        0 => Duration::MAX,
        1 => Duration::ZERO,
        2 => Duration::from_nanos(dice.word()),
        3 => Duration::from_millis(hostile::number(dice).unsigned_abs()),
        _ => Duration::from_millis(dice.within(1..=1_000_000_000).unsigned_abs()),
    }
}

/// A schedule as somebody has written it into a row.
fn stored(dice: &mut Dice) -> Verdict {
    let row = row(dice);
    say(|| format!("{row:?}"));
    let schedule = match Schedule::from_stored(&row) {
        Ok(schedule) => schedule,
        Err(refused) => return printable("the refusal", &refused),
    };
    // What was read once is read again, whatever the row held besides.
    let written = schedule.to_stored();
    let read = Schedule::from_stored(&written);
    if read.as_ref() != Ok(&schedule) {
        return Err(format!(
            "{row:?} is read as {schedule:?}, which is written as {written:?} and read as {read:?}"
        ));
    }
    examined(&schedule, dice)
}

fn row(dice: &mut Dice) -> StoredSchedule {
    let number = |dice: &mut Dice| (!dice.once_in(3)).then(|| hostile::number(dice));
    let kind = *dice.pick(&["at", "every", "after_each", "cron"]);
    let text = match kind {
        "cron" => {
            (*dice.pick(&["0 8 * * *", "*/7 * * * *", "0 0 29 2 *", "30 2 * * sun", "@hourly"])).to_owned()
        }
        _ => (*dice.pick(&["", "in 5m", "in 0ms", "every 1h", "2026-03-29 08:00"])).to_owned(),
    };
    let zone = if dice.once_in(2) { Some(zone(dice).name().to_owned()) } else { None };
    let mut row = StoredSchedule {
        kind: kind.to_owned(),
        text,
        time_zone: zone,
        at_ms: number(dice),
        every_ms: number(dice),
        anchor_ms: number(dice),
        gap: Some((*dice.pick(&["run_after", "skip"])).to_owned()),
        starts_at_ms: number(dice),
        ends_at_ms: number(dice),
        max_runs: number(dice),
        jitter_ms: number(dice),
        calendar: None,
    };
    for _ in 0..dice.below(3) {
        let odd = if dice.once_in(2) { hostile::text(dice) } else { hostile::mutated(dice, &row.text) };
        match dice.below(5) {
            0 => row.kind = odd,
            1 => row.text = odd,
            2 => row.time_zone = Some(odd),
            3 => row.gap = Some(odd),
            _ => row.calendar = Some(odd),
        }
    }
    row
}

/// Everything that can be asked of a schedule.
fn examined(schedule: &Schedule, dice: &mut Dice) -> Verdict {
    if schedule.to_string().is_empty() && schedule.kind() != mainspring::schedule::ScheduleKind::At {
        return Err(format!("{schedule:?} shows nothing"));
    }
    if schedule.explain().is_empty() {
        return Err(format!("{schedule:?}: no words for it"));
    }
    let now = Timestamp::from(instant(dice));
    if let Err(refused) = schedule.check(now) {
        printable("the refusal", &refused)?;
    }
    let fixed = schedule.clone().anchored_or(now);
    if !schedule.same_declaration(&fixed) {
        return Err(format!("{schedule:?} is another one once it is stored: {fixed:?}"));
    }
    same_when_stored(&fixed)?;
    if schedule.clone().on_gap(Gap::Skip).in_tz(zone(dice)).kind() != schedule.kind() {
        return Err(format!("{schedule:?} became one of another kind"));
    }
    for after in
        [now.to_datetime(), instant(dice), chrono::DateTime::<Utc>::MIN_UTC, chrono::DateTime::<Utc>::MAX_UTC]
    {
        neighbours(&fixed, after)?;
        fixed.previous_before(after);
        schedule.next_after(after);
    }
    let walked: Vec<_> = fixed.upcoming(instant(dice)).take(3).collect();
    if !walked.is_sorted_by(|a, b| a < b) {
        return Err(format!("{fixed:?} goes back: {walked:?}"));
    }
    Ok(())
}
