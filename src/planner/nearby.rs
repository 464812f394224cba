//! The cheapest size near a known one: a few looks instead of a whole search, for comparisons of worlds that differ a little.

use super::search::{Evaluator, PeriodOutcome, Rules, Seeds, Size, mean_cost};
use std::collections::BTreeMap;

/// The cheapest size that passes on the seeds of the search, looked for from `start`: up until one passes, then down along both bounds.
/// Not certified; a size far away may be cheaper still. `None`: no size up to `rules.max_chunks` was found to pass.
pub fn nearby(rules: &Rules, evaluator: &mut dyn Evaluator, start: Size) -> Option<(Size, Vec<PeriodOutcome>)> {
    let most = rules.max_chunks.max(1);
    let max = start.max.clamp(1, most);
    let mut near = Near { rules, evaluator, tolerance: tolerance(rules), looked: BTreeMap::new() };
    let least = rules.least.min(max);
    let start = if rules.fixed { Size::fixed(max) } else { Size { min: start.min.clamp(least, max), max } };
    let mut at = near.up(start)?;
    if rules.fixed {
        near.lowest(at.max, 1, Size::fixed);
        return near.best();
    }
    // The second round is for the shape: one less at the minimum may do with one more at the maximum.
    for _ in 0..3 {
        at.min = near.lowest(at.min, least, |min| Size { min, max: at.max });
        at.max = near.lowest(at.max, at.min.max(1), |max| Size { min: at.min, max });
        let other = Size { min: at.min.saturating_sub(1).max(least), max: (at.max + 1).min(most) };
        if other == at || !near.passes(other) {
            break;
        }
        at = other;
    }
    near.best()
}

/// Failed periods that a size may have: half of what the promise allows, to the nearest whole one.
fn tolerance(rules: &Rules) -> u32 {
    let allowed = f64::from(rules.search_periods) * (1.0 - rules.periods) * 0.5;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and search_periods")]
    let allowed = allowed.round() as u32;
    allowed.min(rules.search_periods.saturating_sub(1))
}

struct Near<'a> {
    rules: &'a Rules,
    tolerance: u32,
    evaluator: &'a mut dyn Evaluator,
    looked: BTreeMap<Size, Vec<PeriodOutcome>>,
}

impl Near<'_> {
    /// Whether `size` passes; clear failures stop after a few periods.
    fn passes(&mut self, size: Size) -> bool {
        let tolerance = self.tolerance;
        if !self.looked.contains_key(&size) {
            let mut outcomes = Vec::new();
            while (outcomes.len() as u64) < u64::from(self.rules.search_periods) && self.rules.failures(&outcomes) <= tolerance {
                let from = u32::try_from(outcomes.len()).unwrap_or(u32::MAX);
                outcomes.extend(self.evaluator.evaluate(size, Seeds::Search, from..(from + 4).min(self.rules.search_periods)));
            }
            self.looked.insert(size, outcomes);
        }
        self.looked.get(&size).is_some_and(|periods| self.rules.failures(periods) <= tolerance)
    }

    /// The first size that passes when both bounds grow by 0, 1, 3, 7, …, up to the largest.
    fn up(&mut self, start: Size) -> Option<Size> {
        let most = self.rules.max_chunks.max(1);
        let mut at = start;
        let mut step = 1;
        loop {
            if self.passes(at) {
                return Some(at);
            }
            if at == Size::fixed(most) {
                return None;
            }
            at = Size { min: (at.min + step).min(most), max: (at.max + step).min(most) };
            step *= 2;
        }
    }

    /// The smallest value of a bound from `floor` to `from` that passes, given that `from` does: gallop down, then bisect.
    fn lowest(&mut self, from: u32, floor: u32, size: impl Fn(u32) -> Size) -> u32 {
        let (mut passes, mut fails) = (from, floor.saturating_sub(1));
        let mut step = 1;
        while passes > fails + 1 {
            let at = passes.saturating_sub(step).max(fails + 1);
            if self.passes(size(at)) {
                passes = at;
                step *= 2;
            } else {
                fails = at;
                step = (passes - fails) / 2;
            }
            step = step.max(1);
        }
        passes
    }

    fn best(self) -> Option<(Size, Vec<PeriodOutcome>)> {
        let tolerance = self.tolerance;
        let passing = self.looked.into_iter().filter(|(_, periods)| self.rules.failures(periods) <= tolerance);
        passing.min_by(|a, b| mean_cost(&a.1).total_cmp(&mean_cost(&b.1)).then(a.0.cmp(&b.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ops::Range;

    /// Passes at or above a staircase: `min >= floor` and `min + max >= sum`.
    struct Staircase {
        floor: u32,
        sum: u32,
        looks: u32,
    }

    impl Evaluator for Staircase {
        fn evaluate(&mut self, size: Size, _: Seeds, periods: Range<u32>) -> Vec<PeriodOutcome> {
            self.looks += 1;
            let good = if size.min >= self.floor && size.min + size.max >= self.sum { 100 } else { 0 };
            let cost_per_hour = f64::from(size.min) * 3.0 + f64::from(size.max);
            periods.map(|_| PeriodOutcome { total: 100, good, cost_per_hour, ..PeriodOutcome::default() }).collect()
        }
    }

    fn rules(max_chunks: u32) -> Rules {
        crate::planner::tests::rules(max_chunks)
    }

    proptest! {
        /// forall staircases and starts: what is found passes, neither bound can be one less, and it takes few looks
        #[test]
        fn what_is_found_is_on_the_edge(floor in 1_u32..20, sum in 2_u32..50, min in 1_u32..30, width in 0_u32..10) {
            let mut world = Staircase { floor, sum, looks: 0 };
            let found = nearby(&rules(40), &mut world, Size { min, max: min + width }).map(|(size, _)| size);
            let size = found.expect("40 fixed passes every one of these staircases");
            let passes = |min: u32, max: u32| min <= max && min >= floor && min + max >= sum;
            prop_assert!(passes(size.min, size.max));
            prop_assert!(!(passes(size.min - 1, size.max) || size.max > size.min && passes(size.min, size.max - 1)), "{size:?}");
            prop_assert!(world.looks < 40, "{} looks", world.looks);
        }
    }

    #[test]
    fn where_nothing_passes_nothing_is_found() {
        assert_eq!(nearby(&rules(8), &mut Staircase { floor: 9, sum: 1, looks: 0 }, Size { min: 2, max: 3 }), None);
    }
}
