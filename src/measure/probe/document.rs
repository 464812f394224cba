//! `probe.json`: every repeat of the step, the lag as a distribution, the throughput of a chunk, and the lines of a scenario that say so.

use super::{Level, Repeat, Shape};
use crate::base::stats::interval::student_t_quantile;
use crate::base::stats::sample::{mean_variance, quantile_sorted, sort};
use crate::base::time::Nanos;
use crate::base::units::TimeSpan;
use crate::scenario::endpoint::{Autoscaler, Lag};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// Version of `probe.json`.
pub const SCHEMA_VERSION: u32 = 1;

/// Lags that a distribution is fitted to, at least; fewer are given as they are.
pub const FITTED_FROM: usize = 5;

/// The document of a probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeDocument {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Name of the scenario.
    pub scenario: String,
    /// When the first repeat began, RFC 3339 in UTC.
    pub started_utc: String,
    /// What was asked of the endpoint.
    pub shape: Shape,
    /// Mean input tokens of a request.
    pub input_tokens: f64,
    /// Mean output tokens of a request.
    pub output_tokens: f64,
    /// The repeats.
    pub repeats: Vec<Repeat>,
    /// The lag over the repeats that showed one.
    pub lag: Option<LagFinding>,
    /// What a chunk serves.
    pub chunk: Option<ChunkFinding>,
    /// `[plan.autoscaler]` and `[plan.chunk]` as measured; empty if no lag was seen.
    pub toml: String,
}

/// Scale-up lag over repeats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LagFinding {
    /// Effective lags from the step to the first chunk that serves, seconds, in order of repeats.
    pub effective_s: Vec<f64>,
    /// Median of them.
    pub median_s: f64,
    /// Time that the decision took by an assumed policy, seconds; absent when nothing was assumed, and then it is part of `lag`.
    pub decision_s: Option<f64>,
    /// As a plan takes it, less `decision_s` if there is one: fixed, empirical, or from five repeats on lognormal.
    pub lag: Lag,
}

/// What a chunk serves at saturation, against what it is advertised for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChunkFinding {
    /// Input and output tokens per second of one chunk, saturated, before the first one was added.
    pub tok_s: f64,
    /// Half of the 95 % interval.
    pub half_tok_s: Option<f64>,
    /// As advertised.
    pub advertised_tok_s: f64,
    /// Throughput of all chunks after the scale-up, where it was saturated.
    pub after_tok_s: Option<f64>,
    /// Chunks that this makes, by the ratio to the throughput before.
    pub chunks_after: Option<u32>,
    /// Tokens per second that each added chunk brought.
    pub added_tok_s: Option<f64>,
}

impl ProbeDocument {
    /// The document of `repeats`. `assumed` is the policy whose decision is to be subtracted from the lag; `input_tokens` and `output_tokens` are means of
    /// a request.
    #[must_use]
    pub fn of(
        (scenario, started_utc): (&str, &str),
        shape: Shape,
        (input_tokens, output_tokens): (f64, f64),
        repeats: Vec<Repeat>,
        assumed: Option<&Autoscaler>,
    ) -> Self {
        let tokens = input_tokens + output_tokens;
        let decision_s = assumed.map(|policy| decision_s(&shape, tokens, policy));
        let lag = lag_finding(&repeats, decision_s);
        let chunk = chunk_finding(&shape, &repeats);
        let toml = lag.as_ref().map(|lag| toml(lag, chunk.as_ref(), &shape)).unwrap_or_default();
        Self {
            schema_version: SCHEMA_VERSION,
            scenario: scenario.to_owned(),
            started_utc: started_utc.to_owned(),
            shape,
            input_tokens,
            output_tokens,
            repeats,
            lag,
            chunk,
            toml,
        }
    }

    /// As written to `probe.json`.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a document of numbers and texts is JSON")
    }

    /// From the text of `probe.json`.
    ///
    /// # Errors
    /// When it is not JSON of this shape, or of another version.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let found: Self = serde_json::from_str(text).map_err(|e| format!("not a probe.json of this version: {e}"))?;
        if found.schema_version == SCHEMA_VERSION {
            Ok(found)
        } else {
            Err(format!("probe.json of version {}; this program reads version {SCHEMA_VERSION}", found.schema_version))
        }
    }
}

/// Mean time from the step to the decision of target tracking: the mean over the window crosses `target * chunk * chunks` after the share of the window
/// that the crossing lies above the low load, and the next poll is half a poll away.
#[must_use]
pub fn decision_s(shape: &Shape, tokens_per_request: f64, policy: &Autoscaler) -> f64 {
    let (low, high) = (shape.low_rate * tokens_per_request, shape.high_rate * tokens_per_request);
    let threshold = policy.target.0 * shape.chunk_tok_s * f64::from(shape.chunks);
    let share = if high > low { ((threshold - low) / (high - low)).clamp(0.0, 1.0) } else { 1.0 };
    share * policy.window.as_secs_f64() + 0.5 * policy.poll.as_secs_f64()
}

fn lag_finding(repeats: &[Repeat], decision_s: Option<f64>) -> Option<LagFinding> {
    let effective_s: Vec<f64> = repeats.iter().filter_map(|r| r.lag).map(|lag| lag.at_s).collect();
    let mut sorted = effective_s.clone();
    sort(&mut sorted);
    let median_s = quantile_sorted(&sorted, 0.5)?;
    let spans: Vec<f64> = effective_s.iter().map(|s| (s - decision_s.unwrap_or(0.0)).max(0.001)).collect();
    Some(LagFinding { effective_s, median_s, decision_s, lag: distribution(&spans) })
}

/// One lag as it is, a few as they are, from [`FITTED_FROM`] on a lognormal: its median, and as its p95 the upper 95 % prediction bound of the next
/// one, `exp(mean + t s sqrt(1 + 1/n))` of the logarithms, so that few repeats give a longer tail and not a shorter one.
fn distribution(lags_s: &[f64]) -> Lag {
    let span = |s: f64| TimeSpan(Nanos::from_millis(Nanos::from_secs_f64(s).as_micros().div_ceil(1000)));
    match lags_s {
        [one] => Lag::Fixed(span(*one)),
        few if few.len() < FITTED_FROM => Lag::Empirical(few.iter().copied().map(span).collect()),
        many => {
            let (mean, variance) = mean_variance(&many.iter().map(|s| s.ln()).collect::<Vec<_>>());
            let n = many.len() as f64;
            let reach = student_t_quantile(0.95, n - 1.0) * variance.sqrt() * (1.0 + 1.0 / n).sqrt();
            Lag::Lognormal { median: span(mean.exp()), p95: span((mean + reach).exp()) }
        }
    }
}

fn chunk_finding(shape: &Shape, repeats: &[Repeat]) -> Option<ChunkFinding> {
    // Saturated levels, each with its length: those before the first rise, and the fastest of those behind it.
    let (mut before, mut after): (Vec<&Level>, Vec<&Level>) = (Vec::new(), Vec::new());
    for repeat in repeats {
        let lag = repeat.lag.map_or(f64::INFINITY, |l| l.at_s);
        before.extend(repeat.levels.iter().filter(|l| l.saturated && l.tok_s < l.offered_tok_s && l.to_s <= lag + 1e-6));
        let fastest = repeat.levels.iter().filter(|l| l.saturated && l.from_s + 1e-6 >= lag).max_by(|a, b| a.tok_s.total_cmp(&b.tok_s));
        after.extend(fastest);
    }
    let mean = |levels: &[&Level]| {
        let weight: f64 = levels.iter().map(|l| l.to_s - l.from_s).sum();
        (weight > 0.0).then(|| levels.iter().map(|l| l.tok_s * (l.to_s - l.from_s)).sum::<f64>() / weight)
    };
    let chunks = f64::from(shape.chunks.max(1));
    let tok_s = mean(&before)? / chunks;
    let halves: Option<Vec<f64>> = before.iter().map(|l| l.half_tok_s.map(|h| h * (l.to_s - l.from_s))).collect();
    let weight: f64 = before.iter().map(|l| l.to_s - l.from_s).sum();
    let half_tok_s = halves.map(|h| h.iter().map(|x| x * x).sum::<f64>().sqrt() / weight / chunks);
    let after_tok_s = mean(&after);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a ratio of throughputs, rounded; the cast saturates")]
    let chunks_after = after_tok_s.map(|a| ((a / tok_s).round() as u32).max(shape.chunks + 1));
    let added_tok_s = after_tok_s.zip(chunks_after).map(|(a, n)| (a - tok_s * chunks) / f64::from(n - shape.chunks));
    Some(ChunkFinding { tok_s, half_tok_s, advertised_tok_s: shape.chunk_tok_s, after_tok_s, chunks_after, added_tok_s })
}

/// The lines of a scenario that say what was measured.
fn toml(finding: &LagFinding, chunk: Option<&ChunkFinding>, shape: &Shape) -> String {
    let mut out = String::from(
        "[plan]\n# The lag is; window, poll and target are what the scenario says.\nautoscaler_source = \"measured\"\n\n[plan.autoscaler]\n",
    );
    let each = finding.effective_s.iter().map(|s| format!("{s:.1} s")).collect::<Vec<_>>().join(", ");
    let told = match finding.decision_s {
        Some(d) => format!("less {d:.1} s for the decision of the assumed policy"),
        None => "the decision of the autoscaler is part of it".to_owned(),
    };
    let _ = writeln!(out, "# Measured from a step of load to the first new chunk: {each}; {told}.");
    let lag = match &finding.lag {
        Lag::Fixed(span) => format!("{{ fixed = \"{span}\" }}"),
        Lag::Lognormal { median, p95 } => format!("{{ lognormal = {{ median = \"{median}\", p95 = \"{p95}\" }} }}"),
        Lag::Empirical(spans) => format!("{{ empirical = [{}] }}", spans.iter().map(|s| format!("\"{s}\"")).collect::<Vec<_>>().join(", ")),
    };
    let _ = writeln!(out, "lag = {lag}");
    if let Some(chunk) = chunk {
        let _ = writeln!(
            out,
            "\n# A saturated chunk served {:.0} tok/s; it is advertised for {:.0}, which is what the autoscaler counts with.",
            chunk.tok_s, shape.chunk_tok_s
        );
    }
    out
}

/// The published schema of `probe.json`.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(ProbeDocument).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::Share;

    fn shape() -> Shape {
        Shape { before_s: 60.0, hold_s: 600.0, after_s: 0.0, low_rate: 0.5, high_rate: 1.5, chunks: 1, chunk_tok_s: 1000.0 }
    }

    /// 500 to 1,500 tok/s around a threshold of 800: three tenths of the window, and half a poll.
    #[test]
    fn the_decision_of_target_tracking() {
        let policy = Autoscaler { target: Share(0.8), window: TimeSpan::secs(60), poll: TimeSpan::secs(10), ..Autoscaler::default() };
        assert!((decision_s(&shape(), 1000.0, &policy) - 23.0).abs() < 1e-9);
    }

    #[test]
    fn one_lag_a_few_and_many() {
        assert_eq!(distribution(&[300.0]), Lag::Fixed(TimeSpan::secs(300)));
        assert_eq!(distribution(&[300.0, 310.0]), Lag::Empirical(vec![TimeSpan::secs(300), TimeSpan::secs(310)]));
        let Lag::Lognormal { median, p95 } = distribution(&[200.0, 250.0, 300.0, 360.0, 450.0]) else { panic!("five make a lognormal") };
        assert!((median.as_secs_f64() - 300.0).abs() < 0.5, "{median}");
        // ln sd 0.3143, t(0.95, 4) = 2.132: exp(2.132 * 0.3143 * sqrt(1.2)) = 2.083.
        assert!((p95.as_secs_f64() / 300.0 - 2.083).abs() < 0.01, "{p95}");
    }

    #[test]
    fn a_document_repeats_itself() {
        let document = ProbeDocument::of(("t", "2026-01-01T00:00:00Z"), shape(), (900.0, 100.0), Vec::new(), None);
        assert_eq!(ProbeDocument::from_json(&document.to_json()), Ok(document.clone()));
        assert_eq!((document.lag, document.chunk, document.toml.as_str()), (None, None, ""));
        assert!(ProbeDocument::from_json("{}").is_err());
    }
}
