//! The truth: days of the hidden demand against the hidden endpoint at a size, and the size that an oracle would buy.

use crate::hidden::World;
use crate::pipeline::MOST_CHUNKS;
use plimsoll::base::rng::Seed;
use plimsoll::base::stats::interval::{clopper_pearson_lower, clopper_pearson_upper};
use plimsoll::planner::cost::Tariff;
use plimsoll::planner::evaluate::Simulation;
use plimsoll::planner::search::{Evaluator, PeriodOutcome, Seeds, Size, mean_cost};
use plimsoll::planner::world;
use plimsoll::scenario::plan::Plan;
use plimsoll::scenario::slo::Slo;
use plimsoll::scenario::workload::{Lengths, Workload};
use plimsoll::workload::demand::{DemandModel, Generator, LengthTable, RecordedDay, RecordedDays};
use plimsoll::workload::schedule::Material;
use plimsoll::workload::trace::Row;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How sure one must be that a size keeps the promise, or does not, before fewer days than asked for are enough.
const CLEAR: f64 = 1.0 - 1e-6;

/// Days that tell the cost of a size: the same ones for all sizes, so that costs can be compared.
const PAIRED: usize = 50;

/// A size under the truth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged {
    pub(crate) size: Size,
    /// Share of days that kept the requests' promise.
    pub(crate) kept: f64,
    /// Days judged.
    pub(crate) days: u32,
    pub(crate) cost_per_hour: f64,
}

/// Hidden days, ready to be run.
pub(crate) struct Truth<'a> {
    plan: &'a Plan,
    hidden: &'a World,
    material: Material,
    workload: Workload,
    slo: Slo,
    tariff: Tariff,
}

impl<'a> Truth<'a> {
    /// `days` different days of the hidden demand; more are drawn from them again, with other requests.
    pub(crate) fn new(hidden: &'a World, plan: &'a Plan, days: u32) -> Self {
        let seed = hidden.seed.child("truth", 0);
        let model = demand(hidden, seed, days);
        let workload = Workload { lengths: Lengths::Empirical { trace: None }, max_input: 8000, max_output: 1000, ..Workload::default() };
        let material = Material { demand: Some(Arc::new(model)), ..Material::default() };
        Self { plan, hidden, material, workload, slo: hidden.slo.clone(), tariff: Tariff::new(&plan.price).unwrap() }
    }

    /// Runs `with` on a judge of sizes, which keeps the days it has drawn.
    pub(crate) fn with_judge<T>(&self, with: impl FnOnce(&mut Judge<'_>) -> T) -> T {
        let seed = self.hidden.seed.child("truth", 1);
        let world = world::World::new(self.plan, &self.workload, &self.slo, &self.hidden.endpoint, &self.material, seed).unwrap();
        with(&mut Judge { plan: self.plan, simulation: Simulation::new(&world, &self.tariff, 1), known: BTreeMap::new() })
    }
}

/// Judges sizes in the truth.
pub(crate) struct Judge<'a> {
    plan: &'a Plan,
    simulation: Simulation<'a>,
    known: BTreeMap<(Size, u32), Judged>,
}

impl Judge<'_> {
    fn keeps(&self, period: &PeriodOutcome) -> bool {
        period.good as f64 >= self.plan.promise.requests.0 * period.total as f64
    }

    /// The size on `days` days; fewer when they leave no doubt on which side of the promise it is: fifty days at least, and then a chance of
    /// one in a million that as many as were kept would be.
    pub(crate) fn judge(&mut self, size: Size, days: u32) -> Judged {
        if let Some(known) = self.known.get(&(size, days)) {
            return *known;
        }
        let judged = self.judged(size, days);
        self.known.insert((size, days), judged);
        judged
    }

    fn judged(&mut self, size: Size, days: u32) -> Judged {
        let mut periods: Vec<PeriodOutcome> = Vec::new();
        let promised = self.plan.promise.periods.0;
        let mut next = 50.min(days);
        loop {
            let seen = u32::try_from(periods.len()).unwrap();
            periods.extend(self.simulation.evaluate(size, Seeds::Certify(9), seen..next));
            let kept = periods.iter().filter(|p| self.keeps(p)).count() as u64;
            let n = u64::from(next);
            let is_clear = clopper_pearson_lower(kept, n, CLEAR) > promised || clopper_pearson_upper(kept, n, CLEAR) < promised;
            if next >= days || is_clear {
                return Judged {
                    size,
                    kept: kept as f64 / n.max(1) as f64,
                    days: next,
                    cost_per_hour: mean_cost(&periods[..periods.len().min(PAIRED)]),
                };
            }
            next = (next + next / 2).min(days);
        }
    }

    /// The cheapest size that keeps the promise on the first `days` days: on the staircase of the smallest minimum for each maximum.
    pub(crate) fn oracle(&mut self, days: u32, near: Option<Size>) -> Option<Judged> {
        let promised = self.plan.promise.periods.0;
        let mut keeps = |size: Size| Some(self.judge(size, days)).filter(|j| j.kept >= promised);
        // The smallest fixed size: from the recommended maximum down or up.
        let mut fixed = near.map_or(MOST_CHUNKS / 2, |s| s.max);
        let mut best = keeps(Size::fixed(fixed));
        while best.is_none() && fixed < MOST_CHUNKS {
            fixed += 1;
            best = keeps(Size::fixed(fixed));
        }
        while fixed > 1 {
            let Some(smaller) = keeps(Size::fixed(fixed - 1)) else { break };
            (best, fixed) = (Some(smaller), fixed - 1);
        }
        let mut best = best?;
        let mut min = fixed;
        for max in fixed..=(fixed + 6).min(MOST_CHUNKS) {
            while min > 1 {
                let Some(judged) = keeps(Size { min: min - 1, max }) else { break };
                min -= 1;
                if judged.cost_per_hour < best.cost_per_hour {
                    best = judged;
                }
            }
        }
        Some(best)
    }
}

/// `days` different days of the hidden demand as a model; more are drawn from them again, with other requests.
pub(crate) fn demand(hidden: &World, seed: Seed, days: u32) -> DemandModel {
    // One rate a minute; inside it the 15-second rates are nearly alike.
    let minutes = |day: Vec<f64>| day.chunks(4).map(|c| c.iter().sum::<f64>() / c.len() as f64).collect();
    let days = (0..u64::from(days)).map(|d| RecordedDay { weekday: (d % 7) as u8, rates: minutes(hidden.demand.day(seed, d)) }).collect();
    let row = |&(input_tokens, output_tokens): &(u32, u32)| Row { at: None, input_tokens, output_tokens, blocks: 0 };
    let shape = serde_json::from_value(serde_json::json!({ "shape": "flat", "mean": "1/s" })).unwrap();
    DemandModel {
        name: "truth".to_owned(),
        generator: Generator::Days(RecordedDays { step_s: 60.0, days }),
        dispersion: hidden.demand.dispersion,
        lengths: LengthTable::pooled(hidden.lengths.iter().map(row).collect()),
        ..plimsoll::workload::demand::of_shape(&shape)
    }
}
