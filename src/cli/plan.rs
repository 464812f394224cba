//! `plan`: minimum and maximum chunks for a demand, and why; with the bodies of the requests that make it so.

mod probed;

use super::args::{Format, PlanArgs};
use super::exit::{Exit, Failure, Outcome};
use super::model::{self, Model};
use super::printer::Printer;
use super::{files, load, progress, purchase, results, scenario};
use crate::base::diag::{Severity, Warning};
use crate::base::rng::Seed;
use crate::measure::document::RunDocument;
use crate::planner::recommendation::Recommendation;
use crate::planner::verification::Verification;
use crate::planner::{self, PlanProgress, cost, sensitivity};
use crate::report as render;
use crate::report::html::PlanExtras;
use crate::scenario::check::Override;
use crate::scenario::experiment::Experiment;
use crate::sim::fit::{Fitted, Operating};
use crate::workload::schedule::Material;
use std::path::Path;

/// Plans.
pub(crate) fn run(args: &PlanArgs, printer: Printer) -> Outcome {
    let seed = Seed(args.scenario.seed.unwrap_or(1));
    let mut experiment = scenario::read(&args.scenario, &[], seed, printer)?;
    let Some(plan) = &experiment.scenario.plan else {
        return Err(Failure::new(Exit::Usage, format!("{}: there is no [plan]", args.scenario.scenario.display()))
            .with_hint("scenarios/diurnal-plan.toml shows one: demand, chunk, price, promise"));
    };
    if let Some(text) = &args.growth {
        let grown = plan.growth * factor(text)?;
        let more = [Override { key: "plan.growth".to_owned(), value: format!("{grown:?}") }];
        experiment = scenario::read(&args.scenario, &more, seed, printer)?;
    }
    purchase::fill_in(&mut experiment)?;
    let recordings = scenario::material(&experiment, printer)?;
    let mut model = match &args.model {
        Some(path) => Model::read(path)?,
        None if args.from.is_empty() => Model::assumed(&experiment),
        None => model::from_runs(&experiment, &args.from, printer)?,
    };
    let noted = args.probe.as_deref().map(|path| probed::take(path, &mut experiment, &mut model, &recordings.plan)).transpose()?;
    let depth = if args.quick { Comparisons::Skipped } else { Comparisons::Made };
    let mut recommendation = recommend(&experiment, &model, &recordings.plan, depth, printer)?;
    if let Some(noted) = noted {
        probed::tell(&mut recommendation, noted);
    }
    let folder = results::new_folder(&args.out, &experiment.scenario.name, experiment.seed, &load::now_utc())?;
    write(&folder, &recommendation, &model, &Extras::default(), printer)?;
    print(&recommendation, printer)?;
    Ok(verdict(&recommendation))
}

/// A factor as people write it: `1.5x` or `1.5`.
fn factor(text: &str) -> Result<f64, Failure> {
    let number = text.trim().trim_end_matches(['x', 'X']).trim_end();
    number
        .parse()
        .ok()
        .filter(|f: &f64| f.is_finite() && *f > 0.0)
        .ok_or_else(|| Failure::new(Exit::Usage, format!("--growth {text:?}: expected a factor above 0, e.g. 1.5x")))
}

/// Whether the plan is compared with what it would be for other inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparisons {
    /// It is.
    Made,
    /// It is not, to save time.
    Skipped,
}

/// Searches, with progress; says when the price is old.
pub(crate) fn recommend(
    experiment: &Experiment,
    model: &Model,
    material: &Material,
    comparisons: Comparisons,
    printer: Printer,
) -> Result<Recommendation, Failure> {
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
    let found = planner::recommend_under(experiment, &law, material, &mut show).and_then(|mut plan| {
        if comparisons == Comparisons::Made {
            sensitivity::compare(experiment, &model.spec, material, &mut plan, &mut show)?;
        }
        Ok(plan)
    });
    bar.finish_and_clear();
    let mut plan = found.map_err(|e| Failure::from_error(Exit::Usage, &e))?;
    plan.warnings.extend(cost::age_warning(&plan.prices, &load::now_utc()));
    if let Some(fitted) = model.fitted.as_ref().filter(|fitted| fitted.is_measured()) {
        plan.warnings.extend(extrapolated(fitted, &plan));
    }
    Ok(plan)
}

/// Where the plan takes chunks beyond what the fit has seen.
fn extrapolated(fitted: &Fitted, plan: &Recommendation) -> Option<Warning> {
    let beyond = fitted.beyond(&Operating { tok_s: plan.effective_chunk_tok_s, ..Operating::default() });
    (!beyond.is_empty()).then(|| Warning {
        severity: Severity::Doubt,
        code: "extrapolated".to_owned(),
        message: format!("the plan relies on the model beyond what was measured: {}", beyond.join("; ")),
        limit: "1.05 times the highest measured load of a chunk".to_owned(),
        hint: "measure higher loads: `plimsoll sweep SCENARIO --for-fit`, then `plimsoll fit`".to_owned(),
    })
}

/// What a plan's page shows beside the plan.
#[derive(Default)]
pub(crate) struct Extras {
    /// The run that verified it.
    pub(crate) verify: Option<RunDocument>,
    /// What that run says of the model.
    pub(crate) verification: Option<Verification>,
}

/// Writes plan.json, model.json, the request bodies with what other tools take, the page and the summary.
pub(crate) fn write(folder: &Path, plan: &Recommendation, model: &Model, extras: &Extras, printer: Printer) -> Result<(), Failure> {
    files::write(&folder.join("plan.json"), &json(plan)?)?;
    files::write(&folder.join("model.json"), &json(&model.document())?)?;
    files::write(&folder.join("create.json"), &json(&plan.create_body)?)?;
    files::write(&folder.join("resize.json"), &json(&plan.resize_body)?)?;
    for file in render::artifact::all(&plan.create_body, &plan.sentence) {
        files::write(&folder.join(file.name), file.text.as_bytes())?;
    }
    files::write(&folder.join("summary.md"), render::markdown::plan(plan).as_bytes())?;
    let rows = model.rows();
    let made = load::now_utc();
    let extras =
        PlanExtras { sweep: &model.runs, fit: &rows, verify: extras.verify.as_ref(), verification: extras.verification.as_ref(), made_utc: &made };
    files::write(&folder.join("report.html"), render::html::plan_page(plan, &extras).as_bytes())?;
    printer.talk(&format!("report: {}", folder.join("report.html").display()));
    Ok(())
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
