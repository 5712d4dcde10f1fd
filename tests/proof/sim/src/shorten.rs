//! A shorter list of steps that finds something just the same.

use std::time::{Duration, Instant};

use crate::{Template, simulate};

/// Nobody waits longer for a shorter list.
const LONGEST: Duration = Duration::from_secs(60);

/// Leaves out steps for as long as the simulation still finds the same kind of thing.
pub fn shorten(template: &Template, seed: u64, steps: &[u64]) -> Vec<u64> {
    let begun = Instant::now();
    let Some(wanted) = finds(template, seed, steps) else { return steps.to_vec() };
    let mut left = steps.to_vec();
    let mut piece = left.len().div_ceil(2);
    while piece > 0 && begun.elapsed() < LONGEST {
        let mut at = 0;
        while at < left.len() && begun.elapsed() < LONGEST {
            let end = (at + piece).min(left.len());
            let without: Vec<u64> = left[..at].iter().chain(&left[end..]).copied().collect();
            if finds(template, seed, &without).as_ref() == Some(&wanted) {
                left = without;
            } else {
                at = end;
            }
        }
        piece = if piece == 1 { 0 } else { piece.div_ceil(2) };
    }
    left
}

/// What is found, without its numbers.
fn finds(template: &Template, seed: u64, steps: &[u64]) -> Option<String> {
    let (what, _) = simulate(template, seed, steps.iter().copied()).found?;
    let first: String = what.chars().take(160).collect();
    Some(first.chars().filter(|c| !c.is_ascii_digit()).collect())
}
