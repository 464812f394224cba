//! Plans in the shipped units: files that read, loads as documented, and answers that hold against arithmetic.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use plimsoll::base::rng::Seed;
use plimsoll::base::units::TimeSpan;
use plimsoll::planner;
use plimsoll::planner::recommendation::Recommendation;
use plimsoll::planner::units::{Tokens, load};
use plimsoll::scenario::endpoint::EndpointSpec;
use plimsoll::scenario::experiment::Experiment;
use plimsoll::scenario::plan::Provenance;
use plimsoll::scenario::price::{PriceList, day_number};
use plimsoll::scenario::unit::{Overflow, UnitProfile};
use plimsoll::workload::schedule::Material;
use serde_json::json;
use std::path::{Path, PathBuf};

fn files(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(folder);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|p| (p.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(p).unwrap())).collect()
}

fn profile(name: &str) -> UnitProfile {
    let (_, text) = files("units").into_iter().find(|(file, _)| file == name).unwrap();
    toml::from_str(&text).unwrap()
}

#[test]
fn every_shipped_price_and_unit_reads_and_says_where_it_comes_from() {
    let lists = files("prices");
    assert!(!lists.is_empty());
    for (name, text) in lists {
        let list: PriceList = toml::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(day_number(&list.as_of).is_some() && !list.reference.is_empty() && !list.sku.is_empty(), "{name}");
        for (sku, entry) in &list.sku {
            assert!(entry.first.currency == entry.next.currency && entry.first.amount <= entry.next.amount, "{name}: {sku}");
        }
    }
    let units = files("units");
    assert_eq!(units.len(), 5);
    for (name, text) in units {
        let unit: UnitProfile = toml::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(day_number(&unit.as_of).is_some() && !unit.reference.is_empty() && unit.minimum > 0 && unit.increment > 0, "{name}");
    }
}

/// A request of 1,000 tokens in and 100 out on each shipped unit, by hand.
#[test]
fn one_request_on_each_unit() {
    let request = Tokens { input: 1000, cached: 0, output: 100 };
    let on = |name: &str| load(&profile(name).load, request);
    assert!((on("databricks-chunk-70b")[0] - 1100.0 / 1580.0).abs() < 1e-12);
    // 1,000 + 4 * 100 of 3,000 a minute.
    assert!((on("azure-ptu-gpt-4.1")[0] - 1400.0 / 50.0).abs() < 1e-12);
    // 1,000 + 9 * 100 of 2,690 a second.
    assert!((on("vertex-gsu-gemini-2.5-flash")[0] - 1900.0 / 2690.0).abs() < 1e-12);
    assert_eq!(on("bedrock-model-unit"), [1000.0 / 5000.0, 100.0 / (40_000.0 / 60.0)]);
    // Share of output 1/11: between the points at 5 % and 15 %.
    let at = (100.0 / 1100.0 - 0.05) / 0.10;
    let second = 1.0 / 4200.0 + at * (1.0 / 2400.0 - 1.0 / 4200.0);
    assert!((on("measured-surface")[0] - 1100.0 * second).abs() < 1e-9);
}

/// Five minutes at a constant rate, 1,000 tokens in and 100 out, in the unit of `name`.
fn plan(name: &str, rate: &str, max_units: u32) -> Recommendation {
    plan_in(&profile(name), rate, max_units)
}

fn plan_in(unit: &UnitProfile, rate: &str, max_units: u32) -> Recommendation {
    let value = json!({
        "name": "units",
        "load": { "arrivals": { "poisson": { "rate": "1/s" } } },
        "workload": { "lengths": { "independent": { "input": { "fixed": 1000 }, "output": { "fixed": 100 } } } },
        "slo": { "ttft": { "p95": "1s" } },
        "plan": {
            "demand": { "constant": { "rate": rate } },
            "period": "5min",
            "search": { "periods": 4 },
            "unit": { "profile": unit },
            "price": { "first": "1 USD/h", "next": "1 USD/h", "source": "assumed",
                       "pay_per_token": { "input": "2 USD/Mtok", "output": "8 USD/Mtok" } },
            "promise": { "requests": "99%", "periods": "80%", "confidence": "80%" },
            "max_chunks": max_units,
        },
    });
    let experiment = Experiment { scenario: serde_json::from_value(value).unwrap(), seed: Seed(1), base_dir: ".".into(), sha256: String::new() };
    planner::recommend(&experiment, &EndpointSpec::default(), Provenance::Assumed, &Material::default(), &mut |_| {}).unwrap()
}

/// A constant load of 2 * 28 = 56 PTU, bought in fives: 60. Where the bucket holds a minute, 50 do for these five minutes: they are short by
/// six units, 2,250 unit-seconds with the lead-in of 75 s, and the bucket holds 3,000.
#[test]
fn a_constant_load_takes_what_arithmetic_says() {
    let azure = profile("azure-ptu-gpt-4.1");
    assert_eq!(plan_in(&azure, "2/s", 200).chosen.unwrap().max_chunks, 50);
    let overflow = Overflow::Throttle { window: TimeSpan::secs(2), reserve_output: None };
    let found = plan_in(&UnitProfile { overflow, ..azure }, "2/s", 200);
    let chosen = found.chosen.unwrap();
    assert_eq!((chosen.min_chunks, chosen.max_chunks), (60, 60), "{}", found.sentence);
    assert!(chosen.certified && chosen.keeps_promise && chosen.cost_per_hour == 60.0);
    assert!(found.sentence.starts_with("buy 60 PTU (Azure OpenAI"), "{}", found.sentence);
    let parts: f64 = found.headroom.iter().map(|p| p.chunks).sum();
    assert!((parts - 60.0).abs() < 1e-9 && (found.headroom[0].chunks - 56.0).abs() < 1e-6, "{:?}", found.headroom);
    // By the token: 2 requests a second of 1,000 in and 100 out are 2 * (0.002 + 0.0008) * 3600 = 20.16 USD an hour.
    assert!((found.break_even.unwrap().by_token_per_hour - 20.16).abs() < 1e-9);
    assert!(found.next_cheaper.unwrap().result.misses.throttled > 0.01);
    assert!(found.create_body.is_null() && found.unit.unwrap().increment == 5);
    assert_eq!(found.next_worst.len(), 4);
}

/// The fuller pool decides: 20,000 input tokens a second of 5,000 take 4 units, 2,000 output tokens of 667 take 3.
#[test]
fn pools_are_counted_apart() {
    let found = plan("bedrock-model-unit", "20/s", 50);
    assert_eq!(found.chosen.unwrap().max_chunks, 4, "{}", found.sentence);
}

#[test]
fn too_few_units_are_said_to_be_too_few() {
    let found = plan("vertex-gsu-gemini-2.5-flash", "20/s", 3);
    assert!(found.chosen.is_none() && found.sentence.starts_with("no number up to 3 GSU keeps the promise"), "{}", found.sentence);
}

/// A chunk from a profile is the chunk of the plan.
#[test]
fn a_unit_that_is_a_chunk_goes_through_the_simulator() {
    let found = plan("databricks-chunk-70b", "1/s", 6);
    assert!(found.unit.is_none());
    assert_eq!(found.chunk_tok_s, 1580.0);
    assert!(found.sentence.contains("chunk"), "{}", found.sentence);
}
