//! Running cases: on all cores, each apart from the others, until there are enough.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use mainspring_proof_tally::{Mode, Tier};

use crate::dice::Dice;
use crate::{TARGETS, Target, Verdict, panics};

/// A case that takes longer than this hangs.
const LONGEST: Duration = Duration::from_secs(120);
/// After so many violations nothing new is learnt.
const MOST_VIOLATIONS: u64 = 20;
/// What is said of a case, in bytes: some are about values of megabytes.
const LONGEST_VERDICT: usize = 1_000;
/// Cases that are counted at once, so that counting costs nothing.
const BATCH: u64 = 50;

/// What a thread tells of its cases.
enum News {
    Done(u64),
    Violation { target: &'static str, number: u64, what: String },
}

/// Runs one case apart: whatever it does, the next one can be run.
fn apart(seed: u64, target: &Target, number: u64) -> Verdict {
    let mut dice = Dice::of(seed, target.name, number);
    let verdict = catch_unwind(AssertUnwindSafe(|| (target.case)(number, &mut dice)))
        .unwrap_or_else(|_| Err(format!("panicked: {}", panics::here())));
    let verdict = match panics::elsewhere() {
        none if none.is_empty() => verdict,
        some => Err(format!("a thread of the library panicked (or the case beside this one did): {some:?}")),
    };
    verdict.map_err(|what| if what.len() > LONGEST_VERDICT { cut(&what) } else { what })
}

/// The beginning and the end of a text that is about something very long.
fn cut(what: &str) -> String {
    let (chars, half) = (what.chars(), LONGEST_VERDICT / 2);
    let end: String = chars.clone().rev().take(half).collect::<Vec<_>>().into_iter().rev().collect();
    format!("{} … {end}", chars.take(half).collect::<String>())
}

/// The case that has this place in the order of all: a target after the other, round after round.
fn at(mut place: u64, targets: &'static [Target]) -> (&'static Target, u64) {
    let round: u64 = targets.iter().map(|target| target.cases).sum();
    let rounds = place / round;
    place %= round;
    for target in targets {
        if place < target.cases {
            return (target, rounds * target.cases + place);
        }
        place -= target.cases;
    }
    unreachable!("a place lies within its round")
}

/// Runs all targets.
pub(crate) fn all(tier: Tier) -> ExitCode {
    over(tier, TARGETS)
}

fn over(mut tier: Tier, targets: &'static [Target]) -> ExitCode {
    let (sender, news) = channel();
    let (places, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let end = match tier.mode() {
        Mode::Quick => targets.iter().map(|target| target.cases).sum(),
        Mode::Long(_) => u64::MAX,
    };
    let seed = tier.seed();
    let threads = thread::available_parallelism().map_or(2, usize::from);
    for _ in 0..threads {
        let (sender, places, over) = (sender.clone(), Arc::clone(&places), Arc::clone(&over));
        let run = move || cases(seed, targets, end, &places, &over, &sender);
        thread::Builder::new().name(panics::CASES.to_owned()).spawn(run).expect("a thread can be started");
    }
    drop(sender);
    let mut violations = 0;
    loop {
        match news.recv_timeout(LONGEST) {
            Ok(News::Done(cases)) => tier.count(cases),
            Ok(News::Violation { target, number, what }) => {
                violations += 1;
                let again = format!("tests/proof/run quick fuzz -- seed {seed} case {target} {number}");
                tier.violation(&format!("{target} {number}: {what}"), &again);
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let place = places.load(Ordering::SeqCst);
                let (target, number) = at(place.saturating_sub(1), targets);
                let what = format!("a case hangs, near {} {number}", target.name);
                tier.violation(&what, &format!("tests/proof/run quick fuzz -- seed {seed}"));
                break;
            }
        }
        let is_long = matches!(tier.mode(), Mode::Long(_));
        if violations >= MOST_VIOLATIONS || is_long && !tier.goes_on() {
            over.store(true, Ordering::SeqCst);
        }
    }
    tier.finish()
}

/// What each thread does: takes the next case until there is none.
fn cases(
    seed: u64,
    targets: &'static [Target],
    end: u64,
    places: &AtomicU64,
    over: &AtomicBool,
    news: &Sender<News>,
) {
    let mut done = 0;
    while !over.load(Ordering::SeqCst) {
        let place = places.fetch_add(1, Ordering::SeqCst);
        if place >= end {
            break;
        }
        let (target, number) = at(place, targets);
        let verdict = apart(seed, target, number);
        done += 1;
        if let Err(what) = verdict
            && news.send(News::Violation { target: target.name, number, what }).is_err()
        {
            return;
        }
        if (done == BATCH || target.cases < 10_000)
            && news.send(News::Done(std::mem::take(&mut done))).is_err()
        {
            return;
        }
    }
    // Nobody listens any more where the tier was given up.
    drop(news.send(News::Done(done)));
}

/// Runs the cases of one target, and says what is wrong.
pub(crate) fn only(tier: &Tier, target: &'static Target) -> ExitCode {
    let mut wrong = 0;
    let seed = tier.seed();
    let run = || -> u64 {
        for number in 0..target.cases {
            if let Err(what) = apart(seed, target, number) {
                println!("{} {number}: {what}", target.name);
                wrong += 1;
            }
            if wrong >= MOST_VIOLATIONS {
                break;
            }
        }
        wrong
    };
    let wrong = on_a_thread_of_cases(run);
    println!("{} cases of {}, {wrong} wrong", target.cases, target.name);
    if wrong > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs one case, and says what it does.
pub(crate) fn one(seed: u64, target: &'static Target, number: u64) -> ExitCode {
    crate::hostile::tell();
    match on_a_thread_of_cases(|| apart(seed, target, number)) {
        Ok(()) => {
            println!("{} {number}: all is as it must be", target.name);
            ExitCode::SUCCESS
        }
        Err(what) => {
            println!("{} {number}: {what}", target.name);
            ExitCode::FAILURE
        }
    }
}

fn on_a_thread_of_cases<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name(panics::CASES.to_owned()).spawn_scoped(scope, run);
        thread.expect("a thread can be started").join().expect("cases are run apart")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(number: u64, _: &mut Dice) -> Verdict {
        match number {
            0 => Ok(()),
            1 => Err("wrong".to_owned()),
            _ => panic!("a bug"),
        }
    }

    static TWO: [Target; 2] =
        [Target { name: "a", cases: 2, case: wrong }, Target { name: "b", cases: 3, case: wrong }];

    #[test]
    fn cases_come_target_by_target_and_round_by_round() {
        let places: Vec<_> = (0..7).map(|place| at(place, &TWO)).map(|(t, n)| (t.name, n)).collect();
        assert_eq!(places, [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("b", 2), ("a", 2), ("a", 3)]);
    }

    #[test]
    fn a_case_that_is_wrong_or_panics_is_found() {
        assert_eq!(apart(1, &TWO[1], 0), Ok(()));
        assert_eq!(apart(1, &TWO[1], 1), Err("wrong".to_owned()));
        assert!(apart(1, &TWO[1], 2).is_err_and(|what| what.starts_with("panicked: ")));
    }
}
