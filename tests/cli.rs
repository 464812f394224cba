//! The program as its user meets it: every exit code, every error class, signals, a cut run. Each test starts the real binary.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "server/answering.rs"]
mod answering;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const SMOKE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/smoke.toml");

fn plimsoll() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.env_remove("NO_COLOR").env("RUST_BACKTRACE", "0").stdin(Stdio::null());
    command
}

/// A run of the smoke scenario, shortened, into a fresh folder.
fn smoke(out: &TempDir, more: &[&str]) -> Output {
    let mut command = plimsoll();
    command.args([
        "run",
        SMOKE,
        "--seed",
        "7",
        "--quiet",
        "--set",
        "load.warmup=200ms",
        "--set",
        "load.measure=1s",
        "--set",
        "slo={errors=\"1%\"}",
        "--out",
    ]);
    command.arg(out.path()).args(more);
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn only_run(out: &Path) -> PathBuf {
    let scenario = std::fs::read_dir(out).unwrap().next().expect("a scenario folder").unwrap().path();
    std::fs::read_dir(scenario).unwrap().next().expect("a run folder").unwrap().path()
}

fn document(run: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(run.join("run.json")).unwrap()).unwrap()
}

/// due = ok + failed + throttled + timed_out + shed + cancelled.
fn assert_identity(document: &serde_json::Value) {
    let a = &document["summary"]["accounting"];
    let sum: u64 = ["ok", "failed", "throttled", "timed_out", "shed", "cancelled"].iter().map(|k| a[k].as_u64().unwrap()).sum();
    assert_eq!(a["due"].as_u64().unwrap(), sum, "{a}");
}

/// A server that is there (every GET is answered with 200) and answers every POST with the same bytes, until the test ends.
fn canned(answer: &'static str) -> String {
    answering::answering(move || answer.to_owned())
}

/// A run that ended as expected, or that says of itself that this machine was too busy to measure (13): then the document must say so too.
fn assert_code(output: &Output, out: &TempDir, expected: i32) {
    let document = document(&only_run(out.path()));
    let valid = document["summary"]["validity"]["valid"] == true;
    assert_eq!(output.status.code(), Some(if valid { expected } else { 13 }), "{}{}", stderr(output), stdout(output));
}

fn outcome_count(document: &serde_json::Value, outcome: &str) -> u64 {
    document["summary"]["accounting"]["outcomes"][outcome].as_u64().unwrap_or(0)
}

#[test]
fn a_run_leaves_every_file_and_keeps_the_identity() {
    let out = TempDir::new().unwrap();
    let output = smoke(&out, &["--format", "json"]);
    assert_code(&output, &out, 0);
    let run = only_run(out.path());
    for file in ["requests.log", "run.json", "requests.parquet", "latency.hlog", "report.html", "summary.md", "junit.xml"] {
        assert!(run.join(file).metadata().unwrap().len() > 0, "{file}");
    }
    let document = document(&run);
    assert_identity(&document);
    assert!(document["summary"]["accounting"]["ok"].as_u64().unwrap() > 0);
    assert_eq!(document["manifest"]["seed"], 7);
    let printed: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(printed, document);
}

#[test]
fn a_typo_is_found_with_its_place_and_a_suggestion() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("typo.toml");
    std::fs::write(&path, "name = \"typo\"\n[load]\narrivals = { poison = { rate = \"1/s\" } }\nmesure = \"5s\"\nwarmup = \"5 parsecs\"\n").unwrap();
    let output = plimsoll().arg("check").arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = stderr(&output);
    for part in ["poison", "poisson", "mesure", "measure", "5 parsecs", "typo.toml:3", "typo.toml:4", "typo.toml:5", "800ms"] {
        assert!(told.contains(part), "{part:?} is missing in\n{told}");
    }
}

#[test]
fn what_is_no_scenario_is_refused_in_words() {
    let dir = TempDir::new().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let cases: [(PathBuf, &str); 5] = [
        (dir.path().join("missing.toml"), "missing.toml"),
        (dir.path().to_owned(), "folder"),
        (write("latin1.toml", b"name = \"caf\xe9\"\n"), "UTF-8"),
        (write("huge.toml", &vec![b'#'; 5 << 20]), "larger than"),
        (write("empty.toml", b""), "name"),
    ];
    for (path, part) in cases {
        let output = plimsoll().arg("check").arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", path.display());
        assert!(stderr(&output).contains(part), "{part:?} is missing in {}", stderr(&output));
    }
}

#[test]
fn wrong_usage_is_2_and_help_is_0() {
    assert_eq!(plimsoll().arg("frobnicate").output().unwrap().status.code(), Some(2));
    assert_eq!(plimsoll().output().unwrap().status.code(), Some(2));
    let help = plimsoll().arg("--help").output().unwrap();
    assert_eq!(help.status.code(), Some(0));
    assert!(stdout(&help).contains("Exit codes"));
}

#[test]
fn a_wrong_port_is_told_before_any_load() {
    let out = TempDir::new().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let output = smoke(&out, &["--url", &format!("http://127.0.0.1:{port}")]);
    assert_eq!(output.status.code(), Some(20), "{}", stderr(&output));
    assert!(stderr(&output).contains(&port.to_string()) && stderr(&output).contains("hint:"), "{}", stderr(&output));
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0, "nothing was written");
}

#[test]
fn another_host_and_a_large_budget_are_refused() {
    let out = TempDir::new().unwrap();
    let output = smoke(&out, &["--url", "http://llm.example.com:8000"]);
    assert_eq!(output.status.code(), Some(15), "{}", stderr(&output));
    assert!(stderr(&output).contains("--confirm-host llm.example.com"), "{}", stderr(&output));
    let output = smoke(&out, &["--set", "limits.tokens=10"]);
    assert_eq!(output.status.code(), Some(15), "{}", stderr(&output));
    assert!(stderr(&output).contains("limits.tokens"), "{}", stderr(&output));
}

#[test]
fn refusals_are_classed_and_make_the_run_invalid() {
    let cases = [
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno", "unauthorized"),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno", "not_found"),
        ("HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\nno", "server_error"),
        ("HTTP/1.1 429 Too Many\r\nretry-after: 3\r\ncontent-length: 2\r\n\r\nno", "throttled_capacity"),
        ("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 5\r\n\r\nhello", "malformed"),
        ("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/x\r\ncontent-length: 0\r\n\r\n", "redirect"),
    ];
    for (answer, class) in cases {
        let out = TempDir::new().unwrap();
        let output = smoke(&out, &["--url", &canned(answer)]);
        assert_eq!(output.status.code(), Some(13), "{class}: {}{}", stderr(&output), stdout(&output));
        let document = document(&only_run(out.path()));
        assert_identity(&document);
        let due = document["summary"]["accounting"]["due"].as_u64().unwrap();
        assert!(due > 0);
        assert_eq!(outcome_count(&document, class), due, "{class}: {}", document["summary"]["accounting"]);
    }
}

/// A token that is not accepted, or a path that is not there, is told before the first request.
#[test]
fn a_refused_probe_is_20_with_what_to_do() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
        }
    });
    let out = TempDir::new().unwrap();
    let output = smoke(&out, &["--url", &url]);
    assert_eq!(output.status.code(), Some(20), "{}", stderr(&output));
    assert!(stderr(&output).contains("401") && stderr(&output).contains("bearer_env"), "{}", stderr(&output));
}

#[test]
fn a_place_that_cannot_be_written_is_21() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let output = plimsoll().args(["run", SMOKE, "--quiet", "--set", "load.measure=1s", "--out"]).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(21), "{}", stderr(&output));
    assert!(stderr(&output).contains("--out"), "{}", stderr(&output));
}

/// A disk that fills in mid-run, by a limit on the size of files: the load stops, the message says where, and what was written is readable.
#[test]
fn a_full_disk_stops_the_load_and_keeps_the_log() {
    let out = TempDir::new().unwrap();
    let script = format!(
        "trap '' XFSZ; ulimit -f 24; exec {} run {SMOKE} --quiet --seed 3 --set load.warmup=0s --set load.measure=20s --set 'load.arrivals={{poisson={{rate=\"60/s\"}}}}' --out {}",
        env!("CARGO_BIN_EXE_plimsoll"),
        out.path().display()
    );
    let output = Command::new("bash").args(["-c", &script]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(21), "{}", stderr(&output));
    assert!(stderr(&output).contains("run log") && stderr(&output).contains("plimsoll report"), "{}", stderr(&output));
    let run = only_run(out.path());
    let recovered = plimsoll().args(["report", "--quiet"]).arg(&run).output().unwrap();
    assert_eq!(recovered.status.code(), Some(0), "{}", stderr(&recovered));
    let document = document(&run);
    assert_eq!(document["manifest"]["recovered"], true);
    assert!(document["summary"]["accounting"]["due"].as_u64().unwrap() > 0);
}

/// Starts a long smoke run and waits until its log holds records.
#[expect(clippy::disallowed_methods, reason = "waits for another process, and for nothing of our own")]
fn long_run(out: &TempDir) -> Child {
    let mut child = plimsoll();
    child.args(["run", SMOKE, "--quiet", "--seed", "5", "--set", "load.warmup=0s", "--set", "load.measure=60s", "--out"]).arg(out.path());
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    for _ in 0..600 {
        let grown = std::fs::read_dir(out.path()).unwrap().next().is_some_and(|_| {
            std::fs::read_dir(out.path()).unwrap().flatten().flat_map(|d| std::fs::read_dir(d.path()).unwrap().flatten()).any(|run| {
                let header = 6000;
                run.path().join("requests.log").metadata().is_ok_and(|m| m.len() > header)
            })
        });
        if grown {
            return child;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().and_then(|()| child.wait()).unwrap();
    panic!("no record came within 30 s");
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn ctrl_c_writes_everything_and_exits_130_and_sigterm_143() {
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let out = TempDir::new().unwrap();
        let mut child = long_run(&out);
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        let run = only_run(out.path());
        let document = document(&run);
        assert_identity(&document);
        assert_eq!(document["summary"]["validity"]["client"]["stopped_early"], true);
        assert!(run.join("report.html").exists());
    }
}

#[test]
fn a_killed_run_is_recovered_from_its_log() {
    let out = TempDir::new().unwrap();
    let mut child = long_run(&out);
    signal(&child, "-KILL");
    child.wait().unwrap();
    let run = only_run(out.path());
    assert!(!run.join("run.json").exists());
    let output = plimsoll().arg("report").arg(&run).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("recovering"));
    let document = document(&run);
    assert_identity(&document);
    assert!(document["summary"]["accounting"]["ok"].as_u64().unwrap() > 0);
}

#[test]
fn a_closed_pipe_is_success() {
    let script = format!("{} schema | head -n 1", env!("CARGO_BIN_EXE_plimsoll"));
    let output = Command::new("bash").args(["-o", "pipefail", "-c", &script]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn an_objective_not_met_is_11_and_too_few_samples_are_12() {
    let out = TempDir::new().unwrap();
    let output = smoke(&out, &["--set", "slo.e2e={p50=\"1ms\"}", "--set", "load.measure=4s"]);
    assert_code(&output, &out, 11);
    let out = TempDir::new().unwrap();
    let output = smoke(&out, &["--set", "slo={e2e={\"p99.9\"=\"60s\"}}"]);
    assert_code(&output, &out, 12);
}

/// forall scenario, seed: the same seed gives the same requests, whatever the number of workers.
#[test]
fn the_same_seed_gives_the_same_schedule_with_any_number_of_workers() {
    let lengths = |workers: &str| {
        let out = TempDir::new().unwrap();
        let output = smoke(&out, &["--workers", workers]);
        assert_code(&output, &out, 0);
        let t = document(&only_run(out.path()))["summary"]["tokens"].clone();
        (t["input_asked"].clone(), t["output_asked"].clone(), t["requests"].clone())
    };
    assert_eq!(lengths("1"), lengths("3"));
}
