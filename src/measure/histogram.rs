//! Constant-memory histograms: HdrHistogram with three digits, bounded, clipped values counted; minimum, mean and maximum exact.

use super::summary::{Bin, CurvePoint, Distribution, PercentileValue};
use crate::base::time::Nanos;
use crate::scenario::slo::Percentile;
use hdrhistogram::Histogram as Hdr;

/// Longest latency told apart: one hour. Longer ones are counted there, and as clipped.
const LONGEST: u64 = 3_600_000_000_000;
/// Most tokens told apart.
const MOST_TOKENS: u64 = 1 << 24;
/// Nanoseconds in a millisecond.
const NS_PER_MS: f64 = 1e6;
/// Bins of a distribution.
const BINS: usize = 60;
/// Points of a percentile curve per decade of 1 - q.
const CURVE_POINTS_PER_DECADE: i32 = 10;

/// A histogram of whole numbers: latencies in nanoseconds from 1 ns to 1 h, or token counts.
///
/// A value is kept with three significant digits over the whole range: what is read back is at most 0.1 % above what was recorded.
/// A latency histogram takes 264 KiB, whatever the number of values.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Hdr<u64>,
    min: u64,
    max: u64,
    sum: u128,
    clipped: u64,
}

/// The non-empty cells of a histogram in rising order: the largest value of the cell, and how many values it holds.
struct Cells(Vec<(u64, u64)>);

impl Histogram {
    /// An empty histogram of latencies in nanoseconds.
    #[must_use]
    pub fn latency() -> Self {
        Self::bounded(LONGEST)
    }

    /// An empty histogram of token counts.
    #[must_use]
    pub fn tokens() -> Self {
        Self::bounded(MOST_TOKENS)
    }

    fn bounded(high: u64) -> Self {
        let counts = Hdr::new_with_bounds(1, high, 3).expect("1 is the least low bound, high is at least twice that, and 3 digits are allowed");
        Self { counts, min: u64::MAX, max: 0, sum: 0, clipped: 0 }
    }

    /// Adds one value.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Adds a latency.
    pub fn record_nanos(&mut self, value: Nanos) {
        self.record_n(value.0, 1);
    }

    /// Adds a value `n` times.
    pub fn record_n(&mut self, value: u64, n: u64) {
        if n == 0 {
            return;
        }
        if value > self.counts.high() {
            self.clipped += n;
        }
        self.counts.saturating_record_n(value.min(self.counts.high()), n);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum += u128::from(value) * u128::from(n);
    }

    /// Adds every value of `other`: the result equals that of one histogram that saw all values.
    pub fn merge(&mut self, other: &Self) {
        self.counts.add(&other.counts).expect("histograms of one kind have the same bounds");
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
        self.clipped += other.clipped;
    }

    /// Number of values.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.counts.len()
    }

    /// Mean; 0 for an empty histogram.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.n() == 0 { 0.0 } else { self.sum as f64 / self.n() as f64 }
    }

    /// The value of rank `rank` in rising order, from 1; `None` outside 1..=n. At most 0.1 % above the exact one.
    #[must_use]
    pub fn value_at_rank(&self, rank: u64) -> Option<u64> {
        (1..=self.n()).contains(&rank).then(|| self.cells().at_rank(rank).clamp(self.min, self.max))
    }

    /// The value of rank ceil(p n), even in a sample that is too small for `percentile` to say something; `None` for an empty histogram.
    #[must_use]
    pub fn value_at(&self, percentile: Percentile) -> Option<u64> {
        self.value_at_rank(rank(percentile, self.n()))
    }

    /// Values above `limit`, to the histogram's precision.
    #[must_use]
    pub fn count_above(&self, limit: u64) -> u64 {
        self.cells().0.iter().filter(|&&(value, _)| value > limit).map(|&(_, count)| count).sum()
    }

    /// What the histogram says, in milliseconds; percentiles as asked, in rising order.
    #[must_use]
    pub fn distribution(&self, percentiles: &[Percentile]) -> Distribution {
        let cells = self.cells();
        let n = self.n();
        let ms = |value: u64| value.clamp(self.min, self.max) as f64 / NS_PER_MS;
        let value = |p: &Percentile| PercentileValue {
            name: p.to_string(),
            value_ms: (n >= p.samples_needed()).then(|| ms(cells.at_rank(rank(*p, n)))),
            needed: p.samples_needed(),
        };
        let edges = log_edges(self.min, self.max);
        let bins = cells.bins(&edges);
        Distribution {
            n,
            min_ms: if n == 0 { 0.0 } else { self.min as f64 / NS_PER_MS },
            mean_ms: self.mean() / NS_PER_MS,
            max_ms: self.max as f64 / NS_PER_MS,
            percentiles: percentiles.iter().map(value).collect(),
            curve: curve(&cells, n, ms),
            bins: bins.into_iter().map(|b| Bin { upper: b.upper / NS_PER_MS, count: b.count }).collect(),
            clipped: self.clipped,
        }
    }

    /// Counts in log-spaced bins that both histograms share, so that they can be laid over each other. Upper edges in units of the values.
    #[must_use]
    pub fn shared_bins(&self, other: &Self) -> (Vec<Bin>, Vec<Bin>) {
        let edges = log_edges(self.min.min(other.min), self.max.max(other.max));
        (self.cells().bins(&edges), other.cells().bins(&edges))
    }

    /// The histogram of the library, for its own file format.
    pub(super) fn raw(&self) -> &Hdr<u64> {
        &self.counts
    }

    fn cells(&self) -> Cells {
        Cells(self.counts.iter_recorded().map(|v| (v.value_iterated_to(), v.count_since_last_iteration())).collect())
    }
}

impl Cells {
    /// The largest value of the cell that holds rank `rank`; 0 without cells.
    fn at_rank(&self, rank: u64) -> u64 {
        let mut seen = 0;
        for &(value, count) in &self.0 {
            seen += count;
            if seen >= rank {
                return value;
            }
        }
        self.0.last().map_or(0, |&(value, _)| value)
    }

    /// Counts up to each edge; the last bin takes what is above the last edge. Without edges: no bins.
    fn bins(&self, edges: &[f64]) -> Vec<Bin> {
        let mut bins: Vec<Bin> = edges.iter().map(|&upper| Bin { upper, count: 0 }).collect();
        let mut at = 0;
        for &(value, count) in &self.0 {
            while at + 1 < bins.len() && value as f64 > bins[at].upper {
                at += 1;
            }
            if let Some(bin) = bins.get_mut(at) {
                bin.count += count;
            }
        }
        bins
    }
}

/// The rank of a percentile in `n` values: ceil(p n), at least 1, computed in whole numbers.
#[must_use]
pub fn rank(percentile: Percentile, n: u64) -> u64 {
    let rank = (u128::from(thousandths(percentile)) * u128::from(n)).div_ceil(100_000);
    u64::try_from(rank).unwrap_or(n).clamp(1, n.max(1))
}

/// A percentile in thousandths of a percent, 1 to 99,999.
fn thousandths(percentile: Percentile) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a quantile is between 0 and 1")]
    let thousandths = (percentile.quantile() * 100_000.0).round() as u32;
    thousandths
}

/// Points at 1 - q = 10^(-k/10), down to one value beyond. The last decade rests on fewer than ten values.
fn curve(cells: &Cells, n: u64, ms: impl Fn(u64) -> f64) -> Vec<CurvePoint> {
    let mut points = Vec::new();
    for k in 0.. {
        let beyond = 10_f64.powf(-f64::from(k) / f64::from(CURVE_POINTS_PER_DECADE));
        if n == 0 || beyond * (n as f64) < 1.0 - 1e-9 {
            break;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and n")]
        let above = (beyond * n as f64 + 1e-9).floor() as u64;
        points.push(CurvePoint { q: 1.0 - beyond, ms: ms(cells.at_rank((n - above).max(1))) });
    }
    points
}

/// Upper edges of log-spaced bins from `min` to `max`; one edge if they are equal, none if `min > max` (no values).
fn log_edges(min: u64, max: u64) -> Vec<f64> {
    if min > max {
        return Vec::new();
    }
    // A zero has no logarithm: the first bin takes everything below a millionth of the largest value.
    let top = max as f64;
    let bottom = (min as f64).max(top / 1e6).max(1.0);
    if bottom >= top {
        return vec![top];
    }
    let ratio = top / bottom;
    (1..=BINS).map(|i| if i == BINS { top } else { bottom * ratio.powf(i as f64 / BINS as f64) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Percentile; 5] = [Percentile::P50, Percentile::P90, Percentile::P95, Percentile::P99, Percentile::P999];

    fn of(values: &[u64]) -> Histogram {
        let mut h = Histogram::latency();
        for &v in values {
            h.record(v);
        }
        h
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// forall values, rank: the histogram's value is at most 0.1 % above the sorted sample's, and never below.
        #[test]
        fn values_agree_with_a_sorted_sample(mut values in proptest::collection::vec(1_u64..LONGEST, 1..400), at in 0.0_f64..1.0) {
            let h = of(&values);
            values.sort_unstable();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a short list")]
            let index = ((values.len() as f64 * at) as usize).min(values.len() - 1);
            let exact = values[index] as f64;
            let read = h.value_at_rank(index as u64 + 1).unwrap() as f64;
            prop_assert!(read >= exact && read <= exact * 1.001 + 1.0, "{read} for {exact}");
            let sum: u128 = values.iter().map(|&v| u128::from(v)).sum();
            prop_assert_eq!(h.mean(), sum as f64 / values.len() as f64);
        }

        /// forall samples: merge(a, b) says what one histogram of both says, bit by bit.
        #[test]
        fn merging_is_exact(a in proptest::collection::vec(0_u64..LONGEST * 2, 0..200), b in proptest::collection::vec(0_u64..LONGEST * 2, 0..200)) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            let whole = of(&[a, b].concat());
            prop_assert_eq!(merged.distribution(&ALL), whole.distribution(&ALL));
        }

        /// forall samples: bins hold every value once, with rising edges.
        #[test]
        fn bins_hold_every_value(values in proptest::collection::vec(0_u64..10_000_000_000, 1..300)) {
            let d = of(&values).distribution(&[]);
            prop_assert_eq!(d.bins.iter().map(|b| b.count).sum::<u64>(), values.len() as u64);
            prop_assert!(d.bins.is_sorted_by(|a, b| a.upper < b.upper));
            prop_assert!(d.curve.is_sorted_by(|a, b| a.q < b.q && a.ms <= b.ms));
        }
    }

    #[test]
    fn a_percentile_beyond_the_sample_is_not_given() {
        let h = of(&(1..=199).map(|v| v * 1_000_000).collect::<Vec<_>>());
        let d = h.distribution(&ALL);
        assert_eq!(d.percentiles[2], PercentileValue { name: "p95".to_owned(), value_ms: None, needed: 200 });
        assert!(d.at("p90").is_some() && d.at("p99").is_none());
        let d = of(&(1..=200).map(|v| v * 1_000_000).collect::<Vec<_>>()).distribution(&ALL);
        let p95 = d.at("p95").unwrap();
        assert!((190.0..190.2).contains(&p95), "{p95}");
    }

    #[test]
    fn ranks_are_computed_in_whole_numbers() {
        // 0.07 * 100 is above 7 in binary floating point.
        assert_eq!(rank("p7".parse().unwrap(), 100), 7);
        assert_eq!(rank(Percentile::P50, 1), 1);
        assert_eq!(rank(Percentile::P999, 1000), 999);
        assert_eq!(rank(Percentile::P99, 101), 100);
    }

    #[test]
    fn values_beyond_an_hour_are_clipped_and_counted() {
        let d = of(&[1_000_000, LONGEST * 3]).distribution(&ALL);
        assert_eq!(d.clipped, 1);
        assert_eq!(d.max_ms, 3.0 * 3.6e6);
    }

    #[test]
    fn an_empty_histogram_has_no_values() {
        let h = Histogram::latency();
        assert_eq!((h.n(), h.value_at_rank(1), h.mean()), (0, None, 0.0));
        let d = h.distribution(&ALL);
        assert!(d.bins.is_empty() && d.curve.is_empty() && d.percentiles.iter().all(|p| p.value_ms.is_none()));
        assert_eq!((d.min_ms, d.max_ms), (0.0, 0.0));
    }

    #[test]
    fn shared_bins_have_the_same_edges() {
        let (mut a, mut b) = (Histogram::tokens(), Histogram::tokens());
        a.record_n(256, 10);
        b.record(16);
        b.record(900);
        let (a, b) = a.shared_bins(&b);
        assert!(a.iter().zip(&b).all(|(a, b)| a.upper == b.upper));
        assert_eq!((a.iter().map(|x| x.count).sum::<u64>(), b.iter().map(|x| x.count).sum::<u64>()), (10, 2));
    }
}
