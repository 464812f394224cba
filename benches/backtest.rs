//! Would the plan have held? Real recordings cut in two: the demand is learnt from the first days, the plan is judged on the days that came after,
//! as they were recorded, beside rules of thumb and the smallest fixed size that would have held the days it was planned on.
//!
//!   cargo bench --bench backtest [-- --seeds 20] [--threads 2]
//!
//! The endpoint is known (a stand-in for a chunk of a 70B model), so that all error is that of the demand. Lags of 1, 5, 10 and 20 minutes. Each
//! recorded day is run under several seeds: other instants, lengths and delays at the recorded rates. Prints Markdown.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![allow(clippy::print_stdout, reason = "the table is its result")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are small and positive")]

use plimsoll::base::rng::Seed;
use plimsoll::planner::cost::Tariff;
use plimsoll::planner::evaluate::Simulation;
use plimsoll::planner::search::{Evaluator, PeriodOutcome, Seeds, Size, mean_cost};
use plimsoll::planner::world::World;
use plimsoll::planner::{self, Model};
use plimsoll::scenario::check::check;
use plimsoll::scenario::experiment::Experiment;
use plimsoll::scenario::load::TraceFormat;
use plimsoll::scenario::plan::Provenance;
use plimsoll::workload::demand::{self, DemandModel, Generator, LengthTable, RecordedDay, RecordedDays, Said};
use plimsoll::workload::schedule::Material;
use plimsoll::workload::trace::{self, Rates, Recording, Rows};
use std::path::Path;
use std::sync::Arc;

const SERVEGEN: &[u8] = include_bytes!("../scenarios/traces/servegen_m_large_rate.csv.gz");
const AZURE: &[u8] = include_bytes!("../scenarios/traces/azure_code_2024_week.csv.gz");
const CONVERSATIONS: &[u8] = include_bytes!("../scenarios/traces/azure_conv_2023.csv");
const CODE: &[u8] = include_bytes!("../scenarios/traces/azure_code_2023.csv");
const DAY_S: f64 = 86_400.0;
const LAGS_MIN: [u32; 4] = [1, 5, 10, 20];

/// A recording, cut.
struct Case {
    name: &'static str,
    rates: Rates,
    lengths: Rows,
    /// Days planned on; those after it are judged.
    learnt: usize,
    days: usize,
    /// Requests per second on average, by scaling.
    mean: f64,
    /// When it begins, nanoseconds since 1970, where that is known.
    start_ns: Option<i64>,
}

fn option(name: &str, default: u32) -> u32 {
    let args: Vec<String> = std::env::args().collect();
    args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)).map_or(default, |v| v.parse().unwrap())
}

fn rates(source: &[u8], name: &str) -> Rates {
    match trace::read_any(source, TraceFormat::Auto, None, name).unwrap() {
        Recording::Rates(rates) => rates,
        Recording::Requests(_) => panic!("{name} holds rates"),
    }
}

fn cases() -> [Case; 2] {
    let rows = |text: &[u8], name| trace::read(text, TraceFormat::Table, None, name).unwrap();
    // 2024-05-10, a Friday.
    let friday = 1_715_299_200_000_000_000;
    [
        Case {
            name: "ServeGen m-large, days 1-7, judged on 8-14",
            rates: rates(SERVEGEN, "servegen"),
            lengths: rows(CONVERSATIONS, "conversations"),
            learnt: 7,
            days: 14,
            mean: 4.0,
            start_ns: None,
        },
        Case {
            name: "Azure code 2024, Friday to Monday, judged on Tuesday to Thursday",
            rates: rates(AZURE, "azure"),
            lengths: rows(CODE, "code"),
            learnt: 4,
            days: 7,
            mean: 3.0,
            start_ns: Some(friday),
        },
    ]
}

fn experiment(lag_min: u32) -> Experiment {
    let text = format!(
        r#"name = "backtest"
[load]
arrivals = {{ poisson = {{ rate = "1/s" }} }}
[workload]
lengths = {{ empirical = {{ trace = {{ path = "traces/azure_conv_2023.csv", format = "table" }} }} }}
[slo]
ttft = {{ p95 = "3s" }}
tpot = {{ p95 = "60ms" }}
[plan]
demand_model = "backtest.demand.json"
period = "1d"
max_chunks = 64
timeout = "1min"
promise = {{ requests = "99%", periods = "90%", confidence = "90%" }}
chunk = {{ size = "1580 tok/s", source = "documented" }}
price = {{ first = "10 USD/h", next = "10 USD/h", source = "assumed" }}
[plan.autoscaler]
target = "60%"
lag = {{ lognormal = {{ median = "{lag_min}min", p95 = "{}min" }} }}
[endpoint]
step = {{ base = "5ms", per_sequence = "1ms", per_prefill_token = "160us", per_context_token = "300ns" }}
prefill_budget = 512
"#,
        2 * lag_min
    );
    check("backtest.toml", text.as_bytes(), Path::new("."), &[], Seed(31)).unwrap_or_else(|f| panic!("{f:?}"))
}

impl Case {
    /// The recorded rates of day `day` from the beginning, scaled.
    fn day(&self, day: usize) -> Vec<(f64, f64)> {
        let (from, to) = (day as f64 * DAY_S, (day + 1) as f64 * DAY_S);
        let all = self.rates.windows.iter().map(|w| w.1).sum::<f64>() / self.rates.windows.len() as f64;
        self.rates.windows.iter().filter(|w| (from..to).contains(&w.0)).map(|&(at, rate)| (at, rate * self.mean / all)).collect()
    }

    fn learnt(&self) -> DemandModel {
        let windows = (0..self.learnt).flat_map(|day| self.day(day)).collect();
        let said = Said { name: self.name.to_owned(), start_ns: self.start_ns, throttled_share: 0.0 };
        let (series, about) = demand::of_rates(&Rates { windows, skipped: 0 }, Some(&self.lengths), &said);
        demand::learn(&series, about).unwrap()
    }

    /// A demand that is the recorded day and nothing else.
    fn recorded(&self, day: usize, model: &DemandModel) -> DemandModel {
        let rates: Vec<f64> = self.day(day).into_iter().map(|w| w.1).collect();
        let days = vec![RecordedDay { weekday: 0, rates: rates.clone() }];
        let law = plimsoll::workload::demand::Law { classes: [0; 7], ..model.law.clone() };
        let lengths: LengthTable = model.lengths.clone();
        DemandModel {
            law,
            lengths,
            generator: Generator::Days(RecordedDays { step_s: DAY_S / rates.len() as f64, days }),
            draws: Vec::new(),
            ..model.clone()
        }
    }
}

/// A size on recorded days, each under as many seeds.
struct Judged {
    kept: usize,
    days: usize,
    good: f64,
    cost: f64,
}

fn judge(
    case: &Case,
    model: &DemandModel,
    experiment: &Experiment,
    (size, days): (Size, std::ops::Range<usize>),
    (seeds, threads): (u32, usize),
) -> Judged {
    let scenario = &experiment.scenario;
    let plan = scenario.plan.as_ref().unwrap();
    let tariff = Tariff::new(&plan.price).unwrap();
    let mut all: Vec<PeriodOutcome> = Vec::new();
    for day in days {
        let material = Material { demand: Some(Arc::new(case.recorded(day, model))), ..Material::default() };
        let seed = Seed(77).child("day", day as u64);
        let world = World::new(plan, &scenario.workload, &scenario.slo, &scenario.endpoint, &material, seed).unwrap();
        all.extend(Simulation::new(&world, &tariff, threads).to(planner::hybrid::Depth::Full).evaluate(size, Seeds::Certify(9), 0..seeds));
    }
    let promised = plan.promise.requests.0;
    let kept = all.iter().filter(|p| p.good as f64 >= promised * p.total as f64).count();
    let (good, total) = all.iter().fold((0, 0), |(good, total), p| (good + p.good, total + p.total));
    Judged { kept, days: all.len(), good: good as f64 / total.max(1) as f64, cost: mean_cost(&all) }
}

/// The smallest size without scaling that keeps every day of those it is planned on.
fn hindsight(case: &Case, model: &DemandModel, experiment: &Experiment, threads: usize) -> Size {
    let holds = |chunks: u32| {
        let judged = judge(case, model, experiment, (Size::fixed(chunks), 0..case.learnt), (3, threads));
        judged.kept == judged.days
    };
    let (mut fails, mut holding) = (0, 64);
    while holding - fails > 1 {
        let middle = u32::midpoint(fails, holding);
        if holds(middle) { holding = middle } else { fails = middle }
    }
    Size::fixed(holding)
}

fn main() {
    let (seeds, threads) = (option("--seeds", 20), option("--threads", 2) as usize);
    for case in cases() {
        let model = case.learnt();
        println!("\n### {}\n", case.name);
        println!("{} requests a second on average, {} seeds a day. {}\n", case.mean, seeds, model.notes.join("; "));
        println!("| lag, median | plan | size | days kept | good requests | cost an hour |\n| --- | --- | --- | --- | --- | --- |");
        for lag in LAGS_MIN {
            let experiment = experiment(lag);
            let material = Material { demand: Some(Arc::new(model.clone())), ..Material::default() };
            let endpoint = experiment.scenario.endpoint.clone();
            let found = planner::decide(&experiment, &Model::exact(&endpoint, Provenance::Assumed), &material, threads).unwrap();
            let mut sizes: Vec<(String, Option<Size>)> = vec![("plimsoll".to_owned(), found.size)];
            sizes.extend(found.thumbs.iter().map(|t| (t.rule.to_owned(), Some(t.size))));
            sizes.push(("fixed, held the days learnt from".to_owned(), Some(hindsight(&case, &model, &experiment, threads))));
            for (name, size) in sizes {
                let Some(size) = size else {
                    println!("| {lag} min | {name} | none | | | |");
                    continue;
                };
                let judged = judge(&case, &model, &experiment, (size, case.learnt..case.days), (seeds, threads));
                println!(
                    "| {lag} min | {name} | {} to {} | {} of {} ({:.1} %) | {:.3} % | {:.2} |",
                    size.min,
                    size.max,
                    judged.kept,
                    judged.days,
                    judged.kept as f64 / judged.days as f64 * 100.0,
                    judged.good * 100.0,
                    judged.cost
                );
            }
        }
    }
}
