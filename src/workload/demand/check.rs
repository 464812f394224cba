//! The held-out check: are days that the law has not seen like days that it draws?

use super::draw;
use super::law::{Law, index};
use super::moments::{DELAYS_S, grown, peak_to_mean, steps};
use super::series::{SeriesDay, mean_known};
use super::{BIN_S, DAY_S};
use crate::base::rng::{Seed, Stream};
use crate::base::stats::sample::{quantile_sorted, sort};
use rand::RngExt;
use rand_distr::{Distribution, Poisson};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Samples of the held-out days.
const REPLICATES: u64 = 200;

/// What the held-out check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Days that the law was fitted to.
    pub fitted_days: u32,
    /// Days that it was judged on.
    pub held_out_days: u32,
    /// What was compared.
    pub rows: Vec<CheckRow>,
    /// Whether every row holds.
    pub holds: bool,
}

/// One statistic of the held-out days and of simulated sets of as many days.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckRow {
    /// What it is, for example `G(10 min) p99`.
    pub what: String,
    /// On the held-out days.
    pub held_out: f64,
    /// 95 % of samples of the held-out days lie in it.
    pub held_out_band: [f64; 2],
    /// Median over simulated sets.
    pub simulated: f64,
    /// 95 % of simulated sets lie in it.
    pub simulated_band: [f64; 2],
    /// Whether the bands overlap.
    pub holds: bool,
}

/// How simulated days are made like recorded ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Likeness {
    /// Length of a step, seconds.
    pub(super) step_s: f64,
    /// Variance factor of the counts.
    pub(super) dispersion: f64,
    /// Sets of as many days as were held out that are drawn.
    pub(super) sets: u64,
}

/// Compares held-out days with sets drawn from `laws`, one law a set in turn: what is uncertain about the law is inside the band.
pub(super) fn judge(laws: &[Law], days: &[SeriesDay], fitted_days: usize, how: &Likeness) -> Check {
    let Likeness { step_s, dispersion, sets } = *how;
    let rates: Vec<&[f64]> = days.iter().map(|d| d.rates.as_slice()).collect();
    let seen = statistics(&rates, step_s);
    let samples: Vec<Vec<f64>> =
        (0..REPLICATES).map(|i| statistics(&drawn_again(&rates, step_s, &mut Seed(17).keyed("held-out", i)), step_s)).collect();
    let simulated_sets: Vec<Vec<f64>> = (0..sets)
        .map(|set| {
            let law = &laws[index(set as f64) % laws.len()];
            let simulated: Vec<Vec<f64>> = days
                .iter()
                .enumerate()
                .map(|(i, day)| like(law, day, step_s, dispersion, Seed(19).child("set", set).child("day", i as u64)))
                .collect();
            statistics(&simulated.iter().map(Vec::as_slice).collect::<Vec<_>>(), step_s)
        })
        .collect();
    let column = |table: &[Vec<f64>], i: usize| {
        let mut values: Vec<f64> = table.iter().map(|row| row[i]).filter(|x| x.is_finite()).collect();
        sort(&mut values);
        let at = |q: f64| quantile_sorted(&values, q).unwrap_or(f64::NAN);
        (at(0.025), at(0.5), at(0.975))
    };
    let rows: Vec<CheckRow> = names(step_s)
        .into_iter()
        .enumerate()
        .filter(|(i, _)| seen[*i].is_finite())
        .map(|(i, what)| {
            let (low, _, high) = column(&samples, i);
            let (low, high) = (low.min(seen[i]), high.max(seen[i]));
            let (from, middle, to) = column(&simulated_sets, i);
            let cut = |x: f64| (x * 1e4).round() / 1e4;
            let bands = [[low, high].map(cut), [from, to].map(cut)];
            let holds = from <= high && low <= to;
            CheckRow { what, held_out: cut(seen[i]), held_out_band: bands[0], simulated: cut(middle), simulated_band: bands[1], holds }
        })
        .collect();
    let holds = rows.iter().all(|r| r.holds);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Check { fitted_days: count(fitted_days), held_out_days: count(days.len()), rows, holds }
}

fn delays(step_s: f64) -> Vec<f64> {
    DELAYS_S.into_iter().filter(|d| steps(*d, step_s) > 0).collect()
}

fn names(step_s: f64) -> Vec<String> {
    let growth = delays(step_s).into_iter().flat_map(|d| ["p95", "p99"].map(|q| format!("G({:.0} min) {q}", d / 60.0)));
    growth.chain(std::iter::once("peak/mean of a day".to_owned())).collect()
}

/// Quantiles of growth at each delay, then the mean ratio of peak to mean.
fn statistics(days: &[&[f64]], step_s: f64) -> Vec<f64> {
    let mut out = Vec::new();
    for delay in delays(step_s) {
        let mut growth: Vec<f64> = days.iter().flat_map(|day| grown(day, steps(delay, step_s))).collect();
        sort(&mut growth);
        out.extend([0.95, 0.99].map(|q| quantile_sorted(&growth, q).unwrap_or(f64::NAN)));
    }
    out.push(mean_known(&days.iter().map(|day| peak_to_mean(day)).collect::<Vec<_>>()));
    out
}

/// Days drawn with replacement; of a single day its parts of six hours.
fn drawn_again<'a>(days: &[&'a [f64]], step_s: f64, stream: &mut Stream) -> Vec<&'a [f64]> {
    let block = index((21_600.0 / step_s).round()).max(1);
    let blocks: Vec<&[f64]> = if days.len() > 1 { days.to_vec() } else { days.iter().flat_map(|d| d.chunks(block)).collect() };
    (0..blocks.len()).map(|_| blocks[stream.random_range(0..blocks.len())]).collect()
}

/// A day drawn for the weekday of `day`, as it would have been recorded: means over steps of counts, with the same gaps.
fn like(law: &Law, day: &SeriesDay, step_s: f64, dispersion: f64, seed: Seed) -> Vec<f64> {
    let bins = index((DAY_S / BIN_S).round());
    let rates = draw::by_law(law, seed, day.weekday as f64 * DAY_S, bins);
    let per_step = index((step_s / BIN_S).round()).max(1);
    let mut stream = seed.stream("count");
    let spread = (dispersion / per_step as f64).sqrt();
    rates
        .chunks(per_step)
        .zip(&day.rates)
        .map(|(chunk, known)| {
            let z: f64 = rand_distr::StandardNormal.sample(&mut stream);
            let mean = chunk.iter().sum::<f64>() / chunk.len() as f64 * step_s * (1.0 + spread * z);
            if known.is_nan() { f64::NAN } else { Poisson::new(mean.max(1e-9)).map_or(0.0, |p| p.sample(&mut stream)) / step_s }
        })
        .collect()
}
