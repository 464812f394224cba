//! The fit as its user meets it: the experiments within a budget, the model they give, and too little to fit.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const SCENARIO: &str = "name = \"quick\"\n[load]\narrivals = { poisson = { rate = \"1/s\" } }\ndrain = \"10s\"\n\
    [workload]\nlengths = { independent = { input = { lognormal = { median = 60, sigma = 0.8 } }, output = { uniform = { min = 4, max = 16 } } } }\nmax_input = 400\n\
    [endpoint]\nstep = { base = \"1500us\", per_sequence = \"200us\", per_prefill_token = \"10us\", per_context_token = \"50ns\" }\nprefill_budget = 64\nmax_batch = 3\n";

fn plimsoll(args: &[&str], dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll")).args(args).args(["--quiet", "--format", "json"]).current_dir(dir).output().unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// The experiments fit the budget, say what it did not pay for, and give a model that names what it could not see.
#[test]
fn experiments_within_a_budget_give_a_model() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("quick.toml"), SCENARIO).unwrap();
    let swept =
        plimsoll(&["sweep", "quick.toml", "--for-fit", "--token-budget", "50000", "--seed", "3", "--allow-client-limit", "--out", "out"], dir.path());
    let swept = json(&swept);
    assert!(swept["experiments"].as_u64().unwrap() >= 5, "{swept}");
    assert!(swept["tokens"].as_f64().unwrap() <= 50_000.0, "{swept}");
    assert!(!swept["left_out"].as_array().unwrap().is_empty(), "{swept}");
    let folder = PathBuf::from(swept["folder"].as_str().unwrap());
    let fitted = plimsoll(&["fit", folder.to_str().unwrap()], dir.path());
    assert_eq!(fitted.status.code(), Some(0));
    let model = json(&fitted);
    assert_eq!(model["draws"].as_array().unwrap().len(), 160);
    assert!(model["quality"]["requests"].as_u64().unwrap() > 100, "{}", model["quality"]);
    let what: Vec<&str> = model["assumed"].as_array().unwrap().iter().map(|a| a["what"].as_str().unwrap()).collect();
    assert!(what.contains(&"queue of a chunk"), "{what:?}");
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(dir.path().join(folder).join("model.json")).unwrap()).unwrap();
    assert_eq!(written, model);
}

#[test]
fn too_little_to_fit_is_12_and_no_run_is_2() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("quick.toml"), SCENARIO).unwrap();
    let load = ["--set", "load.warmup=0s", "--set", "load.measure=200ms", "--request-rate", "5", "--set", "workload.max_output=4"];
    let run = plimsoll(&[&["run", "quick.toml", "--seed", "3", "--out", "out"], &load[..]].concat(), dir.path());
    assert!(run.status.code().is_some(), "{run:?}");
    let fitted = plimsoll(&["fit", &only_run(&dir.path().join("out"))], dir.path());
    assert_eq!(fitted.status.code(), Some(12), "{}", String::from_utf8_lossy(&fitted.stderr));
    assert_eq!(plimsoll(&["fit", "."], dir.path()).status.code(), Some(2));
}

fn only_run(out: &Path) -> String {
    let inner = |path: &Path| std::fs::read_dir(path).unwrap().next().expect("a folder").unwrap().path();
    inner(&inner(out)).display().to_string()
}
