//! `report`: the files of a run folder again, from its log; recovers a run that was cut.

use super::args::ReportArgs;
use super::exit::{Exit, Outcome};
use super::printer::Printer;
use super::{results, run};

/// Recovers or re-reads, and prints.
pub(crate) fn run(args: &ReportArgs, printer: Printer) -> Outcome {
    let document = results::load(&args.run, printer)?;
    results::render_again(&args.run, &document, printer)?;
    run::print(&document, printer)?;
    Ok(Exit::Good)
}
