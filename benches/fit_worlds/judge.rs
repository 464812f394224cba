//! A fit on trial: what it predicts for loads and lengths that it never saw, beside what was measured.

use plimsoll::sim::fit::{FitFigure, Fitted};

/// Errors of one world: each the mean over its held-out loads of the absolute relative error.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Errors {
    /// Largest of mean, p90, p99.
    pub e2e: f64,
    /// Largest of mean, p90, p99.
    pub tpot: f64,
    pub ttft_mean: f64,
    pub ttft_p99: f64,
}

/// One held-out load.
pub(crate) struct Trial {
    /// In words: `70 %, other lengths`.
    pub name: String,
    pub rows: Vec<FitFigure>,
}

fn mean_error(trials: &[Trial], metric: &str, percentile: &str) -> f64 {
    let errors: Vec<f64> =
        trials.iter().flat_map(|t| &t.rows).filter(|r| r.metric == metric && r.percentile == percentile).map(|r| r.error().abs()).collect();
    errors.iter().sum::<f64>() / errors.len().max(1) as f64
}

/// The errors of a world over its trials.
pub(crate) fn errors(trials: &[Trial]) -> Errors {
    let worst = |metric| ["mean", "p90", "p99"].iter().map(|p| mean_error(trials, metric, p)).fold(0.0, f64::max);
    Errors { e2e: worst("E2E"), tpot: worst("TPOT"), ttft_mean: mean_error(trials, "TTFT", "mean"), ttft_p99: mean_error(trials, "TTFT", "p99") }
}

/// How many measured quantiles lie at or below the predicted one times the factor of the fit, and of how many.
pub(crate) fn covered(fitted: &Fitted, trials: &[Trial]) -> (usize, usize) {
    let factor = |metric: &str| match metric {
        "TTFT" => fitted.multipliers.ttft,
        "TPOT" => fitted.multipliers.tpot,
        _ => fitted.multipliers.e2e,
    };
    let rows: Vec<&FitFigure> = trials.iter().flat_map(|t| &t.rows).filter(|r| r.percentile != "mean").collect();
    let kept = rows.iter().filter(|r| r.measured_ms <= r.predicted_ms * factor(&r.metric) * (1.0 + 1e-9)).count();
    (kept, rows.len())
}

/// The middle of some values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    if values.is_empty() { f64::NAN } else { values[values.len() / 2] }
}
