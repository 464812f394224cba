//! What is known before the search: demand, capacity of a chunk, and how much simulation the plan may spend.

use super::Error;
use super::bar;
use super::capacity::{self, Capacity};
use super::demand::{self, Demand};
use super::hybrid;
use super::search::Rules;
use super::world::World;
use crate::scenario::autoscaler::Policy;
use crate::scenario::plan::{Plan, Promise};

/// Requests that a plan may simulate, about. Strict promises over long periods take more, and say so.
const BUDGET: f64 = 100e6;

/// What a request costs that the fluid screen goes through, in requests simulated one by one; about, those that it leaves to simulation included.
const SCREENED: f64 = 0.04;

/// What is known before the search.
pub(super) struct Survey {
    pub(super) demand: Demand,
    pub(super) capacity: Capacity,
    pub(super) rules: Rules,
}

impl Survey {
    pub(super) fn of(world: &World<'_>) -> Result<Self, Error> {
        let plan = world.plan;
        let Promise { requests, periods, confidence } = plan.promise;
        let demand = demand::look(world, 4, requests.0)?;
        if demand.requests_per_period <= 0.0 {
            return Err(Error::NoDemand { period: plan.period.to_string() });
        }
        let capacity = capacity::of_one_chunk(world, &demand, requests.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate, and the search clamps it")]
        let guess = (demand.p95_minute_tok_s / if capacity.tok_s > 0.0 { capacity.tok_s } else { plan.chunk.size.0 }).ceil() as u32;
        let policy = &plan.autoscaler.policy;
        let mut rules = Rules {
            requests: requests.0,
            periods: periods.0,
            confidence: confidence.0,
            max_chunks: plan.max_chunks,
            least: u32::from(!matches!(policy, Policy::Keda(_))),
            lowest: demand.lowest_chunks,
            guess,
            fixed: matches!(policy, Policy::Units(units) if units.burst.is_none()),
            search_periods: 1,
            certify_periods: 1,
            certify_least: 0,
            draws: world.outer_draws(),
        };
        let simulated = demand.requests_per_period * if hybrid::covers(world) { SCREENED } else { 1.0 };
        budget(&mut rules, plan, simulated);
        if rules.bars().is_empty() {
            return Err(not_certifiable(&rules, plan));
        }
        Ok(Self { demand, capacity, rules })
    }
}

pub(super) fn not_certifiable(rules: &Rules, plan: &Plan) -> Error {
    let Promise { periods, confidence, .. } = plan.promise;
    let risk = 1.0 - confidence.0;
    if rules.draws > 1 && risk > 0.0 && 1.0 / (f64::from(rules.draws) + 1.0) >= risk {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
        let needed = (1.0 / risk).floor() as u64;
        return Error::TooFewDraws { confidence: confidence.to_string(), draws: rules.draws, needed };
    }
    Error::NotCertifiable { periods: periods.to_string(), confidence: confidence.to_string(), most: bar::MOST_PERIODS.into() }
}

/// Shares the budget: enough periods in the search to tell good from bad, and enough in certification that a size that is good enough is not
/// refused for a few bad days. `plan.search` overrides both.
pub(super) fn budget(rules: &mut Rules, plan: &Plan, requests_per_period: f64) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
    let affordable = |share: f64, candidates: f64| (share * BUDGET / (candidates * requests_per_period.max(1.0))) as u32;
    rules.certify_periods = affordable(0.4, 4.0).clamp(1, bar::MOST_PERIODS);
    let certify = rules.bars().first().copied().unwrap_or_default();
    // As many as certification takes, for a fair guess of what will pass; half of them with outer draws, which are many periods together.
    let (fewest, wanted) = if rules.draws > 1 { (rules.draws, rules.draws * (certify.depth / 2).max(4)) } else { (4, certify.periods()) };
    rules.search_periods = affordable(0.5, 16.0).clamp(fewest, wanted.max(fewest));
    if let Some(periods) = plan.search.periods {
        rules.search_periods = periods.max(fewest);
    }
    if let Some(periods) = plan.search.certify {
        rules.certify_least = periods;
        rules.certify_periods = rules.certify_periods.max(periods);
    }
}
