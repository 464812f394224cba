//! `sweep.json`: the steps of a sweep, the SLO capacity with its interval, and why there is none if there is none.

use super::{Capacity, Kind, Reason, Search, Stage, Standing};
use crate::measure::plateau::Plateau;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of `sweep.json`.
pub const SCHEMA_VERSION: u32 = 1;

/// The document of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepDocument {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Name of the scenario.
    pub scenario: String,
    /// What was varied; absent for a load that has neither rate nor users.
    pub kind: Option<Kind>,
    /// Whether the loads were chosen by the search; otherwise they were given.
    pub adaptive: bool,
    /// Every window, in the order of loading.
    pub steps: Vec<SweepStep>,
    /// The highest load that was steady and met every objective, below every one that was missed.
    pub knee: Option<f64>,
    /// The SLO capacity in the unit of the loads, with its interval.
    pub slo_capacity: Option<Capacity>,
    /// Why there is no capacity, or none as narrow as was asked for.
    pub reason: Option<Reason>,
    /// The same as a sentence; empty if there is nothing to explain.
    pub because: String,
    /// Throughput of the over-saturated step.
    pub saturated: Option<Saturated>,
    /// Requests sent by all steps.
    pub requests: u64,
    /// Seconds of load of all steps, drains left out.
    pub load_s: f64,
}

/// One window of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepStep {
    /// Requests per second, or users.
    pub load: f64,
    /// Which random numbers it had: windows of one number differ by load alone.
    pub window: u64,
    /// Why it was loaded.
    pub stage: Stage,
    /// Seconds of load before the measured window.
    pub warmup_s: f64,
    /// Seconds of the measured window.
    pub measure_s: f64,
    /// How its load stands, over all windows at this load.
    pub standing: Standing,
    /// What was measured; absent when too little came back.
    pub plateau: Option<Plateau>,
}

/// What the endpoint gives when more is asked of it than it can.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Saturated {
    /// The load that was asked of it.
    pub load: f64,
    /// Requests that ended well, per second.
    pub served_rate: f64,
    /// Output tokens received, per second.
    pub output_tok_s: f64,
    /// Input and output tokens, per second.
    pub total_tok_s: f64,
}

impl SweepDocument {
    /// The document of a search that has ended with `reason`.
    #[must_use]
    pub fn of(search: &Search, scenario: &str, reason: Option<Reason>, adaptive: bool) -> Self {
        let standings = search.standings();
        let standing = |load: f64| standings.iter().find(|s| s.0 == load).map_or(Standing::Unsteady, |s| s.1);
        let steps = search.windows().iter().map(|w| SweepStep {
            load: w.ask.load,
            window: w.ask.window,
            stage: w.ask.stage,
            warmup_s: w.ask.warmup_s,
            measure_s: w.ask.measure_s,
            standing: standing(w.ask.load),
            plateau: w.plateau.clone(),
        });
        Self {
            schema_version: SCHEMA_VERSION,
            scenario: scenario.to_owned(),
            kind: Some(search.kind()),
            adaptive,
            steps: steps.collect(),
            knee: search.best_met(),
            slo_capacity: search.capacity(),
            reason,
            because: reason.map(Reason::sentence).unwrap_or_default().to_owned(),
            saturated: None,
            requests: search.spent(),
            load_s: search.seconds(),
        }
    }

    /// As written to `sweep.json`.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a document of numbers and texts is JSON")
    }
}

/// The JSON Schema of [`SweepDocument`], published as `docs/sweep.schema.json`.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(SweepDocument).to_value()
}

impl Reason {
    /// As a person says it.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NoObjectives => "the scenario sets no objectives, so that there is no capacity under them",
            Self::NothingMeets => "not even the lowest load that was tried keeps every objective",
            Self::EverythingMeets => "the highest load that was tried still keeps every objective",
            Self::BudgetSpent => "the budget of requests or time was spent before the interval was as narrow as asked for",
            Self::NeverSteady => "no load was steady long enough to be judged",
            Self::InvalidRun => "a step is not valid: it measured the client and not the endpoint, or nothing ended well; its own reasons say which",
            Self::Stopped => "the sweep was stopped",
            Self::GivenSteps => "the loads were given, and do not lie near enough to the objective for a curve",
        }
    }
}
