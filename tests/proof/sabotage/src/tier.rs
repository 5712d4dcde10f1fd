//! The tier: each catcher without a bug, then each bug.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use mainspring::sabotage::Bug;
use mainspring_proof_tally::Tier;

use crate::catchers::{Catcher, catcher};
use crate::child::{Verdict, run as run_catcher};

/// A bug is caught within this time.
const LIMIT: Duration = Duration::from_secs(30);
/// Without a bug there is nothing at which to stop early.
const LIMIT_OF_CLEAN: Duration = Duration::from_secs(120);
/// So many catchers run at once: most of them wait more than they compute.
const AT_ONCE: usize = 3;

/// A catcher, and the bug that it is to catch; without one it must find nothing.
type Trial = (Catcher, Option<Bug>);

/// Tries every bug.
pub(crate) fn run(mut tier: Tier) -> Result<ExitCode, String> {
    try_all(Bug::ALL, &mut tier)?;
    Ok(tier.finish())
}

/// Tries one bug.
pub(crate) fn one(bug: Bug, mut tier: Tier) -> Result<ExitCode, String> {
    let is_caught = try_all(&[bug], &mut tier)?;
    Ok(if is_caught { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether each of them was caught, by something that finds nothing without it.
fn try_all(bugs: &[Bug], tier: &mut Tier) -> Result<bool, String> {
    let clean: BTreeSet<Catcher> = bugs.iter().map(|bug| catcher(*bug)).collect();
    let trials: Vec<Trial> = bugs
        .iter()
        .map(|bug| (catcher(*bug), Some(*bug)))
        .chain(clean.into_iter().map(|catcher| (catcher, None)))
        .collect();
    let mut all_well = true;
    let next = AtomicUsize::new(0);
    let (sender, ended) = channel();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            let (sender, trials, next) = (sender.clone(), &trials, &next);
            scope.spawn(move || {
                while let Some((catcher, bug)) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let limit = if bug.is_some() { LIMIT } else { LIMIT_OF_CLEAN };
                    if sender.send((*catcher, *bug, run_catcher(*catcher, *bug, limit))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        ended.into_iter().try_for_each(|(catcher, bug, verdict)| {
            let (verdict, took) = verdict?;
            all_well &= judge(catcher, bug, verdict, took, tier);
            Ok(())
        })
    })
    .map(|()| all_well)
}

fn judge(catcher: Catcher, bug: Option<Bug>, verdict: Verdict, took: Duration, tier: &mut Tier) -> bool {
    let seconds = took.as_secs_f64();
    match (bug, verdict) {
        (Some(bug), Verdict::Caught(what)) => {
            tier.count(1);
            println!("  {bug}: caught by {catcher} after {seconds:.1} s: {}", shortened(&what));
            true
        }
        (None, Verdict::Clean) => {
            println!("  without a bug {catcher} finds nothing in {seconds:.1} s");
            true
        }
        (Some(bug), Verdict::Clean) => {
            tier.count(1);
            tier.violation(&format!("{bug} is not caught by {catcher}"), &again(bug));
            false
        }
        (Some(bug), Verdict::Useless(why)) => {
            tier.count(1);
            tier.violation(
                &format!("{bug} is not caught by {catcher} within {seconds:.0} s: {why}"),
                &again(bug),
            );
            false
        }
        (None, Verdict::Caught(why) | Verdict::Useless(why)) => {
            let what = format!("{catcher} is not clean without a bug: {why}");
            tier.violation(&what, &format!("target/proof/mainspring-proof-{catcher}"));
            false
        }
    }
}

fn again(bug: Bug) -> String {
    format!("tests/proof/run quick sabotage -- bug {bug}")
}

/// What was found, in one line of a terminal.
fn shortened(what: &str) -> String {
    const LONGEST: usize = 160;
    let mut short: String = what.chars().take(LONGEST).collect();
    if short.len() < what.len() {
        short.push('…');
    }
    short
}
