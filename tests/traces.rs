//! The shipped recordings: they are read as they are, and say what their README says.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use plimsoll::base::rng::Seed;
use plimsoll::scenario::check::check;
use plimsoll::scenario::load::TraceFormat;
use plimsoll::workload::learn::{Learnt, compact_table, learn, scenario_toml};
use plimsoll::workload::trace::{Rows, read, sources};
use std::fs::File;
use std::path::Path;

fn shipped(name: &str) -> Rows {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/traces").join(name);
    let rows = read(File::open(path).expect("a shipped trace"), TraceFormat::Auto, None, name).expect("a readable trace");
    assert_eq!((rows.skipped, rows.unsorted), (0, 0), "{name}: {:?}", rows.problems);
    rows
}

fn quantiles(learnt: &Learnt) -> Vec<(f64, f64)> {
    learnt.input.quantiles.iter().zip(&learnt.output.quantiles).map(|(i, o)| (i.value, o.value)).collect()
}

/// The figures published for the trace: 5.53 requests a second, CV of the gaps 1.09, KS of the nearest family 0.017.
#[test]
fn the_conversation_trace_is_the_published_one() {
    let learnt = learn(&shipped("azure_conv_2023.csv"));
    assert_eq!(learnt.requests, 19_366);
    assert_eq!(quantiles(&learnt)[2..8], [(207.0, 54.0), (396.0, 85.0), (1020.0, 129.0), (1189.0, 395.0), (2735.0, 424.0), (4083.0, 451.0)]);
    let arrivals = learnt.arrivals.as_ref().unwrap();
    assert!((arrivals.rate - 5.53).abs() < 0.01 && (arrivals.gap_cv - 1.09).abs() < 0.01, "{arrivals:?}");
    assert!((arrivals.gaps.best_fit().unwrap().ks - 0.017).abs() < 0.002);
    assert!(!learnt.input.is_fitted() && !learnt.output.is_fitted());
    assert!((learnt.spearman.unwrap() - 0.07).abs() < 0.01);
}

#[test]
fn the_code_trace_is_bursty_and_the_mooncake_trace_repeats_prefixes() {
    let code = learn(&shipped("azure_code_2023.csv"));
    assert_eq!(code.requests, 8819);
    assert!((code.arrivals.as_ref().unwrap().gap_cv - 13.15).abs() < 0.05);
    let mooncake = learn(&shipped("mooncake_conversation.jsonl.gz"));
    assert_eq!((mooncake.requests, mooncake.format), (2000, TraceFormat::Mooncake));
    assert!((0.1..0.6).contains(&mooncake.shared_prefix), "{}", mooncake.shared_prefix);
}

/// forall shipped traces: trace -> learn -> scenario -> check names a table that is read again
#[test]
fn what_is_learnt_becomes_a_scenario_whose_table_can_be_read() {
    for name in ["azure_conv_2023.csv", "azure_code_2023.csv", "mooncake_conversation.jsonl.gz"] {
        let rows = shipped(name);
        let scenario = scenario_toml(name, "traces/learnt.csv", &learn(&rows), None);
        let experiment =
            check("learnt.toml", scenario.as_bytes(), Path::new("."), &[], Seed(1)).unwrap_or_else(|faults| panic!("{faults:?}\n{scenario}"));
        let source = &sources(&experiment.scenario)[0];
        let table = compact_table(&rows, 1000, Seed(1));
        let back = read(table.as_bytes(), source.format, source.columns.as_ref(), "learnt.csv").unwrap();
        assert_eq!((back.rows.len(), back.unsorted), (1000, 0));
    }
}
