//! `RunDocument`: what `run.json` holds, and its published schema.

use super::summary::Summary;
use crate::record::manifest::{Manifest, SCHEMA_VERSION};
use crate::scenario::model::Scenario;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything that is kept of one run: which run it was, what was asked, what came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "Plimsoll run")]
pub struct RunDocument {
    /// Version of this format; raised when a reader of the old one would go wrong.
    pub schema_version: u32,
    /// Which run it was.
    pub manifest: Manifest,
    /// What was asked: the scenario with overrides applied and every default filled in.
    pub experiment: Scenario,
    /// What came out.
    pub summary: Summary,
}

/// Why a text is not a run document of this version.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, or not of this shape.
    #[error("not a run document: {0}; expected run.json as written by plimsoll")]
    Shape(#[from] serde_json::Error),
    /// Written by a version that used another format.
    #[error("run document of version {found}; this tool reads version {SCHEMA_VERSION}")]
    Version {
        /// The version of the text.
        found: u64,
    },
}

impl RunDocument {
    /// A document of the current version.
    #[must_use]
    pub fn new(manifest: Manifest, experiment: Scenario, summary: Summary) -> Self {
        Self { schema_version: SCHEMA_VERSION, manifest, experiment, summary }
    }

    /// Pretty JSON with a final line break.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("every map of the document has text keys, and writing to memory does not fail");
        text.push('\n');
        text
    }

    /// Reads what [`RunDocument::to_json`] wrote.
    ///
    /// # Errors
    /// [`Error::Version`] for a document of another version, [`Error::Shape`] for anything else.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let value: serde_json::Value = serde_json::from_str(text)?;
        match value.get("schema_version").and_then(serde_json::Value::as_u64) {
            Some(found) if found != u64::from(SCHEMA_VERSION) => Err(Error::Version { found }),
            _ => Ok(serde_json::from_value(value)?),
        }
    }
}

/// The JSON Schema of [`RunDocument`], published as `docs/run.schema.json`.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(RunDocument).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use crate::base::time::Nanos;
    use crate::base::units::{Rate, TimeSpan};
    use crate::measure::recorder::{Expectations, Recorder};
    use crate::measure::summary::ClientFacts;
    use crate::record::manifest::{EndpointIdentity, HostFacts};
    use crate::record::request::{Phase, RequestRecord};

    fn document() -> RunDocument {
        let experiment: Scenario = serde_json::from_value(serde_json::json!({
            "name": "smoke",
            "load": { "arrivals": { "poisson": { "rate": Rate(5.0) } } },
            "slo": { "ttft": { "p95": TimeSpan::millis(800) } },
        }))
        .unwrap();
        let mut recorder = Recorder::new(&experiment.slo, (Nanos::ZERO, Nanos::from_secs(10)), Nanos::from_secs(1));
        for seq in 0..40 {
            recorder.observe(&RequestRecord::due(seq, Phase::Measure, Nanos::from_millis(seq * 100 + 33), 10, 10));
        }
        let summary = recorder.finish(Nanos::from_secs(11), ClientFacts::default(), Expectations::default());
        let manifest = Manifest::begun("smoke", Seed(7), "2026-01-02T03:04:05Z", HostFacts::default(), EndpointIdentity::default());
        RunDocument::new(manifest, experiment, summary)
    }

    #[test]
    fn a_document_survives_json() {
        let document = document();
        assert_eq!(RunDocument::from_json(&document.to_json()).unwrap(), document);
    }

    #[test]
    fn another_version_and_another_shape_are_refused() {
        let mut newer = document();
        newer.schema_version = 99;
        assert!(RunDocument::from_json(&newer.to_json()).unwrap_err().to_string().contains("version 99"));
        assert!(RunDocument::from_json("{}").unwrap_err().to_string().contains("expected run.json"));
        assert!(RunDocument::from_json("PAR1").is_err());
    }
}
