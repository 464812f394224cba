//! `[endpoint.workspace]`: the Databricks workspace around the simulated endpoint: its models, limits, principals and deployment times.

use super::target::Task;
use crate::base::units::{Share, TimeSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The workspace that `plimsoll serve` emulates on the port of the simulated endpoint: a model catalog, a control plane, limits. It has no
/// bearing on the simulated endpoint itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Workspace {
    /// Serving endpoint under which the simulated endpoint of this scenario is found. Left out: `target.endpoint`, or else the model's name.
    pub endpoint: Option<String>,
    /// The registered model that it serves, in its highest version. Left out: `plan.entity`, or one in `main.default`, with `endpoint.chunk`.
    pub model: Option<RegisteredModel>,
    /// From an accepted create or update to a configuration that serves. Far shorter than the minutes that the real service takes.
    pub deployment: TimeSpan,
    /// Chunks for which the region has GPUs, over all endpoints and counted by their minimum. A deployment beyond it waits, and fails.
    pub gpu_chunks: u32,
    /// How long a deployment waits for GPUs before it fails.
    pub gpu_wait: TimeSpan,
    /// Requests open at once over all serving endpoints; more are answered 429 with the workspace's text. Left out: no limit.
    pub parallel_requests: Option<u32>,
    /// Requests a second over all serving endpoints; more are answered 429. The documented limit is 200; left out: no limit.
    pub queries_per_second: Option<u32>,
    /// How far a burst may go beyond the provisioned model units, as a share of them. An assumption: no document says it.
    pub burst: Share,
    /// Tokens that the chat template of the server adds to every conversation; they are in `prompt_tokens` and take time like any other.
    pub template_tokens: u32,
    /// When a stream of a serving endpoint tells its usage.
    pub stream_usage: StreamUsage,
    /// Lifetime of an OAuth token.
    pub token_lifetime: TimeSpan,
    /// Model versions on one page of a listing, at most; every other page is empty, as the service allows itself.
    pub page: u32,
    /// Registered models. Left out: the examples of the documentation, of both products and one that cannot be served.
    pub models: Vec<RegisteredModel>,
    /// Serving endpoints of custom models that exist and are stopped.
    pub stopped: Vec<String>,
    /// Who may call. Left out: everybody, with any token or none, as an administrator.
    pub principals: Vec<Principal>,
}

impl Default for Workspace {
    fn default() -> Self {
        Self {
            endpoint: None,
            model: None,
            deployment: TimeSpan::secs(2),
            gpu_chunks: 64,
            gpu_wait: TimeSpan::secs(5),
            parallel_requests: None,
            queries_per_second: None,
            burst: Share(1.0),
            template_tokens: 0,
            stream_usage: StreamUsage::default(),
            token_lifetime: TimeSpan::secs(3600),
            page: 2,
            models: Vec::new(),
            stopped: Vec::new(),
            principals: Vec::new(),
        }
    }
}

/// When a stream tells its usage; all of these were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StreamUsage {
    /// At its end, if the request asked with `stream_options.include_usage`.
    #[default]
    Asked,
    /// In every event, the count so far, asked or not; and no `[DONE]`.
    Every,
    /// Never.
    Never,
}

/// A model of the emulated Unity Catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisteredModel {
    /// `catalog.schema.model`.
    pub name: String,
    /// How it is sold.
    pub offer: ModelOffer,
    /// What it does.
    #[serde(default = "RegisteredModel::chat")]
    pub task: Task,
    /// The family that the control plane names: `llama`, `gte`.
    #[serde(default)]
    pub model_type: Option<String>,
    /// Versions that can be served.
    #[serde(default = "RegisteredModel::first")]
    pub versions: Vec<u32>,
    /// Versions whose registration is not done.
    #[serde(default)]
    pub pending: Vec<u32>,
    /// Versions whose registration failed.
    #[serde(default)]
    pub failed: Vec<u32>,
    /// Names of versions.
    #[serde(default)]
    pub aliases: BTreeMap<String, u32>,
}

impl RegisteredModel {
    fn chat() -> Task {
        Task::Chat
    }

    fn first() -> Vec<u32> {
        vec![1]
    }
}

/// How a model is sold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ModelOffer {
    /// In bands of tokens per second, a multiple of this chunk.
    Throughput(u32),
    /// In model units, a multiple of this chunk.
    ModelUnits(u32),
    /// Not with provisioned throughput; the control plane's message.
    Refused(String),
}

/// Somebody known to the emulated workspace. Its bearer token is `dapi-` and its name, its OAuth client id the name and its client secret
/// `dose-` and the name: made up by rule, so that no secret stands in a scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    /// User name, or the application id of a service principal.
    pub name: String,
    /// May do everything with every endpoint; others may create endpoints, and do with those of others what they were granted.
    #[serde(default)]
    pub admin: bool,
}
