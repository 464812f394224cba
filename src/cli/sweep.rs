//! `sweep`: one load step after another, and the knee: the largest step that meets every objective.

use super::args::{Format, RunArgs};
use super::exit::{Exit, Failure, Outcome};
use super::load::{self, Done, Loader, Ready};
use super::printer::Printer;
use super::signals::Signals;
use super::{files, results, scenario};
use crate::measure::document::RunDocument;
use crate::measure::summary::Summary;
use crate::report as render;
use crate::scenario::experiment::Experiment;
use crate::scenario::load::{Arrivals, RateFn};
use std::path::{Path, PathBuf};

/// Loads every step and writes a page over all.
pub(crate) fn run(args: &RunArgs, printer: Printer) -> Outcome {
    let overrides = scenario::load_overrides(&args.load)?;
    let experiment = scenario::read(&args.scenario, &overrides, scenario::seed_of_load(args.scenario.seed), printer)?;
    let signals = Signals::watch();
    let loader = Loader::new(&args.load, printer, &signals);
    let steps = steps(&experiment)?;
    let ready = load::prepare(&experiment, &loader)?;
    let folder = results::new_folder(&loader.out, &experiment.scenario.name, experiment.seed, &load::now_utc())?;
    let done = all(&steps, &ready, &loader, &folder)?;
    let documents: Vec<RunDocument> = done.into_iter().map(|d| d.document).collect();
    write(&folder, &documents, printer)?;
    match printer.format {
        Format::Text => printer.data(&render::terminal::sweep(&documents, &[], printer.paint())),
        Format::Md => printer.data(&render::markdown::sweep(&documents)),
        Format::Json => printer.data(&serde_json::to_string_pretty(&documents).map_err(|e| Failure::from_error(Exit::Unwritable, &e))?),
    }
    Ok(verdict(&documents, signals.stopped()))
}

/// The experiments of a sweep, one a step.
pub(crate) fn steps(experiment: &Experiment) -> Result<Vec<Experiment>, Failure> {
    let sweep = &experiment.scenario.sweep;
    let at = |arrivals: Arrivals| {
        let mut step = experiment.clone();
        let load = &mut step.scenario.load;
        load.arrivals = arrivals;
        (load.warmup, load.measure, load.drain) = (sweep.warmup, sweep.measure, sweep.drain);
        step
    };
    let rates = || sweep.rates.iter().map(|&rate| RateFn::Constant(rate));
    let steps: Vec<Experiment> = match &experiment.scenario.load.arrivals {
        Arrivals::Constant { .. } => rates().map(|rate| at(Arrivals::Constant { rate })).collect(),
        Arrivals::Poisson { .. } => rates().map(|rate| at(Arrivals::Poisson { rate })).collect(),
        Arrivals::Gamma { cv, .. } => rates().map(|rate| at(Arrivals::Gamma { rate, cv: *cv })).collect(),
        Arrivals::Weibull { cv, .. } => rates().map(|rate| at(Arrivals::Weibull { rate, cv: *cv })).collect(),
        Arrivals::Closed { think, ramp_up, .. } => {
            sweep.users.iter().map(|&users| at(Arrivals::Closed { users, think: *think, ramp_up: *ramp_up })).collect()
        }
        Arrivals::Trace { .. } => {
            return Err(Failure::new(Exit::Usage, "a trace replay has no rate to sweep")
                .with_hint("use --request-rate 1, or arrivals = { poisson = … }, with sweep.rates"));
        }
    };
    if steps.is_empty() {
        return Err(Failure::new(Exit::Usage, "the scenario names no load steps")
            .with_hint("--set 'sweep.rates=[\"1/s\", \"2/s\", \"4/s\"]' (or sweep.users for a closed loop)"));
    }
    // Every step has prompts of its own: with the same seed a prefix cache would answer the second step.
    let seeded = |(step, i): (Experiment, u64)| Experiment { seed: experiment.seed.child("step", i), ..step };
    Ok(steps.into_iter().zip(0..).map(seeded).collect())
}

/// Runs the steps, each in its own folder; ends early when a step failed too often, or on a signal.
pub(crate) fn all(steps: &[Experiment], ready: &Ready, loader: &Loader<'_>, folder: &Path) -> Result<Vec<Done>, Failure> {
    load::check_total(steps, ready, loader)?;
    let mut done: Vec<Done> = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        let place = folder.join(format!("step-{:02}", i + 1));
        let make = || -> Result<PathBuf, Failure> {
            files::make_folder(&place)?;
            Ok(place.clone())
        };
        let label = format!("step {} of {}", i + 1, steps.len());
        let one = load::once_in(make, step, ready, loader, &label)?;
        let accounting = &one.document.summary.accounting;
        let bad = accounting.due - accounting.ok;
        let share = bad as f64 / accounting.due.max(1) as f64;
        done.push(one);
        if loader.signals.stopped().is_some() {
            break;
        }
        if share > step.scenario.sweep.stop_at_errors.0 {
            loader.printer.talk(&format!("stopping the sweep: {bad} of the last step's requests did not end well ({:.0} %)", share * 100.0));
            break;
        }
    }
    Ok(done)
}

fn write(folder: &Path, documents: &[RunDocument], printer: Printer) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(documents).map_err(|e| Failure::from_error(Exit::Unwritable, &e))?;
    files::write(&folder.join("sweep.json"), json.as_bytes())?;
    files::write(&folder.join("summary.md"), render::markdown::sweep(documents).as_bytes())?;
    files::write(&folder.join("report.html"), render::html::sweep_page(documents, &[]).as_bytes())?;
    printer.talk(&format!("report: {}", folder.join("report.html").display()));
    Ok(())
}

/// Good when there is a knee; otherwise as the lowest load ended.
fn verdict(documents: &[RunDocument], stopped: Option<Exit>) -> Exit {
    let summaries: Vec<&Summary> = documents.iter().map(|d| &d.summary).collect();
    let lowest = documents.iter().min_by(|a, b| a.summary.offered_rate.total_cmp(&b.summary.offered_rate));
    match (stopped, render::verdict::knee(&summaries), lowest) {
        (Some(exit), ..) => exit,
        (None, Some(_), _) => Exit::Good,
        (None, None, Some(lowest)) => load::verdict(lowest, None),
        (None, None, None) => Exit::Invalid,
    }
}
