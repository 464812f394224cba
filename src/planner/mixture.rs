//! `Mixture`: how the share of failed periods differs from draw to draw, estimated from a few periods of each.
//!
//! A draw of endpoint and demand has a share `p` of periods that fail; its simulated periods tell it badly (a count of a few dozen), but the counts
//! of all draws together tell how `p` is distributed. The need of a period is, as a logarithm, a level that is not known plus the noise of days, both
//! about normal; then `p = Phi(mu + tau z)` over draws, with a standard normal `z` (the probit-normal binomial, Williams 1982; the same latent
//! threshold as in Vasicek 1987). Its mean is `Phi(mu / sqrt(1 + tau^2))`, so one parameter follows from the mean of the counts and the other is
//! found by maximum likelihood.

use crate::base::stats::interval::{ln_gamma, normal_quantile};
use crate::base::stats::special::normal_cdf;

/// Places at which the normal distribution of draws is summed, alike in probability.
const PLACES: u32 = 64;
/// Standard deviations between draws that are tried: none, and from 0.05 up by a quarter each.
const SPREADS: i32 = 24;

/// `p = Phi(mu + tau z)` over draws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixture {
    /// Mean of the probit.
    pub mu: f64,
    /// Its standard deviation between draws.
    pub tau: f64,
}

impl Mixture {
    /// The likeliest mixture for `failed` periods of `depth` in each draw, its mean shifted by `shift` of its own standard errors.
    #[must_use]
    pub fn of(failed: &[u32], depth: u32, shift: f64) -> Self {
        let (draws, n) = (failed.len() as f64, f64::from(depth.max(1)));
        let mean = failed.iter().map(|&f| f64::from(f) / n).sum::<f64>() / draws.max(1.0);
        let variance = failed.iter().map(|&f| (f64::from(f) / n - mean).powi(2)).sum::<f64>() / (draws - 1.0).max(1.0);
        // Half a failure in all: no failure seen is not none to be had.
        let least = 0.5 / (draws * n + 1.0);
        let mean = (mean + shift * (variance / draws.max(1.0)).sqrt()).clamp(least, 1.0 - least);
        let mut counts: Vec<(u32, f64)> = Vec::new();
        for &f in failed {
            match counts.iter_mut().find(|(known, _)| *known == f) {
                Some((_, times)) => *times += 1.0,
                None => counts.push((f, 1.0)),
            }
        }
        let places: Vec<f64> = (0..PLACES).map(|i| normal_quantile((f64::from(i) + 0.5) / f64::from(PLACES))).collect();
        let spreads = std::iter::once(0.0).chain((0..SPREADS).map(|i| 0.05 * 1.25_f64.powi(i)));
        let likelihoods = spreads.map(|tau| {
            let mixture = Self::with_mean(mean, tau);
            (mixture, mixture.log_likelihood(&counts, n, &places))
        });
        likelihoods.fold((Self::with_mean(mean, 0.0), f64::NEG_INFINITY), |best, next| if next.1 > best.1 { next } else { best }).0
    }

    /// The mixture with this mean share and this spread.
    #[must_use]
    pub fn with_mean(mean: f64, tau: f64) -> Self {
        Self { mu: normal_quantile(mean) * (1.0 + tau * tau).sqrt(), tau }
    }

    /// Probability that more than the share `allowed` of the periods of a draw fail.
    #[must_use]
    pub fn beyond(&self, allowed: f64) -> f64 {
        let apart = self.mu - normal_quantile(allowed);
        if self.tau > 0.0 { normal_cdf(apart / self.tau) } else { f64::from(u8::from(apart > 0.0)) }
    }

    fn log_likelihood(&self, counts: &[(u32, f64)], n: f64, places: &[f64]) -> f64 {
        let logs: Vec<(f64, f64)> = places
            .iter()
            .map(|z| {
                let x = self.mu + self.tau * z;
                (normal_cdf(x).max(1e-300).ln(), normal_cdf(-x).max(1e-300).ln())
            })
            .collect();
        let of_count = |failed: u32| {
            let f = f64::from(failed);
            let ways = ln_gamma(n + 1.0) - ln_gamma(f + 1.0) - ln_gamma(n - f + 1.0);
            let sum: f64 = logs.iter().map(|(lost, kept)| (ways + f * lost + (n - f) * kept).exp()).sum();
            (sum / places.len() as f64).max(1e-300).ln()
        };
        counts.iter().map(|&(failed, times)| times * of_count(failed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use rand::RngExt;

    fn counts(truth: Mixture, draws: u32, depth: u32, seed: u64) -> Vec<u32> {
        let mut stream = Seed(seed).stream("mixture");
        (0..draws)
            .map(|_| {
                let z = normal_quantile(stream.random::<f64>().clamp(1e-12, 1.0 - 1e-12));
                let p = normal_cdf(truth.mu + truth.tau * z);
                (0..depth).map(|_| u32::from(stream.random::<f64>() < p)).sum()
            })
            .collect()
    }

    #[test]
    fn the_mean_is_the_closed_form_and_its_tail_too() {
        for (mean, tau) in [(0.02, 0.4), (0.1, 1.0), (0.3, 2.0)] {
            let mixture = Mixture::with_mean(mean, tau);
            let places = 20_000;
            let shares = (0..places).map(|i| normal_cdf(mixture.mu + tau * normal_quantile((f64::from(i) + 0.5) / f64::from(places))));
            let (sum, above) = shares.fold((0.0, 0.0), |(sum, above), p| (sum + p, above + f64::from(u8::from(p > 0.1))));
            assert!((sum / f64::from(places) - mean).abs() < 1e-4);
            assert!((above / f64::from(places) - mixture.beyond(0.1)).abs() < 1e-3);
        }
    }

    /// forall mixtures: many draws give the tail back.
    #[test]
    fn many_draws_tell_how_many_are_bad() {
        for (case, (mean, tau)) in (0..).zip([(0.02, 0.3), (0.03, 0.6), (0.05, 0.8), (0.02, 1.5)]) {
            let truth = Mixture::with_mean(mean, tau);
            let found = Mixture::of(&counts(truth, 4000, 30, case), 30, 0.0);
            assert!((found.beyond(0.1) - truth.beyond(0.1)).abs() < 0.012, "{truth:?} {found:?}: {} {}", truth.beyond(0.1), found.beyond(0.1));
        }
    }

    #[test]
    fn one_bad_draw_among_perfect_ones_counts_as_about_one() {
        let mut failed = vec![0; 100];
        failed[7] = 30;
        let beyond = Mixture::of(&failed, 30, 0.0).beyond(0.1);
        assert!((0.004..0.03).contains(&beyond), "{beyond}");
        assert!(Mixture::of(&[0; 100], 30, 0.0).beyond(0.1) < 1e-3);
    }
}
