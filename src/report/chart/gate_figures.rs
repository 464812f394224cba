//! The charts of a gate: intervals beside their margins, every round, the looks in turn, percentiles of both sides and their ratio.

use super::{Axis, Chart, Ink, Key, Layer, Marker, Panel, Points, Scale, Table, Width};
use crate::gate::{self, MetricVerdict, Order, Report, Role, Row};
use crate::measure::document::RunDocument;
use crate::measure::summary::Distribution;
use crate::report::gate_content as content;
use crate::report::number::{millis, plural};

/// Points of one percentile curve, at most.
const DRAWN: usize = 48;
/// Panels of one chart, at most.
const PANELS: usize = 5;
/// Quantiles of the shift function.
const QUANTILES: [f64; 12] = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99];

/// A difference on the scale of comparison as per cent worse, or as percentage points.
fn percent(scale: gate::Scale, d: f64) -> f64 {
    match scale {
        gate::Scale::LogRatio => 100.0 * d.exp_m1(),
        gate::Scale::Difference => 100.0 * d,
    }
}

/// What the charts show of a report: metrics with an estimate.
fn shown(report: &Report) -> Vec<&Row> {
    report.rows.iter().filter(|r| r.estimate.is_some()).collect()
}

/// Those of them that decide.
fn deciding(report: &Report) -> Vec<&Row> {
    shown(report).into_iter().filter(|r| r.role != Role::Informational).collect()
}

/// An axis without labels, for rows that carry their names.
fn rows_axis(label: &str, rows: usize) -> Axis {
    Axis { label: label.to_owned(), scale: Scale::Linear, min: 0.0, max: rows.max(1) as f64, ticks: Vec::new() }
}

/// Each metric with its interval and its margin; `None` without estimates.
#[must_use]
pub fn forest(report: &Report) -> Option<Chart> {
    let rows = shown(report);
    if rows.is_empty() {
        return None;
    }
    let ends = |r: &Row| {
        [r.low, r.high, r.estimate].into_iter().flatten().map(|d| percent(r.scale, d).abs()).chain([100.0 * content::allowed(r)]).collect::<Vec<_>>()
    };
    let reach = rows.iter().copied().flat_map(ends).filter(|v| v.is_finite()).fold(1.0, f64::max);
    let x = Axis::around("per cent worse (percentage points for goodput and error rate); left of 0 is better", reach * 1.02, 5);
    let (mut bands, mut layers, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut good, mut bad, mut open) = (Vec::new(), Vec::new(), Vec::new());
    for (i, row) in rows.iter().enumerate() {
        let (base, y) = ((rows.len() - 1 - i) as f64, (rows.len() - 1 - i) as f64 + 0.3);
        let at = |d: f64| percent(row.scale, d).clamp(x.min, x.max);
        let margin = 100.0 * content::allowed(row);
        if row.role != Role::Informational {
            bands.push([(-margin).max(x.min), margin.min(x.max), base + 0.08, base + 0.52]);
        }
        if let (Some(low), Some(high)) = (row.low, row.high) {
            layers.push(Layer::Line { points: vec![(at(low), y), (at(high), y)], ink: Ink::First, marker: Marker::None });
        }
        let point = (at(row.estimate.unwrap_or(f64::NAN)), y);
        match row.verdict {
            MetricVerdict::Fail => bad.push(point),
            v if v.is_good() => good.push(point),
            _ => open.push(point),
        }
        let verdict = if row.role == Role::Informational { "informational" } else { row.verdict.word() };
        notes.push(Layer::Note { at: (x.min, base + 0.5), text: format!("{}: {} \u{b7} {verdict}", row.metric.label(), content::change_of(row)) });
    }
    let mut all = vec![
        Layer::Boxes { boxes: bands, ink: Ink::Shade },
        Layer::Line { points: vec![(0.0, 0.0), (0.0, rows.len() as f64)], ink: Ink::Axis, marker: Marker::None },
    ];
    all.append(&mut layers);
    all.extend([
        Layer::Points { points: good, ink: Ink::Third, marker: Marker::Circle },
        Layer::Points { points: open, ink: Ink::Second, marker: Marker::Ring },
        Layer::Points { points: bad, ink: Ink::Miss, marker: Marker::Cross },
    ]);
    all.append(&mut notes);
    let worst = rows.iter().filter(|r| r.verdict == MetricVerdict::Fail).map(|r| r.metric.label()).collect::<Vec<_>>();
    let told = if worst.is_empty() {
        "No metric is shown to be worse than its margin.".to_owned()
    } else {
        format!("Worse than its margin: {}.", worst.join(", "))
    };
    Some(Chart {
        id: "gate-forest",
        title: "Every metric beside its margin".to_owned(),
        description: format!("How much worse the head is than the base, with 95% intervals; the band is what the margin allows. {told}"),
        width: Width::Full,
        x,
        panels: vec![Panel { height: u32::try_from(rows.len()).unwrap_or(8) * 46, y: rows_axis("metrics", rows.len()), layers: all }],
        keys: vec![
            Key::area(Ink::Shade, "within the margin"),
            Key::line(Ink::First, Marker::None, "95% interval"),
            Key::point(Ink::Third, Marker::Circle, "within, or not deciding"),
            Key::point(Ink::Second, Marker::Ring, "not decided"),
            Key::point(Ink::Miss, Marker::Cross, "worse than the margin"),
        ],
        hits: Vec::new(),
        table: content::rows(report),
    })
}

/// Every round as a dot, by the side that ran first; `None` without rounds.
#[must_use]
pub fn rounds(report: &Report) -> Option<Chart> {
    let rows: Vec<&Row> = deciding(report).into_iter().take(PANELS).collect();
    let places: Vec<(f64, &gate::Round)> = report.rounds.iter().enumerate().map(|(i, r)| (i as f64 + 1.0, r)).collect();
    if rows.is_empty() || !places.iter().any(|(_, r)| !r.d.is_empty()) {
        return None;
    }
    let n = places.len() as f64;
    let every = (n / 20.0).ceil().max(1.0);
    let ticks = places.iter().filter(|(at, _)| (at - 1.0) % every < 0.5).map(|(at, r)| (*at, r.round.to_string())).collect();
    let x = Axis { label: "round, in the order of the runs".to_owned(), scale: Scale::Linear, min: 0.5, max: n + 0.5, ticks };
    let panels = rows.iter().map(|row| round_panel(row, &places)).collect();
    Some(Chart {
        id: "gate-rounds",
        title: "Every round".to_owned(),
        description: format!(
            "How much worse the head was in each of {}, by metric, and the margin. Dots that lean with the side that ran first would show that order matters.",
            plural(places.len() as u64, "round", "rounds")
        ),
        width: Width::Full,
        x,
        panels,
        keys: vec![
            Key::point(Ink::First, Marker::Circle, "base ran first"),
            Key::point(Ink::Second, Marker::Square, "head ran first"),
            Key::point(Ink::Third, Marker::Triangle, "order not known"),
            Key::point(Ink::Miss, Marker::Cross, "does not count"),
        ],
        hits: Vec::new(),
        table: content::rounds(report),
    })
}

fn round_panel(row: &Row, places: &[(f64, &gate::Round)]) -> Panel {
    let of = |keep: &dyn Fn(&gate::Round) -> bool| -> Points {
        places.iter().filter(|(_, r)| keep(r)).filter_map(|(at, r)| Some((*at, percent(row.scale, *r.d.get(&row.metric)?)))).collect()
    };
    let margin = 100.0 * content::allowed(row);
    let reach = of(&|_| true).iter().map(|p| p.1.abs()).filter(|v| v.is_finite()).fold(margin, f64::max);
    let unit = if row.scale == gate::Scale::LogRatio { "per cent worse" } else { "points worse" };
    let y = Axis::around(&format!("{}, {unit}", row.metric.label()), reach * 1.1, 1);
    let (left, right) = (0.5, places.len() as f64 + 0.5);
    let layers = vec![
        Layer::Line { points: vec![(left, 0.0), (right, 0.0)], ink: Ink::Axis, marker: Marker::None },
        Layer::Rule { y: margin, text: "margin".to_owned() },
        Layer::Points { points: of(&|r| r.counted && r.order == Order::BaseFirst), ink: Ink::First, marker: Marker::Circle },
        Layer::Points { points: of(&|r| r.counted && r.order == Order::HeadFirst), ink: Ink::Second, marker: Marker::Square },
        Layer::Points { points: of(&|r| r.counted && r.order == Order::Unknown), ink: Ink::Third, marker: Marker::Triangle },
        Layer::Points { points: of(&|r| !r.counted), ink: Ink::Miss, marker: Marker::Cross },
    ];
    Panel { height: 84, y, layers }
}

/// The bounds look by look, until they decide; `None` without looks.
#[must_use]
pub fn looks(report: &Report) -> Option<Chart> {
    let (first, last) = (report.looks.first()?, report.looks.last()?);
    let left = f64::from(first.pairs) - 1.0;
    let right = report.looks_planned.iter().copied().max().unwrap_or(last.pairs).max(last.pairs);
    let ticks = report.looks_planned.iter().map(|n| (f64::from(*n), n.to_string())).collect();
    let x = Axis { label: "pairs of runs; a look at each label".to_owned(), scale: Scale::Linear, min: left, max: f64::from(right) + 0.5, ticks };
    let mut table = Table::new(&["Look at", "Metric", "Worse by", "At least", "At most", "Margin", "Verdict of the look"]);
    let rows: Vec<&Row> = deciding(report).into_iter().filter(|r| first.rows.iter().any(|l| l.metric == r.metric)).take(PANELS).collect();
    if rows.is_empty() {
        return None;
    }
    for look in &report.looks {
        for row in &look.rows {
            let said = |d: f64| content::change(row.metric.scale(), percent(row.metric.scale(), d) / 100.0);
            table.rows.push(vec![
                format!("{} pairs", look.pairs),
                row.metric.label().to_owned(),
                said(row.estimate),
                said(row.low),
                said(row.high),
                said(row.margin_d),
                look.verdict.word().to_owned(),
            ]);
        }
    }
    let panels = rows.iter().map(|row| look_panel(report, row, (left, f64::from(right) + 0.5))).collect();
    Some(Chart {
        id: "gate-looks",
        title: "The looks in turn".to_owned(),
        description: format!(
            "Estimate and bounds of each metric at each look. PASS when every upper bound is below its margin, FAIL when a lower bound is above 0 and the estimate above the margin. The gate ended after {} pairs: {}.",
            last.pairs,
            last.verdict.word()
        ),
        width: Width::Full,
        x,
        panels,
        keys: vec![
            Key::line(Ink::First, Marker::Circle, "estimate"),
            Key::line(Ink::Third, Marker::Triangle, "upper bound, for PASS"),
            Key::line(Ink::Second, Marker::Square, "lower bound, for FAIL"),
        ],
        hits: Vec::new(),
        table,
    })
}

fn look_panel(report: &Report, row: &Row, span: (f64, f64)) -> Panel {
    let of = |pick: fn(&gate::LookRow) -> f64| -> Points {
        let at = |look: &gate::Look| look.rows.iter().find(|l| l.metric == row.metric).map(|l| (f64::from(look.pairs), percent(row.scale, pick(l))));
        report.looks.iter().filter_map(at).collect()
    };
    let (estimate, low, high) = (of(|l| l.estimate), of(|l| l.low), of(|l| l.high));
    let margin = 100.0 * content::allowed(row);
    // A bound from a few pairs may lie far out; it is cut where it would hide everything else.
    let far = 4.0 * estimate.iter().map(|p| p.1.abs()).fold(margin, f64::max);
    let reach = [&estimate, &low, &high].into_iter().flatten().map(|p| p.1.abs()).filter(|v| v.is_finite()).fold(margin, f64::max).min(far);
    let y = Axis::around(row.metric.label(), reach * 1.05, 1);
    let within = |points: Points| -> Points { points.into_iter().map(|(at, v)| (at, v.clamp(y.min, y.max))).collect() };
    let layers = vec![
        Layer::Line { points: vec![(span.0, 0.0), (span.1, 0.0)], ink: Ink::Axis, marker: Marker::None },
        Layer::Rule { y: margin, text: "margin".to_owned() },
        Layer::Line { points: within(high), ink: Ink::Third, marker: Marker::Triangle },
        Layer::Line { points: within(low), ink: Ink::Second, marker: Marker::Square },
        Layer::Line { points: within(estimate), ink: Ink::First, marker: Marker::Circle },
    ];
    Panel { height: 84, y, layers }
}

/// The latency of a document.
type Pick = fn(&RunDocument) -> &Distribution;

/// Percentile curves of every run of both sides, one chart a latency; none where a side has no runs.
#[must_use]
pub fn overlays(base: &[RunDocument], head: &[RunDocument]) -> Vec<Chart> {
    let kinds: [(&'static str, &str, Pick); 2] =
        [("gate-ttft", "TTFT", |d| &d.summary.latency.ttft), ("gate-e2e", "E2E", |d| &d.summary.latency.e2e)];
    kinds.into_iter().filter_map(|(id, name, pick)| overlay(id, name, base, head, pick)).collect()
}

fn overlay(id: &'static str, name: &str, base: &[RunDocument], head: &[RunDocument], pick: Pick) -> Option<Chart> {
    let least = base.iter().chain(head).map(|d| pick(d).n).min()?;
    if least < 20 || base.is_empty() || head.is_empty() {
        return None;
    }
    let x = Axis::nines("percentile of requests", 1.0 - 10.0 / least.max(20) as f64);
    let curve = |d: &RunDocument| -> Points {
        let all: Points = pick(d).curve.iter().filter(|p| p.q <= x.max && p.ms > 0.0).map(|p| (p.q, p.ms)).collect();
        let every = all.len().div_ceil(DRAWN).max(1);
        all.iter().enumerate().filter(|(i, _)| i % every == 0 || i + 1 == all.len()).map(|(_, p)| *p).collect()
    };
    let (b, h): (Vec<Points>, Vec<Points>) = (base.iter().map(curve).collect(), head.iter().map(curve).collect());
    let values = || b.iter().chain(&h).flatten().map(|p| p.1);
    let y = Axis::log("milliseconds, logarithmic", values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let line = |ink| move |points| Layer::Line { points, ink, marker: Marker::None };
    let layers = b.into_iter().map(line(Ink::First)).chain(h.into_iter().map(line(Ink::Second))).collect();
    let mut table = Table::new(&["Percentile", "Base, median of the runs", "Head, median of the runs"]);
    for percentile in ["p50", "p90", "p95", "p99"] {
        let (b, h) = (middle(base, pick, percentile), middle(head, pick, percentile));
        let said = |v: Option<f64>| v.map_or_else(|| "n/a".to_owned(), millis);
        table.rows.push(vec![percentile.to_owned(), said(b), said(h)]);
    }
    Some(Chart {
        id,
        title: format!("{name} by percentile, every run"),
        description: format!(
            "One curve a run: {} of the base and {} of the head. Where the curves of a side differ among themselves, that is the noise.",
            base.len(),
            head.len()
        ),
        width: Width::Half,
        x,
        panels: vec![Panel { height: 240, y, layers }],
        keys: vec![Key::line(Ink::First, Marker::None, "base"), Key::line(Ink::Second, Marker::None, "head")],
        hits: Vec::new(),
        table,
    })
}

fn middle(runs: &[RunDocument], pick: Pick, percentile: &str) -> Option<f64> {
    median(runs.iter().filter_map(|d| pick(d).at(percentile)).collect())
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The ratio of head to base by percentile, pair by pair; `None` unless both sides have as many runs.
#[must_use]
pub fn shift(base: &[RunDocument], head: &[RunDocument]) -> Option<Chart> {
    if base.is_empty() || base.len() != head.len() {
        return None;
    }
    let least = base.iter().chain(head).map(|d| d.summary.latency.e2e.n.min(d.summary.latency.ttft.n)).min()?;
    let mut table =
        Table::new(&["Percentile", "TTFT of the head, middle pair", "smallest", "largest", "E2E of the head, middle pair", "smallest", "largest"]);
    let mut lines: [Points; 6] = Default::default();
    for q in QUANTILES.into_iter().filter(|q| (1.0 - q) * least as f64 >= 10.0) {
        let mut cells = vec![format!("p{:.0}", q * 100.0)];
        for (part, pick) in [(0, (|d| &d.summary.latency.ttft) as Pick), (3, |d| &d.summary.latency.e2e)] {
            let ratios: Vec<f64> = base.iter().zip(head).filter_map(|(b, h)| Some(100.0 * (at(pick(h), q)? / at(pick(b), q)? - 1.0))).collect();
            let low = ratios.iter().copied().reduce(f64::min)?;
            let high = ratios.iter().copied().reduce(f64::max)?;
            for (i, value) in [median(ratios)?, low, high].into_iter().enumerate() {
                lines[part + i].push((q, value));
                cells.push(content::change(gate::Scale::LogRatio, value / 100.0));
            }
        }
        table.rows.push(cells);
    }
    let reach = lines.iter().flatten().map(|p| p.1.abs()).fold(1.0, f64::max);
    let x = Axis::nines("percentile of requests", 0.99);
    let (left, right) = (x.min, x.max);
    let panel = |label: &str, part: usize| {
        let mut layers = vec![Layer::Line { points: vec![(left, 0.0), (right, 0.0)], ink: Ink::Axis, marker: Marker::None }];
        for (i, ink, marker) in [(1, Ink::Fifth, Marker::None), (2, Ink::Fifth, Marker::None), (0, Ink::First, Marker::Circle)] {
            layers.push(Layer::Line { points: lines[part + i].clone(), ink, marker });
        }
        Panel { height: 130, y: Axis::around(label, reach * 1.05, 2), layers }
    };
    let panels = vec![panel("TTFT of the head against the base, per cent", 0), panel("E2E of the head against the base, per cent", 3)];
    (!table.rows.is_empty()).then(|| Chart {
        id: "gate-shift",
        title: "Where in the distribution the head differs".to_owned(),
        description: "Change of the head against the base at each percentile, pair by pair: the middle pair and the range of all pairs. A shift of the whole curve is a slower server; one of the right end alone is a queue.".to_owned(),
        width: Width::Full,
        x,
        panels,
        keys: vec![Key::line(Ink::First, Marker::Circle, "middle pair"), Key::line(Ink::Fifth, Marker::None, "smallest and largest pair")],
        hits: Vec::new(),
        table,
    })
}

/// The value at a quantile: that of the first point of the curve that reaches it.
fn at(distribution: &Distribution, q: f64) -> Option<f64> {
    distribution.curve.iter().find(|p| p.q >= q).map(|p| p.ms).filter(|ms| *ms > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_become_per_cent_or_points() {
        assert!((percent(gate::Scale::LogRatio, 0.1_f64.ln_1p()) - 10.0).abs() < 1e-9);
        assert!((percent(gate::Scale::Difference, 0.005) - 0.5).abs() < 1e-9);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(Vec::new()), None);
    }
}
