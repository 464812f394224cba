//! The command line: the only module that prints, reads the environment and chooses exit codes; one file a command.

pub mod args;
mod check;
mod demo;
mod doctor;
mod documents;
mod embedded;
mod endpoint;
pub mod exit;
mod faults;
mod files;
mod fit;
mod gate;
mod guard;
mod learn;
mod load;
mod model;
mod plan;
mod printer;
mod probe;
mod progress;
mod provision;
mod purchase;
mod report;
mod results;
mod run;
mod scenario;
mod serve;
mod signals;
mod sweep;
mod verify;

use args::{Cli, Command};
use clap::Parser;
use exit::Exit;
use printer::Printer;
use std::process::ExitCode;

/// Parses the command line, does what it says, and gives the exit code. The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // clap prints help and version on stdout with code 0, everything else on stderr with code 2.
        Err(told) => {
            let code = if told.use_stderr() { Exit::Usage } else { Exit::Good };
            let _ = told.print();
            return code.into();
        }
    };
    let printer = Printer::new(&cli);
    match dispatch(&cli, printer) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            printer.error(&failure);
            failure.exit.into()
        }
    }
}

fn dispatch(cli: &Cli, printer: Printer) -> exit::Outcome {
    match &cli.command {
        Command::Demo(args) => demo::run(args, printer),
        Command::Check(args) => check::run(args, printer),
        Command::Run(args) => run::run(args, printer),
        Command::Sweep(args) => sweep::run(args, printer),
        Command::Probe(args) => probe::run(args, printer),
        Command::Learn(args) => learn::run(args, printer),
        Command::Fit(args) => fit::run(args, printer),
        Command::Plan(args) => plan::run(args, printer),
        Command::Verify(args) => verify::run(args, printer),
        Command::Provision(args) => provision::run(args, printer),
        Command::Gate(args) => gate::run(args, printer),
        Command::Serve(args) => serve::run(args, printer),
        Command::Doctor(args) => doctor::run(args, printer),
        Command::Endpoint(args) => endpoint::run(args, printer),
        Command::Report(args) => report::run(args, printer),
        Command::Schema(args) => documents::schema(args, printer),
        Command::Completions(args) => documents::completions(args, printer),
        Command::Man => documents::man(printer),
    }
}
