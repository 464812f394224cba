//! Output analysis of a correlated series: where its warm-up ends, how long it remembers, how sure a ratio of its sums is, whether it drifts.

use super::interval::student_t_quantile;
use super::sample::mean_variance;

/// Observations in a batch of MSER-5.
const MSER_BATCH: usize = 5;

/// Where the warm-up of `series` ends: the first index that belongs to the plateau, by MSER-5.
///
/// The truncation that minimises the squared standard error of the mean of what remains, over means of five observations, never more than half
/// of the series (White, Cobb and Spratt 2000: A comparison of five steady-state truncation heuristics; Franklin and White 2008). 0 for less
/// than ten observations.
#[must_use]
pub fn mser5(series: &[f64]) -> usize {
    let means: Vec<f64> = series.chunks_exact(MSER_BATCH).map(|c| c.iter().sum::<f64>() / MSER_BATCH as f64).collect();
    let m = means.len();
    if m < 2 {
        return 0;
    }
    // Sums over the tail, from its end: one pass gives every truncation.
    let shift = means[m - 1];
    let (mut sum, mut squares, mut best) = (0.0, 0.0, (f64::INFINITY, 0));
    for d in (0..m).rev() {
        let z = means[d] - shift;
        sum += z;
        squares += z * z;
        if d > m / 2 {
            continue;
        }
        let n = (m - d) as f64;
        let error = (squares - sum * sum / n).max(0.0) / (n * n);
        if error <= best.0 {
            best = (error, d);
        }
    }
    best.1 * MSER_BATCH
}

/// How long `series` remembers, in observations: the integrated autocorrelation time `1/2 + sum of r(k)`, at least 1/2 (white noise).
///
/// The sum ends at the first lag that is five times the value so far: beyond it there is only noise (Madras and Sokal 1988, J. Stat. Phys. 50).
/// For a correlation that decays as `exp(-k / tau)` this is tau. `None` below eight observations or without spread.
#[must_use]
pub fn memory(series: &[f64]) -> Option<f64> {
    let (mean, variance) = mean_variance(series);
    let n = series.len();
    if n < 8 || variance <= mean.abs() * 1e-12 {
        return None;
    }
    let centred: Vec<f64> = series.iter().map(|x| x - mean).collect();
    let power: f64 = centred.iter().map(|x| x * x).sum();
    let mut tau = 0.5;
    for lag in 1..n / 2 {
        let r = centred.iter().zip(&centred[lag..]).map(|(a, b)| a * b).sum::<f64>() / power;
        tau += r;
        if lag as f64 >= 5.0 * tau {
            break;
        }
    }
    Some(tau.max(0.5))
}

/// A ratio of sums over batches, `sum(part) / sum(whole)`, and its standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ratio {
    /// The ratio; 0 if the whole is 0.
    pub value: f64,
    /// Standard error by batch means; infinite below two batches.
    pub error: f64,
    /// Degrees of freedom of the standard error.
    pub df: f64,
}

/// The ratio of sums over consecutive batches of a stationary series, each `(part, whole)`.
///
/// The variance is that of the residuals `part - value * whole` (ratio estimator; Cochran 1977, 6.3) over batches (batch means; Schmeiser 1982),
/// plus twice their covariance at lag 1 where it is positive: batches that are too short to be independent still give an honest error.
#[must_use]
pub fn ratio_of_batches(batches: &[(f64, f64)]) -> Ratio {
    controlled_ratio(batches, &[])
}

/// The same, with what is known of each batch taken out of it: `controls` hold for each batch how far two quantities of known mean lay from it.
///
/// Regression on control variates over batch means (Lavenberg and Welch 1981, Management Science 27; Nelson 1989, Operations Research 37): the part
/// that the controls explain is subtracted, the error is that of what remains, widened for the two coefficients. The controls are left out when
/// they explain less than they cost.
#[must_use]
pub fn controlled_ratio(batches: &[(f64, f64)], controls: &[[f64; 2]]) -> Ratio {
    let (part, whole) = batches.iter().fold((0.0, 0.0), |(a, b), (p, w)| (a + p, b + w));
    let n = batches.len() as f64;
    if whole <= 0.0 {
        return Ratio { value: 0.0, error: f64::INFINITY, df: 0.0 };
    }
    let value = part / whole;
    if batches.len() < 2 {
        return Ratio { value, error: f64::INFINITY, df: 0.0 };
    }
    let rest: Vec<f64> = batches.iter().map(|(p, w)| p - value * w).collect();
    let plain = Ratio { value, error: (spread(&rest) * n / (n - 1.0)).sqrt() / whole, df: n - 1.0 };
    if controls.len() != batches.len() || batches.len() < 10 {
        return plain;
    }
    let Some(slopes) = regress(&rest, controls) else { return plain };
    let explained = |c: &[f64; 2]| slopes[0] * c[0] + slopes[1] * c[1];
    let shift: f64 = controls.iter().map(explained).sum();
    let left: Vec<f64> = rest.iter().zip(controls).map(|(r, c)| r - explained(c) + shift / n).collect();
    // Lavenberg and Welch's loss factor for two coefficients, over the degrees of freedom that remain.
    let error = (spread(&left) * n / (n - 3.0) * (n - 2.0) / (n - 4.0)).sqrt() / whole;
    if error < plain.error { Ratio { value: (value - shift / whole).clamp(0.0, 1.0), error, df: n - 3.0 } } else { plain }
}

/// Sum of squares, and twice the products of neighbours where that is positive.
fn spread(rest: &[f64]) -> f64 {
    let own: f64 = rest.iter().map(|r| r * r).sum();
    let next: f64 = rest.windows(2).map(|w| w[0] * w[1]).sum();
    own + 2.0 * next.max(0.0)
}

/// Least squares of `y` (mean zero) on two centred controls.
fn regress(y: &[f64], controls: &[[f64; 2]]) -> Option<[f64; 2]> {
    let n = y.len() as f64;
    let mean = |k: usize| controls.iter().map(|c| c[k]).sum::<f64>() / n;
    let (m0, m1) = (mean(0), mean(1));
    let (mut s00, mut s01, mut s11, mut t0, mut t1) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (y, c) in y.iter().zip(controls) {
        let (a, b) = (c[0] - m0, c[1] - m1);
        (s00, s01, s11) = (s00 + a * a, s01 + a * b, s11 + b * b);
        (t0, t1) = (t0 + a * y, t1 + b * y);
    }
    let det = s00 * s11 - s01 * s01;
    (det > 1e-9 * s00 * s11).then(|| [(t0 * s11 - t1 * s01) / det, (t1 * s00 - t0 * s01) / det])
}

/// Whether a series drifts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Trend {
    /// Change from the beginning of the series to its end, by least squares.
    pub rise: f64,
    /// Its standard error; infinite below four values.
    pub error: f64,
    /// Whether a rise of either sign is surer than 99 %.
    pub drifts: bool,
}

/// The straight line through means of consecutive batches, and whether it is level (t test of the slope, two-sided, 1 %).
///
/// The batches must be long beside the memory of the series, or the test sees drift where there is only memory.
#[must_use]
pub fn trend(means: &[f64]) -> Trend {
    let n = means.len() as f64;
    if means.len() < 4 {
        return Trend { rise: 0.0, error: f64::INFINITY, drifts: false };
    }
    let (mean, _) = mean_variance(means);
    let at = |i: usize| i as f64 - (n - 1.0) / 2.0;
    let spread: f64 = (0..means.len()).map(|i| at(i) * at(i)).sum();
    let slope = means.iter().enumerate().map(|(i, y)| at(i) * (y - mean)).sum::<f64>() / spread;
    let left: f64 = means.iter().enumerate().map(|(i, y)| (y - mean - slope * at(i)).powi(2)).sum();
    let error = (left / (n - 2.0) / spread).sqrt();
    let sure = student_t_quantile(0.995, n - 2.0);
    Trend { rise: slope * n, error: error * n, drifts: slope.abs() > sure * error && slope != 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use proptest::prelude::*;
    use rand::RngExt;

    /// AR(1) with unit innovations that are uniform, stationary from the start.
    fn ar1(phi: f64, n: usize, seed: u64) -> Vec<f64> {
        let mut stream = Seed(seed).stream("ar1");
        let mut x = 0.0;
        let mut step = || {
            x = phi * x + stream.random::<f64>() - 0.5;
            x
        };
        (0..200).for_each(|_| {
            step();
        });
        (0..n).map(|_| step()).collect()
    }

    /// A series that starts high and settles: the cut lies behind the transient and before the middle.
    #[test]
    fn the_warm_up_is_cut_where_it_ends() {
        for seed in 0..20 {
            let mut series = ar1(0.5, 1000, seed);
            series.iter_mut().enumerate().for_each(|(i, x)| *x += 20.0 * (-(i as f64) / 30.0).exp());
            let cut = mser5(&series);
            assert!((60..=500).contains(&cut), "{cut}");
        }
        assert_eq!(mser5(&[1.0; 9]), 0);
        assert_eq!(mser5(&[1.0; 500]), 0);
    }

    /// AR(1): 1/2 + sum phi^k = (1 + phi) / (2 (1 - phi)).
    #[test]
    fn memory_of_a_known_series() {
        for phi in [0.0, 0.5, 0.9] {
            let expected = (1.0 + phi) / (2.0 * (1.0 - phi));
            let found = memory(&ar1(phi, 50_000, 3)).unwrap();
            assert!((found / expected - 1.0).abs() < 0.12, "{phi}: {found} instead of {expected}");
        }
        assert_eq!(memory(&[3.0; 100]), None);
        assert_eq!(memory(&[1.0, 2.0]), None);
    }

    /// Of 400 AR(1) series with mean 0, the 95 % interval by batch means holds 0 in 92 % or more although a batch is only five memories long.
    #[test]
    fn batch_means_cover_the_mean_of_a_correlated_series() {
        let mut held = 0;
        for seed in 0..400 {
            let batches: Vec<(f64, f64)> = ar1(0.8, 1000, seed).chunks(50).map(|c| (c.iter().sum::<f64>(), c.len() as f64)).collect();
            let ratio = ratio_of_batches(&batches);
            held += u32::from(ratio.value.abs() <= student_t_quantile(0.975, ratio.df) * ratio.error);
        }
        assert!((368..=398).contains(&held), "{held} of 400");
    }

    /// A level series drifts in about one of a hundred; one that rises by four deviations always does.
    #[test]
    fn a_drift_is_told_from_noise() {
        let means = |seed: u64, rise: f64| -> Vec<f64> {
            let series = ar1(0.5, 2000, seed);
            series.chunks(200).enumerate().map(|(i, c)| c.iter().sum::<f64>() / 200.0 + rise * i as f64 / 10.0).collect()
        };
        let level = (0..300).filter(|&s| trend(&means(s, 0.0)).drifts).count();
        assert!(level <= 12, "{level} of 300");
        assert!((0..100).all(|s| trend(&means(s, 1.0)).drifts && trend(&means(s, 1.0)).rise > 0.5));
        assert!(!trend(&[1.0, 2.0, 3.0]).drifts);
        assert!(!trend(&[2.0; 10]).drifts);
    }

    proptest! {
        /// forall batches: the ratio is that of the sums, and no error is below zero or NaN
        #[test]
        fn the_ratio_is_that_of_the_sums(batches in prop::collection::vec((0.0_f64..10.0, 0.1_f64..10.0), 2..40)) {
            let (p, w) = batches.iter().fold((0.0, 0.0), |(a, b), (p, w)| (a + p, b + w));
            let ratio = ratio_of_batches(&batches);
            prop_assert!((ratio.value - p / w).abs() < 1e-12);
            prop_assert!(ratio.error >= 0.0);
        }
    }
}
