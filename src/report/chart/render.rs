//! Drawing: a chart's panels onto one plotters SVG at four times its size, then restyled with classes.

use super::restyle::{ink_color, restyle};
use super::{Axis, Chart, Ink, Layer, Marker, Panel, escape};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::fmt::Write as _;
use std::ops::Range;

/// Coordinates are whole numbers in plotters; four to a pixel keep curves smooth.
const FINE: u32 = 4;
/// Height of text in fine units, times the factor that plotters' SVG divides by.
const TEXT: f64 = 13.0 * 4.0 * 1.24;
/// Room for the y labels, the x labels, and the panel's heading, in pixels.
const LEFT: u32 = 64;
const BOTTOM: u32 = 44;
const TOP: u32 = 30;
const RIGHT: u32 = 38;

type Root<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Plot<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Spread<'a>, Spread<'a>>>;
type Drawn<T> = Result<T, DrawingAreaErrorKind<std::io::Error>>;

/// The whole chart; an error only if plotters cannot draw into a string.
pub(super) fn svg(chart: &Chart) -> Drawn<String> {
    let width = chart.width.pixels();
    let heights: Vec<u32> =
        chart.panels.iter().enumerate().map(|(i, p)| p.height + if i + 1 == chart.panels.len() { BOTTOM } else { 10 } + TOP).collect();
    let height: u32 = heights.iter().sum();
    let mut raw = String::new();
    let mut hits = String::new();
    {
        let root = SVGBackend::with_string(&mut raw, (width * FINE, height * FINE)).into_drawing_area();
        let mut rest = root.clone();
        let last = chart.panels.len().saturating_sub(1);
        let mut top = 0;
        for (i, (panel, h)) in chart.panels.iter().zip(&heights).enumerate() {
            let (area, below) = rest.split_vertically(h * FINE);
            let plot = draw_panel(&area, &chart.x, panel, i == last)?;
            if i == 0 {
                top = plot.backend_coord(&(0.0, plot.y_range().end)).1;
            }
            if i == last {
                hits = draw_hits(chart, &plot, top);
            }
            rest = below;
        }
        root.present()?;
    }
    let (id, title, description) = (chart.id, escape(&chart.title), escape(&chart.description));
    let body = restyle(&raw);
    Ok(format!(
        "<svg class=\"chart\" viewBox=\"0 0 {} {}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\"><title id=\"{id}-t\">{title}</title><desc id=\"{id}-d\">{description}</desc>\n{body}{hits}</svg>",
        width * FINE,
        height * FINE
    ))
}

/// An axis as plotters wants it: evenly spread places with key points and labels of our own.
#[derive(Clone)]
struct Spread<'a>(&'a Axis);

impl Ranged for Spread<'_> {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, limit: (i32, i32)) -> i32 {
        let Range { start, end } = self.range();
        let share = (place - start) / (end - start);
        #[expect(clippy::cast_possible_truncation, reason = "a place inside the axis, so between the two limits")]
        let offset = (share * f64::from(limit.1 - limit.0)).round() as i32;
        limit.0 + offset
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.0.ticks.iter().map(|t| self.0.place(t.0)).collect()
    }

    fn range(&self) -> Range<f64> {
        let (low, high) = (self.0.place(self.0.min), self.0.place(self.0.max));
        low..if high > low { high } else { low + 1.0 }
    }
}

impl ValueFormatter<f64> for Spread<'_> {
    fn format_ext(&self, place: &f64) -> String {
        self.0.ticks.iter().find(|t| (self.0.place(t.0) - place).abs() < 1e-9).map_or_else(String::new, |t| t.1.clone())
    }
}

fn style(ink: Ink) -> ShapeStyle {
    ShapeStyle { color: ink_color(ink).to_rgba(), filled: true, stroke_width: 1 }
}

fn text(ink: Ink, h: HPos, v: VPos) -> TextStyle<'static> {
    ("sans-serif", TEXT).into_font().color(&ink_color(ink)).pos(Pos::new(h, v))
}

fn draw_panel<'a, 'b>(area: &'a Root<'b>, x: &'a Axis, panel: &'a Panel, is_last: bool) -> Drawn<Plot<'a, 'b>> {
    let mut plot = ChartBuilder::on(area)
        .margin_top(TOP * FINE)
        .margin_right(RIGHT * FINE)
        .margin_bottom(if is_last { 0 } else { 10 * FINE })
        .x_label_area_size(if is_last { BOTTOM * FINE } else { 0 })
        .y_label_area_size(LEFT * FINE)
        .build_cartesian_2d(Spread(x), Spread(&panel.y))?;
    // Shades lie below the grid.
    for layer in &panel.layers {
        if let Layer::Boxes { boxes, ink: ink @ (Ink::Shade | Ink::Faint) } = layer {
            draw_boxes(&mut plot, x, panel, boxes, *ink)?;
        }
    }
    let mut mesh = plot.configure_mesh();
    mesh.bold_line_style(style(Ink::Grid)).light_line_style(TRANSPARENT).axis_style(style(Ink::Axis)).max_light_lines(0);
    mesh.x_label_style(text(Ink::Text, HPos::Center, VPos::Top)).y_label_style(text(Ink::Text, HPos::Right, VPos::Center));
    mesh.x_labels(40).y_labels(40).set_all_tick_mark_size(5 * FINE);
    if is_last {
        mesh.x_desc(x.label.as_str()).axis_desc_style(text(Ink::Text, HPos::Center, VPos::Bottom));
    }
    mesh.draw()?;
    let heading = text(Ink::Text, HPos::Left, VPos::Center);
    area.draw(&Text::new(panel.y.label.clone(), (i32_of(8 * FINE), i32_of(10 * FINE)), heading))?;
    for layer in &panel.layers {
        draw_layer(&mut plot, x, panel, layer)?;
    }
    Ok(plot)
}

fn draw_layer(plot: &mut Plot, x: &Axis, panel: &Panel, layer: &Layer) -> Drawn<()> {
    let place = |p: &(f64, f64)| (x.place(p.0), panel.y.place(p.1));
    let known = |p: &&(f64, f64)| p.0.is_finite() && p.1.is_finite();
    match layer {
        Layer::Boxes { ink: Ink::Shade | Ink::Faint, .. } => {}
        Layer::Boxes { boxes, ink } => draw_boxes(plot, x, panel, boxes, *ink)?,
        Layer::Area { points, ink } => {
            let line: Vec<(f64, f64)> = points.iter().filter(known).map(place).collect();
            let (Some(first), Some(last)) = (line.first().copied(), line.last().copied()) else { return Ok(()) };
            let floor = panel.y.place(panel.y.min);
            let outline = std::iter::once((first.0, floor)).chain(line).chain(std::iter::once((last.0, floor)));
            plot.draw_series(std::iter::once(Polygon::new(outline.collect::<Vec<_>>(), style(*ink))))?;
        }
        Layer::Line { points, ink, marker } => {
            for part in points.split(|p| !known(&p)) {
                if part.len() > 1 {
                    plot.draw_series(LineSeries::new(part.iter().map(place), style(*ink)))?;
                }
            }
            // About eight markers tell lines apart without hiding them; a lone point between gaps always gets one.
            let every = (points.len() / 8).max(1);
            let lone = |i: usize| (i == 0 || points[i - 1].1.is_nan()) && points.get(i + 1).is_none_or(|p| p.1.is_nan());
            let marked = points.iter().enumerate().filter(|(i, p)| known(p) && (i % every == every / 2 || lone(*i))).map(|(_, p)| place(p));
            draw_markers(plot, &marked.collect::<Vec<_>>(), *ink, *marker)?;
        }
        Layer::Points { points, ink, marker } => draw_markers(plot, &points.iter().filter(known).map(place).collect::<Vec<_>>(), *ink, *marker)?,
        Layer::Rule { y, text: name } => {
            let (left, right, y) = (x.place(x.min), x.place(x.max), panel.y.place(*y));
            plot.draw_series(LineSeries::new([(left, y), (right, y)], style(Ink::Bound)))?;
            let at = EmptyElement::at((left, y)) + Text::new(name.clone(), (24, -14), text(Ink::Text, HPos::Left, VPos::Bottom));
            plot.draw_series(std::iter::once(at))?;
        }
        Layer::Note { at, text: word } => {
            // Beside the point, on the side that has room.
            let at = place(at);
            let right = at.0 > f64::midpoint(x.place(x.min), x.place(x.max));
            let (dx, h) = if right { (-30, HPos::Right) } else { (30, HPos::Left) };
            plot.draw_series(std::iter::once(EmptyElement::at(at) + Text::new(word.clone(), (dx, -22), text(Ink::Text, h, VPos::Bottom))))?;
        }
    }
    Ok(())
}

fn draw_boxes(plot: &mut Plot, x: &Axis, panel: &Panel, boxes: &[[f64; 4]], ink: Ink) -> Drawn<()> {
    let corner = |x_value: f64, y_value: f64| (x.place(x_value), panel.y.place(y_value));
    plot.draw_series(boxes.iter().map(|b| Rectangle::new([corner(b[0], b[2]), corner(b[1], b[3])], style(ink))))?;
    Ok(())
}

fn draw_markers(plot: &mut Plot, points: &[(f64, f64)], ink: Ink, marker: Marker) -> Drawn<()> {
    let (solid, open) = (style(ink), style(ink).stroke_width(8));
    match marker {
        Marker::None => {}
        Marker::Circle => drop(plot.draw_series(points.iter().map(|p| Circle::new(*p, 15, solid)))?),
        Marker::Ring => {
            let hollow = ShapeStyle { filled: false, ..open };
            plot.draw_series(points.iter().map(|p| Circle::new(*p, 30, hollow)))?;
        }
        Marker::Square => drop(plot.draw_series(points.iter().map(|p| EmptyElement::at(*p) + Rectangle::new([(-13, -13), (13, 13)], solid)))?),
        Marker::Triangle => drop(plot.draw_series(points.iter().map(|p| TriangleMarker::new(*p, 19, solid)))?),
        Marker::Cross => drop(plot.draw_series(points.iter().map(|p| Cross::new(*p, 14, open)))?),
    }
    Ok(())
}

/// Invisible columns over all panels that say their values when pointed at.
fn draw_hits(chart: &Chart, plot: &Plot, top: i32) -> String {
    let y_range = plot.y_range();
    let bottom = plot.backend_coord(&(0.0, y_range.start)).1;
    let mut out = String::new();
    for hit in &chart.hits {
        let from = plot.backend_coord(&(chart.x.place(hit.from), y_range.start)).0;
        let to = plot.backend_coord(&(chart.x.place(hit.to), y_range.start)).0;
        let (width, height) = ((to - from).max(1), (bottom - top).max(1));
        let said = escape(&hit.text);
        let _ = write!(out, "<rect class=\"hit\" x=\"{from}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"><title>{said}</title></rect>");
    }
    out
}

fn i32_of(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
