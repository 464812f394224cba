//! `junit.xml`: one suite a scenario, one case an objective and one for validity, so that CI shows what failed by name.

mod gate;

use super::verdict::{self, Standing};
use super::{run_content, words};
use crate::base::diag::Severity;
use crate::measure::document::RunDocument;
use crate::measure::summary::{Objective, ObjectiveVerdict};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite, XmlString};

pub use gate::gate;

/// The run as JUnit XML. Invalid: an error; not met: a failure; undecided: skipped, with its reason.
#[must_use]
pub fn run(doc: &RunDocument) -> String {
    let s = &doc.summary;
    let mut suite = TestSuite::new(clean(&doc.manifest.scenario_name));
    suite.add_property(Property::new("seed", doc.manifest.seed.0.to_string()));
    suite.add_property(Property::new("started_utc", clean(&doc.manifest.started_utc)));
    suite.add_property(Property::new("tool_version", clean(&doc.manifest.tool_version)));
    for figure in run_content::figures(s) {
        let values: Vec<String> = figure.values.iter().map(|(label, value)| format!("{label} {value}").trim().to_owned()).collect();
        suite.add_property(Property::new(clean(&figure.name), clean(&values.join(", "))));
    }
    suite.add_property(Property::new("validity", s.validity.word()));
    suite.add_test_case(validity(doc));
    for objective in &s.objectives {
        suite.add_test_case(case(doc, objective));
    }
    suite.set_system_out(clean(&verdict::of_run(s).sentence));
    let mut report = Report::new("plimsoll");
    report.add_test_suite(suite);
    written(&report)
}

/// The text, without the one attribute that the schema of Jenkins does not know: `skipped` of the root.
fn written(report: &Report) -> String {
    let text = report.to_string().unwrap_or_default();
    let Some((head, rest)) = text.split_once("<testsuites ").and_then(|(head, rest)| Some((head, rest.split_once('>')?))) else { return text };
    let kept: Vec<&str> = rest.0.split(" skipped=\"").enumerate().map(|(i, part)| if i == 0 { part } else { after_quote(part) }).collect();
    format!("{head}<testsuites {}>{}", kept.concat(), rest.1)
}

fn after_quote(part: &str) -> &str {
    part.split_once('"').map_or("", |(_, after)| after)
}

fn validity(doc: &RunDocument) -> TestCase {
    let s = &doc.summary;
    let status = if verdict::of_run(s).standing == Standing::Invalid {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_type("invalid_run").set_message(clean(&verdict::of_run(s).sentence));
        let lines: Vec<String> = s
            .validity
            .warnings
            .iter()
            .filter(|w| w.severity == Severity::Invalid)
            .map(|w| format!("{}: {} [{}]\nhint: {}", words::severity(w.severity), w.message, w.code, w.hint))
            .collect();
        status.set_description(clean(&lines.join("\n")));
        status
    } else {
        TestCaseStatus::success()
    };
    named(doc, "the run is valid", status)
}

fn case(doc: &RunDocument, objective: &Objective) -> TestCase {
    let status = match objective.verdict {
        ObjectiveVerdict::Met => TestCaseStatus::success(),
        ObjectiveVerdict::NotMet => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type("slo_not_met").set_message(clean(&format!("{}, measured {}", objective.text, objective.measured)));
            status
        }
        ObjectiveVerdict::Undecided => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(clean(&format!("undecided: {}", objective.measured)));
            status
        }
    };
    named(doc, &objective.text, status)
}

fn named(doc: &RunDocument, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(clean(name), status);
    case.set_classname(clean(&doc.manifest.scenario_name));
    case
}

/// Without the characters that XML 1.0 has no way to write, and without overrides of the writing direction; escaping is the serializer's.
fn clean(text: &str) -> XmlString {
    let kept: String = text
        .chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}') => '\u{fffd}',
            c => c,
        })
        .collect();
    XmlString::new(kept)
}
