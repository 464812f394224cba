//! What a sample says: moments, quantiles, Kolmogorov-Smirnov distance, rank correlation, index of dispersion.

/// Mean, spread and asymmetry of a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// Size of the sample.
    pub n: usize,
    /// Arithmetic mean; 0 for an empty sample.
    pub mean: f64,
    /// Unbiased variance (divided by n - 1); 0 below two values.
    pub variance: f64,
    /// Third standardised moment `m3 / m2^1.5` (Fisher's g1, population moments); 0 without spread.
    pub skewness: f64,
}

impl Moments {
    /// The moments of `values`, in two passes: the second one subtracts the mean, so large offsets cost no digits.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let (mean, variance) = mean_variance(values);
        let n = values.len() as f64;
        let m2 = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let m3 = values.iter().map(|x| (x - mean).powi(3)).sum::<f64>() / n;
        let skewness = if m2 > 0.0 { m3 / m2.powf(1.5) } else { 0.0 };
        Self { n: values.len(), mean, variance, skewness }
    }

    /// Standard deviation.
    #[must_use]
    pub fn sd(&self) -> f64 {
        self.variance.sqrt()
    }

    /// Coefficient of variation, `sd / mean`; 0 for a mean of 0.
    #[must_use]
    pub fn cv(&self) -> f64 {
        if self.mean == 0.0 { 0.0 } else { self.sd() / self.mean }
    }
}

/// Mean and unbiased variance (divided by n - 1). An empty sample has mean 0, fewer than two values have variance 0.
#[must_use]
pub fn mean_variance(values: &[f64]) -> (f64, f64) {
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    (mean, if values.len() < 2 { 0.0 } else { squares / (n - 1.0) })
}

/// The value of rank `ceil(p n)` of a sorted sample (nearest rank: always a value that occurred). `p` is cut to 0..=1; `None` if empty.
#[must_use]
pub fn quantile_sorted(sorted: &[f64], p: f64) -> Option<f64> {
    sorted.get(nearest_rank(sorted.len(), p)?).copied()
}

/// The index of the nearest-rank quantile `p` in a sorted sample of `n`: `ceil(p n) - 1`, cut to the sample. `None` if it is empty or `p` is NaN.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the rank is between 0 and n by the clamp")]
pub fn nearest_rank(n: usize, p: f64) -> Option<usize> {
    if n == 0 || p.is_nan() {
        return None;
    }
    // p n is a hair above a whole number when p is not a binary fraction (0.95 x 20): without the slack the rank would be one too high.
    let rank = (p.clamp(0.0, 1.0) * n as f64 - 1e-9).ceil().max(1.0) as usize;
    Some(rank.min(n) - 1)
}

/// Sorts ascending, by the total order of IEEE 754 (NaN last).
pub fn sort(values: &mut [f64]) {
    values.sort_unstable_by(f64::total_cmp);
}

/// Two-sample Kolmogorov-Smirnov distance `sup |F_a - F_b|`, ties counted once. 1 if exactly one sample is empty, 0 if both are.
#[must_use]
pub fn ks_distance(a: &[f64], b: &[f64]) -> f64 {
    if a.is_empty() || b.is_empty() {
        return if a.len() == b.len() { 0.0 } else { 1.0 };
    }
    let (mut a, mut b) = (a.to_vec(), b.to_vec());
    sort(&mut a);
    sort(&mut b);
    let (mut i, mut j, mut worst) = (0, 0, 0.0_f64);
    while i < a.len() && j < b.len() {
        let x = a[i].min(b[j]);
        while i < a.len() && a[i] <= x {
            i += 1;
        }
        while j < b.len() && b[j] <= x {
            j += 1;
        }
        worst = worst.max((i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs());
    }
    worst
}

/// Kolmogorov-Smirnov distance of a sorted sample to a continuous distribution, `max(i/n - F(x_i), F(x_i) - (i-1)/n)`. 0 if empty.
#[must_use]
pub fn ks_against(sorted: &[f64], cdf: impl Fn(f64) -> f64) -> f64 {
    let n = sorted.len() as f64;
    let mut worst = 0.0_f64;
    for (i, &x) in sorted.iter().enumerate() {
        let f = cdf(x);
        worst = worst.max((i as f64 + 1.0) / n - f).max(f - i as f64 / n);
    }
    worst
}

/// The distance that a true hypothesis exceeds in 5 % of samples of size `n`: `1.358 / sqrt(n)` (Kolmogorov's limit, good from n = 35).
#[must_use]
pub fn ks_critical_5pct(n: usize) -> f64 {
    1.358 / (n.max(1) as f64).sqrt()
}

/// Pearson's correlation of pairs; `None` below two pairs, for unequal lengths, or when one side has no spread.
#[must_use]
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    if x.len() != y.len() || x.len() < 2 {
        return None;
    }
    let ((mx, _), (my, _)) = (mean_variance(x), mean_variance(y));
    let (mut sxy, mut sxx, mut syy) = (0.0, 0.0, 0.0);
    for (a, b) in x.iter().zip(y) {
        let (dx, dy) = (a - mx, b - my);
        sxy += dx * dy;
        sxx += dx * dx;
        syy += dy * dy;
    }
    let r = sxy / (sxx * syy).sqrt();
    r.is_finite().then(|| r.clamp(-1.0, 1.0))
}

/// Spearman's rank correlation: Pearson's of the mid-ranks, so ties are exact. `None` as [`pearson`].
#[must_use]
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    pearson(&mid_ranks(x), &mid_ranks(y))
}

/// Ranks from 1; equal values share the mean of the ranks they occupy.
#[must_use]
pub fn mid_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    for tied in order.chunk_by(|&i, &j| values[i] == values[j]).scan(0_usize, |before, tied| {
        let first = *before;
        *before += tied.len();
        Some((first, tied))
    }) {
        let (first, members) = tied;
        let rank = first as f64 + f64::midpoint(members.len() as f64, 1.0);
        for &i in members {
            ranks[i] = rank;
        }
    }
    ranks
}

/// Sums of `weights` over whole bins of `width` from 0; what lies beyond the last whole bin of `span` is left out.
///
/// `at`, `span` and `width` share a unit. Empty if not even one whole bin fits or `width` is not above zero.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bin numbers are compared with the number of bins; casts saturate")]
pub fn bin_sums(at: &[f64], weights: impl Fn(usize) -> f64, width: f64, span: f64) -> Vec<f64> {
    // A bin takes at least 8 bytes: a span of billions of bins is a unit mistake, not a wish for memory.
    const MOST: f64 = 1e7;
    let count = if width > 0.0 { (span / width).floor() } else { 0.0 };
    if !(1.0..=MOST).contains(&count) {
        return Vec::new();
    }
    let mut bins = vec![0.0; count as usize];
    for (i, t) in at.iter().enumerate() {
        let bin = (t / width).floor();
        if (0.0..count).contains(&bin) {
            bins[bin as usize] += weights(i);
        }
    }
    bins
}

/// Variance over mean of the counts of events in whole bins of `width` (1 for a Poisson process of constant rate).
///
/// `at` and `span` in the unit of `width`. `None` below two whole bins or without an event in them.
#[must_use]
pub fn index_of_dispersion(at: &[f64], width: f64, span: f64) -> Option<f64> {
    let bins = bin_sums(at, |_| 1.0, width, span);
    let (mean, variance) = mean_variance(&bins);
    (bins.len() >= 2 && mean > 0.0).then(|| variance / mean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn moments_of_a_known_sample() {
        let m = Moments::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        assert_eq!((m.n, m.mean), (8, 5.0));
        assert!((m.variance - 32.0 / 7.0).abs() < 1e-12);
        assert!((m.skewness - 0.65625).abs() < 1e-12, "{}", m.skewness);
        assert_eq!(Moments::of(&[]).cv(), 0.0);
        assert_eq!(Moments::of(&[3.0]).sd(), 0.0);
    }

    #[test]
    fn quantiles_are_values_of_the_sample_by_nearest_rank() {
        let sorted: Vec<f64> = (1..=20).map(f64::from).collect();
        for (p, value) in [(0.0, 1.0), (0.05, 1.0), (0.051, 2.0), (0.5, 10.0), (0.95, 19.0), (0.951, 20.0), (1.0, 20.0), (7.0, 20.0)] {
            assert_eq!(quantile_sorted(&sorted, p), Some(value), "{p}");
        }
        assert_eq!(quantile_sorted(&[], 0.5), None);
        assert_eq!(quantile_sorted(&sorted, f64::NAN), None);
    }

    #[test]
    fn distance_of_disjoint_equal_and_tied_samples() {
        assert_eq!(ks_distance(&[1.0, 2.0], &[3.0, 4.0]), 1.0);
        assert_eq!(ks_distance(&[1.0, 1.0, 2.0], &[2.0, 1.0, 1.0]), 0.0);
        assert_eq!(ks_distance(&[1.0, 1.0, 1.0, 2.0], &[1.0, 2.0]), 0.25);
        assert_eq!((ks_distance(&[], &[]), ks_distance(&[], &[1.0])), (0.0, 1.0));
    }

    #[test]
    fn distance_to_a_distribution_function() {
        let sorted: Vec<f64> = (0..100).map(|i| (f64::from(i) + 0.5) / 100.0).collect();
        assert!((ks_against(&sorted, |x| x.clamp(0.0, 1.0)) - 0.005).abs() < 1e-12);
        assert_eq!(ks_against(&[0.5], |_| 0.0), 1.0);
        assert!((ks_critical_5pct(8819) - 0.01446).abs() < 1e-5);
    }

    #[test]
    fn ranks_share_ties_and_correlate() {
        assert_eq!(mid_ranks(&[10.0, 20.0, 20.0, 5.0]), [2.0, 3.5, 3.5, 1.0]);
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[1.0, 8.0, 27.0]), Some(1.0));
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), Some(-1.0));
        assert_eq!(pearson(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(pearson(&[1.0], &[1.0]), None);
    }

    #[test]
    fn dispersion_is_zero_when_even_and_large_when_clumped() {
        let even: Vec<f64> = (0..1000).map(|i| f64::from(i) * 0.1).collect();
        assert_eq!(index_of_dispersion(&even, 1.0, 100.0), Some(0.0));
        let clumps: Vec<f64> = (0..1000).map(|i| f64::from(i / 100) * 10.0).collect();
        assert!(index_of_dispersion(&clumps, 1.0, 100.0).unwrap() > 80.0);
        assert_eq!(index_of_dispersion(&even, 60.0, 100.0), None);
        assert_eq!(index_of_dispersion(&even, 0.0, 100.0), None);
    }

    proptest! {
        /// forall a, b: 0 <= D(a, b) = D(b, a) <= 1, and D(a, a) = 0
        #[test]
        fn distance_is_a_metric(a in prop::collection::vec(-5_i8..5, 1..40), b in prop::collection::vec(-5_i8..5, 1..40)) {
            let (a, b): (Vec<f64>, Vec<f64>) = (a.into_iter().map(f64::from).collect(), b.into_iter().map(f64::from).collect());
            let d = ks_distance(&a, &b);
            prop_assert!((0.0..=1.0).contains(&d));
            prop_assert_eq!(d, ks_distance(&b, &a));
            prop_assert_eq!(ks_distance(&a, &a), 0.0);
        }

        /// forall sample: the sum of mid-ranks is n (n + 1) / 2
        #[test]
        fn mid_ranks_keep_their_sum(x in prop::collection::vec(-3_i8..3, 0..50)) {
            let x: Vec<f64> = x.into_iter().map(f64::from).collect();
            let n = x.len() as f64;
            prop_assert!((mid_ranks(&x).iter().sum::<f64>() - n * (n + 1.0) / 2.0).abs() < 1e-9);
        }
    }
}
