//! How long iterations take: the step law in whole nanoseconds, and `Segment`, a run of iterations with one composition in closed form.

use crate::base::rng::Seed;
use crate::scenario::endpoint::EndpointSpec;
use rand::distr::Distribution;
use rand_distr::StandardNormal;
use std::sync::Arc;

/// `(a^q + w^q)^(1/q)` with the work `w = b B + c P + d K + e P x / 1000`, all coefficients in whole nanoseconds. The work and the duration are
/// whole nanoseconds too, so that sums are exact and it does not matter in how many steps they are taken.
#[derive(Clone, Debug)]
pub(super) struct Law {
    base: u64,
    per_sequence: u64,
    per_prefill_token: u64,
    per_context_token: u64,
    prefill_growth: u64,
    /// Tokens that each decoding sequence gets from an iteration.
    tokens_per_step: u64,
    /// q, if it is not 1.
    curvature: Option<f64>,
    noise: Option<Noise>,
}

/// A lognormal factor of mean 1 for each iteration of a replica: a hash of the iteration's number picks it from a table. No state, so
/// that it does not matter who asks when, and no logarithm, so that planning with noise is not much slower than without.
#[derive(Clone, Debug)]
struct Noise {
    factors: Arc<[u32]>,
    key: u64,
}

/// Entries of the table of factors: a power of two, small enough for the first cache.
const FACTORS: usize = 2048;

/// Binary digits of a factor after the point: a millionth, which is finer than any noise. Whole numbers are fast to multiply.
const FRACTION_BITS: u32 = 20;

/// Iterations with noise or curvature that are looked at ahead: their durations have no sum in closed form.
const AHEAD: usize = 16;

impl Law {
    /// The law of the replica number 0.
    pub(super) fn new(spec: &EndpointSpec, seed: Seed) -> Self {
        Self {
            base: spec.step.base.nanos().0,
            per_sequence: spec.step.per_sequence.nanos().0,
            per_prefill_token: spec.step.per_prefill_token.nanos().0,
            per_context_token: spec.step.per_context_token.nanos().0,
            prefill_growth: spec.step.prefill_growth.nanos().0,
            tokens_per_step: u64::from(spec.tokens_per_step.max(1)),
            curvature: (spec.step.curvature > 1.0).then_some(spec.step.curvature),
            noise: (spec.noise > 0.0).then(|| Noise { factors: factors(spec.noise, seed), key: seed.child("replica", 0).0 }),
        }
    }

    /// The same law with the noise of replica number `serial`.
    pub(super) fn of_replica(&self, seed: Seed, serial: u64) -> Self {
        let key = seed.child("replica", serial).0;
        Self { noise: self.noise.as_ref().map(|n| Noise { factors: Arc::clone(&n.factors), key }), ..*self }
    }

    /// Whether the work depends on the context before prompt tokens.
    pub(super) fn prefill_grows(&self) -> bool {
        self.prefill_growth > 0
    }

    /// Nanoseconds of work in an iteration, rounded down.
    fn work(&self, now: &Composition) -> u64 {
        let work = self
            .per_sequence
            .saturating_mul(now.batch)
            .saturating_add(self.per_prefill_token.saturating_mul(now.prefill))
            .saturating_add(self.per_context_token.saturating_mul(now.context));
        if self.prefill_growth == 0 {
            return work;
        }
        let growth = u128::from(self.prefill_growth) * u128::from(now.prefill_context) / (2 * PER_CONTEXT);
        work.saturating_add(u64::try_from(growth).unwrap_or(u64::MAX))
    }

    /// Nanoseconds of an iteration with this work before noise, to the nearest, at least 1 so that time goes on.
    fn duration(&self, work: u64) -> u64 {
        let Some(q) = self.curvature else { return self.base.saturating_add(work).max(1) };
        let (large, small) = (self.base.max(work) as f64, self.base.min(work) as f64);
        // The larger one taken out: no power overflows.
        let ratio = small / large.max(1.0);
        let duration = if q == 2.0 { large * (1.0 + ratio * ratio).sqrt() } else { large * (1.0 + ratio.powf(q)).powf(q.recip()) };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; the cast saturates")]
        let whole = duration.round() as u64;
        whole.max(1)
    }
}

/// Tokens of context for which `prefill_growth` is given.
const PER_CONTEXT: u128 = 1_000;

impl Noise {
    fn applied(&self, exact: u64, iteration: u64) -> u64 {
        // The finaliser of SplitMix64: neighbouring iterations pick unrelated entries.
        let mut z = self.key.wrapping_add(iteration.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let factor = self.factors[(z >> 40) as usize % FACTORS];
        let product = (u128::from(exact) * u128::from(factor)) >> FRACTION_BITS;
        u64::try_from(product).unwrap_or(u64::MAX).max(1)
    }
}

/// Lognormal draws, moved and stretched so that mean and relative deviation are what was asked for.
fn factors(deviation: f64, seed: Seed) -> Arc<[u32]> {
    // A lognormal of relative deviation v has sigma^2 = ln(1 + v^2).
    let sigma = deviation.powi(2).ln_1p().sqrt();
    let mut stream = seed.stream("noise");
    let draws: Vec<f64> = (0..FACTORS).map(|_| (sigma * Distribution::<f64>::sample(&StandardNormal, &mut stream)).exp()).collect();
    let mean = draws.iter().sum::<f64>() / FACTORS as f64;
    let spread = (draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / FACTORS as f64).sqrt();
    let one = f64::from(1_u32 << FRACTION_BITS);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number below 4,096; the cast saturates")]
    draws.iter().map(|x| ((1.0 + (x - mean) * deviation / spread).max(0.01) * one).round() as u32).collect()
}

/// Consecutive iterations of one composition. Without noise and curvature iteration k (from 0) takes `first + k slope`.
#[derive(Clone, Debug, Default)]
pub(super) struct Segment {
    /// When it began, nanoseconds.
    pub(super) start: u64,
    first: u64,
    slope: u64,
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
    /// Whether `ends` says when iterations are over.
    looked_ahead: bool,
    /// With noise or curvature: the ends of its iterations.
    ends: [u64; AHEAD],
}

/// What runs in a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Composition {
    /// Sequences decoding.
    pub(super) batch: u64,
    /// Prompt tokens of the first iteration.
    pub(super) prefill: u64,
    /// Twice the tokens of context before each of those prompt tokens, summed; not looked at unless the law's prefill grows.
    pub(super) prefill_context: u64,
    /// Context tokens of the decoding sequences at the start.
    pub(super) context: u64,
    /// Iterations until the next last token.
    pub(super) len: u64,
    /// Number of the first iteration, for its noise.
    pub(super) iteration: u64,
}

impl Segment {
    /// Becomes the segment that begins at `start`; it ends early where it has to look ahead too far.
    pub(super) fn begin(&mut self, law: &Law, start: u64, now: Composition) {
        let work = law.work(&now);
        self.start = start;
        self.first = law.duration(work);
        // Every decoding sequence has more context in each iteration.
        let growth = law.per_context_token.saturating_mul(now.batch * law.tokens_per_step);
        self.slope = growth;
        self.len = if now.prefill > 0 { 1 } else { now.len };
        self.done = 0;
        self.batch = now.batch;
        self.prefill = now.prefill;
        self.leaving = 0;
        self.looked_ahead = law.noise.is_some() || (law.curvature.is_some() && self.len > 1);
        if self.looked_ahead {
            self.len = self.len.min(AHEAD as u64);
            let mut at = start;
            for (k, end) in (0..self.len).zip(&mut self.ends) {
                let exact = law.duration(work.saturating_add(growth.saturating_mul(k)));
                at = at.saturating_add(law.noise.as_ref().map_or(exact, |n| n.applied(exact, now.iteration + k)));
                *end = at;
            }
        }
    }

    /// The instant at which `m` (at most `len`) of its iterations are over; in closed form `start + m first + slope m (m - 1) / 2`.
    pub(super) fn at(&self, m: u64) -> u64 {
        if !self.looked_ahead {
            return self.start.saturating_add(self.span(m));
        }
        if m == 0 { self.start } else { usize::try_from(m - 1).ok().and_then(|k| self.ends.get(k)).copied().unwrap_or(u64::MAX) }
    }

    fn span(&self, m: u64) -> u64 {
        let growth = if m > 1 && self.slope > 0 { self.slope.saturating_mul(m * (m - 1) / 2) } else { 0 };
        self.first.saturating_mul(m).saturating_add(growth)
    }

    /// The number of iterations that are over at the first boundary not before `now`; 1 to `len`.
    pub(super) fn boundary_from(&self, now: u64) -> u64 {
        if self.looked_ahead {
            return (1..self.len).find(|m| self.at(*m) >= now).unwrap_or(self.len.max(1));
        }
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

    /// The positive root of `slope m^2 / 2 + (first - slope / 2) m = past`, rounded down, plus one.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the root is positive and the cast saturates")]
    fn root(&self, past: u64) -> u64 {
        let slope = self.slope as f64;
        let half = self.first as f64 - slope / 2.0;
        let root = ((half * half + 2.0 * slope * past as f64).sqrt() - half) / slope;
        root as u64 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::TimeSpan;
    use proptest::prelude::*;

    proptest! {
        /// forall segments, instants: the boundary found is the first one not before the instant
        #[test]
        fn boundary_is_the_first_not_before(first in 1_u64..100_000_000, slope in 0_u64..100_000, len in 1_u64..5_000, share in 0_u64..=1_000) {
            let s = Segment { start: 17, first, slope, len, ..Segment::default() };
            let now = 17 + (s.at(len) - 17) / 1_000 * share;
            let m = s.boundary_from(now);
            prop_assert!(m >= 1 && m <= len && s.at(m) >= now);
            prop_assert!(m == 1 || s.at(m - 1) < now);
        }
    }

    /// q = 1 adds base and work, q = 100 takes the larger, q = 2 is a right angle; nothing overflows.
    #[test]
    fn curvature_goes_from_the_sum_to_the_larger() {
        let law = |curvature| {
            let mut spec = EndpointSpec::default();
            spec.step.base = TimeSpan::millis(3);
            spec.step.curvature = curvature;
            Law::new(&spec, Seed(1))
        };
        let ms = 1_000_000;
        assert_eq!([1.0, 2.0, 100.0].map(|q| law(q).duration(4 * ms)), [7 * ms, 5 * ms, 4 * ms]);
        assert_eq!(law(3.0).duration(u64::MAX), u64::MAX);
        assert_eq!(law(7.5).duration(0), 3 * ms);
    }

    /// E[factor] = 1 and sd[factor] = noise, within four standard errors of 20,000 iterations.
    #[test]
    fn noise_has_mean_one_and_the_deviation_asked_for() {
        let spec = EndpointSpec { noise: 0.2, ..EndpointSpec::default() };
        let law = Law::new(&spec, Seed(3)).of_replica(Seed(3), 2);
        let exact = spec.step.base.nanos().0 as f64;
        let n = 20_000_u32;
        let one = |iteration| {
            let mut segment = Segment::default();
            segment.begin(&law, 0, Composition { batch: 0, prefill: 0, prefill_context: 0, context: 0, len: 1, iteration });
            segment.at(1)
        };
        let draws: Vec<f64> = (0..u64::from(n)).map(|i| one(i) as f64 / exact).collect();
        let mean = draws.iter().sum::<f64>() / f64::from(n);
        let sd = (draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n)).sqrt();
        assert!((mean - 1.0).abs() < 4.0 * 0.2 / f64::from(n).sqrt(), "{mean}");
        assert!((sd - 0.2).abs() < 0.01, "{sd}");
    }
}
