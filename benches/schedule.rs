//! What one question about a crontab line costs, beside the `cron` and `croner` crates in the same run.
//!
//! `cargo bench --bench schedule`. The `cron` crate is asked for wall time, which is less than is asked of the
//! others: no zone, no clock changes, no either-day rule. Each question starts at another of 64 instants of a
//! year, so that no answer is always the same.

#![allow(clippy::expect_used, reason = "a benchmark stops where its own table is wrong")]

use std::cell::Cell;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use divan::{Bencher, black_box};
use mainspring::Schedule;

/// One class of expression; `wall` is the same for the `cron` crate, where it can say it.
struct Class {
    name: &'static str,
    line: &'static str,
    wall: Option<&'static str>,
}

const CLASSES: &[Class] = &[
    Class { name: "dense: every minute", line: "* * * * *", wall: Some("0 * * * * *") },
    Class { name: "dense: every 5 minutes", line: "*/5 * * * *", wall: Some("0 */5 * * * *") },
    Class { name: "office hours", line: "*/15 9-17 * * 1-5", wall: Some("0 */15 9-17 * * 2-6") },
    Class { name: "daily", line: "30 2 * * *", wall: Some("0 30 2 * * *") },
    Class { name: "weekly", line: "0 8 * * 1", wall: Some("0 0 8 * * 2") },
    Class { name: "either day", line: "0 0 1,15 * 3", wall: None },
    Class { name: "last day of the month", line: "0 18 L * *", wall: None },
    Class { name: "third Friday", line: "0 18 * * 5#3", wall: None },
    Class { name: "nearest weekday", line: "0 18 15W * *", wall: None },
    Class { name: "sparse: yearly", line: "0 0 1 1 *", wall: Some("0 0 0 1 1 *") },
    Class { name: "sparse: leap day", line: "0 0 29 2 *", wall: Some("0 0 0 29 2 *") },
    Class { name: "sparse: leap day on a Sunday", line: "0 0 29 2 */7", wall: Some("0 0 0 29 2 1") },
    Class { name: "sparse: fifth Monday of February", line: "0 0 * 2 1#5", wall: None },
];

/// Lines that never fire; ours are refused when they are made.
const IMPOSSIBLE: &[Class] = &[
    Class { name: "30 February", line: "0 0 30 2 *", wall: Some("0 0 0 30 2 *") },
    Class { name: "31st of short months", line: "0 0 31 2,4,6,9,11 *", wall: Some("0 0 0 31 2,4,6,9,11 *") },
    Class { name: "31 April on a Sunday", line: "0 0 31 4 */7", wall: Some("0 0 0 31 4 1") },
];

const ZONE: Tz = chrono_tz::Europe::Berlin;

fn main() {
    divan::main();
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// 64 instants of 2026, in turn.
struct Instants {
    at: Cell<i32>,
}

impl Instants {
    fn new() -> Self {
        Self { at: Cell::new(0) }
    }

    fn next(&self) -> DateTime<Utc> {
        let at = self.at.get();
        self.at.set((at + 1) % 64);
        let start = DateTime::from_timestamp(1_767_225_600, 0).unwrap_or_default();
        start + TimeDelta::seconds(492_749) * at
    }
}

fn walls() -> impl Iterator<Item = &'static Class> {
    CLASSES.iter().filter(|class| class.wall.is_some())
}

fn ours(class: &Class, zone: Tz) -> Schedule {
    Schedule::cron(class.line).expect("each class but the impossible ones can fire").in_tz(zone)
}

fn cron(class: &Class) -> cron::Schedule {
    class.wall.and_then(|text| text.parse().ok()).expect("the class has a text for the cron crate")
}

/// croner, told to match both day fields where the line means both.
fn croner(class: &Class) -> croner::Cron {
    let both_days = class.line.ends_with("*/7");
    let parser = croner::parser::CronParser::builder().dom_and_dow(both_days).build();
    parser.parse(class.line).expect("croner knows the syntax")
}

mod next {
    use super::*;

    #[divan::bench(args = CLASSES)]
    fn mainspring_utc(bencher: Bencher<'_, '_>, class: &Class) {
        let (schedule, instants) = (ours(class, Tz::UTC), Instants::new());
        bencher.bench_local(|| schedule.next_after(black_box(instants.next())));
    }

    #[divan::bench(args = CLASSES)]
    fn mainspring_zone(bencher: Bencher<'_, '_>, class: &Class) {
        let (schedule, instants) = (ours(class, ZONE), Instants::new());
        bencher.bench_local(|| schedule.next_after(black_box(instants.next())));
    }

    #[divan::bench(args = walls())]
    fn cron_wall(bencher: Bencher<'_, '_>, class: &Class) {
        let (schedule, instants) = (cron(class), Instants::new());
        bencher.bench_local(|| schedule.after(&black_box(instants.next())).next());
    }

    #[divan::bench(args = CLASSES)]
    fn croner_utc(bencher: Bencher<'_, '_>, class: &Class) {
        let (schedule, instants) = (croner(class), Instants::new());
        bencher.bench_local(|| schedule.find_next_occurrence(&black_box(instants.next()), false));
    }

    #[divan::bench(args = CLASSES)]
    fn croner_zone(bencher: Bencher<'_, '_>, class: &Class) {
        let (schedule, instants) = (croner(class), Instants::new());
        bencher.bench_local(|| {
            schedule.find_next_occurrence(&black_box(instants.next()).with_timezone(&ZONE), false)
        });
    }
}

mod previous {
    use super::*;

    #[divan::bench(args = CLASSES)]
    fn mainspring_utc(bencher: Bencher<'_, '_>, class: &Class) {
        let (schedule, instants) = (ours(class, Tz::UTC), Instants::new());
        bencher.bench_local(|| schedule.previous_before(black_box(instants.next())));
    }

    #[divan::bench(args = CLASSES)]
    fn mainspring_zone(bencher: Bencher<'_, '_>, class: &Class) {
        let (schedule, instants) = (ours(class, ZONE), Instants::new());
        bencher.bench_local(|| schedule.previous_before(black_box(instants.next())));
    }

    #[divan::bench(args = walls())]
    fn cron_wall(bencher: Bencher<'_, '_>, class: &Class) {
        let (schedule, instants) = (cron(class), Instants::new());
        bencher.bench_local(|| schedule.after(&black_box(instants.next())).next_back());
    }

    #[divan::bench(args = CLASSES)]
    fn croner_utc(bencher: Bencher<'_, '_>, class: &Class) {
        let (schedule, instants) = (croner(class), Instants::new());
        bencher.bench_local(|| schedule.find_previous_occurrence(&black_box(instants.next()), false));
    }

    #[divan::bench(args = CLASSES)]
    fn croner_zone(bencher: Bencher<'_, '_>, class: &Class) {
        let (schedule, instants) = (croner(class), Instants::new());
        bencher.bench_local(|| {
            schedule.find_previous_occurrence(&black_box(instants.next()).with_timezone(&ZONE), false)
        });
    }
}

/// Ours is parsed and refused; the others are asked and find nothing.
mod impossible {
    use super::*;

    #[divan::bench(args = IMPOSSIBLE)]
    fn mainspring_refuses(bencher: Bencher<'_, '_>, class: &Class) {
        bencher.bench_local(|| Schedule::cron(black_box(class.line)));
    }

    #[divan::bench(args = IMPOSSIBLE)]
    fn cron_wall_next(bencher: Bencher<'_, '_>, class: &Class) {
        let (schedule, instants) = (cron(class), Instants::new());
        bencher.bench_local(|| schedule.after(&black_box(instants.next())).next());
    }

    #[divan::bench(args = IMPOSSIBLE, sample_count = 10)]
    fn croner_next(bencher: Bencher<'_, '_>, class: &Class) {
        let (schedule, instants) = (croner(class), Instants::new());
        bencher.bench_local(|| schedule.find_next_occurrence(&black_box(instants.next()), false));
    }
}

mod parse {
    use super::*;

    #[divan::bench(args = CLASSES)]
    fn mainspring(bencher: Bencher<'_, '_>, class: &Class) {
        bencher.bench_local(|| Schedule::cron(black_box(class.line)));
    }

    #[divan::bench(args = walls())]
    fn cron(bencher: Bencher<'_, '_>, class: &Class) {
        bencher.bench_local(|| class.wall.map(|text| black_box(text).parse::<::cron::Schedule>()));
    }

    #[divan::bench(args = CLASSES)]
    fn croner(bencher: Bencher<'_, '_>, class: &Class) {
        bencher.bench_local(|| croner::parser::CronParser::new().parse(black_box(class.line)));
    }
}
