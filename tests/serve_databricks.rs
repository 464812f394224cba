//! The emulated Databricks workspace over HTTP: documented calls, one after the other, as a client would make them.

#![expect(clippy::unwrap_used, reason = "a test stops where its premise fails")]

#[path = "server/asking.rs"]
mod asking;

use asking::{Reply, call};
use plimsoll::base::rng::Seed;
use plimsoll::base::units::TimeSpan;
use plimsoll::scenario::endpoint::{EndpointSpec, StepLaw};
use plimsoll::scenario::workspace::{Principal, Workspace};
use plimsoll::serve::{Handle, spawn_in_thread};
use serde_json::{Value, json};

const ENDPOINTS: &str = "/api/2.0/serving-endpoints";
const LLAMA: &str = "system.ai.meta_llama_v3_1_8b_instruct";

/// Deployments are instant: their time is tested where time is virtual.
fn instant() -> Workspace {
    Workspace { deployment: TimeSpan::secs(0), ..Workspace::default() }
}

fn serve(workspace: Workspace) -> Handle {
    let step = StepLaw { base: TimeSpan::millis(1), ..StepLaw::default() };
    spawn_in_thread(EndpointSpec { step, workspace, embedding_dimension: 8, ..EndpointSpec::default() }, "sim".to_owned(), Seed(1)).unwrap()
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
