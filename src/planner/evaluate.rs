//! Candidates judged by the simulator in virtual time, periods spread over threads; the results do not depend on how many.

pub use super::judgement::{Judgement, mean_ready};

use super::cost::Tariff;
use super::hybrid::{Depth, Hybrid};
use super::search::{Evaluator, PARTS, PeriodOutcome, Seeds, Size};
use super::spread::spread;
use super::world::World;
use crate::base::time::Nanos;
use crate::record::request::{Phase, RequestRecord};
use crate::sim::endpoint::Endpoint;
use crate::sim::event::{Detail, ScaleEvent};
use crate::sim::virtual_time;
use crate::workload::schedule;
use std::ops::Range;

/// Simulates one period at one size; `each` sees every counted record with its judgement and the instant it was due within the period.
///
/// # Errors
/// When the period's demand cannot be drawn.
pub fn simulate(
    world: &World<'_>,
    tariff: &Tariff,
    size: Size,
    (seeds, period): (Seeds, u32),
    each: &mut dyn FnMut(&RequestRecord, Judgement, Nanos),
) -> Result<(PeriodOutcome, Vec<ScaleEvent>), schedule::Error> {
    let mut source = world.period(seeds, period)?;
    let begin = source.begin();
    let length = world.plan.period.nanos();
    let draw = world.draw(seeds, period);
    let mut endpoint = Endpoint::new(&world.sized(draw, size), world.period_seed(seeds, period), Detail::Requests);
    let mut outcome = PeriodOutcome::default();
    let simulated = virtual_time::run_with_retries(&mut source, &mut endpoint, world.patience(), world.retry(), &mut |record| {
        if record.phase == Phase::Warmup {
            return;
        }
        let judgement = Judgement::of(record, &draw.bounds);
        let due = record.intended.since(begin);
        outcome.total += 1;
        if judgement.is_good() {
            outcome.good += 1;
        } else {
            outcome.misses.add(judgement);
            let part = due.as_secs_f64() / length.as_secs_f64().max(1e-9) * PARTS as f64;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and cut to the last part")]
            let part = (part as usize).min(PARTS - 1);
            outcome.missed_by_part[part] += 1;
        }
        each(record, judgement, due);
    });
    let scale = simulated.scale;
    outcome.mean_chunks = mean_ready(&scale, begin, begin + length);
    outcome.cost_per_hour = tariff.per_hour(outcome.mean_chunks);
    outcome.is_exact = true;
    outcome.peak_chunks = scale.iter().map(|e| e.ready + e.pending).max().unwrap_or(size.min);
    Ok((outcome, scale))
}

/// The evaluator of the planner: by [`Hybrid`] where the demand and the policy allow it, else every request of a period.
#[derive(Debug)]
pub struct Simulation<'a> {
    world: &'a World<'a>,
    tariff: &'a Tariff,
    threads: usize,
    hybrid: Option<Hybrid<'a>>,
    /// Periods judged.
    pub periods: u64,
    /// Requests of these periods, without those of lead-ins.
    pub requests: u64,
    /// Requests simulated one by one, lead-ins and warm-ups included.
    pub simulated: u64,
    /// The first error; outcomes after it mean nothing.
    pub error: Option<schedule::Error>,
}

impl<'a> Simulation<'a> {
    /// Spreads periods over `threads` threads, one at least. Finds out of each period whether it kept the promise; see [`Simulation::to`].
    #[must_use]
    pub fn new(world: &'a World<'a>, tariff: &'a Tariff, threads: usize) -> Self {
        let hybrid = Some(Hybrid::new(world, Depth::Verdict));
        Self { world, tariff, threads: threads.max(1), hybrid, periods: 0, requests: 0, simulated: 0, error: None }
    }

    /// Simulates every request of every period.
    #[must_use]
    pub fn in_full(world: &'a World<'a>, tariff: &'a Tariff, threads: usize) -> Self {
        Self { hybrid: None, ..Self::new(world, tariff, threads) }
    }

    /// Finds out from now on how many requests were missed ([`Depth::Full`]), or only whether the promise was kept.
    #[must_use]
    pub fn to(mut self, depth: Depth) -> Self {
        self.set_depth(depth);
        self
    }

    /// See [`Simulation::to`].
    pub fn set_depth(&mut self, depth: Depth) {
        if let Some(hybrid) = &mut self.hybrid {
            hybrid.set_depth(depth);
        }
    }

    /// The outcome of a period, and how many requests were simulated one by one for it.
    fn one(&self, size: Size, seeds: Seeds, period: u32) -> Result<(PeriodOutcome, u64), schedule::Error> {
        if let Some((mut outcome, simulated)) = self.hybrid.as_ref().and_then(|hybrid| hybrid.judge(size, seeds, period)) {
            outcome.cost_per_hour = self.tariff.per_hour(outcome.mean_chunks);
            return Ok((outcome, simulated));
        }
        let (outcome, _) = simulate(self.world, self.tariff, size, (seeds, period), &mut |_, _, _| {})?;
        let total = outcome.total;
        Ok((outcome, total))
    }
}

impl Evaluator for Simulation<'_> {
    fn evaluate(&mut self, size: Size, seeds: Seeds, periods: Range<u32>) -> Vec<PeriodOutcome> {
        let wanted: Vec<u32> = periods.collect();
        if let Some(hybrid) = &mut self.hybrid {
            hybrid.prepare(seeds, &wanted, self.threads);
        }
        let mut outcomes = Vec::with_capacity(wanted.len());
        for result in spread(self.threads, &wanted, &|&period| self.one(size, seeds, period)) {
            match result {
                Ok((outcome, simulated)) => {
                    self.requests += outcome.total;
                    self.simulated += simulated;
                    outcomes.push(outcome);
                }
                Err(error) => {
                    self.error.get_or_insert(error);
                    outcomes.push(PeriodOutcome::default());
                }
            }
        }
        self.periods += wanted.len() as u64;
        outcomes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use crate::base::units::TimeSpan;
    use crate::planner::tests::tiny_plan;
    use crate::scenario::endpoint::EndpointSpec;
    use crate::scenario::plan::Plan;
    use crate::scenario::slo::{Percentile, Slo};
    use crate::scenario::workload::Workload;
    use crate::workload::schedule::Material;

    fn slo() -> Slo {
        Slo { ttft: [(Percentile::P95, TimeSpan::millis(800))].into(), ..Slo::default() }
    }

    /// forall threads: the same outcomes, byte for byte; and accounting holds.
    #[test]
    fn outcomes_do_not_depend_on_the_number_of_threads() {
        let mut plan = tiny_plan();
        plan.day_sigma = 0.2;
        let (workload, material, slo) = (Workload::default(), Material::default(), slo());
        let world = World::new(&plan, &workload, &slo, &EndpointSpec::default(), &material, Seed(5)).unwrap();
        let tariff = Tariff::new(&plan.price).unwrap();
        let run = |threads| Simulation::new(&world, &tariff, threads).evaluate(Size { min: 1, max: 2 }, Seeds::Search, 0..5);
        let one = run(1);
        assert_eq!(one, run(3));
        assert_eq!(one.len(), 5);
        for period in &one {
            assert!(period.good <= period.total && period.total > 500);
            assert_eq!(u64::from(period.missed_by_part.iter().sum::<u32>()), period.total - period.good);
            assert!(period.mean_chunks >= 1.0 && period.peak_chunks <= 2);
        }
    }

    /// Clients that come back after a 429 are served later, and their load is that of the tries: nothing may be screened by the demand alone.
    #[test]
    fn clients_that_come_back_are_simulated() {
        let mut plan = tiny_plan();
        plan.period = TimeSpan::secs(3600);
        plan.demand = Some(serde_json::from_value(serde_json::json!({ "poisson": { "rate": "12/s" } })).unwrap());
        let endpoint = EndpointSpec { queue: 1, max_batch: 2, ..EndpointSpec::default() };
        let (workload, material, slo) = (Workload::default(), Material::default(), Slo::default());
        let tariff = Tariff::new(&plan.price).unwrap();
        let back = Plan { retry: serde_json::from_value(serde_json::json!({ "attempts": 5, "backoff": "500ms" })).unwrap(), ..plan.clone() };
        let run = |plan: &Plan| {
            let world = World::new(plan, &workload, &slo, &endpoint, &material, Seed(5)).unwrap();
            let mut simulation = Simulation::new(&world, &tariff, 2);
            let period = simulation.evaluate(Size::fixed(9), Seeds::Search, 0..1).remove(0);
            (period, simulation.simulated == simulation.requests, crate::planner::hybrid::covers(&world), world.longest_wait_s())
        };
        let (once, _, is_covered, longest_s) = run(&plan);
        let missed = |period: &PeriodOutcome| period.total - period.good;
        assert!(is_covered && missed(&once) > 100 && (longest_s - 120.0).abs() < 1e-9, "{once:?}");
        let (again, is_full, is_covered, longest_s) = run(&back);
        assert!(is_full && !is_covered);
        assert!(missed(&again) * 4 < missed(&once), "{} of {} still missed", missed(&again), missed(&once));
        assert!((longest_s - (6.0 * 120.0 + 0.5 * 31.0)).abs() < 1e-9, "{longest_s}");
    }
}
