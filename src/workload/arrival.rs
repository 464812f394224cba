//! Inter-arrival families: unit-mean renewal processes that a rate function stretches into instants (time rescaling).

use super::length::special::ln_gamma;
use crate::base::rng::{Seed, Stream};
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
