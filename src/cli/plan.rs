//! `plan`: minimum and maximum chunks for a demand, and why; with the bodies of the requests that make it so.

use super::args::{Format, PlanArgs};
use super::exit::{Exit, Failure, Outcome};
use super::printer::Printer;
use super::{files, load, progress, results, scenario};
use crate::base::rng::Seed;
use crate::measure::document::RunDocument;
use crate::planner::recommendation::Recommendation;
use crate::planner::verification::Verification;
use crate::planner::{self, PlanProgress};
use crate::record::request::RequestRecord;
use crate::report::html::PlanExtras;
use crate::report::{self as render, FitRow};
use crate::scenario::endpoint::{EndpointSpec, StepLaw};
use crate::scenario::experiment::Experiment;
use crate::scenario::plan::Provenance;
use crate::sim::fit::fitted::SCHEMA_VERSION;
use crate::sim::fit::{self, FitFigure, FitInput, Fitted};
use crate::workload::schedule::Material;
use std::path::{Path, PathBuf};

/// Draws of the model that a plan is certified under.
const DRAWS: usize = 40;
/// Level of the factors from held-out errors.
const CONFIDENCE: f64 = 0.9;

/// The model that a plan rests on.
pub(crate) struct Model {
    /// One chunk.
    pub(crate) spec: EndpointSpec,
    /// Measured when it was fitted, assumed when it stands in the scenario.
    pub(crate) source: Provenance,
    /// The fit, if there was one.
    pub(crate) fitted: Option<Fitted>,
    /// The runs that it was fitted to.
    pub(crate) runs: Vec<RunDocument>,
}

impl Model {
    /// What model.json holds.
    pub(crate) fn document(&self) -> Fitted {
        self.fitted.clone().unwrap_or_else(|| Fitted::assumed(&self.spec))
    }

    /// The model of a model.json.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let wrong = |e: &dyn std::fmt::Display| {
            Failure::new(Exit::Usage, format!("{}: {e}", path.display()))
                .with_hint("expected model.json as written by `plimsoll fit` or `plan` of this version")
        };
        let fitted: Fitted = serde_json::from_slice(&files::read(path, "model", 64 << 20)?).map_err(|e| wrong(&e))?;
        if fitted.schema_version != SCHEMA_VERSION {
            return Err(wrong(&format!("model of version {}; this tool reads version {SCHEMA_VERSION}", fitted.schema_version)));
        }
        let source = if fitted.is_measured() { Provenance::Measured } else { Provenance::Assumed };
        Ok(Self { spec: fitted.spec.clone(), source, fitted: Some(fitted), runs: Vec::new() })
    }
}

/// Plans.
pub(crate) fn run(args: &PlanArgs, printer: Printer) -> Outcome {
    let experiment = scenario::read(&args.scenario, &[], Seed(args.scenario.seed.unwrap_or(1)), printer)?;
    if experiment.scenario.plan.is_none() {
        return Err(Failure::new(Exit::Usage, format!("{}: there is no [plan]", args.scenario.scenario.display()))
            .with_hint("scenarios/diurnal-plan.toml shows one: demand, chunk, price, promise"));
    }
    let recordings = scenario::material(&experiment, printer)?;
    let model = match &args.model {
        Some(path) => Model::read(path)?,
        None if args.from.is_empty() => assumed(&experiment),
        None => from_runs(&experiment, &args.from, printer)?,
    };
    let recommendation = recommend(&experiment, &model, &recordings.plan, printer)?;
    let folder = results::new_folder(&args.out, &experiment.scenario.name, experiment.seed, &load::now_utc())?;
    write(&folder, &recommendation, &model, &Extras::default(), printer)?;
    print(&recommendation, printer)?;
    Ok(verdict(&recommendation))
}

/// The endpoint of the scenario, as it stands there.
#[must_use]
pub(crate) fn assumed(experiment: &Experiment) -> Model {
    Model { spec: experiment.scenario.endpoint.clone(), source: Provenance::Assumed, fitted: None, runs: Vec::new() }
}

/// Fits to run folders; a sweep folder stands for its steps.
fn from_runs(experiment: &Experiment, folders: &[PathBuf], printer: Printer) -> Result<Model, Failure> {
    let mut runs = Vec::new();
    for folder in folders {
        for step in steps_of(folder)? {
            let document = results::load(&step, printer)?;
            let (of_run, wanted) = (document.experiment.endpoint.min_chunks, experiment.scenario.endpoint.min_chunks);
            if of_run == wanted {
                runs.push((document, results::records(&step)?));
            } else {
                printer.talk(&format!("note: {} ran on {of_run} chunks, not on endpoint.min_chunks = {wanted}; left out of the fit", step.display()));
            }
        }
    }
    fit_to(experiment, runs)
}

fn steps_of(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let listed = std::fs::read_dir(folder).map_err(|e| Failure::new(Exit::Usage, format!("cannot read run folder {}: {e}", folder.display())))?;
    let mut steps: Vec<PathBuf> = listed.filter_map(Result::ok).map(|e| e.path()).filter(|p| p.join("requests.log").is_file()).collect();
    steps.sort();
    if folder.join("requests.log").is_file() {
        steps = vec![folder.to_owned()];
    }
    if steps.is_empty() {
        return Err(Failure::new(Exit::Usage, format!("{} is neither a run nor a sweep", folder.display()))
            .with_hint("expected a folder written by `plimsoll run` or `plimsoll sweep`"));
    }
    Ok(steps)
}

/// The step law behind measured records. Batch cap, budget and key-value size are taken from `[endpoint]`; the law itself is not.
pub(crate) fn fit_to(experiment: &Experiment, runs: Vec<(RunDocument, Vec<RequestRecord>)>) -> Result<Model, Failure> {
    let base = EndpointSpec {
        step: StepLaw::default(),
        noise: 0.0,
        max_chunks: experiment.scenario.endpoint.min_chunks,
        ..experiment.scenario.endpoint.clone()
    };
    let input = FitInput {
        steps: runs.iter().map(|(_, r)| r.as_slice()).collect(),
        base: &base,
        held_out: Vec::new(),
        draws: DRAWS,
        confidence: CONFIDENCE,
    };
    let fitted = fit::fit(&input, experiment.seed)
        .map_err(|e| Failure::from_error(Exit::Inconclusive, &e).with_hint("sweep at least two rates with streamed answers, one of them low"))?;
    Ok(Model { spec: fitted.spec.clone(), source: Provenance::Measured, fitted: Some(fitted), runs: runs.into_iter().map(|(d, _)| d).collect() })
}

/// Searches, with progress.
pub(crate) fn recommend(experiment: &Experiment, model: &Model, material: &Material, printer: Printer) -> Result<Recommendation, Failure> {
    let bar = progress::of_steps(printer, "plan");
    let mut told = 0;
    let mut show = |p: PlanProgress| {
        bar.set_message(format!("{p}"));
        bar.tick();
        if !printer.live && p.candidates >= told + 10 {
            told = p.candidates;
            printer.talk(&format!("plan: {p}"));
        }
    };
    let law = match &model.fitted {
        Some(fitted) => planner::Model::fitted(fitted, model.source),
        None => planner::Model::exact(&model.spec, model.source),
    };
    let found = planner::recommend_under(experiment, &law, material, &mut show);
    bar.finish_and_clear();
    found.map_err(|e| Failure::from_error(Exit::Usage, &e))
}

/// What a plan's page shows beside the plan.
#[derive(Default)]
pub(crate) struct Extras {
    /// The run that verified it.
    pub(crate) verify: Option<RunDocument>,
    /// What that run says of the model.
    pub(crate) verification: Option<Verification>,
}

/// Writes plan.json, model.json, the request bodies, the page and the summary.
pub(crate) fn write(folder: &Path, plan: &Recommendation, model: &Model, extras: &Extras, printer: Printer) -> Result<(), Failure> {
    files::write(&folder.join("plan.json"), &json(plan)?)?;
    files::write(&folder.join("model.json"), &json(&model.document())?)?;
    files::write(&folder.join("create.json"), &json(&plan.create_body)?)?;
    files::write(&folder.join("resize.json"), &json(&plan.resize_body)?)?;
    files::write(&folder.join("summary.md"), render::markdown::plan(plan).as_bytes())?;
    let rows = fit_rows(model);
    let made = load::now_utc();
    let extras =
        PlanExtras { sweep: &model.runs, fit: &rows, verify: extras.verify.as_ref(), verification: extras.verification.as_ref(), made_utc: &made };
    files::write(&folder.join("report.html"), render::html::plan_page(plan, &extras).as_bytes())?;
    printer.talk(&format!("report: {}", folder.join("report.html").display()));
    Ok(())
}

fn fit_rows(model: &Model) -> Vec<FitRow> {
    let Some(fitted) = &model.fitted else { return Vec::new() };
    let step = |number: u32| {
        let run = (number as usize).checked_sub(1).and_then(|i| model.runs.get(i));
        run.map_or_else(|| number.to_string(), |run| format!("{:.3} requests/s", run.summary.offered_rate))
    };
    let row = |f: &FitFigure| FitRow {
        step: step(f.step),
        metric: f.metric.clone(),
        percentile: f.percentile.clone(),
        measured_ms: f.measured_ms,
        predicted_ms: f.predicted_ms,
    };
    fitted.quality.rows.iter().map(row).collect()
}

/// The plan on stdout in the form asked for.
pub(crate) fn print(plan: &Recommendation, printer: Printer) -> Result<(), Failure> {
    match printer.format {
        Format::Text => printer.data(&render::terminal::plan(plan, printer.paint())),
        Format::Md => printer.data(&render::markdown::plan(plan)),
        Format::Json => printer.data(&serde_json::to_string_pretty(plan).map_err(|e| Failure::from_error(Exit::Unwritable, &e))?),
    }
    Ok(())
}

/// Good when a size keeps the promise.
#[must_use]
pub(crate) fn verdict(plan: &Recommendation) -> Exit {
    if plan.chosen.is_some() { Exit::Good } else { Exit::SloNotMet }
}

fn json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec_pretty(value).map_err(|e| Failure::from_error(Exit::Unwritable, &e))
}
