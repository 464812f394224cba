//! The page of one run.

use super::part::{self, Head};
use crate::measure::document::RunDocument;
use crate::report::chart::figures;
use crate::report::run_content as content;
use crate::report::verdict::{self, Verdict};
use askama::Template;

/// What a page may say beyond the run itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunExtras {
    /// The command that repeats the run, without secrets.
    pub repeat: Option<String>,
}

#[derive(Template)]
#[template(path = "run.html", config = "src/report/html/askama.toml")]
struct RunPage {
    head: Head,
    verdict: Verdict,
    interruption: String,
    kpis: String,
    accounting: String,
    objectives: String,
    client: String,
    warnings: String,
    validity: String,
    percentiles: String,
    distributions: Vec<String>,
    series: String,
    errors: String,
    lengths: Vec<String>,
    tokens: String,
    environment: String,
    scenario: String,
    glossary: String,
}

/// The report of one run as one HTML file.
#[must_use]
pub fn run_page(doc: &RunDocument, extras: &RunExtras) -> String {
    let s = &doc.summary;
    let slo = &doc.experiment.slo;
    let m = &doc.manifest;
    let stamp = format!("Started {} · seed {} · {} · model {}", m.started_utc, m.seed.0, endpoint(doc), m.endpoint.model);
    let t = &s.tokens;
    let mut environment = content::environment(doc);
    environment.rows.extend(extras.repeat.iter().map(|command| vec!["Repeat with".to_owned(), command.clone()]));
    let page = RunPage {
        head: Head::new("load test", &m.scenario_name, &m.question, &m.tool_version, stamp),
        verdict: verdict::of_run(s),
        interruption: content::interruption(doc),
        kpis: part::figures(&content::figures(s)),
        accounting: content::accounting(s),
        objectives: if s.objectives.is_empty() {
            String::new()
        } else {
            part::sentences(&content::objectives(s), "Objectives") + &paragraph(&content::objective_note(s))
        },
        client: paragraph(&content::client(s)),
        warnings: trust(doc),
        validity: part::sentences(&content::validity(s), "Checks of the client"),
        percentiles: part::chart(&figures::percentiles(s, slo)),
        distributions: [
            ("ttft", "TTFT", "Time to first token", &s.latency.ttft),
            ("itl", "ITL", "Gap per token, pooled over tokens", &s.latency.itl),
            ("tpot", "TPOT", "Time per output token, one value a request", &s.latency.tpot),
            ("e2e", "E2E", "Intended instant to last token", &s.latency.e2e),
        ]
        .into_iter()
        .filter(|(_, _, _, d)| d.n > 0)
        .map(|(id, name, what, d)| part::chart(&figures::latency(id, name, what, d)))
        .collect(),
        series: part::chart(&figures::series(s, slo)),
        errors: errors(doc),
        lengths: [
            ("input", "Input", &t.input_asked_bins, &t.input_observed_bins),
            ("output", "Output", &t.output_asked_bins, &t.output_observed_bins),
        ]
        .into_iter()
        .filter(|(_, _, asked, _)| !asked.is_empty())
        .map(|(id, side, asked, observed)| part::chart(&figures::lengths(id, side, asked, observed)))
        .collect(),
        tokens: part::numbers(&content::tokens(s), "Token reconciliation") + &paragraph(&content::token_note(s)),
        environment: part::sentences(&environment, "Environment"),
        scenario: part::json(&doc.experiment),
        glossary: part::glossary(),
    };
    super::inert(&part::rendered(&page))
}

/// Where the load went, short.
pub(super) fn endpoint(doc: &RunDocument) -> String {
    if doc.manifest.endpoint.embedded { "simulated endpoint".to_owned() } else { doc.manifest.endpoint.url.clone() }
}

pub(super) fn paragraph(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    format!("<p class=\"note\">{}</p>", crate::report::chart::escape(text))
}

fn trust(doc: &RunDocument) -> String {
    let warnings = part::warnings(doc.summary.validity.warnings.iter());
    if warnings.is_empty() { "<p>Yes: no check of the client found a reason to doubt.</p>".to_owned() } else { warnings }
}

fn errors(doc: &RunDocument) -> String {
    let (errors, notes) = (content::errors(doc), content::notes(&doc.summary));
    let mut out = if errors.rows.is_empty() {
        // Rule of three: with no error in n, the 95 % upper bound is 3 / n.
        let due = doc.summary.accounting.due;
        let bound = if due >= 30 {
            format!(
                " With none in {}, the true share is below {} (95% confidence).",
                crate::report::number::count(due),
                crate::report::number::share(3.0 / due as f64)
            )
        } else {
            String::new()
        };
        format!("<p>Every request that was due ended well.{bound}</p>")
    } else {
        part::sentences(&errors, "Errors by class")
    };
    if !notes.rows.is_empty() {
        out.push_str("<h3>Notes: seen, and no error</h3>");
        out.push_str(&part::sentences(&notes, "Notes"));
    }
    out
}
