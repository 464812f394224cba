//! `Report`: the verdict of a gate with everything it rests on, and its published schema.

use super::fingerprint::{Difference, Fingerprint};
use super::metric::{Better, Metric, Scale};
use super::rules::Role;
use super::run::Order;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of [`Report`]; raised when a reader of the old one would go wrong.
pub const SCHEMA_VERSION: u32 = 1;

/// The verdict of a gate and everything it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "Plimsoll gate")]
pub struct Report {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Version of this tool.
    pub tool_version: String,
    /// How the runs came about and are compared.
    pub mode: Mode,
    /// Name of the scenario; empty if unknown. Set by the caller.
    pub scenario: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The verdict and its most important number in a sentence.
    pub sentence: String,
    /// Why, in words, the most important first.
    pub reasons: Vec<String>,
    /// What would change the verdict, in words.
    pub would_change: Vec<String>,
    /// Runs are compared pair by pair with the same seed; false: side against side, which sees far less.
    pub paired: bool,
    /// Pairs (or runs of the head, where there are no pairs) that count.
    pub pairs: u32,
    /// Number of pairs after which the next look would decide more; absent: the verdict is final.
    pub another_look: Option<u32>,
    /// How often a FAIL may be wrong, over all metrics and looks.
    pub alpha_fail: f64,
    /// How often a PASS may be wrong for a change as bad as the margin.
    pub alpha_pass: f64,
    /// Numbers of pairs at which looks are taken.
    pub looks_planned: Vec<u32>,
    /// The side compared with.
    pub base: SideFacts,
    /// The side judged.
    pub head: SideFacts,
    /// Each metric.
    pub rows: Vec<Row>,
    /// Every round, in the order of the runs, invalid ones included. Where runs are not paired, each run is a round with one side, the other one empty.
    pub rounds: Vec<Round>,
    /// The sequential path: what was seen at each look, up to the one that decided.
    pub looks: Vec<Look>,
    /// Absolute promises; mode `slo` only.
    pub promises: Vec<Promise>,
    /// Change points; mode `trend` only.
    pub changes: Vec<Change>,
    /// Distance from the pinned anchor; modes `trend` and `history`.
    pub drifts: Vec<Drift>,
    /// What the noise lets one see; mode `calibrate` only.
    pub noise: Vec<Noise>,
    /// Facts in which base and head differ.
    pub differences: Vec<Difference>,
    /// The fingerprint of the head; empty if it has no runs.
    pub fingerprint: Fingerprint,
}

/// How the runs came about and are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Base and head loaded in turns by the gate.
    Paired,
    /// Runs that were on disk.
    Files,
    /// The head against accepted runs.
    History,
    /// The head against an absolute promise.
    Slo,
    /// A series of nights.
    Trend,
    /// The same system on both sides.
    Calibrate,
}

/// The verdict of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// Shown to be worse than a margin allows (mode `slo`: the promise is not met).
    Fail,
    /// Shown to be within every margin (mode `slo`: the promise is met).
    Pass,
    /// Neither is shown.
    Inconclusive,
    /// The runs do not measure the endpoint, or data are missing.
    Invalid,
    /// Base and head are not the same experiment, or there is no baseline.
    NotComparable,
}

impl Verdict {
    /// `FAIL`, `PASS`, `INCONCLUSIVE`, `INVALID`, `NOT COMPARABLE`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Fail => "FAIL",
            Self::Pass => "PASS",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Invalid => "INVALID",
            Self::NotComparable => "NOT COMPARABLE",
        }
    }
}

/// The runs of a side that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SideFacts {
    /// Runs.
    pub runs: u32,
    /// Requests due in them.
    pub requests: u64,
    /// Of these, those that did not end well.
    pub errors: u64,
}

/// One metric of a gate. `estimate`, `low`, `high`, `margin_d` and `sd` are on the scale of comparison, where positive is worse: the logarithm of the
/// ratio for [`Scale::LogRatio`], the difference of shares for [`Scale::Difference`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Which metric.
    pub metric: Metric,
    /// How the difference is taken.
    pub scale: Scale,
    /// Which way is better.
    pub better: Better,
    /// What it is for.
    pub role: Role,
    /// What is said of it.
    pub verdict: MetricVerdict,
    /// Why, in words.
    pub reason: String,
    /// Pairs (or runs of the head) that it rests on.
    pub pairs: u32,
    /// Base: geometric mean over runs for ratios, mean for shares; in its own unit.
    pub base: Option<f64>,
    /// Head, likewise.
    pub head: Option<f64>,
    /// Change from base to head in the metric's own direction: a share of the base for ratios (0.10: 10 % higher), a difference for shares.
    pub change: Option<f64>,
    /// Lower end of the interval of `change` (two-sided, 95 %).
    pub change_low: Option<f64>,
    /// Upper end of the interval of `change`.
    pub change_high: Option<f64>,
    /// Mean over pairs.
    pub estimate: Option<f64>,
    /// Lower end of its interval (two-sided, 95 %).
    pub low: Option<f64>,
    /// Upper end of its interval.
    pub high: Option<f64>,
    /// The upper bound of `estimate` that a PASS is judged by: one-sided, at `alpha_pass` over the number of looks.
    pub pass_high: Option<f64>,
    /// The margin as the user gave it.
    pub margin: f64,
    /// The margin on the scale of comparison, or the floor where that is wider: `ln(1 + margin)` for ratios of which less is better, `-ln(1 - margin)` for
    /// those of which more is.
    pub margin_d: f64,
    /// The absolute floor, in its own unit; 0 for none.
    pub floor: f64,
    /// How much worse in its own unit; negative is better.
    pub worsening: Option<f64>,
    /// One-sided p-value of "not worse at all".
    pub p_worse: Option<f64>,
    /// The same by Holm over the metrics that decide; compared with `alpha_fail` over the number of looks.
    pub p_worse_holm: Option<f64>,
    /// One-sided p-value of "worse by the margin or more"; compared with `alpha_pass` over the number of looks.
    pub p_margin: Option<f64>,
    /// One-sided p-value of "not better at all", uncorrected: reported only.
    pub p_better: Option<f64>,
    /// Standard deviation of one pair's difference: the noise.
    pub sd: Option<f64>,
    /// Smallest worsening found in nine of ten gates with the pairs at hand, as a share of the base or a difference of shares.
    pub detectable: Option<f64>,
    /// Pairs that would show, in nine of ten gates, that nothing is worse than the margin, if nothing is; absent if more than 1,000.
    pub pairs_needed: Option<u32>,
    /// The same question asked without the normal distribution.
    pub robustness: Option<Robustness>,
    /// Rounds far from the others.
    pub outliers: Vec<u32>,
}

/// What is said of one metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MetricVerdict {
    /// Worse than its margin.
    Fail,
    /// Within its margin, and neither better nor worse for certain.
    Pass,
    /// Within its margin, and better for certain.
    Improved,
    /// Within its margin, and worse for certain.
    WorseWithinTolerance,
    /// Neither worse than its margin nor within it for certain.
    Inconclusive,
    /// Data are missing or cannot be trusted.
    Invalid,
    /// Does not decide.
    Informational,
}

impl MetricVerdict {
    /// As a person reads it: `WORSE WITHIN TOLERANCE`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Fail => "FAIL",
            Self::Pass => "PASS",
            Self::Improved => "IMPROVED",
            Self::WorseWithinTolerance => "WORSE WITHIN TOLERANCE",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Invalid => "INVALID",
            Self::Informational => "INFORMATIONAL",
        }
    }

    /// Whether it stands in the way of a PASS of the whole gate.
    #[must_use]
    pub fn is_good(self) -> bool {
        matches!(self, Self::Pass | Self::Improved | Self::WorseWithinTolerance | Self::Informational)
    }
}

/// Hodges-Lehmann's estimate with exact signed-rank bounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Robustness {
    /// Median of the means of all pairs of differences (Walsh averages).
    pub estimate: f64,
    /// One-sided lower bound at `alpha_fail`; absent if so few pairs cannot give one.
    pub low: Option<f64>,
    /// One-sided upper bound at `alpha_pass`; absent if so few pairs cannot give one.
    pub high: Option<f64>,
    /// Exact one-sided p-value of the signed-rank test of "not worse at all".
    pub p_worse: f64,
    /// It contradicts the t-test, so that the metric is not decided.
    pub disagrees: bool,
}

/// One round as it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Round {
    /// Number, from 1; a round done again has the number of the first try.
    pub round: u32,
    /// Which side ran first.
    pub order: Order,
    /// Workload seed.
    pub seed: u64,
    /// It counts.
    pub counted: bool,
    /// Why it does not count; empty if it does.
    pub reason: String,
    /// Name of the run of the base.
    pub base_run: String,
    /// Name of the run of the head.
    pub head_run: String,
    /// Figures of the base.
    pub base: BTreeMap<Metric, f64>,
    /// Figures of the head.
    pub head: BTreeMap<Metric, f64>,
    /// Differences on the scale of comparison, positive is worse.
    pub d: BTreeMap<Metric, f64>,
}

/// What was seen at one look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Look {
    /// Pairs at hand.
    pub pairs: u32,
    /// What it decided; `INCONCLUSIVE`: nothing yet.
    pub verdict: Verdict,
    /// Each metric that decides.
    pub rows: Vec<LookRow>,
}

/// One metric at one look, on the scale of comparison.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LookRow {
    /// Which metric.
    pub metric: Metric,
    /// Mean over pairs.
    pub estimate: f64,
    /// Lower bound for FAIL: worse for certain if above 0 (Bonferroni over metrics; Holm may be a little kinder).
    pub low: f64,
    /// Upper bound for PASS: within the margin if below `margin_d`.
    pub high: f64,
    /// The margin.
    pub margin_d: f64,
}

/// An absolute promise and how the runs stand to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Promise {
    /// As a person says it: `TTFT p95 <= 800 ms`.
    pub text: String,
    /// Share of requests that may miss it.
    pub allowed: f64,
    /// Share that missed it in each run.
    pub missed: Vec<f64>,
    /// Mean over runs.
    pub mean: f64,
    /// One-sided lower bound of the mean (Student's t over runs).
    pub low: f64,
    /// One-sided upper bound of the mean.
    pub high: f64,
    /// Met, not met, or neither shown.
    pub verdict: Verdict,
    /// Further runs that would show it met, at this mean and spread; absent if none would.
    pub further_runs: Option<u32>,
    /// Upper bound from one long run of the same requests, if they were independent of each other; they are not near saturation.
    pub high_if_independent: f64,
    /// Why, in words.
    pub reason: String,
}

/// A change point of a series of nights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Which metric.
    pub metric: Metric,
    /// Index of the first night of the new level, from 0.
    pub at: u32,
    /// Its label.
    pub label: String,
    /// Change of level in the metric's own direction, as a share of the old level or a difference of shares.
    pub change: f64,
    /// The same on the scale of comparison, positive is worse.
    pub d: f64,
    /// Two-sided p-value of Welch's t-test of the levels before and behind.
    pub p: f64,
    /// It is worse, and by enough to be told.
    pub alarm: bool,
}

/// Distance from the pinned anchor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drift {
    /// Which metric.
    pub metric: Metric,
    /// Level of the anchor, in its own unit.
    pub anchor: f64,
    /// Level now.
    pub now: f64,
    /// Change in the metric's own direction.
    pub change: f64,
    /// The same on the scale of comparison, positive is worse.
    pub d: f64,
    /// One-sided lower bound of `d`; absent with a single value on each side.
    pub low: Option<f64>,
    /// Farther than the margin allows.
    pub alarm: bool,
}

/// What the noise of one metric lets a gate see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Noise {
    /// Which metric.
    pub metric: Metric,
    /// Pairs that it was measured from.
    pub pairs: u32,
    /// Standard deviation of one pair's difference.
    pub sd: f64,
    /// Upper bound of the same with 90 % confidence (chi-squared).
    pub sd_high: f64,
    /// Mean difference of the same system from itself: near 0 if order and warm-up do no harm.
    pub bias: f64,
    /// Smallest worsening found in nine of ten gates at the last look, as a share of the base or a difference of shares.
    pub detectable: f64,
    /// Pairs needed to find a worsening of twice the margin in nine of ten gates; absent if more than 1,000.
    pub pairs_to_find: Option<u32>,
    /// Pairs needed to pass an unchanged system in nine of ten gates; absent if more than 1,000.
    pub pairs_to_pass: Option<u32>,
    /// Smallest margin that a gate with all its looks can keep in nine of ten gates.
    pub margin_possible: f64,
    /// The margin of the rules.
    pub margin: f64,
    /// What it is good for with these rules.
    pub role: Role,
    /// Why, in words.
    pub reason: String,
}

impl Report {
    /// Pretty JSON with a final line break.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("every map of the report has text keys, and writing to memory does not fail");
        text.push('\n');
        text
    }
}

/// The JSON Schema of [`Report`].
#[must_use]
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(Report).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_names_every_part_and_words_are_those_of_json() {
        let schema = json_schema();
        for key in ["verdict", "rows", "rounds", "looks", "promises", "changes", "noise", "fingerprint"] {
            assert!(schema["properties"].get(key).is_some(), "{key}");
        }
        for verdict in [Verdict::Fail, Verdict::Pass, Verdict::Inconclusive, Verdict::Invalid, Verdict::NotComparable] {
            assert_eq!(serde_json::to_value(verdict).unwrap().as_str().unwrap().replace('_', " "), verdict.word());
        }
    }
}
