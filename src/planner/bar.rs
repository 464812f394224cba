//! A `Bar`: how many periods under how many outer draws a size must keep, and how sure one may be of a size that does.
//!
//! Let `p` be the share of periods that a size keeps in truth, and `pi` the share promised. A size passes when at most `bad_draws` of `K`
//! outer draws are bad; a draw is bad when more than `bad_periods` of its `n` periods fail.
//!
//! One draw, the truth itself: `P(pass | p < pi) <= P(Bin(n, 1 - pi) <= bad_periods)` (Clopper and Pearson 1934).
//!
//! Several draws, with which the truth is exchangeable: give the truth `n` periods of its own, never simulated, and let it be bad by the same rule.
//! Of `K + 1` exchangeable ones, the chance that the truth is bad while at most `m` of the others are is at most `(m + 1) / (K + 1)` (as in
//! conformal prediction; Vovk, Gammerman, Shafer 2005). A truth with `p < pi` is bad with a chance of `beta = P(Bin(n, 1 - pi) > bad_periods)` at
//! least, whatever the draws did. So `P(pass and p < pi) <= (m + 1) / ((K + 1) beta)`: the error of the simulation is inside.

use crate::base::stats::interval::beta_inc;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a size must do to pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bar {
    /// Outer draws `K`; 1 when nothing is uncertain but the simulation.
    pub draws: u32,
    /// Periods of each draw.
    pub depth: u32,
    /// Failed periods that a draw may have.
    pub bad_periods: u32,
    /// Draws that may have more.
    pub bad_draws: u32,
}

/// Most periods that a bar may ask for.
pub const MOST_PERIODS: u32 = 20_000;

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

    /// Bound on the probability that a size passes though it keeps less than `share` of periods in truth.
    #[must_use]
    pub fn risk(&self, share: f64) -> f64 {
        let lucky = binomial_at_most(self.bad_periods, self.depth, 1.0 - share);
        if self.draws <= 1 {
            return lucky;
        }
        let rank = (f64::from(self.bad_draws) + 1.0) / (f64::from(self.draws) + 1.0);
        (rank / (1.0 - lucky).max(f64::MIN_POSITIVE)).min(1.0)
    }

    /// Probability that a size passes when a share `spoilt` of draws is bad for sure, and a period of the others fails with probability
    /// `failing`.
    #[must_use]
    pub fn power(&self, spoilt: f64, failing: f64) -> f64 {
        let fine = binomial_at_most(self.bad_periods, self.depth, failing);
        binomial_at_most(self.bad_draws, self.draws, 1.0 - (1.0 - spoilt) * fine)
    }

    /// The cheapest bar over `draws` draws with a risk of at most `risk` for `share`, and at most `most` periods, that a size well inside the
    /// promise is likely to pass: nine times in ten when its share of failed periods is half of what is allowed (a quarter, and a quarter of
    /// `risk` as bad draws, when there are several). If none is, the likeliest one. `None`: no such bar within [`MOST_PERIODS`]; one that
    /// shows the promise at all is taken even beyond `most`. With `least` it is no shallower than that many periods.
    #[must_use]
    pub fn design(share: f64, risk: f64, draws: u32, (least, most): (u32, u32)) -> Option<Self> {
        let draws = draws.max(1);
        let (spoilt, failing) = if draws == 1 { (0.0, (1.0 - share) / 2.0) } else { (risk / 4.0, (1.0 - share) / 4.0) };
        let deepest = MOST_PERIODS / draws;
        let mut best: Option<(f64, Self)> = None;
        let mut depth = least.div_ceil(draws).clamp(1, deepest.max(1));
        while depth <= deepest {
            let affordable = depth.saturating_mul(draws) <= most;
            if !affordable && best.is_some() {
                break;
            }
            if let Some(bar) = Self::strongest(share, risk, (draws, depth), (spoilt, failing)) {
                let power = bar.power(spoilt, failing);
                if best.is_none_or(|(known, _)| power > known) {
                    best = Some((power, bar));
                }
                if power >= 0.9 || !affordable {
                    break;
                }
            }
            // Fine steps where one period more matters, and few where it does not.
            depth += 1 + depth / 32;
        }
        best.map(|(_, bar)| bar)
    }

    /// The bar of this depth with the most power among those with a risk of at most `risk`.
    fn strongest(share: f64, risk: f64, (draws, depth): (u32, u32), (spoilt, failing): (f64, f64)) -> Option<Self> {
        let mut best: Option<(f64, Self)> = None;
        for bad_periods in 0..depth {
            let lucky = binomial_at_most(bad_periods, depth, 1.0 - share);
            let bad_draws = if draws == 1 {
                if lucky > risk {
                    break;
                }
                0
            } else {
                let rank = risk * (1.0 - lucky) * (f64::from(draws) + 1.0) - 1.0;
                if rank < 0.0 {
                    break;
                }
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to the number of draws")]
                let whole = (rank + 1e-9) as u32;
                whole
            };
            let bar = Self { draws, depth, bad_periods, bad_draws };
            let power = bar.power(spoilt, failing);
            if best.is_none_or(|(known, _)| power >= known) {
                best = Some((power, bar));
            }
        }
        best.map(|(_, bar)| bar)
    }
}

/// The draws that have turned out bad so far. It is kept over the sizes of a sequence of tests: a draw that was bad at a safer size counts as
/// bad at the ones after it, which is what lets every size of the sequence be tested at the full risk (see `docs/METHOD.md`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    bar: Bar,
    bad: Vec<bool>,
    failed: Vec<u32>,
}

impl Tally {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(bar: Bar) -> Self {
        let slots = bar.draws.max(1) as usize;
        Self { bar, bad: vec![false; slots], failed: vec![0; slots] }
    }

    /// Starts the next size: the bad draws stay, the counts of failed periods begin again.
    pub fn next_size(&mut self) {
        self.failed.fill(0);
    }

    /// Counts period `index` of the family of seeds; it belongs to draw `index` modulo their number.
    pub fn add(&mut self, index: u32, is_kept: bool) {
        let slot = (index % self.bar.draws.max(1)) as usize;
        self.failed[slot] += u32::from(!is_kept);
        self.bad[slot] |= self.failed[slot] > self.bar.bad_periods;
    }

    /// Draws that are bad.
    #[must_use]
    pub fn bad_draws(&self) -> u32 {
        u32::try_from(self.bad.iter().filter(|bad| **bad).count()).unwrap_or(u32::MAX)
    }

    /// Whether the bar is missed, whatever the periods to come.
    #[must_use]
    pub fn is_missed(&self) -> bool {
        self.bad_draws() > self.bar.bad_draws
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use crate::base::stats::interval::trials_to_show;
    use rand::RngExt;

    #[test]
    fn one_draw_is_clopper_and_pearson() {
        // 292 of 300 and 962 of 1,000 show 95 % with 95 % confidence, and one kept period fewer does not.
        for (depth, bad_periods) in [(300, 8), (1000, 38), (59, 0)] {
            let bar = Bar { draws: 1, depth, bad_periods, bad_draws: 0 };
            assert!(bar.risk(0.95) <= 0.05, "{bar:?} {}", bar.risk(0.95));
            assert!(Bar { bad_periods: bad_periods + 1, ..bar }.risk(0.95) > 0.05);
        }
        let bar = Bar::design(0.9, 0.08, 1, (0, 24)).unwrap();
        assert_eq!(u64::from(bar.periods()), trials_to_show(0.9, 0.92, 0, 1000).unwrap());
    }

    #[test]
    fn a_design_keeps_its_risk_and_grows_with_what_may_be_spent() {
        for (share, risk, draws) in [(0.9, 0.1, 1), (0.95, 0.05, 1), (0.9, 0.065, 40), (0.9, 0.035, 40), (0.95, 0.05, 80), (0.99, 0.05, 1)] {
            let mut last = 0.0;
            for most in [1, 400, 1600, 6400] {
                let bar = Bar::design(share, risk, draws, (0, most)).unwrap();
                assert!(bar.risk(share) <= risk + 1e-9, "{bar:?}: {} above {risk}", bar.risk(share));
                let power = bar.power(0.0, (1.0 - share) / 4.0);
                assert!(power >= last - 0.05, "{bar:?}: {power} after {last}");
                last = power;
            }
            assert!(last > 0.6, "share {share}, risk {risk}, {draws} draws: {last}");
        }
        assert_eq!(Bar::design(0.9, 0.01, 40, (0, 6400)), None, "1 / 41 is more than 1 %");
        assert_eq!(Bar::design(1.0, 0.1, 1, (0, 6400)), None);
    }

    #[test]
    fn a_draw_that_was_bad_stays_bad_at_the_sizes_after() {
        let mut tally = Tally::new(Bar { draws: 3, depth: 2, bad_periods: 0, bad_draws: 1 });
        tally.add(1, false);
        assert!(!tally.is_missed());
        tally.next_size();
        tally.add(4, false);
        assert_eq!(tally.bad_draws(), 1, "draw 1 again");
        tally.add(3, false);
        assert!(tally.is_missed());
    }

    /// forall worlds in which the draws and the truth come from one distribution: a pass for a truth that is bad is as rare as the bound says.
    #[test]
    fn a_bad_truth_passes_no_more_often_than_the_risk() {
        // Share of failed periods of a draw: uniform around the 10 % allowed, so that truths on either side are common.
        for (case, width) in [(0, 0.02), (1, 0.1), (2, 0.2)] {
            let bar = Bar::design(0.9, 0.1, 20, (0, 400)).unwrap();
            let repeats = 3000;
            let mut wrong = 0;
            for repeat in 0..repeats {
                let mut draw = Seed(77 + case).keyed("tally", repeat);
                let mut failing = |_| (0.1 + width * (draw.random::<f64>() - 0.9)).max(0.0);
                let truth = failing(0);
                let shares: Vec<f64> = (0..bar.draws).map(&mut failing).collect();
                let mut tally = Tally::new(bar);
                for period in 0..bar.periods() {
                    let share = shares[(period % bar.draws) as usize];
                    tally.add(period, draw.random::<f64>() >= share);
                }
                wrong += u32::from(!tally.is_missed() && truth > 0.1);
            }
            // Three standard deviations above 10 %.
            assert!(f64::from(wrong) <= 300.0 + 3.0 * 16.4, "case {case}: {wrong} of {repeats}");
        }
    }
}
