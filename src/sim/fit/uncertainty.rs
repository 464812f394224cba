//! Uncertainty: draws of the law by a block bootstrap, and factors from steps that the law did not see (split conformal prediction).

use super::fitted::{FitFigure, Multipliers};
use super::law::{Numbers, of_point, spec_of};
use super::objective::{self, Errors, Weights, compare, figure};
use super::refine::{Bench, Point, Slopes};
use super::replay::{METRICS, Step, Times};
use crate::base::rng::Seed;
use crate::scenario::endpoint::EndpointSpec;
use rand_distr::{Distribution, Exp1};

/// Requests of a block, about; a step has 4 to 20 blocks.
const BLOCK: usize = 15;
/// Damping of one-step estimates.
const DAMPING: f64 = 1e-3;
/// Figures compared: name, quantile (0: mean), values needed.
const FIGURES: [(&str, f64, usize); 4] = [("mean", 0.0, 8), ("p50", 0.5, 8), ("p90", 0.9, 20), ("p99", 0.99, 100)];

/// The law at its best, and what is needed to move it a little.
pub(super) struct Around<'a> {
    pub(super) bench: &'a Bench,
    pub(super) base: &'a EndpointSpec,
    pub(super) point: &'a Point,
    pub(super) slopes: &'a Slopes,
}

impl Around<'_> {
    /// `count` alternatives. Bayesian bootstrap (Rubin 1981): exponential weights on load steps and on blocks of neighbouring requests within them,
    /// because requests of a burst are alike; each alternative is one Gauss-Newton step away (a one-step bootstrap, Davidson and MacKinnon 1999).
    pub(super) fn draws(&self, count: usize, seed: Seed) -> Vec<Numbers> {
        let spec = spec_of(self.base, &of_point(&self.point.at));
        let predicted: Vec<Vec<Times>> = self.bench.steps.iter().map(|s| s.predicted(&spec, self.bench.seed)).collect();
        (0..count)
            .map(|draw| {
                let weights = self.weights(seed.child("fit-draw", draw as u64));
                let requests = weights.requests.as_deref().unwrap_or_default();
                let errors: Errors = self.bench.steps.iter().zip(&predicted).zip(requests).map(|((step, p), w)| compare(step, p, Some(w))).collect();
                let step = self.slopes.step_of(&errors, self.point, &weights, DAMPING);
                of_point(&self.slopes.moved_by(self.point, &step))
            })
            .collect()
    }

    fn weights(&self, seed: Seed) -> Weights {
        let mut stream = seed.stream("weights");
        let mut draw = move || -> f64 { Exp1.sample(&mut stream) };
        let steps: Vec<f64> = self.bench.weights.steps.iter().map(|w| w * draw()).collect();
        let requests = self.bench.steps.iter().map(|step| {
            let n = step.measured.len();
            let blocks = (n / BLOCK).clamp(4, 20);
            let of_block: Vec<f64> = (0..blocks).map(|_| draw()).collect();
            let mean = of_block.iter().sum::<f64>() / blocks as f64;
            (0..n).map(|i| of_block[i * blocks / n] / mean.max(1e-9)).collect()
        });
        Weights { requests: Some(requests.collect()), steps }
    }

    /// Every figure that both sides have, of every step, by the law itself.
    pub(super) fn figures(&self) -> Vec<FitFigure> {
        let spec = spec_of(self.base, &of_point(&self.point.at));
        let all = self.bench.steps.iter().zip(1..);
        all.flat_map(|(step, number)| figures_of(step, &step.predicted(&spec, self.bench.seed), number, &|_| true)).collect()
    }

    /// The same with each part predicted by a law that did not see it: whole steps between the lowest and the highest, halves of those two. The
    /// outermost steps alone show a limit or an idle endpoint, and no one may expect a law that saw neither to know them.
    pub(super) fn held_out(&self, order: &[usize]) -> Vec<FitFigure> {
        let mut found = Vec::new();
        for (place, &s) in order.iter().enumerate() {
            let step = &self.bench.steps[s];
            let n = step.measured.len();
            let is_inner = order.len() >= 3 && place > 0 && place + 1 < order.len();
            let parts: Vec<std::ops::Range<usize>> = if is_inner { std::iter::once(0..n).collect() } else { vec![0..n / 2, n / 2..n] };
            for part in parts {
                let mut weights = self.bench.weights.clone();
                if is_inner {
                    weights.steps[s] = 0.0;
                } else {
                    let all = self.bench.steps.iter().map(|step| vec![1.0; step.measured.len()]);
                    let mut requests: Vec<Vec<f64>> = all.collect();
                    part.clone().for_each(|i| requests[s][i] = 0.0);
                    weights.requests = Some(requests);
                }
                let errors = self.without(s, &weights);
                let moved = self.slopes.step_of(errors.as_ref().unwrap_or(&self.point.errors), self.point, &weights, DAMPING);
                let spec = spec_of(self.base, &of_point(&self.slopes.moved_by(self.point, &moved)));
                let predicted = step.predicted(&spec, self.bench.seed);
                let number = u32::try_from(s + 1).unwrap_or(u32::MAX);
                found.extend(figures_of(step, &predicted, number, &|i| part.contains(&i)));
            }
        }
        found
    }

    /// Errors with the quantiles of step `s` under `weights`; `None` if only whole steps are left out.
    fn without(&self, s: usize, weights: &Weights) -> Option<Errors> {
        let requests = weights.requests.as_ref()?;
        let spec = spec_of(self.base, &of_point(&self.point.at));
        let step = &self.bench.steps[s];
        let mut errors = self.point.errors.clone();
        errors[s] = objective::compare(step, &step.predicted(&spec, self.bench.seed), Some(&requests[s]));
        Some(errors)
    }
}

/// Figures of the counted requests of a step that `counted` takes.
pub(super) fn figures_of(step: &Step, predicted: &[Times], number: u32, counted: &dyn Fn(usize) -> bool) -> Vec<FitFigure> {
    let mut rows = Vec::new();
    for (m, metric) in METRICS.iter().enumerate() {
        for (percentile, quantile, least) in FIGURES {
            if let Some((measured, predicted)) = figure(step, predicted, counted, (m, quantile, least)) {
                rows.push(FitFigure {
                    step: number,
                    metric: (*metric).to_owned(),
                    percentile: percentile.to_owned(),
                    measured_ms: measured / 1e6,
                    predicted_ms: predicted / 1e6,
                });
            }
        }
    }
    rows
}

/// The factors at `confidence` from held-out figures: of n relative errors, whichever way they point, the one of rank `ceil(confidence (n + 1))`
/// (Lei et al. 2018), plus 1. An error that was too high on what was held out may be too low elsewhere. Fewer figures than that rank support only
/// the level `n / (n + 1)`, which is told.
pub(super) fn multipliers(held_out: &[FitFigure], confidence: f64) -> Multipliers {
    let of = |metric: &str| {
        let mut ratios: Vec<f64> = held_out.iter().filter(|f| f.metric == metric).map(|f| 1.0 + f.error().abs()).collect();
        ratios.sort_by(f64::total_cmp);
        let n = ratios.len();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
        let rank = ((n as f64 + 1.0) * confidence - 1e-9).ceil() as usize;
        let factor = ratios.get(rank.min(n).max(1) - 1).copied().unwrap_or(1.0).max(1.0);
        (factor, n, if rank <= n { confidence } else { n as f64 / (n as f64 + 1.0) })
    };
    let [ttft, tpot, e2e] = METRICS.map(of);
    let least = ttft.1.min(e2e.1);
    Multipliers {
        ttft: ttft.0,
        tpot: tpot.0,
        e2e: e2e.0,
        confidence: ttft.2.min(e2e.2).min(if tpot.1 > 0 { tpot.2 } else { 1.0 }),
        held_out: u32::try_from(least).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(ratios: &[f64]) -> Vec<FitFigure> {
        let row = |metric: &str, ratio: f64| FitFigure {
            step: 1,
            metric: metric.to_owned(),
            percentile: "p50".to_owned(),
            measured_ms: 100.0,
            predicted_ms: 100.0 * ratio,
        };
        METRICS.iter().flat_map(|m| ratios.iter().map(move |r| row(m, *r))).collect()
    }

    /// The level of a split-conformal bound is met: of many sets of exchangeable errors, a new one lies below the factor about as often as said.
    #[test]
    fn a_new_error_stays_below_the_factor_as_often_as_promised() {
        let mut stream = Seed(3).stream("test");
        let mut draw = || -> f64 { (0.1 * Distribution::<f64>::sample(&rand_distr::StandardNormal, &mut stream)).exp() };
        let (mut kept, sets) = (0, 2000);
        for _ in 0..sets {
            let past: Vec<f64> = (0..19).map(|_| draw()).collect();
            kept += u32::from((draw() - 1.0).abs() <= multipliers(&figures(&past), 0.9).ttft - 1.0);
        }
        // Binomial with p = 0.9 (18 of 20 ranks): four standard deviations are 54.
        assert!(f64::from(kept) >= 1800.0 - 54.0, "{kept} of {sets}");
    }

    #[test]
    fn few_figures_support_a_lower_level_and_say_so() {
        let few = multipliers(&figures(&[1.1, 0.9, 1.05]), 0.9);
        assert!((few.ttft - 1.1).abs() < 1e-9 && few.confidence == 0.75 && few.held_out == 3, "{few:?}");
        assert_eq!(multipliers(&[], 0.9), Multipliers::default());
        assert_eq!(multipliers(&figures(&[1.0; 20]), 0.9).e2e, 1.0);
    }
}
