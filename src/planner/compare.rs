//! What stands beside the chosen size: the next cheaper one and rules of thumb, each with why it fails or what it costs more.

use super::evaluate::Simulation;
use super::hybrid::Depth;
use super::recommendation::{CandidateResult, Recommendation, Rejected};
use super::search::{self, Evaluator, Found, Judged, PeriodOutcome, Seeds, Size};
use super::{PlanProgress, Stage, Work, explain, naive, result};

/// Failed periods of a size in which every miss is counted.
const COUNTED: usize = 12;

impl Work<'_> {
    /// The dearest candidate that is cheaper than the chosen one, on the periods that certified it. Costs are compared on common periods.
    pub(super) fn next_cheaper(&mut self, found: &Found, chosen: &Judged) -> Option<Rejected> {
        let reference = found.looked.get(&chosen.size);
        let saving = |periods: &[PeriodOutcome]| {
            let own = reference.map_or(&chosen.periods[..], Vec::as_slice);
            let common = own.len().min(periods.len());
            search::mean_cost(&own[..common]) - search::mean_cost(&periods[..common])
        };
        let size = found
            .looked
            .iter()
            .filter(|(size, periods)| **size != chosen.size && saving(periods) > 1e-9)
            .min_by(|a, b| saving(a.1).total_cmp(&saving(b.1)).then(a.0.cmp(b.0)))
            .map(|(size, _)| *size)
            .or_else(|| self.smaller(chosen.size))?;
        let rules = self.survey.rules;
        let mut periods = self.simulate(size, chosen.round, chosen.bar);
        self.count_failures(size, chosen.round, &mut periods);
        let result = result(&self.survey.rules, size, &periods, chosen.bar);
        let reason = if result.keeps_promise {
            "it keeps the promise on these periods, and was not certified".to_owned()
        } else {
            explain::why_fails(&rules, self.world.plan, &periods)
        };
        Some(Rejected { rule: "next cheaper".to_owned(), result, reason })
    }

    /// A size one chunk smaller that the search had no need to look at: a larger one fails already.
    fn smaller(&self, size: Size) -> Option<Size> {
        let rules = &self.survey.rules;
        let Size { min, max } = size;
        match () {
            () if rules.fixed => (max > 1).then(|| Size::fixed(max - 1)),
            () if max > min.max(1) => Some(Size { min, max: max - 1 }),
            () => (min > rules.least).then(|| Size { min: min - 1, max }),
        }
    }

    /// Counts every miss in some of the failed periods of a size, so that it can be said how badly it fails.
    fn count_failures(&mut self, size: Size, round: u32, periods: &mut [PeriodOutcome]) {
        let mut simulation = Simulation::new(self.world, self.tariff, self.threads).to(Depth::Full);
        let rules = self.survey.rules;
        for (index, period) in (0..).zip(periods).filter(|(_, p)| !rules.keeps(p) && !p.is_exact).take(COUNTED) {
            if let Some(exact) = simulation.evaluate(size, Seeds::Certify(round), index..index + 1).pop() {
                *period = exact;
            }
        }
        self.effort.simulated += simulation.simulated;
    }

    /// Rules of thumb, judged like the chosen size, on the same periods.
    pub(super) fn thumbs(&mut self, chosen: Option<&Judged>, found: &Found, to: &mut Recommendation, progress: &mut dyn FnMut(PlanProgress)) {
        let rules = self.survey.rules;
        let round = chosen.map_or(0, |c| c.round);
        let Some(bar) = chosen.map(|c| c.bar).or_else(|| rules.bars().first().copied()) else { return };
        let thumbs = naive::rules(&self.survey.demand, self.world.plan.chunk.size.0);
        for thumb in thumbs.into_iter().chain(naive::cheapest_that_passed(&rules, &found.looked)) {
            progress(PlanProgress { stage: Stage::Compare, size: Some(thumb.size), candidates: self.candidates });
            let size = thumb.size;
            let known = chosen.filter(|c| c.size == size).map(|c| c.periods.clone());
            let outcomes = known.unwrap_or_else(|| {
                let mut outcomes = self.simulate(size, round, bar);
                self.count_failures(size, round, &mut outcomes);
                outcomes
            });
            let result = result(&self.survey.rules, size, &outcomes, bar);
            let reason = self.thumb_reason(&result, &outcomes, to.chosen.as_ref());
            to.naive.push(Rejected { rule: thumb.rule.to_owned(), result, reason });
        }
    }

    fn thumb_reason(&self, result: &CandidateResult, outcomes: &[PeriodOutcome], chosen: Option<&CandidateResult>) -> String {
        if !result.keeps_promise {
            return explain::why_fails(&self.survey.rules, self.world.plan, outcomes);
        }
        let more = result.cost_per_hour - chosen.map_or(0.0, |c| c.cost_per_hour);
        let currency = &self.tariff.currency;
        match chosen {
            Some(c) if (c.min_chunks, c.max_chunks) == (result.min_chunks, result.max_chunks) => "the same size".to_owned(),
            Some(_) if more >= 0.0 => format!("it keeps the promise too, for {more:.2} {currency} an hour more"),
            _ => "it keeps the promise on these periods, and was not certified".to_owned(),
        }
    }
}
