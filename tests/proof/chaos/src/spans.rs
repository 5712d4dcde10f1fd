//! Spans of time: joined, cut with each other, and taken away from a wait.

use std::time::Duration;

/// From, until.
pub(crate) type Span = (Duration, Duration);

/// The same times as spans that do not touch, in order.
pub(crate) fn joined(mut spans: Vec<Span>) -> Vec<Span> {
    spans.retain(|(from, until)| from < until);
    spans.sort_unstable();
    let mut joined: Vec<Span> = Vec::new();
    for (from, until) in spans {
        match joined.last_mut() {
            Some((_, last)) if from <= *last => *last = until.max(*last),
            _ => joined.push((from, until)),
        }
    }
    joined
}

/// The times that are in both.
pub(crate) fn both(one: &[Span], other: &[Span]) -> Vec<Span> {
    let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (a.0.max(b.0), a.1.min(b.1))));
    joined(pairs.collect())
}

/// The times of `all` that are in none of `spans`, which are joined.
pub(crate) fn outside(all: Span, spans: &[Span]) -> Vec<Span> {
    let mut from = all.0;
    let mut gaps = Vec::new();
    for (begin, end) in spans {
        gaps.push((from, (*begin).min(all.1)));
        from = from.max(*end);
    }
    gaps.push((from, all.1));
    joined(gaps)
}

/// How long `wait` is without those spans, which are joined.
pub(crate) fn without(wait: Span, spans: &[Span]) -> Duration {
    let taken: Duration = both(&[wait], spans).iter().map(|(from, until)| until.saturating_sub(*from)).sum();
    wait.1.saturating_sub(wait.0).saturating_sub(taken)
}

/// The value below which so many of a hundred lie; the largest for 100.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(from: u64, until: u64) -> Span {
        (Duration::from_secs(from), Duration::from_secs(until))
    }

    #[test]
    fn a_wait_counts_only_where_nothing_was_in_its_way() {
        let spans = joined(vec![s(8, 9), s(1, 3), s(2, 5), s(7, 7)]);
        assert_eq!(spans, [s(1, 5), s(8, 9)]);
        assert_eq!(without(s(4, 10), &spans), Duration::from_secs(4));
        assert_eq!(outside(s(0, 10), &spans), [s(0, 1), s(5, 8), s(9, 10)]);
        assert_eq!(outside(s(2, 4), &spans), []);
        assert_eq!(both(&spans, &[s(4, 20)]), [s(4, 5), s(8, 9)]);
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let sorted: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        let at = |percent| percentile(&sorted, percent).as_millis();
        assert_eq!((at(50), at(99), at(100)), (100, 198, 200));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }
}
