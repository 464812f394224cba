//! The command line of `gate`: paired as the command itself, the other modes below it.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `gate`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_help = AFTER)]
pub struct GateArgs {
    /// Another way to come to the runs.
    #[command(subcommand)]
    pub mode: Option<GateMode>,
    /// Base and head are both there: the load that both get.
    #[command(flatten)]
    pub load: Option<GateLoadArgs>,
    /// Base and head are both there: what each is.
    #[command(flatten)]
    pub sides: GateSidesArgs,
    /// What every mode takes.
    #[command(flatten)]
    pub options: GateOptions,
}

const AFTER: &str = "Examples:
  plimsoll gate scenarios/chat.toml --base http://127.0.0.1:8000 --head http://127.0.0.1:8001
  plimsoll gate scenarios/chat.toml --head-set target.model=my-model-v2 --pause 2s
  plimsoll gate files --base reports/chat/20260101T00* --head reports/chat/20260102T00*
  plimsoll gate history --baseline baselines/chat.json --head reports/chat/20260102T00*

Exit codes: 0 PASS; 10 FAIL; 11 promise not met (gate slo); 12 INCONCLUSIVE; 13 INVALID; 14 NOT COMPARABLE, or no baseline;
15 refused; 20 unreachable. With --on-inconclusive warn, INCONCLUSIVE ends with 0.";

/// Ways to come to runs.
#[derive(Debug, Subcommand)]
pub enum GateMode {
    /// Compares runs that are on disk: pair by pair where seeds are equal, side against side otherwise.
    Files(GateFilesArgs),
    /// Compares runs of the head with the accepted runs of a baseline file.
    History(GateHistoryArgs),
    /// Asks whether runs with different seeds show that the objectives of the scenario are met.
    Slo(GateSloArgs),
    /// Looks for change points in a series of nights, and for drift from a pinned anchor. For nightly jobs, not for pull requests.
    Trend(GateTrendArgs),
    /// Loads one system against itself and says how much a gate can see there.
    Calibrate(GateCalibrateArgs),
    /// Takes the head of a gate that passed into a baseline file.
    Accept(GateAcceptArgs),
}

/// What every mode takes.
#[derive(Debug, Args)]
pub struct GateOptions {
    /// How to end when neither FAIL nor PASS is shown: with 12, or with a warning and 0.
    #[arg(long, value_enum, default_value_t = OnInconclusive::Fail, global = true, value_name = "HOW")]
    pub on_inconclusive: OnInconclusive,
    /// Workflow commands on stderr for the annotations of GitHub: auto asks GITHUB_ACTIONS.
    #[arg(long, value_enum, default_value_t = Annotations::Auto, global = true, value_name = "FOR")]
    pub annotations: Annotations,
    /// Folder for results.
    #[arg(long, default_value = "reports", global = true, value_name = "DIR")]
    pub out: PathBuf,
    /// Writes result.json, junit.xml, summary.md and the other files of the gate into this folder as well, for CI systems that want fixed paths.
    #[arg(long, global = true, value_name = "DIR")]
    pub copy_to: Option<PathBuf>,
}

/// What INCONCLUSIVE means for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnInconclusive {
    /// Exit code 0, with a warning: for pull requests.
    Warn,
    /// Exit code 12: for releases.
    Fail,
}

/// For whom annotations are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Annotations {
    /// For GitHub where GITHUB_ACTIONS is set.
    Auto,
    /// For GitHub.
    Github,
    /// For nobody.
    None,
}

/// The sides of `gate SCENARIO`.
#[derive(Debug, Args)]
pub struct GateSidesArgs {
    /// Base URL of the side that is compared with [default: target.url; without one, the simulated endpoint of the scenario].
    #[arg(long, value_name = "URL")]
    pub base: Option<String>,
    /// Base URL of the side that is judged [default: as for --base].
    #[arg(long, value_name = "URL")]
    pub head: Option<String>,
    /// Changes a value for the base only, e.g. `--base-set target.model=mine-v1`; may be given many times.
    #[arg(long, value_name = "KEY=VALUE")]
    pub base_set: Vec<String>,
    /// Changes a value for the head only; may be given many times.
    #[arg(long, value_name = "KEY=VALUE")]
    pub head_set: Vec<String>,
    /// A fact about the base that the head must share, e.g. `--base-fact region=eu-west-1`; may be given many times.
    #[arg(long, value_name = "KEY=VALUE")]
    pub base_fact: Vec<String>,
    /// A fact about the head; may be given many times.
    #[arg(long, value_name = "KEY=VALUE")]
    pub head_fact: Vec<String>,
}

/// The load of a gate that makes its runs itself.
#[derive(Debug, Args)]
pub struct GateLoadArgs {
    /// The scenario; its section `[gate]` holds margins, floors, looks and pauses.
    pub scenario: PathBuf,
    /// Changes a value for every run, e.g. `--set load.measure=30s`; may be given many times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Seed of the gate: workloads, order of the runs, prompts [default: from the clock].
    #[arg(long)]
    pub seed: Option<u64>,
    /// Pause between two runs; replaces `gate.pause`.
    #[arg(long, value_name = "TIME")]
    pub pause: Option<String>,
    /// A host other than this machine that may be loaded; may be given once for each.
    #[arg(long, value_name = "HOST")]
    pub confirm_host: Vec<String>,
    /// Worker threads, 1 to 256 [default: one less than the cores, at least 1].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub workers: Option<u32>,
    /// Sends a load above the ceiling that `plimsoll doctor` measured for this host; runs will most likely be INVALID.
    #[arg(long)]
    pub allow_client_limit: bool,
}

/// `gate files`.
#[derive(Debug, Args)]
pub struct GateFilesArgs {
    /// Run folders of the side that is compared with.
    #[arg(long, num_args = 1.., required = true, value_name = "RUN")]
    pub base: Vec<PathBuf>,
    /// Run folders of the side that is judged.
    #[arg(long, num_args = 1.., required = true, value_name = "RUN")]
    pub head: Vec<PathBuf>,
    /// Takes `[gate]` from this scenario [default: from the first run of the head].
    #[arg(long, value_name = "SCENARIO")]
    pub rules: Option<PathBuf>,
}

/// `gate history`.
#[derive(Debug, Args)]
pub struct GateHistoryArgs {
    /// The baseline file that `gate accept` wrote.
    #[arg(long, value_name = "FILE")]
    pub baseline: PathBuf,
    /// Run folders of the head.
    #[arg(long, num_args = 1.., required = true, value_name = "RUN")]
    pub head: Vec<PathBuf>,
    /// What to do without a baseline file: end with 14, or write the runs there as the first ones, with a warning and 0.
    #[arg(long, value_enum, default_value_t = OnMissingBaseline::Fail, value_name = "HOW")]
    pub on_missing_baseline: OnMissingBaseline,
    /// Who accepts the runs if they are the first ones [default: USER].
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Takes `[gate]` from this scenario [default: from the first run of the head].
    #[arg(long, value_name = "SCENARIO")]
    pub rules: Option<PathBuf>,
}

/// What to do without a baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnMissingBaseline {
    /// Exit code 14.
    Fail,
    /// The runs become the baseline, with a warning; nothing was compared.
    Record,
}

/// `gate slo`.
#[derive(Debug, Args)]
pub struct GateSloArgs {
    /// Run folders of one endpoint with different seeds, 8 or more for a sharp answer.
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Takes objectives and `[gate]` from this scenario [default: from the first run].
    #[arg(long, value_name = "SCENARIO")]
    pub rules: Option<PathBuf>,
}

/// `gate trend`.
#[derive(Debug, Args)]
pub struct GateTrendArgs {
    /// Nights in order: each a run folder, or a folder of run folders.
    #[arg(required = true, value_name = "NIGHT")]
    pub nights: Vec<PathBuf>,
    /// Run folders of the pinned anchor: of a release, for example.
    #[arg(long, num_args = 1.., value_name = "RUN")]
    pub anchor: Vec<PathBuf>,
    /// Takes `[gate]` from this scenario [default: from the first run of the last night].
    #[arg(long, value_name = "SCENARIO")]
    pub rules: Option<PathBuf>,
}

/// `gate calibrate`.
#[derive(Debug, Args)]
pub struct GateCalibrateArgs {
    /// The load.
    #[command(flatten)]
    pub load: GateLoadArgs,
    /// Base URL of the system [default: target.url; without one, the simulated endpoint of the scenario].
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Pairs of runs, 3 or more.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(3..=1000))]
    pub pairs: u32,
}

/// `gate accept`.
#[derive(Debug, Args)]
pub struct GateAcceptArgs {
    /// The folder of a gate that passed; or a run folder, as long as the baseline holds too few runs to judge it by.
    pub gate: PathBuf,
    /// The baseline file; written whole or not at all.
    #[arg(long, value_name = "FILE")]
    pub baseline: PathBuf,
    /// Who accepts [default: USER].
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Why, in a line.
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub note: String,
    /// These runs become the anchor that drift is measured from as well.
    #[arg(long)]
    pub pin: bool,
    /// Shows what would change and writes nothing.
    #[arg(long)]
    pub dry_run: bool,
}
