//! The command line of `endpoint` as clap types.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `endpoint`.
#[derive(Debug, Args)]
pub struct EndpointArgs {
    /// Which workspace, and who asks.
    #[command(flatten)]
    pub workspace: WorkspaceArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: EndpointCommand,
}

/// Which workspace, and who asks.
#[derive(Clone, Debug, Default, Args)]
pub struct WorkspaceArgs {
    /// Workspace URL or host [default: DATABRICKS_HOST, else the profile's].
    #[arg(long, global = true, alias = "host")]
    pub url: Option<String>,
    /// Profile of ~/.databrickscfg [default: DATABRICKS_CONFIG_PROFILE].
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// Environment variable that holds the token, for another one than DATABRICKS_TOKEN.
    #[arg(long, global = true, value_name = "VARIABLE")]
    pub token_env: Option<String>,
    /// Certificate authority to trust beside the system's, a PEM file.
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Goes through this proxy, e.g. http://proxy:3128; none is taken from the environment.
    #[arg(long, global = true, value_name = "URL")]
    pub proxy: Option<String>,
}

/// What `endpoint` does.
#[derive(Debug, Subcommand)]
pub enum EndpointCommand {
    /// Tells what one chunk of a model is: get-model-optimization-info.
    Info(InfoArgs),
    /// Creates an endpoint with provisioned throughput.
    Create(CreateArgs),
    /// Changes capacity, entities, traffic or gateway of an endpoint; what served before serves on until the change is ready.
    Resize(ResizeArgs),
    /// Tells how an endpoint stands: state, capacity, traffic, and what is on its way.
    Status(NameArgs),
    /// Waits until an endpoint is ready, and says why if it never will be.
    Wait(WaitArgs),
    /// Deletes an endpoint.
    Delete(DeleteArgs),
    /// Lists the endpoints of the workspace.
    List,
}

/// `endpoint info`.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// Model in Unity Catalog: catalog.schema.model.
    pub model: String,
    /// Its version: a number, `latest` (the highest that is ready), or @ALIAS.
    #[arg(long = "version", alias = "model-version", default_value = "latest", value_name = "VERSION")]
    pub version: String,
    /// Asks nobody: reads the answer of this file, which --save wrote, or the last one that was kept.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "")]
    pub offline: Option<String>,
    /// Writes the answer with its date into this file, for --offline.
    #[arg(long, value_name = "FILE", conflicts_with = "offline")]
    pub save: Option<PathBuf>,
}

/// What is served, and what stands in front of it.
#[derive(Clone, Debug, Default, Args)]
pub struct SizeArgs {
    /// Takes model, version, minimum and maximum from a plan: a folder written by `plan`, or its plan.json.
    #[arg(long, value_name = "PLAN")]
    pub from: Option<PathBuf>,
    /// Model in Unity Catalog: catalog.schema.model.
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Its version: a number, `latest` (the highest that is ready), or @ALIAS.
    #[arg(long = "version", alias = "model-version", value_name = "VERSION")]
    pub version: Option<String>,
    /// Least throughput: tokens per second, or a number of chunks, e.g. 1580 or 1chunk. 0 lets the endpoint start cold.
    #[arg(long, value_name = "AMOUNT")]
    pub min: Option<String>,
    /// Most throughput: tokens per second, or a number of chunks.
    #[arg(long, value_name = "AMOUNT")]
    pub max: Option<String>,
    /// Model units, or a number of chunks of them, for models that are sold in units.
    #[arg(long, value_name = "AMOUNT", conflicts_with_all = ["min", "max"])]
    pub model_units: Option<String>,
    /// Model units are a fixed size: no bursts beyond them.
    #[arg(long)]
    pub no_burst: bool,
    /// The endpoint goes to nothing when idle; the next request waits for a cold start.
    #[arg(long)]
    pub scale_to_zero: bool,
    /// One of several served entities: `MODEL[@VERSION],min=AMOUNT,max=AMOUNT,traffic=PERCENT` (or units=AMOUNT, burst=false, name=NAME, zero=true). May be given many times.
    #[arg(long, value_name = "ENTITY", conflicts_with_all = ["model", "version", "min", "max", "model_units"])]
    pub entity: Vec<String>,
    /// Adds a label: KEY or KEY=VALUE. May be given many times.
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// AI Gateway: a limit a minute, e.g. calls=600, tokens=100000,key=user, or calls=60,key=user_group,principal=NAME. May be given many times.
    #[arg(long = "rate-limit", value_name = "LIMIT")]
    pub rate_limits: Vec<String>,
    /// AI Gateway: rows in system.serving.endpoint_usage.
    #[arg(long)]
    pub usage_tracking: bool,
    /// AI Gateway: requests and answers in the table CATALOG.SCHEMA.PREFIX_payload.
    #[arg(long, value_name = "CATALOG.SCHEMA.PREFIX")]
    pub inference_table: Option<String>,
    /// AI Gateway: the next entity takes a request that one could not serve.
    #[arg(long)]
    pub fallback: bool,
    /// Takes the chunk from this file, which `endpoint info --save` wrote, instead of asking.
    #[arg(long, value_name = "FILE")]
    pub offline: Option<PathBuf>,
    /// Price of the first chunk an hour, and of every further one, to show the cost: 6.00,24.00. A plan brings its own.
    #[arg(long, value_name = "FIRST[,NEXT]")]
    pub chunk_price: Option<String>,
    /// Prints the exact request and sends none.
    #[arg(long)]
    pub dry_run: bool,
    /// Does not ask.
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// Waits until it is ready; see `endpoint wait`.
    #[arg(long)]
    pub wait: bool,
    /// Longest wait.
    #[arg(long, default_value = "2h", value_name = "TIME")]
    pub deadline: String,
}

/// `endpoint create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Name of the endpoint [default: the plan's].
    pub name: Option<String>,
    /// What it serves.
    #[command(flatten)]
    pub size: SizeArgs,
    /// What it is for.
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
}

/// `endpoint resize`.
#[derive(Debug, Args)]
pub struct ResizeArgs {
    /// Name of the endpoint [default: the plan's].
    pub name: Option<String>,
    /// What it serves from now on; what is not given stays as it is.
    #[command(flatten)]
    pub size: SizeArgs,
    /// Which of several entities to resize.
    #[arg(long, value_name = "NAME", conflicts_with = "entity")]
    pub served: Option<String>,
}

/// `endpoint status`.
#[derive(Debug, Args)]
pub struct NameArgs {
    /// Name of the endpoint.
    pub name: String,
}

/// `endpoint wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Name of the endpoint.
    pub name: String,
    /// Longest wait. Large models may take two hours where GPUs are short.
    #[arg(long, default_value = "2h", value_name = "TIME")]
    pub deadline: String,
}

/// `endpoint delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Name of the endpoint.
    pub name: String,
    /// Prints the exact request and sends none.
    #[arg(long)]
    pub dry_run: bool,
    /// Does not ask.
    #[arg(long, short = 'y')]
    pub yes: bool,
}
