//! What would change with other inputs: each input less and more, the delay at its median and at its 95th percentile, one minute less of it,
//! one chunk more. Comparisons on common random numbers at modest depth and without uncertainty: they are not certified.

use super::cost::Tariff;
use super::evaluate::Simulation;
use super::explain;
use super::hybrid::Depth;
use super::nearby::nearby;
use super::recommendation::{Recommendation, Rejected, Sensitivity, Sized, Swing, WhatIf};
use super::search::{Evaluator, PeriodOutcome, Rules, Seeds, Size, mean_cost};
use super::what_if::Inputs;
use super::world::World;
use super::{Error, PlanProgress, Stage};
use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::scenario::autoscaler::Policy;
use crate::scenario::endpoint::{EndpointSpec, Lag};
use crate::scenario::experiment::Experiment;
use crate::scenario::slo::Slo;
use crate::workload::schedule::Material;

/// Comparisons, about: each takes some looks at sizes.
const COMPARISONS: u64 = 12;
/// Looks of one comparison, about.
const LOOKS: u64 = 6;

/// Compares the plan `to` with what it would be if one input were different, and writes the outcome into it. A plan without a chosen size stays
/// as it is. Takes about half of the periods that the search took.
///
/// # Errors
/// When a changed demand cannot be drawn.
pub fn compare(
    experiment: &Experiment,
    model: &EndpointSpec,
    material: &Material,
    to: &mut Recommendation,
    progress: &mut dyn FnMut(PlanProgress),
) -> Result<(), Error> {
    let scenario = &experiment.scenario;
    let (Some(plan), Some(chosen)) = (&scenario.plan, &to.chosen) else { return Ok(()) };
    let start = Size { min: chosen.min_chunks, max: chosen.max_chunks };
    let inputs = Inputs { plan: plan.clone(), model: model.clone(), workload: scenario.workload.clone(), material: super::with_lengths(material) };
    let affordable = (to.effort.periods / 2 / (COMPARISONS * LOOKS)).clamp(4, 16);
    let rules = Rules {
        requests: plan.promise.requests.0,
        periods: plan.promise.periods.0,
        confidence: plan.promise.confidence.0,
        max_chunks: plan.max_chunks,
        least: u32::from(!matches!(plan.autoscaler.policy, Policy::Keda(_))),
        lowest: 1,
        guess: start.max,
        fixed: matches!(&plan.autoscaler.policy, Policy::Units(units) if units.burst.is_none()),
        search_periods: u32::try_from(affordable).unwrap_or(4),
        certify_periods: 1,
        certify_least: 0,
        draws: 1,
    };
    let tariff = Tariff::new(&plan.price)?;
    let mut looks =
        Looks { rules, tariff, slo: &scenario.slo, seed: experiment.seed, start, base_cost: 0.0, periods: 0, requests: 0, simulated: 0, progress };
    let found = looks.all(&inputs)?;
    to.effort.periods += looks.periods;
    to.effort.requests += looks.requests;
    to.effort.simulated += looks.simulated;
    to.sensitivity = Some(found);
    Ok(())
}

/// The comparisons at work.
struct Looks<'a> {
    rules: Rules,
    tariff: Tariff,
    slo: &'a Slo,
    seed: Seed,
    start: Size,
    base_cost: f64,
    periods: u64,
    requests: u64,
    simulated: u64,
    progress: &'a mut dyn FnMut(PlanProgress),
}

impl Looks<'_> {
    fn all(&mut self, inputs: &Inputs) -> Result<Sensitivity, Error> {
        let base = self.cheapest(inputs, 1.0)?;
        self.base_cost = base.map_or(0.0, |b| b.cost_per_hour);
        let mut swings = vec![
            self.swing(inputs, "requests", ("-20 %", "+20 %"), (0.8, 1.2), super::what_if::Inputs::grown, |f| f)?,
            self.swing(inputs, "output tokens a request", ("-20 %", "+20 %"), (0.8, 1.2), super::what_if::Inputs::longer, |f| f)?,
            self.swing(inputs, "scale-up delay", ("-50 %", "+50 %"), (0.5, 1.5), super::what_if::Inputs::slower, |_| 1.0)?,
            self.swing(inputs, "speed of a chunk", ("-10 %", "+10 %"), (0.9, 1.1), super::what_if::Inputs::faster, |f| 1.0 / f)?,
        ];
        // A change that no size can bear moves the cost most of all.
        let reach = |w: &WhatIf| if w.size.is_some() { w.cost_change.abs() } else { f64::INFINITY };
        swings.sort_by(|a, b| reach(&b.less).max(reach(&b.more)).total_cmp(&reach(&a.less).max(reach(&a.more))));
        let mut lags = Vec::new();
        for (name, span) in ["median", "95th percentile"].into_iter().zip(inputs.lag_quantiles()) {
            let change = format!("every scale-up takes the {name}, {}", span.nanos());
            lags.push(self.what_if(change, &inputs.with_lag(Lag::Fixed(span)), 1.0)?);
        }
        let mean_s = inputs.mean_lag_s();
        let minute_less = if mean_s > 60.0 {
            let change = format!("one minute less: {} instead of {} on average", seconds(mean_s - 60.0), seconds(mean_s));
            Some(self.what_if(change, &inputs.slower((mean_s - 60.0) / mean_s), 1.0)?)
        } else {
            None
        };
        let chunk_more = self.chunk_more(inputs)?;
        Ok(Sensitivity { periods: self.rules.search_periods, base, inputs: swings, lags, minute_less, chunk_more })
    }

    fn swing(
        &mut self,
        inputs: &Inputs,
        input: &str,
        names: (&str, &str),
        factors: (f64, f64),
        change: fn(&Inputs, f64) -> Inputs,
        size: fn(f64) -> f64,
    ) -> Result<Swing, Error> {
        let less = self.what_if(names.0.to_owned(), &change(inputs, factors.0), size(factors.0))?;
        let more = self.what_if(names.1.to_owned(), &change(inputs, factors.1), size(factors.1))?;
        Ok(Swing { input: input.to_owned(), less, more })
    }

    fn what_if(&mut self, change: String, inputs: &Inputs, factor: f64) -> Result<WhatIf, Error> {
        let size = self.cheapest(inputs, factor)?;
        let cost_change = size.filter(|_| self.base_cost > 0.0).map_or(0.0, |s| s.cost_per_hour - self.base_cost);
        Ok(WhatIf { change, size, cost_change })
    }

    /// The cheapest size near `factor` times the chosen one.
    fn cheapest(&mut self, inputs: &Inputs, factor: f64) -> Result<Option<Sized>, Error> {
        (self.progress)(PlanProgress { stage: Stage::Sensitivity, size: None, candidates: 0 });
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate; sizes are not negative")]
        let near = |chunks: u32| (f64::from(chunks) * factor).ceil() as u32;
        let start = Size { min: near(self.start.min), max: near(self.start.max) };
        let rules = self.rules;
        let found = self.with(inputs, |simulation| nearby(&rules, simulation, start))?;
        Ok(found.map(|(size, periods)| sized(size, &periods)))
    }

    /// The chosen size, and one chunk more at either bound: what it costs and what it brings.
    fn chunk_more(&mut self, inputs: &Inputs) -> Result<Vec<Rejected>, Error> {
        let Size { min, max } = self.start;
        let sizes = [
            ("as recommended", self.start, "for comparison"),
            ("one more at the minimum", Size { min: min + 1, max: max.max(min + 1) }, "always there, and always paid for"),
            ("one more at the maximum", Size { min, max: max + 1 }, "there when demand asks for it, after the delay"),
        ];
        let rules = self.rules;
        let periods = rules.search_periods;
        self.with(inputs, |simulation| {
            simulation.set_depth(Depth::Full);
            let judge = |(rule, size, reason): (&str, Size, &str)| {
                let outcomes = simulation.evaluate(size, Seeds::Search, 0..periods);
                Rejected { rule: rule.to_owned(), result: explain::candidate(&rules, size, &outcomes), reason: reason.to_owned() }
            };
            sizes.into_iter().map(judge).collect()
        })
    }

    fn with<T>(&mut self, inputs: &Inputs, work: impl FnOnce(&mut Simulation<'_>) -> T) -> Result<T, Error> {
        let world = World::new(&inputs.plan, &inputs.workload, self.slo, &inputs.model, &inputs.material, self.seed)?;
        let mut simulation = Simulation::new(&world, &self.tariff, super::threads());
        let found = work(&mut simulation);
        self.periods += simulation.periods;
        self.requests += simulation.requests;
        self.simulated += simulation.simulated;
        simulation.error.take().map_or(Ok(found), |e| Err(e.into()))
    }
}

fn sized(size: Size, periods: &[PeriodOutcome]) -> Sized {
    let mean_chunks = periods.iter().map(|p| p.mean_chunks).sum::<f64>() / periods.len().max(1) as f64;
    Sized { min_chunks: size.min, max_chunks: size.max, mean_chunks, cost_per_hour: mean_cost(periods) }
}

fn seconds(s: f64) -> Nanos {
    Nanos::from_secs_f64(s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::TimeSpan;
    use crate::planner::{recommend, tests::tiny_plan};
    use crate::scenario::check::check;
    use crate::scenario::endpoint::StepLaw;
    use crate::scenario::plan::Provenance;
    use std::path::Path;

    fn experiment() -> Experiment {
        let text =
            "name = \"t\"\n[load]\narrivals = { poisson = { rate = \"1/s\" } }\n[slo]\nttft = { p95 = \"800ms\" }\ntpot = { p95 = \"60ms\" }\n";
        let mut experiment = check("t", text.as_bytes(), Path::new("."), &[], Seed(3)).unwrap();
        let mut plan = tiny_plan();
        plan.demand = serde_json::from_value(serde_json::json!({ "poisson": { "rate": "6/s" } })).unwrap();
        plan.period = TimeSpan::secs(120);
        plan.max_chunks = 12;
        experiment.scenario.plan = Some(plan);
        experiment
    }

    /// More demand, longer answers and slower chunks never cost less; half the demand of chunks more; and nothing else in the plan changes.
    #[test]
    fn dearer_inputs_cost_more_and_the_answer_stays() {
        // About three requests a second and chunk.
        let slow = StepLaw { per_prefill_token: TimeSpan::millis(1), ..StepLaw::default() };
        let (experiment, material) = (experiment(), Material::default());
        let model = EndpointSpec { step: slow, ..EndpointSpec::default() };
        let mut plan = recommend(&experiment, &model, Provenance::Assumed, &material, &mut |_| {}).unwrap();
        let before = plan.clone();
        compare(&experiment, &model, &material, &mut plan, &mut |_| {}).unwrap();
        let found = plan.sensitivity.take().unwrap();
        assert!(plan.effort.periods > before.effort.periods);
        plan.effort = before.effort;
        assert_eq!(plan, before);
        assert!(found.base.is_some() && found.lags.len() == 2 && found.minute_less.is_some() && found.chunk_more.len() == 3, "{found:?}");
        assert_eq!(found.inputs.len(), 4);
        for swing in &found.inputs {
            let up = ["requests", "output tokens a request", "scale-up delay"].contains(&swing.input.as_str());
            let (cheap, dear) = if up { (&swing.less, &swing.more) } else { (&swing.more, &swing.less) };
            assert!(cheap.cost_change <= dear.cost_change + 1e-9, "{swing:?}");
        }
        let requests = found.inputs.iter().find(|s| s.input == "requests").unwrap();
        assert!(requests.less.cost_change < requests.more.cost_change, "{requests:?}");
        assert!(found.chunk_more[1].result.cost_per_hour > found.chunk_more[0].result.cost_per_hour);
    }
}
