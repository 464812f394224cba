//! When the output tokens of a request came in, in exact fixed point: what throughput is summed from.

use crate::base::time::Nanos;
use crate::record::request::RequestRecord;

/// Fixed-point units of one token. Whole numbers, so that sums do not depend on their order and merging is exact.
pub const UNITS_PER_TOKEN: u64 = 1 << 20;

/// Some of a request's output, in units of 1 / [`UNITS_PER_TOKEN`] tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    /// From here ...
    pub from: Nanos,
    /// ... to here, evenly; everything at once if both are the same.
    pub to: Nanos,
    /// How much.
    pub units: u64,
}

impl Portion {
    /// The part of it that came before `at`. Whole numbers: the parts between any instants add up to `units`.
    #[must_use]
    pub fn before(&self, at: Nanos) -> u64 {
        if at > self.to {
            return self.units;
        }
        if at <= self.from {
            return 0;
        }
        // from < at <= to: the span is not empty.
        let part = u128::from(self.units) * u128::from(at.since(self.from).0) / u128::from(self.to.since(self.from).0);
        u64::try_from(part).unwrap_or(self.units)
    }

    /// The part of it that came in [start, end).
    #[must_use]
    pub fn within(&self, start: Nanos, end: Nanos) -> u64 {
        self.before(end).saturating_sub(self.before(start))
    }
}

/// Gives `each` the portions of a request's output tokens, in order of time. They add up to `output_tokens`.
///
/// With chunk stamps: the chunks of an instant together, their tokens scaled by `output_tokens / sum of chunk tokens`, because the server's
/// count is the one that is reported. Without stamps: the first token at its instant, the others evenly to the last one. Without a first
/// token: all at the close.
pub fn portions(record: &RequestRecord, mut each: impl FnMut(Portion)) {
    let units = u64::from(record.output_tokens) * UNITS_PER_TOKEN;
    if units == 0 {
        return;
    }
    let mut at_once = |at: Nanos, units: u64| each(Portion { from: at, to: at, units });
    let Some(first) = record.first_token else {
        return at_once(record.last_token.unwrap_or(record.closed), units);
    };
    let counted: u64 = record.chunks.iter().map(|c| u64::from(c.tokens)).sum();
    if counted > 0 {
        let (mut at, mut tokens, mut given) = (first, 0_u64, 0_u64);
        for (i, chunk) in record.chunks.iter().enumerate() {
            if i > 0 && chunk.gap > 0 {
                let due = scaled(units, tokens, counted);
                if due > given {
                    at_once(at, due - given);
                    given = due;
                }
                at += Nanos(chunk.gap);
            }
            tokens += u64::from(chunk.tokens);
        }
        if units > given {
            at_once(at, units - given);
        }
        return;
    }
    at_once(first, UNITS_PER_TOKEN);
    if units > UNITS_PER_TOKEN {
        each(Portion { from: first, to: record.last_token.unwrap_or(first).max(first), units: units - UNITS_PER_TOKEN });
    }
}

/// `units * tokens / counted`, rounded down; `tokens <= counted`. Every chunk asks: in 64 bits when the product has no more.
fn scaled(units: u64, tokens: u64, counted: u64) -> u64 {
    if let Some(product) = units.checked_mul(tokens) {
        return product / counted;
    }
    u64::try_from(u128::from(units) * u128::from(tokens) / u128::from(counted)).unwrap_or(units)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::request::{ChunkStamp, Phase};
    use proptest::prelude::*;

    fn record(output: u32, chunks: &[(u64, u32)]) -> RequestRecord {
        let mut r = RequestRecord::due(0, Phase::Measure, Nanos::ZERO, 10, output);
        r.output_tokens = output;
        r.first_token = Some(Nanos::from_secs(1));
        r.last_token = Some(Nanos::from_secs(3));
        r.chunks = chunks.iter().map(|&(gap, tokens)| ChunkStamp { gap, tokens }).collect();
        r
    }

    fn tokens_within(r: &RequestRecord, start_ms: u64, end_ms: u64) -> f64 {
        let mut units = 0;
        portions(r, |p| units += p.within(Nanos::from_millis(start_ms), Nanos::from_millis(end_ms)));
        units as f64 / UNITS_PER_TOKEN as f64
    }

    #[test]
    fn without_stamps_output_is_spread_from_first_to_last() {
        let r = record(11, &[]);
        assert_eq!(tokens_within(&r, 0, 1000), 0.0);
        assert!((tokens_within(&r, 0, 1001) - (1.0 + 10.0 * 0.0005)).abs() < 1e-5);
        assert!((tokens_within(&r, 2000, 10_000) - 5.0).abs() < 1e-5);
        assert_eq!(tokens_within(&r, 0, 10_000), 11.0);
    }

    #[test]
    fn with_stamps_each_chunk_counts_where_it_came_scaled_to_the_servers_count() {
        // Counted 4 tokens in chunks of 1, 1, 2; the server says 8.
        let r = record(8, &[(0, 1), (500_000_000, 1), (1_000_000_000, 2)]);
        assert_eq!(tokens_within(&r, 1000, 1500), 2.0);
        assert_eq!(tokens_within(&r, 1500, 2500), 2.0);
        assert_eq!(tokens_within(&r, 2500, 2501), 4.0);
    }

    #[test]
    fn without_a_first_token_all_output_comes_at_the_close() {
        let mut r = record(5, &[]);
        (r.first_token, r.last_token, r.closed) = (None, None, Nanos::from_secs(2));
        assert_eq!((tokens_within(&r, 0, 2000), tokens_within(&r, 2000, 2001)), (0.0, 5.0));
    }

    proptest! {
        /// forall records: at every instant as much as chunk by chunk, each with its own rounding down.
        #[test]
        fn chunks_of_an_instant_add_up(
            output in 1_u32..100_000,
            scale in 0_u32..16,
            chunks in proptest::collection::vec((prop_oneof![2 => Just(0_u64), 1 => 0_u64..1_000], 0_u32..50), 1..40),
        ) {
            let r = record(output << scale, &chunks);
            let units = u128::from(r.output_tokens) * u128::from(UNITS_PER_TOKEN);
            let counted: u128 = chunks.iter().map(|&(_, tokens)| u128::from(tokens)).sum();
            prop_assume!(counted > 0);
            let (mut at, mut tokens, mut given) = (Nanos::from_secs(1), 0, 0);
            let mut expected = std::collections::BTreeMap::new();
            for (i, &(gap, count)) in chunks.iter().enumerate() {
                at += Nanos(if i > 0 { gap } else { 0 });
                tokens += u128::from(count);
                let due = u64::try_from(units * tokens / counted).unwrap();
                if due > given {
                    *expected.entry(at).or_insert(0) += due - given;
                    given = due;
                }
            }
            let mut found = std::collections::BTreeMap::new();
            portions(&r, |p| {
                assert_eq!(p.from, p.to);
                *found.entry(p.from).or_insert(0) += p.units;
            });
            prop_assert_eq!(found, expected);
        }

        /// forall records, cuts: the parts between the cuts add up to the output, exactly.
        #[test]
        fn nothing_is_lost_between_windows(
            output in 1_u32..100_000,
            chunks in proptest::collection::vec((0_u64..1_000_000_000, 0_u32..50), 0..20),
            mut cuts in proptest::collection::vec(0_u64..30_000_000_000, 0..20),
        ) {
            let r = record(output, &chunks);
            cuts.extend([0, u64::MAX]);
            cuts.sort_unstable();
            let mut units = 0;
            portions(&r, |p| units += cuts.windows(2).map(|w| p.within(Nanos(w[0]), Nanos(w[1]))).sum::<u64>());
            prop_assert_eq!(units, u64::from(output) * UNITS_PER_TOKEN);
        }
    }
}
