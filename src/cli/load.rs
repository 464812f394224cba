//! One load from start to finish: guard, budget, endpoint, engine, results. Every command that sends load goes through here.

use super::args::LoadArgs;
use super::exit::{Exit, Failure};
use super::printer::Printer;
use super::results::{self, RunFolder};
use super::scenario::{self, Recordings};
use super::signals::Signals;
use super::{doctor, embedded, endpoint as endpoint_command, guard, progress};
use crate::base::clock::Clock;
use crate::base::rng::Seed;
use crate::client::auth::{self, Secret};
use crate::client::control;
use crate::client::databricks::Workspace;
use crate::engine::budget::{Budget, Exceeded};
use crate::engine::ceiling::{self, Demand, Grade};
use crate::engine::limits::{self, Allowance, Needs};
use crate::engine::live::Live;
use crate::engine::run::{self as engine, Parts};
use crate::engine::workspace_limits;
use crate::measure::document::RunDocument;
use crate::measure::summary::ObjectiveVerdict;
use crate::record::manifest::{EndpointIdentity, Manifest};
use crate::scenario::experiment::Experiment;
use crate::scenario::target::{Api, Auth, HttpVersion, Task};
use crate::serve;
use crate::workload::prompt::PromptBook;
use crate::workload::schedule::Schedule;
use crate::workload::tokenizer::Vocabulary;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How loads of this command are made.
pub(crate) struct Loader<'a> {
    /// Where talk goes.
    pub(crate) printer: Printer,
    /// What may stop it.
    pub(crate) signals: &'a Signals,
    /// Folder that run folders are made in.
    pub(crate) out: PathBuf,
    /// Host named by `--confirm-host`.
    pub(crate) confirm_host: Option<String>,
    /// Worker threads, when asked for.
    pub(crate) workers: Option<u32>,
    /// Loads above the ceiling of this host are sent all the same.
    pub(crate) allow_client_limit: bool,
}

impl<'a> Loader<'a> {
    /// As the options say.
    #[must_use]
    pub(crate) fn new(args: &LoadArgs, printer: Printer, signals: &'a Signals) -> Self {
        Self {
            printer,
            signals,
            out: args.out.clone(),
            confirm_host: args.confirm_host.clone(),
            workers: args.workers,
            allow_client_limit: args.allow_client_limit,
        }
    }
}

/// A load that has ended.
pub(crate) struct Done {
    /// Its document, written.
    pub(crate) document: RunDocument,
    /// Its folder.
    pub(crate) folder: PathBuf,
}

/// What a load needs that outlives it: read once, used by every step of a sweep.
pub(crate) struct Ready {
    /// The recordings that the scenario names.
    pub(crate) recordings: Recordings,
    vocabulary: Arc<Vocabulary>,
    token: Option<Secret>,
    /// Who gets new tokens, where they are a Databricks login's.
    login: Option<Arc<Workspace>>,
    /// The embedded endpoint, if the scenario names no URL.
    endpoint: Option<serve::Handle>,
    url: String,
}

/// Guard, recordings, vocabulary, token, endpoint: everything that can fail before the first request.
pub(crate) fn prepare(experiment: &Experiment, loader: &Loader<'_>) -> Result<Ready, Failure> {
    let target = &experiment.scenario.target;
    if let Some(url) = &target.url {
        guard::check(url, &target.allowed_hosts, loader.confirm_host.as_deref())?;
    }
    if target.tls.insecure {
        loader.printer.talk("warning: TLS certificates are NOT verified (target.tls.insecure); the result says so");
    }
    let recordings = scenario::material(experiment, loader.printer)?;
    prepare_with(experiment, recordings)
}

/// The same with recordings that have been read already.
pub(crate) fn prepare_with(experiment: &Experiment, recordings: Recordings) -> Result<Ready, Failure> {
    let target = &experiment.scenario.target;
    let vocabulary = scenario::vocabulary(experiment)?;
    let env = |name: &str| std::env::var(name).ok();
    let login = Workspace::of_target(target, &experiment.base_dir, &env).map_err(|e| endpoint_command::failure(&e))?.map(Arc::new);
    let token = match &login {
        Some(login) => token_of(login)?,
        None => auth::bearer(&target.auth, &experiment.base_dir, env).map_err(|e| Failure::from_error(Exit::Usage, &e))?,
    };
    let endpoint = if target.url.is_none() { Some(embedded::start(experiment)?) } else { None };
    let url = endpoint.as_ref().map(serve::Handle::url).or_else(|| target.url.clone()).unwrap_or_default();
    let ready = Ready { recordings, vocabulary, token, login, endpoint, url };
    if ready.endpoint.is_none() {
        probe(experiment, &ready)?;
    }
    Ok(ready)
}

/// Asks the endpoint whether it is there, so that a wrong port is told in a second and not after a run of failures.
fn probe(experiment: &Experiment, ready: &Ready) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Exit::Unreachable, format!("cannot start a runtime: {e}")))?;
    runtime
        .block_on(control::probe(&experiment.scenario.target, &experiment.base_dir, ready.token.as_ref()))
        .map(|_| ())
        .map_err(|e| Failure::from_error(Exit::Unreachable, &e))
}

/// The token of a login, for the next request.
fn token_of(login: &Workspace) -> Result<Option<Secret>, Failure> {
    endpoint_command::block_on(async { Ok(login.tokens().bearer().await?) })
}

/// A token file may have been replaced since the command began, and a login's token may be near its end: every load takes what is good now.
fn newest_token(experiment: &Experiment, ready: &Ready) -> Result<Option<Secret>, Failure> {
    let auth = &experiment.scenario.target.auth;
    let newest = match &ready.login {
        Some(login) => token_of(login)?,
        None if matches!(auth, Auth::BearerFile(_)) => auth::bearer(auth, &experiment.base_dir, |_| None).ok().flatten(),
        None => None,
    };
    Ok(newest.or_else(|| ready.token.clone()))
}

/// Refuses a first load that this host cannot make; told where it is doubtful.
pub(crate) fn check_first(experiment: &Experiment, ready: &Ready, loader: &Loader<'_>) -> Result<(), Failure> {
    let schedule = Schedule::new(experiment, &ready.recordings.load).map_err(|e| Failure::from_error(Exit::Usage, &e))?;
    check_host(&Demand::of(experiment, &schedule.expected()), experiment, ready, loader)
}

/// Cores available to this process.
fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1))
}

/// Worker threads when nobody asks for a number: a core is left for the pacer and the log.
#[must_use]
pub(crate) fn default_workers(cores: u32) -> u32 {
    cores.saturating_sub(1).clamp(1, 16)
}

/// Loads once into a new run folder and writes everything. `label` names it in progress.
pub(crate) fn once(experiment: &Experiment, ready: &Ready, loader: &Loader<'_>, label: &str) -> Result<Done, Failure> {
    check_first(experiment, ready, loader)?;
    let folder = || results::new_folder(&loader.out, &experiment.scenario.name, experiment.seed, &now_utc());
    once_in(folder, experiment, ready, loader, label)
}

/// The same into the folder that `folder` makes, once nothing stands in the way of the load.
pub(crate) fn once_in(
    folder: impl FnOnce() -> Result<PathBuf, Failure>,
    experiment: &Experiment,
    ready: &Ready,
    loader: &Loader<'_>,
    label: &str,
) -> Result<Done, Failure> {
    once_worded(folder, experiment, experiment.seed, ready, loader, label)
}

/// The same with a seed of its own for the words of the prompts: the lengths and instants of another load, and nothing for a prefix cache to answer.
pub(crate) fn once_worded(
    folder: impl FnOnce() -> Result<PathBuf, Failure>,
    experiment: &Experiment,
    words: Seed,
    ready: &Ready,
    loader: &Loader<'_>,
    label: &str,
) -> Result<Done, Failure> {
    let mut experiment = experiment.clone();
    experiment.scenario.target.url = Some(ready.url.clone());
    let schedule = Schedule::new(&experiment, &ready.recordings.load).map_err(|e| Failure::from_error(Exit::Usage, &e))?;
    let budget = Budget::of(&experiment, schedule.expected());
    loader.printer.talk(&format!("{label}: seed {}, {budget}; target {}", experiment.seed.0, ready.url));
    budget.check(&experiment).map_err(|e| refused(&e))?;
    workspace_limits::check(&experiment, &budget.expected).map_err(|e| {
        Failure::from_error(Exit::Refused, &e)
            .with_hint(format!("lower the load, or raise target.workspace_limits.{} if this workspace allows more", e.key))
    })?;
    let token = newest_token(&experiment, ready)?;
    let cores = cores();
    let manifest = manifest(&experiment, ready, cores);
    let mut folder = RunFolder::create(folder()?, &experiment, &manifest)?;
    let live = Arc::new(Live::default());
    loader.signals.loading(&live);
    let parts = Parts {
        schedule,
        book: PromptBook::new(Arc::clone(&ready.vocabulary), &experiment.scenario.workload.prompts, words),
        counter: Some(counter(&ready.vocabulary)),
        token,
        login: ready.login.clone(),
        workers: loader.workers.unwrap_or_else(|| default_workers(cores)),
        cores,
        embedded: ready.endpoint.is_some(),
        live: Arc::clone(&live),
    };
    let shown = progress::of_run(loader.printer, label, budget.longest, &live);
    let report = engine::run(&experiment, parts, &mut folder);
    drop(shown);
    let path = folder.path.clone();
    drop(folder);
    loader.signals.writing();
    let report = report.map_err(|e| failed(&e, &path))?;
    let document = results::finish(&path, &report, loader.printer)?;
    loader.signals.thinking();
    Ok(Done { document, folder: path })
}

/// Refuses a series of loads that together exceed `[limits]`, before the first one starts.
pub(crate) fn check_total(steps: &[Experiment], ready: &Ready, loader: &Loader<'_>) -> Result<(), Failure> {
    let mut total: Option<Budget> = None;
    let mut busiest: Option<Demand> = None;
    for step in steps {
        let schedule = Schedule::new(step, &ready.recordings.load).map_err(|e| Failure::from_error(Exit::Usage, &e))?;
        let budget = Budget::of(step, schedule.expected());
        let demand = Demand::of(step, &schedule.expected());
        busiest = Some(busiest.map_or(demand.clone(), |b| if demand.requests_s > b.requests_s { demand } else { b }));
        total = Some(total.map_or(budget, |t| t.and(budget)));
    }
    let (Some(total), Some(first)) = (total, steps.first()) else { return Ok(()) };
    loader.printer.talk(&format!("{} load steps: {total}", steps.len()));
    total.check(first).map_err(|e| refused(&e))?;
    busiest.map_or(Ok(()), |demand| check_host(&demand, first, ready, loader))
}

/// What this host allows and can: refused where it cannot work, told where it is doubtful. Nothing is said where nothing is known.
fn check_host(demand: &Demand, experiment: &Experiment, ready: &Ready, loader: &Loader<'_>) -> Result<(), Failure> {
    let target = &experiment.scenario.target;
    let in_flight = experiment.scenario.load.max_in_flight;
    let connections = match target.http {
        HttpVersion::Http1 => in_flight,
        HttpVersion::Http2 => in_flight.div_ceil(target.streams_per_connection.max(1)),
    };
    let needs = Needs { in_flight, connections, embedded: ready.endpoint.is_some(), requests_s: demand.requests_s };
    for finding in limits::check(&needs, &Allowance::read()) {
        if finding.is_refusal {
            return Err(Failure::new(Exit::Refused, format!("refusing to start: {}", finding.message)).with_hint(finding.remedy));
        }
        loader.printer.talk(&format!("warning: {}; {}", finding.message, finding.remedy));
    }
    let Some(ceiling) = doctor::saved::read(&results::host_facts(cores())) else {
        loader.printer.talk("note: the ceiling of this host is not known; `plimsoll doctor` measures it in ten seconds");
        return Ok(());
    };
    let fit = ceiling::fit(demand, &ceiling);
    let told: Vec<String> = fit.needs.iter().map(|n| format!("{:.0} of {:.0} {}", n.needed, n.ceiling, n.what)).collect();
    let message = format!("this load takes {:.0}% of what this host can make ({})", fit.cores_share * 100.0, told.join(", "));
    match fit.grade {
        Grade::Fits => {}
        Grade::DoesNotFit if !loader.allow_client_limit => {
            return Err(Failure::new(Exit::Refused, format!("refusing to start: {message}: it would measure the client"))
                .with_hint("lower the load, use a larger machine, measure again with `plimsoll doctor`, or say --allow-client-limit"));
        }
        Grade::AboveHalf | Grade::DoesNotFit => loader.printer.talk(&format!("warning: {message}: look at \"Is it the client?\" in the result")),
    }
    Ok(())
}

fn refused(exceeded: &Exceeded) -> Failure {
    Failure::new(Exit::Refused, format!("refusing to start: {exceeded}"))
        .with_hint(format!("shorten the load, or raise the bound with --set limits.{}=…", exceeded.key))
}

/// Counts tokens of received text, for servers that report no usage.
fn counter(vocabulary: &Arc<Vocabulary>) -> crate::protocol::timeline::Counter {
    let vocabulary = Arc::clone(vocabulary);
    crate::protocol::timeline::remembered(Arc::new(move |text: &str| vocabulary.count(text)))
}

fn failed(error: &engine::Error, folder: &Path) -> Failure {
    let exit = match error {
        engine::Error::Log { .. } => Exit::Unwritable,
        engine::Error::OpenFiles { .. } => Exit::Refused,
        engine::Error::Client(_) => Exit::Usage,
        engine::Error::Start { .. } | engine::Error::Panicked { .. } => Exit::Invalid,
    };
    let failure = Failure::from_error(exit, error);
    match error {
        engine::Error::Log { .. } => {
            failure.with_hint(format!("what was recorded until then is kept: `plimsoll report {}` once there is room", folder.display()))
        }
        engine::Error::OpenFiles { possible, .. } => failure.with_hint(format!("lower it with --max-concurrency {possible}, or raise `ulimit -n`")),
        _ => failure,
    }
}

fn manifest(experiment: &Experiment, ready: &Ready, cores: u32) -> Manifest {
    let target = &experiment.scenario.target;
    let endpoint = EndpointIdentity {
        url: if ready.endpoint.is_some() { "embedded".to_owned() } else { ready.url.clone() },
        api: match target.api {
            Api::Openai => "openai",
            Api::Databricks => "databricks",
        }
        .to_owned(),
        task: match target.task {
            Task::Chat => "chat",
            Task::Completions => "completions",
            Task::Embeddings => "embeddings",
        }
        .to_owned(),
        model: target.model.clone(),
        model_reported: None,
        server_header: None,
        embedded: ready.endpoint.is_some(),
        tls_verified: !target.tls.insecure,
    };
    let started = now_utc();
    let mut manifest = Manifest::begun(&experiment.scenario.name, experiment.seed, &started, results::host_facts(cores), endpoint);
    manifest.question.clone_from(&experiment.scenario.question);
    manifest.scenario_sha256.clone_from(&experiment.sha256);
    manifest.vocabulary = scenario::vocabulary_name(&experiment.scenario.workload.prompts.tokenizer);
    manifest
}

/// The wall time now, RFC 3339 in UTC, whole seconds.
#[must_use]
pub(crate) fn now_utc() -> String {
    let ns = i128::from(Clock::start().wall_origin_ns());
    jiff::Timestamp::from_nanosecond(ns).map_or_else(|_| "1970-01-01T00:00:00Z".to_owned(), |t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// The exit code of a run: signals first, then validity, then objectives.
#[must_use]
pub(crate) fn verdict(document: &RunDocument, stopped: Option<Exit>) -> Exit {
    let summary = &document.summary;
    let any = |verdict| summary.objectives.iter().any(|o| o.verdict == verdict);
    if let Some(exit) = stopped {
        exit
    } else if summary.accounting.due > 0 && summary.accounting.outcomes.get("unreachable").copied() == Some(summary.accounting.due) {
        Exit::Unreachable
    } else if !summary.validity.valid {
        Exit::Invalid
    } else if any(ObjectiveVerdict::NotMet) {
        Exit::SloNotMet
    } else if any(ObjectiveVerdict::Undecided) {
        Exit::Inconclusive
    } else {
        Exit::Good
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::diag::{Severity, Warning};
    use crate::base::time::Nanos;
    use crate::measure::recorder::{Expectations, Recorder};
    use crate::measure::summary::{ClientFacts, Objective};
    use crate::record::manifest::HostFacts;
    use crate::scenario::check::check;

    fn document(verdicts: &[ObjectiveVerdict], valid: bool) -> RunDocument {
        let text = b"name = \"t\"\n[load]\narrivals = { poisson = { rate = \"1/s\" } }\n";
        let scenario = check("t.toml", text, Path::new("."), &[], Seed(1)).unwrap().scenario;
        let recorder = Recorder::new(&scenario.slo, (Nanos::ZERO, Nanos::from_secs(1)), Nanos::from_secs(1));
        let mut summary = recorder.finish(Nanos::from_secs(1), ClientFacts::default(), Expectations::default());
        summary.validity.valid = valid;
        summary.validity.warnings =
            vec![Warning { severity: Severity::Note, code: String::new(), message: String::new(), limit: String::new(), hint: String::new() }];
        summary.objectives = verdicts.iter().map(|&verdict| Objective { verdict, ..Objective::default() }).collect();
        let manifest = Manifest::begun("t", Seed(1), "2026-01-01T00:00:00Z", HostFacts::default(), EndpointIdentity::default());
        RunDocument::new(manifest, scenario, summary)
    }

    #[test]
    fn a_signal_comes_before_validity_before_objectives() {
        use ObjectiveVerdict::{Met, NotMet, Undecided};
        assert_eq!(verdict(&document(&[Met], true), None), Exit::Good);
        assert_eq!(verdict(&document(&[], true), None), Exit::Good);
        assert_eq!(verdict(&document(&[Met, Undecided], true), None), Exit::Inconclusive);
        assert_eq!(verdict(&document(&[NotMet, Undecided], true), None), Exit::SloNotMet);
        assert_eq!(verdict(&document(&[NotMet], false), None), Exit::Invalid);
        assert_eq!(verdict(&document(&[NotMet], false), Some(Exit::Interrupted)), Exit::Interrupted);
    }
}
