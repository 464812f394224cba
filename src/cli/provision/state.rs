//! `provision.json`: which steps are done, with what, and what the endpoint was when they were.

use super::super::exit::{Exit, Failure};
use super::super::files;
use crate::scenario::experiment::Experiment;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Name of the file in the folder.
const FILE: &str = "provision.json";
/// No state is nearly as large.
const LARGEST: u64 = 1 << 20;
/// Format of the file.
const SCHEMA_VERSION: u32 = 1;

/// A step of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    /// Version of the model, and its chunk.
    Info,
    /// The small endpoint.
    Create,
    /// Loads on it.
    Measure,
    /// The law of one chunk.
    Fit,
    /// Minimum and maximum.
    Plan,
    /// To the maximum, for the verification.
    Enlarge,
    /// The promise, loaded.
    Verify,
    /// To minimum and maximum.
    Resize,
}

impl Step {
    /// In a word.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Info => "model",
            Self::Create => "created",
            Self::Measure => "measured",
            Self::Fit => "fitted",
            Self::Plan => "planned",
            Self::Enlarge => "enlarged",
            Self::Verify => "verified",
            Self::Resize => "resized",
        }
    }
}

/// A step that is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct DoneStep {
    /// Which.
    pub(super) step: Step,
    /// When, in UTC.
    pub(super) at: String,
    /// What came of it, in one line.
    pub(super) note: String,
}

/// The model that is served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Model {
    /// `catalog.schema.model`.
    pub(super) name: String,
    /// Its version.
    pub(super) version: u64,
    /// What one chunk is advertised for, tokens a second.
    pub(super) chunk_tok_s: u64,
}

/// What must not change behind the back of the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// The endpoint's number: another one of the same name has another.
    pub(super) id: Option<String>,
    /// Model that it serves.
    pub(super) model: String,
    /// Version of that.
    pub(super) version: String,
    /// Configuration that serves.
    pub(super) config_version: u64,
    /// Tokens a second, at least.
    pub(super) min_tok_s: u64,
    /// Tokens a second, at most.
    pub(super) max_tok_s: u64,
}

/// How the verification ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// The promise stands.
    Stands,
    /// It is broken.
    Broken,
    /// Too few requests to say.
    Undecided,
    /// The client was measured, not the endpoint.
    Invalid,
}

impl Verdict {
    /// From the exit of a verification.
    pub(super) fn of(exit: Exit) -> Self {
        match exit {
            Exit::Good => Self::Stands,
            Exit::SloNotMet => Self::Broken,
            Exit::Invalid => Self::Invalid,
            _ => Self::Undecided,
        }
    }

    /// And back.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Stands => Exit::Good,
            Self::Broken => Exit::SloNotMet,
            Self::Undecided => Exit::Inconclusive,
            Self::Invalid => Exit::Invalid,
        }
    }

    /// In words, after "the promise".
    pub(super) fn words(&self) -> &'static str {
        match self {
            Self::Stands => "STANDS",
            Self::Broken => "is BROKEN",
            Self::Undecided => "is UNDECIDED: too few requests",
            Self::Invalid => "was not judged: the run is INVALID",
        }
    }
}

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    schema_version: u32,
    /// Name of the scenario.
    pub(super) scenario: String,
    /// Of the scenario's text with its overrides.
    scenario_sha256: String,
    /// Base URL of the workspace.
    pub(super) host: String,
    /// Name of the endpoint.
    pub(super) endpoint: String,
    /// The model.
    pub(super) model: Option<Model>,
    /// The endpoint as the last step left it.
    pub(super) identity: Option<Identity>,
    /// The model's name in the answers.
    pub(super) model_reported: Option<String>,
    /// Folder of the measurement.
    pub(super) measured: Option<String>,
    /// How the verification ended.
    pub(super) verdict: Option<Verdict>,
    /// A step that changes the endpoint and was begun: it may have been sent.
    pub(super) begun: Option<Step>,
    /// Steps that are done, in their order.
    pub(super) done: Vec<DoneStep>,
}

impl State {
    /// Nothing done.
    pub(super) fn new(experiment: &Experiment, host: &str) -> Self {
        let endpoint = experiment.scenario.plan.as_ref().map(|plan| plan.entity.endpoint.clone()).unwrap_or_default();
        Self {
            schema_version: SCHEMA_VERSION,
            scenario: experiment.scenario.name.clone(),
            scenario_sha256: experiment.sha256.clone(),
            host: host.to_owned(),
            endpoint,
            ..Self::default()
        }
    }

    /// Reads that of `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(FILE);
        let bytes = files::read(&path, "state of a provision", LARGEST)?;
        let wrong = |what: String| {
            Failure::new(Exit::Usage, format!("{}: {what}", path.display())).with_hint("--resume takes a folder that `plimsoll provision` made")
        };
        let state: Self = serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))?;
        if state.schema_version == SCHEMA_VERSION {
            Ok(state)
        } else {
            Err(wrong(format!("format {}, expected {SCHEMA_VERSION}", state.schema_version)))
        }
    }

    /// The state, if it is of this scenario and this workspace.
    pub(super) fn of_same(self, experiment: &Experiment, host: &str) -> Result<Self, Failure> {
        let mut differences = Vec::new();
        if self.scenario_sha256 != experiment.sha256 {
            differences.push("the scenario is not the one that this was begun with".to_owned());
        }
        if self.host != host {
            differences.push(format!("the workspace: was {}, is {host}", self.host));
        }
        if differences.is_empty() { Ok(self) } else { Err(super::place::changed(&differences, Path::new(""))) }
    }

    /// The state for another try: what was verified without a verdict is verified again, in the plan's largest size.
    pub(super) fn again(mut self) -> Self {
        if matches!(self.verdict, Some(Verdict::Undecided | Verdict::Invalid)) {
            self.verdict = None;
            self.done.retain(|done| !matches!(done.step, Step::Enlarge | Step::Verify | Step::Resize));
        }
        self
    }

    /// Writes it to `folder`.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Failure> {
        files::write(&folder.join(FILE), self.to_json()?.as_bytes())
    }

    /// As text.
    pub(super) fn to_json(&self) -> Result<String, Failure> {
        serde_json::to_string_pretty(self).map(|text| text + "\n").map_err(|e| Failure::from_error(Exit::Unwritable, &e))
    }

    /// Whether a step is done.
    pub(super) fn has(&self, step: Step) -> bool {
        self.done.iter().any(|done| done.step == step)
    }

    /// A step that changes the endpoint begins.
    pub(super) fn begin(&mut self, step: Step) {
        self.begun = Some(step);
    }

    /// A step is done.
    pub(super) fn finish(&mut self, step: Step, at: String, note: String) {
        self.begun = None;
        self.done.push(DoneStep { step, at, note });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only a verification without a verdict is repeated, and with it the sizes around it.
    #[test]
    fn a_verification_without_a_verdict_is_repeated() {
        let all = [Step::Info, Step::Create, Step::Measure, Step::Fit, Step::Plan, Step::Enlarge, Step::Verify, Step::Resize];
        for (verdict, left) in [(Verdict::Stands, 8), (Verdict::Broken, 8), (Verdict::Undecided, 5), (Verdict::Invalid, 5)] {
            let mut state = State { schema_version: SCHEMA_VERSION, ..State::default() };
            for step in all {
                state.finish(step, String::new(), String::new());
            }
            state.verdict = Some(verdict.clone());
            let again = State::again(serde_json::from_str(&state.to_json().unwrap()).unwrap());
            assert_eq!(again.done.len(), left, "{verdict:?}");
            assert_eq!(again.verdict.is_some(), left == 8, "{verdict:?}");
            assert_eq!(Verdict::of(verdict.exit()), verdict);
        }
    }
}
