//! `Scenario`: the types of a scenario file exactly as written. Unknown keys are refused; every default is visible here.

use super::{endpoint::EndpointSpec, gate::Gate, load::Load, load::Sweep, plan::Plan, slo::Slo, target::Target, workload::Workload};
use crate::base::units::TimeSpan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One scenario: a question about an endpoint, and the load, lengths, objectives and plan that answer it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Short name; names the folder under `reports/`. Letters, digits, `-` and `_`.
    pub name: String,
    /// The question that this scenario answers, in one sentence.
    #[serde(default)]
    pub question: String,
    /// The endpoint under load. Left out: the simulated endpoint of `[endpoint]`, started on a free loopback port.
    #[serde(default)]
    pub target: Target,
    /// When requests are sent, and the phases of a run.
    pub load: Load,
    /// What requests look like: token lengths, prompts, sessions.
    #[serde(default)]
    pub workload: Workload,
    /// What counts as good.
    #[serde(default)]
    pub slo: Slo,
    /// Load steps of `plimsoll sweep`.
    #[serde(default)]
    pub sweep: Sweep,
    /// The simulated endpoint of `serve`, `demo`, and of a run without `target.url`.
    #[serde(default)]
    pub endpoint: EndpointSpec,
    /// What `plimsoll plan` sizes.
    #[serde(default)]
    pub plan: Option<Plan>,
    /// How `plimsoll gate` judges a change of the endpoint.
    #[serde(default)]
    pub gate: Gate,
    /// Bounds that a run may not exceed; more is refused before the first request (exit code 15).
    #[serde(default)]
    pub limits: Limits,
}

/// Bounds on what one run may spend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests, at most.
    pub requests: u64,
    /// Input plus output tokens asked for, at most (expected value).
    pub tokens: u64,
    /// Wall time of the whole run, at most.
    pub duration: TimeSpan,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests: 10_000_000, tokens: 50_000_000_000, duration: TimeSpan::secs(24 * 3600) }
    }
}
