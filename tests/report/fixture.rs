//! Runs and plans made up from a seed: a queue of slots for the runs, a day of demand under a slow autoscaler for the plan.
#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "made-up figures in known ranges, in tests only")]

use plimsoll::base::diag::{Severity, Warning};
use plimsoll::base::rng::Seed;
use plimsoll::base::time::Nanos;
use plimsoll::measure::document::RunDocument;
use plimsoll::measure::recorder::{Expectations, Recorder};
use plimsoll::measure::summary::ClientFacts;
use plimsoll::planner::bar::Bar;
use plimsoll::planner::limits::{Binds, Certificate, Limits, Without};
use plimsoll::planner::recommendation::{
    Assumption, Baseline, BreakEven, CandidateResult, Clairvoyant, DemandFacts, Effort, HeadroomPart, Misses, PriceFacts, PromiseText,
    Recommendation, Rejected, Sensitivity, Sized, Swing, Timeline, TimelinePoint, WhatIf,
};
use plimsoll::record::manifest::{EndpointIdentity, HostFacts, Manifest};
use plimsoll::record::outcome::Outcome;
use plimsoll::record::request::{ChunkStamp, Phase, RequestRecord, TokenSource, Usage};
use plimsoll::report::FitRow;
use plimsoll::scenario::model::Scenario;
use plimsoll::scenario::plan::Provenance;
use rand::RngExt;

const SCENARIO: &str = r#"{
  "name": "chat-steady",
  "question": "How many chat requests per second does one chunk serve while the first token comes within 800 ms?",
  "target": { "model": "llama-3-8b" },
  "load": { "arrivals": { "poisson": { "rate": "12/s" } }, "warmup": "10s", "measure": "120s" },
  "slo": { "ttft": { "p95": "800ms" }, "tpot": { "p95": "60ms" }, "e2e": { "p95": "15s" }, "errors": "1%", "goodput": "95%" }
}"#;

pub(crate) fn scenario() -> Scenario {
    serde_json::from_str(SCENARIO).unwrap()
}

/// A standard normal value (Box and Muller).
fn normal(stream: &mut impl RngExt) -> f64 {
    let (u, v): (f64, f64) = (stream.random(), stream.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Requests at `rate` through `slots` slots: queueing, prefill by input tokens, decoding slower the more slots are taken, a few errors.
pub(crate) fn records(rate: f64, span_s: f64, slots: usize, seed: u64) -> Vec<RequestRecord> {
    let mut stream = Seed(seed).stream("fixture");
    let mut free = vec![0.0_f64; slots];
    let mut out = Vec::new();
    let mut t = 0.0;
    for seq in 0.. {
        t += -(1.0 - stream.random::<f64>()).ln() / rate;
        if t >= span_s {
            break;
        }
        let phase = if t < 10.0 { Phase::Warmup } else { Phase::Measure };
        let input = (5.6 + 1.1 * normal(&mut stream)).exp().clamp(4.0, 6000.0) as u32;
        let output = (4.9 + 0.8 * normal(&mut stream)).exp().clamp(2.0, 1500.0) as u32;
        let mut r = RequestRecord::due(seq, phase, Nanos::from_secs_f64(t), input, output);
        let sent = t + 30e-6 + 80e-6 * stream.random::<f64>().powi(6);
        r.sent = Some(Nanos::from_secs_f64(sent));
        let luck: f64 = stream.random();
        if luck < 0.004 {
            r.outcome = if luck < 0.001 { Outcome::ServerError } else { Outcome::ThrottledCapacity };
            r.closed = Nanos::from_secs_f64(sent + 0.004);
            out.push(r);
            continue;
        }
        let slot = (0..slots).min_by(|&a, &b| free[a].total_cmp(&free[b])).unwrap();
        let begin = sent.max(free[slot]);
        let active = free.iter().filter(|f| **f > begin).count() as f64;
        let first = begin + 0.03 + f64::from(input) * 60e-6 * (1.0 + active / slots as f64);
        let step = (0.014 + 0.000_15 * active) * (1.0 + 0.08 * normal(&mut stream)).max(0.5);
        let mut chunks = vec![ChunkStamp { gap: 0, tokens: 1 }];
        let mut now = first;
        for _ in 1..output {
            let gap = step * (1.0 + 0.15 * normal(&mut stream)).max(0.2);
            now += gap;
            chunks.push(ChunkStamp { gap: (gap * 1e9) as u64, tokens: 1 });
        }
        free[slot] = now;
        r.outcome = Outcome::Ok;
        r.status = 200;
        r.first_byte = Some(Nanos::from_secs_f64(first));
        r.first_token = Some(Nanos::from_secs_f64(first));
        r.first_content = Some(Nanos::from_secs_f64(first));
        r.last_token = Some(Nanos::from_secs_f64(now));
        r.closed = Nanos::from_secs_f64(now + 0.001);
        r.input_tokens = input + 11;
        r.output_tokens = output;
        r.token_source = TokenSource::Usage;
        r.counted_tokens = output;
        r.usage = Some(Usage { prompt: input + 11, completion: output, cached: None, reasoning: None });
        r.chunks = chunks;
        out.push(r);
    }
    out
}

/// A run of 130 s, the first 10 s warm-up.
pub(crate) fn run(rate: f64, slots: usize, seed: u64) -> RunDocument {
    let scenario = scenario();
    let mut recorder = Recorder::new(&scenario.slo, (Nanos::from_secs(10), Nanos::from_secs(130)), Nanos::from_secs(1));
    for record in records(rate, 130.0, slots, seed) {
        recorder.observe(&record);
    }
    let client = ClientFacts {
        cpu_s: 14.2,
        cpu_share: 0.055,
        cpu_share_max: 0.081,
        loop_lag_p99_ms: 0.43,
        cores: 2,
        workers: 2,
        embedded_endpoint: false,
        stopped_early: false,
        clock_drift_ppm: 2.1,
        ..ClientFacts::default()
    };
    let summary = recorder.finish(Nanos::from_secs(151), client, Expectations::of(&scenario));
    let host = HostFacts { os: "linux".into(), arch: "x86_64".into(), cores: 2, cpu_model: "AMD EPYC 7B13".into(), memory_bytes: 8_589_934_592 };
    let endpoint = EndpointIdentity {
        url: "http://127.0.0.1:8000".into(),
        api: "openai".into(),
        task: "chat".into(),
        model: "llama-3-8b".into(),
        model_reported: Some("llama-3-8b-instruct".into()),
        server_header: Some("uvicorn".into()),
        embedded: false,
        tls_verified: true,
    };
    let mut manifest = Manifest::begun(&scenario.name, Seed(seed), "2026-03-04T10:11:12Z", host, endpoint);
    manifest.question.clone_from(&scenario.question);
    manifest.finished = true;
    manifest.vocabulary = "llama3".into();
    manifest.scenario_sha256 = "3f1c".repeat(16);
    manifest.note_failure(Outcome::ServerError, "500 Internal Server Error: worker 3 <restarted> & retried");
    manifest.note_failure(Outcome::ThrottledCapacity, r#"429 {"error_code":"REQUEST_LIMIT_EXCEEDED"}"#);
    RunDocument::new(manifest, scenario, summary)
}

/// Load steps from comfortable to overloaded.
pub(crate) fn sweep() -> Vec<RunDocument> {
    [4.0, 6.0, 8.0, 10.0, 12.0, 13.0, 14.0, 16.0].into_iter().enumerate().map(|(i, rate)| run(rate, 48, 100 + i as u64)).collect()
}

pub(crate) fn fit() -> Vec<FitRow> {
    let row = |step: &str, metric: &str, percentile: &str, measured_ms: f64, predicted_ms: f64| FitRow {
        step: step.into(),
        metric: metric.into(),
        percentile: percentile.into(),
        measured_ms,
        predicted_ms,
    };
    vec![
        row("4 requests/s", "TTFT", "p50", 58.2, 57.1),
        row("4 requests/s", "E2E", "p95", 8120.0, 8301.0),
        row("12 requests/s", "TTFT", "p95", 412.0, 431.0),
        row("12 requests/s", "TPOT", "p50", 24.9, 25.2),
        row("16 requests/s", "TTFT", "p95", 2310.0, 2098.0),
    ]
}

fn candidate(min: u32, max: u32, cost: f64, good: f64, kept: u32, bound: f64) -> CandidateResult {
    CandidateResult {
        min_chunks: min,
        max_chunks: max,
        cost_per_hour: cost,
        mean_chunks: cost / 24.0,
        good_share: good,
        worst_period: good - (1.0 - good) * 1.7,
        periods_kept: kept,
        periods: 60,
        kept_lower_bound: bound,
        keeps_promise: bound >= 0.9,
        certified: bound >= 0.95,
        misses: Misses {
            ttft: (1.0 - good) * 0.8,
            tpot: (1.0 - good) * 0.1,
            e2e: (1.0 - good) * 0.15,
            throttled: (1.0 - good) * 0.2,
            ..Misses::default()
        },
    }
}

/// A day with two humps and a burst, under an autoscaler that takes five minutes.
fn timeline(seed: u64) -> Timeline {
    let mut stream = Seed(seed).stream("timeline");
    let (step_s, chunk) = (120.0, 1264.0);
    let (mut ready, mut orders) = (2_u32, Vec::<(usize, u32)>::new());
    let mut points = Vec::new();
    for i in 0..720_usize {
        let hour = i as f64 * step_s / 3600.0;
        let hump = |at: f64, width: f64| (-((hour - at) / width).powi(2)).exp();
        let burst = if (14.2..14.7).contains(&hour) { 2100.0 } else { 0.0 };
        let demand: f64 = (500.0 + 2600.0 * hump(10.5, 2.4) + 2900.0 * hump(15.5, 2.8) + burst) * (1.0 + 0.08 * normal(&mut stream));
        orders.retain(|&(at, n)| {
            if at <= i {
                ready += n;
            }
            at > i
        });
        let pending: u32 = orders.iter().map(|o| o.1).sum();
        let wanted = ((demand / (0.8 * chunk)).ceil() as u32).clamp(2, 5);
        if wanted > ready + pending {
            orders.push((i + 3, wanted - ready - pending));
        } else if wanted < ready && i % 5 == 0 {
            ready -= 1;
        }
        let due = (demand * step_s / 450.0) as u32;
        let missed = if demand > f64::from(ready) * chunk { (f64::from(due) * (1.0 - f64::from(ready) * chunk / demand)) as u32 } else { 0 };
        points.push(TimelinePoint { demand_tok_s: demand, ready, pending: orders.iter().map(|o| o.1).sum(), due, missed });
    }
    Timeline { step_s, period: 10 + seed as u32, points }
}

fn prices() -> PriceFacts {
    PriceFacts {
        first_per_hour: 6.0,
        next_per_hour: 24.0,
        source: Provenance::Documented,
        as_of: Some("2026-04-10".into()),
        region: Some("us-east-1".into()),
        sku: Some("llama-3.3-70b".into()),
        input_per_million: Some(0.5),
        output_per_million: Some(1.5),
    }
}

fn break_even() -> BreakEven {
    BreakEven {
            by_token_per_hour: 4.27,
            provisioned_per_hour: 71.4,
            mixed_per_million: 0.655,
            provisioned_per_million: 10.96,
            full_chunk_per_million: 5.27,
            demand_tok_s: 1810.0,
            break_even_tok_s: None,
            same_size_tok_s: Some(30_280.0),
            is_provisioned_cheaper: false,
            verdict: "by the token this demand would cost 4.27 USD an hour, provisioned 71.40: paying by the token is cheaper; even a further chunk that is used to the last token costs 5.27 USD a million tokens, against 0.66 by the token: it is bought for latency and isolation, not for its price".into(),
        }
}

fn limits() -> Limits {
    Limits {
        binds: Binds::Endpoint,
        sentence: "what is not known of the endpoint decides: if it were known exactly, min 2, max 4 would do, for 5.20 USD an hour less".into(),
        without: vec![
            Without { what: Binds::Endpoint, min_chunks: 2, max_chunks: 4, saved_per_hour: 5.2 },
            Without { what: Binds::Simulation, min_chunks: 2, max_chunks: 5, saved_per_hour: 0.0 },
        ],
    }
}

fn sensitivity() -> Sensitivity {
    let sized = |min_chunks, max_chunks, cost: f64| Sized { min_chunks, max_chunks, mean_chunks: cost / 24.0, cost_per_hour: cost };
    let what_if =
        |change: &str, size: Option<Sized>| WhatIf { change: change.into(), size, cost_change: size.map_or(0.0, |s| s.cost_per_hour - 70.1) };
    let swing = |input: &str, by: &str, less: (u32, u32, f64), more: Option<(u32, u32, f64)>| Swing {
        input: input.into(),
        less: what_if(&format!("-{by} %"), Some(sized(less.0, less.1, less.2))),
        more: what_if(&format!("+{by} %"), more.map(|m| sized(m.0, m.1, m.2))),
    };
    let more = |rule: &str, result, reason: &str| Rejected { rule: rule.into(), result, reason: reason.into() };
    Sensitivity {
        periods: 8,
        base: Some(sized(2, 5, 70.1)),
        inputs: vec![
            swing("scale-up delay", "50", (1, 5, 58.2), None),
            swing("requests", "20", (2, 4, 57.9), Some((3, 6, 84.8))),
            swing("output tokens a request", "20", (2, 5, 66.0), Some((2, 6, 75.3))),
            swing("speed of a chunk", "10", (2, 6, 76.2), Some((2, 5, 66.9))),
        ],
        lags: vec![
            what_if("every scale-up takes the median, 5.00 min", Some(sized(2, 5, 69.0))),
            what_if("every scale-up takes the 95th percentile, 9.00 min", Some(sized(3, 5, 82.4))),
        ],
        minute_less: Some(what_if("one minute less: 4.50 min instead of 5.50 min on average", Some(sized(2, 5, 67.7)))),
        chunk_more: vec![
            more("as recommended", candidate(2, 5, 71.4, 0.9962, 8, 0.75), "for comparison"),
            more("one more at the minimum", candidate(3, 5, 84.0, 0.9990, 8, 0.75), "always there, and always paid for"),
            more("one more at the maximum", candidate(2, 6, 72.8, 0.9970, 8, 0.75), "there when demand asks for it, after the delay"),
        ],
    }
}

fn headroom() -> Vec<HeadroomPart> {
    let part =
        |cause: &str, chunks: f64, reason: &str| HeadroomPart { cause: cause.into(), chunks, cost_per_hour: chunks * 24.0, reason: reason.into() };
    vec![
        part("base", 1.9, "Chunks that serve the demand of each instant at the simulated size of a chunk."),
        part("burst", 0.21, "The same search with a lag of zero, less the base."),
        part("lag", 0.62, "The same search without failed scale-ups, less the one with a lag of zero."),
        part("failure", 0.045, "The same search without failed scale-ups costs this much less."),
        part("uncertainty", 0.2, "The same search with endpoint and demand as estimated costs this much less."),
    ]
}

/// Sizes around the chosen one.
fn others() -> Vec<CandidateResult> {
    let sizes = [(1, 3), (1, 4), (1, 5), (1, 6), (2, 3), (2, 4), (2, 6), (3, 4), (3, 5), (3, 6), (4, 4), (5, 5)];
    sizes
        .iter()
        .map(|&(min, max)| {
            let cost = 24.0 * (1.2 + 0.55 * f64::from(min) + 0.18 * f64::from(max));
            let good: f64 = 1.0 - 0.06 * (-0.9 * (f64::from(min) - 1.0) - 0.75 * (f64::from(max) - 3.0)).exp();
            let kept = ((good - 0.97) / 0.027 * 60.0).clamp(0.0, 60.0) as u32;
            candidate(min, max, cost, good, kept, (f64::from(kept) / 60.0 - 0.04).clamp(0.0, 0.963))
        })
        .collect()
}

pub(crate) fn plan() -> Recommendation {
    let chosen = CandidateResult { certified: true, ..candidate(2, 5, 71.4, 0.9962, 59, 0.936) };
    let assumption = |what: &str, value: &str, source| Assumption { what: what.into(), value: value.into(), source };
    let mut frontier = others();
    frontier.push(chosen.clone());
    Recommendation {
        schema_version: 1,
        tool_version: env!("CARGO_PKG_VERSION").into(),
        scenario: "chat-diurnal".into(),
        question: "Which minimum and maximum provisioned throughput keep the first token within 800 ms over a working day?".into(),
        seed: 42,
        sentence: "Buy min 2, max 5 chunks of 1,580 tokens/s, because demand grows by a factor of 1.7 within the 5 min that a new chunk takes, and with fewer than 2 running the morning rise misses the first-token objective.".into(),
        chosen: Some(chosen.clone()),
        chunk_tok_s: 1580.0,
        effective_chunk_tok_s: 1264.0,
        promise: PromiseText { requests: 0.99, periods: 0.9, confidence: 0.9 },
        currency: "USD".into(),
        demand: DemandFacts { mean_requests_s: 4.1, mean_tok_s: 1810.0, mean_input_tok_s: 1530.0, peak_minute_tok_s: 5890.0, growth_in_lag_p99: 1.72, effective_lag_s: 345.0 },
        headroom: headroom(),
        clairvoyant: Clairvoyant {
            fractional: Baseline { mean_chunks: 1.9, cost_per_hour: 45.6 },
            whole: Baseline { mean_chunks: 2.3, cost_per_hour: 55.2 },
            price_of_delay: 71.4 / 45.6 - 1.0,
        },
        binding: "The first-token bound of 800 ms binds: 0.30% of requests miss it, all within six minutes after a rise in demand.".into(),
        next_cheaper: Some(Rejected {
            rule: "next cheaper".into(),
            result: candidate(2, 4, 66.2, 0.9871, 22, 0.27),
            reason: "With at most 4 chunks the afternoon peak waits for capacity: 22 of 60 days keep the promise.".into(),
        }),
        naive: vec![
            Rejected { rule: "mean x 1.2".into(), result: candidate(2, 2, 48.0, 0.71, 0, 0.0), reason: "Breaks the promise every day from 9 h to 18 h.".into() },
            Rejected { rule: "peak minute".into(), result: candidate(5, 5, 120.0, 0.9991, 60, 0.962), reason: "Keeps it, and costs 68% more.".into() },
        ],
        prices: prices(),
        break_even: Some(break_even()),
        unit: None,
        certificate: Some(Certificate { bar: Bar { draws: 40, depth: 20, bad_periods: 2, share: 0.9, risk: 0.1 }, bad_draws: 1, risk: 0.061 }),
        limits: limits(),
        frontier,
        timeline: timeline(7),
        next_worst: (8..12).map(timeline).collect(),
        sensitivity: Some(sensitivity()),
        assumptions: vec![
            assumption("Chunk size", "1,580 tok/s", Provenance::Documented),
            assumption("Step law of a chunk", "12 ms + 0.25 ms a sequence + 0.06 ms a prompt token", Provenance::Measured),
            assumption("Scale-up lag", "5 min, always the same", Provenance::Assumed),
            assumption("Price of a chunk", "24 USD/h", Provenance::Assumed),
        ],
        create_body: serde_json::json!({ "name": "plimsoll-endpoint", "config": { "served_entities": [{ "entity_name": "catalog.schema.model", "entity_version": "1", "min_provisioned_throughput": 3160, "max_provisioned_throughput": 7900 }] } }),
        resize_body: serde_json::json!({ "served_entities": [{ "min_provisioned_throughput": 3160, "max_provisioned_throughput": 7900 }] }),
        warnings: vec![Warning {
            severity: Severity::Doubt,
            code: "lag-assumed".into(),
            message: "the scale-up lag of 5 min is assumed, not measured".into(),
            limit: String::new(),
            hint: "measure it with plimsoll endpoint resize and wait, or try the plan at twice the lag".into(),
        }],
        effort: Effort { candidates: 13, periods: 780, requests: 276_000_000, simulated: 276_000_000 },
    }
}
