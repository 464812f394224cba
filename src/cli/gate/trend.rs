//! A series of nights: where the level changed, and how far it is from a pinned anchor.

use super::{Found, runs, tell};
use crate::cli::args::{GateOptions, GateTrendArgs};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::printer::Printer;
use crate::gate::Run;
use crate::gate::trend::{self, Night};
use crate::measure::document::RunDocument;
use crate::report::html::GateRuns;
use std::path::{Path, PathBuf};

/// Reads, judges, tells. Pages show the runs of the last night alone: a year of documents would not fit into one page.
pub(super) fn run(args: &GateTrendArgs, options: &GateOptions, printer: Printer) -> Outcome {
    let mut nights = Vec::new();
    let mut last: Vec<RunDocument> = Vec::new();
    for place in &args.nights {
        let read = runs::read(&of_night(place)?, printer)?;
        last = read.documents;
        nights.push((label(place), read.runs));
    }
    let mut anchor = runs::read(&args.anchor, printer)?;
    let newest = last.first().cloned().ok_or_else(|| Failure::new(Exit::Usage, "no nights were given"))?;
    let gate = runs::section(args.rules.as_ref(), &newest, printer)?;
    let mut sides: Vec<&mut Vec<Run>> = nights.iter_mut().map(|(_, runs)| runs).collect();
    sides.push(&mut anchor.runs);
    let rules = runs::rules_for(&gate, &mut sides)?;
    let nights: Vec<Night> = nights.into_iter().map(|(label, runs)| Night { label, runs }).collect();
    let mut report = trend::judge(&rules, &nights, &anchor.runs);
    report.scenario.clone_from(&newest.manifest.scenario_name);
    let folder = runs::folder(&options.out, &newest)?;
    tell(&folder, &Found { report, runs: GateRuns { base: anchor.documents, head: last }, repeat: String::new() }, options, printer)
}

/// The last part of a path, by which a night is known.
fn label(place: &Path) -> String {
    place.file_name().map_or_else(|| place.display().to_string(), |n| n.to_string_lossy().into_owned())
}

/// A run folder itself, or the run folders in it, in the order of their names.
fn of_night(place: &Path) -> Result<Vec<PathBuf>, Failure> {
    let is_run = |path: &Path| path.join("run.json").is_file() || path.join("requests.log").is_file();
    if is_run(place) {
        return Ok(vec![place.to_owned()]);
    }
    let entries = std::fs::read_dir(place).map_err(|e| Failure::new(Exit::Usage, format!("cannot read night {}: {e}", place.display())))?;
    let mut found: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| is_run(p)).collect();
    found.sort();
    if found.is_empty() {
        return Err(Failure::new(Exit::Usage, format!("{} is no run folder and holds none", place.display()))
            .with_hint("a night is a folder written by `plimsoll run`, or a folder of such folders"));
    }
    Ok(found)
}
