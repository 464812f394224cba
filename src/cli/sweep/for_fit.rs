//! `sweep --for-fit`: the experiments that a fit needs, one after the other, within a budget of tokens.

use super::super::args::{Format, SweepArgs};
use super::super::exit::{Exit, Failure, Outcome};
use super::super::load::{self, Loader, Ready};
use super::super::model::StepNote;
use super::super::printer::Printer;
use super::super::signals::Signals;
use super::super::{files, results};
use super::{place, words};
use crate::measure::document::RunDocument;
use crate::report as render;
use crate::scenario::experiment::Experiment;
use crate::sim::fit::design::{Design, FitStep};
use std::path::Path;

/// Runs the experiments and writes a page over all.
pub(super) fn run(args: &SweepArgs, experiment: &Experiment, printer: Printer) -> Outcome {
    let signals = Signals::watch();
    let loader = Loader::new(&args.load, printer, &signals);
    let mut experiment = experiment.clone();
    // A crowd of users is refused by nobody here: what the endpoint refuses is measured.
    experiment.scenario.load.max_in_flight = experiment.scenario.load.max_in_flight.max(1024);
    let ready = load::prepare(&experiment, &loader)?;
    let folder = results::new_folder(&loader.out, &experiment.scenario.name, experiment.seed, &load::now_utc())?;
    let (documents, design) = experiments(&experiment, &ready, &loader, &folder, args.token_budget)?;
    write(&folder, &documents, &design, printer)?;
    Ok(signals.stopped().unwrap_or_else(|| verdict(&documents)))
}

/// Loads one experiment after another, each in a folder of its own, until the design is done, the budget of tokens is spent, or a signal comes.
pub(super) fn experiments(
    experiment: &Experiment,
    ready: &Ready,
    loader: &Loader<'_>,
    folder: &Path,
    token_budget: Option<u64>,
) -> Result<(Vec<RunDocument>, Design), Failure> {
    let limits = &experiment.scenario.limits;
    let budget = token_budget.unwrap_or(limits.tokens).min(limits.tokens);
    let usage = |e: crate::workload::schedule::Error| Failure::from_error(Exit::Usage, &e);
    let mut design = Design::new(experiment, &ready.recordings.load, Some(budget as f64)).map_err(usage)?;
    let mut documents: Vec<RunDocument> = Vec::new();
    while let Some(FitStep { label, experiment: step, is_held_out, .. }) = design.next_step() {
        if documents.is_empty() {
            load::check_first(&step, ready, loader)?;
        }
        let number = documents.len();
        let done = load::once_worded(|| place(folder, number), &step, words(step.seed, number), ready, loader, &label)?;
        StepNote { label, is_held_out }.write(&done.folder)?;
        design.observe(&results::records(&done.folder)?);
        documents.push(done.document);
        if loader.signals.stopped().is_some() {
            break;
        }
    }
    Ok((documents, design))
}

/// The page over all steps, and what to do next.
fn write(folder: &Path, documents: &[RunDocument], design: &Design, printer: Printer) -> Result<(), Failure> {
    let page = render::html::sweep_page(documents, &[]);
    files::write(&folder.join("report.html"), page.as_bytes())?;
    let left_out = design.left_out();
    for text in left_out {
        printer.talk(&format!("left out for lack of budget: {text}"));
    }
    let told = format!("{} experiments in {}; next: plimsoll fit {}", documents.len(), folder.display(), folder.display());
    match printer.format {
        Format::Text | Format::Md => printer.data(&told),
        Format::Json => {
            let value = serde_json::json!({ "folder": folder, "experiments": documents.len(), "tokens": design.spent(), "left_out": left_out });
            printer.data(&format!("{value:#}"));
        }
    }
    Ok(())
}

/// Good unless nothing came back, or what was measured is the client.
fn verdict(documents: &[RunDocument]) -> Exit {
    let any = |of: fn(&RunDocument) -> bool| documents.iter().any(of);
    if !any(|d| d.summary.accounting.ok > 0) {
        return documents.first().map_or(Exit::Inconclusive, |first| load::verdict(first, None));
    }
    if any(|d| !d.summary.validity.valid) { Exit::Invalid } else { Exit::Good }
}
