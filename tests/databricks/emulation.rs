//! The client against the emulated workspace: the life of an endpoint, and a load that outlives its token.

use super::{PATIENCE, open_at, run};
use assert_cmd::Command;
use plimsoll::base::rng::Seed;
use plimsoll::base::units::TimeSpan;
use plimsoll::client::databricks::WhichVersion;
use plimsoll::client::databricks::error::Class;
use plimsoll::client::databricks::wait::{End, Patience, until_ready};
use plimsoll::protocol::databricks::Product;
use plimsoll::protocol::databricks::endpoint::{CreateEndpoint, EndpointConfig};
use plimsoll::protocol::databricks::entity::ServedEntity;
use plimsoll::protocol::databricks::metrics;
use plimsoll::scenario::endpoint::{EndpointSpec, StepLaw};
use plimsoll::scenario::workspace::{Principal, Workspace as Emulated};
use plimsoll::serve::{Handle, spawn_in_thread};
use serde_json::Value;
use std::time::Duration;

fn serve(workspace: Emulated) -> Handle {
    let step = StepLaw { base: TimeSpan::millis(1), ..StepLaw::default() };
    spawn_in_thread(EndpointSpec { step, workspace, ..EndpointSpec::default() }, "sim".to_owned(), Seed(1)).unwrap()
}

/// Both products: version found, eligible, created, waited for, resized, measured, deleted; a second change and a wrong product are refused in their class.
#[test]
fn both_products_live_their_life() {
    let handle = serve(Emulated { deployment: TimeSpan::millis(30), ..Emulated::default() });
    let workspace = open_at(&handle.url());
    for (model, product) in [("system.ai.meta_llama_v3_1_8b_instruct", Product::TokenBands), ("system.ai.gpt-oss-120b", Product::ModelUnits)] {
        let version = run(workspace.version(model, &WhichVersion::Latest)).unwrap();
        let chunk = run(workspace.optimization_info(model, version)).unwrap().chunk().unwrap();
        assert_eq!(chunk.product, product);
        let config = |chunks: u64, product: Product| {
            let entity = match product {
                Product::TokenBands => ServedEntity::band(model, &version.to_string(), 0, chunks * chunk.size),
                Product::ModelUnits => ServedEntity::units(model, &version.to_string(), chunks * chunk.size, false),
            };
            EndpointConfig { served_entities: vec![entity], ..EndpointConfig::default() }
        };
        let body = |product| CreateEndpoint { name: "e".to_owned(), config: config(1, product), ..CreateEndpoint::default() };
        let wrong = if product == Product::TokenBands { Product::ModelUnits } else { Product::TokenBands };
        assert_eq!(run(workspace.create(wrong, &body(wrong))).unwrap_err().class(), Some(Class::Invalid));
        run(workspace.create(product, &body(product))).unwrap();
        assert_eq!(run(workspace.create(product, &body(product))).unwrap_err().class(), Some(Class::Exists));
        let patience = Patience { deadline: Duration::from_secs(20), ..PATIENCE };
        assert_eq!(run(until_ready(&workspace, "e", patience, &mut |_, _| ())).unwrap().end, End::Ready);
        run(workspace.update(product, "e", &config(2, product))).unwrap();
        if product == Product::TokenBands {
            assert_eq!(run(workspace.update(product, "e", &config(1, product))).unwrap_err().class(), Some(Class::Busy));
        }
        let waited = run(until_ready(&workspace, "e", patience, &mut |_, _| ())).unwrap();
        let entity = waited.endpoint.config.unwrap().served_entities.remove(0);
        assert_eq!(entity.provisioned_model_units.or(entity.max_provisioned_throughput), Some(2 * chunk.size));
        let samples = metrics::read(&run(workspace.metrics("e")).unwrap());
        assert!(metrics::total(&samples, metrics::PROVISIONED_CONCURRENCY).is_some(), "{samples:?}");
        run(workspace.delete("e")).unwrap();
        assert_eq!(run(workspace.endpoint("e")).unwrap_err().class(), Some(Class::NotFound));
    }
}

/// Tokens live a second and the load three: every request is let in, and the secret is in no file that the run leaves.
#[test]
fn a_load_outlives_its_token() {
    let principals = vec![Principal { name: "tester".to_owned(), admin: true }];
    let handle = serve(Emulated { token_lifetime: TimeSpan::secs(1), principals, ..Emulated::default() });
    let dir = tempfile::tempdir().unwrap();
    let profile = format!("[load]\nhost = {}\nclient_id = tester\nclient_secret = dose-tester\n", handle.url());
    std::fs::write(dir.path().join("cfg"), profile).unwrap();
    let scenario = format!(
        "name = \"renewal\"\nquestion = \"Does the load outlive its token?\"\n[target]\nurl = \"{}\"\napi = \"databricks\"\nendpoint = \"sim\"\nauth = {{ databricks = {{ profile = \"load\", config_file = \"cfg\" }} }}\n[load]\narrivals = {{ constant = {{ rate = \"40/s\" }} }}\nwarmup = \"0s\"\nmeasure = \"3s\"\ndrain = \"5s\"\n[workload]\nlengths = {{ independent = {{ input = {{ fixed = 20 }}, output = {{ fixed = 2 }} }} }}\n",
        handle.url()
    );
    let path = dir.path().join("renewal.toml");
    std::fs::write(&path, scenario).unwrap();
    let out = dir.path().join("out");
    let args = ["--format", "json", "run", path.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let ran =
        Command::cargo_bin("plimsoll").unwrap().env_clear().env("HOME", dir.path()).args(args).timeout(Duration::from_mins(1)).output().unwrap();
    let (text, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    let told: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text} {err}"));
    let counts = &told["summary"]["accounting"];
    assert_eq!((&counts["ok"], &counts["due"]), (&serde_json::json!(120), &serde_json::json!(120)), "{counts} {err}");
    assert!(!text.contains("dose-tester") && !err.contains("dose-tester"));
}
