//! The random source: each step has its own, so that a step does the same whichever others were left out before it.

/// The random choices of one step.
pub(crate) struct Dice {
    random: fastrand::Rng,
}

impl Dice {
    pub(crate) fn new(seed: u64, step: u64) -> Self {
        // Neighbouring seeds and steps must not choose alike.
        let mixed = (seed ^ step.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Self { random: fastrand::Rng::with_seed(mixed ^ (mixed >> 31)) }
    }

    /// A number from 0 to just below `end`; 0 if that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { self.random.usize(..end) }
    }

    /// A number of milliseconds between two, both included.
    pub(crate) fn ms(&mut self, from: u64, to: u64) -> u64 {
        self.random.u64(from..=to)
    }

    /// True so many times in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u32) -> bool {
        self.random.u32(..1_000) < per_mille
    }

    /// Between 0 and 1.
    pub(crate) fn share(&mut self) -> f64 {
        self.random.f64()
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    pub(crate) fn pick_if_any<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(self.pick(from)) }
    }

    /// One of them, by weight.
    pub(crate) fn weighted<T: Copy>(&mut self, from: &[(u32, T)]) -> T {
        let all: u32 = from.iter().map(|(weight, _)| weight).sum();
        let mut left = self.random.u32(..all);
        for (weight, choice) in from {
            if left < *weight {
                return *choice;
            }
            left -= weight;
        }
        from[0].1
    }
}
