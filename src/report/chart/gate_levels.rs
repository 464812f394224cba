//! The chart of a trend: each run of each night, where the level changed, and the level of the anchor.

use super::{Axis, Chart, Ink, Key, Layer, Marker, Panel, Points, Scale, Table, Width};
use crate::gate::{Metric, Report, Round};
use crate::report::gate_content as content;
use crate::report::number::plural;

/// Panels, at most.
const PANELS: usize = 5;

/// Levels over nights; `None` without runs, or where nothing is known of change and drift.
#[must_use]
pub fn levels(report: &Report) -> Option<Chart> {
    let mut metrics: Vec<Metric> = report.changes.iter().map(|c| c.metric).chain(report.drifts.iter().map(|d| d.metric)).collect();
    let mut seen = Vec::new();
    metrics.retain(|m| {
        !seen.contains(m) && {
            seen.push(*m);
            true
        }
    });
    metrics.truncate(PANELS);
    let nights = report.rounds.iter().map(|r| r.round).max()?;
    if metrics.is_empty() || nights < 2 {
        return None;
    }
    let every = nights.div_ceil(16).max(1);
    let ticks = (1..=nights).filter(|n| (n - 1) % every == 0).map(|n| (f64::from(n), n.to_string())).collect();
    let x = Axis { label: "night, in order".to_owned(), scale: Scale::Linear, min: 0.5, max: f64::from(nights) + 0.5, ticks };
    let alarms = report.changes.iter().filter(|c| c.alarm).count() as u64 + report.drifts.iter().filter(|d| d.alarm).count() as u64;
    Some(Chart {
        id: "gate-nights",
        title: "Night by night".to_owned(),
        description: format!(
            "Every run of {}, where the level of a metric changed, and the level of the anchor. {}.",
            plural(u64::from(nights), "night", "nights"),
            if alarms == 0 { "No alarm".to_owned() } else { plural(alarms, "alarm", "alarms") }
        ),
        width: Width::Full,
        x,
        panels: metrics.into_iter().map(|m| panel(report, m, nights)).collect(),
        keys: vec![
            Key::point(Ink::First, Marker::Circle, "a run"),
            Key::line(Ink::Second, Marker::None, "first night of a new level"),
            Key::point(Ink::Miss, Marker::Cross, "does not count"),
        ],
        hits: Vec::new(),
        table: table(report),
    })
}

fn panel(report: &Report, metric: Metric, nights: u32) -> Panel {
    let points = |keep: &dyn Fn(&Round) -> bool| -> Points {
        report.rounds.iter().filter(|r| keep(r)).filter_map(|r| Some((f64::from(r.round), *r.head.get(&metric)?))).collect()
    };
    let anchor = report.drifts.iter().find(|d| d.metric == metric).map(|d| d.anchor);
    let top = points(&|_| true).iter().map(|p| p.1).chain(anchor).filter(|v| v.is_finite()).fold(0.0, f64::max);
    let unit = if metric.unit().is_empty() { String::new() } else { format!(", {}", metric.unit()) };
    let y = Axis::linear(&format!("{}{unit}", metric.label()), top * 1.1, 2);
    let mut layers = Vec::new();
    if let Some(level) = anchor {
        layers.push(Layer::Rule { y: level, text: "anchor".to_owned() });
    }
    for change in report.changes.iter().filter(|c| c.metric == metric) {
        // `at` counts from 0, nights from 1; the line stands before the first night of the new level.
        let at = f64::from(change.at.min(nights)) + 0.5;
        layers.push(Layer::Line { points: vec![(at, y.min), (at, y.max)], ink: Ink::Second, marker: Marker::None });
        layers.push(Layer::Note { at: (at, y.max * 0.82), text: content::change(metric.scale(), change.change) });
    }
    layers.push(Layer::Points { points: points(&|r| r.counted), ink: Ink::First, marker: Marker::Circle });
    layers.push(Layer::Points { points: points(&|r| !r.counted), ink: Ink::Miss, marker: Marker::Cross });
    Panel { height: 100, y, layers }
}

fn table(report: &Report) -> Table {
    let changes = content::changes(report);
    if changes.rows.is_empty() { content::drifts(report) } else { changes }
}
