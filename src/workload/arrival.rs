//! Inter-arrival families: unit-mean renewal processes that a rate function stretches into instants (time rescaling).

use crate::base::rng::{Seed, Stream};
use crate::base::stats::interval::ln_gamma;
use rand::RngExt;
use rand_distr::{Distribution, Exp1, Gamma};

/// Why an inter-arrival family cannot be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// A coefficient of variation out of range.
    #[error("{family} gaps with CV {cv}; expected {min} to {max}")]
    Variation {
        /// The family.
        family: &'static str,
        /// The coefficient of variation.
        cv: f64,
        /// Smallest allowed.
        min: f64,
        /// Largest allowed.
        max: f64,
    },
}

/// How gaps of mean 1 are distributed.
#[derive(Clone, Copy, Debug)]
pub enum Family {
    /// Always 1.
    Constant,
    /// Exponential: a Poisson process.
    Exponential,
    /// Gamma of a shape.
    Gamma {
        /// Draws a gap.
        gap: Gamma<f64>,
        /// Draws a gap with probability proportional to its length.
        long_gap: Gamma<f64>,
    },
    /// Weibull of a shape.
    Weibull {
        /// Scale that makes the mean 1.
        scale: f64,
        /// 1 / shape.
        inverse_shape: f64,
        /// Draws (x / scale)^shape for a gap x met with probability proportional to its length.
        long_power: Gamma<f64>,
    },
}

impl Family {
    /// Gamma gaps: shape `1 / cv^2`. `cv` from 0.01 to 20.
    pub fn gamma(cv: f64) -> Result<Self, Error> {
        let refuse = || Error::Variation { family: "gamma", cv, min: 0.01, max: 20.0 };
        if !(0.01..=20.0).contains(&cv) {
            return Err(refuse());
        }
        let shape = 1.0 / (cv * cv);
        let gap = Gamma::new(shape, 1.0 / shape).map_err(|_| refuse())?;
        let long_gap = Gamma::new(shape + 1.0, 1.0 / shape).map_err(|_| refuse())?;
        Ok(Self::Gamma { gap, long_gap })
    }

    /// Weibull gaps; the shape is solved from `cv`, 0.05 to 20.
    pub fn weibull(cv: f64) -> Result<Self, Error> {
        let refuse = || Error::Variation { family: "weibull", cv, min: 0.05, max: 20.0 };
        if !(0.05..=20.0).contains(&cv) {
            return Err(refuse());
        }
        let inverse_shape = weibull_inverse_shape(cv);
        let scale = (-ln_gamma(1.0 + inverse_shape)).exp();
        let long_power = Gamma::new(1.0 + inverse_shape, 1.0).map_err(|_| refuse())?;
        Ok(Self::Weibull { scale, inverse_shape, long_power })
    }
}

/// `s = 1/shape` with `cv^2 = Γ(1 + 2s) / Γ(1 + s)^2 - 1`, by halving: the right side grows with `s`.
fn weibull_inverse_shape(cv: f64) -> f64 {
    let target = (cv * cv).ln_1p();
    let (mut low, mut high) = (1e-4, 32.0);
    for _ in 0..80 {
        let s = f64::midpoint(low, high);
        if ln_gamma(1.0 + 2.0 * s) - 2.0 * ln_gamma(1.0 + s) < target {
            low = s;
        } else {
            high = s;
        }
    }
    f64::midpoint(low, high)
}

/// A renewal process of rate 1, from its beginning.
///
/// It starts in equilibrium, as if it had run for ever: the first gap is the rest of a gap met with probability proportional to its length.
/// So the expected number of arrivals in every window is exactly Λ of that window, for any CV; a process that starts with a whole gap
/// is off by `(cv^2 - 1) / 2` arrivals. Constant gaps take the mean of that rest, one half: the k-th arrival is due at Λ⁻¹(k + 1/2), in
/// the middle of its slot, so that no arrival sits on the border of a phase, where rounding would decide to which side it belongs.
#[derive(Clone, Debug)]
pub struct Renewal {
    family: Family,
    stream: Stream,
    arrivals: u64,
    position: f64,
}

impl Renewal {
    /// The process of `family` drawn from the stream `arrivals` of `seed`.
    #[must_use]
    pub fn new(family: Family, seed: Seed) -> Self {
        Self { family, stream: seed.stream("arrivals"), arrivals: 0, position: 0.0 }
    }

    /// Position of the next arrival on the time scale on which the rate is 1. Never falls.
    pub fn advance(&mut self) -> f64 {
        let is_first = self.arrivals == 0;
        self.position = match self.family {
            // Counted, not added up: no rounding error gathers.
            Family::Constant => self.arrivals as f64 + 0.5,
            Family::Exponential => {
                let gap: f64 = Exp1.sample(&mut self.stream);
                self.position + gap
            }
            Family::Gamma { long_gap, .. } if is_first => self.stream.random::<f64>() * long_gap.sample(&mut self.stream),
            Family::Gamma { gap, .. } => self.position + gap.sample(&mut self.stream),
            Family::Weibull { scale, inverse_shape, long_power } if is_first => {
                self.stream.random::<f64>() * scale * long_power.sample(&mut self.stream).powf(inverse_shape)
            }
            Family::Weibull { scale, inverse_shape, .. } => {
                let power: f64 = Exp1.sample(&mut self.stream);
                self.position + scale * power.powf(inverse_shape)
            }
        };
        self.arrivals += 1;
        self.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(family: Family, seed: u64, n: usize) -> Vec<f64> {
        let mut renewal = Renewal::new(family, Seed(seed));
        (0..n).map(|_| renewal.advance()).collect()
    }

    fn gaps(family: Family, seed: u64, n: usize) -> Vec<f64> {
        positions(family, seed, n).windows(2).map(|w| w[1] - w[0]).collect()
    }

    fn mean_and_cv(sample: &[f64]) -> (f64, f64) {
        let n = sample.len() as f64;
        let mean = sample.iter().sum::<f64>() / n;
        (mean, (sample.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt() / mean)
    }

    /// Kolmogorov-Smirnov distance of a sample to a distribution function.
    fn ks(mut sample: Vec<f64>, cdf: impl Fn(f64) -> f64) -> f64 {
        sample.sort_by(f64::total_cmp);
        let n = sample.len() as f64;
        sample.iter().enumerate().map(|(i, &x)| (cdf(x) - i as f64 / n).abs().max((cdf(x) - (i + 1) as f64 / n).abs())).fold(0.0, f64::max)
    }

    #[test]
    fn constant_positions_are_the_middles_of_their_slots() {
        assert_eq!(positions(Family::Constant, 1, 4), [0.5, 1.5, 2.5, 3.5]);
    }

    #[test]
    fn exponential_gaps_pass_the_ks_test() {
        let distance = ks(gaps(Family::Exponential, 1, 20_001), |x| -(-x).exp_m1());
        assert!(distance <= 0.0115, "KS {distance}; 1 % critical value at 20,000 is 0.0115");
    }

    #[test]
    fn gamma_and_weibull_gaps_have_mean_one_and_their_cv() {
        for cv in [0.05, 0.3, 1.0, 2.0] {
            for family in [Family::gamma(cv).unwrap(), Family::weibull(cv).unwrap()] {
                let (mean, found) = mean_and_cv(&gaps(family, 3, 200_000));
                // Standard error of the mean: cv / sqrt(n); of the CV more, by the fourth moment.
                assert!((mean - 1.0).abs() < 4.0 * cv / 447.0, "{family:?}: mean {mean}");
                assert!((found / cv - 1.0).abs() < 0.05, "{family:?}: CV {found}");
            }
        }
    }

    #[test]
    fn gamma_gaps_follow_the_gamma_distribution() {
        let shape: f64 = 1.0 / (2.0 * 2.0);
        let distance = ks(gaps(Family::gamma(2.0).unwrap(), 5, 20_001), |x| crate::base::stats::special::gamma_p(shape, x * shape));
        assert!(distance <= 0.0115, "{distance}");
    }

    /// Γ(1 + 2s) / Γ(1 + s)^2 - 1 = cv^2: exactly exponential at CV 1, shape 2 has CV sqrt(4/pi - 1)
    #[test]
    fn the_weibull_shape_is_solved() {
        assert!((weibull_inverse_shape(1.0) - 1.0).abs() < 1e-12);
        assert!((weibull_inverse_shape((4.0 / std::f64::consts::PI - 1.0).sqrt()) - 0.5).abs() < 1e-12);
        assert!((weibull_inverse_shape(5.0_f64.sqrt()) - 2.0).abs() < 1e-12, "shape 1/2 has CV sqrt 5");
    }

    /// forall window: the mean count is its length, from the first instant on; a process that began with a whole gap would be off by 1.5 at CV 2
    #[test]
    fn counts_are_unbiased_from_the_start() {
        for family in [Family::Exponential, Family::gamma(2.0).unwrap(), Family::weibull(2.0).unwrap(), Family::gamma(0.2).unwrap()] {
            let runs = 20_000_u32;
            let counts: Vec<f64> = (0..runs)
                .map(|seed| {
                    let mut renewal = Renewal::new(family, Seed(u64::from(seed)));
                    let mut n = 0.0;
                    while renewal.advance() < 10.0 {
                        n += 1.0;
                    }
                    n
                })
                .collect();
            let (mean, cv) = mean_and_cv(&counts);
            let standard_error = mean * cv / f64::from(runs).sqrt();
            assert!((mean - 10.0).abs() < 4.0 * standard_error, "{family:?}: {mean} +- {standard_error}");
        }
    }

    #[test]
    fn variation_out_of_range_is_refused() {
        for cv in [0.0, -1.0, f64::NAN, f64::INFINITY, 21.0] {
            assert!(Family::gamma(cv).is_err() && Family::weibull(cv).is_err(), "{cv}");
        }
    }
}
