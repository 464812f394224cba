//! Runs of both sides that are on disk.

use super::{Found, runs, tell};
use crate::cli::args::{GateFilesArgs, GateOptions};
use crate::cli::exit::Outcome;
use crate::cli::printer::Printer;
use crate::gate::files;
use crate::report::html::GateRuns;

/// Reads, judges, tells.
pub(super) fn run(args: &GateFilesArgs, options: &GateOptions, printer: Printer) -> Outcome {
    let mut base = runs::read(&args.base, printer)?;
    let mut head = runs::read(&args.head, printer)?;
    let first = runs::first(&head)?.clone();
    let gate = runs::section(args.rules.as_ref(), &first, printer)?;
    let rules = runs::rules_for(&gate, &mut [&mut base.runs, &mut head.runs])?;
    let mut report = files::judge(&rules, &base.runs, &head.runs);
    report.scenario.clone_from(&first.manifest.scenario_name);
    let folder = runs::folder(&options.out, &first)?;
    tell(&folder, &Found { report, runs: GateRuns { base: base.documents, head: head.documents }, repeat: String::new() }, options, printer)
}
