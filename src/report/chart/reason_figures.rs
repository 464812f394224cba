//! The charts of the reasons for a plan: head-room by cause, the tornado of other inputs, and against paying by the token.

use super::{Axis, Chart, Ink, Key, Layer, Marker, Panel, Table, Width};
use crate::planner::recommendation::{BreakEven, Recommendation, Sensitivity, WhatIf};
use crate::report::number::{money, real, share};
use crate::report::{money_content, plan_content, sensitivity_content, words};

/// A vertical axis without labels, for bars that name themselves.
fn unlabelled(label: &str, max: f64) -> Axis {
    Axis { max, ticks: Vec::new(), ..Axis::linear(label, max, 1) }
}

/// The chunks paid for as one bar, cut by cause; the numbers stand in the legend.
#[must_use]
pub fn headroom(plan: &Recommendation) -> Chart {
    let total: f64 = plan.headroom.iter().map(|h| h.chunks).sum();
    let cost: f64 = plan.headroom.iter().map(|h| h.cost_per_hour).sum();
    let inks = [Ink::FirstArea, Ink::SecondArea, Ink::Lag, Ink::Miss, Ink::ThirdArea];
    let (mut layers, mut keys) = (Vec::new(), Vec::new());
    let mut from = 0.0;
    for (part, ink) in plan.headroom.iter().zip(inks) {
        layers.push(Layer::Boxes { boxes: vec![[from, from + part.chunks, 0.2, 0.8]], ink });
        from += part.chunks;
        let share_of = if cost > 0.0 { format!(" ({})", share((part.cost_per_hour / cost).clamp(0.0, 1.0))) } else { String::new() };
        keys.push(Key::area(
            ink,
            format!("{}: {} chunks, {}/h{share_of}", words::cause(&part.cause), real(part.chunks), money(part.cost_per_hour, &plan.currency)),
        ));
    }
    let over = total - plan.headroom.first().map_or(0.0, |h| h.chunks);
    Chart {
        id: "headroom",
        title: "Chunks paid for, by cause".to_owned(),
        description: format!(
            "{} chunks are paid for on average; {} of them are over-provisioned: they carry no mean demand and cover slow scaling, bursts, failures and what is not known exactly.",
            real(total),
            real(over)
        ),
        width: Width::Half,
        x: Axis::linear("mean chunks paid for", total.max(0.1), 8),
        panels: vec![Panel { height: 64, y: unlabelled("from what demand needs to what is bought", 1.0), layers }],
        keys,
        hits: Vec::new(),
        table: plan_content::headroom(plan),
    }
}

/// One bar an input: what less of it and more of it would do to the cost, the widest on top.
#[must_use]
pub fn tornado(found: &Sensitivity, currency: &str) -> Chart {
    let known = || found.inputs.iter().flat_map(|s| [&s.less, &s.more]).filter(|w| w.size.is_some());
    let reach = known().map(|w| w.cost_change.abs()).fold(0.0, f64::max).max(0.01);
    let x = Axis::around(&format!("change of the cost in {currency} per hour"), reach * 1.05, 4);
    let rows = found.inputs.len();
    let (mut less, mut more, mut none, mut notes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (i, swing) in found.inputs.iter().enumerate() {
        let base = (rows - 1 - i) as f64;
        // Above each other: both may lie on the same side.
        for (what, boxes, foot) in [(&swing.less, &mut less, 0.28), (&swing.more, &mut more, 0.07)] {
            let end = if what.size.is_some() { what.cost_change } else { x.max };
            let bar = [end.min(0.0), end.max(0.0), base + foot, base + foot + 0.19];
            if what.size.is_some() { boxes.push(bar) } else { none.push(bar) }
        }
        let said = |w: &WhatIf| format!("{} \u{2192} {}", w.change, sensitivity_content::outcome(w, currency));
        notes.push(Layer::Note { at: (x.min, base + 0.46), text: format!("{}: {}; {}", swing.input, said(&swing.less), said(&swing.more)) });
    }
    let mut layers = vec![
        Layer::Boxes { boxes: none.clone(), ink: Ink::Miss },
        Layer::Boxes { boxes: less, ink: Ink::FirstArea },
        Layer::Boxes { boxes: more, ink: Ink::SecondArea },
        Layer::Line { points: vec![(0.0, 0.0), (0.0, rows as f64)], ink: Ink::Axis, marker: Marker::None },
    ];
    layers.extend(notes);
    let mut keys = vec![Key::area(Ink::FirstArea, "with less of the input"), Key::area(Ink::SecondArea, "with more of it")];
    if !none.is_empty() {
        keys.push(Key::area(Ink::Miss, "no size would do"));
    }
    let widest = found.inputs.first().map_or_else(String::new, |s| format!(" What moves the cost most: {}.", s.input));
    Chart {
        id: "tornado",
        title: "What other inputs would cost".to_owned(),
        description: format!("Change of the cost per hour when one input is less or more than taken, each with the size that would then do.{widest}"),
        width: Width::Full,
        x,
        panels: vec![Panel {
            height: u32::try_from(rows).unwrap_or(4) * 52,
            y: unlabelled("inputs, the one that matters most on top", rows.max(1) as f64),
            layers,
        }],
        keys,
        hits: Vec::new(),
        table: sensitivity_content::inputs(found, currency),
    }
}

/// Cost against load: by the token, and for whole units of capacity without any head-room; where the plan stands.
#[must_use]
pub fn break_even(plan: &Recommendation, found: &BreakEven) -> Chart {
    let far = found.break_even_tok_s.map_or(0.0, |at| at * 1.3);
    let right = (found.demand_tok_s * 2.0).max(far);
    let unit = plan.effective_chunk_tok_s.max(1e-9);
    let cost = |units: f64| plan.prices.first_per_hour + (units - 1.0).max(0.0) * plan.prices.next_per_hour;
    // Whole units up to the right end, in steps that can still be told apart.
    let every = (right / unit / 200.0).ceil().max(1.0);
    let mut stairs = Vec::new();
    let mut units = 1.0;
    while (units - every).max(0.0) * unit < right && stairs.len() < 1000 {
        let from = (units - every).max(0.0) * unit;
        stairs.extend([(from, cost(units)), ((units * unit).min(right), cost(units))]);
        units += every;
    }
    let top = stairs.iter().map(|p| p.1).fold(found.provisioned_per_hour.max(found.mixed_per_million * right * 3600e-6), f64::max);
    let here = (found.demand_tok_s, found.provisioned_per_hour);
    let mut layers = vec![
        Layer::Line { points: vec![(0.0, 0.0), (right, found.mixed_per_million * right * 3600e-6)], ink: Ink::First, marker: Marker::None },
        Layer::Line { points: stairs, ink: Ink::Second, marker: Marker::None },
        Layer::Points { points: vec![here], ink: Ink::Third, marker: Marker::Square },
        Layer::Note { at: here, text: format!("the plan: {}/h", money(found.provisioned_per_hour, &plan.currency)) },
    ];
    if let Some(at) = found.break_even_tok_s {
        let point = (at, found.mixed_per_million * at * 3600e-6);
        layers.push(Layer::Points { points: vec![point], ink: Ink::First, marker: Marker::Ring });
        layers.push(Layer::Note { at: point, text: "break-even".to_owned() });
    }
    let mut table = Table::new(&["Load, tok/s", "by the token, an hour", "capacity without head-room, an hour"]);
    for part in 1..=8 {
        let load = right * f64::from(part) / 8.0;
        table.rows.push(vec![
            real(load),
            money(found.mixed_per_million * load * 3600e-6, &plan.currency),
            money(cost((load / unit).ceil().max(1.0)), &plan.currency),
        ]);
    }
    Chart {
        id: "break-even",
        title: "Provisioned throughput against paying by the token".to_owned(),
        description: format!("Cost per hour by mean load, for this mix of lengths. {}", money_content::break_even_note(found)),
        width: Width::Half,
        x: Axis::linear("mean load, input plus output tokens per second", right, 5),
        panels: vec![Panel { height: 220, y: Axis::linear(&format!("cost in {} per hour", plan.currency), top * 1.05, 5), layers }],
        keys: vec![
            Key::line(Ink::First, Marker::None, "by the token"),
            Key::line(Ink::Second, Marker::None, "capacity used to the last token, no head-room"),
            Key::point(Ink::Third, Marker::Square, "the plan at this demand"),
        ],
        hits: Vec::new(),
        table,
    }
}
