//! The published schemas of run.json, sweep.json, plan.json, probe.json and verify.json are those that the types generate.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use plimsoll::measure::{document, knee, probe};
use plimsoll::planner::{recommendation, verification};
use std::path::Path;

#[test]
fn the_committed_schemas_are_the_generated_ones() {
    for (name, schema) in [
        ("run", document::json_schema()),
        ("sweep", knee::document::json_schema()),
        ("plan", recommendation::json_schema()),
        ("probe", probe::document::json_schema()),
        ("verify", verification::json_schema()),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/{name}.schema.json"));
        let mut generated = serde_json::to_string_pretty(&schema).unwrap();
        generated.push('\n');
        if std::env::var_os("PLIMSOLL_REGENERATE").is_some() {
            std::fs::write(&path, &generated).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == generated,
            "docs/{name}.schema.json is out of date; regenerate it with: PLIMSOLL_REGENERATE=1 cargo test --test run_schema"
        );
    }
}
