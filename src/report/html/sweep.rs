//! The page of a sweep, and its section inside a plan.

use super::part::{self, Head};
use super::run;
use crate::measure::document::RunDocument;
use crate::measure::summary::Summary;
use crate::report::chart;
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
        fit: fit_section(fit),
        warnings: part::warnings(steps.iter().flat_map(|d| &d.summary.validity.warnings)),
        environment: part::sentences(&run_content::environment(first), "Environment"),
        scenario: part::json(&first.experiment),
        glossary: part::glossary(),
    };
    super::inert(&part::rendered(&page))
}

/// The knee chart, and the table of steps.
pub(super) fn section(steps: &[RunDocument]) -> String {
    let Some(first) = steps.first() else {
        return String::new();
    };
    let summaries: Vec<&Summary> = steps.iter().map(|d| &d.summary).collect();
    part::chart(&chart::knee(&summaries, &first.experiment.slo)) + &part::numbers(&chart::steps(&summaries), "Load steps")
}

/// Measured against predicted; empty without rows.
pub(super) fn fit_section(rows: &[FitRow]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    part::numbers(&plan_content::fit(rows), "Measured against predicted") + &run::paragraph(&plan_content::fit_note(rows))
}
