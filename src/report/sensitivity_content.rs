//! What a plan would be with other inputs, as tables: one input changed at a time, other delays, one chunk more.

use super::chart::Table;
use super::number::{money, real, share};
use crate::planner::recommendation::{CandidateResult, Sensitivity, Sized, WhatIf};

/// How much the comparisons are worth.
#[must_use]
pub fn note(found: &Sensitivity) -> String {
    let base = found.base.as_ref().map_or_else(String::new, |b| format!(" The same depth without any change gives {}.", chunks(b)));
    let late = if found.inputs.iter().any(|s| s.input == "requests" && s.less.cost_change > 0.005) {
        " Less demand costs more here; one reason may be that the autoscaler then asks for a chunk later, or not at all, and the minimum has to carry what it misses."
    } else {
        ""
    };
    format!(
        "Comparisons, not certificates: the cheapest size near the plan that passes {} simulated periods, the same ones for every row, with endpoint and demand as estimated.{base}{late}",
        found.periods
    )
}

/// `2 to 5 chunks`, or `3 chunks fixed`.
fn chunks(s: &Sized) -> String {
    if s.min_chunks == s.max_chunks { format!("{} chunks fixed", s.min_chunks) } else { format!("{} to {} chunks", s.min_chunks, s.max_chunks) }
}

/// What a changed input needs, in a few words: `2 to 4 chunks, -12.20 USD/h`.
#[must_use]
pub fn outcome(what: &WhatIf, currency: &str) -> String {
    match &what.size {
        None => "no size would do".to_owned(),
        Some(size) => format!("{}, {}", chunks(size), change(what.cost_change, currency)),
    }
}

/// A difference in cost with its sign.
fn change(cost: f64, currency: &str) -> String {
    let sign = if cost > 0.005 { "+" } else { "" };
    if cost.abs() <= 0.005 { "same cost".to_owned() } else { format!("{sign}{}/h", money(cost, currency)) }
}

/// One input less and more.
#[must_use]
pub fn inputs(found: &Sensitivity, currency: &str) -> Table {
    let mut table = Table::new(&["Input", "Change", "Chunks", "Mean chunks", "Cost per hour", "Against the plan"]);
    for swing in &found.inputs {
        for what in [&swing.less, &swing.more] {
            table.rows.push(row(&swing.input, &what.change, what, currency));
        }
    }
    table
}

/// The delay at its median and its 95th percentile, and one minute less of it.
#[must_use]
pub fn lags(found: &Sensitivity, currency: &str) -> Table {
    let mut table = Table::new(&["Scale-up delay", "Chunks", "Mean chunks", "Cost per hour", "Against the plan"]);
    for what in found.lags.iter().chain(&found.minute_less) {
        let mut cells = row("", &what.change, what, currency);
        cells.remove(0);
        table.rows.push(cells);
    }
    table
}

fn row(input: &str, change_text: &str, what: &WhatIf, currency: &str) -> Vec<String> {
    let mut cells = vec![input.to_owned(), change_text.to_owned()];
    match &what.size {
        Some(s) => {
            cells.extend([chunks(s), real(s.mean_chunks), money(s.cost_per_hour, currency), change(what.cost_change, currency)]);
        }
        None => cells.extend(["no size would do", "n/a", "n/a", "n/a"].map(str::to_owned)),
    }
    cells
}

/// What one more chunk costs and brings.
#[must_use]
pub fn chunk_more(found: &Sensitivity, currency: &str) -> Table {
    let mut table = Table::new(&["Size", "Chunks", "Cost per hour", "Good requests", "Worst period", "What it is"]);
    let size = |c: &CandidateResult| super::plan_content::size(c);
    for r in &found.chunk_more {
        let c = &r.result;
        table.rows.push(vec![
            r.rule.clone(),
            size(c),
            money(c.cost_per_hour, currency),
            share(c.good_share),
            share(c.worst_period),
            r.reason.clone(),
        ]);
    }
    table
}
