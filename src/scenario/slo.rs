//! `[slo]`: what counts as good, per request and over a run.

use crate::base::units::{Share, TimeSpan};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Objectives. Latency counts from the intended instant. A request is good when it ended well and met every bound of its metrics (the loosest one listed).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Slo {
    /// Time to first token: `{ p95 = "800ms" }`.
    pub ttft: BTreeMap<Percentile, TimeSpan>,
    /// Time per output token after the first.
    pub tpot: BTreeMap<Percentile, TimeSpan>,
    /// Gap between tokens, pooled over tokens.
    pub itl: BTreeMap<Percentile, TimeSpan>,
    /// Intended instant to last token.
    pub e2e: BTreeMap<Percentile, TimeSpan>,
    /// Share of due requests that failed, were throttled, timed out or were shed, at most.
    pub errors: Option<Share>,
    /// Share of due requests that are good, at least.
    pub goodput: Option<Share>,
}

/// A latency that objectives speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Time to first token.
    Ttft,
    /// Time per output token after the first.
    Tpot,
    /// Gap between tokens.
    Itl,
    /// Intended instant to last token.
    E2e,
}

impl Metric {
    /// As the field writes it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Ttft => "TTFT",
            Self::Tpot => "TPOT",
            Self::Itl => "ITL",
            Self::E2e => "E2E",
        }
    }
}

/// One latency objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Term {
    /// Which latency.
    pub metric: Metric,
    /// At which percentile.
    pub percentile: Percentile,
    /// At most.
    pub bound: TimeSpan,
}

impl Slo {
    /// Every latency objective, in a fixed order.
    pub fn terms(&self) -> impl Iterator<Item = Term> + '_ {
        [(Metric::Ttft, &self.ttft), (Metric::Tpot, &self.tpot), (Metric::Itl, &self.itl), (Metric::E2e, &self.e2e)]
            .into_iter()
            .flat_map(|(metric, bounds)| bounds.iter().map(move |(&percentile, &bound)| Term { metric, percentile, bound }))
    }

    /// The bound that one request must meet to be good: the loosest listed for the metric.
    #[must_use]
    pub fn request_bound(&self, metric: Metric) -> Option<TimeSpan> {
        self.terms().filter(|t| t.metric == metric).map(|t| t.bound).max()
    }

    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms().next().is_none() && self.errors.is_none() && self.goodput.is_none()
    }
}

/// A percentile written `p95` or `p99.9`; held in thousandths of a percent, 0 < p < 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percentile(u32);

impl Percentile {
    /// The median.
    pub const P50: Self = Self(50_000);
    /// The 90th percentile.
    pub const P90: Self = Self(90_000);
    /// The 95th percentile.
    pub const P95: Self = Self(95_000);
    /// The 99th percentile.
    pub const P99: Self = Self(99_000);
    /// The 99.9th percentile.
    pub const P999: Self = Self(99_900);

    /// As a quantile from 0 to 1.
    #[must_use]
    pub fn quantile(self) -> f64 {
        f64::from(self.0) / 100_000.0
    }

    /// The smallest sample in which this percentile says something: 10 / (1 - p), ten samples beyond it.
    #[must_use]
    pub fn samples_needed(self) -> u64 {
        1_000_000_u64.div_ceil(u64::from(100_000 - self.0))
    }
}

impl FromStr for Percentile {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("{text:?} is not a percentile; expected p50, p95, p99.9, …");
        let number: f64 = text.strip_prefix('p').ok_or_else(refuse)?.parse().map_err(|_| refuse())?;
        let thousandths = number * 1000.0;
        let exact = (thousandths - thousandths.round()).abs() < 1e-6;
        if !(number > 0.0 && number < 100.0 && exact) {
            return Err(refuse());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 100,000 by the check above")]
        Ok(Self(thousandths.round() as u32))
    }
}

impl fmt::Display for Percentile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", f64::from(self.0) / 1000.0)
    }
}

impl Serialize for Percentile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Percentile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Percentile {
    fn schema_name() -> Cow<'static, str> {
        "Percentile".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^p[0-9]{1,2}(\.[0-9]{1,3})?$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_read_shown_and_bounded() {
        assert_eq!("p95".parse::<Percentile>().unwrap(), Percentile::P95);
        assert_eq!("p99.9".parse::<Percentile>().unwrap().to_string(), "p99.9");
        assert_eq!(Percentile::P99.samples_needed(), 1000);
        assert_eq!(Percentile::P50.samples_needed(), 20);
        for text in ["95", "p100", "p0", "p-1", "pNaN", "p99.99999"] {
            assert!(text.parse::<Percentile>().is_err(), "{text}");
        }
    }
}
