//! The architecture as a test: ranks, purity, one home per dependency, one purpose per file, bounded size.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Rank of each top-level module: it may use lower ranks only.
const RANKS: [(&str, u32); 15] = [
    ("base", 0),
    ("scenario", 1),
    ("record", 1),
    ("workload", 2),
    ("protocol", 2),
    ("measure", 2),
    ("client", 3),
    ("sim", 3),
    ("engine", 4),
    ("serve", 4),
    ("planner", 4),
    ("gate", 4),
    ("report", 5),
    ("cli", 6),
    ("main", 7),
];

/// Modules that may touch clock, sockets, files and environment.
const EFFECTS: [&str; 5] = ["client", "engine", "serve", "cli", "main"];

/// Parts of them that may not.
const PURE_PARTS: [&str; 1] = ["src/serve/workspace"];

/// Files of pure modules that may hold one named effect each.
const PURITY_EXCEPTIONS: [(&str, &str); 1] = [("src/base/clock.rs", "std::time")];

/// What a pure module may not name.
const IMPURE: [&str; 12] = [
    "tokio::",
    "hyper::",
    "reqwest::",
    "axum::",
    "std::net",
    "std::fs",
    "std::env",
    "std::process",
    "Instant::now",
    "SystemTime",
    "rand::rng(",
    "std::thread::sleep",
];

/// Each named dependency and the only places that may use it (a file or a folder of `src/`).
const HOMES: &[(&str, &[&str])] = &[
    ("annotate_snippets", &["cli"]),
    ("arrow_array", &["record/table"]),
    ("arrow_schema", &["record/table"]),
    ("askama", &["report"]),
    ("axum", &["serve"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("crc32fast", &["record/log"]),
    ("csv", &["workload/trace"]),
    ("flate2", &["workload/trace"]),
    ("hdrhistogram", &["measure"]),
    ("http_body", &["serve"]),
    ("http_body_util", &["client"]),
    ("h2", &["client"]),
    ("hyper", &["client"]),
    ("hyper_util", &["client"]),
    ("indicatif", &["cli"]),
    ("jiff", &["workload/trace", "cli"]),
    ("kitoken", &["workload/tokenizer"]),
    ("parquet", &["record/table"]),
    ("plotters", &["report/chart"]),
    ("plotters_backend", &["report/chart"]),
    ("postcard", &["record/log"]),
    ("quick_junit", &["report/junit"]),
    ("rand_distr", &["workload", "sim", "planner"]),
    ("rand_pcg", &["base/rng"]),
    ("reqwest", &["client/control"]),
    ("rustix", &["engine", "cli"]),
    ("rustls", &["client"]),
    ("rustls_native_certs", &["client"]),
    ("secrecy", &["client"]),
    ("sha2", &["scenario/check"]),
    ("strsim", &["scenario/check"]),
    ("tempfile", &["cli"]),
    ("tiktoken", &["workload/tokenizer"]),
    ("tokio", &["engine", "client", "serve", "cli"]),
    ("tokio_rustls", &["client"]),
    ("toml", &["scenario/check", "cli"]),
];

/// Code lines of a file, its test module not counted.
const MAX_CODE_LINES: usize = 500;

fn rust_files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    rust_files(&root.join("src"), &mut files);
    files.sort();
    files.into_iter().map(|p| (p.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&p).unwrap())).collect()
}

/// The file without its unit tests and without comments: what the rules speak about.
fn code(text: &str) -> String {
    let body = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    body.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// `src/sim/fit.rs` -> `sim`; `src/lib.rs` -> `lib`.
fn module_of(path: &str) -> &str {
    let inner = path.strip_prefix("src/").unwrap();
    inner.split('/').next().unwrap().trim_end_matches(".rs")
}

fn rank_of(module: &str) -> Option<u32> {
    RANKS.iter().find(|(name, _)| *name == module).map(|(_, rank)| *rank)
}

/// Every top-level module that `code` names through `crate::` (grouped imports included) or `plimsoll::`.
fn used_modules(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for root in ["crate::", "plimsoll::"] {
        for (at, _) in code.match_indices(root) {
            let rest = &code[at + root.len()..];
            if let Some(group) = rest.strip_prefix('{') {
                let mut depth = 1;
                let mut name = String::new();
                let mut at_start = true;
                for c in group.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 1 => at_start = true,
                        c if at_start && depth == 1 && (c.is_alphanumeric() || c == '_') => name.push(c),
                        c if c.is_whitespace() => {}
                        _ => at_start = false,
                    }
                    if (!at_start || c == ',' || depth == 0) && !name.is_empty() {
                        found.insert(std::mem::take(&mut name));
                    }
                    if depth == 0 {
                        break;
                    }
                }
            } else {
                found.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
            }
        }
    }
    found
}

fn rank_faults(path: &str, text: &str) -> Vec<String> {
    let module = module_of(path);
    let Some(own) = rank_of(module) else {
        return if module == "lib" { vec![] } else { vec![format!("{path}: module `{module}` has no rank")] };
    };
    used_modules(&code(text))
        .into_iter()
        .filter(|used| used != module)
        .filter_map(|used| rank_of(&used).map(|rank| (used, rank)))
        .filter(|(_, rank)| *rank >= own)
        .map(|(used, rank)| format!("{path}: rank {own} uses `{used}` of rank {rank}"))
        .collect()
}

fn purity_faults(path: &str, text: &str) -> Vec<String> {
    let has_effects = EFFECTS.contains(&module_of(path)) && !PURE_PARTS.iter().any(|part| path.starts_with(part));
    if has_effects || PURITY_EXCEPTIONS.iter().any(|(file, _)| *file == path) {
        return vec![];
    }
    let code = code(text);
    IMPURE.iter().filter(|word| code.contains(**word)).map(|word| format!("{path}: pure module names `{word}`")).collect()
}

fn home_faults(path: &str, text: &str) -> Vec<String> {
    let code = code(text);
    let inner = path.strip_prefix("src/").unwrap();
    HOMES
        .iter()
        .filter(|(name, _)| names_crate(&code, name))
        .filter(|(_, homes)| !homes.iter().any(|home| inner == format!("{home}.rs") || inner.starts_with(&format!("{home}/"))))
        .map(|(name, homes)| format!("{path}: `{name}` lives in {homes:?} only"))
        .collect()
}

/// Whether `code` names the crate in a path (`name::`) that does not continue a longer name or another path.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(&format!("{name}::")).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

fn shape_faults(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !text.starts_with("//! ") {
        faults.push(format!("{path}: the first line does not say the file's purpose (`//! …`)"));
    }
    let lines = code(text).lines().filter(|l| !l.trim().is_empty()).count();
    if lines > MAX_CODE_LINES {
        faults.push(format!("{path}: {lines} code lines, more than {MAX_CODE_LINES}"));
    }
    for word in ["TODO", "FIXME", "XXX", "unimplemented!", "todo!("] {
        if text.contains(word) {
            faults.push(format!("{path}: `{word}` left behind"));
        }
    }
    faults
}

fn all_faults(check: fn(&str, &str) -> Vec<String>) -> Vec<String> {
    sources().iter().flat_map(|(path, text)| check(path, text)).collect()
}

#[test]
fn modules_use_lower_ranks_only() {
    assert_eq!(all_faults(rank_faults), Vec::<String>::new());
}

#[test]
fn pure_modules_have_no_effects() {
    assert_eq!(all_faults(purity_faults), Vec::<String>::new());
}

#[test]
fn every_dependency_has_one_home() {
    assert_eq!(all_faults(home_faults), Vec::<String>::new());
}

#[test]
fn every_file_says_its_purpose_and_stays_small() {
    assert_eq!(all_faults(shape_faults), Vec::<String>::new());
}

#[test]
fn every_file_is_declared() {
    let sources = sources();
    for (path, _) in &sources {
        let inner = path.strip_prefix("src/").unwrap().trim_end_matches(".rs");
        if inner == "lib" || inner == "main" {
            continue;
        }
        let (parent, name) = match inner.rsplit_once('/') {
            Some((parent, name)) => (format!("src/{parent}.rs"), name),
            None => ("src/lib.rs".to_owned(), inner),
        };
        let declared =
            sources.iter().find(|(p, _)| *p == parent).is_some_and(|(_, text)| text.lines().any(|l| l.trim_end().ends_with(&format!("mod {name};"))));
        assert!(declared, "{path} is not declared in {parent}");
    }
}

/// The top level holds what DESIGN says, and nothing else that is tracked.
#[test]
fn top_level_is_as_designed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in [
        "Cargo.toml",
        "src",
        "scenarios",
        "benches",
        "reports",
        "README.md",
        "docs",
        "tests",
        ".ci/run",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "NOTICE",
        "deny.toml",
    ] {
        assert!(root.join(name).exists(), "{name} is missing");
    }
}

/// The rules themselves: planted faults are found.
#[test]
fn planted_faults_are_found() {
    assert_eq!(rank_faults("src/sim/x.rs", "use crate::{base::time::Nanos, engine::pacer};").len(), 1);
    assert_eq!(rank_faults("src/workload/x.rs", "fn f() { crate::sim::x(); }").len(), 1);
    assert_eq!(rank_faults("src/nowhere/x.rs", "").len(), 1);
    assert_eq!(purity_faults("src/workload/x.rs", "use std::fs::File;").len(), 1);
    assert_eq!(purity_faults("src/engine/x.rs", "use std::fs::File;").len(), 0);
    assert_eq!(purity_faults("src/serve/workspace/x.rs", "use std::fs::File;").len(), 1);
    assert_eq!(home_faults("src/planner/x.rs", "use hdrhistogram::Histogram;").len(), 1);
    assert_eq!(home_faults("src/planner/x.rs", "use crate::measure::histogram::Histogram; let x = my_csv::y();").len(), 0);
    assert_eq!(shape_faults("src/sim/x.rs", "fn f() {}").len(), 1);
    let long = format!("//! Long.\n{}", "let x = 1;\n".repeat(MAX_CODE_LINES + 1));
    assert_eq!(shape_faults("src/sim/x.rs", &long).len(), 1);
}
