//! The search over (min, max): a staircase on the seeds of the search, then certification on seeds that the search never saw.
//!
//! It knows no simulator: it asks an [`Evaluator`]. Two facts shape it. Attainment rises with min and with max (measured: on 99.97 % of
//! neighbours; scale-down makes the exceptions), so the sizes that pass form a staircase, and the cheapest lies on its edge. And the best of
//! many noisy candidates looks better than it is (winner's curse), so what the search liked is judged again by fresh periods.

mod certify;
mod walk;

use super::bar::Bar;
use std::collections::BTreeMap;
use std::ops::Range;
use walk::Walk;

/// Minimum and maximum chunks. Invariant of the search: `min <= max` and `1 <= max`; a minimum of zero is looked at only where the endpoint allows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size {
    /// Chunks at least.
    pub min: u32,
    /// Chunks at most.
    pub max: u32,
}

impl Size {
    /// A size that never scales.
    #[must_use]
    pub const fn fixed(chunks: u32) -> Self {
        Self { min: chunks, max: chunks }
    }

    /// Whether it has at least as much of both.
    #[must_use]
    pub const fn dominates(self, other: Self) -> bool {
        self.min >= other.min && self.max >= other.max
    }
}

/// Families of seeds; the periods of two families are independent of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Seeds {
    /// Those the search looks at.
    Search,
    /// Those of a round of certification.
    Certify(u32),
}

/// Parts into which a period is cut to say when requests were missed.
pub const PARTS: usize = 24;

/// Counts of requests that were not good, by cause; one request may have several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MissCounts {
    /// TTFT above its bound.
    pub ttft: u64,
    /// TPOT above its bound.
    pub tpot: u64,
    /// E2E above its bound.
    pub e2e: u64,
    /// 429.
    pub throttled: u64,
    /// The client gave up.
    pub timed_out: u64,
    /// Answered with an error.
    pub failed: u64,
}

impl MissCounts {
    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.ttft += other.ttft;
        self.tpot += other.tpot;
        self.e2e += other.e2e;
        self.throttled += other.throttled;
        self.timed_out += other.timed_out;
        self.failed += other.failed;
    }
}

/// One simulated period at one size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeriodOutcome {
    /// Requests due.
    pub total: u64,
    /// Of these, good ones.
    pub good: u64,
    /// Mean chunks paid for.
    pub mean_chunks: f64,
    /// Cost per hour.
    pub cost_per_hour: f64,
    /// Most chunks asked for at once (ready and pending).
    pub peak_chunks: u32,
    /// Why requests were not good.
    pub misses: MissCounts,
    /// Requests not good in each of [`PARTS`] equal parts of the period, by the instant they were due.
    pub missed_by_part: [u32; PARTS],
    /// Whether `good` and the misses are those of every request. Otherwise they are estimates, and only whether the promise was kept is sure.
    pub is_exact: bool,
}

impl PeriodOutcome {
    /// Share of requests that were good; one in a period without requests.
    #[must_use]
    pub fn good_share(&self) -> f64 {
        if self.total == 0 { 1.0 } else { self.good as f64 / self.total as f64 }
    }
}

/// Simulates periods. Deterministic: the same size, seeds and periods give the same outcomes, in order of the period.
pub trait Evaluator {
    /// The outcomes of `periods` at `size`, one each.
    fn evaluate(&mut self, size: Size, seeds: Seeds, periods: Range<u32>) -> Vec<PeriodOutcome>;
}

/// What the search is to find and how hard it may try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Share of a period's requests that must be good.
    pub requests: f64,
    /// Share of periods that must be so.
    pub periods: f64,
    /// Confidence of the promise.
    pub confidence: f64,
    /// Largest size considered.
    pub max_chunks: u32,
    /// Smallest minimum considered: 1, or 0 where the endpoint scales to zero.
    pub least: u32,
    /// No size with a smaller maximum can do (fluid screen); at least 1.
    pub lowest: u32,
    /// Fixed size at which the bracket starts.
    pub guess: u32,
    /// Only sizes that never scale.
    pub fixed: bool,
    /// Periods per candidate in the search, over all outer draws.
    pub search_periods: u32,
    /// Periods that certification may spend on a size, unless the promise takes more to be shown at all.
    pub certify_periods: u32,
    /// Periods that certification takes of each size at least.
    pub certify_least: u32,
    /// Outer draws of a family of seeds; 1 when nothing is uncertain but the simulation.
    pub draws: u32,
}

impl Rules {
    /// Rounds of certification, each with what a size must do in it. One draw: the risk `1 - confidence` is shared among the rounds, whose periods
    /// are independent of each other; where four are too many there are two or one. Several draws: what is estimated is the risk itself, on the same
    /// draws in every round, and each may spend all of it.
    #[must_use]
    pub fn bars(&self) -> Vec<Bar> {
        let risk = 1.0 - self.confidence;
        let bars = |shares: &[f64]| -> Option<Vec<Bar>> {
            shares.iter().map(|share| Bar::design(self.periods, share * risk, self.draws, (self.certify_least, self.certify_periods))).collect()
        };
        let splits: [&[f64]; 3] = [&[0.8, 0.1, 0.05, 0.05], &[0.75, 0.25], &[1.0]];
        if self.draws > 1 { bars(&[1.0; 4]).unwrap_or_default() } else { splits.into_iter().find_map(bars).unwrap_or_default() }
    }

    /// What a size must do in the search, so that what passes has a fair chance of certification. One draw: half of what the promise allows, to
    /// the nearest whole period. Several: what certification asks.
    #[must_use]
    pub fn search_bar(&self) -> Bar {
        let draws = self.draws.max(1).min(self.search_periods.max(1));
        let depth = (self.search_periods / draws).max(1);
        let allowed = f64::from(depth) * (1.0 - self.periods);
        let allowed = if draws == 1 { (0.5 * allowed).round() } else { (allowed + 1e-9).floor() };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the depth")]
        let bad_periods = (allowed as u32).min(depth - 1);
        Bar { draws, depth, bad_periods, share: self.periods, risk: 1.0 - self.confidence }
    }

    /// Whether a period kept its part of the promise.
    #[must_use]
    pub fn keeps(&self, period: &PeriodOutcome) -> bool {
        period.good as f64 >= self.requests * period.total as f64
    }

    /// How many periods failed.
    #[must_use]
    pub fn failures(&self, periods: &[PeriodOutcome]) -> u32 {
        u32::try_from(periods.iter().filter(|p| !self.keeps(p)).count()).unwrap_or(u32::MAX)
    }
}

/// Mean cost per hour over periods; infinite without periods.
#[must_use]
pub fn mean_cost(periods: &[PeriodOutcome]) -> f64 {
    if periods.is_empty() { f64::INFINITY } else { periods.iter().map(|p| p.cost_per_hour).sum::<f64>() / periods.len() as f64 }
}

/// A size judged by fresh periods.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Which size.
    pub size: Size,
    /// In which round.
    pub round: u32,
    /// What it had to do.
    pub bar: Bar,
    /// Its periods; cut short when it failed.
    pub periods: Vec<PeriodOutcome>,
    /// Outer draws of which more periods failed than the promise allows of as many.
    pub bad_draws: u32,
    /// The risk that the promise is wrong at this size, by its periods.
    pub risk: f64,
    /// Whether it is certified.
    pub certified: bool,
}

/// What the search found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The cheapest certified size. `None`: none up to the largest is.
    pub chosen: Option<Judged>,
    /// Every size that was judged by fresh periods, in the order of judging.
    pub judged: Vec<Judged>,
    /// Every size looked at, with its periods of the search.
    pub looked: BTreeMap<Size, Vec<PeriodOutcome>>,
    /// The cheapest that passed the search, before certification.
    pub cheapest: Option<Size>,
}

/// Runs the search to its end: the cheapest size on the seeds of the search, then certification.
pub fn search(rules: &Rules, evaluator: &mut dyn Evaluator, look: &mut dyn FnMut(Look)) -> Found {
    let mut walk = Walk::new(rules, evaluator, look);
    let cheapest = walk.run();
    let sequences = cheapest.map(|best| certify::sequences(&mut walk, best)).unwrap_or_default();
    let (judged, chosen) = certify::certify(&mut walk, &sequences);
    Found { chosen, judged, looked: walk.into_looked(), cheapest }
}

/// The cheapest size on the seeds of the search alone: not certified, for comparisons of what-if worlds.
pub fn cheapest(rules: &Rules, evaluator: &mut dyn Evaluator, look: &mut dyn FnMut(Look)) -> Option<(Size, Vec<PeriodOutcome>)> {
    let mut walk = Walk::new(rules, evaluator, look);
    let best = walk.run()?;
    walk.into_looked().remove(&best).map(|periods| (best, periods))
}

/// One look at a candidate, for progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Which size.
    pub size: Size,
    /// On which seeds.
    pub seeds: Seeds,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use proptest::prelude::*;
    use rand::RngExt;

    /// A world without a simulator: a period needs `need` chunks at least and `peak` at most, both with noise by the period.
    struct Synthetic {
        need: f64,
        peak: f64,
        noise: f64,
        seed: Seed,
        evaluations: u32,
        sizes: std::collections::BTreeSet<Size>,
    }

    impl Synthetic {
        fn new(need: f64, peak: f64, noise: f64, seed: u64) -> Self {
            Self { need, peak, noise, seed: Seed(seed), evaluations: 0, sizes: std::collections::BTreeSet::new() }
        }

        fn period(&self, size: Size, seeds: Seeds, period: u32) -> PeriodOutcome {
            let name = match seeds {
                Seeds::Search => "search",
                Seeds::Certify(_) => "certify",
            };
            let mut stream = self.seed.keyed(name, u64::from(period));
            let level = 1.0 + self.noise * (stream.random::<f64>() * 2.0 - 1.0);
            let (need, peak) = (self.need * level, self.peak * level);
            // A larger maximum makes up for a part of a missing minimum.
            let shortage =
                (need - f64::from(size.min) - 0.3 * (f64::from(size.max) - peak).max(0.0)).max(0.0) + (peak - f64::from(size.max)).max(0.0);
            let mean = f64::from(size.min) + 0.4 * (peak.min(f64::from(size.max)) - f64::from(size.min)).max(0.0);
            let good = if shortage > 0.0 { 900 } else { 1000 };
            PeriodOutcome { total: 1000, good, mean_chunks: mean, cost_per_hour: mean, peak_chunks: size.max, ..PeriodOutcome::default() }
        }
    }

    impl Evaluator for Synthetic {
        fn evaluate(&mut self, size: Size, seeds: Seeds, periods: Range<u32>) -> Vec<PeriodOutcome> {
            self.evaluations += 1;
            self.sizes.insert(size);
            periods.map(|p| self.period(size, seeds, p)).collect()
        }
    }

    fn rules(max_chunks: u32) -> Rules {
        Rules {
            requests: 0.99,
            periods: 0.9,
            confidence: 0.9,
            max_chunks,
            least: 1,
            lowest: 1,
            guess: 3,
            fixed: false,
            search_periods: 12,
            certify_periods: 60,
            certify_least: 0,
            draws: 1,
        }
    }

    fn brute_force(world: &Synthetic, max_chunks: u32) -> Option<f64> {
        let mut best: Option<f64> = None;
        for max in 1..=max_chunks {
            for min in 1..=max {
                let periods: Vec<_> = (0..12).map(|p| world.period(Size { min, max }, Seeds::Search, p)).collect();
                if periods.iter().all(|p| p.good == 1000) {
                    best = Some(best.map_or(mean_cost(&periods), |b| b.min(mean_cost(&periods))));
                }
            }
        }
        best
    }

    #[test]
    fn risks_of_all_rounds_stay_within_the_risk() {
        for (periods, confidence) in [(0.9, 0.9), (0.95, 0.95), (0.9, 0.95)] {
            let rules = Rules { periods, confidence, certify_periods: 1600, ..rules(4) };
            let bars = rules.bars();
            let spent: f64 = bars.iter().map(|bar| crate::planner::bar::binomial_at_most(bar.bad_periods, bar.depth, 1.0 - periods)).sum();
            assert!(!bars.is_empty() && spent <= 1.0 - confidence + 1e-9, "{spent} for {bars:?}");
        }
        let several = Rules { draws: 40, certify_periods: 1600, ..rules(4) };
        assert!(several.bars().iter().all(|bar| bar.risk <= 0.1 + 1e-9 && bar.draws == 40));
        assert!(Rules { draws: 9, ..rules(4) }.bars().is_empty(), "1 / 10 is all of the risk");
    }

    #[test]
    fn nothing_is_chosen_when_the_largest_size_is_too_small() {
        let mut world = Synthetic::new(9.0, 12.0, 0.0, 1);
        let found = search(&rules(8), &mut world, &mut |_| {});
        assert_eq!(found.chosen, None);
        assert!(!found.looked.is_empty());
    }

    #[test]
    fn sizes_below_the_screen_are_never_simulated() {
        let mut world = Synthetic::new(2.5, 5.0, 0.0, 1);
        let rules = Rules { lowest: 5, ..rules(16) };
        assert!(search(&rules, &mut world, &mut |_| {}).chosen.is_some());
        assert!(world.sizes.iter().all(|s| s.max >= 5));
    }

    #[test]
    fn a_size_that_was_lucky_in_the_search_is_not_certified() {
        /// Passes every period of the search below 3 chunks and fails every second fresh one.
        struct Lucky;
        impl Evaluator for Lucky {
            fn evaluate(&mut self, size: Size, seeds: Seeds, periods: Range<u32>) -> Vec<PeriodOutcome> {
                let good = |p: u32| if size.min < 3 && seeds != Seeds::Search && p % 2 == 1 { 0 } else { 100 };
                let cost = f64::from(size.min) + 0.1 * f64::from(size.max);
                periods.map(|p| PeriodOutcome { total: 100, good: good(p), mean_chunks: cost, cost_per_hour: cost, ..Default::default() }).collect()
            }
        }
        let chosen = search(&rules(8), &mut Lucky, &mut |_| {}).chosen.unwrap();
        assert!(chosen.certified && chosen.size.min >= 3, "{:?}", chosen.size);
    }

    #[test]
    fn a_minimum_of_zero_and_sizes_that_never_scale_are_looked_at_where_allowed() {
        let mut world = Synthetic::new(0.0, 3.0, 0.0, 1);
        let chosen = search(&Rules { least: 0, ..rules(8) }, &mut world, &mut |_| {}).chosen.unwrap();
        assert_eq!(chosen.size.min, 0);
        let mut world = Synthetic::new(2.0, 5.0, 0.0, 1);
        assert!(search(&Rules { fixed: true, ..rules(8) }, &mut world, &mut |_| {}).chosen.is_some_and(|c| c.size == Size::fixed(5)));
        assert!(world.sizes.iter().all(|s| s.min == s.max));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// forall monotone worlds without noise: the search finds what looking at the whole grid finds, with a fraction of the looks.
        #[test]
        fn the_staircase_finds_the_optimum_of_the_grid(need in 0.5_f64..14.0, swing in 0.0_f64..10.0, seed in 0_u64..1000) {
            let mut world = Synthetic::new(need, need + swing, 0.0, seed);
            let best = brute_force(&world, 24);
            let found = search(&rules(24), &mut world, &mut |_| {});
            let cost = found.chosen.as_ref().map(|c| mean_cost(&c.periods));
            match (best, cost) {
                (Some(best), Some(cost)) => prop_assert!((cost - best).abs() < 1e-9, "{cost} against {best}"),
                (best, cost) => prop_assert_eq!(best, cost),
            }
            prop_assert!(world.sizes.len() <= 60, "{} of 300 sizes", world.sizes.len());
        }

        /// forall worlds: what is chosen passed on fresh seeds with the periods its round needs.
        #[test]
        fn the_chosen_size_is_certified(need in 0.5_f64..10.0, swing in 0.0_f64..8.0, noise in 0.0_f64..0.4, seed in 0_u64..1000) {
            let mut world = Synthetic::new(need, need + swing, noise, seed);
            let rules = rules(24);
            let found = search(&rules, &mut world, &mut |_| {});
            if let Some(chosen) = found.chosen {
                prop_assert!(chosen.certified);
                prop_assert_eq!(chosen.periods.len(), chosen.bar.periods() as usize);
                prop_assert!(rules.failures(&chosen.periods) <= chosen.bar.bad_periods);
            }
        }
    }
}
