//! How much of a chunk's time a request takes at least.

use crate::scenario::endpoint::EndpointSpec;
use crate::workload::schedule::Arrival;

/// The least time a chunk needs for a request, however well it is batched, seconds: its prompt, its share of the decoding iterations at a
/// full batch, its tokens and its context. `c p + e p x + (a / Bmax + b) m + d m (p + o / 2)`, with x the mean context of its prompt and
/// `m = (o - 1) / k` iterations of k tokens. What a cache may hold of the prompt costs nothing, and a bent law (`curvature` above 1), by which
/// an iteration takes no less than its work, leaves out the share of the base.
#[must_use]
pub fn least_work_s(spec: &EndpointSpec, arrival: &Arrival) -> f64 {
    let prompt = f64::from(arrival.input_tokens);
    let found = if spec.prefix_hit.requests.0 > 0.0 { spec.prefix_hit.prompt.0 } else { 0.0 };
    let computed = f64::from(arrival.input_tokens.saturating_sub(arrival.shared_tokens)).min(prompt * (1.0 - found)).max(1.0);
    let decoded = f64::from(arrival.output_tokens.saturating_sub(1));
    let iterations = decoded / f64::from(spec.tokens_per_step.max(1));
    let law = &spec.step;
    let base = if law.curvature > 1.0 { 0.0 } else { law.base.as_secs_f64() / f64::from(spec.max_batch.max(1)) };
    law.per_prefill_token.as_secs_f64() * computed
        + law.prefill_growth.as_secs_f64() * computed * (prompt - computed / 2.0) / 1000.0
        + (base + law.per_sequence.as_secs_f64()) * iterations
        + law.per_context_token.as_secs_f64() * iterations * (prompt + decoded / 2.0)
}
