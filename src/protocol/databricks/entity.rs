//! What an endpoint serves: entities with their capacity, and how traffic is split between them.

use super::{Product, lenient};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A model version behind an endpoint, with its capacity: as it is asked for, and, with `state`, as it stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServedEntity {
    /// Name inside the endpoint; the server makes one of model and version where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The model in Unity Catalog, `catalog.schema.name`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub entity_name: String,
    /// Its version, a number in a text.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "String::is_empty")]
    pub entity_version: String,
    /// Least tokens per second; other writers leave out a 0.
    #[serde(default, deserialize_with = "lenient::maybe_whole", skip_serializing_if = "Option::is_none")]
    pub min_provisioned_throughput: Option<u64>,
    /// Most tokens per second.
    #[serde(default, deserialize_with = "lenient::maybe_whole", skip_serializing_if = "Option::is_none")]
    pub max_provisioned_throughput: Option<u64>,
    /// Model units.
    #[serde(default, deserialize_with = "lenient::maybe_whole", skip_serializing_if = "Option::is_none")]
    pub provisioned_model_units: Option<u64>,
    /// May go beyond its model units for a while. The server never tells what it was set to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst_scaling_enabled: Option<bool>,
    /// May go to nothing when idle, and then starts cold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_to_zero_enabled: Option<bool>,
    /// How far its deployment is; only in answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<EntityState>,
    /// Everything else, as it came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Members of a served entity, beside those of [`ServedEntity`], that may be sent again. The rest of an answer is the server's own.
const WRITABLE: [&str; 5] = ["environment_vars", "external_model", "instance_profile_arn", "pt_term", "pt_auto_renew"];
/// Members that size an entity without provisioned throughput; beside provisioned throughput a server tells them, and they are not for sending.
const SIZING: [&str; 4] = ["min_provisioned_concurrency", "max_provisioned_concurrency", "workload_size", "workload_type"];

impl ServedEntity {
    /// An entity that scales between two rates of tokens per second.
    #[must_use]
    pub fn band(entity_name: &str, entity_version: &str, min_tok_s: u64, max_tok_s: u64) -> Self {
        let (min, max) = (Some(min_tok_s), Some(max_tok_s));
        Self { min_provisioned_throughput: min, max_provisioned_throughput: max, ..Self::of(entity_name, entity_version) }
    }

    /// An entity of a fixed number of model units, with bursts beyond it or without.
    #[must_use]
    pub fn units(entity_name: &str, entity_version: &str, model_units: u64, burst: bool) -> Self {
        Self { provisioned_model_units: Some(model_units), burst_scaling_enabled: Some(burst), ..Self::of(entity_name, entity_version) }
    }

    fn of(entity_name: &str, entity_version: &str) -> Self {
        let name = default_name(entity_name, entity_version);
        Self { name: Some(name), entity_name: entity_name.to_owned(), entity_version: entity_version.to_owned(), ..Self::default() }
    }

    /// What its capacity is counted in; none for entities without provisioned throughput (external models, custom models).
    #[must_use]
    pub const fn product(&self) -> Option<Product> {
        if self.provisioned_model_units.is_some() {
            Some(Product::ModelUnits)
        } else if self.max_provisioned_throughput.is_some() || self.min_provisioned_throughput.is_some() {
            Some(Product::TokenBands)
        } else {
            None
        }
    }

    /// Its name, or the one the server makes.
    #[must_use]
    pub fn served_name(&self) -> String {
        self.name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| default_name(&self.entity_name, &self.entity_version))
    }

    /// Least tokens per second; absent is 0.
    #[must_use]
    pub fn min_tok_s(&self) -> u64 {
        self.min_provisioned_throughput.unwrap_or(0)
    }

    /// Most tokens per second; absent is 0.
    #[must_use]
    pub fn max_tok_s(&self) -> u64 {
        self.max_provisioned_throughput.unwrap_or(0)
    }

    /// The part of an answer that may be sent again, with the minimum written out.
    #[must_use]
    pub fn to_request(&self) -> Self {
        let mut again = self.clone();
        again.state = None;
        let is_sized_otherwise = self.product().is_none();
        again.other.retain(|key, _| WRITABLE.contains(&key.as_str()) || is_sized_otherwise && SIZING.contains(&key.as_str()));
        if self.product() == Some(Product::TokenBands) {
            again.min_provisioned_throughput = Some(self.min_tok_s());
        }
        again
    }
}

/// Name of a served entity that has none: last part of the model's name and its version, in characters that a name may have.
#[must_use]
pub fn default_name(entity_name: &str, entity_version: &str) -> String {
    let model = entity_name.rsplit('.').next().unwrap_or(entity_name);
    format!("{model}-{entity_version}").chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' }).collect()
}

/// How far the deployment of an entity is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityState {
    /// The state.
    #[serde(default)]
    pub deployment: Deployment,
    /// In the server's words: the only place where a lack of GPUs is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_state_message: Option<String>,
}

/// State of a deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deployment {
    /// Starting.
    #[serde(rename = "DEPLOYMENT_CREATING")]
    Creating,
    /// Serves.
    #[serde(rename = "DEPLOYMENT_READY")]
    Ready,
    /// Did not start.
    #[serde(rename = "DEPLOYMENT_FAILED")]
    Failed,
    /// Given up because something else failed or because it was asked for.
    #[serde(rename = "DEPLOYMENT_ABORTED")]
    Aborted,
    /// Broken, and on its way back.
    #[serde(rename = "DEPLOYMENT_RECOVERING")]
    Recovering,
    /// Nothing is known, or a word that is newer than this program.
    #[default]
    #[serde(rename = "DEPLOYMENT_UNKNOWN", other)]
    Unknown,
}

/// How traffic is split between the entities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficConfig {
    /// One route an entity; shares sum up to 100.
    #[serde(default, deserialize_with = "lenient::list")]
    pub routes: Vec<Route>,
}

/// The share of one entity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "AnyRoute")]
pub struct Route {
    /// Name of the entity.
    pub served_entity_name: String,
    /// Its share in per cent, 0 to 100.
    pub traffic_percentage: u64,
}

/// A route as servers of any age tell it: with the new name of the key, the old one, or both.
#[derive(Deserialize)]
struct AnyRoute {
    #[serde(default)]
    served_entity_name: Option<String>,
    #[serde(default)]
    served_model_name: Option<String>,
    #[serde(default, deserialize_with = "lenient::whole")]
    traffic_percentage: u64,
}

impl From<AnyRoute> for Route {
    fn from(any: AnyRoute) -> Self {
        let name = any.served_entity_name.or(any.served_model_name).unwrap_or_default();
        Self { served_entity_name: name, traffic_percentage: any.traffic_percentage }
    }
}

impl TrafficConfig {
    /// A split between `(name, per cent)`.
    #[must_use]
    pub fn split<'a>(shares: impl IntoIterator<Item = (&'a str, u64)>) -> Self {
        let route = |(name, share): (&str, u64)| Route { served_entity_name: name.to_owned(), traffic_percentage: share };
        Self { routes: shares.into_iter().map(route).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A minimum of 0 is written, and one that is missing is read as 0.
    #[test]
    fn a_minimum_of_nothing_is_said_aloud() {
        let cold = ServedEntity::band("system.ai.meta_llama_v3_1_8b_instruct", "2", 0, 970);
        let json = serde_json::to_value(&cold).unwrap();
        assert_eq!(json["min_provisioned_throughput"], 0);
        assert_eq!(json["entity_version"], "2");
        assert_eq!(json["name"], "meta_llama_v3_1_8b_instruct-2");
        let read: ServedEntity = serde_json::from_str(r#"{"entity_name":"a.b.c","entity_version":2,"max_provisioned_throughput":970}"#).unwrap();
        assert_eq!((read.entity_version.as_str(), read.min_tok_s(), read.max_tok_s()), ("2", 0, 970));
        assert_eq!(serde_json::to_value(read.to_request()).unwrap()["min_provisioned_throughput"], 0);
    }

    #[test]
    fn what_is_sent_again_holds_no_state_but_all_that_can_be_set() {
        let told = r#"{"name":"m-1","entity_name":"a.b.m","entity_version":"1","min_provisioned_throughput":970,"max_provisioned_throughput":1940,
            "scale_to_zero_enabled":false,"environment_vars":{"K":"V"},"workload_size":"Small","creator":"x","creation_timestamp":1,"foundation_model":{"name":"m"},
            "state":{"deployment":"DEPLOYMENT_READY","deployment_state_message":""}}"#;
        let entity: ServedEntity = serde_json::from_str(told).unwrap();
        assert_eq!(entity.state.as_ref().unwrap().deployment, Deployment::Ready);
        let again = serde_json::to_value(entity.to_request()).unwrap();
        assert_eq!(again["environment_vars"]["K"], "V");
        assert!(
            ["creator", "state", "creation_timestamp", "foundation_model", "workload_size"].iter().all(|key| again.get(key).is_none()),
            "{again}"
        );
        assert_eq!(entity.product(), Some(Product::TokenBands));
        let custom: ServedEntity = serde_json::from_str(r#"{"entity_name":"a.b.c","entity_version":"1","workload_size":"Small"}"#).unwrap();
        assert_eq!(serde_json::to_value(custom.to_request()).unwrap()["workload_size"], "Small");
    }

    #[test]
    fn splits_come_with_numbers_or_texts() {
        let told = r#"{"routes":[{"served_model_name":"a","traffic_percentage":"60"},{"served_entity_name":"b","served_model_name":"b","traffic_percentage":40}]}"#;
        let split: TrafficConfig = serde_json::from_str(told).unwrap();
        assert_eq!(split, TrafficConfig::split([("a", 60), ("b", 40)]));
        assert_eq!(serde_json::to_value(&split).unwrap()["routes"][0]["traffic_percentage"], 60);
    }
}
