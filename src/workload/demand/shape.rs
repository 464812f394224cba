//! Named shapes of a week for those who have no recording.

use super::law::{Law, Residual, Shots};
use super::{DemandModel, Generator, LengthTable, Recorded, VERSION, WhatIf};
use crate::base::rng::Seed;
use crate::scenario::plan::{DemandShape, ShapeName};
use rand_distr::{Distribution, StandardNormal};

/// Parts of a day in a profile: ten minutes.
pub(super) const PARTS: usize = 144;
/// How many outer draws a stated error of the level makes.
const DRAWS: u64 = 40;

/// Working hours, weekend low: factor at each hour, weekday and weekend.
const OFFICE: [[f64; 24]; 2] = [
    [0.10, 0.08, 0.08, 0.08, 0.10, 0.15, 0.30, 0.65, 1.30, 1.90, 2.10, 2.05, 1.70, 1.85, 2.10, 2.05, 1.90, 1.50, 0.95, 0.60, 0.45, 0.35, 0.25, 0.15],
    [0.08, 0.07, 0.06, 0.06, 0.07, 0.08, 0.10, 0.14, 0.20, 0.26, 0.30, 0.30, 0.28, 0.28, 0.30, 0.30, 0.28, 0.26, 0.24, 0.22, 0.20, 0.17, 0.14, 0.10],
];
/// Evenings, weekends a little higher.
const CONSUMER: [[f64; 24]; 2] = [
    [0.60, 0.40, 0.28, 0.22, 0.20, 0.25, 0.40, 0.65, 0.85, 0.95, 1.00, 1.05, 1.15, 1.10, 1.05, 1.05, 1.15, 1.30, 1.50, 1.70, 1.80, 1.75, 1.45, 1.00],
    [0.80, 0.60, 0.42, 0.30, 0.25, 0.25, 0.32, 0.45, 0.70, 0.95, 1.15, 1.25, 1.30, 1.30, 1.30, 1.30, 1.35, 1.45, 1.60, 1.75, 1.80, 1.75, 1.50, 1.15],
];
/// A nightly job from one to five, little else.
const BATCH: [[f64; 24]; 2] = [
    [0.30, 3.20, 4.20, 4.20, 4.00, 2.20, 0.50, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25],
    [0.30, 3.20, 4.20, 4.20, 4.00, 2.20, 0.50, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25],
];

/// The model of a shape. Everything about it is assumed; residual and shots are those of a pooled service (docs/METHOD.md, "Demand").
#[must_use]
pub fn model(shape: &DemandShape) -> DemandModel {
    let hours = match shape.shape {
        ShapeName::Office => Some(OFFICE),
        ShapeName::Consumer => Some(CONSUMER),
        ShapeName::Batch => Some(BATCH),
        ShapeName::Flat => None,
    };
    let raw: Vec<Vec<f64>> = hours.map_or_else(|| vec![vec![0.0; PARTS]; 2], |hours| hours.iter().map(spread).collect());
    let power = shape.peak_to_mean.map_or(1.0, |wanted| power_for(&raw, wanted));
    let profiles: Vec<Vec<f64>> = raw.iter().map(|p| p.iter().map(|x| x * power).collect()).collect();
    let bursts = shape.bursts;
    let residual = Residual { sigma: 0.10 * bursts, memory_s: 3600.0 };
    let shots = Shots { per_day: 4.0 * bursts, height: 0.25, hold_s: 1200.0 };
    let classes = [0, 0, 0, 0, 0, 1, 1];
    let mut law = Law { level: 0.0, classes, profiles, growth_per_day: 0.0, day_sigma: shape.day_sigma, residual, shots };
    law.level = (shape.mean.0 / law.mean_rate()).ln();
    let law = law.rounded();
    let name = format!("the shape {}", shape.shape.name());
    let draws = if shape.error.0 > 0.0 { (0..DRAWS).map(|i| uncertain(&law, shape.error.0, i)).collect() } else { Vec::new() };
    DemandModel {
        version: VERSION,
        name: name.clone(),
        recorded: Recorded { time_zone: "of the service".to_owned(), is_dated: true, ..Recorded::default() },
        law,
        draws,
        generator: Generator::Law,
        day_factors: Vec::new(),
        check: None,
        dispersion: 0.0,
        lengths: LengthTable::default(),
        what_if: WhatIf::default(),
        notes: vec![format!("{name} is assumed in whole: learn a recording of a week or more as soon as there is one")],
    }
}

/// Logarithms at the parts of the day, straight between the middles of the hours.
fn spread(hours: &[f64; 24]) -> Vec<f64> {
    (0..PARTS)
        .map(|part| {
            let place = (part as f64 + 0.5) / PARTS as f64 * 24.0 - 0.5;
            let (low, share) = (place.floor(), place - place.floor());
            let at = |i: f64| hours[super::law::index(i.rem_euclid(24.0)) % 24].ln();
            at(low) * (1.0 - share) + at(low + 1.0) * share
        })
        .collect()
}

/// The power of the profile that gives its highest part the wanted ratio to the mean of the week.
fn power_for(profiles: &[Vec<f64>], wanted: f64) -> f64 {
    let ratio = |power: f64| {
        let mean = |p: &Vec<f64>| p.iter().map(|x| (power * x).exp()).sum::<f64>() / p.len() as f64;
        let peak = profiles.iter().flatten().map(|x| (power * x).exp()).fold(0.0, f64::max);
        peak * 7.0 / (5.0 * mean(&profiles[0]) + 2.0 * mean(&profiles[1]))
    };
    let (mut low, mut high) = (0.0, 8.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if ratio(middle) < wanted { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The level under an outer draw of its stated standard error.
fn uncertain(law: &Law, error: f64, draw: u64) -> Law {
    let z: f64 = StandardNormal.sample(&mut Seed(0).keyed("shape-level", draw));
    Law { level: law.level + error * z, ..law.clone() }.rounded()
}
