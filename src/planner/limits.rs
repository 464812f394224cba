//! Which uncertainty decides the size, and what less of it would save: more simulation, or more measurement of the endpoint or of the demand.

use super::bar::Bar;
use super::cost::Tariff;
use super::draws::Uncertainty;
use super::evaluate::Simulation;
use super::explain;
use super::search::{self, Found, Look, Rules, Size, mean_cost};
use super::world::World;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the promise was shown by, for the size chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Certificate {
    /// What a size had to do.
    pub bar: Bar,
    /// Outer draws of which more periods failed than the promise allows of as many.
    pub bad_draws: u32,
    /// Probability that the promise is wrong. One draw: a bound, over all rounds so far. Several: estimated from how draws differ, see
    /// `planner::bar`.
    pub risk: f64,
}

/// What decides the size beyond the demand itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Binds {
    /// Nothing: less uncertainty would save nothing.
    #[default]
    Nothing,
    /// The number of simulated periods.
    Simulation,
    /// What is not known of the endpoint.
    Endpoint,
    /// What is not known of the level of demand.
    Demand,
}

/// A size that would do if one uncertainty were away. By the periods of the search: an estimate, not certified.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Without {
    /// Which uncertainty is away.
    pub what: Binds,
    /// Chunks at least.
    pub min_chunks: u32,
    /// Chunks at most.
    pub max_chunks: u32,
    /// Saved per hour against the chosen size, both on the periods of the search; negative when it costs more.
    pub saved_per_hour: f64,
}

/// Which uncertainty decides the size.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Limits {
    /// The one whose absence would save most.
    pub binds: Binds,
    /// In one sentence.
    pub sentence: String,
    /// Each that exists, with what it costs.
    pub without: Vec<Without>,
}

/// Work done for the comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Periods simulated.
    pub periods: u64,
    /// Requests of these periods.
    pub requests: u64,
    /// Of these, simulated one by one.
    pub simulated: u64,
    /// Candidates looked at.
    pub candidates: u32,
}

/// What is uncertain, and how many draws of it a family has.
#[derive(Clone, Copy, Debug)]
pub struct Doubt<'a> {
    /// All of it.
    pub uncertainty: &'a Uncertainty,
    /// Confidence of the promise.
    pub confidence: f64,
}

/// Compares the chosen size with the cheapest of the search (what more simulated periods would save at most), and with the cheapest in worlds
/// without doubts about the endpoint or the demand.
pub fn find(
    world: &World<'_>,
    tariff: &Tariff,
    rules: &Rules,
    (found, doubt): (&Found, &Doubt<'_>),
    threads: usize,
    look: &mut dyn FnMut(Look),
) -> (Limits, Effort) {
    let mut effort = Effort::default();
    let Some(chosen) = &found.chosen else { return (Limits::default(), effort) };
    let cost = |size: &Size| found.looked.get(size).map(|periods| mean_cost(periods));
    let (Some(own), Some(cheapest)) = (cost(&chosen.size), found.cheapest) else { return (Limits::default(), effort) };
    let mut without = Vec::new();
    let mut add = |what, size: Size, cost: f64| {
        without.push(Without { what, min_chunks: size.min, max_chunks: size.max, saved_per_hour: own - cost });
    };
    add(Binds::Simulation, cheapest, cost(&cheapest).unwrap_or(own));
    let mut away = |what, less: Uncertainty| {
        let draws = less.per_family(doubt.confidence).min(rules.draws);
        let other = world.with_uncertainty(&less, draws);
        let mut simulation = Simulation::new(&other, tariff, threads);
        let rules = Rules { draws, guess: chosen.size.max, ..*rules };
        let best = search::cheapest(&rules, &mut simulation, &mut |l| {
            effort.candidates += 1;
            look(l);
        });
        effort.periods += simulation.periods;
        effort.requests += simulation.requests;
        effort.simulated += simulation.simulated;
        if let Some((size, periods)) = best {
            add(what, size, mean_cost(&periods));
        }
    };
    if doubt.uncertainty.endpoints.len() > 1 || doubt.uncertainty.multipliers != crate::sim::fit::Multipliers::default() {
        away(Binds::Endpoint, doubt.uncertainty.with_exact_endpoint());
    }
    if doubt.uncertainty.is_demand_random() {
        away(Binds::Demand, doubt.uncertainty.with_exact_demand());
    }
    let dearest = without.iter().filter(|w| w.saved_per_hour > 0.005 * own).max_by(|a, b| a.saved_per_hour.total_cmp(&b.saved_per_hour));
    let binds = dearest.map_or(Binds::Nothing, |w| w.what);
    let sentence = sentence(dearest, doubt.uncertainty, &tariff.currency);
    (Limits { binds, sentence, without }, effort)
}

fn sentence(dearest: Option<&Without>, uncertainty: &Uncertainty, currency: &str) -> String {
    let Some(without) = dearest else {
        return if uncertainty.is_random() {
            "neither more simulation nor more measurement would make the answer cheaper".to_owned()
        } else {
            "more simulation would not make the answer cheaper; endpoint and demand are taken to be as given".to_owned()
        };
    };
    let size = explain::size(Size { min: without.min_chunks, max: without.max_chunks });
    let saved = without.saved_per_hour;
    let (cause, remedy) = match without.what {
        Binds::Endpoint => ("what is not known of the endpoint", "more load steps or longer ones for the fit"),
        Binds::Demand => ("what is not known of the demand", "more recorded days"),
        Binds::Simulation | Binds::Nothing => ("the number of simulated periods", "a larger plan.search.certify"),
    };
    format!("{cause} costs most: without it about {size} would do, {saved:.2} {currency} an hour less; {remedy} would help")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_names_what_would_help_and_what_it_saves() {
        let without = Without { what: Binds::Demand, min_chunks: 2, max_chunks: 4, saved_per_hour: 12.5 };
        let text = sentence(Some(&without), &Uncertainty::default(), "USD");
        assert_eq!(
            text,
            "what is not known of the demand costs most: without it about min 2, max 4 would do, 12.50 USD an hour less; more recorded days would help"
        );
        assert!(sentence(None, &Uncertainty::default(), "USD").contains("as given"));
    }
}
