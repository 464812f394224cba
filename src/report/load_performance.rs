//! `load-performance.json`: the head of a gate in the shape of k6's summary export, which `artifacts:reports:load_performance` of GitLab reads.

use crate::gate::{MetricVerdict, Report, Role};
use crate::measure::document::RunDocument;
use crate::measure::summary::Distribution;
use serde_json::{Map, Value, json};

/// The runs of the head that count. Checks are the metrics that decide; the time to first token stands as `http_req_waiting`, the whole request as
/// `http_req_duration`. A percentile is the median of the runs' own: percentiles are never averaged.
#[must_use]
pub fn gate(report: &Report, head: &[RunDocument]) -> String {
    let decided: Vec<_> = report.rows.iter().filter(|r| r.role != Role::Informational).collect();
    let passes = decided.iter().filter(|r| r.verdict.is_good()).count() as u64;
    let fails = decided.len() as u64 - passes;
    let requests: u64 = head.iter().map(|d| d.summary.accounting.due).sum();
    let seconds: f64 = head.iter().map(|d| d.summary.window.end_s - d.summary.window.start_s).sum();
    let rate = if seconds > 0.0 { requests as f64 / seconds } else { 0.0 };
    let share = if decided.is_empty() { 0.0 } else { passes as f64 / decided.len() as f64 };
    let mut metrics = Map::new();
    metrics.insert("checks".to_owned(), json!({ "passes": passes, "fails": fails, "value": share }));
    metrics.insert("http_reqs".to_owned(), json!({ "count": requests, "rate": rate }));
    for (name, of) in [("http_req_waiting", ttft as fn(&RunDocument) -> &Distribution), ("http_req_duration", e2e)] {
        metrics.insert(name.to_owned(), trend(&head.iter().map(of).collect::<Vec<_>>()));
    }
    let checks: Map<String, Value> = decided
        .iter()
        .map(|r| {
            let good = r.verdict.is_good();
            let name = r.metric.label();
            let check =
                json!({ "name": name, "path": format!("::{name}"), "id": r.metric.key(), "passes": u8::from(good), "fails": u8::from(!good) });
            (name.to_owned(), check)
        })
        .collect();
    let undecided = decided.iter().filter(|r| r.verdict == MetricVerdict::Inconclusive).count();
    let whole = json!({
        "metrics": metrics,
        "root_group": { "name": "", "path": "", "id": "plimsoll-gate", "groups": {}, "checks": checks },
        "plimsoll": { "scenario": report.scenario, "verdict": report.verdict.word(), "undecided": undecided },
    });
    format!("{whole:#}\n")
}

fn ttft(document: &RunDocument) -> &Distribution {
    &document.summary.latency.ttft
}

fn e2e(document: &RunDocument) -> &Distribution {
    &document.summary.latency.e2e
}

/// The keys of a k6 trend, milliseconds; a percentile that no run has is left out.
fn trend(runs: &[&Distribution]) -> Value {
    let mut made = Map::new();
    for (key, percentile) in [("med", "p50"), ("p(90)", "p90"), ("p(95)", "p95"), ("p(99)", "p99")] {
        let mut values: Vec<f64> = runs.iter().filter_map(|d| d.at(percentile)).collect();
        values.sort_by(f64::total_cmp);
        if let Some(value) = values.get(values.len() / 2).filter(|_| !values.is_empty()) {
            made.insert(key.to_owned(), json!(value));
        }
    }
    if let Some(max) = runs.iter().filter(|d| d.n > 0).map(|d| d.max_ms).max_by(f64::total_cmp) {
        made.insert("max".to_owned(), json!(max));
    }
    Value::Object(made)
}
