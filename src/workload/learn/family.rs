//! Parametric families fitted to a sample, and how far each is off (Kolmogorov-Smirnov).

use crate::base::stats::sample::{ks_against, mean_variance};
use crate::base::stats::special::{gamma_p, normal_cdf};
use serde::Serialize;
use std::cell::Cell;

/// A family of distributions on the positive numbers (location 0), and the normal one beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// `ln x` is normal.
    Lognormal,
    /// Gamma.
    Gamma,
    /// Weibull.
    Weibull,
    /// Exponential.
    Exponential,
    /// Normal.
    Normal,
}

/// A family with the parameters of greatest likelihood, named as in a scenario, and its distance to the sample.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fit {
    /// The family.
    pub family: Family,
    /// Parameters by their scenario names: `median` and `sigma`, `mean` and `cv`, `scale` and `shape`, `mean`, `mean` and `sd`.
    pub parameters: Vec<(&'static str, f64)>,
    /// Largest distance of the two distribution functions, 0 to 1.
    pub ks: f64,
}

impl Family {
    /// Its name in prose and in a scenario.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lognormal => "lognormal",
            Self::Gamma => "gamma",
            Self::Weibull => "weibull",
            Self::Exponential => "exponential",
            Self::Normal => "normal",
        }
    }
}

/// Every family that can be fitted to `sorted` by maximum likelihood, in the order of [`Family`]. All values must be above zero.
///
/// Empty below two values. Without any spread only the exponential remains.
#[must_use]
pub fn fits(sorted: &[f64]) -> Vec<Fit> {
    if sorted.len() < 2 || sorted[0] <= 0.0 {
        return Vec::new();
    }
    let n = sorted.len() as f64;
    let (mean, variance) = mean_variance(sorted);
    let logs: Vec<f64> = sorted.iter().map(|x| x.ln()).collect();
    let (log_mean, log_variance) = mean_variance(&logs);
    let population = (n - 1.0) / n;
    let (sd, sigma) = ((variance * population).sqrt(), (log_variance * population).sqrt());
    let mut out = Vec::new();
    if sd > 0.0 && sigma > 0.0 {
        out.push(fit(sorted, Family::Lognormal, vec![("median", log_mean.exp()), ("sigma", sigma)], |x| normal_cdf((x.ln() - log_mean) / sigma)));
        let shape = gamma_shape(mean.ln() - log_mean);
        out.push(fit(sorted, Family::Gamma, vec![("mean", mean), ("cv", 1.0 / shape.sqrt())], |x| gamma_p(shape, x * shape / mean)));
        let (scale, shape) = weibull(sorted, &logs, log_mean, sigma);
        out.push(fit(sorted, Family::Weibull, vec![("scale", scale), ("shape", shape)], |x| -(-(x / scale).powf(shape)).exp_m1()));
    }
    out.push(fit(sorted, Family::Exponential, vec![("mean", mean)], |x| -(-x / mean).exp_m1()));
    if sd > 0.0 {
        out.push(fit(sorted, Family::Normal, vec![("mean", mean), ("sd", sd)], |x| normal_cdf((x - mean) / sd)));
    }
    out.retain(|f| f.ks.is_finite() && f.parameters.iter().all(|(_, v)| v.is_finite()));
    out
}

fn fit(sorted: &[f64], family: Family, parameters: Vec<(&'static str, f64)>, cdf: impl Fn(f64) -> f64) -> Fit {
    // Token counts repeat a lot, and the sample is sorted: each value is worked out once.
    let last = Cell::new((f64::NAN, 0.0));
    let ks = ks_against(sorted, |x| {
        if last.get().0 != x {
            last.set((x, cdf(x)));
        }
        last.get().1
    });
    Fit { family, parameters, ks }
}

/// The shape k of greatest likelihood: `ln k - psi(k) = s` with `s = ln(mean) - mean(ln)` > 0, by halving on a scale of logarithms.
fn gamma_shape(s: f64) -> f64 {
    let (mut low, mut high) = (-14.0_f64, 14.0_f64);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        // The left side falls from infinity to 0 as k grows.
        if middle - digamma(middle.exp()) > s {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high).exp()
}

/// The derivative of ln Γ at x > 0: recurrence up to 10, then the asymptotic series (Abramowitz and Stegun 6.3.18); absolute error below 1e-11.
fn digamma(mut x: f64) -> f64 {
    let mut below = 0.0;
    while x < 10.0 {
        below -= 1.0 / x;
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    below + x.ln() - 0.5 / x - square * (1.0 / 12.0 - square * (1.0 / 120.0 - square * (1.0 / 252.0 - square / 240.0)))
}

/// Scale and shape of greatest likelihood: `sum(x^k ln x) / sum(x^k) - 1/k = mean(ln x)` by Newton's method, begun at the moments of `ln x`.
fn weibull(sorted: &[f64], logs: &[f64], log_mean: f64, sigma: f64) -> (f64, f64) {
    // Powers of x / max stay within range for every shape.
    let top = logs.last().copied().unwrap_or(0.0);
    let sums = |k: f64| {
        logs.iter().fold((0.0, 0.0, 0.0), |(a, b, c), log| {
            let weight = (k * (log - top)).exp();
            (a + weight, b + weight * log, c + weight * log * log)
        })
    };
    let mut k = std::f64::consts::PI / 6.0_f64.sqrt() / sigma;
    for _ in 0..60 {
        let (s0, s1, s2) = sums(k);
        let value = s1 / s0 - 1.0 / k - log_mean;
        let slope = s2 / s0 - (s1 / s0).powi(2) + 1.0 / (k * k);
        let step = value / slope;
        // The left side rises with k: a step below zero is halved away from it.
        let next = if k - step > 0.0 { k - step } else { k / 2.0 };
        let done = (next - k).abs() < 1e-10 * k;
        k = next;
        if done {
            break;
        }
    }
    let (s0, ..) = sums(k);
    (top.exp() * (s0 / sorted.len() as f64).powf(1.0 / k), k)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use crate::base::stats::sample::{ks_critical_5pct, sort};
    use rand_distr::{Distribution, Exp, Gamma, LogNormal, Normal, Weibull};

    fn sample(family: Family) -> Vec<f64> {
        let mut rng = Seed(5).stream(family.name());
        let mut draw = || match family {
            Family::Lognormal => LogNormal::new(5.0, 0.8).unwrap().sample(&mut rng),
            Family::Gamma => Gamma::new(0.5, 200.0).unwrap().sample(&mut rng),
            Family::Weibull => Weibull::new(300.0, 0.6).unwrap().sample(&mut rng),
            Family::Exponential => Exp::new(0.01).unwrap().sample(&mut rng),
            Family::Normal => Normal::new(500.0, 40.0).unwrap().sample(&mut rng),
        };
        let mut values: Vec<f64> = (0..20_000).map(|_| draw()).collect();
        sort(&mut values);
        values
    }

    /// forall family: its own sample is fitted within the critical distance, with the parameters it was drawn with
    #[test]
    fn a_sample_is_recognised_as_its_own_family() {
        let truth = [
            (Family::Lognormal, [5.0_f64.exp(), 0.8]),
            (Family::Gamma, [100.0, 2.0_f64.sqrt()]),
            (Family::Weibull, [300.0, 0.6]),
            (Family::Exponential, [100.0, f64::NAN]),
            (Family::Normal, [500.0, 40.0]),
        ];
        for (family, parameters) in truth {
            let sorted = sample(family);
            let fits = fits(&sorted);
            let own = fits.iter().find(|f| f.family == family).unwrap();
            assert!(own.ks < ks_critical_5pct(sorted.len()), "{own:?}");
            for ((name, found), wanted) in own.parameters.iter().zip(parameters) {
                assert!((found / wanted - 1.0).abs() < 0.03, "{family:?} {name}: {found} is not {wanted}");
            }
            let rivals = fits.iter().filter(|f| f.family != family && f.family != Family::Gamma && f.family != Family::Weibull);
            rivals.for_each(|rival| assert!(rival.ks > own.ks, "{rival:?} beats {own:?}"));
        }
    }

    #[test]
    fn samples_without_spread_or_with_zeros_give_no_nonsense() {
        assert_eq!(fits(&[]), []);
        assert_eq!(fits(&[0.0, 1.0, 2.0]), []);
        let constant = fits(&[3.0; 50]);
        assert_eq!(constant.iter().map(|f| f.family).collect::<Vec<_>>(), [Family::Exponential]);
        assert!((constant[0].ks - 0.632).abs() < 0.001);
    }

    #[test]
    fn digamma_is_known_at_one_and_a_half() {
        assert!((digamma(1.0) + 0.577_215_664_901_532_9).abs() < 1e-11);
        assert!((digamma(0.5) + 1.963_510_026_021_423_5).abs() < 1e-11);
    }
}
