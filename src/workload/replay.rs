//! Trace replay: the recorded instants, faster or slower, each request kept, dropped or repeated at its own instant.

use super::length::Pair;
use super::length::marginal::index_below;
use super::trace::Rows;
use crate::base::rng::{Seed, Stream};
use crate::base::time::Nanos;
use rand::RngExt;

/// Why a recording cannot be replayed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// No recording was handed over, or it is empty.
    #[error("load.arrivals.trace: the recording has no rows; expected at least one")]
    NoRows,
    /// A row without an instant.
    #[error("load.arrivals.trace: row {index} has no instant; expected a timestamp in each row (is `columns.timestamp` missing?)")]
    NoInstant {
        /// The row, from 0.
        index: usize,
    },
    /// A scale that is not one.
    #[error("load.arrivals.trace.{key} is {found}; expected a finite number above 0")]
    Scale {
        /// `time_scale` or `rate_scale`.
        key: &'static str,
        /// The value.
        found: f64,
    },
}

/// How a recording is replayed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scales {
    /// Time runs this many times as fast.
    pub time: f64,
    /// Each row is replayed this many times on average.
    pub rate: f64,
}

/// A recorded request at its scaled instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// From load start.
    pub at: Nanos,
    /// Its lengths as recorded.
    pub lengths: Pair,
    /// Leading input tokens shared with an earlier row.
    pub shared: u32,
}

/// A recording made ready for replay. It ends with its last row, and is cut at the end of the load span: never looped, never stretched.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    rows: Vec<Recorded>,
    rate_scale: f64,
}

/// The place in a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    row: usize,
    copies_left: u64,
}

impl Replay {
    /// `rows` at `scales`, as far as they lie before `span`.
    pub fn new(rows: Option<&Rows>, scales: Scales, span: Nanos) -> Result<Self, Error> {
        let rows = rows.filter(|r| !r.rows.is_empty()).ok_or(Error::NoRows)?;
        for (key, found) in [("time_scale", scales.time), ("rate_scale", scales.rate)] {
            if !(found.is_finite() && found > 0.0) {
                return Err(Error::Scale { key, found });
            }
        }
        let mut ready = Vec::with_capacity(rows.rows.len());
        for (index, row) in rows.rows.iter().enumerate() {
            let at = scaled(row.at.ok_or(Error::NoInstant { index })?, scales.time);
            if at < span {
                ready.push(Recorded { at, lengths: row.into(), shared: row.blocks.min(row.input_tokens) });
            }
        }
        ready.sort_by_key(|r| r.at);
        Ok(Self { rows: ready, rate_scale: scales.rate })
    }

    /// The next request under `seed`; `None` after the last one.
    pub fn advance(&self, cursor: &mut Cursor, seed: Seed) -> Option<Recorded> {
        while cursor.copies_left == 0 {
            cursor.copies_left = if cursor.row < self.rows.len() { self.copies(cursor.row, seed) } else { return None };
            cursor.row += 1;
        }
        cursor.copies_left -= 1;
        self.rows.get(cursor.row - 1).copied()
    }

    /// How often row `index` is replayed: the whole part of the scale, and once more with the probability of its fraction.
    fn copies(&self, index: usize, seed: Seed) -> u64 {
        let (whole, fraction) = (self.rate_scale.trunc(), self.rate_scale.fract());
        let extra = fraction > 0.0 && seed.keyed("copies", index as u64).random::<f64>() < fraction;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float to integer casts saturate; the scale is positive")]
        let whole = whole as u64;
        whole + u64::from(extra)
    }

    /// Rows inside the load span.
    #[must_use]
    pub fn rows(&self) -> &[Recorded] {
        &self.rows
    }

    /// Requests expected: rows times the rate scale.
    #[must_use]
    pub fn expected(&self) -> f64 {
        self.rows.len() as f64 * self.rate_scale
    }

    /// The lengths of a row at random, for later turns of a session; `None` without rows.
    #[must_use]
    pub fn any_lengths(&self, stream: &mut Stream) -> Option<Pair> {
        (!self.rows.is_empty()).then(|| self.rows[index_below(stream, self.rows.len())].lengths)
    }
}

fn scaled(at: Nanos, time_scale: f64) -> Nanos {
    // Exact without a scale; with one, to the nanosecond for recordings of up to 104 days (2^53 ns).
    if time_scale == 1.0 { at } else { Nanos::from_secs_f64(at.0 as f64 / time_scale / 1e9) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::trace::Row;
    use proptest::prelude::*;

    const UNSCALED: Scales = Scales { time: 1.0, rate: 1.0 };

    fn rows(instants: &[u64]) -> Rows {
        let row = |(i, &at): (usize, &u64)| {
            let tokens = u32::try_from(i).unwrap() + 1;
            Row { at: Some(Nanos(at)), input_tokens: 100 * tokens, output_tokens: tokens, ..Row::default() }
        };
        Rows { rows: instants.iter().enumerate().map(row).collect(), ..Rows::default() }
    }

    fn replayed(rows: &Rows, scales: Scales, span: Nanos, seed: u64) -> Vec<Recorded> {
        let replay = Replay::new(Some(rows), scales, span).unwrap();
        let mut cursor = Cursor::default();
        std::iter::from_fn(|| replay.advance(&mut cursor, Seed(seed))).collect()
    }

    proptest! {
        /// forall rows: unscaled replay is the rows themselves, to the nanosecond, cut at the span
        #[test]
        fn unscaled_replay_is_exact(mut instants in prop::collection::vec(0_u64..1_000_000_000_000, 1..60), span in 1_u64..1_000_000_000_000) {
            instants.sort_unstable();
            let rows = rows(&instants);
            let found: Vec<(Nanos, Pair)> = replayed(&rows, UNSCALED, Nanos(span), 1).iter().map(|r| (r.at, r.lengths)).collect();
            let wanted: Vec<(Nanos, Pair)> = rows.rows.iter().filter(|r| r.at.unwrap().0 < span).map(|r| (r.at.unwrap(), r.into())).collect();
            prop_assert_eq!(found, wanted);
        }

        /// forall rows, scales: every instant is a recorded one over the time scale; each row comes floor or ceil of the rate scale times
        #[test]
        fn scaled_replay_keeps_the_rows_own_instants(gaps in prop::collection::vec(1_000_000_u64..1_000_000_000, 1..60), time in 0.1_f64..10.0, rate in 0.1_f64..5.0) {
            let instants: Vec<u64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let found = replayed(&rows(&instants), Scales { time, rate }, Nanos::MAX, 4);
            for (i, &at) in instants.iter().enumerate() {
                let copies: Vec<&Recorded> = found.iter().filter(|r| r.lengths.output as usize == i + 1).collect();
                let n = copies.len() as f64;
                prop_assert!(n == rate.floor() || n == rate.ceil());
                prop_assert!(copies.iter().all(|r| (r.at.0 as f64 - at as f64 / time).abs() <= 1.0));
            }
            prop_assert!(found.is_sorted_by_key(|r| r.at));
        }
    }

    #[test]
    fn the_mean_multiplicity_is_the_rate_scale() {
        let instants: Vec<u64> = (0..20_000).map(|i| i * 1_000).collect();
        for scale in [0.25, 1.0, 1.7, 3.0] {
            let n = replayed(&rows(&instants), Scales { time: 1.0, rate: scale }, Nanos::MAX, 9).len() as f64;
            let standard_error = (20_000.0 * scale.fract() * (1.0 - scale.fract())).sqrt();
            assert!((n - 20_000.0 * scale).abs() <= 4.0 * standard_error, "{scale}: {n}");
        }
    }

    #[test]
    fn unsorted_rows_are_replayed_in_order() {
        let found = replayed(&rows(&[5, 3, 9]), UNSCALED, Nanos::MAX, 1);
        assert_eq!(found.iter().map(|r| (r.at.0, r.lengths.output)).collect::<Vec<_>>(), [(3, 2), (5, 1), (9, 3)]);
    }

    #[test]
    fn what_cannot_be_replayed_is_refused() {
        assert_eq!(Replay::new(None, UNSCALED, Nanos::MAX), Err(Error::NoRows));
        assert_eq!(Replay::new(Some(&Rows::default()), UNSCALED, Nanos::MAX), Err(Error::NoRows));
        let mut bare = rows(&[1, 2]);
        bare.rows[1].at = None;
        assert_eq!(Replay::new(Some(&bare), UNSCALED, Nanos::MAX), Err(Error::NoInstant { index: 1 }));
        for scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Replay::new(Some(&rows(&[1])), Scales { time: scale, rate: 1.0 }, Nanos::MAX).is_err());
            assert!(Replay::new(Some(&rows(&[1])), Scales { time: 1.0, rate: scale }, Nanos::MAX).is_err());
        }
    }
}
