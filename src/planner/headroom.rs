//! The over-provisioned part by cause: the same search in worlds without lag and without failures, beside what clairvoyance would need.
//!
//! base: capacity that follows demand at once and in any fraction, `mean of max(1, demand / effective chunk)`; never more than what follows.
//! burst: the cheapest size with scale-up delay zero and no failures, less the base: detection, whole chunks, queueing.
//! failure: the cheapest size on the seeds of the search, less the cheapest without failures.
//! lag: the rest of the chosen size. All on the same periods of the search; the sum is the mean number of chunks paid for.

use super::cost::Tariff;
use super::demand::Demand;
use super::evaluate::Simulation;
use super::explain;
use super::recommendation::{Baseline, HeadroomPart};
use super::search::{self, Evaluator, Look, PeriodOutcome, Rules, Seeds, Size};
use super::world::{World, mean_lag_s};
use crate::base::time::Nanos;
use crate::base::units::{Share, TimeSpan};
use crate::scenario::endpoint::{Autoscaler, Lag};

/// What is split.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a> {
    /// The size.
    pub size: Size,
    /// Mean chunks paid for, certified.
    pub mean_chunks: f64,
    /// Cheapest size on the seeds of the search, with its periods.
    pub cheapest: Option<&'a [PeriodOutcome]>,
}

/// The parts, and the work done for them.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// `base`, `burst`, `failure`, `lag`, in this order.
    pub parts: Vec<HeadroomPart>,
    /// Capacity that follows demand at once.
    pub clairvoyant: Baseline,
    /// Periods simulated.
    pub periods: u64,
    /// Requests simulated.
    pub requests: u64,
    /// Candidates looked at.
    pub candidates: u32,
}

/// Mean of `max(1, demand / effective chunk)` over the intervals of `demand`: what capacity that follows demand at once would hold. Not rounded
/// to whole chunks, which would count the noise of single minutes.
#[must_use]
pub fn clairvoyant_chunks(demand: &Demand, effective_tok_s: f64) -> f64 {
    let needed = |tok_s: &f64| (tok_s / effective_tok_s).max(1.0);
    let count: usize = demand.bins.iter().map(Vec::len).sum();
    if count == 0 || effective_tok_s <= 0.0 {
        return 0.0;
    }
    demand.bins.iter().flatten().map(needed).sum::<f64>() / count as f64
}

/// Splits the chosen size into its causes.
pub fn split(
    world: &World<'_>,
    tariff: &Tariff,
    rules: &Rules,
    chosen: &Chosen<'_>,
    (demand, effective_tok_s): (&Demand, f64),
    threads: usize,
    look: &mut dyn FnMut(Look),
) -> Split {
    let mut actual = Simulation::new(world, tariff, threads);
    let here = mean_chunks(&actual.evaluate(chosen.size, Seeds::Search, 0..rules.search_periods));
    let mut effort = (actual.periods, actual.requests, 0);
    let mut best_without = |autoscaler: Autoscaler| {
        let other = world.with_autoscaler(&autoscaler);
        let mut simulation = Simulation::new(&other, tariff, threads);
        let best = search::cheapest(rules, &mut simulation, &mut |l| {
            effort.2 += 1;
            look(l);
        });
        effort.0 += simulation.periods;
        effort.1 += simulation.requests;
        best.map(|(size, periods)| (size, mean_chunks(&periods)))
    };
    let policy = &world.endpoint.autoscaler;
    let prompt = best_without(Autoscaler { lag: Lag::Fixed(TimeSpan(Nanos::ZERO)), failure: Share(0.0), ..policy.clone() });
    let reliable = if policy.failure.0 > 0.0 { best_without(Autoscaler { failure: Share(0.0), ..policy.clone() }) } else { None };
    let clairvoyant = clairvoyant_chunks(demand, effective_tok_s);
    // Same periods, common random numbers; brought to the certified mean in proportion.
    let scale = chosen.mean_chunks / here.max(1e-9);
    let prompt_chunks = prompt.map_or(here, |(_, chunks)| chunks.min(here));
    let base = clairvoyant.min(prompt_chunks);
    let failure = match (reliable, chosen.cheapest) {
        (Some((_, without)), Some(with)) => (mean_chunks(with) - without).clamp(0.0, here - prompt_chunks),
        _ => 0.0,
    };
    let chunks = [base, prompt_chunks - base, failure, here - prompt_chunks - failure].map(|c| (c * scale).max(0.0));
    let reasons = reasons(world, clairvoyant, effective_tok_s, prompt.map(|p| p.0), reliable.map(|r| r.0));
    let mut below = 0.0;
    let parts = ["base", "burst", "failure", "lag"]
        .into_iter()
        .zip(chunks)
        .zip(reasons)
        .map(|((cause, chunks), reason)| {
            let cost_per_hour = tariff.step(below, chunks);
            below += chunks;
            HeadroomPart { cause: cause.to_owned(), chunks, cost_per_hour, reason }
        })
        .collect();
    let least = base * scale;
    let clairvoyant = Baseline { mean_chunks: least, cost_per_hour: tariff.per_hour(least) };
    Split { parts, clairvoyant, periods: effort.0, requests: effort.1, candidates: effort.2 }
}

fn mean_chunks(periods: &[PeriodOutcome]) -> f64 {
    periods.iter().map(|p| p.mean_chunks).sum::<f64>() / periods.len().max(1) as f64
}

fn reasons(world: &World<'_>, clairvoyant: f64, effective_tok_s: f64, prompt: Option<Size>, reliable: Option<Size>) -> [String; 4] {
    let policy = &world.endpoint.autoscaler;
    let would_do = |size: Option<Size>| size.map_or("no size would do".to_owned(), |s| format!("{} would do", explain::size(s)));
    [
        format!(
            "capacity that followed demand at once would hold {clairvoyant:.2} chunks on average, {} tokens/s each within the objectives, one at least",
            explain::grouped(effective_tok_s)
        ),
        format!(
            "if chunks served at once and never failed, {}; what that costs beyond the base is for bursts, detection and whole chunks",
            would_do(prompt)
        ),
        if policy.failure.0 > 0.0 {
            format!("{} of scale-ups fail; if none did, {}", explain::percent(policy.failure.0), would_do(reliable))
        } else {
            "scale-ups are taken never to fail".to_owned()
        },
        format!(
            "a new chunk serves {} after it was asked for (mean): demand grows meanwhile, and whole chunks must be there before",
            Nanos::from_secs_f64(mean_lag_s(&policy.lag))
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clairvoyance_holds_one_chunk_at_least() {
        let demand = Demand { bins: vec![vec![0.0, 500.0, 1000.0], vec![1001.0, 2500.0]], ..Demand::default() };
        assert_eq!(clairvoyant_chunks(&demand, 1000.0), (1.0 + 1.0 + 1.0 + 1.001 + 2.5) / 5.0);
        assert_eq!(clairvoyant_chunks(&demand, 0.0), 0.0);
    }
}
