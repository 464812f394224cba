//! The walk along the edge of what passes: shallow first, deeper where it matters; every size by the same periods.

use super::{Evaluator, Look, PeriodOutcome, Rules, Seeds, Size, mean_cost};
use crate::planner::bar::{Bar, Tally, binomial_at_most};
use std::collections::BTreeMap;

/// A size is dropped at a shallow depth when one that is just good enough would look this bad with less than this probability.
const DROP: f64 = 0.003;

/// A size is dropped as dearer when the mean of its paired differences of cost, less this many standard errors, is no saving worth having.
const SURE: f64 = 3.0;

/// The saving that is worth having: a share of the cost.
const WORTH: f64 = 0.002;

/// Factor from one depth to the next.
const DEEPER: u32 = 4;

/// The state of one search.
pub(super) struct Walk<'a> {
    pub(super) rules: &'a Rules,
    evaluator: &'a mut dyn Evaluator,
    looked: BTreeMap<Size, Vec<PeriodOutcome>>,
    look: &'a mut dyn FnMut(Look),
    bar: Bar,
}

impl<'a> Walk<'a> {
    pub(super) fn new(rules: &'a Rules, evaluator: &'a mut dyn Evaluator, look: &'a mut dyn FnMut(Look)) -> Self {
        Self { rules, evaluator, looked: BTreeMap::new(), look, bar: rules.search_bar() }
    }

    pub(super) fn into_looked(self) -> BTreeMap<Size, Vec<PeriodOutcome>> {
        self.looked
    }

    /// Every size looked at.
    pub(super) fn looked(&self) -> &BTreeMap<Size, Vec<PeriodOutcome>> {
        &self.looked
    }

    /// Tells that a size is looked at.
    pub(super) fn show(&mut self, look: Look) {
        (self.look)(look);
    }

    /// What a size must do in the search.
    pub(super) fn bar(&self) -> Bar {
        self.bar
    }

    /// The cheapest size that passes at full depth. `None`: not even the largest does.
    pub(super) fn run(&mut self) -> Option<Size> {
        let fixed = self.smallest_fixed()?;
        if !self.rules.fixed {
            self.staircase(fixed);
        }
        self.refine()
    }

    /// Periods of a first look: a sixteenth of the full depth, eight at least.
    fn shallow(&self) -> u32 {
        let full = self.bar.periods();
        (full / (DEEPER * DEEPER)).max(8).min(full)
    }

    /// Whether `size` passes by its first `depth` periods: it has not missed the bar, and what it lost so far does not speak against it.
    pub(super) fn passes(&mut self, size: Size, depth: u32) -> bool {
        if size.max < self.rules.lowest {
            return false;
        }
        let mut periods = self.looked.remove(&size).unwrap_or_default();
        if periods.is_empty() {
            (self.look)(Look { size, seeds: Seeds::Search });
        }
        let mut tally = Tally::new(self.bar);
        for (index, period) in (0..).zip(&periods) {
            tally.add(index, self.rules.keeps(period));
        }
        self.extend(size, Seeds::Search, depth, &mut tally, &mut periods);
        let is_passing = !tally.is_missed() && !self.is_hopeless(&periods);
        self.looked.insert(size, periods);
        is_passing
    }

    /// Simulates up to `depth` periods in batches, and stops when the bar is missed: nothing can make that good.
    pub(super) fn extend(&mut self, size: Size, seeds: Seeds, depth: u32, tally: &mut Tally, periods: &mut Vec<PeriodOutcome>) {
        let mut next = u32::try_from(periods.len()).unwrap_or(u32::MAX);
        // The batches do not depend on the number of threads, so neither does the result.
        let mut batch = 2;
        while next < depth && !tally.is_missed() && !(seeds == Seeds::Search && self.is_hopeless(periods)) {
            let end = (next + batch).min(depth);
            let outcomes = self.evaluator.evaluate(size, seeds, next..end);
            for (index, period) in (next..).zip(&outcomes) {
                tally.add(index, self.rules.keeps(period));
            }
            periods.extend(outcomes);
            next = end;
            batch = (batch * 2).min(64);
        }
    }

    /// Whether so many failures in so few periods are next to impossible for a size that passes: for its failed periods against the most that
    /// the bar bears.
    fn is_hopeless(&self, periods: &[PeriodOutcome]) -> bool {
        let failures = self.rules.failures(periods);
        let seen = u32::try_from(periods.len()).unwrap_or(u32::MAX);
        self.is_unlikely(failures, seen)
    }

    fn is_unlikely(&self, failures: u32, seen: u32) -> bool {
        if failures == 0 || seen >= self.bar.periods() {
            return false;
        }
        // One draw: half a period more, since with none allowed a single failure decides nothing but the bar itself. Several draws fail less often
        // than the promise allows.
        let Bar { draws, depth, bad_periods, share, .. } = self.bar;
        let share = if draws > 1 { 1.0 - share } else { ((f64::from(bad_periods) + 0.5) / f64::from(depth)).min(1.0) };
        1.0 - binomial_at_most(failures - 1, seen, share) < DROP
    }

    /// The smallest size without scaling that passes: doubled from the guess, then bisected.
    fn smallest_fixed(&mut self) -> Option<u32> {
        let most = self.rules.max_chunks;
        let depth = self.shallow();
        let mut fails = self.rules.lowest.max(1) - 1;
        let mut at = self.rules.guess.clamp(fails + 1, most.max(fails + 1));
        if at > most {
            return None;
        }
        let mut step = 1;
        let mut passes = loop {
            if self.passes(Size::fixed(at), depth) {
                break at;
            }
            fails = at;
            if at == most {
                return None;
            }
            at = at.saturating_add(step).min(most);
            step *= 2;
        };
        while passes - fails > 1 {
            let middle = fails.midpoint(passes);
            if self.passes(Size::fixed(middle), depth) {
                passes = middle;
            } else {
                fails = middle;
            }
        }
        Some(passes)
    }

    /// From (n, n): lower min as far as it goes, raise max by one, and again. Ends when max no longer binds.
    fn staircase(&mut self, fixed: u32) {
        let mut min = fixed;
        let mut max = fixed;
        loop {
            min = self.lowest_min(min, max);
            if min <= self.rules.least || max >= self.rules.max_chunks {
                return;
            }
            // Why (min - 1, max) fails: periods in which the maximum was never asked for fail at every larger maximum too.
            let below = Size { min: min - 1, max };
            if self.looked.get(&below).is_some_and(|periods| self.is_lost_at_any_maximum(max, periods)) {
                return;
            }
            max += 1;
        }
    }

    fn is_lost_at_any_maximum(&self, max: u32, periods: &[PeriodOutcome]) -> bool {
        let mut tally = Tally::new(self.bar);
        let mut lost = 0;
        for (index, period) in (0..).zip(periods) {
            let is_lost = !self.rules.keeps(period) && period.peak_chunks < max;
            lost += u32::from(is_lost);
            tally.add(index, !is_lost);
        }
        tally.is_missed() || self.is_unlikely(lost, u32::try_from(periods.len()).unwrap_or(u32::MAX))
    }

    /// The smallest min that passes with `max`, given that `from` does (or is taken to, by monotony): gallop down, then bisect.
    fn lowest_min(&mut self, from: u32, max: u32) -> u32 {
        let depth = self.shallow();
        // One below the least minimum is taken to fail.
        let least = i64::from(self.rules.least);
        let (mut passes, mut fails) = (i64::from(from), least - 1);
        let size = |min: i64| Size { min: u32::try_from(min.max(0)).unwrap_or(0), max };
        let mut step = 1;
        while passes > fails + 1 {
            let at = (passes - step).max(fails + 1);
            if self.passes(size(at), depth) {
                passes = at;
                step *= 2;
            } else {
                fails = at;
                break;
            }
        }
        while passes - fails > 1 {
            let middle = (fails + passes).div_euclid(2);
            if self.passes(size(middle), depth) {
                passes = middle;
            } else {
                fails = middle;
            }
        }
        size(passes).min
    }

    /// Deepens the cheapest until it passes at full depth and nothing that may be cheaper is left: neither one seen at a shallow depth nor a
    /// neighbour (scale-down breaks monotony now and then).
    fn refine(&mut self) -> Option<Size> {
        let full = self.bar.periods();
        loop {
            let best = self.cheapest()?;
            if self.depth_of(best) < full {
                if !self.deepen(best) {
                    self.look_above(best);
                }
                continue;
            }
            if let Some(rival) = self.rival(best) {
                if !self.deepen(rival) {
                    self.look_above(rival);
                }
                continue;
            }
            let depth = self.shallow();
            let open: Vec<Size> = self.around(best, &CHEAPER).filter(|size| !self.looked.contains_key(size)).collect();
            if open.is_empty() {
                return Some(best);
            }
            for size in open {
                self.passes(size, depth);
            }
        }
    }

    /// Four times the periods; whether it still passes.
    fn deepen(&mut self, size: Size) -> bool {
        let depth = self.depth_of(size).saturating_mul(DEEPER).clamp(1, self.bar.periods());
        self.passes(size, depth)
    }

    /// What comes next when a size turns out to fail.
    fn look_above(&mut self, size: Size) {
        let depth = self.shallow();
        let above: Vec<Size> = self.around(size, &ABOVE).filter(|above| !self.looked.contains_key(above) && !self.is_refuted(*above)).collect();
        for size in above {
            self.passes(size, depth);
        }
    }

    /// Sizes at the given distances that exist and that the fluid screen allows.
    pub(super) fn around<'s>(&self, size: Size, steps: &'s [(i32, i32)]) -> impl Iterator<Item = Size> + use<'s> {
        let Rules { least, lowest, max_chunks, fixed, .. } = *self.rules;
        steps
            .iter()
            .filter_map(move |&(min, max)| Some(Size { min: size.min.checked_add_signed(min)?, max: size.max.checked_add_signed(max)? }))
            .filter(move |s| s.min >= least && s.min <= s.max && s.max >= lowest.max(1) && s.max <= max_chunks && (!fixed || s.min == s.max))
    }

    fn depth_of(&self, size: Size) -> u32 {
        self.looked.get(&size).map_or(0, |periods| u32::try_from(periods.len()).unwrap_or(u32::MAX))
    }

    /// Whether what was seen of a size lets it pass.
    fn is_passing(&self, periods: &[PeriodOutcome]) -> bool {
        let mut tally = Tally::new(self.bar);
        for (index, period) in (0..).zip(periods) {
            tally.add(index, self.rules.keeps(period));
        }
        !tally.is_missed() && !self.is_hopeless(periods)
    }

    /// Whether what was seen of other sizes rules this one out: one with at least as much of both fails, or one with at least the minimum fails in
    /// periods in which its maximum was never asked for.
    fn is_refuted(&self, size: Size) -> bool {
        self.looked.iter().any(|(other, periods)| {
            *other != size
                && other.min >= size.min
                && !self.is_passing(periods)
                && (other.max >= size.max || self.is_lost_at_any_maximum(other.max, periods))
        })
    }

    /// The sizes that pass by what was seen of them, cheapest first. Costs seen at a shallow depth are brought to the full one by the size
    /// with most periods (ratio estimator on common random numbers).
    pub(super) fn passing(&self) -> Vec<(f64, Size)> {
        let deepest = self.looked.values().max_by_key(|periods| periods.len()).map_or(&[][..], Vec::as_slice);
        let whole = mean_cost(deepest);
        let cost = |periods: &[PeriodOutcome]| mean_cost(periods) * whole / mean_cost(&deepest[..periods.len().min(deepest.len())]).max(1e-12);
        let mut passing: Vec<(f64, Size)> = self.looked.iter().filter(|(_, p)| self.is_passing(p)).map(|(&size, p)| (cost(p), size)).collect();
        passing.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        passing
    }

    /// The cheapest that nothing rules out.
    fn cheapest(&self) -> Option<Size> {
        let full = self.bar.periods();
        self.passing().into_iter().map(|(_, size)| size).find(|size| self.depth_of(*size) >= full || !self.is_refuted(*size))
    }

    /// A size that passes so far, is not seen at full depth, and may be cheaper than `best`: it does not have at least as much of both, and the
    /// costs seen leave it open.
    fn rival(&self, best: Size) -> Option<Size> {
        let own = self.looked.get(&best)?;
        let full = self.bar.periods();
        let is_open = |size: &Size| !size.dominates(best) && self.depth_of(*size) < full && !self.is_refuted(*size);
        let is_near = |size: &Size| self.looked.get(size).is_some_and(|periods| may_save(periods, own));
        self.passing().into_iter().map(|(_, size)| size).find(|size| is_open(size) && is_near(size))
    }
}

/// Neighbours to look at when a size fails.
const ABOVE: [(i32, i32); 3] = [(1, 0), (0, 1), (1, 1)];

/// Neighbours that may be cheaper.
const CHEAPER: [(i32, i32); 5] = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (1, -1)];

/// Whether the paired differences of cost in common periods leave it open that `one` is worth having instead of `other`.
fn may_save(one: &[PeriodOutcome], other: &[PeriodOutcome]) -> bool {
    let differences: Vec<f64> = one.iter().zip(other).map(|(a, b)| a.cost_per_hour - b.cost_per_hour).collect();
    let n = differences.len() as f64;
    if differences.len() < 2 {
        return true;
    }
    let mean = differences.iter().sum::<f64>() / n;
    let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0);
    mean - SURE * (variance / n).sqrt() < -WORTH * mean_cost(other)
}
