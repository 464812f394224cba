//! Rules of `[endpoint]`, and of autoscalers wherever they stand.

use super::Judge;
use crate::base::diag::Fault;
use crate::base::time::Nanos;
use crate::scenario::endpoint::{Autoscaler, EndpointSpec, Lag, StepLaw};

pub(super) fn judge(judge: &mut Judge<'_>, spec: &EndpointSpec) {
    step(judge, &spec.step);
    for (key, value) in [
        ("endpoint.prefill_budget", spec.prefill_budget),
        ("endpoint.max_batch", spec.max_batch),
        ("endpoint.embedding_dimension", spec.embedding_dimension),
        ("endpoint.min_chunks", spec.min_chunks),
        ("endpoint.tokens_per_step", spec.tokens_per_step),
    ] {
        judge.at_least(key, value.into(), 1);
    }
    judge.at_least("endpoint.kv_tokens", spec.kv_tokens, 1);
    judge.within("endpoint.noise", spec.noise, 0.0, 1.0);
    judge.expect(spec.kv_watermark.0 < 1.0, "endpoint.kv_watermark", "a watermark that leaves no room", "a share below 100%, e.g. \"1%\"");
    judge.expect(spec.chunk.0 > 0.0, "endpoint.chunk", "a chunk that serves nothing", "a rate above zero, e.g. \"1580 tok/s\"");
    // A decoding sequence takes one token of the budget: a smaller budget would starve prompts for ever.
    let message = format!("prefill_budget = {} leaves nothing for prompts beside max_batch = {} sequences", spec.prefill_budget, spec.max_batch);
    let holds = spec.prefill_budget > spec.max_batch || spec.max_batch == 0;
    judge.expect_with(&["endpoint.max_batch"], holds, "endpoint.prefill_budget", message, "more than max_batch");
    let message = format!("max_chunks = {} is below min_chunks = {}", spec.max_chunks, spec.min_chunks);
    judge.expect_with(
        &["endpoint.min_chunks"],
        spec.max_chunks >= spec.min_chunks,
        "endpoint.max_chunks",
        message,
        &format!("{} or more", spec.min_chunks),
    );
    judge.expect(spec.max_chunks <= 10_000, "endpoint.max_chunks", format!("{} is too many", spec.max_chunks), "10000 at most");
    autoscaler(judge, "endpoint.autoscaler", &spec.autoscaler);
}

/// An iteration must take time, or virtual time would stand still.
fn step(judge: &mut Judge<'_>, law: &StepLaw) {
    judge.positive_span("endpoint.step.base", law.base);
    judge.within("endpoint.step.curvature", law.curvature, 1.0, 100.0);
}

/// Also for the autoscaler of a plan.
pub(super) fn autoscaler(judge: &mut Judge<'_>, key: &str, scaler: &Autoscaler) {
    judge.expect(scaler.target.0 > 0.0, &format!("{key}.target"), "a target of nothing asks for endless chunks", "a share above 0%, e.g. \"80%\"");
    judge.positive_span(&format!("{key}.window"), scaler.window);
    judge.positive_span(&format!("{key}.poll"), scaler.poll);
    match &scaler.lag {
        Lag::Fixed(_) => {}
        Lag::Lognormal { median, p95 } => {
            judge.positive_span(&format!("{key}.lag.lognormal.median"), *median);
            let message = format!("p95 = {p95} is below the median {median}");
            judge.expect(p95 >= median, &format!("{key}.lag.lognormal.p95"), message, "the median or more");
        }
        Lag::Empirical(delays) => {
            let key = format!("{key}.lag.empirical");
            judge.at_least(&key, delays.len() as u64, 1);
            if !delays.is_empty() && delays.iter().all(|d| d.nanos() == Nanos::ZERO) {
                let fault = Fault::new("", "every delay is zero").with_expected("measured delays");
                judge.refuse(&key, fault.with_hint("no delay at all is { fixed = \"0s\" }"));
            }
        }
    }
}
