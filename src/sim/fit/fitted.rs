//! `Fitted`: the endpoint's model as it was found, with what is uncertain about it; what `model.json` holds.

use crate::scenario::endpoint::EndpointSpec;
use crate::scenario::plan::Provenance;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of [`Fitted`] documents.
pub const SCHEMA_VERSION: u32 = 1;

/// The context of a batch may exceed what was observed by this factor before a prediction is called an extrapolation.
const CONTEXT_REACH: f64 = 1.5;
/// Likewise for the length of one prompt or answer.
const LENGTH_REACH: f64 = 1.5;
/// Likewise for load and batch: measured values fluctuate, so a hair above is still inside.
const LOAD_REACH: f64 = 1.05;

/// The law found, its uncertainty, and where it was seen to hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fitted {
    /// Version of this document.
    pub schema_version: u32,
    /// The best estimate: one chunk's law, network and limits; what is not about one chunk stands as it was given.
    pub spec: EndpointSpec,
    /// Equally plausible alternatives to `spec` (block bootstrap). Empty: nothing is known about the uncertainty.
    pub draws: Vec<EndpointSpec>,
    /// By how much a predicted latency may be too low.
    pub multipliers: Multipliers,
    /// Where it was measured.
    pub observed: Observed,
    /// Each number of the model with its interval and where it comes from.
    pub parameters: Vec<Parameter>,
    /// Measured beside predicted.
    pub quality: FitQuality,
    /// What the measurements could not show, and the experiment that would.
    pub assumed: Vec<Assumed>,
}

impl Fitted {
    /// A model that nobody measured: no uncertainty is known, everything is assumed.
    #[must_use]
    pub fn assumed(spec: &EndpointSpec) -> Self {
        let everything = Assumed {
            what: "the whole model".to_owned(),
            value: "as it stands in [endpoint]".to_owned(),
            experiment: "plimsoll sweep SCENARIO --for-fit, then plimsoll fit".to_owned(),
        };
        Self {
            schema_version: SCHEMA_VERSION,
            spec: spec.clone(),
            draws: Vec::new(),
            multipliers: Multipliers::default(),
            observed: Observed::default(),
            parameters: Vec::new(),
            quality: FitQuality::default(),
            assumed: vec![everything],
        }
    }

    /// Whether anything was measured.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.quality.requests > 0
    }

    /// In what respects a predicted operating point lies beyond what was measured, a sentence each; empty inside. See [`Observed::beyond`].
    #[must_use]
    pub fn beyond(&self, at: &Operating) -> Vec<String> {
        self.observed.beyond(at)
    }
}

/// Factors from the held-out errors (split conformal prediction): with probability `confidence`, a latency measured at a load like the measured
/// ones is at most the predicted one times its factor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Multipliers {
    /// Of a time to first token, 1 or more.
    pub ttft: f64,
    /// Of a time per output token, 1 or more.
    pub tpot: f64,
    /// Of an end-to-end latency, 1 or more.
    pub e2e: f64,
    /// The level that the number of held-out figures supports; 0: there were none, and the factors are 1.
    pub confidence: f64,
    /// Held-out figures of each latency, at least.
    pub held_out: u32,
}

impl Default for Multipliers {
    fn default() -> Self {
        Self { ttft: 1.0, tpot: 1.0, e2e: 1.0, confidence: 0.0, held_out: 0 }
    }
}

/// The ranges that were measured, each of one chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Observed {
    /// Chunks that served while it was measured.
    pub chunks: u32,
    /// Highest rate of a load step at which nine requests in ten ended well, requests per second.
    pub requests_s: f64,
    /// Highest throughput of a load step, input plus output tokens per second.
    pub tok_s: f64,
    /// Most requests streaming at once.
    pub batch: u32,
    /// The batch cap was reached, so that no larger batch can occur.
    pub is_batch_capped: bool,
    /// Most tokens of context at once, over the streaming requests.
    pub context_tokens: u64,
    /// Longest prompt.
    pub input_tokens: u32,
    /// Longest answer.
    pub output_tokens: u32,
}

impl Observed {
    /// In what respects `at` lies beyond these ranges, a sentence each. Context and lengths may exceed them by half, load and batch by 5 %;
    /// a batch is never too large once the cap was reached. Without any measurement everything lies beyond.
    #[must_use]
    pub fn beyond(&self, at: &Operating) -> Vec<String> {
        if self.chunks == 0 {
            return vec!["nothing was measured".to_owned()];
        }
        let mut told = Vec::new();
        let mut check = |what: &str, at: f64, seen: f64, reach: f64| {
            if at > seen * reach {
                told.push(format!("{what}: {at:.0} predicted, {seen:.0} measured"));
            }
        };
        check("tokens per second of a chunk", at.tok_s, self.tok_s, LOAD_REACH);
        if !self.is_batch_capped {
            check("requests streaming at once on a chunk", at.batch, f64::from(self.batch), LOAD_REACH);
        }
        check("tokens of context at once on a chunk", at.context_tokens, self.context_tokens as f64, CONTEXT_REACH);
        check("tokens of a prompt", f64::from(at.input_tokens), f64::from(self.input_tokens), LENGTH_REACH);
        check("tokens of an answer", f64::from(at.output_tokens), f64::from(self.output_tokens), LENGTH_REACH);
        told
    }
}

/// A predicted state of one chunk, to be compared with what was measured. Zero asks nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Operating {
    /// Input plus output tokens per second.
    pub tok_s: f64,
    /// Requests decoding at once.
    pub batch: f64,
    /// Tokens of context at once.
    pub context_tokens: f64,
    /// Longest prompt.
    pub input_tokens: u32,
    /// Longest answer.
    pub output_tokens: u32,
}

/// One number of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Parameter {
    /// Its key in `[endpoint]`: `step.base`.
    pub name: String,
    /// Best estimate, in `unit`.
    pub value: f64,
    /// 5th percentile of the draws.
    pub low: f64,
    /// 95th percentile of the draws.
    pub high: f64,
    /// `us`, `ns`, `tokens`, `requests`, or empty.
    pub unit: String,
    /// Measured, or assumed because no measurement shows it.
    pub source: Provenance,
    /// How it was found, in a few words.
    pub how: String,
}

/// Something that no measurement showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Assumed {
    /// What.
    pub what: String,
    /// The value taken.
    pub value: String,
    /// The experiment that would show it.
    pub experiment: String,
}

/// How well the law repeats what was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FitQuality {
    /// Every figure compared, predicted by the law fitted to all steps.
    pub rows: Vec<FitFigure>,
    /// The same figures, each step predicted by a law that did not see it; empty with fewer than three steps.
    pub held_out: Vec<FitFigure>,
    /// Median of the absolute relative errors of `rows`.
    pub median_error: f64,
    /// Largest of them.
    pub largest_error: f64,
    /// Median of the absolute relative errors of `held_out`; 0 without any.
    pub held_out_error: f64,
    /// Condition number of the regression with unit columns.
    pub condition: f64,
    /// Condition number of the refined fit (logarithms of the parameters); 0 if it was not refined.
    pub refined_condition: f64,
    /// Windows of gaps used.
    pub windows: u32,
    /// Requests that ended well, over all steps.
    pub requests: u32,
    /// What the data could not tell.
    pub warnings: Vec<String>,
}

/// One figure, measured and predicted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FitFigure {
    /// Load step, from 1.
    pub step: u32,
    /// `TTFT`, `TPOT` or `E2E`, from the send instant.
    pub metric: String,
    /// `mean`, `p50`, `p90` or `p99`.
    pub percentile: String,
    /// Measured, milliseconds.
    pub measured_ms: f64,
    /// Predicted by replaying the same requests, milliseconds.
    pub predicted_ms: f64,
}

impl FitFigure {
    /// `predicted / measured - 1`.
    #[must_use]
    pub fn error(&self) -> f64 {
        self.predicted_ms / self.measured_ms.max(1e-9) - 1.0
    }
}

/// The published schema of `model.json`.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(Fitted).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_beyond_and_what_was_is_not() {
        let observed = Observed {
            chunks: 1,
            requests_s: 4.0,
            tok_s: 2000.0,
            batch: 20,
            is_batch_capped: false,
            context_tokens: 30_000,
            input_tokens: 4000,
            output_tokens: 500,
        };
        let inside = Operating { tok_s: 2000.0, batch: 20.0, context_tokens: 44_000.0, input_tokens: 5000, output_tokens: 600 };
        assert_eq!(observed.beyond(&inside), Vec::<String>::new());
        let outside = Operating { tok_s: 3000.0, batch: 30.0, context_tokens: 46_000.0, input_tokens: 6001, output_tokens: 751 };
        assert_eq!(observed.beyond(&outside).len(), 5);
        let capped = Observed { is_batch_capped: true, ..observed };
        assert_eq!(capped.beyond(&outside).len(), 4);
        assert_eq!(Fitted::assumed(&EndpointSpec::default()).beyond(&inside), ["nothing was measured"]);
    }

    #[test]
    fn a_model_survives_json() {
        let fitted = Fitted::assumed(&EndpointSpec::default());
        let text = serde_json::to_string(&fitted).unwrap();
        assert_eq!(serde_json::from_str::<Fitted>(&text).unwrap(), fitted);
    }
}
