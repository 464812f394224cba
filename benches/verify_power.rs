//! False alarms and power of `plimsoll verify`, in virtual time: the true model, truths 5 %, 10 %, 15 % and 20 % slower, a model without noise, and a
//! model that was fitted a little wrong, at several numbers of requests. `cargo bench --bench verify_power` prints a Markdown table; `-- --seeds 50` makes it shorter.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![allow(clippy::print_stdout, reason = "the table is its result")]

use plimsoll::base::rng::Seed;
use plimsoll::base::stats::interval::clopper_pearson_upper;
use plimsoll::base::time::Nanos;
use plimsoll::base::units::{Rate, TimeSpan};
use plimsoll::planner::verification::{Allowance, Input, Loaded, Model, Verdict, Verification, verify};
use plimsoll::record::request::RequestRecord;
use plimsoll::scenario::endpoint::{EndpointSpec, StepLaw};
use plimsoll::scenario::load::{Arrivals, RateFn, TraceFormat};
use plimsoll::scenario::slo::Slo;
use plimsoll::scenario::workload::{Lengths, Workload};
use plimsoll::sim::endpoint::Endpoint;
use plimsoll::sim::event::Detail;
use plimsoll::sim::virtual_time::{self, Patience};
use plimsoll::workload::schedule::{Material, Schedule};
use plimsoll::workload::trace;

/// Lengths of an hour of a real conversation service.
const TRACE: &[u8] = include_bytes!("../scenarios/traces/azure_conv_2023.csv");
const PATIENCE: Patience = Patience { total: Nanos::from_secs(600), first_byte: Nanos::from_secs(600) };
/// Requests a second and chunk: about nine tenths of what keeps the objectives.
const RATE: f64 = 1.0;
const CHUNKS: u32 = 4;

fn model(noise: f64) -> Model {
    let us = |n: u64| TimeSpan(Nanos::from_micros(n));
    // About one chunk of a 70B model, as in scenarios/chat.toml.
    let step = StepLaw {
        base: us(5_000),
        per_sequence: us(1_000),
        per_prefill_token: us(160),
        per_context_token: TimeSpan(Nanos(300)),
        ..StepLaw::default()
    };
    let spec = EndpointSpec { step, prefill_budget: 512, noise, min_chunks: CHUNKS, max_chunks: CHUNKS, ..EndpointSpec::default() };
    Model { spec, draws: Vec::new(), allowance: Allowance::default() }
}

fn slowed(model: &Model, factor: f64) -> EndpointSpec {
    let mut spec = model.spec.clone();
    let longer = |t: TimeSpan| TimeSpan(Nanos::from_secs_f64(t.as_secs_f64() * factor));
    let s = &mut spec.step;
    (s.base, s.per_sequence) = (longer(s.base), longer(s.per_sequence));
    (s.per_prefill_token, s.per_context_token) = (longer(s.per_prefill_token), longer(s.per_context_token));
    spec
}

fn measured(spec: &EndpointSpec, requests: f64, material: &Material, seed: u64) -> Vec<RequestRecord> {
    let rate = RATE * f64::from(CHUNKS);
    let arrivals = Arrivals::Poisson { rate: RateFn::Constant(Rate(rate)) };
    let workload = Workload { lengths: Lengths::Empirical { trace: None }, ..Workload::default() };
    let mut schedule = Schedule::for_demand(&arrivals, &workload, Nanos::from_secs_f64(requests / rate), 1.0, material, Seed(seed)).unwrap();
    let mut endpoint = Endpoint::new(spec, Seed(seed), Detail::Requests);
    let mut records = Vec::new();
    virtual_time::run(&mut schedule, &mut endpoint, PATIENCE, &mut |r| records.push(r.clone()));
    records
}

fn check(truth: &EndpointSpec, model: &Model, requests: f64, material: &Material, seed: u64) -> Option<Verification> {
    let records = measured(truth, requests, material, seed);
    let bound = |text: &str, ms: u64| [(text.parse().unwrap(), TimeSpan::millis(ms))].into();
    let slo = Slo { ttft: bound("p90", 1200), tpot: bound("p90", 40), ..Slo::default() };
    let seed = Seed(seed).child("check", 0);
    verify(&Input { model, records: &records, slo: &slo, patience: PATIENCE, load: Loaded::default(), slower: 0.15, seed })
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let value = |name: &str, default: u64| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)?.parse().ok()).unwrap_or(default);
    let (seeds, first) = (value("--seeds", 200), value("--first-seed", 1));
    let rows = trace::read(TRACE, TraceFormat::Table, None, "azure_conv_2023").unwrap();
    let material = Material { lengths: Some(rows.clone()), arrivals: Some(rows), ..Material::default() };
    let noisy = model(0.03);
    let exact = model(0.0);
    let cases: Vec<(&str, EndpointSpec, &Model)> = vec![
        ("the truth is the model", noisy.spec.clone(), &noisy),
        ("the model knows no noise", noisy.spec.clone(), &exact),
        ("truth 3 % slower", slowed(&noisy, 1.03), &noisy),
        ("truth 10 % slower", slowed(&noisy, 1.10), &noisy),
        ("truth 15 % slower", slowed(&noisy, 1.15), &noisy),
        ("truth 20 % slower", slowed(&noisy, 1.20), &noisy),
        ("truth 15 % faster", slowed(&noisy, 0.87), &noisy),
    ];
    println!("{seeds} seeds a row from {first}; {CHUNKS} chunks, {RATE} requests/s each; allowed 10 % (TTFT) and 5 %; looking for 15 % slower.\n");
    println!("| case | requests | stands | broken | undecided | broken, upper 95 % | own statement of power, median | needed, median |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (name, truth, model) in &cases {
        for requests in [100.0, 250.0, 600.0, 1200.0] {
            let found: Vec<Verification> = (first..first + seeds).filter_map(|seed| check(truth, model, requests, &material, seed)).collect();
            let count = |verdict| found.iter().filter(|f| f.verdict == verdict).count();
            let share = |n: usize| format!("{:.1}%", 100.0 * n as f64 / found.len().max(1) as f64);
            let mut powers: Vec<f64> = found.iter().map(|f| f.power).collect();
            let mut needed: Vec<u64> = found.iter().map(|f| f.needed.unwrap_or(u64::MAX)).collect();
            powers.sort_by(f64::total_cmp);
            needed.sort_unstable();
            let broken = count(Verdict::Broken);
            println!(
                "| {name} | {requests:.0} | {} | {} | {} | {:.1}% | {:.2} | {} |",
                share(count(Verdict::Stands)),
                share(broken),
                share(count(Verdict::Undecided)),
                100.0 * clopper_pearson_upper(broken as u64, found.len() as u64, 0.95),
                powers.get(powers.len() / 2).copied().unwrap_or(f64::NAN),
                needed.get(needed.len() / 2).copied().unwrap_or(0)
            );
        }
    }
}
