//! How long iterations take: the step law in whole nanoseconds, and `Segment`, a run of iterations with one composition in closed form.

use crate::base::rng::Seed;
use crate::scenario::endpoint::EndpointSpec;
use rand::distr::Distribution;
use rand_distr::StandardNormal;

/// `a + b B + c P + d K` with all coefficients in whole nanoseconds: sums are exact, so that it does not matter in how many steps they are taken.
#[derive(Clone, Debug)]
pub(super) struct Law {
    base: u64,
    per_sequence: u64,
    per_prefill_token: u64,
    per_context_token: u64,
    noise: Option<Noise>,
}

/// Lognormal factor of mean 1, one for each iteration of a replica.
#[derive(Clone, Debug)]
struct Noise {
    sigma: f64,
    seed: Seed,
}

impl Law {
    /// The law of replica number `serial`.
    pub(super) fn new(spec: &EndpointSpec, seed: Seed, serial: u64) -> Self {
        // A lognormal of relative deviation v has sigma^2 = ln(1 + v^2).
        let noise = (spec.noise > 0.0).then(|| Noise { sigma: spec.noise.powi(2).ln_1p().sqrt(), seed: seed.child("replica", serial) });
        Self {
            base: spec.step.base.nanos().0,
            per_sequence: spec.step.per_sequence.nanos().0,
            per_prefill_token: spec.step.per_prefill_token.nanos().0,
            per_context_token: spec.step.per_context_token.nanos().0,
            noise,
        }
    }

    /// Whether each iteration has its own random factor, which rules out skipping ahead.
    pub(super) fn is_noisy(&self) -> bool {
        self.noise.is_some()
    }

    /// Nanoseconds of iteration number `iteration`, at least 1 so that time goes on.
    pub(super) fn duration(&self, batch: u64, prefill: u64, context: u64, iteration: u64) -> u64 {
        let exact = self
            .base
            .saturating_add(self.per_sequence.saturating_mul(batch))
            .saturating_add(self.per_prefill_token.saturating_mul(prefill))
            .saturating_add(self.per_context_token.saturating_mul(context));
        match &self.noise {
            None => exact.max(1),
            Some(noise) => noise.applied(exact, iteration).max(1),
        }
    }

    /// By how much each iteration is longer than the one before: every decoding sequence has one more token of context.
    pub(super) fn slope(&self, batch: u64) -> u64 {
        self.per_context_token.saturating_mul(batch)
    }
}

impl Noise {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive product; the cast saturates")]
    fn applied(&self, exact: u64, iteration: u64) -> u64 {
        let z: f64 = StandardNormal.sample(&mut self.seed.keyed("iteration", iteration));
        (exact as f64 * (self.sigma * z - self.sigma * self.sigma / 2.0).exp()).round() as u64
    }
}

/// Consecutive iterations of one composition. Iteration k (from 0) takes `first + k slope`.
#[derive(Clone, Debug, Default)]
pub(super) struct Segment {
    /// When it began, nanoseconds.
    pub(super) start: u64,
    /// Duration of its first iteration.
    pub(super) first: u64,
    /// Growth of the duration from one iteration to the next.
    pub(super) slope: u64,
    /// Iterations until the composition may change.
    pub(super) len: u64,
    /// Iterations that are over.
    pub(super) done: u64,
    /// Sequences decoding in it.
    pub(super) batch: u64,
    /// Prompt tokens in it; then `len` is 1.
    pub(super) prefill: u64,
    /// Context tokens, at its end, of sequences cancelled in it.
    pub(super) leaving: u64,
}

impl Segment {
    /// The instant at which `m` of its iterations are over: `start + m first + slope m (m - 1) / 2`.
    pub(super) fn at(&self, m: u64) -> u64 {
        self.start.saturating_add(self.span(m))
    }

    fn span(&self, m: u64) -> u64 {
        let growth = if m > 1 && self.slope > 0 { self.slope.saturating_mul(m * (m - 1) / 2) } else { 0 };
        self.first.saturating_mul(m).saturating_add(growth)
    }

    /// The number of iterations that are over at the first boundary not before `now`; 1 to `len`.
    pub(super) fn boundary_from(&self, now: u64) -> u64 {
        let past = now.saturating_sub(self.start);
        if past <= self.first || self.len <= 1 {
            return 1;
        }
        let guess = if self.slope == 0 { past.div_ceil(self.first) } else { self.root(past) };
        let mut m = guess.clamp(1, self.len);
        // The root is off by one at most; whole numbers decide.
        while m < self.len && self.span(m) < past {
            m += 1;
        }
        while m > 1 && self.span(m - 1) >= past {
            m -= 1;
        }
        m
    }

    /// The positive root of `slope m^2 / 2 + (first - slope / 2) m = past`, rounded up.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the root is positive and the cast saturates")]
    fn root(&self, past: u64) -> u64 {
        let slope = self.slope as f64;
        let half = self.first as f64 - slope / 2.0;
        let root = ((half * half + 2.0 * slope * past as f64).sqrt() - half) / slope;
        root.ceil() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// forall segments, instants: the boundary found is the first one not before the instant
        #[test]
        fn boundary_is_the_first_not_before(first in 1_u64..100_000_000, slope in 0_u64..100_000, len in 1_u64..5_000, share in 0.0_f64..=1.0) {
            let s = Segment { start: 17, first, slope, len, ..Segment::default() };
            let now = 17 + (share * (s.at(len) - 17) as f64).floor() as u64;
            let m = s.boundary_from(now);
            prop_assert!(m >= 1 && m <= len && s.at(m) >= now);
            prop_assert!(m == 1 || s.at(m - 1) < now);
        }
    }

    /// E[factor] = 1 and sd[factor] = noise, within four standard errors of 20,000 draws.
    #[test]
    fn noise_has_mean_one_and_the_deviation_asked_for() {
        let spec = EndpointSpec { noise: 0.2, ..EndpointSpec::default() };
        let law = Law::new(&spec, Seed(3), 0);
        let exact = spec.step.base.nanos().0 as f64;
        let n = 20_000_u32;
        let draws: Vec<f64> = (0..u64::from(n)).map(|i| law.duration(0, 0, 0, i) as f64 / exact).collect();
        let mean = draws.iter().sum::<f64>() / f64::from(n);
        let sd = (draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n)).sqrt();
        assert!((mean - 1.0).abs() < 4.0 * 0.2 / f64::from(n).sqrt(), "{mean}");
        assert!((sd - 0.2).abs() < 0.01, "{sd}");
    }
}
