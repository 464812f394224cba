//! The scenarios that are shipped: each passes `check`, opens with its question, and the JSON Schema beside them is the one of the types.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use plimsoll::base::rng::Seed;
use plimsoll::scenario::check::check;
use plimsoll::scenario::experiment::Experiment;
use plimsoll::scenario::schema::json_schema;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// Name and text of every shipped scenario, by name.
fn shipped() -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder()).expect("the folder of scenarios is part of the repository");
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    files.sort();
    let read = |path: &PathBuf| std::fs::read_to_string(path).expect("a scenario is a text");
    files.iter().map(|path| (path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), read(path))).collect()
}

fn checked(name: &str, text: &str) -> Experiment {
    check(&format!("scenarios/{name}.toml"), text.as_bytes(), &folder(), &[], Seed(1)).unwrap_or_else(|faults| {
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        panic!("{}", told.join("\n"))
    })
}

#[test]
fn every_scenario_passes_check() {
    let shipped = shipped();
    assert!(shipped.len() >= 9, "{}", shipped.len());
    for (name, text) in shipped {
        assert_eq!(checked(&name, &text).scenario.name, name);
    }
}

#[test]
fn every_scenario_opens_with_its_schema_and_its_question() {
    for (name, text) in shipped() {
        let scenario = checked(&name, &text).scenario;
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("#:schema ./scenario.schema.json"), "{name}");
        assert!(scenario.question.ends_with('?'), "{name}: {:?}", scenario.question);
        assert_eq!(lines.next(), Some(format!("# {}", scenario.question).as_str()), "{name}");
    }
}

#[test]
fn the_committed_schema_is_the_one_of_the_types() {
    let committed = std::fs::read_to_string(folder().join("scenario.schema.json")).unwrap_or_default();
    let generated = format!("{:#}\n", json_schema());
    // Line ends may have been translated by the checkout.
    assert!(committed.replace("\r\n", "\n") == generated, "out of date; write it again: cargo run -- schema > scenarios/scenario.schema.json");
}

#[test]
fn every_table_of_requests_is_beside_the_scenarios() {
    for (name, text) in shipped() {
        let experiment = checked(&name, &text);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((_, rest)) = line.split_once("path = \"") else { continue };
            let path = Path::new(rest.split('"').next().unwrap());
            assert!(experiment.resolve(path).starts_with(folder().join("traces")), "{name}: {}", path.display());
        }
    }
}
