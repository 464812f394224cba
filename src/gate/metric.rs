//! `Metric`: what a gate compares, which way is worse, on which scale, and how much worse is too much unless the user says otherwise.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A figure of one run that a gate may compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Median time to first token, milliseconds.
    TtftP50,
    /// 95th percentile of the time to first token, milliseconds.
    TtftP95,
    /// 99th percentile of the time to first token, milliseconds.
    TtftP99,
    /// Median time per output token, milliseconds.
    TpotP50,
    /// 95th percentile of the time from the intended instant to the last token, milliseconds.
    E2eP95,
    /// Output tokens received per second of the window.
    OutputTokS,
    /// Share of requests due that met every objective, failures counted as misses; 0 to 1.
    Goodput,
    /// Share of requests due that did not end well; 0 to 1.
    ErrorRate,
    /// Largest memory of the server process, MiB. Only if the caller measured it.
    PeakMemory,
    /// Cost of a million output tokens, in the currency of the scenario. Only if the caller knows a price.
    Cost,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// A smaller value: latency, errors, memory, cost.
    Lower,
    /// A larger value: throughput, goodput.
    Higher,
}

/// How the difference of two runs is taken. Positive is always worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Logarithm of the ratio; a margin of 0.05 is 5 %.
    LogRatio,
    /// Difference of two shares; a margin of 0.005 is half a percentage point.
    Difference,
}

impl Metric {
    /// Every metric, in the order of reports.
    pub const ALL: [Self; 10] = [
        Self::TtftP50,
        Self::TtftP95,
        Self::TtftP99,
        Self::TpotP50,
        Self::E2eP95,
        Self::OutputTokS,
        Self::Goodput,
        Self::ErrorRate,
        Self::PeakMemory,
        Self::Cost,
    ];

    /// As a person reads it: `TTFT p95`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::TtftP50 => "TTFT p50",
            Self::TtftP95 => "TTFT p95",
            Self::TtftP99 => "TTFT p99",
            Self::TpotP50 => "TPOT p50",
            Self::E2eP95 => "E2E p95",
            Self::OutputTokS => "output tok/s",
            Self::Goodput => "goodput",
            Self::ErrorRate => "error rate",
            Self::PeakMemory => "peak memory",
            Self::Cost => "cost per 1M output tokens",
        }
    }

    /// As a machine reads it, the same as in JSON: `ttft_p95`.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::TtftP50 => "ttft_p50",
            Self::TtftP95 => "ttft_p95",
            Self::TtftP99 => "ttft_p99",
            Self::TpotP50 => "tpot_p50",
            Self::E2eP95 => "e2e_p95",
            Self::OutputTokS => "output_tok_s",
            Self::Goodput => "goodput",
            Self::ErrorRate => "error_rate",
            Self::PeakMemory => "peak_memory",
            Self::Cost => "cost",
        }
    }

    /// The metric of a [`Metric::key`].
    #[must_use]
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.key() == key)
    }

    /// Unit of its values; empty for shares and money.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::TtftP50 | Self::TtftP95 | Self::TtftP99 | Self::TpotP50 | Self::E2eP95 => "ms",
            Self::OutputTokS => "tok/s",
            Self::PeakMemory => "MiB",
            Self::Goodput | Self::ErrorRate | Self::Cost => "",
        }
    }

    /// Which way is better.
    #[must_use]
    pub fn better(self) -> Better {
        match self {
            Self::OutputTokS | Self::Goodput => Better::Higher,
            _ => Better::Lower,
        }
    }

    /// How two runs are compared.
    #[must_use]
    pub fn scale(self) -> Scale {
        match self {
            Self::Goodput | Self::ErrorRate => Scale::Difference,
            _ => Scale::LogRatio,
        }
    }

    /// How much worse is too much: a share of the base for [`Scale::LogRatio`], a difference of shares for [`Scale::Difference`].
    ///
    /// TTFT has wider margins because a queue amplifies: near the knee, 5 % slower service is 50 % more TTFT.
    #[must_use]
    pub fn default_margin(self) -> f64 {
        match self {
            Self::TtftP50 => 0.10,
            Self::TtftP95 | Self::TtftP99 => 0.25,
            Self::TpotP50 | Self::E2eP95 | Self::OutputTokS | Self::PeakMemory | Self::Cost => 0.05,
            Self::Goodput => 0.02,
            Self::ErrorRate => 0.005,
        }
    }

    /// How much worse in its own unit it must be as well, so that 3 ms beside 2 ms is not called 50 % worse; 0 for none.
    #[must_use]
    pub fn default_floor(self) -> f64 {
        match self {
            Self::TtftP50 | Self::TtftP95 | Self::TtftP99 | Self::E2eP95 => 5.0,
            Self::TpotP50 => 0.5,
            _ => 0.0,
        }
    }

    /// Its quantile, for percentiles of latencies.
    #[must_use]
    pub fn quantile(self) -> Option<f64> {
        match self {
            Self::TtftP50 | Self::TpotP50 => Some(0.5),
            Self::TtftP95 | Self::E2eP95 => Some(0.95),
            Self::TtftP99 => Some(0.99),
            _ => None,
        }
    }

    /// Values below which a figure of one run says nothing: ten beyond the percentile, `10 / (1 - p)`; 1 for other figures.
    #[must_use]
    pub fn samples_needed(self) -> u64 {
        match self {
            Self::TtftP50 | Self::TpotP50 => 20,
            Self::TtftP95 | Self::E2eP95 => 200,
            Self::TtftP99 => 1_000,
            _ => 1,
        }
    }

    /// Whether it is about answers that came, so that it flatters a side that loses many: latencies.
    #[must_use]
    pub fn is_of_survivors(self) -> bool {
        self.quantile().is_some()
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_json_and_lead_back() {
        for metric in Metric::ALL {
            assert_eq!(serde_json::to_value(metric).unwrap(), metric.key());
            assert_eq!(Metric::from_key(metric.key()), Some(metric));
        }
        assert_eq!(Metric::from_key("ttft_p96"), None);
    }

    #[test]
    fn percentiles_need_ten_values_beyond_them() {
        for metric in Metric::ALL {
            if let Some(q) = metric.quantile() {
                assert!((metric.samples_needed() as f64 - 10.0 / (1.0 - q)).abs() < 1e-6, "{metric}");
            }
        }
    }
}
