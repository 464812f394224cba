//! `verify`: load the recommended size, or the largest affordable one, with the planned peak, and say whether the promise stands.

use super::args::{Format, VerifyArgs};
use super::exit::{Exit, Failure, Outcome};
use super::load::{self, Done, Loader};
use super::model::Model;
use super::printer::Printer;
use super::signals::Signals;
use super::{files, results, scenario};
use crate::base::units::Rate;
use crate::planner::recommendation::Recommendation;
use crate::planner::verification::{self, Input, Loaded, Planned, Verdict, Verification};
use crate::report as render;
use crate::scenario::experiment::Experiment;
use crate::scenario::load::{Arrivals, RateFn};
use crate::scenario::workload::Lengths;
use crate::sim::virtual_time::Patience;
use std::path::Path;

/// The slowdown that `demo` looks for.
pub(crate) const SLOWER: f64 = 0.15;

/// Loads the size of a plan at the demand's peak, and compares.
pub(crate) fn run(args: &VerifyArgs, printer: Printer) -> Outcome {
    let overrides = scenario::load_overrides(&args.load)?;
    let experiment = scenario::read(&args.scenario, &overrides, scenario::seed_of_load(args.scenario.seed), printer)?;
    if !(0.01..=10.0).contains(&(args.slower / 100.0)) {
        return Err(Failure::new(Exit::Usage, format!("--slower {}: expected per cent, 1 to 1000", args.slower)));
    }
    let (plan, model) = read_plan(&args.plan)?;
    let signals = Signals::watch();
    let loader = Loader::new(&args.load, printer, &signals);
    let (peak, loaded) = at_peak(&experiment, &plan, args.at_most)?;
    tell(&peak, &loaded, printer);
    let ready = load::prepare(&peak, &loader)?;
    let done = load::once(&peak, &ready, &loader, "verify")?;
    let found = compare(&peak, &plan, &model, loaded, &done, args.slower / 100.0)?;
    let Some(found) = found else {
        print_nothing(&plan, &done, printer);
        return Ok(signals.stopped().unwrap_or(if done.document.summary.validity.valid { Exit::Inconclusive } else { Exit::Invalid }));
    };
    write(&done.folder, &plan, &found, &done, printer)?;
    match printer.format {
        Format::Json => printer.data(&format!("{:#}", serde_json::json!({ "verification": found, "verify": done.document }))),
        Format::Text => printer.data(&render::terminal::verification(&plan, &done.document, Some(&found), printer.paint())),
        Format::Md => printer.data(&render::markdown::verification(&plan, &done.document, &found)),
    }
    Ok(signals.stopped().unwrap_or_else(|| exit(&found, &done)))
}

/// Broken and undecided as an objective that was missed or could not be judged; a run that measured the client says nothing.
#[must_use]
pub(crate) fn exit(found: &Verification, done: &Done) -> Exit {
    if !done.document.summary.validity.valid {
        return Exit::Invalid;
    }
    match found.verdict {
        Verdict::Stands => Exit::Good,
        Verdict::Broken => Exit::SloNotMet,
        Verdict::Undecided => Exit::Inconclusive,
    }
}

fn tell(peak: &Experiment, loaded: &Loaded, printer: Printer) {
    let plural = if loaded.chunks == 1 { "" } else { "s" };
    printer.talk(&format!("verify: {:.3} requests/s on {} chunk{plural}", loaded.requests_s, loaded.chunks));
    if !loaded.is_whole() {
        printer.talk(&format!("note: the plan has {}: as much load a chunk verifies the model, not the size", loaded.planned_chunks));
    }
    if peak.scenario.target.url.is_some() {
        printer.talk(&format!("note: the endpoint must have {} chunk{plural} now, and nothing else may load it", loaded.chunks));
    }
}

fn print_nothing(plan: &Recommendation, done: &Done, printer: Printer) {
    printer.talk("too few requests ended well to compare anything with the model");
    match printer.format {
        Format::Json => printer.data(&format!("{:#}", serde_json::json!({ "verification": null, "verify": done.document }))),
        Format::Text | Format::Md => printer.data(&render::terminal::verification(plan, &done.document, None, printer.paint())),
    }
}

fn read_plan(path: &Path) -> Result<(Recommendation, Model), Failure> {
    let folder = if path.is_dir() { path.to_owned() } else { path.parent().unwrap_or(Path::new(".")).to_owned() };
    let file = if path.is_dir() { folder.join("plan.json") } else { path.to_owned() };
    let wrong = |e: serde_json::Error| Failure::new(Exit::Usage, format!("{}: not written by this version of `plimsoll plan`: {e}", file.display()));
    let plan: Recommendation = serde_json::from_slice(&files::read(&file, "plan", 256 << 20)?).map_err(wrong)?;
    Ok((plan, Model::read(&folder.join("model.json"))?))
}

/// The experiment at the plan's largest size, or at `at_most` chunks with the load in proportion, and its busiest interval of the replayed period (a few
/// minutes): if the promise holds anywhere by a hair, it is there.
pub(crate) fn at_peak(experiment: &Experiment, plan: &Recommendation, at_most: Option<u32>) -> Result<(Experiment, Loaded), Failure> {
    let chosen = plan.chosen.as_ref().ok_or_else(|| Failure::new(Exit::SloNotMet, "the plan recommends no size; there is nothing to verify"))?;
    let per_request = plan.demand.mean_tok_s / plan.demand.mean_requests_s.max(1e-9);
    let busiest = plan.timeline.points.iter().map(|p| p.demand_tok_s).fold(0.0, f64::max);
    let planned_rate = if busiest > 0.0 { busiest } else { plan.demand.mean_tok_s } / per_request.max(1e-9);
    let chunks = at_most.unwrap_or(chosen.max_chunks).min(chosen.max_chunks).max(1);
    let rate = planned_rate * f64::from(chunks) / f64::from(chosen.max_chunks.max(1));
    let rate = (rate * 1000.0).round() / 1000.0;
    let mut peak = experiment.clone();
    // Prompts of its own, so that a prefix cache filled by the measurement does not answer.
    peak.seed = experiment.seed.child("verify", 0);
    let endpoint = &mut peak.scenario.endpoint;
    (endpoint.min_chunks, endpoint.max_chunks) = (chunks, chunks);
    // Lengths that came with the arrivals of a recording still come from it.
    let replayed = match &peak.scenario.load.arrivals {
        Arrivals::Trace { trace, .. } => Some(trace.clone()),
        _ => None,
    };
    if let (Lengths::Empirical { trace: own @ None }, Some(trace)) = (&mut peak.scenario.workload.lengths, replayed) {
        *own = Some(trace);
    }
    peak.scenario.load.arrivals = Arrivals::Poisson { rate: RateFn::Constant(Rate(rate)) };
    let loaded = Loaded { chunks, planned_chunks: chosen.max_chunks, requests_s: rate, planned_requests_s: planned_rate };
    Ok((peak, loaded))
}

/// Measured beside predicted: the requests of the run through the plan's model in virtual time.
pub(crate) fn compare(
    peak: &Experiment,
    plan: &Recommendation,
    model: &Model,
    loaded: Loaded,
    done: &Done,
    slower: f64,
) -> Result<Option<Verification>, Failure> {
    let records = results::records(&done.folder)?;
    let model = verification::Model::of(&model.document(), loaded.chunks);
    let timeouts = &peak.scenario.target.timeouts;
    let input = Input {
        model: &model,
        records: &records,
        slo: &peak.scenario.slo,
        patience: Patience { total: timeouts.total.nanos(), first_byte: timeouts.first_byte.nanos() },
        load: loaded,
        slower,
        seed: peak.seed,
    };
    let window = &done.document.summary.window;
    let planned = Planned {
        tokens_per_request: plan.demand.mean_tok_s / plan.demand.mean_requests_s.max(1e-9),
        throttled: plan.chosen.as_ref().map_or(0.0, |c| c.misses.throttled),
        chunk_tok_s: plan.effective_chunk_tok_s,
        chunks: loaded.chunks,
        window_s: window.end_s - window.start_s,
    };
    Ok(verification::verify(&input).map(|found| found.with_checks(&records, &planned)))
}

fn write(folder: &Path, plan: &Recommendation, found: &Verification, done: &Done, printer: Printer) -> Result<(), Failure> {
    files::write(&folder.join("verify.json"), found.to_json().as_bytes())?;
    files::write(&folder.join("verify.html"), render::html::verify_page(plan, &done.document, found).as_bytes())?;
    files::write(&folder.join("verify.md"), render::markdown::verification(plan, &done.document, found).as_bytes())?;
    printer.talk(&format!("report: {}", folder.join("verify.html").display()));
    Ok(())
}
