//! Rules of thumb beside the answer: mean x 1.2, the peak minute, p95 x 1.3, the cheapest that passed the search; each judged by fresh periods.

use super::demand::Demand;
use super::search::{PeriodOutcome, Rules, Size, mean_cost};
use std::collections::BTreeMap;

/// A rule of thumb and the fixed size that it buys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thumb {
    /// Its name.
    pub rule: &'static str,
    /// What it buys.
    pub size: Size,
}

/// The rules, all of them against the advertised size of a chunk, as one would without a simulation.
#[must_use]
pub fn rules(demand: &Demand, chunk_tok_s: f64) -> [Thumb; 3] {
    let fixed = |tok_s: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate; demand is not negative")]
        let chunks = (tok_s / chunk_tok_s.max(1e-9)).ceil() as u32;
        Size::fixed(chunks.max(1))
    };
    [
        Thumb { rule: "mean x 1.2", size: fixed(1.2 * demand.facts.mean_tok_s) },
        Thumb { rule: "peak minute", size: fixed(demand.facts.peak_minute_tok_s) },
        Thumb { rule: "p95 x 1.3", size: fixed(1.3 * demand.p95_minute_tok_s) },
    ]
}

/// What one would buy without certification: the cheapest size whose share of kept periods in the search is the one promised. `None`: none is.
#[must_use]
pub fn cheapest_that_passed(rules: &Rules, looked: &BTreeMap<Size, Vec<PeriodOutcome>>) -> Option<Thumb> {
    let passed = |periods: &[PeriodOutcome]| {
        let kept = periods.len() - (rules.failures(periods) as usize).min(periods.len());
        2 * periods.len() >= rules.search_periods.max(1) as usize && kept as f64 >= rules.periods * periods.len() as f64
    };
    let passing = looked.iter().filter(|(_, periods)| passed(periods));
    let cheapest = passing.min_by(|a, b| mean_cost(a.1).total_cmp(&mean_cost(b.1)).then(a.0.cmp(b.0)))?;
    Some(Thumb { rule: "cheapest that passed", size: *cheapest.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::recommendation::DemandFacts;

    #[test]
    fn each_rule_rounds_up_to_whole_chunks() {
        let facts = DemandFacts { mean_tok_s: 1500.0, peak_minute_tok_s: 5000.0, ..DemandFacts::default() };
        let demand = Demand { facts, p95_minute_tok_s: 3000.0, ..Demand::default() };
        assert_eq!(rules(&demand, 1580.0).map(|t| t.size.max), [2, 4, 3]);
        assert_eq!(rules(&Demand::default(), 1580.0).map(|t| t.size.min), [1, 1, 1]);
    }

    #[test]
    fn the_cheapest_that_passed_needs_the_promised_share_and_no_more() {
        let rules = Rules { periods: 0.75, ..crate::planner::tests::rules(8) };
        let period = |good, cost_per_hour| PeriodOutcome { total: 100, good, cost_per_hour, ..PeriodOutcome::default() };
        let of = |bad: usize, cost: f64| (0..4).map(|i| period(if i < bad { 0 } else { 100 }, cost)).collect::<Vec<_>>();
        let looked = [(Size::fixed(1), of(2, 1.0)), (Size::fixed(2), of(1, 2.0)), (Size::fixed(3), of(0, 3.0)), (Size::fixed(4), Vec::new())].into();
        assert_eq!(cheapest_that_passed(&rules, &looked), Some(Thumb { rule: "cheapest that passed", size: Size::fixed(2) }));
        assert_eq!(cheapest_that_passed(&rules, &BTreeMap::new()), None);
    }
}
