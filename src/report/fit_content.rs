//! What a fit has to say, as tables and sentences for every form of report.

use super::chart::Table;
use super::number::{plural, real, share};
use super::{FitRow, words};
use crate::sim::fit::{FitFigure, Fitted, Parameter};

/// The verdict in one sentence.
#[must_use]
pub fn sentence(fitted: &Fitted) -> String {
    let q = &fitted.quality;
    let unseen = if q.held_out.is_empty() {
        "nothing could be held out".to_owned()
    } else {
        format!("half of the figures that it did not see within {}", share(q.held_out_error))
    };
    format!(
        "Fitted to {}: half of the figures within {}, the worst {} off; {unseen}.",
        plural(u64::from(q.requests), "request", "requests"),
        share(q.median_error),
        share(q.largest_error)
    )
}

/// Each number of the model with its interval and where it comes from.
#[must_use]
pub fn parameters(fitted: &Fitted) -> Table {
    let mut table = Table::new(&["Number", "Value", "90 % interval", "Source", "How"]);
    let value = |p: &Parameter, v: f64| if p.unit.is_empty() { real(v) } else { format!("{} {}", real(v), p.unit) };
    for p in &fitted.parameters {
        let interval = if p.low < p.high { format!("{} to {}", value(p, p.low), value(p, p.high)) } else { "n/a".to_owned() };
        table.rows.push(vec![p.name.clone(), value(p, p.value), interval, words::provenance(p.source).to_owned(), p.how.clone()]);
    }
    table
}

/// Factors and condition numbers in sentences.
#[must_use]
pub fn uncertainty(fitted: &Fitted) -> Vec<String> {
    let m = &fitted.multipliers;
    let q = &fitted.quality;
    let factors = if m.held_out == 0 {
        "No figure was held out: by how much predictions may be too low is not known.".to_owned()
    } else {
        format!(
            "With probability {}, a latency is at most the predicted one times {:.3} (TTFT), {:.3} (TPOT), {:.3} (E2E): from {} of each.",
            share(m.confidence),
            m.ttft,
            m.tpot,
            m.e2e,
            plural(u64::from(m.held_out), "held-out figure", "held-out figures")
        )
    };
    let condition = format!(
        "Condition numbers {:.0} (regression on {}) and {:.0} (refined): below 30 single numbers mean something, above 1,000 only predictions do.",
        q.condition,
        plural(u64::from(q.windows), "stretch of gaps", "stretches of gaps"),
        q.refined_condition
    );
    let o = &fitted.observed;
    let range = format!(
        "Measured up to {} tokens/s, {} streaming at once and {} tokens of context on a chunk, prompts of {} and answers of {} tokens; beyond that it extrapolates.",
        real(o.tok_s),
        o.batch,
        o.context_tokens,
        o.input_tokens,
        o.output_tokens
    );
    vec![factors, condition, range]
}

/// What no measurement showed.
#[must_use]
pub fn assumed(fitted: &Fitted) -> Table {
    let mut table = Table::new(&["Assumed", "Value", "What would show it"]);
    table.rows.extend(fitted.assumed.iter().map(|a| vec![a.what.clone(), a.value.clone(), a.experiment.clone()]));
    table
}

/// Measured beside predicted, with the names of the steps.
#[must_use]
pub fn rows(figures: &[FitFigure], labels: &[String]) -> Vec<FitRow> {
    let label = |number: u32| (number as usize).checked_sub(1).and_then(|i| labels.get(i)).cloned().unwrap_or_else(|| number.to_string());
    let row = |f: &FitFigure| FitRow {
        step: label(f.step),
        metric: f.metric.clone(),
        percentile: f.percentile.clone(),
        measured_ms: f.measured_ms,
        predicted_ms: f.predicted_ms,
    };
    figures.iter().map(row).collect()
}
