//! `plimsoll gate` as CI meets it: every exit code, the files that it leaves, annotations. Each test starts the real binary.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "server/answering.rs"]
mod answering;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const GATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/gate.toml");

/// Short runs: medians only, which need 20 requests. A busy machine may make rounds that do not count; they are made again.
const SHORT: [&str; 8] = [
    "load.arrivals={constant={rate=\"40/s\"}}",
    "load.warmup=100ms",
    "load.measure=700ms",
    "gate.min_requests=20",
    "gate.redo=10",
    "gate.pause=50ms",
    "gate.metrics={ttft_p95={role=\"informational\"},e2e_p95={role=\"informational\"},ttft_p50={margin=\"50%\"},tpot_p50={margin=\"15%\",floor=\"0.1ms\"},error_rate={margin=\"20%\"},goodput={margin=\"20%\"},output_tok_s={margin=\"30%\"}}",
    "gate.looks=[3]",
];

fn gate(out: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.env_remove("NO_COLOR").env_remove("GITHUB_ACTIONS").stdin(Stdio::null());
    command.args(["gate", GATE, "--seed", "7", "--quiet", "--out"]).arg(out);
    for set in SHORT {
        command.args(["--set", set]);
    }
    command.args(more).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

fn folder(out: &Path) -> PathBuf {
    std::fs::read_dir(out.join("gate")).unwrap().next().expect("a gate folder").unwrap().path()
}

fn result(out: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(folder(out).join("result.json")).unwrap()).unwrap()
}

/// The same system on both sides is never FAIL; here the margins are wide enough for PASS.
#[test]
fn a_system_against_itself_passes_with_0_and_leaves_every_file() {
    let out = TempDir::new().unwrap();
    let output = gate(out.path(), &["--format", "md"]);
    assert_code(&output, 0);
    let found = result(out.path());
    assert_eq!(found["verdict"], "PASS");
    assert_eq!(found["mode"], "paired");
    let folder = folder(out.path());
    for file in ["result.json", "junit.xml", "summary.md", "metrics.txt", "load-performance.json", "report.html"] {
        let held = std::fs::read_to_string(folder.join(file)).unwrap();
        assert!(held.len() > 200, "{file}: {held}");
    }
    // The three rounds that count have equal seeds, one a round, and prompts of their own; each run can be read again.
    let rounds = found["rounds"].as_array().unwrap();
    let counted: Vec<_> = rounds.iter().filter(|r| r["counted"] == true).collect();
    assert_eq!(counted.len(), 3);
    assert_ne!(counted[0]["seed"], counted[1]["seed"]);
    assert!(folder.join(counted[0]["base_run"].as_str().unwrap()).join("run.json").exists());
    let summary = text(&output.stdout);
    assert!(summary.lines().next().unwrap().contains("PASS"), "{summary}");
    assert_eq!(summary, std::fs::read_to_string(folder.join("summary.md")).unwrap());
    assert!(summary.contains("--seed 7"), "{summary}");
}

#[test]
fn a_slower_head_fails_with_10_and_says_so_everywhere() {
    let out = TempDir::new().unwrap();
    let output = gate(out.path(), &["--head-set", "endpoint.step.base=8ms", "--annotations", "github", "--format", "json"]);
    assert_code(&output, 10);
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, result(out.path()));
    let tpot = printed["rows"].as_array().unwrap().iter().find(|r| r["metric"] == "tpot_p50").unwrap();
    assert_eq!(tpot["verdict"], "FAIL", "{tpot}");
    let annotations: Vec<String> = text(&output.stderr).lines().filter(|l| l.starts_with("::")).map(str::to_owned).collect();
    assert_eq!(annotations.len(), 1, "{annotations:?}");
    assert!(annotations[0].starts_with("::error title=plimsoll gate gate%3A FAIL::"), "{annotations:?}");
    let folder = folder(out.path());
    let junit = std::fs::read_to_string(folder.join("junit.xml")).unwrap();
    assert!(junit.contains("<failure") && !junit.contains("<error"), "{junit}");
    assert!(std::fs::read_to_string(folder.join("summary.md")).unwrap().starts_with("**\u{2717} FAIL**"));
    assert!(std::fs::read_to_string(folder.join("metrics.txt")).unwrap().contains("verdict=\"FAIL\"} 1\n"));
}

#[test]
fn what_is_not_shown_is_12_or_a_warning_with_0() {
    let tight = ["--set", "gate.looks=[2]", "--set", "gate.metrics={ttft_p95={role=\"informational\"},e2e_p95={role=\"informational\"}}"];
    for (how, code, kind) in [("fail", 12, "error"), ("warn", 0, "warning")] {
        let out = TempDir::new().unwrap();
        let output = gate(out.path(), &[&tight[..], &["--on-inconclusive", how, "--annotations", "github"]].concat());
        assert_eq!(result(out.path())["verdict"], "INCONCLUSIVE", "{}", text(&output.stdout));
        assert_code(&output, code);
        assert!(text(&output.stderr).contains(&format!("::{kind} ")), "{}", text(&output.stderr));
        let junit = std::fs::read_to_string(folder(out.path()).join("junit.xml")).unwrap();
        assert!(junit.contains("<skipped"), "{junit}");
    }
}

#[test]
fn too_few_requests_are_13() {
    let out = TempDir::new().unwrap();
    let output = gate(out.path(), &["--set", "gate.min_requests=100000", "--set", "gate.redo=0"]);
    assert_code(&output, 13);
    assert!(std::fs::read_to_string(folder(out.path()).join("junit.xml")).unwrap().contains("<error"));
}

#[test]
fn facts_that_must_be_equal_and_are_not_are_14_and_named() {
    let out = TempDir::new().unwrap();
    let output = gate(out.path(), &["--base-fact", "region=eu-west-1", "--head-fact", "region=us-east-1"]);
    assert_code(&output, 14);
    assert!(text(&output.stdout).contains("region"), "{}", text(&output.stdout));
}

/// Another load is told before any request is sent.
#[test]
fn another_load_on_one_side_is_14_at_once() {
    let out = TempDir::new().unwrap();
    let output = gate(out.path(), &["--head-set", "load.measure=2s"]);
    assert_code(&output, 14);
    assert!(text(&output.stdout).contains("[load]"), "{}", text(&output.stdout));
    assert!(!folder(out.path()).join("r01-base").exists());
}

#[test]
fn a_foreign_host_is_15_and_one_that_is_not_there_20() {
    let out = TempDir::new().unwrap();
    let output = gate(out.path(), &["--base", "http://192.0.2.1:8000"]);
    assert_code(&output, 15);
    assert!(text(&output.stderr).contains("base: ") && text(&output.stderr).contains("--confirm-host"), "{}", text(&output.stderr));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = gate(out.path(), &["--head", &format!("http://{free}")]);
    assert_code(&output, 20);
    assert!(text(&output.stderr).contains("head: "), "{}", text(&output.stderr));
}

#[test]
fn a_head_that_answers_errors_fails_with_10_although_it_is_fast() {
    let broken = answering::answering(|| "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\n\r\nno".to_owned());
    let good = answering::answering(|| {
        let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a b\"},\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n";
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n{event}", event.len())
    });
    let out = TempDir::new().unwrap();
    let output = gate(out.path(), &["--base", &good, "--head", &broken]);
    assert_code(&output, 10);
    assert!(text(&output.stdout).contains("error rate"), "{}", text(&output.stdout));
}

/// What was measured is written, and is no verdict.
#[test]
#[expect(clippy::disallowed_methods, reason = "waits for another process, and for nothing of our own")]
fn ctrl_c_writes_what_there_is_and_exits_130() {
    let out = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.args(["gate", GATE, "--seed", "7", "--quiet", "--set", "load.measure=60s", "--out"]).arg(out.path());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let runs =
        || std::fs::read_dir(out.path().join("gate")).is_ok_and(|d| d.flatten().any(|g| std::fs::read_dir(g.path()).is_ok_and(|r| r.count() > 0)));
    for _ in 0..600 {
        if runs() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let found = result(out.path());
    assert_eq!(found["verdict"], "INCONCLUSIVE");
    assert!(found["sentence"].as_str().unwrap().contains("stopped by a signal"), "{}", found["sentence"]);
}

#[test]
fn wrong_usage_is_2_with_what_to_do() {
    let out = TempDir::new().unwrap();
    for (more, told) in [
        (&["--head-fact", "region"][..], "KEY=VALUE"),
        (&["--pause", "soon"], "--pause"),
        (&["--set", "gate.looks=[5,3]"], "numbers of pairs that grow"),
        (&["--set", "gate.metrics.ttft_p59.margin=5%"], "ttft_p50"),
    ] {
        let output = gate(out.path(), more);
        assert_code(&output, 2);
        assert!(text(&output.stderr).contains(told), "{}", text(&output.stderr));
    }
}
