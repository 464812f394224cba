//! What a sweep found, as sentences and tables: the same words in every format.

use super::chart::Table;
use super::number::{count, real, share};
use crate::measure::knee::document::SweepDocument;
use crate::measure::knee::{Kind, Stage, Standing};
use std::fmt::Write as _;

/// A load with its unit.
#[must_use]
pub fn load(found: &SweepDocument, value: f64) -> String {
    match found.kind {
        Some(Kind::Users) => format!("{} users", real(value)),
        _ => format!("{} requests/s", real(value)),
    }
}

/// The finding in sentences.
#[must_use]
pub fn sentence(found: &SweepDocument) -> String {
    let mut text = match &found.slo_capacity {
        Some(c) => format!(
            "SLO capacity {}, with {} confidence between {} and {}; the objective missed first is {}.",
            load(found, c.estimate),
            share(c.confidence),
            real(c.low),
            load(found, c.high),
            c.binding
        ),
        None => format!("No SLO capacity: {}.", found.because),
    };
    if let (Some(_), false) = (&found.slo_capacity, found.because.is_empty()) {
        let _ = write!(text, " The interval is wider than asked for: {}.", found.because);
    }
    if let Some(knee) = found.knee {
        let _ = write!(
            text,
            " Knee: {} is the highest load whose windows were steady and kept every objective, below every load that missed one.",
            load(found, knee)
        );
    }
    if let Some(s) = &found.saturated {
        let _ = write!(
            text,
            " Asked for {}, the endpoint gives {} requests/s and {} tok/s ({} output tok/s).",
            load(found, s.load),
            real(s.served_rate),
            real(s.total_tok_s),
            real(s.output_tok_s)
        );
    }
    let _ = write!(text, " {} requests in {} s of load.", count(found.requests), real(found.load_s));
    text
}

/// One row a window.
#[must_use]
pub fn windows(found: &SweepDocument) -> Table {
    let head =
        ["Window", "load", "why", "n", "warm-up s", "relaxation s", "in flight", "N/(X R)", "TTFT p95 ms", "E2E p95 ms", "missed most", "verdict"];
    let mut table = Table::new(&head);
    for (i, step) in found.steps.iter().enumerate() {
        let stage = match step.stage {
            Stage::Doubling => "doubling",
            Stage::Bisection => "bisection",
            Stage::Repeat => "repeated",
            Stage::Refinement => "refinement",
            Stage::Given => "given",
            Stage::Saturation => "saturation",
        };
        let mut row = vec![(i + 1).to_string(), real(step.load), stage.to_owned()];
        match &step.plateau {
            None => row.extend(std::iter::repeat_n("n/a".to_owned(), 8)),
            Some(p) => {
                let quantile = |name: &str| {
                    let found = p.quantiles.iter().find(|q| q.name == name);
                    found.map_or_else(|| "n/a".to_owned(), |q| format!("{} \u{b1} {}", real(q.value_ms), real(q.error_ms)))
                };
                let worst = p.misses.iter().filter(|m| m.asked > 0.0).max_by(|a, b| (a.missed / a.asked).total_cmp(&(b.missed / b.asked)));
                let missed = worst.map_or_else(|| "n/a".to_owned(), |m| format!("{} \u{b1} {}", share(m.missed / m.asked), share(m.error)));
                let little = format!("{:.3}{}", p.little, if p.little_holds { "" } else { " !" });
                row.extend([count(p.requests), real(p.start_s), real(p.relaxation_s), real(p.in_flight), little]);
                row.extend([quantile("ttft p95"), quantile("e2e p95"), missed]);
            }
        }
        row.push(
            match step.standing {
                Standing::Met => "met",
                Standing::Near => "on the objective",
                Standing::Missed => "not met",
                Standing::Unsteady => "not steady",
            }
            .to_owned(),
        );
        table.rows.push(row);
    }
    table
}
