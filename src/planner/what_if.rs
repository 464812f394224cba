//! The inputs of a plan with one of them changed: more demand, longer answers, a slower autoscaler, a faster chunk.

use super::world::mean_lag_s;
use crate::base::time::Nanos;
use crate::base::units::TimeSpan;
use crate::scenario::endpoint::{EndpointSpec, Lag};
use crate::scenario::plan::Plan;
use crate::scenario::workload::{Component, Lengths, Marginal, QuantilePoint, Workload};
use crate::workload::schedule::Material;
use crate::workload::trace::Rows;

/// What a plan is made from.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Demand, lag, price.
    pub plan: Plan,
    /// One chunk.
    pub model: EndpointSpec,
    /// Lengths.
    pub workload: Workload,
    /// Recordings.
    pub material: Material,
}

impl Inputs {
    /// With `factor` times as many requests.
    #[must_use]
    pub fn grown(&self, factor: f64) -> Self {
        Self { plan: Plan { growth: self.plan.growth * factor, ..self.plan.clone() }, ..self.clone() }
    }

    /// With answers `factor` times as long, one token at least.
    #[must_use]
    pub fn longer(&self, factor: f64) -> Self {
        let lengths = match &self.workload.lengths {
            Lengths::Independent { input, output } => Lengths::Independent { input: input.clone(), output: scaled(output, factor) },
            Lengths::Correlated { input, output, spearman } => {
                Lengths::Correlated { input: input.clone(), output: scaled(output, factor), spearman: *spearman }
            }
            Lengths::Empirical { trace } => Lengths::Empirical { trace: trace.clone() },
        };
        let rows = |rows: &Option<Rows>| rows.as_ref().map(|rows| longer_rows(rows, factor));
        let material = Material {
            arrivals: rows(&self.material.arrivals),
            lengths: rows(&self.material.lengths),
            output: rows(&self.material.output),
            ..self.material.clone()
        };
        let mut plan = self.plan.clone();
        if plan.demand_model.is_some() {
            plan.output_scale *= factor;
        }
        Self { plan, workload: Workload { lengths, ..self.workload.clone() }, material, ..self.clone() }
    }

    /// With every scale-up delay `factor` times as long.
    #[must_use]
    pub fn slower(&self, factor: f64) -> Self {
        let span = |s: TimeSpan| TimeSpan(Nanos::from_secs_f64(s.as_secs_f64() * factor));
        self.with_lag(match &self.plan.autoscaler.lag {
            Lag::Fixed(s) => Lag::Fixed(span(*s)),
            Lag::Lognormal { median, p95 } => Lag::Lognormal { median: span(*median), p95: span(*p95) },
            Lag::Empirical(spans) => Lag::Empirical(spans.iter().copied().map(span).collect()),
        })
    }

    /// With another distribution of the scale-up delay.
    #[must_use]
    pub fn with_lag(&self, lag: Lag) -> Self {
        let mut plan = self.plan.clone();
        plan.autoscaler.lag = lag;
        Self { plan, ..self.clone() }
    }

    /// With chunks that take `1 / factor` of the time for every iteration.
    #[must_use]
    pub fn faster(&self, factor: f64) -> Self {
        let mut model = self.model.clone();
        let law = &mut model.step;
        let terms = [&mut law.base, &mut law.per_sequence, &mut law.per_prefill_token, &mut law.per_context_token, &mut law.prefill_growth];
        for span in terms {
            *span = TimeSpan(Nanos::from_secs_f64(span.as_secs_f64() / factor));
        }
        Self { model, ..self.clone() }
    }

    /// Mean scale-up delay, seconds.
    #[must_use]
    pub fn mean_lag_s(&self) -> f64 {
        mean_lag_s(&self.plan.autoscaler.lag)
    }

    /// The median and the 95th percentile of the scale-up delay.
    #[must_use]
    pub fn lag_quantiles(&self) -> [TimeSpan; 2] {
        match &self.plan.autoscaler.lag {
            Lag::Fixed(span) => [*span; 2],
            Lag::Lognormal { median, p95 } => [*median, (*p95).max(*median)],
            Lag::Empirical(spans) => {
                let mut sorted = spans.clone();
                sorted.sort_unstable();
                // The smallest delay that at least this share does not exceed.
                let at = |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default();
                [at(50), at(95)]
            }
        }
    }
}

fn longer_rows(rows: &Rows, factor: f64) -> Rows {
    let mut rows = rows.clone();
    for row in &mut rows.rows {
        row.output_tokens = tokens(f64::from(row.output_tokens) * factor);
    }
    rows
}

/// Rounded to whole tokens, one at least.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate; counts are not negative")]
fn tokens(count: f64) -> u32 {
    count.round().max(1.0) as u32
}

fn scaled(marginal: &Marginal, factor: f64) -> Marginal {
    match marginal {
        Marginal::Fixed(n) => Marginal::Fixed(tokens(f64::from(*n) * factor)),
        Marginal::Uniform { min, max } => Marginal::Uniform { min: tokens(f64::from(*min) * factor), max: tokens(f64::from(*max) * factor) },
        Marginal::Normal { mean, sd } => Marginal::Normal { mean: mean * factor, sd: sd * factor },
        Marginal::Lognormal { median, sigma } => Marginal::Lognormal { median: median * factor, sigma: *sigma },
        Marginal::Gamma { mean, cv } => Marginal::Gamma { mean: mean * factor, cv: *cv },
        Marginal::Weibull { scale, shape } => Marginal::Weibull { scale: scale * factor, shape: *shape },
        Marginal::Exponential { mean } => Marginal::Exponential { mean: mean * factor },
        Marginal::Quantiles(points) => Marginal::Quantiles(points.iter().map(|p| QuantilePoint { q: p.q, tokens: p.tokens * factor }).collect()),
        Marginal::Mixture(parts) => Marginal::Mixture(parts.iter().map(|p| Component { weight: p.weight, of: scaled(&p.of, factor) }).collect()),
        // Its rows are scaled instead.
        Marginal::Column { trace, side } => Marginal::Column { trace: trace.clone(), side: *side },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use crate::planner::demand;
    use crate::planner::tests::tiny_plan;
    use crate::planner::world::World;
    use crate::scenario::slo::Slo;

    fn inputs(output: Marginal) -> Inputs {
        let lengths = Lengths::Independent { input: Marginal::Fixed(200), output };
        Inputs {
            plan: tiny_plan(),
            model: EndpointSpec::default(),
            workload: Workload { lengths, ..Workload::default() },
            material: Material::default(),
        }
    }

    /// Mean requests a second, input and output tokens a second.
    fn rates(inputs: &Inputs) -> (f64, f64, f64) {
        let slo = Slo::default();
        let world = World::new(&inputs.plan, &inputs.workload, &slo, &inputs.model, &inputs.material, Seed(4)).unwrap();
        let facts = demand::look(&world, 2, 0.99).unwrap().facts;
        (facts.mean_requests_s, facts.mean_input_tok_s, facts.mean_tok_s - facts.mean_input_tok_s)
    }

    #[test]
    fn growth_multiplies_requests_and_longer_answers_multiply_output_alone() {
        let part = |of| Component { weight: 1.0, of };
        let mixture = Marginal::Mixture(vec![
            part(Marginal::Fixed(100)),
            part(Marginal::Gamma { mean: 300.0, cv: 0.5 }),
            part(Marginal::Lognormal { median: 90.0, sigma: 0.5 }),
            part(Marginal::Uniform { min: 50, max: 150 }),
            part(Marginal::Normal { mean: 200.0, sd: 20.0 }),
            part(Marginal::Weibull { scale: 150.0, shape: 1.2 }),
            part(Marginal::Exponential { mean: 250.0 }),
            part(Marginal::Quantiles(vec![QuantilePoint { q: 0.0, tokens: 10.0 }, QuantilePoint { q: 1.0, tokens: 400.0 }])),
        ]);
        let base = inputs(mixture);
        let (requests, input, output) = rates(&base);
        let (more, _, _) = rates(&base.grown(1.5));
        assert!((more / requests - 1.5).abs() < 0.06, "{more} against {requests}");
        let (same, same_input, longer) = rates(&base.longer(1.2));
        assert_eq!((same, same_input), (requests, input));
        assert!((longer / output - 1.2).abs() < 0.005, "{longer} against {output}");
    }

    #[test]
    fn delays_are_scaled_and_their_quantiles_read() {
        let base = inputs(Marginal::Fixed(100));
        let spread = base.with_lag(Lag::Lognormal { median: TimeSpan::secs(100), p95: TimeSpan::secs(300) });
        assert_eq!(spread.lag_quantiles(), [TimeSpan::secs(100), TimeSpan::secs(300)]);
        assert_eq!(spread.slower(1.5).lag_quantiles(), [TimeSpan::secs(150), TimeSpan::secs(450)]);
        assert!((spread.slower(0.5).mean_lag_s() - 0.5 * spread.mean_lag_s()).abs() < 1e-6);
        let seen = base.with_lag(Lag::Empirical((1..=20).rev().map(TimeSpan::secs).collect()));
        assert_eq!(seen.lag_quantiles(), [TimeSpan::secs(10), TimeSpan::secs(19)]);
        assert_eq!(base.with_lag(Lag::Fixed(TimeSpan::secs(7))).slower(2.0).lag_quantiles(), [TimeSpan::secs(14); 2]);
    }

    #[test]
    fn a_faster_chunk_takes_less_for_everything() {
        let law = inputs(Marginal::Fixed(1)).faster(1.25).model.step;
        assert_eq!(law.base, TimeSpan(Nanos(9_600_000)));
        assert_eq!(law.per_sequence, TimeSpan(Nanos(200_000)));
    }
}
