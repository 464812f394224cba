//! `Run`: what one run contributes to a gate, and the `Pair` of two runs with the same workload seed.

use super::fingerprint::Fingerprint;
use super::metric::{Metric, Scale};
use crate::base::diag::Severity;
use crate::measure::document::RunDocument;
use crate::measure::summary::{Distribution, Summary};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one run contributes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// How the user knows it: its folder, for example.
    pub name: String,
    /// Workload seed: arrivals, prompts and lengths follow from it.
    pub seed: u64,
    /// When it began, RFC 3339, UTC; empty if unknown.
    #[serde(default)]
    pub started_utc: String,
    /// It measured the endpoint and not the client.
    pub valid: bool,
    /// Why it is not valid; empty if it is.
    #[serde(default)]
    pub reason: String,
    /// Requests due in the window.
    pub due: u64,
    /// Of these, those that ended well.
    pub ok: u64,
    /// Figures; one that is undefined is absent, never 0.
    pub values: BTreeMap<Metric, Value>,
    /// What must be equal; empty in a baseline, which holds it once.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub fingerprint: Fingerprint,
}

fn is_empty(fingerprint: &Fingerprint) -> bool {
    fingerprint.0.is_empty()
}

/// A figure with the number of values behind it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Value {
    /// In the unit of its metric.
    pub value: f64,
    /// Values behind it.
    pub n: u64,
}

/// Which side of a pair ran first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Base, then head.
    BaseFirst,
    /// Head, then base.
    HeadFirst,
    /// Not known: the runs were not made by one gate.
    Unknown,
}

/// One run of each side with the same workload seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pair {
    /// Number of the round, from 1; a round that is done again keeps its number.
    pub round: u32,
    /// Which side ran first.
    pub order: Order,
    /// The side compared with.
    pub base: Run,
    /// The side that is judged.
    pub head: Run,
}

impl Run {
    /// What a run document contributes, under `name`. Goodput is taken only if the scenario sets objectives.
    ///
    /// A run in which every request failed counts as valid here, although its summary is not: the failures are the endpoint's, and the gate judges them.
    #[must_use]
    pub fn of(name: impl Into<String>, document: &RunDocument) -> Self {
        let (summary, manifest) = (&document.summary, &document.manifest);
        let reasons: Vec<&str> = summary
            .validity
            .warnings
            .iter()
            .filter(|w| w.severity == Severity::Invalid && w.code != "all-failed")
            .map(|w| w.message.as_str())
            .collect();
        let all_failed = summary.validity.warnings.iter().any(|w| w.code == "all-failed");
        let unfinished = !manifest.finished;
        let mut reason = reasons.join("; ");
        if reason.is_empty() && unfinished {
            "the run was cut before its end".clone_into(&mut reason);
        }
        if reason.is_empty() && !summary.validity.valid && !all_failed {
            "the run is marked invalid".clone_into(&mut reason);
        }
        Self {
            name: name.into(),
            seed: manifest.seed.0,
            started_utc: manifest.started_utc.clone(),
            valid: reason.is_empty(),
            reason,
            due: summary.accounting.due,
            ok: summary.accounting.ok,
            values: values(summary, !document.experiment.slo.is_empty()),
            fingerprint: Fingerprint::of(document),
        }
    }

    /// Share of due requests that ended well; 0 if none was due.
    #[must_use]
    pub fn success_share(&self) -> f64 {
        if self.due == 0 { 0.0 } else { self.ok.min(self.due) as f64 / self.due as f64 }
    }

    /// Requests due that did not end well.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.due.saturating_sub(self.ok)
    }

    /// The figure of a metric, if it is a number that can be compared: finite, above 0 for ratios, from 0 to 1 for shares, with values behind it.
    #[must_use]
    pub fn value(&self, metric: Metric) -> Option<f64> {
        let Value { value, n } = *self.values.get(&metric)?;
        let in_range = match metric.scale() {
            Scale::LogRatio => value > 0.0,
            Scale::Difference => (0.0..=1.0).contains(&value),
        };
        (n > 0 && value.is_finite() && in_range).then_some(value)
    }

    /// Values behind the figure of a metric; 0 if it has none.
    #[must_use]
    pub fn samples(&self, metric: Metric) -> u64 {
        self.values.get(&metric).map_or(0, |v| v.n)
    }

    /// Adds a figure that the run document does not hold: memory, cost.
    pub fn insert(&mut self, metric: Metric, value: f64, n: u64) {
        self.values.insert(metric, Value { value, n });
    }
}

fn values(summary: &Summary, has_objectives: bool) -> BTreeMap<Metric, Value> {
    let l = &summary.latency;
    let due = summary.accounting.due;
    let at = |d: &Distribution, name: &str| d.at(name).map(|value| Value { value, n: d.n });
    let share = |value: f64| (due > 0).then_some(Value { value, n: due });
    let failed = due.saturating_sub(summary.accounting.ok) as f64 / due.max(1) as f64;
    let tokens = summary.throughput.output_tok_s;
    [
        (Metric::TtftP50, at(&l.ttft, "p50")),
        (Metric::TtftP95, at(&l.ttft, "p95")),
        (Metric::TtftP99, at(&l.ttft, "p99")),
        (Metric::TpotP50, at(&l.tpot, "p50")),
        (Metric::E2eP95, at(&l.e2e, "p95")),
        (Metric::OutputTokS, (tokens > 0.0).then_some(Value { value: tokens, n: due })),
        (Metric::Goodput, share(summary.goodput.share).filter(|_| has_objectives)),
        (Metric::ErrorRate, share(failed)),
    ]
    .into_iter()
    .filter_map(|(metric, value)| Some((metric, value?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undefined_figure_is_absent_never_zero() {
        let mut run = Run { due: 10, ok: 9, ..Run::default() };
        assert_eq!(run.value(Metric::TpotP50), None);
        for (value, n) in [(f64::NAN, 10), (f64::INFINITY, 10), (0.0, 10), (-1.0, 10), (20.0, 0)] {
            run.insert(Metric::TpotP50, value, n);
            assert_eq!(run.value(Metric::TpotP50), None, "{value} of {n}");
        }
        run.insert(Metric::TpotP50, 20.0, 10);
        assert_eq!(run.value(Metric::TpotP50), Some(20.0));
        run.insert(Metric::ErrorRate, 0.0, 10);
        assert_eq!(run.value(Metric::ErrorRate), Some(0.0));
        run.insert(Metric::ErrorRate, 1.5, 10);
        assert_eq!(run.value(Metric::ErrorRate), None);
        assert!((run.success_share() - 0.9).abs() < 1e-12 && run.errors() == 1);
        assert_eq!(Run::default().success_share(), 0.0);
    }
}
