//! The over-provisioned part by cause: the same search in worlds that lack one difficulty after the other, beside what clairvoyance would need.
//!
//! base: capacity that follows demand at once and in any fraction, `mean of max(1, demand / effective chunk)`.
//! burst: the cheapest size when chunks serve at once and never fail, less the base: detection, whole chunks, queueing.
//! lag: the cheapest size when scale-ups never fail, less that. failure: the cheapest size, less that.
//! uncertainty: the certified size, less the cheapest one with endpoint and demand as estimated and without certification.
//! Each level is at least the one before; all on the same periods of the search; the sum is the mean number of chunks paid for.

use super::cost::Tariff;
use super::demand::Demand;
use super::draws::Uncertainty;
use super::evaluate::Simulation;
use super::explain;
use super::recommendation::{Baseline, Clairvoyant, HeadroomPart};
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
    /// `base`, `burst`, `lag`, `failure`, `uncertainty`, in this order.
    pub parts: Vec<HeadroomPart>,
    /// Capacity that follows demand at once.
    pub clairvoyant: Clairvoyant,
    /// Periods simulated.
    pub periods: u64,
    /// Requests simulated.
    pub requests: u64,
    /// Of these, simulated one by one.
    pub simulated: u64,
    /// Candidates looked at.
    pub candidates: u32,
}

/// What capacity that follows demand at once would hold over the intervals of `demand`: mean of `max(1, demand / effective chunk)`, in any
/// fraction and rounded up to whole chunks. The second counts the noise of single minutes too.
#[must_use]
pub fn clairvoyant_chunks(demand: &Demand, effective_tok_s: f64) -> (f64, f64) {
    let count: usize = demand.bins.iter().map(Vec::len).sum();
    if count == 0 || effective_tok_s <= 0.0 {
        return (0.0, 0.0);
    }
    let mean = |round: fn(f64) -> f64| demand.bins.iter().flatten().map(|tok_s| round(tok_s / effective_tok_s).max(1.0)).sum::<f64>() / count as f64;
    (mean(|chunks| chunks), mean(f64::ceil))
}

/// The cheapest sizes in easier worlds, with their mean chunks.
#[derive(Clone, Copy, Debug, Default)]
struct Easier {
    prompt: Option<(Size, f64)>,
    reliable: Option<(Size, f64)>,
    exact: Option<(Size, f64)>,
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
    let certain = world.with_uncertainty(&Uncertainty::default(), 1);
    let mut actual = Simulation::new(&certain, tariff, threads);
    let here = mean_chunks(&actual.evaluate(chosen.size, Seeds::Search, 0..rules.search_periods));
    let mut effort = (actual.periods, actual.requests, 0, actual.simulated);
    let mut best_with = |autoscaler: Autoscaler| {
        let other = certain.with_autoscaler(&autoscaler);
        let mut simulation = Simulation::new(&other, tariff, threads);
        let best = search::cheapest(rules, &mut simulation, &mut |l| {
            effort.2 += 1;
            look(l);
        });
        effort.0 += simulation.periods;
        effort.1 += simulation.requests;
        effort.3 += simulation.simulated;
        best.map(|(size, periods)| (size, mean_chunks(&periods)))
    };
    let policy = &world.endpoint.autoscaler;
    let easier = Easier {
        prompt: best_with(Autoscaler { lag: Lag::Fixed(TimeSpan(Nanos::ZERO)), failure: Share(0.0), ..policy.clone() }),
        reliable: if policy.failure.0 > 0.0 { best_with(Autoscaler { failure: Share(0.0), ..policy.clone() }) } else { None },
        exact: if world.outer_draws() > 1 { best_with(policy.clone()) } else { chosen.cheapest.map(|periods| (chosen.size, mean_chunks(periods))) },
    };
    let (fractional, whole) = clairvoyant_chunks(demand, effective_tok_s);
    let levels = levels(fractional, &easier, here);
    // Same periods, common random numbers; brought to the certified mean in proportion.
    let scale = chosen.mean_chunks / here.max(1e-9);
    let reasons = reasons(world, fractional, effective_tok_s, &easier);
    let mut below = 0.0;
    let parts = ["base", "burst", "lag", "failure", "uncertainty"]
        .into_iter()
        .zip(levels)
        .zip(reasons)
        .map(|((cause, level), reason)| {
            let chunks = level * scale - below;
            let cost_per_hour = tariff.step(below, chunks);
            below = level * scale;
            HeadroomPart { cause: cause.to_owned(), chunks, cost_per_hour, reason }
        })
        .collect();
    let baseline = |chunks: f64| Baseline { mean_chunks: chunks, cost_per_hour: tariff.per_hour(chunks) };
    let least = baseline(levels[0] * scale);
    let price_of_delay = if least.cost_per_hour > 0.0 { tariff.per_hour(chosen.mean_chunks) / least.cost_per_hour - 1.0 } else { 0.0 };
    let clairvoyant = Clairvoyant { fractional: least, whole: baseline(whole), price_of_delay };
    Split { parts, clairvoyant, periods: effort.0, requests: effort.1, simulated: effort.3, candidates: effort.2 }
}

/// Mean chunks with ever more difficulties: none, whole chunks and bursts, lag, failures, uncertainty. None is below the one before it, or
/// above the last; a world that was not looked at, or in which no size will do, adds nothing.
fn levels(base: f64, easier: &Easier, here: f64) -> [f64; 5] {
    let chunks = |found: Option<(Size, f64)>, otherwise: f64| found.map_or(otherwise, |(_, chunks)| chunks);
    let exact = chunks(easier.exact, here);
    let reliable = chunks(easier.reliable, exact);
    let mut levels = [base, chunks(easier.prompt, reliable), reliable, exact, here];
    for i in 1..levels.len() {
        levels[i] = levels[i].clamp(levels[i - 1].min(here), here);
    }
    levels[0] = levels[0].min(levels[1]);
    levels
}

fn mean_chunks(periods: &[PeriodOutcome]) -> f64 {
    periods.iter().map(|p| p.mean_chunks).sum::<f64>() / periods.len().max(1) as f64
}

fn reasons(world: &World<'_>, fractional: f64, effective_tok_s: f64, easier: &Easier) -> [String; 5] {
    let policy = &world.endpoint.autoscaler;
    let would_do = |found: Option<(Size, f64)>| found.map_or("no size would do".to_owned(), |(s, _)| format!("{} would do", explain::size(s)));
    [
        format!(
            "capacity that followed demand at once would hold {fractional:.2} chunks on average, {} tokens/s each within the objectives, one at least",
            explain::grouped(effective_tok_s)
        ),
        format!(
            "if chunks served at once and never failed, {}; what that costs beyond the base is for bursts, detection and whole chunks",
            would_do(easier.prompt)
        ),
        format!(
            "a new chunk serves {} after it was asked for (mean): demand grows meanwhile, and whole chunks must be there before",
            Nanos::from_secs_f64(mean_lag_s(&policy.lag))
        ),
        if policy.failure.0 > 0.0 {
            format!("{} of scale-ups fail; if none did, {}", explain::percent(policy.failure.0), would_do(easier.reliable))
        } else {
            "scale-ups are taken never to fail".to_owned()
        },
        if world.outer_draws() > 1 {
            format!("if endpoint and demand were exactly as estimated, {}; the certified size holds for what they may be", would_do(easier.exact))
        } else {
            "the certified size, less the cheapest one that passed in the search; endpoint and demand are taken as exact".to_owned()
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn clairvoyance_holds_one_chunk_at_least_and_whole_ones_are_never_fewer() {
        let demand = Demand { bins: vec![vec![0.0, 500.0, 1000.0], vec![1001.0, 2500.0]], ..Demand::default() };
        assert_eq!(clairvoyant_chunks(&demand, 1000.0), ((1.0 + 1.0 + 1.0 + 1.001 + 2.5) / 5.0, (1.0 + 1.0 + 1.0 + 2.0 + 3.0) / 5.0));
        assert_eq!(clairvoyant_chunks(&demand, 0.0), (0.0, 0.0));
    }

    fn found() -> impl Strategy<Value = Option<(Size, f64)>> {
        proptest::option::of((1_u32..9, 0.5_f64..20.0).prop_map(|(n, chunks)| (Size::fixed(n), chunks)))
    }

    proptest! {
        /// forall findings: no part is negative, and together they are what is paid for
        #[test]
        fn parts_add_up(base in 0.0_f64..20.0, here in 0.5_f64..20.0, prompt in found(), reliable in found(), exact in found()) {
            let levels = levels(base, &Easier { prompt, reliable, exact }, here);
            prop_assert!(levels.windows(2).all(|w| w[0] <= w[1]) && levels[0] >= 0.0, "{levels:?}");
            prop_assert_eq!(levels[4], here);
        }
    }
}
