//! The endpoint's model as commands handle it: fitted to run folders, read from model.json, or taken as the scenario has it.

use super::exit::{Exit, Failure};
use super::printer::Printer;
use super::{files, results};
use crate::measure::document::RunDocument;
use crate::record::request::RequestRecord;
use crate::report::{FitRow, fit_content};
use crate::scenario::endpoint::{EndpointSpec, StepLaw};
use crate::scenario::experiment::Experiment;
use crate::scenario::plan::Provenance;
use crate::sim::fit::fitted::SCHEMA_VERSION;
use crate::sim::fit::{self, FitInput, Fitted};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Draws of the model that a plan is certified under.
const DRAWS: usize = 160;
/// Level of the factors from held-out errors.
const CONFIDENCE: f64 = 0.9;
/// What `sweep --for-fit` leaves in the folder of each step.
const NOTE: &str = "fit-step.json";

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
    /// What each of them is called.
    pub(crate) labels: Vec<String>,
}

/// What `sweep --for-fit` says of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepNote {
    /// What it is: `8 users`.
    pub(crate) label: String,
    /// The fit is not to see it.
    pub(crate) is_held_out: bool,
}

impl StepNote {
    /// Writes the note into the folder of its step.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| Failure::from_error(Exit::Unwritable, &e))?;
        files::write(&folder.join(NOTE), &text)
    }

    fn read(folder: &Path) -> Result<Option<Self>, Failure> {
        let path = folder.join(NOTE);
        if !path.is_file() {
            return Ok(None);
        }
        let read = serde_json::from_slice(&files::read(&path, "note", 1 << 16)?);
        read.map(Some).map_err(|e| Failure::new(Exit::Usage, format!("{}: {e}", path.display())))
    }
}

/// A load step that was measured.
pub(crate) struct Measured {
    /// The run.
    pub(crate) document: RunDocument,
    /// Its requests.
    pub(crate) records: Vec<RequestRecord>,
    /// What it is called.
    pub(crate) label: String,
    /// The fit is not to see it.
    pub(crate) is_held_out: bool,
}

impl Measured {
    /// A step that the fit sees, called by its rate.
    pub(crate) fn new(document: RunDocument, records: Vec<RequestRecord>) -> Self {
        let label = format!("{:.3} requests/s", document.summary.offered_rate);
        Self { document, records, label, is_held_out: false }
    }
}

impl Model {
    /// The endpoint of the scenario, as it stands there.
    pub(crate) fn assumed(experiment: &Experiment) -> Self {
        Self { spec: experiment.scenario.endpoint.clone(), source: Provenance::Assumed, fitted: None, runs: Vec::new(), labels: Vec::new() }
    }

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
        Ok(Self { spec: fitted.spec.clone(), source, fitted: Some(fitted), runs: Vec::new(), labels: Vec::new() })
    }

    /// Measured beside predicted, of the fit.
    pub(crate) fn rows(&self) -> Vec<FitRow> {
        self.fitted.as_ref().map_or_else(Vec::new, |fitted| fit_content::rows(&fitted.quality.rows, &self.labels))
    }
}

/// The steps of run folders; a sweep folder stands for its steps.
pub(crate) fn gather(folders: &[PathBuf], printer: Printer) -> Result<Vec<Measured>, Failure> {
    let mut all = Vec::new();
    for folder in folders {
        for step in steps_of(folder)? {
            let mut measured = Measured::new(results::load(&step, printer)?, results::records(&step)?);
            if let Some(note) = StepNote::read(&step)? {
                (measured.label, measured.is_held_out) = (note.label, note.is_held_out);
            }
            all.push(measured);
        }
    }
    Ok(all)
}

/// Fits to run folders for a plan: those that ran on as many chunks as the scenario's endpoint begins with.
pub(crate) fn from_runs(experiment: &Experiment, folders: &[PathBuf], printer: Printer) -> Result<Model, Failure> {
    let wanted = experiment.scenario.endpoint.min_chunks;
    let (used, other): (Vec<Measured>, Vec<Measured>) =
        gather(folders, printer)?.into_iter().partition(|m| m.document.experiment.endpoint.min_chunks == wanted);
    for m in other {
        let chunks = m.document.experiment.endpoint.min_chunks;
        printer.talk(&format!("note: {} ran on {chunks} chunks, not on endpoint.min_chunks = {wanted}; left out of the fit", m.label));
    }
    fit_to(experiment, used)
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

/// The model behind measured records. Number of chunks and routing are those of `[endpoint]`, and so are the limits that the records do not show;
/// the law itself is not.
pub(crate) fn fit_to(experiment: &Experiment, measured: Vec<Measured>) -> Result<Model, Failure> {
    let endpoint = &experiment.scenario.endpoint;
    let base = EndpointSpec { step: StepLaw::default(), noise: 0.0, max_chunks: endpoint.min_chunks, ..endpoint.clone() };
    // Those held out come last: figures name steps by their number.
    let (seen, unseen): (Vec<Measured>, Vec<Measured>) = measured.into_iter().partition(|m| !m.is_held_out);
    let input = FitInput {
        steps: seen.iter().map(|m| m.records.as_slice()).collect(),
        held_out: unseen.iter().map(|m| m.records.as_slice()).collect(),
        base: &base,
        draws: DRAWS,
        confidence: CONFIDENCE,
    };
    let fitted = fit::fit(&input, experiment.seed).map_err(|e| {
        Failure::from_error(Exit::Inconclusive, &e).with_hint("`plimsoll sweep SCENARIO --for-fit` measures what a fit needs, with streamed answers")
    })?;
    let (labels, runs) = seen.into_iter().chain(unseen).map(|m| (m.label, m.document)).unzip();
    Ok(Model { spec: fitted.spec.clone(), source: Provenance::Measured, fitted: Some(fitted), runs, labels })
}
