//! The control plane client against a scripted workspace: paging, OAuth, the life of an endpoint, every class of refusal, and the commands on top.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "databricks/workspace.rs"]
mod workspace;

use plimsoll::client::auth::Secret;
use plimsoll::client::databricks::auth::{How, Login};
use plimsoll::client::databricks::error::{Class, Error};
use plimsoll::client::databricks::wait::{End, Patience, until_ready};
use plimsoll::client::databricks::{Way, WhichVersion, Workspace};
use plimsoll::protocol::databricks::Product;
use plimsoll::protocol::databricks::endpoint::{CreateEndpoint, EndpointConfig};
use plimsoll::protocol::databricks::entity::{ServedEntity, TrafficConfig};
use serde_json::json;
use std::time::Duration;
use workspace::{Answer, Scripted, answer};

const MODEL: &str = "system.ai.meta_llama_v3_1_8b_instruct";

fn open(server: &Scripted) -> Workspace {
    open_at(&server.url())
}

fn open_at(url: &str) -> Workspace {
    Workspace::new(Login::without_token(url), &Way::default()).unwrap()
}

fn machine(server: &Scripted) -> Workspace {
    let how = How::Machine { client_id: "sp-1".to_owned(), client_secret: Secret::new("secret-canary".to_owned()) };
    let login = Login { host: server.url(), how, from: "DATABRICKS_CLIENT_SECRET".to_owned(), workspace_id: Some("42".to_owned()) };
    Workspace::new(login, &Way::default()).unwrap()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Eager enough for a test: looks every 2 ms.
const PATIENCE: Patience = Patience { deadline: Duration::from_secs(5), pause: Duration::from_millis(2), longest_pause: Duration::from_millis(2) };

#[test]
fn all_pages_are_read_and_the_highest_ready_version_wins() {
    let server = Scripted::start(vec![
        answer(200, json!({ "next_page_token": "p 2" })),
        answer(
            200,
            json!({ "model_versions": [{ "version": 2, "status": "READY" }, { "version": 7, "status": "PENDING_REGISTRATION" }], "next_page_token": "p3" }),
        ),
        answer(200, json!({ "model_versions": [{ "version": 5, "status": "READY" }] })),
        answer(200, json!({ "version": 3, "aliases": [{ "alias_name": "champion" }] })),
        answer(200, json!({ "model_versions": [{ "version": 1, "status": "FAILED_REGISTRATION" }] })),
        answer(200, json!({ "next_page_token": "again" })),
        answer(200, json!({ "next_page_token": "again" })),
    ]);
    let workspace = open(&server);
    assert_eq!(run(workspace.version(MODEL, &WhichVersion::Latest)).unwrap(), 5);
    assert_eq!(run(workspace.version(MODEL, &WhichVersion::Alias("champion".to_owned()))).unwrap(), 3);
    assert!(matches!(run(workspace.version(MODEL, &WhichVersion::Latest)), Err(Error::NoReadyVersion { versions: 1, .. })));
    assert!(run(workspace.versions(MODEL)).unwrap_err().to_string().contains("points at itself"));
    let asked = server.requests();
    assert_eq!(asked[0].line, format!("GET /api/2.1/unity-catalog/models/{MODEL}/versions"));
    assert_eq!(asked[1].line, format!("GET /api/2.1/unity-catalog/models/{MODEL}/versions?page_token=p%202"));
    assert_eq!(asked[3].line, format!("GET /api/2.1/unity-catalog/models/{MODEL}/aliases/champion"));
}

#[test]
fn a_model_is_eligible_or_refused_in_the_servers_words() {
    let server = Scripted::start(vec![
        answer(200, json!({ "optimizable": true, "model_type": "llama", "throughput_chunk_size": 970 })),
        answer(200, json!({ "optimizable": false, "message": "base models are not supported" })),
        answer(400, json!({ "error_code": "INVALID_PARAMETER_VALUE", "message": "no such task" })),
    ]);
    let workspace = open(&server);
    let ask = || run(workspace.optimization_info(MODEL, 2)).unwrap();
    assert_eq!(ask().chunk().unwrap().size, 970);
    assert_eq!(ask().message.as_deref(), Some("base models are not supported"));
    let refused = ask();
    assert_eq!((refused.optimizable, refused.error_code.as_deref()), (false, Some("INVALID_PARAMETER_VALUE")));
    assert_eq!(server.requests()[0].line, format!("GET /api/2.0/serving-endpoints/get-model-optimization-info/{MODEL}/2"));
}

fn oauth(expires_in: u64) -> [Answer; 2] {
    let token = json!({ "access_token": "oauth-canary", "token_type": "Bearer", "expires_in": expires_in });
    [Answer::own_url(200, json!({ "token_endpoint": "{url}/oidc/v1/token" })), answer(200, token)]
}

#[test]
fn a_service_principal_gets_its_token_once_and_a_new_one_before_the_end() {
    let list = answer(200, json!({}));
    // The first token has no life at all, so that the second request needs another; that one lives an hour.
    let mut script = oauth(0).to_vec();
    script.push(list.clone());
    script.extend(oauth(3600));
    script.extend([list.clone(), list]);
    let server = Scripted::start(script);
    let workspace = machine(&server);
    for _ in 0..3 {
        assert!(run(workspace.list()).unwrap().is_empty());
    }
    let asked = server.requests();
    let lines: Vec<&str> = asked.iter().map(|request| request.line.as_str()).collect();
    let (discovery, token, list) = ("GET /oidc/.well-known/oauth-authorization-server", "POST /oidc/v1/token", "GET /api/2.0/serving-endpoints");
    assert_eq!(lines, [discovery, token, list, discovery, token, list, list]);
    assert_eq!(asked[1].body, "grant_type=client_credentials&scope=all-apis");
    // RFC 7617: base64 of `sp-1:secret-canary`.
    assert_eq!(asked[1].header("authorization"), "Basic c3AtMTpzZWNyZXQtY2FuYXJ5");
    assert_eq!(asked[2].header("authorization"), "Bearer oauth-canary");
    assert_eq!(asked[2].header("x-databricks-workspace-id"), "42");
}

#[test]
fn a_secret_is_in_no_message_and_goes_to_no_other_host() {
    let server = Scripted::start(vec![
        oauth(60)[0].clone(),
        answer(401, json!({ "error": "invalid_client", "error_description": "secret-canary is wrong" })),
        answer(200, json!({ "token_endpoint": "https://elsewhere.example/token" })),
        oauth(60)[0].clone(),
        answer(200, json!({ "token": "odd-canary" })),
    ]);
    let workspace = machine(&server);
    let words = |expected: &str| {
        let error = run(workspace.list()).unwrap_err();
        let text = format!("{error}\n{error:?}");
        assert!(text.contains(expected) && !text.contains("canary"), "{text}");
    };
    words("service principal sp-1 (DATABRICKS_CLIENT_SECRET)");
    words("elsewhere.example");
    words("access_token and expires_in");
}

fn endpoint(ready: &str, update: &str, deployment: &str, message: &str) -> Answer {
    let entity = |min: u64| {
        json!({ "name": "m-2", "entity_name": MODEL, "entity_version": "2", "min_provisioned_throughput": min, "max_provisioned_throughput": 1940,
            "state": { "deployment": deployment, "deployment_state_message": message } })
    };
    let mut body = json!({ "name": "e", "state": { "ready": ready, "config_update": update } });
    body["config"] = json!({ "config_version": 1, "served_entities": [entity(0)], "traffic_config": { "routes": [{ "served_model_name": "m-2", "traffic_percentage": 100 }] } });
    if update != "NOT_UPDATING" {
        body["pending_config"] = json!({ "config_version": 2, "start_time": 1, "served_entities": [entity(970)] });
    }
    answer(200, body)
}

#[test]
fn an_endpoint_is_created_waited_for_and_resized() {
    let creating = endpoint("NOT_READY", "IN_PROGRESS", "DEPLOYMENT_CREATING", "");
    let ready = endpoint("READY", "NOT_UPDATING", "DEPLOYMENT_READY", "");
    let server =
        Scripted::start(vec![creating.clone(), creating.clone(), creating, answer(503, json!({})), ready.clone(), ready, answer(200, json!({}))]);
    let workspace = open(&server);
    let entity = ServedEntity::band(MODEL, "2", 0, 1940);
    let config =
        EndpointConfig { served_entities: vec![entity], traffic_config: Some(TrafficConfig::split([("m-2", 100)])), ..EndpointConfig::default() };
    let body = CreateEndpoint { name: "e".to_owned(), config: config.clone(), ..CreateEndpoint::default() };
    run(workspace.create(Product::TokenBands, &body)).unwrap();
    let mut seen = 0;
    let waited = run(until_ready(&workspace, "e", PATIENCE, &mut |_, _| seen += 1)).unwrap();
    assert_eq!((waited.end, seen), (End::Ready, 2));
    run(workspace.update(Product::ModelUnits, "e", &config)).unwrap();
    run(workspace.delete("e")).unwrap();
    let asked = server.requests();
    let lines: Vec<&str> = asked.iter().map(|request| request.line.as_str()).collect();
    let path = "/api/2.0/serving-endpoints";
    assert_eq!(lines[0], format!("POST {path}"));
    assert_eq!(lines[5..], [format!("PUT {path}/pt/e/config"), format!("DELETE {path}/e")]);
    let sent: serde_json::Value = serde_json::from_str(&asked[0].body).unwrap();
    assert_eq!(sent["config"]["served_entities"][0]["min_provisioned_throughput"], 0);
    let sent: serde_json::Value = serde_json::from_str(&asked[5].body).unwrap();
    assert_eq!(sent["config"]["served_entities"][0]["entity_version"], "2");
}

#[test]
fn a_failed_change_is_told_with_its_log_and_a_stopped_one_ends_the_wait() {
    let server = Scripted::start(vec![
        endpoint("READY", "UPDATE_FAILED", "DEPLOYMENT_FAILED", "GPU capacity is not available"),
        answer(200, json!({ "logs": "pulling\nno node" })),
    ]);
    let waited = run(until_ready(&open(&server), "e", PATIENCE, &mut |_, _| ())).unwrap();
    assert_eq!((waited.end, waited.logs), (End::Failed, vec![("m-2".to_owned(), "pulling\nno node".to_owned())]));
    assert_eq!(server.requests()[1].line, "GET /api/2.0/serving-endpoints/e/served-models/m-2/build-logs");
    let server = Scripted::start(vec![endpoint("NOT_READY", "NOT_UPDATING", "DEPLOYMENT_ABORTED", ""); 5]);
    assert_eq!(run(until_ready(&open(&server), "e", PATIENCE, &mut |_, _| ())).unwrap().end, End::Stopped);
    let server = Scripted::start(vec![endpoint("NOT_READY", "IN_PROGRESS", "DEPLOYMENT_CREATING", ""); 50]);
    let short = Patience { deadline: Duration::from_millis(20), ..PATIENCE };
    assert_eq!(run(until_ready(&open(&server), "e", short, &mut |_, _| ())).unwrap().end, End::TooLate);
}

#[test]
fn every_class_of_refusal_has_its_words() {
    for (status, code, message, class, hint) in [
        (400, "INVALID_PARAMETER_VALUE", "Served entity x is not eligible for Provisioned Throughput.", Class::Invalid, "--model-units"),
        (400, "INVALID_STATE", "Endpoint e is being updated", Class::Busy, "endpoint wait"),
        (400, "BAD_REQUEST", "The endpoint is stopped", Class::Invalid, "start the endpoint"),
        (401, "UNAUTHENTICATED", "who?", Class::Unauthenticated, "no token was sent"),
        (403, "PERMISSION_DENIED", "no", Class::Forbidden, "CAN_MANAGE"),
        (404, "RESOURCE_DOES_NOT_EXIST", "no e", Class::NotFound, "endpoint list"),
        (409, "RESOURCE_ALREADY_EXISTS", "e is there", Class::Exists, "resize"),
        (500, "INTERNAL_ERROR", "oh", Class::Server, "some minutes"),
        (504, "DEADLINE_EXCEEDED", "late", Class::TimedOut, "endpoint status"),
    ] {
        let server = Scripted::start(vec![answer(status, json!({ "error_code": code, "message": message }))]);
        let error = run(open(&server).delete("e")).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.class(), Some(class), "{text}");
        assert!(text.contains(&format!("{code}: {message}")) && text.contains("expected") && text.contains(hint), "{text}");
    }
    let server =
        Scripted::start(vec![Answer::html(200, "<html><title>Log in</title></html>"), Answer::html(502, "<html><title>Bad Gateway</title></html>")]);
    let workspace = open(&server);
    let text = run(workspace.list()).unwrap_err().to_string();
    assert!(text.contains("a page of HTML: Log in") && text.contains("workspace's own"), "{text}");
    assert!(run(workspace.list()).unwrap_err().to_string().contains("Bad Gateway"));
}

/// A throttled request was not carried out: it is sent again. A change that met a server out of breath may have been: it is not.
#[test]
fn only_what_is_safe_is_sent_again() {
    let (throttled, breathless) = (Answer::later(429, 0), Answer::later(503, 0));
    let server = Scripted::start(vec![throttled.clone(), breathless.clone(), answer(200, json!({}))]);
    assert!(run(open(&server).list()).is_ok());
    let server = Scripted::start(vec![throttled.clone(), answer(200, json!({}))]);
    assert!(run(open(&server).delete("e")).is_ok());
    let server = Scripted::start(vec![breathless; 2]);
    assert_eq!(run(open(&server).delete("e")).unwrap_err().class(), Some(Class::Server));
    assert_eq!(server.requests().len(), 1);
    let server = Scripted::start(vec![throttled; 9]);
    assert_eq!(run(open(&server).list()).unwrap_err().class(), Some(Class::Throttled));
    assert_eq!(server.requests().len(), 4);
    // A server that asks for an hour is not waited for.
    let server = Scripted::start(vec![Answer::later(429, 3600)]);
    assert_eq!(run(open(&server).list()).unwrap_err().class(), Some(Class::Throttled));
}

#[path = "databricks/commands.rs"]
mod commands;

#[path = "databricks/emulation.rs"]
mod emulation;
