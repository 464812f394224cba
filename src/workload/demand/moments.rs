//! Statistics of what varies within days: spread, variogram, quantiles of growth G(D), peak over mean. The law is fitted to these.

use crate::base::stats::sample::{mean_variance, nearest_rank, sort};
use std::collections::VecDeque;

/// Delays D of the growth quantiles, seconds.
pub(super) const DELAYS_S: [f64; 4] = [300.0, 600.0, 1200.0, 1800.0];
/// Lags of the variogram, seconds.
const LAGS_S: [f64; 4] = [600.0, 1800.0, 7200.0, 21_600.0];
/// Quantiles of growth that are matched.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.95, 0.99];
/// How many statistics there are.
pub(super) const COUNT: usize = 1 + LAGS_S.len() + DELAYS_S.len() * QUANTILES.len() + OF_DAYS;
/// Statistics of whole days: mean of peak over mean, mean and standard deviation of the busiest quarter of an hour over the mean.
const OF_DAYS: usize = 3;
/// About one in a hundred of a day's requests come in its busiest part of this length, seconds: those that a promise of 99 % may miss.
const BUSIEST_S: f64 = 900.0;

/// Statistics of days, as logarithms. `days` are rates over their profile and day mean, NaN where unknown. A delay shorter than a step has none.
pub(super) fn of_days(days: &[&[f64]], step_s: f64) -> [f64; COUNT] {
    let mut out = [f64::NAN; COUNT];
    let logs: Vec<Vec<f64>> = days.iter().map(|day| day.iter().map(|x| x.max(1e-3).ln()).collect()).collect();
    let all: Vec<f64> = logs.iter().flatten().copied().filter(|x| x.is_finite()).collect();
    out[0] = mean_variance(&all).1.max(1e-8).sqrt().ln();
    for (i, lag_s) in LAGS_S.into_iter().enumerate() {
        let lag = steps(lag_s, step_s);
        let squares: Vec<f64> =
            logs.iter().flat_map(|day| day.iter().zip(day.iter().skip(lag)).map(|(a, b)| (a - b).powi(2))).filter(|x| x.is_finite()).collect();
        if lag >= 1 && squares.len() > 10 {
            out[1 + i] = 0.5 * mean_variance(&squares).0.max(1e-8).ln();
        }
    }
    for (i, delay_s) in DELAYS_S.into_iter().enumerate() {
        let delay = steps(delay_s, step_s);
        if delay < 1 {
            continue;
        }
        let mut growth: Vec<f64> = days.iter().flat_map(|day| grown(day, delay)).collect();
        // The values above a quantile are all that the next one needs.
        let (n, mut dropped) = (growth.len(), 0);
        for (j, q) in QUANTILES.into_iter().enumerate() {
            if let Some(rank) = nearest_rank(n, q) {
                let rest = &mut growth[dropped..];
                let (_, value, _) = rest.select_nth_unstable_by(rank - dropped, f64::total_cmp);
                out[1 + LAGS_S.len() + i * QUANTILES.len() + j] = value.max(1e-3).ln();
                dropped = rank;
            }
        }
    }
    let peaks: Vec<f64> = days.iter().map(|day| peak_to_mean(day).ln()).filter(|x| x.is_finite()).collect();
    out[COUNT - OF_DAYS] = mean_variance(&peaks).0;
    let busiest: Vec<f64> = days.iter().map(|day| busiest(day, step_s).ln()).filter(|x| x.is_finite()).collect();
    let (mean, variance) = mean_variance(&busiest);
    out[COUNT - 2] = mean;
    if busiest.len() > 2 {
        out[COUNT - 1] = variance.max(1e-4).sqrt().ln();
    }
    out
}

/// The mean of the highest known values that make up [`BUSIEST_S`] over the mean of all known, of means over five minutes at least.
pub(super) fn busiest(rates: &[f64], step_s: f64) -> f64 {
    let width = steps(300.0, step_s).max(1);
    let mut means: Vec<f64> = rates.chunks(width).map(super::series::mean_known).filter(|x| x.is_finite()).collect();
    sort(&mut means);
    let count = steps(BUSIEST_S, step_s * width as f64).clamp(1, means.len().max(1));
    means.iter().rev().take(count).sum::<f64>() / count as f64 / super::series::mean_known(rates)
}

/// Whole steps of a delay, rounded; 0 when the delay is shorter than a step.
pub(super) fn steps(delay_s: f64, step_s: f64) -> usize {
    if delay_s < 0.99 * step_s { 0 } else { super::law::index((delay_s / step_s).round()) }
}

/// `max(rates[i+1..=i+delay]) / rates[i]` wherever all of them are known and the first is above zero.
pub(super) fn grown(rates: &[f64], delay: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(rates.len());
    // Places of the window whose values fall: the first is the highest (van Herk's running maximum by a queue). An unknown value empties it.
    let mut falling: VecDeque<usize> = VecDeque::new();
    let mut unknown = None;
    for (i, &rate) in rates.iter().enumerate() {
        if rate.is_nan() {
            unknown = Some(i);
        }
        while falling.back().is_some_and(|&j| rates[j] <= rate) {
            falling.pop_back();
        }
        falling.push_back(i);
        let Some(from) = i.checked_sub(delay) else { continue };
        while falling.front().is_some_and(|&j| j <= from) {
            falling.pop_front();
        }
        let is_known = unknown.is_none_or(|j| j < from) && rates[from] > 0.0;
        if let Some(top) = falling.front().map(|&j| rates[j]).filter(|_| is_known) {
            out.push(top / rates[from]);
        }
    }
    out
}

/// The highest known value over the mean of all known; NaN without any.
pub(super) fn peak_to_mean(rates: &[f64]) -> f64 {
    rates.iter().copied().filter(|x| x.is_finite()).fold(f64::NAN, f64::max) / super::series::mean_known(rates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use proptest::prelude::*;
    use rand::RngExt;

    proptest! {
        /// forall rates with gaps: the running maximum is the maximum of each window.
        #[test]
        fn growth_is_the_highest_of_the_window_over_its_beginning(seed in 0_u64..1000, delay in 1_usize..12) {
            let mut stream = Seed(seed).stream("grown");
            let rates: Vec<f64> = (0..80)
                .map(|_| match stream.random_range(0..12) {
                    0 => f64::NAN,
                    1 => 0.0,
                    _ => f64::from(stream.random_range(1..9)),
                })
                .collect();
            let slow: Vec<f64> = (0..rates.len() - delay)
                .filter(|&i| rates[i] > 0.0 && rates[i + 1..=i + delay].iter().all(|x| !x.is_nan()))
                .map(|i| rates[i + 1..=i + delay].iter().copied().fold(0.0, f64::max) / rates[i])
                .collect();
            prop_assert_eq!(grown(&rates, delay), slow);
        }
    }
}
