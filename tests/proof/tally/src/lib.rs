//! What the tiers of the proof share: how long each runs, its seed, and the one line that it prints.
//!
//! A tier is a program: `tier [quick | long SECONDS] [seed N]`. It counts what it tried and what went wrong:
//!
//! ```text
//! tier io 12480 faults violations=0 seconds=71
//! ```
//!
//! It fails on a violation, and, so that a slow machine does not pass by testing nothing, on a missed minimum.
#![forbid(unsafe_code)]

mod crew;
mod views;

use std::process::ExitCode;
use std::time::{Duration, Instant};

pub use crew::{Crew, Report, Worker, serve};
pub use views::drop_views;

/// How much a tier does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The minimum that the tier promises, with a fixed seed.
    Quick,
    /// As much as fits into the time, with a seed from the clock.
    Long(Duration),
}

/// A tier that runs.
#[derive(Debug)]
pub struct Tier {
    name: &'static str,
    unit: &'static str,
    minimum: u64,
    mode: Mode,
    seed: u64,
    rest: Vec<String>,
    begun: Instant,
    count: u64,
    violations: u64,
}

impl Tier {
    /// Begins a tier with the arguments of the process; `minimum` is what the quick mode must reach.
    ///
    /// # Errors
    /// A sentence that says which argument was not understood.
    pub fn begin(name: &'static str, unit: &'static str, minimum: u64) -> Result<Self, String> {
        Self::with_args(name, unit, minimum, std::env::args().skip(1).collect())
    }

    fn with_args(
        name: &'static str,
        unit: &'static str,
        minimum: u64,
        args: Vec<String>,
    ) -> Result<Self, String> {
        let mut tier = Self {
            name,
            unit,
            minimum,
            mode: Mode::Quick,
            seed: 1,
            rest: Vec::new(),
            begun: Instant::now(),
            count: 0,
            violations: 0,
        };
        let mut seed = None;
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let number = |value: Option<String>| {
                value.as_deref().and_then(|value| value.parse::<u64>().ok()).ok_or_else(|| {
                    format!(
                        "\"{arg}\" wants a whole number after it, not {}",
                        value.as_deref().unwrap_or("nothing")
                    )
                })
            };
            match arg.as_str() {
                "quick" => tier.mode = Mode::Quick,
                "long" => tier.mode = Mode::Long(Duration::from_secs(number(args.next())?)),
                "seed" => seed = Some(number(args.next())?),
                _ => tier.rest.push(arg),
            }
        }
        tier.seed = seed.unwrap_or_else(|| match tier.mode {
            Mode::Quick => 1,
            Mode::Long(_) => seed_of_the_clock(),
        });
        println!("tier {name} mode={:?} seed={}", tier.mode, tier.seed);
        Ok(tier)
    }

    /// How much to do.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The seed of every random choice. One seed gives one result.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The arguments that only this tier understands.
    pub fn rest(&self) -> &[String] {
        &self.rest
    }

    /// How much was tried up to now.
    pub fn tried(&self) -> u64 {
        self.count
    }

    /// Whether there is more to do: the minimum is not reached, or the time of the long mode is not over.
    pub fn goes_on(&self) -> bool {
        match self.mode {
            Mode::Quick => self.count < self.minimum,
            Mode::Long(longest) => self.begun.elapsed() < longest,
        }
    }

    /// Counts what was tried.
    pub fn count(&mut self, more: u64) {
        self.count += more;
    }

    /// Counts and prints something that must not happen, with how to see it again.
    pub fn violation(&mut self, what: &str, again: &str) {
        self.violations += 1;
        println!("violation {}: {what}\n  again: {again}", self.name);
    }

    /// Prints the line, and says how the process ends.
    pub fn finish(self) -> ExitCode {
        println!(
            "tier {} {} {} violations={} seconds={}",
            self.name,
            self.count,
            self.unit,
            self.violations,
            self.begun.elapsed().as_secs()
        );
        if self.mode == Mode::Quick && self.count < self.minimum {
            println!("tier {} missed its minimum of {} {}", self.name, self.minimum, self.unit);
            return ExitCode::FAILURE;
        }
        if self.violations > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

fn seed_of_the_clock() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(1, |since| u64::from(since.subsec_nanos()) ^ since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tier(args: &[&str]) -> Result<Tier, String> {
        Tier::with_args("test", "things", 10, args.iter().map(|arg| (*arg).to_owned()).collect())
    }

    #[test]
    fn the_quick_mode_has_a_fixed_seed_and_goes_on_until_the_minimum() {
        let mut tier = tier(&["quick"]).unwrap_or_else(|error| unreachable!("{error}"));
        assert_eq!((tier.mode(), tier.seed()), (Mode::Quick, 1));
        tier.count(9);
        assert!(tier.goes_on());
        tier.count(1);
        assert!(!tier.goes_on());
        assert_eq!(tier.finish(), ExitCode::SUCCESS);
    }

    #[test]
    fn a_missed_minimum_and_a_violation_fail() {
        let mut missed = tier(&[]).unwrap_or_else(|error| unreachable!("{error}"));
        missed.count(9);
        assert_eq!(missed.finish(), ExitCode::FAILURE);
        let mut violated = tier(&["seed", "7"]).unwrap_or_else(|error| unreachable!("{error}"));
        assert_eq!(violated.seed(), 7);
        violated.count(10);
        violated.violation("two deliveries", "test seed 7");
        assert_eq!(violated.finish(), ExitCode::FAILURE);
    }

    #[test]
    fn what_is_not_a_number_is_named() {
        assert_eq!(
            tier(&["long", "x"]).err().as_deref(),
            Some("\"long\" wants a whole number after it, not x")
        );
        assert_eq!(
            tier(&["seed"]).err().as_deref(),
            Some("\"seed\" wants a whole number after it, not nothing")
        );
    }
}
