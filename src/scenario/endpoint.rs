//! `[endpoint]`: the simulated endpoint: its step law, its chunks and its autoscaler.

pub use super::autoscaler::{Autoscaler, Lag, ScaleMetric};
use super::workspace::Workspace;
use crate::base::units::{Share, TimeSpan, TokenRate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The simulated endpoint. One chunk is one replica with continuous batching.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EndpointSpec {
    /// Duration of one iteration of a replica.
    pub step: StepLaw,
    /// Token budget of one iteration: every decoding sequence takes 1, prompts share the rest in order of arrival.
    pub prefill_budget: u32,
    /// Sequences decoding at once on one replica, at most.
    pub max_batch: u32,
    /// Key-value cache of one replica in tokens; input plus output of a request must fit.
    pub kv_tokens: u64,
    /// What a request must find free in the key-value cache before it starts.
    pub kv_policy: KvPolicy,
    /// With `kv_policy = "preempt"`: share of the cache that stays free when a request starts beside others.
    pub kv_watermark: Share,
    /// Prompts found in a prefix cache that others filled.
    pub prefix_hit: PrefixHit,
    /// Tokens that a decoding sequence gets from one iteration, in one chunk (speculative decoding); its first and its last chunk may hold
    /// fewer.
    pub tokens_per_step: u32,
    /// Requests waiting on one replica, at most; more are answered 429.
    pub queue: u32,
    /// `Retry-After` of a 429, whole seconds on the wire.
    pub retry_after: TimeSpan,
    /// Time on the way to the endpoint and back, added once to the first token.
    pub network: TimeSpan,
    /// Relative standard deviation of the duration of an iteration (lognormal, mean 1), 0 to 1.
    pub noise: f64,
    /// Share of requests answered with status 500 at once.
    pub error_share: Share,
    /// Share of output tokens sent as reasoning before the visible text.
    pub reasoning_share: Share,
    /// Dimension of embeddings.
    pub embedding_dimension: u32,
    /// Embeddings have length 1.
    pub embedding_normalised: bool,
    /// What one chunk is advertised to serve, input plus output tokens.
    pub chunk: TokenRate,
    /// Chunks at least. With 0 the endpoint may go to sleep; the first request wakes it and waits for a chunk.
    pub min_chunks: u32,
    /// Chunks at most.
    pub max_chunks: u32,
    /// How requests are spread over replicas.
    pub routing: Routing,
    /// How chunks are added and removed.
    pub autoscaler: Autoscaler,
    /// The Databricks workspace that `serve` emulates around it.
    pub workspace: Workspace,
}

impl Default for EndpointSpec {
    fn default() -> Self {
        Self {
            step: StepLaw::default(),
            prefill_budget: 2048,
            max_batch: 64,
            kv_tokens: 131_072,
            kv_policy: KvPolicy::default(),
            kv_watermark: Share(0.01),
            prefix_hit: PrefixHit::default(),
            tokens_per_step: 1,
            queue: 256,
            retry_after: TimeSpan::secs(1),
            network: TimeSpan::millis(2),
            noise: 0.02,
            error_share: Share(0.0),
            reasoning_share: Share(0.0),
            embedding_dimension: 1024,
            embedding_normalised: true,
            chunk: TokenRate(1580.0),
            min_chunks: 1,
            max_chunks: 1,
            routing: Routing::default(),
            autoscaler: Autoscaler::default(),
            workspace: Workspace::default(),
        }
    }
}

/// Duration of one iteration: `(base^q + w^q)^(1/q)` with the curvature q and the work
/// `w = per_sequence * B + per_prefill_token * P + per_context_token * K + prefill_growth * P * x / 1000`: B sequences decoding, P prompt
/// tokens in the iteration, K tokens of context over the decoding sequences, x the mean context before each of those prompt tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StepLaw {
    /// a: an empty iteration.
    pub base: TimeSpan,
    /// b: each decoding sequence.
    pub per_sequence: TimeSpan,
    /// c: each prompt token.
    pub per_prefill_token: TimeSpan,
    /// d: each token of context of the decoding sequences.
    pub per_context_token: TimeSpan,
    /// e: what a prompt token takes longer for every 1,000 tokens of context before it. A part of a prompt from position s to s + m counts
    /// m tokens with s + m/2 tokens before each.
    pub prefill_growth: TimeSpan,
    /// q, 1 to 100: 1 adds `base` and work, a large q takes the larger of them (roofline).
    pub curvature: f64,
}

impl Default for StepLaw {
    fn default() -> Self {
        let ns = |n| TimeSpan(crate::base::time::Nanos(n));
        Self {
            base: TimeSpan::millis(12),
            per_sequence: ns(250_000),
            per_prefill_token: ns(60_000),
            per_context_token: ns(150),
            prefill_growth: ns(0),
            curvature: 1.0,
        }
    }
}

/// What a request must find free in the key-value cache before it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KvPolicy {
    /// Input plus output: a sequence that started is never stopped.
    #[default]
    Reserve,
    /// Its prompt and the watermark. When decoding fills the cache, the newest sequences lose what they have in it, wait before all others,
    /// and compute prompt and tokens so far once more. Tokens that were sent are not sent again.
    Preempt,
}

/// Prompts found in a prefix cache that others filled: drawn for each request on its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PrefixHit {
    /// Share of requests that find the beginning of their prompt.
    pub requests: Share,
    /// Which share of the prompt they find, in whole blocks of 16 tokens.
    pub prompt: Share,
}

/// How requests are spread over replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Routing {
    /// Each to any.
    Random,
    /// One after the other.
    RoundRobin,
    /// To the replica with the fewest requests.
    #[default]
    LeastLoaded,
    /// Two drawn at random, to the one with fewer requests.
    PowerOfTwo,
}
