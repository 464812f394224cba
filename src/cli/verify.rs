//! `verify`: load the recommended size and compare what is measured with what the plan's model predicts and with the objectives.

use super::args::{Format, VerifyArgs};
use super::exit::{Exit, Failure, Outcome};
use super::load::{self, Done, Loader, Ready};
use super::plan::Model;
use super::printer::Printer;
use super::signals::Signals;
use super::{files, scenario};
use crate::base::time::Nanos;
use crate::base::units::Rate;
use crate::measure::recorder::{Expectations, Recorder};
use crate::measure::summary::{ClientFacts, Summary};
use crate::planner::recommendation::Recommendation;
use crate::report::{FitRow, terminal};
use crate::scenario::endpoint::EndpointSpec;
use crate::scenario::experiment::Experiment;
use crate::scenario::load::{Arrivals, RateFn};
use crate::scenario::workload::Lengths;
use crate::sim::endpoint::Endpoint;
use crate::sim::event::Detail;
use crate::sim::virtual_time::{self, Patience};
use crate::workload::schedule::Schedule;
use std::path::Path;

/// Loads the size of a plan at the demand's peak.
pub(crate) fn run(args: &VerifyArgs, printer: Printer) -> Outcome {
    let overrides = scenario::load_overrides(&args.load)?;
    let experiment = scenario::read(&args.scenario, &overrides, scenario::seed_of_load(args.scenario.seed), printer)?;
    let (plan, model) = read_plan(&args.plan)?;
    let signals = Signals::watch();
    let loader = Loader::new(&args.load, printer, &signals);
    let peak = at_peak(&experiment, &plan)?;
    let ready = load::prepare(&peak, &loader)?;
    let done = load::once(&peak, &ready, &loader, "verify")?;
    let rows = compare(&peak, &model, &ready, &done)?;
    let predictions: Vec<_> = rows
        .iter()
        .map(|r| serde_json::json!({ "metric": r.metric, "percentile": r.percentile, "measured_ms": r.measured_ms, "predicted_ms": r.predicted_ms }))
        .collect();
    match printer.format {
        Format::Json => printer.data(&format!("{:#}", serde_json::json!({ "verify": done.document, "predictions": predictions }))),
        Format::Text | Format::Md => {
            printer.data(&terminal::verification(&plan, &done.document, &rows, printer.paint()));
        }
    }
    Ok(load::verdict(&done.document, signals.stopped()))
}

fn read_plan(path: &Path) -> Result<(Recommendation, Model), Failure> {
    let folder = if path.is_dir() { path.to_owned() } else { path.parent().unwrap_or(Path::new(".")).to_owned() };
    let file = if path.is_dir() { folder.join("plan.json") } else { path.to_owned() };
    let wrong = |e: serde_json::Error| Failure::new(Exit::Usage, format!("{}: not written by this version of `plimsoll plan`: {e}", file.display()));
    let plan: Recommendation = serde_json::from_slice(&files::read(&file, "plan", 256 << 20)?).map_err(wrong)?;
    let model_file = folder.join("model.json");
    Ok((plan, Model::read(&model_file)?))
}

/// The experiment at the plan's largest size and its busiest interval of the replayed period (a few minutes): if the promise holds anywhere by a hair, it is there.
pub(crate) fn at_peak(experiment: &Experiment, plan: &Recommendation) -> Result<Experiment, Failure> {
    let chosen = plan.chosen.as_ref().ok_or_else(|| Failure::new(Exit::SloNotMet, "the plan recommends no size; there is nothing to verify"))?;
    let per_request = plan.demand.mean_tok_s / plan.demand.mean_requests_s.max(1e-9);
    let busiest = plan.timeline.points.iter().map(|p| p.demand_tok_s).fold(0.0, f64::max);
    let rate = if busiest > 0.0 { busiest } else { plan.demand.mean_tok_s } / per_request.max(1e-9);
    let mut peak = experiment.clone();
    // Prompts of its own, so that a prefix cache filled by the measurement does not answer.
    peak.seed = experiment.seed.child("verify", 0);
    let endpoint = &mut peak.scenario.endpoint;
    (endpoint.min_chunks, endpoint.max_chunks) = (chosen.max_chunks, chosen.max_chunks);
    // Lengths that came with the arrivals of a recording still come from it.
    let replayed = match &peak.scenario.load.arrivals {
        Arrivals::Trace { trace, .. } => Some(trace.clone()),
        _ => None,
    };
    if let (Lengths::Empirical { trace: own @ None }, Some(trace)) = (&mut peak.scenario.workload.lengths, replayed) {
        *own = Some(trace);
    }
    peak.scenario.load.arrivals = Arrivals::Poisson { rate: RateFn::Constant(Rate((rate * 1000.0).round() / 1000.0)) };
    Ok(peak)
}

/// Predicted beside measured: the same schedule through the plan's model in virtual time.
pub(crate) fn compare(experiment: &Experiment, model: &Model, ready: &Ready, done: &Done) -> Result<Vec<FitRow>, Failure> {
    let predicted = predict(experiment, &model.spec, ready)?;
    let measured = &done.document.summary;
    let mut rows = Vec::new();
    for (metric, m, p) in [
        ("TTFT", &measured.latency.ttft, &predicted.latency.ttft),
        ("TPOT", &measured.latency.tpot, &predicted.latency.tpot),
        ("E2E", &measured.latency.e2e, &predicted.latency.e2e),
    ] {
        for percentile in ["p50", "p90", "p95"] {
            if let (Some(measured_ms), Some(predicted_ms)) = (m.at(percentile), p.at(percentile)) {
                rows.push(FitRow {
                    step: "verification".to_owned(),
                    metric: metric.to_owned(),
                    percentile: percentile.to_owned(),
                    measured_ms,
                    predicted_ms,
                });
            }
        }
    }
    Ok(rows)
}

/// What the model says of this experiment.
fn predict(experiment: &Experiment, spec: &EndpointSpec, ready: &Ready) -> Result<Summary, Failure> {
    let scenario = &experiment.scenario;
    let mut schedule = Schedule::new(experiment, &ready.recordings.load).map_err(|e| Failure::from_error(Exit::Usage, &e))?;
    let spec = EndpointSpec { min_chunks: scenario.endpoint.min_chunks, max_chunks: scenario.endpoint.max_chunks, ..spec.clone() };
    let mut endpoint = Endpoint::new(&spec, experiment.seed, Detail::Requests);
    let warmup = scenario.load.warmup.nanos();
    let mut recorder = Recorder::new(&scenario.slo, (warmup, experiment.load_span()), Nanos::from_secs(1));
    let timeouts = &scenario.target.timeouts;
    let patience = Patience { total: timeouts.total.nanos(), first_byte: timeouts.first_byte.nanos() };
    let simulated = virtual_time::run(&mut schedule, &mut endpoint, patience, &mut |record| recorder.observe(record));
    Ok(recorder.finish(simulated.end, ClientFacts::default(), Expectations { usage_asked: true, streaming: true, tokenizer: false }))
}
