//! Location by ranks: Hodges and Lehmann's estimate, the signed-rank test and its exact bounds, and how far a value lies from the others.

use super::sample::{mid_ranks, sort};

/// The means of all pairs of values, each with itself included (Walsh averages), ascending: `n (n + 1) / 2` of them.
#[must_use]
pub fn walsh_averages(values: &[f64]) -> Vec<f64> {
    let mut averages: Vec<f64> = values.iter().enumerate().flat_map(|(i, &a)| values[i..].iter().map(move |&b| f64::midpoint(a, b))).collect();
    sort(&mut averages);
    averages
}

/// Hodges and Lehmann's estimate of the middle of a symmetric distribution (1963, Ann. Math. Stat. 34): the median of the Walsh averages. `None` if empty.
#[must_use]
pub fn hodges_lehmann(values: &[f64]) -> Option<f64> {
    median_sorted(&walsh_averages(values))
}

/// One-sided lower bound of the middle with confidence `1 - alpha`, exact for any symmetric distribution without ties: the k-th smallest Walsh average
/// with the largest k for which `P(T <= k - 1) <= alpha`, T the signed-rank sum. `None` if even the smallest one is not sure enough (`2^-n > alpha`).
#[must_use]
pub fn signed_rank_low(values: &[f64], alpha: f64) -> Option<f64> {
    let ranks: Vec<f64> = (1..=values.len()).map(|r| r as f64).collect();
    let mut below = 0.0;
    let mut k = 0;
    for probability in distribution(&ranks).iter().step_by(2) {
        below += probability;
        if below > alpha {
            break;
        }
        k += 1;
    }
    walsh_averages(values).get(usize::checked_sub(k, 1)?).copied()
}

/// One-sided upper bound, the mirror of [`signed_rank_low`].
#[must_use]
pub fn signed_rank_high(values: &[f64], alpha: f64) -> Option<f64> {
    let mirrored: Vec<f64> = values.iter().map(|v| -v).collect();
    signed_rank_low(&mirrored, alpha).map(|low| -low)
}

/// Exact one-sided p-value of Wilcoxon's signed-rank test (1945) of "symmetric about 0" against "above 0". Zeros are left out, ties have the mean
/// of their ranks and are counted exactly. 1 without values.
#[must_use]
pub fn signed_rank_above(values: &[f64]) -> f64 {
    let values: Vec<f64> = values.iter().copied().filter(|&v| v != 0.0).collect();
    let sizes: Vec<f64> = values.iter().map(|v| v.abs()).collect();
    let ranks = mid_ranks(&sizes);
    let twice = |r: f64| place(2.0 * r);
    let seen: usize = values.iter().zip(&ranks).filter(|(v, _)| **v > 0.0).map(|(_, &r)| twice(r)).sum();
    distribution(&ranks).iter().skip(seen).sum::<f64>().min(1.0)
}

/// Probability of each value of twice the signed-rank sum, if every sign is a fair coin. Mid-ranks are halves, so twice a rank is whole.
fn distribution(ranks: &[f64]) -> Vec<f64> {
    let all: usize = ranks.iter().map(|&r| place(2.0 * r)).sum();
    let mut probability = vec![0.0; all + 1];
    probability[0] = 1.0;
    let mut most = 0;
    for &rank in ranks {
        let step = place(2.0 * rank);
        most += step;
        for sum in (0..=most).rev() {
            let with = if sum >= step { probability[sum - step] } else { 0.0 };
            probability[sum] = 0.5 * (probability[sum] + with);
        }
    }
    probability
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "twice a rank is a small whole number")]
fn place(twice_rank: f64) -> usize {
    twice_rank.round() as usize
}

/// The median of a sorted sample, the mean of the middle two if their number is even. `None` if empty.
#[must_use]
pub fn median_sorted(sorted: &[f64]) -> Option<f64> {
    let n = sorted.len();
    if n == 0 {
        return None;
    }
    Some(f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2]))
}

/// The median of a sample. `None` if empty.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sort(&mut sorted);
    median_sorted(&sorted)
}

/// Indices of values far from the others: modified z-score `0.6745 |x - median| / MAD` above 3.5 (Iglewicz and Hoaglin 1993). None below four values; with a
/// median absolute deviation of 0, every value away from the median.
#[must_use]
pub fn outliers(values: &[f64]) -> Vec<usize> {
    let Some(middle) = median(values).filter(|_| values.len() >= 4) else { return Vec::new() };
    let away: Vec<f64> = values.iter().map(|v| (v - middle).abs()).collect();
    let Some(spread) = median(&away) else { return Vec::new() };
    (0..values.len()).filter(|&i| 0.6745 * away[i] > 3.5 * spread).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hodges_and_lehmann_by_hand() {
        // Walsh averages of 1, 2, 9: 1, 1.5, 2, 5, 5.5, 9; their median 3.5.
        assert_eq!(walsh_averages(&[9.0, 1.0, 2.0]), [1.0, 1.5, 2.0, 5.0, 5.5, 9.0]);
        assert_eq!(hodges_lehmann(&[9.0, 1.0, 2.0]), Some(3.5));
        assert_eq!(hodges_lehmann(&[]), None);
    }

    /// Source: tables of the signed-rank test: n = 8, P(T <= 3) = 5/256, P(T <= 5) = 10/256; n = 10, P(T <= 10) = 43/1024.
    #[test]
    fn signed_ranks_agree_with_their_table() {
        let all = |n: usize| distribution(&(1..=n).map(|r| r as f64).collect::<Vec<f64>>());
        let at_most = |n: usize, t: usize| all(n).iter().take(2 * t + 1).sum::<f64>();
        for (n, t, p) in [(8, 3, 5.0 / 256.0), (8, 5, 10.0 / 256.0), (10, 10, 43.0 / 1024.0), (5, 0, 1.0 / 32.0)] {
            assert!((at_most(n, t) - p).abs() < 1e-12, "{n} {t}: {}", at_most(n, t));
        }
    }

    #[test]
    fn a_bound_needs_enough_pairs() {
        let six = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
        assert_eq!(signed_rank_low(&six, 0.01), None, "2^-6 is 1.6 %");
        assert_eq!(signed_rank_low(&six, 0.02), Some(0.1));
        assert_eq!(signed_rank_high(&six, 0.02), Some(0.6));
        // P(T <= 1) = 2/64 = 3.1 %: the second smallest.
        assert!((signed_rank_low(&six, 0.04).unwrap() - 0.15).abs() < 1e-12);
        assert_eq!(signed_rank_low(&[], 0.5), None);
    }

    #[test]
    fn far_values_are_told() {
        assert_eq!(outliers(&[1.0, 1.1, 0.9, 1.05, 3.0]), [4]);
        assert_eq!(outliers(&[1.0, 1.0, 1.0, 1.2]), [3]);
        assert!(outliers(&[1.0, 1.0, 9.0]).is_empty());
    }

    proptest! {
        /// forall values: the p-value is that of an enumeration of all signs
        #[test]
        fn signed_rank_agrees_with_enumeration(values in proptest::collection::vec(-5_i32..6, 1..10)) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let kept: Vec<f64> = values.iter().copied().filter(|&v| v != 0.0).collect();
            let ranks = mid_ranks(&kept.iter().map(|v| v.abs()).collect::<Vec<f64>>());
            let seen: f64 = kept.iter().zip(&ranks).filter(|(v, _)| **v > 0.0).map(|(_, r)| r).sum();
            let tail = (0_u32..1 << kept.len()).filter(|signs| {
                let sum: f64 = (0..kept.len()).filter(|i| signs >> i & 1 == 1).map(|i| ranks[i]).sum();
                sum >= seen - 1e-9
            });
            let exact = tail.count() as f64 / f64::from(1_u32 << kept.len());
            prop_assert!((signed_rank_above(&values) - exact).abs() < 1e-12);
        }

        /// forall values, alpha: the bound is the duality of the test: it is the largest shift that the test does not deny
        #[test]
        fn bound_and_test_are_dual(seed in proptest::collection::vec(-1.0_f64..1.0, 5..9), alpha in 0.03_f64..0.3) {
            if let Some(low) = signed_rank_low(&seed, alpha) {
                let shifted = |by: f64| seed.iter().map(|v| v - by).collect::<Vec<f64>>();
                prop_assert!(signed_rank_above(&shifted(low - 1e-9)) <= alpha + 1e-12);
                prop_assert!(signed_rank_above(&shifted(low + 1e-9)) > alpha - 1e-12);
            }
        }
    }
}
