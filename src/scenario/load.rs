//! `[load]` and `[sweep]`: when requests are sent, the phases of a run, and the steps of a sweep.

use crate::base::units::{Quantity, Rate, Share, TimeSpan};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::path::PathBuf;

/// When requests are sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// The arrival process.
    pub arrivals: Arrivals,
    /// Sent and recorded, but outside every figure.
    #[serde(default = "Load::default_warmup")]
    pub warmup: TimeSpan,
    /// The window that is measured.
    #[serde(default = "Load::default_measure")]
    pub measure: TimeSpan,
    /// After the last arrival: how long answers may still come in.
    #[serde(default = "Load::default_drain")]
    pub drain: TimeSpan,
    /// Requests in flight, at most; what is due beyond it is recorded as `shed`.
    #[serde(default = "Load::default_max_in_flight")]
    pub max_in_flight: u32,
}

impl Load {
    fn default_warmup() -> TimeSpan {
        TimeSpan::secs(5)
    }
    fn default_measure() -> TimeSpan {
        TimeSpan::secs(60)
    }
    fn default_drain() -> TimeSpan {
        TimeSpan::secs(30)
    }
    fn default_max_in_flight() -> u32 {
        1024
    }
}

/// The arrival process. Open loops keep an absolute schedule: nothing the endpoint does can move or drop an arrival.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Arrivals {
    /// Evenly spaced on the rate function's own time scale.
    Constant {
        /// Requests per unit of time.
        rate: RateFn,
    },
    /// Independent arrivals: exponential gaps (CV 1).
    Poisson {
        /// Requests per unit of time.
        rate: RateFn,
    },
    /// Gamma-distributed gaps: bursty above CV 1, smooth below. vLLM's `burstiness` is 1/CV^2.
    Gamma {
        /// Requests per unit of time.
        rate: RateFn,
        /// Coefficient of variation of the gaps, 0.01 to 20.
        cv: f64,
    },
    /// Weibull-distributed gaps.
    Weibull {
        /// Requests per unit of time.
        rate: RateFn,
        /// Coefficient of variation of the gaps, 0.05 to 20.
        cv: f64,
    },
    /// The instants of a recorded trace.
    Trace {
        /// The recording.
        trace: TraceSource,
        /// Time runs this many times as fast: 2.0 halves every gap.
        #[serde(default = "one")]
        time_scale: f64,
        /// Each request is replayed this many times on average (0.5 keeps half of them), at its own instant.
        #[serde(default = "one")]
        rate_scale: f64,
    },
    /// A fixed number of users, each waiting for its answer before thinking and asking again.
    Closed {
        /// Users at once.
        users: u32,
        /// Mean think time between an answer and the next request; exponential.
        #[serde(default)]
        think: TimeSpan,
        /// Users start evenly over this time.
        #[serde(default)]
        ramp_up: TimeSpan,
    },
}

fn one() -> f64 {
    1.0
}

/// Requests per unit of time as a function of the time since load start. A plain text is a constant: `rate = "12/s"`.
#[derive(Clone, Debug, PartialEq)]
pub enum RateFn {
    /// The same all the time.
    Constant(Rate),
    /// Something that changes.
    Varying(VaryingRate),
}

/// A rate that changes with time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum VaryingRate {
    /// Linear from one rate to another, then constant.
    Ramp {
        /// Rate at the start.
        from: Rate,
        /// Rate at the end.
        to: Rate,
        /// Length of the ramp.
        over: TimeSpan,
    },
    /// One rate after another, each held for its time; the last one stays.
    Steps(Vec<RateStep>),
    /// Straight lines between points; constant before the first and after the last, or repeated every `repeat`.
    Piecewise {
        /// At least two points, in order of time.
        points: Vec<RatePoint>,
        /// Period after which the points start again (the last point joins the first one).
        #[serde(default)]
        repeat: Option<TimeSpan>,
    },
    /// `mean * (1 + amplitude * sin(2 pi (t + shift) / period))`.
    Sine {
        /// Mean rate.
        mean: Rate,
        /// Relative swing, 0% to 100%.
        amplitude: Share,
        /// Length of a full swing.
        period: TimeSpan,
        /// Moves the curve to the left.
        #[serde(default)]
        shift: TimeSpan,
    },
}

/// A rate held for a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateStep {
    /// Requests per unit of time.
    pub rate: Rate,
    /// How long.
    pub hold: TimeSpan,
}

/// A rate at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RatePoint {
    /// Time since load start.
    pub at: TimeSpan,
    /// Requests per unit of time.
    pub rate: Rate,
}

impl Serialize for RateFn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Constant(rate) => rate.serialize(serializer),
            Self::Varying(varying) => varying.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RateFn {
    /// By a visitor and not `untagged`, which would lose the place of a fault.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = RateFn;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a rate such as \"12/s\", or one of ramp, steps, piecewise, sine")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RateFn, E> {
                text.parse().map(RateFn::Constant).map_err(E::custom)
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<RateFn, A::Error> {
                VaryingRate::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(RateFn::Varying)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for RateFn {
    fn schema_name() -> Cow<'static, str> {
        "RateFn".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let varying = generator.subschema_for::<VaryingRate>();
        json_schema!({
            "description": "Requests per unit of time: a constant such as \"12/s\", or a function of time.",
            "anyOf": [{ "type": "string", "format": Rate::FORMAT, "pattern": Rate::PATTERN }, varying]
        })
    }
}

/// A recording of requests: instants, input and output tokens. Plain or gzip; rows may be unsorted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TraceSource {
    /// The file; a relative path starts at the scenario's folder.
    pub path: PathBuf,
    /// How to read it.
    #[serde(default)]
    pub format: TraceFormat,
    /// Column names, for `csv` and `jsonl`.
    #[serde(default)]
    pub columns: Option<Columns>,
}

/// How to read a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TraceFormat {
    /// By its first lines.
    #[default]
    Auto,
    /// `TIMESTAMP,ContextTokens,GeneratedTokens` (Azure LLM inference trace).
    Azure,
    /// JSON lines with `timestamp` in ms, `input_length`, `output_length`, `hash_ids` (Mooncake).
    Mooncake,
    /// `Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type` (BurstGPT).
    Burstgpt,
    /// The compact empirical table written by `plimsoll learn`: `at_ms,input_tokens,output_tokens` or without the first column.
    Table,
    /// Any CSV with a header, by `columns`.
    Csv,
    /// Any JSON lines, by `columns`.
    Jsonl,
}

/// Names of the columns of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    /// Instant of the request; left out when only lengths are wanted.
    #[serde(default)]
    pub timestamp: Option<String>,
    /// Unit of a numeric timestamp.
    #[serde(default)]
    pub timestamp_unit: TimestampUnit,
    /// Input tokens.
    pub input: String,
    /// Output tokens.
    pub output: String,
}

/// Unit of a numeric timestamp; texts such as `2023-11-16 18:15:46.6805900` are recognised by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimestampUnit {
    /// Seconds.
    #[default]
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

/// Load steps of `plimsoll sweep`: the arrival process of `[load]` at one constant rate (or user count) after another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sweep {
    /// The rates, in order. For closed loops use `users`.
    pub rates: Vec<Rate>,
    /// The user counts, in order, for closed loops.
    pub users: Vec<u32>,
    /// Warm-up of each step.
    pub warmup: TimeSpan,
    /// Measured window of each step.
    pub measure: TimeSpan,
    /// Longest wait for answers after each step.
    pub drain: TimeSpan,
    /// Stop after the first step in which this share of requests failed, was throttled or timed out.
    pub stop_at_errors: Share,
}

impl Default for Sweep {
    fn default() -> Self {
        Self {
            rates: Vec::new(),
            users: Vec::new(),
            warmup: TimeSpan::secs(5),
            measure: TimeSpan::secs(30),
            drain: TimeSpan::secs(30),
            stop_at_errors: Share(0.2),
        }
    }
}
