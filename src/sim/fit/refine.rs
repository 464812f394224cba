//! Refinement: Levenberg and Marquardt's damped Gauss-Newton steps on the logarithms of the numbers, each trial a replay of every step.

use super::law::{Numbers, nudge, of_point, spec_of};
use super::objective::{self, Errors, Weights};
use super::replay::Step;
use super::solve;
use crate::base::rng::Seed;
use crate::scenario::endpoint::EndpointSpec;

/// No step is longer than this, of a logarithm.
const LONGEST: f64 = 0.7;
/// A descent ends when a round gains less than this share of the loss.
const GAIN: f64 = 2e-3;

/// The measured steps and what is common to all replays.
pub(super) struct Bench {
    /// The load steps.
    pub(super) steps: Vec<Step>,
    /// How much each counts.
    pub(super) weights: Weights,
    /// Of the simulator's own randomness: the same in all replays.
    pub(super) seed: Seed,
}

/// A point that was reached.
#[derive(Clone, Debug)]
pub(super) struct Point {
    /// Logarithms of the numbers.
    pub(super) at: Numbers,
    /// Loss there.
    pub(super) loss: f64,
    /// Errors there.
    pub(super) errors: Errors,
}

/// The slopes around a point: what a one-step estimate needs.
pub(super) struct Slopes {
    /// Which numbers were moved.
    free: Vec<usize>,
    /// By how much, of their logarithms.
    by: Vec<f64>,
    /// Errors when each was moved.
    moved: Vec<Errors>,
}

impl Bench {
    /// Errors of every step under a law.
    fn errors(&self, base: &EndpointSpec, at: &Numbers) -> Errors {
        let spec = spec_of(base, &of_point(at));
        self.steps.iter().map(|step| objective::compare(step, &step.predicted(&spec, self.seed), None)).collect()
    }

    /// The point `at`.
    pub(super) fn point(&self, base: &EndpointSpec, at: Numbers) -> Point {
        let errors = self.errors(base, &at);
        Point { at, loss: objective::loss(&errors, &self.weights), errors }
    }

    /// The slopes at `point` along the numbers `free`.
    pub(super) fn slopes(&self, base: &EndpointSpec, point: &Point, free: &[usize]) -> Slopes {
        let moved = free
            .iter()
            .map(|&k| {
                let mut at = point.at;
                at[k] += nudge(&point.at, k);
                self.errors(base, &at)
            })
            .collect();
        Slopes { free: free.to_vec(), by: free.iter().map(|&k| nudge(&point.at, k)).collect(), moved }
    }

    /// The best point found from `start` within `rounds` rounds, moving the numbers `free` only.
    pub(super) fn refine(&self, base: &EndpointSpec, start: Point, free: &[usize], rounds: usize) -> Point {
        let mut best = start;
        let mut damping = 1e-2;
        for _ in 0..rounds {
            let slopes = self.slopes(base, &best, free);
            let before = best.loss;
            for _ in 0..4 {
                let step = slopes.step(&best, &self.weights, damping);
                let mut at = best.at;
                for (&k, d) in free.iter().zip(&step) {
                    at[k] += d;
                }
                let next = self.point(base, at);
                if next.loss < best.loss {
                    best = next;
                    damping = (damping * 0.3_f64).max(1e-4);
                    break;
                }
                damping = (damping * 6.0_f64).min(1e3);
            }
            if best.loss > before * (1.0 - GAIN) {
                break;
            }
        }
        best
    }
}

impl Slopes {
    /// The damped Gauss-Newton step at `point` under `weights`.
    pub(super) fn step(&self, point: &Point, weights: &Weights, damping: f64) -> Vec<f64> {
        self.step_of(&point.errors, point, weights, damping)
    }

    /// The same for other errors than those of the point: of a resample, for example.
    pub(super) fn step_of(&self, errors: &Errors, point: &Point, weights: &Weights, damping: f64) -> Vec<f64> {
        let (mut matrix, gradient) = objective::normal(errors, &point.errors, &self.moved, &self.by, weights);
        // A number that does nothing stays where it is.
        let scale = (0..gradient.len()).map(|k| matrix[k][k]).fold(0.0, f64::max).max(1e-12);
        for (k, row) in matrix.iter_mut().enumerate() {
            row[k] += damping * row[k] + 1e-5 * scale;
        }
        solve::general(matrix, gradient.iter().map(|g| -g).collect()).into_iter().map(|d| d.clamp(-LONGEST, LONGEST)).collect()
    }

    /// Condition number of the refined problem, its columns scaled to length 1.
    pub(super) fn condition(&self, point: &Point, weights: &Weights) -> f64 {
        let (matrix, _) = objective::normal(&point.errors, &point.errors, &self.moved, &self.by, weights);
        solve::condition_of(matrix)
    }

    /// `point` moved by `step`.
    pub(super) fn moved_by(&self, point: &Point, step: &[f64]) -> Numbers {
        let mut at = point.at;
        for (&k, d) in self.free.iter().zip(step) {
            at[k] += d;
        }
        at
    }
}
