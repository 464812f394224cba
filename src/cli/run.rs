//! `run`: load once, measure, report.

use super::args::{Format, RunArgs};
use super::exit::{Exit, Failure, Outcome};
use super::load::{self, Loader};
use super::printer::Printer;
use super::scenario;
use super::signals::Signals;
use crate::measure::document::RunDocument;
use crate::report as render;

/// Loads the scenario once.
pub(crate) fn run(args: &RunArgs, printer: Printer) -> Outcome {
    let overrides = scenario::load_overrides(&args.load)?;
    let experiment = scenario::read(&args.scenario, &overrides, scenario::seed_of_load(args.scenario.seed), printer)?;
    let signals = Signals::watch();
    let loader = Loader::new(&args.load, printer, &signals);
    let ready = load::prepare(&experiment, &loader)?;
    let done = load::once(&experiment, &ready, &loader, "run")?;
    print(&done.document, printer)?;
    Ok(load::verdict(&done.document, signals.stopped()))
}

/// The document on stdout in the form asked for.
pub(crate) fn print(document: &RunDocument, printer: Printer) -> Result<(), Failure> {
    match printer.format {
        Format::Text => printer.data(&render::terminal::run(document, printer.paint())),
        Format::Md => printer.data(&render::markdown::run(document)),
        Format::Json => printer.data(&serde_json::to_string_pretty(document).map_err(|e| Failure::from_error(Exit::Unwritable, &e))?),
    }
    Ok(())
}
