//! Residual and shots by the method of simulated moments: the parameters under which simulated days have the statistics of the recorded ones.

use super::draw::{ResidualWalk, add_shots};
use super::law::{Law, Residual, Shots, index};
use super::moments::{self, COUNT};
use super::series::mean_known;
use super::{BIN_S, DAY_S};
use crate::base::rng::Seed;
use crate::base::stats::sample::mean_variance;
use rand::RngExt;
use rand_distr::{Distribution, Poisson};

/// What is searched for: logarithms of sigma, memory, shots a day, height, plateau.
pub(super) const PARAMETERS: usize = 5;
pub(super) type Theta = [f64; PARAMETERS];
/// Bounds of the parameters: sigma, memory s, shots a day, height, plateau s.
const BOUNDS: [(f64, f64); PARAMETERS] = [(0.005, 1.0), (300.0, 43_200.0), (0.3, 48.0), (0.02, 3.0), (60.0, 10_800.0)];
/// Samples of days that give a statistic its standard error.
const REPLICATES: u64 = 60;
/// No statistic is taken to be known better than this, in logarithms.
const LEAST_ERROR: f64 = 0.015;

/// The recorded days, freed of profile and level.
pub(super) struct Target {
    pub(super) step_s: f64,
    /// Rates over profile and day mean, NaN where unknown.
    pub(super) days: Vec<Vec<f64>>,
    /// Requests expected in a step of the mean rate.
    pub(super) per_step: f64,
    pub(super) dispersion: f64,
    pub(super) observed: [f64; COUNT],
    pub(super) errors: [f64; COUNT],
}

/// How much is simulated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// Days of each simulation.
    pub(super) days: usize,
    /// Simulations.
    pub(super) trials: usize,
    /// Sets of days that the held-out days are compared with.
    pub(super) sets: u64,
}

impl Target {
    pub(super) fn new(days: Vec<Vec<f64>>, step_s: f64, per_step: f64, dispersion: f64) -> Self {
        let views: Vec<&[f64]> = days.iter().map(Vec::as_slice).collect();
        let observed = moments::of_days(&views, step_s);
        let blocks = blocks(&days, step_s);
        let mut samples = Vec::new();
        for replicate in 0..REPLICATES {
            let mut stream = Seed(7).keyed("moments", replicate);
            let drawn: Vec<&[f64]> = (0..blocks.len()).map(|_| blocks[stream.random_range(0..blocks.len())]).collect();
            samples.push(moments::of_days(&drawn, step_s));
        }
        let errors = std::array::from_fn(|i| {
            let values: Vec<f64> = samples.iter().map(|s| s[i]).filter(|x| x.is_finite()).collect();
            mean_variance(&values).1.sqrt().max(LEAST_ERROR)
        });
        Self { step_s, days, per_step, dispersion, observed, errors }
    }

    /// Parameters that come nearest to the observed statistics.
    pub(super) fn fit(&self, effort: Effort, start: Option<Theta>) -> Theta {
        let start = start.unwrap_or_else(|| self.guess());
        let theta = simplex(start, effort.trials, &|theta| self.distance(theta, effort.days));
        bounded(theta)
    }

    /// A first guess from the statistics themselves.
    fn guess(&self) -> Theta {
        let spread = self.observed[0].exp();
        [0.7 * spread, 5400.0, 6.0, (1.5 * spread).clamp(0.1, 1.0), 1200.0].map(f64::ln)
    }

    fn distance(&self, theta: Theta, days: usize) -> f64 {
        let out: f64 = theta.iter().zip(BOUNDS).map(|(x, (low, high))| (low.ln() - x).max(0.0).powi(2) + (x - high.ln()).max(0.0).powi(2)).sum();
        let simulated = self.simulated(bounded(theta), days);
        let apart: f64 = (0..COUNT)
            .map(|i| (simulated[i] - self.observed[i]) / self.errors[i])
            .filter(|x| x.is_finite())
            // Far outliers of single statistics do not decide alone.
            .map(|x| if x.abs() > 4.0 { 8.0 * x.abs() - 16.0 } else { x * x })
            .sum();
        apart + 100.0 * out
    }

    /// Statistics of simulated days under `theta`; the same random numbers for every `theta`.
    pub(super) fn simulated(&self, theta: Theta, days: usize) -> [f64; COUNT] {
        let law = noise_law(theta);
        let simulated: Vec<Vec<f64>> = (0..days).map(|day| self.simulated_day(&law, day)).collect();
        let views: Vec<&[f64]> = simulated.iter().map(Vec::as_slice).collect();
        moments::of_days(&views, self.step_s)
    }

    /// Variance of the logarithm of a day's mean that residual and shots alone make.
    pub(super) fn variance_of_days(theta: Theta, days: usize) -> f64 {
        let law = noise_law(theta);
        let logs: Vec<f64> = (0..days).map(|day| mean_known(&noise(&law, Seed(11).child("match", day as u64), 60.0)).ln()).collect();
        mean_variance(&logs).1
    }

    /// A day of residual, shots and counting noise over its own mean, with the gaps of a recorded day.
    fn simulated_day(&self, law: &Law, number: usize) -> Vec<f64> {
        let seed = Seed(11).child("match", number as u64);
        let mut day = noise(law, seed, self.step_s);
        let mut stream = seed.stream("count");
        let gaps = &self.days[number % self.days.len()];
        for (rate, known) in day.iter_mut().zip(gaps) {
            *rate = if known.is_finite() { counted(*rate, self.per_step, self.dispersion * BIN_S / self.step_s, &mut stream) } else { f64::NAN };
        }
        let mean = mean_known(&day);
        for x in &mut day {
            *x /= mean;
        }
        day
    }
}

/// A rate as it would be counted, in units of `per_step` requests; `dispersion` is that of a whole step.
fn counted(rate: f64, per_step: f64, dispersion: f64, stream: &mut crate::base::rng::Stream) -> f64 {
    let mean = rate * per_step;
    if per_step > 1e5 {
        return rate;
    }
    // Modulation of the bins averages out over the bins of a step; as a normal factor it keeps the random numbers in step.
    let spread = dispersion.sqrt();
    let z: f64 = rand_distr::StandardNormal.sample(stream);
    let mean = (mean * (1.0 + spread * z)).max(1e-9);
    Poisson::new(mean).map_or(0.0, |p| p.sample(stream)) / per_step
}

/// A day of residual and shots, mean one in expectation but for the logarithm; averages over steps.
fn noise(law: &Law, seed: Seed, step_s: f64) -> Vec<f64> {
    // A fifth of a step is fine enough for its mean.
    let fine_s = (step_s / 5.0).clamp(BIN_S, 120.0).min(step_s);
    let per_step = index((step_s / fine_s).round()).max(1);
    let count = index((DAY_S / step_s).round()) * per_step;
    let mut walk = ResidualWalk::new(law, seed);
    let mut factors = vec![1.0; count];
    add_shots(&law.shots, &mut seed.stream("shots"), fine_s, &mut factors);
    for (i, factor) in factors.iter_mut().enumerate() {
        *factor *= walk.at((i as f64 + 0.5) * fine_s).exp();
    }
    factors.chunks(per_step).map(|c| c.iter().sum::<f64>() / c.len() as f64).collect()
}

/// A law of nothing but residual and shots.
fn noise_law(theta: Theta) -> Law {
    let (residual, shots) = parts_of(theta);
    Law { level: 0.0, classes: [0; 7], profiles: vec![vec![0.0]], growth_per_day: 0.0, day_sigma: 0.0, residual, shots }
}

pub(super) fn parts_of(theta: Theta) -> (Residual, Shots) {
    let [sigma, memory_s, per_day, height, hold_s] = bounded(theta).map(f64::exp);
    (Residual { sigma, memory_s }, Shots { per_day, height, hold_s })
}

pub(super) fn bounded(theta: Theta) -> Theta {
    std::array::from_fn(|i| theta[i].clamp(BOUNDS[i].0.ln(), BOUNDS[i].1.ln()))
}

/// What is drawn with replacement: days, or six hours of a day where there are fewer than four days.
pub(super) fn blocks(days: &[Vec<f64>], step_s: f64) -> Vec<&[f64]> {
    if days.len() >= 4 {
        return days.iter().map(Vec::as_slice).collect();
    }
    let block = index((21_600.0 / step_s).round()).max(1);
    days.iter().flat_map(|day| day.chunks(block)).filter(|b| b.iter().any(|x| x.is_finite())).collect()
}

/// Nelder and Mead (1965) with their coefficients, from a simplex of half a logarithm around `start`.
fn simplex(start: Theta, trials: usize, cost: &dyn Fn(Theta) -> f64) -> Theta {
    let mut points: Vec<(f64, Theta)> = (0..=PARAMETERS)
        .map(|i| {
            let mut theta = start;
            if i > 0 {
                theta[i - 1] += 0.5;
            }
            (cost(theta), theta)
        })
        .collect();
    let mut used = PARAMETERS + 1;
    while used < trials {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let centre: Theta = std::array::from_fn(|k| points[..PARAMETERS].iter().map(|p| p.1[k]).sum::<f64>() / PARAMETERS as f64);
        let worst = points[PARAMETERS];
        let along = |t: f64| -> Theta { std::array::from_fn(|k| centre[k] + t * (worst.1[k] - centre[k])) };
        let mut tried = |t: f64| {
            used += 1;
            (cost(along(t)), along(t))
        };
        let reflected = tried(-1.0);
        let better = if reflected.0 < points[0].0 {
            let further = tried(-2.0);
            if further.0 < reflected.0 { further } else { reflected }
        } else if reflected.0 < points[PARAMETERS - 1].0 {
            reflected
        } else {
            tried(if reflected.0 < worst.0 { -0.5 } else { 0.5 })
        };
        if better.0 < worst.0 {
            points[PARAMETERS] = better;
        } else {
            let best = points[0].1;
            for point in &mut points[1..] {
                let theta = std::array::from_fn(|k| 0.5 * (best[k] + point.1[k]));
                *point = (cost(theta), theta);
            }
            used += PARAMETERS;
        }
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points[0].1
}
