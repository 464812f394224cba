//! The charts of one run: percentile curve, time series, distributions of latency and of token lengths.

use super::{Axis, Chart, Hit, Ink, Key, Layer, Marker, Panel, Points, Table, Width};
use crate::measure::summary::{Bin, Distribution, Series, SeriesPoint, Summary};
use crate::report::number::{count, millis, percentile, real, share, span};
use crate::scenario::slo::{Metric, Slo};

/// Points drawn in a time series, at most; longer runs join neighbours.
const DRAWN: usize = 240;
/// Rows of the table below a time series, at most.
const ROWS: usize = 60;

/// TTFT and E2E by percentile on an axis of nines; where fewer than ten values lie beyond a percentile the ground is hatched and the curve not to be trusted.
#[must_use]
pub fn percentiles(summary: &Summary, slo: &Slo) -> Chart {
    let (ttft, e2e) = (&summary.latency.ttft, &summary.latency.e2e);
    let n = [ttft.n, e2e.n].into_iter().filter(|n| *n > 0).min().unwrap_or(0);
    let reach = if n > 10 { 1.0 - 10.0 / n as f64 } else { 0.0 };
    let x = Axis::nines("percentile of requests", 1.0 - 1.0 / (n.max(10) as f64));
    let curve = |d: &Distribution| d.curve.iter().filter(|p| p.q <= x.max && p.ms > 0.0).map(|p| (p.q, p.ms)).collect::<Vec<_>>();
    let (a, b) = (curve(ttft), curve(e2e));
    let bounds: Vec<(f64, f64, String)> = slo
        .terms()
        .filter(|t| matches!(t.metric, Metric::Ttft | Metric::E2e) && t.percentile.quantile() <= x.max)
        .map(|t| (t.percentile.quantile(), t.bound.nanos().as_millis_f64(), format!("{} {} <= {}", t.metric.label(), t.percentile, t.bound.nanos())))
        .collect();
    let values = || a.iter().chain(&b).map(|p| p.1).chain(bounds.iter().map(|b| b.1));
    let y = Axis::log("milliseconds from the intended instant, logarithmic", values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let mut layers = vec![
        Layer::Boxes { boxes: vec![[reach.max(0.0), x.max, y.min, y.max]], ink: Ink::Faint },
        Layer::Line { points: a, ink: Ink::First, marker: Marker::Circle },
        Layer::Line { points: b, ink: Ink::Second, marker: Marker::Square },
    ];
    let mut keys = vec![
        Key::line(Ink::First, Marker::Circle, format!("TTFT (n = {})", count(ttft.n))),
        Key::line(Ink::Second, Marker::Square, format!("E2E (n = {})", count(e2e.n))),
        Key::area(Ink::Faint, "hatched: fewer than 10 values beyond, not reported"),
    ];
    if !bounds.is_empty() {
        layers.push(Layer::Points { points: bounds.iter().map(|b| (b.0, b.1)).collect(), ink: Ink::Bound, marker: Marker::Ring });
        for (q, ms, text) in &bounds {
            layers.push(Layer::Note { at: (*q, *ms), text: text.clone() });
        }
        keys.push(Key::point(Ink::Bound, Marker::Ring, "objective"));
    }
    let mut table = Table::new(&["Latency", "n", "min", "mean", "p50", "p90", "p95", "p99", "p99.9", "max"]);
    let l = &summary.latency;
    for (name, d) in [
        ("TTFT", &l.ttft),
        ("TTFT, from the send instant", &l.ttft_service),
        ("TTFO (first visible text)", &l.ttfo),
        ("TPOT", &l.tpot),
        ("ITL (pooled over tokens)", &l.itl),
        ("ICL (gap between chunks)", &l.icl),
        ("E2E", &l.e2e),
        ("E2E, from the send instant", &l.e2e_service),
        ("client lateness (sent - intended)", &l.lateness),
    ] {
        let some = |ms: f64| if d.n == 0 { "n/a".to_owned() } else { millis(ms) };
        let mut row = vec![name.to_owned(), count(d.n), some(d.min_ms), some(d.mean_ms)];
        row.extend(["p50", "p90", "p95", "p99", "p99.9"].map(|p| percentile(d, p)));
        row.push(some(d.max_ms));
        table.rows.push(row);
    }
    Chart {
        id: "percentiles",
        title: "Latency by percentile".to_owned(),
        description: format!(
            "Time to first token and end-to-end latency by percentile on an axis of nines. TTFT p50 {}, p95 {}, p99 {}; E2E p50 {}, p95 {}, p99 {}.",
            percentile(ttft, "p50"),
            percentile(ttft, "p95"),
            percentile(ttft, "p99"),
            percentile(e2e, "p50"),
            percentile(e2e, "p95"),
            percentile(e2e, "p99")
        ),
        width: Width::Full,
        panels: vec![Panel { height: 300, y, layers }],
        x,
        keys,
        hits: Vec::new(),
        table,
    }
}

/// Intervals joined `k` at a time: rates and counts in flight as means, TTFT as the largest (percentiles are never averaged).
fn joined(series: &Series, most: usize) -> (f64, Vec<SeriesPoint>) {
    let k = series.points.len().div_ceil(most).max(1);
    let largest = |values: &mut dyn Iterator<Item = Option<f64>>| values.flatten().reduce(f64::max);
    let points = series.points.chunks(k).map(|part| {
        let n = part.len() as f64;
        let mean = |f: fn(&SeriesPoint) -> f64| part.iter().map(f).sum::<f64>() / n;
        SeriesPoint {
            offered: mean(|p| p.offered),
            sent: mean(|p| p.sent),
            completed: mean(|p| p.completed),
            errors: mean(|p| p.errors),
            in_flight: part.iter().map(|p| p.in_flight).max().unwrap_or(0),
            output_tok_s: mean(|p| p.output_tok_s),
            input_tok_s: mean(|p| p.input_tok_s),
            ttft_p50_ms: largest(&mut part.iter().map(|p| p.ttft_p50_ms)),
            ttft_p95_ms: largest(&mut part.iter().map(|p| p.ttft_p95_ms)),
        }
    });
    (series.step_s * k as f64, points.collect())
}

/// Rates, requests in flight, tokens, TTFT and errors over time, one above the other, with the measured window shaded.
#[must_use]
pub fn series(summary: &Summary, slo: &Slo) -> Chart {
    let (step, points) = joined(&summary.series, DRAWN);
    let end = (step * points.len() as f64).max(summary.window.end_s);
    let x = Axis::time(end);
    let line = |f: &dyn Fn(&SeriesPoint) -> f64| points.iter().enumerate().map(|(i, p)| ((i as f64 + 0.5) * step, f(p))).collect::<Vec<_>>();
    let panel = |label: &str, lines: Vec<(Points, Ink, Marker)>, rule: Option<(f64, String)>| {
        let top = lines.iter().flat_map(|l| l.0.iter().map(|p| p.1)).filter(|v| v.is_finite()).chain(rule.as_ref().map(|r| r.0)).fold(0.0, f64::max);
        let y = Axis::linear(label, top * 1.02, 3);
        let window = [summary.window.start_s, summary.window.end_s, y.min, y.max];
        let mut layers = vec![Layer::Boxes { boxes: vec![window], ink: Ink::Shade }];
        layers.extend(lines.into_iter().map(|(points, ink, marker)| Layer::Line { points, ink, marker }));
        layers.extend(rule.map(|(y, text)| Layer::Rule { y, text }));
        Panel { height: 96, y, layers }
    };
    let ttft_rule = slo
        .terms()
        .filter(|t| t.metric == Metric::Ttft)
        .last()
        .map(|t| (t.bound.nanos().as_millis_f64(), format!("TTFT {} <= {}", t.percentile, t.bound.nanos())));
    let gap = |v: Option<f64>| v.unwrap_or(f64::NAN);
    let panels = vec![
        panel(
            "requests per second: offered (solid, circles), served (dashed, squares)",
            vec![(line(&|p| p.offered), Ink::First, Marker::Circle), (line(&|p| p.completed), Ink::Second, Marker::Square)],
            None,
        ),
        panel("requests in flight", vec![(line(&|p| f64::from(p.in_flight)), Ink::First, Marker::None)], None),
        panel(
            "tokens per second: output (solid, circles), input (dashed, squares)",
            vec![(line(&|p| p.output_tok_s), Ink::First, Marker::Circle), (line(&|p| p.input_tok_s), Ink::Second, Marker::Square)],
            None,
        ),
        panel(
            "TTFT in milliseconds: p50 (solid, circles), p95 (dashed, squares; absent below 20 values an interval)",
            vec![(line(&|p| gap(p.ttft_p50_ms)), Ink::First, Marker::Circle), (line(&|p| gap(p.ttft_p95_ms)), Ink::Second, Marker::Square)],
            ttft_rule,
        ),
        panel("errors per second", vec![(line(&|p| p.errors), Ink::Miss, Marker::None)], None),
    ];
    Chart {
        id: "series",
        title: "Over time".to_owned(),
        description: format!(
            "Five panels over {} of load: request rates, requests in flight, tokens per second, time to first token, errors. The measured window from {} to {} is shaded. Offered {}/s, served {}/s, at most {} in flight.",
            span(end),
            span(summary.window.start_s),
            span(summary.window.end_s),
            real(summary.offered_rate),
            real(summary.served_rate),
            summary.in_flight_max
        ),
        width: Width::Full,
        hits: points.iter().enumerate().map(|(i, p)| hit(i, step, p)).collect(),
        x,
        panels,
        keys: vec![Key::area(Ink::Shade, "measured window"), Key::line(Ink::Bound, Marker::None, "objective")],
        table: series_table(&summary.series),
    }
}

fn hit(i: usize, step: f64, p: &SeriesPoint) -> Hit {
    let ms = |v: Option<f64>| v.map_or_else(|| "n/a".to_owned(), millis);
    let from = i as f64 * step;
    let text = format!(
        "{}: offered {}/s, served {}/s, errors {}/s\nin flight {}\noutput {} tok/s, input {} tok/s\nTTFT p50 {}, p95 {}",
        span(from),
        real(p.offered),
        real(p.completed),
        real(p.errors),
        p.in_flight,
        real(p.output_tok_s),
        real(p.input_tok_s),
        ms(p.ttft_p50_ms),
        ms(p.ttft_p95_ms)
    );
    Hit { from, to: from + step, text }
}

fn series_table(series: &Series) -> Table {
    let (step, points) = joined(series, ROWS);
    let mut table = Table::new(&[
        "From",
        "offered /s",
        "sent /s",
        "served /s",
        "errors /s",
        "in flight, most",
        "output tok/s",
        "input tok/s",
        "TTFT p50, largest",
        "TTFT p95, largest",
    ]);
    let ms = |v: Option<f64>| v.map_or_else(|| "n/a".to_owned(), millis);
    for (i, p) in points.iter().enumerate() {
        let mut row = vec![span(i as f64 * step)];
        row.extend([p.offered, p.sent, p.completed, p.errors].map(real));
        row.push(count(u64::from(p.in_flight)));
        row.extend([p.output_tok_s, p.input_tok_s].map(real));
        row.extend([p.ttft_p50_ms, p.ttft_p95_ms].map(ms));
        table.rows.push(row);
    }
    table
}

/// A bin with both edges.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Column {
    lower: f64,
    upper: f64,
    count: u64,
}

/// Bins with their lower edges: the bin before, or (where bins are left out, and at the start) the narrowest ratio seen. Joined until at most `most` remain.
fn columns(bins: &[Bin], most: usize) -> Vec<Column> {
    let ratio = bins.windows(2).filter(|w| w[0].upper > 0.0).map(|w| w[1].upper / w[0].upper).filter(|r| *r > 1.0).fold(f64::INFINITY, f64::min);
    let ratio = if ratio.is_finite() { ratio } else { 1.1 };
    let mut before = 0.0_f64;
    let mut all: Vec<Column> = Vec::with_capacity(bins.len());
    for bin in bins.iter().filter(|b| b.upper.is_finite()) {
        if bin.count > 0 {
            all.push(Column { lower: (bin.upper / ratio).max(before), upper: bin.upper, count: bin.count });
        }
        before = bin.upper;
    }
    let k = all.len().div_ceil(most.max(1)).max(1);
    all.chunks(k).map(|c| Column { lower: c[0].lower, upper: c[c.len() - 1].upper, count: c.iter().map(|c| c.count).sum() }).collect()
}

/// How one latency is distributed, in shares of all values per bin, on a logarithmic axis.
#[must_use]
pub fn latency(id: &'static str, name: &str, what: &str, d: &Distribution) -> Chart {
    let columns = columns(&d.bins, 70);
    let total = columns.iter().map(|c| c.count).sum::<u64>().max(1) as f64;
    let x = Axis::log(
        &format!("{name} in milliseconds, logarithmic"),
        columns.iter().map(|c| c.lower).filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min),
        columns.iter().map(|c| c.upper).fold(0.0, f64::max),
    );
    let y = Axis::linear("share of values in %", columns.iter().map(|c| c.count as f64 / total * 100.0).fold(0.0, f64::max), 4);
    let boxes = columns.iter().map(|c| [c.lower.max(x.min), c.upper, 0.0, c.count as f64 / total * 100.0]).collect();
    let mut layers = vec![Layer::Boxes { boxes, ink: Ink::FirstArea }];
    for (p, ink) in [("p50", Ink::First), ("p95", Ink::Second)] {
        if let Some(ms) = d.at(p) {
            layers.push(Layer::Line { points: vec![(ms, y.min), (ms, y.max)], ink, marker: Marker::None });
        }
    }
    let mut table = Table::new(&["From", "to", "values", "share"]);
    table.rows.extend(columns.iter().map(|c| vec![millis(c.lower), millis(c.upper), count(c.count), share(c.count as f64 / total)]));
    let hits = columns
        .iter()
        .map(|c| Hit {
            from: c.lower.max(x.min),
            to: c.upper,
            text: format!("{} to {}: {} values, {}", millis(c.lower), millis(c.upper), count(c.count), share(c.count as f64 / total)),
        })
        .collect();
    Chart {
        id,
        title: format!("{name} distribution"),
        description: format!(
            "{what}: {} values from {} to {}, p50 {}, p95 {}.",
            count(d.n),
            millis(d.min_ms),
            millis(d.max_ms),
            percentile(d, "p50"),
            percentile(d, "p95")
        ),
        width: Width::Half,
        panels: vec![Panel { height: 190, y, layers }],
        x,
        keys: vec![
            Key::area(Ink::FirstArea, format!("{name}, n = {}", count(d.n))),
            Key::line(Ink::First, Marker::None, format!("p50 {}", percentile(d, "p50"))),
            Key::line(Ink::Second, Marker::None, format!("p95 {}", percentile(d, "p95"))),
        ],
        hits,
        table,
    }
}

/// Token lengths asked for against those observed, as shares of requests at or below a length.
#[must_use]
pub fn lengths(id: &'static str, side: &str, asked: &[Bin], observed: &[Bin]) -> Chart {
    let (a, b) = (columns(asked, 70), columns(observed, 70));
    let total = |c: &[Column]| c.iter().map(|c| c.count).sum::<u64>();
    let both = || a.iter().chain(&b);
    let x = Axis::log(
        &format!("{side} tokens of a request, logarithmic"),
        both().map(|c| c.lower).filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min),
        both().map(|c| c.upper).fold(0.0, f64::max),
    );
    let y = Axis::linear("requests at or below, in %", 100.0, 4);
    let cumulated = |c: &[Column]| {
        let all = total(c).max(1) as f64;
        let mut sum = 0;
        let mut points: Vec<(f64, f64)> = c.first().map(|f| (f.lower.max(x.min), 0.0)).into_iter().collect();
        points.extend(c.iter().map(|c| {
            sum += c.count;
            (c.upper, sum as f64 / all * 100.0)
        }));
        points
    };
    let (line_a, line_b) = (cumulated(&a), cumulated(&b));
    let mut table = Table::new(&["At most tokens", "asked", "observed"]);
    let mut edges: Vec<f64> = both().map(|c| c.upper).collect();
    edges.sort_by(f64::total_cmp);
    edges.dedup();
    let every = edges.len().div_ceil(40).max(1);
    let last = edges.len().saturating_sub(1);
    let up_to = |c: &[Column], edge: f64| c.iter().filter(|c| c.upper <= edge).map(|c| c.count).sum::<u64>();
    for edge in edges.iter().enumerate().filter(|(i, _)| i % every == 0 || *i == last).map(|(_, e)| *e) {
        table.rows.push(vec![real(edge), count(up_to(&a, edge)), count(up_to(&b, edge))]);
    }
    Chart {
        id,
        title: format!("{side} tokens: asked and observed"),
        description: format!(
            "Cumulative share of requests by {} tokens: {} requests asked, {} observed. The lines coincide where the endpoint did what was asked.",
            side.to_lowercase(),
            count(total(&a)),
            count(total(&b))
        ),
        width: Width::Half,
        panels: vec![Panel {
            height: 190,
            y,
            layers: vec![
                Layer::Line { points: line_a, ink: Ink::First, marker: Marker::Circle },
                Layer::Line { points: line_b, ink: Ink::Second, marker: Marker::Square },
            ],
        }],
        x,
        keys: vec![
            Key::line(Ink::First, Marker::Circle, format!("asked, n = {}", count(total(&a)))),
            Key::line(Ink::Second, Marker::Square, format!("observed, n = {}", count(total(&b)))),
        ],
        hits: Vec::new(),
        table,
    }
}
