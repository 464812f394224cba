//! The chart of a search: latency against throughput with error bars, one point a window, and where the capacity lies.

use super::{Axis, Chart, Ink, Key, Layer, Marker, Panel, Points, Width};
use crate::measure::knee::document::SweepDocument;
use crate::measure::plateau::Plateau;
use crate::report::capacity_content;
use crate::scenario::slo::{Metric, Slo};

/// Latency against throughput: a point a window, two standard errors to either side, the objectives as rules.
#[must_use]
pub fn capacity(found: &SweepDocument, slo: &Slo) -> Chart {
    let mut plateaus: Vec<&Plateau> = found.steps.iter().filter_map(|s| s.plateau.as_ref()).collect();
    plateaus.sort_by(|a, b| a.total_tok_s.total_cmp(&b.total_tok_s));
    let bounds: Vec<(f64, String)> = slo
        .terms()
        .filter(|t| matches!(t.metric, Metric::Ttft | Metric::E2e))
        .map(|t| (t.bound.nanos().as_millis_f64(), format!("{} {} <= {}", t.metric.label(), t.percentile, t.bound.nanos())))
        .collect();
    let mut values: Vec<f64> = bounds.iter().map(|b| b.0).collect();
    let mut layers: Vec<Layer> = bounds.into_iter().map(|(y, text)| Layer::Rule { y, text }).collect();
    let mut keys = Vec::new();
    for (name, shown, ink, marker) in [
        ("ttft p95", "TTFT p95 \u{b1} 2 standard errors", Ink::First, Marker::Circle),
        ("e2e p95", "E2E p95 \u{b1} 2 standard errors", Ink::Second, Marker::Square),
    ] {
        let mut points: Points = Vec::new();
        for p in &plateaus {
            let Some(q) = p.quantiles.iter().find(|q| q.name == name && q.value_ms > 0.0) else { continue };
            let (low, high) = ((q.value_ms - 2.0 * q.error_ms).max(0.3 * q.value_ms), q.value_ms + 2.0 * q.error_ms);
            values.extend([low, high]);
            points.push((p.total_tok_s, q.value_ms));
            layers.push(Layer::Line { points: vec![(p.total_tok_s, low), (p.total_tok_s, high)], ink, marker: Marker::None });
        }
        layers.push(Layer::Points { points, ink, marker });
        keys.push(Key::point(ink, marker, shown));
    }
    keys.push(Key::line(Ink::Bound, Marker::None, "objective"));
    let values = || values.iter().copied().filter(|v| v.is_finite() && *v > 0.0);
    let most = plateaus.iter().map(|p| p.total_tok_s).fold(0.0, f64::max);
    Chart {
        id: "capacity",
        title: "Latency against throughput, with error bars".to_owned(),
        description: format!("{} windows of steady load. {}", plateaus.len(), capacity_content::sentence(found)),
        width: Width::Full,
        panels: vec![Panel {
            height: 280,
            y: Axis::log("latency in milliseconds, logarithmic", values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max)),
            layers,
        }],
        x: Axis::linear("input plus output tokens per second of the requests sent in the window", most * 1.05, 7),
        keys,
        hits: Vec::new(),
        table: capacity_content::windows(found),
    }
}
