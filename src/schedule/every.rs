//! A grid of instants: an anchor and a step. All of it is arithmetic, however far the anchor is.

/// Instants a fixed step apart, from an anchor on; in milliseconds since 1970.
///
/// Every answer takes the same few nanoseconds, and none overflows: what does not fit into an `i64` is `None`.
///
/// ```
/// use mainspring::schedule::Grid;
///
/// let grid = Grid::new(1_000, 250).unwrap();
/// assert_eq!(grid.next_after(1_250), Some(2_250));
/// assert_eq!(grid.previous_before(1_250), Some(250));
/// assert_eq!(grid.count(251, 4_000), 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    every_ms: i64,
    anchor_ms: i64,
}

impl Grid {
    /// A grid whose first instant is `anchor_ms` and whose step is `every_ms`; `None` if the step is not positive.
    pub const fn new(every_ms: i64, anchor_ms: i64) -> Option<Self> {
        if every_ms > 0 { Some(Self { every_ms, anchor_ms }) } else { None }
    }

    /// The first instant of the grid after `after_ms`.
    pub const fn next_after(&self, after_ms: i64) -> Option<i64> {
        if after_ms < self.anchor_ms {
            return Some(self.anchor_ms);
        }
        match self.at_or_before(after_ms) {
            Some(current) => current.checked_add(self.every_ms),
            None => None,
        }
    }

    /// The last instant of the grid before `before_ms`.
    pub const fn previous_before(&self, before_ms: i64) -> Option<i64> {
        match before_ms.checked_sub(1) {
            Some(last) => self.at_or_before(last),
            None => None,
        }
    }

    /// How many instants of the grid are in `from_ms..=to_ms`.
    pub const fn count(&self, from_ms: i64, to_ms: i64) -> u64 {
        if to_ms < from_ms || to_ms < self.anchor_ms {
            return 0;
        }
        let upto = to_ms.abs_diff(self.anchor_ms) / self.every_ms.unsigned_abs();
        if from_ms <= self.anchor_ms {
            return upto.saturating_add(1);
        }
        // The instants before `from_ms`: the anchor is always one of them.
        upto - (from_ms.abs_diff(self.anchor_ms) - 1) / self.every_ms.unsigned_abs()
    }

    const fn at_or_before(&self, at_ms: i64) -> Option<i64> {
        if at_ms < self.anchor_ms {
            return None;
        }
        // The distance may need all 64 bits, but what is left over is less than the step.
        let past = at_ms.abs_diff(self.anchor_ms) % self.every_ms.unsigned_abs();
        Some(at_ms.wrapping_sub_unsigned(past))
    }
}
