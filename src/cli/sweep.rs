//! `sweep`: the highest load that meets every objective: searched for, or over load steps that are given.

mod adaptive;
mod for_fit;

use super::args::{Format, SweepArgs};
use super::exit::{Exit, Failure, Outcome};
use super::load::{self, Done, Loader, Ready};
use super::printer::Printer;
use super::signals::Signals;
use super::{files, results, scenario};
use crate::base::rng::Seed;
use crate::base::units::{Rate, TimeSpan};
use crate::measure::document::RunDocument;
use crate::measure::knee::Reason;
use crate::measure::knee::document::SweepDocument;
use crate::measure::summary::Summary;
use crate::report as render;
use crate::scenario::experiment::Experiment;
use crate::scenario::load::{Arrivals, RateFn};
use std::path::{Path, PathBuf};

/// Loads every step and writes a page over all.
pub(crate) fn run(args: &SweepArgs, printer: Printer) -> Outcome {
    let overrides = scenario::load_overrides(&args.load)?;
    let mut experiment = scenario::read(&args.scenario, &overrides, scenario::seed_of_load(args.scenario.seed), printer)?;
    if args.for_fit {
        return for_fit::run(args, &experiment, printer);
    }
    let given = given(args, &mut experiment)?;
    let signals = Signals::watch();
    let loader = Loader::new(&args.load, printer, &signals);
    let steps = if given { steps(&experiment)? } else { Vec::new() };
    let options = adaptive::options(args, &experiment)?;
    let ready = load::prepare(&experiment, &loader)?;
    let folder = results::new_folder(&loader.out, &experiment.scenario.name, experiment.seed, &load::now_utc())?;
    let mut finder = adaptive::Finder::new(&experiment, options, &ready, &loader, &folder);
    if given {
        finder.take(all(&steps, &ready, &loader, &folder)?, &steps)?;
    } else {
        finder.search()?;
    }
    if args.over && signals.stopped().is_none() {
        finder.saturate()?;
    }
    let (mut documents, found) = finder.end(!given);
    // The search jumps to and fro; curves and tables of steps go by the load.
    documents.sort_by(|a, b| a.summary.offered_rate.total_cmp(&b.summary.offered_rate));
    write(&folder, &documents, &found, printer)?;
    match printer.format {
        Format::Text => {
            printer.data(&render::terminal::sweep(&documents, &[], printer.paint()));
            printer.data(&render::terminal::capacity(&found, printer.paint()));
        }
        Format::Md => printer.data(&(render::markdown::sweep(&documents) + &render::markdown::capacity(&found))),
        Format::Json => printer.data(&found.to_json()),
    }
    Ok(verdict(&documents, &found, signals.stopped()))
}

/// Whether the loads are given: by `--steps`, which replaces those of the scenario, or by the scenario unless `--adaptive` says otherwise.
fn given(args: &SweepArgs, experiment: &mut Experiment) -> Result<bool, Failure> {
    let closed = matches!(experiment.scenario.load.arrivals, Arrivals::Closed { .. });
    let sweep = &mut experiment.scenario.sweep;
    if !args.steps.is_empty() {
        let wrong = |text: &String, e: String| Failure::new(Exit::Usage, format!("--steps {text}: {e}"));
        if closed {
            sweep.users = args.steps.iter().map(|t| t.trim().parse::<u32>().map_err(|e| wrong(t, e.to_string()))).collect::<Result<_, _>>()?;
        } else {
            sweep.rates = args.steps.iter().map(|t| t.trim().parse::<Rate>().map_err(|e| wrong(t, e.to_string()))).collect::<Result<_, _>>()?;
        }
    }
    Ok(!args.adaptive && !(if closed { sweep.users.is_empty() } else { sweep.rates.is_empty() }))
}

/// The arrival process of `experiment` at another load: requests per second, or users.
pub(crate) fn at_load(experiment: &Experiment, load: f64) -> Result<Experiment, Failure> {
    let rate = RateFn::Constant(Rate(load));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "numbers of users are whole; the cast saturates")]
    let arrivals = match &experiment.scenario.load.arrivals {
        Arrivals::Constant { .. } => Arrivals::Constant { rate },
        Arrivals::Poisson { .. } => Arrivals::Poisson { rate },
        Arrivals::Gamma { cv, .. } => Arrivals::Gamma { rate, cv: *cv },
        Arrivals::Weibull { cv, .. } => Arrivals::Weibull { rate, cv: *cv },
        Arrivals::Closed { think, ramp_up, .. } => Arrivals::Closed { users: load as u32, think: *think, ramp_up: *ramp_up },
        Arrivals::Trace { .. } => {
            return Err(Failure::new(Exit::Usage, "a trace replay has no rate to sweep")
                .with_hint("use --request-rate 1, or arrivals = { poisson = … }, with or without sweep.rates"));
        }
    };
    let mut step = experiment.clone();
    step.scenario.load.arrivals = arrivals;
    Ok(step)
}

/// The experiments of a sweep over given loads, one a step. All have one seed: they differ by load alone.
pub(crate) fn steps(experiment: &Experiment) -> Result<Vec<Experiment>, Failure> {
    let sweep = &experiment.scenario.sweep;
    let loads: Vec<f64> = match &experiment.scenario.load.arrivals {
        Arrivals::Closed { .. } => sweep.users.iter().map(|&users| f64::from(users)).collect(),
        _ => sweep.rates.iter().map(|rate| rate.0).collect(),
    };
    if loads.is_empty() {
        return Err(Failure::new(Exit::Usage, "the scenario names no load steps")
            .with_hint("--set 'sweep.rates=[\"1/s\", \"2/s\", \"4/s\"]' (or sweep.users for a closed loop)"));
    }
    let at = |load: f64| {
        let mut step = at_load(experiment, load)?;
        let load = &mut step.scenario.load;
        (load.warmup, load.measure, load.drain) = (sweep.warmup, sweep.measure, sweep.drain);
        Ok(step)
    };
    loads.into_iter().map(at).collect()
}

/// The seed of the words of step `i`: with the same words a prefix cache would answer the second step.
pub(crate) fn words(seed: Seed, i: usize) -> Seed {
    seed.child("step", i as u64)
}

/// The experiments that a fit needs, each in its own folder; what they measured.
pub(crate) fn experiments(
    experiment: &Experiment,
    ready: &Ready,
    loader: &Loader<'_>,
    folder: &Path,
    budget: Option<u64>,
) -> Result<Vec<RunDocument>, Failure> {
    for_fit::experiments(experiment, ready, loader, folder, budget).map(|(documents, _)| documents)
}

/// Runs the steps, each in its own folder; ends early when a step failed too often, or on a signal.
pub(crate) fn all(steps: &[Experiment], ready: &Ready, loader: &Loader<'_>, folder: &Path) -> Result<Vec<Done>, Failure> {
    load::check_total(steps, ready, loader)?;
    let mut done: Vec<Done> = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        let label = format!("step {} of {}", i + 1, steps.len());
        let one = load::once_worded(|| place(folder, i), step, words(step.seed, i), ready, loader, &label)?;
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

/// The folder of step `i`, made.
fn place(folder: &Path, i: usize) -> Result<PathBuf, Failure> {
    let place = folder.join(format!("step-{:02}", i + 1));
    files::make_folder(&place)?;
    Ok(place)
}

/// A span of time given as an option.
pub(super) fn span(name: &str, text: Option<&String>, default: TimeSpan) -> Result<TimeSpan, Failure> {
    text.map_or(Ok(default), |t| t.parse::<TimeSpan>().map_err(|e| Failure::new(Exit::Usage, format!("{name} {t}: {e}"))))
}

fn write(folder: &Path, documents: &[RunDocument], found: &SweepDocument, printer: Printer) -> Result<(), Failure> {
    files::write(&folder.join("sweep.json"), found.to_json().as_bytes())?;
    let summary = render::markdown::sweep(documents) + &render::markdown::capacity(found);
    files::write(&folder.join("summary.md"), summary.as_bytes())?;
    files::write(&folder.join("report.html"), render::html::capacity_page(documents, found).as_bytes())?;
    printer.talk(&format!("report: {}", folder.join("report.html").display()));
    Ok(())
}

/// Good when there is a knee or a capacity; otherwise as the lowest load ended.
fn verdict(documents: &[RunDocument], found: &SweepDocument, stopped: Option<Exit>) -> Exit {
    let summaries: Vec<&Summary> = documents.iter().map(|d| &d.summary).collect();
    let lowest = documents.iter().min_by(|a, b| a.summary.offered_rate.total_cmp(&b.summary.offered_rate));
    let knee = found.knee.is_some() || (!found.adaptive && render::verdict::knee(&summaries).is_some());
    match (stopped, knee, lowest) {
        (Some(exit), ..) => exit,
        // What a step says that measured the client decides nothing, whatever the others say.
        (None, ..) if found.reason == Some(Reason::InvalidRun) => Exit::Invalid,
        (None, true, _) => Exit::Good,
        (None, false, Some(lowest)) => load::verdict(lowest, None),
        (None, false, None) => Exit::Invalid,
    }
}
