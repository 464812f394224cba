//! Change points: where a noisy series steps from one level to another, how sure that is, and whether it steps at all.
//!
//! Least squares on piecewise constant means, the best partition by dynamic programming (Auger and Lawrence 1989, Bull. Math. Biol. 51; Bai and
//! Perron 1998, Econometrica 66), the number of steps by a Schwarz criterion (Yao 1988, Stat. Prob. Letters 6) whose variance is the long-run one, because
//! neighbouring bins of a loaded endpoint are not independent. The interval is that of Bai 1997 (Rev. Econ. Stat. 79).

use crate::base::stats::output::memory;
use crate::base::stats::sample::mean_variance;
use std::f64::consts::PI;

/// Penalty of one more step in units of the long-run variance, times the logarithm of the length: a place and a level, with a margin against ramps.
const PENALTY: f64 = 3.5;

/// One step of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Index of the first value of the new level.
    pub at: usize,
    /// Indices between which it lies with the confidence asked for; fractions of an index are possible.
    pub low: f64,
    /// See `low`.
    pub high: f64,
    /// Mean before.
    pub before: f64,
    /// Mean behind.
    pub after: f64,
    /// Square of the jump over its standard error by the long-run variance; infinite without noise.
    pub strength: f64,
}

/// The steps of `values` in order, at most `most`, each level at least `least` values long; `confidence` (0 to 1) is that of their intervals.
///
/// No step is found in a series shorter than two levels, nor in one without spread. Takes time in the order of `most * n * n`.
#[must_use]
pub fn steps(values: &[f64], least: usize, most: usize, confidence: f64) -> Vec<Step> {
    let least = least.max(2);
    if values.len() < 2 * least {
        return Vec::new();
    }
    let sums = Sums::of(values);
    let partitions = partitions(&sums, values.len(), least, most);
    let Some(finest) = partitions.last() else { return Vec::new() };
    let variance = long_run_variance(values, &finest.bounds);
    if variance <= 0.0 || !variance.is_finite() {
        return exact(&partitions, &sums, values.len());
    }
    let price = PENALTY * variance * (values.len() as f64).ln();
    let chosen = partitions.iter().enumerate().min_by(|a, b| (a.1.cost + price * a.0 as f64).total_cmp(&(b.1.cost + price * b.0 as f64)));
    let Some((_, chosen)) = chosen else { return Vec::new() };
    let variance = long_run_variance(values, &chosen.bounds);
    described(&chosen.bounds, &sums, values.len(), |jump| half_width(variance, jump, confidence), variance)
}

/// Without noise the fewest steps that explain everything are the answer, to the index.
fn exact(partitions: &[Partition], sums: &Sums, n: usize) -> Vec<Step> {
    let rest = partitions.last().map_or(0.0, |p| p.cost);
    let scale = 1e-9 * (1.0 + sums.cost(0, n));
    partitions.iter().find(|p| p.cost <= rest + scale).map_or_else(Vec::new, |p| described(&p.bounds, sums, n, |_| 0.0, 0.0))
}

fn described(bounds: &[usize], sums: &Sums, n: usize, half_width: impl Fn(f64) -> f64, variance: f64) -> Vec<Step> {
    let edge = |i: usize| if i < bounds.len() { bounds[i] } else { n };
    let mut from = 0;
    let mut found = Vec::new();
    for (i, &at) in bounds.iter().enumerate() {
        let (before, after) = (sums.mean(from, at), sums.mean(at, edge(i + 1)));
        let (jump, to) = (after - before, edge(i + 1));
        let half = half_width(jump);
        let (low, high) = ((at as f64 - half).max(from as f64), (at as f64 + half).min(to as f64));
        let strength = jump * jump / (variance * (1.0 / (at - from) as f64 + 1.0 / (to - at) as f64));
        found.push(Step { at, low, high, before, after, strength });
        from = at;
    }
    found
}

/// Bai 1997, equations 17 to 20 with one variance on both sides: the estimate less the truth, times `jump^2 / variance`, has the distribution of
/// the place of the maximum of a two-sided Brownian motion with drift. One index is added, because indices are whole.
fn half_width(variance: f64, jump: f64, confidence: f64) -> f64 {
    1.0 + argmax_quantile(0.5 + 0.5 * confidence) * variance / (jump * jump).max(f64::MIN_POSITIVE)
}

/// Distribution function of `argmax over s of W(s) - |s| / 2` at `x >= 0` (Yao 1987, Ann. Stat. 15; Bai 1997, appendix).
fn argmax_cdf(x: f64) -> f64 {
    let root = x.sqrt();
    // e^x Phi(-1.5 sqrt x) as one exponential: the factors alone overflow and vanish.
    let tail = upper_tail_times(1.5 * root, x);
    1.0 + (x / (2.0 * PI)).sqrt() * (-x / 8.0).exp() + 1.5 * tail - 0.5 * (x + 5.0) * upper_tail_times(0.5 * root, 0.0)
}

/// `e^log_factor * (1 - Phi(z))`, z >= 0: complementary error function by the continued fraction above 3, by its series below.
fn upper_tail_times(z: f64, log_factor: f64) -> f64 {
    let density = (log_factor - 0.5 * z * z).exp() / (2.0 * PI).sqrt();
    if z > 3.0 {
        // Laplace: 1/(z + 1/(z + 2/(z + 3/(z + ...)))).
        let fraction = (1..=60).rev().fold(z, |below, k| z + f64::from(k) / below);
        return density / fraction;
    }
    // 1/2 - phi(z) (z + z^3/3 + z^5/15 + ...).
    let (mut term, mut sum) = (z, z);
    for k in 1..200 {
        term *= z * z / f64::from(2 * k + 1);
        sum += term;
    }
    0.5 * log_factor.exp() - density * sum
}

/// The value that [`argmax_cdf`] takes `p` at, `p` from 0.5 to 0.9999: by bisection.
fn argmax_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (0.0, 200.0);
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if argmax_cdf(middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// Variance of the residuals times twice their integrated autocorrelation time: what a sum of n of them varies by, over n.
fn long_run_variance(values: &[f64], bounds: &[usize]) -> f64 {
    let mut rest = Vec::with_capacity(values.len());
    let mut from = 0;
    for &to in bounds.iter().chain([&values.len()]) {
        let (mean, _) = mean_variance(&values[from..to]);
        rest.extend(values[from..to].iter().map(|v| v - mean));
        from = to;
    }
    let n = rest.len() as f64;
    let parameters = 2.0 * bounds.len() as f64 + 1.0;
    let variance = rest.iter().map(|r| r * r).sum::<f64>() / (n - parameters).max(1.0);
    variance * (2.0 * memory(&rest).unwrap_or(0.5)).max(1.0)
}

/// The best places of a number of steps.
struct Partition {
    bounds: Vec<usize>,
    /// Sum of squares around the means.
    cost: f64,
}

/// The best partition for each number of steps from none to `most`.
fn partitions(sums: &Sums, n: usize, least: usize, most: usize) -> Vec<Partition> {
    // best[j]: the cost of the first j values, and where the last level began, for the number of levels at hand.
    let mut best: Vec<f64> = (0..=n).map(|j| if j >= least { sums.cost(0, j) } else { f64::INFINITY }).collect();
    let mut starts: Vec<Vec<usize>> = Vec::new();
    let mut found = vec![Partition { bounds: Vec::new(), cost: best[n] }];
    for levels in 2..=most + 1 {
        let mut next = vec![f64::INFINITY; n + 1];
        let mut start = vec![0; n + 1];
        for j in levels * least..=n {
            let first = (levels - 1) * least;
            for (i, before) in (first..).zip(&best[first..=j - least]) {
                let cost = before + sums.cost(i, j);
                if cost < next[j] {
                    (next[j], start[j]) = (cost, i);
                }
            }
        }
        if !next[n].is_finite() {
            break;
        }
        starts.push(start);
        best = next;
        let mut bounds = Vec::new();
        let mut j = n;
        for start in starts.iter().rev() {
            j = start[j];
            bounds.push(j);
        }
        bounds.reverse();
        found.push(Partition { bounds, cost: best[n] });
    }
    found
}

/// Sums of values and squares from the left, of what differs from the mean: sums of squares without loss of digits.
struct Sums {
    mean: f64,
    values: Vec<f64>,
    squares: Vec<f64>,
}

impl Sums {
    fn of(values: &[f64]) -> Self {
        let (mean, _) = mean_variance(values);
        let mut sums = Self { mean, values: vec![0.0], squares: vec![0.0] };
        let (mut a, mut b) = (0.0, 0.0);
        for v in values {
            a += v - mean;
            b += (v - mean) * (v - mean);
            sums.values.push(a);
            sums.squares.push(b);
        }
        sums
    }

    /// Sum of squares around the mean of `from..to`.
    fn cost(&self, from: usize, to: usize) -> f64 {
        let sum = self.values[to] - self.values[from];
        (self.squares[to] - self.squares[from] - sum * sum / (to - from) as f64).max(0.0)
    }

    fn mean(&self, from: usize, to: usize) -> f64 {
        self.mean + (self.values[to] - self.values[from]) / (to - from).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use proptest::prelude::*;
    use rand::RngExt;

    /// A step of `jump` at `at` in noise of standard deviation 1 with lag-one correlation `phi`.
    fn series(seed: u64, n: usize, at: usize, jump: f64, phi: f64) -> Vec<f64> {
        let mut stream = Seed(seed).stream("noise");
        let mut draw = || (0..12).map(|_| stream.random::<f64>()).sum::<f64>() - 6.0;
        let mut noise = draw();
        (0..n)
            .map(|i| {
                noise = phi * noise + (1.0 - phi * phi).sqrt() * draw();
                noise + if i >= at { jump } else { 0.0 }
            })
            .collect()
    }

    /// The quantiles that Bai 1997 gives: 7, 11 and 20 for 90 %, 95 % and 99 % (rounded there).
    #[test]
    fn quantiles_of_the_place_of_the_maximum() {
        for (confidence, quantile) in [(0.90, 7.69), (0.95, 11.03), (0.99, 19.77)] {
            let found = argmax_quantile(0.5 + 0.5 * confidence);
            assert!((found - quantile).abs() < 0.02, "{confidence}: {found}");
        }
        assert!((argmax_cdf(0.0) - 0.5).abs() < 1e-12);
    }

    /// 400 series a case: a step of two standard deviations is found, its interval holds the truth about as often as it says, and noise alone has none.
    #[test]
    fn the_interval_holds_the_step_and_noise_has_none() {
        for phi in [0.0, 0.4] {
            let (mut inside, mut bias, mut false_alarms) = (0, 0.0, 0);
            for seed in 0..400 {
                let found = steps(&series(seed, 120, 50, 2.0, phi), 5, 2, 0.95);
                let one = found.iter().min_by_key(|s| s.at.abs_diff(50)).copied().unwrap_or(Step {
                    at: 0,
                    low: 0.0,
                    high: 0.0,
                    before: 0.0,
                    after: 0.0,
                    strength: 0.0,
                });
                inside += u32::from(one.low <= 50.0 && 50.0 <= one.high);
                bias += (one.at as f64 - 50.0) / 400.0;
                false_alarms += u32::from(!steps(&series(seed + 1000, 120, 0, 0.0, phi), 5, 2, 0.95).is_empty());
            }
            assert!(inside >= 368, "phi {phi}: {inside} of 400 intervals hold the step");
            assert!(bias.abs() < 0.5, "phi {phi}: {bias}");
            assert!(false_alarms <= 20, "phi {phi}: {false_alarms} of 400");
        }
    }

    #[test]
    fn a_series_without_noise_is_told_to_the_index() {
        let found = steps(&[vec![1.0; 10], vec![3.0; 7], vec![2.0; 9]].concat(), 3, 4, 0.95);
        let rounded: Vec<_> = found.iter().map(|s| (s.at, s.before.round(), s.after.round())).collect();
        assert_eq!(rounded, [(10, 1.0, 3.0), (17, 3.0, 2.0)]);
        assert!(steps(&[5.0; 30], 3, 4, 0.95).is_empty());
        assert!(steps(&[1.0, 2.0, 3.0], 3, 4, 0.95).is_empty());
    }

    proptest! {
        /// forall values: steps are in order, levels are long enough, and intervals hold their step
        #[test]
        fn steps_are_in_order(values in prop::collection::vec(-10.0_f64..10.0, 0..60), least in 2_usize..8, most in 1_usize..4) {
            let found = steps(&values, least, most, 0.9);
            prop_assert!(found.len() <= most);
            let mut from = 0;
            for step in &found {
                prop_assert!(step.at >= from + least && step.at + least <= values.len());
                prop_assert!(step.low <= step.at as f64 && step.at as f64 <= step.high);
                from = step.at;
            }
        }
    }
}
