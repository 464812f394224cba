//! The probe against the truth, in virtual time: bias and coverage of the lag and of the chunk's throughput over many seeds, case by case.
//! `cargo bench --bench probe` prints a Markdown table; `-- --seeds 40` makes it shorter, `--first-seed 5000` fresh, `--each` shows every seed.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![allow(clippy::print_stdout, reason = "the table is its result")]

use plimsoll::base::rng::Seed;
use plimsoll::base::time::Nanos;
use plimsoll::base::units::{Rate, Share, TimeSpan, TokenRate};
use plimsoll::measure::probe::document::ProbeDocument;
use plimsoll::measure::probe::{Collector, Repeat, Shape};
use plimsoll::scenario::endpoint::{Autoscaler, EndpointSpec, Lag, Routing, StepLaw};
use plimsoll::scenario::load::{Arrivals, RateFn, RateStep, TraceFormat, VaryingRate};
use plimsoll::scenario::workload::{Lengths, Workload};
use plimsoll::sim::endpoint::Endpoint;
use plimsoll::sim::event::Detail;
use plimsoll::sim::virtual_time::{self, Patience};
use plimsoll::workload::schedule::{Material, Schedule};
use plimsoll::workload::trace;

/// Lengths of an hour of a real conversation service.
const TRACE: &[u8] = include_bytes!("../scenarios/traces/azure_conv_2023.csv");

/// One kind of endpoint and of step.
struct Case {
    name: &'static str,
    spec: EndpointSpec,
    shape: Shape,
}

/// The truth of one seed beside what the probe said.
struct Judged {
    seed: u64,
    truth_s: Option<f64>,
    down_s: Option<f64>,
    /// More chunks came before the step already: nothing is to be seen then.
    early: bool,
    chunk_tok_s: Option<f64>,
    repeat: Repeat,
}

fn endpoint(lag_s: f64, chunks: u32, most: u32, routing: Routing) -> EndpointSpec {
    let us = |n: u64| TimeSpan(Nanos::from_micros(n));
    let ns = |n: u64| TimeSpan(Nanos(n));
    EndpointSpec {
        // About one chunk of a 70B model, as in scenarios/chat.toml.
        step: StepLaw { base: us(5_000), per_sequence: us(1_000), per_prefill_token: us(160), per_context_token: ns(300), ..StepLaw::default() },
        prefill_budget: 512,
        chunk: TokenRate(1580.0),
        min_chunks: chunks,
        max_chunks: most,
        routing,
        autoscaler: Autoscaler {
            target: Share(0.8),
            window: TimeSpan::secs(60),
            poll: TimeSpan::secs(15),
            lag: Lag::Lognormal { median: TimeSpan(Nanos::from_secs_f64(lag_s)), p95: TimeSpan(Nanos::from_secs_f64(1.5 * lag_s)) },
            scale_down_delay: TimeSpan::secs(300),
            ..Autoscaler::default()
        },
        ..EndpointSpec::default()
    }
}

fn shape(spec: &EndpointSpec, low: f64, high: f64, hold_s: f64) -> Shape {
    let per_request = 1366.0;
    let rate = |chunks: f64| chunks * spec.chunk.0 / per_request;
    Shape { before_s: 120.0, hold_s, after_s: 900.0, low_rate: rate(low), high_rate: rate(high), chunks: spec.min_chunks, chunk_tok_s: spec.chunk.0 }
}

fn cases() -> Vec<Case> {
    let least = Routing::LeastLoaded;
    let case = |name, spec: EndpointSpec, low, high, hold_s| Case { name, shape: shape(&spec, low, high, hold_s), spec };
    vec![
        case("1 to 2 chunks, lag 5 min", endpoint(300.0, 1, 2, least), 0.5, 2.5, 900.0),
        case("1 to 2 chunks, lag 1 min", endpoint(60.0, 1, 2, least), 0.5, 2.5, 300.0),
        case("1 to 2 chunks, lag 5 min, random routing", endpoint(300.0, 1, 2, Routing::Random), 0.5, 2.5, 900.0),
        case("2 to 4 chunks, lag 3 min", endpoint(180.0, 2, 4, least), 1.0, 5.0, 600.0),
        case("4 to 5 chunks, lag 5 min", endpoint(300.0, 4, 5, least), 2.0, 9.0, 900.0),
        case("1 to 2 chunks, low load 0.75", endpoint(300.0, 1, 2, least), 0.75, 2.5, 900.0),
        case("no scale-up (1 chunk)", endpoint(300.0, 1, 1, least), 0.5, 2.5, 900.0),
        case("not saturated (chunk twice as fast)", fast(endpoint(300.0, 1, 2, least)), 0.5, 2.0, 900.0),
    ]
}

/// The same endpoint at twice the speed that it is advertised for.
fn fast(mut spec: EndpointSpec) -> EndpointSpec {
    let half = |t: TimeSpan| TimeSpan(Nanos(t.nanos().0 / 2));
    let s = &mut spec.step;
    (s.base, s.per_sequence) = (half(s.base), half(s.per_sequence));
    (s.per_prefill_token, s.per_context_token) = (half(s.per_prefill_token), half(s.per_context_token));
    spec
}

fn judge(case: &Case, material: &Material, seed: u64) -> Judged {
    let s = &case.shape;
    let step = |rate: f64, hold: f64| RateStep { rate: Rate(rate), hold: TimeSpan(Nanos::from_secs_f64(hold)) };
    let steps = vec![step(s.low_rate, s.before_s), step(s.high_rate, s.hold_s), step(s.low_rate, s.after_s)];
    let arrivals = Arrivals::Constant { rate: RateFn::Varying(VaryingRate::Steps(steps)) };
    let span = Nanos::from_secs_f64(s.span_s());
    let mut schedule = Schedule::for_demand(
        &arrivals,
        &Workload { lengths: Lengths::Empirical { trace: None }, ..Workload::default() },
        span,
        1.0,
        material,
        Seed(seed),
    )
    .unwrap();
    let mut endpoint = Endpoint::new(&case.spec, Seed(seed), Detail::Requests);
    let mut collector = Collector::new(*s);
    let patience = Patience { total: Nanos::from_secs(600), first_byte: Nanos::from_secs(600) };
    virtual_time::run(&mut schedule, &mut endpoint, patience, &mut |r| collector.observe(r));
    let first = endpoint.scale_log().iter().find(|e| e.ready > s.chunks && e.at.as_secs_f64() >= s.before_s);
    let truth_s = first.map(|e| e.at.as_secs_f64() - s.before_s).filter(|t| *t < s.hold_s);
    let back = s.before_s + s.hold_s;
    let gone = endpoint.scale_log().windows(2).find(|w| w[1].ready < w[0].ready && w[1].at.as_secs_f64() > back);
    let down_s = gone.map(|w| w[1].at.as_secs_f64() - back).filter(|t| *t < s.after_s);
    let early = endpoint.scale_log().iter().any(|e| e.ready > s.chunks && e.at.as_secs_f64() < s.before_s);
    let repeat = collector.finish(span);
    let document = ProbeDocument::of((case.name, ""), *s, (1155.0, 211.0), vec![repeat.clone()], None);
    Judged { seed, truth_s, down_s, early, chunk_tok_s: document.chunk.map(|c| c.tok_s), repeat }
}

fn row(case: &Case, judged: &[Judged]) -> String {
    let mut errors: Vec<f64> = Vec::new();
    let (mut inside, mut wide, mut seen, mut there, mut false_alarms) = (0, 0.0, 0, 0, 0);
    let mut speeds: Vec<f64> = Vec::new();
    for j in judged.iter().filter(|j| !j.early) {
        there += usize::from(j.truth_s.is_some());
        match (j.truth_s, j.repeat.lag) {
            (Some(truth), Some(lag)) => {
                seen += 1;
                errors.push(lag.at_s - truth);
                inside += usize::from(lag.low_s <= truth && truth <= lag.high_s);
                wide += lag.high_s - lag.low_s;
            }
            (None, Some(_)) => false_alarms += 1,
            _ => {}
        }
        speeds.extend(j.chunk_tok_s);
    }
    let mut downs: Vec<f64> = judged.iter().filter_map(|j| Some(j.repeat.scale_down?.at_s - j.down_s?)).collect();
    downs.sort_by(f64::total_cmp);
    errors.sort_by(f64::total_cmp);
    speeds.sort_by(f64::total_cmp);
    let at = |sorted: &[f64], share: usize| sorted.get(sorted.len() * share / 100).copied().unwrap_or(f64::NAN);
    let mean = errors.iter().sum::<f64>() / errors.len().max(1) as f64;
    let share = |k: usize, n: usize| if n == 0 { "-".to_owned() } else { format!("{:.1}%", 100.0 * k as f64 / n as f64) };
    format!(
        "| {} | {} | {} | {} | {:+.2} | {:+.2} / {:+.2} | {:.1} | {} | {:.0} ({:.0} to {:.0}) | {}, {:+.1} ({:+.1} to {:+.1}) |",
        case.name,
        there,
        share(seen, there),
        share(false_alarms, judged.iter().filter(|j| !j.early).count() - there),
        mean,
        at(&errors, 5),
        at(&errors, 95),
        wide / seen.max(1) as f64,
        share(inside, seen),
        at(&speeds, 50),
        at(&speeds, 5),
        at(&speeds, 95),
        share(downs.len(), judged.iter().filter(|j| j.down_s.is_some()).count()),
        at(&downs, 50),
        at(&downs, 5),
        at(&downs, 95)
    )
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let value = |name: &str, default: u64| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)?.parse().ok()).unwrap_or(default);
    let (seeds, first) = (value("--seeds", 200), value("--first-seed", 1));
    let rows = trace::read(TRACE, TraceFormat::Table, None, "azure_conv_2023").unwrap();
    let material = Material { lengths: Some(rows.clone()), arrivals: Some(rows), ..Material::default() };
    println!("{seeds} seeds a case from {first}; lag in seconds from the step; interval 95 %.\n");
    println!(
        "| case | scale-ups | found | false alarms | mean error s | error p5 / p95 s | width s | interval holds truth | chunk tok/s, median (p5 to p95) | scale-down seen, error s median (p5 to p95) |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for case in cases() {
        let judged: Vec<Judged> = (first..first + seeds).map(|seed| judge(&case, &material, seed)).collect();
        if args.iter().any(|a| a == "--each") {
            for j in &judged {
                let levels: Vec<String> = j
                    .repeat
                    .levels
                    .iter()
                    .map(|l| format!("{:.0}-{:.0}: {:.0}/{:.0}{}", l.from_s, l.to_s, l.tok_s, l.offered_tok_s, if l.saturated { "*" } else { "" }))
                    .collect();
                println!(
                    "  {} truth {:?} lag {:?} {:?} turn {:?} recovered {:?} down {:?} {}",
                    j.seed,
                    j.truth_s,
                    j.repeat.lag,
                    j.repeat.no_lag,
                    j.repeat.turn.map(|t| t.at_s),
                    j.repeat.recovered_s,
                    j.repeat.scale_down.map(|t| t.at_s),
                    levels.join(" ")
                );
            }
        }
        println!("{}", row(&case, &judged));
    }
}
