//! `fit`: the endpoint's model from measured runs, what is uncertain about it, and what is missing.

use super::args::{FitArgs, Format};
use super::exit::{Exit, Failure, Outcome};
use super::model::{self, Measured};
use super::printer::Printer;
use super::{files, results};
use crate::base::rng::Seed;
use crate::report as render;
use crate::scenario::endpoint::EndpointSpec;
use crate::scenario::experiment::Experiment;

/// Fits, prints, writes model.json.
pub(crate) fn run(args: &FitArgs, printer: Printer) -> Outcome {
    let measured = model::gather(&args.runs, printer)?;
    let experiment = assumed(&measured, Seed(args.seed))?;
    let model = model::fit_to(&experiment, measured)?;
    let fitted = model.document();
    let path = args.out.clone().unwrap_or_else(|| args.runs[0].join("model.json"));
    let text = serde_json::to_string_pretty(&fitted).map_err(|e| Failure::from_error(Exit::Unwritable, &e))?;
    files::write(&path, text.as_bytes())?;
    match printer.format {
        Format::Text => printer.data(&render::terminal::fit(&fitted, &model.labels, printer.paint())),
        Format::Md => printer.data(&render::markdown::fit(&fitted, &model.labels)),
        Format::Json => printer.data(&text),
    }
    printer.talk(&format!("model: {}; next: plimsoll plan SCENARIO --model {}", path.display(), path.display()));
    Ok(Exit::Good)
}

/// What is known beforehand: chunks and routing of the first run, which all others must share. What the scenario says of the endpoint's limits is
/// an assumption where the endpoint is a foreign one, and the truth where it is the embedded one: there it is not looked at.
fn assumed(measured: &[Measured], seed: Seed) -> Result<Experiment, Failure> {
    let Some(first) = measured.first() else {
        return Err(Failure::new(Exit::Inconclusive, "no run to fit to"));
    };
    let endpoint = |m: &Measured| m.document.experiment.endpoint.clone();
    let own = endpoint(first);
    if let Some(other) = measured.iter().find(|m| endpoint(m).min_chunks != own.min_chunks) {
        let chunks = endpoint(other).min_chunks;
        return Err(Failure::new(Exit::Usage, format!("the runs are of {} and of {chunks} chunks; expected one number of chunks", own.min_chunks))
            .with_hint("fit to the runs of each size on its own"));
    }
    let mut scenario = first.document.experiment.clone();
    if first.document.manifest.endpoint.embedded {
        let EndpointSpec { chunk, min_chunks, max_chunks, routing, autoscaler, .. } = own;
        scenario.endpoint = EndpointSpec { chunk, min_chunks, max_chunks, routing, autoscaler, ..EndpointSpec::default() };
    }
    Ok(results::experiment_of(scenario, seed))
}
