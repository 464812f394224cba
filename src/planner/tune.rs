//! The autoscaler where the user controls it: target utilisation and a schedule of minima, chosen on the periods of the search.

use super::bar::Tally;
use super::cost::Tariff;
use super::draws::Uncertainty;
use super::evaluate::Simulation;
use super::recommendation::Effort;
use super::search::{self, Evaluator, PeriodOutcome, Rules, Seeds, Size, mean_cost};
use super::world::World;
use super::{Error, PlanProgress, Stage};
use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::base::units::TimeSpan;
use crate::scenario::autoscaler::{Autoscaler, Block};
use crate::scenario::endpoint::EndpointSpec;
use crate::scenario::model::Scenario;
use crate::scenario::plan::Plan;
use crate::workload::schedule::Material;

/// What every variant of a plan is judged on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ground<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) law: &'a EndpointSpec,
    pub(super) material: &'a Material,
    pub(super) seed: Seed,
    pub(super) uncertainty: &'a Uncertainty,
    /// Outer draws of a family.
    pub(super) draws: u32,
    pub(super) tariff: &'a Tariff,
    pub(super) threads: usize,
}

impl Ground<'_> {
    pub(super) fn world<'x>(&'x self, plan: &'x Plan) -> Result<World<'x>, Error> {
        let Scenario { workload, slo, .. } = self.scenario;
        let world = World::new(plan, workload, slo, self.law, self.material, self.seed)?;
        Ok(world.with_uncertainty(self.uncertainty, self.draws))
    }
}

/// The plan with the cheapest autoscaler that `plan.search` allows. All variants are judged on the same periods of the search; the one taken is
/// certified afterwards on fresh ones, so that the choice costs no confidence.
pub(super) fn autoscaler(
    ground: &Ground<'_>,
    plan: &Plan,
    rules: &Rules,
    effort: &mut Effort,
    progress: &mut dyn FnMut(PlanProgress),
) -> Result<Plan, Error> {
    let mut best: Option<(f64, Size, Plan)> = None;
    if plan.search.targets.is_empty() && plan.search.blocks == 0 {
        return Ok(plan.clone());
    }
    let given = [plan.autoscaler.target];
    let targets = if plan.search.targets.is_empty() { &given[..] } else { &plan.search.targets };
    for &target in targets {
        let variant = Plan { autoscaler: Autoscaler { target, ..plan.autoscaler.clone() }, ..plan.clone() };
        let world = ground.world(&variant)?;
        let mut simulation = Simulation::new(&world, ground.tariff, ground.threads);
        let found = search::cheapest(rules, &mut simulation, &mut |look| {
            effort.candidates += 1;
            progress(PlanProgress { stage: Stage::Tune, size: Some(look.size), candidates: effort.candidates });
        });
        add(effort, &mut simulation)?;
        if let Some((size, periods)) = found
            && best.as_ref().is_none_or(|(cost, _, _)| mean_cost(&periods) < *cost)
        {
            best = Some((mean_cost(&periods), size, variant));
        }
    }
    let Some((cost, size, plan)) = best else { return Ok(plan.clone()) };
    if plan.search.blocks < 2 || size.min <= rules.least {
        return Ok(plan);
    }
    let mut descent = Descent { ground, rules, plan: &plan, size, effort, progress };
    Ok(descent.run(cost)?.unwrap_or(plan))
}

fn add(effort: &mut Effort, simulation: &mut Simulation<'_>) -> Result<(), Error> {
    effort.periods += simulation.periods;
    effort.requests += simulation.requests;
    effort.simulated += simulation.simulated;
    simulation.error.take().map_or(Ok(()), |e| Err(e.into()))
}

/// Coordinate descent on the minima of the blocks of a day.
struct Descent<'a, 'b> {
    ground: &'a Ground<'a>,
    rules: &'a Rules,
    plan: &'a Plan,
    size: Size,
    effort: &'b mut Effort,
    progress: &'b mut dyn FnMut(PlanProgress),
}

impl Descent<'_, '_> {
    /// From the best size with one minimum: the minimum of each block in turn goes as low as passes. `None`: that is not cheaper.
    fn run(&mut self, cost: f64) -> Result<Option<Plan>, Error> {
        let least = self.rules.least;
        let mut minima = vec![self.size.min; self.plan.search.blocks as usize];
        let mut best = cost;
        for block in 0..minima.len() {
            // One below the least is taken to fail.
            let (mut passes, mut fails) = (i64::from(minima[block]), i64::from(least) - 1);
            while passes - fails > 1 {
                let middle = (fails + passes).div_euclid(2);
                minima[block] = u32::try_from(middle).unwrap_or(least);
                match self.cost(&minima)? {
                    Some(cost) => {
                        passes = middle;
                        best = cost;
                    }
                    None => fails = middle,
                }
            }
            minima[block] = u32::try_from(passes).unwrap_or(least);
        }
        Ok((best < cost).then(|| self.variant(&minima)))
    }

    fn variant(&self, minima: &[u32]) -> Plan {
        let autoscaler = Autoscaler { schedule: blocks(self.plan, minima), ..self.plan.autoscaler.clone() };
        Plan { autoscaler, ..self.plan.clone() }
    }

    /// Mean cost of the least minimum under these blocks; `None` when it does not pass.
    fn cost(&mut self, minima: &[u32]) -> Result<Option<f64>, Error> {
        let size = Size { min: self.rules.least, max: self.size.max };
        self.effort.candidates += 1;
        (self.progress)(PlanProgress { stage: Stage::Tune, size: Some(size), candidates: self.effort.candidates });
        let variant = self.variant(minima);
        let world = self.ground.world(&variant)?;
        let mut simulation = Simulation::new(&world, self.ground.tariff, self.ground.threads);
        let bar = self.rules.search_bar();
        let mut tally = Tally::new(bar);
        let mut periods: Vec<PeriodOutcome> = Vec::new();
        while !tally.is_missed() && (periods.len() as u64) < u64::from(bar.periods()) {
            let next = u32::try_from(periods.len()).unwrap_or(u32::MAX);
            let more = simulation.evaluate(size, Seeds::Search, next..(next + 16).min(bar.periods()));
            for (index, period) in (next..).zip(&more) {
                tally.add(index, self.rules.keeps(period));
            }
            periods.extend(more);
        }
        add(self.effort, &mut simulation)?;
        Ok((!tally.is_missed()).then(|| mean_cost(&periods)))
    }
}

/// Equal blocks over the period (a day at most), the first from when the load begins; blocks with the same minimum as the one before are joined.
fn blocks(plan: &Plan, minima: &[u32]) -> Vec<Block> {
    const DAY_S: f64 = 86_400.0;
    let width_s = plan.period.as_secs_f64().min(DAY_S) / minima.len().max(1) as f64;
    let begins_s = plan.autoscaler.begins_at.as_secs_f64();
    let at = |index: usize| TimeSpan(Nanos::from_secs_f64((begins_s + width_s * index as f64) % DAY_S));
    let mut blocks: Vec<Block> = Vec::new();
    for (index, &min_chunks) in minima.iter().enumerate() {
        let (from, to) = (at(index), at(index + 1));
        match blocks.last_mut() {
            Some(last) if last.min_chunks == min_chunks => last.to = to,
            _ => blocks.push(Block { from, to, min_chunks }),
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::tests::tiny_plan;

    #[test]
    fn blocks_cover_the_period_and_equal_ones_are_joined() {
        let mut plan = tiny_plan();
        plan.period = TimeSpan::secs(86_400);
        plan.autoscaler.begins_at = TimeSpan::secs(22 * 3600);
        let hours = |h: u64| TimeSpan::secs(h * 3600);
        let block = |from, to, min_chunks| Block { from: hours(from), to: hours(to), min_chunks };
        assert_eq!(blocks(&plan, &[1, 1, 3, 2]), [block(22, 10, 1), block(10, 16, 3), block(16, 22, 2)]);
    }
}
