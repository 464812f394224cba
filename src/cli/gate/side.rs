//! A side of a gate that is loaded: its experiment, its endpoint, the facts that the user states about it, one run of it.

use super::runs;
use crate::base::rng::Seed;
use crate::cli::args::GateLoadArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::load::{self, Loader, Ready};
use crate::cli::printer::Printer;
use crate::cli::signals::Signals;
use crate::cli::{files, guard, scenario};
use crate::gate::Run;
use crate::measure::document::RunDocument;
use crate::scenario::check::Override;
use crate::scenario::experiment::Experiment;
use std::path::{Path, PathBuf};

/// A side that can be loaded.
pub(super) struct Side<'a> {
    /// `base` or `head`.
    pub(super) name: &'static str,
    /// What it is loaded with; the seed is that of the round.
    pub(super) experiment: Experiment,
    /// Its endpoint.
    pub(super) ready: Ready,
    loader: Loader<'a>,
    /// Facts that the user states about it.
    pub(super) facts: Vec<(String, String)>,
}

/// What one side is told on the command line.
pub(super) struct Given<'a> {
    /// `base` or `head`.
    pub(super) name: &'static str,
    /// Its URL.
    pub(super) url: Option<&'a String>,
    /// Its own changes.
    pub(super) set: &'a [String],
    /// Facts that the user states about it.
    pub(super) facts: &'a [String],
}

impl<'a> Side<'a> {
    /// Reads the scenario for a side and finds its endpoint.
    pub(super) fn new(given: &Given<'_>, load: &GateLoadArgs, seed: Seed, signals: &'a Signals, printer: Printer) -> Result<Self, Failure> {
        let mut overrides = scenario::parse_overrides(&load.set)?;
        overrides.extend(scenario::parse_overrides(given.set)?);
        if let Some(url) = given.url {
            overrides.push(Override { key: "target.url".to_owned(), value: format!("{url:?}") });
        }
        let experiment = scenario::read_file(&load.scenario, &overrides, seed, printer)?;
        let loader = Loader {
            // What each run says is said in a line a round.
            printer: Printer { quiet: true, ..printer },
            signals,
            out: PathBuf::new(),
            confirm_host: confirmed(experiment.scenario.target.url.as_deref(), &load.confirm_host),
            workers: load.workers,
            allow_client_limit: load.allow_client_limit,
        };
        let ready = load::prepare(&experiment, &loader).map_err(|mut failure| {
            failure.message = format!("{}: {}", given.name, failure.message);
            failure
        })?;
        Ok(Self { name: given.name, experiment, ready, loader, facts: facts(given)? })
    }

    /// Whether it is on this machine.
    pub(super) fn is_local(&self) -> bool {
        self.experiment.scenario.target.url.as_ref().is_none_or(|url| guard::check(url, &[], None).is_ok())
    }

    /// Refuses loads that together exceed `[limits]` or this host, before the first one.
    pub(super) fn check_total(&self, steps: &[Experiment], printer: Printer) -> Result<(), Failure> {
        load::check_total(steps, &self.ready, &Loader { printer, ..self.loader() })
    }

    fn loader(&self) -> Loader<'a> {
        Loader {
            printer: self.loader.printer,
            signals: self.loader.signals,
            out: PathBuf::new(),
            confirm_host: self.loader.confirm_host.clone(),
            workers: self.loader.workers,
            allow_client_limit: self.loader.allow_client_limit,
        }
    }

    /// Loads it once into the folder `place`, made for it; `seed` is that of the workload, `words` that of the prompts.
    pub(super) fn load(&self, place: &Path, seed: Seed, words: Seed, label: &str) -> Result<(RunDocument, Run), Failure> {
        let mut experiment = self.experiment.clone();
        experiment.seed = seed;
        let folder = || files::make_folder(place).map(|()| place.to_owned());
        let done = load::once_worded(folder, &experiment, words, &self.ready, &self.loader, label)?;
        let name = place.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let accounting = &done.document.summary.accounting;
        if accounting.due > 0 && accounting.outcomes.get("unreachable").copied() == Some(accounting.due) {
            return Err(Failure::new(Exit::Unreachable, format!("{}: the endpoint cannot be reached any more", self.name))
                .with_hint(format!("the run is kept: {}", done.folder.display())));
        }
        let run = self.named(Run::of(name, &done.document))?;
        Ok((done.document, run))
    }

    /// The run with the facts of its side; what the scenario declares fixed must be known.
    fn named(&self, mut run: Run) -> Result<Run, Failure> {
        for (key, value) in &self.facts {
            run.fingerprint.fix(key, value.as_str());
        }
        runs::declare(&mut run, &self.experiment.scenario.gate)?;
        Ok(run)
    }
}

/// The host that was confirmed for this URL; any other one where none was, so that the refusal can name it.
fn confirmed(url: Option<&str>, hosts: &[String]) -> Option<String> {
    let allows = |host: &&String| url.is_some_and(|url| guard::check(url, &[], Some(host)).is_ok());
    hosts.iter().find(allows).or_else(|| hosts.first()).cloned()
}

fn facts(given: &Given<'_>) -> Result<Vec<(String, String)>, Failure> {
    let split = |text: &String| match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() && !value.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err(Failure::new(Exit::Usage, format!("--{}-fact {text:?}: expected KEY=VALUE", given.name))
            .with_hint(format!("for example --{}-fact region=eu-west-1", given.name))),
    };
    given.facts.iter().map(split).collect()
}
