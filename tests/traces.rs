//! The shipped recordings: they are read as they are, and say what their README says.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use plimsoll::base::rng::Seed;
use plimsoll::base::time::Nanos;
use plimsoll::scenario::check::check;
use plimsoll::scenario::load::TraceFormat;
use plimsoll::workload::demand::{DemandModel, Said, Series, of_rates};
use plimsoll::workload::learn::{Learnt, compact_table, learn, scenario_toml};
use plimsoll::workload::trace::{Recording, Rows, read, read_any, sources};
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

/// The anchors published with the recordings: growth G(D) of ServeGen m-large, the weekly shape of the Azure code service.
#[test]
fn the_recordings_of_rates_have_the_published_growth() {
    let rates = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/traces").join(name);
        let read = read_any(File::open(path).expect("a shipped trace"), TraceFormat::Auto, None, name).expect("a readable trace");
        let Recording::Rates(rates) = read else { panic!("{name} holds requests") };
        rates
    };
    let (servegen, _) = of_rates(&rates("servegen_m_large_rate.csv.gz"), None, &Said::default());
    assert_eq!((servegen.rates.len(), servegen.step_s), (2016, 600.0));
    let growth: Vec<(f64, f64)> = servegen.growth().iter().map(|g| (g.p95, g.p99)).collect();
    for ((p95, p99), published) in growth.iter().zip([(1.30, 1.58), (1.46, 1.76), (1.55, 1.96)]) {
        assert!((p95 - published.0).abs() < 0.01 && (p99 - published.1).abs() < 0.01, "{growth:?}");
    }
    // 2024-05-10T00:00Z, a Friday: weekday 4.
    let said = Said { start_ns: Some(1_715_299_200_000_000_000), ..Said::default() };
    let (azure, _) = of_rates(&rates("azure_code_2024_week.csv.gz"), None, &said);
    assert_eq!(azure.start_s, 4.0 * 86_400.0 + 7.2 * 60.0);
    let mean = azure.rates.iter().sum::<f64>() / azure.rates.len() as f64;
    assert!((mean * 60.0 / 1667.0 - 1.0).abs() < 0.01, "{mean}");
}

/// The shipped model draws weeks like the recorded one: its mean, its quiet weekend, its growth within 20 minutes.
#[test]
fn the_shipped_demand_model_draws_weeks_like_the_recorded_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/azure-code-week.demand.json");
    let model = DemandModel::from_json(&std::fs::read(path).expect("a shipped model")).unwrap();
    assert!(model.check.as_ref().is_some_and(|c| c.holds) && model.has_lengths());
    assert_eq!((model.recorded.days, model.draw_count()), (7, 160));
    let weeks: Vec<f64> = (0..12).flat_map(|i| model.day(Seed(5), i, Nanos::from_secs(7 * 86_400)).rates).collect();
    let ten_minutes: Vec<f64> = weeks.chunks(40).map(|c| c.iter().sum::<f64>() / 40.0).collect();
    let mean = ten_minutes.iter().sum::<f64>() / ten_minutes.len() as f64;
    assert!((mean / 27.9 - 1.0).abs() < 0.06, "{mean}");
    let of_weekend: f64 = ten_minutes.chunks(1008).map(|week| week[5 * 144..].iter().sum::<f64>() / 288.0).sum::<f64>() / 12.0;
    assert!((0.35..0.45).contains(&(of_weekend / mean)), "Saturday .41, Sunday .39 of the mean: {}", of_weekend / mean);
    let series = Series { step_s: 600.0, start_s: 0.0, is_dated: true, rates: ten_minutes };
    for (drawn, recorded) in series.growth().iter().zip(&model.recorded.growth) {
        assert!((drawn.p95 / recorded.p95 - 1.0).abs() < 0.04 && (drawn.p99 / recorded.p99 - 1.0).abs() < 0.06, "{drawn:?} for {recorded:?}");
    }
}
