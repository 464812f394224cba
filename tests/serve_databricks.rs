//! The emulated Databricks workspace over HTTP: documented calls, one after the other, as a client would make them.

#![expect(clippy::unwrap_used, reason = "a test stops where its premise fails")]

#[path = "server/asking.rs"]
mod asking;

use asking::{Reply, call};
use plimsoll::base::rng::Seed;
use plimsoll::base::units::TimeSpan;
use plimsoll::scenario::autoscaler::Lag;
use plimsoll::scenario::endpoint::{EndpointSpec, StepLaw};
use plimsoll::scenario::workspace::{Principal, StreamUsage, Workspace};
use plimsoll::serve::{Handle, spawn_in_thread};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;

const ENDPOINTS: &str = "/api/2.0/serving-endpoints";
const LLAMA: &str = "system.ai.meta_llama_v3_1_8b_instruct";

/// Deployments are instant: their time is tested where time is virtual.
fn instant() -> Workspace {
    Workspace { deployment: TimeSpan::secs(0), ..Workspace::default() }
}

fn serve(workspace: Workspace) -> Handle {
    serve_as(EndpointSpec { workspace, ..EndpointSpec::default() })
}

fn serve_as(spec: EndpointSpec) -> Handle {
    let step = StepLaw { base: TimeSpan::millis(1), ..StepLaw::default() };
    spawn_in_thread(EndpointSpec { step, embedding_dimension: 8, ..spec }, "sim".to_owned(), Seed(1)).unwrap()
}

fn get(handle: &Handle, path: &str) -> Reply {
    call(handle.addr(), "GET", path, "", "")
}

fn send(handle: &Handle, method: &str, path: &str, body: &Value) -> Reply {
    call(handle.addr(), method, path, "content-type: application/json\r\n", &body.to_string())
}

/// The create body of the documentation's example, chunk sizes asked first.
fn create_body(name: &str, min: u64, max: u64) -> Value {
    json!({
        "name": name,
        "config": { "served_entities": [{
            "entity_name": LLAMA, "entity_version": "2", "min_provisioned_throughput": min, "max_provisioned_throughput": max
        }] },
        "tags": [{ "key": "team", "value": "search" }]
    })
}

/// From the model to a running endpoint, resized and deleted: the whole documented way.
#[test]
fn a_model_becomes_an_endpoint_that_answers_and_goes() {
    let handle = serve(instant());
    let info = get(&handle, &format!("{ENDPOINTS}/get-model-optimization-info/{LLAMA}/2")).json();
    assert_eq!(info, json!({ "optimizable": true, "model_type": "llama", "throughput_chunk_size": 970 }));
    let made = send(&handle, "POST", ENDPOINTS, &create_body("chat", 970, 1940));
    assert_eq!(made.status, 200, "{}", made.body);
    let shown = get(&handle, &format!("{ENDPOINTS}/chat")).json();
    assert_eq!((&shown["state"]["ready"], &shown["state"]["config_update"]), (&json!("READY"), &json!("NOT_UPDATING")));
    assert_eq!((&shown["task"], &shown["tags"]), (&json!("llm/v1/chat"), &json!([{ "key": "team", "value": "search" }])));

    let ask = json!({ "messages": [{ "role": "user", "content": "one two" }], "max_tokens": 3 });
    let answer = send(&handle, "POST", "/serving-endpoints/chat/invocations", &ask);
    assert_eq!(answer.json()["usage"], json!({ "prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5 }));
    assert!(answer.head.contains("served-model-name: meta_llama_v3_1_8b_instruct-2\r\n"), "{}", answer.head);
    let by_model = json!({ "model": "chat", "messages": ask["messages"], "max_tokens": 3, "stream": true });
    assert_eq!(send(&handle, "POST", "/serving-endpoints/chat/completions", &by_model).events().len(), 1 + 3 + 1 + 1);

    let resized = send(&handle, "PUT", &format!("{ENDPOINTS}/chat/config"), &create_body("chat", 1940, 1940)["config"]);
    assert_eq!(resized.json()["config"]["config_version"], 2, "{}", resized.body);
    assert_eq!(send(&handle, "POST", "/serving-endpoints/chat/invocations", &ask).status, 200);
    assert_eq!(get(&handle, ENDPOINTS).json()["endpoints"].as_array().unwrap().len(), 2, "and the scenario's own");

    assert_eq!(send(&handle, "DELETE", &format!("{ENDPOINTS}/chat"), &json!({})).status, 200);
    let gone = send(&handle, "POST", "/serving-endpoints/chat/invocations", &ask);
    assert_eq!((gone.status, &gone.json()["error_code"]), (404, &json!("RESOURCE_DOES_NOT_EXIST")));
    assert_eq!(send(&handle, "POST", "/serving-endpoints/sim/invocations", &ask).status, 200);
}

#[test]
fn both_products_and_models_that_cannot_be_served_are_told_apart_by_the_info() {
    let handle = serve(instant());
    let info = |model: &str| get(&handle, &format!("{ENDPOINTS}/get-model-optimization-info/{model}/1"));
    assert_eq!(info("system.ai.gpt-oss-120b").json(), json!({ "optimizable": true, "model_unit_chunk_size": 50 }));
    assert_eq!(info("system.ai.gte_large_en_v1_5").json()["model_type"], "gte");
    let refused = info("system.ai.llama_v3_3_70b").json();
    assert_eq!(refused["optimizable"], false);
    assert!(refused["message"].as_str().unwrap().contains("not eligible"));
    let missing = info("no.such.model");
    assert_eq!((missing.status, &missing.json()["error_code"]), (404, &json!("RESOURCE_DOES_NOT_EXIST")));
    assert_eq!(missing.json()["details"][0]["@type"], "type.googleapis.com/google.rpc.RequestInfo");
    let units = json!({ "name": "u", "config": { "served_entities": [{ "entity_name": "system.ai.gpt-oss-120b", "entity_version": "1", "provisioned_model_units": 100 }] } });
    assert_eq!(send(&handle, "POST", &format!("{ENDPOINTS}/pt"), &units).json()["config"]["served_entities"][0]["provisioned_model_units"], 100);
    let prompt = json!({ "messages": [{ "role": "user", "content": "a" }], "max_tokens": 1 });
    assert_eq!(send(&handle, "POST", "/serving-endpoints/u/invocations", &prompt).status, 200);
}

#[test]
fn traffic_is_split_and_one_entity_can_be_asked_alone() {
    let handle = serve(instant());
    let entity = |name: &str| json!({ "name": name, "entity_name": LLAMA, "entity_version": "1", "max_provisioned_throughput": 970 });
    let route = |name: &str, share: &str| json!({ "served_model_name": name, "traffic_percentage": share });
    let routes = [route("a", "25"), route("b", "75")];
    let body = json!({ "name": "split", "config": { "served_entities": [entity("a"), entity("b")], "traffic_config": { "routes": routes } } });
    assert_eq!(send(&handle, "POST", ENDPOINTS, &body).status, 200);
    let ask = json!({ "prompt": "x", "max_tokens": 1 });
    let served = |path: &str| {
        let head = send(&handle, "POST", &format!("/serving-endpoints/split{path}"), &ask).head;
        head.lines().find_map(|l| l.strip_prefix("served-model-name: ").map(str::to_owned)).unwrap()
    };
    let a = (0..20).filter(|_| served("/invocations") == "a").count();
    assert_eq!(a, 5);
    assert!((0..3).all(|_| served("/served-models/a/invocations") == "a"));
}

#[test]
fn limits_of_the_workspace_have_their_own_429() {
    let handle = serve(Workspace { parallel_requests: Some(0), ..instant() });
    let ask = json!({ "messages": [{ "role": "user", "content": "a" }], "max_tokens": 1 });
    let refused = send(&handle, "POST", "/serving-endpoints/sim/invocations", &ask);
    assert_eq!((refused.status, &refused.json()["error_code"]), (429, &json!("REQUEST_LIMIT_EXCEEDED")));
    assert!(refused.body.contains("Exceeded max number of parallel requests"), "{}", refused.body);
    assert!(refused.head.contains("retry-after: 1\r\n"));
    assert_eq!(send(&handle, "POST", "/v1/chat/completions", &ask).status, 200, "no limit of a workspace there");
}

#[test]
fn a_stopped_endpoint_answers_400_and_one_on_its_way_404() {
    let handle = serve(Workspace { stopped: vec!["old".to_owned()], deployment: TimeSpan::secs(3600), ..Workspace::default() });
    let ask = json!({ "messages": [{ "role": "user", "content": "a" }], "max_tokens": 1 });
    assert_eq!(send(&handle, "POST", "/serving-endpoints/old/invocations", &ask).status, 400);
    assert_eq!(get(&handle, &format!("{ENDPOINTS}/old")).json()["state"]["ready"], "NOT_READY");
    send(&handle, "POST", ENDPOINTS, &create_body("late", 0, 970));
    assert_eq!(send(&handle, "POST", "/serving-endpoints/late/invocations", &ask).status, 404);
    let again = send(&handle, "PUT", &format!("{ENDPOINTS}/late/config"), &create_body("late", 970, 970)["config"]);
    assert_eq!((again.status, &again.json()["error_code"]), (409, &json!("RESOURCE_CONFLICT")));
}

#[test]
fn bearer_tokens_are_asked_for_where_principals_are_known() {
    let principals = vec![Principal { name: "root".to_owned(), admin: true }, Principal { name: "guest".to_owned(), admin: false }];
    let handle = serve(Workspace { principals, ..instant() });
    let as_whom = |authorization: &str, method: &str, path: &str, body: &Value| {
        let header = if authorization.is_empty() { String::new() } else { format!("authorization: {authorization}\r\n") };
        call(handle.addr(), method, path, &header, &body.to_string())
    };
    let nobody = as_whom("", "GET", ENDPOINTS, &json!({}));
    assert_eq!((nobody.status, &nobody.json()["error_code"]), (401, &json!("UNAUTHENTICATED")));
    let ask = json!({ "prompt": "x", "max_tokens": 1 });
    assert_eq!(as_whom("Bearer dapi-guest", "POST", "/serving-endpoints/sim/invocations", &ask).status, 403);
    assert_eq!(as_whom("Bearer dapi-root", "POST", "/serving-endpoints/sim/invocations", &ask).status, 200);
    assert_eq!(as_whom("Bearer wrong", "GET", ENDPOINTS, &json!({})).status, 403);
    let id = as_whom("Bearer dapi-root", "GET", &format!("{ENDPOINTS}/sim"), &json!({})).json()["id"].as_str().unwrap().to_owned();
    let grant = json!({ "access_control_list": [{ "user_name": "guest", "permission_level": "CAN_QUERY" }] });
    assert_eq!(as_whom("Bearer dapi-root", "PATCH", &format!("/api/2.0/permissions/serving-endpoints/{id}"), &grant).status, 200);
    assert_eq!(as_whom("Bearer dapi-guest", "POST", "/serving-endpoints/sim/invocations", &ask).status, 200);
    assert_eq!(as_whom("Bearer dapi-guest", "DELETE", &format!("{ENDPOINTS}/sim"), &json!({})).status, 403);
}

/// Discovery as both generations of clients do it, a token by HTTP Basic and by the form, and its end.
#[test]
fn oauth_gives_tokens_that_are_accepted_until_they_expire() {
    let principals = vec![Principal { name: "robot".to_owned(), admin: true }];
    let handle = serve(Workspace { principals: principals.clone(), ..instant() });
    let metadata = get(&handle, "/.well-known/databricks-config").json();
    let oidc = metadata["oidc_endpoint"].as_str().unwrap().strip_prefix("http://x").unwrap().to_owned();
    let found = get(&handle, &format!("{oidc}/.well-known/oauth-authorization-server")).json();
    let place = found["token_endpoint"].as_str().unwrap().strip_prefix("http://x").unwrap();
    let form = "grant_type=client_credentials&scope=all-apis";
    // robot:dose-robot
    let basic = call(handle.addr(), "POST", place, "authorization: Basic cm9ib3Q6ZG9zZS1yb2JvdA==\r\n", form);
    let posted = call(handle.addr(), "POST", place, "", &format!("{form}&client_id=robot&client_secret=dose%2Drobot"));
    for answer in [basic, posted] {
        assert_eq!((answer.status, &answer.json()["expires_in"]), (200, &json!(3600)));
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        assert_eq!(call(handle.addr(), "GET", ENDPOINTS, &format!("authorization: Bearer {token}\r\n"), "").status, 200);
    }
    let wrong = call(handle.addr(), "POST", place, "", &format!("{form}&client_id=robot&client_secret=guessed"));
    assert_eq!((wrong.status, &wrong.json()["error"]), (401, &json!("invalid_client")));
    let short = serve(Workspace { principals, token_lifetime: TimeSpan::secs(0), ..instant() });
    let expired = call(short.addr(), "POST", place, "", &format!("{form}&client_id=robot&client_secret=dose-robot")).json();
    let header = format!("authorization: Bearer {}\r\n", expired["access_token"].as_str().unwrap());
    assert_eq!(call(short.addr(), "GET", ENDPOINTS, &header, "").status, 401);
}

/// The value of a series for one served entity.
fn sample(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find(|l| l.starts_with(&format!("{name}{{"))).unwrap_or_else(|| panic!("{name} is not in\n{metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn metrics_have_the_documented_series_and_count() {
    let handle = serve(instant());
    send(&handle, "POST", ENDPOINTS, &create_body("m", 970, 1940));
    let ask = json!({ "prompt": "a b", "max_tokens": 2 });
    for _ in 0..3 {
        assert_eq!(send(&handle, "POST", "/serving-endpoints/m/invocations", &ask).status, 200);
    }
    send(&handle, "POST", "/serving-endpoints/m/invocations", &json!({ "prompt": 7 }));
    let reply = get(&handle, &format!("{ENDPOINTS}/m/metrics"));
    assert!(reply.head.contains("application/openmetrics-text"), "{}", reply.head);
    for (name, value) in [
        ("request_count_total", 4.0),
        ("request_4xx_count_total", 1.0),
        ("request_5xx_count_total", 0.0),
        ("provisioned_concurrent_requests_total", 4.0),
        ("request_latency_ms_count", 3.0),
        ("model_queue_time_ms_count", 3.0),
        ("cpu_usage_percentage", 0.0),
        ("mem_usage_percentage", 0.0),
    ] {
        assert!((sample(&reply.body, name) - value).abs() < 1e-9, "{name} in\n{}", reply.body);
    }
    assert!(sample(&reply.body, "request_latency_ms_sum") > 2.0);
    assert!(reply.body.ends_with("# EOF\n"));
}

/// Under load a created endpoint gets its second chunk after the lag, seen as an observer sees it; a new size begins with the chunks there were.
#[test]
fn an_endpoint_scales_with_lag_and_keeps_its_chunks_through_a_resize() {
    let mut spec = EndpointSpec { workspace: instant(), ..EndpointSpec::default() };
    spec.autoscaler.lag = Lag::Fixed(TimeSpan::millis(50));
    (spec.autoscaler.poll, spec.autoscaler.window) = (TimeSpan::millis(20), TimeSpan::millis(100));
    let handle = serve_as(spec);
    send(&handle, "POST", ENDPOINTS, &create_body("s", 970, 1940));
    let concurrency = || sample(&get(&handle, &format!("{ENDPOINTS}/s/metrics")).body, "provisioned_concurrent_requests_total");
    assert!((concurrency() - 4.0).abs() < 1e-9);
    let prompt = vec!["w"; 400].join(" ");
    let ask = json!({ "prompt": prompt, "max_tokens": 1 });
    let scaled = (0..500).any(|_| {
        assert_eq!(send(&handle, "POST", "/serving-endpoints/s/invocations", &ask).status, 200);
        concurrency() > 4.0
    });
    assert!(scaled, "400 tokens a request, one after another, are more than 970 tokens a second");
    send(&handle, "PUT", &format!("{ENDPOINTS}/s/config"), &create_body("s", 970, 2910)["config"]);
    assert!((concurrency() - 8.0).abs() < 1e-9, "the new size begins with two chunks");
}

/// A stream that began before a resize, or before its endpoint was deleted, ends as if nothing had happened.
#[test]
fn open_streams_outlive_their_configuration() {
    let handle = serve(instant());
    send(&handle, "POST", ENDPOINTS, &create_body("r", 970, 970));
    let body = json!({ "prompt": "a", "max_tokens": 300, "stream": true }).to_string();
    let open = || {
        let mut socket = TcpStream::connect(handle.addr()).unwrap();
        socket.write_all(asking::request("POST", "/serving-endpoints/r/invocations", "", &body).as_bytes()).unwrap();
        socket.read_exact(&mut [0; 16]).unwrap();
        socket
    };
    let mut before_resize = open();
    send(&handle, "PUT", &format!("{ENDPOINTS}/r/config"), &create_body("r", 970, 1940)["config"]);
    let mut before_delete = open();
    send(&handle, "DELETE", &format!("{ENDPOINTS}/r"), &json!({}));
    for socket in [&mut before_resize, &mut before_delete] {
        let mut rest = String::new();
        socket.read_to_string(&mut rest).unwrap();
        assert_eq!(rest.matches("\"finish_reason\":null").count(), 300);
        assert!(rest.contains("data: [DONE]"));
    }
}

/// What servers were seen to do with streams: the usage in every event and no `[DONE]`, or no usage at all.
#[test]
fn streams_tell_their_usage_as_the_scenario_says() {
    let ask = json!({ "messages": [{ "role": "user", "content": "one two" }], "max_tokens": 3, "stream": true, "stream_options": { "include_usage": true } });
    for (stream_usage, with_usage, has_done) in [(StreamUsage::Asked, 1, true), (StreamUsage::Every, 5, false), (StreamUsage::Never, 0, true)] {
        let handle = serve(Workspace { stream_usage, template_tokens: 11, ..instant() });
        let reply = send(&handle, "POST", "/serving-endpoints/sim/invocations", &ask);
        let events = reply.events();
        assert_eq!(events.last() == Some(&"[DONE]"), has_done, "{stream_usage:?}");
        let usages: Vec<Value> =
            events.iter().filter_map(|e| serde_json::from_str::<Value>(e).ok()).map(|e| e["usage"].clone()).filter(Value::is_object).collect();
        assert_eq!(usages.len(), with_usage, "{stream_usage:?}");
        if let Some(last) = usages.last() {
            assert_eq!(*last, json!({ "prompt_tokens": 13, "completion_tokens": 3, "total_tokens": 16 }), "the template is in it");
        }
        let plain = send(&handle, "POST", "/v1/chat/completions", &ask);
        assert!(plain.body.contains(r#""prompt_tokens":2"#), "no template there");
    }
}

/// Every member of a description, as a path.
fn members(value: &Value, path: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| members(value, &format!("{path}.{key}"), out)),
        Value::Array(list) => list.iter().for_each(|value| members(value, &format!("{path}[]"), out)),
        _ => out.push(path.to_owned()),
    }
}

/// The members of an answer to create that a user of the real service has published (2025), but for those that tell prices and budget policies.
#[test]
fn an_answer_to_create_has_the_members_of_a_recorded_one() {
    let handle = serve(Workspace { deployment: TimeSpan::secs(3600), ..Workspace::default() });
    let made = send(&handle, "POST", ENDPOINTS, &create_body("shape", 970, 970)).json();
    let mut found = Vec::new();
    members(&made, "", &mut found);
    let entity =
        ["name", "min_provisioned_throughput", "max_provisioned_throughput", "workload_size", "workload_type", "creator", "creation_timestamp"];
    let state = ["state.deployment", "state.deployment_state_message"];
    let config = |list: &str, name: &str| {
        let own = [format!("{name}_name"), format!("{name}_version")];
        let all: Vec<String> = entity.iter().chain(&state).map(ToString::to_string).chain(own).collect();
        all.into_iter().map(move |key| format!(".pending_config.{list}[].{key}")).collect::<Vec<_>>()
    };
    let top = [
        ".name",
        ".creator",
        ".creation_timestamp",
        ".last_updated_timestamp",
        ".state.ready",
        ".state.config_update",
        ".state.suspend",
        ".id",
        ".permission_level",
        ".route_optimized",
        ".creator_display_name",
        ".creator_kind",
        ".resource_credential_strategy",
        ".pending_config.config_version",
        ".pending_config.start_time",
        ".pending_config.traffic_config.routes[].served_model_name",
        ".pending_config.traffic_config.routes[].served_entity_name",
        ".pending_config.traffic_config.routes[].traffic_percentage",
    ];
    let recorded = top.iter().map(ToString::to_string).chain(config("served_entities", "entity")).chain(config("served_models", "model"));
    for path in recorded {
        assert!(found.contains(&path), "{path} is not in {made:#}");
    }
    assert_eq!(made["pending_config"]["served_entities"][0]["state"]["deployment_state_message"], "Creating resources for served entity.");
}
