//! Runs on disk as a gate takes them, and the rules and facts that go with them.

use super::rules;
use crate::base::rng::Seed;
use crate::cli::exit::{Exit, Failure};
use crate::cli::load::now_utc;
use crate::cli::printer::Printer;
use crate::cli::{results, scenario};
use crate::gate::{Rules, Run};
use crate::measure::document::RunDocument;
use crate::scenario::gate::Gate;
use std::path::{Path, PathBuf};

/// Runs that have been read.
pub(super) struct Read {
    /// What a gate takes of them.
    pub(super) runs: Vec<Run>,
    /// Their documents, in the same order.
    pub(super) documents: Vec<RunDocument>,
}

/// Reads run folders; a run that was cut is recovered.
pub(super) fn read(folders: &[PathBuf], printer: Printer) -> Result<Read, Failure> {
    let mut read = Read { runs: Vec::new(), documents: Vec::new() };
    for folder in folders {
        let document = results::load(folder, printer).map_err(|mut failure| {
            failure.message = format!("run {}: {}", folder.display(), failure.message);
            failure
        })?;
        read.runs.push(Run::of(folder.display().to_string(), &document));
        read.documents.push(document);
    }
    Ok(read)
}

/// `[gate]` of the scenario that is asked for, or of the run.
pub(super) fn section(asked: Option<&PathBuf>, document: &RunDocument, printer: Printer) -> Result<Gate, Failure> {
    match asked {
        Some(path) => Ok(scenario::read_file(path, &[], Seed(1), printer)?.scenario.gate),
        None => Ok(document.experiment.gate.clone()),
    }
}

/// The rules of a section, and its declared facts fixed in every run.
pub(super) fn rules_for(gate: &Gate, sides: &mut [&mut Vec<Run>]) -> Result<Rules, Failure> {
    for run in sides.iter_mut().flat_map(|side| side.iter_mut()) {
        declare(run, gate)?;
    }
    Ok(rules::of(gate))
}

/// Declares the facts of the section fixed; one that nothing is known of is refused.
pub(super) fn declare(run: &mut Run, gate: &Gate) -> Result<(), Failure> {
    for key in &gate.fixed {
        if !run.fingerprint.0.contains_key(key) {
            let known: Vec<&str> = run.fingerprint.0.keys().map(String::as_str).collect();
            return Err(Failure::new(Exit::Usage, format!("gate.fixed: nothing is known of {key:?} in run {}", run.name))
                .with_hint(format!("known are {}; a paired gate takes others with --base-fact and --head-fact", known.join(", "))));
        }
        run.fingerprint.declare_fixed(key);
    }
    Ok(())
}

/// `out/<scenario>/gate-<time>-<seed>`, made; the seed is that of the first run.
pub(super) fn folder(out: &Path, document: &RunDocument) -> Result<PathBuf, Failure> {
    let manifest = &document.manifest;
    results::new_named_folder(out, &manifest.scenario_name, "gate-", manifest.seed, &now_utc())
}

/// The first document, which the command line has asked for.
pub(super) fn first(read: &Read) -> Result<&RunDocument, Failure> {
    read.documents.first().ok_or_else(|| Failure::new(Exit::Usage, "no runs were given"))
}
