//! JSON as rows hold it: policies, calendars, and whatever else somebody wrote there.

use mainspring::Policies;
use mainspring::plan::CatchUp;
use mainspring::schedule::Calendar;

use crate::Verdict;
use crate::cron::instant;
use crate::dice::Dice;
use crate::errors::printable;
use crate::hostile::{self, say};

pub(crate) fn case(_: u64, dice: &mut Dice) -> Verdict {
    match dice.below(3) {
        0 => calendar(dice),
        _ => policies(dice),
    }
}

fn policies(dice: &mut Dice) -> Verdict {
    let text = match dice.below(8) {
        0 => hostile::text(dice),
        1 => {
            let good = object(dice, POLICIES, 0);
            hostile::mutated(dice, &good)
        }
        _ => object(dice, POLICIES, 0),
    };
    say(|| text.clone());
    let policies = match Policies::from_json(&text) {
        Ok(policies) => policies,
        Err(why) => return printable("the refusal", &why),
    };
    let written = policies.to_json();
    let read = Policies::from_json(&written);
    if read.as_ref() != Ok(&policies) {
        return Err(format!("{text} is read as {policies:?}, written as {written} and read as {read:?}"));
    }
    // Whatever they say, a wait is a wait.
    for attempt in [0, 1, 7, u32::MAX] {
        policies.backoff.after_attempt(attempt, 0.5);
        policies.delivery_backoff.after_attempt(attempt, 1.0);
        policies.catch_up.spread(attempt, instant(dice).into());
    }
    policies.timeout();
    policies.catch_up.window();
    policies.catch_up.pause();
    if policies.catch_up == CatchUp::default() && written.contains("catch_up") {
        return Err(format!("{written} says what is so by itself"));
    }
    Ok(())
}

fn calendar(dice: &mut Dice) -> Verdict {
    let text = match dice.below(8) {
        0 => hostile::text(dice),
        1 => {
            let good = object(dice, CALENDAR, 0);
            hostile::mutated(dice, &good)
        }
        _ => object(dice, CALENDAR, 0),
    };
    say(|| text.clone());
    let calendar: Calendar = match serde_json::from_str(&text) {
        Ok(calendar) => calendar,
        // How long serde's own words are is bounded where a row is read.
        Err(_) => return Ok(()),
    };
    let written = serde_json::to_string(&calendar).map_err(|error| format!("{calendar:?}: {error}"))?;
    let read: Result<Calendar, _> = serde_json::from_str(&written);
    if read.as_ref().ok() != Some(&calendar) {
        return Err(format!("{text} is read as {calendar:?}, written as {written} and read as {read:?}"));
    }
    for _ in 0..3 {
        calendar.excludes(instant(dice));
    }
    Ok(())
}

/// The fields of an object, each with what stands there when it is good.
type Fields = &'static [(&'static str, &'static [&'static str])];

const POLICIES: Fields = &[
    ("timeout_ms", &["0", "1", "30000", "18446744073709551615"]),
    ("grace_ms", &["0", "30000"]),
    ("max_attempts", &["1", "0", "4294967295"]),
    (
        "backoff",
        &["{}", "{\"first_ms\":1,\"factor\":1.5,\"longest_ms\":9,\"jitter\":0.3}", "{\"factor\":-1e308}"],
    ),
    ("max_delivery_attempts", &["3"]),
    ("delivery_backoff", &["{\"jitter\":0.1,\"factor\":0.30000000000000004}", "{\"factor\":1e308}"]),
    ("delivery_timeout_ms", &["300000", "1"]),
    ("deliver_within_ms", &["0", "86400000"]),
    (
        "catch_up",
        &["{}", "{\"mode\":\"skip\"}", "{\"mode\":{\"all\":3}}", "{\"within_ms\":-9223372036854775808}"],
    ),
    ("park_after_failures", &["1", "4294967295"]),
];

const CALENDAR: Fields = &[
    ("time_zone", &["\"UTC\"", "\"Europe/Berlin\"", "\"Africa/Casablanca\"", "\"Pacific/Apia\""]),
    ("dates", &["[\"2026-12-24\"]", "[\"-262143-01-01\",\"+262142-12-31\"]", "[\"2026-02-29\"]"]),
    ("every_year", &["[\"02-29\"]", "[\"12-25\",\"1-1\"]", "[\"-\"]", "[\"+2-+3\"]"]),
    ("weekdays", &["[\"Sun\"]", "[\"monday\",\"TUE\"]", "[\"Mo\"]"]),
    (
        "times",
        &[
            "[[\"22:00:00\",\"06:00:00\"]]",
            "[[\"23:59:60\",\"00:00:00.5\"]]",
            "[[\"00:00:00\",\"00:00:00\"]]",
        ],
    ),
];

/// An object with some of the fields, now and then one that is no field, or a value that does not belong there.
fn object(dice: &mut Dice, fields: Fields, least: usize) -> String {
    let count = least + dice.below(5);
    let mut members: Vec<String> = Vec::new();
    for n in 0..count {
        // A calendar without its zone is none: the first field comes first.
        let (name, good) = if n == 0 { fields[0] } else { *dice.pick(fields) };
        let value = match dice.below(8) {
            0 => scalar(dice),
            1 => hostile::number(dice).to_string(),
            _ => (*dice.pick(good)).to_owned(),
        };
        let name = if dice.once_in(30) { hostile::mutated(dice, name) } else { name.to_owned() };
        members.push(format!("{}:{value}", serde_json::Value::from(name)));
    }
    format!("{{{}}}", members.join(","))
}

fn scalar(dice: &mut Dice) -> String {
    match dice.below(4) {
        0 => serde_json::Value::from(hostile::text(dice)).to_string(),
        1 => (*dice.pick(&["null", "true", "1e308", "-0.0", "5e-324", "0.1", "1.7976931348623157e308"]))
            .to_owned(),
        2 => hostile::nested(dice),
        _ => f64::from_bits(dice.word()).to_string(),
    }
}
