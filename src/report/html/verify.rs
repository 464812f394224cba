//! The page of a verification, and its section inside a plan.

use super::part::{self, Head};
use super::run;
use crate::measure::document::RunDocument;
use crate::planner::recommendation::Recommendation;
use crate::planner::verification::Verification;
use crate::report::verify_content as content;
use askama::Template;

#[derive(Template)]
#[template(path = "verify.html", config = "src/report/html/askama.toml")]
struct VerifyPage {
    head: Head,
    class: &'static str,
    word: String,
    sentence: String,
    advice: String,
    rows: String,
    checks: String,
    warnings: String,
}

/// The report of a verification as one HTML file.
#[must_use]
pub fn verify_page(plan: &Recommendation, doc: &RunDocument, found: &Verification) -> String {
    let m = &doc.manifest;
    let stamp = format!("Started {} \u{b7} seed {} \u{b7} {} \u{b7} model {}", m.started_utc, m.seed.0, run::endpoint(doc), m.endpoint.model);
    let standing = content::standing(doc, found);
    let page = VerifyPage {
        head: Head::new("verification of a plan", &plan.scenario, &plan.question, &plan.tool_version, stamp),
        class: standing.class(),
        word: format!("{} {}", standing.sign(), content::word(doc, found)),
        sentence: content::sentence(doc, found),
        advice: content::advice(doc, found),
        rows: part::numbers(&content::rows(found), "Measured against predicted") + &run::paragraph(&content::note(found)),
        checks: part::sentences(&content::checks(found), "What the plan took for granted"),
        warnings: part::warnings(doc.summary.validity.warnings.iter()),
    };
    super::inert(&part::rendered(&page))
}

/// The comparison as part of a plan's page.
pub(super) fn section(doc: &RunDocument, found: &Verification) -> String {
    run::paragraph(&format!("{}: {}", content::word(doc, found), content::sentence(doc, found)))
        + &run::paragraph(&content::advice(doc, found))
        + &part::numbers(&content::rows(found), "Measured against predicted")
        + &run::paragraph(&content::note(found))
        + &part::sentences(&content::checks(found), "What the plan took for granted")
}
