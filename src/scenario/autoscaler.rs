//! `[endpoint.autoscaler]` and `[plan.autoscaler]`: what makes the endpoint add and remove chunks, and how long that takes.

use crate::base::units::{Share, TimeSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How chunks are added and removed between `min_chunks` and `max_chunks`. Every `poll` the policy looks at the load of the last `window`
/// and says how many chunks it wants; added ones serve after `lag`.
///
/// What is left out depends on the policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "Written")]
pub struct Autoscaler {
    /// The rule by which the number of chunks is chosen.
    pub policy: Policy,
    /// What is tracked.
    pub metric: ScaleMetric,
    /// Utilisation that is aimed at: one chunk is meant to carry `target * per chunk`.
    pub target: Share,
    /// The load is averaged over this time.
    pub window: TimeSpan,
    /// Time between decisions.
    pub poll: TimeSpan,
    /// From the decision to a chunk that serves.
    pub lag: Lag,
    /// Load must stay low this long before a chunk is given back.
    pub scale_down_delay: TimeSpan,
    /// Share of scale-ups that fail for lack of capacity; tried again at the next decision after their lag.
    pub failure: Share,
    /// Nothing is decided while a chunk is on its way.
    pub one_change_at_a_time: bool,
    /// Minimum by time of day, over any policy. Blocks may overlap: the highest counts. It is never above `max_chunks`.
    pub schedule: Vec<Block>,
    /// Time of day at which the load begins, for `schedule`.
    pub begins_at: TimeSpan,
}

impl Default for Autoscaler {
    fn default() -> Self {
        Written::default().into()
    }
}

/// The rule by which the number of chunks is chosen. In all of them load is what is tracked, per second, averaged over `window`, and
/// `per chunk` is the advertised chunk (tokens) or `max_batch` (requests in flight).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Policy {
    /// `ceil(load / (target * per chunk))`; a chunk is given back when that was lower at every poll for `scale_down_delay`. Left out:
    /// metric tokens, target 80%, window 60s, poll 15s, `scale_down_delay` 600s, one change at a time.
    #[default]
    TargetTracking,
    /// Knative's pod autoscaler: a long and a short window, and a panic mode that only adds. Left out: metric concurrency, target 70%,
    /// window 60s, poll 2s, `scale_down_delay` 0s, several changes at a time.
    Knative(Knative),
    /// Kubernetes' horizontal pod autoscaler. Left out: metric tokens, target 80%, window 60s, poll 15s, `scale_down_delay` (its
    /// stabilisation window) 300s, several changes at a time.
    Hpa(Hpa),
    /// KEDA: Kubernetes' autoscaler, and to and from zero by its own polling. Left out: as for `hpa`.
    Keda(Keda),
    /// A fixed number of model units: `min_chunks` are bought and always there, and with `burst` up to `max_chunks` for a while. Left out:
    /// as for target tracking, with several changes at a time.
    Units(Units),
}

/// Knative's pod autoscaler, with the defaults of its `config-autoscaler`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Knative {
    /// Length of the panic window as a share of `window`.
    pub panic_window: Share,
    /// It panics when the load of the panic window wants this many times the chunks that serve.
    pub panic_threshold: f64,
    /// At one decision to this many times the chunks that serve, at most.
    pub max_scale_up_rate: f64,
    /// At one decision to the chunks that serve divided by this, at least.
    pub max_scale_down_rate: f64,
}

impl Default for Knative {
    fn default() -> Self {
        Self { panic_window: Share(0.1), panic_threshold: 2.0, max_scale_up_rate: 1000.0, max_scale_down_rate: 2.0 }
    }
}

/// Kubernetes' horizontal pod autoscaler, with the defaults of its controller.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hpa {
    /// No change while load over target is this close to one.
    pub tolerance: Share,
    /// Within `scale_up_period` it adds this share of the chunks there were, or `scale_up_chunks` if that is more.
    pub scale_up_share: Share,
    /// Within `scale_up_period` it adds this many chunks, or `scale_up_share` if that is more.
    pub scale_up_chunks: u32,
    /// The time that the two limits speak of.
    pub scale_up_period: TimeSpan,
}

impl Default for Hpa {
    fn default() -> Self {
        Self { tolerance: Share(0.1), scale_up_share: Share(1.0), scale_up_chunks: 4, scale_up_period: TimeSpan::secs(15) }
    }
}

/// KEDA: what it adds to Kubernetes' autoscaler.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Keda {
    /// Between one chunk and `max_chunks`.
    pub hpa: Hpa,
    /// At zero chunks the load is looked at this often.
    pub polling: TimeSpan,
    /// The last chunk goes when the load was not above `activation` for this long.
    pub cooldown: TimeSpan,
    /// Load above which the first chunk comes and the last one stays, in chunks (`load / (target * per chunk)`).
    pub activation: f64,
}

impl Default for Keda {
    fn default() -> Self {
        Self { hpa: Hpa::default(), polling: TimeSpan::secs(30), cooldown: TimeSpan::secs(300), activation: 0.0 }
    }
}

/// Model units: a fixed number, and more for a while if the provider has capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Units {
    /// Whether and for how long there may be more than what was bought; never, if left out.
    pub burst: Option<Burst>,
}

/// Assumption about bursts, as no provider documents them: target tracking may go above the units bought, as far as `max_chunks`, after
/// `lag`, and with `failure` as the share of refusals; after `longest` all of the surplus goes, and none comes back for `rest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Burst {
    /// From the decision for more than the units bought to the end of the surplus, at most.
    pub longest: TimeSpan,
    /// After a burst of that length, the time until the next may begin.
    pub rest: TimeSpan,
}

impl Default for Burst {
    fn default() -> Self {
        Self { longest: TimeSpan::secs(300), rest: TimeSpan::secs(300) }
    }
}

/// A part of the day with a minimum of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// Time of day from which on it is asked for, e.g. "8h". Chunks serve `lag` later.
    pub from: TimeSpan,
    /// Time of day at which it ends; at or before `from`: on the next day.
    pub to: TimeSpan,
    /// Chunks at least.
    pub min_chunks: u32,
}

/// What the autoscaler tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScaleMetric {
    /// Input plus output tokens per second of arriving requests, against the advertised chunk.
    Tokens,
    /// Requests in flight, against `max_batch`.
    Concurrency,
}

/// Scale-up delay as a distribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Lag {
    /// Always the same.
    Fixed(TimeSpan),
    /// Lognormal by its median and its 95th percentile.
    Lognormal {
        /// Half of the scale-ups are faster.
        median: TimeSpan,
        /// One in twenty is slower.
        p95: TimeSpan,
    },
    /// Measured delays, drawn at random.
    Empirical(Vec<TimeSpan>),
}

/// An [`Autoscaler`] as a scenario writes it: what is left out is the policy's to fill in.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename = "Autoscaler")]
struct Written {
    /// The rule by which the number of chunks is chosen; target tracking if left out.
    policy: Policy,
    /// What is tracked. Left out: what the policy tracks by default.
    metric: Option<ScaleMetric>,
    /// Utilisation that is aimed at. Left out: 80%, with `knative` 70%.
    target: Option<Share>,
    /// The load is averaged over this time. Left out: 60s.
    window: Option<TimeSpan>,
    /// Time between decisions. Left out: 15s, with `knative` 2s.
    poll: Option<TimeSpan>,
    /// From the decision to a chunk that serves. Left out: 300s.
    lag: Option<Lag>,
    /// Load must stay low this long before a chunk is given back. Left out: 600s, with `hpa` and `keda` 300s, with `knative` 0s.
    scale_down_delay: Option<TimeSpan>,
    /// Share of scale-ups that fail for lack of capacity; tried again at the next decision after their lag. Left out: 0%.
    failure: Option<Share>,
    /// Nothing is decided while a chunk is on its way. Left out: true with target tracking, false with the others.
    one_change_at_a_time: Option<bool>,
    /// Minimum by time of day, over any policy. Blocks may overlap: the highest counts. It is never above `max_chunks`.
    schedule: Vec<Block>,
    /// Time of day at which the load begins, for `schedule`. Left out: midnight.
    begins_at: Option<TimeSpan>,
}

impl From<Written> for Autoscaler {
    fn from(written: Written) -> Self {
        let (metric, target, poll, down) = match written.policy {
            Policy::TargetTracking | Policy::Units(_) => (ScaleMetric::Tokens, 0.8, 15, 600),
            Policy::Knative(_) => (ScaleMetric::Concurrency, 0.7, 2, 0),
            Policy::Hpa(_) | Policy::Keda(_) => (ScaleMetric::Tokens, 0.8, 15, 300),
        };
        let waits = written.policy == Policy::TargetTracking;
        Self {
            metric: written.metric.unwrap_or(metric),
            target: written.target.unwrap_or(Share(target)),
            window: written.window.unwrap_or(TimeSpan::secs(60)),
            poll: written.poll.unwrap_or(TimeSpan::secs(poll)),
            lag: written.lag.unwrap_or(Lag::Fixed(TimeSpan::secs(300))),
            scale_down_delay: written.scale_down_delay.unwrap_or(TimeSpan::secs(down)),
            failure: written.failure.unwrap_or(Share(0.0)),
            one_change_at_a_time: written.one_change_at_a_time.unwrap_or(waits),
            schedule: written.schedule,
            begins_at: written.begins_at.unwrap_or(TimeSpan::secs(0)),
            policy: written.policy,
        }
    }
}

impl Autoscaler {
    /// This policy with everything else as its original has it by default.
    #[must_use]
    pub fn with_policy(policy: Policy) -> Self {
        Written { policy, ..Written::default() }.into()
    }
}

impl Policy {
    /// What it is called in a report.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::TargetTracking => "target tracking",
            Self::Knative(_) => "Knative",
            Self::Hpa(_) => "Kubernetes HPA",
            Self::Keda(_) => "KEDA",
            Self::Units(Units { burst: None }) => "fixed model units",
            Self::Units(Units { burst: Some(_) }) => "model units with bursts",
        }
    }
}
