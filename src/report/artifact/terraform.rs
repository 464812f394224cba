//! Terraform: the resource of the endpoint's product.

use super::{identifier, members};
use crate::protocol::databricks::Product;
use crate::protocol::databricks::endpoint::CreateEndpoint;
use serde_json::Value;

/// The configuration.
pub(super) fn text(body: &CreateEndpoint, product: Product, why: &str) -> String {
    let resource = match product {
        Product::TokenBands => "databricks_model_serving",
        Product::ModelUnits => "databricks_model_serving_provisioned_throughput",
    };
    let mut lines = vec![
        format!("# {why}"),
        "# A changed name makes a new endpoint. Deployments of large models may take two hours where GPUs are short.".to_owned(),
        format!("resource \"{resource}\" \"{}\" {{", identifier(&body.name)),
        format!("  name = {}", literal(&Value::from(body.name.clone()))),
        "  config {".to_owned(),
    ];
    for entity in &body.config.served_entities {
        lines.push("    served_entities {".to_owned());
        lines.extend(members(entity).iter().map(|(key, value)| format!("      {key} = {}", literal(value))));
        lines.push("    }".to_owned());
    }
    if let Some(traffic) = &body.config.traffic_config {
        lines.push("    traffic_config {".to_owned());
        for route in &traffic.routes {
            lines.push("      routes {".to_owned());
            // The older key is the one that every version of the provider knows.
            lines.push(format!("        served_model_name = {}", literal(&Value::from(route.served_entity_name.clone()))));
            lines.push(format!("        traffic_percentage = {}", route.traffic_percentage));
            lines.push("      }".to_owned());
        }
        lines.push("    }".to_owned());
    }
    lines.push("  }".to_owned());
    for tag in &body.tags {
        let value = tag.value.as_ref().map_or_else(String::new, |value| format!("\n    value = {}", literal(&Value::from(value.clone()))));
        lines.push(format!("  tags {{\n    key = {}{value}\n  }}", literal(&Value::from(tag.key.clone()))));
    }
    lines.extend(["  timeouts {", "    create = \"2h\"", "    update = \"2h\"", "  }", "}", ""].map(str::to_owned));
    lines.join("\n")
}

/// A value in HCL: as in JSON, where a text holds no template.
fn literal(value: &Value) -> String {
    value.to_string().replace("${", "$${").replace("%{", "%%{")
}

#[cfg(test)]
mod tests {
    use super::super::all;
    use crate::protocol::databricks::endpoint::{CreateEndpoint, EndpointConfig, Tag};
    use crate::protocol::databricks::entity::{ServedEntity, TrafficConfig};

    /// Read by a real parser: the resource of the product, with every figure of the body.
    #[test]
    fn terraform_reads_what_was_meant() {
        let band = ServedEntity::band("system.ai.m", "2", 0, 1940);
        let units = ServedEntity::units("system.ai.u", "1", 100, false);
        for (entity, resource, key, figure) in [
            (band, "databricks_model_serving", "max_provisioned_throughput", 1940),
            (units, "databricks_model_serving_provisioned_throughput", "provisioned_model_units", 100),
        ] {
            let traffic_config = Some(TrafficConfig::split([(entity.served_name().as_str(), 100)]));
            let config = EndpointConfig { served_entities: vec![entity.clone()], traffic_config, ..EndpointConfig::default() };
            let tags = vec![Tag { key: "why".to_owned(), value: Some("${x} \"quoted\"".to_owned()) }];
            let body = CreateEndpoint { name: "3-llama".to_owned(), config, tags, ..CreateEndpoint::default() };
            let files = all(&serde_json::json!(body), "because");
            let text = &files.iter().find(|file| file.name == "endpoint.tf").unwrap().text;
            let read: serde_json::Value = hcl::from_str(text).unwrap();
            let found = &read["resource"][resource]["endpoint_3_llama"];
            assert_eq!(found["name"], "3-llama", "{text}");
            let served = &found["config"]["served_entities"];
            assert_eq!((&served["entity_name"], &served[key]), (&entity.entity_name.clone().into(), &figure.into()), "{text}");
            assert_eq!(found["config"]["traffic_config"]["routes"]["traffic_percentage"], 100);
            assert!(found["tags"]["value"].as_str().unwrap().ends_with("\"quoted\""), "{found}");
            if entity.max_provisioned_throughput.is_some() {
                assert_eq!(served["min_provisioned_throughput"], 0);
            } else {
                assert_eq!(served["burst_scaling_enabled"], false);
            }
        }
    }
}
