//! `Summary`: the figures of one run, ready to print. Times in milliseconds, rates per second; every figure has its sample size.

pub use super::client::ClientFacts;
use crate::base::diag::{Severity, Warning};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The figures of one run over its measured window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// The measured window, seconds from load start: requests *due* in it are counted, tokens *received* in it make throughput.
    pub window: Window,
    /// Wall time of the whole run in seconds, warm-up and drain included.
    pub wall_s: f64,
    /// What became of the requests due in the window.
    pub accounting: Accounting,
    /// Requests due per second of the window.
    pub offered_rate: f64,
    /// Requests due in the window that ended well, however late, per second of the window.
    pub served_rate: f64,
    /// Requests that ended well inside the window, whenever they were due, per second of the window: what the endpoint really completes.
    #[serde(default)]
    pub completed_rate: f64,
    /// Time-average of requests in flight in the window.
    pub in_flight_mean: f64,
    /// Most requests in flight at once.
    pub in_flight_max: u32,
    /// Token throughput.
    pub throughput: Throughput,
    /// Latency distributions, by stable name.
    pub latency: Latencies,
    /// Requests that met every objective, failures counted as misses.
    pub goodput: Goodput,
    /// Each objective and whether it was met.
    pub objectives: Vec<Objective>,
    /// Tokens asked for, reported by the server, counted here.
    pub tokens: TokenReconciliation,
    /// One point an interval.
    pub series: Series,
    /// Is this run to be trusted?
    pub validity: Validity,
}

/// A span of time in seconds from load start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// Beginning.
    pub start_s: f64,
    /// End.
    pub end_s: f64,
}

/// due = ok + failed + throttled + timed_out + shed + cancelled, asserted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Accounting {
    /// Requests due in the window.
    pub due: u64,
    /// Complete answers.
    pub ok: u64,
    /// Errors.
    pub failed: u64,
    /// 429.
    pub throttled: u64,
    /// Given up by the client, or not finished by the end of the drain.
    pub timed_out: u64,
    /// Due and not sent: the client's slots were full, or it was too far behind.
    pub shed: u64,
    /// Stopped by the user.
    pub cancelled: u64,
    /// Every outcome by its stable name.
    pub outcomes: BTreeMap<String, u64>,
    /// Observations that do not fail a request, by name: `missing_usage`, `missing_done`, `length_mismatch`, `not_normalised`, `missing_logprobs`.
    pub notes: BTreeMap<String, u64>,
    /// Requests of the warm-up, outside every figure.
    pub warmup: u64,
}

/// Tokens per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Throughput {
    /// Output tokens received inside the window, per second of the window.
    pub output_tok_s: f64,
    /// The same plus input tokens of requests whose first token came inside the window.
    pub total_tok_s: f64,
    /// All output tokens of the run (warm-up and drain included) per second of wall time.
    pub output_tok_s_wall: f64,
    /// All input and output tokens of the run per second of wall time.
    pub total_tok_s_wall: f64,
}

/// Latency distributions. `ttft` and `e2e` from the intended instant, `*_service` from the send instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latencies {
    /// Intended instant to first token on any channel.
    pub ttft: Distribution,
    /// Send instant to first token.
    pub ttft_service: Distribution,
    /// Intended instant to first visible content.
    pub ttfo: Distribution,
    /// Time per output token after the first, one value a request.
    pub tpot: Distribution,
    /// Gap divided by tokens, pooled over tokens.
    pub itl: Distribution,
    /// Raw gap between content chunks, pooled over chunks.
    pub icl: Distribution,
    /// Intended instant to last token.
    pub e2e: Distribution,
    /// Send instant to last token.
    pub e2e_service: Distribution,
    /// Sent minus intended: the client's own lateness.
    pub lateness: Distribution,
}

/// What a histogram says. Milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distribution {
    /// Values.
    pub n: u64,
    /// Smallest; 0 if n is 0.
    pub min_ms: f64,
    /// Mean; 0 if n is 0.
    pub mean_ms: f64,
    /// Largest; 0 if n is 0.
    pub max_ms: f64,
    /// p50, p90, p95, p99, p99.9 and those that objectives name.
    pub percentiles: Vec<PercentileValue>,
    /// Points of the percentile curve, for a nines axis.
    pub curve: Vec<CurvePoint>,
    /// Counts in log-spaced bins, for histograms and empirical distribution functions.
    pub bins: Vec<Bin>,
    /// Values above the range of the histogram, counted at its end.
    pub clipped: u64,
}

impl Distribution {
    /// The value at a percentile called `p95` and so on; `None` if absent or if the sample is too small.
    #[must_use]
    pub fn at(&self, name: &str) -> Option<f64> {
        self.percentiles.iter().find(|p| p.name == name).and_then(|p| p.value_ms)
    }
}

/// A percentile, or how many values it would have needed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PercentileValue {
    /// `p95`.
    pub name: String,
    /// Milliseconds; absent when `n < needed`.
    pub value_ms: Option<f64>,
    /// 10 / (1 - p) values.
    pub needed: u64,
}

/// A point of a percentile curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CurvePoint {
    /// Quantile, 0 to 1.
    pub q: f64,
    /// Milliseconds.
    pub ms: f64,
}

/// A bin of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bin {
    /// Upper edge in milliseconds (or tokens).
    pub upper: f64,
    /// Values in it.
    pub count: u64,
}

/// Requests that met every objective.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Goodput {
    /// Good requests due in the window.
    pub good: u64,
    /// Share of all requests due in the window.
    pub share: f64,
    /// Good requests per second of the window.
    pub rate: f64,
}

/// One objective and its verdict.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Objective {
    /// As a person says it: `TTFT p95 <= 800 ms`.
    pub text: String,
    /// What was measured, with unit; `n/a (need >= N)` if the sample is too small.
    pub measured: String,
    /// The verdict.
    pub verdict: ObjectiveVerdict,
    /// Share of requests (ITL: tokens) that may miss it, 0 to 1.
    #[serde(default)]
    pub allowed: f64,
    /// Requests (ITL: tokens) that missed it, those that did not end well included.
    #[serde(default)]
    pub missed: u64,
    /// Requests (ITL: tokens) that it speaks of; 0 if it cannot be judged, or in a document that did not count them.
    #[serde(default)]
    pub asked: u64,
}

/// Verdict on one objective.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObjectiveVerdict {
    /// Met.
    Met,
    /// Not met.
    NotMet,
    /// Too few values to say.
    #[default]
    Undecided,
}

/// Tokens asked for, reported and counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TokenReconciliation {
    /// Requests that ended well, which the sums below are over.
    pub requests: u64,
    /// Sum of input tokens asked for by the schedule.
    pub input_asked: u64,
    /// Sum of the server's `prompt_tokens`, over requests that have it.
    pub input_usage: u64,
    /// Sum of output tokens asked for.
    pub output_asked: u64,
    /// Sum of the server's `completion_tokens`, over requests that have it.
    pub output_usage: u64,
    /// Sum of tokens counted here, over the same requests as `output_usage`.
    pub output_counted: u64,
    /// Sum of reasoning tokens.
    pub reasoning: u64,
    /// Sum of cached prompt tokens reported.
    pub cached: u64,
    /// Requests with server usage.
    pub with_usage: u64,
    /// Where output tokens come from: requests by source (`usage`, `tokenizer`, `chunks`, `none`).
    pub sources: BTreeMap<String, u64>,
    /// Requests whose output is not as long as asked.
    pub length_mismatch: u64,
    /// Distribution of input tokens asked for, log-spaced bins.
    pub input_asked_bins: Vec<Bin>,
    /// Distribution of input tokens observed.
    pub input_observed_bins: Vec<Bin>,
    /// Distribution of output tokens asked for.
    pub output_asked_bins: Vec<Bin>,
    /// Distribution of output tokens observed.
    pub output_observed_bins: Vec<Bin>,
}

/// One point an interval over the whole run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// Length of an interval in seconds.
    pub step_s: f64,
    /// The points, from load start.
    pub points: Vec<SeriesPoint>,
}

/// What happened in one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeriesPoint {
    /// Requests due, per second.
    pub offered: f64,
    /// Requests sent, per second.
    pub sent: f64,
    /// Requests that ended well, per second.
    pub completed: f64,
    /// Requests that ended otherwise, per second.
    pub errors: f64,
    /// Requests in flight at the end of the interval.
    pub in_flight: u32,
    /// Output tokens received, per second.
    pub output_tok_s: f64,
    /// Input tokens of requests whose first token came, per second.
    pub input_tok_s: f64,
    /// Median TTFT of first tokens in the interval, ms.
    pub ttft_p50_ms: Option<f64>,
    /// 95th percentile of the same; absent below 20 values.
    pub ttft_p95_ms: Option<f64>,
}

/// Is this run to be trusted?
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Validity {
    /// The verdict in a word.
    #[serde(default)]
    pub verdict: Verdict,
    /// No warning is of severity `invalid`.
    pub valid: bool,
    /// Reasons to doubt, the gravest first.
    pub warnings: Vec<Warning>,
    /// Due to handed to the socket: median, ms; absent if the sample is too small.
    #[serde(default)]
    pub client_wait_p50_ms: Option<f64>,
    /// Due to handed to the socket: 99th percentile, ms; absent if the sample is too small.
    #[serde(default)]
    pub client_wait_p99_ms: Option<f64>,
    /// What the client knows of itself.
    pub client: ClientFacts,
}

/// Whether a run's figures are about the endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// No reason to doubt.
    #[default]
    Valid,
    /// Doubts, and nothing that forbids the use of the figures.
    Suspect,
    /// The run measured something else than the endpoint.
    Invalid,
}

impl Verdict {
    /// `VALID`, `SUSPECT` or `INVALID`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Valid => "VALID",
            Self::Suspect => "SUSPECT",
            Self::Invalid => "INVALID",
        }
    }
}

impl Validity {
    /// The verdict that `warnings` come to; they are put in order, the gravest first.
    #[must_use]
    pub fn of(warnings: Vec<Warning>, client: ClientFacts) -> Self {
        let mut validity = Self { warnings, client, ..Self::default() };
        validity.settle();
        validity
    }

    /// One more warning, which may change the verdict.
    pub fn add(&mut self, warning: Warning) {
        self.warnings.push(warning);
        self.settle();
    }

    /// `VALID`, `SUSPECT` or `INVALID`; `valid` decides, so that a run once marked is never shown as better.
    #[must_use]
    pub fn word(&self) -> &'static str {
        if self.valid { self.verdict.word() } else { Verdict::Invalid.word() }
    }

    fn settle(&mut self) {
        self.warnings.sort_by_key(|w| std::cmp::Reverse(w.severity));
        self.verdict = match self.warnings.first().map(|w| w.severity) {
            Some(Severity::Invalid) => Verdict::Invalid,
            Some(Severity::Doubt) => Verdict::Suspect,
            Some(Severity::Note) | None => Verdict::Valid,
        };
        self.valid = self.verdict != Verdict::Invalid;
    }
}
