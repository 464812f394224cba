//! AI Gateway of an endpoint: rate limits, usage tracking, inference table, fallback.

use super::lenient;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What the gateway in front of an endpoint does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AiGateway {
    /// Limits; none when empty.
    #[serde(default, deserialize_with = "lenient::list", skip_serializing_if = "lenient::is_empty")]
    pub rate_limits: Vec<RateLimit>,
    /// Rows in `system.serving.endpoint_usage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_tracking_config: Option<Switch>,
    /// Requests and answers in a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference_table_config: Option<InferenceTable>,
    /// The next entity takes a request that one could not serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_config: Option<Switch>,
    /// Everything else, as it came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// On or off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// On.
    #[serde(default)]
    pub enabled: bool,
}

/// Where requests and answers are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InferenceTable {
    /// On.
    #[serde(default)]
    pub enabled: bool,
    /// Catalog of the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog_name: Option<String>,
    /// Schema of the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_name: Option<String>,
    /// Its name is this and `_payload`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_name_prefix: Option<String>,
}

/// One limit: calls or tokens a minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Calls in a period.
    #[serde(default, deserialize_with = "lenient::maybe_whole", skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// Tokens in a period.
    #[serde(default, deserialize_with = "lenient::maybe_whole", skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Whom it counts together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<LimitKey>,
    /// Which user, group or service principal, where the key asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The period; the API knows `minute` alone.
    #[serde(default)]
    pub renewal_period: String,
}

/// Whom a limit counts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKey {
    /// Everybody.
    #[default]
    Endpoint,
    /// Each user.
    User,
    /// A group.
    UserGroup,
    /// A service principal.
    ServicePrincipal,
    /// A word that is newer than this program.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_gateway_is_read_and_written_again() {
        let told = serde_json::json!({
            "rate_limits": [{"calls": 100, "key": "user", "renewal_period": "minute"}, {"tokens": 90000, "key": "user_group", "principal": "g", "renewal_period": "minute"}],
            "usage_tracking_config": {"enabled": true},
            "inference_table_config": {"enabled": true, "catalog_name": "main", "schema_name": "logs", "table_name_prefix": "llama"},
            "guardrails": {"input": {"pii": {"behavior": "BLOCK"}}},
        });
        let gateway: AiGateway = serde_json::from_value(told.clone()).unwrap();
        assert_eq!(gateway.rate_limits[1].key, Some(LimitKey::UserGroup));
        assert_eq!(serde_json::to_value(&gateway).unwrap(), told);
    }
}
