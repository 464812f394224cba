//! From a series of rates to a model: profile, day factors, residual and shots, outer draws, held-out check.

use super::check::{self, Check, Likeness};
use super::law::{Law, index};
use super::matching::{Effort, Target, Theta, parts_of};
use super::moments::COUNT;
use super::profile::{self, Profile};
use super::series::{Series, SeriesDay, mean_known};
use super::{DAY_S, DemandModel, Generator, LengthTable, Recorded, RecordedDay, RecordedDays, VERSION, WhatIf};
use crate::base::rng::Seed;
use crate::base::stats::interval::normal_quantile;
use rand::RngExt;
use rand::seq::SliceRandom;

/// Day-to-day spread that is taken when no two days can be compared.
const ASSUMED_SIGMA: f64 = 0.2;
/// Outer draws of a learnt model.
const DRAWS: usize = 160;
/// What a fit simulates; its days are a multiple of the recorded ones, see [`SIMULATED_DAYS`].
const EFFORT: Effort = Effort { days: 60, trials: 130, sets: 200 };
/// Simulated days for each recorded one, and at most: fewer would add more error than the recording has.
const SIMULATED_DAYS: (usize, usize) = (2, 200);
/// Fewest recorded days for a held-out check.
const CHECKED_DAYS: usize = 4;

/// What is known about a recording beside its rates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// Where it comes from, in words.
    pub name: String,
    /// The zone that its days are counted in.
    pub time_zone: String,
    /// Variance factor of the counts in bins of [`super::BIN_S`]; 0: Poisson.
    pub dispersion: f64,
    /// Joint token lengths; may be empty.
    pub lengths: LengthTable,
    /// What was done to the recording: gaps, corrections.
    pub notes: Vec<String>,
}

/// Why a recording makes no model.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TooShort {
    /// Less than a day.
    #[error("the recording covers {hours:.1} h, no whole day: a demand model needs one day at least, and a week to know how days differ")]
    NoDay {
        /// Hours that are known.
        hours: f64,
    },
    /// No requests.
    #[error("the recording holds no requests")]
    Nothing,
}

/// Learns a model.
///
/// # Errors
/// When no day is recorded by half at least.
pub fn learn(series: &Series, about: About) -> Result<DemandModel, TooShort> {
    let days = (SIMULATED_DAYS.0 * series.days().len()).clamp(EFFORT.days, SIMULATED_DAYS.1);
    learn_with(series, about, Effort { days, ..EFFORT })
}

/// The same with another effort.
pub(super) fn learn_with(series: &Series, about: About, effort: Effort) -> Result<DemandModel, TooShort> {
    let days = series.days();
    if days.is_empty() || series.known_s() < 0.9 * DAY_S {
        return Err(TooShort::NoDay { hours: series.known_s() / 3600.0 });
    }
    let mean = series.mean();
    if mean.is_nan() || mean <= 0.0 {
        return Err(TooShort::Nothing);
    }
    let fitted = Fitted::of(&days, series, about.dispersion, effort, None);
    let mut notes = about.notes;
    fitted.tell(&days, series, &mut notes);
    let law = fitted.law();
    let draws = fitted.draws(&days, &law);
    let check = (days.len() >= CHECKED_DAYS).then(|| held_out(&days, series, about.dispersion, &fitted));
    let recorded = Recorded {
        days: u32::try_from(days.len()).unwrap_or(u32::MAX),
        requests: (mean * series.known_s()).round(),
        span_s: series.rates.len() as f64 * series.step_s,
        step_s: series.step_s,
        time_zone: about.time_zone,
        is_dated: series.is_dated,
        growth: series.growth(),
    };
    let generator = match &check {
        Some(check) if !check.holds => {
            notes
                .push("the held-out days are not what the law draws: periods are made of recorded days in random order (block bootstrap)".to_owned());
            Generator::Days(fitted.recorded_days(&days, series.step_s))
        }
        Some(_) => Generator::Law,
        None => {
            notes.push(format!("{} days are too few for a held-out check; {CHECKED_DAYS} allow one", days.len()));
            Generator::Law
        }
    };
    let day_factors = fitted.profile.day_logs.iter().map(|z| (z.exp() * 1e4).round() / 1e4).collect();
    Ok(DemandModel {
        version: VERSION,
        name: about.name,
        recorded,
        law,
        draws,
        generator,
        day_factors,
        check,
        dispersion: about.dispersion,
        lengths: about.lengths,
        what_if: WhatIf::default(),
        notes,
    })
}

/// Estimates from one set of days.
pub(super) struct Fitted {
    pub(super) profile: Profile,
    theta: Theta,
    target: Target,
    effort: Effort,
    /// Variance of a day's mean that residual and shots make.
    within: f64,
    /// Variance of the days' logarithms, and its degrees of freedom; zero df: assumed.
    total: f64,
    df: f64,
}

impl Fitted {
    pub(super) fn of(days: &[SeriesDay], series: &Series, dispersion: f64, effort: Effort, start: Option<Theta>) -> Self {
        let profile = profile::fit(days, series.is_dated);
        let per_step = mean_known(&days.iter().flat_map(|d| d.rates.clone()).collect::<Vec<_>>()) * series.step_s;
        let target = Target::new(normalised(days, &profile), series.step_s, per_step, dispersion);
        let theta = target.fit(effort, start);
        let within = Target::variance_of_days(theta, 3 * effort.days);
        let df = days.len() as f64 - profile.logs.len() as f64 - if profile.growth == 0.0 { 0.0 } else { 1.0 };
        let squares: f64 = profile.day_logs.iter().map(|z| z * z).sum();
        let (total, df) = if df >= 1.0 { (squares / df, df) } else { (ASSUMED_SIGMA * ASSUMED_SIGMA + within, 0.0) };
        Self { profile, theta, target, effort, within, total, df }
    }

    /// The law of the estimates.
    pub(super) fn law(&self) -> Law {
        self.law_of(&self.profile, self.theta, self.total)
    }

    fn law_of(&self, profile: &Profile, theta: Theta, total: f64) -> Law {
        let (residual, shots) = parts_of(theta);
        let of_week = |weekday: usize| mean_known(&profile.of_day(weekday).iter().map(|x| x.exp()).collect::<Vec<_>>());
        let mean = (0..7).map(of_week).sum::<f64>() / 7.0;
        let mut law = Law {
            level: 0.0,
            classes: profile.classes,
            profiles: profile.logs.iter().map(|p| p.iter().map(|x| x - mean.ln()).collect()).collect(),
            growth_per_day: profile.growth,
            day_sigma: (total - self.within).max(0.0).sqrt().min(2.0),
            residual,
            shots,
        };
        law.level = mean.ln() - law.mean_of_noise().ln();
        law.rounded()
    }

    /// Outer draws: levels and spread by their sampling distributions (normal, chi-square), profiles from days drawn again, residual and shots
    /// by the step that the statistics of days drawn again ask for.
    pub(super) fn draws(&self, days: &[SeriesDay], centre: &Law) -> Vec<Law> {
        let step = Step::of(&self.target, self.theta, self.effort.days);
        let parts: Vec<Vec<f64>> = days.iter().map(SeriesDay::parts).collect();
        let (levels, spreads, drifts) = (scores("level"), scores("spread"), scores("growth"));
        let classes: Vec<Vec<f64>> = (0..self.profile.logs.len()).map(|class| scores(&format!("class {class}"))).collect();
        (0..DRAWS)
            .map(|draw| {
                let mut stream = Seed(13).keyed("outer", draw as u64);
                let total = if self.df > 0.0 { self.total * self.df / chi_square(spreads[draw], self.df) } else { self.total };
                let theta = step.drawn(&self.target, self.theta, &mut stream);
                let mut profile = self.profile.clone();
                let n = days.len() as f64;
                let drift = self.profile.growth_error * drifts[draw];
                profile.growth += drift;
                for (class, logs) in profile.logs.iter_mut().enumerate() {
                    let own: Vec<usize> = (0..days.len()).filter(|&d| usize::from(self.profile.classes[days[d].weekday]) == class).collect();
                    let again: Vec<usize> = own.iter().map(|_| own[stream.random_range(0..own.len())]).collect();
                    // The shape from days drawn again, freed of their levels; the level by its standard error.
                    let old = logs.clone();
                    if own.len() > 1 {
                        *logs = shape_of(&parts, &again, &self.profile, &old);
                    }
                    let apart = (total * (1.0 / own.len().max(1) as f64 - 1.0 / n).max(0.0)).sqrt() * classes[class][draw];
                    let error = (total / n).sqrt() * levels[draw] + apart;
                    for log in logs {
                        *log += error + drift * n / 2.0;
                    }
                }
                let law = self.law_of(&profile, theta, total);
                if law.check().is_ok() { law } else { centre.clone() }
            })
            .collect()
    }

    /// The days with their gaps filled from profile and day factor.
    fn recorded_days(&self, days: &[SeriesDay], step_s: f64) -> RecordedDays {
        let day = |(day, z): (&SeriesDay, &f64)| {
            let profile = self.profile.of_day(day.weekday);
            let part = |step: usize| (profile[step * profile.len() / day.rates.len()] + z).exp();
            let cut = |x: f64| (x * 1e4).round() / 1e4;
            let rate = |(step, rate): (usize, &f64)| cut(if rate.is_finite() { *rate } else { part(step) });
            RecordedDay { weekday: u8::try_from(day.weekday).unwrap_or(0), rates: day.rates.iter().enumerate().map(rate).collect() }
        };
        RecordedDays { step_s, days: days.iter().zip(&self.profile.day_logs).map(day).collect() }
    }

    /// What the recording could not say.
    fn tell(&self, days: &[SeriesDay], series: &Series, notes: &mut Vec<String>) {
        let n = days.len();
        if n == 1 {
            notes.push(format!(
                "one day is recorded: its bursts cannot be told from its profile, and how days differ is assumed (sigma {ASSUMED_SIGMA})"
            ));
        } else if n < 7 {
            notes.push(format!("{n} days are recorded, less than a week: weekdays that are missing are taken to be like the others"));
        } else if n < 18 {
            notes.push(format!(
                "{n} days are recorded, less than three weeks: growth cannot be told from differences between weekdays and is left at zero"
            ));
        }
        if self.df == 0.0 && n > 1 {
            notes.push(format!("no two days of one class: how days differ is assumed (sigma {ASSUMED_SIGMA})"));
        }
        if !series.is_dated && n >= 7 {
            notes.push("the recording does not say which weekday it begins with: weekday 0 is its first".to_owned());
        }
        if !self.profile.width.is_finite() {
            notes.push("days left out are predicted best without any daily profile: none is used".to_owned());
        }
        if series.step_s > 60.0 {
            notes.push(format!("rates are means over {:.0} s: faster bursts are not in the recording, and not in the model", series.step_s));
        }
    }
}

/// Standard normal scores of the outer draws: the middles of as many equally likely intervals in random order, so that few draws spread as they should.
fn scores(name: &str) -> Vec<f64> {
    let mut scores: Vec<f64> = (0..DRAWS).map(|i| normal_quantile((i as f64 + 0.5) / DRAWS as f64)).collect();
    scores.shuffle(&mut Seed(13).stream(name));
    scores
}

/// The quantile of chi-square with `df` degrees of freedom at a normal score (Wilson, Hilferty 1931).
fn chi_square(score: f64, df: f64) -> f64 {
    let spread = 2.0 / (9.0 * df);
    (df * (1.0 - spread + score * spread.sqrt()).powi(3)).max(0.05 * df)
}

/// The profile of the days drawn again, at the level of `old`.
fn shape_of(parts: &[Vec<f64>], again: &[usize], profile: &Profile, old: &[f64]) -> Vec<f64> {
    let freed: Vec<Vec<f64>> = again.iter().map(|&d| parts[d].iter().map(|x| x / profile.day_logs[d].exp()).collect()).collect();
    let all: Vec<usize> = (0..freed.len()).collect();
    let new = profile::smoothed(&freed, &all, profile.width);
    let mean = |logs: &[f64]| logs.iter().map(|x| x.exp()).sum::<f64>();
    let shift = (mean(old) / mean(&new)).ln();
    new.iter().map(|x| x + shift).collect()
}

/// Rates over profile and their own day's mean.
fn normalised(days: &[SeriesDay], profile: &Profile) -> Vec<Vec<f64>> {
    days.iter()
        .map(|day| {
            let logs = profile.of_day(day.weekday);
            let n = day.rates.len();
            let over = |(step, rate): (usize, &f64)| rate / logs[index(step as f64 / n as f64 * logs.len() as f64).min(logs.len() - 1)].exp();
            let mut out: Vec<f64> = day.rates.iter().enumerate().map(over).collect();
            let mean = mean_known(&out).max(1e-12);
            for x in &mut out {
                *x /= mean;
            }
            out
        })
        .collect()
}

/// How parameters move with statistics: one Gauss-Newton step of the weighted distance, held back by a prior of one unit of each logarithm.
struct Step {
    jacobian: Vec<[f64; COUNT]>,
    /// Days of a simulation.
    days: usize,
}

impl Step {
    fn of(target: &Target, theta: Theta, days: usize) -> Self {
        let jacobian = (0..theta.len())
            .map(|k| {
                let moved = |by: f64| {
                    let mut there = theta;
                    there[k] += by;
                    target.simulated(there, days)
                };
                let (low, high) = (moved(-0.2), moved(0.2));
                std::array::from_fn(|i| (high[i] - low[i]) / 0.4)
            })
            .collect();
        Self { jacobian, days }
    }

    /// Parameters for the statistics of blocks drawn again.
    fn drawn(&self, target: &Target, theta: Theta, stream: &mut crate::base::rng::Stream) -> Theta {
        let blocks = super::matching::blocks(&target.days, target.step_s);
        let views: Vec<&[f64]> = (0..blocks.len()).map(|_| blocks[stream.random_range(0..blocks.len())]).collect();
        let again = super::moments::of_days(&views, target.step_s);
        // Samples of few blocks vary too little by the factor n / (n - 1), and the simulation has an error of its own: as many times the
        // recording's as it has fewer days (McFadden 1989).
        let small = blocks.len() as f64 / (blocks.len() as f64 - 1.0).max(1.0);
        let wider = (small * (1.0 + target.days.len() as f64 / self.days as f64)).sqrt();
        let known = |i: usize| again[i].is_finite() && target.observed[i].is_finite() && self.jacobian.iter().all(|row| row[i].is_finite());
        let n = theta.len();
        let mut system = vec![vec![0.0; n + 1]; n];
        for (a, line) in system.iter_mut().enumerate() {
            line[a] = 1.0;
            for i in (0..COUNT).filter(|&i| known(i)) {
                let weight = self.jacobian[a][i] / target.errors[i].powi(2);
                for (b, row) in self.jacobian.iter().enumerate() {
                    line[b] += weight * row[i];
                }
                line[n] += weight * wider * (again[i] - target.observed[i]);
            }
        }
        let step = solved(system);
        super::matching::bounded(std::array::from_fn(|k| theta[k] + step[k].clamp(-1.0, 1.0)))
    }
}

/// Solves a symmetric positive system given with its right side as last column; Gauss without pivoting is stable for these.
fn solved(mut system: Vec<Vec<f64>>) -> Vec<f64> {
    let n = system.len();
    for k in 0..n {
        let pivot = system[k].clone();
        for (row, line) in system.iter_mut().enumerate() {
            if row != k {
                let factor = line[k] / pivot[k];
                line.iter_mut().zip(&pivot).for_each(|(x, p)| *x -= factor * p);
            }
        }
    }
    (0..n).map(|k| system[k][n] / system[k][k]).collect()
}

/// Fits to the first two thirds of the days, from the parameters of all, and judges the rest.
fn held_out(days: &[SeriesDay], series: &Series, dispersion: f64, whole: &Fitted) -> Check {
    let cut = days.len() - (days.len() / 3).max(1);
    let less = Effort { trials: whole.effort.trials / 3, ..whole.effort };
    let fitted = Fitted::of(&days[..cut], series, dispersion, less, Some(whole.theta));
    let law = fitted.law();
    let draws = fitted.draws(&days[..cut], &law);
    check::judge(&draws, &days[cut..], cut, &Likeness { step_s: series.step_s, dispersion, sets: less.sets })
}
