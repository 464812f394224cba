//! Outer draws: what the truth may be, given what was measured. Periods are simulated under all of them, so that a plan holds for each.
//!
//! The fit of an endpoint and the level of a demand are estimates. Each [`Draw`] is one joint value of both; the truth is taken to be
//! exchangeable with the draws (bootstraps of the fit and of the learnt days, a lognormal level of the demand around its estimate).

use super::world::Bounds;
use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::scenario::endpoint::EndpointSpec;
use crate::sim::fit::Multipliers;
use crate::workload::demand::DemandModel;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

/// One joint draw of what is not known for sure.
#[derive(Clone, Debug, PartialEq)]
pub struct Draw {
    /// One chunk, with the plan's autoscaler; without noise.
    pub endpoint: EndpointSpec,
    /// What a good request is in the simulation: the objectives divided by the multipliers of the fit, so that a prediction this far below
    /// them is met in truth.
    pub bounds: Bounds,
    /// Demand against its estimate, a factor.
    pub demand_level: f64,
    /// The learnt demand as other days of the same service would have taught it, without what the plan changes about it. `None`: the demand as
    /// it is given.
    pub demand: Option<Arc<DemandModel>>,
}

/// What is uncertain and how much.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Uncertainty {
    /// Laws of the endpoint that the measurement allows, a bootstrap of its fit. None: the law is taken to be exact.
    pub endpoints: Vec<EndpointSpec>,
    /// Of the predictions of the fit.
    pub multipliers: Multipliers,
    /// Relative standard error of the level of demand: standard deviation of its logarithm. Zero: exact.
    pub demand_error: f64,
    /// A learnt demand, with its own draws. `None`, or without draws: taken to be exact.
    pub demand: Option<Arc<DemandModel>>,
}

impl Uncertainty {
    /// Whether draws differ at all.
    #[must_use]
    pub fn is_random(&self) -> bool {
        self.endpoints.len() > 1 || self.is_demand_random()
    }

    /// Whether draws differ in their demand.
    #[must_use]
    pub fn is_demand_random(&self) -> bool {
        self.demand_error > 0.0 || self.demand_draws() > 1
    }

    fn demand_draws(&self) -> usize {
        self.demand.as_ref().map_or(0, |model| model.draw_count())
    }

    /// Draws that each family of seeds can have so that a promise of this `confidence` can be shown: four for each one that may be bad, and no
    /// more than there are laws of the fit or of the demand for it (a law used twice would count twice). One when nothing is random.
    #[must_use]
    pub fn per_family(&self, confidence: f64) -> u32 {
        if !self.is_random() {
            return 1;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between the bounds of the clamp")]
        let wanted = (4.0 / (1.0 - confidence).max(1e-3)).ceil().clamp(20.0, 400.0) as u32;
        let scarce = [self.endpoints.len(), self.demand_draws()].into_iter().filter(|&count| count > 1).min();
        scarce.map_or(wanted, |count| wanted.min(u32::try_from(count / 2).unwrap_or(u32::MAX)).max(1))
    }

    /// The same without doubts about the endpoint: its best estimate is the law.
    #[must_use]
    pub fn with_exact_endpoint(&self) -> Self {
        Self { endpoints: Vec::new(), multipliers: Multipliers::default(), ..self.clone() }
    }

    /// The same without doubts about the demand.
    #[must_use]
    pub fn with_exact_demand(&self) -> Self {
        Self { demand_error: 0.0, demand: None, ..self.clone() }
    }

    /// `count` draws around `centre` (one when nothing is random), in a random order that depends on the seed alone. Laws are used equally
    /// often; levels are independent.
    #[must_use]
    pub fn draws(&self, centre: &Draw, count: usize, seed: Seed) -> Vec<Draw> {
        let bounds = centre.bounds.divided_by(self.multipliers);
        if !self.is_random() {
            let endpoint = self.endpoints.first().map_or_else(|| centre.endpoint.clone(), |law| with_law(&centre.endpoint, law));
            return vec![Draw { endpoint, bounds, ..centre.clone() }];
        }
        let mut order: Vec<usize> = (0..self.endpoints.len()).collect();
        order.shuffle(&mut seed.stream("plan-draws"));
        (0..count.max(1))
            .map(|i| {
                let law = order.get(i % order.len().max(1)).and_then(|&i| self.endpoints.get(i));
                let endpoint = law.map_or_else(|| centre.endpoint.clone(), |law| with_law(&centre.endpoint, law));
                let learnt = self.demand.as_ref().filter(|model| model.draw_count() > 1);
                let demand = learnt.map(|model| Arc::new(model.resampled(i as u64))).or_else(|| centre.demand.clone());
                let z: f64 = StandardNormal.sample(&mut seed.keyed("plan-demand-level", i as u64));
                Draw { endpoint, bounds, demand_level: centre.demand_level * (self.demand_error * z).exp(), demand }
            })
            .collect()
    }
}

/// The law of `law` on the chunk, scaling and size of `plan`.
#[must_use]
pub fn with_law(plan: &EndpointSpec, law: &EndpointSpec) -> EndpointSpec {
    EndpointSpec { noise: 0.0, chunk: plan.chunk, autoscaler: plan.autoscaler.clone(), ..law.clone() }
}

impl Bounds {
    /// Each bound divided by the multiplier of its metric; a multiplier below 1 counts as 1.
    #[must_use]
    pub fn divided_by(self, by: Multipliers) -> Self {
        let shrink = |span: Nanos, factor: f64| Nanos::from_secs_f64(span.as_secs_f64() / factor.max(1.0));
        Self {
            ttft: self.ttft.map(|t| if by.ttft > 1.0 { shrink(t, by.ttft) } else { t }),
            tpot_s: self.tpot_s.map(|t| t / by.tpot.max(1.0)),
            e2e: self.e2e.map(|t| if by.e2e > 1.0 { shrink(t, by.e2e) } else { t }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::TimeSpan;
    use crate::scenario::endpoint::StepLaw;

    fn law(ms: u64) -> EndpointSpec {
        EndpointSpec { step: StepLaw { base: TimeSpan::millis(ms), ..StepLaw::default() }, ..EndpointSpec::default() }
    }

    fn centre() -> Draw {
        Draw {
            endpoint: law(20),
            bounds: Bounds { ttft: Some(Nanos::from_millis(600)), tpot_s: Some(0.05), e2e: None },
            demand_level: 1.0,
            demand: None,
        }
    }

    #[test]
    fn nothing_uncertain_is_one_draw_and_the_multipliers_shrink_the_bounds() {
        let exact = Uncertainty { multipliers: Multipliers { ttft: 1.2, tpot: 1.25, e2e: 0.9, ..Multipliers::default() }, ..Uncertainty::default() };
        let draws = exact.draws(&centre(), 40, Seed(1));
        assert_eq!(draws.len(), 1);
        assert_eq!(draws[0].endpoint, law(20));
        assert_eq!(draws[0].bounds, Bounds { ttft: Some(Nanos::from_millis(500)), tpot_s: Some(0.04), e2e: None });
        assert_eq!(Uncertainty::default().draws(&centre(), 40, Seed(1)), [centre()]);
    }

    #[test]
    fn laws_are_used_equally_often_and_levels_have_the_standard_error_asked_for() {
        let endpoints: Vec<_> = (1..=5).map(law).collect();
        let uncertainty = Uncertainty { endpoints, demand_error: 0.1, ..Uncertainty::default() };
        let draws = uncertainty.draws(&centre(), 2000, Seed(3));
        for ms in 1..=5 {
            assert_eq!(draws.iter().filter(|d| d.endpoint.step.base == TimeSpan::millis(ms)).count(), 400);
        }
        let logs: Vec<f64> = draws.iter().map(|d| d.demand_level.ln()).collect();
        let mean = logs.iter().sum::<f64>() / 2000.0;
        let sd = (logs.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / 1999.0).sqrt();
        // Five standard errors of each.
        assert!(mean.abs() < 5.0 * 0.1 / 2000.0_f64.sqrt(), "{mean}");
        assert!((sd - 0.1).abs() < 5.0 * 0.1 / 4000.0_f64.sqrt(), "{sd}");
        assert_eq!(draws, uncertainty.draws(&centre(), 2000, Seed(3)));
        assert_ne!(draws, uncertainty.draws(&centre(), 2000, Seed(4)));
    }
}
