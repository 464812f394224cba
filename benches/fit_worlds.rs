//! Hidden endpoints, measured from outside, fitted, and predicted at loads and lengths that the fit never saw.
//!
//!   cargo bench --bench fit_worlds -- [virtual] [misspecified] [--worlds 20] [--first 1] [--steps] [--each]
//!
//! Each world is a random endpoint on a loopback port, measured over HTTP by the load engine with the experiments of `sweep --for-fit`; `virtual`
//! measures in virtual time instead, in seconds and with more requests. `misspecified` gives the truth what the plain law does not have. Prints a
//! Markdown table, one line a world, and the medians; `--each` every figure, `--steps` the experiments. About 70 s a world over HTTP.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![allow(clippy::print_stdout, reason = "the table is its result")]
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock to say how long it took")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "draws are small and positive; the casts saturate")]

#[path = "fit_worlds/http.rs"]
mod http;
#[path = "fit_worlds/judge.rs"]
mod judge;
#[path = "fit_worlds/world.rs"]
mod world;

use judge::{Errors, Trial};
use plimsoll::base::rng::Seed;
use plimsoll::base::time::Nanos;
use plimsoll::base::units::{Rate, TimeSpan};
use plimsoll::record::request::RequestRecord;
use plimsoll::scenario::endpoint::EndpointSpec;
use plimsoll::scenario::experiment::Experiment;
use plimsoll::scenario::load::{Arrivals, RateFn};
use plimsoll::scenario::workload::Workload;
use plimsoll::sim::endpoint::Endpoint;
use plimsoll::sim::event::Detail;
use plimsoll::sim::fit::design::Design;
use plimsoll::sim::fit::{self, FitInput, Fitted};
use plimsoll::sim::virtual_time::{self, Patience};
use plimsoll::workload::schedule::{Material, Schedule};
use std::time::Instant;
use world::World;

/// Held-out loads: shares of the truth's capacity.
const LOADS: [f64; 4] = [0.3, 0.5, 0.7, 0.9];
/// The same over HTTP for the other lengths: a real second is dear.
const FEWER: [f64; 2] = [0.5, 0.8];

fn measure(truth: &EndpointSpec, experiment: &Experiment) -> Vec<RequestRecord> {
    let mut schedule = Schedule::new(experiment, &Material::default()).unwrap();
    let mut endpoint = Endpoint::new(truth, experiment.seed, Detail::Tokens);
    let mut records = Vec::new();
    let patience = Patience { total: Nanos::from_secs(600), first_byte: Nanos::from_secs(600) };
    virtual_time::run(&mut schedule, &mut endpoint, patience, &mut |r| records.push(r.clone()));
    records
}

/// Requests per second that the truth completes when there are always more: from a long crowded run in virtual time.
fn capacity(truth: &EndpointSpec, workload: &Workload, seed: Seed) -> f64 {
    let mut e = world::experiment(workload, seed);
    e.scenario.load.arrivals = Arrivals::Closed { users: 400, think: TimeSpan::default(), ramp_up: TimeSpan::default() };
    e.scenario.load.measure = TimeSpan::secs(40);
    let records = measure(truth, &e);
    let late = records.iter().filter(|r| r.is_ok() && r.closed >= Nanos::from_secs(20) && r.closed < Nanos::from_secs(40)).count();
    late as f64 / 20.0
}

struct Tried {
    fitted: Fitted,
    trials: Vec<Trial>,
    requests: usize,
    seconds: f64,
}

fn try_world(world: &World, seed: Seed, is_virtual: bool) -> Tried {
    let base = world::experiment(&world.mix, seed.child("measure", 0));
    let served = (!is_virtual).then(|| http::Served::start(&world.truth, &base));
    let measure = |experiment: &Experiment| served.as_ref().map_or_else(|| measure(&world.truth, experiment), |s| s.measure(experiment));
    let mut design = Design::new(&base, &Material::default(), None).unwrap();
    let (mut steps, mut held_out) = (Vec::new(), Vec::new());
    while let Some(step) = design.next_step() {
        let records = measure(&step.experiment);
        design.observe(&records);
        if has("--steps") {
            println!("  {}: {} requests", step.label, records.len());
        }
        if step.is_held_out { held_out.push(records) } else { steps.push(records) }
    }
    let requests = steps.iter().chain(&held_out).map(Vec::len).sum();
    let begun = Instant::now();
    let assumed = EndpointSpec::default();
    let input = FitInput {
        steps: steps.iter().map(Vec::as_slice).collect(),
        held_out: held_out.iter().map(Vec::as_slice).collect(),
        base: &assumed,
        draws: 40,
        confidence: 0.9,
    };
    let fitted = fit::fit(&input, Seed(1)).unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    let mut trials = Vec::new();
    let requests_each = if is_virtual { 1500.0 } else { 300.0 };
    for (name, workload) in [("", &world.mix), (", other lengths", &world.other)] {
        let capacity = capacity(&world.truth, workload, seed.child("capacity", 0));
        let loads: &[f64] = if is_virtual || name.is_empty() { &LOADS } else { &FEWER };
        for &load in loads {
            let mut e = world::experiment(workload, seed.child("trial", (load * 100.0) as u64));
            let rate = load * capacity;
            e.scenario.load.arrivals = Arrivals::Poisson { rate: RateFn::Constant(Rate(rate)) };
            e.scenario.load.warmup = TimeSpan(Nanos::from_secs_f64(requests_each / 10.0 / rate));
            e.scenario.load.measure = TimeSpan(Nanos::from_secs_f64(requests_each / rate));
            let records = measure(&e);
            trials.push(Trial { name: format!("{:.0} %{name}", load * 100.0), rows: fit::compare(&records, &fitted.spec, Seed(2)) });
        }
    }
    Tried { fitted, trials, requests, seconds }
}

fn option(name: &str, default: u64) -> u64 {
    let args: Vec<String> = std::env::args().collect();
    args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)).map_or(default, |v| v.parse().unwrap())
}

fn has(name: &str) -> bool {
    std::env::args().any(|a| a == name)
}

fn main() {
    let (worlds, first) = (option("--worlds", 20), option("--first", 1));
    println!(
        "| world | requests | E2E worst of mean, p90, p99 | TPOT worst | TTFT mean | TTFT p99 | below predicted x factor | factors TTFT, TPOT, E2E | held-out error | fit s |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut all: Vec<Errors> = Vec::new();
    let (mut kept, mut of) = (0, 0);
    for index in first..first + worlds {
        let world = if has("misspecified") { world::misspecified(Seed(20), index) } else { world::draw(Seed(20), index) };
        let tried = try_world(&world, Seed(1000 + index), has("virtual"));
        let e = judge::errors(&tried.trials);
        let c = judge::covered(&tried.fitted, &tried.trials);
        (kept, of) = (kept + c.0, of + c.1);
        let m = tried.fitted.multipliers;
        println!(
            "| {} | {} | {:.1} % | {:.1} % | {:.1} % | {:.1} % | {} of {} | {:.3}, {:.3}, {:.3} | {:.1} % | {:.2} |",
            world.name,
            tried.requests,
            e.e2e * 100.0,
            e.tpot * 100.0,
            e.ttft_mean * 100.0,
            e.ttft_p99 * 100.0,
            c.0,
            c.1,
            m.ttft,
            m.tpot,
            m.e2e,
            tried.fitted.quality.held_out_error * 100.0,
            tried.seconds
        );
        if has("--each") {
            let t = &world.truth;
            println!(
                "  truth: {:?} budget {} batch {} kv {} network {:?} noise {:.3}",
                t.step, t.prefill_budget, t.max_batch, t.kv_tokens, t.network, t.noise
            );
            for p in &tried.fitted.parameters {
                println!("  {} {:.3} [{:.3}, {:.3}] {} {:?}", p.name, p.value, p.low, p.high, p.unit, p.source);
            }
            println!(
                "  median {:.3} largest {:.3} condition {:.0} {:.0} {:?}",
                tried.fitted.quality.median_error,
                tried.fitted.quality.largest_error,
                tried.fitted.quality.condition,
                tried.fitted.quality.refined_condition,
                tried.fitted.quality.warnings
            );
            for trial in &tried.trials {
                let figures: Vec<String> = trial
                    .rows
                    .iter()
                    .map(|r| format!("{} {} {:.2}/{:.2} {:+.1} %", r.metric, r.percentile, r.measured_ms, r.predicted_ms, r.error() * 100.0))
                    .collect();
                println!("  {}: {}", trial.name, figures.join("; "));
            }
        }
        all.push(e);
    }
    let median = |of: fn(&Errors) -> f64| judge::median(all.iter().map(of).collect()) * 100.0;
    println!(
        "| median | | {:.1} % | {:.1} % | {:.1} % | {:.1} % | {:.1} % | | | |",
        median(|e| e.e2e),
        median(|e| e.tpot),
        median(|e| e.ttft_mean),
        median(|e| e.ttft_p99),
        100.0 * kept as f64 / of as f64
    );
}
