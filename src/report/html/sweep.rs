//! The page of a sweep, and its section inside a plan.

use super::part::{self, Head};
use super::run;
use crate::measure::document::RunDocument;
use crate::measure::summary::Summary;
use crate::report::chart::{self, Table};
use crate::report::number::{count, percentile};
use crate::report::{FitRow, plan_content, run_content, verdict};
use askama::Template;

#[derive(Template)]
#[template(path = "sweep.html", config = "src/report/html/askama.toml")]
struct SweepPage {
    head: Head,
    class: &'static str,
    word: String,
    sentence: String,
    knee: String,
    steps: String,
    fit: String,
    warnings: String,
    environment: String,
    scenario: String,
    glossary: String,
}

/// The report of a sweep as one HTML file: latency against throughput over its steps, in order, and the fit if there is one.
#[must_use]
pub fn sweep_page(steps: &[RunDocument], fit: &[FitRow]) -> String {
    let Some(first) = steps.first() else {
        return String::new();
    };
    let summaries: Vec<&Summary> = steps.iter().map(|d| &d.summary).collect();
    let m = &first.manifest;
    let stamp = format!("Started {} · seed {} · {} · model {}", m.started_utc, m.seed.0, run::endpoint(first), m.endpoint.model);
    let found = verdict::knee(&summaries).is_some();
    let page = SweepPage {
        head: Head::new("sweep over load steps", &m.scenario_name, &m.question, &m.tool_version, stamp),
        class: if found { "good" } else { "bad" },
        word: if found { "\u{2713} KNEE FOUND".to_owned() } else { "\u{2717} NO STEP MEETS THE OBJECTIVES".to_owned() },
        sentence: verdict::of_sweep(&summaries),
        knee: section(steps),
        steps: part::numbers(&latencies(&summaries), "Latency by step"),
        fit: fit_section(fit),
        warnings: part::warnings(steps.iter().flat_map(|d| &d.summary.validity.warnings)),
        environment: part::sentences(&run_content::environment(first), "Environment"),
        scenario: part::json(&first.experiment),
        glossary: part::glossary(),
    };
    super::inert(&part::rendered(&page))
}

/// The knee chart with its table of steps in sight.
pub(super) fn section(steps: &[RunDocument]) -> String {
    let Some(first) = steps.first() else {
        return String::new();
    };
    let summaries: Vec<&Summary> = steps.iter().map(|d| &d.summary).collect();
    let knee = chart::knee(&summaries, &first.experiment.slo);
    part::chart(&knee)
}

/// Measured against predicted; empty without rows.
pub(super) fn fit_section(rows: &[FitRow]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    part::numbers(&plan_content::fit(rows), "Measured against predicted") + &run::paragraph(&plan_content::fit_note(rows))
}

fn latencies(steps: &[&Summary]) -> Table {
    let mut table = Table::new(&["Step", "n", "TTFT p50", "TTFT p95", "TTFT p99", "TPOT p50", "TPOT p95", "E2E p50", "E2E p95", "E2E p99"]);
    for (i, s) in steps.iter().enumerate() {
        let l = &s.latency;
        let mut row = vec![(i + 1).to_string(), count(s.accounting.due)];
        row.extend(["p50", "p95", "p99"].map(|p| percentile(&l.ttft, p)));
        row.extend(["p50", "p95"].map(|p| percentile(&l.tpot, p)));
        row.extend(["p50", "p95", "p99"].map(|p| percentile(&l.e2e, p)));
        table.rows.push(row);
    }
    table
}
