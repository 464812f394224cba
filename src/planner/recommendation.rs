//! `Recommendation`: the answer of `plimsoll plan`, every figure with its provenance.

use super::limits::{Certificate, Limits};
use crate::base::diag::Warning;
use crate::scenario::plan::Provenance;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Minimum and maximum chunks, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recommendation {
    /// Version of this document.
    pub schema_version: u32,
    /// Version of the tool.
    pub tool_version: String,
    /// Scenario name.
    pub scenario: String,
    /// Its question.
    pub question: String,
    /// Seed of the simulation.
    pub seed: u64,
    /// The answer in one sentence: `buy min 2, max 5 chunks of 1,580 tokens/s, because …`.
    pub sentence: String,
    /// The chosen size, with what it attains and costs on seeds that the search never saw. `None`: no size up to `max_chunks` keeps the promise.
    pub chosen: Option<CandidateResult>,
    /// Tokens per second of one chunk.
    pub chunk_tok_s: f64,
    /// What one chunk really serves within the objectives for this mix of lengths, total tokens per second, by simulation.
    pub effective_chunk_tok_s: f64,
    /// The promise.
    pub promise: PromiseText,
    /// Currency of every amount.
    pub currency: String,
    /// Demand in figures.
    pub demand: DemandFacts,
    /// The over-provisioned part, by cause.
    pub headroom: Vec<HeadroomPart>,
    /// What would do if capacity followed demand at once, and what the delay costs on top of it.
    pub clairvoyant: Clairvoyant,
    /// The binding constraint in one sentence.
    pub binding: String,
    /// The price of capacity, with its date.
    pub prices: PriceFacts,
    /// Against paying by the token. `None`: its price is not known.
    pub break_even: Option<BreakEven>,
    /// The unit that capacity is bought in, when it is not a chunk of tokens per second.
    pub unit: Option<UnitFacts>,
    /// The next cheaper candidate and why it fails.
    pub next_cheaper: Option<Rejected>,
    /// Rules of thumb beside the answer.
    pub naive: Vec<Rejected>,
    /// Every candidate looked at: cost against attainment.
    pub frontier: Vec<CandidateResult>,
    /// One period, the worst of the certified ones, replayed.
    pub timeline: Timeline,
    /// The next worst ones, four at most.
    pub next_worst: Vec<Timeline>,
    /// What would change with other inputs. `None`: not looked at (`--quick`).
    pub sensitivity: Option<Sensitivity>,
    /// Every input with its provenance.
    pub assumptions: Vec<Assumption>,
    /// Body of `POST /api/2.0/serving-endpoints`.
    pub create_body: serde_json::Value,
    /// Body of `PUT /api/2.0/serving-endpoints/{name}/config`.
    pub resize_body: serde_json::Value,
    /// What the promise was shown by. `None`: it was not.
    pub certificate: Option<Certificate>,
    /// Which uncertainty decides the size, and what less of it would save.
    pub limits: Limits,
    /// Reasons to doubt.
    pub warnings: Vec<Warning>,
    /// Simulated periods, requests and seconds of computing.
    pub effort: Effort,
}

/// One size and what it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CandidateResult {
    /// Chunks at least.
    pub min_chunks: u32,
    /// Chunks at most.
    pub max_chunks: u32,
    /// Mean cost per hour.
    pub cost_per_hour: f64,
    /// Mean number of chunks paid for.
    pub mean_chunks: f64,
    /// Share of all requests that were good.
    pub good_share: f64,
    /// Smallest share of good requests in a period.
    pub worst_period: f64,
    /// Periods that kept the requests' promise.
    pub periods_kept: u32,
    /// Periods simulated.
    pub periods: u32,
    /// Clopper-Pearson lower bound on the share of periods kept, at the promise's confidence; over the periods of all outer draws.
    pub kept_lower_bound: f64,
    /// The promise is kept: the lower bound reaches the share promised; with outer draws, few enough of them are bad (see the certificate).
    pub keeps_promise: bool,
    /// It passed a certification, on periods that the search never saw. Without it the figures are those of the search, which flatter.
    pub certified: bool,
    /// Share of requests that missed TTFT, TPOT, E2E; were throttled; timed out; failed.
    pub misses: Misses,
}

/// Why requests were not good, as shares of all requests (one request may miss several objectives).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Misses {
    /// TTFT above its bound.
    pub ttft: f64,
    /// TPOT above its bound.
    pub tpot: f64,
    /// E2E above its bound.
    pub e2e: f64,
    /// 429.
    pub throttled: f64,
    /// The client gave up.
    pub timed_out: f64,
    /// Answered with an error.
    pub failed: f64,
}

/// The promise in figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PromiseText {
    /// Share of the requests of a period that must be good.
    pub requests: f64,
    /// Share of periods that must have it.
    pub periods: f64,
    /// Confidence.
    pub confidence: f64,
}

/// Demand in figures, over the simulated periods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DemandFacts {
    /// Requests per second, mean.
    pub mean_requests_s: f64,
    /// Input plus output tokens per second, mean.
    pub mean_tok_s: f64,
    /// Of these, input tokens.
    pub mean_input_tok_s: f64,
    /// Largest minute.
    pub peak_minute_tok_s: f64,
    /// Growth within one effective lag: the 99th percentile of max demand in (t, t+D] over demand at t.
    pub growth_in_lag_p99: f64,
    /// The effective lag D: half the window, the poll, and the mean scale-up delay, seconds.
    pub effective_lag_s: f64,
}

/// A part of the capacity bought beyond the mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HeadroomPart {
    /// `base`, `burst`, `failure`, `uncertainty`, `lag`.
    pub cause: String,
    /// Mean chunks paid for this cause.
    pub chunks: f64,
    /// Cost per hour of this cause.
    pub cost_per_hour: f64,
    /// One sentence: how it was found.
    pub reason: String,
}

/// A reference cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Baseline {
    /// Mean chunks.
    pub mean_chunks: f64,
    /// Cost per hour.
    pub cost_per_hour: f64,
}

/// What capacity that follows demand at once would cost: no plan can cost less, whatever it knows beforehand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Clairvoyant {
    /// In any fraction of a chunk: mean of `max(1, demand / effective chunk)`.
    pub fractional: Baseline,
    /// In whole chunks: mean of `max(1, ceil(demand / effective chunk))`, minute by minute.
    pub whole: Baseline,
    /// What the chosen size costs beyond the fractional bound, a share of that bound: the price of the delay.
    pub price_of_delay: f64,
}

/// The price of capacity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PriceFacts {
    /// First chunk, per hour.
    pub first_per_hour: f64,
    /// Every further chunk, per hour.
    pub next_per_hour: f64,
    /// How it is known.
    pub source: Provenance,
    /// The day on which it was right.
    pub as_of: Option<String>,
    /// Where it holds.
    pub region: Option<String>,
    /// Entry of the price file.
    pub sku: Option<String>,
    /// A million input tokens, paid by the token.
    pub input_per_million: Option<f64>,
    /// A million output tokens, paid by the token.
    pub output_per_million: Option<f64>,
}

/// Provisioned throughput against paying by the token, for this demand and this mix of lengths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BreakEven {
    /// This demand by the token, per hour.
    pub by_token_per_hour: f64,
    /// This demand on the chosen size, per hour.
    pub provisioned_per_hour: f64,
    /// A million tokens of this mix by the token.
    pub mixed_per_million: f64,
    /// A million tokens on the chosen size, at this demand.
    pub provisioned_per_million: f64,
    /// A million tokens on a further chunk that is used to the last token.
    pub full_chunk_per_million: f64,
    /// Mean demand, input plus output tokens per second.
    pub demand_tok_s: f64,
    /// Lowest demand from which capacity without any head-room is not dearer than tokens. `None`: none is.
    pub break_even_tok_s: Option<f64>,
    /// Demand that the chosen size would have to carry to be as cheap as tokens. `None`: tokens cost nothing.
    pub same_size_tok_s: Option<f64>,
    /// Whether the chosen size is cheaper.
    pub is_provisioned_cheaper: bool,
    /// All of it in a sentence.
    pub verdict: String,
}

/// The unit that capacity is bought in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnitFacts {
    /// Its name: `PTU`, `GSU`, `model unit`.
    pub name: String,
    /// Who sells it, and what.
    pub offer: String,
    /// How much of it a request takes, in words.
    pub load: String,
    /// What happens above it, in words.
    pub overflow: String,
    /// Fewest that can be bought.
    pub minimum: u32,
    /// Step in which more can be bought.
    pub increment: u32,
    /// How it is known.
    pub source: Provenance,
    /// Where it is written.
    pub reference: String,
    /// The day on which that was so.
    pub as_of: String,
}

/// What would change with other inputs: comparisons on common random numbers at modest depth, not certified.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sensitivity {
    /// Periods that each size was looked at.
    pub periods: u32,
    /// The plan at the same depth and without uncertainty: what the others are compared with.
    pub base: Option<Sized>,
    /// One input changed at a time, those that move the cost most first.
    pub inputs: Vec<Swing>,
    /// The plan if every scale-up took the median of its delay, and if every one took its 95th percentile.
    pub lags: Vec<WhatIf>,
    /// What one minute less of mean scale-up delay would save. `None`: the delay is shorter than that.
    pub minute_less: Option<WhatIf>,
    /// The chosen size with one chunk more, at the minimum and at the maximum, on the periods that certified it.
    pub chunk_more: Vec<Rejected>,
}

/// A size and what it pays, at the depth of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sized {
    /// Chunks at least.
    pub min_chunks: u32,
    /// Chunks at most.
    pub max_chunks: u32,
    /// Mean number of chunks paid for.
    pub mean_chunks: f64,
    /// Mean cost per hour.
    pub cost_per_hour: f64,
}

/// The plan with one input changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WhatIf {
    /// What was changed, and to what.
    pub change: String,
    /// The cheapest size found near the plan. `None`: no size up to `max_chunks` would do.
    pub size: Option<Sized>,
    /// Its cost per hour less that of the base; zero without either.
    pub cost_change: f64,
}

/// An input changed both ways.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Swing {
    /// The input.
    pub input: String,
    /// With less of it.
    pub less: WhatIf,
    /// With more of it.
    pub more: WhatIf,
}

/// A candidate that was not chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rejected {
    /// What it is: `next cheaper`, `mean x 1.2`, `peak minute`.
    pub rule: String,
    /// What it does.
    pub result: CandidateResult,
    /// Why it was not chosen, in one sentence.
    pub reason: String,
}

/// Demand against capacity over one period.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timeline {
    /// Length of an interval in seconds.
    pub step_s: f64,
    /// Which simulated period, from 0.
    pub period: u32,
    /// The points.
    pub points: Vec<TimelinePoint>,
}

/// One interval of the timeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimelinePoint {
    /// Demand, input plus output tokens per second of requests due.
    pub demand_tok_s: f64,
    /// Chunks that serve.
    pub ready: u32,
    /// Chunks asked for and not there yet: the lag.
    pub pending: u32,
    /// Requests due.
    pub due: u32,
    /// Of these, requests that were not good.
    pub missed: u32,
}

/// An input and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Assumption {
    /// What.
    pub what: String,
    /// Its value with unit.
    pub value: String,
    /// Where it comes from.
    pub source: Provenance,
}

/// What the answer cost to find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Effort {
    /// Candidates evaluated.
    pub candidates: u32,
    /// Periods simulated.
    pub periods: u64,
    /// Requests of these periods.
    pub requests: u64,
    /// Of these, simulated one by one; the others count by a chart of steady load.
    pub simulated: u64,
}

/// The published schema of `plan.json`.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(Recommendation).to_value()
}
