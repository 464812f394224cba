//! The chart of a probe: tokens, requests in flight and latency against time, with the step of load and the change points marked.

use super::{Axis, Chart, Ink, Key, Layer, Marker, Panel, Points, Table, Width};
use crate::measure::probe::Bin;
use crate::measure::probe::document::ProbeDocument;
use crate::report::number::{count, millis, real, span};
use crate::report::probe_content;

/// Rows of the table below the chart, at most.
const ROWS: usize = 60;

/// One repeat over time; `None` without a repeat.
#[must_use]
pub fn probe(document: &ProbeDocument) -> Option<Chart> {
    let (number, repeat) = probe_content::shown(document)?;
    let (shape, bins) = (&document.shape, &repeat.bins);
    let width = shape.bin_s();
    let line = |f: &dyn Fn(&Bin) -> f64| bins.iter().map(|b| (b.from_s + 0.5 * width, f(b))).collect::<Points>();
    let step = shape.before_s;
    let panel = |label: &str, lines: Vec<(Points, Ink, Marker)>| {
        let top = lines.iter().flat_map(|l| l.0.iter().map(|p| p.1)).filter(|v| v.is_finite()).fold(0.0, f64::max);
        let y = Axis::linear(label, top * 1.02, 3);
        let at = |from: f64, to: f64| [step + from, step + to, y.min, y.max];
        let mut layers = vec![Layer::Boxes { boxes: vec![at(0.0, repeat.held_s)], ink: Ink::Shade }];
        if let Some(lag) = repeat.lag {
            layers.push(Layer::Boxes { boxes: vec![at(0.0, lag.at_s)], ink: Ink::Lag });
        }
        layers.extend(lines.into_iter().map(|(points, ink, marker)| Layer::Line { points, ink, marker }));
        let down = repeat.scale_down.map(|d| repeat.held_s + d.at_s);
        for at in repeat.rises.iter().map(|r| r.at_s).chain(down) {
            layers.push(Layer::Line { points: vec![(step + at, y.min), (step + at, y.max)], ink: Ink::Bound, marker: Marker::None });
        }
        Panel { height: 120, y, layers }
    };
    let gap = |v: Option<f64>| v.unwrap_or(f64::NAN);
    let panels = vec![
        panel(
            "tokens per second: received (solid, circles), asked for (dashed, squares)",
            vec![(line(&|b| b.tok_s), Ink::First, Marker::Circle), (line(&|b| b.offered_tok_s), Ink::Second, Marker::Square)],
        ),
        panel("requests in flight", vec![(line(&|b| f64::from(b.in_flight)), Ink::First, Marker::None)]),
        panel("median TTFT in milliseconds, by the instant of sending", vec![(line(&|b| gap(b.ttft_ms)), Ink::First, Marker::None)]),
        panel("time per output token in milliseconds", vec![(line(&|b| gap(b.gap_ms)), Ink::First, Marker::None)]),
    ];
    Some(Chart {
        id: "probe",
        title: format!("Repeat {} over time", number + 1),
        description: format!(
            "Four panels over {}: tokens, requests in flight, time to first token, time per token. The high load from {} on is shaded, the lag hatched. {}",
            span(shape.span_s()),
            span(step),
            probe_content::sentence(document)
        ),
        width: Width::Full,
        x: Axis::time(shape.span_s()),
        panels,
        keys: vec![
            Key::area(Ink::Shade, "high load"),
            Key::area(Ink::Lag, "lag"),
            Key::line(Ink::Bound, Marker::None, "chunk found to come or to go"),
        ],
        hits: Vec::new(),
        table: table(bins),
    })
}

fn table(bins: &[Bin]) -> Table {
    let mut table = Table::new(&["From", "received tok/s", "asked tok/s", "in flight", "TTFT p50", "time per token"]);
    let ms = |v: Option<f64>| v.map_or_else(|| "n/a".to_owned(), millis);
    for b in bins.iter().step_by(bins.len().div_ceil(ROWS).max(1)) {
        let row = vec![span(b.from_s), real(b.tok_s), real(b.offered_tok_s), count(u64::from(b.in_flight)), ms(b.ttft_ms), ms(b.gap_ms)];
        table.rows.push(row);
    }
    table
}
