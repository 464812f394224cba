//! `[gate]`: how `plimsoll gate` judges a change of the endpoint: margins and floors per metric, looks, error rates, rounds.

use crate::base::units::{Share, TimeSpan, TokenRate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a change of the endpoint is judged. Every key has a default; a scenario without this section can be gated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gate {
    /// What is compared, and how much worse is too much.
    pub metrics: GateMetrics,
    /// Numbers of pairs of runs after which the gate looks at what it has: growing, each 2 or more. It ends at the first look that decides.
    pub looks: Vec<u32>,
    /// How often FAIL may be wrong, over all metrics and looks.
    pub alpha_fail: Share,
    /// How often PASS may be wrong for a change that is exactly as bad as a margin.
    pub alpha_pass: Share,
    /// Requests of a run below which it does not count.
    pub min_requests: u64,
    /// Share of requests that must end well on both sides before latencies are compared.
    pub min_success: Share,
    /// How often a round that does not count is done again.
    pub redo: u32,
    /// Pause between two runs, after everything in flight has ended [default: 5s, 250ms if both sides are on this machine].
    pub pause: Option<TimeSpan>,
    /// Facts that must be equal on both sides besides those that always must: `tool`, `server`, `model reported`, `client cpu`, `client system`, or
    /// one given with --base-fact and --head-fact.
    pub fixed: Vec<String>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            metrics: GateMetrics::default(),
            looks: vec![4, 6, 8, 10],
            alpha_fail: Share(0.01),
            alpha_pass: Share(0.05),
            min_requests: 200,
            min_success: Share(0.99),
            redo: 2,
            pause: None,
            fixed: Vec::new(),
        }
    }
}

/// What a gate compares. A metric that is left out has its default margin, floor and role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GateMetrics {
    /// Median time to first token: 10 % and 5 ms unless said otherwise.
    pub ttft_p50: GateLatency,
    /// 95th percentile of the time to first token: 25 % and 5 ms.
    pub ttft_p95: GateLatency,
    /// 99th percentile of the time to first token: 25 % and 5 ms, informational.
    pub ttft_p99: GateLatency,
    /// Median time per output token: 5 % and 0.5 ms.
    pub tpot_p50: GateLatency,
    /// 95th percentile of the time to the last token: 5 % and 5 ms.
    pub e2e_p95: GateLatency,
    /// Output tokens per second: 5 %.
    pub output_tok_s: GateThroughput,
    /// Share of requests that meet every objective of `[slo]`: 2 percentage points, if there are objectives.
    pub goodput: GateShare,
    /// Share of requests that do not end well: half a percentage point.
    pub error_rate: GateShare,
    /// Largest memory of the server process: 5 %, if it was measured.
    pub peak_memory: GateShare,
    /// Cost of a million output tokens: 5 %, if a price is known.
    pub cost: GateShare,
}

/// Rules for a latency.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GateLatency {
    /// How much worse is too much, as a share of the base.
    pub margin: Option<Share>,
    /// It must be worse by this as well before it fails.
    pub floor: Option<TimeSpan>,
    /// What it is for.
    pub role: Option<GateRole>,
}

/// Rules for a throughput.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GateThroughput {
    /// How much less is too much, as a share of the base.
    pub margin: Option<Share>,
    /// It must be worse by this as well before it fails.
    pub floor: Option<TokenRate>,
    /// What it is for.
    pub role: Option<GateRole>,
}

/// Rules for a share, a memory or a cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GateShare {
    /// How much worse is too much: percentage points for goodput and error rate, a share of the base otherwise.
    pub margin: Option<Share>,
    /// What it is for.
    pub role: Option<GateRole>,
}

/// What a metric is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateRole {
    /// It decides; without data the gate is INVALID.
    Gated,
    /// It decides if any run has it.
    IfPresent,
    /// It is shown and never decides.
    Informational,
}
