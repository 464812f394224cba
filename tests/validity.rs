//! Is it the client? A client that is held up is called INVALID and the endpoint is not blamed; an endpoint that pauses shows in full.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "server/answering.rs"]
mod answering;

use plimsoll::base::rng::Seed;
use plimsoll::base::time::Nanos;
use plimsoll::engine::live::Live;
use plimsoll::engine::run::{Keeper, Parts, run};
use plimsoll::measure::recorder::{Expectations, Recorder};
use plimsoll::measure::summary::{ClientFacts, Summary};
use plimsoll::record::log;
use plimsoll::record::outcome::Outcome;
use plimsoll::record::request::RequestRecord;
use plimsoll::scenario::check::check;
use plimsoll::scenario::experiment::Experiment;
use plimsoll::workload::prompt::PromptBook;
use plimsoll::workload::schedule::{Material, Schedule};
use plimsoll::workload::tokenizer::Vocabulary;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tempfile::TempDir;

/// These tests disturb each other on purpose or by accident: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Reasons that name the client.
const CLIENT: [&str; 6] = ["schedule-late", "rate-not-reached", "loop-lag", "client-cpu", "client-stopped", "cpu-throttled"];

#[expect(clippy::disallowed_methods, reason = "another process is stopped, or a server is slow, on purpose")]
fn wait(span: Duration) {
    std::thread::sleep(span);
}

/// Nanoseconds since the first call.
#[expect(clippy::disallowed_methods, reason = "the server of a test has a clock of its own")]
fn now() -> Duration {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

/// A server that streams one token; `hold` gives how long each POST waits before it is answered. GETs are answered at once.
fn server(hold: impl Fn() -> Duration + Send + Sync + 'static) -> String {
    let events = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"length\"}]}\n\n\
                  data: {\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":1}}\n\ndata: [DONE]\n\n";
    let answer = answering::ok("text/event-stream", events);
    answering::answering(move || {
        wait(hold());
        answer.clone()
    })
}

/// A scenario of evenly spaced requests for one token.
fn scenario(url: &str, rate: u32, seconds: u32) -> String {
    format!(
        "name = \"held\"\n[target]\nurl = \"{url}\"\n[load]\narrivals = {{ constant = {{ rate = \"{rate}/s\" }} }}\nwarmup = \"0s\"\nmeasure = \"{seconds}s\"\n\
         drain = \"3s\"\nmax_in_flight = 8192\n[limits]\nrequests = 1000000\ntokens = 1000000000\n\
         [workload]\nlengths = {{ independent = {{ input = {{ fixed = 20 }}, output = {{ fixed = 1 }} }} }}\n"
    )
}

/// `plimsoll run` of a scenario text, pinned to one core when `core` says so.
fn client(dir: &TempDir, text: &str, core: Option<&str>) -> Child {
    let file = dir.path().join("held.toml");
    std::fs::write(&file, text).unwrap();
    let program = env!("CARGO_BIN_EXE_plimsoll");
    let mut command = match core {
        Some(core) => {
            let mut c = Command::new("taskset");
            c.args(["-c", core, program]);
            c
        }
        None => Command::new(program),
    };
    command.arg("run").arg(&file).args(["--seed", "3", "--quiet", "--out"]).arg(dir.path().join("out"));
    // A ceiling that somebody saved must not refuse this load.
    command.env("XDG_CACHE_HOME", dir.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// The run was INVALID, and the gravest reasons name the client.
fn assert_client_is_blamed(dir: &TempDir, output: &Output) {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(13), "{said}");
    assert!(said.contains("INVALID") && said.contains("Is it the client?"), "{said}");
    let place = std::fs::read_dir(dir.path().join("out/held")).unwrap().next().unwrap().unwrap().path();
    let document: serde_json::Value = serde_json::from_slice(&std::fs::read(place.join("run.json")).unwrap()).unwrap();
    let validity = &document["summary"]["validity"];
    assert_eq!(validity["verdict"], "INVALID");
    let first = &validity["warnings"][0];
    assert_eq!(first["severity"], "invalid");
    assert!(CLIENT.iter().any(|code| first["code"] == *code), "the first reason is not the client's: {}", validity["warnings"]);
    assert!(!said.contains("the endpoint does not keep up"), "{said}");
}

/// Processes that end with the test, however it ends.
struct Hogs(Vec<Child>);

impl Drop for Hogs {
    fn drop(&mut self) {
        for hog in &mut self.0 {
            let _ = hog.kill();
            let _ = hog.wait();
        }
    }
}

/// The first core that this process may use.
fn first_core() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    list.chars().take_while(char::is_ascii_digit).collect()
}

/// Eight busy processes share the client's only core: it cannot send 3,000 requests a second from a ninth of a core. The endpoint is well.
#[test]
fn a_client_without_a_core_of_its_own_is_invalid_and_the_endpoint_is_not_blamed() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let core = first_core();
    // taskset becomes the shell, so that the process that is killed is the busy one; a limit of 5 s of processor time ends it in any case.
    let hog = |_| Command::new("taskset").args(["-c", &core, "sh", "-c", "ulimit -t 5; while :; do :; done"]).spawn().unwrap();
    let hogs = Hogs((0..8).map(hog).collect());
    let dir = TempDir::new().unwrap();
    let child = client(&dir, &scenario(&server(|| Duration::ZERO), 3_000, 2), Some(&core));
    let output = child.wait_with_output().unwrap();
    drop(hogs);
    assert_client_is_blamed(&dir, &output);
}

/// SIGSTOP for 200 ms of every 400 ms.
#[test]
fn a_client_that_is_stopped_again_and_again_is_invalid() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let dir = TempDir::new().unwrap();
    let mut child = client(&dir, &scenario(&server(|| Duration::from_millis(5)), 50, 4), None);
    let id = child.id().to_string();
    let signal = |name: &str| drop(Command::new("kill").args([name, &id]).stderr(Stdio::null()).status());
    for _ in 0..100 {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        signal("-STOP");
        wait(Duration::from_millis(200));
        signal("-CONT");
        wait(Duration::from_millis(200));
    }
    let output = child.wait_with_output().unwrap();
    assert_client_is_blamed(&dir, &output);
}

const BASE: Duration = Duration::from_millis(50);

fn experiment(url: &str, seconds: u32) -> Experiment {
    check("stall.toml", scenario(url, 100, seconds).as_bytes(), Path::new("."), &[], Seed(1)).unwrap()
}

/// p99 of TTFT against base + 0.9 s: one request in ten waits, evenly from 0 to 1 s, and one in a hundred longer than 0.9 s.
fn off(summary: &Summary) -> f64 {
    summary.latency.ttft.at("p99").unwrap() / (BASE.as_secs_f64() + 0.9) / 1e3 - 1.0
}

/// A server that stands still for 1 s of every 10 s, at 100 requests a second, in virtual time: exact but for the histogram's 0.1 % and the grid of
/// 10 ms. A client that waited for the answer before the next request would see ten slow ones in 10,000, and report a p99 of 50 ms.
#[test]
fn a_stalled_server_shows_in_p99_as_it_should() {
    let experiment = experiment("http://127.0.0.1:9", 100);
    let mut schedule = Schedule::new(&experiment, &Material::default()).unwrap();
    let mut recorder = Recorder::new(&experiment.scenario.slo, (Nanos::ZERO, Nanos::from_secs(100)), Nanos::from_secs(1));
    while let Some(arrival) = schedule.pop() {
        let phase = arrival.at.0 % 10_000_000_000;
        let stall = if phase >= 9_000_000_000 { 10_000_000_000 - phase } else { 0 };
        let at = arrival.at + Nanos(stall) + Nanos::from_std(BASE);
        let mut r = RequestRecord::due(arrival.seq, arrival.phase, arrival.at, 20, 1);
        (r.outcome, r.output_tokens, r.sent) = (Outcome::Ok, 1, Some(arrival.at));
        (r.first_token, r.last_token, r.closed) = (Some(at), Some(at), at);
        recorder.observe(&r);
    }
    let expect = Expectations { streaming: true, ..Expectations::default() };
    let summary = recorder.finish(Nanos::from_secs(101), ClientFacts::default(), expect);
    assert_eq!(summary.accounting.due, 10_000);
    assert!(off(&summary).abs() < 0.011, "{}", off(&summary));
    assert_eq!(summary.latency.ttft.at("p50").unwrap().round(), 50.0);
    assert_eq!(summary.validity.word(), "VALID", "a slow server is no fault of the client: {:?}", summary.validity.warnings);
}

struct Fold(Recorder);

impl Keeper for Fold {
    fn keep(&mut self, frames: &[u8]) -> std::io::Result<()> {
        log::each_record(frames, |record| self.0.observe(&record)).map_err(std::io::Error::other)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The same over sockets: 10 s, one pause from 4 s to 5 s after the first request. The server is the judge of itself: on a machine so busy that it
/// did not keep its own script within 1 %, or that the client was late, nothing can be said.
#[test]
fn a_stalled_server_shows_over_sockets_within_two_percent() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let first: OnceLock<Duration> = OnceLock::new();
    let held = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&held);
    let hold = move || {
        let read = now();
        let since = read.saturating_sub(*first.get_or_init(|| read));
        let stall = if since >= Duration::from_secs(4) { Duration::from_secs(5).saturating_sub(since) } else { Duration::ZERO };
        // Waited for here, so that the time it really took can be logged.
        wait(stall + BASE);
        log.lock().unwrap().push(now().saturating_sub(read));
        Duration::ZERO
    };
    let experiment = experiment(&server(hold), 10);
    let prompts = &experiment.scenario.workload.prompts;
    let parts = Parts {
        schedule: Schedule::new(&experiment, &Material::default()).unwrap(),
        book: PromptBook::new(Arc::new(Vocabulary::embedded(&prompts.tokenizer).unwrap()), prompts, experiment.seed),
        counter: None,
        token: None,
        login: None,
        workers: 1,
        cores: 2,
        embedded: true,
        live: Arc::new(Live::default()),
    };
    let mut fold = Fold(Recorder::new(&experiment.scenario.slo, (Nanos::ZERO, Nanos::from_secs(10)), Nanos::from_secs(1)));
    let report = run(&experiment, parts, &mut fold).unwrap();
    let expect = Expectations { streaming: true, ..Expectations::default() };
    let summary = fold.0.finish(report.wall, report.client, expect);
    assert_eq!((summary.accounting.due, summary.accounting.ok), (1_000, 1_000), "{:?}", report.examples);
    let mut held = held.lock().unwrap().clone();
    held.sort_unstable();
    let script = held[989].as_secs_f64() / (BASE.as_secs_f64() + 0.9) - 1.0;
    let late = summary.latency.lateness.at("p99").unwrap();
    eprintln!("server's own p99 off by {:.3}%, client late {late:.3} ms (p99), TTFT p99 off by {:.3}%", script * 100.0, off(&summary) * 100.0);
    if script.abs() < 0.01 && late < 5.0 && summary.validity.client.loop_lag_p99_ms < 5.0 {
        assert!(off(&summary).abs() < 0.02, "{}", off(&summary));
    }
}

/// The ceiling of this host: measured through the real engine, saved, and read again by `doctor --saved` and before a run.
#[test]
fn doctor_measures_saves_and_judges() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let cache = TempDir::new().unwrap();
    let scenario_file = cache.path().join("s.toml");
    let file = scenario_file.to_str().unwrap();
    std::fs::write(&scenario_file, scenario("http://127.0.0.1:9", 1, 2)).unwrap();
    let doctor = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command.args(["doctor", "--format", "json", "--quiet"]).args(more).env("XDG_CACHE_HOME", cache.path()).stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let document: serde_json::Value =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text} {}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code(), document)
    };
    // On a busy machine a ceiling may be low, never absent.
    let (code, told) = doctor(&[file]);
    assert!(matches!(code, Some(0 | 15)), "{told}");
    for key in ["requests_s", "chunks_s", "clock_ns", "paced_s"] {
        assert!(told["ceiling"][key].as_f64().unwrap() > 0.0, "{key}: {told}");
    }
    let path = cache.path().join("plimsoll/doctor.json");
    assert!(path.is_file());
    // A load above the saved ceiling does not fit, and `run` refuses it before anything is sent or written.
    let mut saved: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    saved["requests_s"] = 0.5.into();
    std::fs::write(&path, saved.to_string()).unwrap();
    let (code, told) = doctor(&["--saved", file]);
    assert_eq!((code, told["fit"]["grade"].as_str()), (Some(15), Some("does_not_fit")), "{told}");
    std::fs::write(&scenario_file, scenario(&server(|| Duration::ZERO), 1, 2)).unwrap();
    let load = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command.args(["run", file, "--out"]).arg(cache.path().join("out")).args(more).env("XDG_CACHE_HOME", cache.path()).stdin(Stdio::null());
        command.output().unwrap()
    };
    let refused = load(&[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(15), "{said}");
    assert!(said.contains("--allow-client-limit") && !cache.path().join("out").exists(), "{said}");
    let allowed = load(&["--allow-client-limit"]);
    assert!(matches!(allowed.status.code(), Some(0 | 13)), "{}", String::from_utf8_lossy(&allowed.stderr));
    assert!(String::from_utf8_lossy(&allowed.stderr).contains("warning: this load takes"));
    // A ceiling of another host is not believed.
    saved["host"]["cores"] = 9999.into();
    std::fs::write(&path, saved.to_string()).unwrap();
    assert!(matches!(load(&[]).status.code(), Some(0 | 13)));
}
