//! What schedules answer, refuse, show and store, one fact a test.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where it is wrong"
)]

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc, Weekday};
use chrono_tz::{Europe::Berlin, Tz};
use mainspring::schedule::{Calendar, ClockChange, Gap, Grid, ScheduleKind, StoredSchedule};
use mainspring::{Schedule, ScheduleError, Timestamp};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn cron(line: &str) -> Schedule {
    Schedule::cron(line).unwrap()
}

/// The first `n` occurrences as the zone's clock shows them.
fn local(schedule: &Schedule, from: &str, n: usize) -> Vec<String> {
    schedule
        .upcoming(utc(from))
        .take(n)
        .map(|at| at.with_timezone(&schedule.time_zone()).format("%m-%d %H:%M %:z").to_string())
        .collect()
}

#[test]
fn d1_10_next_is_strictly_later_and_previous_strictly_earlier_at_any_part_of_a_second() {
    let each_second = cron("* * * * * *");
    for (now, next, previous) in [
        ("10:00:00", "10:00:01", "09:59:59"),
        ("10:00:00.500", "10:00:01", "10:00:00"),
        ("10:00:00.999999999", "10:00:01", "10:00:00"),
        ("10:00:00.000000001", "10:00:01", "10:00:00"),
    ] {
        let day = |time: &str| utc(&format!("2026-03-10T{time}Z"));
        assert_eq!(each_second.next_after(day(now)), Some(day(next)), "after {now}");
        assert_eq!(each_second.previous_before(day(now)), Some(day(previous)), "before {now}");
    }
}

#[test]
fn d1_12_next_and_previous_enclose_every_instant_without_a_gap() {
    let mut rng = fastrand::Rng::with_seed(3);
    let zones = chrono_tz::TZ_VARIANTS;
    for _ in 0..10_000 {
        let line =
            format!("{} {} * * {}", rng.u32(0..60), rng.u32(0..24), ["*", "1-5", "0"][rng.usize(0..3)]);
        let schedule = cron(&line).in_tz(zones[rng.usize(0..zones.len())]);
        let now = DateTime::from_timestamp_millis(rng.i64(0..4_000_000_000_000)).unwrap();
        let (next, previous) = (schedule.next_after(now).unwrap(), schedule.previous_before(now));
        assert!(now < next, "{line} at {now}");
        let Some(previous) = previous else { continue };
        assert!(previous < now);
        // Nothing lies between: from the one, the other is the next, but for `now` itself.
        let after = schedule.next_after(previous).unwrap();
        assert!(after == next || after == now, "{line} at {now}: {previous}, {after}, {next}");
    }
}

#[test]
fn d1_14_what_can_never_fire_is_refused_and_a_leap_day_is_not() {
    for line in
        ["0 0 30 2 *", "0 0 31 4 *", "0 0 31 2,4,6,9,11 *", "0 0 31W 2 *", "0 0 30 2 */2", "0 0 */31 2 */7#"]
    {
        assert!(Schedule::cron(line).is_err(), "{line}");
    }
    assert!(matches!(Schedule::cron("0 0 30 2 *"), Err(ScheduleError::NeverFires { .. })));
    let leap_day = cron("0 0 29 2 *");
    assert_eq!(leap_day.next_after(utc("2026-03-10T00:00:00Z")), Some(utc("2028-02-29T00:00:00Z")));
    // Over a century without one.
    assert_eq!(leap_day.next_after(utc("2096-03-01T00:00:00Z")), Some(utc("2104-02-29T00:00:00Z")));
    // A 29 February on a Sunday waits for 2032, and from there to 2060.
    assert_eq!(local(&cron("0 0 29 2 */7"), "2026-01-01T00:00:00Z", 2), ["02-29 00:00 +00:00"; 2]);
    // Either day: the month day never comes, the Mondays of February do.
    assert!(Schedule::cron("0 0 30 2 1").is_ok());
}

#[test]
fn d1_16_garbage_in_a_row_is_an_error_that_names_its_column() {
    let good = cron("0 8 * * *").in_tz(Berlin).to_stored();
    type Change = fn(&mut StoredSchedule);
    let cases: [(Change, &str); 12] = [
        (|row| row.kind = "never".into(), "column \"schedule_kind\" holds \"never\""),
        (|row| row.kind = String::new(), "column \"schedule_kind\" holds \"\""),
        (|row| row.text = "garbage".into(), "\"garbage\" has 1 fields"),
        (|row| row.text = "\0\u{7f}\u{2028} ' OR 1=1".into(), "cron expression"),
        (|row| row.time_zone = Some("Mars/Olympus".into()), "unknown time zone \"Mars/Olympus\""),
        (|row| row.gap = Some("fall in".into()), "column \"gap\" holds \"fall in\""),
        (|row| row.max_runs = Some(-1), "column \"max_runs\" holds \"-1\""),
        (|row| row.jitter_ms = Some(-5), "column \"jitter_ms\" holds \"-5\""),
        (|row| row.starts_at_ms = Some(i64::MAX), "column \"starts_at_ms\""),
        (|row| row.kind = "every".into(), "column \"every_ms\" holds \"\""),
        (
            |row| {
                row.kind = "every".into();
                row.every_ms = Some(0);
            },
            "column \"every_ms\" holds \"0\"",
        ),
        (|row| row.kind = "at".into(), "column \"at_ms\" holds \"\""),
    ];
    for (change, expected) in cases {
        let mut row = good.clone();
        change(&mut row);
        let error = Schedule::from_stored(&row).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn d10_4_clock_changes_follow_the_rule_of_vixies_cron() {
    let oslo = |line| cron(line).in_tz("Europe/Oslo".parse().unwrap());
    let spring = "2026-03-28T12:00:00Z";
    assert_eq!(local(&oslo("30 2 * * *"), spring, 2), ["03-29 03:00 +02:00", "03-30 02:30 +02:00"]);
    assert_eq!(local(&oslo("30 2 * * *").on_gap(Gap::Skip), spring, 1), ["03-30 02:30 +02:00"]);
    assert_eq!(local(&oslo("0,30 2 * * *"), spring, 2), ["03-29 03:00 +02:00", "03-30 02:00 +02:00"]);
    assert_eq!(local(&oslo("*/30 2 * * *"), spring, 1), ["03-30 02:00 +02:00"]);
    let autumn = "2026-10-25T00:15:00Z";
    assert_eq!(local(&oslo("30 2 * * *"), autumn, 2), ["10-25 02:30 +02:00", "10-26 02:30 +01:00"]);
    assert_eq!(
        local(&oslo("*/30 2 * * *"), autumn, 3),
        ["10-25 02:30 +02:00", "10-25 02:00 +01:00", "10-25 02:30 +01:00"]
    );
    // Half an hour, at Lord Howe.
    let lord_howe = |line| cron(line).in_tz("Australia/Lord_Howe".parse().unwrap());
    assert_eq!(local(&lord_howe("15 2 * * *"), "2026-10-03T14:00:00Z", 1), ["10-04 02:30 +11:00"]);
    assert_eq!(
        local(&lord_howe("45 1 * * *"), "2026-04-04T14:00:00Z", 2),
        ["04-05 01:45 +11:00", "04-06 01:45 +10:30"]
    );
    // A whole day, at Apia: what was leapt over is not made up for.
    let apia = cron("0 12 * * *").in_tz("Pacific/Apia".parse().unwrap());
    assert_eq!(local(&apia, "2011-12-29T23:00:00Z", 1), ["12-31 12:00 +14:00"]);
}

#[test]
fn d10_5_the_zone_is_utc_unless_said_and_stored_in_any_case() {
    assert_eq!(cron("0 8 * * *").to_stored().time_zone.as_deref(), Some("UTC"));
    assert_eq!(cron("0 8 * * *").in_tz(Berlin).to_stored().time_zone.as_deref(), Some("Europe/Berlin"));
    assert_eq!(cron("0 8 * * *").next_after(utc("2026-07-01T00:00:00Z")), Some(utc("2026-07-01T08:00:00Z")));
}

#[test]
fn d10_6_a_one_shot_in_the_past_is_refused_beyond_a_minute() {
    let now = Timestamp::from(utc("2026-03-10T12:00:00Z"));
    let late = |duration| Schedule::at(now.minus(duration)).check(now);
    assert_eq!(late(Duration::ZERO), Ok(()));
    assert_eq!(late(MINUTE), Ok(()));
    let error = late(MINUTE + Duration::from_millis(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "2026-03-10T11:58:59.999Z is in the past by 1m1ms: a one-shot may be a minute late when it is made, \
         unless that is allowed"
    );
    assert_eq!(Schedule::at(now.plus(HOUR)).check(now), Ok(()));
    assert_eq!(Schedule::after(Duration::ZERO).check(now), Ok(()));
    assert!(Schedule::at_local("1969-07-20 20:17", Tz::UTC).unwrap().check(now).is_err());
    let over = cron("0 8 * * *").ending_at(now).check(now).unwrap_err().to_string();
    assert!(
        over.starts_with("schedule \"0 8 * * *\" has no occurrence after 2026-03-10T12:00:00.000Z"),
        "{over}"
    );
    assert_eq!(Schedule::every(HOUR).unwrap().check(now), Ok(()));
}

#[test]
fn d10_7_two_restricted_day_fields_are_either_and_a_star_makes_them_both() {
    let days = |line: &str| {
        let preview = cron(line).preview(utc("2026-01-31T12:00:00Z"), 5);
        preview.iter().map(|next| next.local.format("%a %d").to_string()).collect::<Vec<_>>()
    };
    // February 2026 begins on a Sunday.
    assert_eq!(days("0 0 13 * 5"), ["Fri 06", "Fri 13", "Fri 20", "Fri 27", "Fri 06"]);
    assert_eq!(days("0 0 1,15 * 3"), ["Sun 01", "Wed 04", "Wed 11", "Sun 15", "Wed 18"]);
    assert_eq!(days("0 0 */2 * 1"), ["Mon 09", "Mon 23", "Mon 09", "Mon 23", "Mon 13"]);
    assert_eq!(days("0 0 1-7 * */7"), ["Sun 01", "Sun 01", "Sun 05", "Sun 03", "Sun 07"]);
    assert_eq!(days("0 0 ? * 1"), ["Mon 02", "Mon 09", "Mon 16", "Mon 23", "Mon 02"]);
    assert_eq!(cron("0 0 13 * 5").explain(), "at 00:00 on day 13 of the month or on Friday, UTC");
    assert_eq!(
        cron("0 0 */2 * 1").explain(),
        "at 00:00 on each 2nd day from day 1 on of the month where it is Monday, UTC"
    );
}

#[test]
fn a_schedule_explains_itself() {
    let cases = [
        ("* * * * *", "every minute"),
        ("*/15 * * * *", "every 15 minutes"),
        ("*/7 * * * *", "every 7 minutes from minute 0 of each hour on"),
        ("0 * * * *", "at minute 0 of each hour"),
        ("5/20 * * * *", "every 20 minutes from minute 5 of each hour on"),
        ("*/10 * * * * *", "every 10 seconds"),
        ("15 30 8 * * *", "at 08:30:15"),
        ("*/15 9-17 * * mon-fri", "every 15 minutes, during the hours 09 to 17 on weekdays"),
        ("1,7,33 */2 * * *", "at each of minutes 1, 7 and 33 of each hour, during each 2nd hour from 00 on"),
        ("0 9,12 * jun-aug *", "at 09:00 and 12:00 in June to August"),
        ("0 0 * * 0,6", "at 00:00 on Saturday and Sunday"),
        ("0 18 L * *", "at 18:00 on the last day of the month"),
        ("0 18 LW * *", "at 18:00 on the last weekday of the month"),
        ("0 18 15W * *", "at 18:00 on the weekday nearest to day 15 of the month"),
        ("0 18 * * 5#3", "at 18:00 on the third Friday of the month"),
        ("0 18 * * FRIL", "at 18:00 on the last Friday of the month"),
        ("@weekly", "at 00:00 on Sunday"),
    ];
    for (line, words) in cases {
        assert_eq!(cron(line).explain(), format!("{words}, UTC"), "{line}");
    }
    let start = Timestamp::from(utc("2026-03-01T00:00:00Z"));
    let bounded = Schedule::every(90 * MINUTE).unwrap().starting_at(start).max_runs(5).jitter(MINUTE);
    assert_eq!(
        bounded.explain(),
        "every 1h30m, from 2026-03-01T00:00:00.000Z, at most 5 runs, spread over 1m"
    );
    let closed = cron("0 8 * * *").ending_at(start).excluding("holidays");
    assert_eq!(
        closed.explain(),
        "at 08:00, UTC, until 2026-03-01T00:00:00.000Z, except as calendar \"holidays\" says"
    );
    assert_eq!(Schedule::after(HOUR).explain(), "once, in 1h");
    assert_eq!(Schedule::after_each(HOUR).unwrap().explain(), "1h after the end of each run");
    assert_eq!(
        Schedule::at_local("2026-05-01 9:00", Berlin).unwrap().explain(),
        "once, at 2026-05-01 9:00, Europe/Berlin"
    );
}

#[test]
fn a_schedule_shows_what_its_user_wrote() {
    for line in ["0 8 * * *", "  0\t8 * * mon-FRI ", "@Daily", "007 8 * * ?"] {
        assert_eq!(cron(line).to_string(), line);
    }
    assert_eq!(Schedule::every(Duration::from_millis(93_784_005)).unwrap().to_string(), "every 1d2h3m4s5ms");
    assert_eq!(Schedule::after(Duration::from_millis(1_500)).to_string(), "in 1s500ms");
    assert_eq!(Schedule::after_each(MINUTE).unwrap().to_string(), "1m after each");
    assert_eq!(Schedule::at_local("2026-05-01T09:00:30", Berlin).unwrap().to_string(), "2026-05-01T09:00:30");
    assert_eq!(Schedule::at(utc("2026-05-01T09:00:00Z")).to_string(), "2026-05-01T09:00:00.000Z");
}

#[test]
fn an_error_names_the_field_the_text_and_what_is_allowed() {
    let error = |line: &str| Schedule::cron(line).unwrap_err().to_string();
    assert_eq!(
        error("0 0 * * mond"),
        "\"mond\" in the day-of-week field of cron expression \"0 0 * * mond\": not understood; allowed is 0-7 or \
         sun-sat (0 and 7 are Sunday), ?, lists, a-b, a-b/n, */n, a/n, d#k (k-th of the month) or dL (last of the \
         month)"
    );
    assert_eq!(
        error("* * * *"),
        "cron expression \"* * * *\" has 4 fields: give 5 (minute hour day-of-month month day-of-week), or 6 with \
         seconds in front"
    );
    assert_eq!(
        error("0 0 30 2 *"),
        "cron expression \"0 0 30 2 *\" can never fire: no year has a day that it names"
    );
    assert!(error("5-1 * * * *").contains("\"5-1\" in the minute field"));
    assert!(error("5-1 * * * *").contains("the range runs backwards"));
    assert!(error("*/0 * * * *").contains("the step is zero"));
    assert!(error("1,,2 * * * *").contains("a list item is empty"));
    assert!(error("CRON_TZ=UTC 0 0 * * *").contains("a zone is no field, name it with in_tz"));
    assert!(error("@every 5m").contains("use Schedule::every"));
    // Whatever was pasted, the error stays a line.
    let pasted = format!("{} * * * *", "x\n".repeat(100_000));
    assert!(error(&pasted).len() < 600 && !error(&pasted).contains('\n'));
}

#[test]
fn an_interval_or_a_delay_of_parts_of_a_millisecond_is_refused() {
    for bad in [Duration::ZERO, Duration::from_micros(1_500), Duration::from_nanos(1), Duration::MAX] {
        assert!(matches!(Schedule::every(bad), Err(ScheduleError::Interval { .. })), "{bad:?}");
        assert!(matches!(Schedule::after_each(bad), Err(ScheduleError::Interval { .. })), "{bad:?}");
    }
    assert!(Schedule::every(Duration::from_millis(1)).is_ok());
}

#[test]
fn a_local_time_that_is_skipped_is_an_error_and_one_that_comes_twice_is_the_first() {
    let error = Schedule::at_local("2026-03-29 02:30", Berlin).unwrap_err();
    assert_eq!(
        error.to_string(),
        "local time \"2026-03-29 02:30\" does not exist in Europe/Berlin: the clocks jump over it, to \
         2026-03-29 03:00:00"
    );
    let twice: NaiveDateTime = "2026-10-25T02:30:00.250".parse().unwrap();
    let first = Schedule::at_local(twice, Berlin).unwrap();
    assert_eq!(first.next_after(utc("2026-01-01T00:00:00Z")), Some(utc("2026-10-25T00:30:00.250Z")));
    for text in ["tomorrow", "", "2026-02-30 10:00", "2026-01-01 24:00", "2026-01-01"] {
        assert!(matches!(Schedule::at_local(text, Berlin), Err(ScheduleError::LocalTime { .. })), "{text}");
    }
    assert!(Schedule::at_local(NaiveDateTime::MAX, Berlin).is_ok());
    assert!(Schedule::at_local(NaiveDateTime::MIN, Berlin).is_ok());
}

#[test]
fn bounds_count_from_their_first_to_their_last_instant() {
    let (start, end) = (utc("2026-03-10T08:00:00Z"), utc("2026-03-12T08:00:00Z"));
    let daily = cron("0 8 * * *").starting_at(start).ending_at(end);
    let all: Vec<_> = daily.upcoming(DateTime::<Utc>::MIN_UTC).collect();
    assert_eq!(all, [start, start + TimeDelta::days(1), end]);
    assert_eq!(daily.previous_before(DateTime::<Utc>::MAX_UTC), Some(end));
    assert_eq!(daily.previous_before(start), None);
    assert_eq!(Schedule::at(end).ending_at(start).next_after(start), None);
    // A grid without an anchor begins at its start.
    let hourly = Schedule::every(HOUR)
        .unwrap()
        .starting_at(start)
        .anchored_or(Timestamp::from(start - TimeDelta::days(9)));
    assert_eq!(hourly.next_after(start - TimeDelta::days(9)), Some(start));
    let after_each = Schedule::after_each(HOUR).unwrap().starting_at(start);
    assert_eq!(after_each.next_after(start - TimeDelta::days(9)), Some(start));
    assert_eq!(after_each.next_after(start), Some(start + TimeDelta::hours(1)));
}

#[test]
fn every_schedule_comes_back_from_its_columns_as_it_went() {
    let start = Timestamp::from_millis(1_767_225_600_000);
    let schedules = [
        cron("0 8 * * mon-fri").in_tz(Berlin),
        cron(" */5  * * * * ").on_gap(Gap::Skip).excluding("holidays").jitter(MINUTE),
        Schedule::every(HOUR).unwrap(),
        Schedule::every(HOUR)
            .unwrap()
            .anchored_at(start)
            .max_runs(0)
            .starting_at(start)
            .ending_at(Timestamp::MAX),
        Schedule::after_each(Duration::from_millis(1)).unwrap(),
        Schedule::at(Timestamp::MIN),
        Schedule::at_local("2026-05-01 09:00", Berlin).unwrap(),
        Schedule::after(Duration::ZERO),
        Schedule::after(Duration::from_millis(93_784_005)).anchored_or(start),
        Schedule::after(Duration::MAX),
    ];
    for schedule in schedules {
        let stored = schedule.to_stored();
        let back = Schedule::from_stored(&stored).unwrap();
        assert_eq!(back, schedule, "{stored:?}");
        assert_eq!(back.to_stored(), stored);
        assert_eq!(stored.kind, schedule.kind().as_str());
        assert_eq!(stored.text, schedule.to_string());
    }
}

#[test]
fn declaring_a_schedule_again_is_the_same_whatever_storing_fixed() {
    let now = Timestamp::from_millis(1_767_225_600_000);
    let stored = |schedule: Schedule| Schedule::from_stored(&schedule.anchored_or(now).to_stored()).unwrap();
    for declared in [
        Schedule::every(HOUR).unwrap(),
        Schedule::after(HOUR),
        Schedule::after_each(HOUR).unwrap(),
        cron("0 8 * * *").in_tz(Berlin),
        Schedule::at(now),
    ] {
        assert!(declared.same_declaration(&stored(declared.clone())), "{declared}");
        assert!(!declared.clone().max_runs(3).same_declaration(&stored(declared.clone())), "{declared}");
    }
    let hourly = || Schedule::every(HOUR).unwrap();
    assert!(!hourly().anchored_at(Timestamp::from_millis(7)).same_declaration(&stored(hourly())));
    assert!(!Schedule::every(MINUTE).unwrap().same_declaration(&stored(hourly())));
    assert!(!cron("0 8 * * *").same_declaration(&stored(cron("0 8 * * *").in_tz(Berlin))));
    assert!(!cron("0 8 * * *").same_declaration(&stored(cron("00 8 * * *"))));
}

#[test]
fn kinds_tell_what_recurs() {
    let kinds = [
        (cron("@daily"), ScheduleKind::Cron, true),
        (Schedule::every(HOUR).unwrap(), ScheduleKind::Every, true),
        (Schedule::after_each(HOUR).unwrap(), ScheduleKind::AfterEach, true),
        (Schedule::after(HOUR), ScheduleKind::At, false),
        (Schedule::at(Timestamp::MAX), ScheduleKind::At, false),
    ];
    for (schedule, kind, recurs) in kinds {
        assert_eq!((schedule.kind(), schedule.is_recurring()), (kind, recurs), "{schedule}");
    }
}

#[test]
fn a_preview_notes_what_the_clocks_do() {
    let notes = |schedule: Schedule, from: &str, n| {
        let previews = schedule.preview(utc(from), n);
        previews.iter().map(|next| next.clock_change).collect::<Vec<_>>()
    };
    let by = TimeDelta::hours(1);
    let in_berlin = |line: &str| cron(line).in_tz(Berlin);
    let spring = "2026-03-28T12:00:00Z";
    assert_eq!(notes(in_berlin("30 2 * * *"), spring, 2), [Some(ClockChange::MovedAfterGap { by }), None]);
    assert_eq!(notes(in_berlin("0 8 * * *"), spring, 2), [Some(ClockChange::SetForward { by }), None]);
    let autumn = "2026-10-24T12:00:00Z";
    assert_eq!(notes(in_berlin("0 8 * * *"), autumn, 2), [Some(ClockChange::SetBack { by }), None]);
    assert_eq!(notes(in_berlin("30 2 * * *"), autumn, 1), [Some(ClockChange::FirstOfTwo)]);
    assert_eq!(
        notes(in_berlin("0 * * * *"), "2026-10-24T23:30:00Z", 3),
        [Some(ClockChange::FirstOfTwo), Some(ClockChange::SecondOfTwo), None]
    );
    assert_eq!(notes(cron("0 8 * * *"), spring, 3), [None, None, None]);
    assert_eq!(
        ClockChange::SetBack { by: TimeDelta::minutes(30) }.to_string(),
        "the clocks were set back by 30m"
    );
}

#[test]
fn no_instant_and_no_line_makes_a_schedule_panic() {
    let instants = [
        DateTime::<Utc>::MIN_UTC,
        DateTime::<Utc>::MAX_UTC,
        DateTime::UNIX_EPOCH,
        utc("1969-12-31T23:59:59.999Z"),
        utc("2099-12-31T23:59:59Z"),
        utc("2100-12-31T23:59:59Z"),
        utc("2101-01-01T00:00:00Z"),
        utc("-0044-03-15T12:00:00Z"),
        utc("+200000-01-01T00:00:00Z"),
    ];
    let lines = [
        "* * * * *",
        "* * * * * *",
        "30 2 * * *",
        "0 0 29 2 */7",
        "0 0 LW * *",
        "0 0 1 1 *",
        "59 23 31 12 5#5",
    ];
    for zone in
        [Tz::UTC, Berlin, chrono_tz::Pacific::Apia, chrono_tz::America::Juneau, chrono_tz::Africa::Monrovia]
    {
        for schedule in lines.map(|line| cron(line).in_tz(zone)) {
            for now in instants {
                if let Some(next) = schedule.next_after(now) {
                    assert!(next > now, "{schedule} in {zone} at {now}");
                }
                if let Some(previous) = schedule.previous_before(now) {
                    assert!(previous < now, "{schedule} in {zone} at {now}");
                }
                let _ = schedule.preview(now, 2);
            }
            assert!(
                schedule.next_after(utc("2100-12-31T23:59:59Z")).is_some(),
                "{schedule} goes on after 2100"
            );
        }
    }
    let mut rng = fastrand::Rng::with_seed(5);
    let letters = b"0123456789*,-/?#LWlw @\tabcjanMONsun\xc3\xa9";
    for _ in 0..50_000 {
        let bytes: Vec<u8> = (0..rng.usize(0..24)).map(|_| letters[rng.usize(0..letters.len())]).collect();
        let line = String::from_utf8_lossy(&bytes);
        if let Ok(schedule) = Schedule::cron(&line) {
            assert_eq!(schedule.to_string(), line);
            assert!(
                schedule.next_after(DateTime::UNIX_EPOCH).is_some(),
                "{line} was accepted and never fires"
            );
            assert!(!schedule.explain().is_empty());
        }
    }
}

#[test]
fn a_grid_is_exact_at_both_ends_of_time() {
    let grid = Grid::new(7, i64::MIN).unwrap();
    assert_eq!(grid.next_after(i64::MAX), None);
    assert_eq!(grid.count(i64::MIN, i64::MAX), u64::MAX / 7 + 1);
    assert_eq!(Grid::new(i64::MAX, 0).unwrap().count(i64::MIN, i64::MAX), 2);
    assert_eq!(Grid::new(1, 0).unwrap().count(5, 4), 0);
    assert_eq!((Grid::new(0, 0), Grid::new(-1, 0)), (None, None));
}

#[test]
fn a_calendar_excludes_by_the_clock_of_its_zone() {
    let time = |hour| NaiveTime::from_hms_opt(hour, 0, 0).unwrap();
    let nights = Calendar::in_tz(Berlin).times(time(22), time(6));
    // In winter Berlin's 22:00 is 21:00 UTC, in summer 20:00.
    for (instant, excluded) in [
        ("2026-01-10T20:59:59.999Z", false),
        ("2026-01-10T21:00:00Z", true),
        ("2026-01-11T04:59:59.999Z", true),
        ("2026-01-11T05:00:00Z", false),
        ("2026-07-10T20:00:00Z", true),
    ] {
        assert_eq!(nights.excludes(utc(instant)), excluded, "{instant}");
    }
    let leap_days = Calendar::new().every_year(2, 29).unwrap();
    assert!(leap_days.excludes(utc("2028-02-29T00:00:00Z")));
    assert!(Calendar::new().every_year(2, 30).is_err());
    let all_day = Calendar::new().times(time(3), time(3));
    assert!(all_day.excludes(utc("2026-01-01T03:00:00Z")) && all_day.excludes(utc("2026-01-01T02:59:59Z")));
    assert!(!Calendar::new().excludes(DateTime::<Utc>::MAX_UTC));
}

#[test]
fn a_calendar_goes_to_json_and_back() {
    let day = |day| NaiveDate::from_ymd_opt(2026, 12, day).unwrap();
    let time = |hour| NaiveTime::from_hms_opt(hour, 30, 0).unwrap();
    let calendar = Calendar::in_tz(Berlin)
        .dates(day(24), day(26))
        .every_year(5, 1)
        .unwrap()
        .weekday(Weekday::Sat)
        .weekday(Weekday::Sun)
        .times(time(12), time(13));
    let json = serde_json::to_string(&calendar).unwrap();
    assert_eq!(
        json,
        r#"{"time_zone":"Europe/Berlin","dates":["2026-12-24","2026-12-25","2026-12-26"],"every_year":["05-01"],"weekdays":["Sat","Sun"],"times":[["12:30:00","13:30:00"]]}"#
    );
    assert_eq!(serde_json::from_str::<Calendar>(&json).unwrap(), calendar);
    for (bad, expected) in [
        (r#"{"time_zone":"Mars"}"#, "unknown time zone \"Mars\""),
        (r#"{"time_zone":"UTC","dates":["soon"]}"#, "calendar date \"soon\""),
        (r#"{"time_zone":"UTC","every_year":["13-01"]}"#, "calendar day \"13-01\""),
        (r#"{"time_zone":"UTC","weekdays":["Caturday"]}"#, "calendar weekday \"Caturday\""),
        (r#"{"time_zone":"UTC","times":[["25:00","26:00"]]}"#, "calendar time of day \"25:00\""),
        (r#"{"time_zone":"UTC","surprise":1}"#, "unknown field"),
    ] {
        let error = serde_json::from_str::<Calendar>(bad).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
