//! Request bodies of the control plane: the recommendation as JSON that creates or resizes the endpoint.

use super::search::Size;
use crate::scenario::plan::Plan;
use serde_json::{Value, json};

/// Tokens per second of `chunks` chunks, a whole number as the API wants it.
#[must_use]
pub fn throughput(chunks: u32, chunk_tok_s: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float to integer casts saturate; both factors are not negative")]
    let whole = chunk_tok_s.round() as u64;
    whole.saturating_mul(u64::from(chunks))
}

/// Body of `POST /api/2.0/serving-endpoints`.
///
/// The minimum is always written: an absent one means 0, an endpoint that starts cold.
#[must_use]
pub fn create_body(plan: &Plan, size: Size) -> Value {
    json!({ "name": plan.entity.endpoint, "config": config(plan, size) })
}

/// Body of `PUT /api/2.0/serving-endpoints/{name}/config`: the whole configuration; the old one serves until the new one is ready.
#[must_use]
pub fn resize_body(plan: &Plan, size: Size) -> Value {
    config(plan, size)
}

fn config(plan: &Plan, size: Size) -> Value {
    let entity = &plan.entity;
    let served = served_name(&entity.name, &entity.version);
    json!({
        "served_entities": [{
            "name": served,
            "entity_name": entity.name,
            "entity_version": entity.version,
            "min_provisioned_throughput": throughput(size.min, plan.chunk.size.0),
            "max_provisioned_throughput": throughput(size.max, plan.chunk.size.0),
        }],
        "traffic_config": { "routes": [{ "served_entity_name": served, "traffic_percentage": 100 }] },
    })
}

/// Name of the served entity: the last part of the model's name and its version, in characters that a name may have.
fn served_name(entity: &str, version: &str) -> String {
    let model = entity.rsplit('.').next().unwrap_or(entity);
    format!("{model}-{version}").chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::tests::tiny_plan;

    #[test]
    fn bodies_hold_whole_multiples_of_the_chunk() {
        let mut plan = tiny_plan();
        plan.chunk.size.0 = 1580.0;
        plan.entity.name = "system.ai.llama_v3_3_70b_instruct".to_owned();
        let body = create_body(&plan, Size { min: 2, max: 5 });
        assert_eq!(body["name"], "plimsoll-endpoint");
        let entity = &body["config"]["served_entities"][0];
        assert_eq!(entity["min_provisioned_throughput"], 3160);
        assert_eq!(entity["max_provisioned_throughput"], 7900);
        assert_eq!(entity["entity_name"], "system.ai.llama_v3_3_70b_instruct");
        assert_eq!(entity["name"], "llama_v3_3_70b_instruct-1");
        assert_eq!(body["config"]["traffic_config"]["routes"][0]["served_entity_name"], entity["name"]);
        assert_eq!(resize_body(&plan, Size { min: 2, max: 5 }), body["config"]);
    }
}
