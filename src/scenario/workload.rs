//! `[workload]`: what requests look like: token lengths, prompts, sessions.

use super::load::TraceSource;
use crate::base::units::{Share, TimeSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What requests look like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Workload {
    /// Input and output tokens of each request.
    pub lengths: Lengths,
    /// Input tokens, at least; shorter draws are raised and counted.
    pub min_input: u32,
    /// Input tokens, at most; longer draws are cut and counted.
    pub max_input: u32,
    /// Output tokens, at least; shorter draws are raised and counted.
    pub min_output: u32,
    /// Output tokens, at most; longer draws are cut and counted.
    pub max_output: u32,
    /// The text of prompts.
    pub prompts: Prompts,
    /// Multi-turn sessions; left out: every request stands alone.
    pub sessions: Option<Sessions>,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            lengths: Lengths::Independent { input: Marginal::Fixed(256), output: Marginal::Fixed(128) },
            min_input: 1,
            max_input: 131_072,
            min_output: 1,
            max_output: 32_768,
            prompts: Prompts::default(),
            sessions: None,
        }
    }
}

/// How input and output tokens are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Lengths {
    /// Rows of a recording, input and output together: with `load.arrivals.trace` and no `trace` here, each arrival keeps its own row; otherwise rows are drawn at random.
    Empirical {
        /// The recording; left out: the one of `load.arrivals.trace`.
        #[serde(default)]
        trace: Option<TraceSource>,
    },
    /// Two marginals, independent of each other.
    Independent {
        /// Input tokens.
        input: Marginal,
        /// Output tokens.
        output: Marginal,
    },
    /// Two marginals tied by a Gaussian copula.
    Correlated {
        /// Input tokens.
        input: Marginal,
        /// Output tokens.
        output: Marginal,
        /// Spearman's rank correlation of the two, -0.99 to 0.99.
        spearman: f64,
    },
}

/// A distribution of token counts. Draws are rounded to whole tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Marginal {
    /// Always the same.
    Fixed(u32),
    /// Every whole number from `min` to `max` alike.
    Uniform {
        /// Smallest.
        min: u32,
        /// Largest.
        max: u32,
    },
    /// Normal, cut at zero.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        sd: f64,
    },
    /// Lognormal.
    Lognormal {
        /// Median.
        median: f64,
        /// Standard deviation of the natural logarithm.
        sigma: f64,
    },
    /// Gamma.
    Gamma {
        /// Mean.
        mean: f64,
        /// Coefficient of variation.
        cv: f64,
    },
    /// Weibull.
    Weibull {
        /// Scale.
        scale: f64,
        /// Shape.
        shape: f64,
    },
    /// Exponential.
    Exponential {
        /// Mean.
        mean: f64,
    },
    /// Straight lines between quantiles; the first must be at 0 and the last at 1.
    Quantiles(Vec<QuantilePoint>),
    /// One of several, by weight.
    Mixture(Vec<Component>),
    /// One column of a recording.
    Column {
        /// The recording.
        trace: TraceSource,
        /// Which of its columns.
        side: Side,
    },
}

/// Which column of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Input tokens.
    Input,
    /// Output tokens.
    Output,
}

/// A point of a quantile table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuantilePoint {
    /// Cumulative probability, 0 to 1.
    pub q: f64,
    /// Tokens.
    pub tokens: f64,
}

/// A part of a mixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Relative weight, above zero.
    pub weight: f64,
    /// Its distribution.
    pub of: Marginal,
}

/// The text of prompts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Prompts {
    /// The vocabulary that counts tokens.
    pub tokenizer: Tokenizer,
    /// Share of each prompt's tokens taken from a prefix shared with other requests; the rest is unique, so that prefix caches stay cold.
    pub shared_prefix: Share,
    /// How many different shared prefixes there are.
    pub prefix_groups: u32,
}

impl Default for Prompts {
    fn default() -> Self {
        Self { tokenizer: Tokenizer::Llama3, shared_prefix: Share(0.0), prefix_groups: 1 }
    }
}

/// The vocabulary that counts tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tokenizer {
    /// Llama 3 (128k), embedded.
    Llama3,
    /// `o200k_base` (GPT-4o, gpt-oss), embedded.
    O200k,
    /// `cl100k_base` (GPT-4), embedded.
    Cl100k,
    /// Qwen 2 and 3, embedded.
    Qwen2,
    /// A `tokenizer.json` of one's own.
    File(PathBuf),
}

/// Multi-turn sessions: each turn sends the whole conversation so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sessions {
    /// Turns of a session, at least 1.
    pub turns: Marginal,
    /// Mean pause between an answer and the next turn; exponential.
    #[serde(default)]
    pub think: TimeSpan,
}
