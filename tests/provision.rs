//! `provision` against the emulated workspace: the whole way in small, cut by a lack of GPUs and resumed, and refused when somebody else changes the endpoint.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const SCENARIO: &str = r#"
name = "small"
[target]
api = "databricks"
endpoint = "own"
[load]
arrivals = { poisson = { rate = "20/s" } }
warmup = "200ms"
measure = "3s"
drain = "10s"
[workload]
lengths = { independent = { input = { uniform = { min = 20, max = 60 } }, output = { fixed = 8 } } }
[slo]
ttft = { p90 = "900ms" }
errors = "5%"
[sweep]
rates = ["6/s", "15/s"]
warmup = "200ms"
measure = "3s"
drain = "10s"
[endpoint]
step = { base = "8ms", per_sequence = "2ms", per_prefill_token = "500us", per_context_token = "50ns" }
chunk = "800 tok/s"
autoscaler = { lag = { fixed = "1min" } }
[endpoint.workspace]
deployment = "100ms"
gpu_chunks = 12
gpu_wait = "100ms"
[plan]
demand = { poisson = { rate = "35/s" } }
period = "6s"
max_chunks = 4
timeout = "30s"
search = { periods = 8, certify = 8 }
chunk = { size = "1 tok/s", source = "assumed" }
autoscaler = { lag = { fixed = "1min" } }
price = { first = "6 USD/h", next = "24 USD/h", source = "assumed", as_of = "2026-04-10", region = "here" }
promise = { requests = "80%", periods = "70%", confidence = "60%" }
entity = { endpoint = "small-chat", name = "main.default.small", version = "latest" }
"#;

/// `plimsoll serve` until the test ends.
struct Served {
    child: Child,
    url: String,
}

impl Served {
    fn start(scenario: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .args(["serve", scenario.to_str().unwrap(), "--port", "0", "--for-time", "2min"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, url: line.split_whitespace().last().unwrap().to_owned() }
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut socket = TcpStream::connect(self.url.strip_prefix("http://").unwrap()).unwrap();
        let body = body.to_string();
        let head = format!("{method} /api/2.0/serving-endpoints{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}", body.len());
        socket.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
        serde_json::from_str(body).unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Exit code, stdout and stderr.
fn provision(served: &Served, folder: &Path, scenario: &Path, more: &[&str]) -> (i32, String, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["provision", scenario.to_str().unwrap(), "--yes", "--quick", "--allow-client-limit", "--out", folder.to_str().unwrap()])
        .args(more)
        .env("DATABRICKS_HOST", &served.url)
        .env("DATABRICKS_CONFIG_FILE", folder.join("none"))
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env_remove("DATABRICKS_TOKEN")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
}

fn state(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("provision.json")).unwrap()).unwrap()
}

fn steps(state: &Value) -> Vec<String> {
    state["done"].as_array().unwrap().iter().map(|done| done["step"].as_str().unwrap().to_owned()).collect()
}

fn only_folder(parent: &Path) -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn the_whole_way_is_gone_cut_resumed_and_refused_when_the_endpoint_is_not_what_it_was() {
    let place = tempfile::tempdir().unwrap();
    let scenario = place.path().join("small.toml");
    std::fs::write(&scenario, SCENARIO).unwrap();
    let served = Served::start(&scenario);
    // Somebody else has nearly all of the region's GPUs: one chunk can be deployed, the plan's size cannot.
    let hog =
        json!({ "entity_name": "main.default.small", "entity_version": "1", "min_provisioned_throughput": 8000, "max_provisioned_throughput": 8000 });
    served.send("POST", "", &json!({ "name": "hog", "config": { "served_entities": [hog] } }));
    let (code, _, told) = provision(&served, place.path(), &scenario, &[]);
    assert_eq!(code, 22, "{told}");
    assert!(told.contains("no GPUs were to be had") && told.contains("--resume"), "{told}");
    let folder = only_folder(&place.path().join("small"));
    assert_eq!(steps(&state(&folder)), ["info", "create", "measure", "fit", "plan"]);
    let plan: Value = serde_json::from_slice(&std::fs::read(folder.join("plan.json")).unwrap()).unwrap();
    let max = plan["chosen"]["max_chunks"].as_u64().unwrap();
    assert!(max >= 2, "35 requests a second of 48 tokens are more than two chunks of 800 tokens a second: {max}");

    served.send("DELETE", "/hog", &json!({}));
    let resume = ["--resume", folder.to_str().unwrap()];
    let (code, page, told) = provision(&served, place.path(), &scenario, &resume);
    assert!([0, 11, 12, 13].contains(&code), "the verification decides, not the machine of this test: {code}\n{told}");
    let whole = state(&folder);
    assert_eq!(steps(&whole), ["info", "create", "measure", "fit", "plan", "enlarge", "verify", "resize"]);
    assert!(!folder.join("measure-2").exists(), "what was measured is not measured again");
    for words in ["| size of a chunk | 800 tokens/s | documented |", "assumed |", "Over-provisioning", "The promise", "main.default.small version 1"]
    {
        assert!(page.contains(words), "{words} is not in\n{page}");
    }
    let now = served.send("GET", "/small-chat", &json!({}));
    let entity = &now["config"]["served_entities"][0];
    let chunks = |key: &str| entity[key].as_u64().unwrap() / 800;
    assert_eq!(chunks("max_provisioned_throughput"), max);
    assert_eq!(chunks("min_provisioned_throughput"), plan["chosen"]["min_chunks"].as_u64().unwrap());

    // Before the last two steps, somebody changes the size.
    let mut cut = whole;
    cut["done"].as_array_mut().unwrap().truncate(6);
    std::fs::write(folder.join("provision.json"), cut.to_string()).unwrap();
    let other = json!({ "served_entities": [{ "entity_name": "main.default.small", "entity_version": "1", "min_provisioned_throughput": 800, "max_provisioned_throughput": 800 }] });
    served.send("PUT", "/small-chat/config", &other);
    let is_there = (0..100_000).any(|_| served.send("GET", "/small-chat", &json!({}))["state"]["config_update"] == "NOT_UPDATING");
    assert!(is_there, "a deployment takes 100 ms");
    let (code, _, told) = provision(&served, place.path(), &scenario, &resume);
    assert_eq!(code, 14, "{told}");
    assert!(told.contains("the configuration: was") && told.contains("begin anew"), "{told}");
    let (code, _, told) = provision(&served, place.path(), &scenario, &[]);
    assert_eq!(code, 22, "an endpoint of this name is there: {told}");
}
