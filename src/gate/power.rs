//! What a gate can see: the smallest worsening it finds, the pairs it takes, the margin it can keep, each in nine of ten gates.

use super::rules::Rules;
use crate::base::stats::interval::student_t_quantile;

/// Pairs beyond which nobody asks.
pub(super) const MOST_PAIRS: u32 = 1_000;
/// Share of gates that are to succeed.
const POWER: f64 = 0.9;

/// The risk of one metric at one look: of a FAIL (shared by `metrics`) and of a PASS.
#[derive(Clone, Copy)]
pub(super) struct Risk {
    pub(super) fail: f64,
    pub(super) pass: f64,
}

impl Risk {
    /// As the gate takes it with all its looks and `metrics` that decide.
    pub(super) fn of(rules: &Rules, metrics: usize) -> Self {
        Self { fail: rules.alpha_fail / rules.looks_count() / metrics.max(1) as f64, pass: rules.alpha_pass / rules.looks_count() }
    }
}

/// The smallest worsening that ends in FAIL in nine of ten gates of `pairs` pairs: it must be seen beyond 0, `(t(1 - alpha) + t(.9)) sd / sqrt(K)`, and its
/// estimate beyond the margin, `margin + t(.9) sd / sqrt(K)`. On the scale of comparison; infinite below two pairs.
pub(super) fn detectable(risk: Risk, sd: f64, pairs: u32, margin_d: f64) -> f64 {
    if pairs < 2 {
        return f64::INFINITY;
    }
    let (df, error) = (f64::from(pairs) - 1.0, sd / f64::from(pairs).sqrt());
    let spare = student_t_quantile(POWER, df) * error;
    spare + (student_t_quantile(1.0 - risk.fail, df) * error).max(margin_d)
}

/// The smallest margin that an unchanged system is within for certain in nine of ten gates of `pairs` pairs: `(t(1 - alpha) + t(.9)) sd / sqrt(K)`.
pub(super) fn margin_possible(risk: Risk, sd: f64, pairs: u32) -> f64 {
    if pairs < 2 {
        return f64::INFINITY;
    }
    let df = f64::from(pairs) - 1.0;
    (student_t_quantile(1.0 - risk.pass, df) + student_t_quantile(POWER, df)) * sd / f64::from(pairs).sqrt()
}

/// Pairs that find a worsening of `d` in nine of ten gates; `None` above [`MOST_PAIRS`] or if the margin hides it.
pub(super) fn pairs_to_find(risk: Risk, sd: f64, d: f64, margin_d: f64) -> Option<u32> {
    least(|pairs| detectable(risk, sd, pairs, margin_d) <= d)
}

/// Pairs that show an unchanged system to be within `room` in nine of ten gates; `None` above [`MOST_PAIRS`].
pub(super) fn pairs_to_pass(risk: Risk, sd: f64, room: f64) -> Option<u32> {
    least(|pairs| margin_possible(risk, sd, pairs) < room)
}

/// The least number of pairs, from 2, that is enough; what is enough stays so with more.
fn least(enough: impl Fn(u32) -> bool) -> Option<u32> {
    let mut high = 2;
    while !enough(high) {
        if high >= MOST_PAIRS {
            return None;
        }
        high = (2 * high).min(MOST_PAIRS);
    }
    let mut low = (high / 2).max(1);
    while high - low > 1 {
        let middle = low.midpoint(high);
        if enough(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One look, one metric, 1 %: pairs that find 5 % and 10 % at a spread of 2, 3, 5, 8, 15 % without a margin, and that prove 5 % at 5 %. The figures
    /// were found by simulation with Student's exact power; ours is the usual sum of quantiles, which is off by one pair at most below 40.
    #[test]
    fn pairs_agree_with_a_simulated_table() {
        let risk = Risk { fail: 0.01, pass: 0.05 };
        for (sd, five, ten, prove) in [(0.02, 6, 4, 4), (0.03, 8, 5, 5), (0.05, 17, 7, 11), (0.08, 38, 13, 25), (0.15, 126, 36, 83)] {
            let near = |found: Option<u32>, expected: u32| {
                let found = found.unwrap();
                assert!(found.abs_diff(expected) <= 1 + expected / 40, "sd {sd}: {found} for {expected}");
            };
            near(pairs_to_find(risk, sd, 0.05_f64.ln_1p(), 0.0), five);
            near(pairs_to_find(risk, sd, 0.10_f64.ln_1p(), 0.0), ten);
            near(pairs_to_pass(risk, sd, 0.05_f64.ln_1p()), prove);
        }
        assert_eq!(pairs_to_find(risk, 0.02, 0.05, 0.05), None, "a worsening of just the margin is never found in nine of ten");
    }

    proptest! {
        /// forall noise: more pairs see less, and a worsening that can be seen is beyond the margin
        #[test]
        fn more_pairs_see_more(sd in 0.001_f64..0.3, pairs in 2_u32..60, margin in 0.01_f64..0.3) {
            let risk = Risk { fail: 0.001, pass: 0.0125 };
            prop_assert!(detectable(risk, sd, pairs + 1, margin) <= detectable(risk, sd, pairs, margin));
            prop_assert!(detectable(risk, sd, pairs, margin) > margin);
            prop_assert!(margin_possible(risk, sd, pairs + 1) <= margin_possible(risk, sd, pairs));
        }
    }
}
