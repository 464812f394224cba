//! An endpoint: what creates and changes it, and what the server says of it.

use super::entity::{Deployment, ServedEntity, TrafficConfig};
use super::gateway::AiGateway;
use super::{Product, lenient};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Body of the request that creates an endpoint of either product.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CreateEndpoint {
    /// Its name: 1 to 63 letters, digits, `-` and `_`, not beginning with `databricks-`.
    pub name: String,
    /// What it serves.
    pub config: EndpointConfig,
    /// What stands in front of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ai_gateway: Option<AiGateway>,
    /// Labels, for example for billing.
    #[serde(default, deserialize_with = "lenient::list", skip_serializing_if = "lenient::is_empty")]
    pub tags: Vec<Tag>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whose budget it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_policy_id: Option<String>,
    /// Everything else, as it came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Its name.
    pub key: String,
    /// Its value, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// What an endpoint serves; a change always sends the whole of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointConfig {
    /// The entities. Servers repeat them as `served_models`, the older word, which is left alone.
    #[serde(default, deserialize_with = "lenient::list")]
    pub served_entities: Vec<ServedEntity>,
    /// How traffic is split; the server sends everything to a single entity without being told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_config: Option<TrafficConfig>,
    /// Count of changes; only in answers.
    #[serde(default, deserialize_with = "lenient::maybe_whole", skip_serializing_if = "Option::is_none")]
    pub config_version: Option<u64>,
    /// When a pending configuration began, in milliseconds since 1970; only in answers.
    #[serde(default, deserialize_with = "lenient::maybe_whole", skip_serializing_if = "Option::is_none")]
    pub start_time: Option<u64>,
    /// Everything else, as it came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Members of a configuration, beside those of [`EndpointConfig`], that may be sent again.
const WRITABLE: [&str; 1] = ["auto_capture_config"];

impl EndpointConfig {
    /// What the capacity of its entities is counted in, if it is provisioned throughput.
    #[must_use]
    pub fn product(&self) -> Option<Product> {
        self.served_entities.iter().find_map(ServedEntity::product)
    }

    /// The part of an answer that may be sent again.
    #[must_use]
    pub fn to_request(&self) -> Self {
        let mut other = self.other.clone();
        other.retain(|key, _| WRITABLE.contains(&key.as_str()));
        let served_entities = self.served_entities.iter().map(ServedEntity::to_request).collect();
        Self { served_entities, traffic_config: self.traffic_config.clone(), config_version: None, start_time: None, other }
    }

    /// Body of the request that makes this the configuration of an endpoint: bare for tokens per second, below `config` for model units.
    #[must_use]
    pub fn update_body(&self, product: Product) -> Value {
        match product {
            Product::TokenBands => json!(self),
            Product::ModelUnits => json!({ "config": self }),
        }
    }
}

/// An endpoint as the server describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its name.
    pub name: String,
    /// Its number, which permissions go by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator: Option<String>,
    /// When it was made, in milliseconds since 1970.
    #[serde(default, deserialize_with = "lenient::maybe_whole", skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<u64>,
    /// When it was changed last, in milliseconds since 1970.
    #[serde(default, deserialize_with = "lenient::maybe_whole", skip_serializing_if = "Option::is_none")]
    pub last_updated_timestamp: Option<u64>,
    /// Whether it serves and whether it changes.
    #[serde(default)]
    pub state: EndpointState,
    /// What serves now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<EndpointConfig>,
    /// What is on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_config: Option<EndpointConfig>,
    /// What stands in front of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ai_gateway: Option<AiGateway>,
    /// Labels.
    #[serde(default, deserialize_with = "lenient::list", skip_serializing_if = "lenient::is_empty")]
    pub tags: Vec<Tag>,
    /// What it answers, for example `llm/v1/chat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// What the caller may do: `CAN_VIEW`, `CAN_QUERY`, `CAN_MANAGE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_level: Option<String>,
    /// Everything else, as it came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Whether an endpoint serves and whether it changes: two things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointState {
    /// It serves.
    #[serde(default)]
    pub ready: Ready,
    /// It changes.
    #[serde(default)]
    pub config_update: ConfigUpdate,
}

/// Whether an endpoint serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Ready {
    /// It does.
    Ready,
    /// It does not, or nothing is known.
    #[default]
    #[serde(other)]
    NotReady,
}

/// Whether an endpoint changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConfigUpdate {
    /// It does not.
    #[default]
    NotUpdating,
    /// It does; what served before serves on.
    InProgress,
    /// The last change failed; what served before serves on.
    #[serde(alias = "FAILED")]
    UpdateFailed,
    /// The last change was called off.
    #[serde(alias = "CANCELED", alias = "UPDATE_CANCELLED")]
    UpdateCanceled,
    /// A word that is newer than this program.
    #[serde(other)]
    Unknown,
}

impl Endpoint {
    /// Entities of the configuration on its way, or of the one that serves if none is.
    pub fn entities(&self) -> impl Iterator<Item = &ServedEntity> {
        self.pending_config.as_ref().or(self.config.as_ref()).into_iter().flat_map(|config| &config.served_entities)
    }

    /// Entities, of either configuration, whose deployment failed or was given up.
    pub fn failed_entities(&self) -> impl Iterator<Item = &ServedEntity> {
        let is_lost =
            |entity: &&ServedEntity| entity.state.as_ref().is_some_and(|state| matches!(state.deployment, Deployment::Failed | Deployment::Aborted));
        self.pending_config.iter().chain(&self.config).flat_map(|config| &config.served_entities).filter(is_lost)
    }
}

/// The answer of `GET /api/2.0/serving-endpoints`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointList {
    /// All endpoints that the caller may see.
    #[serde(default, deserialize_with = "lenient::list")]
    pub endpoints: Vec<Endpoint>,
}

/// The answer of `build-logs` and `logs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// The text.
    #[serde(default)]
    pub logs: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPDATING: &str = r#"{"name":"llama","id":"8f0e","creator":"a@b","creation_timestamp":1700000000000,
        "state":{"ready":"READY","config_update":"IN_PROGRESS","suspend":"NOT_SUSPENDED"},
        "config":{"served_entities":[{"name":"m-2","entity_name":"system.ai.m","entity_version":"2","max_provisioned_throughput":970,
            "state":{"deployment":"DEPLOYMENT_READY"}}],"served_models":[{"name":"m-2"}],"config_version":1,
            "traffic_config":{"routes":[{"served_model_name":"m-2","traffic_percentage":100}]}},
        "pending_config":{"served_entities":[{"name":"m-2","entity_name":"system.ai.m","entity_version":"2","min_provisioned_throughput":970,
            "max_provisioned_throughput":1940,"state":{"deployment":"DEPLOYMENT_FAILED","deployment_state_message":"no GPU"}}],"config_version":2,"start_time":1700000001000},
        "task":"llm/v1/chat","permission_level":"CAN_MANAGE","route_optimized":false}"#;

    #[test]
    fn an_endpoint_in_the_middle_of_a_change_is_read() {
        let endpoint: Endpoint = serde_json::from_str(UPDATING).unwrap();
        assert_eq!(endpoint.state, EndpointState { ready: Ready::Ready, config_update: ConfigUpdate::InProgress });
        assert_eq!(endpoint.entities().next().unwrap().max_tok_s(), 1940);
        let failed: Vec<_> = endpoint.failed_entities().map(|e| e.state.as_ref().unwrap().deployment_state_message.as_deref()).collect();
        assert_eq!(failed, [Some("no GPU")]);
        assert_eq!(endpoint.other["route_optimized"], false);
    }

    #[test]
    fn a_change_sends_what_was_there_without_what_the_server_added() {
        let endpoint: Endpoint = serde_json::from_str(UPDATING).unwrap();
        let config = endpoint.config.unwrap();
        let body = config.to_request().update_body(Product::TokenBands);
        let expected = json!({
            "served_entities": [{"name": "m-2", "entity_name": "system.ai.m", "entity_version": "2", "min_provisioned_throughput": 0, "max_provisioned_throughput": 970}],
            "traffic_config": {"routes": [{"served_entity_name": "m-2", "traffic_percentage": 100}]},
        });
        assert_eq!(body, expected);
        assert_eq!(config.to_request().update_body(Product::ModelUnits), json!({ "config": expected }));
    }

    #[test]
    fn words_that_are_newer_than_this_program_are_no_fault() {
        let state = |text: &str| serde_json::from_str::<EndpointState>(text).unwrap();
        assert_eq!(
            state(r#"{"ready":"SOON","config_update":"PAUSED"}"#),
            EndpointState { ready: Ready::NotReady, config_update: ConfigUpdate::Unknown }
        );
        assert_eq!(state("{}"), EndpointState::default());
        assert_eq!(serde_json::from_str::<EndpointList>("{}").unwrap().endpoints.len(), 0);
    }

    /// The documented body of a creation with a split.
    #[test]
    fn the_documented_creation_is_read_and_written_again() {
        let told = json!({
            "name": "multi-pt-model",
            "config": {
                "served_entities": [
                    {"name": "meta_llama_v3_1_70b_instruct", "entity_name": "system.ai.meta_llama_v3_1_70b_instruct", "entity_version": "4", "min_provisioned_throughput": 0, "max_provisioned_throughput": 2400},
                    {"name": "meta_llama_v3_1_8b_instruct", "entity_name": "system.ai.meta_llama_v3_1_8b_instruct", "entity_version": "4", "min_provisioned_throughput": 0, "max_provisioned_throughput": 1240}],
                "traffic_config": {"routes": [
                    {"served_entity_name": "meta_llama_v3_1_8b_instruct", "traffic_percentage": 60},
                    {"served_entity_name": "meta_llama_v3_1_70b_instruct", "traffic_percentage": 40}]},
            },
            "tags": [{"key": "team", "value": "search"}, {"key": "test"}],
        });
        let body: CreateEndpoint = serde_json::from_value(told.clone()).unwrap();
        assert_eq!(body.config.product(), Some(Product::TokenBands));
        assert_eq!(serde_json::to_value(&body).unwrap(), told);
    }
}
