//! What a good fit is: measured and predicted latencies compared request by request and quantile by quantile, each load step alike.

use super::replay::{Step, Times};
use crate::base::stats::sample::nearest_rank;

/// Quantiles compared, with the number of values that each needs.
const QUANTILES: [(f64, usize); 7] = [(0.1, 8), (0.3, 8), (0.5, 8), (0.7, 8), (0.9, 8), (0.95, 40), (0.99, 100)];
/// How many there are.
const Q: usize = QUANTILES.len();

/// Weight of the requests of a step and latency, against 1 of its quantiles.
const PAIRED: f64 = 0.5;
/// Weight of TTFT, TPOT, E2E: the first waits for the end of an iteration that nobody saw begin, and scatters.
const OF_METRIC: [f64; 3] = [0.7, 1.0, 1.0];
/// Beyond this relative error a value counts by its size and no longer by its square (Huber 1964).
const HUBER: f64 = 0.1;
/// The relative error of a latency that was measured and is not predicted at all.
const MISSING: f64 = 1.0;
/// No latency grows faster than this power of a parameter, except by jumps.
const STEEPEST: f64 = 5.0;
/// Added to both sides before they are compared, nanoseconds: stamps of a client are no better.
const STAMP: f64 = 1e5;

/// Logarithms of predicted over measured, of one step.
#[derive(Clone, Debug)]
pub(super) struct StepErrors {
    /// Of each request; NaN where nothing was measured.
    paired: Vec<Times>,
    /// Of each quantile of each latency over the counted requests.
    quantiles: [[f64; Q]; 3],
}

/// Of every step.
pub(super) type Errors = Vec<StepErrors>;

/// How much each step, and each request within it, counts.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    /// Of each step; 0: not looked at.
    pub(super) steps: Vec<f64>,
    /// Of each request of each step, about 1. `None`: all alike.
    pub(super) requests: Option<Vec<Vec<f64>>>,
}

impl Weights {
    /// All steps alike.
    pub(super) fn alike(steps: usize) -> Self {
        Self { steps: vec![1.0; steps], requests: None }
    }

    fn of(&self, step: usize) -> Option<&[f64]> {
        self.requests.as_ref().map(|all| all[step].as_slice())
    }
}

/// Compares one step.
pub(super) fn compare(step: &Step, predicted: &[Times], weights: Option<&[f64]>) -> StepErrors {
    let error = |m: f64, p: f64| match (m.is_nan(), p.is_nan()) {
        (true, _) => f64::NAN,
        (false, true) => MISSING,
        (false, false) => ((p + STAMP) / (m + STAMP)).ln(),
    };
    let paired = step.measured.iter().zip(predicted).map(|(m, p)| std::array::from_fn(|i| error(m[i], p[i]))).collect();
    let quantiles = std::array::from_fn(|metric| {
        let measured = quantiles(step, &step.measured, metric, weights);
        let predicted = quantiles(step, predicted, metric, weights);
        std::array::from_fn(|q| error(measured[q], predicted[q]))
    });
    StepErrors { paired, quantiles }
}

/// Weighted nearest-rank quantiles over the counted requests that were measured; NaN for too few. A request that is not predicted is left out
/// here; `paired` counts it.
fn quantiles(step: &Step, times: &[Times], metric: usize, weights: Option<&[f64]>) -> [f64; Q] {
    let mut values: Vec<(f64, f64)> = (0..times.len())
        .filter(|&i| step.is_counted[i] && !times[i][metric].is_nan() && !step.measured[i][metric].is_nan())
        .map(|i| (times[i][metric], weights.map_or(1.0, |w| w[i])))
        .collect();
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = values.iter().map(|v| v.1).sum();
    let mut found = [f64::NAN; Q];
    let (mut below, mut next) = (0.0, 0);
    for (value, weight) in &values {
        below += weight;
        while next < Q && (below >= QUANTILES[next].0 * total - 1e-9) {
            if values.len() >= QUANTILES[next].1 {
                found[next] = *value;
            }
            next += 1;
        }
    }
    found
}

/// One latency of one step at a quantile, measured and predicted, nanoseconds; `None` for fewer than `least` values. Quantile 0 is the mean.
pub(super) fn figure(
    step: &Step,
    predicted: &[Times],
    counted: &dyn Fn(usize) -> bool,
    (metric, quantile, least): (usize, f64, usize),
) -> Option<(f64, f64)> {
    let pairs = (0..predicted.len()).filter(|&i| step.is_counted[i] && counted(i));
    let (mut measured, mut found): (Vec<f64>, Vec<f64>) =
        pairs.map(|i| (step.measured[i][metric], predicted[i][metric])).filter(|(m, p)| !m.is_nan() && !p.is_nan()).unzip();
    if measured.len() < least {
        return None;
    }
    if quantile == 0.0 {
        let n = measured.len() as f64;
        return Some((measured.iter().sum::<f64>() / n, found.iter().sum::<f64>() / n));
    }
    let rank = nearest_rank(measured.len(), quantile)?;
    let nth = |values: &mut Vec<f64>| *values.select_nth_unstable_by(rank, f64::total_cmp).1;
    Some((nth(&mut measured), nth(&mut found)))
}

/// Every error with its weight, in an order that is the same for all errors of the same steps. `visit(weight, errors of each)`.
fn each(all: &[&Errors], weights: &Weights, visit: &mut impl FnMut(f64, &[f64])) {
    let mut row = vec![0.0; all.len()];
    for (s, step) in all[0].iter().enumerate() {
        if weights.steps[s] == 0.0 {
            continue;
        }
        let requests = weights.of(s);
        for (metric, of_metric) in OF_METRIC.into_iter().enumerate() {
            let of_metric = of_metric * weights.steps[s];
            let present: f64 = (0..step.paired.len()).filter(|&i| !step.paired[i][metric].is_nan()).map(|i| requests.map_or(1.0, |w| w[i])).sum();
            for i in 0..step.paired.len() {
                if !step.paired[i][metric].is_nan() {
                    for (cell, errors) in row.iter_mut().zip(all) {
                        *cell = errors[s].paired[i][metric];
                    }
                    visit(of_metric * PAIRED * requests.map_or(1.0, |w| w[i]) / present.max(1e-9), &row);
                }
            }
            let given = step.quantiles[metric].iter().filter(|e| !e.is_nan()).count() as f64;
            for q in 0..Q {
                if !step.quantiles[metric][q].is_nan() {
                    for (cell, errors) in row.iter_mut().zip(all) {
                        *cell = errors[s].quantiles[metric][q];
                    }
                    visit(of_metric / given, &row);
                }
            }
        }
    }
}

/// Mean loss of an error: half its square up to [`HUBER`], then in proportion to its size.
pub(super) fn loss(errors: &Errors, weights: &Weights) -> f64 {
    let (mut sum, mut total) = (0.0, 0.0);
    each(&[errors], weights, &mut |w, row| {
        let e = row[0].abs();
        sum += w * if e <= HUBER { 0.5 * e * e } else { HUBER * (e - 0.5 * HUBER) };
        total += w;
    });
    sum / f64::max(total, 1e-9)
}

/// Gradient and Gauss-Newton matrix of the loss of `errors`, with the slopes around `centre`: `moved[k]` are its errors when parameter k is
/// moved by `by[k]` of its logarithm.
pub(super) fn normal(errors: &Errors, centre: &Errors, moved: &[Errors], by: &[f64], weights: &Weights) -> (Vec<Vec<f64>>, Vec<f64>) {
    let n = moved.len();
    let (mut matrix, mut gradient, mut total) = (vec![vec![0.0; n]; n], vec![0.0; n], 0.0);
    let all: Vec<&Errors> = [errors, centre].into_iter().chain(moved).collect();
    let mut slopes = vec![0.0; n];
    each(&all, weights, &mut |w, row| {
        total += w;
        let e = row[0];
        let w = w * (HUBER / e.abs().max(1e-12)).min(1.0);
        for ((slope, moved), by) in slopes.iter_mut().zip(&row[2..]).zip(by) {
            // A request whose place in the queue changed jumps; such a jump is no slope. What is missing has none.
            let d = (moved - row[1]) / by;
            *slope = if d.is_nan() { 0.0 } else { d.clamp(-STEEPEST, STEEPEST) };
        }
        for k in 0..n {
            gradient[k] += w * slopes[k] * e;
            for l in 0..=k {
                matrix[k][l] += w * slopes[k] * slopes[l];
            }
        }
    });
    for k in 0..n {
        gradient[k] /= total.max(1e-9);
        for cell in &mut matrix[k] {
            *cell /= total.max(1e-9);
        }
    }
    // Only the half below the diagonal was summed.
    for k in 0..n {
        let (above, row) = matrix.split_at_mut(k);
        for (l, other) in above.iter_mut().enumerate() {
            other[k] = row[0][l];
        }
    }
    (matrix, gradient)
}
