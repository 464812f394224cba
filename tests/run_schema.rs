//! The published schema of `run.json` is the one that the types generate.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use plimsoll::measure::document;
use std::path::Path;

#[test]
fn the_committed_schema_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/run.schema.json");
    let mut generated = serde_json::to_string_pretty(&document::json_schema()).unwrap();
    generated.push('\n');
    if std::env::var_os("PLIMSOLL_REGENERATE").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "docs/run.schema.json is out of date; regenerate it with: PLIMSOLL_REGENERATE=1 cargo test --test run_schema");
}
