//! The pipeline on one world: measure in virtual time, fit, record four weeks, learn, plan.

use crate::hidden::{BIN_S, World};
use plimsoll::base::rng::Seed;
use plimsoll::base::time::Nanos;
use plimsoll::base::units::Share;
use plimsoll::planner::limits::Certificate;
use plimsoll::planner::search::Size;
use plimsoll::planner::{self, Decision, Model};
use plimsoll::record::request::RequestRecord;
use plimsoll::scenario::endpoint::EndpointSpec;
use plimsoll::scenario::experiment::Experiment;
use plimsoll::scenario::model::Scenario;
use plimsoll::scenario::plan::{Plan, Provenance};
use plimsoll::scenario::workload::Lengths;
use plimsoll::sim::endpoint::Endpoint;
use plimsoll::sim::event::Detail;
use plimsoll::sim::fit::design::Design;
use plimsoll::sim::fit::{self, FitInput, Fitted};
use plimsoll::sim::virtual_time::{self, Patience};
use plimsoll::workload::demand::{self, DemandModel, Generator, Said};
use plimsoll::workload::schedule::{Material, Schedule};
use plimsoll::workload::trace::{Row, Rows};
use rand::RngExt;
use rand_distr::{Distribution, Gamma, Poisson};
use std::sync::Arc;
use std::time::Instant;

/// Days recorded.
const RECORDED_DAYS: u64 = 28;
/// Largest size considered.
pub(crate) const MOST_CHUNKS: u32 = 64;

/// What the pipeline came to.
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    /// The recommendation.
    pub(crate) size: Option<Size>,
    /// Sizes of rules of thumb.
    pub(crate) rules: Vec<(String, Size)>,
    /// Requests sent to measure.
    pub(crate) measured: usize,
    /// Seconds to measure and fit, to record and learn, to plan.
    pub(crate) stages_s: [f64; 3],
    /// How the size was shown.
    pub(crate) certificate: Certificate,
}

/// The experiment that the user would write: the workload as recorded, the objectives, the plan.
fn experiment(world: &World, seed: Seed) -> Experiment {
    let autoscaler = serde_json::to_value(&world.endpoint.autoscaler).unwrap();
    let mut scenario: Scenario = serde_json::from_value(serde_json::json!({
        "name": "hidden",
        "load": { "arrivals": { "poisson": { "rate": "1/s" } } },
        "plan": {
            "demand_model": "hidden.demand.json",
            "chunk": { "size": "1 tok/s", "source": "documented" },
            "autoscaler": autoscaler,
            "price": { "first": "10 USD/h", "next": "10 USD/h", "source": "assumed" },
            "promise": { "requests": "99%", "periods": "90%", "confidence": "95%" },
            "max_chunks": MOST_CHUNKS,
            "timeout": "60s",
        },
    }))
    .unwrap();
    scenario.slo = world.slo.clone();
    scenario.workload.lengths = Lengths::Empirical { trace: None };
    (scenario.workload.max_input, scenario.workload.max_output) = (8000, 1000);
    scenario.plan.as_mut().unwrap().chunk.size = world.endpoint.chunk;
    // What the documentation of an endpoint says: the chunk and how it scales; nothing about its law.
    scenario.endpoint = EndpointSpec { chunk: world.endpoint.chunk, autoscaler: world.endpoint.autoscaler.clone(), ..EndpointSpec::default() };
    Experiment { scenario, seed, base_dir: ".".into(), sha256: String::new() }
}

fn rows_of(world: &World) -> Rows {
    let rows = world.lengths.iter().map(|&(input_tokens, output_tokens)| Row { at: None, input_tokens, output_tokens, blocks: 0 }).collect();
    Rows { rows, ..Rows::default() }
}

fn load(truth: &EndpointSpec, experiment: &Experiment, material: &Material) -> Vec<RequestRecord> {
    let mut schedule = Schedule::new(experiment, material).unwrap();
    let mut endpoint = Endpoint::new(truth, experiment.seed, Detail::Tokens);
    let mut records = Vec::new();
    let patience = Patience { total: Nanos::from_secs(600), first_byte: Nanos::from_secs(600) };
    virtual_time::run(&mut schedule, &mut endpoint, patience, &mut |r| records.push(r.clone()));
    records
}

/// The experiments of `sweep --for-fit` on one chunk of the hidden endpoint, and the fit.
fn measure(world: &World, base: &Experiment, material: &Material) -> (Fitted, usize) {
    let truth = EndpointSpec { min_chunks: 1, max_chunks: 1, ..world.endpoint.clone() };
    let mut design = Design::new(base, material, None).unwrap();
    let (mut steps, mut held_out) = (Vec::new(), Vec::new());
    while let Some(step) = design.next_step() {
        let records = load(&truth, &step.experiment, material);
        design.observe(&records);
        if step.is_held_out { held_out.push(records) } else { steps.push(records) }
    }
    let requests = steps.iter().chain(&held_out).map(Vec::len).sum();
    let assumed = EndpointSpec { min_chunks: 1, max_chunks: 1, ..base.scenario.endpoint.clone() };
    let input = FitInput {
        steps: steps.iter().map(Vec::as_slice).collect(),
        held_out: held_out.iter().map(Vec::as_slice).collect(),
        base: &assumed,
        draws: 160,
        confidence: 0.9,
    };
    (fit::fit(&input, Seed(1)).unwrap(), requests)
}

/// Four weeks of the hidden demand, request by request, and what is learnt from them.
fn learn(world: &World) -> DemandModel {
    let mut s = world.seed.stream("recording");
    let mut rows = Vec::new();
    for day in 0..RECORDED_DAYS {
        for (bin, rate) in world.demand.day(world.seed.child("recorded", 0), day).into_iter().enumerate() {
            let mut mean = rate * BIN_S;
            if world.demand.dispersion > 0.0 {
                let k = 1.0 / world.demand.dispersion;
                mean *= Gamma::new(k, 1.0 / k).unwrap().sample(&mut s);
            }
            let count = if mean > 0.0 { Poisson::new(mean).unwrap().sample(&mut s) as u32 } else { 0 };
            let from = (day as f64 * 5760.0 + bin as f64) * BIN_S;
            for _ in 0..count {
                let at = Some(Nanos::from_secs_f64(from + BIN_S * s.random::<f64>()));
                let (input_tokens, output_tokens) = world.lengths[s.random_range(0..world.lengths.len())];
                rows.push(Row { at, input_tokens, output_tokens, blocks: 0 });
            }
        }
    }
    rows.sort_by_key(|r| r.at);
    // Four weeks from a Monday on.
    let said = Said { name: "hidden".to_owned(), start_ns: Some(4 * 86_400 * 1_000_000_000), throttled_share: 0.0 };
    let (series, about) = demand::of_requests(&Rows { rows, ..Rows::default() }, &said).unwrap();
    demand::learn(&series, about).unwrap()
}

/// Measures, fits, learns and plans.
pub(crate) fn plan(world: &World) -> Planned {
    let experiment = experiment(world, world.seed.child("plan", 0));
    let lengths = Material { lengths: Some(rows_of(world)), ..Material::default() };
    let begun = Instant::now();
    let (fitted, measured) = measure(world, &experiment, &lengths);
    let fit_s = begun.elapsed().as_secs_f64();
    if std::env::args().any(|a| a == "--each") {
        let (f, t) = (&fitted.spec, &world.endpoint);
        println!("truth {:?} budget {} batch {} kv {} network {}", t.step, t.prefill_budget, t.max_batch, t.kv_tokens, t.network);
        println!(
            "fit   {:?} budget {} batch {} kv {} network {} queue {} {:?}",
            f.step, f.prefill_budget, f.max_batch, f.kv_tokens, f.network, f.queue, fitted.multipliers
        );
    }
    let model = learn(world);
    let learn_s = begun.elapsed().as_secs_f64() - fit_s;
    if std::env::args().any(|a| a == "--swap") {
        swapped(world, &experiment, &fitted, &model);
    }
    let found = decided(&experiment, &Model::fitted(&fitted, Provenance::Measured), &model);
    Planned {
        plan: Plan { demand_error: Share(0.0), ..experiment.scenario.plan.unwrap() },
        size: found.size,
        rules: found.thumbs.iter().map(|t| (t.rule.to_owned(), t.size)).collect(),
        measured,
        stages_s: [fit_s, learn_s, begun.elapsed().as_secs_f64() - fit_s - learn_s],
        certificate: found.certificate.unwrap_or_default(),
    }
}

fn decided(experiment: &Experiment, model: &Model<'_>, demand: &DemandModel) -> Decision {
    let material = Material { demand: Some(Arc::new(demand.clone())), ..Material::default() };
    planner::decide(experiment, model, &material, 1).unwrap()
}

/// What each unknown costs: the plans of planners who know the endpoint, the demand, or both.
fn swapped(world: &World, experiment: &Experiment, fitted: &Fitted, learnt: &DemandModel) {
    let true_demand = crate::truth::demand(world, world.seed.child("swap", 0), 2000);
    let taken = DemandModel { draws: Vec::new(), ..learnt.clone() };
    println!(
        "  learnt {:?} day_sigma {:.4} {:?} {:?}",
        learnt.generator == Generator::Law,
        learnt.law.day_sigma,
        learnt.law.residual,
        learnt.law.shots
    );
    println!("  hidden {:?}", world.demand);
    for (name, demand) in [("hidden", &true_demand), ("learnt", &taken)] {
        println!("  {name}: {}", loads(demand));
    }
    let truth = EndpointSpec { min_chunks: 1, max_chunks: 1, ..world.endpoint.clone() };
    let (exact, fit) = (Model::exact(&truth, Provenance::Measured), Model::fitted(fitted, Provenance::Measured));
    for (name, model, demand) in [
        ("all known", exact, &true_demand),
        ("fitted endpoint, true demand", fit, &true_demand),
        ("true endpoint, learnt demand taken as exact", exact, &taken),
        ("true endpoint, learnt demand", exact, learnt),
    ] {
        let begun = Instant::now();
        let found = decided(experiment, &model, demand);
        println!("  {name}: {:?}, {:.1} s", found.size, begun.elapsed().as_secs_f64());
    }
}

/// Quantiles over days of the mean rate, and of the rate above which the busiest hundredth of a day's requests come.
fn loads(demand: &DemandModel) -> String {
    let mut days: Vec<[f64; 2]> = (0..400)
        .map(|i| {
            let mut rates = demand.day(Seed(3), i, Nanos::from_secs(86_400)).rates;
            rates.sort_by(|a, b| b.total_cmp(a));
            let total: f64 = rates.iter().sum();
            let mut above = 0.0;
            let busy = rates.iter().find(|rate| {
                above += **rate;
                above > 0.01 * total
            });
            [total / rates.len() as f64, busy.copied().unwrap_or(0.0)]
        })
        .collect();
    let mut quantiles = |k: usize| {
        days.sort_by(|a, b| a[k].total_cmp(&b[k]));
        [0.1, 0.5, 0.9, 0.95].map(|q| format!("{:.2}", days[(400.0 * q) as usize][k])).join(" ")
    };
    format!("mean rate of a day, p10 p50 p90 p95: {}; of its busiest hundredth: {}", quantiles(0), quantiles(1))
}
