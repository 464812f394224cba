//! `[target]`: the endpoint under load, how to speak to it, and who may.

use crate::base::units::TimeSpan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The endpoint under load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Target {
    /// Base URL, for example `http://127.0.0.1:8000` or `https://my-workspace.cloud.databricks.com`. Left out: the simulated endpoint.
    pub url: Option<String>,
    /// Which family of paths the endpoint has.
    pub api: Api,
    /// What is asked of it.
    pub task: Task,
    /// Version of HTTP under load: a connection for each open request, or connections shared by streams.
    pub http: HttpVersion,
    /// Streams of one HTTP/2 connection, at most; the server may allow fewer. One more request opens one more connection: none waits for a stream.
    pub streams_per_connection: u32,
    /// Model name sent in the body.
    pub model: String,
    /// Serving endpoint name, for `api = "databricks"`.
    pub endpoint: Option<String>,
    /// Served entity of the endpoint that gets the whole load, past the traffic split, for `api = "databricks"`.
    pub served_entity: Option<String>,
    /// Labels sent as `usage_context`, by which a load is found in `system.serving.endpoint_usage`, for `api = "databricks"`.
    pub usage_context: BTreeMap<String, String>,
    /// Sent as `client_request_id` with every request, by which a load is found in usage and inference tables, for `api = "databricks"`.
    pub client_request_id: Option<String>,
    /// Sent as `instruction` with every text, for embeddings of `api = "databricks"`.
    pub instruction: Option<String>,
    /// What the workspace allows, looked at before a load starts, for `api = "databricks"`.
    pub workspace_limits: WorkspaceLimits,
    /// Path that replaces the one of `api` and `task`.
    pub path: Option<String>,
    /// Stream the answer (server-sent events). Without it TTFT, TPOT and ITL are not measurable.
    pub stream: bool,
    /// Ask for usage in the stream (`stream_options.include_usage`).
    pub include_usage: bool,
    /// Log probabilities: the number of alternatives per token (`logprobs` and `top_logprobs`).
    pub top_logprobs: Option<u32>,
    /// Send `ignore_eos: true`, which vLLM, SGLang and llama.cpp understand: the output has exactly the length asked for.
    pub ignore_eos: bool,
    /// Sampling temperature, sent when given.
    pub temperature: Option<f64>,
    /// More members of the request body, as they are.
    pub extra_body: serde_json::Map<String, serde_json::Value>,
    /// More request headers. Secrets belong into `auth`.
    pub headers: BTreeMap<String, String>,
    /// Where the bearer token comes from.
    pub auth: Auth,
    /// Trust and client certificate.
    pub tls: Tls,
    /// When to give up.
    pub timeouts: Timeouts,
    /// Hosts other than this machine that may be loaded without `--confirm-host`.
    pub allowed_hosts: Vec<String>,
    /// Expected dimension of embeddings; a different one is an error of the class `malformed`.
    pub embedding_dimension: Option<u32>,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            url: None,
            api: Api::Openai,
            task: Task::Chat,
            http: HttpVersion::Http1,
            streams_per_connection: 32,
            model: "default".to_owned(),
            endpoint: None,
            served_entity: None,
            usage_context: BTreeMap::new(),
            client_request_id: None,
            instruction: None,
            workspace_limits: WorkspaceLimits::default(),
            path: None,
            stream: true,
            include_usage: true,
            top_logprobs: None,
            ignore_eos: false,
            temperature: None,
            extra_body: serde_json::Map::new(),
            headers: BTreeMap::new(),
            auth: Auth::None,
            tls: Tls::default(),
            timeouts: Timeouts::default(),
            allowed_hosts: Vec::new(),
            embedding_dimension: None,
        }
    }
}

/// What a Databricks workspace allows; the defaults are the documented limits of foundation models. A load beyond them measures the workspace, not the endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WorkspaceLimits {
    /// Requests per second of all endpoints together; Databricks raises it on request.
    pub requests_per_second: f64,
    /// Bytes of a request body.
    pub payload_bytes: u64,
    /// Longest execution of a request.
    pub execution: TimeSpan,
    /// Most output tokens of an answer, if the model has such a cap (8,192 to 25,000 by family).
    pub output_tokens: Option<u32>,
}

impl Default for WorkspaceLimits {
    fn default() -> Self {
        Self { requests_per_second: 200.0, payload_bytes: 4 << 20, execution: TimeSpan::secs(297), output_tokens: None }
    }
}

/// A family of paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`.
    Openai,
    /// `/serving-endpoints/{endpoint}/invocations` for every task.
    Databricks,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HttpVersion {
    /// HTTP/1.1.
    #[serde(rename = "1.1")]
    Http1,
    /// HTTP/2: agreed on by ALPN over TLS, by prior knowledge without. A server that does not speak it is an error, never a reason to fall back.
    #[serde(rename = "2")]
    Http2,
}

/// What is asked of the endpoint; Databricks calls them `llm/v1/chat`, `llm/v1/completions`, `llm/v1/embeddings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Messages in, message out.
    Chat,
    /// Prompt in, text out.
    Completions,
    /// Text in, vector out.
    Embeddings,
}

/// Where the bearer token comes from. Never the token itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// No `Authorization` header.
    None,
    /// The name of an environment variable.
    BearerEnv(String),
    /// A file that holds the token and nothing else.
    BearerFile(PathBuf),
    /// Databricks' unified login: a token or a service principal from the environment or a profile. Tokens are renewed while the load goes on.
    Databricks(DatabricksLogin),
}

/// A login by Databricks' unified rules: what is not said here comes from `DATABRICKS_TOKEN`, `DATABRICKS_CLIENT_ID` and `DATABRICKS_CLIENT_SECRET`, or the profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DatabricksLogin {
    /// Profile of the configuration file [default: `DATABRICKS_CONFIG_PROFILE`].
    pub profile: Option<String>,
    /// The configuration file [default: `DATABRICKS_CONFIG_FILE`, else `~/.databrickscfg`].
    pub config_file: Option<PathBuf>,
}

/// Trust and client certificate; PEM files. Relative paths start at the scenario's folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Certificate authorities to trust beside the system's.
    pub ca: Option<PathBuf>,
    /// Client certificate chain (mTLS).
    pub cert: Option<PathBuf>,
    /// Client private key (mTLS).
    pub key: Option<PathBuf>,
    /// Accept any certificate. The result is marked.
    pub insecure: bool,
}

/// When to give up on a request. Zero is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// TCP connect and TLS handshake.
    pub connect: TimeSpan,
    /// From the request written to the first byte of the answer.
    pub first_byte: TimeSpan,
    /// Longest silence inside an answer.
    pub idle: TimeSpan,
    /// From sent to closed.
    pub total: TimeSpan,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: TimeSpan::secs(10), first_byte: TimeSpan::secs(120), idle: TimeSpan::secs(60), total: TimeSpan::secs(297) }
    }
}
