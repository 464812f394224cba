//! From a scenario file and the options beside it to a checked experiment and the recordings it names.

use super::args::{LoadArgs, ScenarioArgs};
use super::exit::{Exit, Failure};
use super::printer::Printer;
use super::{faults, files};
use crate::base::clock::Clock;
use crate::base::rng::Seed;
use crate::scenario::check::{Override, check};
use crate::scenario::experiment::Experiment;
use crate::scenario::load::{Arrivals, TraceSource};
use crate::scenario::plan::DemandSource;
use crate::scenario::workload::{Lengths, Marginal, Tokenizer};
use crate::workload::demand::{self, DemandModel};
use crate::workload::schedule::Material;
use crate::workload::tokenizer::Vocabulary;
use crate::workload::trace::{self, Recording, Rows};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest scenario file: a hundred times the largest that anybody would write by hand.
const SCENARIO_LIMIT: u64 = 4 << 20;
/// Largest vocabulary file.
const VOCABULARY_LIMIT: u64 = 256 << 20;
/// A demand model larger than this is a mistake.
const DEMAND_LIMIT: u64 = 64 << 20;

/// Reads and checks a scenario with its overrides. Faults are drawn on stderr; the failure only counts them.
pub(crate) fn read(args: &ScenarioArgs, more: &[Override], seed: Seed, printer: Printer) -> Result<Experiment, Failure> {
    let mut overrides = parse_overrides(&args.set)?;
    overrides.extend(more.iter().cloned());
    read_file(&args.scenario, &overrides, seed, printer)
}

/// The same for a path.
pub(crate) fn read_file(path: &Path, overrides: &[Override], seed: Seed, printer: Printer) -> Result<Experiment, Failure> {
    let text = files::read(path, "scenario", SCENARIO_LIMIT)?;
    from_text(&path.display().to_string(), &text, path.parent().unwrap_or(Path::new(".")), overrides, seed, printer)
}

/// The same for a text that need not be a file (the demo's own scenario).
pub(crate) fn from_text(
    name: &str,
    text: &[u8],
    base_dir: &Path,
    overrides: &[Override],
    seed: Seed,
    printer: Printer,
) -> Result<Experiment, Failure> {
    check(name, text, base_dir, overrides, seed).map_err(|found| {
        printer.error_text(&faults::draw(&found, &String::from_utf8_lossy(text), printer.color_err));
        let plural = if found.len() == 1 { "fault" } else { "faults" };
        Failure::new(Exit::Usage, format!("{name}: {} {plural}", found.len()))
    })
}

/// `KEY=VALUE` of `--set`.
pub(crate) fn parse_overrides(set: &[String]) -> Result<Vec<Override>, Failure> {
    set.iter()
        .map(|text| match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => Ok(Override { key: key.trim().to_owned(), value: value.trim().to_owned() }),
            _ => Err(Failure::new(Exit::Usage, format!("--set {text:?}: expected KEY=VALUE")).with_hint("for example --set load.measure=10s")),
        })
        .collect()
}

/// The options of a load, as overrides of its scenario.
pub(crate) fn load_overrides(args: &LoadArgs) -> Result<Vec<Override>, Failure> {
    let mut all = Vec::new();
    let mut set = |key: &str, value: String| all.push(Override { key: key.to_owned(), value });
    if let Some(url) = &args.url {
        set("target.url", quoted(url));
    }
    if let Some(model) = &args.model {
        set("target.model", quoted(model));
    }
    if let Some(rate) = args.request_rate {
        if !(rate.is_finite() && rate > 0.0) {
            return Err(Failure::new(Exit::Usage, format!("--request-rate {rate}: expected requests per second above 0, e.g. 12.5")));
        }
        set("load.arrivals", format!("{{ poisson = {{ rate = \"{rate}/s\" }} }}"));
    }
    if let Some(users) = args.users {
        set("load.arrivals", format!("{{ closed = {{ users = {users} }} }}"));
    }
    if let Some(n) = args.max_concurrency {
        set("load.max_in_flight", n.to_string());
    }
    if let Some(span) = &args.duration {
        set("load.measure", quoted(span));
    }
    for term in &args.goodput {
        let (metric, ms) = term
            .split_once(':')
            .and_then(|(m, ms)| Some((m, ms.parse::<f64>().ok().filter(|ms| ms.is_finite() && *ms > 0.0)?)))
            .filter(|(m, _)| ["ttft", "tpot", "itl", "e2e", "e2el"].contains(m))
            .ok_or_else(|| {
                Failure::new(Exit::Usage, format!("--goodput {term:?}: expected METRIC:MILLISECONDS with ttft, tpot, itl or e2e"))
                    .with_hint("for example --goodput ttft:200 tpot:50")
            })?;
        set(&format!("slo.{}.p95", metric.trim_end_matches('l').replace("it", "itl")), quoted(&format!("{ms}ms")));
    }
    Ok(all)
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// The seed asked for, or one from the clock: prompts of two runs must not be the same by accident, or a prefix cache answers the second one.
#[must_use]
pub(crate) fn seed_of_load(asked: Option<u64>) -> Seed {
    Seed(asked.unwrap_or_else(|| Clock::start().wall_origin_ns() / 1_000 % 1_000_000_007))
}

/// The recordings that an experiment names: for its load, and for the demand of its plan.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recordings {
    /// For `[load]` and `[workload]`.
    pub(crate) load: Material,
    /// For `plan.demand` and `[workload]`.
    pub(crate) plan: Material,
}

/// Reads every recording that the experiment names, each once.
pub(crate) fn material(experiment: &Experiment, printer: Printer) -> Result<Recordings, Failure> {
    material_by(experiment, &mut |source| read_trace(&experiment.resolve(&source.path), source, printer))
}

/// The same through a reader of one's own.
pub(crate) fn material_by(experiment: &Experiment, reader: &mut dyn FnMut(&TraceSource) -> Result<Rows, Failure>) -> Result<Recordings, Failure> {
    let scenario = &experiment.scenario;
    let mut read: BTreeMap<PathBuf, Rows> = BTreeMap::new();
    let mut rows = |source: Option<&TraceSource>| -> Result<Option<Rows>, Failure> {
        let Some(source) = source else { return Ok(None) };
        if !read.contains_key(&source.path) {
            read.insert(source.path.clone(), reader(source)?);
        }
        Ok(read.get(&source.path).cloned())
    };
    let (lengths, input, output) = match &scenario.workload.lengths {
        Lengths::Empirical { trace } => (trace.as_ref(), None, None),
        Lengths::Independent { input, output } | Lengths::Correlated { input, output, .. } => (None, column(input), column(output)),
    };
    let lengths = Material { lengths: rows(lengths)?, input: rows(input)?, output: rows(output)?, ..Material::default() };
    let load = Material { arrivals: rows(replayed(&scenario.load.arrivals))?, ..lengths.clone() };
    let replayed_by_plan = scenario.plan.as_ref().and_then(|p| p.demand.as_ref()).and_then(replayed);
    let source = scenario.plan.as_ref().and_then(|p| p.demand_model.as_ref());
    let demand = source.map(|source| demand_model(experiment, source, &lengths)).transpose()?;
    let plan = Material { arrivals: rows(replayed_by_plan)?, demand, ..lengths };
    Ok(Recordings { load, plan })
}

/// The demand model of a plan: read, or made of its shape; with the lengths of `[workload]` where it has none.
fn demand_model(experiment: &Experiment, source: &DemandSource, lengths: &Material) -> Result<Arc<DemandModel>, Failure> {
    let model = match source {
        DemandSource::Shape(shape) => demand::of_shape(shape),
        DemandSource::File(path) => {
            let path = experiment.resolve(path);
            let bytes = files::read(&path, "demand model", DEMAND_LIMIT)?;
            DemandModel::from_json(&bytes).map_err(|e| Failure::new(Exit::Usage, format!("{}: {e}", path.display())))?
        }
    };
    let completed = model.completed(&experiment.scenario.workload, lengths, experiment.seed);
    completed.map(Arc::new).map_err(|e| Failure::from_error(Exit::Usage, &e))
}

fn replayed(arrivals: &Arrivals) -> Option<&TraceSource> {
    match arrivals {
        Arrivals::Trace { trace, .. } => Some(trace),
        _ => None,
    }
}

/// The recording that a marginal draws a column of, in a mixture the first one.
fn column(marginal: &Marginal) -> Option<&TraceSource> {
    match marginal {
        Marginal::Column { trace, .. } => Some(trace),
        Marginal::Mixture(parts) => parts.iter().find_map(|part| column(&part.of)),
        _ => None,
    }
}

/// Reads one recording of requests and tells what was left out of it.
pub(crate) fn read_trace(path: &Path, source: &TraceSource, printer: Printer) -> Result<Rows, Failure> {
    match read_recording(path, source, printer)? {
        Recording::Requests(rows) => Ok(rows),
        Recording::Rates(_) => Err(Failure::new(Exit::Usage, format!("{}: rates in windows, not requests", path.display()))
            .with_hint("`plimsoll learn` makes a demand model of it, for plan.demand_model")),
    }
}

/// Reads one recording, of requests or of rates, and tells what was left out of it.
pub(crate) fn read_recording(path: &Path, source: &TraceSource, printer: Printer) -> Result<Recording, Failure> {
    let file = files::open(path, "trace")?;
    let name = path.display().to_string();
    let recording = trace::read_any(file, source.format, source.columns.as_ref(), &name).map_err(|e| Failure::from_error(Exit::Usage, &e))?;
    match &recording {
        Recording::Requests(rows) => {
            let left_out = rows.skipped.saturating_sub(rows.throttled.len() as u64);
            if left_out > 0 {
                printer.talk(&format!("note: {name}: {left_out} rows skipped: {}", rows.problems.join("; ")));
            }
            if !rows.throttled.is_empty() {
                printer.talk(&format!("note: {name}: {} requests were refused with 429: they have no lengths", rows.throttled.len()));
            }
            if rows.unsorted > 0 {
                printer.talk(&format!("note: {name}: {} rows were out of order and have been sorted", rows.unsorted));
            }
        }
        Recording::Rates(rates) if rates.skipped > 0 => printer.talk(&format!("note: {name}: {} rows skipped", rates.skipped)),
        Recording::Rates(_) => {}
    }
    Ok(recording)
}

/// The vocabulary that the scenario counts with.
pub(crate) fn vocabulary(experiment: &Experiment) -> Result<Arc<Vocabulary>, Failure> {
    let tokenizer = &experiment.scenario.workload.prompts.tokenizer;
    let made = match tokenizer {
        Tokenizer::File(path) => {
            let path = experiment.resolve(path);
            let bytes = files::read(&path, "vocabulary", VOCABULARY_LIMIT)?;
            Vocabulary::from_json(&bytes).map_err(|e| {
                Failure::new(Exit::Usage, format!("{}: {e}", path.display())).with_hint("expected a Hugging Face tokenizer.json with a BPE model")
            })?
        }
        embedded => Vocabulary::embedded(embedded).map_err(|e| Failure::from_error(Exit::Usage, &e))?,
    };
    Ok(Arc::new(made))
}

/// Name of the vocabulary for the manifest.
#[must_use]
pub(crate) fn vocabulary_name(tokenizer: &Tokenizer) -> String {
    match tokenizer {
        Tokenizer::Llama3 => "llama3".to_owned(),
        Tokenizer::O200k => "o200k".to_owned(),
        Tokenizer::Cl100k => "cl100k".to_owned(),
        Tokenizer::Qwen2 => "qwen2".to_owned(),
        Tokenizer::File(path) => path.file_name().map_or_else(|| "file".to_owned(), |n| n.to_string_lossy().into_owned()),
    }
}
