//! Every shipped scenario is executed against the embedded endpoint, shortened by overrides and not by a copy.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Stdio};

fn scenarios() -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .map(|p| p.display().to_string())
        .collect();
    names.sort();
    assert!(names.len() >= 8, "{names:?}");
    names
}

/// A quick endpoint, a short window, no objectives: the shape of the scenario stays.
const SHORT: [&str; 6] = [
    "load.warmup=200ms",
    "load.measure=1500ms",
    "load.drain=20s",
    "slo={}",
    "workload.max_output=24",
    "endpoint.step={base=\"1ms\",per_sequence=\"20us\",per_prefill_token=\"200ns\",per_context_token=\"1ns\"}",
];

#[test]
fn every_shipped_scenario_runs() {
    for path in scenarios() {
        let out = tempfile::TempDir::new().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("\nurl = "), "{path}: a shipped scenario that names a URL cannot be executed here");
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command.args(["run", &path, "--seed", "11", "--quiet", "--format", "json", "--out"]).arg(out.path()).stdin(Stdio::null());
        for set in SHORT {
            command.args(["--set", set]);
        }
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{path}: {e}\n{told}"));
        let a = &document["summary"]["accounting"];
        let (due, ok) = (a["due"].as_u64().unwrap(), a["ok"].as_u64().unwrap());
        assert!(due > 0, "{path}: nothing was due\n{told}");
        assert_eq!(ok, due, "{path}: {a}\n{told}");
        let class = document["summary"]["accounting"]["outcomes"].clone();
        assert_eq!(class["ok"].as_u64(), Some(ok), "{path}: {class}");
    }
}
