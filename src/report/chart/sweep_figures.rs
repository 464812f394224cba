//! The chart of a sweep: latency against throughput over load steps, with the objectives and the knee.

use super::{Axis, Chart, Ink, Key, Layer, Marker, Panel, Points, Table, Width};
use crate::measure::summary::Summary;
use crate::report::number::{count, percentile, real, share};
use crate::report::verdict::{self, Standing};
use crate::scenario::slo::{Metric, Slo};

/// Latency against throughput: one point a load step, in the order of the steps; the line bends upwards where the endpoint is full.
#[must_use]
pub fn knee(steps: &[&Summary], slo: &Slo) -> Chart {
    let best = verdict::knee(steps);
    let point = |s: &Summary, ms: Option<f64>| (s.throughput.total_tok_s, ms.unwrap_or(f64::NAN));
    let series: [(&str, Points, Ink, Marker); 3] = [
        ("TTFT p50", steps.iter().map(|s| point(s, s.latency.ttft.at("p50"))).collect(), Ink::Third, Marker::Triangle),
        ("TTFT p95", steps.iter().map(|s| point(s, s.latency.ttft.at("p95"))).collect(), Ink::First, Marker::Circle),
        ("E2E p95", steps.iter().map(|s| point(s, s.latency.e2e.at("p95"))).collect(), Ink::Second, Marker::Square),
    ];
    let bounds: Vec<(f64, String)> = slo
        .terms()
        .filter(|t| matches!(t.metric, Metric::Ttft | Metric::E2e))
        .map(|t| (t.bound.nanos().as_millis_f64(), format!("{} {} <= {}", t.metric.label(), t.percentile, t.bound.nanos())))
        .collect();
    let values = || series.iter().flat_map(|s| s.1.iter().map(|p| p.1)).filter(|v| v.is_finite() && *v > 0.0).chain(bounds.iter().map(|b| b.0));
    let x = Axis::linear(
        "input plus output tokens per second in the measured window",
        steps.iter().map(|s| s.throughput.total_tok_s).fold(0.0, f64::max) * 1.05,
        7,
    );
    let y = Axis::log("latency in milliseconds, logarithmic", values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let mut layers: Vec<Layer> = bounds.into_iter().map(|(y, text)| Layer::Rule { y, text }).collect();
    let mut keys = Vec::new();
    for (name, points, ink, marker) in &series {
        layers.push(Layer::Line { points: points.clone(), ink: *ink, marker: Marker::None });
        layers.push(Layer::Points { points: points.clone(), ink: *ink, marker: *marker });
        keys.push(Key::line(*ink, *marker, *name));
    }
    keys.push(Key::line(Ink::Bound, Marker::None, "objective"));
    if let Some(s) = best.map(|i| steps[i]) {
        let at = point(s, s.latency.ttft.at("p95").or_else(|| s.latency.ttft.at("p50")));
        layers.push(Layer::Points { points: vec![at], ink: Ink::First, marker: Marker::Ring });
        layers.push(Layer::Note { at, text: format!("knee: {}/s offered", real(s.offered_rate)) });
        keys.push(Key::point(Ink::First, Marker::Ring, "knee: the highest step that meets every objective"));
    }
    let knee_text = best.map_or_else(
        || "No step meets every objective.".to_owned(),
        |i| {
            format!(
                "The highest step that meets every objective offers {} requests/s and serves {} tok/s.",
                real(steps[i].offered_rate),
                real(steps[i].throughput.total_tok_s)
            )
        },
    );
    Chart {
        id: "knee",
        title: "Latency against throughput".to_owned(),
        description: format!("{} load steps; latency rises with throughput. {knee_text}", steps.len()),
        width: Width::Full,
        panels: vec![Panel { height: 280, y, layers }],
        x,
        keys,
        hits: Vec::new(),
        table: latencies(steps),
    }
}

/// One row a step: what was offered, what came of it, and the verdict.
#[must_use]
pub fn steps(steps: &[&Summary]) -> Table {
    let best = verdict::knee(steps);
    let head = [
        "Step",
        "offered /s",
        "served /s",
        "total tok/s",
        "output tok/s",
        "TTFT p50",
        "TTFT p95",
        "TPOT p50",
        "E2E p95",
        "errors",
        "goodput",
        "n",
        "verdict",
    ];
    let mut table = Table::new(&head);
    for (i, s) in steps.iter().enumerate() {
        let verdict = match verdict::of_run(s).standing {
            Standing::Good if best == Some(i) => "met: knee",
            Standing::Good => "met",
            Standing::NoObjectives => "no objectives",
            Standing::Missed => "not met",
            Standing::Undecided => "undecided",
            Standing::Invalid => "INVALID",
        };
        let l = &s.latency;
        table.rows.push(vec![
            (i + 1).to_string(),
            real(s.offered_rate),
            real(s.served_rate),
            real(s.throughput.total_tok_s),
            real(s.throughput.output_tok_s),
            percentile(&l.ttft, "p50"),
            percentile(&l.ttft, "p95"),
            percentile(&l.tpot, "p50"),
            percentile(&l.e2e, "p95"),
            verdict::error_share(s).map_or_else(|| "n/a".to_owned(), share),
            share(s.goodput.share),
            count(s.accounting.due),
            verdict.to_owned(),
        ]);
    }
    table
}

/// Percentiles by step.
fn latencies(steps: &[&Summary]) -> Table {
    let mut table = Table::new(&["Step", "n", "TTFT p50", "TTFT p95", "TTFT p99", "TPOT p50", "TPOT p95", "E2E p50", "E2E p95", "E2E p99"]);
    for (i, s) in steps.iter().enumerate() {
        let l = &s.latency;
        let mut row = vec![(i + 1).to_string(), count(s.accounting.due)];
        row.extend(["p50", "p95", "p99"].map(|p| percentile(&l.ttft, p)));
        row.extend(["p50", "p95"].map(|p| percentile(&l.tpot, p)));
        row.extend(["p50", "p95", "p99"].map(|p| percentile(&l.e2e, p)));
        table.rows.push(row);
    }
    table
}
