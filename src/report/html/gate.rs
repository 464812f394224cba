//! The page of a gate.

use super::part::{self, Head};
use crate::gate::Report;
use crate::measure::document::RunDocument;
use crate::report::chart::{self, Chart, Table, gate_figures};
use crate::report::gate_content as content;
use askama::Template;

/// The runs that a gate page shows, those that count, pair by pair where there are pairs.
#[derive(Clone, Debug, Default)]
pub struct GateRuns {
    /// Of the side compared with.
    pub base: Vec<RunDocument>,
    /// Of the side judged.
    pub head: Vec<RunDocument>,
}

impl GateRuns {
    /// Adds a pair.
    pub fn push(&mut self, base: RunDocument, head: RunDocument) {
        self.base.push(base);
        self.head.push(head);
    }

    /// Takes the last pair away: it does not count.
    pub fn drop_last(&mut self) {
        self.base.pop();
        self.head.pop();
    }
}

#[derive(Template)]
#[template(path = "gate.html", config = "src/report/html/askama.toml")]
struct GatePage {
    head: Head,
    class: &'static str,
    word: String,
    sentence: String,
    certainty: String,
    figures: String,
    sections: Vec<Section>,
    reasons: Vec<String>,
    would_change: Vec<String>,
    repeat: String,
    glossary: String,
}

struct Section {
    id: &'static str,
    heading: &'static str,
    body: String,
}

/// The report of a gate as one HTML file; `repeat` is the command that makes it again, or empty.
#[must_use]
pub fn gate_page(report: &Report, runs: &GateRuns, repeat: &str) -> String {
    let standing = content::standing(report);
    let first = runs.head.first().or(runs.base.first());
    let started = first.map(|d| format!("Started {} \u{b7} ", d.manifest.started_utc)).unwrap_or_default();
    let question = first.map_or("", |d| d.experiment.question.as_str());
    let page = GatePage {
        head: Head::new("gate", &report.scenario, question, &report.tool_version, format!("{started}{}", content::mode(report))),
        class: standing.class(),
        word: format!("{} {}", standing.sign(), content::word(report)),
        sentence: report.sentence.clone(),
        certainty: content::certainty(report),
        figures: part::figures(&content::figures(report)),
        sections: sections(report, runs),
        reasons: report.reasons.clone(),
        would_change: report.would_change.clone(),
        repeat: repeat.to_owned(),
        glossary: part::glossary(),
    };
    super::inert(&part::rendered(&page))
}

/// Every section that has something to show.
fn sections(report: &Report, runs: &GateRuns) -> Vec<Section> {
    let numbers = |table: &Table, label: &str| if table.rows.is_empty() { String::new() } else { part::numbers(table, label) };
    let sentences = |table: &Table, label: &str| if table.rows.is_empty() { String::new() } else { part::sentences(table, label) };
    let drawn = |chart: Option<Chart>| chart.map(|c| part::chart(&c)).unwrap_or_default();
    let side_by_side: String = gate_figures::overlays(&runs.base, &runs.head).iter().map(part::chart).collect();
    let overlays = if side_by_side.is_empty() { side_by_side } else { format!("<div class=\"grid\">{side_by_side}</div>") };
    let all = [
        ("h-rows", "Base against head", numbers(&content::rows(report), "Base against head") + &drawn(gate_figures::forest(report))),
        ("h-promises", "Promises", sentences(&content::promises(report), "Promises")),
        ("h-changes", "Changes of level", numbers(&content::changes(report), "Changes of level") + &drawn(chart::levels(report))),
        ("h-drifts", "Drift from the anchor", numbers(&content::drifts(report), "Drift from the anchor")),
        ("h-calibration", "What a gate can see here", numbers(&content::calibration(report), "What a gate can see here")),
        ("h-rounds", "Round by round", drawn(gate_figures::rounds(report))),
        ("h-looks", "Look by look", drawn(gate_figures::looks(report))),
        ("h-curves", "Percentiles", overlays + &drawn(gate_figures::shift(&runs.base, &runs.head))),
        ("h-noise", "Noise, and what it lets this gate see", numbers(&content::noise(report), "Noise")),
        ("h-differences", "Facts that differ", sentences(&content::differences(report), "Facts that differ")),
        ("h-fingerprint", "What was compared", sentences(&content::fingerprint(report), "What was compared")),
    ];
    all.into_iter().filter(|(_, _, body)| !body.is_empty()).map(|(id, heading, body)| Section { id, heading, body }).collect()
}
