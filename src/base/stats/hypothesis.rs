//! Whether samples differ: Student's t and Welch's test, Fisher's exact test, Holm's correction for several tests at once.

use super::interval::{beta_inc, ln_gamma};
use super::sample::mean_variance;
use super::special::gamma_p;

/// P(T > t) for Student's t with `df` > 0 degrees of freedom; NaN for NaN. Infinite `t` gives 0 or 1.
#[must_use]
pub fn student_t_above(t: f64, df: f64) -> f64 {
    if t.is_infinite() {
        return if t > 0.0 { 0.0 } else { 1.0 };
    }
    // P(|T| > t) = I_x(df/2, 1/2) with x = df / (df + t^2).
    let tail = 0.5 * beta_inc(df / 2.0, 0.5, df / (df + t * t));
    if t >= 0.0 { tail } else { 1.0 - tail }
}

/// The `p` quantile of the chi-squared distribution with `df` > 0 degrees of freedom, by bisection; NaN outside (0, 1).
#[must_use]
pub fn chi_squared_quantile(p: f64, df: f64) -> f64 {
    if !(p > 0.0 && p < 1.0 && df > 0.0) {
        return f64::NAN;
    }
    let below = |x: f64| gamma_p(df / 2.0, x / 2.0);
    let mut high = df.max(1.0);
    while below(high) < p {
        high *= 2.0;
    }
    let mut low = 0.0;
    // Each turn halves the bracket: 100 turns reach the last bit.
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if below(middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// Welch's comparison of two means (Welch 1947, Biometrika 34): `second - first`, its standard error and degrees of freedom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Welch {
    /// Mean of the second sample less that of the first.
    pub difference: f64,
    /// Standard error of the difference; 0 without spread on both sides.
    pub error: f64,
    /// Degrees of freedom (Welch and Satterthwaite); those of the pooled test without spread.
    pub df: f64,
}

/// Compares the means of two samples whose variances may differ; `None` if one has fewer than two values.
#[must_use]
pub fn welch(first: &[f64], second: &[f64]) -> Option<Welch> {
    if first.len() < 2 || second.len() < 2 {
        return None;
    }
    let ((m1, v1), (m2, v2)) = (mean_variance(first), mean_variance(second));
    let (n1, n2) = (first.len() as f64, second.len() as f64);
    let (a, b) = (v1 / n1, v2 / n2);
    let df = if a + b > 0.0 { (a + b).powi(2) / (a * a / (n1 - 1.0) + b * b / (n2 - 1.0)) } else { n1 + n2 - 2.0 };
    Some(Welch { difference: m2 - m1, error: (a + b).sqrt(), df })
}

impl Welch {
    /// Two-sided p-value of equal means; 0 for a difference without spread, 1 for none at all.
    #[must_use]
    pub fn p_two_sided(&self) -> f64 {
        if self.difference == 0.0 {
            return 1.0;
        }
        (2.0 * student_t_above(self.difference.abs() / self.error, self.df)).min(1.0)
    }
}

/// Fisher's exact test, one-sided: the probability of at least `hits` among the `draws` of one side, if the hits of both sides together
/// (`hits` of `draws`, `other_hits` of `other_draws`) had fallen by chance. 1 for empty sides; hits above draws count as draws.
#[must_use]
pub fn fisher_at_least(hits: u64, draws: u64, other_hits: u64, other_draws: u64) -> f64 {
    let (hits, other_hits) = (hits.min(draws), other_hits.min(other_draws));
    let (all, all_hits) = (draws + other_draws, hits + other_hits);
    if draws == 0 || other_draws == 0 || all_hits == 0 {
        return 1.0;
    }
    let ln_choose = |n: u64, k: u64| ln_gamma(n as f64 + 1.0) - ln_gamma(k as f64 + 1.0) - ln_gamma((n - k) as f64 + 1.0);
    let ln_all = ln_choose(all, all_hits);
    let most = all_hits.min(draws);
    let least = all_hits.saturating_sub(other_draws).max(hits);
    let mut sum = 0.0;
    for k in least..=most {
        let term = (ln_choose(draws, k) + ln_choose(other_draws, all_hits - k) - ln_all).exp();
        sum += term;
        // Beyond the mode the terms fall: the rest is below the rounding of the sum.
        if term < sum * 1e-17 && k as f64 > all_hits as f64 * draws as f64 / all as f64 {
            break;
        }
    }
    sum.min(1.0)
}

/// Holm's step-down correction (Holm 1979, Scand. J. Stat. 6): p-values that may each be compared with the level of the whole family. NaN counts as 1.
#[must_use]
pub fn holm(p: &[f64]) -> Vec<f64> {
    let value = |i: usize| if p[i].is_nan() { 1.0 } else { p[i] };
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| value(a).total_cmp(&value(b)));
    let mut corrected = vec![1.0; p.len()];
    let mut least = 0.0_f64;
    for (rank, &i) in order.iter().enumerate() {
        least = least.max((value(i) * (p.len() - rank) as f64).min(1.0));
        corrected[i] = least;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::stats::interval::student_t_quantile;
    use proptest::prelude::*;

    /// Source: the table of Student's t in Abramowitz and Stegun, 26.10.
    #[test]
    fn student_t_agrees_with_its_table() {
        for (df, p, t) in [
            (1.0, 0.95, 6.314),
            (3.0, 0.99, 4.541),
            (3.0, 0.9975, 7.453),
            (5.0, 0.99, 3.365),
            (7.0, 0.95, 1.895),
            (9.0, 0.995, 3.250),
            (9.0, 0.9, 1.383),
            (30.0, 0.999, 3.385),
        ] {
            assert!((student_t_quantile(p, df) - t).abs() < 6e-4, "df {df}: {}", student_t_quantile(p, df));
            assert!((student_t_above(t, df) - (1.0 - p)).abs() < 1e-4, "df {df}: {}", student_t_above(t, df));
        }
        // df = 1 is Cauchy's, df = 2 has a closed form.
        for t in [-3.0, -0.2, 0.0, 0.7, 12.0_f64] {
            assert!((student_t_above(t, 1.0) - (0.5 - t.atan() / std::f64::consts::PI)).abs() < 1e-12);
            assert!((student_t_above(t, 2.0) - (0.5 - t / (2.0 * (2.0 + t * t).sqrt()))).abs() < 1e-12);
        }
        assert_eq!((student_t_above(f64::INFINITY, 3.0), student_t_above(f64::NEG_INFINITY, 3.0)), (0.0, 1.0));
        assert!(student_t_above(f64::NAN, 3.0).is_nan());
    }

    /// Source: tables of chi-squared; with 2 degrees of freedom it is exponential.
    #[test]
    fn chi_squared_agrees_with_its_table() {
        for (p, df, x) in [(0.1, 9.0, 4.168), (0.95, 3.0, 7.815), (0.99, 20.0, 37.566)] {
            assert!((chi_squared_quantile(p, df) - x).abs() < 6e-4, "{}", chi_squared_quantile(p, df));
        }
        assert!((chi_squared_quantile(0.3, 2.0) + 2.0 * 0.7_f64.ln()).abs() < 1e-12);
        assert!(chi_squared_quantile(1.0, 2.0).is_nan());
    }

    /// By hand: sorted .01, .02, .03, .04 times 4, 3, 2, 1 is .04, .06, .06, .04; made growing .04, .06, .06, .06.
    #[test]
    fn holm_by_hand() {
        let near = |found: &[f64], expected: &[f64]| assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        near(&holm(&[0.04, 0.01, 0.03, 0.02]), &[0.06, 0.04, 0.06, 0.06]);
        near(&holm(&[0.5, 0.9]), &[1.0, 1.0]);
        near(&holm(&[0.001, f64::NAN]), &[0.002, 1.0]);
        assert!(holm(&[]).is_empty());
    }

    /// The lady tasting tea: 3 of 4 right, 17/70; 4 of 4, 1/70.
    #[test]
    fn fisher_tastes_tea() {
        assert!((fisher_at_least(3, 4, 1, 4) - 17.0 / 70.0).abs() < 1e-12);
        assert!((fisher_at_least(4, 4, 0, 4) - 1.0 / 70.0).abs() < 1e-12);
        assert_eq!(fisher_at_least(0, 10, 0, 10), 1.0);
        assert_eq!(fisher_at_least(3, 0, 0, 10), 1.0);
        assert!(fisher_at_least(60, 6_000, 0, 6_000) < 1e-15);
    }

    #[test]
    fn welch_by_hand() {
        // Means 2 and 5, variances 1 and 4, three values each: error sqrt(5/3), df (5/3)^2 / ((1/9 + 16/9) / 2).
        let w = welch(&[1.0, 2.0, 3.0], &[3.0, 5.0, 7.0]).unwrap();
        assert!((w.difference - 3.0).abs() < 1e-12 && (w.error - (5.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!((w.df - (25.0 / 9.0) / (17.0 / 18.0)).abs() < 1e-12);
        assert_eq!(welch(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(welch(&[1.0, 1.0], &[1.0, 1.0]).unwrap().p_two_sided(), 1.0);
        assert_eq!(welch(&[1.0, 1.0], &[2.0, 2.0]).unwrap().p_two_sided(), 0.0);
    }

    proptest! {
        /// forall tables: the tail is that of an enumeration of all of them
        #[test]
        fn fisher_agrees_with_enumeration(a in 0_u64..8, n1 in 1_u64..8, c in 0_u64..8, n2 in 1_u64..8) {
            let (a, c) = (a.min(n1), c.min(n2));
            // Every way to mark a + c of n1 + n2 draws.
            let (mut all, mut tail) = (0_u64, 0_u64);
            for marks in 0_u32..1 << (n1 + n2) {
                if u64::from(marks.count_ones()) == a + c {
                    all += 1;
                    tail += u64::from(u64::from((marks & ((1 << n1) - 1)).count_ones()) >= a);
                }
            }
            prop_assert!((fisher_at_least(a, n1, c, n2) - tail as f64 / all as f64).abs() < 1e-10);
        }

        /// forall t, df: the tail inverts the quantile
        #[test]
        fn tail_and_quantile_of_t_are_inverse(p in 0.0005_f64..0.9995, df in 1.0_f64..60.0) {
            prop_assert!((student_t_above(student_t_quantile(p, df), df) - (1.0 - p)).abs() < 1e-9);
        }

        /// forall p: Holm is never below the raw value, never above Bonferroni, and keeps the order
        #[test]
        fn holm_lies_between_raw_and_bonferroni(p in proptest::collection::vec(0.0_f64..1.0, 1..8)) {
            let corrected = holm(&p);
            for i in 0..p.len() {
                prop_assert!(corrected[i] >= p[i] && corrected[i] <= (p[i] * p.len() as f64).min(1.0) + 1e-15);
                for j in 0..p.len() {
                    prop_assert!(p[i] > p[j] || corrected[i] <= corrected[j]);
                }
            }
        }
    }
}
