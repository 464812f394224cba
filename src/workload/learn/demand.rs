//! Demand over time: how unevenly it comes, how high its peak is, and how fast it grows.

use super::Side;
use crate::base::stats::sample::{bin_sums, index_of_dispersion, mean_variance, quantile_sorted, sort};
use serde::Serialize;

/// Length of the trailing window that demand is averaged over, seconds.
const WINDOW_S: f64 = 60.0;
/// Demand is looked at this often, seconds.
const STEP_S: f64 = 10.0;
/// Delays that growth is told for, minutes: the reach of a scale-up.
const DELAYS_MIN: [u32; 3] = [1, 5, 10];

/// A figure for requests, input tokens and output tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PerSide<T> {
    /// Requests.
    pub requests: T,
    /// Input tokens.
    pub input: T,
    /// Output tokens.
    pub output: T,
}

impl<T> PerSide<T> {
    fn of(figure: impl Fn(Side) -> T) -> Self {
        Self { requests: figure(Side::Requests), input: figure(Side::Input), output: figure(Side::Output) }
    }
}

/// Variance over mean of the counts of requests in windows of one length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Dispersion {
    /// Window in seconds.
    pub window_s: f64,
    /// 1 for independent arrivals at a constant rate; `None` when the recording has fewer than two windows.
    pub index: Option<f64>,
}

/// How demand grows while a scale-up of this delay is under way: the largest demand in `(t, t + delay]` over the demand at `t`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Growth {
    /// Delay in minutes.
    pub delay_min: u32,
    /// The ratios; `None` where the recording is too short.
    pub ratio: PerSide<Option<Ratio>>,
}

/// Percentiles of a growth ratio over all instants of the recording.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// 19 instants of 20 grow less.
    pub p95: f64,
    /// 99 instants of 100 grow less.
    pub p99: f64,
    /// Instants looked at; those ten seconds apart share most of their window.
    pub n: usize,
}

/// Requests of a recording: instants in seconds from the first, and tokens.
pub(super) struct Requests<'a> {
    pub(super) at_s: &'a [f64],
    pub(super) input: &'a [f64],
    pub(super) output: &'a [f64],
    pub(super) span_s: f64,
}

impl Requests<'_> {
    fn weight(&self, side: Side, i: usize) -> f64 {
        match side {
            Side::Requests => 1.0,
            Side::Input => self.input[i],
            Side::Output => self.output[i],
        }
    }

    /// Index of dispersion at 1, 10 and 60 s.
    pub(super) fn dispersion(&self) -> Vec<Dispersion> {
        [1.0, 10.0, 60.0].map(|window_s| Dispersion { window_s, index: index_of_dispersion(self.at_s, window_s, self.span_s) }).to_vec()
    }

    /// The fullest minute over the mean minute; `None` below two whole minutes.
    pub(super) fn peak_to_mean(&self) -> PerSide<Option<f64>> {
        PerSide::of(|side| {
            let minutes = bin_sums(self.at_s, |i| self.weight(side, i), WINDOW_S, self.span_s);
            let (mean, _) = mean_variance(&minutes);
            let peak = minutes.iter().copied().fold(0.0, f64::max);
            (minutes.len() >= 2 && mean > 0.0).then(|| peak / mean)
        })
    }

    /// Growth for delays of 1, 5 and 10 minutes.
    pub(super) fn growth(&self) -> Vec<Growth> {
        let demand = PerSide::of(|side| self.trailing(side));
        DELAYS_MIN
            .iter()
            .map(|&delay_min| {
                // Steps of ten seconds: six a minute.
                let steps = delay_min as usize * 6;
                let ratio =
                    PerSide { requests: ratio(&demand.requests, steps), input: ratio(&demand.input, steps), output: ratio(&demand.output, steps) };
                Growth { delay_min, ratio }
            })
            .collect()
    }

    /// Sums over the trailing window at every step, from the first whole window on.
    fn trailing(&self, side: Side) -> Vec<f64> {
        let bins = bin_sums(self.at_s, |i| self.weight(side, i), STEP_S, self.span_s);
        bins.windows(6).map(|w| w.iter().sum()).collect()
    }
}

/// Percentiles of `max(demand[i+1..=i+steps]) / demand[i]`, where there is demand at all. A falling queue of maxima keeps it linear.
fn ratio(demand: &[f64], steps: usize) -> Option<Ratio> {
    if demand.len() <= steps {
        return None;
    }
    let mut ratios = Vec::with_capacity(demand.len() - steps);
    let mut highest: std::collections::VecDeque<usize> = std::collections::VecDeque::new();
    for end in 1..demand.len() {
        while highest.back().is_some_and(|&i| demand[i] <= demand[end]) {
            highest.pop_back();
        }
        highest.push_back(end);
        let Some(start) = end.checked_sub(steps) else { continue };
        while highest.front().is_some_and(|&i| i <= start) {
            highest.pop_front();
        }
        if let (Some(&top), true) = (highest.front(), demand[start] > 0.0) {
            ratios.push(demand[top] / demand[start]);
        }
    }
    sort(&mut ratios);
    Some(Ratio { p95: quantile_sorted(&ratios, 0.95)?, p99: quantile_sorted(&ratios, 0.99)?, n: ratios.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn steady_demand_neither_grows_nor_peaks() {
        let at_s: Vec<f64> = (0..36_000).map(|i| f64::from(i) * 0.1).collect();
        let ones = vec![2.0; at_s.len()];
        let requests = Requests { at_s: &at_s, input: &ones, output: &ones, span_s: 3600.0 };
        assert!((requests.peak_to_mean().input.unwrap() - 1.0).abs() < 0.01);
        assert!(requests.growth().iter().all(|g| (g.ratio.requests.unwrap().p99 - 1.0).abs() < 0.01));
        assert!(requests.dispersion().iter().all(|d| d.index.unwrap() < 0.01));
    }

    #[test]
    fn short_recordings_have_no_growth() {
        let requests = Requests { at_s: &[0.0, 30.0], input: &[1.0, 1.0], output: &[1.0, 1.0], span_s: 30.0 };
        assert!(requests.growth().iter().all(|g| g.ratio.output.is_none()));
        assert_eq!(requests.peak_to_mean().requests, None);
    }

    proptest! {
        /// forall demand, steps: the queue of maxima gives what looking at every window gives
        #[test]
        fn the_ratio_is_that_of_every_window(demand in prop::collection::vec(0_u8..20, 2..60), steps in 1_usize..20) {
            let demand: Vec<f64> = demand.into_iter().map(f64::from).collect();
            let mut plain: Vec<f64> = (0..demand.len().saturating_sub(steps))
                .filter(|&i| demand[i] > 0.0)
                .map(|i| demand[i + 1..=i + steps].iter().copied().fold(0.0, f64::max) / demand[i])
                .collect();
            sort(&mut plain);
            let expected = quantile_sorted(&plain, 0.95);
            prop_assert_eq!(ratio(&demand, steps).map(|r| r.p95), expected);
        }
    }
}
