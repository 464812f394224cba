//! A `Bar`: how many periods under how many outer draws a size must keep, and how sure one may be of a size that does.
//!
//! Let `p` be the share of periods that fail at a size in truth, and `1 - pi` the share that may.
//!
//! One draw, the truth itself: at most `bad_periods` of `n` fresh periods may fail, and `P(pass | p > 1 - pi) <= P(Bin(n, 1 - pi) <= bad_periods)`
//! (Clopper and Pearson 1934).
//!
//! Several draws, with which the truth is exchangeable: the probability that the truth is bad is the share of draws with `p > 1 - pi`. A draw's few
//! periods do not tell its `p`, those of all draws tell its distribution ([`Mixture`]); of the `K` draws and the truth, which is not seen, the latter
//! counts as bad: `risk = (K share + 1) / (K + 1)` (the rank of conformal prediction; Vovk, Gammerman, Shafer 2005). A size passes when that
//! is no more than the risk of the promise. `cargo bench --bench certificate` measures how often a pass is wrong.

use super::mixture::Mixture;
use crate::base::stats::interval::beta_inc;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a size must do to pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bar {
    /// Outer draws `K`; 1 when nothing is uncertain but the simulation.
    pub draws: u32,
    /// Periods of each draw.
    pub depth: u32,
    /// Failed periods that the one draw may have; with several draws, those that the promise itself allows of as many.
    pub bad_periods: u32,
    /// Share of periods promised.
    pub share: f64,
    /// Probability that the promise may be wrong.
    pub risk: f64,
}

/// Most periods that a bar may ask for.
pub const MOST_PERIODS: u32 = 20_000;
/// Failed periods that a draw should have on average when the promise is just kept: fewer tell little about how draws differ.
const TELLING: f64 = 3.0;
/// Periods of each draw before a size can be refused for what was seen so far.
const EARLY: u32 = 4;
/// A size is refused early when it fails even with the mean this many of its standard errors lower.
const SURE: f64 = -2.0;

/// `P(Bin(n, q) <= k)`.
#[must_use]
pub fn binomial_at_most(k: u32, n: u32, q: f64) -> f64 {
    if k >= n { 1.0 } else { beta_inc(f64::from(n - k), f64::from(k) + 1.0, 1.0 - q) }
}

impl Bar {
    /// Periods of all draws together.
    #[must_use]
    pub fn periods(&self) -> u32 {
        self.draws.saturating_mul(self.depth)
    }

    /// The risk that is shown by `failed` periods of each of several draws, `depth` periods each.
    fn shown(&self, failed: &[u32], depth: u32, shift: f64) -> f64 {
        let share = Mixture::of(failed, depth, shift).beyond(1.0 - self.share);
        let draws = f64::from(self.draws);
        (draws * share + 1.0) / (draws + 1.0)
    }

    /// The bar over `draws` draws for a promise of `share` of periods with a risk of at most `risk`, no shallower than `least` periods and no
    /// deeper than `most` if that can be.
    ///
    /// One draw: the cheapest that a size well inside the promise (half as many failed periods as are allowed) passes nine times in ten, else the
    /// likeliest one. Several: as many periods of each draw as tell how draws differ. `None`: no such bar within [`MOST_PERIODS`]; one that
    /// shows the promise at all is taken even beyond `most`.
    #[must_use]
    pub fn design(share: f64, risk: f64, draws: u32, (least, most): (u32, u32)) -> Option<Self> {
        if draws <= 1 { Self::of_one(share, risk, (least, most)) } else { Self::of_several(share, risk, draws, (least, most)) }
    }

    fn of_several(share: f64, risk: f64, draws: u32, (least, most): (u32, u32)) -> Option<Self> {
        if 1.0 / (f64::from(draws) + 1.0) >= risk || share >= 1.0 {
            return None;
        }
        let allowed = (1.0 - share).max(1e-9);
        let (telling, fewest) = (whole(TELLING / allowed), whole(1.0 / allowed).max(2 * EARLY));
        let depth = (most / draws).clamp(fewest, telling.max(fewest)).max(least.div_ceil(draws)).min(MOST_PERIODS / draws);
        let bad_periods = whole(allowed * f64::from(depth) + 1e-9);
        (depth >= fewest).then_some(Self { draws, depth, bad_periods, share, risk })
    }

    fn of_one(share: f64, risk: f64, (least, most): (u32, u32)) -> Option<Self> {
        let failing = (1.0 - share) / 2.0;
        let mut best: Option<(f64, Self)> = None;
        let mut depth = least.clamp(1, MOST_PERIODS);
        while depth <= MOST_PERIODS {
            let is_affordable = depth <= most;
            if !is_affordable && best.is_some() {
                break;
            }
            let fits = |bad: &u32| binomial_at_most(*bad, depth, 1.0 - share) <= risk;
            if let Some(bad_periods) = (0..depth).take_while(fits).last() {
                let power = binomial_at_most(bad_periods, depth, failing);
                if best.is_none_or(|(known, _)| power > known) {
                    best = Some((power, Self { draws: 1, depth, bad_periods, share, risk }));
                }
                if power >= 0.9 || !is_affordable {
                    break;
                }
            }
            // Fine steps where one period more matters, and few where it does not.
            depth += 1 + depth / 32;
        }
        best.map(|(_, bar)| bar)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate; counts are not negative")]
fn whole(value: f64) -> u32 {
    value as u32
}

/// The periods of a size seen so far, against its bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    bar: Bar,
    failed: Vec<u32>,
    seen: u32,
    is_missed: bool,
}

impl Tally {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(bar: Bar) -> Self {
        Self { bar, failed: vec![0; bar.draws.max(1) as usize], seen: 0, is_missed: false }
    }

    /// Counts period `index` of the family of seeds, one after the other from 0; it belongs to draw `index` modulo their number.
    pub fn add(&mut self, index: u32, is_kept: bool) {
        let draws = self.bar.draws.max(1);
        self.failed[(index % draws) as usize] += u32::from(!is_kept);
        self.seen += 1;
        if draws == 1 {
            self.is_missed |= self.failed[0] > self.bar.bad_periods;
        } else if self.seen == self.bar.periods() {
            self.is_missed |= self.risk() > self.bar.risk;
        } else if self.seen.is_multiple_of(draws) && self.seen / draws >= EARLY && (self.seen / draws).is_power_of_two() {
            self.is_missed |= self.bar.shown(&self.failed, self.seen / draws, SURE) > self.bar.risk;
        }
    }

    /// The risk that the truth keeps fewer periods than promised. One draw: of a size that passes (all of it that the bar may spend).
    #[must_use]
    pub fn risk(&self) -> f64 {
        if self.bar.draws <= 1 {
            return binomial_at_most(self.failed[0], self.bar.depth, 1.0 - self.bar.share);
        }
        self.bar.shown(&self.failed, (self.seen / self.bar.draws).max(1), 0.0)
    }

    /// Draws of which more periods failed than the promise allows of as many.
    #[must_use]
    pub fn bad_draws(&self) -> u32 {
        u32::try_from(self.failed.iter().filter(|f| **f > self.bar.bad_periods).count()).unwrap_or(u32::MAX)
    }

    /// Whether the bar is missed, or will be by all that can be told.
    #[must_use]
    pub fn is_missed(&self) -> bool {
        self.is_missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use crate::base::stats::interval::{normal_quantile, trials_to_show};
    use crate::base::stats::special::normal_cdf;
    use rand::RngExt;

    fn passes(bar: Bar, failed: u32) -> bool {
        let mut tally = Tally::new(bar);
        (0..bar.depth).for_each(|i| tally.add(i, i >= failed));
        !tally.is_missed()
    }

    #[test]
    fn one_draw_is_clopper_and_pearson() {
        // 292 of 300 and 962 of 1,000 show 95 % with 95 % confidence, and one kept period fewer does not.
        for (depth, bad_periods) in [(300, 8), (1000, 38), (59, 0)] {
            assert!(binomial_at_most(bad_periods, depth, 0.05) <= 0.05 && binomial_at_most(bad_periods + 1, depth, 0.05) > 0.05);
            let bar = Bar { draws: 1, depth, bad_periods, share: 0.95, risk: 0.05 };
            assert!(passes(bar, bad_periods) && !passes(bar, bad_periods + 1));
        }
        let bar = Bar::design(0.9, 0.08, 1, (0, 24)).unwrap();
        assert_eq!(u64::from(bar.periods()), trials_to_show(0.9, 0.92, 0, 1000).unwrap());
    }

    #[test]
    fn a_design_keeps_its_risk_and_grows_with_what_may_be_spent() {
        for (share, risk) in [(0.9, 0.1), (0.95, 0.05), (0.99, 0.05)] {
            let mut last = 0.0;
            for most in [1, 400, 1600, 6400] {
                let bar = Bar::design(share, risk, 1, (0, most)).unwrap();
                assert!(binomial_at_most(bar.bad_periods, bar.depth, 1.0 - share) <= risk, "{bar:?}");
                let power = binomial_at_most(bar.bad_periods, bar.depth, (1.0 - share) / 4.0);
                assert!(power >= last - 0.05, "{bar:?}: {power} after {last}");
                last = power;
            }
            assert!(last > 0.6, "share {share}, risk {risk}: {last}");
        }
        for (draws, most, depth) in [(40, 1, 10), (40, 800, 20), (40, 6400, 30), (80, 6400, 30)] {
            assert_eq!(Bar::design(0.9, 0.1, draws, (0, most)).unwrap().depth, depth);
        }
        assert_eq!(Bar::design(0.9, 0.01, 40, (0, 6400)), None, "1 / 41 is more than 1 %");
        assert_eq!(Bar::design(1.0, 0.1, 1, (0, 6400)), None);
    }

    #[test]
    fn a_size_that_fails_clearly_is_refused_early_and_a_good_one_passes() {
        let bar = Bar::design(0.9, 0.1, 40, (0, 1600)).unwrap();
        let refused = |every: u32| {
            let mut tally = Tally::new(bar);
            let at = (0..bar.periods()).find(|&i| {
                tally.add(i, i % every != 0);
                tally.is_missed()
            });
            (at, tally.risk())
        };
        assert!(refused(3).0.is_some_and(|at| at < 6 * 40));
        let (at, risk) = refused(101);
        assert!(at.is_none() && risk < 0.03, "{risk}");
    }

    /// forall worlds in which the draws and the truth come from one distribution: a size is right at the bar's risk or safer, and is wrong no
    /// more often than that. Sizes are a ladder down which a size is taken as long as it passes, as certification does it.
    #[test]
    fn a_bad_truth_passes_no_more_often_than_the_risk() {
        for (case, (error, day)) in (0..).zip([(0.05, 0.2), (0.15, 0.15), (0.3, 0.1)]) {
            let bar = Bar::design(0.9, 0.1, 40, (0, 800)).unwrap();
            let repeats = 200;
            let mut wrong = 0;
            for repeat in 0..repeats {
                let mut stream = Seed(77 + case).keyed("tally", repeat);
                let mut normal = || normal_quantile(stream.random::<f64>().clamp(1e-12, 1.0 - 1e-12));
                // Logarithms of the level, the truth among the draws; the capacity falls by 6 % a step.
                let truth = error * normal();
                let levels: Vec<f64> = (0..bar.draws).map(|_| error * normal()).collect();
                let needs: Vec<f64> = (0..bar.periods()).map(|i| levels[(i % bar.draws) as usize] + day * normal()).collect();
                let is_passed = |capacity: f64| {
                    let mut tally = Tally::new(bar);
                    (0..).zip(&needs).for_each(|(i, need)| tally.add(i, *need <= capacity));
                    !tally.is_missed()
                };
                let chosen = (0..60).map(|step| 1.5 - 0.06 * f64::from(step)).take_while(|c| is_passed(*c)).last();
                wrong += u32::from(chosen.is_some_and(|c| normal_cdf((truth - c) / day) > 0.1));
            }
            // Three standard deviations above 10 %.
            assert!(f64::from(wrong) <= 20.0 + 3.0 * 4.3, "case {case}: {wrong} of {repeats}");
            assert!(wrong > 0, "case {case}: so careful that it must be dear");
        }
    }
}
