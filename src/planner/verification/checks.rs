//! What a plan takes for granted and a run can see: lengths, refusals, and how much a chunk is asked to carry.

use crate::record::outcome::Group;
use crate::record::request::{Phase, RequestRecord};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lengths may differ by this share before anybody needs to know.
const LENGTHS: f64 = 0.1;
/// Requests may be refused in this share beyond the planned one.
const REFUSED: f64 = 0.01;

/// Figures of the plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Planned {
    /// Input plus output tokens of a request, mean.
    pub tokens_per_request: f64,
    /// Share of requests answered 429.
    pub throttled: f64,
    /// What a chunk serves within the objectives, tokens per second.
    pub chunk_tok_s: f64,
    /// Chunks under load.
    pub chunks: u32,
    /// Seconds of the measured window.
    pub window_s: f64,
}

/// A figure of the plan beside the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What.
    pub what: String,
    /// In the plan.
    pub planned: f64,
    /// In the run.
    pub measured: f64,
    /// Whether they are near enough.
    pub holds: bool,
    /// What a difference means; empty when it holds.
    pub meaning: String,
}

/// Every check that the run allows.
pub(super) fn of(records: &[RequestRecord], planned: &Planned) -> Vec<Check> {
    let due: Vec<&RequestRecord> = records.iter().filter(|r| r.phase == Phase::Measure).collect();
    let ok: Vec<&&RequestRecord> = due.iter().filter(|r| r.is_ok()).collect();
    if ok.is_empty() {
        return Vec::new();
    }
    let (n, answered) = (due.len() as f64, ok.len() as f64);
    let mean = |f: fn(&RequestRecord) -> u32| ok.iter().map(|r| f64::from(f(r))).sum::<f64>() / answered;
    let asked: f64 = due.iter().map(|r| f64::from(r.input_asked) + f64::from(r.output_asked)).sum();
    let received: f64 = ok.iter().map(|r| f64::from(r.input_tokens) + f64::from(r.output_tokens)).sum();
    let throttled = due.iter().filter(|r| r.outcome.group() == Group::Throttled).count() as f64 / n;
    let check = |what: &str, (planned, measured): (f64, f64), holds: bool, meaning: &str| Check {
        what: what.to_owned(),
        planned,
        measured,
        holds,
        meaning: if holds { String::new() } else { meaning.to_owned() },
    };
    let near = |(a, b): (f64, f64)| (b / a.max(1e-9) - 1.0).abs() <= LENGTHS;
    let mix = (planned.tokens_per_request, asked / n);
    let input = (mean(|r| r.input_asked), mean(|r| r.input_tokens));
    let output = (mean(|r| r.output_asked), mean(|r| r.output_tokens));
    // The mean of a run's lengths is uncertain itself: three standard errors of it are no difference.
    let spread = due.iter().map(|r| (f64::from(r.input_asked) + f64::from(r.output_asked) - asked / n).powi(2)).sum::<f64>().sqrt() / n;
    vec![
        check(
            "tokens asked for, a request",
            mix,
            near(mix) || (mix.0 - mix.1).abs() <= 3.0 * spread,
            "the run has another mix of lengths than the plan: it verifies the model for this mix only",
        ),
        check(
            "input tokens, asked and counted by the server",
            input,
            near(input),
            "the server counts prompts otherwise: chunks carry another load than planned",
        ),
        check(
            "output tokens, asked and received",
            output,
            near(output),
            "answers end earlier or later than planned: chunks carry another load than planned",
        ),
        check(
            "share answered 429",
            (planned.throttled, throttled),
            throttled <= planned.throttled + REFUSED,
            "the endpoint refuses more than the plan says",
        ),
        check(
            "tokens/s a chunk: carried within the objectives, and received",
            (planned.chunk_tok_s, received / planned.window_s.max(1e-9) / f64::from(planned.chunks.max(1))),
            received / planned.window_s.max(1e-9) <= 1.05 * planned.chunk_tok_s * f64::from(planned.chunks.max(1)),
            "this load is beyond what the plan says that a chunk carries within the objectives",
        ),
    ]
}
