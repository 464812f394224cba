//! Whether the objectives of the scenario are kept, over runs with different seeds.

use super::{Found, runs, tell};
use crate::cli::args::{GateOptions, GateSloArgs};
use crate::cli::exit::Outcome;
use crate::cli::printer::Printer;
use crate::gate::slo::{self, SloRun};
use crate::report::html::GateRuns;

/// Reads, judges, tells.
pub(super) fn run(args: &GateSloArgs, options: &GateOptions, printer: Printer) -> Outcome {
    let mut read = runs::read(&args.runs, printer)?;
    let first = runs::first(&read)?.clone();
    let gate = runs::section(args.rules.as_ref(), &first, printer)?;
    let rules = runs::rules_for(&gate, &mut [&mut read.runs])?;
    let with_objectives: Vec<SloRun> =
        read.runs.iter().zip(&read.documents).map(|(run, document)| SloRun { run: run.clone(), ..SloRun::of(run.name.clone(), document) }).collect();
    let mut report = slo::judge(&rules, &with_objectives);
    report.scenario.clone_from(&first.manifest.scenario_name);
    let folder = runs::folder(&options.out, &first)?;
    tell(&folder, &Found { report, runs: GateRuns { base: Vec::new(), head: read.documents }, repeat: String::new() }, options, printer)
}
