//! `schema`, `completions`, `man`: documents generated from the types and the command line itself.

use super::args::{Cli, CompletionsArgs, SchemaArgs, SchemaOf};
use super::exit::{Exit, Failure, Outcome};
use super::printer::Printer;
use crate::{gate, measure, planner, scenario};
use clap::CommandFactory;

/// `schema`: the JSON Schema of a document.
#[expect(clippy::unnecessary_wraps, reason = "every command returns the same type")]
pub(crate) fn schema(args: &SchemaArgs, printer: Printer) -> Outcome {
    let schema = match args.of {
        SchemaOf::Scenario => scenario::schema::json_schema(),
        SchemaOf::Run => measure::document::json_schema(),
        SchemaOf::Sweep => measure::knee::document::json_schema(),
        SchemaOf::Gate => gate::json_schema(),
        SchemaOf::Plan => planner::recommendation::json_schema(),
        SchemaOf::Probe => measure::probe::document::json_schema(),
        SchemaOf::Verify => planner::verification::json_schema(),
    };
    printer.data(&format!("{schema:#}"));
    Ok(Exit::Good)
}

/// `completions`: for a shell, to be written where that shell looks.
#[expect(clippy::unnecessary_wraps, reason = "every command returns the same type")]
pub(crate) fn completions(args: &CompletionsArgs, printer: Printer) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "plimsoll", &mut script);
    printer.data(&String::from_utf8_lossy(&script));
    Ok(Exit::Good)
}

/// `man`: the manual page in roff.
pub(crate) fn man(printer: Printer) -> Outcome {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(|e| Failure::from_error(Exit::Unwritable, &e))?;
    printer.data(&String::from_utf8_lossy(&page));
    Ok(Exit::Good)
}
