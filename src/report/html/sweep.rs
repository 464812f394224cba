//! The page of a sweep, and its section inside a plan.

use super::part::{self, Head};
use super::run;
use crate::measure::document::RunDocument;
use crate::measure::knee::document::SweepDocument;
use crate::measure::summary::Summary;
use crate::report::chart;
use crate::report::{FitRow, capacity_content, plan_content, run_content, verdict};
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
    page(steps, fit, None)
}

/// The same with the SLO capacity that the sweep found, its curve with error bars, and one row a window.
#[must_use]
pub fn capacity_page(steps: &[RunDocument], found: &SweepDocument) -> String {
    page(steps, &[], Some(found))
}

fn page(steps: &[RunDocument], fit: &[FitRow], sweep: Option<&SweepDocument>) -> String {
    let Some(first) = steps.first() else {
        return String::new();
    };
    let summaries: Vec<&Summary> = steps.iter().map(|d| &d.summary).collect();
    let m = &first.manifest;
    let stamp = format!("Started {} · seed {} · {} · model {}", m.started_utc, m.seed.0, run::endpoint(first), m.endpoint.model);
    let found = verdict::knee(&summaries).is_some();
    let capacity = sweep.and_then(|d| d.slo_capacity.as_ref());
    let found = found || capacity.is_some();
    let page = SweepPage {
        head: Head::new("sweep over load steps", &m.scenario_name, &m.question, &m.tool_version, stamp),
        class: if found { "good" } else { "bad" },
        word: if capacity.is_some() {
            "\u{2713} CAPACITY FOUND".to_owned()
        } else if found {
            "\u{2713} KNEE FOUND".to_owned()
        } else {
            "\u{2717} NO STEP MEETS THE OBJECTIVES".to_owned()
        },
        sentence: sweep.map_or_else(|| verdict::of_sweep(&summaries), capacity_content::sentence),
        knee: sweep.map_or_else(String::new, |d| curve(d, first)) + &section(steps),
        fit: fit_section(fit),
        warnings: part::warnings(steps.iter().flat_map(|d| &d.summary.validity.warnings)),
        environment: part::sentences(&run_content::environment(first), "Environment"),
        scenario: part::json(&first.experiment),
        glossary: part::glossary(),
    };
    super::inert(&part::rendered(&page))
}

/// The throughput-latency curve with error bars, and one row a window.
fn curve(found: &SweepDocument, first: &RunDocument) -> String {
    part::chart(&chart::capacity(found, &first.experiment.slo)) + &part::numbers(&capacity_content::windows(found), "Windows of the search")
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
