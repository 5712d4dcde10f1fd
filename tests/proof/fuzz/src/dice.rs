//! The random source of one case.

use fastrand::Rng;

/// Throws for one case; the same case throws the same.
pub(crate) struct Dice(Rng);

impl Dice {
    /// The dice of a case: the seed, the target and the number are all that there is to it.
    pub(crate) fn of(seed: u64, target: &str, number: u64) -> Self {
        // Any mixture will do in which no two cases lie close together.
        let mut mixed = seed ^ 0x9e37_79b9_7f4a_7c15;
        for byte in target.bytes().chain(number.to_le_bytes()) {
            mixed = (mixed ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Self(Rng::with_seed(mixed))
    }

    /// 0 up to, but not including, `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0.usize(..n)
    }

    pub(crate) fn within(&mut self, range: std::ops::RangeInclusive<i64>) -> i64 {
        self.0.i64(range)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.0.u8(..)
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// Once in `n`.
    pub(crate) fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}
