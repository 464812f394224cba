//! A gate as JUnit XML: one suite a scenario, one case a metric or promise. FAIL is a failure, INVALID an error, INCONCLUSIVE skipped with its reason.

use super::{clean, written};
use crate::gate::{MetricVerdict, Mode, Report, Row, Verdict};
use crate::report::gate_content as content;
use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus, TestSuite, XmlString};

/// The gate as JUnit XML.
#[must_use]
pub fn gate(report: &Report) -> String {
    let name = if report.scenario.is_empty() { "gate" } else { &report.scenario };
    let mut suite = TestSuite::new(line(name));
    suite.add_property(Property::new("verdict", report.verdict.word()));
    suite.add_property(Property::new("mode", content::mode(report)));
    suite.add_property(Property::new("pairs", report.pairs.to_string()));
    suite.add_property(Property::new("tool_version", line(&report.tool_version)));
    let comparable = match report.verdict {
        Verdict::Invalid | Verdict::NotComparable => {
            let kind = if report.verdict == Verdict::Invalid { "invalid" } else { "not_comparable" };
            told(NonSuccessKind::Error, kind, &report.sentence, &report.reasons.join("; "))
        }
        _ => TestCaseStatus::success(),
    };
    suite.add_test_case(named(name, "the runs can be judged", comparable));
    for row in &report.rows {
        suite.add_test_case(named(name, row.metric.label(), of_row(row)));
    }
    for promise in &report.promises {
        suite.add_test_case(named(name, &promise.text, of_verdict(promise.verdict, "slo_not_met", &promise.reason)));
    }
    for alarm in report.changes.iter().filter(|c| c.alarm) {
        let message = format!("{} since {}", content::change(alarm.metric.scale(), alarm.change), alarm.label);
        suite.add_test_case(named(
            name,
            &format!("{} over nights", alarm.metric.label()),
            told(NonSuccessKind::Failure, "change_point", &message, ""),
        ));
    }
    for alarm in report.drifts.iter().filter(|d| d.alarm) {
        let message = format!("{} from the anchor", content::change(alarm.metric.scale(), alarm.change));
        let status = if report.mode == Mode::Trend { told(NonSuccessKind::Failure, "drift", &message, "") } else { skipped(&message) };
        suite.add_test_case(named(name, &format!("{} drift", alarm.metric.label()), status));
    }
    suite.set_system_out(line(&report.sentence));
    let mut whole = quick_junit::Report::new("plimsoll gate");
    whole.add_test_suite(suite);
    written(&whole)
}

fn of_row(row: &Row) -> TestCaseStatus {
    let figures = format!("{}, may be worse by {}", content::change_of(row), content::margin(row));
    match row.verdict {
        MetricVerdict::Fail => told(NonSuccessKind::Failure, "regression", &figures, &row.reason),
        MetricVerdict::Invalid => told(NonSuccessKind::Error, "invalid", &row.reason, ""),
        MetricVerdict::Inconclusive => skipped(&format!("inconclusive: {}", row.reason)),
        MetricVerdict::Pass | MetricVerdict::Improved | MetricVerdict::WorseWithinTolerance | MetricVerdict::Informational => {
            TestCaseStatus::success()
        }
    }
}

fn of_verdict(verdict: Verdict, kind: &str, reason: &str) -> TestCaseStatus {
    match verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Fail => told(NonSuccessKind::Failure, kind, reason, ""),
        Verdict::Inconclusive => skipped(&format!("inconclusive: {reason}")),
        Verdict::Invalid | Verdict::NotComparable => told(NonSuccessKind::Error, "invalid", reason, ""),
    }
}

fn told(kind: NonSuccessKind, name: &str, message: &str, description: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(name).set_message(line(message));
    if !description.is_empty() {
        status.set_description(line(description));
    }
    status
}

fn skipped(message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(line(message));
    status
}

fn named(suite: &str, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(line(name), status);
    case.set_classname(line(suite));
    case
}

/// On one line, so that a text that is shown in a log cannot begin a line of its own.
fn line(text: &str) -> XmlString {
    clean(&text.replace(['\r', '\n'], " "))
}
