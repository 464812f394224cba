//! The search for the SLO capacity against the truth, in virtual time: 40 seeds a case, share of them within 3 %, coverage of the interval, requests used.
//! `cargo bench --bench knee` prints the table; `-- --seeds 8` and the beginning of a case's name make it shorter, `--first-seed 5000` makes it fresh,
//! `--each` shows every seed, `--at 75.5` takes the truth as known.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![allow(clippy::print_stdout, reason = "the table is its result")]
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock to say how long it took")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "users, seeds and threads are small whole numbers; the casts saturate")]

use plimsoll::base::rng::Seed;
use plimsoll::base::time::Nanos;
use plimsoll::base::units::{Rate, TimeSpan};
use plimsoll::measure::knee::fit::logit;
use plimsoll::measure::knee::{Capacity, Kind, Next, Options, Search};
use plimsoll::measure::plateau::{Collector, Offer, Plateau, targets};
use plimsoll::scenario::check::check;
use plimsoll::scenario::experiment::Experiment;
use plimsoll::scenario::load::{Arrivals, RateFn, TraceFormat};
use plimsoll::sim::endpoint::Endpoint;
use plimsoll::sim::event::Detail;
use plimsoll::sim::virtual_time::{self, Patience};
use plimsoll::workload::schedule::{Material, Schedule};
use plimsoll::workload::trace;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// The case that `plimsoll sweep benches/knee.toml` runs in real time.
const FAST: &str = include_str!("knee.toml");
/// Lengths of an hour of a real conversation service.
const TRACE: &[u8] = include_bytes!("../scenarios/traces/azure_conv_2023.csv");
const WORKLOAD: &str = "[workload]\nlengths = { empirical = { trace = { path = \"traces/azure_conv_2023.csv\", format = \"table\" } } }\n";
/// About one chunk of a 70B model, as in scenarios/chat.toml.
const CHUNK: &str =
    "step = { base = \"5ms\", per_sequence = \"1ms\", per_prefill_token = \"160us\", per_context_token = \"300ns\" }\nprefill_budget = 512\n";

/// What a search of one seed came to.
struct Found {
    seed: u64,
    capacity: Option<Capacity>,
    requests: u64,
    seconds: f64,
    windows: usize,
}

/// One case of the experiment.
struct Case {
    name: &'static str,
    kind: Kind,
    experiment: Experiment,
    material: Material,
    start: f64,
    longest_s: f64,
    shortest_s: f64,
    controls: bool,
}

fn case(name: &'static str, kind: Kind, arrivals: &str, slo: &str, endpoint: &str, start: f64, (shortest_s, longest_s): (f64, f64)) -> Case {
    let text = format!("name = \"{name}\"\n[load]\narrivals = {{ {arrivals} }}\n{WORKLOAD}\n[slo]\n{slo}\n[endpoint]\n{CHUNK}{endpoint}\n");
    let experiment = check("knee.toml", text.as_bytes(), Path::new("."), &[], Seed(1)).unwrap_or_else(|f| panic!("{f:?}"));
    let rows = trace::read(TRACE, TraceFormat::Table, None, "azure_conv_2023").unwrap();
    Case {
        name,
        kind,
        experiment,
        material: Material { lengths: Some(rows), ..Material::default() },
        start,
        longest_s,
        shortest_s,
        controls: !std::env::args().any(|a| a == "--plain"),
    }
}

fn cases() -> Vec<Case> {
    let percentiles = "ttft = { p95 = \"1500ms\" }\ntpot = { p95 = \"40ms\" }\nerrors = \"1%\"";
    let goodput = "ttft = { p50 = \"2s\" }\ntpot = { p50 = \"45ms\" }\ngoodput = \"95%\"";
    let eight = "min_chunks = 8\nmax_chunks = 8";
    let fast = check("knee.toml", FAST.as_bytes(), Path::new("."), &[], Seed(1)).unwrap_or_else(|f| panic!("{f:?}"));
    vec![
        Case {
            name: "rate-fast",
            kind: Kind::Rate,
            experiment: fast,
            material: Material::default(),
            start: 10.0,
            longest_s: 60.0,
            shortest_s: 5.0,
            controls: true,
        },
        case("rate-p95", Kind::Rate, "poisson = { rate = \"1/s\" }", percentiles, eight, 1.0, (60.0, 600.0)),
        case("hard-rate-p95-one-chunk", Kind::Rate, "poisson = { rate = \"1/s\" }", percentiles, "", 0.25, (60.0, 900.0)),
        case("rate-goodput", Kind::Rate, "poisson = { rate = \"1/s\" }", goodput, eight, 1.0, (60.0, 600.0)),
        case("users-p95", Kind::Users, "closed = { users = 1, think = \"5s\" }", percentiles, eight, 8.0, (60.0, 600.0)),
        case("users-goodput", Kind::Users, "closed = { users = 1, think = \"2s\" }", goodput, eight, 8.0, (60.0, 600.0)),
        case("hard-users-goodput-one-chunk", Kind::Users, "closed = { users = 1, think = \"2s\" }", goodput, "", 1.0, (60.0, 900.0)),
    ]
}

impl Case {
    fn experiment(&self, load: f64, warmup_s: f64, measure_s: f64, seed: Seed) -> Experiment {
        let mut e = self.experiment.clone();
        e.seed = seed;
        let l = &mut e.scenario.load;
        l.arrivals = match (&l.arrivals, self.kind) {
            (Arrivals::Closed { think, .. }, _) => {
                Arrivals::Closed { users: load as u32, think: *think, ramp_up: TimeSpan(Nanos::from_secs_f64(warmup_s * 0.5)) }
            }
            _ => Arrivals::Poisson { rate: RateFn::Constant(Rate(load)) },
        };
        l.warmup = TimeSpan(Nanos::from_secs_f64(warmup_s));
        l.measure = TimeSpan(Nanos::from_secs_f64(measure_s));
        e
    }

    fn window(&self, load: f64, warmup_s: f64, measure_s: f64, seed: Seed) -> Option<Plateau> {
        let e = self.experiment(load, warmup_s, measure_s, seed);
        let mut schedule = Schedule::new(&e, &self.material).unwrap();
        let expected = schedule.expected();
        let mut endpoint = Endpoint::new(&e.scenario.endpoint, seed, Detail::Requests);
        let patience = Patience { total: Nanos::from_secs(600), first_byte: Nanos::from_secs(600) };
        let mut collector = Collector::new(&e.scenario.slo);
        virtual_time::run(&mut schedule, &mut endpoint, patience, &mut |r| collector.observe(r));
        let offer = Offer {
            rate: (self.kind == Kind::Rate).then_some(load),
            input: expected.input_tokens / expected.requests,
            output: expected.output_tokens / expected.requests,
        };
        collector.finish(warmup_s, warmup_s + measure_s, self.controls.then_some(offer))
    }

    /// Margin of the objective that is nearest to being missed: log-odds of a miss less the allowed ones.
    fn margin(&self, load: f64, measure_s: f64) -> f64 {
        let p = self.window(load, 300.0, measure_s, Seed(777)).unwrap();
        let targets = targets(&self.experiment.scenario.slo);
        let one = |(m, t): (&plimsoll::measure::plateau::Misses, &plimsoll::measure::plateau::Target)| {
            logit((m.missed / m.asked).clamp(1e-9, 1.0 - 1e-9)) - logit(t.allowed)
        };
        p.misses.iter().zip(&targets).map(one).fold(f64::NEG_INFINITY, f64::max)
    }

    /// The load at which the margin is zero, from very long runs: bisection on short ones, a line through three long ones.
    fn truth(&self, requests: f64) -> f64 {
        let (mut low, mut high) = (self.start, self.start);
        let rate = |load: f64| if self.kind == Kind::Rate { load } else { load / 15.0 };
        let short = |load: f64| self.margin(load, 20_000.0 / rate(load));
        while short(high) < 0.0 {
            (low, high) = (high, high * 2.0);
        }
        while high / low > 1.02 {
            let middle = (low * high).sqrt();
            if short(middle) < 0.0 { low = middle } else { high = middle }
        }
        let near = (low * high).sqrt();
        let at = match self.kind {
            Kind::Rate => [near * 0.985, near, near * 1.015].to_vec(),
            Kind::Users => {
                let width = (near * 0.015).max(1.0).round();
                [near.round() - width, near.round(), near.round() + width].to_vec()
            }
        };
        let points: Vec<(f64, f64)> = at.iter().map(|&load| (load.ln(), self.margin(load, requests / rate(load)))).collect();
        let (mx, my) = points.iter().fold((0.0, 0.0), |(a, b), p| (a + p.0 / 3.0, b + p.1 / 3.0));
        let slope = points.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum::<f64>() / points.iter().map(|p| (p.0 - mx).powi(2)).sum::<f64>();
        (mx - my / slope).exp()
    }

    /// What a step near the capacity is like: relaxation time, overdispersion, slope.
    fn probe(&self, at: f64) {
        for factor in [0.9, 0.96, 1.0, 1.03, 1.06] {
            let load = if self.kind == Kind::Rate { at * factor } else { (at * factor).round() };
            for span in [600.0, 3000.0, 40_000.0] {
                let p = self.window(load, 300.0, span, Seed(777)).unwrap();
                let m: Vec<String> = p
                    .misses
                    .iter()
                    .map(|m| {
                        let q = m.missed / m.asked;
                        format!("{q:.4}±{:.4}/{:.4} (x{:.0})", m.error, m.plain_error, m.error * m.error * m.asked / (q * (1.0 - q)))
                    })
                    .collect();
                println!(
                    "  {factor} {load:.3} {span:.0} s: n {} N {:.1} R {:.2} tau {:.2} {:?} {m:?} start {:.0}",
                    p.requests, p.in_flight, p.residence_s, p.relaxation_s, p.steadiness, p.start_s
                );
            }
        }
    }

    fn search(&self, number: u64, width: f64, verbose: bool) -> Found {
        let seed = Seed(number);
        let options = Options {
            kind: self.kind,
            start: self.start,
            width,
            confidence: 0.95,
            shortest_s: self.shortest_s,
            longest_s: self.longest_s,
            most_requests: 60_000,
            most_seconds: 1e9,
        };
        let mut search = Search::new(options, targets(&self.experiment.scenario.slo));
        while let Next::Load(ask) = search.next() {
            let plateau = self.window(ask.load, ask.warmup_s, ask.measure_s, seed.child("window", ask.window));
            if verbose {
                let p = plateau.as_ref();
                println!(
                    "  {:?} load {:.3} window {} {:.0}+{:.0} s: n {:?} tau {:.1?} {:?} little {:.3?} misses {:?}",
                    ask.stage,
                    ask.load,
                    ask.window,
                    ask.warmup_s,
                    ask.measure_s,
                    p.map(|p| p.requests),
                    p.map(|p| p.relaxation_s),
                    p.map(|p| p.steadiness),
                    p.map(|p| p.little),
                    p.map(|p| p.misses.iter().map(|m| format!("{:.4}±{:.4}/{:.4}", m.missed / m.asked, m.error, m.plain_error)).collect::<Vec<_>>()),
                );
            }
            search.learn(ask, plateau);
            if verbose && let Some(c) = search.capacity() {
                println!("    -> {:.4} [{:.4}, {:.4}] ({})", c.estimate, c.low, c.high, c.binding);
            }
        }
        if verbose {
            println!("  {:?}", search.next());
        }
        Found { seed: number, capacity: search.capacity(), requests: search.spent(), seconds: search.seconds(), windows: search.windows().len() }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str, default: f64| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)?.parse().ok()).unwrap_or(default);
    let (seeds, width, truth) = (option("--seeds", 40.0) as u64, option("--width", 0.02), option("--truth", 2_000_000.0));
    let first_seed = option("--first-seed", 1000.0) as u64;
    let verbose = args.iter().any(|a| a == "--verbose");
    let wanted = args.iter().find(|a| ["rate", "users", "hard"].iter().any(|n| a.starts_with(n)));
    println!(
        "| case | true capacity | seeds | within 3 % | interval holds it | without a capacity | error mean | error rms | requests | minutes | windows |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for case in cases().iter().filter(|c| wanted.is_none_or(|w| c.name.starts_with(w.as_str()))) {
        let begun = Instant::now();
        let true_capacity = match option("--at", 0.0) {
            at if at > 0.0 => at,
            _ => case.truth(truth),
        };
        if args.iter().any(|a| a == "--probe") {
            case.probe(true_capacity);
            continue;
        }
        let truth_s = begun.elapsed().as_secs_f64();
        let next = AtomicUsize::new(0);
        let mut results: Vec<Found> = std::thread::scope(|scope| {
            let work = || {
                let mut mine = Vec::new();
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed) as u64;
                    if i >= seeds {
                        return mine;
                    }
                    mine.push(case.search(first_seed + i, width, verbose));
                }
            };
            let threads: Vec<_> = (0..option("--threads", 2.0) as u64).map(|_| scope.spawn(work)).collect();
            threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
        });
        results.sort_by_key(|r| r.seed);
        if args.iter().any(|a| a == "--each") {
            for r in &results {
                let c = r.capacity.as_ref().map(|c| (c.estimate / true_capacity, c.low / true_capacity, c.high / true_capacity));
                println!("  seed {} capacity, low, high over the truth {c:.4?} requests {}", r.seed, r.requests);
            }
        }
        let n = results.len() as f64;
        let errors: Vec<f64> = results.iter().filter_map(|r| r.capacity.as_ref()).map(|c| c.estimate / true_capacity - 1.0).collect();
        let within = errors.iter().filter(|e| e.abs() <= 0.03).count();
        let holds = results.iter().filter(|r| r.capacity.as_ref().is_some_and(|c| c.low <= true_capacity && true_capacity <= c.high)).count();
        let mean = errors.iter().sum::<f64>() / errors.len() as f64;
        let rms = (errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64).sqrt();
        let average = |of: fn(&Found) -> f64| results.iter().map(of).sum::<f64>() / n;
        println!(
            "| {} | {true_capacity:.4} | {seeds} | {within} ({:.1} %) | {holds} ({:.1} %) | {} | {:+.2} % | {:.2} % | {:.0} | {:.0} | {:.1} | (truth {truth_s:.0} s, all {:.0} s)",
            case.name,
            100.0 * within as f64 / n,
            100.0 * holds as f64 / n,
            results.len() - errors.len(),
            100.0 * mean,
            100.0 * rms,
            average(|r| r.requests as f64),
            average(|r| r.seconds / 60.0),
            average(|r| r.windows as f64),
            begun.elapsed().as_secs_f64()
        );
    }
}
