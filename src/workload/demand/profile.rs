//! The deterministic part: classes of weekdays, their profiles, growth; how many classes and how smooth is decided by leaving days out.

use super::law::index;
use super::series::{SeriesDay, mean_known};
use super::shape::PARTS;
use crate::base::stats::sample::mean_variance;

/// Standard deviations of the smoothing kernel that are tried, in parts of ten minutes; infinite: no profile at all.
const WIDTHS: [f64; 7] = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, f64::INFINITY];
/// What a single day is smoothed with: its bursts cannot be told from its profile.
const LONE_WIDTH: f64 = 3.0;

/// The deterministic part of a demand.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Profile {
    /// Class of each weekday.
    pub(super) classes: [u8; 7],
    /// Logarithm of the mean rate in each part of the day, by class: level included.
    pub(super) logs: Vec<Vec<f64>>,
    /// Kernel width in parts.
    pub(super) width: f64,
    /// Growth of the logarithm a day, 0 unless it is clear.
    pub(super) growth: f64,
    /// Standard error of the growth; 0 where none is used.
    pub(super) growth_error: f64,
    /// Logarithm of each day's mean against the profile and growth.
    pub(super) day_logs: Vec<f64>,
}

/// Fits profile and growth to days.
pub(super) fn fit(days: &[SeriesDay], is_dated: bool) -> Profile {
    let parts: Vec<Vec<f64>> = days.iter().map(SeriesDay::parts).collect();
    let mut best: Option<(f64, [u8; 7], f64)> = None;
    if days.len() > 1 {
        for classes in splits(days, &parts, is_dated) {
            for width in WIDTHS {
                let score = left_out(days, &parts, classes, width);
                if best.is_none_or(|(least, ..)| score < if is_dated { 0.98 } else { 0.95 } * least) {
                    best = Some((score, classes, width));
                }
            }
        }
    }
    let (_, classes, width) = best.unwrap_or((0.0, [0; 7], LONE_WIDTH));
    with(days, &parts, classes, width)
}

/// Profile and growth for given classes and smoothness.
pub(super) fn with(days: &[SeriesDay], parts: &[Vec<f64>], classes: [u8; 7], width: f64) -> Profile {
    let count = usize::from(classes.iter().copied().max().unwrap_or(0)) + 1;
    let all: Vec<usize> = (0..days.len()).collect();
    let logs: Vec<Vec<f64>> = (0..count)
        .map(|class| {
            let own: Vec<usize> = all.iter().copied().filter(|&d| usize::from(classes[days[d].weekday]) == class).collect();
            smoothed(parts, if own.is_empty() { &all } else { &own }, width)
        })
        .collect();
    let mut profile = Profile { classes, logs, width, growth: 0.0, growth_error: 0.0, day_logs: Vec::new() };
    profile.day_logs = days.iter().zip(parts).map(|(day, parts)| profile.day_log(day, parts)).collect();
    profile.grow(days);
    profile
}

impl Profile {
    pub(super) fn of_day(&self, weekday: usize) -> &[f64] {
        &self.logs[usize::from(self.classes[weekday % 7])]
    }

    /// How far a day's mean lies from its class, where it is known; logarithm.
    fn day_log(&self, day: &SeriesDay, parts: &[f64]) -> f64 {
        let profile = self.of_day(day.weekday);
        let (mut seen, mut expected) = (0.0, 0.0);
        for (rate, log) in parts.iter().zip(profile).filter(|(rate, _)| rate.is_finite()) {
            seen += rate;
            expected += log.exp();
        }
        (seen.max(1e-9) / expected.max(1e-12)).ln()
    }

    /// Growth by least squares over the days, where three weeks or more show it at three standard errors: a growth that is not there would move the
    /// level by more than it is known. The level then is that of the last day.
    fn grow(&mut self, days: &[SeriesDay]) {
        let n = days.len() as f64;
        let span = days.last().map_or(0, |d| d.number) - days.first().map_or(0, |d| d.number);
        if days.len() < 18 || span < 20 {
            return;
        }
        let t_mean = days.iter().map(|d| d.number as f64).sum::<f64>() / n;
        let squares: f64 = days.iter().map(|d| (d.number as f64 - t_mean).powi(2)).sum();
        let slope = days.iter().zip(&self.day_logs).map(|(d, z)| (d.number as f64 - t_mean) * z).sum::<f64>() / squares;
        let left: f64 = days.iter().zip(&self.day_logs).map(|(d, z)| (z - slope * (d.number as f64 - t_mean)).powi(2)).sum();
        // Class means were taken out before: they cost degrees of freedom too.
        let df = n - 1.0 - self.logs.len() as f64;
        let error = (left / df / squares).sqrt();
        if slope.abs() < 3.0 * error {
            return;
        }
        (self.growth, self.growth_error) = (slope, error);
        let end = days.last().map_or(0.0, |d| d.number as f64 + 1.0);
        for (day, z) in days.iter().zip(&mut self.day_logs) {
            *z -= slope * (day.number as f64 - t_mean);
        }
        for log in self.logs.iter_mut().flatten() {
            *log += slope * (end - t_mean);
        }
    }
}

/// Ways to split the week: one class; two where weekdays are known or two neighbouring days stand apart; seven from three weeks on.
fn splits(days: &[SeriesDay], parts: &[Vec<f64>], is_dated: bool) -> Vec<[u8; 7]> {
    let mut splits = vec![[0; 7]];
    let pair = |first: usize| {
        let mut classes = [0; 7];
        classes[first % 7] = 1;
        classes[(first + 1) % 7] = 1;
        classes
    };
    let both = |classes: &[u8; 7]| {
        let off = days.iter().filter(|d| classes[d.weekday] == 1).count();
        off >= 1 && days.len() - off >= 2
    };
    if is_dated {
        splits.extend(Some(pair(5)).filter(both));
    } else {
        let level = |d: usize| mean_known(&parts[d]);
        let spread = |classes: &[u8; 7]| {
            let of = |class: u8| {
                let logs: Vec<f64> = (0..days.len()).filter(|&d| classes[days[d].weekday] == class).map(|d| level(d).max(1e-9).ln()).collect();
                mean_variance(&logs).0
            };
            of(1) - of(0)
        };
        let lowest = (0..7).map(pair).filter(both).min_by(|a, b| spread(a).total_cmp(&spread(b)));
        splits.extend(lowest);
    }
    if (0..7).all(|weekday| days.iter().filter(|d| d.weekday == weekday).count() >= 3) {
        splits.push([0, 1, 2, 3, 4, 5, 6]);
    }
    splits
}

/// Mean squared error of the logarithm when each day is predicted from the others.
fn left_out(days: &[SeriesDay], parts: &[Vec<f64>], classes: [u8; 7], width: f64) -> f64 {
    let (mut sum, mut n) = (0.0, 0.0);
    for out in 0..days.len() {
        let others: Vec<usize> = (0..days.len()).filter(|&d| d != out).collect();
        let same: Vec<usize> = others.iter().copied().filter(|&d| classes[days[d].weekday] == classes[days[out].weekday]).collect();
        let predicted = smoothed(parts, if same.is_empty() { &others } else { &same }, width);
        for (rate, log) in parts[out].iter().zip(&predicted).filter(|(rate, _)| rate.is_finite()) {
            sum += (rate.max(1e-3 * log.exp()).ln() - log).powi(2);
            n += 1.0;
        }
    }
    sum / f64::max(n, 1.0)
}

/// Logarithm of the mean of `chosen` days in each part, smoothed around the clock by a Gaussian kernel; unknown parts are bridged.
pub(super) fn smoothed(parts: &[Vec<f64>], chosen: &[usize], width: f64) -> Vec<f64> {
    let raw: Vec<f64> = (0..PARTS).map(|part| mean_known(&chosen.iter().map(|&d| parts[d][part]).collect::<Vec<_>>())).collect();
    let floor = 1e-3 * mean_known(&raw).max(1e-9);
    let logs: Vec<f64> = raw.iter().map(|x| if x.is_finite() { x.max(floor).ln() } else { f64::NAN }).collect();
    if !width.is_finite() {
        // No profile: the logarithm of the mean, not the mean of logarithms.
        return vec![mean_known(&raw).max(1e-9).ln(); PARTS];
    }
    let reach = index((4.0 * width).ceil()).clamp(1, PARTS / 2);
    let smooth = |part: usize, reach: usize, width: f64| {
        let (mut sum, mut weights) = (0.0, 0.0);
        for offset in 0..=2 * reach {
            let log = logs[(part + PARTS + offset - reach) % PARTS];
            if log.is_finite() {
                let x = (offset as f64 - reach as f64) / width;
                let weight = (-0.5 * x * x).exp();
                sum += weight * log;
                weights += weight;
            }
        }
        if weights > 0.0 { sum / weights } else { f64::NAN }
    };
    let mut out: Vec<f64> = (0..PARTS)
        .map(|part| {
            let own = if width > 0.0 { smooth(part, reach, width) } else { logs[part] };
            if own.is_finite() { own } else { smooth(part, PARTS / 2, 12.0) }
        })
        .collect();
    // Smoothing logarithms lowers the mean: what the known parts hold in all is kept.
    let kept = |logs: &[f64]| raw.iter().zip(logs).filter(|(x, _)| x.is_finite()).map(|(_, log)| log.exp()).sum::<f64>();
    let shift = (raw.iter().filter(|x| x.is_finite()).sum::<f64>().max(1e-9) / kept(&out).max(1e-12)).ln();
    for log in &mut out {
        *log += shift;
    }
    out
}
