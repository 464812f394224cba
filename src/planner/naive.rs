//! Rules of thumb beside the answer: mean x 1.2, the peak minute, p95 x 1.3; each judged by the same simulation.

use super::demand::Demand;
use super::search::Size;

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
}
