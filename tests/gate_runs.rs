//! The gate on runs that are on disk: sides, history, promises, nights, and a baseline that only grows from what passed. One short run is made; the others are
//! that run with other figures.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use tempfile::TempDir;

const GATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/gate.toml");

fn plimsoll(args: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.env_remove("NO_COLOR").env_remove("GITHUB_ACTIONS").env("USER", "tester").stdin(Stdio::null()).current_dir(folder);
    if let (Some(kept), ["gate", mode @ ("files" | "history" | "slo" | "trend"), ..]) = (std::env::var_os("PLIMSOLL_REPORT_OUT"), args) {
        command.args(args).arg("--copy-to").arg(Path::new(&kept).join(mode));
    } else {
        command.args(args);
    }
    command.arg("--quiet").output().unwrap()
}

fn assert_code(output: &Output, code: i32) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(output.status.code(), Some(code), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

/// A run as the engine writes it, taken to be valid whatever this machine did meanwhile.
static TEMPLATE: LazyLock<Value> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    let sets = [
        "load.arrivals={constant={rate=\"220/s\"}}",
        "load.warmup=100ms",
        "load.measure=1s",
        "workload.lengths={independent={input={fixed=16},output={fixed=8}}}",
    ];
    let mut args = vec!["run", GATE, "--seed", "1", "--format", "json", "--out", "out"];
    args.extend(sets.iter().flat_map(|set| ["--set", set]));
    let output = plimsoll(&args, folder.path());
    let mut document: Value = serde_json::from_slice(&output.stdout).unwrap();
    document["summary"]["validity"]["valid"] = true.into();
    document["summary"]["validity"]["warnings"] = json!([]);
    document["experiment"]["gate"]["min_requests"] = 100.into();
    let due = document["summary"]["accounting"]["due"].clone();
    document["summary"]["accounting"] = {
        let mut accounting = document["summary"]["accounting"].clone();
        for (key, n) in [("ok", due), ("failed", 0.into()), ("throttled", 0.into()), ("timed_out", 0.into()), ("shed", 0.into())] {
            accounting[key] = n;
        }
        accounting
    };
    document
});

/// The template with another seed, `factor` times as slow, and a wobble of 1 % of its own.
fn run(seed: u64, factor: f64) -> Value {
    let mut document = TEMPLATE.clone();
    document["manifest"]["seed"] = seed.into();
    document["manifest"]["started_utc"] = format!("2026-01-{:02}T{:02}:00:00Z", 1 + seed / 24 % 28, seed % 24).into();
    let factor = factor * (1.0 + 0.01 * (seed as f64 * 2.399).sin());
    for kind in ["ttft", "tpot", "e2e"] {
        // Large enough for every floor.
        for p in document["summary"]["latency"][kind]["percentiles"].as_array_mut().unwrap() {
            p["value_ms"] = p["value_ms"].as_f64().map_or(Value::Null, |_| json!(500.0 * factor));
        }
    }
    document["summary"]["throughput"]["output_tok_s"] = json!(1800.0 / factor);
    document
}

fn put(folder: &Path, name: &str, document: &Value) -> PathBuf {
    let place = folder.join(name);
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("run.json"), document.to_string()).unwrap();
    place
}

/// Folders `name-SEED` for the seeds.
fn runs(folder: &Path, name: &str, seeds: std::ops::Range<u64>, factor: f64) -> Vec<String> {
    seeds.map(|seed| put(folder, &format!("{name}-{seed}"), &run(seed, factor)).display().to_string()).collect()
}

fn with<'a>(start: &[&'a str], more: &'a [String]) -> Vec<&'a str> {
    start.iter().copied().chain(more.iter().map(String::as_str)).collect()
}

fn files(folder: &Path, base: &[String], head: &[String]) -> Output {
    let mut args = with(&["gate", "files", "--base"], base);
    args.extend(with(&["--head"], head));
    plimsoll(&args, folder)
}

#[test]
fn sides_on_disk_are_paired_by_seed() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let base = runs(at, "base", 1..7, 1.0);
    // The same factor would make copies; a thousandth is a change that is none.
    assert_code(&files(at, &base, &runs(at, "same", 1..7, 1.001)), 0);
    let slower = files(at, &base, &runs(at, "slower", 1..7, 1.4));
    assert_code(&slower, 10);
    assert!(String::from_utf8_lossy(&slower.stdout).contains("paired by seed"));
    assert_code(&files(at, &base[..1], &runs(at, "one", 1..2, 1.0)), 12);
    let mut other = run(1, 1.0);
    other["manifest"]["endpoint"]["model"] = "another".into();
    let other = vec![put(at, "other", &other).display().to_string()];
    let told = files(at, &base, &other);
    assert_code(&told, 14);
    assert!(String::from_utf8_lossy(&told.stdout).contains("model"));
    std::fs::write(at.join("base-1/run.json"), "{\"schema_version\":").unwrap();
    assert_code(&files(at, &base, &base), 2);
}

#[test]
fn a_baseline_grows_from_what_passed_alone() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let history = |head: &[String], more: &[&str]| {
        let args = [&["gate", "history", "--baseline", "b/gate.json", "--out", "gates"], more, &with(&["--head"], head)[..]].concat();
        plimsoll(&args, at)
    };
    let held = || std::fs::read_to_string(at.join("b/gate.json")).unwrap();
    let newest = || {
        let mut all: Vec<PathBuf> = std::fs::read_dir(at.join("gates/gate")).unwrap().map(|e| e.unwrap().path()).collect();
        all.sort_by_key(|p| p.metadata().unwrap().modified().unwrap());
        all.pop().unwrap().display().to_string()
    };
    let accept = |gate: &str, more: &[&str]| plimsoll(&[&["gate", "accept", gate, "--baseline", "b/gate.json"], more].concat(), at);
    let first = runs(at, "first", 1..9, 1.0);
    assert_code(&history(&first, &[]), 14);
    assert!(!at.join("b/gate.json").exists());
    let recorded = history(&first, &["--on-missing-baseline", "record"]);
    assert_code(&recorded, 0);
    assert!(String::from_utf8_lossy(&recorded.stdout).contains("nothing was compared"));
    assert!(held().contains("tester"));
    // What is worse fails, and is not accepted.
    assert_code(&history(&runs(at, "worse", 20..24, 1.5), &[]), 10);
    let before = held();
    let refused = accept(&newest(), &[]);
    assert_code(&refused, 10);
    assert_eq!(held(), before);
    // What is as before passes; a dry run shows and writes nothing.
    let good = history(&runs(at, "good", 30..34, 1.0), &[]);
    assert_code(&good, 0);
    let gate = newest();
    assert_code(&accept(&gate, &["--dry-run"]), 0);
    assert_eq!(held(), before);
    let accepted = accept(&gate, &["--by", "ana", "--note", "release 2", "--pin"]);
    assert_code(&accepted, 0);
    assert!(String::from_utf8_lossy(&accepted.stdout).contains("TTFT p95"));
    assert!(held().contains("ana") && held().contains("release 2"));
    assert!(std::fs::read_dir(at.join("b")).unwrap().count() == 1, "a temporary file was left behind");
    // Damaged, foreign, newer: never a pass, never written over.
    for broken in [&held()[..held().len() / 2], "{}", &held().replace("\"schema_version\": 1", "\"schema_version\": 99")] {
        std::fs::write(at.join("b/gate.json"), broken).unwrap();
        assert_code(&history(&runs(at, "good", 30..34, 1.0), &["--on-missing-baseline", "record"]), 14);
        assert_code(&accept(&gate, &[]), 14);
        assert_eq!(held(), broken);
    }
}

#[test]
fn promises_are_judged_over_runs() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let judged = |name: &str, missed: u64| {
        let all: Vec<String> = (1..9)
            .map(|seed| {
                let mut document = run(seed, 1.0);
                for objective in document["summary"]["objectives"].as_array_mut().unwrap() {
                    let asked = objective["asked"].as_u64().unwrap();
                    objective["missed"] = (asked * missed / 1000 + seed % 2).into();
                }
                put(at, &format!("{name}-{seed}"), &document).display().to_string()
            })
            .collect();
        plimsoll(&with(&["gate", "slo"], &all), at)
    };
    assert_code(&judged("kept", 0), 0);
    assert_code(&judged("broken", 300), 11);
    let one = vec![put(at, "one", &run(1, 1.0)).display().to_string()];
    let told = plimsoll(&with(&["gate", "slo"], &one), at);
    assert!(matches!(told.status.code(), Some(12 | 13)), "{:?}", told.status);
}

#[test]
fn a_change_of_level_over_nights_fails_and_steady_nights_do_not() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let trend = |name: &str, factor: &dyn Fn(u64) -> f64| {
        let nights: Vec<String> = (1..25)
            .map(|night| {
                put(at, &format!("{name}/night-{night:02}/a"), &run(2 * night, factor(night)));
                put(at, &format!("{name}/night-{night:02}/b"), &run(2 * night + 1, factor(night)));
                at.join(name).join(format!("night-{night:02}")).display().to_string()
            })
            .collect();
        plimsoll(&with(&["gate", "trend"], &nights), at)
    };
    let steady = trend("steady", &|_| 1.0);
    assert!(matches!(steady.status.code(), Some(0 | 12)), "{}", String::from_utf8_lossy(&steady.stdout));
    let shifted = trend("shifted", &|night| if night > 14 { 1.5 } else { 1.0 });
    assert_code(&shifted, 10);
    assert!(String::from_utf8_lossy(&shifted.stdout).contains("night-15"), "{}", String::from_utf8_lossy(&shifted.stdout));
}
