//! `[plan]`: the demand to be served, the promise to be kept, and what capacity costs.

use super::endpoint::Autoscaler;
use super::load::Arrivals;
use super::price::Price;
use super::unit::Unit;
use crate::base::units::{Rate, Share, TimeSpan, TokenRate};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::path::PathBuf;

/// What `plimsoll plan` sizes. Every figure says where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The demand: an open arrival process over one period. Exactly one of `demand` and `demand_model` is given.
    #[serde(default)]
    pub demand: Option<Arrivals>,
    /// The demand as a random process: a file written by `plimsoll learn`, or a named shape.
    #[serde(default)]
    pub demand_model: Option<DemandSource>,
    /// Launches and the like, in every period; for a `demand_model`.
    #[serde(default)]
    pub events: Vec<DemandEvent>,
    /// Outputs get longer by this factor; for a `demand_model`.
    #[serde(default = "Plan::default_growth")]
    pub output_scale: f64,
    /// Length of the period that is promised for, for example a day.
    #[serde(default = "Plan::default_period")]
    pub period: TimeSpan,
    /// Demand grows by this factor.
    #[serde(default = "Plan::default_growth")]
    pub growth: f64,
    /// Day-to-day variation: standard deviation of the logarithm of a period's level (median 1).
    #[serde(default)]
    pub day_sigma: f64,
    /// What is not known of the level of demand: its relative standard error. Plans then hold over a lognormal level of that width.
    #[serde(default)]
    pub demand_error: Share,
    /// One chunk of provisioned throughput; needed unless `unit` says what capacity is bought in.
    #[serde(default)]
    pub chunk: Chunk,
    /// What capacity is bought in, when it is not a chunk: PTU, GSU, model units, a measured surface. The number of units is fixed.
    #[serde(default)]
    pub unit: Option<Unit>,
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
    /// How hard to search, and over what beside minimum and maximum.
    #[serde(default)]
    pub search: Search,
    /// Largest size considered.
    #[serde(default = "Plan::default_max_chunks")]
    pub max_chunks: u32,
    /// Client gives up after this time; counts as a miss.
    #[serde(default = "Plan::default_timeout")]
    pub timeout: TimeSpan,
    /// Clients come back after a 429 or a timeout; left out: they do not. Every request is simulated then, which takes longer.
    #[serde(default)]
    pub retry: Option<Retry>,
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

/// How clients come back after a 429 or a timeout. Latency counts from the instant at which the first try was due, waits included; each try has a
/// `timeout` of its own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Further tries after the first, at most.
    pub attempts: u32,
    /// Wait before the first of them.
    #[serde(default = "Retry::default_backoff")]
    pub backoff: TimeSpan,
    /// What each further wait is multiplied by, 1 or more.
    #[serde(default = "Retry::default_factor")]
    pub factor: f64,
}

impl Retry {
    fn default_backoff() -> TimeSpan {
        TimeSpan::secs(1)
    }
    fn default_factor() -> f64 {
        2.0
    }
}

/// A demand as a random process.
#[derive(Clone, Debug, PartialEq)]
pub enum DemandSource {
    /// A file written by `plimsoll learn` (`NAME.demand.json`); a relative path starts at the scenario's folder.
    File(PathBuf),
    /// A named shape, all of it assumed.
    Shape(DemandShape),
}

impl Serialize for DemandSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::File(path) => path.serialize(serializer),
            Self::Shape(shape) => shape.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for DemandSource {
    /// By a visitor and not `untagged`, which would lose the place of a fault.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = DemandSource;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the path of a .demand.json file, or a shape such as { shape = \"office\", mean = \"2/s\" }")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<DemandSource, E> {
                Ok(DemandSource::File(text.into()))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<DemandSource, A::Error> {
                DemandShape::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(DemandSource::Shape)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for DemandSource {
    fn schema_name() -> Cow<'static, str> {
        "DemandSource".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let shape = generator.subschema_for::<DemandShape>();
        json_schema!({
            "description": "A file written by `plimsoll learn`, or a named shape.",
            "anyOf": [{ "type": "string" }, shape]
        })
    }
}

/// A week of demand by name, for those who have no recording yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DemandShape {
    /// Which shape.
    pub shape: ShapeName,
    /// Requests per unit of time on average over a week.
    pub mean: Rate,
    /// The busiest ten minutes of the usual week over its mean, 1 or more; left out: as the shape has it. No effect on `flat`.
    #[serde(default)]
    pub peak_to_mean: Option<f64>,
    /// Day-to-day variation: standard deviation of the logarithm of a day's level.
    #[serde(default = "DemandShape::default_day_sigma")]
    pub day_sigma: f64,
    /// How bursty it is: 1 as a large pooled service, 0 not at all, up to 5.
    #[serde(default = "DemandShape::default_bursts")]
    pub bursts: f64,
    /// Relative standard error of the mean: how sure the figure is.
    #[serde(default)]
    pub error: Share,
}

impl DemandShape {
    fn default_day_sigma() -> f64 {
        0.15
    }
    fn default_bursts() -> f64 {
        1.0
    }
}

/// Shapes of a week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShapeName {
    /// Working hours of weekdays, two humps around noon; little at night and on weekends.
    Office,
    /// Evenings; weekends a little higher.
    Consumer,
    /// The same at any time.
    Flat,
    /// A nightly job from one to five.
    Batch,
}

impl ShapeName {
    /// As it is written in a scenario.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Office => "office",
            Self::Consumer => "consumer",
            Self::Flat => "flat",
            Self::Batch => "batch",
        }
    }
}

/// Something that multiplies the demand for a while, in every period.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DemandEvent {
    /// When its rise begins, from the beginning of the period.
    pub at: TimeSpan,
    /// Factor on the rate at the height of it.
    pub factor: f64,
    /// How long it rises, and at the end falls.
    #[serde(default)]
    pub rise: TimeSpan,
    /// From the beginning of the rise to the end of the fall.
    pub length: TimeSpan,
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

impl Default for Chunk {
    fn default() -> Self {
        Self { size: TokenRate(0.0), source: Provenance::Assumed }
    }
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

/// How hard to search, and over what beside minimum and maximum.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Search {
    /// Simulated periods for each candidate, at most; left out: by the size of a period.
    pub periods: Option<u32>,
    /// Fresh periods that certification simulates for each size, at least; left out: as many as the promise needs and the budget bears.
    pub certify: Option<u32>,
    /// Target utilisations to choose from, where the endpoint lets its user set it; the cheapest is taken. Left out: `autoscaler.target`.
    pub targets: Vec<Share>,
    /// Blocks of the day with a minimum of their own: this many equal ones, where the endpoint allows a schedule. 0: one minimum for all day.
    pub blocks: u32,
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
