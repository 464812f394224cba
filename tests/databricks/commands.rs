//! `plimsoll endpoint ...` as a user runs it.

use super::workspace::{Answer, Scripted, answer};
use super::{MODEL, endpoint};
use assert_cmd::Command;
use serde_json::{Value, json};

struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// Runs the command with an environment that holds nothing of this machine's owner.
fn plimsoll(server: &Scripted, args: &[&str]) -> Ran {
    let home = tempfile::tempdir().unwrap();
    let output = Command::cargo_bin("plimsoll")
        .unwrap()
        .env_clear()
        .env("HOME", home.path())
        .env("DATABRICKS_HOST", server.url())
        .env("DATABRICKS_TOKEN", "dapi-canary")
        .args(args)
        .timeout(std::time::Duration::from_secs(30))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let ran = Ran { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) };
    assert!(!ran.out.contains("canary") && !ran.err.contains("canary"), "{}\n{}", ran.out, ran.err);
    ran
}

fn info(size: u64) -> Answer {
    answer(200, json!({ "optimizable": true, "model_type": "llama", "throughput_chunk_size": size }))
}

fn versions() -> Answer {
    answer(200, json!({ "model_versions": [{ "version": 2, "status": "READY" }] }))
}

fn units() -> Answer {
    answer(200, json!({ "optimizable": true, "model_unit_chunk_size": 50 }))
}

#[test]
fn info_tells_the_chunk_saves_it_and_needs_no_network_afterwards() {
    let server = Scripted::start(vec![versions(), info(970), answer(200, json!({ "optimizable": false, "message": "only Instruct" }))]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.json").display().to_string();
    let ran = plimsoll(&server, &["endpoint", "info", MODEL, "--save", &file]);
    assert!(ran.code == 0 && ran.out.contains("version 2") && ran.out.contains("one chunk is 970 tokens per second"), "{}{}", ran.out, ran.err);
    assert_eq!(server.requests()[0].header("authorization"), "Bearer dapi-canary");
    let ran = plimsoll(&server, &["--format", "json", "endpoint", "info", MODEL, "--offline", &file]);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &told["info"]["throughput_chunk_size"], &told["version"]), (0, &json!(970), &json!(2)));
    let ran = plimsoll(&server, &["endpoint", "info", "system.ai.meta_llama_v3_1_8b", "--version", "1"]);
    assert!(ran.code == 22 && ran.err.contains("only Instruct") && ran.err.contains("_instruct"), "{} {}", ran.code, ran.err);
}

#[test]
fn a_dry_run_prints_the_exact_request_and_sends_nothing() {
    let server = Scripted::start(vec![info(970)]);
    let args = [
        "endpoint",
        "create",
        "e",
        "--model",
        MODEL,
        "--version",
        "2",
        "--min",
        "0",
        "--max",
        "2chunks",
        "--tag",
        "team=x",
        "--rate-limit",
        "calls=60",
        "--dry-run",
    ];
    let ran = plimsoll(&server, &[&["--format", "json"], &args[..]].concat());
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(told["url"], format!("{}/api/2.0/serving-endpoints", server.url()));
    let body = json!({
        "name": "e",
        "config": {
            "served_entities": [{ "name": "meta_llama_v3_1_8b_instruct-2", "entity_name": MODEL, "entity_version": "2", "min_provisioned_throughput": 0, "max_provisioned_throughput": 1940 }],
            "traffic_config": { "routes": [{ "served_entity_name": "meta_llama_v3_1_8b_instruct-2", "traffic_percentage": 100 }] },
        },
        "ai_gateway": { "rate_limits": [{ "calls": 60, "key": "endpoint", "renewal_period": "minute" }] },
        "tags": [{ "key": "team", "value": "x" }],
    });
    assert_eq!(told["body"], body);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn what_the_server_would_refuse_is_not_sent() {
    let server = Scripted::start(vec![info(970), units(), units()]);
    let ran = plimsoll(&server, &["endpoint", "create", "e", "--model", MODEL, "--version", "2", "--min", "0", "--max", "1000", "--yes"]);
    assert!(ran.code == 2 && ran.err.contains("1000 is not a multiple of the chunk of 970; next to it are 970 and 1940"), "{}", ran.err);
    let ran = plimsoll(&server, &["endpoint", "create", "e", "--model", MODEL, "--version", "2", "--min", "0", "--max", "50", "--yes"]);
    assert!(ran.code == 2 && ran.err.contains("model units") && ran.err.contains("--model-units 1chunk"), "{}", ran.err);
    // Without --yes and without a terminal nothing is sent either.
    let ran = plimsoll(&server, &["endpoint", "create", "e", "--model", MODEL, "--version", "2", "--model-units", "50"]);
    assert!(ran.code == 15 && ran.err.contains("--yes"), "{} {}", ran.code, ran.err);
    assert!(server.requests().iter().all(|asked| asked.line.starts_with("GET ")));
}

#[test]
fn create_waits_and_ends_as_the_endpoint_does() {
    let creating = endpoint("NOT_READY", "IN_PROGRESS", "DEPLOYMENT_CREATING", "");
    let failed = endpoint("NOT_READY", "UPDATE_FAILED", "DEPLOYMENT_FAILED", "GPU capacity is not available in this region");
    let log = answer(200, json!({ "logs": "step 3 of 4\nno node for 1 GPU" }));
    let server = Scripted::start(vec![units(), creating, failed, log.clone(), log]);
    let args = [
        "endpoint",
        "create",
        "e",
        "--model",
        MODEL,
        "--version",
        "2",
        "--model-units",
        "1chunk",
        "--no-burst",
        "--chunk-price",
        "5",
        "--yes",
        "--wait",
    ];
    let ran = plimsoll(&server, &args);
    assert_eq!(ran.code, 22, "{}", ran.err);
    for words in ["cost an hour: 5.00", "GPU capacity is not available", "no node for 1 GPU", "try again later"] {
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    }
    let asked = server.requests();
    assert_eq!(asked[1].line, "POST /api/2.0/serving-endpoints/pt");
    let sent: Value = serde_json::from_str(&asked[1].body).unwrap();
    assert_eq!(sent["config"]["served_entities"][0]["burst_scaling_enabled"], false);
}

#[test]
fn resize_sends_the_whole_configuration_and_shows_the_change() {
    let ready = endpoint("READY", "NOT_UPDATING", "DEPLOYMENT_READY", "");
    let server = Scripted::start(vec![ready.clone(), info(970), ready.clone(), endpoint("READY", "IN_PROGRESS", "DEPLOYMENT_READY", "")]);
    let ran = plimsoll(&server, &["endpoint", "resize", "e", "--min", "1chunk", "--max", "3chunks", "--chunk-price", "3.75,7.42", "--yes"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("0 to 1940 tokens/s") && ran.err.contains("970 to 2910 tokens/s"), "{}", ran.err);
    assert!(ran.err.contains("3.75 (at its minimum) to 18.59 (at its maximum), until now 0.00 (at its minimum) to 11.17"), "{}", ran.err);
    let sent: Value = serde_json::from_str(&server.requests()[2].body).unwrap();
    assert_eq!(sent["served_entities"][0]["max_provisioned_throughput"], 2910);
    assert_eq!(sent["traffic_config"]["routes"][0]["traffic_percentage"], 100);
    // One change at a time.
    let ran = plimsoll(&server, &["endpoint", "resize", "e", "--max", "1chunk", "--yes"]);
    assert!(ran.code == 22 && ran.err.contains("one change at a time"), "{} {}", ran.code, ran.err);
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn status_list_and_delete_say_what_is_there() {
    let updating = endpoint("READY", "IN_PROGRESS", "DEPLOYMENT_READY", "");
    let list =
        answer(200, json!({ "endpoints": [{ "name": "a" }, { "name": "bcd", "state": { "ready": "READY", "config_update": "NOT_UPDATING" } }] }));
    let server = Scripted::start(vec![updating.clone(), list, updating, answer(200, json!({}))]);
    let ran = plimsoll(&server, &["endpoint", "status", "e"]);
    assert!(ran.code == 0 && ran.out.contains("ready (updating)") && ran.out.contains("on its way, configuration 2"), "{}", ran.out);
    let ran = plimsoll(&server, &["endpoint", "list"]);
    assert!(ran.out.contains("a    not ready") && ran.out.contains("bcd  ready"), "{}", ran.out);
    let ran = plimsoll(&server, &["endpoint", "delete", "e", "--yes"]);
    assert!(ran.code == 0 && ran.out.contains("deleted e"), "{}{}", ran.out, ran.err);
}

#[test]
fn who_is_not_let_in_is_told_where_the_token_came_from() {
    let server = Scripted::start(vec![
        answer(403, json!({ "error_code": "PERMISSION_DENIED", "message": "Invalid access token dapi-canary" })),
        answer(401, json!({})),
    ]);
    let ran = plimsoll(&server, &["endpoint", "list"]);
    assert!(ran.code == 20 && ran.err.contains("Invalid access token ***"), "{} {}", ran.code, ran.err);
    let ran = plimsoll(&server, &["endpoint", "list"]);
    assert!(ran.code == 20 && ran.err.contains("came from DATABRICKS_TOKEN"), "{} {}", ran.code, ran.err);
}
