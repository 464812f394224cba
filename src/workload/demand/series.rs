//! A recording as a series of rates: where in the week it lies, which steps are known, and days cut out of it.

use super::law::index;
use super::moments::{DELAYS_S, grown, steps};
use super::shape::PARTS;
use super::{DAY_S, RecordedGrowth};
use crate::base::stats::sample::{quantile_sorted, sort};

/// Requests per second in equal steps. A step that was not recorded is `NaN`, never zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Length of a step, seconds; a divisor of ten minutes, or a multiple of a minute.
    pub step_s: f64,
    /// Beginning of the first step, seconds from the beginning of a weekday 0.
    pub start_s: f64,
    /// Whether the weekdays are known: 0 is Monday. Otherwise weekday 0 is that of the first step.
    pub is_dated: bool,
    /// Requests per second.
    pub rates: Vec<f64>,
}

/// One day of a series.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SeriesDay {
    /// 0 to 6.
    pub(super) weekday: usize,
    /// Day number from that of the first step.
    pub(super) number: usize,
    /// Requests per second in each step of the day; `NaN` where unknown.
    pub(super) rates: Vec<f64>,
}

impl Series {
    /// Days of which at least half is known.
    pub(super) fn days(&self) -> Vec<SeriesDay> {
        let steps = index((DAY_S / self.step_s).round()).max(1);
        let first_day = (self.start_s / DAY_S).floor();
        let offset = index(((self.start_s - first_day * DAY_S) / self.step_s).round());
        let count = (offset + self.rates.len()).div_ceil(steps);
        (0..count)
            .map(|number| {
                let rate = |step: usize| (number * steps + step).checked_sub(offset).and_then(|i| self.rates.get(i)).copied().unwrap_or(f64::NAN);
                SeriesDay { weekday: (index(first_day) + number) % 7, number, rates: (0..steps).map(rate).collect() }
            })
            .filter(|day| 2 * day.rates.iter().filter(|r| r.is_finite()).count() >= steps)
            .collect()
    }

    /// How the rates grow within 5, 10, 20 and 30 minutes, over all instants whose steps are known; delays shorter than a step are left out.
    #[must_use]
    pub fn growth(&self) -> Vec<RecordedGrowth> {
        let of = |delay_s: f64| {
            let mut ratios = grown(&self.rates, steps(delay_s, self.step_s));
            sort(&mut ratios);
            let at = |q: f64| quantile_sorted(&ratios, q).map(|x| (x * 1e4).round() / 1e4);
            Some(RecordedGrowth { delay_s, p95: at(0.95)?, p99: at(0.99)?, highest: at(1.0)? })
        };
        DELAYS_S.into_iter().filter(|d| steps(*d, self.step_s) > 0).filter_map(of).collect()
    }

    /// Mean of the known steps.
    pub(super) fn mean(&self) -> f64 {
        mean_known(&self.rates)
    }

    /// Seconds that are known.
    pub(super) fn known_s(&self) -> f64 {
        self.rates.iter().filter(|r| r.is_finite()).count() as f64 * self.step_s
    }
}

/// Mean of the values that are known; NaN for none.
pub(super) fn mean_known(values: &[f64]) -> f64 {
    let known: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    known.iter().sum::<f64>() / known.len() as f64
}

impl SeriesDay {
    /// Mean rate in each of the [`PARTS`] parts of the day; NaN where nothing is known.
    pub(super) fn parts(&self) -> Vec<f64> {
        let steps = self.rates.len();
        (0..PARTS)
            .map(|part| {
                let (from, to) = (part * steps / PARTS, ((part + 1) * steps).div_ceil(PARTS).max(part * steps / PARTS + 1));
                mean_known(&self.rates[from..to.min(steps)])
            })
            .collect()
    }
}
