//! How fast a plan is certified, and whether judging periods without simulating every request changes what is found.
//!
//! `cargo bench --bench plan_speed` prints two tables: hybrid against full simulation of the same periods, and the stages of a certified plan.
//! `-- agree` or `-- plan` prints one of them; `--periods 50` (200), `--days 200` (1000), `--threads 1` (all cores), `--repeats 1` (3) make it
//! shorter; `--world burst` takes the worlds whose name begins so.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the tables are its result")]
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock to say how long it took")]

use plimsoll::base::rng::Seed;
use plimsoll::planner::cost::Tariff;
use plimsoll::planner::evaluate::Simulation;
use plimsoll::planner::hybrid::Depth;
use plimsoll::planner::search::{self, Evaluator, PeriodOutcome, Rules, Seeds, Size};
use plimsoll::planner::world::World;
use plimsoll::scenario::check::check;
use plimsoll::scenario::experiment::Experiment;
use plimsoll::scenario::load::TraceFormat;
use plimsoll::workload::demand::{self, DemandModel, Generator, Law, LengthTable, Recorded, Residual, Shots, WhatIf};
use plimsoll::workload::schedule::Material;
use plimsoll::workload::trace;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Lengths of an hour of a real conversation service.
const TRACE: &[u8] = include_bytes!("../scenarios/traces/azure_conv_2023.csv");

/// A chunk of a 70B model, and what is promised about it.
const HEAD: &str = r#"
[load]
arrivals = { poisson = { rate = "1/s" } }
[workload]
lengths = { empirical = { trace = { path = "traces/azure_conv_2023.csv", format = "table" } } }
[slo]
ttft = { p95 = "2s" }
tpot = { p95 = "60ms" }
[plan]
max_chunks = 60
timeout = "1min"
promise = { requests = "95%", periods = "95%", confidence = "95%" }
chunk = { size = "1580 tok/s", source = "documented" }
price = { first = "6 USD/h", next = "6 USD/h", source = "assumed" }
"#;
const ENDPOINT: &str = "[endpoint]\nstep = { base = \"5ms\", per_sequence = \"1ms\", per_prefill_token = \"160us\", per_context_token = \"300ns\" }\nprefill_budget = 512\n";

/// A world to judge periods in, and sizes around the cheapest good one.
struct Case {
    name: &'static str,
    experiment: Experiment,
    material: Material,
    sizes: Vec<Size>,
}

/// A case; `changes` are pairs of a text of [`HEAD`] or [`ENDPOINT`] and what stands there instead.
fn case(name: &'static str, plan: &str, changes: &[(&str, &str)], sizes: &[(u32, u32)]) -> Case {
    let mut text = format!("name = \"{name}\"\n{HEAD}{plan}\n{ENDPOINT}");
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let experiment = check("plan_speed.toml", text.as_bytes(), Path::new("."), &[], Seed(11)).unwrap_or_else(|f| panic!("{f:?}"));
    let rows = trace::read(TRACE, TraceFormat::Table, None, "azure_conv_2023").unwrap();
    let sizes = sizes.iter().map(|&(min, max)| Size { min, max }).collect();
    Case { name, experiment, material: Material { lengths: Some(rows), ..Material::default() }, sizes }
}

/// A bell over a day, from 0 at three at night to 1 in the afternoon.
fn bell_at(hour: f64) -> f64 {
    (0.5 - 0.5 * ((hour - 3.0) / 24.0 * std::f64::consts::TAU).cos()).powf(1.5)
}

/// A day with a bell of demand from `low` at night to `high` in the afternoon, in half hours.
fn bell(low: f64, high: f64) -> String {
    let rate = |hour: f64| low + (high - low) * bell_at(hour);
    let mut points = String::new();
    for half in 0..48 {
        let h = f64::from(half) / 2.0;
        let _ = write!(points, "{{ at = \"{}s\", rate = \"{:.4}/s\" }}, ", half * 1800, rate(h));
    }
    format!("demand = {{ poisson = {{ rate = {{ piecewise = {{ repeat = \"1d\", points = [{points}] }} }} }} }}\nperiod = \"1d\"\n")
}

/// Two hours of a quiet service that is three times as busy for ten minutes.
const BURST: &str = r#"demand = { poisson = { rate = { steps = [{ rate = "2/s", hold = "1h" }, { rate = "6/s", hold = "10min" }, { rate = "2/s", hold = "50min" }] } } }
period = "2h"
day_sigma = 0.1
autoscaler = { lag = { lognormal = { median = "3min", p95 = "8min" } } }
"#;

/// Chunks sold for about what they can do within the objectives: an autoscaler that aims at 80 % loads them to seven tenths all day.
const TIGHT: (&str, &str) = ("1580 tok/s", "2400 tok/s");
const OBJECTIVES: &str = "ttft = { p95 = \"2s\" }\ntpot = { p95 = \"60ms\" }";

fn cases() -> Vec<Case> {
    let tail = "day_sigma = 0.15\nautoscaler = { lag = { lognormal = { median = \"5min\", p95 = \"10min\" } } }\n";
    let failing = "day_sigma = 0.1\nautoscaler = { target = \"70%\", failure = \"20%\", lag = { fixed = \"4min\" } }\n";
    let e2e = (OBJECTIVES, "e2e = { p95 = \"25s\" }");
    let refusing = ("prefill_budget = 512", "prefill_budget = 512\nqueue = 4\nrouting = \"round_robin\"");
    let learnt = |mut case: Case| {
        let plan = case.experiment.scenario.plan.as_mut().unwrap();
        plan.demand = None;
        case.material.demand = Some(Arc::new(fortnight_model(6.0, &case.material)));
        case
    };
    vec![
        case("burst", BURST, &[TIGHT], &[(2, 8), (4, 8), (6, 6)]),
        case("bell-easy", &format!("{}{tail}", bell(1.0, 8.0)), &[], &[(4, 10)]),
        case("bell-small", &format!("{}{tail}", bell(0.3, 3.0)), &[TIGHT], &[(1, 3), (2, 5)]),
        case("bell", &format!("{}{tail}", bell(1.0, 8.0)), &[TIGHT], &[(2, 8), (4, 12)]),
        case("bell-failing", &format!("{}{failing}", bell(1.0, 6.0)), &[TIGHT], &[(2, 6), (4, 9)]),
        case("bell-e2e", &format!("{}{tail}", bell(1.0, 6.0)), &[TIGHT, e2e], &[(2, 7), (4, 9)]),
        // Hardly changing, with few requests a bin: what is missed is missed by chance, all day, about as often as the promise allows.
        case("edge", &format!("{}{tail}", bell(2.6, 3.4)), &[], &[(1, 1), (2, 2), (1, 3), (2, 3), (3, 3)]),
        case("bell-refusing", &format!("{}{tail}", bell(1.0, 6.0)), &[TIGHT, refusing], &[(2, 7), (4, 9)]),
        learnt(case("learnt", &format!("{}{tail}", bell(1.0, 6.0)), &[TIGHT], &[(3, 12), (6, 14)])),
        weekly(),
    ]
}

/// The shipped plan of a week that was learnt: its cheapest size is loaded all day, and misses by chance about a quarter of what it may.
fn weekly() -> Case {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let text = std::fs::read(folder.join("weekly-plan.toml")).unwrap();
    let mut experiment = check("weekly-plan.toml", &text, &folder, &[], Seed(1)).unwrap_or_else(|f| panic!("{f:?}"));
    experiment.scenario.plan.as_mut().unwrap().demand_model = None;
    let rows = std::fs::read(folder.join("traces/azure_code_2023.csv")).unwrap();
    let rows = trace::read(&rows[..], TraceFormat::Table, None, "azure_code_2023").unwrap();
    let demand = DemandModel::from_json(&std::fs::read(folder.join("azure-code-week.demand.json")).unwrap()).unwrap();
    let lengths = Material { lengths: Some(rows), ..Material::default() };
    let demand = demand.completed(&experiment.scenario.workload, &lengths, Seed(1)).unwrap();
    let material = Material { demand: Some(Arc::new(demand)), ..lengths };
    let sizes = [(2, 5), (3, 3), (3, 4)].map(|(min, max)| Size { min, max }).to_vec();
    Case { name: "weekly", experiment, material, sizes }
}

/// Demand as it may be learnt from a fortnight: two kinds of days, day factors, a residual and ramps; `mean` requests a second on average.
fn fortnight_model(mean: f64, material: &Material) -> DemandModel {
    let profile = |low: f64| (0..144).map(|i| (low + bell_at(f64::from(i) / 6.0)).ln()).collect();
    let law = Law {
        level: 0.0,
        classes: [0, 0, 0, 0, 0, 1, 1],
        profiles: vec![profile(0.25), profile(0.6)],
        growth_per_day: 0.0,
        day_sigma: 0.12,
        residual: Residual { sigma: 0.08, memory_s: 1200.0 },
        shots: Shots { per_day: 4.0, height: 0.4, hold_s: 900.0 },
    };
    let level = (mean / law.mean_rate()).ln();
    DemandModel {
        version: demand::VERSION,
        name: "a fortnight".to_owned(),
        recorded: Recorded { days: 14, is_dated: true, ..Recorded::default() },
        law: Law { level, ..law },
        draws: Vec::new(),
        generator: Generator::Law,
        day_factors: Vec::new(),
        check: None,
        dispersion: 0.01,
        lengths: LengthTable::pooled(material.lengths.as_ref().unwrap().rows.clone()),
        what_if: WhatIf::default(),
        notes: Vec::new(),
    }
}

/// Arguments after the name of the bench.
struct Options {
    agree: bool,
    plan: bool,
    periods: u32,
    days: u32,
    threads: usize,
    repeats: u32,
    world: String,
}

fn options() -> Options {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let value = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1));
    let number = |name: &str, default: u32| value(name).map_or(default, |v| v.parse().unwrap());
    let cores = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    let only = |name: &str| args.iter().any(|a| a == name);
    Options {
        agree: !only("plan"),
        plan: !only("agree"),
        periods: number("--periods", 200),
        days: number("--days", 1000),
        threads: usize::try_from(number("--threads", cores)).unwrap(),
        repeats: number("--repeats", 3),
        world: value("--world").cloned().unwrap_or_default(),
    }
}

fn world(case: &Case) -> World<'_> {
    let scenario = &case.experiment.scenario;
    let plan = scenario.plan.as_ref().unwrap();
    World::new(plan, &scenario.workload, &scenario.slo, &scenario.endpoint, &case.material, case.experiment.seed).unwrap()
}

/// What a simulation had done.
#[derive(Clone, Copy)]
struct Taken {
    periods: u64,
    requests: u64,
    simulated: u64,
}

fn taken(simulation: &Simulation<'_>) -> Taken {
    Taken { periods: simulation.periods, requests: simulation.requests, simulated: simulation.simulated }
}

impl Taken {
    /// Share of the requests since then that was simulated one by one.
    fn share(self, now: &Simulation<'_>) -> f64 {
        (now.simulated - self.simulated) as f64 / (now.requests - self.requests).max(1) as f64
    }
}

fn mean_share(periods: &[PeriodOutcome]) -> f64 {
    periods.iter().map(PeriodOutcome::good_share).sum::<f64>() / periods.len() as f64
}

/// Hybrid against full simulation of the same periods.
fn agree(o: &Options) {
    println!(
        "| world | size | periods | good, full | good, hybrid | difference, points | largest of a period | paths differ | verdicts differ | simulated, full depth | simulated, verdict | speed-up, full depth | speed-up, verdict |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for case in cases().iter().filter(|c| c.name.starts_with(&o.world)) {
        let world = world(case);
        let plan = world.plan;
        let tariff = Tariff::new(&plan.price).unwrap();
        let promised = plan.promise.requests.0;
        let mut exact = Simulation::new(&world, &tariff, o.threads).to(Depth::Full);
        let mut quick = Simulation::new(&world, &tariff, o.threads);
        for &size in &case.sizes {
            let timed = |evaluator: &mut dyn Evaluator| {
                let start = Instant::now();
                let periods = evaluator.evaluate(size, Seeds::Search, 0..o.periods);
                (periods, start.elapsed().as_secs_f64())
            };
            let (full, full_s) = timed(&mut Simulation::in_full(&world, &tariff, o.threads));
            let before = (taken(&exact), taken(&quick));
            let (hybrid, hybrid_s) = timed(&mut exact);
            let (verdicts, verdict_s) = timed(&mut quick);
            let keeps = |p: &PeriodOutcome| p.good as f64 >= promised * p.total as f64;
            for (a, b) in full.iter().zip(&verdicts).filter(|(a, b)| keeps(a) != keeps(b)) {
                eprintln!(
                    "{} {}-{}: full {:.3} %, verdict at {:.3} %",
                    case.name,
                    size.min,
                    size.max,
                    100.0 * a.good_share(),
                    100.0 * b.good_share()
                );
            }
            let differ = full.iter().zip(&verdicts).filter(|(a, b)| keeps(a) != keeps(b)).count();
            let paths = full.iter().zip(&hybrid).filter(|(a, b)| (a.mean_chunks, a.total) != (b.mean_chunks, b.total)).count();
            let largest = full.iter().zip(&hybrid).map(|(a, b)| 100.0 * (a.good_share() - b.good_share()).abs()).fold(0.0, f64::max);
            println!(
                "| {} | {}-{} | {} | {:.3} % | {:.3} % | {:+.4} | {:.3} | {paths} | {differ} | {:.1} % | {:.1} % | {:.1} | {:.1} |",
                case.name,
                size.min,
                size.max,
                o.periods,
                100.0 * mean_share(&full),
                100.0 * mean_share(&hybrid),
                100.0 * (mean_share(&hybrid) - mean_share(&full)),
                largest,
                100.0 * before.0.share(&exact),
                100.0 * before.1.share(&quick),
                full_s / hybrid_s,
                full_s / verdict_s,
            );
        }
    }
}

/// The plan of the speed bar: a fortnight's demand at ten requests a second on average, judged by days.
fn fortnight() -> Case {
    let plan = "demand = { poisson = { rate = \"10/s\" } }\nperiod = \"1d\"\nautoscaler = { lag = { lognormal = { median = \"5min\", p95 = \"10min\" } } }\n";
    let mut case = case("fortnight", plan, &[("1580 tok/s", "2000 tok/s")], &[]);
    case.experiment.scenario.plan.as_mut().unwrap().demand = None;
    case.material.demand = Some(Arc::new(fortnight_model(10.0, &case.material)));
    case
}

/// The stages of a certified plan on a grid of 40 minima by 60 maxima.
fn plan(o: &Options) {
    println!("| repeat | stage | seconds | periods judged | requests judged | simulated | result |");
    println!("|---|---|---|---|---|---|---|");
    let case = fortnight();
    let world = world(&case);
    let plan = world.plan;
    let tariff = Tariff::new(&plan.price).unwrap();
    let promise = plan.promise;
    let rules = Rules {
        requests: promise.requests.0,
        periods: promise.periods.0,
        confidence: promise.confidence.0,
        max_chunks: 60,
        least: 1,
        lowest: 1,
        guess: 8,
        fixed: false,
        search_periods: 120,
        certify_periods: o.days,
        certify_least: o.days,
        draws: 1,
    };
    for repeat in 1..=o.repeats {
        let mut hybrid = Simulation::new(&world, &tariff, o.threads);
        let start = Instant::now();
        let none = taken(&hybrid);
        let mut certify_s = None;
        let mut looks = 0;
        let found = search::search(&rules, &mut hybrid, &mut |look| {
            looks += u32::from(look.seeds == Seeds::Search);
            if look.seeds != Seeds::Search && certify_s.is_none() {
                certify_s = Some(start.elapsed().as_secs_f64());
            }
            eprint!("\r{:.1} s: {:?} {}-{}      ", start.elapsed().as_secs_f64(), look.seeds, look.size.min, look.size.max);
        });
        eprintln!();
        let found_s = start.elapsed().as_secs_f64();
        let searched_s = certify_s.unwrap_or(found_s);
        let row = |stage: &str, seconds: f64, before: Taken, now: &Simulation<'_>, result: String| {
            let (periods, requests) = (now.periods - before.periods, (now.requests - before.requests) as f64);
            println!("| {repeat} | {stage} | {seconds:.2} | {periods} | {requests:.3e} | {:.2} % | {result} |", 100.0 * before.share(now));
        };
        println!("| {repeat} | search | {searched_s:.2} | | | | {looks} sizes of 1,821 |");
        let chosen = found.chosen.as_ref();
        let size = chosen.map(|c| c.size);
        let result = chosen.map_or("none".to_owned(), |c| {
            format!(
                "{}-{} on {} days, {} of them failed; {} sizes tested",
                c.size.min,
                c.size.max,
                c.periods.len(),
                rules.failures(&c.periods),
                found.judged.len()
            )
        });
        row("search and certification", found_s, none, &hybrid, result);
        let Some((size, chosen)) = size.zip(chosen) else { continue };
        let before = taken(&hybrid);
        hybrid.set_depth(Depth::Full);
        let shown = hybrid.evaluate(size, Seeds::Certify(chosen.round), 0..u32::try_from(chosen.periods.len()).unwrap_or(u32::MAX));
        let all_s = start.elapsed().as_secs_f64();
        let still = shown.iter().filter(|p| !rules.keeps(p)).count();
        row(
            "full depth of the chosen size",
            all_s - found_s,
            before,
            &hybrid,
            format!("good: {:.3} %; {still} days failed", 100.0 * mean_share(&shown)),
        );
        println!("| {repeat} | **whole** | **{all_s:.2}** | | | | |");
    }
}

fn main() {
    let o = options();
    if o.agree {
        agree(&o);
    }
    if o.plan {
        println!();
        plan(&o);
    }
}
