//! The reports as a reader meets them: complete, inert, small, the same twice, and true to the JSON beside them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "report/fixture.rs"]
mod fixture;
#[path = "report/markup.rs"]
mod markup;
#[path = "report/sweep_fixture.rs"]
mod sweep_fixture;

use markup::{elements, well_formed};
use plimsoll::measure::document::RunDocument;
use plimsoll::measure::knee::Reason;
use plimsoll::report::html::{PlanExtras, RunExtras, capacity_page, plan_page, run_page, sweep_page};
use plimsoll::report::terminal::{self, Paint};
use plimsoll::report::{junit, markdown, number};

const HOSTILE: &str =
    "</script><script>alert(1)</script> <img onerror=x src=//e.x> \"q' ]]> \u{1b}[31mred\u{202e}abc\u{0} `|*@all 大型语言模型 &amp;";

/// Loads around the capacity of the made-up queue, requests per second.
const LOADS: &[f64] = &[6.0, 9.0, 10.0, 11.0, 12.0, 13.0];

fn pages() -> Vec<(&'static str, String)> {
    let (sweep, fit, verify) = (fixture::sweep(), fixture::fit(), fixture::run(12.0, 80, 5));
    let extras = PlanExtras { sweep: &sweep, fit: &fit, verify: Some(&verify), verification: None, made_utc: "2026-03-04T11:00:00Z" };
    let (steps, found) = sweep_fixture::capacity_sweep(LOADS, None);
    vec![
        ("capacity", capacity_page(&steps, &found)),
        ("run", run_page(&fixture::run(12.0, 80, 1), &RunExtras::default())),
        ("overloaded", run_page(&fixture::run(17.0, 48, 2), &RunExtras::default())),
        ("sweep", sweep_page(&sweep, &fit)),
        ("plan", plan_page(&fixture::plan(), &extras)),
        ("plan-alone", plan_page(&fixture::plan(), &PlanExtras::default())),
    ]
}

/// forall pages: one file, no outside request, no script, well formed, at most 400 KB
#[test]
fn pages_are_one_small_file_that_asks_for_nothing() {
    for (name, page) in pages() {
        if let Some(folder) = std::env::var_os("PLIMSOLL_REPORT_OUT") {
            std::fs::write(std::path::Path::new(&folder).join(format!("{name}.html")), &page).unwrap();
        }
        assert!(page.len() <= 400_000, "{name}: {} bytes", page.len());
        well_formed(&page).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(page.contains("default-src 'none'") && page.contains("<html lang=\"en\">") && page.contains("class=\"skip\""), "{name}");
        let mut ids = std::collections::BTreeSet::new();
        for e in elements(&page) {
            assert!(
                !matches!(e.name.as_str(), "script" | "link" | "img" | "iframe" | "object" | "embed" | "form" | "image" | "use" | "base"),
                "{name}: {e:?}"
            );
            for (key, value) in &e.attributes {
                assert!(!key.starts_with("on"), "{name}: {e:?}");
                assert!(!matches!(key.as_str(), "src" | "srcset" | "xlink:href" | "action" | "fill" | "stroke" | "style"), "{name}: {e:?}");
                assert!(key != "href" || value.starts_with('#'), "{name}: {e:?}");
                assert!(key != "id" || ids.insert(value.clone()), "{name}: id {value} twice");
            }
        }
        let style = page.split("<style>").nth(1).and_then(|s| s.split("</style>").next()).unwrap();
        assert!(!style.contains("@import") && !style.contains("http") && style.matches("url(").count() == style.matches("url(#").count(), "{name}");
    }
}

/// forall pages: every chart has a name, a description and a table; every table has heads with a scope
#[test]
fn charts_speak_to_those_who_do_not_see_them() {
    for (name, page) in pages() {
        let all = elements(&page);
        let charts: Vec<_> = all.iter().filter(|e| e.name == "svg" && e.get("role") == Some("img")).collect();
        assert!(charts.len() >= if name == "sweep" { 1 } else { 2 }, "{name}");
        assert_eq!(page.matches("<desc id=").count(), charts.len(), "{name}");
        assert_eq!(
            all.iter().filter(|e| e.name == "figure").count(),
            all.iter().filter(|e| e.name == "summary" && e.text.starts_with("The numbers of")).count()
        );
        assert!(all.iter().filter(|e| e.name == "th").all(|e| e.get("scope").is_some()), "{name}");
        assert!(!page.contains("NaN") && !page.contains(">inf"), "{name} shows a number that is none");
    }
}

/// forall documents: rendering twice gives the same bytes, and so does a document that went through JSON
#[test]
fn same_input_same_bytes() {
    let doc = fixture::run(12.0, 80, 1);
    let again = RunDocument::from_json(&doc.to_json()).unwrap();
    assert_eq!(run_page(&doc, &RunExtras::default()), run_page(&again, &RunExtras::default()));
    assert_eq!(terminal::run(&doc, Paint::Plain), terminal::run(&again, Paint::Plain));
    let plan = fixture::plan();
    let again = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(plan_page(&plan, &PlanExtras::default()), plan_page(&again, &PlanExtras::default()));
}

/// forall main figures: page, terminal and Markdown show the value of the JSON, formatted
#[test]
fn every_main_figure_is_the_one_of_the_document() {
    let doc = fixture::run(12.0, 80, 1);
    let value: serde_json::Value = serde_json::from_str(&doc.to_json()).unwrap();
    let s = &value["summary"];
    let real = |v: &serde_json::Value| number::real(v.as_f64().unwrap());
    let at = |metric: &str, p: &str| {
        let found = s["latency"][metric]["percentiles"].as_array().unwrap().iter().find(|v| v["name"] == p).unwrap();
        number::millis(found["value_ms"].as_f64().unwrap())
    };
    let errors: u64 = ["failed", "throttled", "timed_out", "shed"].iter().map(|k| s["accounting"][k].as_u64().unwrap()).sum();
    let due = s["accounting"]["due"].as_u64().unwrap();
    let mut wanted = vec![
        format!("{}/s", real(&s["offered_rate"])),
        format!("{}/s", real(&s["served_rate"])),
        format!("{} tok/s", real(&s["throughput"]["output_tok_s"])),
        format!("{} tok/s", real(&s["throughput"]["total_tok_s"])),
        number::share(s["goodput"]["share"].as_f64().unwrap()),
        number::share(errors as f64 / due as f64),
    ];
    wanted.extend([("ttft", "p50"), ("ttft", "p95"), ("ttft", "p99"), ("tpot", "p50"), ("tpot", "p95"), ("e2e", "p95")].map(|(m, p)| at(m, p)));
    let page = run_page(&doc, &RunExtras::default());
    let kpis = page.split("<ul class=\"kpis\">").nth(1).unwrap().split("</ul>").next().unwrap();
    let (screen, summary) = (terminal::run(&doc, Paint::Plain), markdown::run(&doc));
    for text in wanted {
        assert!(kpis.contains(&text), "{text} is not among the main figures: {kpis}");
        assert!(screen.contains(&text), "{text} is not on the screen:\n{screen}");
        assert!(summary.contains(&text), "{text} is not in the summary");
    }
}

/// forall sweeps: the page, the summary and the screen say the capacity with its interval and the knee, or the reason why there is none
#[test]
fn a_capacity_sweep_says_its_interval_or_its_reason() {
    let (steps, found) = sweep_fixture::capacity_sweep(LOADS, None);
    let c = found.slo_capacity.clone().unwrap();
    let page = capacity_page(&steps, &found);
    let again = serde_json::from_str(&found.to_json()).unwrap();
    assert_eq!(page, capacity_page(&steps, &again), "the same document twice");
    let said = [
        format!("SLO capacity {} requests/s", number::real(c.estimate)),
        format!("between {} and {} requests/s", number::real(c.low), number::real(c.high)),
        format!("Knee: {} requests/s", number::real(found.knee.unwrap())),
    ];
    for text in &said {
        assert!(page.contains(text), "{text} is not on the page");
        assert!(markdown::capacity(&found).contains(text), "{text} is not in the summary");
        assert!(terminal::capacity(&found, Paint::Plain).contains(text), "{text} is not on the screen");
    }
    assert!(page.contains("CAPACITY FOUND") && page.contains("Windows of the search"));
    for (loads, reason) in [(&LOADS[..1], Reason::EverythingMeets), (&LOADS[5..], Reason::NothingMeets), (&LOADS[..1], Reason::BudgetSpent)] {
        let (steps, found) = sweep_fixture::capacity_sweep(loads, Some(reason));
        assert_eq!(found.slo_capacity, None);
        let page = capacity_page(&steps, &found);
        let text = format!("No SLO capacity: {}", reason.sentence());
        assert!(page.contains(&text) && markdown::capacity(&found).contains(&text), "{text}");
        assert!(!page.contains("CAPACITY FOUND"));
    }
}

#[test]
fn hostile_names_stay_text_in_every_format() {
    let mut doc = fixture::run(12.0, 80, 1);
    doc.manifest.scenario_name = HOSTILE.into();
    doc.manifest.question = HOSTILE.into();
    doc.manifest.endpoint.model = HOSTILE.into();
    doc.manifest.endpoint.server_header = Some(HOSTILE.into());
    doc.manifest.failures.insert("server_error".into(), HOSTILE.repeat(20));
    doc.experiment.question = HOSTILE.into();
    doc.summary.objectives[0].text = HOSTILE.into();
    doc.summary.accounting.outcomes.insert(HOSTILE.into(), 3);
    let page = run_page(&doc, &RunExtras { repeat: Some(HOSTILE.into()) });
    well_formed(&page).unwrap();
    assert!(elements(&page).iter().all(|e| e.name != "script" && e.name != "img"));
    assert!(page.contains("大型语言模型") && !page.contains(['\u{1b}', '\u{202e}', '\u{0}']));
    let screen = terminal::run(&doc, Paint::Plain);
    assert!(!screen.contains(['\u{1b}', '\u{202e}', '\u{0}']));
    let summary = markdown::run(&doc);
    assert!(!summary.contains("<script") && !summary.contains("<img") && !summary.contains("@all") && !summary.contains('\u{1b}'));
    let xml = junit::run(&doc);
    well_formed(&xml).unwrap();
    assert!(!xml.contains("<script") && !xml.contains(['\u{1b}', '\u{0}']));
    let mut plan = fixture::plan();
    plan.scenario = HOSTILE.into();
    plan.sentence = HOSTILE.into();
    plan.currency = HOSTILE.into();
    plan.naive[0].rule = HOSTILE.into();
    plan.assumptions[0].value = HOSTILE.into();
    let page = plan_page(&plan, &PlanExtras::default());
    well_formed(&page).unwrap();
    assert!(elements(&page).iter().all(|e| e.name != "script" && e.name != "img"));
    assert!(!markdown::plan(&plan).contains("<script") && !terminal::plan(&plan, Paint::Plain).contains('\u{1b}'));
}

#[test]
fn verdicts_lead_every_format_and_need_no_colour() {
    let (good, bad) = (fixture::run(12.0, 80, 1), fixture::run(17.0, 48, 2));
    let mut invalid = good.clone();
    invalid.summary.validity.valid = false;
    for (doc, word) in [(&good, "OBJECTIVES MET"), (&bad, "OBJECTIVES NOT MET"), (&invalid, "INVALID")] {
        assert!(terminal::run(doc, Paint::Plain).lines().next().unwrap().contains(word), "{}", terminal::run(doc, Paint::Plain));
        assert!(markdown::run(doc).lines().next().unwrap().contains(word));
        assert!(run_page(doc, &RunExtras::default()).contains(word));
        assert!(terminal::run(doc, Paint::Color).contains("\u{1b}["));
    }
    assert!(terminal::plan(&fixture::plan(), Paint::Plain).lines().next().unwrap().contains("Buy min 2, max 5 chunks of 1,580 tokens/s"));
    assert!(markdown::plan(&fixture::plan()).lines().next().unwrap().contains("Buy min 2, max 5 chunks of 1,580 tokens/s"));
    assert!(markdown::run(&bad).len() < 32_000);
}

#[test]
fn junit_says_met_not_met_and_invalid() {
    let (good, bad) = (junit::run(&fixture::run(12.0, 80, 1)), junit::run(&fixture::run(17.0, 48, 2)));
    for xml in [&good, &bad] {
        well_formed(xml).unwrap();
    }
    assert!(good.contains("failures=\"0\"") && good.contains("tests=\"6\"") && good.contains("name=\"the run is valid\""), "{good}");
    assert!(bad.contains("<failure message=\"TTFT p95"), "{bad}");
    let mut invalid = fixture::run(12.0, 80, 1);
    invalid.summary.validity.valid = false;
    assert!(junit::run(&invalid).contains("<error "));
}

#[test]
fn empty_documents_render() {
    let mut doc = fixture::run(0.001, 1, 1);
    doc.summary.series.points.clear();
    doc.summary.objectives.clear();
    let page = run_page(&doc, &RunExtras::default());
    well_formed(&page).unwrap();
    assert!(page.contains("n/a"));
    let mut plan = fixture::plan();
    plan.chosen = None;
    plan.frontier.clear();
    plan.naive.clear();
    plan.next_cheaper = None;
    plan.timeline.points.clear();
    plan.next_worst.clear();
    plan.sensitivity = None;
    plan.break_even = None;
    plan.headroom.clear();
    plan.sentence = "No size up to 32 chunks keeps the promise.".into();
    let page = plan_page(&plan, &PlanExtras::default());
    well_formed(&page).unwrap();
    assert!(page.contains("No size keeps the promise"));
    assert!(terminal::plan(&plan, Paint::Plain).contains("No size keeps the promise"));
    assert!(sweep_page(&[], &[]).is_empty());
}

/// forall colours of the style sheet: text has a contrast of 4.5, marks of 3 against what they stand on (WCAG 2.2, 1.4.3 and 1.4.11)
#[test]
fn colours_have_contrast_in_light_and_dark() {
    let page = run_page(&fixture::run(12.0, 80, 1), &RunExtras::default());
    let style = page.split("<style>").nth(1).unwrap();
    for block in style.split(":root{").skip(1).map(|b| b.split('}').next().unwrap()) {
        let color = |name: &str| {
            let hex = block.split(&format!("--{name}:#")).nth(1).unwrap().split([';', '}']).next().unwrap();
            let full: String = if hex.len() == 3 { hex.chars().flat_map(|c| [c, c]).collect() } else { hex.to_owned() };
            let linear = |i: usize| {
                let c = f64::from(u8::from_str_radix(&full[i..i + 2], 16).unwrap()) / 255.0;
                if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * linear(0) + 0.7152 * linear(2) + 0.0722 * linear(4)
        };
        let contrast = |a: &str, b: &str| {
            let (x, y) = (color(a), color(b));
            (x.max(y) + 0.05) / (x.min(y) + 0.05)
        };
        for ground in ["bg", "card", "soft"] {
            for text in ["text", "muted"] {
                assert!(contrast(text, ground) >= 4.5, "{text} on {ground}: {}", contrast(text, ground));
            }
            for mark in ["c1", "c2", "c3", "c4", "c5", "axis"] {
                assert!(contrast(mark, ground) >= 3.0, "{mark} on {ground}: {}", contrast(mark, ground));
            }
        }
        // Links, folds and the words of a verdict are coloured text.
        for (word, ground) in [("c1", "bg"), ("c1", "card"), ("c3", "soft"), ("c4", "soft")] {
            assert!(contrast(word, ground) >= 4.5, "{word} on {ground}: {}", contrast(word, ground));
        }
    }
}
