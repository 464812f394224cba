//! What a fit says of itself: ranges observed, numbers with their intervals, what is assumed and which experiment would show it.

use super::fitted::{Assumed, FitFigure, FitQuality, Observed, Parameter};
use super::law::{CURVATURE, NAMES, Numbers};
use super::{Findings, windows};
use crate::base::stats::sample::quantile_sorted;
use crate::record::request::RequestRecord;
use crate::scenario::endpoint::EndpointSpec;
use crate::scenario::plan::Provenance;

/// Above this the parameters (not the predictions) are poorly determined.
const CONDITION_LIMIT: f64 = 1e4;
/// Requests on an idle endpoint that show the steps of the prefill budget.
const RUNGS: usize = 16;

impl Findings<'_> {
    /// The ranges that were measured, each of one chunk.
    pub(super) fn observed(&self) -> Observed {
        let per_chunk = f64::from(self.chunks);
        let mut seen = Observed {
            chunks: self.chunks,
            batch: self.sight.streaming.div_ceil(self.chunks),
            is_batch_capped: self.shown.batch,
            ..Observed::default()
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of tokens")]
        let context = (self.sight.context / per_chunk) as u64;
        seen.context_tokens = context;
        for step in &self.input.steps {
            let ok: Vec<&RequestRecord> = step.iter().filter(|r| r.is_ok()).collect();
            let from = step.iter().filter_map(|r| r.sent).min().unwrap_or_default();
            let to = step.iter().filter_map(|r| r.sent).max().unwrap_or_default();
            let span = to.since(from).as_secs_f64();
            if span > 0.0 && ok.len() * 10 >= step.len() * 9 {
                let tokens: f64 = ok.iter().map(|r| f64::from(r.input_tokens) + f64::from(r.output_tokens)).sum();
                seen.requests_s = seen.requests_s.max(ok.len() as f64 / span / per_chunk);
                seen.tok_s = seen.tok_s.max(tokens / span / per_chunk);
            }
            seen.input_tokens = ok.iter().map(|r| r.input_tokens).max().unwrap_or(0).max(seen.input_tokens);
            seen.output_tokens = ok.iter().map(|r| r.output_tokens).max().unwrap_or(0).max(seen.output_tokens);
        }
        seen
    }

    /// Each number of `spec` with its interval.
    pub(super) fn parameters(&self, spec: &EndpointSpec, numbers: &Numbers, draws: &[Numbers], free: &[usize]) -> Vec<Parameter> {
        let mut all = Vec::new();
        for &i in free {
            let (name, unit, nanoseconds) = NAMES[i];
            // What is searched for is the curvature above a straight line.
            let above = if i == CURVATURE { 1.0 } else { 0.0 };
            let mut values: Vec<f64> = draws.iter().map(|d| d[i] / nanoseconds + above).collect();
            values.sort_by(f64::total_cmp);
            let value = numbers[i] / nanoseconds + above;
            let at = |p: f64| quantile_sorted(&values, p).unwrap_or(value);
            all.push(Parameter {
                name: name.to_owned(),
                value,
                low: at(0.05).min(value),
                high: at(0.95).max(value),
                unit: unit.to_owned(),
                source: Provenance::Measured,
                how: "regression on token gaps, refined by replay".to_owned(),
            });
        }
        let mut limit = |name: &str, value: f64, unit: &str, is_shown: bool, how: &str| {
            let source = if is_shown { Provenance::Measured } else { Provenance::Assumed };
            let how = if is_shown { how } else { "not reached" };
            all.push(Parameter { name: name.to_owned(), value, low: value, high: value, unit: unit.to_owned(), source, how: how.to_owned() });
        };
        let shown = self.shown;
        limit("prefill_budget", f64::from(spec.prefill_budget), "tokens", shown.budget, "steps of the idle prompt ladder, and replay");
        limit("max_batch", f64::from(spec.max_batch), "requests", shown.batch, "plateau of streaming requests with others waiting");
        limit("kv_tokens", spec.kv_tokens as f64, "tokens", shown.kv, "plateau of the tokens in work with others waiting");
        limit("queue", f64::from(spec.queue), "requests", shown.queue, "requests waiting when others were refused");
        limit("noise", spec.noise, "", self.noise.is_some(), "scatter of the gaps of streams that were alone");
        all
    }

    /// What no measurement showed.
    pub(super) fn assumed(&self, spec: &EndpointSpec) -> Vec<Assumed> {
        let mut list = Vec::new();
        let mut add = |what: &str, value: String, experiment: &str| {
            list.push(Assumed { what: what.to_owned(), value, experiment: experiment.to_owned() });
        };
        if !self.shown.budget {
            let text = "an idle prompt ladder up to the longest prompt: one user, at least eight lengths, four requests of each";
            add("prefill budget of an iteration", format!("{} tokens", spec.prefill_budget), text);
        }
        if !self.shown.batch {
            let text = format!(
                "a closed loop of more than {} users: the number that streams stops growing at the cap",
                spec.max_batch.saturating_mul(self.chunks)
            );
            add("batch cap", format!("{} requests", spec.max_batch), &text);
        }
        if !self.shown.kv {
            let text = "a closed loop of many users with long prompts and answers: tokens in work stop growing at the size of the cache";
            add("size of the key-value cache", format!("{} tokens", spec.kv_tokens), text);
        }
        if !self.shown.queue {
            add("queue of a chunk", format!("{} requests", spec.queue), "a load well above capacity, until requests are refused with 429");
        }
        if self.noise.is_none() {
            add("scatter of single iterations", "none".to_owned(), "one user, answers of 50 tokens or more");
        }
        list
    }

    /// The verdict on the fit.
    pub(super) fn quality(&self, rows: Vec<FitFigure>, held_out: Vec<FitFigure>) -> FitQuality {
        let sorted = |rows: &[FitFigure]| {
            let mut errors: Vec<f64> = rows.iter().map(|r| r.error().abs()).collect();
            errors.sort_by(f64::total_cmp);
            errors
        };
        let (errors, unseen) = (sorted(&rows), sorted(&held_out));
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        FitQuality {
            median_error: errors.get(errors.len() / 2).copied().unwrap_or(0.0),
            largest_error: errors.last().copied().unwrap_or(0.0),
            held_out_error: unseen.get(unseen.len() / 2).copied().unwrap_or(0.0),
            rows,
            held_out,
            condition: self.condition,
            refined_condition: self.refined_condition,
            windows: count(self.windows),
            requests: count(self.input.steps.iter().map(|s| s.iter().filter(|r| r.is_ok()).count()).sum()),
            warnings: self.warnings(),
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut told = Vec::new();
        if self.input.steps.len() < 3 {
            told.push("fewer than three load steps: no step could be held out whole; `plimsoll sweep --for-fit` runs what a fit needs".to_owned());
        }
        if self.rungs < RUNGS {
            told.push(format!(
                "{} requests met an idle endpoint, {RUNGS} are needed to tell the fixed part of a TTFT from the cost of its prompt: add a step with one user",
                self.rungs
            ));
        }
        if self.condition > CONDITION_LIMIT {
            told.push(format!(
                "the regression is ill-conditioned ({:.0}): context and batch moved together; predictions hold near the measured mix of lengths only",
                self.condition
            ));
        }
        let spread = windows::spread_of_prompts(&self.input.steps);
        if spread < 0.5 {
            told.push(format!("prompts are alike (coefficient of variation {spread:.2}, 0.5 or more is needed): cost per sequence and per token of context cannot be told apart; vary workload.lengths"));
        }
        if self.chunks > 1 {
            told.push(format!("{} chunks served: a client sees their sum, and the routing is assumed; one chunk would show more", self.chunks));
        }
        told
    }
}
