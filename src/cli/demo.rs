//! `demo`: the whole loop on the embedded endpoint: chunk size from its control plane, sweep, fit, plan, verify, one report.

use super::args::{DemoArgs, Format};
use super::exit::{Exit, Failure, Outcome};
use super::load::{self, Loader};
use super::model::{self, Measured, Model};
use super::plan::{self, Extras};
use super::printer::Printer;
use super::signals::Signals;
use super::{embedded, endpoint as control_plane, results, scenario, sweep, verify};
use crate::base::clock::Clock;
use crate::base::rng::Seed;
use crate::base::units::TokenRate;
use crate::client::databricks::auth::Login;
use crate::client::databricks::{Way, Workspace};
use crate::planner::recommendation::Recommendation;
use crate::report::terminal;
use crate::scenario::experiment::Experiment;
use crate::scenario::load::{TraceFormat, TraceSource};
use crate::scenario::plan::Provenance;
use crate::workload::trace;
use std::path::{Path, PathBuf};

/// The demo's scenario, as shipped: it can be copied and changed like any other.
const SCENARIO: &str = include_str!("../../scenarios/demo.toml");
/// The recording it names.
const TRACE: &[u8] = include_bytes!("../../scenarios/traces/azure_conv_2023.csv");

/// Runs the loop.
pub(crate) fn run(args: &DemoArgs, printer: Printer) -> Outcome {
    let clock = Clock::start();
    let mut experiment = scenario::from_text("scenarios/demo.toml", SCENARIO.as_bytes(), Path::new("."), &[], Seed(args.seed), printer)?;
    let recordings = scenario::material_by(&experiment, &mut |source| built_in(source))?;
    let signals = Signals::watch();
    let loader = Loader { printer, signals: &signals, out: args.out.clone(), confirm_host: None, workers: None, allow_client_limit: true };
    let folder = results::new_folder(&args.out, &experiment.scenario.name, experiment.seed, &load::now_utc())?;

    printer.talk("1/5 asking the endpoint's control plane what one chunk is");
    ask_chunk_size(&mut experiment, printer)?;

    printer.talk("2/5 measuring: one load step after another");
    let ready = load::prepare_with(&experiment, recordings)?;
    let steps = sweep::all(&sweep::steps(&experiment)?, &ready, &loader, &folder)?;
    if let Some(exit) = signals.stopped() {
        return Ok(exit);
    }

    printer.talk("3/5 fitting the endpoint's step law to what was measured");
    let mut runs = Vec::new();
    for step in steps {
        let records = results::records(&step.folder)?;
        runs.push(Measured::new(step.document, records));
    }
    let model = model::fit_to(&experiment, runs)?;

    printer.talk("4/5 planning a day of demand with slow autoscaling");
    let recommendation = plan::recommend(&experiment, &model, &ready.recordings.plan, plan::Comparisons::Made, printer)?;
    drop(ready);
    if recommendation.chosen.is_none() || signals.stopped().is_some() {
        plan::write(&folder, &recommendation, &model, &Extras::default(), printer)?;
        plan::print(&recommendation, printer)?;
        return Ok(signals.stopped().unwrap_or_else(|| plan::verdict(&recommendation)));
    }

    printer.talk("5/5 verifying the recommended size under the demand's busiest minute");
    let extras = verify_size(&experiment, &recommendation, &model, &loader, &folder)?;
    plan::write(&folder, &recommendation, &model, &extras, printer)?;
    tell(&recommendation, &extras, &folder, &clock, printer)?;
    let exit = extras.verify.as_ref().map_or(Exit::Good, |document| load::verdict(document, signals.stopped()));
    Ok(exit)
}

/// The shipped recording under the name that the scenario gives it.
fn built_in(source: &TraceSource) -> Result<trace::Rows, Failure> {
    let name = source.path.display().to_string();
    trace::read(TRACE, TraceFormat::Table, None, &name).map_err(|e| Failure::from_error(Exit::Usage, &e))
}

/// The chunk size, from the endpoint itself: `get-model-optimization-info`, as on Databricks.
fn ask_chunk_size(experiment: &mut Experiment, printer: Printer) -> Result<(), Failure> {
    let endpoint = embedded::start(experiment)?;
    let Some(plan) = experiment.scenario.plan.as_mut() else {
        return Err(Failure::new(Exit::Usage, "scenarios/demo.toml: there is no [plan]"));
    };
    let workspace = Workspace::new(Login::without_token(&endpoint.url()), &Way::default()).map_err(|e| control_plane::failure(&e))?;
    let version = plan.entity.version.parse().unwrap_or(1);
    let info = control_plane::block_on(workspace.optimization_info(&plan.entity.name, version))?;
    if let Some(size) = info.throughput_chunk_size {
        plan.chunk.size = TokenRate(size as f64);
        plan.chunk.source = Provenance::Documented;
        printer.talk(&format!("    one chunk is {size} tokens per second (throughput_chunk_size)"));
    }
    Ok(())
}

fn verify_size(experiment: &Experiment, plan: &Recommendation, model: &Model, loader: &Loader<'_>, folder: &Path) -> Result<Extras, Failure> {
    let (peak, loaded) = verify::at_peak(experiment, plan, None)?;
    let recordings = scenario::material_by(&peak, &mut |source| built_in(source))?;
    let ready = load::prepare_with(&peak, recordings)?;
    let place = folder.join("verify");
    let make = || -> Result<PathBuf, Failure> {
        super::files::make_folder(&place)?;
        Ok(place.clone())
    };
    let done = load::once_in(make, &peak, &ready, loader, "verify")?;
    let verification = verify::compare(&peak, plan, model, loaded, &done, verify::SLOWER)?;
    Ok(Extras { verify: Some(done.document), verification })
}

fn tell(plan: &Recommendation, extras: &Extras, folder: &Path, clock: &Clock, printer: Printer) -> Result<(), Failure> {
    plan::print(plan, printer)?;
    if printer.format == Format::Text {
        if let Some(document) = &extras.verify {
            printer.data(&terminal::verification(plan, document, extras.verification.as_ref(), printer.paint()));
        }
        printer.data(&format!("report: {}", folder.join("report.html").display()));
    }
    printer.talk(&format!("done in {}", clock.now()));
    Ok(())
}
