//! A gate as each reader meets it: valid documents, the same verdict in every form, hostile texts inert, sizes kept.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "gate/fixture.rs"]
mod fixture;
#[path = "gate/junit_rules.rs"]
mod junit_rules;
#[path = "report/markup.rs"]
mod markup;
#[path = "gate/schema_rules.rs"]
mod schema_rules;

use fixture::{all, hostile, slo};
use markup::{elements, well_formed};
use plimsoll::gate::{self, Report, Rules, Verdict, paired};
use plimsoll::report::html::{GateRuns, gate_page};
use plimsoll::report::markdown::{GATE_BUDGET, gate_marker};
use plimsoll::report::terminal::{self, Paint};
use plimsoll::report::{annotation, junit, load_performance, markdown, openmetrics};
use serde_json::Value;
use std::path::Path;

fn every() -> Vec<(&'static str, Report)> {
    let mut every = all();
    every.extend([("slo", slo()), ("hostile", hostile())]);
    every
}

/// What a reader of result.json finds; a float may come back with another last digit, so that the whole is not compared.
fn read_again(report: &Report) -> (Verdict, usize, String) {
    let read: Report = serde_json::from_str(&report.to_json()).unwrap();
    (read.verdict, read.rows.len(), read.scenario)
}

#[test]
fn the_fixture_has_the_verdicts_that_its_names_promise() {
    let verdicts: Vec<Verdict> = all().into_iter().map(|(_, r)| r.verdict).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive, Verdict::Invalid, Verdict::NotComparable]);
}

#[test]
fn the_published_schema_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/gate.schema.json");
    let generated = format!("{:#}\n", gate::json_schema());
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "out of date; write it again: cargo run -- schema gate > docs/gate.schema.json");
}

/// forall gates: result.json is as its published schema says, and is read back as it was
#[test]
fn every_result_keeps_to_the_schema() {
    let schema = gate::json_schema();
    for (name, report) in every() {
        let value: Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(schema_rules::faults(&schema, &schema, &value, ""), Vec::<String>::new(), "{name}");
        assert_eq!(read_again(&report), (report.verdict, report.rows.len(), report.scenario.clone()), "{name}");
    }
    // The test would notice.
    let mut broken: Value = serde_json::from_str(&slo().to_json()).unwrap();
    broken["verdict"] = "MAYBE".into();
    broken.as_object_mut().unwrap().remove("rows");
    assert!(schema_rules::faults(&schema, &schema, &broken, "").len() >= 2);
}

/// forall gates: junit.xml keeps the rules of Jenkins; FAIL is a failure, INVALID and NOT COMPARABLE an error, INCONCLUSIVE skipped
#[test]
fn junit_keeps_the_rules_of_jenkins_and_tells_verdicts_apart() {
    for (name, report) in every() {
        let xml = junit::gate(&report);
        assert_eq!(junit_rules::faults(&xml), Vec::<String>::new(), "{name}");
        let has = |tag: &str| xml.contains(tag);
        match report.verdict {
            Verdict::Pass => assert!(!has("<failure") && !has("<error") && !has("<skipped"), "{xml}"),
            Verdict::Fail => assert!(has("<failure") && !has("<error"), "{xml}"),
            Verdict::Inconclusive => assert!(has("<skipped") && !has("<failure") && !has("<error"), "{xml}"),
            Verdict::Invalid | Verdict::NotComparable => assert!(has("<error") && !has("<failure"), "{xml}"),
        }
    }
    for (broken, fault) in [
        ("<?xml version=\"1.0\" encoding=\"UTF-8\"?><testsuites><testcase name=\"a\"/></testsuites>", "inside"),
        ("<?xml version=\"1.0\" encoding=\"UTF-8\"?><testsuites><testsuite name=\"a\"></testsuite></testsuites>", "lacks tests"),
        ("<?xml version=\"1.0\" encoding=\"UTF-8\"?><testsuites uuid=\"a\"></testsuites>", "no attribute"),
    ] {
        assert!(junit_rules::faults(broken).iter().any(|f| f.contains(fault)), "{broken}");
    }
}

/// forall gates: the same verdict in every form, first thing
#[test]
fn every_form_tells_the_same_verdict_first() {
    for (name, report) in all() {
        let word = report.verdict.word();
        assert!(terminal::gate(&report, Paint::Plain).lines().next().unwrap().contains(word), "{name}");
        let summary = markdown::gate(&report, "");
        let mut lines = summary.lines();
        assert!(lines.next().unwrap().contains(word), "{name}: {summary}");
        assert_eq!(lines.next(), Some(gate_marker("chat-peak").as_str()), "{name}");
        assert!(gate_page(&report, &GateRuns::default(), "").contains(&format!(" {word}</span>")), "{name}");
        assert!(openmetrics::gate(&report).contains(&format!("verdict=\"{word}\"}} 1\n")), "{name}");
        let k6: Value = serde_json::from_str(&load_performance::gate(&report, &[])).unwrap();
        assert_eq!(k6["plimsoll"]["verdict"], word, "{name}");
        match annotation::github(&report, true) {
            None => assert_eq!(report.verdict, Verdict::Pass),
            Some(line) => assert!(line.starts_with("::error ") && line.contains(word), "{line}"),
        }
    }
}

/// One file: nothing that runs, nothing that is fetched, no link but inside the page, no identifier twice.
fn asks_for_nothing(name: &str, page: &str) {
    let mut ids = std::collections::BTreeSet::new();
    for e in elements(page) {
        assert!(
            !matches!(e.name.as_str(), "script" | "link" | "img" | "iframe" | "object" | "embed" | "form" | "image" | "use" | "base"),
            "{name}: {e:?}"
        );
        assert!(e.get("href").is_none_or(|to| to.starts_with('#')), "{name}: {e:?}");
        for (key, value) in &e.attributes {
            assert!(!key.starts_with("on") && !matches!(key.as_str(), "src" | "srcset" | "action" | "style"), "{name}: {e:?}");
            assert!(key != "id" || ids.insert(value.clone()), "{name}: id {value} twice");
        }
    }
}

/// forall gates: the page is one small file, well formed, the same twice, and shows no number that is none
#[test]
fn the_page_is_one_small_file() {
    for (name, report) in every() {
        let page = gate_page(&report, &GateRuns::default(), "plimsoll gate x.toml");
        well_formed(&page).unwrap_or_else(|e| panic!("{name}: {e}"));
        asks_for_nothing(name, &page);
        assert!(page.len() <= 400_000, "{name}: {} bytes", page.len());
        assert!(!page.contains("NaN") && !page.contains(">inf<"), "{name}");
        assert_eq!(page, gate_page(&report, &GateRuns::default(), "plimsoll gate x.toml"), "{name}");
        if let Some(folder) = std::env::var_os("PLIMSOLL_REPORT_OUT") {
            std::fs::write(Path::new(&folder).join(format!("gate-{name}.html")), &page).unwrap();
        }
    }
}

/// What came from outside can neither open markup, end a string, begin a command nor move a cursor, in any form.
#[test]
fn hostile_texts_are_inert_in_every_form() {
    let report = hostile();
    let page = gate_page(&report, &GateRuns::default(), fixture::HOSTILE);
    well_formed(&page).unwrap();
    asks_for_nothing("hostile", &page);
    let xml = junit::gate(&report);
    assert_eq!(junit_rules::faults(&xml), Vec::<String>::new());
    let summary = markdown::gate(&report, fixture::HOSTILE);
    assert!(!summary.contains("<script") && !summary.contains("<img") && !summary.contains("@all"), "{summary}");
    for text in [&summary, &xml] {
        assert!(!text.lines().any(|l| l.trim_start().starts_with("::")), "{text}");
    }
    for text in [&page, &xml, &summary, &terminal::gate(&report, Paint::Plain), &openmetrics::gate(&report)] {
        assert!(!text.chars().any(|c| matches!(c, '\u{1b}' | '\0' | '\u{202e}')), "{text}");
    }
    let line = annotation::github(&report, true).unwrap();
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(!line.contains(['\r', '\u{1b}', '\u{202e}']) && line.contains("%0A::error::owned%0D%0A%250A"), "{line}");
    // OpenMetrics: each line is a comment or name{labels} value.
    for line in openmetrics::gate(&report).lines().filter(|l| !l.starts_with('#')) {
        assert!(line.starts_with("plimsoll_gate_") && line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
    }
    // JSON holds it as it was, and nothing that a parser stumbles over.
    assert_eq!(read_again(&report), (report.verdict, report.rows.len(), report.scenario.clone()));
    assert!(serde_json::from_str::<Value>(&load_performance::gate(&report, &[])).is_ok());
}

#[test]
fn a_summary_is_never_longer_than_its_budget_and_keeps_verdict_and_marker() {
    let mut report = hostile();
    report.reasons = vec![fixture::HOSTILE.repeat(40); 400];
    let summary = markdown::gate(&report, &"x".repeat(40_000));
    assert!(summary.len() <= GATE_BUDGET, "{}", summary.len());
    assert!(summary.lines().next().unwrap().contains("FAIL") && summary.contains("<!-- plimsoll-gate:") && summary.contains("(cut;"));
    report.sentence = "\u{e9}".repeat(100_000);
    let summary = markdown::gate(&report, "");
    assert!(summary.len() <= GATE_BUDGET && summary.contains("FAIL"), "{}", summary.len());
    // Folded parts are there while they fit.
    let small = markdown::gate(&paired::look(&Rules::default(), &fixture::pairs(4, 1.0)), "plimsoll gate x.toml");
    assert!(small.contains("<summary>Rounds</summary>") && small.ends_with("Again: `plimsoll gate x.toml`\n"), "{small}");
}

/// GitLab compares metrics as texts: the same number of decimals whatever the value, so that nothing changes but the figures.
#[test]
fn open_metrics_have_fixed_decimals_types_and_an_end() {
    for (name, report) in every() {
        let text = openmetrics::gate(&report);
        assert!(text.ends_with("# EOF\n"), "{name}");
        let mut typed = std::collections::BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert!(typed.insert(rest.split(' ').next().unwrap().to_owned()), "{name}: {rest} twice");
            } else if !line.starts_with('#') {
                assert!(typed.contains(line.split('{').next().unwrap()), "{name}: {line}");
                assert!(!line.contains("NaN") && !line.contains("inf}") && !line.ends_with("inf"), "{name}: {line}");
            }
        }
    }
    let pass = openmetrics::gate(&all()[0].1);
    let base = pass.lines().find(|l| l.starts_with("plimsoll_gate_ttft_p95_milliseconds") && l.contains("base")).unwrap();
    assert_eq!(base.rsplit_once('.').unwrap().1.len(), 4, "{base}");
}
