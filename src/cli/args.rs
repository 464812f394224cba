//! The command line as clap types; no defaults logic, no I/O.

pub mod endpoint;
mod gate;

use clap::{Args, Parser, Subcommand, ValueEnum};
use endpoint::EndpointArgs;
pub use gate::{
    Annotations, GateAcceptArgs, GateArgs, GateCalibrateArgs, GateFilesArgs, GateHistoryArgs, GateLoadArgs, GateMode, GateOptions, GateSidesArgs,
    GateSloArgs, GateTrendArgs, OnInconclusive, OnMissingBaseline,
};
use std::path::PathBuf;

/// Finds how much an LLM serving endpoint may safely carry, and which throughput to provision.
#[derive(Debug, Parser)]
#[command(name = "plimsoll", version, about, long_about = LONG, max_term_width = 110, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to write results on stdout.
    #[arg(long, value_enum, default_value_t = Format::Text, global = true)]
    pub format: Format,
    /// No progress and no talk on stderr; errors are still told.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Colour in text: auto asks the terminal and NO_COLOR.
    #[arg(long, value_enum, default_value_t = Color::Auto, global = true)]
    pub color: Color,
}

const LONG: &str = "Finds how much an LLM serving endpoint may safely carry, and which throughput to provision.

Replays token-length distributions against an endpoint, measures tokens per second and latency percentiles, and recommends
minimum and maximum provisioned throughput in chunks, including the head-room that slow autoscaling makes necessary.

Exit codes: 0 good; 2 usage or scenario; 10 regression (gate); 11 objective not met, no size keeps the promise, or a promise broken; 12 inconclusive;
13 invalid run; 14 baseline missing or not comparable (gate); 15 refused for safety or budget; 20 endpoint unreachable or refusing, or a port taken;
21 results cannot be written; 22 control plane refuses, or a deployment fails or takes too long; 130 Ctrl-C; 143 SIGTERM.";

/// How to write results on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For comments and step summaries.
    Md,
}

/// Colour in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// When stdout is a terminal and NO_COLOR is not set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// One file of `cli` each.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The whole loop on the embedded endpoint: sweep, fit, plan, verify, report.
    Demo(DemoArgs),
    /// Tells every fault of scenarios at once.
    Check(CheckArgs),
    /// Loads an endpoint once, measures, reports.
    Run(RunArgs),
    /// Finds the highest load that meets the objectives, with a confidence interval.
    ///
    /// Without --steps, and unless the scenario lists sweep.rates or sweep.users, the loads are searched for: doubling from load.arrivals, then
    /// bisection, then windows beside the capacity until its interval is as narrow as --width. Every window has the lengths and gaps of the same
    /// seed (scaled to the load), and prompts of its own.
    Sweep(SweepArgs),
    /// Measures the scale-up lag and what a chunk really serves: a step of load against an autoscaling endpoint.
    ///
    /// Low load, a step up that is held until a chunk must have come, low load again. The lag is read from the tokens received alone and holds the
    /// autoscaler's decision (its window and poll), which cannot be told apart from outside. `plan --probe` takes the probe.json it writes.
    Probe(ProbeArgs),
    /// Turns a recording of requests or of rates into a scenario, a compact empirical table and a demand model.
    Learn(LearnArgs),
    /// Fits the endpoint's model to measured runs, with its uncertainty, and says what is missing.
    ///
    /// Uses what a client sees and nothing else; `sweep --for-fit` runs the experiments that it needs. Exit code 12 when too little was measured.
    Fit(FitArgs),
    /// Recommends minimum and maximum chunks for a demand, and says why.
    Plan(PlanArgs),
    /// Loads the size that a plan recommends and says whether its promise stands.
    ///
    /// The requests that were sent are simulated with the plan's model; measured and predicted latencies are compared quantile by quantile.
    /// Ends with 0 when the promise stands, 11 when it is broken, 12 when there were too few requests to say, 13 for an invalid run.
    Verify(VerifyArgs),
    /// Goes from a model to a Databricks endpoint in the size that its plan asks for: create small, measure, fit, plan, verify, resize.
    ///
    /// Model, endpoint and demand stand in `[plan]` of the scenario. Every step is written down in a folder; --resume goes on after the last one that is done
    /// (or verifies again, if the verification had no verdict), and refuses with 14 if the endpoint is not what it was. Ends as the verification does: 0, 11 (broken, or no size keeps the promise), 12, 13.
    Provision(ProvisionArgs),
    /// Says whether a change made the endpoint worse, for CI: pairs of runs with the same seed, until the verdict is certain.
    ///
    /// Base and head are loaded in turns, the order of each pair by a seeded coin, with the same workload and prompts of their own, so that no cache
    /// favours a side. After 4, 6, 8 and 10 pairs it looks; it ends at the first look that shows FAIL (worse than a margin) or PASS (within
    /// every margin). Margins, floors, looks and pauses stand in `[gate]` of the scenario.
    Gate(GateArgs),
    /// Serves the simulated endpoint of a scenario, and a Databricks workspace around it, over HTTP on 127.0.0.1.
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
    /// Measures what load this host can make, and says whether a scenario fits.
    Doctor(DoctorArgs),
    /// The Databricks control plane: what a chunk of a model is; creates, resizes, watches and deletes endpoints.
    ///
    /// The workspace and who asks follow Databricks' unified rules: --url and --token-env, else DATABRICKS_HOST with DATABRICKS_TOKEN or DATABRICKS_CLIENT_ID and
    /// DATABRICKS_CLIENT_SECRET, else a profile of ~/.databrickscfg. Ends with 0 when done, 2 for a request that would be refused, 15 when it was not confirmed, 20 when nobody answers
    /// or lets us in, 22 when the control plane refuses, a model is not eligible, or a deployment fails or takes too long.
    Endpoint(EndpointArgs),
    /// Writes the reports of a run folder again; recovers a run that was cut.
    Report(ReportArgs),
    /// Prints the JSON Schema of scenarios (or of run.json, sweep.json, plan.json, result.json of a gate).
    Schema(SchemaArgs),
    /// Prints completions for a shell.
    Completions(CompletionsArgs),
    /// Prints the manual page.
    Man,
}

/// What `serve` answers to.
const SERVE_HELP: &str = "\
Paths:
  /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/models, /health, /metrics
  /api/2.0/serving-endpoints/...         create, read, resize, delete, tags, AI gateway, logs, metrics, optimization info
  /api/2.1/unity-catalog/models/...      versions and aliases
  /api/2.0/permissions/serving-endpoints/{id}
  /oidc/..., /.well-known/databricks-config   OAuth, machine to machine
  /serving-endpoints/{name}/invocations, /serving-endpoints/chat/completions (model = name)

Clients of Databricks find it with DATABRICKS_HOST=http://127.0.0.1:PORT and any DATABRICKS_TOKEN. A configuration is deployed
in 2 s, not in the minutes of the real service: --set endpoint.workspace.deployment=10min changes that. docs/EMULATION.md says
what is emulated and what is not.";

/// A scenario and what is changed in it.
#[derive(Debug, Args)]
pub struct ScenarioArgs {
    /// The scenario file.
    pub scenario: PathBuf,
    /// Changes a value, e.g. `--set load.measure=10s`; may be given many times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Seed of every random stream [default: from the clock for loads, 1 for plans].
    #[arg(long)]
    pub seed: Option<u64>,
}

/// Options of commands that send load.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// Base URL of the endpoint; replaces `target.url`.
    #[arg(long)]
    pub url: Option<String>,
    /// Model name; replaces `target.model`.
    #[arg(long)]
    pub model: Option<String>,
    /// A host other than this machine that may be loaded; must equal the host of the URL.
    #[arg(long, value_name = "HOST")]
    pub confirm_host: Option<String>,
    /// Requests per second, a number such as 2.5: Poisson arrivals at this rate replace `load.arrivals`.
    #[arg(long, value_name = "RATE", conflicts_with = "users")]
    pub request_rate: Option<f64>,
    /// Closed loop with this many users; replaces `load.arrivals`.
    #[arg(long)]
    pub users: Option<u32>,
    /// Requests in flight, at most; replaces `load.max_in_flight`. What is due beyond it is recorded as shed.
    #[arg(long)]
    pub max_concurrency: Option<u32>,
    /// Measured window, e.g. 30s; replaces `load.measure`.
    #[arg(long)]
    pub duration: Option<String>,
    /// Bounds of a good request in milliseconds, e.g. `--goodput ttft:200 tpot:50`; become p95 objectives.
    #[arg(long, num_args = 1.., value_name = "METRIC:MS")]
    pub goodput: Vec<String>,
    /// Worker threads, 1 to 256 [default: one less than the cores, at least 1].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub workers: Option<u32>,
    /// Sends a load above the ceiling that `plimsoll doctor` measured for this host; the run will most likely be INVALID.
    #[arg(long)]
    pub allow_client_limit: bool,
    /// Folder for results.
    #[arg(long, default_value = "reports", value_name = "DIR")]
    pub out: PathBuf,
}

/// `sweep`.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// The scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// The load.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Loads these steps instead of searching: rates such as 1/s,2/s,4/s, or numbers of users such as 8,16,32 for a closed loop.
    #[arg(long, value_delimiter = ',', value_name = "LOAD", conflicts_with = "adaptive")]
    pub steps: Vec<String>,
    /// Searches although the scenario lists sweep.rates or sweep.users.
    #[arg(long)]
    pub adaptive: bool,
    /// Half width of the interval that ends the search, in percent of the capacity, 0.5 to 20.
    #[arg(long, default_value_t = 2.0, value_name = "PERCENT")]
    pub width: f64,
    /// Confidence of the interval, in percent, 50 to 99.9.
    #[arg(long, default_value_t = 95.0, value_name = "PERCENT")]
    pub confidence: f64,
    /// Shortest measured window of the search [default: 10s].
    #[arg(long, value_name = "TIME")]
    pub shortest: Option<String>,
    /// Longest measured window of the search [default: 10min].
    #[arg(long, value_name = "TIME")]
    pub longest: Option<String>,
    /// Requests of the whole search, at most [default: limits.requests].
    #[arg(long, value_name = "N")]
    pub max_requests: Option<u64>,
    /// Time under load of the whole search, at most, e.g. 30min [default: limits.duration].
    #[arg(long, value_name = "TIME")]
    pub max_time: Option<String>,
    /// Runs the experiments that `plimsoll fit` needs instead of a search: idle prompt ladder, concurrency ladder, open loads; cheapest first, sized
    /// by what the last ones showed.
    #[arg(long, conflicts_with_all = ["steps", "adaptive", "over"])]
    pub for_fit: bool,
    /// Input plus output tokens of these experiments, at most; what it does not pay for is left out and told [default: limits.tokens].
    #[arg(long, value_name = "N", requires = "for_fit")]
    pub token_budget: Option<u64>,
    /// At the end one step at 1.5 times the highest load, for the throughput at saturation.
    #[arg(long)]
    pub over: bool,
}

/// `probe`.
#[derive(Debug, Args)]
pub struct ProbeArgs {
    /// The scenario; its arrivals are replaced by the step.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// The load.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Load before and after the step, in advertised chunks [default: half of endpoint.min_chunks, and 1.25 for each of --target-chunks].
    #[arg(long, value_delimiter = ',', value_name = "LOW,HIGH")]
    pub step: Vec<f64>,
    /// Chunks that the step aims at [default: one more than endpoint.min_chunks].
    #[arg(long, value_name = "N")]
    pub target_chunks: Option<u32>,
    /// Steps, one after another; from five on the lag becomes a lognormal.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub repeats: u32,
    /// Time at the low load before the step [default: window and poll of the autoscaler].
    #[arg(long, value_name = "TIME")]
    pub before: Option<String>,
    /// Time at the high load [default: 1.5 times the longest lag that the scenario expects, its window and two polls].
    #[arg(long, value_name = "TIME")]
    pub hold: Option<String>,
    /// Time at the low load behind it, for the scale-down [default: 1.5 times the scale-down delay, the window and two polls].
    #[arg(long, value_name = "TIME")]
    pub after: Option<String>,
    /// Takes window, poll and target of the scenario's autoscaler for true and subtracts the time of its decision from the lag.
    #[arg(long)]
    pub assume_policy: bool,
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// The load.
    #[command(flatten)]
    pub load: LoadArgs,
}

/// `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Seed of every random stream.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Folder for results.
    #[arg(long, default_value = "reports", value_name = "DIR")]
    pub out: PathBuf,
}

/// `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Scenario files.
    #[arg(required = true)]
    pub scenarios: Vec<PathBuf>,
    /// Changes a value before checking, e.g. `--set load.measure=10s`; may be given many times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// `learn`.
#[derive(Debug, Args)]
pub struct LearnArgs {
    /// The recording: CSV or JSON lines, plain or gzip.
    pub trace: PathBuf,
    /// How to read it: auto, azure, mooncake, burstgpt, table, csv or jsonl.
    #[arg(long, default_value = "auto")]
    pub trace_format: String,
    /// Columns of a generic CSV or JSON lines file: `timestamp=ts,input=prompt_tokens,output=completion_tokens[,unit=milliseconds]`; units seconds, milliseconds, microseconds, nanoseconds.
    #[arg(long, value_name = "MAP")]
    pub columns: Option<String>,
    /// Token lengths for a recording of rates: another recording of requests.
    #[arg(long, value_name = "FILE")]
    pub lengths: Option<PathBuf>,
    /// When the recording begins, where its timestamps do not say, e.g. 2024-05-10T00:00Z: gives weekdays and the time of day.
    #[arg(long, value_name = "INSTANT")]
    pub start: Option<String>,
    /// Share of all requests that were refused with 429 and are missing from the recording, e.g. 3%.
    #[arg(long, value_name = "SHARE")]
    pub throttled_share: Option<String>,
    /// Writes NAME.toml, traces/NAME.csv and (from a day of recording on) NAME.demand.json into this folder.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Name of the scenario [default: the file's name].
    #[arg(long)]
    pub name: Option<String>,
    /// Rows of the empirical table, at most.
    #[arg(long, default_value_t = 5000)]
    pub rows: usize,
    /// Seed of the choice of rows.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// `fit`.
#[derive(Debug, Args)]
pub struct FitArgs {
    /// Run or sweep folders of one endpoint with a fixed number of chunks.
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Where the model goes [default: model.json in the first folder].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Seed of the bootstrap.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// Fits the endpoint's model to these run or sweep folders instead of taking `[endpoint]`.
    #[arg(long, num_args = 1.., value_name = "RUN")]
    pub from: Vec<PathBuf>,
    /// Takes the endpoint's model, with its uncertainty, from a model.json that `fit` or `plan` wrote.
    #[arg(long, value_name = "MODEL", conflicts_with = "from")]
    pub model: Option<PathBuf>,
    /// Skips the comparisons with other inputs (growth, lengths, delay, speed), which take about half as long as the search.
    #[arg(long)]
    pub quick: bool,
    /// Takes the scale-up lag from a probe.json that `probe` wrote; a law that was assumed is stretched until a chunk serves what the probe saw.
    #[arg(long, value_name = "PROBE")]
    pub probe: Option<PathBuf>,
    /// Demand grows by this factor, on top of `plan.growth`, e.g. 1.5x.
    #[arg(long, value_name = "FACTOR")]
    pub growth: Option<String>,
    /// Folder for results.
    #[arg(long, default_value = "reports", value_name = "DIR")]
    pub out: PathBuf,
}

/// `provision`.
#[derive(Debug, Args)]
pub struct ProvisionArgs {
    /// The scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// The workspace.
    #[command(flatten)]
    pub workspace: endpoint::WorkspaceArgs,
    /// Goes on in this folder, which an earlier call made.
    #[arg(long, value_name = "FOLDER")]
    pub resume: Option<PathBuf>,
    /// Chunks of the small endpoint that is measured.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub small: u32,
    /// Measures with the experiments that a fit asks for, although the scenario lists sweep.rates.
    #[arg(long)]
    pub for_fit: bool,
    /// Skips the plan's comparisons with other inputs.
    #[arg(long)]
    pub quick: bool,
    /// Does not ask before the endpoint is created, and before it is resized.
    #[arg(long)]
    pub yes: bool,
    /// A deployment may take this long.
    #[arg(long, value_name = "TIME", default_value = "2h")]
    pub deadline: String,
    /// A host other than this machine that may be loaded; must equal the host of the workspace.
    #[arg(long, value_name = "HOST")]
    pub confirm_host: Option<String>,
    /// Sends a load above the ceiling that `plimsoll doctor` measured for this host.
    #[arg(long)]
    pub allow_client_limit: bool,
    /// Folder for results.
    #[arg(long, default_value = "reports", value_name = "DIR")]
    pub out: PathBuf,
}

/// `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// The load.
    #[command(flatten)]
    pub load: LoadArgs,
    /// The plan to verify: a folder written by `plan`, or its plan.json.
    #[arg(long, value_name = "PLAN")]
    pub plan: PathBuf,
    /// Loads at most this many chunks, and the peak scaled down in proportion: verifies the model, not the size.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub at_most: Option<u32>,
    /// A slowdown of the endpoint in per cent that must not go unseen: with too few requests to see it the verdict is UNDECIDED.
    #[arg(long, default_value_t = 15.0, value_name = "PERCENT")]
    pub slower: f64,
}

/// `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The scenario file [default: scenarios/workspace.toml, built in].
    pub scenario: Option<PathBuf>,
    /// Changes a value, e.g. `--set endpoint.workspace.deployment=30s`; may be given many times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Seed of every random stream.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// Ends by itself after this time, e.g. 10min.
    #[arg(long)]
    pub for_time: Option<String>,
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// A scenario that is to fit under the ceiling.
    pub scenario: Option<PathBuf>,
    /// Changes a value of it, e.g. `--set load.max_in_flight=200`; may be given many times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Takes the saved ceiling of this host, if there is one, instead of measuring again.
    #[arg(long)]
    pub saved: bool,
    /// Worker threads, 1 to 256 [default: as in `run`].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub workers: Option<u32>,
}

/// `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The run folder.
    pub run: PathBuf,
}

/// `schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Which document.
    #[arg(value_enum, default_value_t = SchemaOf::Scenario)]
    pub of: SchemaOf,
}

/// Documents with a published schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// Scenario files.
    Scenario,
    /// `run.json`.
    Run,
    /// `sweep.json`.
    Sweep,
    /// `plan.json`.
    Plan,
    /// `probe.json`.
    Probe,
    /// `verify.json`.
    Verify,
    /// `result.json` of a gate.
    Gate,
}

/// `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
