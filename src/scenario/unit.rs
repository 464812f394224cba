//! What capacity is bought in: chunks of tokens a second, weighted tokens, separate pools for input and output, or a measured surface.

use super::plan::Provenance;
use crate::base::units::{Share, TimeSpan, TokenRate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The unit of a plan: `file` names its profile, or `profile` is written here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Unit {
    /// A profile, `scenarios/units/*.toml`.
    pub file: Option<PathBuf>,
    /// The profile itself.
    pub profile: Option<UnitProfile>,
}

/// A unit of capacity as its provider sells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitProfile {
    /// Its name: `PTU`, `GSU`, `model unit`, `chunk`.
    pub name: String,
    /// Who sells it, and what.
    pub offer: String,
    /// How much of a unit a request takes.
    pub load: LoadRule,
    /// What happens to a request when all units are taken.
    pub overflow: Overflow,
    /// Fewest that can be bought.
    #[serde(default = "UnitProfile::one")]
    pub minimum: u32,
    /// Step in which more can be bought.
    #[serde(default = "UnitProfile::one")]
    pub increment: u32,
    /// How these figures are known.
    pub source: Provenance,
    /// Document or run that they come from.
    pub reference: String,
    /// The day on which they were right, `2026-04-10`.
    pub as_of: String,
    /// What a reader should know about them: what is assumed.
    #[serde(default)]
    pub note: String,
}

impl UnitProfile {
    fn one() -> u32 {
        1
    }
}

/// How much of a unit a request takes: a rate that one unit carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LoadRule {
    /// Input plus output tokens at this rate, and requests that wait: a chunk of provisioned throughput.
    Tokens(TokenRate),
    /// Weighted tokens at this rate.
    Weighted(Weights),
    /// Input and output apart, each with its own limit.
    Pools {
        /// Input tokens of one unit.
        input: TokenRate,
        /// Output tokens of one unit.
        output: TokenRate,
    },
    /// Measured: the rate of input plus output tokens that one unit carries, by the share of output among them.
    Surface(Vec<SurfacePoint>),
}

/// Weighted tokens: `input * (input tokens - cached) + cached * cached tokens + output * output tokens`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Weighted tokens of one unit.
    pub rate: TokenRate,
    /// Weight of an input token.
    #[serde(default = "Weights::one")]
    pub input: f64,
    /// Weight of an input token that a prefix cache holds.
    #[serde(default = "Weights::one")]
    pub cached: f64,
    /// Weight of an output token.
    pub output: f64,
    /// Other weights for long prompts.
    #[serde(default)]
    pub long: Option<LongPrompt>,
}

impl Weights {
    fn one() -> f64 {
        1.0
    }
}

/// Weights of requests whose prompt is long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LongPrompt {
    /// Prompts of more tokens than this.
    pub above: u32,
    /// Weight of an input token.
    pub input: f64,
    /// Weight of an output token.
    pub output: f64,
}

/// A point of a measured surface.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SurfacePoint {
    /// Output tokens among all tokens.
    pub output_share: Share,
    /// Input plus output tokens that one unit carries within the objectives.
    pub rate: TokenRate,
}

/// What happens to a request when all units are taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Overflow {
    /// It waits for its turn.
    Queue,
    /// It is answered 429 at once.
    Throttle {
        /// Use is counted against the units over this time: so much may come at once after a pause.
        window: TimeSpan,
        /// Output tokens that a request is taken for until it ends (its `max_tokens`); left out: what it really writes.
        #[serde(default)]
        reserve_output: Option<u32>,
    },
}
