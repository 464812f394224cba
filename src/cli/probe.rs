//! `probe`: a step of load against an autoscaling endpoint, for the scale-up lag and what a chunk really serves.

use super::args::{Format, ProbeArgs};
use super::exit::{Exit, Failure, Outcome};
use super::load::{self, Loader, Ready};
use super::printer::Printer;
use super::signals::Signals;
use super::{files, results, scenario, sweep};
use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::base::units::TimeSpan;
use crate::measure::probe::document::ProbeDocument;
use crate::measure::probe::{Collector, NoLag, Repeat, Shape};
use crate::planner::probed;
use crate::report as render;
use crate::scenario::endpoint::{Autoscaler, Lag};
use crate::scenario::experiment::Experiment;
use crate::workload::schedule::Schedule;
use std::path::Path;

/// The load before the step, as a share of the advertised chunks that serve then: well below the target of an autoscaler.
const LOW: f64 = 0.5;
/// The load of the step, in advertised chunks for each chunk aimed at: an endpoint is sized for its objectives and carries more before it is saturated.
const HIGH: f64 = 1.25;
/// The hold goes on this many times the lag that is expected at most, so that the step back to the offered load is seen too.
const HOLD_LAGS: f64 = 1.5;

/// Loads every repeat and writes what they show.
pub(crate) fn run(args: &ProbeArgs, printer: Printer) -> Outcome {
    for (option, is_given) in [("--users", args.load.users.is_some()), ("--duration", args.load.duration.is_some())] {
        if is_given {
            return Err(Failure::new(Exit::Usage, format!("{option}: a probe loads a step, at --step chunks for --before, --hold and --after"))
                .with_hint("probe --help says how long each is by default"));
        }
    }
    let overrides = scenario::load_overrides(&args.load)?;
    let experiment = scenario::read(&args.scenario, &overrides, scenario::seed_of_load(args.scenario.seed), printer)?;
    can_scale(&experiment)?;
    let signals = Signals::watch();
    let loader = Loader::new(&args.load, printer, &signals);
    let levels = Levels::of(args, &experiment)?;
    let ready = load::prepare(&experiment, &loader)?;
    let tokens = mean_tokens(&experiment, &ready)?;
    let shape = levels.shape(&experiment, tokens);
    let steps: Vec<Experiment> = (0..args.repeats).map(|i| repeat(&experiment, &shape, i)).collect();
    load::check_total(&steps, &ready, &loader)?;
    tell(&shape, &levels, printer);
    let started = load::now_utc();
    let folder = results::new_folder(&loader.out, &experiment.scenario.name, experiment.seed, &started)?;
    let mut repeats: Vec<Repeat> = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        repeats.push(once(step, i, &shape, &ready, &loader, &folder)?);
        if signals.stopped().is_some() {
            break;
        }
    }
    let assumed = args.assume_policy.then(|| policy(&experiment));
    let document = ProbeDocument::of((&experiment.scenario.name, &started), shape, tokens, repeats, assumed);
    write(&folder, &document, printer)?;
    match printer.format {
        Format::Text => printer.data(&render::terminal::probe(&document, printer.paint())),
        Format::Md => printer.data(&render::markdown::probe(&document)),
        Format::Json => printer.data(&document.to_json()),
    }
    Ok(verdict(&document, signals.stopped()))
}

/// The embedded endpoint must have somewhere to scale to; of any other that is not known.
fn can_scale(experiment: &Experiment) -> Result<(), Failure> {
    let endpoint = &experiment.scenario.endpoint;
    if experiment.scenario.target.url.is_none() && endpoint.max_chunks <= endpoint.min_chunks {
        let message = format!("the embedded endpoint has {} chunks and may have no more: there is no scale-up to probe", endpoint.min_chunks);
        return Err(Failure::new(Exit::Usage, message).with_hint("--set endpoint.max_chunks=4, or name an endpoint with --url"));
    }
    Ok(())
}

/// The policy that the scenario describes: of the plan for an endpoint elsewhere, of the simulated endpoint for the embedded one.
fn policy(experiment: &Experiment) -> &Autoscaler {
    let scenario = &experiment.scenario;
    match (&scenario.target.url, &scenario.plan) {
        (Some(_), Some(plan)) => &plan.autoscaler,
        _ => &scenario.endpoint.autoscaler,
    }
}

/// Loads in advertised chunks, and how long each is held.
struct Levels {
    low: f64,
    high: f64,
    before: Nanos,
    hold: Nanos,
    after: Nanos,
}

impl Levels {
    fn of(args: &ProbeArgs, experiment: &Experiment) -> Result<Self, Failure> {
        let chunks = experiment.scenario.endpoint.min_chunks.max(1);
        let target = args.target_chunks.unwrap_or(chunks + 1);
        if target <= chunks {
            return Err(Failure::new(Exit::Usage, format!("--target-chunks {target}: expected more than endpoint.min_chunks = {chunks}")));
        }
        let (low, high) = match args.step.as_slice() {
            [] => (LOW * f64::from(chunks), HIGH * f64::from(target)),
            [low, high] if *low > 0.0 && high > low && high.is_finite() => (*low, *high),
            other => {
                return Err(Failure::new(Exit::Usage, format!("--step {other:?}: expected two loads in advertised chunks, the second one higher"))
                    .with_hint("for example --step 0.5,2.5"));
            }
        };
        let policy = policy(experiment);
        let (window, poll) = (policy.window.as_secs_f64(), policy.poll.as_secs_f64());
        let span = |name: &str, text: Option<&String>, default_s: f64| {
            let default = TimeSpan(Nanos::from_secs_f64(default_s));
            sweep::span(name, text, default).map(TimeSpan::nanos)
        };
        let longest = longest_lag(&policy.lag);
        let hold = span("--hold", args.hold.as_ref(), HOLD_LAGS * longest + window + 2.0 * poll)?;
        if hold == Nanos::ZERO {
            return Err(Failure::new(Exit::Usage, "--hold: expected a time above 0, for which the high load is held")
                .with_hint("longer than a scale-up takes, e.g. --hold 10min"));
        }
        Ok(Self {
            low,
            high,
            before: span("--before", args.before.as_ref(), (window + poll).max(10.0))?,
            hold,
            after: span("--after", args.after.as_ref(), 1.5 * policy.scale_down_delay.as_secs_f64() + window + 2.0 * poll)?,
        })
    }

    fn shape(&self, experiment: &Experiment, (input, output): (f64, f64)) -> Shape {
        let scenario = &experiment.scenario;
        let chunk_tok_s = scenario.plan.as_ref().map_or(scenario.endpoint.chunk.0, |plan| plan.chunk.size.0);
        let rate = |chunks: f64| chunks * chunk_tok_s / (input + output).max(1.0);
        Shape {
            before_s: self.before.as_secs_f64(),
            hold_s: self.hold.as_secs_f64(),
            after_s: self.after.as_secs_f64(),
            low_rate: rate(self.low),
            high_rate: rate(self.high),
            chunks: scenario.endpoint.min_chunks.max(1),
            chunk_tok_s,
        }
    }
}

/// The longest lag that is to be expected: the p95 of a lognormal.
fn longest_lag(lag: &Lag) -> f64 {
    match lag {
        Lag::Fixed(span) => span.as_secs_f64(),
        Lag::Lognormal { p95, .. } => p95.as_secs_f64(),
        Lag::Empirical(spans) => spans.iter().map(|s| s.as_secs_f64()).fold(0.0, f64::max),
    }
}

/// Mean input and output tokens of a request.
fn mean_tokens(experiment: &Experiment, ready: &Ready) -> Result<(f64, f64), Failure> {
    let schedule = Schedule::new(experiment, &ready.recordings.load).map_err(|e| Failure::from_error(Exit::Usage, &e))?;
    let expected = schedule.expected();
    if expected.requests <= 0.0 || experiment.scenario.workload.sessions.is_some() {
        return Err(Failure::new(Exit::Usage, "a probe needs requests that stand alone and whose lengths are known")
            .with_hint("--request-rate 1 instead of a recording, and no workload.sessions"));
    }
    Ok((expected.input_tokens / expected.requests, expected.output_tokens / expected.requests))
}

/// One repeat of the step.
fn repeat(experiment: &Experiment, shape: &Shape, i: u32) -> Experiment {
    let mut one = experiment.clone();
    one.seed = experiment.seed.child("probe", u64::from(i));
    let load = &mut one.scenario.load;
    load.arrivals = probed::arrivals(shape);
    load.warmup = TimeSpan(Nanos::ZERO);
    load.measure = TimeSpan(Nanos::from_secs_f64(shape.span_s()));
    one
}

fn tell(shape: &Shape, levels: &Levels, printer: Printer) {
    printer.talk(&format!(
        "probe: {:.2} requests/s ({} of the advertised {:.0} tok/s) for {}, {:.2}/s ({}) for {}, then back for {}",
        shape.low_rate, levels.low, shape.chunk_tok_s, levels.before, shape.high_rate, levels.high, levels.hold, levels.after
    ));
}

/// Loads one repeat and reads it from its log; a stopped one as far as it came.
fn once(step: &Experiment, i: usize, shape: &Shape, ready: &Ready, loader: &Loader<'_>, folder: &Path) -> Result<Repeat, Failure> {
    let place = folder.join(format!("repeat-{:02}", i + 1));
    let make = || files::make_folder(&place).map(|()| place.clone());
    let label = format!("probe, repeat {}", i + 1);
    let words: Seed = sweep::words(step.seed, i);
    let done = load::once_worded(make, step, words, ready, loader, &label)?;
    let mut collector = Collector::new(*shape);
    results::visit_records(&done.folder, |r| collector.observe(r))?;
    let repeat = collector.finish(Nanos::from_secs_f64(done.document.summary.window.end_s));
    let validity = &done.document.summary.validity;
    if validity.valid {
        return Ok(repeat);
    }
    for warning in &validity.warnings {
        loader.printer.talk(&format!("repeat {} is INVALID and does not count: {}", i + 1, warning.message));
    }
    Ok(repeat.invalid())
}

fn write(folder: &Path, document: &ProbeDocument, printer: Printer) -> Result<(), Failure> {
    files::write(&folder.join("probe.json"), document.to_json().as_bytes())?;
    files::write(&folder.join("summary.md"), render::markdown::probe(document).as_bytes())?;
    files::write(&folder.join("report.html"), render::html::probe_page(document).as_bytes())?;
    printer.talk(&format!("report: {}", folder.join("report.html").display()));
    Ok(())
}

/// Good when a lag was seen; otherwise too little was seen, or nothing came back in a valid run.
fn verdict(document: &ProbeDocument, stopped: Option<Exit>) -> Exit {
    let answered = document.repeats.iter().any(|r| r.requests > r.throttled + r.lost && r.no_lag != Some(NoLag::Invalid));
    match (stopped, document.lag.is_some(), answered) {
        (Some(exit), ..) => exit,
        (None, true, _) => Exit::Good,
        (None, false, true) => Exit::Inconclusive,
        (None, false, false) => Exit::Invalid,
    }
}

/// A probe.json, or the one in a folder that `probe` wrote.
pub(crate) fn read(path: &Path) -> Result<ProbeDocument, Failure> {
    let file = if path.is_dir() { path.join("probe.json") } else { path.to_owned() };
    let bytes = files::read(&file, "probe", 256 << 20)?;
    ProbeDocument::from_json(&String::from_utf8_lossy(&bytes)).map_err(|e| Failure::new(Exit::Usage, format!("{}: {e}", file.display())))
}
