//! A size as files that other tools take: Terraform, a Databricks Asset Bundle, MLflow, curl, and the SQL that exports the demand.

mod bundle;
mod script;
mod terraform;

use crate::protocol::databricks::endpoint::CreateEndpoint;
use crate::protocol::databricks::entity::ServedEntity;
use serde_json::Value;

/// A file to be written beside a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Its name.
    pub name: &'static str,
    /// Its content.
    pub text: String,
}

/// The files for the endpoint of `create_body`; none for a body that is no Databricks endpoint. `why` is told in their first lines.
#[must_use]
pub fn all(create_body: &Value, why: &str) -> Vec<Artifact> {
    let Ok(body) = serde_json::from_value::<CreateEndpoint>(create_body.clone()) else { return Vec::new() };
    let Some(product) = body.config.product() else { return Vec::new() };
    let why = why.lines().next().unwrap_or_default();
    vec![
        Artifact { name: "endpoint.tf", text: terraform::text(&body, product, why) },
        Artifact { name: "databricks.yml", text: bundle::text(&body, why) },
        Artifact { name: "mlflow_deploy.py", text: script::mlflow(&body, product, why) },
        Artifact { name: "apply.sh", text: script::curl(&body, product, why) },
        Artifact { name: "demand.sql", text: script::demand(&body.name) },
    ]
}

/// A name as an identifier: letters, digits and underscores, beginning with a letter.
fn identifier(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    if plain.starts_with(|c: char| c.is_ascii_alphabetic()) { plain } else { format!("endpoint_{plain}") }
}

/// A text in double quotes, as JSON has it, which YAML and Python read too.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Key and value of everything that is set for an entity, in the order that people expect.
fn members(entity: &ServedEntity) -> Vec<(&'static str, Value)> {
    let number = |value: Option<u64>| value.map(Value::from);
    let switch = |value: Option<bool>| value.map(Value::from);
    [
        ("name", Some(Value::from(entity.served_name()))),
        ("entity_name", Some(Value::from(entity.entity_name.clone()))),
        ("entity_version", Some(Value::from(entity.entity_version.clone()))),
        ("min_provisioned_throughput", number(entity.min_provisioned_throughput)),
        ("max_provisioned_throughput", number(entity.max_provisioned_throughput)),
        ("provisioned_model_units", number(entity.provisioned_model_units)),
        ("burst_scaling_enabled", switch(entity.burst_scaling_enabled)),
        ("scale_to_zero_enabled", switch(entity.scale_to_zero_enabled)),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key, value?)))
    .collect()
}
