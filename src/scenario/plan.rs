//! `[plan]`: the demand to be served, the promise to be kept, and what capacity costs.

use super::endpoint::Autoscaler;
use super::load::Arrivals;
use crate::base::units::{HourlyPrice, Share, TimeSpan, TokenRate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What `plimsoll plan` sizes. Every figure says where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The demand: an open arrival process over one period.
    pub demand: Arrivals,
    /// Length of the period that is promised for, for example a day.
    #[serde(default = "Plan::default_period")]
    pub period: TimeSpan,
    /// Demand grows by this factor.
    #[serde(default = "Plan::default_growth")]
    pub growth: f64,
    /// Day-to-day variation: standard deviation of the logarithm of a period's level (median 1).
    #[serde(default)]
    pub day_sigma: f64,
    /// One chunk of provisioned throughput.
    pub chunk: Chunk,
    /// How the endpoint scales between min and max.
    #[serde(default)]
    pub autoscaler: Autoscaler,
    /// Where the lag and the rules of the autoscaler come from.
    #[serde(default = "Plan::assumed")]
    pub autoscaler_source: Provenance,
    /// What capacity costs.
    pub price: Price,
    /// What is promised.
    #[serde(default)]
    pub promise: Promise,
    /// Largest size considered.
    #[serde(default = "Plan::default_max_chunks")]
    pub max_chunks: u32,
    /// Client gives up after this time; counts as a miss.
    #[serde(default = "Plan::default_timeout")]
    pub timeout: TimeSpan,
    /// What the recommendation is applied to.
    #[serde(default)]
    pub entity: Entity,
}

impl Plan {
    fn default_period() -> TimeSpan {
        TimeSpan::secs(86_400)
    }
    fn default_growth() -> f64 {
        1.0
    }
    fn assumed() -> Provenance {
        Provenance::Assumed
    }
    fn default_max_chunks() -> u32 {
        32
    }
    fn default_timeout() -> TimeSpan {
        TimeSpan::secs(120)
    }
}

/// Where a figure comes from. Shown beside it in every report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// Seen by this tool on this endpoint.
    Measured,
    /// Said by the provider, in its API or its documentation.
    Documented,
    /// Taken for true by whoever wrote the scenario.
    Assumed,
}

/// One chunk of provisioned throughput.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chunk {
    /// Tokens per second of one chunk, as the API tells it (`throughput_chunk_size`).
    pub size: TokenRate,
    /// Where the size comes from.
    pub source: Provenance,
}

/// Price of capacity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// The first chunk.
    pub first: HourlyPrice,
    /// Every further chunk.
    pub next: HourlyPrice,
    /// Where the price comes from.
    pub source: Provenance,
}

/// With `confidence`, at least the share `periods` of periods has at least the share `requests` of its requests good (by `[slo]`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Promise {
    /// Share of the requests of a period.
    pub requests: Share,
    /// Share of periods.
    pub periods: Share,
    /// Confidence of the statement, by Clopper and Pearson over simulated periods.
    pub confidence: Share,
}

impl Default for Promise {
    fn default() -> Self {
        Self { requests: Share(0.99), periods: Share(0.90), confidence: Share(0.90) }
    }
}

/// What the recommendation is applied to; names in the request body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Entity {
    /// Serving endpoint name.
    pub endpoint: String,
    /// Model in Unity Catalog: `catalog.schema.model`.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Default for Entity {
    fn default() -> Self {
        Self { endpoint: "plimsoll-endpoint".to_owned(), name: "catalog.schema.model".to_owned(), version: "1".to_owned() }
    }
}
