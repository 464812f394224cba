//! Rules of `[endpoint]`.

use super::Judge;
use crate::scenario::autoscaler::{Policy, Units};
use crate::scenario::endpoint::{EndpointSpec, StepLaw};

pub(super) fn judge(judge: &mut Judge<'_>, spec: &EndpointSpec) {
    step(judge, &spec.step);
    for (key, value) in [
        ("endpoint.prefill_budget", spec.prefill_budget),
        ("endpoint.max_batch", spec.max_batch),
        ("endpoint.embedding_dimension", spec.embedding_dimension),
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
        &format!("{} or more", spec.min_chunks.max(1)),
    );
    judge.expect(spec.max_chunks >= 1 || spec.min_chunks > 0, "endpoint.max_chunks", "an endpoint that never serves", "1 or more");
    judge.expect(spec.max_chunks <= 10_000, "endpoint.max_chunks", format!("{} is too many", spec.max_chunks), "10000 at most");
    if matches!(spec.autoscaler.policy, Policy::Units(Units { burst: None })) && spec.max_chunks > spec.min_chunks {
        let message = format!("without bursts there are never more than min_chunks = {}", spec.min_chunks);
        let expected = format!("{}, or policy = {{ units = {{ burst = {{}} }} }}", spec.min_chunks);
        judge.expect_with(&["endpoint.min_chunks", "endpoint.autoscaler.policy"], false, "endpoint.max_chunks", message, &expected);
    }
    super::autoscaler::judge(judge, "endpoint.autoscaler", &spec.autoscaler);
}

/// An iteration must take time, or virtual time would stand still.
fn step(judge: &mut Judge<'_>, law: &StepLaw) {
    judge.positive_span("endpoint.step.base", law.base);
    judge.within("endpoint.step.curvature", law.curvature, 1.0, 100.0);
}
