//! How fast a plan is certified, and whether judging periods without simulating every request changes what is found.
//!
//! `cargo bench --bench plan_speed` prints two tables: hybrid against full simulation of the same periods, and the stages of a certified plan.
//! `-- agree` or `-- plan` prints one of them; `--periods 50` (200), `--days 200` (1000), `--threads 1` (all cores), `--repeats 1` (3) make it
//! shorter; `--world burst` takes the worlds whose name begins so.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![allow(clippy::print_stdout, reason = "the tables are its result")]
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
use plimsoll::workload::schedule::Material;
use plimsoll::workload::trace;
use std::fmt::Write as _;
use std::path::Path;
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

fn case(name: &'static str, plan: &str, slo: Option<&str>, sizes: &[(u32, u32)]) -> Case {
    let head = slo.map_or_else(|| HEAD.to_owned(), |slo| HEAD.replace("ttft = { p95 = \"2s\" }\ntpot = { p95 = \"60ms\" }", slo));
    let text = format!("name = \"{name}\"\n{head}{plan}\n{ENDPOINT}");
    let experiment = check("plan_speed.toml", text.as_bytes(), Path::new("."), &[], Seed(11)).unwrap_or_else(|f| panic!("{f:?}"));
    let rows = trace::read(TRACE, TraceFormat::Table, None, "azure_conv_2023").unwrap();
    let sizes = sizes.iter().map(|&(min, max)| Size { min, max }).collect();
    Case { name, experiment, material: Material { lengths: Some(rows), ..Material::default() }, sizes }
}

/// A day with a bell of demand from `low` at night to `high` in the afternoon, in half hours.
fn bell(low: f64, high: f64) -> String {
    let rate = |h: f64| low + (high - low) * (0.5 - 0.5 * ((h - 3.0) / 24.0 * std::f64::consts::TAU).cos()).powf(1.5);
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

fn cases() -> Vec<Case> {
    let tail = "day_sigma = 0.15\nautoscaler = { lag = { lognormal = { median = \"5min\", p95 = \"10min\" } } }\n";
    let failing = "day_sigma = 0.1\nautoscaler = { target = \"70%\", failure = \"20%\", lag = { fixed = \"4min\" } }\n";
    vec![
        case("burst", BURST, None, &[(2, 8), (4, 8), (6, 6)]),
        case("bell-small", &format!("{}{tail}", bell(0.3, 3.0)), None, &[(1, 4), (2, 5), (4, 4)]),
        case("bell", &format!("{}{tail}", bell(1.0, 8.0)), None, &[(4, 10), (4, 14), (10, 10)]),
        case("bell-failing", &format!("{}{failing}", bell(1.0, 6.0)), None, &[(3, 10), (6, 12)]),
        case("bell-e2e", &format!("{}{tail}", bell(1.0, 6.0)), Some("e2e = { p95 = \"25s\" }"), &[(3, 9), (5, 12)]),
    ]
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

/// A fortnight at ten requests a second on average: weekdays and weekends, ten-minute bursts at random hours.
fn fortnight() -> Case {
    let mut points = String::new();
    let mut burst = Seed(5).stream("bursts");
    use rand::RngExt as _;
    let mut until = 0;
    let mut height = 1.0;
    let mut total = 0.0;
    let mut rates = Vec::new();
    for slot in 0..14 * 144 {
        let hour = f64::from(slot % 144) / 6.0;
        let weekend = (slot / 144) % 7 >= 5;
        let shape = 0.3 + 0.9 * (0.5 - 0.5 * ((hour - 3.0) / 24.0 * std::f64::consts::TAU).cos()).powf(1.5);
        if slot >= until && burst.random::<f64>() < 0.012 {
            until = slot + 1 + (burst.random::<f64>() * 4.0) as i32;
            height = 1.0 + 0.3 / (1.0 - burst.random::<f64>()).powf(0.4);
        }
        let rate = shape * if weekend { 0.55 } else { 1.0 } * if slot < until { height } else { 1.0 };
        total += rate;
        rates.push(rate);
    }
    let mean = total / rates.len() as f64;
    for (slot, rate) in rates.iter().enumerate() {
        let _ = write!(points, "{{ at = \"{}s\", rate = \"{:.4}/s\" }}, ", slot * 600, 10.0 * rate / mean);
    }
    let plan = format!(
        "demand = {{ poisson = {{ rate = {{ piecewise = {{ repeat = \"14d\", points = [{points}] }} }} }} }}\nperiod = \"1d\"\nday_sigma = 0.12\nautoscaler = {{ lag = {{ lognormal = {{ median = \"5min\", p95 = \"10min\" }} }} }}\n"
    );
    case("fortnight", &plan, None, &[])
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
    let mut rules = Rules {
        requests: promise.requests.0,
        periods: promise.periods.0,
        confidence: promise.confidence.0,
        max_chunks: 60,
        lowest: 1,
        guess: 8,
        search_periods: 60,
        tolerated: 0,
    };
    while rules.certify_periods(0).is_some_and(|n| n < o.days) {
        rules.tolerated += 1;
    }
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
