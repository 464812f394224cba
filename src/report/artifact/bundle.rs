//! Databricks Asset Bundle: the endpoint as a resource.

use super::{identifier, members, quoted};
use crate::protocol::databricks::endpoint::CreateEndpoint;

/// The bundle.
pub(super) fn text(body: &CreateEndpoint, why: &str) -> String {
    let mut lines = vec![
        format!("# {why}"),
        "# `databricks bundle deploy` creates or changes the endpoint; deployments go through /serving-endpoints for both products.".to_owned(),
        "bundle:".to_owned(),
        format!("  name: {}", quoted(&format!("{}-bundle", body.name))),
        "resources:".to_owned(),
        "  model_serving_endpoints:".to_owned(),
        format!("    {}:", identifier(&body.name)),
        format!("      name: {}", quoted(&body.name)),
        "      config:".to_owned(),
        "        served_entities:".to_owned(),
    ];
    for entity in &body.config.served_entities {
        let mut dash = "- ";
        for (key, value) in members(entity) {
            lines.push(format!("          {dash}{key}: {value}"));
            dash = "  ";
        }
    }
    if let Some(traffic) = &body.config.traffic_config {
        lines.extend(["        traffic_config:", "          routes:"].map(str::to_owned));
        for route in &traffic.routes {
            lines.push(format!("            - served_entity_name: {}", quoted(&route.served_entity_name)));
            lines.push(format!("              traffic_percentage: {}", route.traffic_percentage));
        }
    }
    if !body.tags.is_empty() {
        lines.push("      tags:".to_owned());
    }
    for tag in &body.tags {
        lines.push(format!("        - key: {}", quoted(&tag.key)));
        lines.extend(tag.value.as_ref().map(|value| format!("          value: {}", quoted(value))));
    }
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::all;
    use crate::protocol::databricks::endpoint::{CreateEndpoint, EndpointConfig, Tag};
    use crate::protocol::databricks::entity::{ServedEntity, TrafficConfig};
    use yaml_rust2::YamlLoader;

    /// Read by a real parser: two entities with their split, texts as texts and numbers as numbers.
    #[test]
    fn yaml_reads_what_was_meant() {
        let entities = vec![ServedEntity::band("system.ai.m", "2", 0, 1940), ServedEntity::band("system.ai.n", "10", 970, 970)];
        let config = EndpointConfig {
            served_entities: entities,
            traffic_config: Some(TrafficConfig::split([("m-2", 60), ("n-10", 40)])),
            ..EndpointConfig::default()
        };
        let tags = vec![Tag { key: "on".to_owned(), value: Some("a: b # c".to_owned()) }];
        let body = CreateEndpoint { name: "no".to_owned(), config, tags, ..CreateEndpoint::default() };
        let files = all(&serde_json::json!(body), "why: because # of this");
        let text = &files.iter().find(|file| file.name == "databricks.yml").unwrap().text;
        let read = &YamlLoader::load_from_str(text).unwrap()[0];
        let found = &read["resources"]["model_serving_endpoints"]["no"];
        assert_eq!(found["name"].as_str(), Some("no"), "{text}");
        let served = &found["config"]["served_entities"];
        assert_eq!((served[0]["min_provisioned_throughput"].as_i64(), served[0]["max_provisioned_throughput"].as_i64()), (Some(0), Some(1940)));
        assert_eq!((served[1]["entity_version"].as_str(), served[1]["entity_name"].as_str()), (Some("10"), Some("system.ai.n")));
        assert_eq!(found["config"]["traffic_config"]["routes"][1]["traffic_percentage"].as_i64(), Some(40));
        assert_eq!(found["tags"][0]["value"].as_str(), Some("a: b # c"));
    }
}
