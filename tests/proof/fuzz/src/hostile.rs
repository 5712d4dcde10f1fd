//! Hostile values: numbers at the ends of their ranges, texts that no parser likes, and good ones slightly changed.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::dice::Dice;

static TELLS: AtomicBool = AtomicBool::new(false);

/// From now on cases say what they do.
pub(crate) fn tell() {
    TELLS.store(true, Ordering::SeqCst);
}

/// Says what a case does, where only that case is run.
pub(crate) fn say(what: impl FnOnce() -> String) {
    if TELLS.load(Ordering::SeqCst) {
        println!("  {}", what());
    }
}

/// 2026-01-05T08:00:00Z: where the clock of the tests stands.
pub(crate) const NOW_MS: i64 = mainspring::testing::START_MS;

const NUMBERS: &[i64] = &[
    i64::MIN,
    i64::MIN + 1,
    -8_334_601_228_800_001, // before the first instant that can be shown
    -62_135_596_800_000,    // year 1
    -1,
    0,
    1,
    2,
    5,
    59,
    60,
    1_000,
    60_000,
    86_400_000,
    i32::MAX as i64,
    u32::MAX as i64,
    u32::MAX as i64 + 1,
    NOW_MS - 86_400_000,
    NOW_MS - 1,
    NOW_MS,
    NOW_MS + 1,
    NOW_MS + 3_600_000,
    253_402_300_799_999,   // year 9999
    8_210_266_876_799_999, // the last instant that can be shown
    8_210_266_876_800_000,
    i64::MAX - 1,
    i64::MAX,
];

/// A number from the ends of ranges, or any.
pub(crate) fn number(dice: &mut Dice) -> i64 {
    match dice.below(8) {
        0 => dice.word() as i64,
        1 => dice.within(-10..=10),
        2 => NOW_MS + dice.within(-400_000_000..=400_000_000),
        _ => *dice.pick(NUMBERS),
    }
}

const TEXTS: &[&str] = &[
    "",
    " ",
    "\0",
    "a\0b",
    "\u{1b}[31mred\u{1b}[0m",
    "line\nbreak",
    "'; DROP TABLE mainspring_jobs; --",
    "\u{202e}backwards",
    "\u{feff}",
    "e\u{301}\u{302}\u{303}",
    "🦀🦀🦀",
    "%s%n%x",
    "../../../../etc/passwd",
    "NULL",
    "null",
    "true",
    "0",
    "-1",
    "1e999",
    "NaN",
    "{}",
    "[]",
    "{\"a\":",
    "\"\\ud800\"",
    "[1,2,3]",
    "{\"max_attempts\":0}",
    "{\"timeout_ms\":18446744073709551615,\"grace_ms\":18446744073709551615}",
    "{\"backoff\":{\"first_ms\":18446744073709551615,\"factor\":1e308,\"longest_ms\":18446744073709551615,\"jitter\":-1e308}}",
    "{\"catch_up\":{\"mode\":{\"all\":4294967295},\"within_ms\":9223372036854775807,\"spacing_ms\":-1,\"at_once\":0}}",
    "{\"time_zone\":\"UTC\",\"weekdays\":[\"Mon\",\"Tue\",\"Wed\",\"Thu\",\"Fri\",\"Sat\",\"Sun\"]}",
    "{\"time_zone\":\"UTC\",\"times\":[[\"00:00:00\",\"00:00:00\"]]}",
    "at",
    "every",
    "after_each",
    "cron",
    "in 5m",
    "in 9223372036854775807ms",
    "* * * * * *",
    "0 0 29 2 *",
    "0 0 30 2 *",
    "@yearly",
    "@reboot",
    "Europe/Berlin",
    "Africa/Monrovia",
    "Antarctica/Troll",
    "Mars/Olympus",
    "run_after",
    "skip",
    "queue_one",
    "cancel_running",
    "allow",
    "rerun",
    "assume_ran",
    "verify",
    "hold",
    "resend",
    "succeeded",
    "failed",
    "interrupted",
    "not_requested",
    "pending",
    "started",
    "delivered",
    "unknown",
    "schedule",
    "catch_up",
    "manual",
    "backfill",
    "retry",
    "stopped",
    "died",
    "downtime",
    "default",
];

/// Bytes that need not be text.
pub(crate) fn bytes(dice: &mut Dice) -> Vec<u8> {
    match dice.below(8) {
        0 => (0..dice.below(40)).map(|_| dice.byte()).collect(),
        1 => b"\xff\xfe\xc3\x28".to_vec(),
        2 => long(dice).into_bytes(),
        _ => text(dice).into_bytes(),
    }
}

/// A text: hostile, random, nested, or good.
pub(crate) fn text(dice: &mut Dice) -> String {
    match dice.below(12) {
        0 => (0..dice.below(20)).map(|_| char::from(dice.byte())).collect(),
        1 => nested(dice),
        2 => {
            let good = (*dice.pick(TEXTS)).to_owned();
            mutated(dice, &good)
        }
        3 if dice.once_in(4) => long(dice),
        _ => (*dice.pick(TEXTS)).to_owned(),
    }
}

/// JSON that is deeper than its reader likes.
pub(crate) fn nested(dice: &mut Dice) -> String {
    let depth = *dice.pick(&[5, 126, 127, 128, 129, 999, 1_001, 20_000]);
    match dice.below(3) {
        0 => "[".repeat(depth) + &"]".repeat(depth),
        1 => "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth),
        _ => "[".repeat(depth),
    }
}

fn long(dice: &mut Dice) -> String {
    let piece = *dice.pick(&["x", "ü", "0 ", "1,", "\"", "\\", "(", "\u{1}"]);
    piece.repeat(*dice.pick(&[201, 1_000, 9_000, 100_000]))
}

/// A text with a few changes: what a slip of the hand makes of it.
pub(crate) fn mutated(dice: &mut Dice, text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..=dice.below(3) {
        let at = dice.below(chars.len() + 1);
        let odd = *dice.pick(&[
            '0',
            '9',
            '-',
            '*',
            '/',
            ',',
            ' ',
            '"',
            '{',
            'L',
            'é',
            '\0',
            '\u{10ffff}',
            ':',
            '#',
        ]);
        match dice.below(5) {
            0 => chars.insert(at, odd),
            1 if at < chars.len() => drop(chars.remove(at)),
            2 if at < chars.len() => chars[at] = odd,
            3 if at < chars.len() => {
                let again = chars[at..].to_vec();
                chars.extend(again);
            }
            _ => chars.truncate(at),
        }
    }
    chars.into_iter().collect()
}
