//! How many requests a second one core simulates. `cargo bench --bench simulator` prints two Markdown tables: speed over routing, replicas and
//! features, and what the model has and has not. `-- --requests 200000` (a run), `--repeats 5`, `--only round_robin` (rows whose name holds it).
//!
//! Lengths are drawn from an hour of a real conversation service, arrivals are Poisson at 70 % of what the law carries; drawing them, the simulation
//! and histograms of TTFT, TPOT and E2E are all timed. One thread, wall clock; the median of the repeats and their range.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![allow(clippy::print_stdout, reason = "the table is its result")]
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock to say how long it took")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bins, instants and row numbers are not negative; the casts saturate")]

use plimsoll::base::rng::{Seed, Stream};
use plimsoll::base::time::Nanos;
use plimsoll::base::units::{Share, TimeSpan};
use plimsoll::scenario::endpoint::{EndpointSpec, KvPolicy, PrefixHit, Routing, StepLaw};
use plimsoll::sim::bulk::{self, Ended, How, Job};
use plimsoll::sim::endpoint::Endpoint;
use plimsoll::sim::event::Detail;
use plimsoll::sim::virtual_time::Patience;
use rand::Rng;
use rand::distr::Distribution;
use rand_distr::Exp1;
use std::cell::RefCell;
use std::time::Instant;

/// Lengths of an hour of a real conversation service.
const TRACE: &str = include_str!("../scenarios/traces/azure_conv_2023.csv");

/// What a row of the table simulates.
struct Case {
    name: String,
    spec: EndpointSpec,
    patience: Patience,
    /// Share of what the law carries.
    load: f64,
}

/// What a run came to.
#[derive(Default)]
struct Run {
    seconds: f64,
    requests: u64,
    tokens: u64,
    ok: u64,
    ttft_p99_ms: f64,
    tpot_p50_ms: f64,
    e2e_p50_ms: f64,
}

fn main() {
    let mut options = (200_000_u32, 5_usize, String::new());
    let mut words = std::env::args().skip(1).filter(|w| w != "--bench");
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| panic!("{word} takes a value"));
        match word.as_str() {
            "--requests" => options.0 = value().parse().unwrap(),
            "--repeats" => options.1 = value().parse().unwrap(),
            "--only" => options.2 = value(),
            _ => panic!("--requests N, --repeats N or --only NAME, not {word}"),
        }
    }
    let (requests, repeats, only) = options;
    let rows = rows();
    println!("{requests} requests a run, {repeats} repeats, one core.\n");
    println!("| case | requests/s | range | output tokens/s | ok | TTFT p99 | TPOT p50 | E2E p50 |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for case in cases().into_iter().filter(|c| c.name.contains(&only)) {
        let mut runs: Vec<Run> = (0..repeats.max(1)).map(|_| run(&case, &rows, requests)).collect();
        runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let speed = |r: &Run| r.requests as f64 / r.seconds / 1e6;
        let middle = &runs[runs.len() / 2];
        println!(
            "| {} | {:.2} M | {:.2} - {:.2} M | {:.2} G | {:.2} % | {:.0} ms | {:.1} ms | {:.2} s |",
            case.name,
            speed(middle),
            speed(runs.last().unwrap()),
            speed(&runs[0]),
            middle.tokens as f64 / middle.seconds / 1e9,
            100.0 * middle.ok as f64 / middle.requests as f64,
            middle.ttft_p99_ms,
            middle.tpot_p50_ms,
            middle.e2e_p50_ms / 1e3,
        );
    }
    println!("\n| modelled | not modelled |\n| --- | --- |");
    for (is, is_not) in FEATURES {
        println!("| {is} | {is_not} |");
    }
}

/// What the figures stand for.
const FEATURES: [(&str, &str); 8] = [
    (
        "every iteration of continuous batching, exact to the nanosecond (runs of like iterations in closed form)",
        "kernels, layers, parallelism inside a replica",
    ),
    ("chunked prefill under a token budget, batch cap", "prefill and decoding on different machines"),
    ("key-value tokens, reserved or with preemption and recomputation", "blocks of the cache, swapping to host memory"),
    ("curvature, prefill that grows with context, noise of iterations", "drift, heat, neighbours"),
    ("prefix hits as a drawn or given share", "contents of the prefix cache, routing that knows them"),
    ("queues, 429, timeouts, client retries, 500s", "network beyond one constant delay"),
    ("random, round robin, least loaded, power of two", "priorities, fairness between tenants"),
    ("autoscaling with lag, failures, draining", "cold caches of a new replica"),
];

fn cases() -> Vec<Case> {
    let hour = Nanos::from_secs(3_600);
    let patience = Patience { total: hour, first_byte: hour };
    let plain =
        |routing, replicas| EndpointSpec { noise: 0.0, routing, min_chunks: replicas, max_chunks: replicas, queue: 4_096, ..EndpointSpec::default() };
    let mut cases = Vec::new();
    let routings = [
        (Routing::RoundRobin, "round_robin"),
        (Routing::Random, "random"),
        (Routing::LeastLoaded, "least_loaded"),
        (Routing::PowerOfTwo, "power_of_two"),
    ];
    for (routing, name) in routings {
        for replicas in [1, 8, 64] {
            cases.push(Case { name: format!("{name}, {replicas}, plain"), spec: plain(routing, replicas), patience, load: 0.7 });
        }
    }
    let base = plain(Routing::RoundRobin, 8);
    let curved = StepLaw { curvature: 2.0, ..base.step };
    let grown = StepLaw { prefill_growth: TimeSpan(Nanos::from_micros(2)), ..base.step };
    let hits = PrefixHit { requests: Share(0.5), prompt: Share(0.5) };
    let features = [
        ("noise", EndpointSpec { noise: 0.02, ..base.clone() }),
        ("curvature 2", EndpointSpec { step: curved, ..base.clone() }),
        ("prefill_growth", EndpointSpec { step: grown, ..base.clone() }),
        ("preempt", EndpointSpec { kv_policy: KvPolicy::Preempt, kv_tokens: 60_000, ..base.clone() }),
        ("prefix_hit", EndpointSpec { prefix_hit: hits, ..base.clone() }),
        ("2 tokens a step", EndpointSpec { tokens_per_step: 2, ..base.clone() }),
    ];
    for (name, spec) in features {
        cases.push(Case { name: format!("round_robin, 8, {name}"), spec, patience, load: 0.7 });
    }
    let short = Patience { total: Nanos::from_secs(30), first_byte: Nanos::from_secs(2) };
    cases.push(Case {
        name: "round_robin, 8, overload 1.2, patience 2 s".to_owned(),
        spec: EndpointSpec { queue: 256, ..base },
        patience: short,
        load: 1.2,
    });
    cases
}

fn rows() -> Vec<(u32, u32)> {
    let row = |line: &str| {
        let mut cells = line.split(',').skip(1).map(|cell| cell.parse().unwrap());
        (cells.next().unwrap(), cells.next().unwrap())
    };
    TRACE.lines().filter(|l| !l.starts_with('#')).skip(1).map(row).collect()
}

/// Poisson arrivals with lengths from rows.
struct Jobs<'a> {
    rows: &'a [(u32, u32)],
    gap_ns: f64,
    at: f64,
    left: u32,
    stream: Stream,
}

impl Iterator for Jobs<'_> {
    type Item = Job;

    fn next(&mut self) -> Option<Job> {
        self.left = self.left.checked_sub(1)?;
        let gap: f64 = Exp1.sample(&mut self.stream);
        self.at += gap * self.gap_ns;
        let (input, output) = self.rows[((u64::from(self.stream.next_u32()) * self.rows.len() as u64) >> 32) as usize];
        Some(Job { at: self.at as u64, input, output, cached: 0 })
    }
}

/// Requests a second that one replica's law carries without its base: 1 / E[work].
fn carried(spec: &EndpointSpec, rows: &[(u32, u32)]) -> f64 {
    let s = |span: TimeSpan| span.as_secs_f64();
    let law = spec.step;
    let work = |(p, o): &(u32, u32)| {
        let (p, o) = (f64::from(*p), f64::from(*o));
        s(law.per_sequence) * o + s(law.per_prefill_token) * p + s(law.per_context_token) * (o * p + o * o / 2.0)
    };
    rows.len() as f64 / rows.iter().map(work).sum::<f64>()
}

fn run(case: &Case, rows: &[(u32, u32)], requests: u32) -> Run {
    let rate = carried(&case.spec, rows) * case.load * f64::from(case.spec.min_chunks);
    let jobs = Jobs { rows, gap_ns: 1e9 / rate, at: 0.0, left: requests, stream: Seed(1).stream("jobs") };
    let mut endpoint = Endpoint::new(&case.spec, Seed(1), Detail::Requests);
    // The answer's length by index: what the records of a planner would hold.
    let outputs = RefCell::new(Vec::with_capacity(requests as usize));
    let (mut ttft, mut tpot, mut e2e) = (Bins::new(), Bins::new(), Bins::new());
    let mut found = Run::default();
    let started = Instant::now();
    let jobs = jobs.inspect(|job| outputs.borrow_mut().push(job.output));
    let mut ends = |e: &Ended| {
        ttft.add(e.first - e.at);
        e2e.add(e.last - e.at);
        if e.how == How::Ok {
            let output = outputs.borrow()[e.job as usize];
            found.ok += 1;
            found.tokens += u64::from(output);
            if output > 1 {
                tpot.add((e.last - e.first) / u64::from(output - 1));
            }
        }
        true
    };
    found.requests = bulk::run(jobs, &mut endpoint, case.patience, None, &mut ends);
    found.seconds = started.elapsed().as_secs_f64();
    found.ttft_p99_ms = ttft.quantile(0.99) / 1e6;
    found.tpot_p50_ms = tpot.quantile(0.5) / 1e6;
    found.e2e_p50_ms = e2e.quantile(0.5) / 1e6;
    found
}

/// Counts over 64 bins an octave: the exponent and the first 6 bits of a number in floating point.
struct Bins(Vec<u32>);

impl Bins {
    fn new() -> Self {
        Self(vec![0; 1 << 14])
    }

    fn add(&mut self, ns: u64) {
        self.0[((ns as f32).to_bits() >> 17) as usize & 0x3FFF] += 1;
    }

    fn quantile(&self, p: f64) -> f64 {
        let all: u64 = self.0.iter().map(|n| u64::from(*n)).sum();
        let mut left = (all as f64 * p) as u64;
        for (bin, n) in self.0.iter().enumerate() {
            if u64::from(*n) > left {
                return f64::from(f32::from_bits((bin as u32) << 17));
            }
            left -= u64::from(*n);
        }
        0.0
    }
}
