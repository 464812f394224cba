//! The control plane in virtual time: whatever is asked in whatever order, an endpoint is in one of the documented states.

use super::access::{Caller, Level};
use super::config::Product;
use super::fault::Fault;
use super::*;
use crate::base::rng::{Seed, Stream};
use crate::base::units::TimeSpan;
use crate::scenario::workspace::{Principal, Workspace as Spec};
use rand::RngExt;

const LLAMA: &str = "system.ai.llama_v3_3_70b_instruct";

fn admin() -> Caller {
    Caller { name: "emulation".to_owned(), admin: true }
}

fn workspace(spec: Spec) -> Workspace {
    let mut workspace = Workspace::new(&EndpointSpec { workspace: spec, ..EndpointSpec::default() }, "own", "own", 1_700_000_000_000);
    workspace.take_changes();
    workspace
}

fn quick() -> Spec {
    Spec { deployment: TimeSpan::secs(10), gpu_wait: TimeSpan::secs(5), gpu_chunks: 8, ..Spec::default() }
}

fn band(min: u32, max: u32) -> Value {
    json!({ "served_entities": [{ "entity_name": LLAMA, "entity_version": "2", "min_provisioned_throughput": min * 1580, "max_provisioned_throughput": max * 1580 }] })
}

fn body(name: &str, min: u32, max: u32) -> Value {
    json!({ "name": name, "config": band(min, max) })
}

fn s(seconds: u64) -> Nanos {
    Nanos::from_secs(seconds)
}

fn states(w: &mut Workspace, at: Nanos, name: &str) -> (String, String) {
    let found = w.get(at, &admin(), name).unwrap();
    let word = |key: &str| found["state"][key].as_str().unwrap().to_owned();
    (word("ready"), word("config_update"))
}

#[test]
fn an_endpoint_is_deployed_after_its_time_and_not_before() {
    let mut w = workspace(quick());
    let made = w.create(s(0), &admin(), &body("e", 1, 2), Product::General).unwrap();
    assert_eq!(made["state"]["ready"], "NOT_READY");
    assert_eq!(made["pending_config"]["served_entities"][0]["state"]["deployment"], "DEPLOYMENT_CREATING");
    assert_eq!(made["pending_config"]["traffic_config"]["routes"][0]["traffic_percentage"], 100);
    assert!(made.get("config").is_none());
    let just_before = Nanos(s(10).0 - 1);
    assert_eq!(states(&mut w, just_before, "e"), ("NOT_READY".to_owned(), "IN_PROGRESS".to_owned()));
    assert_eq!(w.may_query(just_before, &admin(), "e").unwrap_err().status, 404);
    assert!(w.take_changes().is_empty());
    assert_eq!(states(&mut w, s(10), "e"), ("READY".to_owned(), "NOT_UPDATING".to_owned()));
    assert!(w.may_query(s(10), &admin(), "e").is_ok());
    assert!(matches!(&w.take_changes()[..], [Change::Serve { endpoint, config }] if endpoint == "e" && config.version == 1));
}

#[test]
fn the_old_configuration_serves_while_the_new_one_is_deployed() {
    let mut w = workspace(quick());
    w.create(s(0), &admin(), &body("e", 1, 1), Product::General).unwrap();
    let during = w.update_config(s(20), &admin(), "e", &band(2, 3), Product::General).unwrap();
    assert_eq!((&during["state"]["ready"], &during["state"]["config_update"]), (&json!("READY"), &json!("IN_PROGRESS")));
    assert_eq!((&during["config"]["config_version"], &during["pending_config"]["config_version"]), (&json!(1), &json!(2)));
    assert_eq!(during["config"]["served_entities"][0]["min_provisioned_throughput"], 1580);
    assert_eq!(during["config"]["served_entities"][0]["state"]["deployment"], "DEPLOYMENT_READY");
    let refused = w.update_config(s(25), &admin(), "e", &band(1, 1), Product::General).unwrap_err();
    assert_eq!((refused.status, refused.code), (409, "RESOURCE_CONFLICT"));
    let after = w.get(s(30), &admin(), "e").unwrap();
    assert_eq!(after["config"]["config_version"], 2);
    assert_eq!(after["config"]["served_entities"][0]["max_provisioned_throughput"], 3 * 1580);
    assert!(after.get("pending_config").is_none());
}

#[test]
fn without_gpus_a_deployment_waits_fails_and_leaves_the_old_one_serving() {
    let mut w = workspace(quick());
    w.create(s(0), &admin(), &body("e", 2, 9), Product::General).unwrap();
    w.update_config(s(20), &admin(), "e", &band(9, 9), Product::General).unwrap();
    assert_eq!(states(&mut w, s(34), "e"), ("READY".to_owned(), "IN_PROGRESS".to_owned()));
    let waits = w.get(s(34), &admin(), "e").unwrap();
    assert_eq!(waits["pending_config"]["served_entities"][0]["state"]["deployment_state_message"], "Waiting for GPU capacity.");
    let failed = w.get(s(35), &admin(), "e").unwrap();
    assert_eq!((&failed["state"]["ready"], &failed["state"]["config_update"]), (&json!("READY"), &json!("UPDATE_FAILED")));
    assert_eq!(failed["pending_config"]["served_entities"][0]["state"]["deployment"], "DEPLOYMENT_FAILED");
    assert_eq!(failed["config"]["config_version"], 1);
    assert!(w.build_logs(s(35), &admin(), "e", "llama_v3_3_70b_instruct-2").unwrap()["logs"].as_str().unwrap().contains("GPU capacity"));
    // A failed update does not stand in the way of the next one.
    w.update_config(s(40), &admin(), "e", &band(3, 3), Product::General).unwrap();
    let after = w.get(s(50), &admin(), "e").unwrap();
    assert_eq!((&after["config"]["config_version"], &after["state"]["config_update"]), (&json!(3), &json!("NOT_UPDATING")));
}

#[test]
fn a_deployment_that_waits_takes_the_gpus_that_become_free() {
    let mut w = workspace(quick());
    w.create(s(0), &admin(), &body("first", 5, 5), Product::General).unwrap();
    w.create(s(10), &admin(), &body("second", 4, 4), Product::General).unwrap();
    assert_eq!(states(&mut w, s(22), "second").1, "IN_PROGRESS");
    w.delete(s(23), &admin(), "first").unwrap();
    assert_eq!(states(&mut w, s(23), "second").0, "READY");
}

#[test]
fn model_units_are_their_own_product_and_change_at_once() {
    let mut w = workspace(quick());
    let entity = |units: u32| json!({ "served_entities": [{ "entity_name": "system.ai.gpt-oss-120b", "entity_version": 1, "provisioned_model_units": units, "burst_scaling_enabled": false }] });
    w.create(s(0), &admin(), &json!({ "name": "u", "config": entity(50) }), Product::ModelUnits).unwrap();
    assert_eq!(states(&mut w, s(9), "u").0, "NOT_READY");
    assert_eq!(states(&mut w, s(10), "u").0, "READY");
    let resized = w.update_config(s(11), &admin(), "u", &json!({ "config": entity(100) }), Product::ModelUnits).unwrap();
    assert_eq!(resized["state"]["config_update"], "NOT_UPDATING");
    let shown = &resized["config"]["served_entities"][0];
    assert_eq!(shown["provisioned_model_units"], 100);
    assert!(shown.get("burst_scaling_enabled").is_none(), "write-only");
}

/// Every refusal has the documented code, and says what was wrong.
#[test]
fn wrong_bodies_are_refused_with_the_documented_codes() {
    let mut w = workspace(quick());
    w.create(s(0), &admin(), &body("taken", 1, 1), Product::General).unwrap();
    let entity = |fields: Value| {
        let mut entity = json!({ "entity_name": LLAMA, "entity_version": "1" });
        entity.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({ "name": "e", "config": { "served_entities": [entity] } })
    };
    let pair = |shares: [u32; 2]| {
        let one = |name: &str| json!({ "name": name, "entity_name": LLAMA, "entity_version": "1", "max_provisioned_throughput": 1580 });
        let route = |name: &str, share: u32| json!({ "served_entity_name": name, "traffic_percentage": share });
        json!({ "name": "e", "config": { "served_entities": [one("a"), one("b")], "traffic_config": { "routes": [route("a", shares[0]), route("b", shares[1])] } } })
    };
    let cases: [(Value, &str, &str); 16] = [
        (body("taken", 1, 1), "RESOURCE_ALREADY_EXISTS", "already exists"),
        (body("databricks-mine", 1, 1), "INVALID_PARAMETER_VALUE", "reserved"),
        (body("with space", 1, 1), "INVALID_PARAMETER_VALUE", "letters, digits"),
        (json!({ "config": band(1, 1) }), "INVALID_PARAMETER_VALUE", "name"),
        (json!({ "name": "e", "config": { "served_entities": [] } }), "INVALID_PARAMETER_VALUE", "at least one"),
        (entity(json!({ "max_provisioned_throughput": 1600 })), "INVALID_PARAMETER_VALUE", "multiple of 1580"),
        (entity(json!({ "min_provisioned_throughput": 10, "max_provisioned_throughput": 1580 })), "INVALID_PARAMETER_VALUE", "multiple of 1580"),
        (entity(json!({ "min_provisioned_throughput": 3160, "max_provisioned_throughput": 1580 })), "INVALID_PARAMETER_VALUE", "must not exceed"),
        (entity(json!({ "max_provisioned_throughput": 0 })), "INVALID_PARAMETER_VALUE", "at least 1580"),
        (entity(json!({ "max_provisioned_throughput": -1580 })), "INVALID_PARAMETER_VALUE", "whole number"),
        (entity(json!({ "provisioned_model_units": 50 })), "INVALID_PARAMETER_VALUE", "model units"),
        (entity(json!({ "entity_version": "99", "max_provisioned_throughput": 1580 })), "RESOURCE_DOES_NOT_EXIST", "/99"),
        (entity(json!({ "entity_name": "a.b.c", "max_provisioned_throughput": 1580 })), "RESOURCE_DOES_NOT_EXIST", "a.b.c"),
        (
            entity(json!({ "entity_name": "system.ai.gpt-oss-120b", "max_provisioned_throughput": 1580 })),
            "INVALID_PARAMETER_VALUE",
            "Served entity system.ai.gpt-oss-120b is not eligible for Provisioned Throughput.",
        ),
        (pair([50, 40]), "INVALID_PARAMETER_VALUE", "sum to 100, got 90"),
        (
            json!({ "name": "e", "config": { "served_entities": pair([0, 0])["config"]["served_entities"] } }),
            "INVALID_PARAMETER_VALUE",
            "traffic config",
        ),
    ];
    for (body, code, words) in cases {
        let fault: Fault = w.create(s(1), &admin(), &body, Product::General).unwrap_err();
        assert_eq!(fault.code, code, "{body}: {}", fault.message);
        assert!(fault.message.contains(words), "{body}: {}", fault.message);
    }
    assert!(w.create(s(1), &admin(), &pair([40, 60]), Product::General).is_ok());
}

#[test]
fn callers_may_do_what_they_were_granted() {
    let principals = ["root", "maker", "guest"].map(|name| Principal { name: name.to_owned(), admin: name == "root" }).to_vec();
    let mut w = workspace(Spec { principals, ..quick() });
    let caller = |w: &mut Workspace, name: &str| w.access().caller(s(0), Some(&format!("dapi-{name}"))).unwrap();
    let (maker, guest) = (caller(&mut w, "maker"), caller(&mut w, "guest"));
    assert_eq!(w.access().caller(s(0), None).unwrap_err().status, 401);
    assert_eq!(w.access().caller(s(0), Some("dapi-unknown")).unwrap_err().status, 403);
    let made = w.create(s(0), &maker, &body("e", 1, 1), Product::General).unwrap();
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(made["permission_level"], "CAN_MANAGE");
    assert_eq!(w.get(s(10), &guest, "e").unwrap_err().code, "PERMISSION_DENIED");
    assert!(w.list(s(10), &guest)["endpoints"].as_array().unwrap().is_empty());
    for (level, sees, queries, manages) in [("CAN_VIEW", true, false, false), ("CAN_QUERY", true, true, false), ("CAN_MANAGE", true, true, true)] {
        let list = json!({ "access_control_list": [{ "user_name": "guest", "permission_level": level }] });
        let shown = w.grant(s(11), &maker, &id, &list, false).unwrap();
        assert_eq!(shown["access_control_list"].as_array().unwrap().len(), 2);
        assert_eq!(w.get(s(12), &guest, "e").is_ok(), sees, "{level}");
        assert_eq!(w.may_query(s(12), &guest, "e").is_ok(), queries, "{level}");
        let patched = w.patch_tags(s(12), &guest, "e", &json!({ "add_tags": [{ "key": "a" }] }));
        assert_eq!(patched.is_ok(), manages, "{level}");
    }
    w.grant(s(13), &maker, &id, &json!({ "access_control_list": [] }), true).unwrap();
    assert_eq!(w.may_query(s(13), &guest, "e").unwrap_err().status, 403);
    assert!(Level::View < Level::Query && Level::Query < Level::Manage);
}

#[test]
fn oauth_tokens_expire() {
    let mut w = workspace(Spec { token_lifetime: TimeSpan::secs(60), ..quick() });
    assert_eq!(w.access().issue(s(0), None, Some("client_credentials")).unwrap_err(), "invalid_client");
    assert_eq!(w.access().issue(s(0), Some(("id", "x")), Some("password")).unwrap_err(), "unsupported_grant_type");
    let answer = w.access().issue(s(0), Some(("id", "x")), Some("client_credentials")).unwrap();
    assert_eq!((&answer["expires_in"], &answer["token_type"]), (&json!(60), &json!("Bearer")));
    let token = answer["access_token"].as_str().unwrap();
    assert_eq!(w.access().caller(s(59), Some(token)).unwrap().name, "id");
    assert_eq!(w.access().caller(s(60), Some(token)).unwrap_err().status, 401);
}

#[test]
fn all_pages_together_hold_every_version_once_in_no_order_and_the_first_is_empty() {
    let w = workspace(quick());
    let (mut found, mut token, mut pages) = (Vec::new(), None::<String>, 0);
    loop {
        let page = w.catalog().versions("main.default.tuned_llama", None, token.as_deref()).unwrap();
        let list = page["model_versions"].as_array().unwrap();
        assert_eq!(list.is_empty(), pages % 2 == 0);
        assert!(list.iter().all(|v| v.get("aliases").is_none()));
        found.extend(list.iter().map(|v| (v["version"].as_u64().unwrap(), v["status"].as_str().unwrap().to_owned())));
        pages += 1;
        token = page["next_page_token"].as_str().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    let numbers: Vec<u64> = found.iter().map(|(n, _)| *n).collect();
    assert!(!numbers.is_sorted() && !numbers.iter().rev().is_sorted(), "{numbers:?}");
    let mut sorted = numbers;
    sorted.sort_unstable();
    assert_eq!(sorted, [1, 2, 3, 4, 7, 11, 12]);
    assert_eq!(found.iter().filter(|(_, status)| status == "READY").count(), 5);
    assert_eq!(w.catalog().alias("main.default.tuned_llama", "champion").unwrap()["version"], 7);
}

/// What a random caller does with a workspace, one step.
fn step(w: &mut Workspace, at: Nanos, draw: &mut Stream) {
    let name = ["a", "b", "c"][draw.random_range(0..3)];
    let (min, more) = (draw.random_range(0..5), draw.random_range(1..4));
    // Refusals are part of it.
    match draw.random_range(0..8) {
        0..3 => drop(w.create(at, &admin(), &body(name, min, min + more), Product::General)),
        3..6 => drop(w.update_config(at, &admin(), name, &band(min, min + more), Product::General)),
        6 => drop(w.delete(at, &admin(), name)),
        _ => drop(w.list(at, &admin())),
    }
}

/// Two workspaces that are asked the same, one of them looked at between: both always say the same, in a state that the API has, with
/// versions that only grow, and with no more GPUs in use than there are.
#[test]
fn looking_changes_nothing_and_every_state_is_one_of_the_documented() {
    for seed in 0..200 {
        let mut draw = Seed(seed).stream("control plane");
        let (mut looked_at, mut alone) = (workspace(quick()), workspace(quick()));
        let mut now = Nanos::ZERO;
        for _ in 0..60 {
            for _ in 0..draw.random_range(0..4) {
                now += Nanos::from_millis(draw.random_range(0..4000));
                looked_at.advance(now);
            }
            let mut same = draw.clone();
            step(&mut looked_at, now, &mut draw);
            step(&mut alone, now, &mut same);
            assert_eq!(looked_at.list(now, &admin()), alone.list(now, &admin()), "seed {seed} at {now}");
            assert_eq!(looked_at.take_changes(), alone.take_changes(), "seed {seed} at {now}");
            let gpus: u32 = alone.endpoints.values().filter_map(|e| e.active.as_ref()).map(Config::gpu_chunks).sum();
            assert!(gpus <= 8, "seed {seed} at {now}: {gpus} GPUs");
            for name in ["a", "b", "c"] {
                let Ok(shown) = alone.get(now, &admin(), name) else { continue };
                let is = |key: &str, word: &str| shown["state"][key] == word;
                assert_eq!(is("ready", "READY"), shown.get("config").is_some(), "seed {seed}: {shown}");
                assert_eq!(is("config_update", "NOT_UPDATING"), shown.get("pending_config").is_none(), "seed {seed}: {shown}");
                if let (Some(active), Some(pending)) =
                    (shown["config"]["config_version"].as_u64(), shown["pending_config"]["config_version"].as_u64())
                {
                    assert!(active < pending, "seed {seed}: {shown}");
                }
            }
        }
    }
}
